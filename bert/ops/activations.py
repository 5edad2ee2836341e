# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Activations, and a gradient of theirs that keeps little.

In: a tensor, or the name of an activation. Out: a tensor, or the function.
"""

from __future__ import annotations

import math

import tensorflow.compat.v1 as tf

from bert.ops.gradients import with_gradient
from bert.ops.one_pass import one_pass


def gelu(x):
  """Gaussian error linear unit in its tanh form (arXiv:1606.08415).

  0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), for any float type and shape.
  """
  argument = math.sqrt(2.0 / math.pi) * (x + 0.044715 * (x * x * x))
  return 0.5 * x * (1.0 + tf.tanh(argument))


def gelu_erf(x):
  """The same unit in its exact form, x Phi(x)."""
  return 0.5 * x * (1.0 + tf.erf(x / tf.cast(math.sqrt(2.0), x.dtype)))


def for_training(activation, compiled=False):
  """The activation, with a gradient that keeps nothing but its input.

  Args:
    activation: a value of ACTIVATIONS; only `gelu` and `gelu_erf` change.
    compiled: bool, whether XLA compiles it; see `modeling.Build`.
  """
  if activation not in (gelu, gelu_erf):
    return activation

  def run(x):
    def gradient(upstream):
      # Else TensorFlow would see that parts of the value are computed again,
      # and keep them instead.
      with tf.control_dependencies([upstream]):
        return [_gradient(compiled, x, upstream, activation)]

    return with_gradient(_value(compiled, x, activation), [x], gradient)

  return run


@one_pass
def _value(x, activation):
  """An activation, computed in float32."""
  return tf.cast(activation(tf.cast(x, tf.float32)), x.dtype)


@one_pass
def _gradient(x, upstream, activation):
  """The gradient to an activation's input."""
  wide, upstream = tf.cast(x, tf.float32), tf.cast(upstream, tf.float32)
  to_wide = tf.gradients(activation(wide), wide, upstream)[0]
  return tf.cast(to_wide, x.dtype)


ACTIVATIONS = {
  "": None,
  "linear": None,
  "relu": tf.nn.relu,
  "gelu": gelu,
  "gelu_erf": gelu_erf,
  "tanh": tf.tanh,
}


def get_activation(activation_string):
  """The activation with this name, in any case; None for `linear` and "".

  None and functions are returned as they are.

  Raises:
    ValueError: no activation has this name.
  """
  if not isinstance(activation_string, str):
    return activation_string
  if activation_string.lower() not in ACTIVATIONS:
    known = ", ".join(filter(None, ACTIVATIONS))
    raise ValueError(f"hidden_act {activation_string!r} is none of {known}")
  return ACTIVATIONS[activation_string.lower()]
