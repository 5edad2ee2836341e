# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Gradients of our own, in place of those that TensorFlow derives.

In: tensors, and functions that compute gradients. Out: the same tensors, with
those gradients.
"""

from __future__ import annotations

import tensorflow.compat.v1 as tf


def with_gradient(output, inputs, gradient):
  """Gives a tensor a gradient of its own.

  `tf.custom_gradient` keeps each call, and so the graph, in a table of the
  process for ever. Here an op of the graph keeps the function.

  Args:
    output: a tensor that was computed from the inputs.
    inputs: tensors and variables.
    gradient: function of the gradient to the output; returns a list of the
      gradients to the inputs, None where there is none.

  Returns:
    The output.
  """

  def backward(op, upstream, *_):
    del op
    return [None, *gradient(upstream)]

  graph = tf.get_default_graph()
  with graph._override_gradient_function({"IdentityN": backward}):
    return tf.identity_n([output, *inputs])[0]


def recomputed(function, tokens, seed):
  """Calls `function(tokens, seed)`, whose gradient computes it again.

  Only the input is kept for the gradient, which calls `function` a second time
  with the same variables (arXiv:1604.06174).

  Args:
    function: takes `tokens` and `seed`, and returns one tensor.
    tokens: float tensor.
    seed: int32 [2]. All random numbers must come from it, because tensors that
      do not depend on the arguments may be kept from the first call.
  """
  seed = tf.convert_to_tensor(seed)
  used = {}

  def remember(getter, name, *args, **options):
    used[name] = getter(name, *args, **options)
    return used[name]

  scope = tf.get_variable_scope()
  with tf.variable_scope(
    scope, custom_getter=remember, auxiliary_name_scope=False
  ):
    output = function(tokens, seed)
  variables = [v for v in used.values() if v.trainable]

  def gradient(upstream):
    # Zero or NaN. The second call needs it, so it can't start early, and no
    # graph optimiser can see that it equals the first.
    zero = tf.stop_gradient(tf.reshape(upstream, [-1])[0] * 0.0)
    held = tf.stop_gradient(tokens) + zero
    held_seed = seed + tf.cast(zero, seed.dtype)
    with tf.variable_scope(scope, reuse=True):
      again = function(held, held_seed)
    to_tokens, *to_weights = tf.gradients(again, [held, *variables], upstream)
    with tf.control_dependencies(to_weights):  # before the layer below
      return [tf.identity(to_tokens), *to_weights]

  return with_gradient(output, [tokens, *variables], gradient)
