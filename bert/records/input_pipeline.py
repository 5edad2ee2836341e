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

import os
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow.compat.v1 as tf
from absl import logging
from google.protobuf.message import DecodeError

from bert.records import record_files

_MAX_BUCKETS = 8
BOUND_MULTIPLE = 8  # lengths that suit vector units


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
  read_checked(path, record, schema)


def read_checked(path, record, schema):
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
      dataset = host_share(dataset, params.get("context"))
      dataset = dataset.shuffle(num_examples, seed=random_seed).repeat()
    dataset = dataset.map(
      lambda record: parse(record, schema), tf.data.AUTOTUNE
    )
    if is_training:
      dataset = _batch(dataset, batch_size, drop_remainder, bounds, schema)
    else:
      dataset = batch_in_order(
        dataset, num_examples, batch_size, drop_remainder, bounds, schema
      )
    if is_training and input_context:
      dataset = replica_shares(dataset, batch_size, input_context)
    return ahead(dataset, tf.data.AUTOTUNE)

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
    dataset = batch_in_order(
      dataset, len(rows), params["batch_size"], drop_remainder, (), schema
    )
    return ahead(dataset, 1)

  return input_fn


def batch_in_order(
  dataset, num_examples, batch_size, drop_remainder, bounds, schema
):
  """Batches with `example_index`, the last filled up if batches are whole."""
  dataset = dataset.enumerate().map(_with_index)
  if drop_remainder:
    dataset = dataset.concatenate(_padding(dataset, -num_examples % batch_size))
  return _batch(dataset, batch_size, drop_remainder, bounds, schema)


def _batch(dataset, batch_size, drop_remainder, bounds, schema):
  if drop_remainder or not bounds:
    return dataset.batch(batch_size, drop_remainder=drop_remainder)
  return _batch_by_length(dataset, bounds, batch_size, schema)


def parse(record, schema):
  """One serialised example as {name: tensor}, int64 narrowed to int32."""
  example = tf.io.parse_single_example(record, dict(schema))
  return {
    name: tf.cast(value, tf.int32) if value.dtype == tf.int64 else value
    for name, value in example.items()
  }


def ahead(dataset, count):
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


def host_share(dataset, context):
  """The share of records that this host of a TPU pod reads."""
  if context is None or context.num_hosts == 1:
    return dataset
  return dataset.shard(context.num_hosts, context.current_host)


def replica_shares(dataset, batch_size, context):
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


def _batch_by_length(dataset, bounds, batch_size, schema):
  """Batches of examples from one bucket each, cut to the bucket's bound."""

  def bucket(example):
    # Of a record that has several sequences, the longest counts.
    length = tf.reduce_max(tf.reduce_sum(example["input_mask"], axis=-1))
    return tf.searchsorted(bounds, [length], out_type=tf.int64)[0]

  def batch(key, examples):
    bound = tf.gather(bounds, key)
    return examples.batch(batch_size).map(lambda rows: cut(rows, bound, schema))

  return dataset.apply(
    tf.data.experimental.group_by_window(bucket, batch, batch_size)
  )


def cut(batch, bound, schema):
  """A batch's first `bound` positions."""
  names = record_files.positional(schema)
  return {
    name: value[..., :bound] if name in names else value
    for name, value in batch.items()
  }
