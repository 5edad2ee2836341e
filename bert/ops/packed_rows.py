# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Several sequences in one row: into the rows, and out of them again.

In: padded sequences [B, S], and where each of them begins in R rows. Out: the
rows [R, S], which have less padding, and which of their tokens belong together;
and vectors of the rows as vectors of the sequences.

Shapes: B sequences, R rows, S positions, D width of a vector.
"""

from __future__ import annotations

import tensorflow.compat.v1 as tf

from bert.ops.gradients import with_gradient

_LARGEST = 2**24  # whole numbers up to this one are exact in float32


class PackedRows:
  """Moves tokens from sequences to rows, and vectors from rows to sequences.

  Places are computed in float32, because GPUs add no int32.

  Attributes:
    position_ids: int32 [R, S], the place of each token in its sequence.
    attention_mask: float32 [R, S, S], 1 for two tokens of one sequence.
  """

  def __init__(self, starts, input_mask):
    """Finds the place of each token.

    Args:
      starts: int32 [B, R], the position in its row where a sequence begins; -1
        for all other rows.
      input_mask: int32 [B, S], 1 for tokens and 0 for the padding after them.

    Raises:
      ValueError: a size is not known, or there are too many positions.
    """
    batch, rows = starts.shape.as_list()
    length = input_mask.shape.as_list()[1]
    if None in (batch, rows, length):
      raise ValueError(
        f"packing needs static shapes, not {starts.shape}, {input_mask.shape}"
      )
    if batch * length > _LARGEST:
      raise ValueError(
        f"{batch} sequences of {length} positions are too many to be packed:"
        f" each part of a batch may have {_LARGEST} positions"
      )
    self._shape = [rows, length]
    self._is_token = tf.cast(input_mask, tf.float32)  # [B, S]
    places = self._token_places(tf.cast(starts, tf.float32))
    self._places = tf.cast(places, tf.int32)
    self._is_filled, self._sources = self._find_sources(places)
    positions = tf.tile(tf.range(length)[tf.newaxis], [batch, 1])
    self.position_ids = self.pack(positions)
    numbers = tf.tile(tf.range(1.0, batch + 1)[:, tf.newaxis], [1, length])
    owners = self.pack(numbers) * self._is_filled  # [R, S], 0: of no sequence
    is_same = tf.equal(owners[:, :, tf.newaxis], owners[:, tf.newaxis, :])
    self.attention_mask = tf.cast(is_same, tf.float32)

  def pack(self, values):
    """Values of sequences, [B, S], in rows, [R, S].

    A position without a token gets the value of the first token of all.
    """
    return tf.gather(tf.reshape(values, [-1]), self._sources)

  def unpack(self, vectors):
    """Vectors of rows, [R, S, D], as those of sequences, [B, S, D].

    Those of padding are 0. The gradient is a gather too, as no position is
    taken twice.
    """
    width = vectors.shape[-1]
    is_token, is_filled = (
      tf.cast(each[:, :, tf.newaxis], vectors.dtype)
      for each in (self._is_token, self._is_filled)
    )
    matrix = tf.reshape(vectors, [-1, width])
    output = tf.gather(matrix, self._places) * is_token

    def gradient(upstream):
      upstream = tf.reshape(upstream, [-1, width])
      return [tf.gather(upstream, self._sources) * is_filled]

    return with_gradient(output, [vectors], gradient)

  def _token_places(self, starts):
    """The place of each token in the rows' [R*S], 0 for padding: [B, S]."""
    rows, length = self._shape
    before = tf.range(rows, dtype=tf.float32) * length
    is_row = tf.cast(starts >= 0, tf.float32)
    first = tf.reduce_sum(is_row * (starts + before), axis=1, keepdims=True)
    return (first + tf.range(length, dtype=tf.float32)) * self._is_token

  def _find_sources(self, places):
    """Whether a position of the rows has a token, and its place in [B*S].

    Returns:
      float32 [R, S], 1 or 0; and int32 [R, S], 0 where there is no token.
    """
    rows, length = self._shape
    size = rows * length
    # Padding goes to one place more, which is then cut off.
    to = places + size * (1.0 - self._is_token)
    to = tf.reshape(tf.cast(to, tf.int32), [-1, 1])
    numbers = 1.0 + tf.range(to.shape.as_list()[0], dtype=tf.float32)
    sources = tf.scatter_nd(to, numbers, [size + 1])[:size]
    sources = tf.reshape(sources, self._shape)
    is_filled = tf.cast(sources > 0, tf.float32)
    return is_filled, tf.cast(tf.nn.relu(sources - 1.0), tf.int32)
