# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Layer normalisation, and its gradient.

In: vectors. Out: the same vectors with mean 0 and variance 1, then scaled by
the weights.

Shapes: M rows, D width.
"""

from __future__ import annotations

import tensorflow.compat.v1 as tf

from bert.ops.gradients import with_gradient
from bert.ops.one_pass import one_pass
from bert.ops.variables import variable

LAYER_NORM_EPSILON = 1e-12


def layer_norm(input_tensor, name=None, compiled=False, is_training=False):
  """Layer normalisation (arXiv:1607.06450) over the last axis.

  Makes the variables `beta` and `gamma`, both [D], in scope `name`.

  Args:
    input_tensor: any float type, [..., D]; the statistics are float32.
    name: variable scope; None: `LayerNorm`, numbered where that is taken.
    compiled: bool, whether XLA compiles it; see `modeling.Build`.
    is_training: bool, whether to make a gradient of its own, which keeps fewer
      tensors than TensorFlow's.

  Returns:
    Type and shape of the input.
  """
  width = input_tensor.shape[-1]
  with tf.variable_scope(name, default_name="LayerNorm"):
    beta = variable("beta", [width], tf.zeros_initializer())
    gamma = variable("gamma", [width], tf.ones_initializer())
  rows = tf.reshape(input_tensor, [-1, width])
  gamma, beta = tf.convert_to_tensor(gamma), tf.convert_to_tensor(beta)
  outputs, normed, inverse = _normalise_forward(compiled, rows, gamma, beta)

  def gradient(upstream):
    return _normalise_backward(compiled, upstream, normed, inverse, gamma)

  if is_training:
    outputs = with_gradient(outputs, [rows, gamma, beta], gradient)
  return tf.reshape(outputs, tf.shape(input_tensor))


@one_pass
def _normalise_forward(rows, gamma, beta):
  """LayerNorm of [M, D], and what its gradient needs: [M, D] and [M, 1]."""
  wide = tf.cast(rows, tf.float32)
  centred = wide - tf.reduce_mean(wide, axis=-1, keepdims=True)
  variance = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
  inverse = tf.rsqrt(variance + LAYER_NORM_EPSILON)  # [M, 1]
  normed = centred * inverse
  outputs = tf.cast(normed * gamma + beta, rows.dtype)
  return outputs, tf.cast(normed, rows.dtype), inverse


@one_pass
def _normalise_backward(upstream, normed, inverse, gamma):
  """Gradients to LayerNorm's rows [M, D], gamma [D] and beta [D]."""
  dtype = upstream.dtype
  upstream, normed = (tf.cast(x, tf.float32) for x in (upstream, normed))
  scaled = upstream * gamma
  mean = tf.reduce_mean(scaled, axis=-1, keepdims=True)
  slope = tf.reduce_mean(scaled * normed, axis=-1, keepdims=True)
  to_rows = tf.cast((scaled - mean - normed * slope) * inverse, dtype)
  to_gamma = tf.reduce_sum(upstream * normed, axis=0)
  return to_rows, to_gamma, tf.reduce_sum(upstream, axis=0)
