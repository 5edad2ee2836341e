# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Encodes tf.train.Examples as bytes, without TensorFlow.

In: for each record, lists of numbers by name. Out: its bytes, as protobuf
writes them with sorted names (protobuf.dev/programming-guides/encoding). A
process that makes records need not import TensorFlow, nor wait for its classes.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Mapping

# Tags of protobuf fields: number and wire type. Every field but a number in a
# packed list is a stretch of bytes behind its tag and its length.
_FEATURES = b"\x0a"  # of Example
_ENTRY = b"\x0a"  # of Features, a map
_NAME, _FEATURE = b"\x0a", b"\x12"  # of an entry
_FLOATS, _INTS = b"\x12", b"\x1a"  # of a Feature
_VALUES = b"\x0a"  # of a FloatList or Int64List


def varint(value: int) -> bytes:
  """An int64 in protobuf's variable-length form, least significant first."""
  value = operator.index(value) & ((1 << 64) - 1)
  encoded = bytearray()
  while value > 127:
    encoded.append(value & 127 | 128)
    value >>= 7
  encoded.append(value)
  return bytes(encoded)


class _Varints(dict):
  """Remembers the form of numbers met, for ids and positions come again."""

  def __missing__(self, value: int) -> bytes:
    encoded = varint(value)
    if len(self) < 1 << 17:
      self[value] = encoded
    return encoded


_VARINTS = _Varints()


def _field(tag: bytes, content: bytes) -> bytes:
  return tag + _VARINTS[len(content)] + content


class ExampleEncoder:
  """Writes records of one layout; may be sent to other processes.

  Args:
    layout: {name: (number of values, "int" or "float")}.
  """

  def __init__(self, layout: Mapping[str, tuple[int, str]]):
    self._fields = [
      (name, count, kind, _field(_NAME, name.encode("utf-8")))
      for name, (count, kind) in sorted(layout.items())
    ]

  def __call__(self, values: Mapping) -> bytes:
    """Returns a record's bytes.

    Args:
      values: {name: number, list or tuple}; names outside the layout are left
        out.

    Raises:
      ValueError: a name has more or fewer values than the layout says.
    """
    entries = []
    for name, count, kind, name_field in self._fields:
      numbers = values[name]
      if not isinstance(numbers, (list, tuple)):
        numbers = (numbers,)
      if len(numbers) != count:
        raise ValueError(f"{name} has {len(numbers)} values instead of {count}")
      entry = name_field + _field(_FEATURE, _feature(numbers, kind))
      entries.append(_field(_ENTRY, entry))
    return _field(_FEATURES, b"".join(entries))


def _feature(numbers, kind: str) -> bytes:
  """The bytes of a Feature: a list of numbers, packed."""
  if kind == "float":
    packed = struct.pack(f"<{len(numbers)}f", *numbers)
    return _field(_FLOATS, _field(_VALUES, packed))
  try:
    packed = bytes(numbers)
    is_short = packed.isascii()
  except ValueError:  # not all are in 0 to 255
    is_short = False
  if not is_short:  # else each of them is its own varint, as in masks
    packed = b"".join(map(_VARINTS.__getitem__, numbers))
  return _field(_INTS, _field(_VALUES, packed))
