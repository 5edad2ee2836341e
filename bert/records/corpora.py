# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Batches from a corpus: more records than fit in memory, in many files.

In: record files and their layout. Out: an `input_fn(params)`. The order of a
pass over the files depends only on the seed and the number of the pass, so that
training that resumes finds its place again.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures

import tensorflow.compat.v1 as tf
from absl import logging

from bert.files import kept_files, reading
from bert.records import input_pipeline, packed_batches

_THREADS = 8  # files that are read at the same time to count their records
_SAMPLE = 10000  # records of a corpus that are checked before training
_FILES_AT_A_TIME = 16  # files whose records are mixed
_SHUFFLED = 10000  # records that are shuffled at a time


# Examples that are sorted by length and then cut into batches.
_POOL_EXAMPLES, _POOL_BATCHES = 8192, 64


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
  """Reads record files once, to count their records and check them.

  Args:
    paths: TFRecord files, each once.
    note_file: JSON file that keeps the counts, so that files that have not
      changed are not read again. None: the counts are not kept.
    skip_corrupted: use only the records before the first damaged one of a
      file, and log how much is lost.

  Returns:
    The files that have records, in order.

  Raises:
    ValueError: a file is damaged, or holds no record; the message names it.
  """
  for path in paths:
    reading.check_regular(path, "record file")
    path.encode("utf-8")  # raises what a user understands; TensorFlow would not
  # {path: [mark, count, damaged byte or None]}
  kept = kept_files.read_note(note_file) if note_file else {}
  kept = {path: found for path, found in kept.items() if _is_entry(found)}
  stats = {path: tf.io.gfile.stat(path) for path in paths}
  marks = {path: [s.length, s.mtime_nsec] for path, s in stats.items()}
  new = kept_files.changed(
    {path: found[0] for path, found in kept.items()}, marks
  )
  with futures.ThreadPoolExecutor(_THREADS) as pool:
    for path, found in zip(new, pool.map(_count, new)):
      kept[path] = [marks[path], *found]
  shards = []
  for path in paths:
    (size, _), count, damaged_byte = kept[path]
    _check_file(path, size, count, damaged_byte, skip_corrupted)
    shards.append(Shard(path, count))
  if new and note_file:
    kept_files.write_note(note_file, {path: kept[path] for path in paths})
  shards = [shard for shard in shards if shard.num_examples]
  if not shards:
    raise ValueError(f"{', '.join(paths)}: no record can be read")
  return shards


def _is_entry(found):
  """Whether a note's entry has the form of [mark, count, damaged byte]."""
  if not isinstance(found, list) or len(found) != 3:
    return False
  return isinstance(found[1], int) and isinstance(found[2], (int, type(None)))


def _check_file(path, size, count, damaged_byte, skip_corrupted):
  """Raises ValueError if a file is damaged, or warns with `skip_corrupted`."""
  if damaged_byte is None:
    if not count:
      raise ValueError(f"{path} holds no record")
    return
  damage = (
    f"{path} is damaged at byte {damaged_byte} of {size}, after {count} records"
  )
  if not skip_corrupted:
    raise ValueError(
      f"{damage}: make or copy it again, or leave out the rest of it with"
      " --skip_corrupted"
    )
  logging.warning(
    f"{damage}: its last {size - damaged_byte} bytes are left out"
  )


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


def sample_lengths(
  shards: Sequence[Shard], schema: Mapping, sizes: Mapping[str, int]
) -> list[int]:
  """Checks the first records of every file, and returns their lengths.

  Args:
    shards: the files.
    schema: {name: tf.FixedLenFeature}, the layout they should have.
    sizes: {column: how many values, from 0, the model takes}.

  Returns:
    The number of tokens in each record.

  Raises:
    ValueError: a record has another layout, or a value that the model does not
      take; the message names file, column and value.
  """
  lengths = []
  for shard in shards:
    most = min(shard.num_examples, max(_SAMPLE // len(shards), 1))
    records = tf.python_io.tf_record_iterator(shard.path)
    for record in itertools.islice(records, most):
      values = input_pipeline.read_checked(shard.path, record, schema, sizes)
      lengths.append(sum(values["input_mask"]))
  return lengths


def first_lengths(shards: Sequence[Shard], count: int) -> list[int]:
  """The tokens of the first records, in the order of the files.

  Args:
    shards: the files, whose records `sample_lengths` has checked.
    count: how many records; fewer, if there are not so many.
  """
  records = itertools.chain.from_iterable(
    itertools.islice(
      tf.python_io.tf_record_iterator(shard.path), shard.num_examples
    )
    for shard in shards
  )
  return [
    sum(
      tf.train.Example.FromString(record)
      .features.feature["input_mask"]
      .int64_list.value
    )
    for record in itertools.islice(records, count)
  ]


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
  packer: packed_batches.Packer | None = None,
):
  """An `input_fn` of a corpus of record files.

  Training reads the corpus again and again. The seed and the number of a pass
  decide its order: the files are shuffled, records of several files take turns,
  and records are shuffled within a window. Examples that were used before are
  skipped. All hosts and workers number the examples alike, and each takes its
  own share.

  Args:
    shards: the files.
    schema: {name: tf.FixedLenFeature}.
    is_training: if not, each example comes once, in the order of the files.
    drop_remainder: like `bounds`, see `input_pipeline.input_fn_builder`.
    bounds: empty: batches are never cut.
    random_seed: of the order.
    first_example: the number of examples that training used before.
    num_examples: how many to read when not training; None: all.
    transform: `(example's number, int64 scalar, example) -> example`.
    packer: as in `input_pipeline.input_fn_builder`.

  Returns:
    `input_fn(params, input_context=None)`, as of `input_fn_builder`.
  """

  def example(number, record):
    parsed = input_pipeline.decode_record(record, schema)
    return transform(number, parsed) if transform else parsed

  def input_fn(params, input_context=None):
    batch_size = params["batch_size"]
    if not is_training:
      dataset, count = _examples_in_order(shards, example, num_examples)
      dataset = input_pipeline.batch_in_order(
        *(dataset, count, batch_size, drop_remainder, bounds, schema),
        packer,
      )
      return input_pipeline.ahead(dataset, tf.data.AUTOTUNE)
    dataset = _training_batches(
      *(shards, example, schema, params.get("context"), batch_size),
      *(bounds, random_seed, first_example, packer),
    )
    if input_context:
      share = input_pipeline.replica_shares
      dataset = share(dataset, batch_size, input_context)
    return input_pipeline.ahead(dataset, tf.data.AUTOTUNE)

  return input_fn


def _examples_in_order(shards, example, num_examples):
  """A dataset of the first examples, and how many it has."""
  count = sum(shard.num_examples for shard in shards)
  count = min(count, num_examples or count)
  dataset = tf.data.Dataset.from_tensor_slices(_columns(shards))
  dataset = dataset.flat_map(_records).take(count).enumerate()
  return dataset.map(example, tf.data.AUTOTUNE), count


def _training_batches(
  shards,
  example,
  schema,
  context,
  batch_size,
  bounds,
  random_seed,
  first_example,
  packer,
):
  """The batches from `first_example` on, a host's share of them."""
  hosts = input_pipeline.num_hosts(context)
  start = first_example
  if packer:  # a pool is made again from its first example on
    start -= start % (packer.pool_size(batch_size, True) * hosts)
  elif bounds:
    start -= start % _pool_size(batch_size)
  dataset = _endless(shards, random_seed, start)
  dataset = input_pipeline.host_share(dataset, context).map(
    example, tf.data.AUTOTUNE
  )
  if packer:
    dataset = packer.batches(dataset, batch_size, True, hosts)
  elif bounds:
    dataset = _batch_pools(
      dataset, schema, bounds, batch_size, random_seed, start
    )
  else:
    dataset = dataset.batch(batch_size, drop_remainder=True)
  return dataset.skip((first_example - start) // (batch_size * hosts))


def _columns(shards):
  """The files' paths and counts as tensors."""
  paths = tf.constant([shard.path for shard in shards])
  return paths, tf.constant([s.num_examples for s in shards], tf.int64)


def _records(path, count):
  return tf.data.TFRecordDataset(path).take(count)


def _endless(shards, random_seed, first_example):
  """Endless dataset of (number, record), from `first_example` on."""
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


def _batch_pools(
  dataset, schema, bounds, batch_size, random_seed, first_example
):
  """Batches of similar length: pools are sorted, cut into batches and shuffled.

  A bucket would hold examples back until it is full; a pool holds none back, so
  the number of steps says which examples training has used.
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
      return input_pipeline.cut(chosen, bound, schema)

    return tf.data.Dataset.from_tensor_slices(rows).map(batch)

  pools = dataset.batch(size, drop_remainder=True)
  return pools.enumerate(first_example // size).flat_map(batches)
