# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Element-wise functions that XLA compiles to one pass over memory.

In: a function of tensors. Out: the same function, with the choice to compile.
"""

from __future__ import annotations

import functools

import tensorflow.compat.v1 as tf


def one_pass(function):
  """Gives an element-wise function the argument `compiled`, before the others.

  Compiled by XLA, the function reads and writes memory once, on a CPU and on a
  GPU. A chain of TensorFlow's ops does it once per op.
  """

  @functools.wraps(function)
  def run(compiled, *args):
    return (_compiled(function) if compiled else function)(*args)

  return run


def is_for_cpu(compiled):
  """Whether what XLA compiles runs on a CPU.

  There, XLA computes sums over columns and a row's maximum one by one. So some
  functions do it in another way for a CPU, which gives the same numbers.
  """
  return compiled and not tf.config.list_physical_devices("GPU")


def _compiled(function):
  """The function compiled by XLA, made once per graph and freed with it."""
  with tf.init_scope():
    graph = tf.get_default_graph()  # the outermost, even inside a tf.function
  known = graph._compiled_functions = getattr(graph, "_compiled_functions", {})
  if function not in known:
    known[function] = tf.function(function, autograph=False, jit_compile=True)
  return known[function]
