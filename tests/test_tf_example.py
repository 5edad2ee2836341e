# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Tests that records encoded without TensorFlow equal protobuf's bytes."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from bert.records import tf_example

LAYOUT = {"b": (3, "int"), "a": (2, "float"), "longer_name": (1, "int")}
ENCODE = tf_example.ExampleEncoder(LAYOUT)


def by_protobuf(values):
  example = tf.train.Example()
  for name, (_, kind) in LAYOUT.items():
    feature = example.features.feature[name]
    numbers = values[name]
    numbers = numbers if isinstance(numbers, (list, tuple)) else [numbers]
    if kind == "float":
      feature.float_list.value.extend(numbers)
    else:
      feature.int64_list.value.extend(numbers)
  return example.SerializeToString(deterministic=True)


@pytest.mark.parametrize(
  "ints",
  [
    [0, 1, 127],
    [128, 255, 256],
    [16383, 16384, 2**31],
    [-1, 2**63 - 1, -(2**63)],
    (5, 6, 30000),
    [np.int64(77777), np.int32(3), True],
  ],
)
def test_bytes_equal_protobufs(ints):
  values = {"a": [1.0, -0.1], "b": ints, "longer_name": 7, "unused": [1]}
  assert ENCODE(values) == by_protobuf(values)


def test_lists_over_127_bytes_have_lengths_of_several_bytes():
  layout = {"x": (40000, "int")}
  encoded = tf_example.ExampleEncoder(layout)({"x": list(range(40000))})
  example = tf.train.Example.FromString(encoded)
  found = example.features.feature["x"].int64_list.value
  assert list(found) == list(range(40000))


def test_the_error_for_a_wrong_number_of_values_gives_both_numbers():
  with pytest.raises(ValueError, match="b has 2 values instead of 3"):
    ENCODE({"a": [1.0, 2.0], "b": [1, 2], "longer_name": 7})


def test_a_fraction_in_an_integer_list_is_refused():
  with pytest.raises(TypeError):
    ENCODE({"a": [1.0, 2.0], "b": [1, 2, 0.5], "longer_name": 7})
