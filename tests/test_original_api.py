# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Compares names, arguments and flags with those of the original BERT code.

In: golden/original_api.json, which lists the original's modules. Out: a failure
for each name that is missing or is called in another way. More arguments and
flags than the original's are fine if they have defaults.
"""

import dataclasses
import importlib
import inspect
import json

import pytest
from helpers import GOLDEN

MODULES = json.loads((GOLDEN / "original_api.json").read_text("utf-8"))
NAMES = [
  f"{module}.{name}"
  for module, content in MODULES.items()
  for name in content["names"]
]
EMPTY = inspect.Parameter.empty
# Not in the file, because the original makes these with collections.namedtuple.
TUPLES = {
  "run_squad.RawResult": ("unique_id", "start_logits", "end_logits"),
  "create_pretraining_data.MaskedLmInstance": ("index", "label"),
}


def find(dotted):
  """The object of a name, such as "modeling.BertModel"."""
  module, _, name = dotted.partition(".")
  return getattr(importlib.import_module(module), name)


def parameters(function):
  """The parameters that a caller gives."""
  found = inspect.signature(function).parameters.values()
  return [p for p in found if p.name not in ("self", "cls")]


def equals(ours, theirs):
  """Whether a default is the original's, which is written as in its source."""
  if theirs is None:  # the original has no default
    return ours is EMPTY
  if inspect.isfunction(ours):
    return ours.__name__ == theirs
  return repr(ours) == theirs or ours == theirs


def check_call(function, theirs, where):
  """Asserts that the original's arguments come first, in their order."""
  theirs = [(n, value) for n, value in theirs if n not in ("self", "cls")]
  ours = parameters(function)
  assert [p.name for p in ours[: len(theirs)]] == [n for n, _ in theirs], where
  for parameter, (name, default) in zip(ours, theirs):
    if default is not None:
      assert equals(parameter.default, default), f"{where}: {name}"
  for parameter in ours[len(theirs) :]:
    is_open = parameter.kind in (
      parameter.VAR_POSITIONAL,
      parameter.VAR_KEYWORD,
    )
    assert is_open or parameter.default is not EMPTY, f"{where}: {parameter}"


def has_attribute(our_class, name):
  """Whether the objects of a class have an attribute, by the class's source."""
  return any(
    name in vars(base)
    or name in getattr(base, "__annotations__", {})
    or f"self.{name}" in inspect.getsource(base)
    for base in our_class.__mro__[:-1]
    if base.__module__ != "builtins"
  )


@pytest.mark.parametrize("dotted", NAMES)
def test_a_name_is_called_as_in_the_original(dotted):
  ours = find(dotted)
  module, _, name = dotted.partition(".")
  entry = MODULES[module]["names"][name]
  if "args" in entry:
    check_call(ours, entry["args"], name)
    return
  for method, arguments in entry["methods"].items():
    function = ours if method == "__init__" else getattr(ours, method)
    check_call(function, arguments, f"{name}.{method}")
  for attribute in entry["attributes"]:
    if not attribute.startswith("_"):
      assert has_attribute(ours, attribute), f"{name}(...).{attribute}"


@pytest.mark.parametrize("dotted", TUPLES)
def test_a_named_tuple_has_the_originals_fields(dotted):
  assert find(dotted)._fields == TUPLES[dotted]


@pytest.mark.parametrize("module", [m for m in MODULES if MODULES[m]["flags"]])
def test_a_script_has_the_originals_flags_and_defaults(module):
  options = importlib.import_module(module).Options
  ours = {f.name: f.default for f in dataclasses.fields(options) if f.metadata}
  for name, default in MODULES[module]["flags"]:
    assert name in ours, f"--{name} is missing"
    value = ours[name]
    if isinstance(value, tuple):  # given as values separated by commas
      value = ",".join(value)
    assert equals(value, default), f"--{name}={value}"
