# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Computes the windows of many requests in common batches.

In: from an event loop, the windows of one request at a time. Out: what the
model returns for each of them. Threads compute, so that the event loop goes on
meanwhile: TensorFlow releases Python's lock. While they compute batches, the
windows of the next one gather.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from absl import logging

# What each batch costs besides its windows, in tokens: a window of 22 tokens
# takes over twice as much of a core alone as in a batch of 32.
_BATCH_TOKENS = 32
# A batch is chosen among this many times its size of windows.
_CHOICE = 4
# While others wait too, a large request is given one window in this many.
_TURNS = 4


class Model(Protocol):
  """What computes windows, such as a `trained_model.Predictor`."""

  name: str

  def run(self, windows: Sequence[Mapping]) -> list[dict]: ...


class Late(Exception):
  """A request's deadline is over."""


class Cut(Exception):
  """Nobody waits for the answer any more: the connection is gone."""


class Failed(Exception):
  """The model could not compute the batch."""


class _Work:
  """The windows of one request, and what the model has returned for them."""

  __slots__ = (
    *("arrived", "first", "future", "lengths", "loop", "missing", "model"),
    *("number", "outputs", "windows"),
  )

  def __init__(self, model, windows, loop):
    self.arrived = time.monotonic()
    self.first = self.number = 0  # the turn and the number of the first window
    self.lengths = [len(next(iter(w.values()))) for w in windows]  # of ids
    self.model, self.windows, self.loop = model, windows, loop
    self.outputs = [None] * len(windows)
    self.missing = len(windows)
    self.future = loop.create_future()

  def queued(self) -> list[_Window]:
    """The windows that wait; later ones of a large request come later."""
    return [
      _Window(
        self.first + _TURNS * place, self.number + place, length, self, place
      )
      for place, length in enumerate(self.lengths)
    ]

  def end(self, error: Exception | None = None) -> None:
    """Has the request go on, in its event loop, with an error or without."""
    if self.future.done():
      return
    if error:
      self.future.set_exception(error)
    else:
      self.future.set_result(self.outputs)


class _Window(NamedTuple):
  """A window that waits; those with the lowest turn come first."""

  turn: int
  number: int  # in the order of arrival
  length: int
  work: _Work
  place: int  # in its request


class Batcher:
  """A queue of windows, and the threads that compute them.

  Args:
    max_batch: windows to compute at once.
    max_delay: seconds after its first window's arrival in which a batch that is
      not full waits for more, if a thread is free.
    max_queue: windows that may come before those of a new request.
    on_batch: called after each batch with the model, the number of windows and
      the seconds that it took, in a thread that computes.
    num_threads: batches to compute at the same time. One alone leaves a part of
      each core idle: between operations, and while Python prepares the next.
  """

  def __init__(
    self,
    max_batch: int,
    max_delay: float = 0.0,
    max_queue: int = 1024,
    on_batch: Callable = lambda model, size, seconds: None,
    num_threads: int = 2,
  ):
    self._max_batch, self._max_delay = max_batch, max_delay
    self._max_queue, self._on_batch = max_queue, on_batch
    self._choosing = threading.Lock()  # held by who changes the queue
    self._queue: list[_Window] = []  # in their order; replaced, not changed
    self._arrived: list[_Work] = []  # whose windows are not in the queue yet
    self._changed = threading.Condition()
    self._num_windows = 0  # that have ever come
    self._num_arrived = 0  # windows of `_arrived`
    self._num_computed = self._num_computing = 0
    self._rate = 0.0  # windows a second, of late, when many wait
    self._is_closing = False
    self._threads = [
      threading.Thread(target=self._compute_all, name="compute", daemon=True)
      for _ in range(num_threads)
    ]
    for thread in self._threads:
      thread.start()

  @property
  def max_queue(self) -> int:
    """Windows that may come before those of a new request."""
    return self._max_queue

  @property
  def num_waiting(self) -> int:
    """Windows that wait to be computed."""
    return len(self._queue) + self._num_arrived

  @property
  def is_full(self) -> bool:
    """Whether no more requests should be taken."""
    return self._num_before(1) >= self._max_queue

  @property
  def is_alive(self) -> bool:
    """Whether windows are computed."""
    is_alive = all(thread.is_alive() for thread in self._threads)
    return is_alive and not self._is_closing

  def seconds_to_wait(self, size: int = 1) -> float:
    """How long a request would wait for its last window, at the rate of late.

    The time of its own windows is not in it, nor the turns of requests that
    come later; 0 if the rate is not known.
    """
    num_before = self._num_computing + self._num_before(size)
    return num_before / self._rate if self._rate else 0.0

  def seconds_to_compute(self, size: int) -> float:
    """How long so many windows take, at the rate of late; 0: not known."""
    return size / self._rate if self._rate else 0.0

  def _num_before(self, size):
    """The windows that come before the last one of a new request."""
    last = self._num_computed + _TURNS * (size - 1)
    return bisect.bisect(self._queue, (last + 1,)) + min(
      self._num_arrived, size * len(self._arrived)
    )

  def close(self, seconds: float = 5.0) -> None:
    """Ends the threads once what waits is computed, or after some seconds."""
    with self._changed:
      self._is_closing = True
      self._changed.notify()
    end = time.monotonic() + seconds
    for thread in self._threads:
      thread.join(max(end - time.monotonic(), 0.0))

  # ------------------------------------------------------- the event loop

  async def compute(
    self,
    model: Model,
    windows: Sequence[Mapping],
    deadline: float,
    watchers: set | None = None,
  ) -> list[dict]:
    """What a model returns for the windows of one request.

    Args:
      model: that computes them.
      windows: as the model takes them.
      deadline: when to give up, by time.monotonic.
      watchers: whoever has it calls what it holds when the client is gone.

    Raises:
      Late: the deadline is over.
      Cut: the client is gone.
      Failed: the model raised an error, which is in the log.
    """
    if not windows:
      return []
    loop = asyncio.get_running_loop()
    work = _Work(model, windows, loop)
    timer = loop.call_later(deadline - time.monotonic(), work.end, Late())

    def cut():
      work.end(Cut())

    if watchers is not None:
      watchers.add(cut)
    try:
      self._take(work)
      return await work.future
    finally:
      timer.cancel()
      if watchers is not None:
        watchers.discard(cut)

  def _take(self, work):
    """Has the windows of a request wait."""
    with self._changed:
      work.first, work.number = self._num_computed, self._num_windows
      self._num_windows += len(work.windows)
      self._num_arrived += len(work.windows)
      self._arrived.append(work)
      self._changed.notify()

  # ---------------------------------------------- the threads that compute

  def _compute_all(self):
    while True:
      batch = ()
      try:
        with self._choosing:
          if not self._gather():
            return
          batch = queue = self._queue
          try:
            batch, self._queue = choose(queue, self._max_batch)
          except Exception:  # so that it is not chosen from again
            self._queue = []
            raise
        self._compute_batch(batch, 4 * len(queue) >= self._max_batch)
      except Exception as error:  # a defect, which must not end the thread
        log_defect("a thread that computes", error)
        _hand_back([(window, None) for window in batch], Failed())

  def _gather(self):
    """Waits until there is a batch to compute; False: the batcher is closed."""
    while True:
      arrived = tuple(self._arrived)
      found = [w for w in self._queue if not w.work.future.done()]
      for work in arrived:
        if not work.future.done():
          found += work.queued()
      found.sort()
      with self._changed:
        self._queue = found
        del self._arrived[: len(arrived)]
        self._num_arrived -= sum(len(work.windows) for work in arrived)
        if self._arrived:
          continue
        if found:
          seconds = self._seconds_left(found)
          if seconds <= 0:
            return True
          self._changed.wait(seconds)
        elif self._is_closing:
          return False
        else:
          self._changed.wait()

  def _seconds_left(self, queue):
    """How long windows may wait for more of them."""
    if self._is_closing or not self._max_delay or len(queue) >= self._max_batch:
      return 0.0
    first = min(window.work.arrived for window in queue)
    return first + self._max_delay - time.monotonic()

  def _compute_batch(self, batch, is_typical):
    """Computes a batch, and hands its outputs to their event loops.

    Args:
      batch: of `choose`.
      is_typical: whether its rate is that of many windows. The few of a server
        with little to do say nothing of it.
    """
    model, started = batch[0].work.model, time.monotonic()
    with self._changed:
      num_before = self._num_computed
      self._num_computing += len(batch)
    try:
      outputs = model.run([w.work.windows[w.place] for w in batch])
      error = None
    except Exception as raised:  # such as a lack of memory: others may succeed
      log_defect(f"a batch of {model.name}", raised)
      outputs, error = [None] * len(batch), Failed()
    seconds = time.monotonic() - started
    with self._changed:
      self._num_computed += len(batch)
      self._num_computing -= len(batch)
      if is_typical and not error:
        # Of all threads.
        rate = (self._num_computed - num_before) / max(seconds, 1e-6)
        self._rate = 0.8 * self._rate + 0.2 * rate if self._rate else rate
    _hand_back(list(zip(batch, outputs)), error)
    self._on_batch(model, len(batch), seconds)


def _hand_back(pairs, error):
  """Hands windows and their outputs to the event loops that wait for them."""
  for loop in {window.work.loop for window, _ in pairs}:
    part = [pair for pair in pairs if pair[0].work.loop is loop]
    with contextlib.suppress(RuntimeError):  # the loop is closed
      loop.call_soon_threadsafe(_deliver, part, error)


def _deliver(pairs, error):
  """Has the requests go on whose windows are all computed."""
  for window, output in pairs:
    work = window.work
    work.outputs[window.place] = output
    work.missing -= 1
    if error or not work.missing:
      work.end(error)


# ---------------------------------------------------------------- batches


def choose(
  queue: Sequence[_Window], max_batch: int
) -> tuple[list[_Window], list[_Window]]:
  """The windows to compute next, and the rest.

  Args:
    queue: windows in their order. The first is among those to compute; the
      others are of the same model, and of lengths that go well with it.
    max_batch: the most windows to compute.
  """
  first = queue[0]
  model = first.work.model
  same = [w for w in queue[: _CHOICE * max_batch] if w.work.model is model]
  same.sort(key=lambda window: (window.length, window.turn, window.number))
  start, end = best_range(
    [window.length for window in same], same.index(first), max_batch
  )
  batch = sorted(same[start:end])  # as one request has them
  chosen = {window.number for window in batch}
  return batch, [w for w in queue if w.number not in chosen]


def best_range(
  lengths: Sequence[int], place: int, most: int
) -> tuple[int, int]:
  """The batch of a window, if all windows are computed as fast as possible.

  Of all ways to part the windows into batches, the one that costs least is
  found by dynamic programming. A batch costs its size times its longest length,
  and `_BATCH_TOKENS`.

  Args:
    lengths: ascending.
    place: of the window.
    most: the largest size of a batch.

  Returns:
    The first place of the batch, and the one behind the last.
  """
  sizes = np.arange(most, 0, -1)
  costs = np.zeros(len(lengths) + 1)  # of the windows before a place
  starts = []  # of the batch that ends behind each place
  for end, longest in enumerate(lengths, 1):
    low = max(end - most, 0)
    ways = costs[low:end] + sizes[low - end :] * longest
    starts.append(low + int(np.argmin(ways)))
    costs[end] = ways.min() + _BATCH_TOKENS
  end = len(lengths)
  while starts[end - 1] > place:
    end = starts[end - 1]
  return starts[end - 1], end


def log_defect(where: str, error: Exception) -> None:
  """Logs an error that should not be, without its message.

  The message may hold the text of a user.
  """
  frames = "".join(traceback.format_tb(error.__traceback__))
  logging.error(f"{where}: {type(error).__name__}\n{frames}".rstrip())
