# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Reading, writing whole files, locks, and files that are kept."""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import threading

import pytest

from bert.files import kept_files, locks, reading, writing

ROOT = pathlib.Path(__file__).parent.parent


def test_a_file_appears_at_the_end_and_only_whole(tmp_path):
  path = tmp_path / "a.txt"
  with writing.whole(str(path)) as partial:
    pathlib.Path(partial).write_text("one")
    assert not path.exists()
  assert path.read_text() == "one"
  with pytest.raises(KeyboardInterrupt), writing.whole(str(path)) as partial:
    pathlib.Path(partial).write_text("tw")
    raise KeyboardInterrupt
  assert path.read_text() == "one"
  assert list(tmp_path.iterdir()) == [path]


def test_no_lines_make_an_empty_file_and_half_a_pair_is_escaped(tmp_path):
  path = tmp_path / "a.jsonl"
  writing.write_lines(str(path), [])
  assert path.read_bytes() == b""
  writing.write_lines(str(path), ["\ud800 \u00e9"])
  assert path.read_bytes() == b"\\ud800 \xc3\xa9\n"


class Kept:
  """A kept text file; `reasons` are why it was made."""

  def __init__(self, path):
    self.path, self.reasons = path, []

  def __call__(self, content, **mark):
    def make():
      kept_files.forget(str(self.path))
      assert not pathlib.Path(f"{self.path}.json").exists()
      self.path.write_text(content)
      return content, {"checkpoint": "m.ckpt"}

    return kept_files.kept_file(
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
  checksum = hashlib.sha256(b"three").hexdigest()
  assert note == {
    "model": "m",
    "text": "u",
    "checkpoint": "m.ckpt",
    "bytes": 5,
    "sha256": checksum,
  }


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
    kept_files.kept_file(str(path), {"model": "n"}, None, None, refuse)
  assert path.read_text() == "one"
  assert Kept(path)("two", model="m") == "one"


# ------------------------------------------------------------------ inputs


def test_an_output_that_is_an_input_is_refused_however_it_is_spelt(tmp_path):
  path = tmp_path / "a.txt"
  path.write_text("kept")
  (tmp_path / "folder").mkdir()
  (tmp_path / "link").symlink_to(path)
  os.link(path, tmp_path / "hard")
  for output in ("a.txt", "./a.txt", "folder/../a.txt", "link", "hard"):
    output = f"{tmp_path}/{output}"
    with pytest.raises(ValueError, match="would replace --input_file="):
      with writing.guarded({"input_file": [str(path)]}, {"out": [output]}):
        raise AssertionError("it was allowed")
  with writing.guarded({"input_file": [str(path)]}, {}):
    with pytest.raises(ValueError, match="which this run reads"):
      writing.write_lines(str(tmp_path / "link"), ["new"])
  writing.write_lines(str(tmp_path / "a.txt"), ["new"])  # by a later run
  assert path.read_text() == "new\n"


def test_two_outputs_that_are_one_file_are_refused(tmp_path):
  twice = [f"{tmp_path}/a", f"{tmp_path}/./a"]
  with pytest.raises(ValueError, match="are one file"):
    with writing.guarded({}, {"output_file": twice}):
      raise AssertionError("it was allowed")
  with writing.guarded({}, {"output_file": ["/dev/null", "/dev/null"]}):
    writing.write_lines("/dev/null", ["gone"])
  assert not pathlib.Path("/dev/null").is_file()


# ------------------------------------------------------------------- locks


def test_one_run_at_a_time_writes_to_a_folder(tmp_path):
  folder = tmp_path / "new" / "out"
  with locks.locked(f"{folder}/"):
    with pytest.raises(ValueError, match=f"out/? is in use by .*{os.getpid()}"):
      with locks.locked(str(folder)):
        raise AssertionError("it was allowed")
  assert not (tmp_path / "new").exists()  # nothing was written to it
  with locks.locked(f"{folder}/"):
    (folder / "result").write_text("")
  assert [path.name for path in folder.iterdir()] == ["result"]


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path):
  code = (
    "import time; from bert.files import locks\n"
    f"with locks.locked('{tmp_path}'):\n"
    "  print('ready', flush=True); time.sleep(60)"
  )
  command = [sys.executable, "-c", code]
  process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
  assert process.stdout.readline() == b"ready\n"
  with pytest.raises(ValueError, match=f"process {process.pid} on"):
    with locks.locked(str(tmp_path)):
      raise AssertionError("it was allowed")
  process.kill()
  process.communicate()
  assert (tmp_path / ".lock").exists()
  with locks.locked(str(tmp_path)):
    pass
  assert not list(tmp_path.iterdir())


def test_a_run_can_wait_for_another(tmp_path):
  path, found = str(tmp_path / "file"), []

  def wait():
    with locks.locked(path, wait=True):
      found.append("waited")

  with locks.locked(path):
    thread = threading.Thread(target=wait)
    thread.start()
    thread.join(0.2)
    assert thread.is_alive() and not found
  thread.join(10)
  assert found == ["waited"]
  assert not list(tmp_path.iterdir())


# ----------------------------------------------------------------- reading


def test_pipes_folders_and_missing_files_are_refused(tmp_path):
  os.mkfifo(tmp_path / "pipe")
  for name, found in (
    ("pipe", "is a pipe, not a list: save what it holds to a file first"),
    ("none", "there is no list"),
    (".", "is a folder, not a list"),
    ("none\0", "cannot read the list"),
  ):
    with pytest.raises(ValueError, match=found):
      reading.read_bytes(f"{tmp_path}/{name}", "list")


def test_text_in_other_encodings_is_refused(tmp_path):
  path = tmp_path / "a.txt"
  for data, found in (
    ("é\n".encode("utf-16"), "a.txt is UTF-16, not UTF-8"),
    (b"a\xff\n", "a.txt is not UTF-8: byte 1 is 0xff"),
    (b"one\rtwo\r", "ends its lines with carriage returns"),
  ):
    path.write_bytes(data)
    with pytest.raises(ValueError, match=found):
      reading.read_text(str(path))
  path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n")
  assert reading.read_text(str(path)) == "one\r\ntwo\r\n"


@pytest.mark.parametrize(
  ("text", "found"),
  [
    ("{", "not JSON: Expecting"),
    ('{"labels": [NaN]}', "not JSON: NaN is not a number"),
    ('{"labels": 1e999}', "not JSON: 1e999 is too large"),
    ("[" * 100_000, "not JSON: too many nested brackets"),
    ("[]", "it has to be an object, not \\[\\]"),
    ("{}", "no key 'labels': give a list"),
    ('{"labels": "a"}', "'labels' has to be a list, not \"a\""),
    ('{"labels": ["a", null]}', "'labels\\[1\\]' has to be a text, not null"),
    ('{"labels": [], "rate": true}', "'rate' has to be a number or null, not"),
    ('{"labels": [], "of": {"b": 0.5}}', "'of.b' has to be a whole number"),
  ],
  ids=range(10),
)
def test_json_of_another_shape_is_refused_by_key(tmp_path, text, found):
  shape = {"labels": [str], "rate?": (float, type(None)), "of?": {str: int}}
  path = tmp_path / "note.json"
  path.write_text(text)
  with pytest.raises(ValueError, match=f"note.json: {found}"):
    reading.read_json(str(path), shape)
  path.write_text('{"labels": ["a"], "rate": 1, "of": {"b": 2}, "more": []}')
  assert reading.read_json(str(path), shape)["rate"] == 1


def test_no_json_with_nan_is_written(tmp_path):
  with pytest.raises(ValueError, match="a.json would hold NaN"):
    writing.write_json(str(tmp_path / "a.json"), {"loss": float("nan")})
  assert not list(tmp_path.iterdir())


def test_a_kept_file_damaged_at_equal_size_is_made_again(tmp_path):
  kept = Kept(tmp_path / "a")
  kept("one", model="m")
  (tmp_path / "a").write_text("onf")
  assert kept("two", model="m") == "two"
  assert kept.reasons[-1].endswith("a is damaged")


def test_a_name_that_is_not_utf8_is_refused(tmp_path):
  name = os.fsdecode(b"\xff.txt")
  (tmp_path / name).write_text("a\n", encoding="utf-8")
  message = r"'.*\\udcff.txt' is not UTF-8: rename it"
  with pytest.raises(ValueError, match=f"the name of the vocab .*{message}"):
    reading.read_bytes(str(tmp_path / name), "vocab")
  with pytest.raises(ValueError, match=message):
    reading.expand_globs(f"{tmp_path}/*.txt")
