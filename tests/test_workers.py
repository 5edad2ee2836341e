# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Workers on this machine that meet before they train."""

import socket
from concurrent import futures

import pytest
import tensorflow.compat.v1 as tf
from helpers import free_addresses

from bert.training import workers


@pytest.fixture
def start():
  """Makes workers, and ends their threads after the test."""
  started = []

  def make(addresses, index):
    worker = workers.Workers(addresses, index)
    started.append(worker)
    return worker

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


def test_workers_with_the_same_facts_meet(start, monkeypatch):
  monkeypatch.setattr(workers, "SECONDS_BETWEEN_CALLS", 600)  # no one watches
  addresses = free_addresses(3)
  group = [start(addresses, index) for index in range(3)]
  assert meet(group, [{"batch size": 8}] * 3) == [None] * 3


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
