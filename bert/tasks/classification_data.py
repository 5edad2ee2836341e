# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Data of classification tasks: GLUE's files, XNLI's, and your own.

In: TSV, CSV and JSON-lines files. Out: examples with their labels, and the
records that a classifier reads.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow.compat.v1 as tf
from absl import logging

from bert.files import writing
from bert.records import input_pipeline, packing, record_files, tables
from bert.tasks import classification_targets as targets
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
  # One per label where labels are probabilities or a teacher has them.
  label_probabilities: Sequence[float] = ()
  teacher_probabilities: Sequence[float] = ()


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
  label_probabilities: Sequence[int | str] = ()  # instead of label
  label_is_optional: bool = False  # its cell may be empty
  has_usual_label: bool = False  # if optional, its column may be missing too


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
  has_even_rows: bool = False  # all have as many cells as the first

  def columns_of(self, set_type: str) -> Columns:
    """Where the columns of a set are: of "train", "test" or any other."""
    if set_type == "train":
      return self.train_columns or self.columns
    if set_type == "test":
      without_label = dataclasses.replace(
        self.columns, label=None, label_probabilities=()
      )
      return self.test_columns or without_label
    return self.columns


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


def create_examples(
  lines: Sequence[Sequence | Mapping], task: Dataset, set_type: str
) -> list[InputExample]:
  """Makes examples of the rows of a file.

  Args:
    lines: cells, or {column: value}; the header first, if there is one.
    task: where the columns are, the labels if they are known, and their kind.
    set_type: train, dev or test; first part of the guid of rows that have none.

  Returns:
    The examples, in the order of the rows.

  Raises:
    ValueError: a missing column, or a label that is not the task's; the message
      names the file and line of a row that was read by `tables`.
  """
  columns, header, lines = task.columns_of(set_type), (), list(lines)
  if columns.has_header and lines and not isinstance(lines[0], Mapping):
    header, *lines = lines
  if _lacks_label(columns, header, lines):
    logging.warning(
      f"{set_type}: no column {columns.label!r}, so no text has a label"
    )
    columns = dataclasses.replace(columns, label=None)
  examples, skipped = [], []
  for number, row in enumerate(lines, int(columns.has_header)):
    guid = f"{set_type}-{number}"
    where = getattr(row, "where", guid)
    value_of = functools.partial(_value_of, where, row, header)
    if columns.only and value_of(columns.only[0]) != columns.only[1]:
      continue
    try:
      example = _create_example(where, value_of, columns, task)
    except ValueError:
      if not task.has_broken_rows:
        raise
      skipped.append(where)
      continue
    example.guid = example.guid or guid
    examples.append(example)
  if skipped:
    logging.warning(
      f"left out {len(skipped)} broken rows, the first is {skipped[0]}"
    )
  return examples


def _lacks_label(columns, header, lines):
  """Whether there is no column of labels, and there need be none."""
  if not (columns.label_is_optional and columns.has_usual_label):
    return False
  rows = [header] if header else lines
  return columns.label is not None and all(
    columns.label not in row for row in rows
  )


def _value_of(where, row, header, column):
  """The value of a column in a row, None for the column None."""
  if column is None:
    return None
  return tables.value_of(where, row, column, header)


def _create_example(where, value_of, columns, task):
  """Makes the example of one row, whose values `value_of(column)` gives."""

  def text_of(column):
    return tables.text(value_of(column), f"{where}: column {column!r}")

  guid = "" if columns.guid is None else text_of(columns.guid)
  text_b = None if columns.text_b is None else text_of(columns.text_b)
  if columns.template is None:
    text_a = text_of(columns.text_a)
  else:
    text_a = fill_template(columns.template, text_of)
  probabilities = _read_probabilities(where, value_of, columns)
  if columns.label_probabilities:
    best = np.argmax(probabilities) if probabilities else None
    label = None if best is None else task.labels[best]
  else:
    label = _read_label(where, value_of(columns.label), columns, task)
  return InputExample(
    guid=" ".join(guid.split()),
    text_a=text_a,
    text_b=text_b,
    label=label,
    features=[_number(where, value_of(c), c) for c in columns.features],
    label_probabilities=probabilities,
  )


def _read_probabilities(where, value_of, columns):
  """The labels' probabilities in a row; none if there need be none."""
  names = columns.label_probabilities
  values = [value_of(name) for name in names]
  if columns.label_is_optional and all(map(_is_empty, values)):
    return []
  return targets.distribution(where, values, names) if names else []


def _is_empty(value):
  return value is None or (isinstance(value, str) and not value.strip())


def _read_label(where, value, columns, task):
  """A row's label, or list of labels, checked against the task's."""
  if columns.label is None or (columns.label_is_optional and _is_empty(value)):
    return None
  if value is None:
    raise ValueError(f"{where}: the label is empty")
  if task.label_type == "number":
    return _number(where, value, columns.label)
  name = f"{where}: column {columns.label!r}"
  if task.label_type == "single":
    return _known_label(where, tables.text(value, name), task)
  parts = value
  if not isinstance(value, list):
    parts = tables.text(value, name).split(columns.label_separator or ",")
  texts = [tables.text(part, f"{name}: each label") for part in parts]
  return [_known_label(where, text, task) for text in texts if text.strip()]


def _known_label(where, text, task):
  label = check_label(text, where)
  label = task.aliases.get(label, label)
  if task.labels and label not in task.labels:
    raise ValueError(
      f"{where}: label {label!r} is not one of {', '.join(task.labels)}"
    )
  return label


def check_label(text: str, where: str) -> str:
  """A label without the spaces around it.

  Args:
    text: as a file has it.
    where: the file and line, for the error message.

  Raises:
    ValueError: a line of predictions.tsv can't hold it.
  """
  label = text.strip()
  if not label:
    raise ValueError(f"{where}: the label is empty")
  if re.search(r"[\t\r\n\ud800-\udfff]", label):
    raise ValueError(
      f"{where}: the label {label!r:.40} holds a tab, a line end or half of a"
      " character, which predictions.tsv can't hold"
    )
  return label


def read_labels(path: str) -> list[str]:
  """Reads a file of labels, one a line in the order of their ids.

  Raises:
    ValueError: there are fewer than two, a line is not one label, or a label
      comes twice.
  """
  lines = {}
  for line, row in tables.read_rows(path, is_json=False):
    if len(row) != 1:
      raise ValueError(
        f"{row.where}: {len(row)} columns: give one label a line, and nothing"
        " else"
      )
    label = check_label(row[0], row.where)
    if label in lines:
      raise ValueError(
        f"{row.where}: {label!r} names a label more than once, as line"
        f" {lines[label]} does"
      )
    lines[label] = line
  if len(lines) < 2:
    raise ValueError(f"{path} has {_count(lines)}; at least two are needed")
  return list(lines)


def _count(labels):
  named = f" ({', '.join(labels)})" if labels else ""
  return f"{len(labels)} {'label' if len(labels) == 1 else 'labels'}{named}"


def _number(where, value, column):
  return tables.number(value, f"{where}: column {column!r}")


class DataProcessor:
  """Reads the examples of a task. Subclass it, and write its four methods."""

  def get_train_examples(self, data_dir: str) -> list[InputExample]:
    """The examples to train on, from files in a folder."""
    raise self._lacks("get_train_examples")

  def get_dev_examples(self, data_dir: str) -> list[InputExample]:
    """The examples to evaluate on."""
    raise self._lacks("get_dev_examples")

  def get_test_examples(self, data_dir: str) -> list[InputExample]:
    """The examples to predict; their labels may be None."""
    raise self._lacks("get_test_examples")

  def get_labels(self) -> list[str]:
    """The labels, in the order of their ids."""
    raise self._lacks("get_labels")

  def _lacks(self, method):
    name = type(self).__name__
    return NotImplementedError(f"{name} has no {method}: write this method")

  @classmethod
  def _read_tsv(
    cls, input_file: str, quotechar: str | None = None
  ) -> list[tables.Row]:
    """The rows of a file with tabs, the header too; see `tables.read_tsv`."""
    return tables.read_tsv(input_file, quotechar)


class DatasetProcessor(DataProcessor):
  """Reads the files of a `Dataset`."""

  def __init__(self, task: Dataset):
    self.task = task

  def get_train_examples(self, data_dir: str) -> list[InputExample]:
    return self.read(os.path.join(data_dir, self.task.train_file), "train")

  def get_dev_examples(self, data_dir: str, suffix="") -> list[InputExample]:
    name = self.task.dev_files[suffix]
    return self.read(os.path.join(data_dir, name), "dev")

  def get_test_examples(self, data_dir: str, suffix="") -> list[InputExample]:
    name = self.task.test_files[suffix]
    return self.read(os.path.join(data_dir, name), "test")

  def get_labels(self) -> list[str]:
    return list(self.task.labels)

  def read(self, path: str, set_type: str) -> list[InputExample]:
    """Reads the examples of a TSV, CSV or JSON-lines file.

    Raises:
      ValueError: there are none, or a row does not fit the task.
    """
    if path.endswith((".csv", ".jsonl", ".json")):
      lines = [row for _, row in tables.read_rows(path)]
    else:
      lines = self._read_tsv(path)
    writing.protect(path, "--data_dir")
    if self.task.has_even_rows and lines and isinstance(lines[0], list):
      tables.check_widths(lines)
    examples = self._create_examples(lines, set_type)
    if not examples:
      raise ValueError(f"{path} holds no examples")
    return examples

  def _create_examples(self, lines, set_type: str) -> list[InputExample]:
    """`create_examples` with the labels that `get_labels` gives."""
    task = dataclasses.replace(self.task, labels=self.get_labels())
    return create_examples(lines, task, set_type)


class ColaProcessor(DatasetProcessor):
  """CoLA."""

  def __init__(self):
    super().__init__(GLUE_TASKS["cola"])


class MrpcProcessor(DatasetProcessor):
  """MRPC."""

  def __init__(self):
    super().__init__(GLUE_TASKS["mrpc"])


class MnliProcessor(DatasetProcessor):
  """MultiNLI."""

  def __init__(self):
    super().__init__(GLUE_TASKS["mnli"])


class XnliProcessor(DatasetProcessor):
  """XNLI, in the language that `language` names."""

  def __init__(self):
    self.language = "zh"

  @property
  def task(self) -> Dataset:
    return xnli_task(self.language)


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
      f"the training data have {_count(found)}; at least two are needed"
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
  label_probabilities: Sequence[float] = ()
  teacher_probabilities: Sequence[float] = ()
  text_index: int = 0  # of the windows of a text


def convert_single_example(
  ex_index: int,
  example: InputExample | PaddingInputExample,
  label_list: Sequence[str],
  max_seq_length: int,
  tokenizer,
  label_type: str = "single",
) -> InputFeatures:
  """Tokenizes, cuts and pads one example; the label None becomes 0.

  Args:
    ex_index: number of the example.
    example: with text, or for padding.
    label_list: the labels in the order of their ids; none for a number.
    max_seq_length: padded length.
    tokenizer: a FullTokenizer.
    label_type: single, multi (label_id is a list of 0.0 and 1.0) or number.

  Raises:
    ValueError: the label is not in `label_list`, or is not a number.
  """
  (features,) = convert_to_windows(
    ex_index, example, label_list, max_seq_length, tokenizer, label_type
  )
  return features


def convert_to_windows(
  ex_index: int,
  example: InputExample | PaddingInputExample,
  label_list: Sequence[str],
  max_seq_length: int,
  tokenizer,
  label_type: str = "single",
  long_texts: packing.LongTexts = packing.CUT,
) -> list[InputFeatures]:
  """`convert_single_example`, but an example can be several windows.

  Each has the example's label and its number.
  """
  if isinstance(example, PaddingInputExample):
    zeros = [0] * max_seq_length
    return [InputFeatures(zeros, zeros, zeros, 0, is_real_example=False)]
  found = packing.pack_long_texts(
    example.text_a,
    example.text_b or None,
    max_seq_length,
    tokenizer,
    long_texts,
  )
  label_id = _label_id(example, label_list, label_type)
  numbers = {name: getattr(example, name, ()) for name in _OPTIONAL}
  return [
    InputFeatures(
      packed.input_ids,
      packed.input_mask,
      packed.segment_ids,
      label_id,
      text_index=ex_index,
      **numbers,
    )
    for packed in found
  ]


# Numbers that not all tasks have; a program's own class may lack them.
_OPTIONAL = ("features", "label_probabilities", "teacher_probabilities")


def _label_id(example, label_list, label_type):
  """An example's label as the record holds it."""
  label, where = example.label, f"example {example.guid}"
  if label_type == "number":
    return tables.number(label or 0.0, f"{where}: the label")
  given = (label or ()) if label_type == "multi" else (label,)
  for name in given:
    if name is not None and name not in label_list:
      raise ValueError(
        f"{where}: label {name!r} is not one of the known labels"
        f" ({', '.join(map(str, label_list))})"
      )
  if label_type == "multi":
    return [float(name in given) for name in label_list]
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
    "is_real_example": int(getattr(features, "is_real_example", True)),
    "text_index": getattr(features, "text_index", 0),
    **{name: getattr(features, name, ()) for name in _OPTIONAL},
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
  schema: Mapping | None = None,
  long_texts: packing.LongTexts = packing.CUT,
) -> record_files.RecordFile:
  """Writes the examples' records to a TFRecord file, one for each window.

  `schema` is the layout; None: that of a task with these labels.
  """

  def rows():
    for i, example in enumerate(examples):
      yield from map(
        record_of,
        convert_to_windows(
          i,
          example,
          label_list,
          max_seq_length,
          tokenizer,
          label_type,
          long_texts,
        ),
      )

  if schema is None:
    task = classification(label_list, max_seq_length, label_type, num_features)
    schema = task.schema(is_training=True)
  return record_files.write_records(rows(), schema, output_file)


def file_based_input_fn_builder(
  input_file: str, seq_length: int, is_training: bool, drop_remainder: bool
):
  """An input_fn over a file of single-label records; see `file_input_fn`."""
  schema = classification((), seq_length).schema(is_training)
  return input_pipeline.file_input_fn(
    input_file, schema, is_training, drop_remainder
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
