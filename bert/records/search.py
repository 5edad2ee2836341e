# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Finds the vectors nearest to a query, exactly or by a FAISS index.

In: vectors of length 1 and queries. Out: the highest inner products and their
places. Vectors and indexes are kept in files.

Shapes: N vectors, Q queries, D width of a vector, R vectors of one part.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import logging as python_logging
import time
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow.compat.v1 as tf
from absl import logging

from bert.files import kept_files, reading, writing

# An exact search among this many takes 20 ms on two cores (bench_search.py).
MOST_EXACT = 500_000
_ROWS_AT_ONCE = 1 << 16
# A FAISS index learns the centre of a list from this many vectors, ...
_POINTS_PER_LIST = 40
# ... and reads enough lists to find this share of what an exact search finds.
_SHARE_FOUND = 0.99
_QUERIES_TRIED = 256


def exact(vectors: np.ndarray, queries: np.ndarray, count: int):
  """Finds the highest inner products by computing all of them.

  Args:
    vectors: float32 [N, D].
    queries: float32 [Q, D].
    count: how many to find for each query; at most N are found.

  Returns:
    products: float32 [Q, count], descending.
    places: int [Q, count], rows of `vectors`.
  """
  products = np.empty([len(queries), 0], np.float32)
  places = np.empty([len(queries), 0], int)
  for first in range(0, len(vectors), _ROWS_AT_ONCE):
    part = queries @ vectors[first : first + _ROWS_AT_ONCE].T  # [Q, R]
    best = np.argpartition(part, -min(count, part.shape[1]), axis=1)
    best = np.sort(best[:, -count:], axis=1)
    products = np.hstack([products, np.take_along_axis(part, best, axis=1)])
    places = np.hstack([places, first + best])
    order = np.argsort(-products, axis=1, kind="stable")[:, :count]
    products = np.take_along_axis(products, order, axis=1)
    places = np.take_along_axis(places, order, axis=1)
  return products, places


# ------------------------------------------------------------------ FAISS


def has_faiss() -> bool:
  """Whether the library FAISS is installed."""
  return importlib.util.find_spec("faiss") is not None


def _load_faiss():
  """The library, without its log lines about the processor."""
  python_logging.getLogger("faiss").setLevel(python_logging.WARNING)
  import faiss

  return faiss


def build_index(vectors: np.ndarray):
  """Builds a FAISS index that looks only at the vectors near a query.

  The vectors are put into lists around centres, and a search reads the lists
  of the `nprobe` nearest centres (IVF; Jégou et al., 2011). `tune_index` sets
  `nprobe`.

  Args:
    vectors: float32 [N, D], of length 1.

  Returns:
    A `faiss.IndexIVFFlat` of inner products.
  """
  faiss = _load_faiss()
  started = time.monotonic()
  num_lists = min(len(vectors), int(2 * np.sqrt(len(vectors))))
  index = faiss.IndexIVFFlat(
    faiss.IndexFlatIP(vectors.shape[1]),
    vectors.shape[1],
    num_lists,
    faiss.METRIC_INNER_PRODUCT,
  )
  index.cp.min_points_per_centroid = 1  # FAISS would warn of small lists
  index.cp.max_points_per_centroid = _POINTS_PER_LIST
  index.train(vectors)
  index.add(vectors)
  logging.info(
    f"FAISS index of {len(vectors)} vectors in {num_lists} lists:"
    f" {time.monotonic() - started:.0f} s"
  )
  return index


def tune_index(index, vectors: np.ndarray, count: int) -> None:
  """Sets how many lists an index reads: enough to find 99 % of the neighbours.

  Args:
    index: of `build_index`; its `nprobe` is set.
    vectors: float32 [N, D]; a sample of them are the queries of the trial.
    count: how many neighbours a search is to find.
  """
  drawn = np.random.RandomState(0).permutation(len(vectors))
  queries = vectors[drawn[:_QUERIES_TRIED]]
  _, true = exact(vectors, queries, count)
  share, index.nprobe = 0.0, 0
  while share < _SHARE_FOUND and index.nprobe < index.nlist:
    index.nprobe = min(max(1, 2 * index.nprobe), index.nlist)
    _, found = index.search(queries, count)
    share = np.mean([np.isin(*pair).mean() for pair in zip(true, found)])
  logging.info(
    f"FAISS index: reads {index.nprobe} of {index.nlist} lists, which finds"
    f" {share:.1%} of the {count} nearest of {len(queries)} vectors"
  )


# ------------------------------------------------------------- kept files


def check_vectors(vectors: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
  """Returns vectors that have a shape and only finite numbers.

  Raises:
    ValueError: they do not.
  """
  if vectors.shape != tuple(shape):
    raise ValueError(f"the vectors have the shape {vectors.shape}, not {shape}")
  for first in range(0, len(vectors), _ROWS_AT_ONCE):
    if not np.isfinite(vectors[first : first + _ROWS_AT_ONCE]).all():
      raise ValueError(
        "the vectors are NaN or infinite: the model's training has failed"
      )
  return vectors


def _npy_header(shape):
  """The first bytes of a NumPy file of float32 vectors."""
  header = {"descr": "<f4", "fortran_order": False, "shape": tuple(shape)}
  buffer = io.BytesIO()
  np.lib.format.write_array_header_1_0(buffer, header)
  return buffer.getvalue()


@dataclasses.dataclass(frozen=True)
class SearchFiles:
  """The vectors of a file's texts and their index, kept beside the texts.

  What is kept is used again as long as it was made from the same model and
  texts.
  """

  text_file: str  # path; the files are this followed by .npy and .faiss
  mark: Mapping  # fingerprints of the `model` and the `text`
  checkpoint: str  # the model's weights, for messages
  shape: tuple[int, int]  # of the vectors, (N, D)
  may_make: bool = True  # whether files that do not fit are made again

  def vectors(self, make: Callable[[], np.ndarray]) -> np.ndarray:
    """The vectors, float32 [N, D]; `make` makes them.

    Raises:
      ValueError: they have to be made, and may not be or can't be written.
    """
    path = self.text_file + ".npy"

    def make_whole():
      return check_vectors(make(), self.shape)

    def save(vectors, partial):
      with tf.io.gfile.GFile(partial, "wb") as writer:
        np.save(writer, vectors)

    def load():
      data, header = reading.read_bytes(path), _npy_header(self.shape)
      if not data.startswith(header):  # what it says instead is never read
        raise ValueError("it does not hold an array of this shape")
      vectors = np.frombuffer(data, "<f4", offset=len(header))
      return check_vectors(vectors.reshape(self.shape), self.shape)

    return self._kept(path, "vectors", make_whole, save, load)

  def index(self, vectors: np.ndarray):
    """A FAISS index of the vectors; raises what `vectors` raises."""
    faiss, path = _load_faiss(), self.text_file + ".faiss"

    def load():
      index = faiss.read_index(path)
      if not isinstance(index, faiss.IndexIVFFlat):
        raise ValueError("it is of another kind")
      if (index.ntotal, index.d) != self.shape:
        raise ValueError("it is of other vectors")
      return index

    return self._kept(
      *(path, "a FAISS index", lambda: build_index(vectors)),
      *(faiss.write_index, load),
    )

  def _kept(self, path, what, make, save, load):
    """What a file holds; `save(it, path)` writes it, `load()` reads it."""
    what = f"{what} of {self.text_file}"

    def make_file():
      made = make()
      with writing.whole(path) as partial:
        save(made, partial)
        kept_files.forget(path)
      return made, {"checkpoint": self.checkpoint}

    def load_file(note):
      del note
      logging.info(f"{what}: {path}")
      return load()

    def before_making(why):
      self._check_writable(path, why)
      logging.info(f"{why}: making {what} with {self.checkpoint}")

    return kept_files.kept_file(
      path, self.mark, make_file, load_file, before_making
    )

  def _check_writable(self, path, why):
    """Raises ValueError if the file may not or can't be written."""
    if not self.may_make:
      raise ValueError(
        f"{why}: leave out --nomake_vectors to have it made, or give the"
        " --model_dir that it was made with"
      )
    try:
      with tf.io.gfile.GFile(path + ".partial", "wb") as writer:
        writer.write(b"")
      tf.io.gfile.remove(path + ".partial")
      is_writable = not tf.io.gfile.isdir(path)
    except (OSError, tf.errors.OpError):
      is_writable = False
    if not is_writable:
      raise ValueError(
        f"{why}, and it can't be written: copy {self.text_file} to a folder"
        " that can be written to"
      )
