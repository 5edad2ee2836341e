# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Vectors at chosen positions of sequences.

In: the vectors of all tokens, and positions. Out: the vectors at those.

Shapes: B batch, S sequence, D hidden, P positions, M rows.
"""

from __future__ import annotations

import contextlib

import tensorflow.compat.v1 as tf
from tensorflow.python.ops import control_flow_util

from bert.ops.gradients import with_gradient
from bert.ops.shapes import get_shape_list


def in_xla() -> bool:
  """Whether XLA compiles the graph being built, as on a TPU."""
  return control_flow_util.GraphOrParentsInXlaContext(tf.get_default_graph())


def on_host():
  """A scope for integers that decide sizes, for which a GPU would have to wait.

  Batches come from the host. A graph that XLA compiles is left as it is.
  """
  return contextlib.nullcontext() if in_xla() else tf.device("/CPU:0")


def gather_indexes(sequence_tensor, positions, places=None):
  """The vectors at given positions of each sequence.

  Args:
    sequence_tensor: float32 [B, S, D].
    positions: int32 [B, P], or [1, P] if they are the same for all.
    places: int32 [M], which of the B*P positions; None: all, in order.

  Returns:
    float32 [M, D].
  """
  batch, length, width = get_shape_list(sequence_tensor, 3)
  with on_host():
    rows = rows_of(positions, batch, length)
    if places is not None:
      rows = tf.gather(rows, places)
  return tf.gather(tf.reshape(sequence_tensor, [-1, width]), rows)


def rows_of(positions, batch, length):
  """Where positions of sequences are in the matrix [B*S, D] of their vectors.

  Args:
    positions: int32 [B, P], or [1, P] if they are the same for all.
    batch: B.
    length: S.

  Returns:
    int32 [B*P].
  """
  with on_host():
    starts = tf.expand_dims(tf.range(batch), 1) * length  # [B, 1]
    return tf.reshape(positions + starts, [-1])


def select(tokens, positions, shape, attention_mask=None, is_training=False):
  """The vectors at positions, and what they may attend to.

  Args:
    tokens: any float type, [B*S, D].
    positions: int32 [B, P].
    shape: B, S and D.
    attention_mask: [B, S], [B, S, S] or None.
    is_training: as `gather_rows` takes it.

  Returns:
    Type of the tokens, [B*P, D]; and the mask, [B, S], [B, P, S] or None.
  """
  batch, length, _ = shape
  rows = rows_of(positions, batch, length)
  chosen = gather_rows(tokens, rows, is_training)
  if attention_mask is not None and attention_mask.shape.rank == 3:
    attention_mask = tf.gather(attention_mask, positions, batch_dims=1)
  return chosen, attention_mask


def gather_rows(matrix, rows, is_training=False):
  """Rows of a matrix.

  Args:
    matrix: any float type, [M, D].
    rows: int32 [P], which may hold a row several times.
    is_training: whether to make a gradient of its own; a GPU would have to wait
      for the sizes that TensorFlow's computes.

  Returns:
    Type of the matrix, [P, D].
  """
  chosen = tf.gather(matrix, rows)
  if not is_training:
    return chosen
  size = get_shape_list(matrix)[0]

  def gradient(upstream):
    return [tf.math.unsorted_segment_sum(upstream, rows, size)]

  return with_gradient(chosen, [matrix], gradient)
