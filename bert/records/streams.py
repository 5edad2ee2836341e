# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Batches examples as they arrive, and puts results back in input order.

In: examples that need not fit in memory, or predicted batches. Out: an
`input_fn(params)`, or one result at a time.
"""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from bert.records import input_pipeline

_LOOK_SECONDS = 0.2  # between two checks whether the reader is done


def stream_input_fn(windows: Iterable[Sequence[Mapping]], schema: Mapping):
  """Makes a one-pass `input_fn` from examples that need not fit in memory.

  Sorts the examples of a window by length and cuts each batch to its longest
  example. Makes a window's batches as soon as the window arrives.

  Args:
    windows: lists of {name: int or list} with the names of `schema`.
    schema: {name: tf.FixedLenFeature} of integers. `input_mask` gives the
      length of an example's lists.

  Returns:
    `input_fn(params)` as in `input_fn_builder`, but not for TPU.
  """

  names = [*schema, "example_index"]

  def batches(batch_size):
    places = itertools.count()
    for window in windows:
      rows = [{**row, "example_index": next(places)} for row in window]
      rows.sort(key=lambda row: sum(row["input_mask"]))
      for start in range(0, len(rows), batch_size):
        chosen = rows[start : start + batch_size]
        bound = sum(chosen[-1]["input_mask"])
        bound = (
          -(-bound // input_pipeline.BOUND_MULTIPLE)
          * input_pipeline.BOUND_MULTIPLE
        )
        yield {name: _stack(chosen, name, bound) for name in names}

  def input_fn(params):
    dataset = tf.data.Dataset.from_generator(
      lambda: batches(params["batch_size"]),
      dict.fromkeys(names, tf.int32),
      {
        name: [None] * (2 if name in schema and schema[name].shape else 1)
        for name in names
      },
    )
    return input_pipeline.ahead(dataset, 1)

  return input_fn


def _stack(rows, name, bound):
  """Returns a column of the rows as an array; cuts lists to `bound`."""
  values = [row[name] for row in rows]
  if isinstance(values[0], list):
    values = [value[:bound] for value in values]
  return np.array(values, np.int32)


def as_they_come(
  things: Iterable, most: int, is_over: Callable[[], bool] | None = None
) -> Iterator[list]:
  """Yields lists of the things that have arrived, without waiting for more.

  Args:
    things: read in a separate thread, which may wait for each of them.
    most: the most things in a list, and the most to read ahead.
    is_over: returns True when the caller needs no more; None: read them all.

  Yields:
    Lists of one or more things.

  Raises:
    Any error from reading `things`, after the things before it.
  """
  arrived, end, errors = queue.Queue(most), object(), []

  def read():
    try:
      for thing in things:
        arrived.put(thing)
    except Exception as error:
      errors.append(error)
    arrived.put(end)

  threading.Thread(target=read, daemon=True).start()
  is_open = True
  while is_open and not (is_over and is_over()):
    try:
      batch = [arrived.get(timeout=_LOOK_SECONDS if is_over else None)]
    except queue.Empty:
      continue
    while batch[-1] is not end and len(batch) < most and not arrived.empty():
      batch.append(arrived.get())
    is_open = batch[-1] is not end
    if not is_open:
      batch.pop()
    if batch:
      yield batch
  if errors:
    raise errors[0]


class InputOrder:
  """Puts things in the order of their places, which count from 0."""

  def __init__(self):
    self._waiting, self._following = {}, 0

  def add(self, place: int, thing) -> Iterator:
    """Adds a thing; yields every thing whose turn has come."""
    self._waiting[place] = thing
    while self._following in self._waiting:
      yield self._waiting.pop(self._following)
      self._following += 1


def in_input_order(batches, names: Sequence[str]) -> Iterator[dict]:
  """Puts the examples of predicted batches back in the order of the files.

  Keeps in memory only the examples that arrive early.

  Args:
    batches: iterable of {name: array [B, ...]}, with `example_index` [B].
    names: the names to yield.

  Yields:
    {name: array [...]} for one example at a time.
  """
  order = InputOrder()
  for batch in batches:
    for row, index in enumerate(batch["example_index"]):
      if index >= 0:
        yield from order.add(
          int(index), {name: batch[name][row] for name in names}
        )
