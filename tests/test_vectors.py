# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Vectors in JSON lines, TFRecords, NumPy and HDF5 files, written and read."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import gc
import json
import os
import subprocess

import h5py
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from bert.records import vectors


@dataclasses.dataclass
class Text:
  """The tokens of a text."""

  unique_id: int
  tokens: list
  num_windows: int = 1
  spans: list | None = None
  words: list | None = None


def layout(**changes):
  """The layout of two layers of width 2, with alignment."""
  options = dict(layers=[-1, 0], width=2, is_pooled=False, is_aligned=True)
  return vectors.Layout(**{**options, "longest_token": 9, **changes})


@pytest.mark.parametrize("scale", [1e-6, 0.5, 8.0, 300.0, 5e4])
def test_numbers_are_rounded_as_python_does(scale):
  rows = (np.random.randn(40, 25) * scale).astype(np.float32)
  rows[:, 0] = [0.0, 1.0] * 20
  found = vectors.decimal_rows(rows)
  for text, row in zip(found, rows.tolist()):
    values = json.loads(b"[" + bytes(text))
    np.testing.assert_allclose(
      values, [round(v, 6) for v in row], rtol=1e-12, atol=1e-12
    )


def made_up():
  """Two texts, with a vector of width 2 for each layer and token."""
  texts = [
    Text(i, tokens, spans=[None, (3, 5)], words=[None, 1])
    for i, tokens in enumerate((["[CLS]", 'é"'], ["[CLS]", "b"]))
  ]
  values = np.arange(16, dtype=np.float32).reshape(2, 2, 2, 2) / 8
  return texts, values


def write_made_up(path, output_format):
  """Writes them, in batches of one, the second text first."""
  texts, values = made_up()
  batches = [
    {
      "example_index": np.array([i, -1]),
      "layer_output_0": np.pad(
        values[i : i + 1, :, 0], [(0, 1), (0, 3), (0, 0)]
      ),
      "layer_output_1": np.pad(
        values[i : i + 1, :, 1], [(0, 1), (0, 3), (0, 0)]
      ),
    }
    for i in (1, 0)
  ]
  with vectors.whole_output(path, output_format, layout()) as writer:
    vectors.write_in_order(batches, dict(enumerate(texts)), writer, path)
  return values


def test_json_has_spans_and_any_token(tmp_path):
  path = tmp_path / "out.json"
  write_made_up(str(path), "json")
  first = json.loads(path.read_text().splitlines()[0])
  assert first["features"][1] == {
    "token": 'é"',
    "layers": [
      {"index": -1, "values": [0.5, 0.625]},
      {"index": 0, "values": [0.75, 0.875]},
    ],
    "span": [3, 5],
    "word": 1,
  }


@pytest.mark.parametrize("output_format", ["npz", "hdf5"])
def test_arrays_are_read_back(output_format, tmp_path):
  path = str(tmp_path / f"out.{output_format}")
  values = write_made_up(path, output_format)
  if output_format == "npz":
    found, tokens = np.load(path), lambda column: column.tolist()
    layers = found["layers"]
  else:
    found, tokens = h5py.File(path), lambda column: column.asstr()[:].tolist()
    layers = found.attrs["layers"]
  assert layers.tolist() == [-1, 0]
  assert found["starts"][:].tolist() == [0, 2, 4]
  np.testing.assert_array_equal(found["values"][:], values.reshape(4, 2, 2))
  assert tokens(found["tokens"]) == ["[CLS]", 'é"', "[CLS]", "b"]
  assert found["spans"][:].tolist() == [[-1, -1], [3, 5]] * 2
  assert found["words"][:].tolist() == [-1, 1, -1, 1]


def test_records_are_read_back(tmp_path):
  path = str(tmp_path / "out.tfrecord")
  values = write_made_up(path, "tfrecord")
  records = list(tf.python_io.tf_record_iterator(path))
  assert len(records) == 2
  for place, record in enumerate(records):
    found = tf.train.Example.FromString(record).features.feature
    assert found["linex_index"].int64_list.value == [place]
    shape = found["shape"].int64_list.value
    read = np.reshape(found["values"].float_list.value, shape)
    np.testing.assert_array_equal(read, values[place])
    assert found["layers"].int64_list.value == [-1, 0]
    assert found["spans"].int64_list.value == [-1, -1, 3, 5]
  assert found["tokens"].bytes_list.value == [b"[CLS]", b"b"]


@pytest.mark.parametrize("output_format", vectors.FORMATS)
def test_a_failure_leaves_the_old_file(output_format, tmp_path):
  path = tmp_path / "out"
  path.write_text("old")
  with pytest.raises(ValueError, match="no more"):
    with vectors.whole_output(str(path), output_format, layout()):
      raise ValueError("no more")
  assert path.read_text() == "old"
  assert [p.name for p in tmp_path.iterdir()] == ["out"]


def write_pooled(path, output_format, layers):
  """Writes one vector per layer of two texts, and returns them [2, L, 2]."""
  values = np.arange(4 * max(len(layers), 1), dtype=np.float32)
  values = values.reshape(2, -1, 2) / 8
  batch = {
    "example_index": np.array([0, 1]),
    **{f"layer_output_{i}": values[:, i] for i in range(values.shape[1])},
  }
  texts = {0: Text(0, ["[CLS]"]), 1: Text(1, ["[CLS]", "b"])}
  form = layout(layers=layers, is_pooled=True, is_aligned=False)
  with vectors.whole_output(path, output_format, form) as writer:
    vectors.write_in_order([batch], texts, writer, path)
  assert not texts
  return values


def test_pooled_vectors_are_json_without_tokens(tmp_path):
  path = tmp_path / "out.json"
  write_pooled(str(path), "json", [-1, 0])
  second = json.loads(path.read_text().splitlines()[1])
  assert second == {
    "linex_index": 1,
    "layers": [
      {"index": -1, "values": [0.5, 0.625]},
      {"index": 0, "values": [0.75, 0.875]},
    ],
  }
  write_pooled(str(path), "json", [])
  second = json.loads(path.read_text().splitlines()[1])
  assert second == {"linex_index": 1, "values": [0.25, 0.375]}


@pytest.mark.parametrize("layers", [[-1, 0], []])
def test_pooled_vectors_are_arrays_over_texts(tmp_path, layers):
  path = str(tmp_path / "out.npz")
  values = write_pooled(path, "npz", layers)
  found = np.load(path)
  assert set(found) == {"values", "layers"}
  np.testing.assert_array_equal(found["values"], values)
  assert found["layers"].tolist() == layers


def test_layers_are_in_order_even_with_ten_or_more(tmp_path):
  path = str(tmp_path / "out.npz")
  values = write_pooled(path, "npz", list(range(12)))
  np.testing.assert_array_equal(np.load(path)["values"], values)


def test_a_full_disk_is_reported_as_one(tmp_path, monkeypatch):
  class FullDisk(vectors.JsonLines):
    def write(self, line):
      raise tf.errors.ResourceExhaustedError(None, None, "No space left")

  monkeypatch.setitem(vectors.FORMATS, "json", FullDisk)
  path = str(tmp_path / "out.json")
  with pytest.raises(OSError, match="no room left on the disk") as error:
    write_pooled(path, "json", [])
  assert (error.value.errno, error.value.filename) == (errno.ENOSPC, path)
  assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a small disk")
@pytest.mark.parametrize("output_format", sorted(vectors.FORMATS))
def test_a_disk_that_fills_is_named_and_keeps_no_part(tmp_path, output_format):
  """In a process of its own, because HDF5 fails where its objects are freed."""
  disk = tmp_path / "disk"
  disk.mkdir()
  mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
  if subprocess.run(mount, capture_output=True).returncode:
    pytest.skip("no file system can be mounted here")
  try:
    path = disk / "vectors"
    child = os.fork()
    if child == 0:
      code = 1
      gc.freeze()  # a search for garbage would copy the whole process
      with contextlib.suppress(BaseException):
        code = fill(str(path), output_format)
      gc.collect()
      os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert not list(disk.iterdir())
  finally:
    subprocess.run(["umount", str(disk)], check=True)


def fill(path, output_format):
  """Writes 8 MB of vectors; 0 if that raises the error of a full disk."""
  batch = {"example_index": np.arange(64)}
  texts = {i: Text(i, ["a"]) for i in range(64)}
  one = layout(layers=[-1], width=1024, is_pooled=True, is_aligned=False)
  batch["layer_output_0"] = np.random.normal(size=[64, 1024]).astype("f4")
  try:
    with vectors.whole_output(path, output_format, one) as writer:
      for _ in range(32):
        vectors.write_in_order([batch], dict(texts), writer, path)
  except OSError as error:
    expected = errno.ENOSPC, "no room left on the disk", path
    return (error.errno, error.strerror, error.filename) != expected
  return 2
