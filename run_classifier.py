# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Fine-tunes BERT to classify sentences and pairs, evaluates and predicts.

In: the files of GLUE's tasks and XNLI, or your own TSV, CSV and JSON-lines
files (`--task_name=custom`), with one label, several labels or a number per
row. Out, in `output_dir`: checkpoints, `task.json` (what prediction needs to
know), `eval_results.txt` and `.json`, `test_results.tsv`, `predictions.tsv`.
"""

from __future__ import annotations

import dataclasses

from bert.training import entry, flags
from bert.training.classifier_flags import (
  CalibrationOptions,
  check_label_flags,
  CustomOptions,
  LossOptions,
)
from bert.training.long_text_flags import find_long_texts, LongTextOptions


@dataclasses.dataclass(frozen=True)
class Options(
  flags.FineTuningOptions,
  flags.EvaluationOptions,
  CustomOptions,
  LossOptions,
  CalibrationOptions,
  LongTextOptions,
):
  """This script's flags."""

  data_dir: str | None = flags.flag(
    None, "Folder with the task's files.", required=True
  )
  task_name: str | None = flags.flag(
    None,
    "cola, sst-2, mrpc, qqp, sts-b, mnli, qnli, rte, wnli, ax, xnli, or custom"
    " for your own files, which are train, dev and test, each ending in .tsv,"
    " .csv or .jsonl.",
    required=True,
  )
  xnli_language: str = flags.flag("zh", "xnli: language of the files.")
  pooling: str | None = flags.flag(
    None,
    "What is classified. cls (the default): the pooler's vector of [CLS]; mean"
    " or max: of the last layer's vectors, over all tokens but padding;"
    " first_last_mean: of the mean of the first and the last layer's vectors.",
    choices=("cls", "mean", "max", "first_last_mean"),
  )
  max_train_examples: int | None = flags.flag(
    None, "Train on only N examples, drawn at random.", lower_bound=1
  )
  max_eval_examples: int | None = flags.flag(
    None, "Evaluate only the first N examples.", lower_bound=1
  )
  max_predict_examples: int | None = flags.flag(
    None, "Predict only the first N examples.", lower_bound=1
  )


if __name__ == "__main__":
  entry.parse(Options)  # --help ends here, before the slow imports

import os
import random
import re
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow.compat.v1 as tf
from absl import logging

import modeling
import optimization
from bert.files import clock, kept_files, writing
from bert.records import packing, record_files, streams
from bert.records.packing import (  # noqa: F401  (the original's)
  truncate_seq_pair as _truncate_seq_pair,
)
from bert.reports import calibration, kept_examples
from bert.reports import classification as reported
from bert.tasks import classification as classifier
from bert.tasks import classification_targets as targets
from bert.tasks import windows
from bert.tasks.classification import Classification, ClassifierNote
from bert.tasks.classification_data import (  # noqa: F401  (the original's)
  classification,
  ColaProcessor,
  Columns,
  convert_examples_to_features,
  convert_single_example,
  DataProcessor,
  Dataset,
  DatasetProcessor,
  file_based_convert_examples_to_features,
  file_based_input_fn_builder,
  GLUE_TASKS,
  input_fn_builder,
  InputExample,
  InputFeatures,
  labels_of,
  MnliProcessor,
  MrpcProcessor,
  PaddingInputExample,
  read_labels,
  xnli_task,
  XnliProcessor,
)
from bert.tasks.classification_scores import (
  compute_scores,
  find_thresholds,
  label_histogram,
  prediction_lines,
)
from bert.training import cluster, estimators, folders, runs

# --------------------------------------------------------------- examples


_CUSTOM_SCORES = {
  "single": ("accuracy", "macro_f1"),
  "multi": ("subset_accuracy", "micro_f1", "macro_f1", "hamming_loss"),
  "number": ("pearson", "spearman", "mse"),
}


def custom_task(options: Options, kept: ClassifierNote | None) -> Dataset:
  """The task of `--task_name=custom`.

  Args:
    options: which columns and files there are.
    kept: note of the trained model in the output folder, if there is one; its
      labels are used unless --labels_file gives others.
  """
  columns = Columns(
    text_a=options.text_a_column,
    text_b=options.text_b_column,
    label=options.label_column,
    has_usual_label="label_column" not in options.given,
    has_header=options.has_header,
    template=options.text_template,
    features=options.feature_columns,
    label_separator=options.label_separator,
  )
  classifier.check_template(columns.template)
  labels = kept.labels if kept else ()
  if options.labels_file:
    labels = read_labels(options.labels_file)
  if options.label_columns:
    labels = _label_columns(options)
    columns = dataclasses.replace(
      columns, label=None, label_probabilities=labels
    )
  return Dataset(
    columns=columns,
    # Only predictions need an id, and they need no label.
    test_columns=dataclasses.replace(
      columns, label=None, label_probabilities=(), guid=options.id_column
    ),
    labels=labels,
    has_even_rows=True,
    scores=_CUSTOM_SCORES[options.label_type],
    label_type=options.label_type,
    train_file=_custom_file(options.data_dir, "train"),
    dev_files={"": _custom_file(options.data_dir, "dev")},
    test_files={"": _custom_file(options.data_dir, "test")},
  )


def _label_columns(options):
  """The names in --label_columns, which are the labels."""
  names = [name.strip() for name in options.label_columns]
  for other in ("label_column", "labels_file", "label_type"):
    if other in options.given:
      raise ValueError(
        f"--label_columns gives each label a column of its own, so leave out"
        f" --{other}"
      )
  if len(names) < 2 or len(set(names)) < len(names) or not all(names):
    raise ValueError(
      f"--label_columns={','.join(names)}: give two columns or more, each once"
    )
  return names


def _custom_file(data_dir, name):
  """train.tsv, train.csv or train.jsonl: whichever data_dir has."""
  names = [f"{name}.{ending}" for ending in ("tsv", "csv", "jsonl")]
  found = (n for n in names if tf.io.gfile.exists(os.path.join(data_dir, n)))
  return next(found, names[0])


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
  """The original's name for `Classification`'s graph; `main` does not use it.

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
  task = classification(_numbered(num_labels, label_type), 0, label_type)
  batch = {
    "input_ids": input_ids,
    "input_mask": input_mask,
    "segment_ids": segment_ids,
    "features": features,
    "label_ids": labels,
  }
  tensors = task.build(
    bert_config,
    batch,
    is_training=is_training,
    dropout_seed=dropout_seed,
    use_one_hot_embeddings=use_one_hot_embeddings,
    **encoder_options,
  )
  per_example_loss = task.scored(tensors, batch).predictions["per_example_loss"]
  loss = tf.reduce_mean(per_example_loss)
  return loss, per_example_loss, tensors["logits"], tensors["probabilities"]


def _numbered(num_labels, label_type):
  """Names for labels of which only the number is known."""
  return [] if label_type == "number" else [str(i) for i in range(num_labels)]


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

  Predictions are `probabilities` [B, num_labels], `predicted` [B],
  `per_example_loss` [B] and `label_ids`, for scores where labels are known.
  """
  task = classification(_numbered(num_labels, label_type), 0, label_type)
  return estimators.original_model_fn(
    task,
    bert_config,
    init_checkpoint,
    learning_rate,
    num_train_steps,
    num_warmup_steps,
    use_tpu,
    use_one_hot_embeddings,
    random_seed,
    optimizer_options,
    encoder_options,
  )


# ------------------------------------------------------------------- main


@dataclasses.dataclass
class Job:
  """One run: the model, the data and what is known of the labels."""

  options: Options
  model: runs.Model
  task: Dataset  # files, columns and scores
  note: ClassifierNote
  train: Sequence[InputExample]  # empty without --do_train
  dev: Mapping  # {suffix of the file: examples}, empty if not needed
  test: Mapping
  training: classifier.TrainingLoss | None = None
  num_train_steps: int = 0
  inputs: dict = dataclasses.field(default_factory=dict)  # made once each


def main(options: Options) -> None:
  job = prepare(options)
  options = job.options
  runs.log_devices(options)
  evaluator = make_estimator(job, options.eval_batch_size)
  if options.do_train:
    train(job, make_estimator(job, options.predict_batch_size), evaluator)
  if not cluster.is_chief(options):
    return
  best = runs.best_checkpoint(options)
  if options.do_eval:
    scores, reports, arrays = evaluate(job, evaluator, best)
    runs.write_scores(options, scores, reports)
    if options.calibrate:
      calibrate(job, arrays)
    if options.report:
      keep_examples(job, arrays, scores["global_step"])
  if options.do_predict:
    predict(job, make_estimator(job, options.predict_batch_size), best)


@clock.part("records")
def prepare(options: Options) -> Job:
  """Checks the options and reads all data, so that mistakes show early."""
  runs.check_options(options, ("do_train", "do_eval", "do_predict"))
  model = runs.load_model(options)
  kept = runs.kept_note(options, Classification, model)
  task = find_task(options, kept)
  if kept and kept.label_type != task.label_type:
    raise ValueError(
      f"the trained model has --label_type={kept.label_type}, and not"
      f" {task.label_type}: give the same, or another --output_dir"
    )
  check_label_flags(options, task.label_type)
  folders.check_calibration(options)
  options = runs.check_evaluation(options, score_names(task))
  task, train_examples = _read_train(options, task)
  train_examples = _sample(options, train_examples)
  note = make_note(options, task, kept, train_examples)
  runs.warn_of_other_labels(options, Classification, model, note.labels)
  job = Job(
    options,
    model,
    task,
    note,
    train_examples,
    _read_dev(options, task),
    _read_test(options, task),
    targets.training_loss(options, note.labels, train_examples),
  )
  for examples in (train_examples, *job.dev.values(), *job.test.values()):
    standardise(examples, note)
  if options.do_train:
    job.num_train_steps = _num_train_steps(job)
  tf.io.gfile.makedirs(options.output_dir)
  return job


def _num_train_steps(job):
  """The number of steps; windows have to be made to be counted."""
  if not job.note.has_windows:
    return runs.num_train_steps(job.options, len(job.train))
  tf.io.gfile.makedirs(job.options.output_dir)
  records, _ = get_input(job, job.train, "train", is_training=True)
  return runs.num_train_steps(job.options, records.num_examples, "windows")


def _read_train(options, task):
  """The task with all its labels, and its training examples."""
  if not options.do_train:
    if task.label_type != "number" and not task.labels:
      labels_of([])  # says what to do
    return task, []
  teacher = None
  if options.teacher_predictions:
    teacher = targets.read_teacher(options.teacher_predictions)
    labels = task.labels or teacher.labels
    targets.check_labels(teacher, labels)
    columns = dataclasses.replace(
      task.columns_of("train"), guid=options.id_column, label_is_optional=True
    )
    task = dataclasses.replace(task, labels=labels, train_columns=columns)
  examples = DatasetProcessor(task).get_train_examples(options.data_dir)
  if teacher:
    has_ids = options.id_column is not None
    targets.add_teacher(examples, teacher, task.labels, has_ids)
  elif task.label_type != "number" and not options.label_columns:
    found = labels_of(examples)  # checks that there are several
    task = dataclasses.replace(task, labels=task.labels or found)
  return task, examples


def score_names(task: Dataset) -> list[str]:
  """The names that --keep_best may have."""
  return [
    f"eval{suffix}_{name}"
    for suffix in task.dev_files
    for name in (*task.scores, "loss")
  ]


def find_task(options: Options, kept: ClassifierNote | None) -> Dataset:
  """The task that the options name.

  Raises:
    ValueError: there is no such task.
  """
  name = options.task_name.lower()
  if name == "custom":
    return custom_task(options, kept)
  for field in dataclasses.fields(CustomOptions):
    if field.name in options.given:
      raise ValueError(
        f"--{field.name} is for --task_name=custom, not for {options.task_name}"
      )
  if name == "xnli":
    return xnli_task(options.xnli_language)
  if name not in GLUE_TASKS:
    raise ValueError(
      f"--task_name={options.task_name} is not known: give one of"
      f" {', '.join(GLUE_TASKS)}, xnli or custom"
    )
  return GLUE_TASKS[name]


# What the note keeps of LongTextOptions.
_LONG_TEXTS = ("long_texts", "doc_stride", "window_pooling")


def make_note(
  options: Options,
  task: Dataset,
  kept: ClassifierNote | None,
  train_examples: Sequence[InputExample],
) -> ClassifierNote:
  """The note of the model: the one that was kept, or a new one.

  Raises:
    ValueError: the trained model in the output folder is for other labels,
      columns or case.
  """
  columns = task.columns.features
  values = np.array([example.features for example in train_examples])
  has_values = values.size > 0
  long_texts = find_long_texts(options, kept.reading if kept else packing.CUT)
  std = values.std(axis=0) if has_values else np.ones(len(columns))
  note = ClassifierNote(
    task=Classification.name,
    task_name=options.task_name.lower(),
    label_type=task.label_type,
    labels=list(task.labels),
    thresholds=find_thresholds(options.thresholds, task, kept),
    feature_columns=list(columns),
    feature_mean=values.mean(axis=0).tolist() if has_values else [],
    feature_std=np.where(std > 0, std, 1.0).tolist(),
    text_template=task.columns.template,
    do_lower_case=options.do_lower_case,
    max_seq_length=options.max_seq_length,
    second_text=task.columns.text_b is not None,
    pooling=options.pooling or (kept.pooling if kept else "cls"),
    long_texts=long_texts.kind,
    doc_stride=long_texts.doc_stride,
    window_pooling=long_texts.pooling,
  )
  if not kept:
    if columns and not has_values:
      raise ValueError(
        "--feature_columns need the training data's statistics: train first"
      )
    return note
  compared = ["labels", "feature_columns", "text_template", "do_lower_case"]
  compared += ["pooling"]
  if options.do_train:
    compared += ["task_name", *_LONG_TEXTS]
  if kept.second_text is not None:
    compared.append("second_text")
  runs.compare_notes(kept, note, compared)
  names = ["thresholds", "max_seq_length", *_LONG_TEXTS]
  if options.do_train or options.calibrate:
    names.append("calibration_temperature")  # of other weights; or fitted anew
    if kept.calibration_temperature != 1 and not options.calibrate:
      logging.info("training sets the temperature of --calibrate back to 1")
  changed = {name: getattr(note, name) for name in names}
  return dataclasses.replace(kept, **changed)


def standardise(examples: Sequence[InputExample], note: ClassifierNote) -> None:
  """Gives each feature mean 0 and deviation 1 over the training data."""
  for example in examples:
    values = zip(example.features, note.feature_mean, note.feature_std)
    example.features = [(value - mean) / std for value, mean, std in values]


def _sample(options, examples):
  """--max_train_examples of the examples, drawn at random, in their order."""
  if not options.max_train_examples:
    return examples
  chosen = random.Random(options.random_seed).sample(
    range(len(examples)), min(options.max_train_examples, len(examples))
  )
  return [examples[i] for i in sorted(chosen)]


def _read_dev(options, task):
  if not (options.do_eval or (options.do_train and options.eval_steps)):
    return {}
  read = DatasetProcessor(task).get_dev_examples
  return _read_sets(options, read, task.dev_files, options.max_eval_examples)


def _read_test(options, task):
  if not options.do_predict:
    return {}
  read = DatasetProcessor(task).get_test_examples
  most = options.max_predict_examples
  return _read_sets(options, read, task.test_files, most)


def _read_sets(options, read, names, most):
  """{suffix: examples} of the files that exist; the first one has to."""
  return {
    suffix: read(options.data_dir, suffix)[:most]
    for suffix, name in names.items()
    if not suffix or tf.io.gfile.exists(os.path.join(options.data_dir, name))
  }


def make_estimator(job: Job, predict_batch_size: int):
  """The run's estimator, with this many examples per prediction batch."""
  return runs.make_estimator(
    job.options,
    Classification(job.note, job.training),
    job.model,
    job.num_train_steps,
    predict_batch_size,
  )


def get_input(job: Job, examples, name: str, is_training: bool):
  """Writes the records, unless they exist already, and reads them.

  Returns:
    The `record_files.RecordFile`, and the input_fn.
  """
  if name not in job.inputs:
    job.inputs[name] = _make_input(job, examples, name, is_training)
  return job.inputs[name]


def _make_input(job, examples, name, is_training):
  note, tokenizer = job.note, job.model.tokenizer
  output_file = runs.record_path(job.options, name)
  num_features = len(note.feature_columns)
  distributions = targets.distributions_of(examples)
  schema = Classification(note, None, distributions).schema(is_training)
  mark = kept_files.fingerprint(
    [dataclasses.astuple(example) for example in examples],
    [note.labels, note.label_type, num_features],
    [note.max_seq_length, note.do_lower_case, tokenizer.vocab],
    [note.long_texts, note.doc_stride],
  )
  records = record_files.cached_records(
    output_file,
    mark,
    lambda: file_based_convert_examples_to_features(
      examples,
      note.labels,
      note.max_seq_length,
      tokenizer,
      output_file,
      note.label_type,
      num_features,
      schema,
      note.reading,
    ),
    job.options.records_dir,
  )
  if note.has_windows:
    logging.info(
      f"{name}: {len(examples)} texts, {records.num_examples} windows"
    )
  input_fn = runs.make_input_fn(job.options, records, schema, is_training)
  return records, input_fn


def train(job: Job, estimator, evaluator) -> None:
  """Trains to classify."""
  shown = label_histogram(job.note, job.train)
  logging.info(f"labels of the training data: {shown}")
  records, input_fn = get_input(job, job.train, "train", is_training=True)
  runs.train(
    job.options,
    estimator,
    input_fn,
    job.num_train_steps,
    records.num_examples,
    lambda checkpoint: evaluate(job, evaluator, checkpoint)[0],
    job.note,
  )


def predict_rows(job: Job, estimator, examples, name: str, checkpoint):
  """What the model predicts for the examples, {name: array [N, ...]}."""
  records, input_fn = get_input(job, examples, name, is_training=False)
  names = ["probabilities", "predicted", "per_example_loss", "label_ids"]
  if job.note.has_windows:
    names = ["logits", "label_ids", "text_index"]
  rows = list(
    streams.in_input_order(
      estimators.predict(estimator, input_fn, records.num_examples, checkpoint),
      names,
    )
  )
  arrays = {name: np.stack([row[name] for row in rows]) for name in names}
  if not job.note.has_windows:
    return arrays
  soft = [e.label_probabilities for e in examples if e.label_probabilities]
  return windows.of_texts(job.note, arrays, soft)


@clock.part("evaluation")
def evaluate(job: Job, estimator, checkpoint: str | None):
  """The scores of all dev files, their reports, and what was predicted."""
  scores, reports, found_in = {}, {}, {}
  for suffix, examples in job.dev.items():
    arrays = predict_rows(job, estimator, examples, f"eval{suffix}", checkpoint)
    found_in[suffix] = arrays
    if len(examples) > 1 and len(np.unique(arrays["predicted"], axis=0)) == 1:
      logging.warning(
        f"the model predicts the same for all {len(examples)} examples: has it"
        " learned? Try another --learning_rate, --num_train_epochs or"
        " --random_seed"
      )
    found, report = compute_scores(
      job.note, job.task.scores, arrays, job.options.eval_batch_size
    )
    for name, value in found.items():
      if suffix:  # eval_mm_accuracy, loss_mm
        name = re.sub("^eval|$", rf"\g<0>{suffix}", name, count=1)
      scores[name] = value
    reports[f"report{suffix}"] = report
  scores["global_step"] = runs.used_step(job.options, job.model, checkpoint)
  return scores, reports, found_in


def calibrate(job: Job, arrays: Mapping) -> None:
  """Fits the temperature to the first dev file, and keeps it in task.json."""
  found = calibration.calibrate(list(arrays.values()))
  job.note = dataclasses.replace(job.note, calibration_temperature=found)
  path = os.path.join(job.options.output_dir, "task.json")
  writing.write_json(path, dataclasses.asdict(job.note))


def keep_examples(job: Job, arrays: Mapping, step: int) -> None:
  """Keeps what --report shows of the dev files."""
  for suffix, examples in job.dev.items():
    kept_examples.write(
      *(job.options.output_dir, suffix, step),
      *reported.kept(job.note, examples, arrays[suffix], job.model.tokenizer),
    )


@clock.part("prediction")
def predict(job: Job, estimator, checkpoint: str | None) -> None:
  """Writes test_results.tsv and predictions.tsv for all test files."""
  for suffix, examples in job.test.items():
    arrays = predict_rows(
      job, estimator, examples, f"predict{suffix}", checkpoint
    )
    rows = arrays["probabilities"]
    guids = [example.guid for example in examples]
    for name, lines in (
      ("test_results", ("\t".join(map(str, row)) for row in rows)),
      ("predictions", prediction_lines(job.note, guids, arrays)),
    ):
      path = os.path.join(job.options.output_dir, f"{name}{suffix}.tsv")
      writing.write_lines(path, lines)
      logging.info(f"wrote {path}")


if __name__ == "__main__":
  entry.run(main, Options)
