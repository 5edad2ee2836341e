# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Runs a run_ script for each setting of a grid of its flags, and compares.

In: a grid, a number of seeds, and the command of a run_ script after --. Out,
in `output_dir`: a folder for each run; results.tsv, a row for each run;
summary.tsv and summary.md, mean and spread of each setting, the best first;
sweep.svg, a plot; sweep.json, from which a sweep that was killed goes on.
"""

from __future__ import annotations

import dataclasses

from bert.training import entry, flags, sweeps


@dataclasses.dataclass(frozen=True)
class Options(flags.Options):
  """This script's flags; the words after -- are the command to run."""

  output_dir: str | None = flags.flag(
    None,
    "Folder for the runs and the tables. A sweep that was interrupted goes on"
    " if the same command is given again.",
    required=True,
    writes="folder",
  )
  grid: tuple = flags.flag(
    (),
    "A flag of the script and its values, such as learning_rate=2e-5,3e-5. Give"
    " --grid once for each flag; all combinations are run.",
    repeated=True,
  )
  seeds: int = flags.flag(
    1,
    "Run each setting N times, with --random_seed=1 to N.",
    lower_bound=1,
  )
  jobs: int = flags.flag(
    1,
    "Run N at once; each gets its share of the cores. Leave it at 1 on a GPU.",
    lower_bound=1,
  )
  score: str | None = flags.flag(
    None,
    "The score in eval_results.txt to sort by. The lowest loss, mse and"
    " perplexity is the best, and the highest of all other scores. Default: the"
    " script's main score, such as eval_accuracy.",
  )
  keep: str = flags.flag(
    "best",
    "Whose checkpoints stay: best, those of all seeds of the best setting; all;"
    " or none. Those of the others are deleted as soon as all seeds of a"
    " setting have been run. Scores, predictions and logs always stay.",
    choices=("best", "all", "none"),
  )
  retry_failed: bool = flags.flag(
    False, "Run those again that have failed in an earlier start."
  )
  words: tuple = ()


def make_plan(options: Options) -> sweeps.Sweep:
  """The runs that the options ask for."""
  sweep = sweeps.plan(
    options.words, options.grid, options.seeds, options.output_dir
  )
  sweeps.check_score(options.score, sweep.command["script"])
  return sweep


if __name__ == "__main__":
  entry.check_first(make_plan, Options)  # a wrong grid ends here

import contextlib
import math
import os
import re
import shlex
import shutil
import time
from collections.abc import Sequence

from absl import logging

from bert.tasks import metrics
from bert.training import progress, sweep_runs, sweep_tables

_CHECKPOINT = re.compile(r"model\.ckpt-\d+\.|checkpoint$")


def main(options: Options) -> None:
  sweep = make_plan(options)
  state = sweeps.State(options.output_dir, sweep)
  waiting = runs_to_start(options, sweep, state)
  state.forget(waiting)
  announce(options, sweep, waiting)
  if len(waiting) < len(sweep.runs):
    compare(options, sweep, state)  # the flags may be others now
  records_dir = None
  if sweep.shares_records:
    records_dir = os.path.join(options.output_dir, sweep_runs.RECORDS)
  started = time.monotonic()
  results = sweep_runs.results_of(waiting, options.jobs, records_dir)
  with contextlib.closing(results):
    for done, (run, result) in enumerate(results, 1):
      state.keep(run, result)
      rows = compare(options, sweep, state)
      left = (len(waiting) - done) * (time.monotonic() - started) / done
      number = len(sweep.runs) - len(waiting) + done
      logging.info(
        f"[{number} of {len(sweep.runs)}] {run.title}:"
        f" {in_words(result, rows)}, {progress.duration(left)} left"
      )
  report(options, sweep, state)


def runs_to_start(options: Options, sweep, state) -> list[sweeps.Run]:
  """The runs that have not ended, or have failed and are to be run again."""
  waiting = []
  for run in sweep.runs:
    result = state.result(run)
    if not result or options.retry_failed and not result.scores:
      waiting.append(run)
  return waiting


def announce(options: Options, sweep, waiting: Sequence) -> None:
  """Says what is going to be run."""
  settings = len(sweep.runs) // options.seeds
  logging.info(
    f"runs: {len(sweep.runs)} (settings: {settings}, seeds: {options.seeds}),"
    f" {len(sweep.runs) - len(waiting)} of them done before"
  )
  if options.jobs > 1:
    threads, cores = sweep_runs.threads_of(options.jobs), sweep_runs.num_cores()
    logging.info(
      f"{options.jobs} runs at once, each with {threads} of {cores} cores"
    )


def in_words(result: sweeps.Result, rows: Sequence) -> str:
  """How a run has ended, in words."""
  took = progress.duration(result.seconds)
  if not result.scores:
    return f"{result.status} after {took}: {result.message}"
  score = rows[0].score
  return f"{score} {result.scores.get(score, math.nan):.4g} in {took}"


# ----------------------------------------------------------------- compare


def compare(options: Options, sweep, state) -> list[sweep_tables.Row]:
  """Writes the tables and removes the checkpoints that are not to stay.

  Returns:
    A row for each setting, the best first; none if there is no score yet.
  """
  sweep_tables.write_results(options.output_dir, sweep, state)
  results = filter(None, map(state.result, sweep.runs))
  scores = next((r.scores for r in results if r.scores), None)
  if not scores:
    return []
  names = [name for name in scores if name != "global_step"]
  score = sweep_tables.find_score(options.score, names)
  rows = sweep_tables.summarise(sweep, state, score)
  command = command_of(rows[0].best_run())
  sweep_tables.write_summary(options.output_dir, sweep, rows, command)
  remove_checkpoints(options.keep, rows)
  return rows


def command_of(run: sweeps.Run) -> str:
  """A run's command, to be given to a shell."""
  return shlex.join(["python", *run.words])


def remove_checkpoints(keep: str, rows: Sequence) -> None:
  """Removes the checkpoints of settings all of whose runs have ended.

  Args:
    keep: "best", which spares the first of these settings, "all" or "none".
    rows: of the settings, the best first.
  """
  if keep == "all":
    return
  complete = [row for row in rows if row.is_complete]
  for row in complete[1 if keep == "best" else 0 :]:
    for run, _ in row.ended:
      shutil.rmtree(os.path.join(run.folder, "best"), ignore_errors=True)
      for name in os.listdir(run.folder):
        if _CHECKPOINT.match(name):
          os.remove(os.path.join(run.folder, name))


def report(options: Options, sweep, state) -> None:
  """Says which setting is the best, and how to get its best run.

  Raises:
    ValueError: a run has failed, or all have diverged.
  """
  rows = compare(options, sweep, state)
  if rows:
    report_best(options, rows)
  results = [state.result(run) for run in sweep.runs]
  failed = [r for r in results if r.status == sweeps.FAILED]
  if failed:
    raise ValueError(
      f"{len(failed)} of {len(results)} runs failed, the first with:"
      f" {failed[0].message} (after mending this, add --retry_failed)"
    )
  if not rows:
    raise ValueError(
      f"all {len(results)} runs diverged, the first with: {results[0].message}"
    )


def report_best(options: Options, rows: Sequence) -> None:
  """Logs the best setting, and prints the command of its best run."""
  best, score = rows[0], rows[0].score
  way = "lowest" if metrics.lower_is_better(score) else "highest"
  spread = "" if best.deviation is None else f" +- {best.deviation:.2g}"
  logging.info(
    f"best setting, with the {way} {score}: {sweeps.title_of(best.setting)}:"
    f" {best.mean:.4g}{spread}"
  )
  logging.info(
    f"tables: {os.path.join(options.output_dir, 'summary.md')}, summary.tsv,"
    " results.tsv, sweep.svg; the best run of the best setting:"
  )
  print(command_of(best.best_run()), flush=True)


if __name__ == "__main__":
  entry.run(main, Options)
