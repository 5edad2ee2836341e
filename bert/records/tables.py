# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Reads rows of TSV, CSV and JSON-lines files.

In: the path of a data file. Out: its text, or its rows with line numbers.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterator

import numpy as np
import tensorflow.compat.v1 as tf

_LARGEST = float(np.finfo(np.float32).max)


def read_text(path: str) -> str:
  """Returns the text of a data file, without a byte-order mark.

  Raises:
    ValueError: there is no such file, or it is not UTF-8.
  """
  if not tf.io.gfile.exists(path) or tf.io.gfile.isdir(path):
    raise ValueError(f"there is no data file {path}")
  with tf.io.gfile.GFile(path, "rb") as reader:
    data = reader.read()
  try:
    return data.decode("utf-8-sig")
  except UnicodeDecodeError as error:
    raise ValueError(
      f"{path} is not UTF-8: byte {error.start} is"
      f" 0x{data[error.start]:02x}; save it as UTF-8"
    ) from None


def number(value, name: str) -> float:
  """Converts a value to a number that float32 can hold.

  Args:
    value: a number, or text that can be read as one.
    name: the value's name in the error message.

  Raises:
    ValueError: `value` is not such a number.
  """
  try:
    found = float(value)
  except (OverflowError, TypeError, ValueError):
    found = math.nan
  if not abs(found) <= _LARGEST:  # or NaN
    raise ValueError(
      f"{name} has to be a number that float32 can hold, not {value!r:.40}"
    )
  return found


class Table:
  """The rows of a TSV, CSV or JSON-lines file, with line numbers.

  Skips a byte-order mark and blank lines, and accepts CRLF. Quotes are plain
  text in TSV; in CSV they enclose cells.

  Args:
    path: the file. Its ending gives the format: `.csv` has commas, `.jsonl` and
      `.json` have one JSON object a line, all others have tabs.
    has_header: whether the first row names the columns.
    is_json: whether each line is a JSON object; None: the ending decides.

  Raises:
    ValueError: there is no such file, or it is not UTF-8.
  """

  def __init__(self, path: str, has_header: bool, is_json: bool | None = None):
    self.path = path
    if is_json is None:
      is_json = path.endswith((".jsonl", ".json"))
    self._is_json = is_json
    self._text = read_text(path)
    self._rows = self._read_rows()
    self.header = None
    if has_header and not self._is_json:
      self.header = next(self._rows, (0, []))[1]

  def __iter__(self) -> Iterator[tuple]:
    """Yields (line number from 1, list of cells or dict of them)."""
    return self._rows

  def cell(self, line: int, row, column: int | str):
    """Returns the value of a column in a row.

    Raises:
      ValueError: the row has no such column; the message names the line and
        the columns that it has.
    """
    if self._is_json:
      if str(column) in row:
        return row[str(column)]
      found = f"the keys {', '.join(row)}"
    else:
      place = self._place(column)
      if place is not None and -len(row) <= place < len(row):
        return row[place]
      found = f"{len(row)} columns"
      if self.header:
        found += f" (the header names {', '.join(self.header)})"
      elif len(row) == 1 and not self.path.endswith(".csv"):
        found += " (tabs separate columns here; for commas, name the file .csv)"
    raise ValueError(
      f"{self.path}:{line}: no column {column!r}: this line has {found}"
    )

  def _place(self, column):
    """Returns a column's index from its number or name; None if unknown."""
    if self.header and column in self.header:
      return self.header.index(column)
    if isinstance(column, int):
      return column
    return int(column) if re.fullmatch(r"-?\d+", column) else None

  def _read_rows(self):
    if self.path.endswith(".csv") and not self._is_json:
      reader = csv.reader(io.StringIO(self._text, newline=""), strict=True)
      while True:
        line = reader.line_num + 1
        try:
          row = next(reader, None)
        except csv.Error as error:
          raise ValueError(f"{self.path}:{line}: {error}") from None
        if row is None:
          return
        if any(cell.strip() for cell in row):
          yield line, row
    for line, text in enumerate(self._text.split("\n"), 1):
      text = text.rstrip("\r")
      if text.strip():
        yield (
          line,
          self._read_json(line, text) if self._is_json else (text.split("\t")),
        )

  def _read_json(self, line, text):
    try:
      row = json.loads(text)
    except (ValueError, RecursionError) as error:
      raise ValueError(f"{self.path}:{line}: not JSON: {error}") from None
    if not isinstance(row, dict):
      raise ValueError(
        f"{self.path}:{line}: a JSON object is expected, such as"
        ' {"text": "...", "label": "..."}'
      )
    return row
