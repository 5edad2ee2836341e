# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Reads rows of TSV, CSV and JSON-lines files.

In: the path of a data file. Out: its text, or its rows with line numbers.
Readers skip a byte-order mark and blank lines, and accept CRLF.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from bert.files import reading

_LARGEST = float(np.finfo(np.float32).max)
_LARGEST_CELL = 2**31 - 1  # the most that csv takes on every machine


def number(value, name: str) -> float:
  """Converts a value to a number that float32 can hold.

  Args:
    value: a number, or text that can be read as one.
    name: the value's name in the error message.

  Raises:
    ValueError: `value` is not such a number.
  """
  try:
    found = math.nan if isinstance(value, bool) else float(value)
  except (OverflowError, TypeError, ValueError):
    found = math.nan
  if not abs(found) <= _LARGEST:  # or NaN
    raise ValueError(
      f"{name} has to be a number that float32 can hold, not {value!r:.40}"
    )
  return found


def text(value, name: str) -> str:
  """The text of a cell, or of a text or number in JSON.

  Args:
    value: of a column.
    name: the value's name in the error message.

  Raises:
    ValueError: `value` is null, true, false, a list or an object.
  """
  if isinstance(value, str):
    return value
  if isinstance(value, (int, float)) and not isinstance(value, bool):
    return str(value)
  raise ValueError(f"{name} has to be a text, not {reading.shown(value)}")


# ------------------------------------------------------------------- rows


class Row(list):
  """The cells of a row. `where` is its file and line, for errors."""

  where: str


class JsonRow(dict):
  """A row in JSON, {column: value}. `where` is its file and line."""

  where: str


def read_rows(
  path: str, is_json: bool | None = None
) -> Iterator[tuple[int, Row | JsonRow]]:
  """Yields each row of a file, after the number of its line, from 1.

  Args:
    path: the file. Its ending gives the format: `.csv` has commas, and quotes
      that enclose cells; `.jsonl` and `.json` have one JSON object a line; all
      others have tabs.
    is_json: whether each line is a JSON object; None: the ending decides.

  Raises:
    ValueError: there is no such file, or a line of it can't be read.
  """
  if is_json is None:
    is_json = path.endswith((".jsonl", ".json"))
  if is_json:
    return _json_rows(path)
  if path.endswith(".csv"):
    return _rows_of_cells(path, ",", '"')
  return _rows_of_cells(path, "\t")


def check_widths(rows: Sequence[Row]) -> None:
  """Raises ValueError unless all rows have as many cells as the first."""
  for row in rows:
    if len(row) != len(rows[0]):
      path, _, line = rows[0].where.rpartition(":")
      remedy = "a tab inside a text starts a new column, so replace it"
      if path.endswith(".csv"):
        remedy = "enclose a text that holds a comma in double quotes"
      raise ValueError(
        f"{row.where}: this line has {len(row)} columns, but line {line} has"
        f" {len(rows[0])}: {remedy}"
      )


def read_tsv(path: str, quotechar: str | None = None) -> list[Row]:
  """Returns the rows of a file with tabs, whatever its ending.

  Args:
    path: the file.
    quotechar: encloses cells; None: quotes are plain text.

  Raises:
    ValueError: there is no such file, or a line of it can't be read.
  """
  return [row for _, row in _rows_of_cells(path, "\t", quotechar)]


def _rows_of_cells(path, delimiter, quotechar=None):
  """Yields (line, Row)."""
  text = reading.read_text(path, "data file")
  for line, cells in _cells(path, text, delimiter, quotechar):
    if any(cell.strip() for cell in cells):
      row = Row(cells)
      row.where = f"{path}:{line}"
      yield line, row


def _cells(path, text, delimiter, quotechar):
  """Yields (line, list of cells); a quoted cell may hold line breaks."""
  if quotechar is None:
    for line, cells in enumerate(text.split("\n"), 1):
      yield line, cells.rstrip("\r").split(delimiter)
    return
  csv.field_size_limit(_LARGEST_CELL)
  reader = csv.reader(
    io.StringIO(text, newline=""),
    delimiter=delimiter,
    quotechar=quotechar,
    strict=True,
  )
  while True:
    line = reader.line_num + 1
    try:
      cells = next(reader, None)
    except csv.Error as error:
      raise ValueError(f"{path}:{line}: {error}") from None
    if cells is None:
      return
    yield line, cells


def _json_rows(path):
  """Yields (line, JsonRow)."""
  lines = reading.read_text(path, "data file").split("\n")
  for line, text in enumerate(lines, 1):
    if not text.strip():
      continue
    value = reading.parse_json(text, f"{path}:{line}")
    if not isinstance(value, dict):
      raise ValueError(
        f"{path}:{line}: a JSON object is expected, such as"
        ' {"text": "...", "label": "..."}'
      )
    row = JsonRow(value)
    row.where = f"{path}:{line}"
    yield line, row


def value_of(
  where: str,
  row: Sequence | Mapping,
  column: int | str,
  header: Sequence[str] = (),
):
  """Returns the value of a column in a row.

  Args:
    where: the row's file and line, for the error message.
    row: cells, or {column: value}.
    column: its number from 0, or its name in the header or in JSON.
    header: the names of the columns, if the file has them.

  Raises:
    ValueError: the row has no such column, and the message names those that it
      has; or two columns have this name.
  """
  if isinstance(row, Mapping):
    if str(column) in row:
      return row[str(column)]
    found = f"the keys {', '.join(row)}"
  else:
    if header.count(column) > 1:
      raise ValueError(
        f"{where}: the header names {header.count(column)} columns {column!r}:"
        " give each a name of its own, or choose one by its number"
      )
    place = _place(column, header)
    if place is not None and -len(row) <= place < len(row):
      return row[place]
    found = f"{len(row)} columns"
    if header:
      found += f" (the header names {', '.join(header)})"
    elif len(row) == 1 and not where.rpartition(":")[0].endswith(".csv"):
      found += " (tabs separate columns here; for commas, name the file .csv)"
  raise ValueError(f"{where}: no column {column!r:.40}: this line has {found}")


def _place(column, header):
  """Returns a column's index from its number or name; None if unknown."""
  if column in header:
    return header.index(column)
  if isinstance(column, int):
    return column
  return int(column) if re.fullmatch(r"-?\d{1,9}", column) else None
