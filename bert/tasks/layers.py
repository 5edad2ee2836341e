# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Layers and losses that several tasks share.

In: vectors of tokens or sequences. Out: logits, losses, log-probabilities.

Shapes: B batch, S sequence, D hidden, L labels, M rows, P positions.
"""

from __future__ import annotations

import tensorflow.compat.v1 as tf

import modeling
from bert.ops.positions import gather_indexes  # noqa: F401  (for tasks)

HEAD_STDDEV = 0.02  # of the new weights of a head that fine-tuning adds


def labels_product(vectors, num_labels: int, stddev: float = HEAD_STDDEV):
  """One logit per label.

  Makes the variables `output_weights` [L, D] and `output_bias` [L] in the
  current scope.

  Args:
    vectors: float32 [M, D].
    num_labels: L.
    stddev: standard deviation of the first weights.

  Returns:
    float32 [M, L].
  """
  weights = modeling.variable(
    "output_weights",
    [num_labels, vectors.shape[-1]],
    modeling.create_initializer(stddev),
  )
  bias = modeling.variable("output_bias", [num_labels], tf.zeros_initializer())
  return tf.nn.bias_add(tf.matmul(vectors, weights, transpose_b=True), bias)


def pool(layer, input_mask, pooling: str):
  """Makes one vector per text from the vectors of its tokens.

  Args:
    layer: float32 [B, S, D].
    input_mask: int32 [B, S], 0 for padding, which does not count. A text of
      padding only, which fills up a batch, has zeros.
    pooling: "cls", the first token's; "mean" or "max" over the tokens; or
      "none", to keep all vectors.

  Returns:
    float32 [B, D]; [B, S, D] with "none".
  """
  if pooling == "none":
    return layer
  if pooling == "cls":
    return layer[:, 0, :]
  mask = tf.expand_dims(tf.cast(input_mask, tf.float32), -1)  # [B, S, 1]
  if pooling == "mean":
    total, size = tf.reduce_sum(layer * mask, 1), tf.reduce_sum(mask, 1)
    return tf.math.divide_no_nan(total, size)
  found = tf.reduce_max(tf.where_v2(mask > 0.0, layer, layer.dtype.min), 1)
  return found * tf.reduce_max(mask, 1)


def first_position(features):
  """The position of [CLS] in each sequence, int32 [B, 1].

  Args:
    features: {name: tensor}, a batch of records.
  """
  return tf.expand_dims(tf.zeros_like(features["input_ids"][:, 0], tf.int32), 1)


def cross_entropy(logits, labels):
  """The cross entropy of one label per row.

  Args:
    logits: float32 [..., L].
    labels: int32 [...].

  Returns:
    float32 [...].
  """
  return tf.nn.sparse_softmax_cross_entropy_with_logits(
    labels=labels, logits=logits
  )
