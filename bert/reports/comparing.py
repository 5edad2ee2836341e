# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Two models on the same examples: is the difference more than luck?

In: what each predicted. Out: the difference of each score, what it would be on
other examples by the paired bootstrap (Efron and Tibshirani 1993; Koehn 2004),
and the examples that one gets right and the other wrong.

Shapes: N examples, K statistics of an example, R resamples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from bert.reports import drawing, page
from bert.tasks import metrics

RESAMPLES, SEED = 10_000, 12345
_AT_ONCE = 1 << 24  # numbers of a part of the resamples
_MOST_SHOWN = 20


# ----------------------------------------------------------------- measures


@dataclasses.dataclass(frozen=True)
class Measure:
  """A score that sums over examples give."""

  name: str
  statistics: Callable  # (head, rows) -> float [N, K]
  score: Callable  # sums [R, K] -> float [R]


def mean(name: str, values: Callable, factor: float = 1.0) -> Measure:
  """The mean of a number of each example.

  Args:
    name: of the score.
    values: (head, rows) -> float [N].
    factor: of the score, such as 100.
  """

  def statistics(head, rows):
    found = np.asarray(values(head, rows), np.float64)
    return np.stack([found, np.ones_like(found)], axis=1)

  return Measure(name, statistics, lambda sums: factor * ratio(sums))


def ratio(sums):
  """The first sum over the second; 0 where that is 0."""
  return sums[:, 0] / np.where(sums[:, 1] == 0, 1, sums[:, 1])


def f1(sums):
  """F1 of the counts right, predicted and true."""
  total = sums[:, 1] + sums[:, 2]
  return 2.0 * sums[:, 0] / np.where(total == 0, 1, total)


def moments(x, y) -> np.ndarray:
  """What `pearson` takes, of numbers [N]: [N, 6]."""
  x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
  x, y = x - x.mean(), y - y.mean()  # or digits are lost
  return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)


def pearson(sums):
  """The correlation, from the sums of `moments`; 0 of a constant."""
  n, x, y, xx, yy, xy = sums.T
  spread = np.maximum(n * xx - x * x, 0) * np.maximum(n * yy - y * y, 0)
  return (n * xy - x * y) / np.sqrt(np.where(spread <= 0, np.inf, spread))


# ---------------------------------------------------------------- bootstrap


@dataclasses.dataclass(frozen=True)
class Difference:
  """What the bootstrap found of a score."""

  name: str
  ours: float
  baseline: float
  low: float  # of the 95 % interval of ours - baseline
  high: float
  share_better: float  # of the resamples; a tie counts half


def bootstrap(
  measure: Measure, ours: np.ndarray, baseline: np.ndarray, seed: int = SEED
) -> Difference:
  """Draws the examples anew, with replacement, for both models alike.

  Args:
    measure: the score.
    ours: [N, K], its statistics of one model.
    baseline: [N, K], of the other, for the same examples.
    seed: of the draws.
  """
  both = np.concatenate([ours, baseline], axis=1)
  # Examples with the same statistics are drawn together: as often, and faster.
  rows, counts = np.unique(both, axis=0, return_counts=True)
  generator, shares = np.random.default_rng(seed), counts / counts.sum()
  size = max(_AT_ONCE // len(rows), 1)
  differences = []
  for first in range(0, RESAMPLES, size):
    draws = generator.multinomial(
      len(both), shares, size=min(size, RESAMPLES - first)
    )
    differences.append(_difference(measure, draws @ rows))
  found = np.concatenate(differences)
  low, high = np.percentile(found, [2.5, 97.5])
  is_better = found < 0 if metrics.lower_is_better(measure.name) else found > 0
  sums = counts[np.newaxis] @ rows
  width = ours.shape[1]
  return Difference(
    measure.name,
    float(measure.score(sums[:, :width])[0]),
    float(measure.score(sums[:, width:])[0]),
    float(low),
    float(high),
    float(is_better.mean() + (found == 0).mean() / 2),
  )


def _difference(measure, sums):
  width = sums.shape[1] // 2
  return measure.score(sums[:, :width]) - measure.score(sums[:, width:])


# ----------------------------------------------------------------- sections


def check_same(kind, ours, baseline, names: Sequence[str]) -> None:
  """Raises ValueError unless two evaluated sets are of the same examples.

  Args:
    kind: the task's module.
    ours: `kept_examples.Evaluated`.
    baseline: the other one.
    names: of the two files, for the message.
  """
  here, there = names
  if ours.head["task"] != baseline.head["task"]:
    raise ValueError(
      f"{here} is of the task {ours.head['task']}, and {there} of"
      f" {baseline.head['task']}: compare two folders of one task"
    )
  for name in kind.SAME:
    if ours.head[name] != baseline.head[name]:
      raise ValueError(
        f"{here} and {there} have other {name.replace('_', ' ')}:"
        " compare models that were evaluated alike"
      )
  if len(ours.rows) != len(baseline.rows):
    raise ValueError(
      f"{here} holds {len(ours.rows)} examples, and {there}"
      f" {len(baseline.rows)}: compare models that were evaluated on the same"
      " file"
    )
  for number, pair in enumerate(zip(ours.rows, baseline.rows), 2):
    if kind.identity(pair[0]) != kind.identity(pair[1]):
      raise ValueError(
        f"line {number} of {here} is another example than in {there}: compare"
        " models that were evaluated on the same file"
      )


def sections(kind, ours, baseline, names: Sequence[str]) -> list[page.Section]:
  """The differences, and the examples behind them.

  Args:
    kind: the task's module.
    ours: `kept_examples.Evaluated`.
    baseline: the other one, of the same examples.
    names: of the two folders.
  """
  found = [
    bootstrap(
      measure,
      measure.statistics(ours.head, ours.rows),
      measure.statistics(baseline.head, baseline.rows),
    )
    for measure in kind.measures(ours.head)
  ]
  return [
    _scores_section(found, names),
    *_examples_sections(kind, ours, baseline, names),
  ]


def _scores_section(found, names):
  def paint(axes):
    axes = axes if isinstance(axes, list) else [axes]
    for each, row in zip(axes, found):
      middle = row.ours - row.baseline
      each.plot([row.low, row.high], [0, 0], linewidth=5, solid_capstyle="butt")
      each.plot([middle], [0], marker="o", color=drawing.ORANGE, markersize=8)
      each.axvline(0.0, color=drawing.GREY, linestyle="--", linewidth=1.2)
      each.set_yticks([])
      each.set_ylim(-1, 1)
      each.spines["left"].set_visible(False)
      each.set_title(f"difference of {row.name.replace('_', ' ')}", loc="left")

  picture = drawing.svg(
    paint,
    "Difference of each score with its 95 % interval",
    (6.4, 1.25 * len(found)),
    (len(found), 1),
  )
  text = (
    f"This model: {names[0]}; the baseline: {names[1]}. {RESAMPLES:,} times, as"
    " many examples as there are were drawn from them with replacement, the"
    " same for both. The interval holds 95 % of the differences. If it holds 0"
    " too, these examples do not say which model is better. The last column is"
    " the share of draws in which this model is better (lower is better for"
    " mse); a draw without a difference counts half."
  )
  table = page.Table(
    ("score", "this", "baseline", "difference", "from", "to", "better in"),
    [
      (
        *(row.name, row.ours, row.baseline, row.ours - row.baseline),
        *(row.low, row.high, f"{row.share_better:.1%}"),
      )
      for row in found
    ],
  )
  return page.Section("Compared with the baseline", text, [picture], table)


def _examples_sections(kind, ours, baseline, names):
  gains = kind.quality(ours.head, ours.rows) - kind.quality(
    baseline.head, baseline.rows
  )
  for title, sign in (
    ("Better here than in the baseline", 1),
    ("Worse here than in the baseline", -1),
  ):
    order = np.argsort(-sign * gains, kind="stable")
    chosen = [int(i) for i in order if sign * gains[i] > 0]
    rows = []
    for i in chosen[:_MOST_SHOWN]:
      text, truth, here = kind.shown(ours.head, ours.rows[i])
      there = kind.shown(baseline.head, baseline.rows[i])[2]
      rows.append((ours.rows[i]["id"], text, truth, here, there))
    yield page.Section(
      title,
      f"{len(chosen)} of {len(gains)} examples"
      + (f"; the first {_MOST_SHOWN}." if len(chosen) > _MOST_SHOWN else "."),
      table=page.Table(("id", "text", "true", "this", "baseline"), rows)
      if rows
      else None,
    )
