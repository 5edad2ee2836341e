# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Reads rows of data files, packs WordPiece tokens and writes tf.Examples.

In: TSV, CSV and JSON-lines files; lists of pieces, and a tokenizer for their
ids. Out: rows with their line numbers; `input_ids`, `input_mask` and
`segment_ids` of one length; TFRecord files. Each kind of record is declared
once, as a table of `tf.FixedLenFeature` that both `write_records` and the
parser of `input_pipeline` follow.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence

import tensorflow.compat.v1 as tf

from bert.files import clock, kept_files, locks, writing
from bert.records import tf_example


@dataclasses.dataclass
class RecordFile:
  """A finished TFRecord file and what batching needs to know of it."""

  path: str
  # Tokens of each record, in the file's order; of the longest of its sequences
  # where it has several.
  lengths: list[int]

  @property
  def num_examples(self) -> int:
    return len(self.lengths)


class PerPosition(tf.FixedLenFeature):
  """A column with a value for each position of a sequence, on its last axis.

  Batches may be cut to their longest sequence along this axis.
  """


def per_position(shape: Sequence[int] | int, dtype=tf.int64) -> PerPosition:
  """A column of `max_seq_length` values, or of several such rows.

  Args:
    shape: the length, or a shape whose last axis is the length.
    dtype: tf.int64 or tf.float32.
  """
  return PerPosition([shape] if isinstance(shape, int) else list(shape), dtype)


def sequence_schema(max_seq_length: int) -> dict:
  """The three inputs of the encoder: int64, [max_seq_length] each."""
  return {
    name: per_position(max_seq_length)
    for name in ("input_ids", "input_mask", "segment_ids")
  }


def positional(schema: Mapping) -> list[str]:
  """The names of the columns that have a value for each position."""
  return [n for n, spec in schema.items() if isinstance(spec, PerPosition)]


def record_encoder(schema: Mapping) -> tf_example.ExampleEncoder:
  """What turns {name: int, float or list} into the bytes of `schema`'s records.

  Args:
    schema: {name: tf.FixedLenFeature}.
  """
  return tf_example.ExampleEncoder(
    {
      name: (
        math.prod(spec.shape),
        "float" if spec.dtype == tf.float32 else "int",
      )
      for name, spec in schema.items()
    }
  )


class RecordWriter:
  """Writes a TFRecord file that appears when it is closed.

  Used as a context manager, it leaves no file behind after an error. Where the
  disk is full, writing or closing raises OSError.

  Args:
    output_file: path; an existing file is replaced at the end.
    schema: {name: tf.FixedLenFeature}.
  """

  def __init__(self, output_file: str, schema: Mapping):
    self.records = RecordFile(output_file, [])
    self._encode = record_encoder(schema)
    self._max_seq_length = None  # of a record that has sequences
    if "input_mask" in schema:
      self._max_seq_length = schema["input_mask"].shape[-1]
    self._partial = writing.partial_path(output_file)
    self._writer = tf.io.TFRecordWriter(self._partial)

  def write(self, row: Mapping) -> None:
    """Adds one record, {name: int, float or list}."""
    self.write_encoded(self._encode(row))
    mask, step = row["input_mask"], self._max_seq_length
    self.records.lengths.append(
      max(sum(mask[i : i + step]) for i in range(0, len(mask), step))
    )

  def write_encoded(self, record: bytes) -> None:
    """Adds a record that `record_encoder` made; its length is not noted."""
    try:
      self._writer.write(record)
    except tf.errors.ResourceExhaustedError:
      raise self._no_room() from None

  def finish(self) -> None:
    """Ends the writing; `close` gives the file its name.

    So that of several files none appears before all are on the disk.
    """
    try:
      self._writer.close()
    except tf.errors.ResourceExhaustedError:
      raise self._no_room() from None

  def close(self) -> RecordFile:
    """Gives the file its name; it comes with each record's tokens."""
    try:
      self.finish()
    except OSError:
      self._remove()
      raise
    if self._partial != self.records.path:
      tf.io.gfile.rename(self._partial, self.records.path, overwrite=True)
    return self.records

  def __enter__(self):
    return self

  def __exit__(self, error_type, error, traceback):
    if error_type is None:
      self.close()
    else:
      self._remove()

  def _no_room(self):
    return OSError(errno.ENOSPC, "no room left on the disk", self._partial)

  def _remove(self):
    with contextlib.suppress(tf.errors.OpError):  # of what can't be flushed
      self._writer.close()
    if self._partial != self.records.path:
      tf.io.gfile.remove(self._partial)


def write_records(
  rows: Iterable[Mapping], schema: Mapping, output_file: str
) -> RecordFile:
  """Writes `rows` by `schema`, as a `RecordWriter` does."""
  with RecordWriter(output_file, schema) as writer:
    for row in rows:
      writer.write(row)
  return writer.records


@clock.part("records")
def cached_records(
  output_file: str,
  mark: str,
  write: Callable[[], RecordFile],
  shared_dir: str | None = None,
) -> RecordFile:
  """Reuses `output_file` if it was made from the same input, or writes it.

  Args:
    output_file: path of the TFRecord file; the note beside it keeps the mark
      and the lengths.
    mark: `fingerprint` of everything that the records are made from.
    write: called without arguments, writes the file.
    shared_dir: a folder where runs share records: if it has a file with this
      mark, `output_file` becomes that file, and otherwise the file that is made
      is put there, too. A run that needs what another one is making waits.

  Returns:
    The file, found or made.
  """
  if not shared_dir:
    return _cached_records(output_file, mark, write)
  shared = os.path.join(shared_dir, f"{mark}.tf_record")

  def write_and_share():
    records = write()
    made.append(records)
    return records

  made = []
  tf.io.gfile.makedirs(shared_dir)
  with locks.locked(shared, wait=True):
    note = kept_files.read_note(output_file + ".json")
    is_shared = tf.io.gfile.exists(shared + ".json")
    if is_shared and kept_files.changed(note, {"fingerprint": mark}):
      kept_files.share(shared, output_file)
    records = _cached_records(output_file, mark, write_and_share)
    if made or not is_shared:
      kept_files.share(output_file, shared)
  return records


def _cached_records(output_file, mark, write):
  def make():
    kept_files.forget(output_file)
    records = write()
    return records, {"lengths": records.lengths}

  return kept_files.kept_file(
    output_file,
    {"fingerprint": mark},
    make,
    lambda note: RecordFile(output_file, note["lengths"]),
  )
