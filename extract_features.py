# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Writes a trained encoder's vectors of each token, or of each text.

In: a text a line, `A ||| B` for a pair, from a file or standard input; a
checkpoint. Out: a JSON line a text, or one NumPy, HDF5 or TFRecord file, in the
order of the input. Neither the texts nor the vectors need fit in memory.
"""

from __future__ import annotations

from bert.training import common_flags  # isort: skip (quiets TensorFlow before it starts)

import bisect
import collections
import contextlib
import dataclasses
import errno
import itertools
import json
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent import futures

import h5py
import numpy as np
import tensorflow.compat.v1 as tf
from absl import flags, logging

import modeling
import tokenization
from bert.records import files, input_pipeline, packing, streams, tf_example
from bert.training import checkpoints, estimators, old_runs

FLAGS = flags.FLAGS

PAIR_MARK = " ||| "
POOLINGS = ("none", "cls", "mean", "max", "pooled")
_WINDOW_BYTES = 2**28  # what may wait to be written in input order
_MAX_WINDOW = 8192  # texts
_MAX_GRAPH_BYTES = 2**31
_BATCHES_TO_WRITE = 2  # that may wait for the disk


# --------------------------------------------------------------- examples


@dataclasses.dataclass
class InputExample:
  """One line: a text or a pair."""

  unique_id: int  # number of the line, from 0
  text_a: str
  text_b: str | None
  start_a: int = 0  # where text_a begins in its line, in characters
  start_b: int = 0


def read_examples(input_file: str) -> list[InputExample]:
  """All lines of a file as examples; a blank line is one too."""
  return list(stream_examples(input_file))


def stream_examples(input_file: str) -> Iterator[InputExample]:
  """Yields the examples of a file, or "-", as its lines are read.

  Raises:
    ValueError: the file can't be read, or is not UTF-8; the byte is named.
  """
  for number, line in enumerate(tokenization.text_lines(input_file)):
    text = line.strip()
    start = line.index(text)
    text_a, mark, text_b = text.rpartition(PAIR_MARK)
    if mark:
      start_b = start + len(text_a) + len(mark)
      yield InputExample(number, text_a, text_b, start, start_b)
    else:
      yield InputExample(number, text, None, start)


def windows_of(examples: Iterable, size: int) -> Iterator[list]:
  """Yields lists of up to `size` examples."""
  examples = iter(examples)
  return iter(lambda: list(itertools.islice(examples, size)), [])


# --------------------------------------------------------------- features


@dataclasses.dataclass
class InputFeatures:
  """An example as the encoder sees it; lists but the tokens' are padded."""

  unique_id: int
  tokens: list[str]  # with [CLS] and [SEP], unpadded
  input_ids: list[int]
  input_mask: list[int]
  input_type_ids: list[int]
  is_cut: bool = False  # whether it had more tokens
  # One a token, None for [CLS] and [SEP], where alignment is asked for:
  spans: list | None = None  # (start, end) in the line, in characters
  words: list | None = None  # number of the word, those of B after those of A


def convert_examples_to_features(
  examples: Iterable[InputExample],
  seq_length: int,
  tokenizer: tokenization.FullTokenizer,
  align: bool = False,
) -> list[InputFeatures]:
  """Tokenizes, cuts and pads examples.

  Args:
    examples: texts and pairs.
    seq_length: padded length, at least 3.
    tokenizer: whose vocabulary has [CLS] and [SEP].
    align: also say where each token stands in its line.

  Returns:
    Their features, in the same order.
  """
  convert = _convert_aligned if align else _convert
  return [convert(example, seq_length, tokenizer) for example in examples]


def _convert(example, seq_length, tokenizer):
  tokens_a = tokenizer.tokenize(example.text_a)
  # As in the original, a second text without tokens is none.
  tokens_b = tokenizer.tokenize(example.text_b or "") or None
  return _pack(example, tokens_a, tokens_b, seq_length, tokenizer)


def _pack(example, tokens_a, tokens_b, seq_length, tokenizer):
  packed = packing.pack(tokens_a, tokens_b, seq_length, tokenizer)
  length = (
    len(tokens_a) + 2
    if tokens_b is None
    else (len(tokens_a) + len(tokens_b) + 3)
  )
  return InputFeatures(
    example.unique_id,
    packed.tokens,
    packed.input_ids,
    packed.input_mask,
    packed.segment_ids,
    is_cut=length > seq_length,
  )


def _convert_aligned(example, seq_length, tokenizer):
  tokens_a, *places_a = _align(example.text_a, example.start_a, 0, tokenizer)
  tokens_b, *places_b = _align(
    example.text_b or "",
    example.start_b,
    len(example.text_a.split()),
    tokenizer,
  )
  found = _pack(example, tokens_a, tokens_b or None, seq_length, tokenizer)
  size = len(found.tokens)
  if tokens_b:
    kept_a = size - sum(found.input_type_ids) - 2
  else:
    kept_a = size - 2
  found.spans, found.words = (
    [None, *a[:kept_a], None, *b[: size - kept_a - 3], *([None] if b else [])]
    for a, b in zip(places_a, places_b)
  )
  return found


def _align(text, start, num_words, tokenizer):
  """The tokens of a text, their spans and their words' numbers.

  `start` and `num_words` are the characters and words before the text.
  """
  tokens, spans = tokenizer.tokenize_with_offsets(text)
  begun = [match.start() for match in re.finditer(r"\S+", text)]
  words = [
    num_words + max(bisect.bisect_right(begun, first), 1) - 1
    for first, _ in spans
  ]
  return tokens, [(start + a, start + b) for a, b in spans], words


def schema(seq_length: int) -> dict:
  """{name: tf.FixedLenFeature} of what the encoder is given of an example."""
  names = ("input_ids", "input_mask", "input_type_ids")
  return {
    "unique_ids": tf.FixedLenFeature([], tf.int64),
    **{name: tf.FixedLenFeature([seq_length], tf.int64) for name in names},
  }


def _row(feature):
  return {
    "unique_ids": feature.unique_id,
    "input_ids": feature.input_ids,
    "input_mask": feature.input_mask,
    "input_type_ids": feature.input_type_ids,
  }


def input_fn_builder(
  features: Sequence[InputFeatures],
  seq_length: int,
  drop_remainder: bool = False,
):
  """An input_fn over features in memory, in their order, of full length."""
  return input_pipeline.array_input_fn(
    [_row(feature) for feature in features], schema(seq_length), drop_remainder
  )


# ------------------------------------------------------------------ model


def model_fn_builder(
  bert_config: modeling.BertConfig,
  init_checkpoint: str,
  layer_indexes: Sequence[int],
  use_tpu: bool,
  use_one_hot_embeddings: bool,
  pooling: str = "none",
  encoder_options: Mapping | None = None,
):
  """The encoder's model_fn for TPUEstimator, for prediction only.

  Predictions are `unique_id` [B] and, for the i-th of `layer_indexes`,
  `layer_output_i`: float32 [B, S, D], or [B, D] with pooling. With the pooling
  "pooled", the layers do not matter and `layer_output_0` is the pooler's.
  """

  def forward(features, is_training, dropout_seed, compiled):
    del is_training, dropout_seed
    mask = features["input_mask"]
    getter = None if pooling == "pooled" else _without_pooler
    with tf.variable_scope("", custom_getter=getter):
      model = modeling.BertModel(
        bert_config,
        False,
        features["input_ids"],
        mask,
        features["input_type_ids"],
        use_one_hot_embeddings,
        **(encoder_options or {}),
        compiled=compiled,
      )
    if pooling == "pooled":
      outputs = [model.get_pooled_output()]
    else:
      layers = model.get_all_encoder_layers()
      outputs = [pool(layers[i], mask, pooling) for i in layer_indexes]
    return estimators.Outputs(
      loss_sums=(),
      predictions={
        "unique_id": features["unique_ids"],
        **{f"layer_output_{i}": output for i, output in enumerate(outputs)},
      },
    )

  model_fn = estimators.make_model_fn(
    forward, init_checkpoint, 0.0, None, None, use_tpu
  )

  def predict_fn(features, labels, mode, params, config=None):
    if mode != tf.estimator.ModeKeys.PREDICT:
      raise ValueError(f"only prediction is possible, not {mode}")
    return model_fn(features, labels, mode, params, config)

  return predict_fn


def _without_pooler(getter, name, *args, **options):
  """Makes no weights of the pooler's variables, so that no checkpoint needs to
  have them: releases of encoders often do not."""
  if name.startswith("bert/pooler/"):
    options["trainable"] = False
  return getter(name, *args, **options)


def pool(vectors, input_mask, pooling: str):
  """One vector of each text from those of its tokens.

  Args:
    vectors: float32 [B, S, D].
    input_mask: int32 [B, S], 0 for padding, which does not count.
    pooling: "cls", the first token's; "mean" or "max" over the tokens; or
      "none", all of them.

  Returns:
    float32 [B, D]; [B, S, D] with "none".
  """
  if pooling == "none":
    return vectors
  if pooling == "cls":
    return vectors[:, 0, :]
  mask = tf.cast(input_mask, tf.float32)[:, :, tf.newaxis]  # [B, S, 1]
  if pooling == "mean":
    return tf.reduce_sum(vectors * mask, 1) / tf.reduce_sum(mask, 1)
  return tf.reduce_max(tf.where_v2(mask > 0.0, vectors, vectors.dtype.min), 1)


# ---------------------------------------------------------------- outputs

# A number with six digits behind the point is three words of text, each looked
# up: what stands before the point, three digits, and three digits more.
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
  """Rows of numbers as JSON, rounded to six digits behind the point.

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


@dataclasses.dataclass
class Layout:
  """What all texts of an output have in common."""

  layers: Sequence[int]  # as asked for; none of the pooler's vector
  width: int  # D
  is_pooled: bool  # one vector a text, or one a token
  is_aligned: bool
  longest_token: int  # of the vocabulary, in characters


class JsonLines:
  """A JSON object a text, in lines."""

  def __init__(self, path: str, layout: Layout):
    if path == "-":
      self._writer = sys.stdout.buffer
    else:
      self._writer = tf.io.gfile.GFile(path, "wb")
      self._writer.write(b"")  # opens it
    self._layout = layout
    self._openings = [b'{"index":%d,"values":[' % i for i in layout.layers]

  def encode(self, feature: InputFeatures, values: np.ndarray) -> bytes:
    """The line of a text; values are float32 [T, L, D], or [L, D] pooled."""
    rows = decimal_rows(values.reshape(-1, values.shape[-1]))
    start = b'{"linex_index":%d,' % feature.unique_id
    if not self._layout.layers:
      return b"".join([start, b'"values":[', rows[0], b"}\n"])
    if self._layout.is_pooled:
      return b"".join([start, *self._layers(rows), b"}\n"])
    parts = [start, b'"features":[']
    size = len(self._openings)
    for i, token in enumerate(feature.tokens):
      text = json.dumps(token)
      parts.append(f'{"," if i else ""}{{"token":{text},'.encode())
      parts += self._layers(rows[i * size : (i + 1) * size])
      if feature.spans:
        place = json.dumps({"span": feature.spans[i], "word": feature.words[i]})
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
  """A tf.Example a text."""

  def __init__(self, path: str, layout: Layout):
    self._writer = tf.io.TFRecordWriter(path)
    self._layout = layout

  def encode(self, feature: InputFeatures, values: np.ndarray) -> bytes:
    """The record of a text, with the shape of its values."""
    packed = b"\x0a" + tf_example.varint(values.nbytes) + values.tobytes()
    kept = {
      "linex_index": _ints([feature.unique_id]),
      "layers": _ints(self._layout.layers),
      "shape": _ints(values.shape),
      # As protobuf packs a FloatList, which is slow number by number.
      "values": tf.train.Feature(
        float_list=tf.train.FloatList.FromString(packed)
      ),
    }
    if not self._layout.is_pooled:
      tokens = [token.encode() for token in feature.tokens]
      kept["tokens"] = tf.train.Feature(
        bytes_list=tf.train.BytesList(value=tokens)
      )
      if feature.spans:
        spans, words = _places(feature)
        kept["spans"], kept["words"] = _ints(spans.ravel()), _ints(words)
    example = tf.train.Example(features=tf.train.Features(feature=kept))
    return example.SerializeToString()

  def write(self, record: bytes) -> None:
    self._writer.write(record)

  def close(self) -> None:
    self._writer.close()


def _ints(values):
  return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def _places(feature):
  """Spans [T, 2] and words [T] as int32, -1 for [CLS] and [SEP]."""
  spans = [span or (-1, -1) for span in feature.spans]
  words = [-1 if word is None else word for word in feature.words]
  return np.array(spans, np.int32), np.array(words, np.int32)


class _Columns:
  """Arrays that grow with each text: what NumPy's and HDF5's files have.

  `values` [N, L, D] of N texts, or of N tokens; of tokens also `tokens` [N],
  `starts`, where each text's begin and where the last one's end, and, aligned,
  `spans` [N, 2] and `words` [N].
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

  def encode(self, feature: InputFeatures, values: np.ndarray) -> dict:
    """What is added to the arrays, for `write`."""
    if self._layout.is_pooled:
      return {"values": values[np.newaxis]}
    tokens = np.array(feature.tokens, self.shapes["tokens"][1])
    rows = {"values": values, "tokens": tokens}
    if feature.spans:
      rows["spans"], rows["words"] = _places(feature)
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
    """Ends `starts`."""
    if not self._layout.is_pooled:
      self._write_start()

  def _write_start(self):
    self.append("starts", np.array([self._num_tokens], np.int64))


class NumpyFile(_Columns):
  """One .npz file; its arrays wait in files that have no name."""

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
      # Written from its first byte to its last, as remote files have to be.
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
  """A file that is only written to, and counts as Python's files do."""

  def __init__(self, target):
    self._target, self.flush = target, target.flush

  def write(self, data: bytes) -> int:
    self._target.write(data)
    return len(data)


def _copy_array(archive, name, source, shape, dtype):
  """Adds rows from a file to an archive, as NumPy's array."""
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


class Hdf5File(_Columns):
  """One HDF5 file."""

  def __init__(self, path: str, layout: Layout):
    super().__init__(layout)
    self._file = h5py.File(path, "w")
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

  def close(self) -> None:
    self.finish()
    self._file.close()


FORMATS = {
  "json": JsonLines,
  "npz": NumpyFile,
  "hdf5": Hdf5File,
  "tfrecord": TFRecords,
}


@contextlib.contextmanager
def whole_output(path: str, output_format: str, layout: Layout):
  """Gives a writer; its file appears when all is written, or not at all."""
  target = contextlib.nullcontext(path) if path == "-" else files.whole(path)
  with target as partial:
    with _room_on(path):
      writer = FORMATS[output_format](partial, layout)
    yield writer
    with _room_on(path):
      writer.close()


@contextlib.contextmanager
def _room_on(path):
  """Says that a disk is full as Python does, and not as a lack of memory."""
  try:
    yield
  except tf.errors.ResourceExhaustedError:
    raise OSError(errno.ENOSPC, "no room left on the disk", path) from None


def write_in_order(
  batches: Iterable[Mapping], waiting: dict, writer, path: str
) -> None:
  """Writes predicted batches while others are predicted.

  Args:
    batches: of `model_fn_builder`'s predictions, with `example_index`.
    waiting: {place: InputFeatures} of texts to come; what is written leaves it.
    writer: one of FORMATS.
    path: of the output, for errors.
  """
  order = streams.InputOrder()

  def write(batch):
    names = sorted(
      (name for name in batch if name.startswith("layer_output_")),
      key=lambda name: int(name.rpartition("_")[2]),
    )
    for row, place in enumerate(batch["example_index"].tolist()):
      if place < 0:  # fills a batch
        continue
      feature = waiting.pop(place)
      outputs = [batch[name][row] for name in names]
      if outputs[0].ndim == 2:  # [S, D] each
        outputs = [output[: len(feature.tokens)] for output in outputs]
      values = np.stack(outputs, axis=-2)  # [T, L, D], or [L, D]
      for encoded in order.add(place, writer.encode(feature, values)):
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


# ------------------------------------------------------------------- main


@dataclasses.dataclass
class Job:
  """One run: the model and what is asked of it."""

  config: modeling.BertConfig
  tokenizer: tokenization.FullTokenizer
  init_checkpoint: str
  layers: Sequence[int]
  num_examples: int | None  # None: they come by and by

  @property
  def layout(self) -> Layout:
    return Layout(
      layers=self.layers,
      width=self.config.hidden_size,
      is_pooled=FLAGS.pooling != "none",
      is_aligned=FLAGS.align_to_words,
      longest_token=max(map(len, self.tokenizer.vocab)),
    )

  @property
  def window(self) -> int:
    """How many texts are sorted by length at a time: whole batches."""
    vectors = max(len(self.layers), 1) * self.config.hidden_size
    if FLAGS.pooling == "none":
      vectors *= FLAGS.max_seq_length
    # At most 12 characters a number in JSON, or else 4 bytes.
    size = vectors * (12 if FLAGS.output_format == "json" else 4)
    texts = min(_WINDOW_BYTES // size, _MAX_WINDOW)
    return max(texts // FLAGS.batch_size, 1) * FLAGS.batch_size


class FeatureStream:
  """The examples' features; each is kept until it is written.

  Attributes:
    waiting: {place: InputFeatures}.
    error: what reading raised: it ends the stream, in a thread of TensorFlow's,
      and is to be raised elsewhere.
    is_over: set to end a stream that waits for lines.
  """

  def __init__(self, job: Job):
    self._job = job
    self.waiting = {}
    self.error = None
    self.is_over = False
    self.num_texts = self.num_tokens = self.num_cut = 0

  def rows(self) -> Iterator[list[dict]]:
    """Yields what the encoder is given, window by window."""
    try:
      for features in self.windows():
        yield [_row(feature) for feature in features]
    except Exception as error:
      self.error = error

  def windows(self) -> Iterator[list[InputFeatures]]:
    examples, size = stream_examples(FLAGS.input_file), self._job.window
    if self._job.num_examples is None:
      windows = streams.as_they_come(examples, size, lambda: self.is_over)
    else:
      windows = windows_of(examples, size)
    for window in windows:
      features = convert_examples_to_features(
        window, FLAGS.max_seq_length, self._job.tokenizer, FLAGS.align_to_words
      )
      self.num_texts += len(features)
      for feature in features:
        self.waiting[feature.unique_id] = feature
        self.num_tokens += len(feature.tokens)
        self.num_cut += feature.is_cut
      yield features


def define_flags() -> None:
  """This script's flags, beside those of common_flags."""
  common_flags.define_model_flags(has_output_dir=False)
  common_flags.define_precision_flag()
  common_flags.define_device_flags(has_training=False)
  flags.adopt_module_key_flags(common_flags)
  flags.DEFINE_string(
    "input_file",
    None,
    "Texts, one a line, or `A ||| B` for a pair. -: standard input, where lines"
    " are answered as they come.",
  )
  flags.DEFINE_string(
    "output_file", None, "Where the vectors go. -: standard output (JSON)."
  )
  flags.DEFINE_enum(
    "output_format",
    "json",
    list(FORMATS),
    "json: an object a line; npz and hdf5: arrays over all tokens or texts;"
    " tfrecord: a tf.Example a text.",
  )
  flags.DEFINE_list(
    "layers",
    "-1,-2,-3,-4",
    "Which layers: 0 is the first, -1 the last.",
  )
  flags.DEFINE_enum(
    "pooling",
    "none",
    list(POOLINGS),
    "One vector a text and layer: the first token's (cls), or the mean or"
    " maximum over its tokens; or the vector of the pooler (pooled). none: one"
    " a token.",
  )
  flags.DEFINE_bool(
    "align_to_words",
    False,
    "Tell for each token the characters of its line that it stands for, and"
    " which word it is part of.",
  )
  flags.DEFINE_integer("batch_size", 32, "Texts a batch.", lower_bound=1)
  flags.DEFINE_bool(
    "use_one_hot_embeddings",
    False,
    "Look words up by a product, which is faster on TPU.",
  )
  flags.mark_flags_as_required(
    (
      "input_file",
      "vocab_file",
      "bert_config_file",
      "init_checkpoint",
      "output_file",
    )
  )


def main(_):
  job = prepare()
  old_runs.log_devices()
  stream = FeatureStream(job)
  with whole_output(
    FLAGS.output_file, FLAGS.output_format, job.layout
  ) as writer:
    extract(job, stream, writer)
  logging.info(
    f"wrote {FLAGS.output_file}: {stream.num_texts} texts,"
    f" {stream.num_tokens} tokens; {stream.num_cut} texts were longer than"
    f" --max_seq_length={FLAGS.max_seq_length} and were cut"
  )


def prepare() -> Job:
  """Checks the flags and files, so that what is wrong shows early."""
  common_flags.check_devices()
  common_flags.check_precision()
  _check_output()
  config, tokenizer = common_flags.load_model_files()
  layers = find_layers(config)
  init_checkpoint = checkpoints.find_checkpoint(
    FLAGS.init_checkpoint, config, FLAGS.bert_config_file
  )
  path = FLAGS.input_file
  is_file = os.path.isfile(path) or os.path.isdir(path)  # which can't be read
  if path == "-" or (os.path.exists(path) and not is_file):
    num_examples = None  # a pipe
  else:
    num_examples = sum(1 for _ in tokenization.text_lines(path))
    if not num_examples:
      raise ValueError(f"{path} is empty: give a text a line")
  return Job(config, tokenizer, init_checkpoint, layers, num_examples)


def _check_output():
  """Raises ValueError if the output can't be written as it is asked for."""
  path = FLAGS.output_file
  if path == "-" and FLAGS.output_format != "json":
    raise ValueError(
      f"--output_file=- is for JSON lines: name a file for --output_format="
      f"{FLAGS.output_format}"
    )
  if "://" in path and FLAGS.output_format == "hdf5":
    raise ValueError(
      f"--output_file={path}: HDF5 files are written to this machine only: name"
      " a local file, or give another --output_format"
    )
  if FLAGS.align_to_words and FLAGS.pooling != "none":
    raise ValueError(
      "--align_to_words is for the tokens' vectors: leave it out with"
      f" --pooling={FLAGS.pooling}"
    )
  if path != "-" and "://" not in path:
    _check_local_output(path)


def _check_local_output(path):
  folder = os.path.dirname(path) or "."
  if os.path.isdir(path) or not os.path.isdir(folder):
    raise ValueError(
      f"--output_file={path}: this is a folder, or its folder is missing"
    )
  if os.path.exists(path) and not os.path.isfile(path):
    raise ValueError(
      f"--output_file={path}: this is no plain file, and would be replaced by"
      " one: name another, or - for standard output"
    )
  for name in ("input_file", "vocab_file", "bert_config_file"):
    if os.path.realpath(path) == os.path.realpath(FLAGS[name].value):
      raise ValueError(f"--output_file={path} would replace --{name}")


def find_layers(config: modeling.BertConfig) -> list[int]:
  """--layers as numbers; none with the pooler's vector.

  Raises:
    ValueError: the model has no such layer.
  """
  if FLAGS.pooling == "pooled":
    if FLAGS["layers"].present:
      raise ValueError(
        "--layers: the pooler has the vector of no layer: leave it out with"
        " --pooling=pooled"
      )
    return []
  size = config.num_hidden_layers
  if not FLAGS.layers:
    raise ValueError("--layers is empty: give numbers, such as -1,-2")
  for text in FLAGS.layers:
    if not re.fullmatch(r"\s*-?\d+\s*", text) or not -size <= int(text) < size:
      raise ValueError(
        f"--layers: there is no layer {text!r} in {FLAGS.bert_config_file},"
        f" which has {size}: give 0 to {size - 1} from below, or -1 to -{size}"
        " from above"
      )
  return [int(text) for text in FLAGS.layers]


def extract(job: Job, stream: FeatureStream, writer) -> None:
  """Predicts all texts and writes their vectors."""
  with tempfile.TemporaryDirectory() as no_checkpoints:
    estimator = make_estimator(job, no_checkpoints)
    batches = estimators.predict(
      estimator, make_input_fn(stream), job.num_examples
    )
    try:
      write_in_order(batches, stream.waiting, writer, FLAGS.output_file)
    finally:
      stream.is_over = True
  if stream.error:
    raise stream.error


def make_estimator(job: Job, model_dir: str):
  """The estimator of the flags; `model_dir` is empty and stays so."""
  model_fn = model_fn_builder(
    job.config,
    job.init_checkpoint,
    job.layers,
    FLAGS.use_tpu,
    FLAGS.use_one_hot_embeddings or FLAGS.use_tpu,
    FLAGS.pooling,
    common_flags.encoder_options(),
  )
  return estimators.make_estimator(
    model_fn,
    output_dir=model_dir,
    train_batch_size=FLAGS.batch_size,  # TPUEstimator wants one
    eval_batch_size=FLAGS.batch_size,
    predict_batch_size=FLAGS.batch_size,
    **common_flags.estimator_options(),
  )


def make_input_fn(stream: FeatureStream):
  """Windows of any length; on TPU, all examples at their full length.

  Raises:
    ValueError: there are more examples than a TPU's graph can hold.
  """
  length = FLAGS.max_seq_length
  if not FLAGS.use_tpu:
    return streams.stream_input_fn(stream.rows(), schema(length))
  features = list(itertools.chain.from_iterable(stream.windows()))
  size = (
    4
    * len(features)
    * sum(max(spec.shape, default=1) for spec in schema(length).values())
  )
  if size > _MAX_GRAPH_BYTES:
    raise ValueError(
      f"{FLAGS.input_file} has {len(features)} texts, more than a TPU's graph"
      f" holds at --max_seq_length={length}: split the file"
    )
  return input_fn_builder(features, length, drop_remainder=True)


if __name__ == "__main__":
  define_flags()
  common_flags.run(main)
