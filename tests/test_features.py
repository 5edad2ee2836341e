# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Rows of data files, packing into fixed lengths, and records."""

import json

import pytest
import tensorflow.compat.v1 as tf

from bert.records import files, packing, record_files, tables


class Tokenizer:
  """Ids by order of appearance, from 1."""

  def __init__(self):
    self.vocab = {}

  def convert_tokens_to_ids(self, tokens):
    return [self.vocab.setdefault(t, len(self.vocab) + 1) for t in tokens]


def drop_one_at_a_time(length_a, length_b, limit):
  """The contract's words: from the longer, from B on a tie."""
  while length_a + length_b > limit:
    if length_a > length_b:
      length_a -= 1
    else:
      length_b -= 1
  return length_a, length_b


def test_pair_lengths_equal_dropping_pieces_one_at_a_time():
  for a in range(12):
    for b in range(12):
      for limit in range(14):
        expected = drop_one_at_a_time(a, b, limit)
        assert packing.pair_lengths(a, b, limit) == expected, (a, b, limit)


def test_a_single_text_keeps_its_head():
  packed = packing.pack(list("abcdef"), None, 5, Tokenizer())
  assert packed.tokens == ["[CLS]", "a", "b", "c", "[SEP]"]
  assert packed.input_ids == [1, 2, 3, 4, 5]
  assert packed.segment_ids == [0] * 5


def test_a_pair_is_padded_and_its_second_text_is_segment_1():
  packed = packing.pack(["a"], ["b", "c"], 8, Tokenizer())
  assert packed.tokens == ["[CLS]", "a", "[SEP]", "b", "c", "[SEP]"]
  assert packed.input_ids == [1, 2, 3, 4, 5, 3, 0, 0]
  assert packed.input_mask == [1] * 6 + [0, 0]
  assert packed.segment_ids == [0, 0, 0, 1, 1, 1, 0, 0]


def table(tmp_path, name, data, has_header=True):
  path = tmp_path / name
  path.write_bytes(data)
  return tables.Table(str(path), has_header)


def test_tsv_with_mark_crlf_blank_lines_and_quotes(tmp_path):
  data = b'\xef\xbb\xbfid\ttext\r\n\r\n7\t"He said ""no\r\n8\tok\r\n\n'
  rows = table(tmp_path, "a.tsv", data)
  assert rows.header == ["id", "text"]
  assert list(rows) == [(3, ["7", '"He said ""no']), (4, ["8", "ok"])]


def test_tsv_keeps_a_line_separator_inside_a_cell(tmp_path):
  rows = table(tmp_path, "a.tsv", "x\u2028y\tz\n".encode(), has_header=False)
  assert list(rows) == [(1, ["x\u2028y", "z"])]


def test_csv_quotes_hold_commas_and_line_breaks(tmp_path):
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
def test_unreadable_rows_name_their_place(tmp_path, name, data, message):
  with pytest.raises(ValueError, match=message):
    list(table(tmp_path, name, data))


def test_a_row_with_too_few_columns_names_line_and_header(tmp_path):
  rows = table(tmp_path, "a.tsv", b"id\ttext\tlabel\n1\thello\n")
  line, row = next(iter(rows))
  assert rows.cell(line, row, "text") == "hello"
  assert rows.cell(line, row, "0") == "1"
  with pytest.raises(
    ValueError, match=r"a.tsv:2: no column 'label': this line has 2 columns"
  ):
    rows.cell(line, row, "label")


def test_a_comma_file_named_tsv_is_told_so(tmp_path):
  rows = table(tmp_path, "a.tsv", b"1,hello,0\n", has_header=False)
  line, row = next(iter(rows))
  with pytest.raises(ValueError, match=r"name a comma file .csv"):
    rows.cell(line, row, 2)


SCHEMA = record_files.classification_schema(3)


def row(length, label=0):
  mask = [1] * length + [0] * (3 - length)
  return {
    "input_ids": mask,
    "input_mask": mask,
    "segment_ids": [0] * 3,
    "label_ids": label,
    "is_real_example": 1,
  }


def test_records_hold_what_the_schema_names(tmp_path):
  path = str(tmp_path / "a.tf_record")
  records = record_files.write_records([row(2, 5), row(3)], SCHEMA, path)
  assert records.lengths == [2, 3]
  assert records.num_examples == 2
  example = tf.train.Example.FromString(
    next(tf.python_io.tf_record_iterator(path))
  )
  found = example.features.feature
  assert sorted(found) == sorted(SCHEMA)
  assert list(found["input_ids"].int64_list.value) == [1, 1, 0]
  assert list(found["label_ids"].int64_list.value) == [5]


def test_a_writer_that_fails_leaves_the_old_file_and_no_other(tmp_path):
  path = tmp_path / "a.tf_record"
  path.write_bytes(b"old")

  def rows():
    yield row(1)
    raise ValueError("bad row")

  with pytest.raises(ValueError, match="bad row"):
    record_files.write_records(rows(), SCHEMA, str(path))
  assert path.read_bytes() == b"old"
  assert [p.name for p in tmp_path.iterdir()] == ["a.tf_record"]


def test_records_are_made_again_only_when_their_source_changes(tmp_path):
  path = str(tmp_path / "a.tf_record")
  written = []

  def write(lengths):
    def make():
      written.append(lengths)
      return record_files.write_records([row(n) for n in lengths], SCHEMA, path)

    return make

  first = files.fingerprint(["a text"], 3)
  other = files.fingerprint(["a text"], 4)
  assert first != other
  made = record_files.cached_records(path, first, write([1, 2]))
  reused = record_files.cached_records(path, first, write([3]))
  assert reused == made
  changed = record_files.cached_records(path, other, write([3]))
  assert changed.lengths == [3]
  assert written == [[1, 2], [3]]
  note = json.loads((tmp_path / "a.tf_record.json").read_text())
  size = (tmp_path / "a.tf_record").stat().st_size
  assert note == {"fingerprint": other, "lengths": [3], "bytes": size}
  (tmp_path / "a.tf_record").write_bytes(b"cut short")
  record_files.cached_records(path, other, write([3]))
  (tmp_path / "a.tf_record.json").write_text("damaged")
  record_files.cached_records(path, other, write([3]))
  assert written == [[1, 2], [3], [3], [3]]


def test_a_full_disk_is_told_and_leaves_no_file(tmp_path, monkeypatch):
  class Full:
    def __init__(self, path):
      open(path, "w").close()

    def write(self, record):
      raise tf.errors.ResourceExhaustedError(None, None, "No space left")

    def close(self):
      self.write(None)

  monkeypatch.setattr(tf.io, "TFRecordWriter", Full)
  path = tmp_path / "a.tf_record"
  for rows in ([row(1)], []):  # found out by writing, and by closing
    with pytest.raises(OSError, match="no room left on the disk.*a.tf_record"):
      record_files.write_records(rows, SCHEMA, str(path))
    assert list(tmp_path.iterdir()) == []
