# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Lets the workers of a cluster meet, and notices when one is gone.

In: the addresses in TF_CONFIG. Out: all workers meet before training starts. If
one ends or falls silent later, the others end with an error message.

TensorFlow 2.15 does not do this for an Estimator: it checks the health of
workers only where it executes eagerly (collective_all_reduce_strategy.py), and
gRPC's keep-alive is answered by a process that is stopped, as its kernel goes
on answering.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence

import tensorflow.compat.v1 as tf

from bert.files import reading
from bert.training import progress

SECONDS_TO_ANSWER = 60  # for a worker that is starting
SECONDS_TO_CONNECT = 5
SECONDS_BETWEEN_BEATS = 2  # during training
SECONDS_TO_BLAME = 20  # in which a connection closes after TensorFlow's error
_GREETING = "bert worker"
_LONGEST_LINE = 1 << 16  # of what another program may send
_BEAT, _FAREWELL = b".", b"!"


class Workers:
  """Connects this process with the other workers of a cluster.

  TensorFlow waits forever for a missing worker. So until training starts, each
  worker listens at its address in TF_CONFIG and sends its facts to any worker
  that asks. Then TensorFlow's server takes over the address. The connections
  stay open: each worker sends a beat through those that others made to it, and
  listens to those that it made. If a worker is gone or silent, this process
  ends with an error message.

  Args:
    addresses: host:port of each worker.
    index: the index of this process in `addresses`.
    timeout: seconds of silence after which a worker counts as gone.

  Raises:
    ValueError: another program uses this worker's port.
  """

  def __init__(
    self, addresses: Sequence[str], index: int, timeout: float = 60.0
  ):
    self.index = index
    self.timeout = timeout
    self._addresses = list(addresses)
    self._others = [i for i in range(len(addresses)) if i != index]
    self._facts = None
    self._made = {}  # {worker: the stream that we have asked it through}
    self._taken = {}  # {worker: the connection through which it asked us}
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
    self._answering = _start(self._listen)

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
    while waiting or len(self._taken) < len(self._others):
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
    _start(self._beat)
    for i in self._others:
      _start(self._watch, i)

  def tell_step(self, step: int, last_step: int):
    """Records how far training is; after the last step, workers may end."""
    if step >= last_step and not self._left.is_set():
      self._left.set()
      self._send(_FAREWELL)

  def blame(self):
    """Waits after an error, so that `_watch` can name a worker that is gone."""
    time.sleep(SECONDS_TO_BLAME)

  def _name(self, i):
    return f"worker {i} ({self._addresses[i]})"

  def _listen(self):
    """Takes connections until all workers have met."""
    while not self._all_met.is_set():
      with contextlib.suppress(OSError):  # nobody asks
        _start(self._answer, self._server.accept()[0])
    self._server.close()

  def _answer(self, connection):
    """Sends our facts to a worker that asks; other programs get nothing."""
    connection.settimeout(SECONDS_TO_CONNECT)
    try:
      with connection.makefile("rb") as stream:
        greeting = stream.readline(_LONGEST_LINE).decode("ascii")
      asker = int(greeting.removeprefix(_GREETING))
      facts = self._facts
      if not greeting.startswith(_GREETING) or asker not in self._others:
        raise ValueError(greeting)
      connection.sendall(json.dumps(facts or {}).encode() + b"\n")
      if facts:
        self._taken[asker] = connection
        return
    except (OSError, ValueError):
      pass
    connection.close()

  def _ask(self, i):
    """Returns a worker's facts; {} if it is not ready, None if no answer."""
    host, _, port = self._addresses[i].rpartition(":")
    try:
      connection = socket.create_connection(
        (host, int(port)), SECONDS_TO_CONNECT
      )
      stream = connection.makefile("rwb")
      stream.write(f"{_GREETING} {self.index}\n".encode())
      stream.flush()
      facts = reading.parse_json(stream.readline(_LONGEST_LINE), self._name(i))
      reading.check_shape(facts, {}, self._name(i))
    except (OSError, ValueError):
      return None
    if facts:
      connection.settimeout(self.timeout)
      self._made[i] = stream
    return facts

  def _compare(self, i, facts):
    for name, value in self._facts.items():
      if facts.get(name) != value:
        raise ValueError(
          f"{name} is {value} here, on worker {self.index}, but"
          f" {facts.get(name)} on {self._name(i)}: all workers need the same"
          " flags and data, and a shared --output_dir"
        )

  def _beat(self):
    """Tells the others every few seconds that this process works."""
    while not self._left.wait(SECONDS_BETWEEN_BEATS):
      self._send(_BEAT)

  def _send(self, byte):
    for connection in self._taken.values():
      with contextlib.suppress(OSError):  # it is gone: `_watch` says so
        connection.send(byte, socket.MSG_DONTWAIT)

  def _watch(self, i):
    """Ends the process when a worker ends too early, or is silent."""
    found, reason = _BEAT, "has ended or can't be reached"
    try:
      while found == _BEAT:
        found = self._made[i].read(1)
    except socket.timeout:
      reason = f"has been silent for {self.timeout:g} s (--worker_timeout)"
    except OSError:  # its connection was reset
      found = b""
    if found != _FAREWELL and not self._left.is_set():
      self._end(f"{self._name(i)} {reason}")

  def _end(self, what):
    """Ends the process at once; TensorFlow would wait for the other workers."""
    message = (
      f"error: {what}: start all workers again to continue from the newest"
      " checkpoint"
    )
    print(message, file=sys.stderr, flush=True)
    os._exit(1)


def _start(function, *arguments):
  thread = threading.Thread(target=function, args=arguments, daemon=True)
  thread.start()
  return thread


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
    self._taken = progress.shown()["steps_taken"]

  def after_create_session(self, session, coord):
    del coord
    self._workers.tell_step(session.run(self._step), self._total)

  def before_run(self, run_context):
    return tf.train.SessionRunArgs(self._taken)

  def after_run(self, run_context, run_values):
    self._workers.tell_step(run_values.results, self._total)
