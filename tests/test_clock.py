# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Where the seconds of a run go."""

import threading
import time
import types

import pytest

from bert.files import clock
from bert.training import progress


@pytest.fixture
def now(monkeypatch):
  """A clock that stands still until the test moves it."""
  found = types.SimpleNamespace(seconds=100.0)
  monkeypatch.setattr(time, "monotonic", lambda: found.seconds)
  clock.start(3.0)
  yield found
  monkeypatch.undo()
  clock.start()


def test_each_second_counts_once_as_the_innermost_part(now):
  @clock.part("records")
  def read():
    now.seconds += 2

  with clock.part("evaluation"):
    now.seconds += 4
    read()
    with pytest.raises(ValueError), clock.part("graph"):
      now.seconds += 1
      raise ValueError
    now.seconds += 5
  now.seconds += 0.5
  assert clock.summary() == (
    "15.5 seconds: import 3.0, records 2.0, graph 1.0, evaluation 9.0, rest 0.5"
  )
  clock.start()
  assert clock.summary() == "0.0 seconds: "


def test_seconds_of_other_threads_are_those_of_the_main_one(now):
  before = clock.enter("graph")
  threading.Thread(target=clock.enter, args=["steps"]).start()
  now.seconds += 6
  assert (before, clock.enter("rest")) == ("rest", "graph")
  assert clock.summary() == "9.0 seconds: import 3.0, graph 6.0"


def test_a_process_is_as_old_as_it_says():
  first = clock.age_of_process()
  time.sleep(0.05)
  assert 0.03 < clock.age_of_process() - first < 10


@pytest.mark.parametrize(
  ("times", "seconds"),
  [
    ({}, 0),
    ({64: [3.0]}, 0),  # nothing to compare it with
    ({64: [3.0, 1.0, 1.0]}, 2),
    ({64: [0.5, 1.0, 1.0]}, 0),
    ({64: [3.0, 1.0, 1.0], 32: [2.5]}, 2 + 2),  # 32 takes half a second
    ({64: [3.0, 1.0, 9.0, 1.0], 32: [2.5, 1.0]}, 2 + 1.5),
  ],
)
def test_what_first_steps_take_longer_is_compilation(times, seconds):
  assert progress.compilation(times) == pytest.approx(seconds)
