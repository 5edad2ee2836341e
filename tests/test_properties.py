# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Whatever bytes people's tables and vocabularies hold.

Any bytes give rows, or one sentence that names the file; and what is written is
read back equal. The cases are drawn alike in every run.
"""

import csv
import re

import hypothesis
import pytest
from hypothesis import strategies as st

import tokenization
from bert.files import writing
from bert.records import tables
from bert.tasks import classification_data

settings = hypothesis.settings(
  max_examples=60, deadline=None, derandomize=True, database=None
)

# What tables and vocabularies are made of, and what breaks them.
PIECES = (
  *(b"\t", b"\n", b"\r", b"\r\n", b",", b'"', b'""', b"\0", b" ", b"text"),
  *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xff", b"\xe2\x80\xa8", b"\xf0\x9f\x98"),
  *(b"{", b"}", b"[", b"]", b":", b"[" * 2000, b"1" * 5000, b"1e999", b"NaN"),
  *(b'{"text": ', b'"text"', b', "label": ', b'"\\ud800"', b"null", b"true"),
  *(b'{"text": "a", "label": "x"}\n', b"text\tlabel\n", b"text,label\n"),
  *(b"##", b"[PAD]\n", b"[UNK]\n"),
)
ANY_BYTES = st.one_of(
  st.binary(max_size=60),
  st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join),
)
# Text that UTF-8 can hold. A byte-order mark is no part of what follows it.
TEXT = st.text(
  st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff\0"),
  max_size=8,
)
PLAIN = TEXT.map(lambda text: re.sub(r"[\t\r\n]", "", text))
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def rows_of(cell):
  """Rows with something in them; blank ones are skipped in reading."""
  row = st.lists(cell, min_size=1, max_size=4)
  return st.lists(row.filter(lambda cells: "".join(cells).strip()), max_size=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp("data")


def reads_or_names(read, path):
  """What `read` gives, or None after an error that names the file."""
  try:
    return read(str(path))
  except ValueError as error:
    assert type(error) is ValueError
    assert str(path) in str(error)
    assert "\n" not in str(error)
    return None


@pytest.mark.parametrize("name", ["a.tsv", "a.csv", "a.jsonl"])
@settings
@hypothesis.given(data=ANY_BYTES)
def test_any_bytes_are_rows_or_one_sentence(folder, name, data):
  path = folder / name
  path.write_bytes(data)
  rows = reads_or_names(lambda p: list(tables.read_rows(p)), path)
  for line, row in rows or ():
    assert row.where == f"{path}:{line}"
    assert 1 <= line <= data.count(b"\n") + 1


@settings
@hypothesis.given(data=ANY_BYTES)
def test_any_bytes_are_examples_of_a_classifier_or_one_sentence(folder, data):
  task = classification_data.Dataset(
    classification_data.Columns("text", label="label"), (), has_even_rows=True
  )
  processor = classification_data.DatasetProcessor(task)
  for name in ("b.tsv", "b.jsonl"):
    (folder / name).write_bytes(data)
    found = reads_or_names(lambda p: processor.read(p, "dev"), folder / name)
    for example in found or ():
      assert isinstance(example.text_a, str)
      assert example.label == example.label.strip() != ""


@settings
@hypothesis.given(data=ANY_BYTES)
def test_any_bytes_are_a_vocabulary_or_one_sentence(folder, data):
  path = folder / "vocab.txt"
  path.write_bytes(data)
  vocab = reads_or_names(tokenization.load_vocab, path)
  if vocab is not None:
    lines = data.decode("utf-8-sig").split("\n")
    assert all(lines[place].strip() == token for token, place in vocab.items())


@settings
@hypothesis.given(rows=rows_of(PLAIN))
def test_a_tsv_is_read_as_it_was_written(folder, rows):
  path = str(folder / "c.tsv")
  writing.write_lines(path, map("\t".join, rows))
  assert [row for _, row in tables.read_rows(path)] == rows


@settings
@hypothesis.given(rows=rows_of(TEXT))
def test_a_csv_is_read_as_it_was_written(folder, rows):
  path = folder / "c.csv"
  with path.open("w", encoding="utf-8", newline="") as writer:
    csv.writer(writer, quoting=csv.QUOTE_ALL).writerows(rows)
  assert [row for _, row in tables.read_rows(str(path))] == rows


@settings
@hypothesis.given(
  rows=st.lists(
    st.dictionaries(  # st.text has halves of characters, which JSON escapes
      st.text(max_size=5),
      SCALARS | NUMBERS | st.lists(SCALARS, max_size=3),
      max_size=4,
    ),
    max_size=4,
  )
)
def test_json_lines_are_read_as_they_were_written(folder, rows):
  path = str(folder / "c.jsonl")
  writing.write_lines(path, (writing.json_text(row, path) for row in rows))
  assert [row for _, row in tables.read_rows(path)] == rows


@settings
@hypothesis.given(
  tokens=st.lists(
    PLAIN.map(str.strip).filter(bool), min_size=1, max_size=9, unique=True
  )
)
def test_a_vocabulary_is_read_as_it_was_written(folder, tokens):
  path = str(folder / "d.txt")
  writing.write_lines(path, tokens)
  assert list(tokenization.load_vocab(path).items()) == [
    (token, place) for place, token in enumerate(tokens)
  ]
