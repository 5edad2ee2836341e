# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Files that appear when they are complete, and files that are kept."""

import json
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


class Kept:
  """A kept text file; `reasons` are why it was made."""

  def __init__(self, path):
    self.path, self.reasons = path, []

  def __call__(self, content, **mark):
    def make():
      files.forget(str(self.path))
      assert not pathlib.Path(f"{self.path}.json").exists()
      self.path.write_text(content)
      return content, {"checkpoint": "m.ckpt"}

    return files.kept_file(
      str(self.path), mark, make, self.load, self.reasons.append
    )

  def load(self, note):
    if note["checkpoint"] != "m.ckpt":
      raise ValueError("another checkpoint")
    return self.path.read_text()


def test_a_file_is_kept_until_its_mark_changes(tmp_path):
  kept = Kept(tmp_path / "a")
  assert kept("one", model="m", text="t") == "one"
  assert kept("two", model="m", text="t") == "one"
  assert kept("two", model="n", text="t") == "two"
  assert kept("three", model="m", text="u") == "three"
  assert [reason.replace(str(tmp_path), "") for reason in kept.reasons] == [
    "there is no /a",
    "/a was made from another model (m.ckpt)",
    "/a was made from another model and another text (m.ckpt)",
  ]
  note = json.loads((tmp_path / "a.json").read_text())
  assert note == {"model": "m", "text": "u", "checkpoint": "m.ckpt", "bytes": 5}


def test_a_damaged_file_is_made_again(tmp_path):
  kept = Kept(tmp_path / "a")
  note = tmp_path / "a.json"
  assert kept("one", model="m") == "one"
  (tmp_path / "a").write_text("on")
  assert kept("two", model="m") == "two"
  note.write_text('{"model": "m", "bytes": 3, "checkpoint": "other"}')
  assert kept("six", model="m") == "six"
  note.write_text("[1, 2")
  assert kept("ten", model="m") == "ten"
  note.unlink()
  assert kept("end", model="m") == "end"
  why = [reason.replace(str(tmp_path), "") for reason in kept.reasons[1:]]
  assert why[:2] == ["/a is damaged", "/a is damaged (another checkpoint)"]
  assert len(why) == 4


def test_a_file_that_may_not_be_made_is_left_as_it_is(tmp_path):
  path = tmp_path / "a"
  Kept(path)("one", model="m")

  def refuse(why):
    raise ValueError(why)

  with pytest.raises(ValueError, match="made from another model"):
    files.kept_file(str(path), {"model": "n"}, None, None, refuse)
  assert path.read_text() == "one"
  assert Kept(path)("two", model="m") == "one"
