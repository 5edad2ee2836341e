# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Files that appear when they are complete, or not at all."""

import pathlib

import pytest

from bert.records import files


def test_a_file_appears_at_the_end_and_only_whole(tmp_path):
  path = tmp_path / "a.txt"
  with files.whole(str(path)) as partial:
    pathlib.Path(partial).write_text("one")
    assert not path.exists()
  assert path.read_text() == "one"
  with pytest.raises(KeyboardInterrupt), files.whole(str(path)) as partial:
    pathlib.Path(partial).write_text("tw")
    raise KeyboardInterrupt
  assert path.read_text() == "one"
  assert list(tmp_path.iterdir()) == [path]


def test_no_lines_make_an_empty_file_and_half_a_pair_is_escaped(tmp_path):
  path = tmp_path / "a.jsonl"
  files.write_lines(str(path), [])
  assert path.read_bytes() == b""
  files.write_lines(str(path), ["\ud800 \u00e9"])
  assert path.read_bytes() == b"\\ud800 \xc3\xa9\n"
