# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""What scripts that work in several processes share.

In: calls for worker processes; how much is done; records with keys, from any
process. Out: what the calls return; progress on standard error; the records of
each output file, sorted by their keys. Nothing here loads TensorFlow, so that
worker processes stay small.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import process
from multiprocessing import connection

from absl import logging
from tqdm import tqdm

LOG_SECONDS = 20  # between two lines of progress in a log
_SPILLED = struct.Struct("<QI")  # a record's key and its number of bytes


class Progress:
  """Share done, rate and time left: a bar on a terminal, or lines in a log."""

  def __init__(self, task: str, total: int, unit: str):
    self._task, self._unit = task, unit
    self._total, self._done = total, 0
    self._started = self._logged = time.monotonic()
    self._bar = tqdm(
      total=total, desc=task, unit=unit, unit_scale=True, disable=None
    )

  def update(self, count: int) -> None:
    """Adds `count` units to what is done."""
    self._done += count
    self._bar.update(count)
    now = time.monotonic()
    if not self._bar.disable or now - self._logged < LOG_SECONDS:
      return
    self._logged = now
    meter = tqdm.format_meter(
      self._done,
      self._total,
      now - self._started,
      ncols=0,
      prefix=self._task,
      unit=self._unit,
      unit_scale=True,
    )
    logging.info(meter)

  def close(self) -> None:
    self._bar.close()

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()


# --------------------------------------------------------- worker processes


@contextlib.contextmanager
def worker_processes(
  num_workers: int, prepare: Callable | None = None, arguments: Sequence = ()
) -> Iterator[Callable]:
  """Starts processes that work for this one.

  Ctrl-C and SIGTERM do not reach them. They end when the block does, at once if
  it fails, and when this process is killed.

  Args:
    num_workers: how many processes.
    prepare: called in each process, before its first call.
    arguments: for `prepare`.

  Yields:
    `submit(function, *arguments)`, which returns a Future.

  Raises:
    RuntimeError: a worker was killed.
    ValueError: a call raised one.
  """
  pool = process.ProcessPoolExecutor(
    num_workers,
    # Forked processes would hold this process's TensorFlow.
    multiprocessing.get_context("spawn"),
    _begin_work,
    (prepare, arguments),
  )
  others = set(multiprocessing.active_children())
  threads = set(threading.enumerate())

  def submit(function, *arguments):
    with _signals_later():  # it may start a process
      return pool.submit(function, *arguments)

  try:
    yield submit
    pool.shutdown()
  except BaseException as error:
    for worker in set(multiprocessing.active_children()) - others:
      worker.kill()
      worker.join()
    # Waiting for all of it can take forever, if a worker had much to read.
    pool.shutdown(wait=False, cancel_futures=True)
    for thread in set(threading.enumerate()) - threads:
      thread.join(0.5)  # it releases what the pool shares with the workers
    if isinstance(error, process.BrokenProcessPool):
      raise RuntimeError(
        "a worker process was killed before it finished, perhaps because memory"
        f" ran out: give fewer than --num_workers={num_workers}"
      ) from None
    if isinstance(error, ValueError):
      raise ValueError(str(error)) from None  # without the worker's traceback
    raise


def _begin_work(prepare, arguments):
  """Prepares a process, which ends when its parent ends."""
  parent = multiprocessing.parent_process().sentinel

  def end_with_parent():
    connection.wait([parent])
    os._exit(1)

  threading.Thread(target=end_with_parent, daemon=True).start()
  if prepare:
    prepare(*arguments)


@contextlib.contextmanager
def _signals_later():
  """Handles Ctrl-C and SIGTERM at the end of the block.

  Processes that are started in it inherit that the signals are blocked. Another
  thread of this process may still receive one, which Python then handles here.
  """
  numbers, seen = (signal.SIGINT, signal.SIGTERM), []
  handlers = {
    number: signal.signal(number, lambda number, _: seen.append(number))
    for number in numbers
  }
  mask = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
  try:
    yield
  finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    for number, handler in handlers.items():
      signal.signal(number, handler)
  for number in seen[:1]:
    signal.raise_signal(number)


# ---------------------------------------------------------- sorted records


@dataclasses.dataclass(frozen=True)
class Spill:
  """Keeps records on the disk until all are known and can be sorted.

  A record goes to the output file number `key % num_shards`. The records of an
  output file are in the order of their keys. Each bucket takes a range of keys,
  and is small enough to be sorted in memory.
  """

  folder: str
  num_shards: int  # output files
  num_buckets: int  # of each output file

  def append(self, records: Sequence[tuple[int, bytes]]) -> None:
    """Adds (key, record) pairs to this process's files, one per bucket."""
    buckets = defaultdict(list)
    for key, record in records:
      name = (key % self.num_shards, key * self.num_buckets >> 64)
      buckets[name] += (_SPILLED.pack(key, len(record)), record)
    for (shard, bucket), parts in buckets.items():
      path = os.path.join(self.folder, f"{shard}-{bucket}-{os.getpid()}")
      try:
        with open(path, "ab") as writer:
          writer.write(b"".join(parts))
      except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None

  def sorted_records(self) -> Iterator[Iterator[bytes]]:
    """Yields the records of each output file, and removes what it has read."""
    paths = defaultdict(list)
    for name in os.listdir(self.folder):
      shard, bucket, _ = map(int, name.split("-"))
      paths[shard, bucket].append(os.path.join(self.folder, name))

    def of_shard(shard):
      for bucket in range(self.num_buckets):
        yield from _sorted_bucket(paths[shard, bucket])

    return map(of_shard, range(self.num_shards))


def _sorted_bucket(paths):
  """The records of several files, sorted by their keys."""
  pairs = []
  for path in paths:
    with open(path, "rb") as reader:
      data = reader.read()
    os.remove(path)
    start = 0
    while start < len(data):
      key, size = _SPILLED.unpack_from(data, start)
      start += _SPILLED.size
      pairs.append((key, data[start : start + size]))
      start += size
  pairs.sort()
  return [record for _, record in pairs]
