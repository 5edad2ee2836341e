# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Data of classification tasks: GLUE's files, XNLI's, and your own.

In: TSV, CSV and JSON-lines files. Out: examples with their labels, and the
records that a classifier reads.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow.compat.v1 as tf
from absl import logging

from bert.records import input_pipeline, packing, record_files, tables
from bert.tasks.classification import (
  Classification,
  ClassifierNote,
  fill_template,
)

# --------------------------------------------------------------- examples


@dataclasses.dataclass
class InputExample:
  """One row: a text or a pair, with its label where it is known."""

  guid: str  # identifies the row in predictions
  text_a: str
  text_b: str | None = None
  label: str | Sequence[str] | None = None  # several: a sequence
  features: Sequence[float] = ()  # numbers that stand beside the text


class PaddingInputExample:
  """Stands for a row that only fills a batch, on TPU."""


@dataclasses.dataclass(frozen=True)
class Columns:
  """Where a file's columns are: numbers from 0, or names of its header."""

  text_a: int | str
  text_b: int | str | None = None
  label: int | str | None = None
  guid: int | str | None = None
  has_header: bool = True
  only: tuple | None = None  # (column, value): all other rows are left out
  template: str | None = None  # makes text_a of named columns
  features: Sequence[int | str] = ()
  label_separator: str | None = None  # a row has several labels


@dataclasses.dataclass(frozen=True)
class Dataset:
  """A task's files, labels and scores; label_type single, multi or number."""

  columns: Columns
  labels: Sequence[str] = ("0", "1")
  scores: Sequence[str] = ("accuracy",)
  train_columns: Columns | None = None  # None: as columns
  test_columns: Columns | None = None  # None: as columns, less the label
  label_type: str = "single"
  train_file: str = "train.tsv"
  dev_files: Mapping = dataclasses.field(
    default_factory=lambda: {"": "dev.tsv"}
  )
  test_files: Mapping = dataclasses.field(
    default_factory=lambda: {"": "test.tsv"}
  )
  aliases: Mapping = dataclasses.field(default_factory=dict)
  has_broken_rows: bool = False  # as handed out; they are counted, left out


_NLI_LABELS = ("contradiction", "entailment", "neutral")
_ENTAILMENT = ("entailment", "not_entailment")
_MNLI = Dataset(
  columns=Columns(text_a=8, text_b=9, label=-1),
  labels=_NLI_LABELS,
  test_columns=Columns(text_a=8, text_b=9),
  dev_files={"": "dev_matched.tsv", "_mm": "dev_mismatched.tsv"},
  test_files={"": "test_matched.tsv", "_mm": "test_mismatched.tsv"},
)
GLUE_TASKS = {
  "cola": Dataset(
    columns=Columns(text_a=3, label=1, has_header=False),
    scores=("matthews", "accuracy"),
    test_columns=Columns(text_a=1),
  ),
  "sst-2": Dataset(
    columns=Columns(text_a=0, label=1), test_columns=Columns(text_a=1)
  ),
  "mrpc": Dataset(
    columns=Columns(text_a=3, text_b=4, label=0), scores=("accuracy", "f1")
  ),
  "qqp": Dataset(
    columns=Columns(text_a=3, text_b=4, label=5),
    scores=("accuracy", "f1"),
    test_columns=Columns(text_a=1, text_b=2),
    has_broken_rows=True,
  ),
  "sts-b": Dataset(
    columns=Columns(text_a=7, text_b=8, label=9),
    labels=(),
    scores=("pearson", "spearman", "mse"),
    label_type="number",
  ),
  "mnli": _MNLI,
  "qnli": Dataset(
    columns=Columns(text_a=1, text_b=2, label=3), labels=_ENTAILMENT
  ),
  "rte": Dataset(
    columns=Columns(text_a=1, text_b=2, label=3), labels=_ENTAILMENT
  ),
  "wnli": Dataset(columns=Columns(text_a=1, text_b=2, label=3)),
  # The diagnostic set is scored with a model trained on MNLI.
  "ax": Dataset(
    columns=Columns(text_a=5, text_b=6, label=7),
    labels=_NLI_LABELS,
    scores=("matthews", "accuracy"),
    train_columns=_MNLI.columns,
    test_columns=Columns(text_a=1, text_b=2),
    dev_files={"": "diagnostic-full.tsv"},
    test_files={"": "diagnostic.tsv"},
  ),
}


def xnli_task(language: str = "zh") -> Dataset:
  """XNLI trained and scored in one of its languages."""
  return Dataset(
    columns=Columns(text_a=6, text_b=7, label=1, only=(0, language)),
    labels=_NLI_LABELS,
    train_columns=Columns(text_a=0, text_b=1, label=2),
    test_columns=Columns(text_a=6, text_b=7, only=(0, language)),
    train_file=f"multinli/multinli.train.{language}.tsv",
    dev_files={"": "xnli.dev.tsv"},
    test_files={"": "xnli.test.tsv"},
    aliases={"contradictory": "contradiction"},
  )


def read_examples(
  path: str, columns: Columns, task: Dataset, set_type: str
) -> list[InputExample]:
  """Reads a file's rows as examples.

  Args:
    path: of a TSV, CSV or JSON-lines file.
    columns: where they are; without a label column none is read.
    task: for its labels, if they are known, and their kind.
    set_type: first part of the guid of rows that have none.

  Returns:
    The examples, in the file's order.

  Raises:
    ValueError: no rows, a missing column, or a label that is not the task's;
      the file and line are named.
  """
  table = tables.Table(path, columns.has_header)
  examples, skipped = [], []
  for number, (line, row) in enumerate(table, int(columns.has_header)):

    def cell(column, line=line, row=row):
      return None if column is None else table.cell(line, row, column)

    if columns.only and cell(columns.only[0]) != columns.only[1]:
      continue
    try:
      example = _read_example(f"{path}:{line}", cell, columns, task)
    except ValueError:
      if not task.has_broken_rows:
        raise
      skipped.append(line)
      continue
    example.guid = example.guid or f"{set_type}-{number}"
    examples.append(example)
  if skipped:
    logging.warning(
      f"{path}: left out {len(skipped)} broken rows, the first in line"
      f" {skipped[0]}"
    )
  if not examples:
    raise ValueError(f"{path} holds no examples")
  return examples


def _read_example(where, cell, columns, task):
  """One row; `cell(column)` gives its values, None for the column None."""
  guid, text_b = cell(columns.guid), cell(columns.text_b)
  return InputExample(
    guid="" if guid is None else " ".join(str(guid).split()),
    text_a=_first_text(columns, cell),
    text_b=None if text_b is None else str(text_b),
    label=_read_label(where, cell(columns.label), columns, task),
    features=[_number(where, cell(c), c) for c in columns.features],
  )


def _first_text(columns, cell):
  """text_a of a row: its column, or the template filled in."""
  if columns.template is None:
    return str(cell(columns.text_a))
  return fill_template(columns.template, cell)


def _read_label(where, value, columns, task):
  """A row's label, or list of labels, checked against the task's."""
  if columns.label is None:
    return None
  if value is None:
    raise ValueError(f"{where}: the label is empty")
  if task.label_type == "number":
    return _number(where, value, columns.label)
  if task.label_type == "single":
    return _known_label(where, str(value).strip(), task)
  parts = value
  if not isinstance(value, list):
    parts = str(value).split(columns.label_separator or ",")
  parts = [str(part).strip() for part in parts]
  return [_known_label(where, part, task) for part in parts if part]


def _known_label(where, label, task):
  if not label:
    raise ValueError(f"{where}: the label is empty")
  label = task.aliases.get(label, label)
  if task.labels and label not in task.labels:
    raise ValueError(
      f"{where}: label {label!r} is not one of {', '.join(task.labels)}"
    )
  return label


def _number(where, value, column):
  return tables.number(value, f"{where}: column {column!r}")


class DataProcessor:
  """Reads one task's files from a data folder, as the original's did."""

  task: Dataset | None = None

  def __init__(self, task: Dataset | None = None):
    self.task = task or self.task

  def get_train_examples(self, data_dir: str) -> list[InputExample]:
    columns = self.task.train_columns or self.task.columns
    return self._read(data_dir, self.task.train_file, columns, "train")

  def get_dev_examples(self, data_dir: str, suffix="") -> list[InputExample]:
    name = self.task.dev_files[suffix]
    return self._read(data_dir, name, self.task.columns, "dev")

  def get_test_examples(self, data_dir: str, suffix="") -> list[InputExample]:
    columns = self.task.test_columns
    if columns is None:
      columns = dataclasses.replace(self.task.columns, label=None)
    return self._read(data_dir, self.task.test_files[suffix], columns, "test")

  def get_labels(self) -> list[str]:
    return list(self.task.labels)

  def _read(self, data_dir, name, columns, set_type):
    path = os.path.join(data_dir, name)
    return read_examples(path, columns, self.task, set_type)


class ColaProcessor(DataProcessor):
  """CoLA."""

  task = GLUE_TASKS["cola"]


class MrpcProcessor(DataProcessor):
  """MRPC."""

  task = GLUE_TASKS["mrpc"]


class MnliProcessor(DataProcessor):
  """MultiNLI."""

  task = GLUE_TASKS["mnli"]


class XnliProcessor(DataProcessor):
  """XNLI, in Chinese."""

  task = xnli_task("zh")


def labels_of(examples: Sequence[InputExample]) -> list[str]:
  """The distinct labels of training examples, sorted; numbers by value.

  Raises:
    ValueError: there are no examples, or fewer than two labels.
  """
  found = set()
  for example in examples:
    found.update(
      [example.label] if isinstance(example.label, str) else example.label
    )
  if not examples:
    raise ValueError(
      "the labels are not known: train first (--do_train), or give"
      " --labels_file"
    )
  if len(found) < 2:
    raise ValueError(
      f"the training data have {len(found)} labels"
      f" ({', '.join(found) or 'none'}); at least two are needed"
    )
  is_number = all(re.fullmatch(r"-?\d+", label) for label in found)
  return sorted(found, key=int if is_number else str)


# --------------------------------------------------------------- features


@dataclasses.dataclass
class InputFeatures:
  """One example as a record holds it."""

  input_ids: Sequence[int]
  input_mask: Sequence[int]
  segment_ids: Sequence[int]
  label_id: int | float | Sequence[float]
  is_real_example: bool = True
  features: Sequence[float] = ()


def convert_single_example(
  ex_index: int,
  example: InputExample | PaddingInputExample,
  label_list: Sequence[str],
  max_seq_length: int,
  tokenizer,
  label_type: str = "single",
) -> InputFeatures:
  """Tokenizes, cuts and pads one example; unknown labels become 0.

  Args:
    ex_index: not used; the original logged the first examples.
    example: with text, or for padding.
    label_list: the labels in the order of their ids; none for a number.
    max_seq_length: padded length.
    tokenizer: a FullTokenizer.
    label_type: single, multi (label_id is a list of 0.0 and 1.0) or number.
  """
  del ex_index
  if isinstance(example, PaddingInputExample):
    zeros = [0] * max_seq_length
    return InputFeatures(zeros, zeros, zeros, 0, is_real_example=False)
  packed = packing.pack_texts(
    example.text_a, example.text_b or None, max_seq_length, tokenizer
  )
  return InputFeatures(
    packed.input_ids,
    packed.input_mask,
    packed.segment_ids,
    _label_id(example.label, label_list, label_type),
    features=example.features,
  )


def _label_id(label, label_list, label_type):
  """A label as the record holds it."""
  if label_type == "multi":
    return [float(name in (label or ())) for name in label_list]
  if label_type == "number":
    return float(label or 0.0)
  return 0 if label is None else list(label_list).index(label)


def classification(
  labels: Sequence[str],
  max_seq_length: int = 0,
  label_type: str = "single",
  num_features: int = 0,
) -> Classification:
  """The task with these labels, as far as its graph and records go."""
  note = ClassifierNote(
    task=Classification.name,
    label_type=label_type,
    labels=labels,
    thresholds=[0.5] * len(labels) if label_type == "multi" else [],
    feature_columns=range(num_features),
    feature_mean=(),
    feature_std=(),
    do_lower_case=True,
    max_seq_length=max_seq_length,
  )
  return Classification(note)


def record_of(features: InputFeatures) -> dict:
  """One record's values by the names of the layout."""
  return {
    "input_ids": features.input_ids,
    "input_mask": features.input_mask,
    "segment_ids": features.segment_ids,
    "label_ids": features.label_id,
    "is_real_example": int(features.is_real_example),
    "features": features.features,
  }


def convert_examples_to_features(
  examples, label_list, max_seq_length: int, tokenizer, label_type="single"
) -> list[InputFeatures]:
  """`convert_single_example` for each example."""
  return [
    convert_single_example(
      i, example, label_list, max_seq_length, tokenizer, label_type
    )
    for i, example in enumerate(examples)
  ]


def file_based_convert_examples_to_features(
  examples,
  label_list,
  max_seq_length: int,
  tokenizer,
  output_file: str,
  label_type: str = "single",
  num_features: int = 0,
) -> record_files.RecordFile:
  """Writes the examples' records to a TFRecord file."""

  def rows():
    for i, example in enumerate(examples):
      yield record_of(
        convert_single_example(
          i, example, label_list, max_seq_length, tokenizer, label_type
        )
      )

  task = classification(label_list, max_seq_length, label_type, num_features)
  schema = task.schema(is_training=True)
  return record_files.write_records(rows(), schema, output_file)


def file_based_input_fn_builder(
  input_file: str, seq_length: int, is_training: bool, drop_remainder: bool
):
  """An input_fn over a file of single-label records."""
  schema = classification((), seq_length).schema(is_training)
  input_pipeline.check_records(input_file, schema)
  num_examples = sum(1 for _ in tf.python_io.tf_record_iterator(input_file))
  return input_pipeline.input_fn_builder(
    [input_file], schema, is_training, drop_remainder, num_examples
  )


def input_fn_builder(
  features: Sequence[InputFeatures],
  seq_length: int,
  is_training: bool,
  drop_remainder: bool,
):
  """An input_fn over single-label features in memory."""
  schema = classification((), seq_length).schema(is_training)
  rows = [record_of(feature) for feature in features]
  arrays = {
    name: np.array([r[name] for r in rows], np.int32) for name in schema
  }

  def input_fn(params):
    dataset = tf.data.Dataset.from_tensor_slices(arrays)
    if is_training:
      dataset = dataset.shuffle(len(rows)).repeat()
    return dataset.batch(params["batch_size"], drop_remainder=drop_remainder)

  return input_fn
