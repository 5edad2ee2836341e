# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Tests reading rows of TSV, CSV and JSON-lines files."""

import pytest

from bert.records import tables


def read(tmp_path, name, data):
  path = tmp_path / name
  path.write_bytes(data)
  return list(tables.read_rows(str(path)))


def test_tsv_with_byte_order_mark_crlf_blank_lines_and_quotes(tmp_path):
  data = b'\xef\xbb\xbfid\ttext\r\n\r\n7\t"He said ""no\r\n8\tok\r\n\n'
  assert read(tmp_path, "a.tsv", data) == [
    (1, ["id", "text"]),
    (3, ["7", '"He said ""no']),
    (4, ["8", "ok"]),
  ]


def test_tsv_keeps_a_line_separator_inside_a_cell(tmp_path):
  data = "x\u2028y\tz\n".encode()
  assert read(tmp_path, "a.tsv", data) == [(1, ["x\u2028y", "z"])]


def test_csv_quotes_enclose_commas_and_line_breaks(tmp_path):
  data = b'text,label\n"a, b\nc",1\n\nd,0\n'
  found = read(tmp_path, "a.csv", data)
  assert found[1:] == [(2, ["a, b\nc", "1"]), (5, ["d", "0"])]


def test_a_row_knows_its_file_and_line(tmp_path):
  for name, data in (("a.tsv", b"\nx\ty\n"), ("a.jsonl", b'\n{"x": 1}\n')):
    ((line, row),) = read(tmp_path, name, data)
    assert (line, row.where) == (2, f"{tmp_path / name}:2")


def test_tabs_are_read_whatever_the_ending_with_quotes_on_request(tmp_path):
  path = tmp_path / "a.csv"
  path.write_text('"a,\tb"\tc\n', "utf-8")
  assert tables.read_tsv(str(path)) == [['"a,', 'b"', "c"]]
  assert tables.read_tsv(str(path), '"') == [["a,\tb", "c"]]
  path.write_text('x\ty\n"a\tb\n', "utf-8")
  with pytest.raises(ValueError, match=r"a\.csv:2: unexpected end of data"):
    tables.read_tsv(str(path), '"')


def test_json_lines_have_columns_by_name(tmp_path):
  found = read(tmp_path, "a.jsonl", b'{"text": "a", "n": 3}\n\n{"text": "b"}\n')
  assert [line for line, _ in found] == [1, 3]
  first, last = (row for _, row in found)
  assert tables.value_of(first.where, first, "n") == 3
  with pytest.raises(ValueError, match=r"a.jsonl:3: no column 'n'.*keys text"):
    tables.value_of(last.where, last, "n")


@pytest.mark.parametrize(
  ("name", "data", "message"),
  [
    ("a.jsonl", b'{"a": 1}\nnope\n', r"a.jsonl:2: not JSON"),
    ("a.jsonl", b"[1, 2]\n", r"a.jsonl:1: a JSON object is expected"),
    ("a.jsonl", b"[" * 100_000 + b"\n", r"a.jsonl:1: not JSON"),
    ("a.jsonl", b'{"a": 1}\n{"a": %s}' % (b"1" * 9999), ":2: not JSON"),
    ("a.tsv", b"text\tlabel\nx\xff\t1\n", r"not UTF-8: byte 12 is 0xff"),
  ],
)
def test_the_error_for_an_unreadable_row_gives_its_place(
  tmp_path, name, data, message
):
  with pytest.raises(ValueError, match=message):
    read(tmp_path, name, data)


def test_the_error_for_a_missing_column_gives_line_and_columns():
  header, row = ["id", "text", "label"], ["1", "hello"]
  assert tables.value_of("a.tsv:2", row, "text", header) == "hello"
  assert tables.value_of("a.tsv:2", row, "0", header) == "1"
  assert tables.value_of("a.tsv:2", row, -1) == "hello"
  with pytest.raises(ValueError, match="a.tsv:2: no column '9{39}: this line"):
    tables.value_of("a.tsv:2", row, "9" * 5000, header)
  with pytest.raises(
    ValueError, match=r"a.tsv:2: no column 'label': this line has 2 columns"
  ):
    tables.value_of("a.tsv:2", row, "label", header)


def test_a_name_that_two_columns_have_is_refused():
  header, row = ["text", "label", "text", "", ""], ["a", "1", "b", "", ""]
  with pytest.raises(ValueError, match=r"v:2: the header names 2 columns 'te"):
    tables.value_of("a.tsv:2", row, "text", header)
  assert tables.value_of("a.tsv:2", row, "label", header) == "1"
  assert tables.value_of("a.tsv:2", row, "2", header) == "b"


def test_a_cell_may_be_long(tmp_path):
  """Longer than the 131,072 characters that Python's csv takes by default."""
  long = "word, " * 50_000
  found = read(tmp_path, "a.csv", f'text\n"{long}"\n'.encode())
  assert found == [(1, ["text"]), (2, [long])]


@pytest.mark.parametrize(
  ("name", "data", "message"),
  [
    ("a.tsv", "t\tl\n\nx\ty\t1\n", "a.tsv:3: .* 3 columns, but line 1 has 2:"),
    ("a.tsv", "\nt\tl\nx\n", "a.tsv:3: .* 1 columns, but line 2 has 2: a tab"),
    ("a.csv", "t,l\nx,y,1\n", "a.csv:2: .* enclose a text that holds a comma"),
  ],
)
def test_rows_of_other_widths_are_named(tmp_path, name, data, message):
  rows = [row for _, row in read(tmp_path, name, data.encode())]
  tables.check_widths(rows[:1])
  with pytest.raises(ValueError, match=message):
    tables.check_widths(rows)


def test_texts_and_numbers_of_json():
  assert tables.text("a", "x") == "a"
  assert tables.text(3, "x") == "3"
  assert tables.number("1.5", "x") == 1.5
  for value, shown in (
    *((None, "null"), (True, "true"), ([1], r"\[1\]"), ({}, "{}")),
    ({"a": "b" * 99}, r'{"a": "b+\.\.\.$'),
  ):
    with pytest.raises(ValueError, match=f"a:1 has to be a text, not {shown}"):
      tables.text(value, "a:1")
    with pytest.raises(ValueError, match="a:1 has to be a number"):
      tables.number(value, "a:1")


def test_the_error_for_commas_in_a_tsv_file_suggests_csv():
  with pytest.raises(ValueError, match=r"for commas, name the file .csv"):
    tables.value_of("a.tsv:1", ["1,hello,0"], 2)
