# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""What an evaluation keeps for a report: eval_predictions.jsonl.

In: examples with their labels and what a model predicted. Out: a file whose
first line says what the model is, and each other line one example.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
from collections.abc import Iterable, Mapping, Sequence

import tensorflow.compat.v1 as tf

from bert.files import reading, writing
from bert.records import tables

NAME = "eval_predictions"
_HEAD = {"task": str, "step": int, "examples": int}
_FILE = re.compile(NAME + r"(.*)\.jsonl$")


@dataclasses.dataclass(frozen=True)
class Evaluated:
  """An evaluated set: what the model is, and its examples.

  `bert.reports` has a file for each task, which says what stands in both.
  """

  head: Mapping  # JSON; `task` names the task
  rows: Sequence[Mapping]


def path_of(folder: str, suffix: str = "") -> str:
  """The file of an evaluated set.

  Args:
    folder: output folder of a run.
    suffix: tells sets apart, as in predictions_mm.tsv.
  """
  return os.path.join(folder, f"{NAME}{suffix}.jsonl")


def write(
  folder: str, suffix: str, step: int, head: Mapping, rows: Iterable
) -> None:
  """Writes an evaluated set.

  Args:
    folder: output folder of a run.
    suffix: as of `path_of`.
    step: of training, whose weights were evaluated.
    head: says what the model is.
    rows: an object for each example.
  """
  path, rows = path_of(folder, suffix), list(rows)
  first = {**head, "step": step, "examples": len(rows)}
  everything = itertools.chain([first], rows)
  lines = (writing.json_text(row, path) for row in everything)
  writing.write_lines(path, lines)


def forget(folder: str) -> None:
  """Removes the evaluated sets of a folder, which a new evaluation makes
  old."""
  for name in tf.io.gfile.listdir(folder):
    if _FILE.match(name):
      tf.io.gfile.remove(os.path.join(folder, name))


def read_all(folder: str, kinds: Mapping) -> dict[str, Evaluated]:
  """The evaluated sets in a folder, {suffix: set}, in the order of suffixes.

  Args:
    folder: output folder of a run.
    kinds: {task: the module that has its HEAD and ROW}.

  Raises:
    ValueError: a file is damaged, or of a task that is not known.
  """
  matches = map(_FILE.match, sorted(tf.io.gfile.listdir(folder)))
  return {
    match[1]: _read(os.path.join(folder, match[0]), kinds)
    for match in matches
    if match
  }


def _read(path, kinds):
  try:
    rows = [row for _, row in tables.read_rows(path, is_json=True)]
    if len(rows) < 2:
      raise ValueError(f"{path} holds no examples")
    head, *rows = rows
    if not _HEAD.keys() <= head.keys():
      raise ValueError(f"{head.where} does not say what the model is")
    reading.check_shape(head, _HEAD, head.where)
    if len(rows) != head["examples"]:
      raise ValueError(
        f"{path} holds {len(rows)} examples, not {head['examples']} as its"
        " first line says"
      )
    if head["task"] not in kinds:
      raise ValueError(
        f"{head.where}: the task {head['task']!r} is none of {', '.join(kinds)}"
      )
    kind = kinds[head["task"]]
    reading.check_shape(head, kind.HEAD, head.where)
    for row in rows:
      reading.check_shape(row, kind.ROW, row.where)
      kind.check(head, row)
    return Evaluated(dict(head), rows)
  except ValueError as error:
    raise ValueError(
      f"{error} (an evaluation with --report writes this file anew)"
    ) from None
