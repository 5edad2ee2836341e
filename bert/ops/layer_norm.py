# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Layer normalisation, and its gradient.

In: vectors. Out: the same vectors with mean 0 and variance 1, then scaled by
the weights.

Shapes: M rows, D width.
"""

from __future__ import annotations

import tensorflow.compat.v1 as tf

from bert.ops.dropout import current_site, drop
from bert.ops.gradients import with_gradient
from bert.ops.one_pass import is_for_cpu, one_pass
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
  rows = tf.reshape(input_tensor, [-1, input_tensor.shape[-1]])
  outputs = _normalise([rows], None, name, compiled, is_training)
  return tf.reshape(outputs, tf.shape(input_tensor))


def add_and_norm(
  residual,
  update,
  dropout_prob,
  seed=None,
  name=None,
  compiled=False,
  is_training=False,
):
  """`layer_norm` of the sum of `residual` and `dropout` of `update`.

  Args:
    residual: any float type, [M, D].
    update: of the same type, [M, D].
    dropout_prob, seed: as `dropout` takes them.
    name, compiled, is_training: as `layer_norm` takes them.

  Returns:
    Type and shape of the residual.
  """
  site = current_site(dropout_prob, seed, compiled)
  if not site:  # then the product that gives `update` can add the residual
    return layer_norm(residual + update, name, compiled, is_training)
  return _normalise([residual, update], site, name, compiled, is_training)


def _normalise(addends, site, name, compiled, is_training):
  """LayerNorm of [M, D], or of a residual and an update with dropout."""
  width = addends[0].shape[-1]
  with tf.variable_scope(name, default_name="LayerNorm"):
    beta = variable("beta", [width], tf.zeros_initializer())
    gamma = variable("gamma", [width], tf.ones_initializer())
  gamma, beta = tf.convert_to_tensor(gamma), tf.convert_to_tensor(beta)
  outputs, normed, inverse = _forward(compiled, addends, gamma, beta, site)
  if not is_training:
    return outputs

  def gradient(upstream):
    return _backward(
      *(compiled, upstream, normed, inverse, gamma, site, is_for_cpu(compiled))
    )

  return with_gradient(outputs, [*addends, gamma, beta], gradient)


@one_pass
def _forward(addends, gamma, beta, site):
  """LayerNorm of [M, D], and what its gradient needs: [M, D] and [M, 1]."""
  dtype = addends[0].dtype
  wide, *update = (tf.cast(x, tf.float32) for x in addends)
  if update:
    wide += drop(*update, site)
  centred = wide - tf.reduce_mean(wide, axis=-1, keepdims=True)
  variance = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
  inverse = tf.rsqrt(variance + LAYER_NORM_EPSILON)  # [M, 1]
  normed = centred * inverse
  outputs = tf.cast(normed * gamma + beta, dtype)
  return outputs, tf.cast(normed, dtype), inverse


@one_pass
def _backward(upstream, normed, inverse, gamma, site, is_for_cpu):
  """Gradients to LayerNorm's addends [M, D], gamma [D] and beta [D]."""
  dtype = upstream.dtype
  upstream, normed = (tf.cast(x, tf.float32) for x in (upstream, normed))
  scaled = upstream * gamma
  mean = tf.reduce_mean(scaled, axis=-1, keepdims=True)
  slope = tf.reduce_mean(scaled * normed, axis=-1, keepdims=True)
  to_sum = (scaled - mean - normed * slope) * inverse
  to_addends = [to_sum, drop(to_sum, site)] if site else [to_sum]
  sums = _column_sums_for_cpu if is_for_cpu else _column_sums
  return (
    *(tf.cast(x, dtype) for x in to_addends),
    *(sums(x) for x in (upstream * normed, upstream)),
  )


def _column_sums(rows):
  return tf.reduce_sum(rows, axis=0)


def _column_sums_for_cpu(rows):
  """The same as a product with ones, for which XLA has a faster kernel."""
  ones = tf.ones([1, tf.shape(rows)[0]], rows.dtype)
  return tf.matmul(ones, rows)[0]
