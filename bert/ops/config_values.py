# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Checks the values of a configuration before a model is built from them.

In: a BertConfig, or another dataclass with its fields. Out: nothing, or one
sentence that names the value that no model can have.
"""

from __future__ import annotations

import dataclasses
import numbers


def _is_number(value):
  return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _is_size(value):
  return (
    _is_number(value) and isinstance(value, int) and 0 < value <= _LARGEST_SIZE
  )


def _is_probability(value):
  return value is None or (_is_number(value) and 0 <= value < 1)


def _is_deviation(value):
  return _is_number(value) and 0 <= value < float("inf")


def _is_activation(value):
  return value is None or isinstance(value, str) or callable(value)


_LARGEST_SIZE = 2**31 - 1
_SIZE = _is_size, "a whole number over 0 that int32 can hold"
_PROBABILITY = _is_probability, "a number from 0 up to 1, without 1"
_ANYTHING = lambda value: True, ""
_CHECKS = {  # {field: (check, what it has to be)}; whole numbers are sizes
  "hidden_act": (_is_activation, "the name of an activation"),
  "hidden_dropout_prob": _PROBABILITY,
  "attention_probs_dropout_prob": _PROBABILITY,
  "initializer_range": (_is_deviation, "a number of at least 0"),
}


def check_values(config) -> None:
  """Raises ValueError if no model can have one of the values."""
  for field in dataclasses.fields(config):
    default = _SIZE if field.type == "int" else _ANYTHING
    is_sound, wanted = _CHECKS.get(field.name, default)
    value = getattr(config, field.name)
    if not is_sound(value):
      raise ValueError(f"{field.name} is {value!r:.40}, not {wanted}")
