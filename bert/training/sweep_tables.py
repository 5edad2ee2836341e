# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The tables and the plot of a sweep.

In: its runs and how they ended. Out: results.tsv, a row a run; summary.tsv and
summary.md, a row a setting, best first; sweep.svg, a dot a run.
"""

from __future__ import annotations

import dataclasses
import math
import os
import statistics
from collections.abc import Iterator, Sequence

from bert.files import writing
from bert.reports import drawing
from bert.tasks import metrics
from bert.training import sweeps

# The main score of a script is the first of these that it gives.
MAIN_SCORES = (
  "eval_accuracy",
  "eval_matthews",
  "eval_f1",
  "eval_micro_f1",
  "eval_pearson",
  "eval_token_accuracy",
  "eval_recall_at_1",
  "masked_lm_accuracy",
  "eval_loss",
)


@dataclasses.dataclass(frozen=True)
class Row:
  """A setting and its runs that have ended."""

  setting: tuple[tuple[str, str], ...]
  ended: list  # (Run, Result) pairs
  total: int  # runs of the setting, those that have not ended too
  score: str  # the score's name

  @property
  def values(self) -> list[float]:
    """The scores of the runs that have one."""
    return [value for _, value in self._scored()]

  @property
  def failed(self) -> int:
    return sum(not result.scores for _, result in self.ended)

  @property
  def is_complete(self) -> bool:
    return len(self.ended) == self.total

  @property
  def mean(self) -> float:
    return statistics.fmean(self.values)

  @property
  def deviation(self) -> float | None:
    """The sample standard deviation; None of one value."""
    return statistics.stdev(self.values) if len(self.values) > 1 else None

  def best_run(self) -> sweeps.Run:
    """The run with the best score, the first of equal ones."""
    sign = -1 if metrics.lower_is_better(self.score) else 1
    return max(self._scored(), key=lambda pair: sign * pair[1])[0]

  def _scored(self):
    """(run, score) pairs of the runs that have one."""
    return [
      (run, result.scores[self.score])
      for run, result in self.ended
      if self.score in result.scores
    ]


def find_score(wanted: str | None, scores) -> str:
  """The name of the score to sort by.

  Args:
    wanted: --score, which may leave out `eval_`; None: the main one.
    scores: the names that a run has given.

  Raises:
    ValueError: it is not among them.
  """
  if wanted:
    names = [wanted, f"eval_{wanted}"]
  else:
    names = [*MAIN_SCORES, *scores]
  for name in names:
    if name in scores:
      return name
  raise ValueError(
    f"--score={wanted} is not a score of this script: give one of"
    f" {', '.join(scores)}"
  )


def summarise(
  sweep: sweeps.Sweep, state: sweeps.State, score: str
) -> list[Row]:
  """A row for each setting of which a run has ended, the best first.

  They are sorted by their mean score. A setting of which a run has failed comes
  after those without, because its mean leaves out its worst run.
  """
  settings: dict = {}
  for run in sweep.runs:
    settings.setdefault(run.setting, []).append(run)
  rows = []
  for setting, runs in settings.items():
    found = [(run, state.result(run)) for run in runs]
    ended = [(run, result) for run, result in found if result]
    if ended:
      rows.append(Row(setting, ended, len(runs), score))
  sign = 1 if metrics.lower_is_better(score) else -1

  def place(row):
    if not row.values:
      return math.inf, 0.0
    return row.failed, sign * row.mean

  return sorted(rows, key=place)


# ------------------------------------------------------------------ tables


def write_results(
  folder: str, sweep: sweeps.Sweep, state: sweeps.State
) -> None:
  """Writes results.tsv to a sweep's folder."""
  path = os.path.join(folder, "results.tsv")
  writing.write_lines(path, result_lines(folder, sweep, state))


def write_summary(
  folder: str, sweep: sweeps.Sweep, rows: Sequence[Row], command: str
) -> None:
  """Writes summary.tsv, summary.md and sweep.svg to a sweep's folder.

  Args:
    folder: of the sweep.
    sweep: of `sweeps.plan`.
    rows: of `summarise`, at least one with a score.
    command: of the best run.
  """
  for name, lines in (
    ("summary.tsv", ("\t".join(row) for row in summary_table(sweep, rows))),
    ("summary.md", markdown_lines(sweep, rows, command)),
    ("sweep.svg", plot(rows).splitlines()),
  ):
    writing.write_lines(os.path.join(folder, name), lines)


def result_lines(
  folder: str, sweep: sweeps.Sweep, state: sweeps.State
) -> Iterator[str]:
  """The lines of results.tsv: a run in each, also those that have not ended."""
  results = [(run, state.result(run)) for run in sweep.runs]
  scores = list(dict.fromkeys(n for _, r in results if r for n in r.scores))
  yield "\t".join(
    [*sweep.names, "random_seed", "status", "seconds", *scores]
    + ["folder", "message"]
  )
  for run, result in results:
    result = result or sweeps.Result("not run", 0.0, {})
    values = [result.scores.get(name) for name in scores]
    yield "\t".join(
      [
        *(value for _, value in run.setting),
        str(run.seed),
        result.status,
        f"{result.seconds:.1f}",
        *("" if value is None else str(value) for value in values),
        os.path.relpath(run.folder, folder),
        " ".join(result.message.split()),
      ]
    )


def summary_table(
  sweep: sweeps.Sweep, rows: Sequence[Row], digits: int = 6
) -> Iterator[list[str]]:
  """The cells of the summary: a heading, and a row for each setting."""
  score = rows[0].score
  yield [
    *sweep.names,
    *(f"{score} {kind}" for kind in ("mean", "deviation", "min", "max")),
    "runs",
    "failed",
  ]
  for row in rows:
    values = row.values
    found = [None] * 4
    if values:
      found = [row.mean, row.deviation, min(values), max(values)]
    yield [
      *(value for _, value in row.setting),
      *("" if v is None else f"{v:.{digits}g}" for v in found),
      str(len(values)),
      str(row.failed),
    ]


def markdown_lines(
  sweep: sweeps.Sweep, rows: Sequence[Row], command: str
) -> Iterator[str]:
  """The lines of summary.md."""
  score = rows[0].score
  is_low = metrics.lower_is_better(score)
  yield f"# `{score}` of {len(rows)} settings"
  yield ""
  yield (
    f"Sorted by the mean over seeds, the {'lowest' if is_low else 'highest'}"
    " first; settings with a run that failed or diverged come last."
  )
  yield ""
  heading, *cells = summary_table(sweep, rows, digits=4)
  yield f"| {' | '.join(heading)} |"
  yield "|---" * len(heading) + "|"
  for row in cells:
    yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
  yield ""
  yield "The best run of the best setting:"
  yield ""
  yield "```sh"
  yield command
  yield "```"


# -------------------------------------------------------------------- plot


def plot(rows: Sequence[Row]) -> str:
  """A picture: a line for each setting, a dot for each run, a bar at the mean.

  Returns:
    The text of an SVG file.
  """
  shown = [row for row in rows if row.values]
  names = [
    sweeps.title_of(row.setting)
    + (f" ({row.failed} failed)" if row.failed else "")
    for row in shown
  ]
  title = f"{rows[0].score}: dots are runs, bars their mean"
  return drawing.svg(
    lambda axes: drawing.dots(axes, names, [r.values for r in shown], title),
    f"{title}, of {len(shown)} settings",
    drawing.size_of_dots(names),
  )
