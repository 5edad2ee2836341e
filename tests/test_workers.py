# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Workers on this machine that meet before they train."""

import contextlib
import os
import queue
import signal
import socket
import threading
import time
from concurrent import futures

import pytest
import tensorflow.compat.v1 as tf
from helpers import free_addresses

from bert.training import workers


@pytest.fixture
def start(monkeypatch):
  """Makes workers, and ends their threads after the test."""
  started = []

  def make(addresses, index):
    worker = workers.Workers(addresses, index)
    started.append(worker)
    return worker

  monkeypatch.setattr(workers, "SECONDS_BETWEEN_BEATS", 0.1)
  yield make
  for worker in started:
    worker.tell_step(1, 1)
    worker._all_met.set()
    worker._answering.join()


def meet(group, facts):
  """What each worker's `meet` raises, None where it returns."""
  with futures.ThreadPoolExecutor(len(group)) as threads:
    running = [
      threads.submit(worker.meet, each) for worker, each in zip(group, facts)
    ]
    return [future.exception(timeout=60) for future in running]


def test_workers_with_the_same_facts_meet(start):
  addresses = free_addresses(3)
  group = [start(addresses, index) for index in range(3)]
  assert meet(group, [{"batch size": 8}] * 3) == [None] * 3


@pytest.mark.parametrize(
  "sent", [b"", b"\xff\0\n", b"GET / HTTP/1.1\r\n\r\n", b"bert worker 7\n"]
)
def test_strangers_do_not_disturb_the_meeting(start, sent):
  addresses = free_addresses(2)
  group = [start(addresses, 0)]
  strangers = []
  for _ in range(20):
    host, port = addresses[0].split(":")
    strangers.append(socket.create_connection((host, int(port))))
    strangers[-1].sendall(sent)
  begun = time.monotonic()
  group.append(start(addresses, 1))
  assert meet(group, [{"batch size": 8}] * 2) == [None] * 2
  assert time.monotonic() - begun < 4
  for stranger in strangers:
    stranger.close()


@pytest.mark.parametrize(
  "answer", [b"", b"HTTP/1.1 400\r\n", b"[]\n", b"[" * 99]
)
def test_another_program_at_a_workers_address_is_no_worker(
  start, monkeypatch, answer
):
  monkeypatch.setattr(workers, "SECONDS_TO_ANSWER", 0.5)
  with socket.create_server(("127.0.0.1", 0)) as server:

    def reply():
      with contextlib.suppress(OSError):
        while True:
          with server.accept()[0] as connection:
            connection.sendall(answer)

    threading.Thread(target=reply, daemon=True).start()
    address = f"127.0.0.1:{server.getsockname()[1]}"
    (error,) = meet([start([*free_addresses(1), address], 0)], [{"a": 1}])
    assert str(error).startswith(f"worker 1 ({address}) of TF_CONFIG has not")


@pytest.fixture
def ends(monkeypatch):
  """What workers of this process would end with, as a queue."""
  found = queue.Queue()
  monkeypatch.setattr(workers.Workers, "_end", lambda _, what: found.put(what))
  return found


@pytest.mark.parametrize(
  ("number", "reason"),
  [
    (signal.SIGSTOP, "has been silent for 1 s (--worker_timeout)"),
    (signal.SIGKILL, "has ended or can't be reached"),
  ],
)
def test_a_worker_that_falls_silent_is_named(start, ends, number, reason):
  addresses = free_addresses(2)
  other = os.fork()
  if other == 0:
    with contextlib.suppress(BaseException):
      workers.Workers(addresses, 1).meet({"a": 1})
      time.sleep(60)
    os._exit(0)
  try:
    worker = start(addresses, 0)
    worker.timeout = 1
    assert meet([worker], [{"a": 1}]) == [None]
    time.sleep(1.5)
    assert ends.empty()  # it has heard beats
    os.kill(other, number)
    assert ends.get(timeout=5) == f"worker 1 ({addresses[1]}) {reason}"
  finally:
    os.kill(other, signal.SIGKILL)
    os.waitpid(other, 0)


def test_a_worker_may_end_after_the_last_step(start, ends):
  addresses = free_addresses(2)
  group = [start(addresses, index) for index in range(2)]
  assert meet(group, [{"a": 1}] * 2) == [None] * 2
  group[0].tell_step(4, 5)
  group[0].tell_step(5, 5)
  for connection in group[0]._taken.values():
    connection.close()
  time.sleep(0.3)
  assert ends.empty()


def test_a_worker_that_ends_before_the_last_step_is_named(start, ends):
  addresses = free_addresses(2)
  group = [start(addresses, index) for index in range(2)]
  assert meet(group, [{"a": 1}] * 2) == [None] * 2
  for connection in group[0]._taken.values():
    connection.shutdown(socket.SHUT_RDWR)
  assert ends.get(timeout=5).startswith(f"worker 0 ({addresses[0]}) has ended")


def test_workers_with_other_facts_name_both(start):
  addresses = free_addresses(2)
  group = [start(addresses, index) for index in range(2)]
  errors = meet(group, [{"batch size": 8}, {"batch size": 16}])
  assert str(errors[0]).startswith(
    f"batch size is 8 here, on worker 0, but 16 on worker 1 ({addresses[1]})"
  )
  assert str(errors[1]).startswith("batch size is 16 here, on worker 1, but 8")


def test_a_worker_that_does_not_answer_is_named(start, monkeypatch):
  monkeypatch.setattr(workers, "SECONDS_TO_ANSWER", 0.5)
  addresses = free_addresses(2)
  (error,) = meet([start(addresses, 1)], [{}])
  assert isinstance(error, ValueError)
  assert f"worker 0 ({addresses[0]}) of TF_CONFIG has not ans" in str(error)


def test_a_port_that_another_program_has_is_named(start):
  with socket.create_server(("", 0)) as taken:
    address = f"127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(ValueError, match="worker 0 can't listen on port"):
      start([address], 0)


def test_one_machine_has_no_workers():
  assert workers.workers_of(None) is None
  assert workers.workers_of(tf.distribute.MirroredStrategy(["/cpu:0"])) is None
