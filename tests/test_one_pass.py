# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""What XLA compiles to one pass, against the same in TensorFlow's own ops."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from bert.ops import activations, attention, dropout, layer_norm

RATE = 0.25
SEED = [5, -6]

precisions = pytest.mark.parametrize(
  ("dtype", "tolerance"), [(tf.float32, 2e-5), (tf.bfloat16, 0.05)]
)
rates = pytest.mark.parametrize("rate", [0.0, RATE])


def values(dtype, *shape):
  """Random numbers that the type holds exactly."""
  numbers = np.random.RandomState(sum(shape)).normal(size=shape)
  return tf.cast(tf.constant(numbers, tf.float32), dtype)


def mask(shape, rate):
  """The mask of dropout in the current scope, of 0 and 1 / (1 - rate)."""
  return dropout.dropout(tf.ones(shape), rate, tf.constant(SEED))


def assert_same(found, plain, inputs, tolerance):
  """Compares two outputs and their gradients to the inputs, in float32."""
  upstream = values(found.dtype, *found.shape)
  results = [
    [tf.cast(x, tf.float32) for x in (y, *tf.gradients(y, inputs, slope))]
    for y, slope in ((found, upstream), (plain, tf.cast(upstream, plain.dtype)))
  ]
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    results = session.run(results)
  for one, other in zip(*results):
    scale = np.abs(other).max()
    np.testing.assert_allclose(one, other, 0, tolerance * scale)


@precisions
@rates
@pytest.mark.parametrize("compiled", [True, False])
def test_add_and_norm(dtype, tolerance, rate, compiled):
  residual, update = values(dtype, 40, 24), values(dtype, 24, 40)
  update = tf.transpose(update)
  weights = [
    tf.get_variable(f"norm/{name}", initializer=values(tf.float32, 24) + shift)
    for name, shift in (("gamma", 1.0), ("beta", 0.0))
  ]
  with tf.variable_scope("", reuse=True):
    found = layer_norm.add_and_norm(
      *(residual, update, rate, tf.constant(SEED), "norm", compiled, True)
    )
  total = tf.cast(update, tf.float32) * mask(update.shape, rate)
  total += tf.cast(residual, tf.float32)
  mean, variance = tf.nn.moments(total, [-1], keepdims=True)
  gamma, beta = map(tf.convert_to_tensor, weights)
  plain = (total - mean) * tf.rsqrt(variance + 1e-12) * gamma + beta
  assert_same(found, plain, [residual, update, *weights], tolerance)


@precisions
@rates
def test_attention(dtype, tolerance, rate):
  query, key, value = (values(dtype, 2, 3, n, 8) for n in (5, 6, 6))
  mask_scores = np.zeros([2, 1, 5, 6], np.float32)
  mask_scores[0, :, :, 4:] = mask_scores[1, :, 3] = -10000.0  # a whole row
  found = attention.attend(
    *(query, key, value, tf.constant(mask_scores), rate, tf.constant(SEED)),
    *(True, True),
  )
  wide = [tf.cast(x, tf.float32) for x in (query, key, value)]
  scores = tf.matmul(wide[0], wide[1], transpose_b=True) / np.sqrt(8)
  probs = tf.nn.softmax(scores + mask_scores)
  plain = tf.matmul(probs * mask(probs.shape, rate), wide[2])
  assert_same(found, plain, [query, key, value], tolerance)


def test_a_compiled_softmax_is_tensorflows():
  rows = np.random.RandomState(1).normal(size=[6, 50]).astype(np.float32)
  rows *= [[1.0], [1e-30], [90.0], [1e4], [1.0], [1.0]]
  rows[4] = -np.abs(rows[4]) - 10000.0
  rows[5, 7:] = -np.inf
  scores = tf.constant(np.concatenate([rows, np.zeros([1, 50], np.float32)]))
  compiled = tf.function(attention._softmax_for_cpu, jit_compile=True)
  with tf.Session() as session:
    found, plain = session.run([compiled(scores), tf.nn.softmax(scores)])
  np.testing.assert_allclose(found, plain, rtol=1e-5, atol=1e-30)


@precisions
@pytest.mark.parametrize("activation", [activations.gelu, activations.gelu_erf])
@pytest.mark.parametrize("compiled", [True, False])
def test_activations(dtype, tolerance, activation, compiled):
  x = values(dtype, 30, 20)
  found = activations.for_training(activation, compiled)(x)
  plain = activation(tf.cast(x, tf.float32))
  assert_same(found, plain, [x], tolerance)


def test_nothing_but_its_input_is_kept_for_an_activations_gradient():
  x = tf.placeholder(tf.float32, [None])
  y = activations.for_training(activations.gelu_erf)(x)
  forward = {op.name for op in tf.get_default_graph().get_operations()}
  slope = tf.gradients(y, x)[0]
  backward = [
    op
    for op in tf.get_default_graph().get_operations()
    if op.name not in forward
  ]
  kept = {
    source.op.name
    for op in backward
    for source in op.inputs
    if source.op.name in forward and source.op.type != "Const"
  }
  assert slope is not None
  assert kept <= {x.op.name, y.op.name}


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_masks_are_the_same_plain_and_compiled(dtype):
  ones = tf.ones([7, 9, 64], dtype)
  with tf.variable_scope("layer_3/output"):
    masks = [
      dropout.dropout(ones, RATE, tf.constant(SEED), compiled)
      for compiled in (False, True)
    ]
  with tf.Session() as session:
    plain, compiled = session.run([tf.cast(x, tf.float32) for x in masks])
  np.testing.assert_array_equal(plain, compiled)
  # A seed's numbers stay the same, so that a run can be repeated.
  assert np.flatnonzero(plain.ravel()[:24] == 0).tolist() == [14, 15, 16]
