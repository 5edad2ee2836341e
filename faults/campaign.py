# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Runs the campaign of faults: kills, signals, damaged files, full disks.

In: a seed, and how many minutes it may take. Out: a line for each promise that
is broken, and a table of all; status 1 if one is broken. `make faults` runs
it; docs/reliability.md says what is promised.

  python -m faults.campaign --minutes=5
  python -m faults.campaign --only=run_tagger --kind=kill
"""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import queue
import random
import shutil
import signal
import sys
import tempfile
import time
from concurrent import futures

from faults import disks, jobs, kills, mutations, report, workers
from faults.processes import Server
from faults.workplace import Case, Workplace

AT_ONCE = 2  # cases
SECONDS_BEFORE = 60  # to load TensorFlow, and to run each job undisturbed
MOST_WORKERS = 0.25  # of the time, for the cases with two workers


def parse_arguments(arguments=None):
  parser = argparse.ArgumentParser(
    prog="faults.campaign", description=__doc__.split("\n")[0]
  )
  parser.add_argument(
    "--minutes",
    type=float,
    default=28,
    help="choose cases evenly that take N minutes on two cores",
  )
  parser.add_argument("--seed", type=int, default=12345)
  parser.add_argument("--only", default="", help="scripts, such as run_squad")
  parser.add_argument("--kind", default="", help="kinds, such as kill,SIGINT")
  parser.add_argument("--name", default="", help="a part of the case's name")
  parser.add_argument(
    "--keep", help="a folder that the cases' own folders are left in"
  )
  return parser.parse_args(arguments)


def all_cases(finished, seed: int, wanted, with_disks: bool) -> list[Case]:
  """The cases of the wanted jobs."""
  found = []
  for job in wanted:
    found += kills.cases(job, seed)
    found += mutations.cases(job, finished, seed)
    if with_disks:
      found += disks.cases(job)
  if any(job.name == workers.job().name for job in wanted):
    found += workers.cases(seed)
  return found


def choose(cases: list[Case], seconds: float, seed: int) -> list[Case]:
  """A part of the cases that takes some time, chosen evenly.

  The estimates choose, not the clock, so that a seed always chooses alike. Each
  script and kind in turn gives one of its cases, drawn by the seed; in this
  order they run, so that the first minutes see some of all.
  """
  draw = random.Random(seed)
  groups: dict = {}
  for place, case in enumerate(cases):
    groups.setdefault((case.job.name, case.kind), []).append(place)
  turns = list(groups.values())
  for group in turns:
    draw.shuffle(group)
  draw.shuffle(turns)
  chosen, left = [], seconds * AT_ONCE
  left_for_workers = MOST_WORKERS * seconds
  while any(turns):
    for place in [group.pop() for group in turns if group]:
      case = cases[place]
      if case.kind == "worker":  # alone, as it takes both servers
        if case.seconds > left_for_workers:
          continue
        left_for_workers -= case.seconds
        left -= case.seconds * AT_ONCE
        chosen.append(place)
      elif case.seconds <= left:
        left -= case.seconds
        chosen.append(place)
  return [cases[place] for place in chosen]


def prepare(places: list[Workplace], wanted: list[jobs.Job]) -> None:
  """Runs the wanted jobs, and those whose outputs they read, undisturbed."""
  needed = {job.name for job in wanted}
  for job in reversed(jobs.JOBS):
    if job.name in needed:
      needed |= job.sources
  waiting = [job for job in jobs.JOBS if job.name in needed]
  while waiting:
    done = places[0].undisturbed
    ready = [job for job in waiting if job.sources <= set(done)]
    waiting = [job for job in waiting if job not in ready]
    in_places(places, ready, lambda work, job: work.prepare(job))


def in_places(places: list[Workplace], items, act) -> list:
  """Calls act(place, item) for each item, in the next place that is free."""
  free: queue.Queue = queue.Queue()
  for work in places:
    free.put(work)

  def one(item):
    work = free.get()
    try:
      return act(work, item)
    finally:
      free.put(work)

  with futures.ThreadPoolExecutor(len(places)) as threads:
    return list(threads.map(one, items))


def run_case(given, case: Case, keep: bool) -> report.Result:
  """Runs a case in a workplace, or in all of them."""
  result = report.Result(case, check(case, given))
  if not keep:
    for work in given if isinstance(given, list) else [given]:
      work.tidy()
  if result.broken:
    print(report.line(result), flush=True)
  return result


def check(case: Case, given) -> str:
  """What is broken; also if the campaign itself fails."""
  try:
    return case.check(given)
  except Exception as error:
    return f"the campaign failed: {type(error).__name__}: {error}"


def run_all(places: list[Workplace], cases, keep) -> list[report.Result]:
  """Runs cases side by side, and those with two workers one by one."""
  alone = [case for case in cases if case.kind == "worker"]
  others = [case for case in cases if case.kind != "worker"]
  results = in_places(
    places, others, lambda work, case: run_case(work, case, keep)
  )
  return results + [run_case(places, case, keep) for case in alone]


def named(text: str) -> list[str]:
  return [part for part in text.split(",") if part]


def main() -> int:
  args = parse_arguments()
  # Tidies up, and unmounts, whatever ends it.
  signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
  started = time.monotonic()
  folder = pathlib.Path(args.keep or tempfile.mkdtemp(prefix="faults-"))
  finished, undisturbed = folder / "finished", {}
  shutil.rmtree(finished, ignore_errors=True)
  wanted = [j for j in jobs.JOBS if j.name in (named(args.only) or j.name)]
  with contextlib.ExitStack() as stack:
    if not args.keep:
      stack.callback(shutil.rmtree, folder, ignore_errors=True)
    places = []
    for index in range(AT_ONCE):
      server = Server()
      stack.callback(server.close)
      at = folder / f"place{index}"
      shutil.rmtree(at, ignore_errors=True)
      places.append(Workplace(server, at, finished, undisturbed))
    prepare(places, wanted)
    with_disks = disks.can_mount()
    if not with_disks:
      print("full disks: skipped, because only root can mount small ones")
    cases = all_cases(finished, args.seed, wanted, with_disks)
    kinds = named(args.kind)
    cases = [
      case
      for case in cases
      if (not kinds or case.kind in kinds) and args.name in case.name
    ]
    chosen = choose(cases, 60 * args.minutes - SECONDS_BEFORE, args.seed)
    minutes = sum(case.seconds for case in cases) / AT_ONCE / 60
    print(
      f"{len(chosen)} of {len(cases)} cases (all: {minutes:.0f} minutes)",
      flush=True,
    )
    results = run_all(places, chosen, bool(args.keep))
  print(report.table(results))
  print(f"took {(time.monotonic() - started) / 60:.1f} minutes")
  return 1 if any(result.broken for result in results) else 0


if __name__ == "__main__":
  sys.exit(main())
