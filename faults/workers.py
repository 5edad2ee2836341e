# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Kills and stops one of two workers that train together.

In: two servers, one for each worker. Out: cases. The other worker ends with a
sentence that names the one that is gone.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import socket
import time

from faults import jobs, processes, promises
from faults.processes import Server
from faults.workplace import Case, Workplace

TIMEOUT = 10  # seconds of silence after which a worker is gone
SECONDS_TO_NOTICE = 4 * TIMEOUT
SECONDS_TO_START = 90
_SCRIPT = "run_classifier"
_CHIEF = 0


def job() -> jobs.Job:
  """A training that goes on for as long as a case needs."""
  (found,) = [job for job in jobs.JOBS if job.name == _SCRIPT]
  flags = [
    flag
    for flag in found.flags.split()
    if not flag.startswith(
      ("--do_", "--eval", "--keep", "--num_train", "--log")
    )
  ]
  flags += ["--do_train", "--distribution=multi_worker", "--log_steps=1"]
  flags += ["--num_train_epochs=10000", f"--worker_timeout={TIMEOUT}"]
  return dataclasses.replace(found, flags=" ".join(flags))


def cases(seed: int) -> list[Case]:
  """A kill and a stop of each worker."""
  draw = random.Random(f"{seed} workers")
  found = []
  for worker in (0, 1):
    for number, seconds in ((signal.SIGKILL, 25), (signal.SIGSTOP, 35)):
      moment = draw.uniform(0.5, 4)
      done = "killed" if number == signal.SIGKILL else "stopped"
      found.append(
        Case(
          job(),
          "worker",
          f"worker {worker} of 2 {done} {moment:.1f} s after the first step",
          seconds,
          lambda works, gone=worker, number=number, moment=moment: _gone(
            works, gone, number, moment
          ),
        )
      )
  return found


def _free_addresses(count):
  sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
  addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
  for each in sockets:
    each.close()
  return addresses


def _gone(works: list[Workplace], gone: int, number: int, moment: float) -> str:
  """Starts two workers, and sends one of them a signal."""
  folder = works[0].fresh(job())
  addresses = _free_addresses(2)
  servers: list[Server] = [work.server for work in works]
  pids = []
  for index, work in enumerate(works):
    task = {"type": "worker", "index": index}
    cluster = {"cluster": {"worker": addresses}, "task": task}
    given = work.arguments(job(), folder, name=f"worker{index}")
    given["environment"]["TF_CONFIG"] = json.dumps(cluster)
    pids.append(work.server.start(**given))
  broken = _wait_for_step(f"{folder}.worker{_CHIEF}.stderr")
  time.sleep(moment)
  processes.send(number, pids[gone])
  other = 1 - gone
  limit = 1 if broken else SECONDS_TO_NOTICE
  ended = servers[other].wait(limit)
  processes.kill_group(pids[gone])
  servers[gone].wait(processes.SECONDS_TO_LEAVE)
  if broken:
    return broken
  broken = promises.one_sentence(ended)
  if not broken and f"worker {gone}" not in promises.last_line(ended.stderr):
    broken = f"does not name worker {gone}: {promises.last_line(ended.stderr)}"
  return broken


def _wait_for_step(log):
  """Waits until a log shows a training step; "" if it does."""
  limit = time.monotonic() + SECONDS_TO_START
  while time.monotonic() < limit:
    if os.path.exists(log):
      with open(log, encoding="utf-8") as lines:
        if "\nstep " in lines.read():
          return ""
    time.sleep(0.1)
  return f"the workers took no step within {SECONDS_TO_START} s"
