# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Batches whose sequences share rows of `max_seq_length` positions.

In: examples padded to `max_seq_length`. Out: batches of as many examples, with
`packed_starts`, which says where each sequence stands in the rows of the batch
(`modeling.BertModel` computes these rows, not the padding).

A pool of examples is packed at a time, longest first (first-fit-decreasing, as
in Krell et al. 2021, arXiv:2107.02027). There, rows are packed once, before
training. Here it happens as examples are read, for three reasons:
- sequences that share a row change from epoch to epoch, so the order stays as
  random as a pool is large;
- each batch has exactly its number of examples, so steps, epochs, losses and
  resuming are those of a run without packing;
- it takes only ops of TensorFlow, which the host of a remote TPU can run.

A batch is made of equal parts, one for each device and each slice of
`gradient_accumulation_steps`. Each part has rows of its own, so that whatever
splits a batch also splits its rows.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import tensorflow.compat.v1 as tf
from absl import logging

POOL_EXAMPLES = 8192
# By how much the lengths of a pool may differ from those that are known, in
# quantiles times the root of its size. The share of lengths below any of them
# has a standard deviation of at most 0.5 over this root: this is 4 of them.
_CHANCE = 2.0


@dataclasses.dataclass(frozen=True)
class Packer:
  """How examples are packed.

  Attributes:
    lengths: tokens of each example, in order; for training, those of a sample
      are enough.
    num_examples: how many there are.
    row_length: `max_seq_length`.
    parts: equal parts of a batch that are packed apart.
    rows: of a batch; 0: chosen by the lengths.
  """

  lengths: Sequence[int]
  num_examples: int
  row_length: int
  parts: int = 1
  rows: int = 0

  def batches(self, dataset, batch_size: int, is_training: bool, hosts=1):
    """Packs a dataset of {name: tensor} with `input_mask` [S].

    Args:
      dataset: endless, or a multiple of `pool_size` examples.
      batch_size: of this host; examples in a batch.
      is_training: if not, the examples come in the order of `lengths`.
      hosts: how many share the whole batch.

    Returns:
      A dataset of {name: [B, ...]} with `packed_starts` int32 [B, R], of static
      shape. Examples change their order within a pool.

    Raises:
      ValueError: `rows` are too few, or can't be split.
    """
    rows = self._choose_rows(batch_size * hosts, is_training)
    places = batch_size * hosts // self.parts
    size = self.pool_size(batch_size, is_training)

    def packed(pool):
      lengths = tf.reduce_sum(pool["input_mask"], axis=1)
      examples, starts = place(lengths, size // places, rows, self.row_length)
      examples = tf.reshape(examples, [-1, batch_size])
      return pool, examples, tf.reshape(starts, [-1, batch_size, rows])

    def pool_batches(pool, *packed):
      def batch(examples, starts):
        batch = {name: tf.gather(v, examples) for name, v in pool.items()}
        return {**batch, "packed_starts": starts}

      return tf.data.Dataset.from_tensor_slices(packed).map(batch)

    pools = dataset.batch(size, drop_remainder=True).map(packed)
    return pools.prefetch(1).flat_map(pool_batches)

  def pool_size(self, batch_size: int, is_training: bool) -> int:
    """How many examples are packed at a time, a multiple of the batch."""
    if is_training:
      return max(min(POOL_EXAMPLES, self.num_examples) // batch_size, 1) * (
        batch_size
      )
    batches = max(math.ceil(self.num_examples / batch_size), 1)
    pools = math.ceil(batches * batch_size / POOL_EXAMPLES)
    return math.ceil(batches / pools) * batch_size

  def _choose_rows(self, batch_size, is_training):
    """The rows of each part; ValueError if `rows` are too few or uneven."""
    size = self.pool_size(batch_size, is_training)
    places = batch_size // self.parts
    if is_training:
      expected, longer = self._pools_by_chance(size)
    else:
      expected = longer = self._pools_in_order(size)
    rows = self.rows // self.parts
    if not rows:
      rows = rows_needed(longer, places, self.row_length)
    least = rows_needed(expected, places, self.row_length)
    if rows < least or self.rows % self.parts:
      several = f", in multiples of {self.parts}" if self.parts > 1 else ""
      raise ValueError(
        f"--packed_rows={self.rows}: a batch of {batch_size} sequences needs at"
        f" least {least * self.parts} rows of {self.row_length} positions"
        f"{several}: give more, or leave it out"
      )
    share = 1 - np.mean(expected) * places / (rows * self.row_length)
    logging.info(
      f"packed: {batch_size} sequences in {rows * self.parts} rows of"
      f" {self.row_length} positions: {share:.1%} of them are padding"
    )
    return rows

  def _pools_in_order(self, size):
    """The lengths of all pools, int [number of pools, size]."""
    lengths = np.zeros(-(-self.num_examples // size) * size, int)
    lengths[: len(self.lengths)] = self.lengths
    return lengths.reshape([-1, size])

  def _pools_by_chance(self, size):
    """The lengths of an average pool, and of one as long as chance makes it.

    Returns:
      Two of int [1, size].
    """
    ascending, known = np.sort(self.lengths), len(self.lengths)
    of_pool = 1 / size - 1 / (2 * self.num_examples)  # it is in two epochs
    of_sample = 1 / known - 1 / self.num_examples
    chance = _CHANCE * math.sqrt(max(of_pool, 0.0) + of_sample)
    quantiles = (np.arange(size) + 0.5) / size + [[0.0], [chance]]
    places = np.minimum((quantiles * known).astype(int), known - 1)
    return np.split(ascending[places], 2)


def rows_needed(pools, places: int, row_length: int) -> int:
  """The fewest rows in which `place` fits each part of each pool.

  Args:
    pools: int [number of pools, examples of a pool], the lengths.
    places: sequences of a part.
    row_length: S.
  """
  num_parts = len(pools[0]) // places
  with tf.Graph().as_default():
    lengths = tf.placeholder(tf.int32, [len(pools[0])])
    _, starts = place(lengths, num_parts, places, row_length)
    is_used = tf.reduce_any(starts >= 0, axis=[0, 1])  # [places]
    most = tf.reduce_sum(tf.cast(is_used, tf.int32))
    on_host = tf.ConfigProto(device_count={"GPU": 0})
    with tf.Session(config=on_host) as session:
      return max(int(session.run(most, {lengths: pool})) for pool in pools)


def place(lengths, num_parts: int, num_rows: int, row_length: int):
  """Shares sequences out among parts, and packs each part's in its rows.

  The sequences go in groups from the longest to the shortest, one to each part.
  Of a group, the longest goes to the part that has the fewest tokens so far,
  and in this part to the first row that has room for it.

  Args:
    lengths: int32 [M], M a multiple of `num_parts`; none is over `row_length`.
    num_parts: N.
    num_rows: R of each part.
    row_length: S.

  Returns:
    examples: int32 [N, M / N], the sequences of each part.
    starts: int32 [N, M / N, R], the position in its row where each of them
      begins, and -1 for all other rows.

  Raises:
    InvalidArgumentError: when it runs, if the rows do not hold a part.
  """
  order = tf.argsort(lengths, direction="DESCENDING", stable=True)
  groups = tf.reshape(order, [-1, num_parts])

  def add(state, group):
    filled = state[0]  # [N, R], positions that are taken
    fewest = tf.argsort(tf.reduce_sum(filled, axis=1), stable=True)
    example = tf.gather(group, tf.argsort(fewest))  # [N]
    size = tf.gather(lengths, example)[:, tf.newaxis]
    has_room = tf.cast(filled + size <= row_length, tf.int32)
    row = tf.argmax(has_room, axis=1)  # the first
    is_row = tf.one_hot(row, num_rows, dtype=tf.int32)
    start = is_row * (filled + 1) - 1
    return filled + is_row * size, example, start

  empty = tf.zeros([num_parts, num_rows], tf.int32)
  start = empty, tf.zeros([num_parts], tf.int32), empty
  filled, examples, starts = tf.scan(add, groups, start)
  problem = (
    f"--pack_sequences: {num_rows} rows of {row_length} positions do not hold"
    f" the {groups.shape[0]} sequences of a batch, or of a part of it:"
    " give a higher --packed_rows"
  )
  check = tf.debugging.Assert(tf.reduce_max(filled) <= row_length, [problem])
  with tf.control_dependencies([check]):
    examples = tf.transpose(examples)
  return examples, tf.transpose(starts, [1, 0, 2])
