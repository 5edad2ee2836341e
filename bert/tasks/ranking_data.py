# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Data to rank: contexts with true and wrong responses, or graded pairs.

In: CSV and TSV files in four layouts, SWAG's among them. Out: examples or
pairs, the rows to train on, and their records.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import random
from collections.abc import Iterable, Sequence

import tensorflow.compat.v1 as tf
from absl import logging

from bert.files import writing
from bert.records import packing, tables
from bert.tasks.ranking import Ranking
from bert.tasks.task import ENCODER_INPUTS

# --------------------------------------------------------------- examples


@dataclasses.dataclass
class InputExample:
  """A context and its candidates."""

  guid: str
  context: str
  responses: list[str]
  labels: list[int]  # 1 for a true response, 0 for a wrong one; or unknown: []
  where: str  # file and line, for messages


@dataclasses.dataclass
class GradedPair:
  """Two texts, and how alike they are."""

  guid: str
  text_a: str
  text_b: str
  score: float | None  # higher for texts that are more alike; None: unknown
  where: str  # file and line, for messages


_PAIR_COLUMNS = ("context", "response", "label")
_GRADED_COLUMNS = ("text_a", "text_b", "score")
_SWAG_COLUMNS = ("sent1", "sent2", "ending0", "ending1", "ending2", "ending3")
# Names of a first column, in lower case.
_CONTEXT_NAMES = ("context", "query", "question")
# Names of each set's file, without .csv or .tsv.
_FILES = {
  "train": ("train",),
  "valid": ("valid", "val", "dev"),
  "test": ("test",),
}


def find_file(data_dir: str, set_type: str) -> str:
  """The path of a set's file; the first possible one if none exists."""
  paths = [
    os.path.join(data_dir, f"{name}.{ending}")
    for name in _FILES[set_type]
    for ending in ("csv", "tsv")
  ]
  return next((path for path in paths if tf.io.gfile.exists(path)), paths[0])


def read_examples(path: str, set_type: str) -> list[InputExample]:
  """Reads contexts with their candidates.

  The first line says which of three layouts a file has: a header with context,
  response and label, where rows with the same context are joined; SWAG's
  header; or no header, and each row has a context, its true response, and wrong
  ones (such as MS MARCO's triples).

  Args:
    path: of a .csv file, or of a file with tabs.
    set_type: first part of the examples' ids.

  Returns:
    The examples, in the file's order.

  Raises:
    ValueError: a row can't be read; its file and line are named.
  """
  rows, header = _rows_and_header(path)
  if set(_GRADED_COLUMNS) <= set(header):
    raise ValueError(
      f"{path}:{rows[0][0]}: the columns {', '.join(_GRADED_COLUMNS)} are those"
      " of pairs with a score: train on them with --model=representation and"
      " --loss=cosine or --loss=cosent"
    )
  if set(_PAIR_COLUMNS) <= set(header):
    examples = _read_pairs(path, rows[1:], header)
  elif set(_SWAG_COLUMNS) <= set(header):
    examples = _read_swag(path, rows[1:], header)
  else:
    named = [name for name in header if name in _CONTEXT_NAMES]
    if named and header[0] not in _CONTEXT_NAMES:
      raise ValueError(
        f"{path}:{rows[0][0]}: the column {named[0]} has to come first, then"
        f" the true response and wrong ones; this line has {', '.join(header)}"
      )
    if named:
      logging.warning(
        f"{path}:{rows[0][0]} seems to name the columns and is left out; each"
        " other row has to hold a context, its true response, and wrong ones"
      )
      rows = rows[1:]
    examples = _read_rows(path, rows)
  if not examples:
    raise ValueError(f"{path} holds no examples")
  for number, example in enumerate(examples):
    example.guid = f"{set_type}-{number}"
    if not all(text.strip() for text in (example.context, *example.responses)):
      name = "response" if example.context.strip() else "context"
      raise ValueError(f"{example.where}: the {name} is empty")
  repeated = [example.where for example in examples if _wrong_and_true(example)]
  if repeated:
    logging.warning(
      f"{repeated[0]}: a response is both true and wrong, which counts as a"
      f" tie, against the ranking; {len(repeated)} contexts have one"
    )
  return examples


def _read_pairs(path, rows, header):
  """One response per row; a context's responses are joined, true ones first."""
  found = {}
  for line, row in rows:
    where = f"{path}:{line}"
    context, response, label = _cells(where, row, header, _PAIR_COLUMNS)
    label = label.strip()
    if label not in ("0", "1"):
      raise ValueError(f"{where}: label {label!r} is neither 0 nor 1")
    if not response.strip():
      raise ValueError(f"{where}: the response is empty")
    if context not in found:
      found[context] = InputExample("", context, [], [], where)
    example = found[context]
    place = sum(example.labels) if label == "1" else len(example.labels)
    example.responses.insert(place, response)
    example.labels.insert(place, int(label))
  return list(found.values())


def _read_swag(path, rows, header):
  """Each row has a sentence, the start of the next one, and four endings."""
  examples = []
  for line, row in rows:
    where = f"{path}:{line}"
    context, start, *endings = _cells(where, row, header, _SWAG_COLUMNS)
    labels = []
    if "label" in header:
      (label,) = _cells(where, row, header, ("label",))
      if label.strip() not in ("0", "1", "2", "3"):
        raise ValueError(f"{where}: label {label!r} is not 0, 1, 2 or 3")
      labels = [int(i == int(label)) for i in range(len(endings))]
    responses = [f"{start} {ending}".strip() for ending in endings]
    examples.append(InputExample("", context, responses, labels, where))
  return examples


def _cells(where, row, header, names):
  if len(row) != len(header):
    raise ValueError(
      f"{where}: {len(row)} columns, but the header has {len(header)}"
      f" ({', '.join(header)})"
    )
  for name in names:
    if header.count(name) > 1:
      raise ValueError(f"{where}: the header has the column {name!r} twice")
  return [row[header.index(name)] for name in names]


def _read_rows(path, rows):
  """Each row has a context, its true response, and wrong ones."""
  examples = []
  labelled = [
    line for line, row in rows if len(row) == 3 and row[2].strip() in ("0", "1")
  ]
  if 2 * len(labelled) > len(rows):
    raise ValueError(
      f"{path}:{labelled[0]}: the third column looks like a label, here and in"
      f" {len(labelled)} of {len(rows)} lines in all: add a first line"
      f" {','.join(_PAIR_COLUMNS)}"
    )
  for line, row in rows:
    where = f"{path}:{line}"
    if len(row) < 2:
      raise ValueError(
        f"{where}: {len(row)} column: a row needs a context and at least its"
        " true response, separated by commas in a .csv file, by tabs in others"
      )
    context, *responses = row
    labels = [1] + [0] * (len(responses) - 1)
    examples.append(InputExample("", context, responses, labels, where))
  return examples


def _rows_and_header(path):
  """[(line, row)] of a file, and the names in its first row, if it has any."""
  rows = list(tables.read_rows(path))
  if rows and not isinstance(rows[0][1], list):
    raise ValueError(f"{path} is not a .csv or .tsv file")
  return rows, [cell.strip().lower() for cell in rows[0][1]] if rows else []


def read_pairs(path: str, set_type: str) -> list[GradedPair]:
  """Reads pairs of texts with a score.

  Args:
    path: of a .csv file, or of a file with tabs. Its first line names the
      columns text_a, text_b and score; `test` may lack score.
    set_type: first part of the pairs' ids.

  Returns:
    The pairs, in the file's order.

  Raises:
    ValueError: a row can't be read, and its file and line are named; or all
      scores are equal.
  """
  rows, header = _rows_and_header(path)
  optional = {"score"} if set_type == "test" else set()
  missing = [
    name for name in _GRADED_COLUMNS if name not in {*header, *optional}
  ]
  if missing:
    raise ValueError(
      f"{path}:1: there is no column {missing[0]!r}: the losses cosine and"
      f" cosent need a first line {','.join(_GRADED_COLUMNS)}, and this one has"
      f" {', '.join(header) or 'nothing'}"
    )
  names = [name for name in _GRADED_COLUMNS if name in header]
  pairs = []
  for number, (line, row) in enumerate(rows[1:]):
    where = f"{path}:{line}"
    text_a, text_b, *score = _cells(where, row, header, names)
    for name, text in (("text_a", text_a), ("text_b", text_b)):
      if not text.strip():
        raise ValueError(f"{where}: {name} is empty")
    score = tables.number(score[0], f"{where}: the score") if score else None
    guid = f"{set_type}-{number}"
    pairs.append(GradedPair(guid, text_a, text_b, score, where))
  if not pairs:
    raise ValueError(f"{path} holds no pairs")
  if "score" in names and len({pair.score for pair in pairs}) == 1:
    raise ValueError(
      f"{path}: all {len(pairs)} scores are {pairs[0].score:g}, so no pair is"
      " known to be more alike than another, and correlations are undefined:"
      " add pairs with other scores"
      + (", or leave out the column to predict without" if optional else "")
    )
  return pairs


def write_pairs(path: str, examples: Iterable[InputExample]) -> None:
  """Writes a .csv file of contexts with responses, as `read_examples` reads it.

  Raises:
    ValueError: the run reads the file.
  """
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  writer.writerow(_PAIR_COLUMNS)
  for example in examples:
    for response, label in zip(example.responses, example.labels):
      writer.writerow((example.context, response, label))
  writing.write_lines(path, text.getvalue().rstrip("\n").split("\n"))


def check_rankable(examples: Iterable[InputExample]) -> None:
  """Raises ValueError if an example has nothing to rank."""
  for example in examples:
    num_true = sum(example.labels)
    if len(example.responses) < 2:
      raise ValueError(
        f"{example.where}: {len(example.responses)} candidate: ranking needs a"
        " true response and at least one wrong one"
      )
    if example.labels and not 0 < num_true < len(example.labels):
      raise ValueError(
        f"{example.where}: {num_true} of the {len(example.labels)} responses to"
        f" {example.context!r} are true: ranking needs at least one true and"
        " one wrong response"
      )


# --------------------------------------------------------------- features


@dataclasses.dataclass
class TrainingRow:
  """What one training record is made from."""

  context: str
  responses: list[str]  # one for a pair; otherwise the true one first
  label: float = 1  # of a pair


def training_rows(
  examples: Sequence[InputExample],
  loss: str,
  num_candidates: int = 0,
  num_random: int = 0,
  random_seed: int = 0,
) -> list[TrainingRow]:
  """The rows to train on, one for each record.

  Args:
    examples: with labels.
    loss: one of `ranking.LOSSES`.
    num_candidates: the most responses of a row, the true one among them; 0:
      all.
    num_random: how many wrong responses to add to each example, drawn from
      those of other contexts.
    random_seed: of the draws.

  Returns:
    Pairs for cross_entropy; for other losses a row for each true response.
    Examples without the responses that the loss compares are left out, with a
    warning.

  Raises:
    ValueError: no row is left, or labels are missing.
  """
  rows, left_out = [], []
  draw = _drawer(examples, num_random, random_seed)
  for example in examples:
    if not example.labels:
      raise ValueError(f"{example.where}: there is no label to train on")
    wrong, true = _split(example)
    wrong = wrong[: num_candidates - 1] if num_candidates else wrong
    wrong = wrong + draw(example)
    if loss == "cross_entropy":
      rows += [TrainingRow(example.context, [text], 1) for text in true]
      rows += [TrainingRow(example.context, [text], 0) for text in wrong]
    elif true and (wrong or loss != "candidates"):
      rows += [TrainingRow(example.context, [text, *wrong]) for text in true]
    else:
      left_out.append(example.where)
  if left_out:
    logging.warning(
      f"left out {len(left_out)} of {len(examples)} contexts with too few"
      f" candidates for this loss, the first at {left_out[0]}"
    )
  _check_contrast(rows, loss, examples[0].where)
  return rows


def score_range(pairs: Sequence[GradedPair]) -> tuple[float, float]:
  """The lowest and the highest score of pairs."""
  scores = [pair.score for pair in pairs]
  return min(scores), max(scores)


def graded_rows(
  pairs: Sequence[GradedPair], score_range: Sequence[float] | None
) -> list[TrainingRow]:
  """The rows to train on, one for each pair.

  Args:
    pairs: with scores.
    score_range: the scores that become 0 and 1; None: they stay as they are.

  Raises:
    ValueError: a score is out of the range.
  """
  low, high = score_range or (0.0, 1.0)
  rows = []
  for pair in pairs:
    if score_range and not low <= pair.score <= high:
      raise ValueError(
        f"{pair.where}: the score {pair.score:g} is not in"
        f" --score_range={low:g},{high:g}"
      )
    grade = (pair.score - low) / (high - low)
    rows.append(TrainingRow(pair.text_a, [pair.text_b], grade))
  return rows


def _check_contrast(rows, loss, where):
  """Raises ValueError if the rows have nothing that the loss can compare."""
  if not rows:
    raise ValueError(
      f"{where}: no context has what --loss={loss} needs: a true"
      " response" + (" and a wrong one" if loss == "candidates" else "")
    )
  if (
    loss in ("in_batch", "triplet")
    and len({row.context for row in rows}) == 1
    and all(len(row.responses) == 1 for row in rows)
  ):
    raise ValueError(
      f"{where}: there is one context and no wrong response, so"
      " there is nothing to learn: add others"
    )
  if loss == "cross_entropy" and len({row.label for row in rows}) == 1:
    kind = "true" if rows[0].label else "wrong"
    raise ValueError(
      f"{where}: all {len(rows)} responses are {kind}, so there is"
      " nothing to learn: add others, or give --num_random_negatives=3"
    )


def _split(example):
  """An example's wrong responses, and its true ones."""
  split = [], []
  for text, label in zip(example.responses, example.labels):
    split[label].append(text)
  return split


def _wrong_and_true(example):
  """The responses of an example that are both wrong and true."""
  wrong, true = _split(example)
  return set(wrong) & set(true)


def _drawer(examples, count, random_seed):
  """What draws `count` different responses of other contexts for an example."""
  known = {}  # {context: its responses}
  for example in examples:
    known.setdefault(example.context, set()).update(example.responses)
  everything = list(dict.fromkeys(t for e in examples for t in e.responses))
  rng = random.Random(random_seed)

  def draw(example):
    own = known[example.context]
    most = min(count + len(own), len(everything)) if count else 0
    drawn = [t for t in rng.sample(everything, most) if t not in own]
    return drawn[:count]

  return draw


class Packer:
  """Turns texts and pairs into the model's inputs, and numbers the texts.

  Each distinct text is tokenized once. Texts with the same pieces get the same
  number, because the model can't tell them apart.
  """

  def __init__(self, tokenizer, task: Ranking):
    self._tokenizer = tokenizer
    self._task = task
    self._length = task.note.max_seq_length
    self._pieces = {}
    self._ids = {}

  def pack(self, text: str, second: str | None = None) -> dict:
    """The encoder's three inputs for a text, or for a pair."""
    packed = packing.pack(
      self._tokenize(text),
      None if second is None else self._tokenize(second),
      self._length,
      self._tokenizer,
    )
    return {name: getattr(packed, name) for name in ENCODER_INPUTS}

  def pack_row(self, row: TrainingRow) -> dict:
    """The values of a training record, {name: int or list}."""
    if self._task.note.loss == "cross_entropy":
      (response,) = row.responses
      packed = self.pack(row.context, response)
      return {**packed, "label_ids": row.label, "is_real_example": 1}
    if self._task.is_pair:
      texts = row.responses
      sequences = [self.pack(row.context, text) for text in texts]
    else:
      texts = [row.context, *row.responses]
      sequences = [self.pack(text) for text in texts]
    missing = self._task.num_sequences - len(texts)
    padding = [0] * (missing * self._length)
    record = {
      name: [i for packed in sequences for i in packed[name]] + padding
      for name in sequences[0]
    }
    if self._task.is_graded:
      return {**record, "label_ids": row.label}
    pieces = [tuple(self._tokenize(text)) for text in texts]
    ids = [self._ids.setdefault(text, len(self._ids) + 1) for text in pieces]
    return {**record, "text_ids": ids + [0] * missing}

  def _tokenize(self, text):
    if text not in self._pieces:
      self._pieces[text] = self._tokenizer.tokenize(text)
    return self._pieces[text]
