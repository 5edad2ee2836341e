# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Variables, and how they start.

In: a name and a shape. Out: a variable of the graph.
"""

from __future__ import annotations

import zlib

import tensorflow.compat.v1 as tf


def variable(name, shape, initializer=None):
  """A float32 variable of the current scope, always a resource variable.

  In a program that called `tf.disable_v2_behavior()`, `tf.get_variable` makes
  reference variables unless it is asked for the others.
  """
  return tf.get_variable(
    name, shape, initializer=initializer, use_resource=True
  )


def create_initializer(initializer_range=0.02):
  """A truncated normal with this standard deviation; see `drawn_by_name`."""
  initializer = tf.truncated_normal_initializer
  return drawn_by_name(initializer, stddev=initializer_range)


def drawn_by_name(make_initializer, **options):
  """An initializer that draws by the graph's seed and the variable's name.

  TensorFlow's own draws by the number of ops that the graph has so far, so that
  any change of the graph before a variable changes its first weights. In a
  graph without a seed, each run draws different numbers.

  Args:
    make_initializer: class of an initializer that takes `seed`.
    **options: its other arguments.
  """

  def initialize(shape, dtype=tf.float32, partition_info=None):
    graph = tf.get_default_graph()
    # The name scope is the variable's name, followed by /Initializer.
    place = zlib.crc32(graph.get_name_scope().encode()) & 0x7FFFFFFF
    seed = None if graph.seed is None else place
    return make_initializer(seed=seed, **options)(shape, dtype, partition_info)

  return initialize
