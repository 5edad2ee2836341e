# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Lets the workers of a cluster meet, and notices when one is gone.

In: the addresses in TF_CONFIG. Out: all workers meet before training starts. If
one goes away later, the others end with an error message.
"""

from __future__ import annotations

import functools
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence

import tensorflow.compat.v1 as tf

SECONDS_TO_ANSWER = 60  # for a worker that is starting
SECONDS_TO_CONNECT = 5
SECONDS_BETWEEN_CALLS = 2  # during training
SECONDS_TO_BLAME = 40  # longer than SECONDS_TO_ANSWER / 2


class Workers:
  """Connects this process with the other workers of a cluster.

  TensorFlow waits forever for a missing worker. So until training starts, each
  worker listens at its address in TF_CONFIG and sends its facts to any worker
  that asks. Then TensorFlow's server takes over the address, and the workers
  only check that they can connect to it. If a worker is gone, this process
  ends with an error message.

  Args:
    addresses: host:port of each worker.
    index: the index of this process in `addresses`.

  Raises:
    ValueError: another program uses this worker's port.
  """

  def __init__(self, addresses: Sequence[str], index: int):
    self.index = index
    self._addresses = list(addresses)
    self._others = [i for i in range(len(addresses)) if i != index]
    self._facts = None
    self._told = set()  # the workers that have our facts
    self._is_last_step = False
    self._all_met = threading.Event()
    self._left = threading.Event()
    port = int(addresses[index].rpartition(":")[2])
    try:
      self._server = socket.create_server(("", port))
    except OSError as error:
      raise ValueError(
        f"TF_CONFIG: worker {index} can't listen on port {port}:"
        f" {error.strerror}"
      ) from None
    self._server.settimeout(0.1)  # between two checks of _all_met
    self._answering = threading.Thread(target=self._answer, daemon=True)
    self._answering.start()

  def meet(self, facts: Mapping):
    """Waits until all workers are ready to train, and compares their facts.

    Args:
      facts: {name: value}, which must be equal on all workers.

    Raises:
      ValueError: a worker does not answer for SECONDS_TO_ANSWER, or has other
        facts.
    """
    self._facts = dict(facts)
    waiting = {i: time.monotonic() for i in self._others}
    while waiting or len(self._told) < len(self._others):
      for i, last in list(waiting.items()):
        answer = self._ask(i)
        if answer is not None:
          waiting[i] = time.monotonic()
        elif time.monotonic() - last > SECONDS_TO_ANSWER:
          raise ValueError(
            f"{self._name(i)} of TF_CONFIG has not answered for"
            f" {SECONDS_TO_ANSWER} s: start all workers; if one has ended,"
            " start all of them again"
          )
        if answer:
          self._compare(i, answer)
          del waiting[i]
      time.sleep(0.2)
    self._all_met.set()
    self._answering.join()
    threading.Thread(target=self._watch, daemon=True).start()

  def tell_step(self, step: int, last_step: int):
    """Records how far training is; workers may end after the last step."""
    self._is_last_step = step >= last_step - 1
    if step >= last_step:
      self._left.set()

  def blame(self):
    """Waits after an error, so that `_watch` can name a worker that is gone."""
    time.sleep(SECONDS_TO_BLAME)

  def _name(self, i):
    return f"worker {i} ({self._addresses[i]})"

  def _connect(self, i):
    host, _, port = self._addresses[i].rpartition(":")
    return socket.create_connection((host, int(port)), SECONDS_TO_CONNECT)

  def _answer(self):
    """Sends our facts to any worker that asks, until all workers have met."""
    while not self._all_met.is_set():
      try:
        connection, _ = self._server.accept()
        connection.settimeout(SECONDS_TO_CONNECT)
        with connection, connection.makefile("rw") as stream:
          asker, facts = int(stream.readline()), self._facts
          stream.write(json.dumps(facts or {}) + "\n")
          stream.flush()
          if facts:
            self._told.add(asker)
      except (OSError, ValueError):  # nobody asked, or it was not a worker
        continue
    self._server.close()

  def _ask(self, i):
    """Returns a worker's facts; {} if it is not ready, None if no answer."""
    try:
      with self._connect(i) as connection:
        with connection.makefile("rw") as stream:
          stream.write(f"{self.index}\n")
          stream.flush()
          return json.loads(stream.readline())
    except (OSError, ValueError):
      return None

  def _compare(self, i, facts):
    for name, value in self._facts.items():
      if facts.get(name) != value:
        raise ValueError(
          f"{name} is {value} here, on worker {self.index}, but"
          f" {facts.get(name)} on {self._name(i)}: all workers need the same"
          " flags and data, and a shared --output_dir"
        )

  def _watch(self):
    """Ends the process when a worker can no longer be reached."""
    last = dict.fromkeys(self._others, time.monotonic())
    seen = set()
    while not self._left.wait(SECONDS_BETWEEN_CALLS):
      for i in self._others:
        try:
          self._connect(i).close()
        except OSError as error:
          # Nothing listens: if the worker was seen before, its process is gone.
          is_gone = isinstance(error, ConnectionRefusedError) and i in seen
          limit = SECONDS_TO_ANSWER / 2
          if is_gone and not self._is_last_step:
            limit = SECONDS_BETWEEN_CALLS
          if time.monotonic() - last[i] > limit and not self._left.is_set():
            self._end(i)
        else:
          seen.add(i)
          last[i] = time.monotonic()

  def _end(self, i):
    """Ends the process at once; TensorFlow would wait for the other workers."""
    message = (
      f"error: {self._name(i)} has ended or can't be reached: start all"
      " workers again to continue from the newest checkpoint"
    )
    print(message, file=sys.stderr, flush=True)
    os._exit(1)


def workers_of(strategy) -> Workers | None:
  """Returns the workers of a strategy; None if it uses only this machine."""
  if not isinstance(
    strategy, tf.distribute.experimental.MultiWorkerMirroredStrategy
  ):
    return None
  resolver = strategy.cluster_resolver
  jobs = resolver.cluster_spec().as_dict()
  chief = jobs.get("chief", [])
  index = resolver.task_id + (
    len(chief) if resolver.task_type == "worker" else 0
  )
  return _cached_workers((*chief, *jobs["worker"]), index)


@functools.cache  # a process can open its port only once
def _cached_workers(addresses, index):
  return Workers(addresses, index)


class WorkersHook(tf.train.SessionRunHook):
  """Reports to `Workers` how far training is."""

  def __init__(self, workers: Workers, num_train_steps: int):
    self._workers = workers
    self._total = num_train_steps

  def begin(self):
    self._step = tf.train.get_global_step()

  def after_create_session(self, session, coord):
    del coord
    self._workers.tell_step(session.run(self._step), self._total)

  def after_run(self, run_context, run_values):
    del run_values
    self._workers.tell_step(run_context.session.run(self._step), self._total)
