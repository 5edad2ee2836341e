# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Counts where the seconds of a run go.

In: the parts of a run, where they begin and end. Out: a line with the seconds
of each. A second belongs to one part: that of the innermost block.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator

REST = "rest"  # what no block counts
PARTS = (
  "import",
  "records",
  "graph",
  "compilation",
  "steps",
  "checkpoints",
  "evaluation",
  "prediction",
  "report",
  REST,
)
_LEAST = 0.05  # seconds; the summary leaves out parts that took less

_seconds = dict.fromkeys(PARTS, 0.0)
_part, _since = REST, time.monotonic()


def start(age: float = 0.0) -> None:
  """Starts anew, with a program that has taken `age` seconds to import."""
  global _part, _since
  _seconds.update(dict.fromkeys(PARTS, 0.0), **{"import": age})
  _part, _since = REST, time.monotonic()


def age_of_process() -> float:
  """Seconds since this process was started; 0 where Linux does not say."""
  try:
    with open("/proc/self/stat", encoding="utf-8") as reader:
      ticks = int(reader.read().rpartition(")")[2].split()[19])
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    return max(now - ticks / os.sysconf("SC_CLK_TCK"), 0.0)
  except (OSError, AttributeError, ValueError, IndexError):
    return 0.0


def enter(part: str) -> str:
  """Counts the seconds from now on as those of a part.

  Returns:
    The part that they were counted as so far, to go back to.
  """
  global _part, _since
  before = _part
  if threading.current_thread() is threading.main_thread():
    now = time.monotonic()
    _seconds[before] += now - _since
    _part, _since = part, now
  return before


@contextlib.contextmanager
def part(name: str) -> Iterator[None]:
  """Counts the seconds of a block, or of the function that it decorates."""
  before = enter(name)
  try:
    yield
  finally:
    enter(before)


def move(seconds: float, source: str, target: str) -> None:
  """Counts seconds of a part as those of another one, after all."""
  _seconds[source] -= seconds
  _seconds[target] += seconds


def summary() -> str:
  """One line: the seconds in all, and of the parts that occurred."""
  enter(_part)  # up to now
  shown = [
    f"{name} {seconds:.1f}"
    for name, seconds in _seconds.items()
    if seconds >= _LEAST
  ]
  return f"{sum(_seconds.values()):.1f} seconds: {', '.join(shown)}"
