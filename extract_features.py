# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Writes the vectors of a trained encoder for each token, or for each text.

In: one text per line, `A ||| B` for a pair, from a file or standard input; a
checkpoint. Out: one JSON line per text, or one NumPy, HDF5 or TFRecord file, in
the order of the input. Texts and vectors need not fit in memory.

Shapes: B batch, S sequence, D width of a vector.
"""

from __future__ import annotations

import dataclasses

from bert.training import entry, flags
from bert.training.long_text_flags import find_long_texts, LongTextOptions

POOLINGS = ("none", "cls", "mean", "max", "pooled")


@dataclasses.dataclass(frozen=True)
class Options(
  flags.ModelOptions, flags.TextOptions, flags.DeviceOptions, LongTextOptions
):
  """This script's flags."""

  init_checkpoint: str | None = flags.flag(
    None,
    "Trained weights: a prefix such as dir/bert_model.ckpt, or a folder that"
    " holds one checkpoint.",
    required=True,
    reads=True,
  )
  input_file: str | None = flags.flag(
    None,
    "File with one text per line, or `A ||| B` for a pair. With -, lines are"
    " read from standard input, and each is answered as it comes.",
    required=True,
    reads=True,
  )
  output_file: str | None = flags.flag(
    None,
    "File for the vectors. With -, they are JSON lines on standard output.",
    required=True,
    writes="files",
  )
  output_format: str = flags.flag(
    "json",
    "json: one object per line; npz and hdf5: arrays over all tokens or texts;"
    " tfrecord: one tf.Example per text.",
    choices=("json", "npz", "hdf5", "tfrecord"),
  )
  layers: tuple = flags.flag(
    ("-1", "-2", "-3", "-4"), "Layers to write: 0 is the first, -1 the last."
  )
  pooling: str = flags.flag(
    "none",
    "none: one vector per token. The other values give one vector per text and"
    " layer: cls is the first token's vector, mean and max are taken over the"
    " tokens, and pooled is the pooler's vector.",
    choices=POOLINGS,
  )
  align_to_words: bool = flags.flag(
    False,
    "For each token, also write which characters of the line it covers, and"
    " the number of its word.",
  )
  batch_size: int = flags.flag(32, "Texts per batch.", lower_bound=1)
  use_one_hot_embeddings: bool = flags.flag(
    False, "Look words up with a matrix product, which is faster on a TPU."
  )


if __name__ == "__main__":
  entry.parse(Options)  # --help ends here, before the slow imports

import bisect
import functools
import itertools
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence

import tensorflow.compat.v1 as tf
from absl import logging

import modeling
import optimization
import tokenization
from bert.files import reading
from bert.records import input_pipeline, packing, streams, vectors
from bert.records.packing import (  # noqa: F401  (the original's)
  truncate_seq_pair as _truncate_seq_pair,
)
from bert.tasks import task as tasks
from bert.tasks.layers import first_position, pool
from bert.training import checkpoints, cluster, devices, estimators, runs

PAIR_MARK = " ||| "
_WINDOW_BYTES = 2**28  # of vectors that may wait for their turn
_MAX_WINDOW = 8192  # texts
_MAX_GRAPH_BYTES = 2**31


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
  """All lines of a file as examples; a blank line is an example too."""
  return list(stream_examples(input_file))


def stream_examples(input_file: str) -> Iterator[InputExample]:
  """Yields the examples of a file as its lines are read.

  Args:
    input_file: path, or "-" for standard input.

  Raises:
    ValueError: the file can't be read, or is not UTF-8; names the byte.
  """
  for number, line in enumerate(reading.text_lines(input_file)):
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
  """An example as the encoder takes it; the three input lists are padded."""

  unique_id: int
  tokens: list[str]  # with [CLS] and [SEP], without padding
  input_ids: list[int]
  input_mask: list[int]
  input_type_ids: list[int]
  is_long: bool = False  # whether the text is over the length
  num_windows: int = 1  # of its text
  # With alignment, one per token, None for [CLS] and [SEP]:
  spans: list | None = None  # (start, end) in the line, in characters
  words: list | None = None  # number of the word; those of B follow those of A


def convert_examples_to_features(
  examples: Iterable[InputExample],
  seq_length: int,
  tokenizer: tokenization.FullTokenizer,
  align: bool = False,
  long_texts: packing.LongTexts = packing.CUT,
) -> list[InputFeatures]:
  """Tokenizes, cuts and pads examples.

  Args:
    examples: texts and pairs.
    seq_length: padded length, at least 3.
    tokenizer: its vocabulary has [CLS] and [SEP].
    align: also find the place of each token in its line; not with windows.
    long_texts: what is read of an example that is over the length.

  Returns:
    Their features, in the same order; an example can be several windows.
  """
  convert = _convert_aligned if align else _convert
  return [
    features
    for example in examples
    for features in convert(example, seq_length, tokenizer, long_texts)
  ]


def _convert(example, seq_length, tokenizer, long_texts):
  tokens_a = tokenizer.tokenize(example.text_a)
  # As in the original, a second text without tokens does not count.
  tokens_b = tokenizer.tokenize(example.text_b or "") or None
  return _pack(example, tokens_a, tokens_b, seq_length, tokenizer, long_texts)


def _pack(example, tokens_a, tokens_b, seq_length, tokenizer, long_texts):
  length = (
    len(tokens_a) + 2
    if tokens_b is None
    else (len(tokens_a) + len(tokens_b) + 3)
  )
  parts = packing.fitting_texts(tokens_a, tokens_b, seq_length, long_texts)
  windows = [packing.pack(*part, seq_length, tokenizer) for part in parts]
  return [
    InputFeatures(
      example.unique_id,
      packed.tokens,
      packed.input_ids,
      packed.input_mask,
      packed.segment_ids,
      is_long=length > seq_length,
      num_windows=len(windows),
    )
    for packed in windows
  ]


def _convert_aligned(example, seq_length, tokenizer, long_texts):
  tokens_a, *places_a = _align(example.text_a, example.start_a, 0, tokenizer)
  tokens_b, *places_b = _align(
    example.text_b or "",
    example.start_b,
    len(example.text_a.split()),
    tokenizer,
  )
  (found,) = _pack(
    example, tokens_a, tokens_b or None, seq_length, tokenizer, long_texts
  )
  size = len(found.tokens)
  if tokens_b:
    kept_a = size - sum(found.input_type_ids) - 2
  else:
    kept_a = size - 2
  kept = functools.partial(packing.kept_pieces, kind=long_texts.kind)
  found.spans, found.words = (
    [
      *(None, *kept(a, kept_a), None),
      *([*kept(b, size - kept_a - 3), None] if b else []),
    ]
    for a, b in zip(places_a, places_b)
  )
  return [found]


def _align(text, start, num_words, tokenizer):
  """The tokens of a text, their spans, and the numbers of their words.

  Args:
    text: part of a line.
    start: number of characters before it in the line.
    num_words: number of words before it.
    tokenizer: a FullTokenizer.
  """
  tokens, spans = tokenizer.tokenize_with_offsets(text)
  begun = [match.start() for match in re.finditer(r"\S+", text)]
  words = [
    num_words + max(bisect.bisect_right(begun, first), 1) - 1
    for first, _ in spans
  ]
  return tokens, [(start + a, start + b) for a, b in spans], words


def schema(seq_length: int) -> dict:
  """{name: tf.FixedLenFeature} of an example's inputs to the encoder."""
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
  """An input_fn over features in memory, in their order, at full length."""
  return input_pipeline.array_input_fn(
    [_row(feature) for feature in features], schema(seq_length), drop_remainder
  )


# ------------------------------------------------------------------ model


class Extraction(tasks.Task):
  """The vectors of some layers, or of the pooler. It only predicts."""

  name = "extraction"

  def __init__(self, layer_indexes: Sequence[int], pooling: str):
    self._layers, self._pooling = layer_indexes, pooling

  def encode(self, config, features, **options):
    named = {**features, "segment_ids": features["input_type_ids"]}
    getter = None if self._pooling == "pooled" else _without_pooler
    with tf.variable_scope("", custom_getter=getter):
      return super().encode(config, named, **options)

  def last_positions(self, features):
    is_first = self._pooling == "pooled"
    return first_position(features) if is_first else None

  def layers(self, encoder, features):
    """`layer_output_i`, float32 [B, S, D], or [B, D] with pooling."""
    outputs = [encoder.get_pooled_output()]
    if self._pooling != "pooled":
      found, mask = encoder.get_all_encoder_layers(), features["input_mask"]
      outputs = [pool(found[i], mask, self._pooling) for i in self._layers]
    return {f"layer_output_{i}": output for i, output in enumerate(outputs)}

  def scored(self, tensors, features):
    return tasks.Outputs({"unique_id": features["unique_ids"], **tensors})


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
  `layer_output_i`: float32 [B, S, D], or [B, D] with pooling. The pooling
  "pooled" ignores the layers; `layer_output_0` is then the pooler's vector.
  """

  options = estimators.GraphOptions(
    init_checkpoint,
    optimization.Options(use_tpu=use_tpu),
    compiled=devices.can_compile(use_tpu),
    encoder={
      "use_one_hot_embeddings": use_one_hot_embeddings,
      **(encoder_options or {}),
    },
  )
  task = Extraction(layer_indexes, pooling)
  model_fn = estimators.make_model_fn(task, bert_config, options)

  def predict_fn(features, labels, mode, params, config=None):
    if mode != tf.estimator.ModeKeys.PREDICT:
      raise ValueError(f"this model can only predict, not {mode}")
    return model_fn(features, labels, mode, params, config)

  return predict_fn


def _without_pooler(getter, name, *args, **options):
  """Makes the pooler's variables not trainable, so that the checkpoint need not
  have them: many released encoders have no pooler."""
  if name.startswith("bert/pooler/"):
    options["trainable"] = False
  return getter(name, *args, **options)


# ------------------------------------------------------------------- main


@dataclasses.dataclass
class Job:
  """One run: the model, and what to compute with it."""

  options: Options
  config: modeling.BertConfig
  tokenizer: tokenization.FullTokenizer
  init_checkpoint: str
  layers: Sequence[int]
  long_texts: packing.LongTexts
  num_examples: int | None  # None: lines come one by one

  @property
  def layout(self) -> vectors.Layout:
    return vectors.Layout(
      layers=self.layers,
      width=self.config.hidden_size,
      is_pooled=self.options.pooling != "none",
      is_aligned=self.options.align_to_words,
      longest_token=max(map(len, self.tokenizer.vocab)),
    )

  @property
  def window(self) -> int:
    """The number of texts to sort by length at a time: whole batches."""
    options = self.options
    numbers = max(len(self.layers), 1) * self.config.hidden_size
    if options.pooling == "none":
      numbers *= options.max_seq_length
    # A number has at most 12 characters in JSON, and 4 bytes elsewhere.
    size = numbers * (12 if options.output_format == "json" else 4)
    texts = min(_WINDOW_BYTES // size, _MAX_WINDOW)
    return max(texts // options.batch_size, 1) * options.batch_size


class FeatureStream:
  """The features of the examples; each is kept until it is written.

  Attributes:
    waiting: {place among the rows: InputFeatures}.
    error: what reading raised. Reading runs in a thread of TensorFlow's, so
      the stream ends there, and the error is raised again elsewhere.
    is_over: set this to end a stream that waits for lines.
  """

  def __init__(self, job: Job):
    self._job = job
    self.waiting = {}
    self.error = None
    self.is_over = False
    self.num_rows = self.num_texts = self.num_tokens = self.num_long = 0

  def rows(self) -> Iterator[list[dict]]:
    """Yields the inputs of the encoder, window by window."""
    try:
      for features in self.windows():
        yield [_row(feature) for feature in features]
    except Exception as error:
      self.error = error

  def windows(self) -> Iterator[list[InputFeatures]]:
    options, size = self._job.options, self._job.window
    examples = stream_examples(options.input_file)
    if self._job.num_examples is None:
      windows = streams.as_they_come(examples, size, lambda: self.is_over)
    else:
      windows = windows_of(examples, size)
    for window in windows:
      features = convert_examples_to_features(
        window,
        options.max_seq_length,
        self._job.tokenizer,
        options.align_to_words,
        self._job.long_texts,
      )
      self.num_texts += len(window)
      self.num_long += len({f.unique_id for f in features if f.is_long})
      for feature in features:
        self.waiting[self.num_rows] = feature
        self.num_rows += 1
        self.num_tokens += len(feature.tokens)
      yield features


_READ = {
  "cut": "cut",
  "head_tail": "cut in the middle",
  "windows": "read in windows",
}


def main(options: Options) -> None:
  job = prepare(options)
  runs.log_devices(options)
  stream = FeatureStream(job)
  path = options.output_file
  with vectors.whole_output(path, options.output_format, job.layout) as writer:
    extract(job, stream, writer)
  logging.info(
    f"wrote {path}: {stream.num_texts} texts, {stream.num_tokens} tokens;"
    f" {stream.num_long} texts were longer than"
    f" --max_seq_length={options.max_seq_length} and were"
    f" {_READ[job.long_texts.kind]}"
  )


def prepare(options: Options) -> Job:
  """Checks the options and files, so that mistakes show early."""
  cluster.check_devices(options)
  runs.check_precision(options)
  _check_output(options)
  long_texts = find_long_texts(options)
  if long_texts.kind == "windows" and options.pooling == "none":
    raise ValueError(
      "--long_texts=windows gives one vector per text: add --pooling=mean, or"
      " another"
    )
  config, tokenizer = runs.load_config_and_tokenizer(options)
  layers = find_layers(options, config)
  init_checkpoint = checkpoints.find_checkpoint(
    options.init_checkpoint, config, options.bert_config_file
  )
  num_examples = _count_examples(options.input_file)
  return Job(
    options,
    config,
    tokenizer,
    init_checkpoint,
    layers,
    long_texts,
    num_examples,
  )


def _count_examples(path):
  """The number of lines of a file; None for standard input."""
  if path == "-":
    return None
  count = sum(1 for _ in reading.text_lines(path))
  if not count:
    raise ValueError(f"{path} is empty: give one text per line")
  return count


def _check_output(options):
  """Raises ValueError if the output can't be written."""
  path = options.output_file
  if path == "-" and options.output_format != "json":
    raise ValueError(
      f"--output_file=- is for JSON lines: name a file for --output_format="
      f"{options.output_format}"
    )
  if "://" in path and options.output_format == "hdf5":
    raise ValueError(
      f"--output_file={path}: an HDF5 file can only be written to this machine:"
      " name a local file, or give another --output_format"
    )
  if options.align_to_words and options.pooling != "none":
    raise ValueError(
      "--align_to_words needs one vector per token: leave it out with"
      f" --pooling={options.pooling}"
    )
  if path != "-" and "://" not in path:
    _check_local_output(options)


def _check_local_output(options):
  path = options.output_file
  folder = os.path.dirname(path) or "."
  if os.path.isdir(path) or not os.path.isdir(folder):
    raise ValueError(
      f"--output_file={path}: this is a folder, or its folder is missing"
    )
  if os.path.exists(path) and not os.path.isfile(path):
    raise ValueError(
      f"--output_file={path}: this is not a plain file, and would be replaced"
      " by one: name another, or - for standard output"
    )


def find_layers(options: Options, config: modeling.BertConfig) -> list[int]:
  """The numbers in --layers; none for the pooler's vector.

  Raises:
    ValueError: the model has no such layer.
  """
  if options.pooling == "pooled":
    if "layers" in options.given:
      raise ValueError(
        "--pooling=pooled gives the pooler's vector, which belongs to no layer:"
        " leave out --layers"
      )
    return []
  size = config.num_hidden_layers
  if not options.layers:
    raise ValueError("--layers is empty: give numbers, such as -1,-2")
  for text in options.layers:
    if not re.fullmatch(r"\s*-?\d+\s*", text) or not -size <= int(text) < size:
      raise ValueError(
        f"--layers: there is no layer {text!r} in {options.bert_config_file},"
        f" which has {size}: give 0 to {size - 1} from below, or -1 to -{size}"
        " from above"
      )
  return [int(text) for text in options.layers]


def extract(job: Job, stream: FeatureStream, writer) -> None:
  """Predicts all texts and writes their vectors."""
  with tempfile.TemporaryDirectory() as no_checkpoints:
    estimator = make_estimator(job, no_checkpoints)
    batches = estimators.predict(
      estimator,
      make_input_fn(job, stream),
      None if job.long_texts.kind == "windows" else job.num_examples,
    )
    try:
      vectors.write_in_order(
        batches,
        stream.waiting,
        writer,
        job.options.output_file,
        job.long_texts.pooling,
      )
    finally:
      stream.is_over = True
  if stream.error:
    raise stream.error


def make_estimator(job: Job, model_dir: str):
  """The run's estimator; the folder `model_dir` is empty and stays empty."""
  options = job.options
  model_fn = model_fn_builder(
    job.config,
    job.init_checkpoint,
    job.layers,
    options.use_tpu,
    options.use_one_hot_embeddings or options.use_tpu,
    options.pooling,
    {"compute_dtype": tf.as_dtype(options.precision)},
  )
  return estimators.estimator_for(
    options, model_fn, options.batch_size, model_dir
  )


def make_input_fn(job: Job, stream: FeatureStream):
  """Windows of any length; on a TPU, all examples at full length.

  Raises:
    ValueError: there are more examples than a TPU's graph can hold.
  """
  length = job.options.max_seq_length
  if not job.options.use_tpu:
    return streams.stream_input_fn(stream.rows(), schema(length))
  features = list(itertools.chain.from_iterable(stream.windows()))
  size = (
    4
    * len(features)
    * sum(max(spec.shape, default=1) for spec in schema(length).values())
  )
  if size > _MAX_GRAPH_BYTES:
    raise ValueError(
      f"{job.options.input_file} has {len(features)} texts, more than a TPU's"
      f" graph holds at --max_seq_length={length}: split the file"
    )
  return input_fn_builder(features, length, drop_remainder=True)


if __name__ == "__main__":
  entry.run(main, Options)
