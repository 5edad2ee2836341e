# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""What a classifier trains towards besides plain labels.

In: columns of probabilities, files of class weights, a teacher's predictions.
Out: distributions over the labels, and one weight per label.

Shapes: L labels.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

import numpy as np
from absl import logging

from bert.records import tables
from bert.tasks.classification import TrainingLoss

_TOLERANCE = 1e-3  # by which the sum of probabilities may differ from 1


def distribution(where: str, values: Sequence, names: Sequence) -> list[float]:
  """The probabilities of a row.

  Args:
    where: the row's file and line, for errors.
    values: one per label, numbers or text.
    names: of the columns that they are from.

  Raises:
    ValueError: they are no distribution.
  """
  found = [
    tables.number(value, f"{where}: column {name!r}")
    for name, value in zip(names, values)
  ]
  for name, value in zip(names, found):
    if not 0.0 <= value <= 1.0:
      raise ValueError(
        f"{where}: column {name!r} has to be a probability, from 0 to 1, not"
        f" {value:g}"
      )
  if abs(sum(found) - 1.0) > _TOLERANCE:
    raise ValueError(
      f"{where}: the probabilities in the columns {', '.join(map(str, names))}"
      f" sum to {sum(found):g}, but have to sum to 1"
    )
  return found


def one_hot(label: str | None, labels: Sequence[str]) -> list[float]:
  """The distribution of a label; zeros for None."""
  return [float(label == name) for name in labels]


def distributions_of(examples: Sequence) -> list[str]:
  """What all these examples have one probability per label of, by name."""
  names = ("label_probabilities", "teacher_probabilities")
  return [name for name in names if getattr(examples[0], name)]


def training_loss(
  options, labels: Sequence[str], examples: Sequence
) -> TrainingLoss | None:
  """What training minimises; None if the flags leave that as it is.

  Args:
    options: with the flags of the loss.
    labels: in the order of their ids.
    examples: of the training data; none without training.

  Raises:
    ValueError: a label has no weight.
  """
  has_teacher = options.teacher_predictions is not None
  is_changed = (
    options.class_weights
    or options.label_smoothing
    or options.focal_gamma
    or has_teacher
  )
  if not examples or not is_changed:
    return None
  weights = ()
  if options.class_weights:
    weights = class_weights(options.class_weights, labels, examples)
  return TrainingLoss(
    weights,
    options.label_smoothing,
    options.focal_gamma,
    options.distillation_weight if has_teacher else None,
    options.temperature,
  )


# ----------------------------------------------------------------- weights


def class_weights(text: str, labels: Sequence[str], examples) -> list[float]:
  """The weights that --class_weights asks for, in the order of the labels.

  Args:
    text: "balanced" or the path of a file.
    labels: in the order of their ids.
    examples: of the training data.

  Raises:
    ValueError: a label has no weight.
  """
  if text == "balanced":
    return _balanced_weights(labels, examples)
  return _read_weights(text, labels)


def _balanced_weights(labels, examples):
  """N / (L * n) for a label that n of N examples have."""
  rows = [
    example.label_probabilities or one_hot(example.label, labels)
    for example in examples
  ]
  counts = np.sum(rows, axis=0)
  for label, count in zip(labels, counts):
    if not count:
      raise ValueError(
        "--class_weights=balanced: no training example has the label"
        f" {label!r}, so it has no weight: give the weights in a file"
      )
  return (counts.sum() / (len(labels) * counts)).tolist()


def _read_weights(path, labels):
  """The weights in a file of lines "label<TAB>weight"."""
  weights = {}
  for _, row in tables.read_rows(path, is_json=False):
    if len(row) != 2:
      raise ValueError(
        f"{row.where}: {len(row)} columns: give a label, a tab and its weight"
      )
    label = row[0].strip()
    if label not in labels:
      raise ValueError(
        f"{row.where}: {label!r} is not one of the labels {', '.join(labels)}"
      )
    if label in weights:
      raise ValueError(f"{row.where}: {label!r} has a weight already")
    weight = tables.number(row[1], f"{row.where}: the weight")
    if weight <= 0.0:
      raise ValueError(
        f"{row.where}: the weight has to be over 0, not {weight:g}"
      )
    weights[label] = weight
  for label in labels:
    if label not in weights:
      raise ValueError(f"{path} has no weight for the label {label!r}: add it")
  return [weights[label] for label in labels]


# ----------------------------------------------------------------- teacher


@dataclasses.dataclass(frozen=True)
class Teacher:
  """What another model predicted for the training texts."""

  path: str
  labels: Sequence[str]
  rows: Mapping  # {id: probabilities, one per label}


def read_teacher(path: str) -> Teacher:
  """Reads predictions.tsv of a model of single labels.

  If any number in the file is below 0 or over 1, all are logits, and their
  softmax is taken.

  Raises:
    ValueError: it is not such a file, or an id comes twice.
  """
  lines = (row for _, row in tables.read_rows(path, is_json=False))
  header = next(lines, [])
  labels, found = list(header[2:]), {}
  if list(header[:2]) != ["id", "label"] or len(labels) < 2:
    raise ValueError(
      f"--teacher_predictions={path} does not begin with the header id, label"
      " and the names of labels: give predictions.tsv of a model that predicts"
      " one label per text"
    )
  for row in lines:
    if len(row) != len(header):
      raise ValueError(
        f"{row.where}: {len(row)} columns, but the header has {len(header)}"
      )
    if row[0] in found:
      raise ValueError(f"{row.where}: the id {row[0]!r} is there twice")
    found[row[0]] = (
      row.where,
      [
        tables.number(value, f"{row.where}: column {name!r}")
        for name, value in zip(labels, row[2:])
      ],
    )
  if any(not 0.0 <= x <= 1.0 for _, values in found.values() for x in values):
    logging.info(f"{path}: not all numbers are from 0 to 1, so they are logits")
    rows = {guid: _softmax(values) for guid, (_, values) in found.items()}
  else:
    rows = {
      guid: distribution(where, values, labels)
      for guid, (where, values) in found.items()
    }
  return Teacher(path, labels, rows)


def _softmax(logits):
  odds = np.exp(np.subtract(logits, max(logits)))
  return (odds / odds.sum()).tolist()


def check_labels(teacher: Teacher, labels: Sequence[str]) -> None:
  """Raises ValueError unless the teacher knows these labels, and no other."""
  if set(teacher.labels) != set(labels):
    raise ValueError(
      f"--teacher_predictions={teacher.path} is for the labels"
      f" {', '.join(teacher.labels)}, but the data have {', '.join(labels)}"
    )


def add_teacher(
  examples, teacher: Teacher, labels: Sequence[str], has_ids: bool
) -> None:
  """Gives each example the distributions of its label and of the teacher.

  Args:
    examples: all examples of the training file.
    teacher: of `read_teacher`.
    labels: in the order of their ids.
    has_ids: whether the examples have ids of their own. If not, row 7 of the
      training file, train-7, is the teacher's test-7.

  Raises:
    ValueError: the teacher lacks an example, or saw other texts.
  """
  order = [teacher.labels.index(label) for label in labels]
  if not has_ids and len(examples) != len(teacher.rows):
    raise ValueError(
      f"--teacher_predictions={teacher.path} has {len(teacher.rows)} rows, but"
      f" there are {len(examples)} training examples: give its predictions for"
      " the training file, or join them by --id_column"
    )
  for example in examples:
    guid = example.guid
    if not has_ids:
      guid = re.sub("^train-", "test-", guid)
    if guid not in teacher.rows:
      raise ValueError(
        f"--teacher_predictions={teacher.path} has no row with the id {guid!r}"
        f" of a training example: {example.text_a!r:.60}; it has ids such as"
        f" {next(iter(teacher.rows), None)!r}. Join them by --id_column, or"
        " give predictions of the training file, as docs/classification.md says"
      )
    row = teacher.rows[guid]
    example.teacher_probabilities = [row[place] for place in order]
    if not example.label_probabilities:
      example.label_probabilities = one_hot(example.label, labels)
