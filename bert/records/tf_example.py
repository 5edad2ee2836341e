# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Encodes tf.train.Examples as bytes, without TensorFlow.

In: for each record, lists of numbers by name. Out: its bytes, as protobuf
writes them with sorted names (protobuf.dev/programming-guides/encoding). So a
process that makes records needs neither TensorFlow nor its slow classes.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Mapping

# Tags of protobuf fields: number and wire type. A field is its tag, its length
# and its bytes; only the numbers of a packed list have no tag and length.
_FEATURES = b"\x0a"  # of Example
_ENTRY = b"\x0a"  # of Features, a map
_NAME, _FEATURE = b"\x0a", b"\x12"  # of an entry
_FLOATS, _INTS = b"\x12", b"\x1a"  # of a Feature
_VALUES = b"\x0a"  # of a FloatList or Int64List


def varint(value: int) -> bytes:
  """Encodes an int64 in protobuf's variable-length form, low bits first."""
  value = operator.index(value) & ((1 << 64) - 1)
  encoded = bytearray()
  while value > 127:
    encoded.append(value & 127 | 128)
    value >>= 7
  encoded.append(value)
  return bytes(encoded)


class _Varints(dict):
  """Remembers encoded numbers, because ids and positions repeat."""

  def __missing__(self, value: int) -> bytes:
    encoded = varint(value)
    if len(self) < 1 << 17:
      self[value] = encoded
    return encoded


_VARINTS = _Varints()


def _field(tag: bytes, content: bytes) -> bytes:
  return tag + _VARINTS[len(content)] + content


class ExampleEncoder:
  """Encodes records of one layout; can be sent to other processes.

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
      values: {name: number, list or tuple}; ignores names that are not in the
        layout.

    Raises:
      ValueError: a name has the wrong number of values.
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
  """Encodes a Feature: a packed list of numbers."""
  if kind == "float":
    packed = struct.pack(f"<{len(numbers)}f", *numbers)
    return _field(_FLOATS, _field(_VALUES, packed))
  try:
    packed = bytes(numbers)
    is_short = packed.isascii()
  except ValueError:  # a number is outside 0 to 255
    is_short = False
  if not is_short:  # a number under 128, as in masks, is its own varint
    packed = b"".join(map(_VARINTS.__getitem__, numbers))
  return _field(_INTS, _field(_VALUES, packed))
