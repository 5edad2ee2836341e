# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Formats for the vectors of texts: JSON lines, TFRecords, NumPy and HDF5.

In: predicted batches of vectors, and the tokens of each text. Out: one file, in
the order of the input, that appears when it is complete.

Shapes: T tokens of a text, L layers, D width of a vector; N texts, or N tokens
of all texts.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import errno
import io
import json
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent import futures
from typing import Protocol

import h5py
import numpy as np
import tensorflow.compat.v1 as tf

from bert.files import writing
from bert.records import streams, tf_example

_WINDOW_POOLINGS = {"mean": np.mean, "max": np.max}
_BATCHES_TO_WRITE = 2  # that may wait for the disk

# ---------------------------------------------------------------- numbers

# A number with six digits after the point is written as three words, each from
# a table: the part before the point, three digits, and three more digits.
_THREE = [b"%03d" % i for i in range(1000)]
_MIDDLES = np.frombuffer(b"".join(b"." + text for text in _THREE), np.uint32)
_TAILS = np.frombuffer(b"".join(text + b"," for text in _THREE), np.uint32)


def _heads(width):
  """The whole numbers of up to `width` - 1 digits, then the same with "-"."""
  numbers = [b"%d" % i for i in range(10 ** (width - 1))]
  texts = [*numbers, *(b"-" + number for number in numbers)]
  return np.frombuffer(b"".join(t.rjust(width) for t in texts), f"u{width}")


_HEADS = {width: _heads(width) for width in (2, 4)}


def decimal_rows(rows: np.ndarray) -> list:
  """Rows of numbers as JSON, rounded to six digits after the point.

  Args:
    rows: float32 [N, D].

  Returns:
    N pieces of text, each such as b"-0.123456, 1.000000]".
  """
  if not np.abs(rows).max(initial=0.0) < 999.0:  # or NaN
    rounded = np.round(rows.astype(np.float64), 6).tolist()
    return [json.dumps(row)[1:].encode() for row in rounded]
  millionths = np.multiply(rows, 1e6, dtype=np.float64)
  np.abs(np.rint(millionths, out=millionths), out=millionths)
  thousandths, tails = np.divmod(millionths.astype(np.int32), np.int32(1000))
  heads, middles = np.divmod(thousandths, np.int32(1000))
  is_wide = heads.max(axis=1, initial=0) > 9
  words = (heads, np.signbit(rows), middles, tails)
  texts = {
    wide: iter(
      _texts(4 if wide else 2, *(part[is_wide == wide] for part in words))
    )
    for wide in (False, True)
  }
  return [next(texts[wide]) for wide in is_wide.tolist()]


def _texts(width, heads, is_negative, middles, tails):
  """Rows of numbers as JSON, from their words; `width` is the head's."""
  text = np.empty(
    heads.shape, [("head", f"u{width}"), ("middle", "u4"), ("tail", "u4")]
  )
  heads = heads + is_negative * np.int32(10 ** (width - 1))
  text["head"] = _HEADS[width][heads]
  text["middle"] = _MIDDLES[middles]
  text["tail"] = _TAILS[tails]
  text = text.view(np.uint8)  # [N, D * (width + 8)]
  text[:, -1] = ord("]")  # for the last comma
  return text


# ---------------------------------------------------------------- formats


@dataclasses.dataclass
class Layout:
  """What all texts of an output have in common."""

  layers: Sequence[int]  # as the user named them; none for the pooler's vector
  width: int  # D
  is_pooled: bool  # one vector per text, rather than one per token
  is_aligned: bool  # tokens have spans and words
  longest_token: int  # in the vocabulary, in characters


class TextTokens(Protocol):
  """The tokens of a text, as a format takes them."""

  unique_id: int  # number of the line, from 0
  num_windows: int  # how many rows of the batches give its vectors
  tokens: Sequence[str]  # with [CLS] and [SEP], without padding
  # One per token, None for [CLS] and [SEP]; None without alignment:
  spans: Sequence | None  # (start, end) in the line, in characters
  words: Sequence | None  # number of the word


class JsonLines:
  """JSON lines: one object per text."""

  def __init__(self, path: str, layout: Layout):
    if path == "-":
      self._writer = sys.stdout.buffer
    else:
      self._writer = tf.io.gfile.GFile(path, "wb")
      self._writer.write(b"")  # creates the file
    self._layout = layout
    self._openings = [b'{"index":%d,"values":[' % i for i in layout.layers]

  def encode(self, text: TextTokens, values: np.ndarray) -> bytes:
    """The line of a text; values are float32 [T, L, D], or [L, D] if pooled."""
    rows = decimal_rows(values.reshape(-1, values.shape[-1]))
    start = b'{"linex_index":%d,' % text.unique_id
    if not self._layout.layers:
      return b"".join([start, b'"values":[', rows[0], b"}\n"])
    if self._layout.is_pooled:
      return b"".join([start, *self._layers(rows), b"}\n"])
    parts = [start, b'"features":[']
    size = len(self._openings)
    for i, token in enumerate(text.tokens):
      quoted = json.dumps(token)
      parts.append(f'{"," if i else ""}{{"token":{quoted},'.encode())
      parts += self._layers(rows[i * size : (i + 1) * size])
      if text.spans:
        place = json.dumps({"span": text.spans[i], "word": text.words[i]})
        parts.append(b"," + place[1:].encode())
      else:
        parts.append(b"}")
    return b"".join([*parts, b"]}\n"])

  def _layers(self, rows):
    """The parts of `"layers": [...]`."""
    parts = [b'"layers":[']
    for opening, row in zip(self._openings, rows):
      parts += [opening, row, b"},"]
    return [*parts[:-1], b"}]"]

  def write(self, line: bytes) -> None:
    self._writer.write(line)
    if self._writer is sys.stdout.buffer:
      self._writer.flush()

  def close(self) -> None:
    if self._writer is not sys.stdout.buffer:
      self._writer.close()


class TFRecords:
  """A TFRecord file: one tf.Example per text."""

  def __init__(self, path: str, layout: Layout):
    self._writer = tf.io.TFRecordWriter(path)
    self._layout = layout

  def encode(self, text: TextTokens, values: np.ndarray) -> bytes:
    """The record of a text; values as for `JsonLines`."""
    packed = b"\x0a" + tf_example.varint(values.nbytes) + values.tobytes()
    kept = {
      "linex_index": _ints([text.unique_id]),
      "layers": _ints(self._layout.layers),
      "shape": _ints(values.shape),
      # The bytes of a FloatList: protobuf is slow number by number.
      "values": tf.train.Feature(
        float_list=tf.train.FloatList.FromString(packed)
      ),
    }
    if not self._layout.is_pooled:
      tokens = [token.encode() for token in text.tokens]
      kept["tokens"] = tf.train.Feature(
        bytes_list=tf.train.BytesList(value=tokens)
      )
      if text.spans:
        spans, words = _places(text)
        kept["spans"], kept["words"] = _ints(spans.ravel()), _ints(words)
    example = tf.train.Example(features=tf.train.Features(feature=kept))
    return example.SerializeToString()

  def write(self, record: bytes) -> None:
    self._writer.write(record)

  def close(self) -> None:
    self._writer.close()


def _ints(values):
  return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def _places(text):
  """Spans [T, 2] and words [T] as int32, -1 for [CLS] and [SEP]."""
  spans = [span or (-1, -1) for span in text.spans]
  words = [-1 if word is None else word for word in text.words]
  return np.array(spans, np.int32), np.array(words, np.int32)


class _Columns:
  """Arrays that grow with each text, for NumPy and HDF5 files.

  `values` is [N, L, D] over texts, or over tokens. With one vector per token
  there are also `tokens` [N]; `starts`, the place of each text's first token,
  and at the end the number of tokens; and with alignment, `spans` [N, 2] and
  `words` [N].
  """

  def __init__(self, layout: Layout):
    self._layout = layout
    self._num_tokens = 0
    size = max(len(layout.layers), 1)
    self.shapes = {"values": ([size, layout.width], "<f4")}
    if not layout.is_pooled:
      self.shapes["tokens"] = ([], f"<U{layout.longest_token}")
      self.shapes["starts"] = ([], "<i8")
      if layout.is_aligned:
        self.shapes["spans"] = ([2], "<i4")
        self.shapes["words"] = ([], "<i4")

  def encode(self, text: TextTokens, values: np.ndarray) -> dict:
    """The rows that a text adds to the arrays, for `write`."""
    if self._layout.is_pooled:
      return {"values": values[np.newaxis]}
    tokens = np.array(text.tokens, self.shapes["tokens"][1])
    rows = {"values": values, "tokens": tokens}
    if text.spans:
      rows["spans"], rows["words"] = _places(text)
    return rows

  def write(self, rows: Mapping) -> None:
    if not self._layout.is_pooled:
      self._write_start()
      self._num_tokens += len(rows["tokens"])
    for name, values in rows.items():
      self.append(name, values)

  def append(self, name: str, values: np.ndarray) -> None:
    raise NotImplementedError

  def finish(self) -> None:
    """Completes `starts`."""
    if not self._layout.is_pooled:
      self._write_start()

  def _write_start(self):
    self.append("starts", np.array([self._num_tokens], np.int64))


class NumpyFile(_Columns):
  """An .npz file; until it is complete, its arrays are in unnamed files."""

  def __init__(self, path: str, layout: Layout):
    super().__init__(layout)
    self._path = path
    self._layers = np.array(layout.layers, np.int32)
    folder = None if "://" in path else os.path.dirname(path) or "."
    self._files = {name: _nameless_file(folder) for name in self.shapes}

  def append(self, name: str, values: np.ndarray) -> None:
    self._files[name].write(np.ascontiguousarray(values).data)

  def close(self) -> None:
    self.finish()
    with tf.io.gfile.GFile(self._path, "wb") as target:
      # Remote files can only be written from the first byte to the last.
      stream = _Stream(target)
      with zipfile.ZipFile(stream, "w", allowZip64=True) as archive:
        for name, (shape, dtype) in self.shapes.items():
          with self._files[name] as source:
            _copy_array(archive, name, source, shape, np.dtype(dtype))
        with archive.open("layers.npy", "w") as writer:
          np.lib.format.write_array(writer, self._layers)


def _nameless_file(folder):
  return tempfile.TemporaryFile(dir=folder)


class _Stream:
  """A file for writing whose `write` returns a size, as Python's files do."""

  def __init__(self, target):
    self._target, self.flush = target, target.flush

  def write(self, data: bytes) -> int:
    self._target.write(data)
    return len(data)


def _copy_array(archive, name, source, shape, dtype):
  """Adds rows from a file to an archive, as a NumPy array."""
  row_bytes = dtype.itemsize * int(np.prod(shape, dtype=int))
  header = {
    "descr": np.lib.format.dtype_to_descr(dtype),
    "fortran_order": False,
    "shape": (source.tell() // row_bytes, *shape),
  }
  source.seek(0)
  with archive.open(name + ".npy", "w", force_zip64=True) as writer:
    np.lib.format.write_array_header_1_0(writer, header)
    shutil.copyfileobj(source, writer, 2**22)


class _Disk(io.FileIO):
  """A file that keeps the first error of writing, and writes no more then.

  HDF5 would lose it: it writes much of its data where it frees its objects.
  """

  error = None

  def write(self, data) -> int:
    rest = memoryview(data).cast("B")
    try:
      while rest and not self.error:
        rest = rest[super().write(rest) :]
    except OSError as error:
      self.error = error
    return len(data)


class Hdf5File(_Columns):
  """An HDF5 file."""

  def __init__(self, path: str, layout: Layout):
    super().__init__(layout)
    self._disk = _Disk(path, "w+")
    self._file = h5py.File(self._disk, "w")
    self._file.attrs["layers"] = np.array(layout.layers, np.int32)
    for name, (shape, dtype) in self.shapes.items():
      if name == "tokens":
        dtype = h5py.string_dtype()
      self._file.create_dataset(
        name, (0, *shape), dtype, maxshape=(None, *shape), chunks=True
      )

  def append(self, name: str, values: np.ndarray) -> None:
    column = self._file[name]
    size = len(column)
    column.resize(size + len(values), axis=0)
    column[size:] = values.astype(object) if name == "tokens" else values
    if self._disk.error:
      self._file.close()  # while Python is there, or the process crashes
      raise self._disk.error

  def close(self) -> None:
    self.finish()
    self._file.close()
    self._disk.close()
    if self._disk.error:
      raise self._disk.error


FORMATS = {
  "json": JsonLines,
  "npz": NumpyFile,
  "hdf5": Hdf5File,
  "tfrecord": TFRecords,
}


# ---------------------------------------------------------------- writing


@contextlib.contextmanager
def whole_output(path: str, output_format: str, layout: Layout):
  """Yields a writer; the file appears once all is written.

  Args:
    path: of the file; "-": standard output, for JSON lines.
    output_format: a name in FORMATS.
    layout: of the vectors.
  """
  target = contextlib.nullcontext(path) if path == "-" else writing.whole(path)
  with target as partial:
    with _room_on(path):
      writer = FORMATS[output_format](partial, layout)
    yield writer
    with _room_on(path):
      writer.close()


@contextlib.contextmanager
def _room_on(path):
  """Raises OSError with the path where the disk is full.

  TensorFlow's error would read as a lack of memory; Python's has no path.
  """
  try:
    yield
  except (tf.errors.ResourceExhaustedError, OSError) as error:
    if path == "-" or getattr(error, "errno", errno.ENOSPC) != errno.ENOSPC:
      raise
    raise OSError(errno.ENOSPC, "no room left on the disk", path) from None


def write_in_order(
  batches: Iterable[Mapping],
  waiting: dict,
  writer,
  path: str,
  window_pooling: str = "mean",
) -> None:
  """Writes batches of vectors while the next ones are predicted.

  Args:
    batches: {name: array [B, ...]}, with `example_index` [B] and, for each
      layer i, `layer_output_i` float32 [B, S, D], or [B, D] if pooled.
    waiting: {place: TextTokens} of the rows; those that are written leave it.
    writer: of `whole_output`.
    path: of the output, for errors.
    window_pooling: mean or max, for texts of several windows.
  """
  order, parts = streams.InputOrder(), {}

  def of_text(text, place, values):
    """The values of a text once all its windows are there, or None."""
    if text.num_windows == 1:
      return values
    windows = parts.setdefault(text.unique_id, {})
    windows[place] = values
    if len(windows) < text.num_windows:
      return None
    del parts[text.unique_id]
    found = [windows[place] for place in sorted(windows)]
    return _WINDOW_POOLINGS[window_pooling](found, axis=0)

  def write(batch):
    names = sorted(
      (name for name in batch if name.startswith("layer_output_")),
      key=lambda name: int(name.rpartition("_")[2]),
    )
    for row, place in enumerate(batch["example_index"].tolist()):
      if place < 0:  # only fills the batch
        continue
      text = waiting.pop(place)
      outputs = [batch[name][row] for name in names]
      if outputs[0].ndim == 2:  # [S, D] each
        outputs = [output[: len(text.tokens)] for output in outputs]
      values = np.stack(outputs, axis=-2)  # [T, L, D], or [L, D]
      values = of_text(text, place, values)
      if values is None:
        continue
      for encoded in order.add(text.unique_id, writer.encode(text, values)):
        with _room_on(path):
          writer.write(encoded)

  with futures.ThreadPoolExecutor(1) as pool_of_one:
    running = collections.deque()
    for batch in batches:
      running.append(pool_of_one.submit(write, batch))
      if len(running) > _BATCHES_TO_WRITE:
        running.popleft().result()
    for future in running:
      future.result()
