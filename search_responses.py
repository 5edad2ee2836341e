# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Answers questions with the best of many responses, by their vectors.

In: the output folder of run_ranker.py with a representation model, a file of
responses, and questions from standard input, one a line. Out: the best answers
to each question; beside the file of responses, their vectors and an index of
them. An interaction model can put the best answers in order. Instead of
answering questions, the script can add to a training file the wrong responses
that the model finds nearest.
"""

from __future__ import annotations

import dataclasses

from bert.training import entry, flags


@dataclasses.dataclass(frozen=True)
class Options(flags.TrainedModelOptions):
  """This script's flags."""

  response_file: str | None = flags.flag(
    None,
    "Responses to search, one per line. Their vectors are kept beside this"
    " file, with the endings .npy and .npy.json, and an index of the vectors"
    " with the endings .faiss and .faiss.json.",
    required=True,
    reads=True,
  )
  make_vectors: bool = flags.flag(
    True,
    "Make the vectors of --response_file, and the index, if they are missing or"
    " belong to another model or text. With --nomake_vectors, that is an error"
    " instead.",
  )
  search: str = flags.flag(
    "auto",
    "How to search: exact computes all inner products; faiss uses an index and"
    " computes only those near the question (pip install -r"
    " requirements-faiss.txt); auto is exact up to 500000"
    " responses, and for more it is faiss, if that is installed.",
    choices=("auto", "exact", "faiss"),
  )
  num_answers: int = flags.flag(
    5,
    "Show the N best responses to each question, at most all.",
    lower_bound=1,
  )
  rerank_model: str | None = flags.flag(
    None,
    "Output folder of an interaction model. It puts the best responses of the"
    " search in a new order.",
    reads=True,
  )
  rerank_candidates: int = flags.flag(
    20, "With --rerank_model: how many responses it reorders.", lower_bound=1
  )
  mine_negatives: str | None = flags.flag(
    None,
    "Training file of run_ranker.py. Writes --mined_file, in which each of its"
    " contexts also has the nearest wrong responses of --response_file, and"
    " ends.",
    reads=True,
  )
  mined_file: str | None = flags.flag(
    None,
    "With --mine_negatives: the .csv file to write, another training file of"
    " run_ranker.py.",
    writes="files",
  )
  negatives_per_context: int = flags.flag(
    5,
    "With --mine_negatives: how many wrong responses to add to each context.",
    lower_bound=1,
  )
  skip_nearest: int = flags.flag(
    0,
    "With --mine_negatives: leave out the N nearest wrong responses of each"
    " context, which may be right although no row says so.",
    lower_bound=0,
  )
  precision: str = flags.flag(
    "float32",
    "Type of the encoder's products and activations.",
    choices=("float32", "bfloat16"),
  )
  predict_batch_size: int = flags.flag(
    64, "Texts or pairs per batch.", lower_bound=1
  )


if __name__ == "__main__":
  entry.parse(Options)  # --help ends here, before the slow imports

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow.compat.v1 as tf
from absl import logging

from bert.records import search
from bert.serving import response_base
from bert.tasks import ranking_data
from bert.training import trained_model

_QUERIES_AT_ONCE = 256  # to mine negatives


# ----------------------------------------------------------------- models


def find_ranker(
  options: Options, flag: str, kind: str
) -> trained_model.TrainedModel:
  """The ranking model in an output folder.

  Args:
    options: of the script.
    flag: that names the folder: model_dir or rerank_model.
    kind: interaction or representation.

  Raises:
    ValueError: the folder holds no such model.
  """
  folder = getattr(options, flag)
  checkpoint = options.checkpoint if flag == "model_dir" else None
  model = trained_model.find_model(folder, checkpoint, options.task_file)
  found = response_base.kind_of(model)
  if found != kind:
    raise ValueError(
      f"--{flag}={folder} holds a {found} model: give the --output_dir of a"
      f" training by run_ranker.py --model={kind}"
    )
  return model


def num_found(options: Options, num_responses: int) -> int:
  """How many of the responses the search finds for a question."""
  wanted = options.num_answers
  if options.mine_negatives:
    wanted = options.skip_nearest + options.negatives_per_context
  if options.rerank_model:
    wanted = max(wanted, options.rerank_candidates)
  return min(wanted, num_responses)


# ---------------------------------------------------------------- answers


@dataclasses.dataclass
class Answerer:
  """Finds the answers to questions, and notes how long each step takes."""

  options: Options
  responses: Sequence[str]
  predictor: trained_model.Predictor  # makes a question's vector
  find: Callable  # of `response_base.response_search`
  reranker: trained_model.Predictor | None
  # Of each question the times of its start, and of the end of each step.
  times: list = dataclasses.field(default_factory=list)

  @property
  def num_found(self) -> int:
    return num_found(self.options, len(self.responses))

  def answer(self, question: str) -> list[tuple[float, str]]:
    """(score, response) of the best answers, best first."""
    times = [time.monotonic()]
    windows, _ = self.predictor.prepare({"text": question})
    query = np.stack([out["vectors"] for out in self.predictor.run(windows)])
    times.append(time.monotonic())
    products, places = self.find(query, self.num_found)
    times.append(time.monotonic())
    places = places[0][places[0] >= 0]  # FAISS fills up with -1
    found = [self.responses[place] for place in places]
    if self.reranker:
      answers = self._reranked(question, found)
    else:
      answers = list(zip(products[0].tolist(), found))
    self.times.append([*times, time.monotonic()])
    return answers[: self.options.num_answers]

  def _reranked(self, question, responses):
    """(probability of a match, response), best first."""
    prepare = self.reranker.prepare
    windows = [
      window
      for text in responses
      for window in prepare({"text_a": question, "text_b": text})[0]
    ]
    outputs = self.reranker.run(windows, self.options.predict_batch_size)
    order = sorted(range(len(outputs)), key=lambda i: -outputs[i]["scores"])
    return [(float(outputs[i]["probabilities"]), responses[i]) for i in order]

  def log_times(self) -> None:
    """Logs the median time of each step."""
    steps = np.median(np.diff(self.times, axis=1), axis=0) * 1000
    logging.info(
      f"{len(self.times)} questions, median: {steps[0]:.1f} ms for a vector,"
      f" {steps[1]:.1f} ms to search {len(self.responses)} responses"
      + (
        f", {steps[2]:.1f} ms to put {self.num_found} in order"
        if self.reranker
        else ""
      )
    )


def questions(stream) -> Iterator[str]:
  """Yields the lines of a stream of bytes, without the empty ones.

  Lines that are not UTF-8 are left out, with an error in the log.
  """
  for number, line in enumerate(iter(stream.readline, b""), 1):
    try:
      question = line.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
      logging.error(
        f"line {number} is not UTF-8: byte {error.start} is"
        f" 0x{line[error.start]:02x}"
      )
      continue
    if question:
      yield question


# -------------------------------------------------------------- negatives


def read_contexts(path: str) -> list[ranking_data.InputExample]:
  """A training file's examples, those of one context joined.

  Raises:
    ValueError: the file can't be read, or has no labels.
  """
  found = {}
  for example in ranking_data.read_examples(path, "train"):
    if not example.labels:
      raise ValueError(f"{example.where}: there is no label to train on")
    first = found.setdefault(example.context, example)
    if first is not example:
      first.responses += example.responses
      first.labels += example.labels
  return list(found.values())


@dataclasses.dataclass
class Miner:
  """Finds the wrong responses that are nearest to a context."""

  options: Options
  responses: Sequence[str]
  predictor: trained_model.Predictor
  find: Callable  # of `response_base.response_search`
  keys: dict = dataclasses.field(default_factory=dict)  # {text: its ids}

  def mine(self, examples: Sequence[ranking_data.InputExample]) -> list:
    """The negatives of each example, nearest first, as lists of texts.

    An example without a true response has none.
    """
    queries = response_base.make_vectors(
      self.predictor,
      [example.context for example in examples],
      self.options.predict_batch_size,
      self.options.model_dir,
    )
    mined = []
    for first in range(0, len(examples), _QUERIES_AT_ONCE):
      part = examples[first : first + _QUERIES_AT_ONCE]
      vectors = queries[first : first + _QUERIES_AT_ONCE]
      # So many that the examples' own texts may be among them.
      most = max(1 + len(example.responses) for example in part)
      count = num_found(self.options, len(self.responses)) + most
      count = min(count, len(self.responses))
      _, places = self.find(vectors, count)
      for place, example in enumerate(part):
        query = vectors[place : place + 1]
        is_known = any(example.labels)
        mined.append(
          self._negatives(example, query, places[place]) if is_known else []
        )
    return mined

  def _negatives(self, example, query, places):
    """The negatives of an example; finds more places if these do not do."""
    options = self.options
    wanted = options.skip_nearest + options.negatives_per_context
    texts = self._wrong(example, places)
    # Equal texts may be among them. FAISS fills up with -1: it has no more.
    while (
      len(texts) < wanted
      and len(places) < len(self.responses)
      and places[-1] >= 0
    ):
      count = min(2 * len(places), len(self.responses))
      places = self.find(query, count)[1][0]
      texts = self._wrong(example, places)
    return texts[options.skip_nearest : wanted]

  def _wrong(self, example, places):
    """The distinct responses at these places that the example does not have."""
    known = {self._key(t) for t in (example.context, *example.responses)}
    wrong = []
    for place in places[places >= 0]:
      key = self._key(self.responses[place])
      if key not in known:
        known.add(key)
        wrong.append(self.responses[place])
    return wrong

  def _key(self, text):
    """Equal for texts that the model can't tell apart."""
    if text not in self.keys:
      (window,), _ = self.predictor.prepare({"text": text})
      self.keys[text] = tuple(window["input_ids"])
    return self.keys[text]


def write_negatives(
  options: Options,
  examples: Sequence[ranking_data.InputExample],
  mined: Sequence[list[str]],
) -> None:
  """Writes --mined_file: the examples, each with the negatives mined for it.

  Raises:
    ValueError: there are no negatives.
  """
  few = [
    example.where
    for example, texts in zip(examples, mined)
    if len(texts) < options.negatives_per_context
  ]
  total = sum(map(len, mined))
  if not total:
    raise ValueError(
      f"--response_file={options.response_file} has no other wrong response for"
      f" any of the {len(examples)} contexts of"
      f" --mine_negatives={options.mine_negatives}: give a file with more"
      + (", or a lower --skip_nearest" if options.skip_nearest else "")
    )
  if few:
    logging.warning(
      f"{few[0]}: fewer than {options.negatives_per_context} wrong responses"
      f" were found for {len(few)} of {len(examples)} contexts, this one first"
    )
  for example, texts in zip(examples, mined):
    example.responses += texts
    example.labels += [0] * len(texts)
  folder = os.path.dirname(options.mined_file)
  if folder:
    tf.io.gfile.makedirs(folder)
  ranking_data.write_pairs(options.mined_file, examples)
  logging.info(
    f"wrote {options.mined_file}: {len(examples)} contexts, and {total} wrong"
    " responses added to them"
  )


# ------------------------------------------------------------------- main


def main(options: Options) -> None:
  check_options(options)
  examples = []
  if options.mine_negatives:
    examples = read_contexts(options.mine_negatives)  # mistakes show early
  answerer = prepare(options)
  if examples:
    miner = Miner(
      options, answerer.responses, answerer.predictor, answerer.find
    )
    write_negatives(options, examples, miner.mine(examples))
    return
  if sys.stdin.isatty():
    logging.info("type a question; Ctrl-D ends")
  for question in questions(sys.stdin.buffer):
    answers = answerer.answer(question)
    print(question)
    for place, (score, text) in enumerate(answers, 1):
      print(f"{place:3d}  {score:.4f}  {text}")
    print(flush=True)
  if answerer.times:
    answerer.log_times()


def prepare(options: Options) -> Answerer:
  """Loads the models, and the vectors of the responses or makes them."""
  model = find_ranker(options, "model_dir", "representation")
  reranker = None
  if options.rerank_model:
    reranker = find_ranker(options, "rerank_model", "interaction")
  responses = response_base.read_responses(options.response_file)
  predictor = trained_model.Predictor(model, options.precision)
  most = num_found(options, len(responses))
  find = response_base.response_search(
    options, responses, model, predictor, most
  )
  if reranker:
    reranker = trained_model.Predictor(reranker, options.precision)
  answerer = Answerer(options, responses, predictor, find, reranker)
  predictor.run(predictor.prepare({"text": "?"})[0])  # the first takes longer
  return answerer


def check_options(options: Options) -> None:
  """Raises ValueError if the options do not fit each other or this machine."""
  if bool(options.mine_negatives) != bool(options.mined_file):
    raise ValueError(
      "give --mine_negatives, the training file to read, and --mined_file, the"
      " one to write, both or neither"
    )
  if options.mine_negatives:
    check_mining(options)
  elif sys.stdin is None:
    raise ValueError("standard input is closed: give it questions, one a line")
  if options.search != "faiss":
    return
  if not search.has_faiss():
    raise ValueError(
      "--search=faiss needs the library FAISS: pip install -r"
      " requirements-faiss.txt"
    )
  if "://" in options.response_file:
    raise ValueError(
      "--search=faiss keeps its index on this machine: copy"
      f" --response_file={options.response_file} here"
    )


def check_mining(options: Options) -> None:
  """Raises ValueError if the options do not fit --mine_negatives."""
  if options.rerank_model:
    raise ValueError("--rerank_model is not for --mine_negatives: leave it out")
  if not options.mined_file.endswith(".csv"):
    raise ValueError(
      f"--mined_file={options.mined_file} has to end in .csv, because it will"
      " hold commas"
    )


if __name__ == "__main__":
  entry.run(main, Options)
