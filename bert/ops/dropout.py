# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Dropout whose mask follows from a seed and the place in the graph.

In: activations, a probability and a seed. Out: the same with random elements
set to 0.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from bert.ops.gradients import with_gradient
from bert.ops.one_pass import one_pass


class Site(NamedTuple):
  """What decides a mask of dropout."""

  dropout_prob: float
  seed: tf.Tensor  # int32 [2], for this place in the graph
  has_kernel: bool  # see _random_words


def dropout(input_tensor, dropout_prob, seed=None, compiled=False):
  """Sets random elements to 0 and scales the others up (JMLR 15:1929).

  The mask depends only on the seed and the name of the current variable scope,
  so two calls in one scope draw the same mask. So does the gradient.

  Args:
    input_tensor: any float type, any shape.
    dropout_prob: float below 1, probability of 0; None or 0: no dropout.
    seed: int32 [2]; None: drawn when the graph runs.
    compiled: bool, whether XLA compiles it; see `modeling.Build`.

  Returns:
    Type and shape of the input.

  Raises:
    ValueError: the probability is not from 0 to 1.
  """
  site = current_site(dropout_prob, seed, compiled)
  if not site:
    return input_tensor

  def dropped(values):
    return _drop_in_one_pass(compiled, values, site)

  inputs = tf.convert_to_tensor(input_tensor)
  outputs = dropped(inputs)
  return with_gradient(outputs, [inputs], lambda value: [dropped(value)])


def current_site(dropout_prob, seed=None, compiled=False):
  """The `Site` of the current variable scope, from the arguments of `dropout`.

  None where there is no dropout.
  """
  if not dropout_prob:
    return None
  if not 0.0 < dropout_prob < 1.0:
    raise ValueError(f"dropout probability {dropout_prob} is not from 0 to 1")
  seed = draw_seed() if seed is None else seed
  place = zlib.crc32(tf.get_variable_scope().name.encode()) & 0x7FFFFFFF
  seed = tf.random.experimental.stateless_fold_in(seed, place, alg="philox")
  has_kernel = not compiled and bool(tf.config.list_physical_devices("GPU"))
  return Site(dropout_prob, seed, has_kernel)


def draw_seed():
  """A new int32 [2] each time the graph runs; it follows the graph's seed."""
  limits = np.iinfo(np.int32)
  return tf.random.uniform([2], limits.min, limits.max, tf.int32)


def drop(inputs, site):
  """`dropout` at a site, with TensorFlow's gradient; a part of a pass."""
  drawn = _random_words(tf.shape(inputs), site.seed, site.has_kernel)
  kept = drawn >= np.uint32(round(site.dropout_prob * 2**32))
  scaled = tf.cast(inputs, tf.float32) * (1.0 / (1.0 - site.dropout_prob))
  return tf.cast(tf.where(kept, scaled, tf.zeros_like(scaled)), inputs.dtype)


_drop_in_one_pass = one_pass(drop)


def _random_words(shape, seed, has_kernel):
  """Uniform uint32 of the given shape, from a seed int32 [2].

  GPUs have a kernel that draws them. Elsewhere each number is a hash of its
  place, which compiled code computes in registers, many times faster than
  TensorFlow draws: two rounds of "lowbias32" (C. Wellons, Hash Prospector),
  with a part of the seed added before each.
  """
  if has_kernel:
    return tf.random.stateless_uniform(
      shape, seed, None, None, tf.uint32, alg="philox"
    )

  def folded(words, bits):
    shifted = tf.bitwise.right_shift(words, np.uint32(bits))
    return tf.bitwise.bitwise_xor(words, shifted)

  words = tf.cast(tf.range(tf.reduce_prod(shape)), tf.uint32)
  for key in tf.unstack(tf.bitcast(seed, tf.uint32)):
    words = folded(words + key, 16) * np.uint32(0x21F0AAAD)
    words = folded(words, 15) * np.uint32(0x735A2D97)
    words = folded(words, 15)
  return tf.reshape(words, shape)
