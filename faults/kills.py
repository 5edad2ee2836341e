# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Kills and interrupts scripts at random moments.

In: a job, and a seed. Out: cases. After a kill, the same command ends with the
outputs of an undisturbed run, and leaves nothing else. After Ctrl-C (SIGINT)
or SIGTERM a script ends soon, says so without a traceback, and leaves no
half-written file.
"""

from __future__ import annotations

import random
import signal
import time

from faults import processes, promises
from faults.jobs import Job
from faults.workplace import Case, Workplace

KILLS = 20  # of each script
SIGNALS = 4  # of each kind, of each script
SECONDS_TO_END = 10  # after a signal
SECONDS_TO_END_WORKERS = 5  # 2 are promised; two cases run at once
SECONDS_TO_START = 0.3  # a script imports its files, and Python reports Ctrl-C


def cases(job: Job, seed: int) -> list[Case]:
  """The kills and signals of a job, at moments that a seed draws."""
  draw = random.Random(f"{seed} {job.name}")
  found = []
  for share in sorted(draw.random() for _ in range(KILLS)):
    found.append(
      Case(
        job,
        "kill",
        f"SIGKILL after {share:.0%} of its time, then again",
        0.5 * job.seconds + job.seconds,
        lambda work, share=share: _killed(work, job, share),
      )
    )
  for number in (signal.SIGINT, signal.SIGTERM):
    for share in sorted(draw.random() for _ in range(SIGNALS)):
      found.append(
        Case(
          job,
          number.name,
          f"{number.name} after {share:.0%} of its time",
          0.5 * job.seconds + 1,
          lambda work, share=share, number=number: _signalled(
            work, job, share, number
          ),
        )
      )
  return found


def _killed(work: Workplace, job: Job, share: float) -> str:
  """Kills a run, which finds no time to tidy up, and runs it again."""
  folder = work.fresh(job)
  pid = work.server.start(**work.arguments(job, folder, name="killed"))
  time.sleep(share * work.undisturbed[job.name].seconds)
  processes.send(signal.SIGKILL, pid)
  work.server.wait(processes.SECONDS_TO_LEAVE)
  if processes.outlived(pid):
    return "its worker processes outlive it"
  again = work.run(job, folder)
  if again.status != 0:
    how = promises.crashed(again) or promises.last_line(again.stderr)
    return f"the second run: {how}"
  return work.is_whole(job, folder, again)


def _signalled(work: Workplace, job: Job, share: float, number: int) -> str:
  """Interrupts a run as a terminal (SIGINT) or `kill` (SIGTERM) does."""
  folder = work.fresh(job)
  pid = work.server.start(**work.arguments(job, folder))
  taken = work.undisturbed[job.name].seconds
  time.sleep(SECONDS_TO_START + share * max(0, taken - SECONDS_TO_START))
  started = time.monotonic()
  processes.send(number, pid, to_group=number == signal.SIGINT)
  limit = SECONDS_TO_END_WORKERS if job.has_workers else SECONDS_TO_END
  ended = work.server.wait(limit)
  seconds = time.monotonic() - started
  if ended.status is None:
    return f"did not end within {seconds:.0f} s"
  if processes.outlived(pid):
    return "its worker processes outlive it"
  if ended.status == 0:  # it was done before
    return work.is_whole(job, folder, ended)
  broken = "" if ended.status == -number else promises.crashed(ended)
  if not broken and ended.status not in (-number, 128 + number):
    broken = f"status {ended.status} instead of {128 + number}"
  return broken or promises.left_over(
    promises.files_of(folder), work.undisturbed[job.name].files
  )
