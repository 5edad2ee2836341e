# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""What the campaign found, as a table.

In: the results of all cases. Out: a row for each script and kind of fault, and
the first broken case of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from faults.workplace import Case


class Result(NamedTuple):
  """How a case went."""

  case: Case
  broken: str  # what happened; "" if the promise was kept


def line(result: Result) -> str:
  """A broken case in one line."""
  case = result.case
  return f"BROKEN {case.job.name}, {case.kind}: {case.name}: {result.broken}"


def table(results: Sequence[Result]) -> str:
  """Counts for each script and kind, and what broke first in each."""
  groups: dict = {}
  for result in results:
    key = (result.case.job.name, result.case.kind)
    groups.setdefault(key, []).append(result)
  lines = [
    "",
    f"{'script':<25}{'fault':<14}{'cases':>6}{'kept':>6}{'broken':>8}",
  ]
  for (name, kind), group in sorted(groups.items()):
    lines.append(_row(name, kind, group))
  lines.append(_row("all", "", results))
  for _, group in sorted(groups.items()):
    broken = [result for result in group if result.broken]
    if broken:
      first = broken[0]
      lines += [
        "",
        line(first),
        f"  {first.case.job.command}",
        f"  again: {_again(first.case)}",
      ]
  return "\n".join(lines)


def _row(name, kind, group):
  broken = sum(bool(result.broken) for result in group)
  kept = len(group) - broken
  return f"{name:<25}{kind:<14}{len(group):>6}{kept:>6}{broken:>8}"


def _again(case):
  """The command that runs one case."""
  return (
    f"python -m faults.campaign --only={case.job.name} --kind='{case.kind}'"
    f" --name='{case.name}'"
  )
