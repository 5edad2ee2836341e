# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Options of run_classifier.py: your own files, and the loss.

In: nothing. Out: the dataclasses whose fields are these flags, and a check.
"""

from __future__ import annotations

import dataclasses

from bert.training import flags

_COLUMN = "custom: the column (its name, or its number from 0) that holds "


@dataclasses.dataclass(frozen=True)
class CustomOptions(flags.Options):
  """How your own files are read."""

  text_a_column: str = flags.flag("text", _COLUMN + "the text.")
  text_b_column: str | None = flags.flag(
    None, _COLUMN + "the second text, if any."
  )
  label_column: str = flags.flag("label", _COLUMN + "the label.")
  label_columns: tuple = flags.flag(
    (),
    "custom: columns of probabilities, one per label, instead of"
    " --label_column. They sum to 1 in each row, and their names are the"
    " labels.",
  )
  id_column: str | None = flags.flag(None, _COLUMN + "an id for predictions.")
  feature_columns: tuple = flags.flag(
    (),
    "custom: columns of numbers to join to the text's pooled vector. They are"
    " standardised by their mean and deviation in the training data.",
  )
  text_template: str | None = flags.flag(
    None,
    "custom: make the text from several columns, as in 'I am {age}."
    " {profile}'.",
  )
  has_header: bool = flags.flag(
    True, "custom: the first line of TSV and CSV files names the columns."
  )
  label_type: str = flags.flag(
    "single",
    "custom: what to predict for each row. single: one label; multi: several"
    " labels (sigmoid); number: a number (regression).",
    choices=("single", "multi", "number"),
  )
  label_separator: str = flags.flag(
    ",", "custom: with --label_type=multi, what separates the labels in a row."
  )
  thresholds: tuple | None = flags.flag(
    None,
    "custom: with --label_type=multi, predict each label whose probability"
    " reaches this value. Give one value for all labels, or one per label."
    " Default: 0.5, or the values of the trained model.",
  )
  labels_file: str | None = flags.flag(
    None,
    "custom: file with the labels, one per line in the order of their ids."
    " Default: the labels of the training data, sorted.",
    reads=True,
  )


@dataclasses.dataclass(frozen=True)
class LossOptions(flags.Options):
  """What training minimises where a row has one label."""

  class_weights: str | None = flags.flag(
    None,
    "Weigh each example's loss by its label. balanced: a label that n of the N"
    " training examples have weighs N / (L * n), with L labels in all; a file"
    " of lines 'label<TAB>weight' gives other weights.",
    reads=True,
  )
  label_smoothing: float = flags.flag(
    0.0,
    "Take this share of the probability from the label and spread it evenly"
    " over all labels.",
    lower_bound=0.0,
    upper_bound=1.0,
  )
  focal_gamma: float = flags.flag(
    0.0,
    "Multiply the loss of a label of probability p by (1 - p)^gamma, so that"
    " examples that the model gets right count less.",
    lower_bound=0.0,
    upper_bound=100.0,
  )
  teacher_predictions: str | None = flags.flag(
    None,
    "predictions.tsv of another model for the training texts: train towards its"
    " probabilities too. Then a text needs no label.",
    reads=True,
  )
  distillation_weight: float = flags.flag(
    0.5,
    "With --teacher_predictions: the teacher's share of the loss of a text that"
    " has a label.",
    lower_bound=0.0,
    upper_bound=1.0,
  )
  temperature: float = flags.flag(
    2.0,
    "With --teacher_predictions: divide the logits of both models by this, so"
    " that small probabilities count more.",
    lower_bound=0.1,
    upper_bound=1000.0,
  )


@dataclasses.dataclass(frozen=True)
class CalibrationOptions(flags.Options):
  """Whether probabilities are made to mean what they say."""

  calibrate: bool = flags.flag(
    False,
    "With --do_eval: fit the temperature that gives the labels of the"
    " development set the most probability, and keep it in task.json. Whatever"
    " predicts with this folder then divides the logits by it, which changes"
    " probabilities, but no label.",
  )


def check_label_flags(options, label_type: str) -> None:
  """Raises ValueError if a flag for single labels has no effect.

  Args:
    options: of `LossOptions` and `CalibrationOptions`.
    label_type: single, multi or number.
  """
  kinds = LossOptions, CalibrationOptions
  for field in (field for kind in kinds for field in dataclasses.fields(kind)):
    if field.name in options.given and label_type != "single":
      raise ValueError(
        f"--{field.name} is for tasks with one label per text, not for"
        f" --label_type={label_type}"
      )
  for name in ("temperature", "distillation_weight"):
    if name in options.given and not options.teacher_predictions:
      raise ValueError(f"--{name} needs --teacher_predictions")
