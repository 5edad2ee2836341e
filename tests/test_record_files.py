# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Tests record layouts, and writing and reusing record files."""

import hashlib
import json

import pytest
import tensorflow.compat.v1 as tf

from bert.files import kept_files
from bert.records import record_files
from bert.tasks.classification_data import classification

SCHEMA = classification((), 3).schema(True)


def row(length, label=0):
  mask = [1] * length + [0] * (3 - length)
  return {
    "input_ids": mask,
    "input_mask": mask,
    "segment_ids": [0] * 3,
    "label_ids": label,
    "is_real_example": 1,
  }


def test_records_have_the_columns_of_the_schema(tmp_path):
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


def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path):
  path = tmp_path / "a.tf_record"
  path.write_bytes(b"old")

  def rows():
    yield row(1)
    raise ValueError("bad row")

  with pytest.raises(ValueError, match="bad row"):
    record_files.write_records(rows(), SCHEMA, str(path))
  assert path.read_bytes() == b"old"
  assert [p.name for p in tmp_path.iterdir()] == ["a.tf_record"]


def test_records_are_made_again_only_if_their_source_changes(tmp_path):
  path = str(tmp_path / "a.tf_record")
  written = []

  def write(lengths):
    def make():
      written.append(lengths)
      return record_files.write_records([row(n) for n in lengths], SCHEMA, path)

    return make

  first = kept_files.fingerprint(["a text"], 3)
  other = kept_files.fingerprint(["a text"], 4)
  assert first != other
  made = record_files.cached_records(path, first, write([1, 2]))
  reused = record_files.cached_records(path, first, write([3]))
  assert reused == made
  changed = record_files.cached_records(path, other, write([3]))
  assert changed.lengths == [3]
  assert written == [[1, 2], [3]]
  note = json.loads((tmp_path / "a.tf_record.json").read_text())
  data = (tmp_path / "a.tf_record").read_bytes()
  checksum = hashlib.sha256(data).hexdigest()
  kept = {"bytes": len(data), "sha256": checksum}
  assert note == {"fingerprint": other, "lengths": [3], **kept}
  (tmp_path / "a.tf_record").write_bytes(b"cut short")
  record_files.cached_records(path, other, write([3]))
  (tmp_path / "a.tf_record.json").write_text("damaged")
  record_files.cached_records(path, other, write([3]))
  assert written == [[1, 2], [3], [3], [3]]


def test_runs_share_records_of_one_source(tmp_path):
  shared, written = str(tmp_path / "shared"), []

  def records_of(run, mark, length):
    def write():
      written.append(run)
      return record_files.write_records([row(length)], SCHEMA, path)

    (tmp_path / run).mkdir(exist_ok=True)
    path = str(tmp_path / run / "a.tf_record")
    found = record_files.cached_records(path, mark, write, shared)
    assert found == record_files.RecordFile(path, [length])

  records_of("first", "x", 1)
  records_of("second", "x", 1)
  records_of("third", "y", 2)  # of another text
  records_of("first", "x", 1)
  assert written == ["first", "third"]
  first, second = (
    tmp_path / run / "a.tf_record" for run in ("first", "second")
  )
  assert first.samefile(second)
  # A damaged file is made again, also for the runs to come.
  second.write_bytes(b"cut short")
  records_of("second", "x", 1)
  records_of("fourth", "x", 1)
  assert written == ["first", "third", "second"]
  names = {path.name for path in (tmp_path / "shared").iterdir()}
  assert names == {f"{n}.tf_record{end}" for n in "xy" for end in ("", ".json")}
  # A run that had other records takes those that are there.
  records_of("third", "x", 1)
  assert written == ["first", "third", "second"]


def test_a_full_disk_is_an_error_and_leaves_no_file(tmp_path, monkeypatch):
  class Full:
    def __init__(self, path):
      open(path, "w").close()

    def write(self, record):
      raise tf.errors.ResourceExhaustedError(None, None, "No space left")

    def close(self):
      self.write(None)

  monkeypatch.setattr(tf.io, "TFRecordWriter", Full)
  path = tmp_path / "a.tf_record"
  for rows in ([row(1)], []):  # the write fails, then the close
    with pytest.raises(OSError, match="no room left on the disk.*a.tf_record"):
      record_files.write_records(rows, SCHEMA, str(path))
    assert list(tmp_path.iterdir()) == []
