# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Tests reading rows of TSV, CSV and JSON-lines files."""

import pytest

from bert.records import tables


def table(tmp_path, name, data, has_header=True):
  path = tmp_path / name
  path.write_bytes(data)
  return tables.Table(str(path), has_header)


def test_tsv_with_byte_order_mark_crlf_blank_lines_and_quotes(tmp_path):
  data = b'\xef\xbb\xbfid\ttext\r\n\r\n7\t"He said ""no\r\n8\tok\r\n\n'
  rows = table(tmp_path, "a.tsv", data)
  assert rows.header == ["id", "text"]
  assert list(rows) == [(3, ["7", '"He said ""no']), (4, ["8", "ok"])]


def test_tsv_keeps_a_line_separator_inside_a_cell(tmp_path):
  rows = table(tmp_path, "a.tsv", "x\u2028y\tz\n".encode(), has_header=False)
  assert list(rows) == [(1, ["x\u2028y", "z"])]


def test_csv_quotes_enclose_commas_and_line_breaks(tmp_path):
  data = b'text,label\n"a, b\nc",1\n\nd,0\n'
  rows = table(tmp_path, "a.csv", data)
  assert list(rows) == [(2, ["a, b\nc", "1"]), (5, ["d", "0"])]


def test_json_lines_have_columns_by_name(tmp_path):
  rows = table(tmp_path, "a.jsonl", b'{"text": "a", "n": 3}\n\n{"text": "b"}\n')
  found = list(rows)
  assert [line for line, _ in found] == [1, 3]
  assert rows.cell(1, found[0][1], "n") == 3
  with pytest.raises(ValueError, match=r"a.jsonl:3: no column 'n'.*keys text"):
    rows.cell(3, found[1][1], "n")


@pytest.mark.parametrize(
  ("name", "data", "message"),
  [
    ("a.jsonl", b'{"a": 1}\nnope\n', r"a.jsonl:2: not JSON"),
    ("a.jsonl", b"[1, 2]\n", r"a.jsonl:1: a JSON object is expected"),
    ("a.jsonl", b"[" * 9999 + b"\n", r"a.jsonl:1: not JSON"),
    ("a.jsonl", b'{"a": 1}\n{"a": %s}' % (b"1" * 9999), ":2: not JSON"),
    ("a.tsv", b"text\tlabel\nx\xff\t1\n", r"not UTF-8: byte 12 is 0xff"),
  ],
)
def test_the_error_for_an_unreadable_row_gives_its_place(
  tmp_path, name, data, message
):
  with pytest.raises(ValueError, match=message):
    list(table(tmp_path, name, data))


def test_the_error_for_a_missing_column_gives_line_and_columns(tmp_path):
  rows = table(tmp_path, "a.tsv", b"id\ttext\tlabel\n1\thello\n")
  line, row = next(iter(rows))
  assert rows.cell(line, row, "text") == "hello"
  assert rows.cell(line, row, "0") == "1"
  with pytest.raises(
    ValueError, match=r"a.tsv:2: no column 'label': this line has 2 columns"
  ):
    rows.cell(line, row, "label")


def test_the_error_for_commas_in_a_tsv_file_suggests_csv(tmp_path):
  rows = table(tmp_path, "a.tsv", b"1,hello,0\n", has_header=False)
  line, row = next(iter(rows))
  with pytest.raises(ValueError, match=r"for commas, name the file .csv"):
    rows.cell(line, row, 2)
