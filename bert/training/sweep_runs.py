# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Runs the commands of a sweep, several at once, each in its own process.

In: runs. Out: how each has ended, as they end. What a run prints is in log.txt
in its folder.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator

from bert.files import reading
from bert.training import sweeps

LOG = "log.txt"
RECORDS = "records"  # folder of shared records, in that of the sweep
_SECONDS_BETWEEN_LOOKS = 0.05
_SECONDS_TO_END = 8  # after SIGTERM; what a kill leaves half done is resumed
_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux
_LEAST_ROOM = 1 << 16  # bytes
_NAN = re.compile(r"\bnan\b", re.IGNORECASE)


@dataclasses.dataclass
class _Child:
  """A run's process."""

  run: sweeps.Run
  process: subprocess.Popen
  started: float
  log_start: int  # where in its log this start's lines begin


def results_of(
  runs: Iterable[sweeps.Run], jobs: int, records_dir: str | None
) -> Iterator[tuple[sweeps.Run, sweeps.Result]]:
  """Runs the commands, at most `jobs` at once, and yields each as it ends.

  The processes end when this generator is closed, and when this process does,
  however it ends.

  Args:
    runs: in the order in which they are started.
    jobs: how many run at once.
    records_dir: where they share records; None: they do not.
  """
  waiting, children = iter(runs), []
  environment = child_environment(jobs)
  try:
    while True:
      while len(children) < jobs:
        run = next(waiting, None)
        if run is None:
          break
        children.append(_start(run, environment, records_dir))
      if not children:
        return
      ended = [child for child in children if child.process.poll() is not None]
      for child in ended:
        children.remove(child)
        yield child.run, _result(child)
      if not ended:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
  finally:
    _end(children)


def num_cores() -> int:
  """How many cores this process may use."""
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def threads_of(jobs: int) -> int:
  """Threads of each of several runs, which share the cores."""
  return max(num_cores() // jobs, 1)


def child_environment(jobs: int) -> dict[str, str]:
  """The environment of a run; one that is alone has all threads.

  Numbers of threads that the user has set are left as they are.
  """
  paths = [sweeps.PROJECT, os.environ.get("PYTHONPATH")]
  environment = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(filter(None, paths)),
  }
  if jobs > 1:
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
      environment.setdefault(name, str(threads_of(jobs)))
  return environment


def _start(run, environment, records_dir):
  os.makedirs(run.folder, exist_ok=True)
  words = [*run.words]
  if records_dir:
    words.append(f"--records_dir={records_dir}")
  prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

  def prepare():
    os.setpgrp()  # Ctrl-C reaches it through this process only
    if prctl:
      prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)

  with open(os.path.join(run.folder, LOG), "ab") as log:
    log_start = log.tell()
    process = subprocess.Popen(
      [sys.executable, *words],
      stdin=subprocess.DEVNULL,
      stdout=log,
      stderr=log,
      env=environment,
      preexec_fn=prepare,
    )
    return _Child(run, process, time.monotonic(), log_start)


def _end(children):
  """Ends processes: SIGTERM, and after a while SIGKILL."""
  for child in children:
    child.process.terminate()
  latest = time.monotonic() + _SECONDS_TO_END
  for child in children:
    try:
      child.process.wait(max(latest - time.monotonic(), 0.0))
    except subprocess.TimeoutExpired:
      child.process.kill()
      child.process.wait()


def _result(child):
  """How a process that has ended went."""
  seconds = time.monotonic() - child.started
  status = child.process.returncode
  if status:
    message = _message(child, status)
  else:
    try:
      scores = read_scores(child.run.folder)
      return sweeps.Result(sweeps.DONE, seconds, scores)
    except ValueError as error:
      message = str(error)
  kind = sweeps.DIVERGED if _NAN.search(message) else sweeps.FAILED
  return sweeps.Result(kind, seconds, {}, message)


def read_scores(folder: str) -> dict:
  """The numbers in a run's eval_results.json.

  Raises:
    ValueError: there is none, it is damaged, or it holds no score.
  """
  path = os.path.join(folder, "eval_results.json")
  found = reading.read_json(path, dict, "file of scores")
  scores = {
    name: value
    for name, value in found.items()
    if isinstance(value, (int, float)) and not isinstance(value, bool)
  }
  if not scores.keys() - {"global_step"}:
    raise ValueError(f"{path} holds no score")
  return scores


def _message(child, status):
  """What a process that failed has said last."""
  if status == -signal.SIGKILL:
    return "it was killed, perhaps because memory ran out"
  if shutil.disk_usage(child.run.folder).free < _LEAST_ROOM:
    return f"{child.run.folder}: no room left on the disk"  # for its log, too
  with open(os.path.join(child.run.folder, LOG), "rb") as reader:
    reader.seek(child.log_start)
    lines = reader.read().decode("utf-8", "replace").split("\n")
  lines = [line.strip() for line in lines if line.strip()]
  errors = [line for line in lines if line.startswith("error: ")]
  last = (errors or lines or [f"exit status {status}"])[-1]
  return last.removeprefix("error: ")
