# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Draws pictures as SVG with matplotlib, which is imported when one is drawn.

In: numbers and names. Out: the text of an SVG, in which words stay words, with
a title for those who can't see it. The same numbers give the same bytes.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np

BLUE, ORANGE, GREEN, GREY = "#2b6ca3", "#cf5c14", "#2c8a5b", "#8a8a8a"
COLOURS = (BLUE, ORANGE, GREEN, "#8a5aa8", "#b8860b", "#4d9bb0", "#b04a6a")
_STYLE = {
  "svg.fonttype": "none",  # words stay words
  "text.parse_math": False,  # a label may hold $
  "font.family": "sans-serif",
  "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
  "font.size": 10,
  "axes.titlesize": 10,
  "axes.labelsize": 10,
  "axes.spines.top": False,
  "axes.spines.right": False,
  "axes.edgecolor": "#999999",
  "axes.grid": True,
  "axes.axisbelow": True,
  "grid.color": "#e4e4e4",
  "xtick.color": "#444444",
  "ytick.color": "#444444",
  "legend.frameon": False,
  "legend.fontsize": 9,
}
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_LONGEST_NAME, _LONGEST_LINE = 32, 120
_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_ID = re.compile(r' id="([^"]+)"')


def plain(text: str) -> str:
  """A text with a mark in place of what XML and UTF-8 can't hold."""
  return _NO_XML.sub("\ufffd", text)


def words(text: str, longest: int = _LONGEST_NAME) -> str:
  """A text as a picture can hold it: in one line, without control characters.

  Args:
    text: any text.
    longest: characters that are shown of it.
  """
  text = plain(" ".join(str(text).split()))
  return text if len(text) <= longest else text[: longest - 1] + "\u2026"


def svg(
  paint: Callable,
  title: str,
  size: tuple[float, float] = (6.4, 3.6),
  grid: tuple[int, int] = (1, 1),
) -> str:
  """Draws a picture.

  Args:
    paint: called with the axes; with a list of them if the grid has several.
    title: what the picture shows, for screen readers.
    size: width and height in inches.
    grid: rows and columns of axes.

  Returns:
    The text of an SVG file.
  """
  import matplotlib
  from cycler import cycler
  from matplotlib.figure import Figure

  style = {
    **_STYLE,
    "axes.prop_cycle": cycler(color=COLOURS),
    "svg.hashsalt": title,  # names that are the same in each run
  }
  nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
  buffer = io.StringIO()
  with matplotlib.rc_context(style), warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of letters that the font does not have
    figure = Figure(figsize=size, layout="constrained")
    axes = list(figure.subplots(*grid, squeeze=False).flat)
    paint(axes if len(axes) > 1 else axes[0])
    figure.savefig(
      buffer, format="svg", metadata={**nothing, "Title": words(title, 200)}
    )
  return _METADATA.sub("", buffer.getvalue())


def inline(text: str) -> str:
  """An SVG file's text as a part of a page.

  Names that nothing refers to are removed, because other pictures of the page
  have the same.
  """
  text = text[text.index("<svg") :]
  used = set(re.findall(r"#([\w.-]+)", text))
  text = _ID.sub(lambda found: found[0] if found[1] in used else "", text)
  return text.replace("<svg", '<svg role="img"', 1)


# ------------------------------------------------------------ kinds of pictures


def lines(
  axes,
  series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
  x_label: str,
  y_label: str = "",
  marker: str | None = None,
) -> None:
  """Draws {name: (x, y)} as lines, with a legend if there are several.

  If the x of all are whole numbers, so are the ticks.
  """
  for name, (x, y) in series.items():
    axes.plot(
      x, y, label=words(name), marker=marker, markersize=3, linewidth=1.6
    )
  axes.set_xlabel(x_label)
  axes.set_ylabel(y_label)
  axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 5))
  if all(np.asarray(x).dtype.kind == "i" for x, _ in series.values()):
    axes.locator_params(axis="x", integer=True)
  if len(series) > 1:
    axes.legend()


def bars(
  axes,
  names: Sequence[str],
  groups: Mapping[str, Sequence[float]],
  label: str,
  most: float,
) -> None:
  """Draws horizontal bars, the first name at the top.

  Args:
    axes: of a picture that is `height_of_bars` high.
    names: of the rows.
    groups: {name: a value for each row}; each group has a colour.
    label: of the values.
    most: the end of their axis.
  """
  rows, height = np.arange(len(names)), 0.8 / len(groups)
  for place, (name, values) in enumerate(groups.items()):
    offset = (place - (len(groups) - 1) / 2) * height
    axes.barh(rows + offset, values, height * 0.92, label=name)
  axes.set_yticks(rows, [words(name) for name in names])
  axes.set_ylim(len(names) - 0.5, -0.5)
  axes.grid(axis="y", visible=False)
  axes.set_xlim(0, most)
  axes.set_xlabel(label)
  if len(groups) > 1:
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(groups))


def height_of_bars(names: Sequence, groups: int = 1) -> float:
  """The height in inches of a picture of `bars`."""
  return 1.1 + len(names) * (0.18 + 0.14 * groups)


def dots(
  axes, names: Sequence[str], groups: Sequence[Sequence[float]], title: str
) -> None:
  """Draws a line of dots for each name, the first at the top, with the mean."""
  for place, values in enumerate(groups):
    axes.plot(
      *(values, [place] * len(values)),
      **{"marker": "o", "linestyle": "", "color": BLUE, "alpha": 0.6},
    )
    axes.plot(
      *([np.mean(values)], [place]),
      **{"marker": "|", "markersize": 15, "markeredgewidth": 3},
      color=ORANGE,
    )
  axes.set_yticks(range(len(names)), [words(n, _LONGEST_LINE) for n in names])
  axes.set_ylim(len(names) - 0.5, -0.5)
  axes.grid(axis="y", visible=False)
  axes.set_title(words(title, _LONGEST_LINE), loc="left")


def size_of_dots(names: Sequence[str]) -> tuple[float, float]:
  """The width and height in inches of a picture of `dots`."""
  longest = min(max(map(len, names)), _LONGEST_LINE)
  return 5.0 + 0.085 * longest, 1.0 + 0.3 * len(names)


def matrix(
  axes,
  counts: Sequence[Sequence[int]],
  row_names: Sequence[str],
  column_names: Sequence[str],
  row_label: str,
  column_label: str,
) -> None:
  """Draws a table of counts, each row's shares as shades."""
  counts = np.asarray(counts)
  shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
  height, width = counts.shape
  edges = np.arange(width + 1) - 0.5, np.arange(height + 1) - 0.5
  # Not an image, which the page would not load.
  axes.pcolormesh(
    *(*edges, shares),
    **{"cmap": "Blues", "vmin": 0.0, "vmax": 1.0},
    **{"edgecolors": "white", "linewidth": 1.0},
  )
  axes.invert_yaxis()
  axes.grid(visible=False)
  turn = (
    0 if max(map(len, map(words, column_names))) * len(counts[0]) < 60 else 45
  )
  axes.set_xticks(
    range(len(column_names)),
    [words(name) for name in column_names],
    rotation=turn,
    ha="right" if turn else "center",
  )
  axes.set_yticks(range(len(row_names)), [words(name) for name in row_names])
  axes.set_xlabel(column_label)
  axes.set_ylabel(row_label)
  for spine in axes.spines.values():
    spine.set_visible(False)
  axes.tick_params(length=0)
  size = 10 if len(counts) <= 12 else 8
  for (row, column), count in np.ndenumerate(counts):
    if count or len(counts) <= 12:
      colour = "white" if shares[row, column] > 0.55 else "#333333"
      axes.text(
        *(column, row, f"{count}"),
        **{"ha": "center", "va": "center", "color": colour, "fontsize": size},
      )


def size_of_matrix(rows: int, columns: int) -> tuple[float, float]:
  """The width and height in inches of a picture of `matrix`."""
  most = max(rows, columns)
  cell = 0.75 if most <= 6 else 0.5 if most <= 12 else 0.38
  return 2.6 + cell * columns, 1.7 + cell * rows


def histogram(
  axes, groups: Mapping[str, Sequence[float]], bins, x_label: str, y_label: str
) -> None:
  """Draws how often values occur, the groups on top of each other."""
  axes.hist(
    *(list(groups.values()), bins),
    **{"label": list(groups), "rwidth": 0.92, "stacked": True},
  )
  axes.set_xlabel(x_label)
  axes.set_ylabel(y_label)
  axes.grid(axis="x", visible=False)
  if len(groups) > 1:
    axes.legend()


def scatter(axes, x, y, x_label: str, y_label: str, diagonal=False) -> None:
  """Draws a dot for each pair, and if asked the line of equal values."""
  size = float(np.clip(4000 / max(len(x), 1), 6, 24))
  axes.scatter(x, y, s=size, alpha=0.45, linewidths=0)
  if diagonal and len(x):
    ends = [min(np.min(x), np.min(y)), max(np.max(x), np.max(y))]
    axes.plot(ends, ends, color=GREY, linestyle="--", linewidth=1)
  axes.set_xlabel(x_label)
  axes.set_ylabel(y_label)
