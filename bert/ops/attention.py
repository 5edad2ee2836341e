# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Scaled dot-product attention, and its gradient.

In: queries, keys, values and a mask. Out: the context of each query.

Shapes: B batch, N heads, F queries, T keys, H size of a head.
"""

from __future__ import annotations

import math

import tensorflow.compat.v1 as tf

from bert.ops.dropout import drop_at, site_seed
from bert.ops.gradients import with_gradient
from bert.ops.one_pass import one_pass


def attend(
  query,
  key,
  value,
  mask_scores=None,
  dropout_prob=0.0,
  seed=None,
  compiled=False,
  is_training=False,
):
  """Scaled dot-product attention (arXiv:1706.03762, equation 1).

  Args:
    query: any float type, [B, N, F, H]; the softmax is float32.
    key: of the same type, [B, N, T, H].
    value: like key.
    mask_scores: float32 [B, 1, F or 1, T], added to the scores; or None.
    dropout_prob: float below 1, of the probabilities.
    seed: int32 [2], see `dropout`.
    compiled: bool, whether XLA compiles parts; see `modeling.Build`.
    is_training: bool, whether to make a gradient of its own, which reads the
      [B, N, F, T] tensors fewer times than TensorFlow's.

  Returns:
    Type and shape of query.
  """
  dtype = query.dtype
  seed = site_seed(seed) if dropout_prob else None
  query *= 1.0 / math.sqrt(query.shape[-1])
  scores = tf.cast(tf.matmul(query, key, transpose_b=True), tf.float32)
  if mask_scores is not None:
    scores += mask_scores  # [B, N, F, T]
  dropped = probs = tf.cast(tf.nn.softmax(scores), dtype)
  if dropout_prob:
    dropped = drop_at(probs, dropout_prob, seed, compiled)
  context = tf.matmul(dropped, value)  # [B, N, F, H]
  if not is_training:
    return context

  def gradient(upstream):
    to_dropped = tf.matmul(upstream, value, transpose_b=True)
    # The sum over T that softmax's gradient needs equals a sum over H.
    products = tf.cast(upstream, tf.float32) * tf.cast(context, tf.float32)
    total = tf.reduce_sum(products, -1, keepdims=True)
    to_scores = _softmax_gradient(compiled, probs, dropped, to_dropped, total)
    to_query = tf.matmul(to_scores, key)
    to_key = tf.matmul(to_scores, query, transpose_a=True)
    return [to_query, to_key, tf.matmul(dropped, upstream, transpose_a=True)]

  return with_gradient(context, [query, key, value], gradient)


@one_pass
def _softmax_gradient(probs, dropped, to_dropped, total):
  """Gradient to the scores [B, N, F, T]; total float32 [B, N, F, 1]."""
  wide = [tf.cast(x, tf.float32) for x in (probs, dropped, to_dropped)]
  return tf.cast(wide[1] * wide[2] - wide[0] * total, probs.dtype)
