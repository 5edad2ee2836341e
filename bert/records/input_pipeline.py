# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Turns TFRecord files into batches for TPUEstimator.

In: files of padded tf.Examples and their schema. Out: an `input_fn(params)`
whose dataset yields `{name: [B, ...]}`, with int64 values cast to int32.

On TPU every batch has the same static shape. Elsewhere, examples are grouped
by length into buckets and each batch is cut to its bucket's bound, which saves
computing padding. Batches for evaluation and prediction carry `example_index`,
the record's position in the files, which puts results back in order. It is -1
for the zero examples that fill up the last batch on TPU.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow.compat.v1 as tf
from absl import logging
from google.protobuf.message import DecodeError

from bert.files import reading
from bert.records import packed_batches, record_files

_MAX_BUCKETS = 8
BOUND_MULTIPLE = 8  # bounds are multiples of 8, which suit vector units


def bucket_bounds(
  lengths: Sequence[int],
  max_seq_length: int,
  min_examples: int = 1,
  max_buckets: int = _MAX_BUCKETS,
  bucket_price: float = 0.0,
) -> list[int]:
  """Chooses the bounds that cost the fewest positions.

  A dynamic programme over the histogram of lengths, rounded up to multiples
  of 8: best[k][j] is the smallest number of positions that k buckets need for
  all examples up to the j-th rounded length. Of all k, the one with the
  smallest sum of these positions and k prices is chosen.

  Args:
    lengths: the number of tokens in each example.
    max_seq_length: the padded length; no bound exceeds it.
    min_examples: the fewest examples in a bucket, where possible.
    max_buckets: the largest number of bounds.
    bucket_price: what each bucket costs, such as the time to compile for its
      length, in positions that could be computed instead, while all `lengths`
      are computed once.

  Returns:
    Ascending bounds; the last one fits the longest example.
  """
  rounded = -(-np.asarray(lengths) // BOUND_MULTIPLE) * BOUND_MULTIPLE
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
      if k > 1 or j < size:  # one bucket for all is always allowed
        cost = np.where(taken >= min_examples, cost, np.inf)
      start[k, j] = np.argmin(cost)
      best[k, j] = cost[start[k, j]]
  prices = np.arange(max_buckets + 1) * bucket_price
  k, j = int(np.argmin(best[:, size] + prices)), size
  bounds = []
  while j > 0:
    bounds.append(int(values[j - 1]))
    k, j = k - 1, start[k, j]
  return bounds[::-1]


def describe(
  lengths: Sequence[int],
  max_seq_length: int,
  bounds: Sequence[int],
  is_packed: bool = False,
) -> str:
  """Describes the number of examples, their lengths and the padding."""
  text = f"{len(lengths)} examples, {np.mean(lengths):.1f} tokens on average"
  padded = _padding_share(lengths, [max_seq_length])
  if is_packed:
    return f"{text}, packed ({padded:.1%} is padding before)"
  if not bounds:
    return f"{text}, {padded:.1%} of what is computed is padding"
  return (
    f"{text}, cut to lengths {', '.join(map(str, bounds))}:"
    f" {_padding_share(lengths, bounds):.1%} of what is computed is padding"
    f" ({padded:.1%} at full length)"
  )


def _padding_share(lengths, bounds):
  """Returns the share of padding among positions if cut to `bounds`."""
  places = np.searchsorted(bounds, lengths)
  return float(1 - np.sum(lengths) / np.sum(np.asarray(bounds)[places]))


def check_records(path: str, schema: Mapping) -> None:
  """Checks that the first record of a file fits `schema`.

  Raises:
    ValueError: the file has no record, is damaged, or was made for another
      task or with other lengths; the message gives both lengths.
  """
  reading.check_regular(path, "record file")
  try:
    record = next(tf.python_io.tf_record_iterator(path), None)
  except tf.errors.DataLossError:
    raise ValueError(f"{path} is not a TFRecord file, or is damaged") from None
  if record is None:
    raise ValueError(f"{path} holds no record")
  read_checked(path, record, schema)


def read_checked(path, record, schema, sizes=None):
  """Returns the {name: values} of a record.

  Args:
    path: of the record's file.
    record: its bytes.
    schema: {name: tf.FixedLenFeature}.
    sizes: {name: how many values, from 0, the model takes}, of some columns.

  Raises:
    ValueError: the record does not fit `schema`, or has a value that no model,
      or not this one, takes.
  """
  found = _columns(path, record)
  values = {}
  for name, spec in schema.items():
    if name not in found:
      raise ValueError(
        f"{path} has no {name!r} in its records, only"
        f" {', '.join(sorted(found))}: was it made for another task?"
      )
    kind = "float_list" if spec.dtype == tf.float32 else "int64_list"
    values[name] = getattr(found[name], kind).value
    wanted = int(np.prod(spec.shape, dtype=int))
    if len(values[name]) != wanted:
      flag = "max_seq_length"
      if name.startswith("masked_lm_"):
        flag = "max_predictions_per_seq"
      raise ValueError(
        f"{path} has records with {len(values[name])} values of {name!r}, but"
        f" the flags ask for {wanted}: make the records again or change"
        f" --{flag}"
      )
  _check_values(path, values, {**_sizes(schema), **(sizes or {})})
  return values


def column_names(path: str, record: bytes) -> list[str]:
  """The names of a record's columns.

  Raises:
    ValueError: it is not a tf.Example; the message names the file.
  """
  return sorted(_columns(path, record))


def _columns(path, record):
  """The {name: tf.train.Feature} of a record."""
  try:
    return tf.train.Example.FromString(record).features.feature
  except DecodeError:
    raise ValueError(f"the records of {path} are not tf.Examples") from None


def _sizes(schema):
  """How many values, from 0, columns may have, whatever the model."""
  sizes = {"input_mask": 2, "next_sentence_labels": 2}
  if "input_ids" in schema:
    sizes["masked_lm_positions"] = int(schema["input_ids"].shape[-1])
  return sizes


def _check_values(path, values, sizes):
  """Raises ValueError for a value that is not below its size, or below 0."""
  for name, column in values.items():
    column = np.asarray(column)
    size = sizes.get(name, np.inf)
    is_wrong = ~((column >= 0) & (column < size))  # NaN is wrong too
    if name in sizes or column.dtype.kind == "f":
      for value in column[is_wrong].tolist()[:1]:
        limit = f"0 to {size - 1}" if name in sizes else "numbers from 0 on"
        raise ValueError(
          f"{path} has the value {value} in {name!r}, where this model takes"
          f" {limit}: make the records again, for this model and vocabulary"
        )


# ----------------------------------------------------------------- batches


def input_fn_builder(
  files: Sequence[str],
  schema: Mapping,
  is_training: bool,
  drop_remainder: bool,
  num_examples: int,
  bounds: Sequence[int] = (),
  random_seed: int | None = None,
  first_batch: int = 0,
  packer: packed_batches.Packer | None = None,
):
  """Makes an `input_fn` from TFRecord files.

  Args:
    files: TFRecord files, read in this order.
    schema: {name: tf.FixedLenFeature}.
    is_training: shuffle all examples in every epoch, and repeat forever.
    drop_remainder: make only whole batches (static shapes, for TPU). Evaluation
      and prediction fill the last batch with zeros and `example_index` -1.
    num_examples: the number of records in the files.
    bounds: ascending lengths to cut batches to; empty: no cutting.
    random_seed: the seed of the order of examples.
    first_batch: how many batches training has taken before; they are skipped.
    packer: packs the sequences of a batch in rows, instead of `bounds`; None:
      each sequence is padded.

  Returns:
    `input_fn(params, input_context=None)` -> tf.data.Dataset.
    `params["batch_size"]` is the batch size over all replicas.
    `params["context"]`, if present, says which share a TPU host reads, and
    `input_context` which share a worker of a tf.distribute strategy reads.
  """

  def input_fn(params, input_context=None):
    batch_size = params["batch_size"]
    dataset = tf.data.TFRecordDataset(files)
    if is_training:
      dataset = host_share(dataset, params.get("context"))
      dataset = dataset.shuffle(num_examples, seed=random_seed).repeat()
      dataset = _batch_records(
        *(dataset, batch_size, drop_remainder, bounds, schema, first_batch),
        *(packer, num_hosts(params.get("context"))),
      )
    else:
      dataset = dataset.map(
        lambda record: decode_record(record, schema), tf.data.AUTOTUNE
      )
      dataset = batch_in_order(
        *(dataset, num_examples, batch_size, drop_remainder, bounds, schema),
        packer,
      )
    if is_training and input_context:
      dataset = replica_shares(dataset, batch_size, input_context)
    return ahead(dataset, tf.data.AUTOTUNE)

  return input_fn


def file_input_fn(
  path: str, schema: Mapping, is_training: bool, drop_remainder: bool
):
  """Makes an `input_fn` from one file, which it opens when it is called.

  Args:
    path: a TFRecord file. `input_fn` counts its records, and raises ValueError
      if they do not fit `schema`.
    schema: {name: tf.FixedLenFeature}.
    is_training: as in `input_fn_builder`.
    drop_remainder: as in `input_fn_builder`.
  """

  def input_fn(params, input_context=None):
    check_records(path, schema)
    num_examples = sum(1 for _ in tf.python_io.tf_record_iterator(path))
    read = input_fn_builder(
      [path], schema, is_training, drop_remainder, num_examples
    )
    return read(params, input_context)

  return input_fn


def batch_input_fn(
  records,
  schema: Mapping,
  is_training: bool,
  train_batch_size: int,
  buckets: str | Sequence[int],
  drop_remainder: bool,
  random_seed: int | None = None,
  first_batch: int = 0,
  bucket_price: float = 0.0,
  packer: packed_batches.Packer | None = None,
):
  """Makes an `input_fn` from one file, with bounds that suit its examples.

  Logs the number of examples, their lengths and the share of padding.

  Args:
    records: `record_files.RecordFile`.
    schema: {name: tf.FixedLenFeature}.
    is_training: as in `input_fn_builder`.
    train_batch_size: examples in a training step.
    buckets: ascending bounds, maybe none, or "auto": chosen by length.
    drop_remainder: as in `input_fn_builder`.
    random_seed: the seed of the order of examples.
    first_batch: as in `input_fn_builder`.
    bucket_price: as in `bucket_bounds`.
    packer: as in `input_fn_builder`.
  """
  longest = schema["input_ids"].shape[-1]
  if buckets == "auto":
    # In training, an example should meet others of its length in each epoch.
    fewest = 4 * train_batch_size if is_training else 1
    buckets = bucket_bounds(
      records.lengths, longest, fewest, bucket_price=bucket_price
    )
  name = os.path.basename(records.path).partition(".")[0]
  described = describe(records.lengths, longest, buckets, packer is not None)
  logging.info(f"{name}: {described}")
  return input_fn_builder(
    [records.path],
    schema,
    is_training,
    drop_remainder,
    records.num_examples,
    buckets,
    random_seed,
    first_batch,
    packer,
  )


def array_input_fn(
  rows: Sequence[Mapping], schema: Mapping, drop_remainder: bool
):
  """Makes an `input_fn` from examples in memory; keeps order and length.

  Args:
    rows: {name: int or list} with the names of `schema`.
    schema: {name: tf.FixedLenFeature} of integers.
    drop_remainder: as in `input_fn_builder`.

  Returns:
    `input_fn(params)` as in `input_fn_builder`, but not for training.
  """
  arrays = {
    name: np.array([row[name] for row in rows], np.int32) for name in schema
  }

  def input_fn(params):
    dataset = tf.data.Dataset.from_tensor_slices(arrays)
    dataset = batch_in_order(
      dataset, len(rows), params["batch_size"], drop_remainder, (), schema
    )
    return ahead(dataset, 1)

  return input_fn


def batch_in_order(
  dataset,
  num_examples,
  batch_size,
  drop_remainder,
  bounds,
  schema,
  packer=None,
):
  """Makes batches with `example_index`.

  `drop_remainder` or a packer fill up the last one.
  """
  dataset = dataset.enumerate().map(_with_index)
  if packer:
    missing = -num_examples % packer.pool_size(batch_size, False)
    dataset = dataset.concatenate(_padding(dataset, missing))
    return packer.batches(dataset, batch_size, False)
  if drop_remainder:
    dataset = dataset.concatenate(_padding(dataset, -num_examples % batch_size))
  return _batch(dataset, batch_size, drop_remainder, bounds, schema)


def _batch(dataset, batch_size, drop_remainder, bounds, schema):
  if drop_remainder or not bounds:
    return dataset.batch(batch_size, drop_remainder=drop_remainder)
  keyed = dataset.map(
    lambda example: (_bucket(example["input_mask"], bounds), example)
  )
  return _batch_by_key(keyed, batch_size).map(
    lambda batch: _cut_to_bucket(batch, bounds, schema)
  )


def _batch_records(
  records,
  batch_size,
  drop_remainder,
  bounds,
  schema,
  first_batch,
  packer,
  hosts,
):
  """Batches of endless serialised records, from `first_batch` on.

  What is skipped is not parsed, except for its length where that decides the
  batch.
  """
  if packer:
    return _packed_records(
      records, packer, batch_size, schema, first_batch, hosts
    )
  is_cut = bounds and not drop_remainder
  if is_cut:
    mask = {"input_mask": schema["input_mask"]}

    def keyed(record):
      example = tf.io.parse_single_example(record, mask)
      return _bucket(example["input_mask"], bounds), record

    batches = _batch_by_key(records.map(keyed, tf.data.AUTOTUNE), batch_size)
  else:
    batches = records.batch(batch_size, drop_remainder=drop_remainder)

  def parsed(batch):
    examples = _narrow(tf.io.parse_example(batch, dict(schema)))
    return _cut_to_bucket(examples, bounds, schema) if is_cut else examples

  return batches.skip(first_batch).map(parsed, tf.data.AUTOTUNE)


def _packed_records(records, packer, batch_size, schema, first_batch, hosts):
  """Packed batches of endless serialised records, from `first_batch` on."""
  size = packer.pool_size(batch_size, True)
  used = first_batch * batch_size
  examples = records.skip(used - used % size).map(
    lambda record: decode_record(record, schema), tf.data.AUTOTUNE
  )
  batches = packer.batches(examples, batch_size, True, hosts)
  return batches.skip(used % size // batch_size)


def decode_record(record, name_to_features):
  """Parses a serialised example to {name: tensor}; casts int64 to int32."""
  return _narrow(tf.io.parse_single_example(record, dict(name_to_features)))


def _narrow(example):
  """Casts int64 values to int32."""
  return {
    name: tf.cast(value, tf.int32) if value.dtype == tf.int64 else value
    for name, value in example.items()
  }


def ahead(dataset, count):
  """Prefetches `count` batches (AUTOTUNE: as many as useful).

  Turns autotuning off: tf.data's autotuner sleeps longer and longer, up to a
  minute, and a closing session waits for it.
  """
  options = tf.data.Options()
  options.autotune.enabled = False
  return dataset.prefetch(count).with_options(options)


def _with_index(index, example):
  return {**example, "example_index": tf.cast(index, tf.int32)}


def _padding(dataset, count):
  """Returns `count` all-zero examples shaped like `dataset`'s, index -1."""
  zeros = {
    name: tf.zeros(spec.shape, spec.dtype)
    for name, spec in dataset.element_spec.items()
  }
  zeros["example_index"] = tf.constant(-1, tf.int32)
  return tf.data.Dataset.from_tensors(zeros).repeat(count)


def num_hosts(context) -> int:
  """How many hosts of a TPU pod share a batch; 1 elsewhere."""
  return context.num_hosts if context else 1


def host_share(dataset, context):
  """Returns the share of records that this host of a TPU pod reads."""
  if num_hosts(context) == 1:
    return dataset
  return dataset.shard(context.num_hosts, context.current_host)


def replica_shares(dataset, batch_size, context):
  """Splits each batch into a part for each replica; keeps this worker's parts.

  All workers make the same batches from the seed, so together they see what
  one process would see.
  """
  size = batch_size // context.num_replicas_in_sync
  replicas = context.num_replicas_in_sync // context.num_input_pipelines
  first = context.input_pipeline_id * replicas

  def parts(batch):
    def part(replica):
      rows = slice(replica * size, (replica + 1) * size)
      parts = {name: value[rows] for name, value in batch.items()}
      for name, value in batch.items():
        if value.shape.is_fully_defined():
          parts[name].set_shape([size, *value.shape[1:]])
      return parts

    return tf.data.Dataset.range(first, first + replicas).map(part)

  return dataset.flat_map(parts)


def _batch_by_key(dataset, batch_size):
  """Makes each batch of a dataset of (key, value) from values of one key."""
  return dataset.apply(
    tf.data.experimental.group_by_window(
      lambda key, value: key,
      lambda key, window: window.map(lambda key, value: value).batch(
        batch_size
      ),
      batch_size,
    )
  )


def _bucket(mask, bounds):
  """The bucket of an example; of its sequences, the longest counts."""
  length = tf.reduce_max(tf.reduce_sum(mask, axis=-1))
  return tf.searchsorted(
    tf.constant(bounds, length.dtype), [length], out_type=tf.int64
  )[0]


def _cut_to_bucket(batch, bounds, schema):
  """Cuts a batch whose examples are of one bucket to the bucket's bound."""
  bound = tf.gather(bounds, _bucket(batch["input_mask"], bounds))
  return cut(batch, bound, schema)


def cut(batch, bound, schema):
  """Cuts the per-position values of a batch to `bound` positions."""
  names = record_files.positional(schema)
  return {
    name: value[..., :bound] if name in names else value
    for name, value in batch.items()
  }
