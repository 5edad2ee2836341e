# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Fine-tunes BERT to classify sentences and pairs, evaluates and predicts.

In: the GLUE tasks' and XNLI's files, or TSV, CSV and JSON-lines files of your
own (`--task_name=custom`), with one label, several labels or a number a row.
Out, in `output_dir`: checkpoints, `task.json` (what prediction needs to know),
`eval_results.txt` and `.json`, `test_results.tsv` and `predictions.tsv`.
"""

from __future__ import annotations

from bert.training import common_flags  # isort: skip (quiets TensorFlow before it starts)

import dataclasses
import math
import os
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow.compat.v1 as tf
from absl import flags, logging

import modeling
import optimization
from bert.records import (
  files,
  input_pipeline,
  packing,
  record_files,
  streams,
  tables,
)
from bert.tasks import heads, metrics
from bert.training import checkpoints, estimators, runs

FLAGS = flags.FLAGS


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
class Task:
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
_MNLI = Task(
  columns=Columns(text_a=8, text_b=9, label=-1),
  labels=_NLI_LABELS,
  test_columns=Columns(text_a=8, text_b=9),
  dev_files={"": "dev_matched.tsv", "_mm": "dev_mismatched.tsv"},
  test_files={"": "test_matched.tsv", "_mm": "test_mismatched.tsv"},
)
GLUE_TASKS = {
  "cola": Task(
    columns=Columns(text_a=3, label=1, has_header=False),
    scores=("matthews", "accuracy"),
    test_columns=Columns(text_a=1),
  ),
  "sst-2": Task(
    columns=Columns(text_a=0, label=1), test_columns=Columns(text_a=1)
  ),
  "mrpc": Task(
    columns=Columns(text_a=3, text_b=4, label=0), scores=("accuracy", "f1")
  ),
  "qqp": Task(
    columns=Columns(text_a=3, text_b=4, label=5),
    scores=("accuracy", "f1"),
    test_columns=Columns(text_a=1, text_b=2),
    has_broken_rows=True,
  ),
  "sts-b": Task(
    columns=Columns(text_a=7, text_b=8, label=9),
    labels=(),
    scores=("pearson", "spearman", "mse"),
    label_type="number",
  ),
  "mnli": _MNLI,
  "qnli": Task(
    columns=Columns(text_a=1, text_b=2, label=3), labels=_ENTAILMENT
  ),
  "rte": Task(columns=Columns(text_a=1, text_b=2, label=3), labels=_ENTAILMENT),
  "wnli": Task(columns=Columns(text_a=1, text_b=2, label=3)),
  # The diagnostic set is scored with a model trained on MNLI.
  "ax": Task(
    columns=Columns(text_a=5, text_b=6, label=7),
    labels=_NLI_LABELS,
    scores=("matthews", "accuracy"),
    train_columns=_MNLI.columns,
    test_columns=Columns(text_a=1, text_b=2),
    dev_files={"": "diagnostic-full.tsv"},
    test_files={"": "diagnostic.tsv"},
  ),
}


def xnli_task(language: str = "zh") -> Task:
  """XNLI trained and scored in one of its languages."""
  return Task(
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
  path: str, columns: Columns, task: Task, set_type: str
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
    features=[_read_number(where, cell(c), c) for c in columns.features],
  )


def _first_text(columns, cell):
  """text_a of a row: its column, or the template filled in."""
  if columns.template is None:
    return str(cell(columns.text_a))
  return re.sub(
    r"\{([^{}]+)\}", lambda match: str(cell(match.group(1))), columns.template
  )


def _read_label(where, value, columns, task):
  """A row's label, or list of labels, checked against the task's."""
  if columns.label is None:
    return None
  if value is None:
    raise ValueError(f"{where}: the label is empty")
  if task.label_type == "number":
    return _read_number(where, value, columns.label)
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


def _read_number(where, value, column):
  try:
    number = float(value)
  except (OverflowError, TypeError, ValueError):
    number = math.nan
  if not abs(number) <= np.finfo(np.float32).max:
    raise ValueError(f"{where}: column {column!r} holds {value!r}, no number")
  return number


class DataProcessor:
  """Reads one task's files from a data folder, as the original's did."""

  task: Task | None = None

  def __init__(self, task: Task | None = None):
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


_CUSTOM_SCORES = {
  "single": ("accuracy", "macro_f1"),
  "multi": ("subset_accuracy", "micro_f1", "macro_f1", "hamming_loss"),
  "number": ("pearson", "spearman", "mse"),
}


def custom_task(note: TaskNote | None) -> Task:
  """The task of `--task_name=custom`, by the flags.

  Args:
    note: of the trained model in the output folder, if there is one; its
      labels stand where no file gives them.
  """
  columns = Columns(
    text_a=FLAGS.text_a_column,
    text_b=FLAGS.text_b_column,
    label=FLAGS.label_column,
    has_header=FLAGS.has_header,
    template=FLAGS.text_template,
    features=FLAGS.feature_columns,
    label_separator=FLAGS.label_separator,
  )
  if columns.template and "{" not in columns.template:
    raise ValueError(
      f"--text_template={columns.template} names no column, as 'I am {{age}}'"
      " does"
    )
  labels = note.labels if note else ()
  if FLAGS.labels_file:
    table = tables.Table(FLAGS.labels_file, has_header=False)
    labels = [row[0].strip() for _, row in table]
    if len(set(labels)) < len(labels):
      raise ValueError(f"{FLAGS.labels_file} names a label more than once")
  return Task(
    columns=columns,
    # An id is needed for predictions only, and a label just before.
    test_columns=dataclasses.replace(columns, label=None, guid=FLAGS.id_column),
    labels=labels,
    scores=_CUSTOM_SCORES[FLAGS.label_type],
    label_type=FLAGS.label_type,
    train_file=_custom_file("train"),
    dev_files={"": _custom_file("dev")},
    test_files={"": _custom_file("test")},
  )


def _custom_file(name):
  """train.tsv, train.csv or train.jsonl: whichever data_dir has."""
  candidates = [f"{name}.{ending}" for ending in ("tsv", "csv", "jsonl")]
  for candidate in candidates:
    if tf.io.gfile.exists(os.path.join(FLAGS.data_dir, candidate)):
      return candidate
  return candidates[0]


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
  packed = packing.pack(
    tokenizer.tokenize(example.text_a),
    tokenizer.tokenize(example.text_b) if example.text_b else None,
    max_seq_length,
    tokenizer,
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


def _schema(max_seq_length, num_labels, label_type, num_features):
  """The layout of the task's records."""
  return record_files.classification_schema(
    max_seq_length,
    (num_labels,) if label_type == "multi" else (),
    tf.int64 if label_type == "single" else tf.float32,
    num_features,
  )


def _record(features: InputFeatures) -> dict:
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
      yield _record(
        convert_single_example(
          i, example, label_list, max_seq_length, tokenizer, label_type
        )
      )

  schema = _schema(max_seq_length, len(label_list), label_type, num_features)
  return record_files.write_records(rows(), schema, output_file)


def file_based_input_fn_builder(
  input_file: str, seq_length: int, is_training: bool, drop_remainder: bool
):
  """An input_fn over a file of single-label records."""
  schema = _schema(seq_length, 0, "single", 0)
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
  schema = _schema(seq_length, 0, "single", 0)
  rows = [_record(feature) for feature in features]
  arrays = {
    name: np.array([r[name] for r in rows], np.int32) for name in schema
  }

  def input_fn(params):
    dataset = tf.data.Dataset.from_tensor_slices(arrays)
    if is_training:
      dataset = dataset.shuffle(len(rows)).repeat()
    return dataset.batch(params["batch_size"], drop_remainder=drop_remainder)

  return input_fn


# ------------------------------------------------------------------ model


def create_model(
  bert_config: modeling.BertConfig,
  is_training: bool,
  input_ids: tf.Tensor,
  input_mask: tf.Tensor,
  segment_ids: tf.Tensor,
  labels: tf.Tensor,
  num_labels: int,
  use_one_hot_embeddings: bool,
  label_type: str = "single",
  features: tf.Tensor | None = None,
  dropout_seed: tf.Tensor | None = None,
  **encoder_options,
):
  """BERT with a classifier on the first token's pooled vector.

  Args:
    bert_config: sizes of the encoder.
    is_training: whether dropout is on.
    input_ids: int32 [B, S].
    input_mask: int32 [B, S].
    segment_ids: int32 [B, S].
    labels: int32 [B] (single), float32 [B, num_labels] of 0 and 1 (multi), or
      float32 [B] (number).
    num_labels: outputs of the classifier; 1 for a number.
    use_one_hot_embeddings: look words up by a product, for TPU.
    label_type: single, multi or number.
    features: float32 [B, F] joined to the pooled vector, or None.
    dropout_seed: int32 [2], or None.
    **encoder_options: of `modeling.BertModel`: precision, recomputation.

  Returns:
    (loss, per_example_loss [B], logits [B, num_labels], probabilities
    [B, num_labels]); for a number the probabilities are the numbers.
  """
  inputs = {
    "input_ids": input_ids,
    "input_mask": input_mask,
    "segment_ids": segment_ids,
    "features": features,
  }
  outputs = heads.classifier_forward(
    bert_config,
    inputs,
    {"labels": range(num_labels), "label_type": label_type},
    is_training,
    dropout_seed,
    use_one_hot_embeddings=use_one_hot_embeddings,
    **encoder_options,
  )
  logits, probabilities = outputs["logits"], outputs["probabilities"]
  if label_type == "single":
    per_example_loss = heads.single_label_loss(logits, labels)
  elif label_type == "multi":
    per_example_loss = heads.multi_label_loss(logits, labels)
  else:
    per_example_loss = heads.regression_loss(logits, labels)
  loss = tf.reduce_mean(per_example_loss)
  return loss, per_example_loss, logits, probabilities


def model_fn_builder(
  bert_config: modeling.BertConfig,
  num_labels: int,
  init_checkpoint: str | None,
  learning_rate: float,
  num_train_steps: int | None,
  num_warmup_steps: int | None,
  use_tpu: bool,
  use_one_hot_embeddings: bool,
  label_type: str = "single",
  random_seed: int = 0,
  optimizer_options: optimization.Options | None = None,
  encoder_options: Mapping | None = None,
):
  """The classifier's model_fn for TPUEstimator.

  Predictions are `probabilities` [B, num_labels], `per_example_loss` [B] and
  `label_ids`, for scores where the labels are known.
  """

  def forward(features, is_training, dropout_seed, compiled):
    labels = features["label_ids"]
    _, per_example_loss, logits, probabilities = create_model(
      bert_config,
      is_training,
      features["input_ids"],
      features["input_mask"],
      features["segment_ids"],
      labels,
      num_labels,
      use_one_hot_embeddings,
      label_type,
      features.get("features"),
      dropout_seed,
      **(encoder_options or {}),
      compiled=compiled,
    )
    is_real = tf.ones_like(per_example_loss)
    if "is_real_example" in features:
      is_real = tf.cast(features["is_real_example"], tf.float32)
    return estimators.Outputs(
      loss_sums=[tf.reduce_sum(per_example_loss)],
      predictions={
        "probabilities": probabilities,
        "per_example_loss": per_example_loss,
        "label_ids": labels,
      },
      metric_fn=_single_label_metrics if label_type == "single" else _mean_loss,
      metric_inputs=(per_example_loss, labels, logits, is_real),
    )

  return estimators.make_model_fn(
    forward,
    init_checkpoint,
    learning_rate,
    num_train_steps,
    num_warmup_steps,
    use_tpu,
    random_seed,
    options=optimizer_options,
  )


def _single_label_metrics(per_example_loss, label_ids, logits, is_real):
  """eval_accuracy and eval_loss over the examples that are no padding."""
  predictions = tf.argmax(logits, axis=-1, output_type=tf.int32)
  return {
    "eval_accuracy": tf.metrics.accuracy(label_ids, predictions, is_real),
    **_mean_loss(per_example_loss, label_ids, logits, is_real),
  }


def _mean_loss(per_example_loss, label_ids, logits, is_real):
  del label_ids, logits
  return {"eval_loss": tf.metrics.mean(per_example_loss, is_real)}


# ----------------------------------------------------------------- scores


@dataclasses.dataclass
class TaskNote:
  """What prediction needs to know of a trained model: `task.json`."""

  task: str  # classifier: the key of heads.FORWARD
  task_name: str
  label_type: str
  labels: Sequence[str]  # in the order of their ids; none for a number
  thresholds: Sequence[float]  # one a label where there can be several
  feature_columns: Sequence[int | str]
  feature_mean: Sequence[float]  # of the training data
  feature_std: Sequence[float]
  text_template: str | None
  do_lower_case: bool
  max_seq_length: int


def predicted_labels(note: TaskNote, probabilities: np.ndarray) -> np.ndarray:
  """Class ids [N], 0 and 1 by the thresholds [N, L], or numbers [N]."""
  if note.label_type == "single":
    return np.argmax(probabilities, axis=-1)
  if note.label_type == "multi":
    return (probabilities >= np.asarray(note.thresholds)).astype(int)
  return probabilities[:, 0]


def compute_scores(
  note: TaskNote, names: Sequence[str], arrays: Mapping, batch_size: int
) -> tuple[dict, dict]:
  """The task's scores, and for classes a report.

  Args:
    note: of the model.
    names: official scores of a single-label task.
    arrays: `probabilities` [N, L], `label_ids` [N] or [N, L] and
      `per_example_loss` [N], in input order.
    batch_size: `loss` is the mean over batches of this size, as the original
      gave it; `eval_loss` the mean over examples.

  Returns:
    {name: float}, and what eval_results.json holds besides.
  """
  labels = arrays["label_ids"]
  predictions = predicted_labels(note, arrays["probabilities"])
  report = {}
  if note.label_type == "single":
    scores = metrics.classification_scores(labels, predictions, names)
    report = metrics.classification_report(labels, predictions, note.labels)
  elif note.label_type == "multi":
    labels = labels.astype(int)
    scores = metrics.multilabel_scores(labels, predictions)
    report = metrics.multilabel_report(labels, predictions, note.labels)
  else:
    scores = metrics.regression_scores(labels, predictions)
  losses = arrays["per_example_loss"].astype(np.float64)
  batches = [
    losses[i : i + batch_size] for i in range(0, len(losses), batch_size)
  ]
  scores["loss"] = float(np.mean(losses))
  scores = {f"eval_{name}": value for name, value in scores.items()}
  scores["loss"] = float(np.mean([np.mean(batch) for batch in batches]))
  return scores, report


def prediction_lines(
  note: TaskNote, guids: Sequence[str], probabilities: np.ndarray
) -> Iterator[str]:
  """The lines of predictions.tsv: id, label, a probability for each label."""
  if note.label_type == "number":
    yield "id\tprediction"
    for guid, value in zip(guids, probabilities[:, 0]):
      yield f"{guid}\t{value}"
    return
  yield "\t".join(["id", "label", *note.labels])
  predictions = predicted_labels(note, probabilities)
  for guid, predicted, row in zip(guids, predictions, probabilities):
    if note.label_type == "single":
      label = note.labels[predicted]
    else:
      label = ",".join(np.asarray(note.labels)[predicted == 1])
    yield "\t".join([guid, label, *(str(value) for value in row)])


# ------------------------------------------------------------------- main


@dataclasses.dataclass
class Job:
  """One run: the model, the data and what is known of the labels."""

  config: modeling.BertConfig
  tokenizer: object  # FullTokenizer
  init_checkpoint: str | None
  task: Task
  note: TaskNote
  train: Sequence[InputExample]  # empty without --do_train
  dev: Mapping  # {suffix of the file: examples}, empty if not needed
  test: Mapping
  input_fns: dict = dataclasses.field(default_factory=dict)  # made once each

  @property
  def num_outputs(self) -> int:
    return len(self.note.labels) or 1

  @property
  def num_train_steps(self) -> int:
    return runs.num_train_steps(len(self.train))


def define_flags() -> None:
  """This script's flags, beside those of common_flags."""
  common_flags.define_model_flags()
  common_flags.define_action_flags()
  common_flags.define_training_flags()
  common_flags.define_speed_flags()
  common_flags.define_device_flags()
  common_flags.define_evaluation_flags("eval_accuracy or eval_loss")
  flags.adopt_module_key_flags(common_flags)
  flags.DEFINE_string("data_dir", None, "Folder of the task's files.")
  flags.DEFINE_string(
    "task_name",
    None,
    f"{', '.join(GLUE_TASKS)}, xnli, or custom for files of your own: train,"
    " dev and test with the ending .tsv, .csv or .jsonl.",
  )
  flags.DEFINE_string("xnli_language", "zh", "xnli: language of the files.")
  _define_custom_flags()
  flags.DEFINE_integer(
    "max_train_examples",
    None,
    "Train on so many examples, drawn at random.",
    lower_bound=1,
  )
  flags.DEFINE_integer(
    "max_eval_examples", None, "Evaluate the first so many.", lower_bound=1
  )
  flags.DEFINE_integer(
    "max_predict_examples", None, "Predict the first so many.", lower_bound=1
  )
  flags.mark_flags_as_required(
    ["data_dir", "task_name", "vocab_file", "bert_config_file", "output_dir"]
  )


_CUSTOM_FLAGS = (
  "text_a_column",
  "text_b_column",
  "label_column",
  "id_column",
  "feature_columns",
  "text_template",
  "has_header",
  "label_type",
  "label_separator",
  "thresholds",
  "labels_file",
)


def _define_custom_flags():
  """How files of one's own are read."""
  column = "custom: column (number from 0, or name in the header or JSON) of "
  flags.DEFINE_string("text_a_column", "text", column + "the text.")
  flags.DEFINE_string(
    "text_b_column", None, column + "the second text, if any."
  )
  flags.DEFINE_string("label_column", "label", column + "the label.")
  flags.DEFINE_string("id_column", None, column + "an id for predictions.tsv.")
  flags.DEFINE_list(
    "feature_columns",
    [],
    "custom: columns of numbers that are joined to the pooled vector,"
    " standardised on the training data.",
  )
  flags.DEFINE_string(
    "text_template",
    None,
    "custom: makes the text of several columns, as in 'I am {age}. {profile}'.",
  )
  flags.DEFINE_bool(
    "has_header", True, "custom: the first line of TSV and CSV names columns."
  )
  flags.DEFINE_enum(
    "label_type",
    "single",
    ["single", "multi", "number"],
    "custom: one label a row, several (sigmoid), or a number (regression).",
  )
  flags.DEFINE_string(
    "label_separator", ",", "custom: stands between several labels of a row."
  )
  flags.DEFINE_list(
    "thresholds",
    None,
    "custom: a label of several is given from this probability on; one for"
    " all, or one a label. Not given: 0.5, or those of the trained model.",
  )
  flags.DEFINE_string(
    "labels_file",
    None,
    "custom: the labels, one a line in the order of their ids; otherwise those"
    " of the training data, sorted.",
  )


def main(_):
  job = prepare()
  runs.log_devices()
  evaluator = make_estimator(job, FLAGS.eval_batch_size)
  if FLAGS.do_train:
    train(job, make_estimator(job, FLAGS.predict_batch_size), evaluator)
  if not common_flags.is_chief():
    return
  best = runs.best_checkpoint()
  if FLAGS.do_eval:
    scores, report = evaluate(job, evaluator, best)
    logging.info("evaluation:")
    estimators.write_eval_results(FLAGS.output_dir, scores, report)
  if FLAGS.do_predict:
    predict(job, make_estimator(job, FLAGS.predict_batch_size), best)


def prepare() -> Job:
  """Checks the flags and reads all data, so that what is wrong shows early."""
  runs.check_flags(("do_train", "do_eval", "do_predict"))
  config, tokenizer = common_flags.load_model_files()
  init_checkpoint = runs.find_init_checkpoint(config)
  kept = runs.load_note(TaskNote, init_checkpoint)
  task = find_task(kept)
  if kept and kept.label_type != task.label_type:
    raise ValueError(
      f"the trained model has --label_type={kept.label_type}, and not"
      f" {task.label_type}: give the same, or another --output_dir"
    )
  _check_evaluation_flags(task)
  train_examples = []
  if FLAGS.do_train:
    train_examples = DataProcessor(task).get_train_examples(FLAGS.data_dir)
  if not task.labels and task.label_type != "number":
    task = dataclasses.replace(task, labels=labels_of(train_examples))
  if FLAGS.max_train_examples:
    train_examples = _sample(train_examples, FLAGS.max_train_examples)
  note = make_note(task, kept, train_examples)
  runs.warn_of_other_labels(TaskNote, init_checkpoint, note.labels)
  dev, test = {}, {}
  if FLAGS.do_eval or (FLAGS.do_train and FLAGS.eval_steps):
    dev = _read_sets(
      DataProcessor(task).get_dev_examples,
      task.dev_files,
      FLAGS.max_eval_examples,
    )
  if FLAGS.do_predict:
    test = _read_sets(
      DataProcessor(task).get_test_examples,
      task.test_files,
      FLAGS.max_predict_examples,
    )
  for examples in (train_examples, *dev.values(), *test.values()):
    standardise(examples, note)
  job = Job(
    config, tokenizer, init_checkpoint, task, note, train_examples, dev, test
  )
  if FLAGS.do_train:
    runs.check_train_steps(len(train_examples), "examples")
  tf.io.gfile.makedirs(FLAGS.output_dir)
  return job


def _check_evaluation_flags(task):
  runs.check_evaluation(
    [
      f"eval{suffix}_{name}"
      for suffix in task.dev_files
      for name in (*task.scores, "loss")
    ]
  )


def find_task(kept: TaskNote | None) -> Task:
  """The task of the flags.

  Raises:
    ValueError: there is none of this name.
  """
  name = FLAGS.task_name.lower()
  if name == "custom":
    return custom_task(kept)
  for flag in _CUSTOM_FLAGS:
    if FLAGS[flag].present:
      raise ValueError(
        f"--{flag} is for --task_name=custom, not for {FLAGS.task_name}"
      )
  if name == "xnli":
    return xnli_task(FLAGS.xnli_language)
  if name not in GLUE_TASKS:
    raise ValueError(
      f"--task_name={FLAGS.task_name} is not known: give one of"
      f" {', '.join(GLUE_TASKS)}, xnli or custom"
    )
  return GLUE_TASKS[name]


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


def make_note(
  task: Task, kept: TaskNote | None, train_examples: Sequence[InputExample]
) -> TaskNote:
  """What is to be known of the model: what was kept, or else the new facts.

  Raises:
    ValueError: the trained model in the output folder is for other labels,
      columns or case.
  """
  columns = task.columns.features
  values = np.array([example.features for example in train_examples])
  has_values = values.size > 0
  std = values.std(axis=0) if has_values else np.ones(len(columns))
  note = TaskNote(
    task="classifier",
    task_name=FLAGS.task_name.lower(),
    label_type=task.label_type,
    labels=list(task.labels),
    thresholds=_thresholds(task, kept),
    feature_columns=list(columns),
    feature_mean=values.mean(axis=0).tolist() if has_values else [],
    feature_std=np.where(std > 0, std, 1.0).tolist(),
    text_template=task.columns.template,
    do_lower_case=FLAGS.do_lower_case,
    max_seq_length=FLAGS.max_seq_length,
  )
  if not kept:
    if columns and not has_values:
      raise ValueError(
        "--feature_columns need the training data's statistics: train first"
      )
    return note
  compared = ["labels", "feature_columns", "text_template", "do_lower_case"]
  if FLAGS.do_train:
    compared.append("task_name")
  runs.compare_notes(kept, note, compared)
  return dataclasses.replace(
    kept, thresholds=note.thresholds, max_seq_length=note.max_seq_length
  )


def _thresholds(task, kept):
  """--thresholds, one a label; not given: those kept, or 0.5."""
  if task.label_type != "multi":
    return []
  if not FLAGS.thresholds:
    return kept.thresholds if kept else [0.5] * len(task.labels)
  try:
    values = [float(value) for value in FLAGS.thresholds]
  except ValueError:
    raise ValueError(
      f"--thresholds={','.join(FLAGS.thresholds)}: numbers are expected"
    ) from None
  if len(values) == 1:
    values *= len(task.labels)
  if len(values) != len(task.labels):
    raise ValueError(
      f"--thresholds has {len(values)} numbers for {len(task.labels)} labels"
      f" ({', '.join(task.labels)})"
    )
  return values


def standardise(examples: Sequence[InputExample], note: TaskNote) -> None:
  """Gives each feature the mean 0 and deviation 1 of the training data."""
  for example in examples:
    example.features = [
      (value - mean) / std
      for value, mean, std in zip(
        example.features, note.feature_mean, note.feature_std
      )
    ]


def _sample(examples, most):
  """`most` of the examples, drawn at random, in their order."""
  chosen = random.Random(FLAGS.random_seed).sample(
    range(len(examples)), min(most, len(examples))
  )
  return [examples[i] for i in sorted(chosen)]


def _read_sets(read, files, most):
  """{suffix: examples} of the files that are there; the first has to be."""
  return {
    suffix: read(FLAGS.data_dir, suffix)[:most]
    for suffix, name in files.items()
    if not suffix or tf.io.gfile.exists(os.path.join(FLAGS.data_dir, name))
  }


def make_estimator(job: Job, predict_batch_size: int):
  """The estimator of the flags, predicting so many examples at a time."""
  return runs.make_estimator(
    model_fn_builder,
    job.num_train_steps,
    predict_batch_size,
    bert_config=job.config,
    init_checkpoint=job.init_checkpoint,
    num_labels=job.num_outputs,
    label_type=job.note.label_type,
  )


def get_input_fn(job: Job, examples, name: str, is_training: bool):
  """Writes the records, or finds them made, and reads them."""
  if name not in job.input_fns:
    job.input_fns[name] = _make_input_fn(job, examples, name, is_training)
  return job.input_fns[name]


def _make_input_fn(job, examples, name, is_training):
  note = job.note
  output_file = runs.record_path(name)
  num_features = len(note.feature_columns)
  mark = record_files.fingerprint(
    [dataclasses.astuple(example) for example in examples],
    [note.labels, note.label_type, num_features],
    [FLAGS.max_seq_length, FLAGS.do_lower_case, job.tokenizer.vocab],
  )
  records = record_files.cached_records(
    output_file,
    mark,
    lambda: file_based_convert_examples_to_features(
      examples,
      note.labels,
      FLAGS.max_seq_length,
      job.tokenizer,
      output_file,
      note.label_type,
      num_features,
    ),
  )
  return runs.make_input_fn(
    records,
    _schema(
      FLAGS.max_seq_length, len(note.labels), note.label_type, num_features
    ),
    is_training,
  )


def train(job: Job, estimator, evaluator) -> None:
  """Trains to classify."""
  logging.info(f"labels of the training data: {label_histogram(job)}")
  runs.train(
    estimator,
    get_input_fn(job, job.train, "train", is_training=True),
    job.num_train_steps,
    len(job.train),
    lambda checkpoint: evaluate(job, evaluator, checkpoint)[0],
    job.note,
  )


def label_histogram(job: Job) -> str:
  """How often each label occurs in the training data, in words."""
  if job.note.label_type == "number":
    values = [example.label for example in job.train]
    return f"{min(values)} to {max(values)}, mean {np.mean(values):.4g}"
  counts = Counter()
  for example in job.train:
    label = example.label
    counts.update([label] if isinstance(label, str) else label)
  return ", ".join(
    f"{label} {counts[label]} ({counts[label] / len(job.train):.1%})"
    for label in job.note.labels
  )


def predict_rows(job: Job, estimator, examples, name: str, checkpoint):
  """{name: array [N, ...]} of what the model says of the examples, in order."""
  input_fn = get_input_fn(job, examples, name, is_training=False)
  rows = list(
    streams.in_input_order(
      estimators.predict(estimator, input_fn, len(examples), checkpoint),
      ("probabilities", "per_example_loss", "label_ids"),
    )
  )
  return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def evaluate(job: Job, estimator, checkpoint: str | None):
  """Scores of all dev files, and their reports."""
  scores, reports = {}, {}
  for suffix, examples in job.dev.items():
    arrays = predict_rows(job, estimator, examples, f"eval{suffix}", checkpoint)
    predictions = predicted_labels(job.note, arrays["probabilities"])
    if len(examples) > 1 and len(np.unique(predictions, axis=0)) == 1:
      logging.warning(
        f"the same is predicted for all {len(examples)} examples: has the model"
        " learned? Try another --learning_rate, --num_train_epochs or"
        " --random_seed"
      )
    found, report = compute_scores(
      job.note, job.task.scores, arrays, FLAGS.eval_batch_size
    )
    for name, value in found.items():
      if suffix:  # eval_mm_accuracy, loss_mm
        name = re.sub("^eval|$", rf"\g<0>{suffix}", name, count=1)
      scores[name] = value
    reports[f"report{suffix}"] = report
  used = runs.used_checkpoint(checkpoint, job.init_checkpoint)
  scores["global_step"] = checkpoints.current_step(used)
  return scores, reports


def predict(job: Job, estimator, checkpoint: str | None) -> None:
  """Writes test_results.tsv and predictions.tsv for all test files."""
  for suffix, examples in job.test.items():
    arrays = predict_rows(
      job, estimator, examples, f"predict{suffix}", checkpoint
    )
    probabilities = arrays["probabilities"]
    guids = [example.guid for example in examples]
    for name, lines in (
      ("test_results", ("\t".join(map(str, row)) for row in probabilities)),
      ("predictions", prediction_lines(job.note, guids, probabilities)),
    ):
      path = os.path.join(FLAGS.output_dir, f"{name}{suffix}.tsv")
      files.write_lines(path, lines)
      logging.info(f"wrote {path}")


if __name__ == "__main__":
  define_flags()
  common_flags.run(main)
