# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""A file of responses that can be searched by the vectors of questions.

In: a representation model of run_ranker.py, and a file of responses. Out: their
vectors and an index of them, kept beside the file, and a function that searches
them.

Shapes: N responses, Q questions, D width of a vector.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow.compat.v1 as tf
from absl import logging

from bert.files import kept_files, reading
from bert.records import search
from bert.tasks.ranking import Ranking
from bert.training import progress, trained_model

_TEXTS_SORTED = 8192  # at a time, by length


@dataclasses.dataclass(frozen=True)
class SearchOptions:
  """How responses are searched; the flags of these names say more."""

  response_file: str
  make_vectors: bool = True
  search: str = "auto"  # exact, faiss or auto
  precision: str = "float32"  # of the encoder
  predict_batch_size: int = 64


def read_responses(path: str) -> list[str]:
  """The distinct lines of a file of responses; empty ones are left out.

  Raises:
    ValueError: there are none.
  """
  text = reading.read_text(path, "response file")
  lines = [line.strip() for line in text.split("\n")]
  if lines and not lines[-1]:
    lines.pop()  # what follows the last line's end
  texts = list(dict.fromkeys(filter(None, lines)))
  if not texts:
    raise ValueError(f"{path} holds no responses: give one a line")
  if len(texts) < len(lines):
    num_empty = lines.count("")
    where = f", the first in line {lines.index('') + 1}" if num_empty else ""
    logging.warning(
      f"{path}: left out {num_empty} empty lines{where}, and"
      f" {len(lines) - num_empty - len(texts)} that repeat another"
    )
  return texts


def kind_of(model: trained_model.TrainedModel) -> str:
  """interaction or representation; of another task, the task's name."""
  is_ranker = isinstance(model.task, Ranking)
  return model.task.note.model if is_ranker else model.task.name


# ---------------------------------------------------------------- vectors


def model_fingerprint(model: trained_model.TrainedModel, precision: str) -> str:
  """Equal for weights and settings that give equal vectors.

  A checkpoint's index has a checksum of each of its tensors.
  """
  with tf.io.gfile.GFile(model.checkpoint + ".index", "rb") as reader:
    weights = hashlib.sha256(reader.read()).hexdigest()
  note = model.task.note
  return kept_files.fingerprint(
    weights,
    model.config.to_dict(),
    model.tokenizer.vocab,
    [note.pooling, note.do_lower_case, note.max_seq_length],
    precision,
  )


def embed(
  predictor: trained_model.Predictor, texts: Sequence[str], batch_size: int
) -> Iterator[tuple[list[int], np.ndarray]]:
  """Computes the vectors of texts, grouped by length.

  Yields:
    The places of a batch's texts, and their vectors, float32 [B, D].
  """
  for first in range(0, len(texts), _TEXTS_SORTED):
    windows = {}  # {place: window}, so that a batch has little padding
    for place in range(first, min(first + _TEXTS_SORTED, len(texts))):
      (windows[place],), _ = predictor.prepare({"text": texts[place]})
    order = sorted(windows, key=lambda place: len(windows[place]["input_ids"]))
    for start in range(0, len(order), batch_size):
      places = order[start : start + batch_size]
      outputs = predictor.run([windows[p] for p in places], batch_size)
      yield places, np.stack([output["vectors"] for output in outputs])


def make_vectors(
  predictor: trained_model.Predictor,
  texts: Sequence[str],
  batch_size: int,
  checkpoint: str,
) -> np.ndarray:
  """The vectors of texts, float32 [N, D]; progress is shown.

  Args:
    predictor: of a representation model.
    texts: the N texts.
    batch_size: how many are computed at once.
    checkpoint: the model's weights, for the log.
  """
  found = None
  for places, vectors in progress.show_predicting(
    embed(predictor, texts, batch_size),
    lambda batch: len(batch[0]),
    len(texts),
    checkpoint,
  ):
    if found is None:
      found = np.empty([len(texts), vectors.shape[1]], np.float32)
    found[places] = vectors
  return found


# ----------------------------------------------------------------- search


def response_search(
  options: SearchOptions,
  responses: Sequence[str],
  model: trained_model.TrainedModel,
  predictor: trained_model.Predictor,
  most: int,
) -> Callable:
  """What searches the responses, by vectors that are kept or made.

  Args:
    options: a SearchOptions, or a script's options with its fields.
    responses: of `read_responses`.
    model: a representation model.
    predictor: of this model.
    most: the most responses that are asked for at once.

  Returns:
    `(queries [Q, D], count) -> (products, places)`, as `search.exact`.
  """
  kept = search.SearchFiles(
    options.response_file,
    {
      "model": model_fingerprint(model, options.precision),
      "text": kept_files.fingerprint(responses),
    },
    model.checkpoint,
    (len(responses), model.config.hidden_size),
    options.make_vectors,
  )
  vectors = kept.vectors(
    lambda: make_vectors(
      predictor, responses, options.predict_batch_size, model.checkpoint
    )
  )

  def exact(queries, count):
    return search.exact(vectors, queries, count)

  if not use_faiss(options, len(vectors)):
    return exact
  try:
    index = kept.index(vectors)
  except ValueError as error:
    if options.search == "faiss":
      raise
    logging.warning(f"{error}; without an index, the search is exact, slower")
    return exact
  search.tune_index(index, vectors, most)
  return index.search


def use_faiss(options: SearchOptions, num_responses: int) -> bool:
  """Whether --search means FAISS for this many responses."""
  if options.search != "auto":
    return options.search == "faiss"
  if num_responses <= search.MOST_EXACT:
    return False
  if not search.has_faiss():
    logging.warning(
      f"an exact search among {num_responses} responses takes a while for each"
      " question: pip install -r requirements-faiss.txt makes it faster"
    )
    return False
  return os.path.exists(options.response_file)  # FAISS reads local files only
