# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""How long the examples of an evaluated set are, and what was cut.

In: rows with `length`, in WordPiece tokens before anything is cut. Out: a
section of a report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bert.reports import drawing, page

_GROUPS, _BARS = 5, 30


def section(
  head: Mapping,
  rows: Sequence[Mapping],
  is_right: Sequence | None,
  score: str,
) -> page.Section:
  """The lengths, and the score of short and long examples.

  Args:
    head: with `max_seq_length`.
    rows: each with `length`.
    is_right: float [N], whose mean is the score; None: there is none.
    score: its name.
  """
  lengths, limit = (
    np.array([row["length"] for row in rows]),
    head["max_seq_length"],
  )
  is_over = lengths > limit
  text = (
    f"Lengths with special tokens: median {np.median(lengths):.0f}, longest"
    f" {lengths.max()}. {is_over.sum()} of {len(rows)} ({is_over.mean():.1%})"
    f" are over --max_seq_length={limit}: the model did not read these as a"
    " whole."
  )

  def paint(axes):
    groups = {"examples": lengths}
    if is_right is not None:
      right = np.asarray(is_right) > 0.5
      groups = {"right": lengths[right], "wrong": lengths[~right]}
    step = -(-int(lengths.max() - lengths.min() + 1) // _BARS)
    bins = np.arange(lengths.min(), lengths.max() + step + 1, step) - 0.5
    drawing.histogram(axes, groups, bins, "tokens", "examples")
    if limit <= 1.5 * lengths.max():
      axes.axvline(limit, color=drawing.GREY, linestyle="--", linewidth=1.2)

  picture = drawing.svg(paint, "Histogram of lengths in tokens")
  table = None
  if is_right is not None:
    table = page.Table(
      ("tokens", "examples", score), _by_length(lengths, np.asarray(is_right))
    )
  return page.Section("Lengths", text, [picture], table)


def _by_length(lengths, is_right):
  """(range, examples, score) of groups of about equal size."""
  ends = np.unique(
    np.quantile(lengths, np.arange(1, _GROUPS + 1) / _GROUPS).astype(int)
  )
  rows, start = [], int(lengths.min())
  for end in map(int, ends):
    chosen = (lengths >= start) & (lengths <= end)
    if chosen.any():
      found = float(np.mean(is_right[chosen]))
      rows.append((f"{start} to {end}", int(chosen.sum()), found))
    start = end + 1
  return rows
