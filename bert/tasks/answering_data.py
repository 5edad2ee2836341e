# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Data of question answering: SQuAD's JSON, 1.1 and 2.0, and JSON lines.

In: files of questions and contexts. Out: examples with the places of their
answers, and the records that a model reads.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from typing import NamedTuple

from absl import logging

from bert.files import reading
from bert.records import input_pipeline, record_files, tables
from bert.tasks.answering import Answering, SquadNote
from bert.tasks.answers import (
  check_texts,
  InputFeatures,
  split_context,
  SquadExample,
)

# --------------------------------------------------------------- examples


_QUESTION = {
  "id": (str, int),
  "question": str,
  "answers?": ([{"text": str, "answer_start": int}], type(None)),
  "is_impossible?": bool,
}
_SQUAD = {"data": [{"paragraphs": [{"context": str, "qas": [_QUESTION]}]}]}


class _Question(NamedTuple):
  """One question as it stands in its file."""

  where: str  # file, and place in it
  id: str
  text: str
  context: str
  answers: list | None  # [(text, place in the context)]; None: no such key
  is_impossible: bool


def read_squad_examples(
  input_file: str,
  is_training: bool,
  version_2_with_negative: bool = False,
  verbose_logging: bool = False,
) -> list[SquadExample]:
  """Reads the questions of a file, in its order.

  Args:
    input_file: SQuAD's JSON; or, if the name ends in .jsonl, one object per
      line with the keys id, question and context, and if they are known answers
      and is_impossible.
    is_training: whether answers are needed. Questions whose answer is not where
      the file says are then left out, and counted in the log.
    version_2_with_negative: whether questions may have no answer.
    verbose_logging: whether to log each question that is left out, rather than
      only the first.

  Raises:
    ValueError: the file does not have this form, an id comes twice, or, for
      training, a question does not have exactly one answer; the message names
      the place.
  """
  questions = list(_read_questions(input_file))
  _check_questions(input_file, questions, is_training, version_2_with_negative)
  contexts, examples, left_out = {}, [], []
  for question in questions:
    if question.context not in contexts:
      contexts[question.context] = split_context(question.context)
    example = _make_example(question, *contexts[question.context])
    if not is_training or _add_answer(example, question):
      examples.append(example)
    else:
      left_out.append(question)
  if left_out:
    logging.warning(
      f"{input_file}: left out {len(left_out)} of {len(questions)} questions,"
      " because their answer is not in the context at answer_start; the first"
      f" is {left_out[0].id} ({left_out[0].where})"
    )
    for question in left_out if verbose_logging else ():
      logging.warning(f"  left out {question.id}: {question.answers[0]}")
  if not examples:
    raise ValueError(f"{input_file} has no question that can be used")
  return examples


def _read_questions(path: str) -> Iterator[_Question]:
  """Yields the questions of a file; errors name the place in it."""
  if path.endswith(".jsonl"):
    for _, row in tables.read_rows(path):
      reading.check_shape(row, {**_QUESTION, "context": str}, row.where)
      yield _question(row.where, row, row["context"])
    return
  whole = reading.read_json(path, name="data file")
  if not isinstance(whole, dict) or "data" not in whole:
    raise ValueError(
      f"{path} is not an object with the key 'data': is this SQuAD's JSON?"
      " (Name a file with one object per line .jsonl)"
    )
  reading.check_shape(whole, _SQUAD, path)
  for i, article in enumerate(whole["data"]):
    for j, paragraph in enumerate(article["paragraphs"]):
      place = f"{path}: data[{i}].paragraphs[{j}]"
      for k, row in enumerate(paragraph["qas"]):
        yield _question(f"{place}.qas[{k}]", row, paragraph["context"])


def _question(where, row, context):
  """One question, from a row that has the right shape."""
  check_texts(row["question"], context, f"{where}: ")
  is_impossible, answers = row.get("is_impossible", False), row.get("answers")
  if is_impossible:
    answers = []
  elif answers is not None:
    answers = [(answer["text"], answer["answer_start"]) for answer in answers]
  return _Question(
    where, str(row["id"]), row["question"], context, answers, is_impossible
  )


def _check_questions(path, questions, is_training, version_2_with_negative):
  """Raises ValueError if an id comes twice or the answers can't be used."""
  places = {}
  for question in questions:
    if question.id in places:
      raise ValueError(
        f"{question.where} has the id {question.id}, and so has"
        f" {places[question.id]}: give each question its own"
      )
    places[question.id] = question.where
  impossible = [q for q in questions if q.is_impossible]
  if impossible and not version_2_with_negative:
    message = (
      f"{path} is SQuAD 2.0 data: {len(impossible)} of {len(questions)}"
      f" questions have no answer; the first is {impossible[0].id}"
    )
    if is_training:
      raise ValueError(f"{message}; give --version_2_with_negative")
    logging.warning(
      f"{message}; without --version_2_with_negative each gets an answer"
    )
  if version_2_with_negative and not impossible and is_training:
    logging.warning(
      f"--version_2_with_negative: every question in {path} has an answer"
    )
  for question in questions if is_training else ():
    if len(question.answers or ()) != 1 and not question.is_impossible:
      raise ValueError(
        f"{question.where}: {question.id} has {len(question.answers or ())}"
        " answers, but training needs exactly one (or none if is_impossible is"
        " true)"
      )


def _make_example(question, words, starts):
  answers = question.answers
  if answers is not None:
    answers = [text for text, _ in answers]
  if not answers and not question.is_impossible:
    answers = None  # a test file may have the key with an empty list
  return SquadExample(
    question.id, question.text, words, answers=answers, token_starts=starts
  )


def _add_answer(example, question):
  """Adds the answer to an example; False: it is not where the file says."""
  if question.is_impossible:
    example.is_impossible = True
    example.orig_answer_text = ""
    example.start_position = example.end_position = -1
    return True
  text, first = question.answers[0]
  last = first + len(text) - 1
  if not 0 <= first <= last < len(question.context):
    return False
  start = max(bisect.bisect_right(example.token_starts, first) - 1, 0)
  end = bisect.bisect_right(example.token_starts, last) - 1
  words = " ".join(example.doc_tokens[start : end + 1])
  example.orig_answer_text = text
  example.start_position, example.end_position = start, end
  return " ".join(text.split()) in words


# ----------------------------------------------------------------- records


def answering(max_seq_length: int = 0) -> Answering:
  """The task, as far as its graph and its records need it."""
  note = SquadNote(
    task=Answering.name,
    version_2_with_negative=False,
    do_lower_case=True,
    max_seq_length=max_seq_length,
    max_query_length=0,
    doc_stride=0,
    n_best_size=0,
    max_answer_length=0,
    null_score_diff_threshold=0.0,
  )
  return Answering(note)


def record_of(features: InputFeatures) -> dict:
  """One record's values by the names of the layout."""
  return {
    "unique_ids": features.unique_id,
    "input_ids": features.input_ids,
    "input_mask": features.input_mask,
    "segment_ids": features.segment_ids,
    "start_positions": features.start_position,
    "end_positions": features.end_position,
    "is_impossible": int(bool(features.is_impossible)),
  }


class FeatureWriter(record_files.RecordWriter):
  """Writes windows to a TFRecord file that appears when it is closed."""

  def __init__(self, filename: str, is_training: bool):
    super().__init__(filename, {})
    self.filename = filename
    self.is_training = is_training
    self._encode_window = None  # made for the length of the first window

  @property
  def num_features(self) -> int:
    return self.records.num_examples

  def process_feature(self, feature: InputFeatures) -> None:
    """Adds one window."""
    if not self._encode_window:
      task = answering(len(feature.input_ids))
      self._encode_window = record_files.record_encoder(
        task.schema(self.is_training)
      )
    self.write_encoded(self._encode_window(record_of(feature)))
    self.records.lengths.append(len(feature.tokens))


def input_fn_builder(
  input_file: str, seq_length: int, is_training: bool, drop_remainder: bool
):
  """An input_fn over a file of windows; see `file_input_fn`."""
  schema = answering(seq_length).schema(is_training)
  return input_pipeline.file_input_fn(
    input_file, schema, is_training, drop_remainder
  )
