# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Turns TFRecord files into batches for TPUEstimator.

In: files of padded tf.Examples and the table that declares their layout. Out:
an `input_fn(params)` whose dataset gives `{name: [B, ...]}`, int32 for int64.

On TPU every batch has the same static shape. Elsewhere, examples are grouped
by length into buckets and each batch is cut to its bucket's bound, so that
little padding is computed. Batches for evaluation and prediction carry
`example_index`, the record's place in the files, so that results can be put
back in order; it is -1 for the padding that fills the last batch on TPU.

A corpus is more than fits in memory, in many files. Each pass over it has an
order of its own that follows from the seed and the number of the pass, so that
training that goes on finds its place again.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import queue
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures

import numpy as np
import tensorflow.compat.v1 as tf
from absl import logging
from google.protobuf.message import DecodeError

import files

# What has one value a position or word in every kind of record, and is cut to
# length.
_PER_POSITION = (
  *("input_ids", "input_mask", "segment_ids"),
  *("word_positions", "tag_ids", "is_scored"),
)
_LOOK_SECONDS = 0.2  # between two looks whether more is wanted
_MAX_BUCKETS = 8
_BOUND_MULTIPLE = 8  # lengths that suit vector units
_THREADS = 8  # files that are read at a time, to count their records
_SAMPLE = 10000  # records of a corpus that are looked at before training
_FILES_AT_A_TIME = 16  # whose records are mixed
_SHUFFLED = 10000  # records that are shuffled at a time
# Examples that are sorted by length and then cut into batches.
_POOL_EXAMPLES, _POOL_BATCHES = 8192, 64


def bucket_bounds(
  lengths: Sequence[int],
  max_seq_length: int,
  min_examples: int = 1,
  max_buckets: int = _MAX_BUCKETS,
) -> list[int]:
  """Chooses the bounds that leave the least padding in `lengths`.

  A dynamic programme over the histogram of lengths, rounded up to multiples
  of 8: best[k][j] is the least number of positions that k buckets need for
  all examples of up to the j-th rounded length.

  Args:
    lengths: tokens of each example.
    max_seq_length: the padded length, which no bound exceeds.
    min_examples: of a bucket; fewer go into the next longer one.
    max_buckets: at most this many bounds.

  Returns:
    Ascending bounds, none below the longest example.
  """
  rounded = -(-np.asarray(lengths) // _BOUND_MULTIPLE) * _BOUND_MULTIPLE
  values, counts = np.unique(
    np.minimum(rounded, max_seq_length), return_counts=True
  )
  total = np.concatenate([[0], np.cumsum(counts)])
  size = len(values)
  best = np.full((max_buckets + 1, size + 1), np.inf)
  start = np.zeros((max_buckets + 1, size + 1), int)
  best[0, 0] = 0
  for k in range(1, max_buckets + 1):
    for j in range(1, size + 1):
      taken = total[j] - total[:j]
      cost = best[k - 1, :j] + taken * values[j - 1]
      if j < size or np.isfinite(cost[taken >= min_examples]).any():
        cost = np.where(taken >= min_examples, cost, np.inf)
      start[k, j] = np.argmin(cost)
      best[k, j] = cost[start[k, j]]
  k, j = int(np.argmin(best[:, size])), size
  bounds = []
  while j > 0:
    bounds.append(int(values[j - 1]))
    k, j = k - 1, start[k, j]
  return bounds[::-1]


def describe(
  lengths: Sequence[int], max_seq_length: int, bounds: Sequence[int]
) -> str:
  """How many examples of what length there are, and how much is padding."""
  text = f"{len(lengths)} examples, {np.mean(lengths):.1f} tokens on average"
  padded = _padding_share(lengths, [max_seq_length])
  if not bounds:
    return f"{text}, {padded:.1%} of what is computed is padding"
  return (
    f"{text}, cut to lengths {', '.join(map(str, bounds))}:"
    f" {_padding_share(lengths, bounds):.1%} of what is computed is padding"
    f" ({padded:.1%} without)"
  )


def _padding_share(lengths, bounds):
  """The share of positions that are padding if batches are cut to `bounds`."""
  places = np.searchsorted(bounds, lengths)
  return float(1 - np.sum(lengths) / np.sum(np.asarray(bounds)[places]))


def check_records(path: str, schema: Mapping) -> None:
  """Compares the first record of a file with the layout it should have.

  Raises:
    ValueError: the file holds no record, is corrupted, or was made with other
      lengths than `schema` says; both numbers are named.
  """
  try:
    record = next(tf.python_io.tf_record_iterator(path), None)
  except tf.errors.DataLossError:
    raise ValueError(f"{path} is not a TFRecord file, or damaged") from None
  if record is None:
    raise ValueError(f"{path} holds no record")
  _read_checked(path, record, schema)


def _read_checked(path, record, schema):
  """{name: values} of a record that has the layout of `schema`."""
  try:
    found = tf.train.Example.FromString(record).features.feature
  except DecodeError:
    raise ValueError(f"{path} holds records that are no tf.Examples") from None
  values = {}
  for name, spec in schema.items():
    if name not in found:
      raise ValueError(
        f"{path} has no {name!r} in its records, which hold"
        f" {', '.join(sorted(found))}: was it made for another task?"
      )
    values[name] = found[name].int64_list.value or found[name].float_list.value
    wanted = int(np.prod(spec.shape, dtype=int))
    if len(values[name]) != wanted:
      flag = "max_seq_length"
      if name.startswith("masked_lm_"):
        flag = "max_predictions_per_seq"
      raise ValueError(
        f"{path} was made with {len(values[name])} values of {name!r} a record,"
        f" but the flags ask for {wanted}: make the records again or change"
        f" --{flag}"
      )
  return values


# ----------------------------------------------------------------- corpora


@dataclasses.dataclass(frozen=True)
class Shard:
  """One record file of a corpus."""

  path: str
  num_examples: int  # that can be read, from the first on


def count_examples(
  paths: Sequence[str],
  note_file: str | None = None,
  skip_corrupted: bool = False,
) -> list[Shard]:
  """Reads record files through once, to count and to verify what they hold.

  Args:
    paths: TFRecord files, each once.
    note_file: JSON file that keeps the counts: files that have not changed
      since are not read again. None: they are not kept.
    skip_corrupted: leave out what follows on the first damaged record of a
      file, and tell how much that is.

  Returns:
    Those files that have records, in order.

  Raises:
    ValueError: a file is damaged, or holds no record; it is named.
  """
  kept = _read_counts(note_file)
  stats = {path: tf.io.gfile.stat(path) for path in paths}
  marks = {path: [s.length, s.mtime_nsec] for path, s in stats.items()}
  new = [path for path in paths if kept.get(path, [None])[0] != marks[path]]
  with futures.ThreadPoolExecutor(_THREADS) as pool:
    for path, found in zip(new, pool.map(_count, new)):
      kept[path] = [marks[path], *found]
  shards = []
  for path in paths:
    (size, _), count, damaged_byte = kept[path]
    _check_file(path, size, count, damaged_byte, skip_corrupted)
    shards.append(Shard(path, count))
  if new and note_file:
    with files.whole(note_file) as partial:
      with tf.io.gfile.GFile(partial, "w") as writer:
        json.dump({path: kept[path] for path in paths}, writer)
  shards = [shard for shard in shards if shard.num_examples]
  if not shards:
    raise ValueError(f"{', '.join(paths)}: no record can be read")
  return shards


def _check_file(path, size, count, damaged_byte, skip_corrupted):
  """Tells what is damaged, as an error or as a warning."""
  if damaged_byte is None:
    if not count:
      raise ValueError(f"{path} holds no record")
    return
  told = (
    f"{path} is damaged at byte {damaged_byte} of {size}, after {count} records"
  )
  if not skip_corrupted:
    raise ValueError(
      f"{told}: make or copy it again, or leave out the rest of it with"
      " --skip_corrupted"
    )
  logging.warning(f"{told}: its last {size - damaged_byte} bytes are left out")


def _count(path):
  """The number of whole records, and the byte where the first damage is."""
  count = 0
  try:
    for _ in tf.python_io.tf_record_iterator(path):
      count += 1
  except tf.errors.DataLossError as error:
    place = re.search(r"record at (\d+)", error.message)
    return count, int(place.group(1)) if place else 0
  return count, None


def _read_counts(note_file):
  """{path: [mark, count, damaged byte or None]} of earlier runs."""
  if not note_file or not tf.io.gfile.exists(note_file):
    return {}
  with tf.io.gfile.GFile(note_file) as reader:
    try:
      return dict(json.load(reader))
    except (TypeError, ValueError):
      return {}


def sample_lengths(
  shards: Sequence[Shard], schema: Mapping, vocab_size: int
) -> list[int]:
  """Checks the first records of every file, and tells their lengths.

  Args:
    shards: the files.
    schema: {name: tf.FixedLenFeature}, the layout they should have.
    vocab_size: what ids have to be under.

  Returns:
    How many tokens each record has.

  Raises:
    ValueError: a record has another layout, or an id over the vocabulary.
  """
  lengths = []
  for shard in shards:
    most = min(shard.num_examples, max(_SAMPLE // len(shards), 1))
    records = tf.python_io.tf_record_iterator(shard.path)
    for record in itertools.islice(records, most):
      values = _read_checked(shard.path, record, schema)
      largest = max(values["input_ids"])
      if largest >= vocab_size:
        raise ValueError(
          f"{shard.path} holds the id {largest}, but the model's vocab_size is"
          f" {vocab_size}: the records were made with another vocabulary"
        )
      lengths.append(sum(values["input_mask"]))
  return lengths


def corpus_input_fn_builder(
  shards: Sequence[Shard],
  schema: Mapping,
  is_training: bool,
  drop_remainder: bool,
  bounds: Sequence[int] = (),
  random_seed: int = 0,
  first_example: int = 0,
  num_examples: int | None = None,
  transform: Callable | None = None,
):
  """Makes an `input_fn` from a corpus of record files.

  Training reads the corpus again and again. The order of each pass follows
  from the seed and its number: that of the files, of the records of several
  files by turns, and of records within a window. What was used before is
  skipped unparsed, and an example's place in this order is its number, on all
  hosts and workers alike: each takes its own of the same order.

  Args:
    shards: the files.
    schema: {name: tf.FixedLenFeature}.
    is_training: or else each example comes once, in the order of the files.
    drop_remainder: as of `input_fn_builder`.
    bounds: as of `input_fn_builder`; empty: never cut.
    random_seed: of the order.
    first_example: how many were used before, in training.
    num_examples: how many come, if not in training; None: all.
    transform: `(number, example) -> example`, such as drawing a mask; the
      number is an int64 scalar, the example's place in the order.

  Returns:
    `input_fn(params, input_context=None)`, as of `input_fn_builder`.
  """

  def example(number, record):
    parsed = _parse(record, schema)
    return transform(number, parsed) if transform else parsed

  def evaluation(batch_size):
    count = sum(shard.num_examples for shard in shards)
    count = min(count, num_examples or count)
    dataset = tf.data.Dataset.from_tensor_slices(_columns(shards))
    dataset = dataset.flat_map(_records).take(count).enumerate()
    dataset = dataset.map(example, tf.data.AUTOTUNE)
    return _batch_in_order(dataset, count, batch_size, drop_remainder, bounds)

  def input_fn(params, input_context=None):
    batch_size = params["batch_size"]
    if not is_training:
      return _ahead(evaluation(batch_size), tf.data.AUTOTUNE)
    dataset = _training_batches(
      *(shards, example, params.get("context"), batch_size),
      *(bounds, random_seed, first_example),
    )
    if input_context:
      dataset = _replica_shares(dataset, batch_size, input_context)
    return _ahead(dataset, tf.data.AUTOTUNE)

  return input_fn


def _training_batches(
  shards, example, context, batch_size, bounds, random_seed, first_example
):
  """The batches from `first_example` on, a host's share of them."""
  start = first_example
  if bounds:  # a pool is made again from its first example on
    start -= start % _pool_size(batch_size)
  dataset = _endless(shards, random_seed, start)
  dataset = _host_share(dataset, context).map(example, tf.data.AUTOTUNE)
  if not bounds:
    return dataset.batch(batch_size, drop_remainder=True)
  dataset = _batch_pools(dataset, bounds, batch_size, random_seed, start)
  return dataset.skip((first_example - start) // batch_size)


def _columns(shards):
  """The files' paths and counts as tensors."""
  paths = tf.constant([shard.path for shard in shards])
  return paths, tf.constant([s.num_examples for s in shards], tf.int64)


def _records(path, count):
  return tf.data.TFRecordDataset(path).take(count)


def _endless(shards, random_seed, first_example):
  """Dataset of (number, record), from `first_example` on without end."""
  columns = _columns(shards)
  each_pass = sum(shard.num_examples for shard in shards)
  first_pass, used = divmod(first_example, each_pass)

  def one_pass(number):
    seed = tf.stack([tf.cast(random_seed, tf.int64), number])
    order = tf.random.experimental.stateless_shuffle(
      tf.range(len(shards)), seed, alg="philox"
    )
    files = tf.data.Dataset.from_tensor_slices(
      tuple(tf.gather(column, order) for column in columns)
    )
    records = files.interleave(
      _records,
      cycle_length=min(len(shards), _FILES_AT_A_TIME),
      num_parallel_calls=tf.data.AUTOTUNE,
      deterministic=True,
    )
    return records.shuffle(
      min(each_pass, _SHUFFLED), random_seed + number, False
    )

  passes = tf.data.Dataset.range(first_pass, tf.int64.max)
  return passes.flat_map(one_pass).skip(used).enumerate(first_example)


def _pool_size(batch_size):
  """How many examples are sorted at a time, a multiple of the batch."""
  batches = min(_POOL_BATCHES, _POOL_EXAMPLES // batch_size)
  return max(batches, 1) * batch_size


def _batch_pools(dataset, bounds, batch_size, random_seed, first_example):
  """Batches of like length: pools are sorted, cut and put out of order.

  Unlike buckets that fill, a pool holds nothing back, so that where training
  stands follows from the number of its steps.
  """
  size = _pool_size(batch_size)
  # A sample may have missed the longest examples.
  bounds = [*bounds, int(dataset.element_spec["input_mask"].shape[0])]

  def batches(number, pool):
    lengths = tf.reduce_sum(pool["input_mask"], axis=1)
    rows = tf.reshape(tf.argsort(lengths, stable=True), [-1, batch_size])
    seed = tf.stack([tf.cast(random_seed, tf.int64), number])
    rows = tf.random.experimental.stateless_shuffle(rows, seed, alg="philox")

    def batch(rows):
      longest = tf.reduce_max(tf.gather(lengths, rows))
      place = tf.searchsorted(bounds, [longest])[0]
      bound = tf.gather(bounds, place)
      chosen = {name: tf.gather(v, rows) for name, v in pool.items()}
      return _cut(chosen, bound)

    return tf.data.Dataset.from_tensor_slices(rows).map(batch)

  pools = dataset.batch(size, drop_remainder=True)
  return pools.enumerate(first_example // size).flat_map(batches)


# ----------------------------------------------------------------- batches


def input_fn_builder(
  files: Sequence[str],
  schema: Mapping,
  is_training: bool,
  drop_remainder: bool,
  num_examples: int,
  bounds: Sequence[int] = (),
  random_seed: int | None = None,
):
  """Makes an `input_fn` from TFRecord files.

  Args:
    files: TFRecord files, read in this order.
    schema: {name: tf.FixedLenFeature}.
    is_training: shuffle all examples anew each epoch, and repeat for ever.
    drop_remainder: give whole batches only (static shapes, for TPU); when not
      training, the last batch is filled with zeros and `example_index` -1.
    num_examples: how many records the files hold.
    bounds: ascending lengths that batches are cut to; empty: never cut.
    random_seed: of the order of examples.

  Returns:
    `input_fn(params, input_context=None)` -> tf.data.Dataset;
    `params["batch_size"]` is the batch size over all replicas,
    `params["context"]`, where there is one, the TPU host's share, and
    `input_context` the share of one of the workers of a tf.distribute
    strategy.
  """

  def input_fn(params, input_context=None):
    batch_size = params["batch_size"]
    dataset = tf.data.TFRecordDataset(files)
    if is_training:
      dataset = _host_share(dataset, params.get("context"))
      dataset = dataset.shuffle(num_examples, seed=random_seed).repeat()
    dataset = dataset.map(
      lambda record: _parse(record, schema), tf.data.AUTOTUNE
    )
    if is_training:
      dataset = _batch(dataset, batch_size, drop_remainder, bounds)
    else:
      dataset = _batch_in_order(
        dataset, num_examples, batch_size, drop_remainder, bounds
      )
    if is_training and input_context:
      dataset = _replica_shares(dataset, batch_size, input_context)
    return _ahead(dataset, tf.data.AUTOTUNE)

  return input_fn


def batch_input_fn(
  records,
  schema: Mapping,
  is_training: bool,
  train_batch_size: int,
  buckets: str | Sequence[int],
  drop_remainder: bool,
  random_seed: int | None = None,
):
  """`input_fn_builder` over one file, with bounds that suit its examples.

  Args:
    records: `features.RecordFile`; its lengths are told in the log.
    schema: {name: tf.FixedLenFeature}.
    is_training: as of `input_fn_builder`.
    train_batch_size: examples a training step.
    buckets: ascending lengths, none, or "auto": chosen from the lengths.
    drop_remainder: as of `input_fn_builder`.
    random_seed: of the order of examples.
  """
  longest = schema["input_ids"].shape[-1]
  if buckets == "auto":
    # While training, a bucket should not wait for long until it is full.
    fewest = 4 * train_batch_size if is_training else 1
    buckets = bucket_bounds(records.lengths, longest, fewest)
  name = os.path.basename(records.path).partition(".")[0]
  logging.info(f"{name}: {describe(records.lengths, longest, buckets)}")
  return input_fn_builder(
    [records.path],
    schema,
    is_training,
    drop_remainder,
    records.num_examples,
    buckets,
    random_seed,
  )


def array_input_fn(
  rows: Sequence[Mapping], schema: Mapping, drop_remainder: bool
):
  """Makes an `input_fn` from examples in memory, in their order, never cut.

  Args:
    rows: {name: int or list}, by `schema`.
    schema: {name: tf.FixedLenFeature} of integers.
    drop_remainder: as of `input_fn_builder`.

  Returns:
    `input_fn(params)`, as of `input_fn_builder`, not for training.
  """
  arrays = {
    name: np.array([row[name] for row in rows], np.int32) for name in schema
  }

  def input_fn(params):
    dataset = tf.data.Dataset.from_tensor_slices(arrays)
    dataset = _batch_in_order(
      dataset, len(rows), params["batch_size"], drop_remainder, ()
    )
    return _ahead(dataset, 1)

  return input_fn


def stream_input_fn(windows: Iterable[Sequence[Mapping]], schema: Mapping):
  """Makes an `input_fn` from examples that need not fit in memory; once.

  The examples of a window are sorted by length, and each batch of them is cut
  to its longest. A batch is made as soon as its window is there.

  Args:
    windows: lists of {name: int or list}, by `schema`.
    schema: {name: tf.FixedLenFeature} of integers; lists are cut as long as
      `input_mask` says.

  Returns:
    `input_fn(params)`, as of `input_fn_builder`, not for TPU.
  """

  names = [*schema, "example_index"]

  def batches(batch_size):
    places = itertools.count()
    for window in windows:
      rows = [{**row, "example_index": next(places)} for row in window]
      rows.sort(key=lambda row: sum(row["input_mask"]))
      for start in range(0, len(rows), batch_size):
        chosen = rows[start : start + batch_size]
        bound = sum(chosen[-1]["input_mask"])
        bound = -(-bound // _BOUND_MULTIPLE) * _BOUND_MULTIPLE
        yield {name: _stack(chosen, name, bound) for name in names}

  def input_fn(params):
    dataset = tf.data.Dataset.from_generator(
      lambda: batches(params["batch_size"]),
      dict.fromkeys(names, tf.int32),
      {
        name: [None] * (2 if name in schema and schema[name].shape else 1)
        for name in names
      },
    )
    return _ahead(dataset, 1)

  return input_fn


def _stack(rows, name, bound):
  """A column of rows; lists are cut."""
  values = [row[name] for row in rows]
  if isinstance(values[0], list):
    values = [value[:bound] for value in values]
  return np.array(values, np.int32)


def as_they_come(
  things: Iterable, most: int, is_over: Callable[[], bool] | None = None
) -> Iterator[list]:
  """Yields lists of what has come, without waiting for more.

  Args:
    things: read in a thread of its own, which may wait for each.
    most: of the longest list, and read ahead.
    is_over: whether no more are wanted; None: all are.

  Yields:
    Lists of one thing or more.

  Raises:
    What reading raises, once the things before are given.
  """
  arrived, end, errors = queue.Queue(most), object(), []

  def read():
    try:
      for thing in things:
        arrived.put(thing)
    except Exception as error:
      errors.append(error)
    arrived.put(end)

  threading.Thread(target=read, daemon=True).start()
  is_open = True
  while is_open and not (is_over and is_over()):
    try:
      batch = [arrived.get(timeout=_LOOK_SECONDS if is_over else None)]
    except queue.Empty:
      continue
    while batch[-1] is not end and len(batch) < most and not arrived.empty():
      batch.append(arrived.get())
    is_open = batch[-1] is not end
    if not is_open:
      batch.pop()
    if batch:
      yield batch
  if errors:
    raise errors[0]


class InputOrder:
  """Gives things in the order of their places, from 0 on."""

  def __init__(self):
    self._waiting, self._following = {}, 0

  def add(self, place: int, thing) -> Iterator:
    """Yields what is next, once it is there."""
    self._waiting[place] = thing
    while self._following in self._waiting:
      yield self._waiting.pop(self._following)
      self._following += 1


def in_input_order(batches, names: Sequence[str]) -> Iterator[dict]:
  """Puts the examples of predicted batches back in the order of the files.

  Args:
    batches: iterable of {name: array [B, ...]}, with `example_index` [B].
    names: which of them to give.

  Yields:
    {name: array [...]} of one example after the other. Only what came too
    early is held in memory.
  """
  order = InputOrder()
  for batch in batches:
    for row, index in enumerate(batch["example_index"]):
      if index >= 0:
        yield from order.add(
          int(index), {name: batch[name][row] for name in names}
        )


def _batch_in_order(dataset, num_examples, batch_size, drop_remainder, bounds):
  """Batches with `example_index`, the last filled up if batches are whole."""
  dataset = dataset.enumerate().map(_with_index)
  if drop_remainder:
    dataset = dataset.concatenate(_padding(dataset, -num_examples % batch_size))
  return _batch(dataset, batch_size, drop_remainder, bounds)


def _batch(dataset, batch_size, drop_remainder, bounds):
  if drop_remainder or not bounds:
    return dataset.batch(batch_size, drop_remainder=drop_remainder)
  return _batch_by_length(dataset, bounds, batch_size)


def _parse(record, schema):
  """One serialised example as {name: tensor}, int64 narrowed to int32."""
  example = tf.io.parse_single_example(record, dict(schema))
  return {
    name: tf.cast(value, tf.int32) if value.dtype == tf.int64 else value
    for name, value in example.items()
  }


def _ahead(dataset, count):
  """Makes `count` batches ahead of their use (AUTOTUNE: as many as suit).

  Nothing else is tuned: tf.data's autotuner looks at its pipeline ever more
  rarely, up to once a minute, and a session that closes waits for that.
  """
  options = tf.data.Options()
  options.autotune.enabled = False
  return dataset.prefetch(count).with_options(options)


def _with_index(index, example):
  return {**example, "example_index": tf.cast(index, tf.int32)}


def _padding(dataset, count):
  """`count` all-zero examples of the form of `dataset`, with index -1."""
  zeros = {
    name: tf.zeros(spec.shape, spec.dtype)
    for name, spec in dataset.element_spec.items()
  }
  zeros["example_index"] = tf.constant(-1, tf.int32)
  return tf.data.Dataset.from_tensors(zeros).repeat(count)


def _host_share(dataset, context):
  """The share of records that this host of a TPU pod reads."""
  if context is None or context.num_hosts == 1:
    return dataset
  return dataset.shard(context.num_hosts, context.current_host)


def _replica_shares(dataset, batch_size, context):
  """Cuts each batch into a part a replica, and gives those of this worker.

  Every worker makes the same batches, by the seed, so that together they see
  what one process would.
  """
  size = batch_size // context.num_replicas_in_sync
  replicas = context.num_replicas_in_sync // context.num_input_pipelines
  first = context.input_pipeline_id * replicas

  def parts(batch):
    def part(replica):
      rows = slice(replica * size, (replica + 1) * size)
      return {name: value[rows] for name, value in batch.items()}

    return tf.data.Dataset.range(first, first + replicas).map(part)

  return dataset.flat_map(parts)


def _batch_by_length(dataset, bounds, batch_size):
  """Batches of examples from one bucket each, cut to the bucket's bound."""

  def bucket(example):
    # Of a record that has several sequences, the longest counts.
    length = tf.reduce_max(tf.reduce_sum(example["input_mask"], axis=-1))
    return tf.searchsorted(bounds, [length], out_type=tf.int64)[0]

  def batch(key, examples):
    bound = tf.gather(bounds, key)
    return examples.batch(batch_size).map(lambda rows: _cut(rows, bound))

  return dataset.apply(
    tf.data.experimental.group_by_window(bucket, batch, batch_size)
  )


def _cut(batch, bound):
  """A batch's first `bound` positions."""
  return {
    name: value[..., :bound] if name in _PER_POSITION else value
    for name, value in batch.items()
  }
