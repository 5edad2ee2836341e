# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Scaled dot-product attention, and its gradient.

In: queries, keys, values and a mask. Out: the context of each query.

Shapes: B batch, N heads, F queries, T keys, H size of a head.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow.compat.v1 as tf

from bert.ops.dropout import current_site, drop
from bert.ops.gradients import with_gradient
from bert.ops.one_pass import is_for_cpu, one_pass


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
  site = current_site(dropout_prob, seed, compiled)
  softmax = _softmax_for_cpu if is_for_cpu(compiled) else tf.nn.softmax
  scale = 1.0 / math.sqrt(query.shape[-1])
  scores = tf.matmul(query, key, transpose_b=True)  # [B, N, F, T]
  probs, *dropped = _probabilities(
    *(compiled, scores, scale, mask_scores, softmax, site)
  )
  dropped = dropped[0] if site else probs
  context = tf.matmul(dropped, value)  # [B, N, F, H]
  if not is_training:
    return context

  def gradient(upstream):
    to_dropped = tf.matmul(upstream, value, transpose_b=True)
    to_scores = _probabilities_gradient(
      *(compiled, probs, dropped, to_dropped, context, upstream, scale)
    )
    to_query = tf.matmul(to_scores, key)
    to_key = tf.matmul(to_scores, query, transpose_a=True)
    return [to_query, to_key, tf.matmul(dropped, upstream, transpose_a=True)]

  return with_gradient(context, [query, key, value], gradient)


@one_pass
def _probabilities(scores, scale, mask_scores, softmax, site):
  """The softmax of scaled scores; with dropout, also what that leaves of it."""
  wide = tf.cast(scores, tf.float32) * scale
  if mask_scores is not None:
    wide += mask_scores
  probs = softmax(wide)
  outputs = [probs, drop(probs, site)] if site else [probs]
  return [tf.cast(x, scores.dtype) for x in outputs]


def _softmax_for_cpu(scores):
  """`tf.nn.softmax` of float32, as XLA computes it fastest on a CPU.

  Several integers are compared by one instruction, but floats one by one. The
  bits of a float grow with it if those of a negative one are inverted.
  """

  def ordered(bits):  # it is its own inverse
    inverted = tf.bitwise.bitwise_xor(bits, np.int32(0x7FFFFFFF))
    return tf.where(bits < 0, inverted, bits)

  bits = ordered(tf.bitcast(scores, tf.int32))
  bits = ordered(tf.reduce_max(bits, -1, keepdims=True))
  largest = tf.stop_gradient(tf.bitcast(bits, tf.float32))
  powers = tf.exp(scores - largest)
  return powers * (1.0 / tf.reduce_sum(powers, -1, keepdims=True))


@one_pass
def _probabilities_gradient(
  probs, dropped, to_dropped, context, upstream, scale
):
  """Gradient to the scores, from that to the context, `upstream`."""
  dtype = probs.dtype
  probs, dropped, to_dropped, context, upstream = (
    tf.cast(x, tf.float32)
    for x in (probs, dropped, to_dropped, context, upstream)
  )
  # The sum over T that softmax's gradient needs equals a sum over H.
  total = tf.reduce_sum(upstream * context, -1, keepdims=True)
  return tf.cast((dropped * to_dropped - probs * total) * scale, dtype)
