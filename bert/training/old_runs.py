# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""What the run_ scripts do alike, by the flags of common_flags.

In: a script's model_fn_builder, its records and its note of the model. Out: in
`output_dir`, checkpoints, `task.json`, and the configuration and vocabulary
that prediction needs.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence

import tensorflow.compat.v1 as tf
from absl import flags, logging

import modeling
from bert.records import files, input_pipeline
from bert.training import checkpoints, common_flags, estimators, progress

FLAGS = flags.FLAGS


# ----------------------------------------------------------------- checks


def check_flags(actions: Sequence[str], inputs: Sequence[str] = ()) -> None:
  """Checks the flags that all run_ scripts have.

  Args:
    actions: names of the flags of which at least one has to be on.
    inputs: of `common_flags.check_devices`.

  Raises:
    ValueError: they do not go together, or do not fit this machine or the
      model in --output_dir.
  """
  common_flags.check_actions(*actions)
  common_flags.check_devices(inputs)
  common_flags.check_speed()
  _check_output_dir()


def _check_output_dir() -> None:
  """Compares the model in --output_dir, if it holds one, with the flags' files.

  Raises:
    ValueError: there is a checkpoint in it, of another configuration or
      vocabulary.
  """
  if not FLAGS.output_dir:
    raise ValueError("--output_dir is empty: name a folder")
  if not tf.train.latest_checkpoint(FLAGS.output_dir):
    return
  for flag, name in (
    ("bert_config_file", "bert_config.json"),
    ("vocab_file", "vocab.txt"),
  ):
    kept, given = os.path.join(FLAGS.output_dir, name), FLAGS[flag].value
    if not given or not tf.io.gfile.exists(kept):
      continue
    if _content(kept) != _content(given):
      raise ValueError(
        f"{FLAGS.output_dir} holds another model: --{flag}={given}"
        f" differs from its {name}; give another --output_dir"
      )


def _content(path):
  """What a configuration or vocabulary says, however it is laid out."""
  with tf.io.gfile.GFile(path, "rb") as reader:
    text = reader.read().decode("utf-8", "replace")
  if path.endswith(".json"):
    return json.loads(text)
  return [line.strip() for line in text.split("\n")]


def check_evaluation(scores: Sequence[str]) -> None:
  """Checks the flags of evaluation while training.

  Args:
    scores: the names that --keep_best can have; eval_ in front may be left out.

  Raises:
    ValueError: they do not go together, there is no such score, or without
      training no checkpoint that was the best by it.
  """
  if FLAGS.keep_best and scores[0].startswith("eval_"):
    FLAGS.keep_best = "eval_" + FLAGS.keep_best.removeprefix("eval_")
  if FLAGS.keep_best and FLAGS.keep_best not in scores:
    raise ValueError(
      f"--keep_best={FLAGS.keep_best} is no score of this task: give one of"
      f" {', '.join(scores)}"
    )
  if FLAGS.patience and not FLAGS.keep_best:
    raise ValueError("--patience needs --keep_best=SCORE")
  if FLAGS.keep_best and FLAGS.do_train and not FLAGS.eval_steps:
    raise ValueError("--keep_best needs --eval_steps, to find the best")
  later = "do_eval" if "do_eval" in FLAGS else "do_predict"
  if FLAGS.eval_steps and FLAGS.distribution == "multi_worker":
    raise ValueError(
      "--eval_steps can't be used with --distribution=multi_worker, whose"
      f" workers would wait: evaluate after training (--{later})"
    )
  if FLAGS.eval_steps and FLAGS.use_tpu:
    raise ValueError(
      "--eval_steps can't be used with --use_tpu, which has no room for two"
      f" programs: evaluate after training (--{later})"
    )
  if FLAGS.keep_best and not FLAGS.do_train:
    _keeper().check()


def find_init_checkpoint(config: modeling.BertConfig) -> str | None:
  """The prefix of --init_checkpoint, compared with the configuration.

  Raises:
    ValueError: it is none, does not fit, or there are no weights at all and
      none are to be trained.
  """
  checkpoint = checkpoints.find_checkpoint(
    FLAGS.init_checkpoint, config, FLAGS.bert_config_file
  )
  if not FLAGS.do_train:
    checkpoints.check_trained(FLAGS.output_dir, checkpoint)
  return checkpoint


def load_note(kind, init_checkpoint: str | None):
  """What `task.json` notes of the model that goes on to be used, or None."""
  return checkpoints.load_note(
    kind, FLAGS.output_dir, None if FLAGS.do_train else init_checkpoint
  )


def warn_of_other_labels(kind, init_checkpoint: str | None, labels) -> None:
  """Says so if training starts from a head for other labels of that number."""
  if not FLAGS.do_train or tf.train.latest_checkpoint(FLAGS.output_dir):
    return
  try:
    kept = checkpoints.load_note(kind, FLAGS.output_dir, init_checkpoint)
  except ValueError:  # another task's
    return
  if kept and kept.labels != labels and len(kept.labels) == len(labels):
    logging.warning(
      f"--init_checkpoint={init_checkpoint} has a head for"
      f" {', '.join(kept.labels)}: training starts with it, place by place, for"
      f" {', '.join(labels)}"
    )


def compare_notes(kept, note, names: Sequence[str]) -> None:
  """Raises ValueError where the flags differ from the trained model.

  Args:
    kept: what was noted when it was trained.
    note: what the flags say.
    names: the fields to compare.
  """
  for name in names:
    was, is_now = getattr(kept, name), getattr(note, name)
    if was != is_now:
      raise ValueError(
        f"the trained model has {name} {was}, and now it is {is_now}: give the"
        " same flags, or another --output_dir or --init_checkpoint"
      )


def num_train_steps(num_examples: int) -> int:
  """The steps of --num_train_epochs."""
  return int(num_examples / FLAGS.train_batch_size * FLAGS.num_train_epochs)


def check_train_steps(num_examples: int, unit: str) -> None:
  """Raises ValueError if so many examples, called `unit`, fill no step."""
  if num_train_steps(num_examples) < 1:
    raise ValueError(
      f"{num_examples} {unit} x --num_train_epochs={FLAGS.num_train_epochs} do"
      f" not fill one step of --train_batch_size={FLAGS.train_batch_size}:"
      " lower the batch size, or train for longer"
    )


# -------------------------------------------------------------- estimator


def log_devices() -> None:
  """Tells what the flags' estimators compute on."""
  logging.info(
    estimators.describe_devices(FLAGS.use_tpu, FLAGS.tpu_name or FLAGS.master)
  )


def make_estimator(
  model_fn_builder: Callable,
  num_train_steps: int,
  predict_batch_size: int,
  num_warmup_steps: int | None = None,
  **model,
):
  """The estimator of the flags.

  Args:
    model_fn_builder: of the script.
    num_train_steps: in all.
    predict_batch_size: examples of a batch of prediction.
    num_warmup_steps: None: by --warmup_proportion.
    **model: what the builder takes besides the flags.
  """
  if num_warmup_steps is None:
    num_warmup_steps = int(num_train_steps * FLAGS.warmup_proportion)
  model_fn = model_fn_builder(
    learning_rate=FLAGS.learning_rate,
    num_train_steps=num_train_steps,
    num_warmup_steps=num_warmup_steps,
    use_tpu=FLAGS.use_tpu,
    use_one_hot_embeddings=FLAGS.use_tpu,
    random_seed=FLAGS.random_seed,
    optimizer_options=common_flags.optimizer_options(),
    encoder_options=common_flags.encoder_options(),
    **model,
  )
  options = common_flags.estimator_options()
  options["predict_batch_size"] = predict_batch_size
  if FLAGS.eval_steps:
    options["save_checkpoints_steps"] = FLAGS.eval_steps
  return estimators.make_estimator(model_fn, **options)


def record_path(name: str) -> str:
  """The path of the records of this name, in this worker's folder."""
  return os.path.join(common_flags.records_dir(), f"{name}.tf_record")


def make_input_fn(records, schema: Mapping, is_training: bool) -> Callable:
  """Reads records as `input_pipeline.batch_input_fn` does, by the flags."""
  return input_pipeline.batch_input_fn(
    records,
    schema,
    is_training,
    FLAGS.train_batch_size,
    common_flags.length_buckets(),
    drop_remainder=FLAGS.use_tpu,
    # A training that goes on does not meet the first batches once more.
    random_seed=FLAGS.random_seed + checkpoints.current_step(FLAGS.output_dir),
  )


# --------------------------------------------------------------- training


def train(
  estimator,
  input_fn: Callable,
  num_train_steps: int,
  num_examples: int,
  evaluate: Callable,
  note=None,
) -> None:
  """Trains, and keeps what prediction needs beside the checkpoints.

  Args:
    estimator: of `make_estimator`.
    input_fn: of the training records.
    num_train_steps: the step to reach.
    num_examples: in an epoch.
    evaluate: `checkpoint -> scores`, called at --eval_steps.
    note: dataclass of what prediction needs to know, for `task.json`.
  """
  if common_flags.is_chief():
    if note:
      files.write_json(
        os.path.join(FLAGS.output_dir, "task.json"), dataclasses.asdict(note)
      )
    _copy_model_files()
  listener = None
  if FLAGS.eval_steps:
    listener = progress.EvaluationListener(
      evaluate, FLAGS.output_dir, _keeper() if FLAGS.keep_best else None
    )
  estimators.train(
    estimator,
    input_fn,
    num_train_steps,
    num_examples,
    FLAGS.train_batch_size,
    FLAGS.log_steps,
    listener,
  )


def _copy_model_files() -> None:
  """Copies configuration and vocabulary to the output folder, for later use."""
  for path, name in (
    (FLAGS.bert_config_file, "bert_config.json"),
    (FLAGS.vocab_file, "vocab.txt"),
  ):
    if not path:  # a script that can do without
      continue
    with tf.io.gfile.GFile(path, "rb") as reader:
      data = reader.read()
    target = os.path.join(FLAGS.output_dir, name)
    with files.whole(target) as partial:
      with tf.io.gfile.GFile(partial, "wb") as writer:
        writer.write(data)  # the two paths may name one file


def _keeper():
  """The keeper of --keep_best."""
  return checkpoints.BestCheckpoint(
    FLAGS.output_dir, FLAGS.keep_best, FLAGS.patience
  )


def best_checkpoint() -> str | None:
  """The prefix of what --keep_best kept; None: the newest is to be used."""
  return _keeper().checkpoint if FLAGS.keep_best else None


def used_checkpoint(
  checkpoint: str | None, init_checkpoint: str | None
) -> str | None:
  """The prefix of the weights that an estimator uses.

  Args:
    checkpoint: as it is told; None: the newest of --output_dir.
    init_checkpoint: if that holds none.
  """
  newest = tf.train.latest_checkpoint(FLAGS.output_dir)
  return checkpoint or newest or init_checkpoint
