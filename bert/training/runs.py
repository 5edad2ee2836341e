# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""What all run_ scripts do: check options, make estimators, train.

In: a script's options and its task. Out, in `output_dir`: checkpoints,
`task.json`, and the configuration and vocabulary that prediction needs.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
from collections.abc import Callable, Mapping, Sequence

import tensorflow.compat.v1 as tf
from absl import logging

import modeling
import optimization
import tokenization
from bert.files import clock, reading, writing
from bert.records import input_pipeline, packed_batches
from bert.reports import kept_examples
from bert.tasks import task as tasks
from bert.training import (
  checkpoints,
  cluster,
  devices,
  estimators,
  flags,
  folders,
  memory,
  progress,
)

# How many positions could be trained in the time that XLA takes to compile for
# one more length. On two cores: 0.45 s, at 3,500 a second with the 6-layer
# model in bfloat16. A GPU was not measured: 5 s at 100,000 a second is a guess,
# and 20 s where the whole step is compiled.
_CPU_LENGTH, _GPU_LENGTH, _GPU_STEP_LENGTH = 1_600, 500_000, 2_000_000
_LEAST_OF_VOCAB = 0.9  # of vocab_size; below, it may be another model's


# ----------------------------------------------------------------- checks


def check_options(
  options: flags.RunOptions,
  actions: Sequence[str],
  inputs: Sequence[str] = (),
) -> None:
  """Checks the options that all run_ scripts have.

  Args:
    options: of the script.
    actions: names of the options of which at least one has to be on.
    inputs: of `cluster.check_devices`.

  Raises:
    ValueError: they do not go together, or do not fit this machine or the
      model in --output_dir.
  """
  if not any(getattr(options, name) for name in actions):
    names = ", ".join(f"--{name}" for name in actions)
    raise ValueError(f"nothing to do: give at least one of {names}")
  cluster.check_devices(options, inputs)
  _check_batch_split(options)
  if options.use_xla and options.distribution != "none":
    raise ValueError(
      "--use_xla compiles the step of one device: leave it out with"
      f" --distribution={options.distribution}"
    )
  _check_packing(options)
  check_precision(options)
  _check_optimizer(options)
  _check_reinit(options)
  if options.report and not importlib.util.find_spec("matplotlib"):
    raise ValueError(
      "--report needs matplotlib: pip install -r requirements.txt"
    )
  folders.check_output_dir(options)


def check_needed(options, pairs: Sequence[tuple[str, str]]) -> None:
  """Raises ValueError if an option is on and the one that it needs is missing.

  Args:
    options: of the script.
    pairs: (name of the option, name of the one that it needs).
  """
  for name, needed in pairs:
    if getattr(options, name) and not getattr(options, needed):
      raise ValueError(f"--{name} needs --{needed}")


def _check_batch_split(options):
  slices = options.gradient_accumulation_steps
  replicas = cluster.num_replicas(options)
  if options.train_batch_size % (slices * replicas):
    raise ValueError(
      f"--train_batch_size={options.train_batch_size} can't be split into"
      f" {slices * replicas} equal parts: --gradient_accumulation_steps="
      f"{slices} on each of {replicas} devices"
    )


def _check_optimizer(options):
  if options.optimizer == "adafactor" and "adam_beta2" in options.given:
    raise ValueError(
      "--adam_beta2 can't be used with --optimizer=adafactor, whose share"
      " depends on the step: leave it out"
    )


def _check_reinit(options):
  """Raises ValueError if --reinit_layers has no effect, or ruins the model."""
  count = options.reinit_layers
  if not count or not options.do_train:
    return
  if checkpoints.newest(options.output_dir):  # training goes on from there
    return
  if not options.init_checkpoint:
    raise ValueError(
      f"--reinit_layers={count} needs --init_checkpoint: without it, all layers"
      " are new"
    )
  trained = trained_layers(options)
  if trained is not None and trained < count:
    raise ValueError(
      f"--reinit_layers={count} gives layers new weights that"
      f" --trainable={options.trainable} would not train: give"
      f" --trainable=last:{count} or more"
    )


def _check_packing(options):
  if options.packed_rows and not options.pack_sequences:
    raise ValueError("--packed_rows needs --pack_sequences")
  if not options.pack_sequences:
    return
  if "length_buckets" in options.given and options.length_buckets != "none":
    raise ValueError(
      f"--length_buckets={options.length_buckets} and --pack_sequences are two"
      " ways to have less padding: give one of them"
    )


def check_precision(options: flags.DeviceOptions) -> None:
  """Raises ValueError if this machine can't compute in --precision."""
  if options.use_tpu or devices.has_gpu():
    return
  if options.precision == "float16":
    raise ValueError("--precision=float16 needs a GPU: give bfloat16")
  if options.precision == "bfloat16" and not _has_bfloat16_units():
    logging.warning(
      "this processor has no bfloat16 units (AVX-512 BF16 or AMX):"
      " --precision=bfloat16 will be slower than float32"
    )


def _has_bfloat16_units():
  """Whether the processor lists bfloat16 products; True if unknown."""
  try:
    with open("/proc/cpuinfo", encoding="utf-8") as reader:
      return bool(re.search(r"\b(avx512_bf16|amx_bf16)\b", reader.read()))
  except OSError:
    return True


def check_evaluation(options: flags.RunOptions, scores: Sequence[str]):
  """Checks the options for evaluation during training.

  Args:
    options: of the script.
    scores: the names that --keep_best may have; it may leave out `eval_`.

  Returns:
    The options, with the full name of the score as `keep_best`.

  Raises:
    ValueError: they do not go together, there is no such score, or without
      training, no best checkpoint was kept.
  """
  best = options.keep_best
  if best and scores[0].startswith("eval_"):
    best = "eval_" + best.removeprefix("eval_")
    options = dataclasses.replace(options, keep_best=best)
  if best and best not in scores:
    raise ValueError(
      f"--keep_best={best} is not a score of this task: give one of"
      f" {', '.join(scores)}"
    )
  if options.patience and not best:
    raise ValueError("--patience needs --keep_best=SCORE")
  if best and options.do_train and not options.eval_steps:
    raise ValueError("--keep_best needs --eval_steps, to find the best")
  later = "do_eval" if hasattr(options, "do_eval") else "do_predict"
  if options.eval_steps and options.distribution == "multi_worker":
    raise ValueError(
      "--eval_steps can't be used with --distribution=multi_worker, where the"
      f" other workers would wait: evaluate after training (--{later})"
    )
  if options.eval_steps and options.use_tpu:
    raise ValueError(
      "--eval_steps can't be used with --use_tpu, which has no room for two"
      f" programs: evaluate after training (--{later})"
    )
  if best and not options.do_train:
    _keeper(options).check()
  return options


# ------------------------------------------------------------------ model


@dataclasses.dataclass(frozen=True)
class Model:
  """The model that a run starts from."""

  config: modeling.BertConfig
  tokenizer: tokenization.FullTokenizer | None  # None: no text to read
  init_checkpoint: str | None  # prefix of --init_checkpoint


def load_model(options: flags.RunOptions) -> Model:
  """Reads the configuration, vocabulary and checkpoint, and compares them.

  Raises:
    ValueError: they do not fit each other or --trainable, or there are no
      weights at all and none are to be trained.
  """
  config, tokenizer = load_config_and_tokenizer(options)
  num_layers = config.num_hidden_layers
  if (trained_layers(options) or 0) > num_layers:
    raise ValueError(
      f"--trainable={options.trainable}: the model of"
      f" {options.bert_config_file} has {num_layers} layers"
    )
  return Model(config, tokenizer, find_init_checkpoint(options, config))


def find_init_checkpoint(options, config) -> str | None:
  """The prefix of --init_checkpoint, compared with the configuration.

  Raises:
    ValueError: it is not a checkpoint, does not fit, is needed and missing, or
      is of other words than the vocabulary; or the model has fewer layers than
      --reinit_layers.
  """
  if options.reinit_layers > config.num_hidden_layers:
    raise ValueError(
      f"--reinit_layers={options.reinit_layers}: the model of"
      f" {options.bert_config_file} has {config.num_hidden_layers} layers"
    )
  checkpoint = checkpoints.find_checkpoint(
    options.init_checkpoint, config, options.bert_config_file
  )
  if not options.do_train:
    checkpoints.check_trained(options.output_dir, checkpoint)
  folders.check_source(options, checkpoint)
  return checkpoint


def load_config_and_tokenizer(options):
  """Reads --bert_config_file and --vocab_file, and compares them.

  Args:
    options: of `flags.ModelOptions` and `flags.TextOptions`.

  Returns:
    A `modeling.BertConfig` and a `tokenization.FullTokenizer`.

  Raises:
    ValueError: they do not fit each other or the options.
  """
  config = load_config(options)
  tokenization.validate_case_matches_checkpoint(
    options.do_lower_case, options.init_checkpoint
  )
  tokenizer = load_tokenizer(options)
  check_vocab_size(options, tokenizer.vocab, config)
  return config, tokenizer


def load_config(options: flags.ModelOptions) -> modeling.BertConfig:
  """Reads --bert_config_file.

  Raises:
    ValueError: it does not fit --max_seq_length, or can't be read.
  """
  config = modeling.BertConfig.from_json_file(options.bert_config_file)
  modeling.get_activation(config.hidden_act)  # raises if it is unknown
  check_length(options, config)
  return config


def check_length(
  options: flags.ModelOptions, config: modeling.BertConfig
) -> None:
  """Raises ValueError if --max_seq_length is too long for the model."""
  if options.max_seq_length > config.max_position_embeddings:
    raise ValueError(
      f"--max_seq_length={options.max_seq_length} is over"
      f" max_position_embeddings={config.max_position_embeddings} of"
      f" {options.bert_config_file}"
    )


def check_vocab_size(
  options, vocab: Mapping, config: modeling.BertConfig
) -> None:
  """Compares --vocab_file with the model, which may have spare rows.

  Raises:
    ValueError: the vocabulary has more ids than the model.
  """
  size = max(vocab.values()) + 1
  if size < _LEAST_OF_VOCAB * config.vocab_size:
    logging.warning(
      f"{options.vocab_file} has {size} tokens, and {options.bert_config_file}"
      f" vocab_size {config.vocab_size}: is it the model's own vocabulary?"
    )
  if size > config.vocab_size:
    raise ValueError(
      f"{options.vocab_file} has {size} tokens but vocab_size is"
      f" {config.vocab_size} in {options.bert_config_file}: they belong to"
      " different models"
    )


def load_tokenizer(options: flags.TextOptions) -> tokenization.FullTokenizer:
  """The tokenizer of --vocab_file.

  Raises:
    ValueError: the vocabulary lacks a special token, or its case does not match
      --do_lower_case.
  """
  tokenizer = tokenization.FullTokenizer(
    options.vocab_file, options.do_lower_case
  )
  missing = tokenization.missing_special_tokens(tokenizer.vocab)
  if missing:
    raise ValueError(
      f"{options.vocab_file} lacks the special tokens {', '.join(missing)}: add"
      " them, one per line"
    )
  is_cased = tokenization.vocab_is_cased(tokenizer.vocab)
  if options.check_vocab_case and is_cased is options.do_lower_case:
    kind = "cased" if is_cased else "uncased"
    raise ValueError(
      f"{options.vocab_file} is {kind}: give --do_lower_case={not is_cased}"
      f" (or, if --do_lower_case={is_cased} is intended, --nocheck_vocab_case)"
    )
  return tokenizer


# ------------------------------------------------------------------- note


def kept_note(options: flags.RunOptions, task_class: type, model: Model):
  """The note of the trained model that this run continues or uses, or None.

  Raises:
    ValueError: the model is of another task.
  """
  init_checkpoint = None if options.do_train else model.init_checkpoint
  return _find_note(task_class, options.output_dir, init_checkpoint)


def _find_note(task_class, output_dir, init_checkpoint):
  """The note in or above the output folder if it holds a checkpoint, or in or
  above the folder of --init_checkpoint."""
  folders = []
  if checkpoints.newest(output_dir):
    folders += [output_dir, os.path.dirname(output_dir)]
  if init_checkpoint:
    folder = os.path.dirname(init_checkpoint)
    folders += [folder, os.path.dirname(folder)]  # that of out/best is in out
  for folder in folders:
    path = os.path.join(folder, "task.json")
    if tf.io.gfile.exists(path):
      return tasks.read_note(path, {task_class.name: task_class})
  return None


def warn_of_other_labels(
  options: flags.RunOptions, task_class: type, model: Model, labels
) -> None:
  """Warns if the initial head has as many labels, but with different names."""
  if not options.do_train or checkpoints.newest(options.output_dir):
    return
  try:
    kept = _find_note(task_class, options.output_dir, model.init_checkpoint)
  except ValueError:  # another task's
    return
  if kept and kept.labels != labels and len(kept.labels) == len(labels):
    logging.warning(
      f"--init_checkpoint={model.init_checkpoint} has a head for the labels"
      f" {', '.join(kept.labels)}: training starts from it, label by label, for"
      f" {', '.join(labels)}"
    )


def compare_notes(kept, note, names: Sequence[str]) -> None:
  """Raises ValueError if the flags differ from the trained model.

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


# -------------------------------------------------------------- estimator


def num_train_steps(
  options: flags.FineTuningOptions, num_examples: int, unit: str = "examples"
) -> int:
  """The number of steps in --num_train_epochs.

  Args:
    options: of the script.
    num_examples: per epoch.
    unit: what an example is called in the message.

  Raises:
    ValueError: the examples do not fill one step.
  """
  batch_size, epochs = options.train_batch_size, options.num_train_epochs
  steps = int(num_examples / batch_size * epochs)
  if steps < 1:
    raise ValueError(
      f"{num_examples} {unit} x --num_train_epochs={epochs} do not fill one"
      f" step of --train_batch_size={batch_size}: lower the batch size, or"
      " train for longer"
    )
  return steps


def make_estimator(
  options: flags.RunOptions,
  task: tasks.Task,
  model: Model,
  num_train_steps: int = 0,
  predict_batch_size: int | None = None,
):
  """The estimator of a run.

  Args:
    options: of the script.
    task: what the model does.
    model: its configuration and first weights.
    num_train_steps: the total, 0 without training.
    predict_batch_size: examples per prediction batch; None:
      --predict_batch_size.

  Raises:
    ValueError: --output_dir holds a model of another task, or training needs
      far more memory than there is.
  """
  folders.check_task(options, task)
  memory.check_memory(options, model.config)
  graph = graph_options(options, model.init_checkpoint, num_train_steps)
  model_fn = estimators.make_model_fn(task, model.config, graph)
  if predict_batch_size is None:
    predict_batch_size = options.predict_batch_size
  return estimators.estimator_for(options, model_fn, predict_batch_size)


def trained_layers(options: flags.RunOptions) -> int | None:
  """How many of the top layers --trainable names; None: all is trained.

  Raises:
    ValueError: the option holds something else.
  """
  text = getattr(options, "trainable", "all")
  if text in ("all", "head"):
    return None if text == "all" else 0
  match = re.fullmatch(r"last:([1-9][0-9]*)", text)
  if not match:
    raise ValueError(
      f"--trainable={text}: give all, head, or last:N with N from 1, such as"
      " last:2"
    )
  return int(match[1])


def graph_options(
  options: flags.RunOptions, init_checkpoint, num_train_steps: int
) -> estimators.GraphOptions:
  """How the options ask for the graph to be built and trained."""
  if hasattr(options, "num_warmup_steps"):
    num_warmup_steps = options.num_warmup_steps
  else:
    num_warmup_steps = int(num_train_steps * options.warmup_proportion)
  compiled = devices.can_compile(options.use_tpu)
  return estimators.GraphOptions(
    init_checkpoint=init_checkpoint,
    optimizer=optimization.Options(
      learning_rate=options.learning_rate,
      num_train_steps=num_train_steps,
      num_warmup_steps=num_warmup_steps,
      use_tpu=options.use_tpu,
      optimizer=options.optimizer,
      slices=options.gradient_accumulation_steps,
      layerwise_lr_decay=options.layerwise_lr_decay,
      head_learning_rate=options.head_learning_rate,
      scale_loss=options.precision == "float16",
      lr_schedule=options.lr_schedule,
      weight_decay=options.weight_decay,
      adam_beta2=options.adam_beta2,
      max_grad_norm=options.max_grad_norm,
    ),
    reinit_layers=options.reinit_layers,
    random_seed=options.random_seed,
    compiled=compiled,
    whole_step=compiled and options.use_xla,
    encoder={
      "use_one_hot_embeddings": options.use_tpu,
      "compute_dtype": tf.as_dtype(options.precision),
      "recompute_layers": options.recompute_layers,
      "trained_layers": trained_layers(options),
    },
  )


# ---------------------------------------------------------------- records


def record_path(options: flags.RunOptions, name: str) -> str:
  """The path of the records with this name, in this worker's folder."""
  return os.path.join(cluster.records_dir(options), f"{name}.tf_record")


@clock.part("records")
def make_input_fn(
  options: flags.RunOptions, records, schema: Mapping, is_training: bool
) -> Callable:
  """Reads records as `input_pipeline.batch_input_fn` does.

  Raises:
    ValueError: the records can't be packed, and should be.
  """
  if options.pack_sequences and len(schema["input_ids"].shape) > 1:
    raise ValueError(
      "--pack_sequences is for records of one sequence each, and these have"
      f" {schema['input_ids'].shape[0]}: leave it out"
    )
  passes = options.num_train_epochs if is_training else 1.0
  return input_pipeline.batch_input_fn(
    records,
    schema,
    is_training,
    options.train_batch_size,
    length_buckets(options),
    drop_remainder=options.use_tpu,
    random_seed=options.random_seed,
    first_batch=checkpoints.current_step(options.output_dir),
    bucket_price=bucket_price(options, is_training, passes),
    packer=make_packer(
      options, records.lengths, records.num_examples, is_training
    ),
  )


def bucket_price(
  options: flags.RunOptions, is_training: bool, passes: float
) -> float:
  """How many positions of padding another length has to save.

  Args:
    options: of the script.
    is_training: if not, nothing is compiled on a CPU.
    passes: how often the examples whose padding is counted are computed.
  """
  if not devices.can_compile(options.use_tpu) or not passes:
    return 0.0
  if devices.has_gpu():
    is_whole = is_training and options.use_xla
    price = _GPU_STEP_LENGTH if is_whole else _GPU_LENGTH
  else:
    price = _CPU_LENGTH if is_training else 0.0
  return price / passes


def make_packer(
  options: flags.RunOptions,
  lengths: Sequence[int],
  num_examples: int,
  is_training: bool,
) -> packed_batches.Packer | None:
  """What packs examples with --pack_sequences; None without.

  Args:
    options: of the script.
    lengths: tokens of each example, in order; in training, of some.
    num_examples: how many there are.
    is_training: whether they are to be trained on.
  """
  if not options.pack_sequences:
    return None
  parts, rows = options.num_tpu_cores if options.use_tpu else 1, 0
  if is_training:
    parts = options.gradient_accumulation_steps * cluster.num_replicas(options)
    rows = options.packed_rows
  return packed_batches.Packer(
    lengths, num_examples, options.max_seq_length, parts, rows
  )


def length_buckets(options: flags.RunOptions) -> str | list[int]:
  """--length_buckets as "auto" or a list of bounds; [] if batches are not cut.

  Raises:
    ValueError: the option holds something else.
  """
  text = options.length_buckets
  if options.use_tpu or options.pack_sequences or text == "none":
    return []
  if text == "auto":
    return "auto"
  parts = text.split(",")
  bounds = [int(part) for part in parts if part.strip().isdigit()]
  if len(bounds) < len(parts) or bounds != sorted(set(bounds)):
    raise ValueError(
      f"--length_buckets={text}: give auto, none, or ascending lengths such as"
      " 32,64,128"
    )
  below = [bound for bound in bounds if 0 < bound < options.max_seq_length]
  return [*below, options.max_seq_length]


# --------------------------------------------------------------- training


def log_devices(options: flags.DeviceOptions) -> None:
  """Logs what the run computes on."""
  logging.info(
    devices.describe_devices(
      options.use_tpu, options.tpu_name or options.master
    )
  )


def train(
  options: flags.RunOptions,
  estimator,
  input_fn: Callable,
  num_train_steps: int,
  num_examples: int,
  evaluate: Callable,
  note=None,
) -> None:
  """Trains, and keeps what prediction needs beside the checkpoints.

  Args:
    options: of the script.
    estimator: of `make_estimator`.
    input_fn: of the training records.
    num_train_steps: the step to reach.
    num_examples: per epoch.
    evaluate: `checkpoint -> scores`, called every --eval_steps.
    note: the task's note, for `task.json`.
  """
  folders.remove_garbage(cluster.records_dir(options))
  if cluster.is_chief(options):
    if note:
      path = os.path.join(options.output_dir, "task.json")
      writing.write_json(path, dataclasses.asdict(note))
    _copy_model_files(options)
  listener = None
  if options.eval_steps:
    keeper = _keeper(options) if options.keep_best else None
    listener = progress.EvaluationListener(evaluate, options.output_dir, keeper)
  estimators.train(
    estimator,
    input_fn,
    num_train_steps,
    num_examples,
    options.train_batch_size,
    options.log_steps,
    listener,
  )


def _copy_model_files(options):
  """Copies configuration and vocabulary to the output folder."""
  for name, file in folders.model_files(options):
    data = reading.read_bytes(getattr(options, name))
    kept = os.path.join(options.output_dir, file)
    if tf.io.gfile.exists(kept) and reading.read_bytes(kept) == data:
      continue  # the two paths may name one file
    with writing.whole(kept) as partial:
      with tf.io.gfile.GFile(partial, "wb") as writer:
        writer.write(data)


def _keeper(options):
  """What keeps the best checkpoint for --keep_best."""
  return checkpoints.BestCheckpoint(
    options.output_dir, options.keep_best, options.patience
  )


def best_checkpoint(options: flags.RunOptions) -> str | None:
  """The prefix that --keep_best kept; None: use the newest."""
  return _keeper(options).checkpoint if options.keep_best else None


def used_step(
  options: flags.RunOptions, model: Model, checkpoint: str | None
) -> int:
  """The training step of the weights that an estimator uses.

  Args:
    options: of the script.
    model: whose init_checkpoint is used if --output_dir holds no checkpoint.
    checkpoint: prefix; None: the newest in --output_dir.
  """
  newest = checkpoints.newest(options.output_dir)
  return checkpoints.current_step(checkpoint or newest or model.init_checkpoint)


def write_scores(
  options: flags.RunOptions, scores: Mapping, report: Mapping
) -> None:
  """Writes eval_results.txt and eval_results.json, and logs the scores.

  Args:
    options: of the script.
    scores: {name: float or int}; they become `key = value` lines, sorted.
    report: what the JSON file holds beside the scores.
  """
  progress.check_scores(scores)
  logging.info("evaluation:")
  lines = [f"{name} = {scores[name]}" for name in sorted(scores)]
  for line in lines:
    logging.info(f"  {line}")
  kept_examples.forget(options.output_dir)  # of an evaluation before
  path = os.path.join(options.output_dir, "eval_results")
  writing.write_lines(path + ".txt", lines)
  writing.write_json(path + ".json", {**scores, **report})
