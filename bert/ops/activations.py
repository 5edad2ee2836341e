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
  """The activation, with a gradient that keeps nothing but its derivative.

  Args:
    activation: a value of ACTIVATIONS; only `gelu` and `gelu_erf` change.
    compiled: bool, whether XLA compiles it; see `modeling.Build`.
  """
  if activation not in (gelu, gelu_erf):
    return activation

  def run(x):
    value, derivative = _value_and_derivative(compiled, x, activation)
    return with_gradient(value, [x], lambda upstream: [upstream * derivative])

  return run


@one_pass
def _value_and_derivative(x, activation):
  """An activation and its derivative, computed in float32."""
  wide = tf.cast(x, tf.float32)
  value = activation(wide)
  derivative = tf.gradients(value, wide)[0]
  return tf.cast(value, x.dtype), tf.cast(derivative, x.dtype)


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
