# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""A page of pictures and tables as one HTML file.

In: sections. Out: HTML that opens from a disk: it loads nothing and runs
nothing. Every text is escaped.
"""

from __future__ import annotations

import dataclasses
import html
import re
from collections.abc import Iterable, Iterator, Sequence

from bert.reports import drawing

_LONGEST_TEXT = 600  # characters of a cell
_LONGEST_SHORT = 26  # that stays in one line
_FLAG = re.compile(r"(\w+\.py )?--\w+(=[\w.-]*\w)?( --\w+)*")  # of a command
_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial,
  sans-serif; color: #222; background: #fff; max-width: 62rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .4rem; border-top: 1px solid #ddd;
  padding-top: 1rem; }
p { margin: .4rem 0 .8rem; max-width: 46rem; }
nav ul { columns: 16rem; padding-left: 1.2rem; margin: .8rem 0; }
a { color: #1d5c96; }
figure { margin: 0; }
svg { max-width: 100%; height: auto; display: block; margin: .6rem 0; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; margin: .6rem 0; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0;
  border-bottom: 1px solid #e4e4e4; overflow-wrap: anywhere; }
th { border-bottom-color: #999; white-space: nowrap; }
.short { white-space: nowrap; }
code { white-space: nowrap; font-size: .9em; }
td.number, th.number { text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.missing { background: #fff6df; border-left: 4px solid #d9a514;
  padding: .5rem .9rem; }
"""


@dataclasses.dataclass(frozen=True)
class Table:
  """Cells under headings; numbers are shown with four digits."""

  headings: Sequence[str]
  rows: Sequence[Sequence]  # of texts and numbers


@dataclasses.dataclass(frozen=True)
class Section:
  """A part of the page."""

  title: str
  text: str = ""
  pictures: Sequence[str] = ()  # of `drawing.svg`
  table: Table | None = None
  is_missing: bool = False  # it only says what the page lacks, and why


def first_of(count: int, most: int) -> str:
  """How a sentence that gives a count ends, if only the first are shown."""
  return f"; these are the first {most}." if count > most else "."


def render(
  title: str, facts: Iterable[str], sections: Sequence[Section]
) -> Iterator[str]:
  """The lines of the page."""
  yield "<!DOCTYPE html>"
  yield '<html lang="en"><head><meta charset="utf-8">'
  yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
  yield (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\';'
    " style-src 'unsafe-inline'\">"
  )
  yield f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
  yield f"<header><h1>{escape(title)}</h1>"
  yield from (f"<p>{escape(fact)}</p>" for fact in facts)
  yield "</header><nav aria-label='Contents'><ul>"
  for number, section in enumerate(sections):
    yield f'<li><a href="#s{number}">{escape(section.title)}</a></li>'
  yield "</ul></nav><main>"
  for number, section in enumerate(sections):
    yield from _section_lines(f"s{number}", section)
  yield "</main></body></html>"


def escape(text) -> str:
  """A text for HTML; half of a surrogate pair and NUL become a mark."""
  return html.escape(drawing.plain(str(text)))


def _section_lines(name, section):
  yield f'<section id="{name}"><h2>{escape(section.title)}</h2>'
  if section.text:
    kind = ' class="missing"' if section.is_missing else ""
    text = _FLAG.sub(r"<code>\g<0></code>", escape(section.text))
    yield f"<p{kind}>{text}</p>"
  for picture in section.pictures:
    yield f"<figure>{drawing.inline(picture)}</figure>"
  if section.table:
    yield from _table_lines(section.table)
  yield "</section>"


def _table_lines(table):
  rows = [list(row) for row in table.rows]
  is_number = [
    all(isinstance(row[i], (int, float)) for row in rows)
    for i in range(len(table.headings))
  ]
  is_short = [
    all(len(str(row[i])) <= _LONGEST_SHORT for row in rows)
    for i in range(len(table.headings))
  ]
  kinds = [
    ' class="number"' if number else ' class="short"' if short else ""
    for number, short in zip(is_number, is_short)
  ]
  yield '<div class="table"><table><thead><tr>'
  for kind, text in zip(kinds, table.headings):
    yield f'<th scope="col"{kind}>{escape(text)}</th>'
  yield "</tr></thead><tbody>"
  for row in rows:
    cells = (f"<td{k}>{escape(_shown(v))}</td>" for k, v in zip(kinds, row))
    yield f"<tr>{''.join(cells)}</tr>"
  yield "</tbody></table></div>"


def _shown(value):
  if isinstance(value, float):
    return f"{value:.4g}"
  text = str(value)
  return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "\u2026"
