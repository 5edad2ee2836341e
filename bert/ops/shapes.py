# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The shapes of tensors: their sizes, checks of their rank, matrices of rows.

In: a tensor. Out: its sizes, an error that names it, or its rows as a matrix.
"""

from __future__ import annotations

import tensorflow.compat.v1 as tf


def get_shape_list(tensor, expected_rank=None, name=None):
  """The sizes: int where known, otherwise a scalar int32 tensor.

  Args:
    tensor: its rank has to be known.
    expected_rank: int, several of them, or None for any.
    name: of the tensor, for the error message.

  Raises:
    ValueError: the rank is unknown, or not an expected one.
  """
  assert_rank(tensor, expected_rank, name)
  static = tensor.shape.as_list()
  if None not in static:
    return static
  dynamic = tf.shape(tensor)
  return [dynamic[i] if size is None else size for i, size in enumerate(static)]


def assert_rank(tensor, expected_rank, name=None):
  """Raises ValueError if a tensor's rank is not (one of) the expected.

  The arguments are those of `get_shape_list`.
  """
  rank = tensor.shape.rank
  if isinstance(expected_rank, int):
    expected_rank = [expected_rank]
  if rank is None or (expected_rank and rank not in expected_rank):
    wanted = " or ".join(map(str, expected_rank or ["known"]))
    raise ValueError(
      f"{name or tensor.name} has shape {tensor.shape}, rank {rank}: the rank"
      f" must be {wanted}"
    )


def reshape_to_matrix(input_tensor):
  """[..., W] to [M, W]; a matrix stays as it is.

  Raises:
    ValueError: the rank is under 2.
  """
  if input_tensor.shape.rank == 2:
    return input_tensor
  if (input_tensor.shape.rank or 0) < 2:
    raise ValueError(
      f"{input_tensor.name} has shape {input_tensor.shape}: the rank must be 2"
      " or more"
    )
  return tf.reshape(input_tensor, [-1, input_tensor.shape[-1]])


def reshape_from_matrix(output_tensor, orig_shape_list):
  """The reverse of `reshape_to_matrix`; the last size may have changed.

  Args:
    output_tensor: [M, W].
    orig_shape_list: of `get_shape_list`, before.

  Returns:
    [..., W].
  """
  if len(orig_shape_list) == 2:
    return output_tensor
  width = get_shape_list(output_tensor, 2, "output_tensor")[-1]
  return tf.reshape(output_tensor, [*orig_shape_list[:-1], width])
