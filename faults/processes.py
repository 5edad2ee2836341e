# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Starts a script, sends it signals, and sees how it ended.

In: a job's command and the folder it runs in. Out: `Ended`. A `Server` runs
one script at a time, in a copy of a process that has loaded TensorFlow.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from faults import server

SECONDS_TO_LEAVE = 10  # for processes that a killed script has started


class Ended(NamedTuple):
  """How a script ended."""

  status: int | None  # None: it did not end in time; -9: killed by signal 9
  stdout: bytes
  stderr: str
  seconds: float


class Server:
  """Runs scripts, one at a time."""

  def __init__(self):
    self._process = subprocess.Popen(
      [sys.executable, server.__file__],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      bufsize=0,
      start_new_session=True,
    )
    self._pid = None
    if self._process.stdout.readline() != b"ready\n":
      raise RuntimeError("a process that loads TensorFlow did not start")

  def start(
    self,
    words: Sequence[str],
    folder: pathlib.Path,
    stdin: str = os.devnull,
    stdout: str = "",
    name: str = "run",
    environment: Mapping[str, str] | None = None,
  ) -> int:
    """Starts a script and returns its process id, which is its group too.

    Args:
      words: the script and its flags.
      folder: where it runs; what it prints goes to files beside the folder.
      stdin: a file in the folder.
      stdout: a file that takes the place of the one beside the folder.
      name: of the files beside the folder.
      environment: variables to set.
    """
    beside = f"{folder}.{name}"
    self._stdout = stdout or f"{beside}.stdout"
    self._stderr = f"{beside}.stderr"
    run = {
      "words": list(words),
      "folder": str(folder),
      "environment": dict(environment or {}),
      "stdin": stdin,
      "stdout": self._stdout,
      "stderr": self._stderr,
    }
    self._started = time.monotonic()
    self._process.stdin.write(json.dumps(run).encode() + b"\n")
    self._pid = int(self._process.stdout.readline())
    return self._pid

  def wait(self, limit: float) -> Ended:
    """Waits until the script ends; after `limit` seconds it is killed."""
    ended, _, _ = select.select([self._process.stdout], [], [], limit)
    seconds = time.monotonic() - self._started
    if not ended:
      kill_group(self._pid)
    status = int(self._process.stdout.readline())
    printed = b""
    if os.path.isfile(self._stdout):
      printed = pathlib.Path(self._stdout).read_bytes()
    errors = ""
    if os.path.isfile(self._stderr):  # it may be killed before it makes it
      errors = pathlib.Path(self._stderr).read_text("utf-8", "replace")
    return Ended(status if ended else None, printed, errors, seconds)

  def run(self, words, folder, limit: float, **given) -> Ended:
    """Runs a script to its end."""
    self.start(words, folder, **given)
    return self.wait(limit)

  def close(self) -> None:
    """Ends the server, and what it runs."""
    if self._process.poll() is None:
      if self._pid:
        kill_group(self._pid)
      self._process.kill()
    self._process.wait()


def send(number: int, pid: int, to_group: bool = False) -> None:
  """Sends a signal to a process that may have ended."""
  with contextlib.suppress(ProcessLookupError):
    (os.killpg if to_group else os.kill)(pid, number)


def kill_group(pid: int) -> None:
  send(signal.SIGKILL, pid, to_group=True)


def is_left(group: int) -> bool:
  """Whether processes of a group still run."""
  for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
    with contextlib.suppress(OSError):
      state, _, pgrp = path.read_text().rpartition(")")[2].split()[:3]
      if int(pgrp) == group and state not in "ZX":
        return True
  return False


def outlived(group: int) -> bool:
  """Whether a script's processes are there long after it; ends them."""
  limit = time.monotonic() + SECONDS_TO_LEAVE
  while is_left(group):
    if time.monotonic() > limit:
      kill_group(group)
      return True
    time.sleep(0.1)
  return False
