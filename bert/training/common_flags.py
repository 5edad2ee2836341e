# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The flags that scripts share, their checks, and `run(main)`.

In: the command line. Out: `FLAGS`, keyword arguments for the joints, and one
clear sentence on standard error where something of the user's does not fit.

A script imports this file before TensorFlow, so that TensorFlow starts quietly.
"""

from __future__ import annotations

import json
import logging as python_logging
import os
import re
import sys
import traceback
from collections.abc import Mapping, Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

if not (3, 9) <= sys.version_info[:2] <= (3, 11):  # TensorFlow can't say so
  sys.exit(
    f"error: Python {sys.version_info[0]}.{sys.version_info[1]} does not fit:"
    " TensorFlow 2.15 needs 3.9, 3.10 or 3.11"
  )

import tensorflow.compat.v1 as tf
from absl import app, flags, logging

import modeling
import optimization
import tokenization

FLAGS = flags.FLAGS

# The folder of the scripts, two above this file.
_PROJECT = os.path.abspath(os.path.join(__file__, "../../.."))
_TENSORFLOW = "2.15"
_LEAST_OF_VOCAB = 0.9  # of vocab_size, below which it may be another model's
_TF_CONFIG = (
  '{"cluster": {"worker": ["host0:2222", "host1:2222"]},'
  ' "task": {"type": "worker", "index": 0}}'
)
# TensorFlow's, of files that are missing, locked, folders, or damaged.
_FILE_ERRORS = (
  tf.errors.NotFoundError,
  tf.errors.PermissionDeniedError,
  tf.errors.FailedPreconditionError,
  tf.errors.DataLossError,
)


# ----------------------------------------------------------- definitions


def define_model_flags(
  max_seq_length: int = 128, has_text: bool = True, has_output_dir: bool = True
):
  """The model and the output folder; where there is text, its vocabulary."""
  flags.DEFINE_string(
    "bert_config_file",
    None,
    "JSON file of the model's sizes, such as bert_config.json beside a"
    " released checkpoint.",
  )
  if has_output_dir:
    flags.DEFINE_string(
      "output_dir",
      None,
      "Folder for checkpoints, records and results. Training goes on from the"
      " newest checkpoint in it.",
    )
  flags.DEFINE_string(
    "init_checkpoint",
    None,
    "Weights to start from: a prefix such as dir/bert_model.ckpt, or a folder"
    " that holds one checkpoint.",
  )
  flags.DEFINE_integer(
    "max_seq_length",
    max_seq_length,
    "Length in WordPiece tokens, [CLS] and [SEP] included; longer texts are"
    " cut, shorter ones padded.",
    lower_bound=3,
  )
  if has_text:
    define_text_flags()


def define_text_flags() -> None:
  """The vocabulary, and how text is made to fit it."""
  flags.DEFINE_string(
    "vocab_file", None, "The vocabulary: one WordPiece token a line."
  )
  flags.DEFINE_bool(
    "do_lower_case",
    True,
    "Lower-case the text and strip its accents: True for uncased vocabularies,"
    " False for cased ones.",
  )
  flags.DEFINE_bool(
    "check_vocab_case",
    True,
    "Refuse a vocabulary whose case does not fit --do_lower_case.",
  )


def define_trained_model_flags() -> None:
  """Which trained model to use, as `inference.find_model` takes it."""
  flags.DEFINE_string(
    "model_dir", None, "Output folder of a training, or best in it."
  )
  flags.DEFINE_string(
    "checkpoint",
    None,
    "Prefix of the weights; not given: the best of --model_dir if one was kept,"
    " or else the newest.",
  )


def define_action_flags(
  has_predict: bool = True, has_eval: bool = True
) -> None:
  """Which of training, evaluation and prediction to do."""
  flags.DEFINE_bool("do_train", False, "Train.")
  if has_eval:
    flags.DEFINE_bool("do_eval", False, "Evaluate, and write the scores.")
  if has_predict:
    flags.DEFINE_bool("do_predict", False, "Predict; labels are not needed.")


def define_evaluation_flags(scores: str) -> None:
  """Evaluation while training; `scores` are examples of names, for help."""
  flags.DEFINE_integer(
    "eval_steps",
    0,
    "Evaluate every so many training steps, and save a checkpoint then; 0: not"
    " while training.",
    lower_bound=0,
  )
  flags.DEFINE_string(
    "keep_best",
    None,
    "With --eval_steps: keep the checkpoint with the best of this score, such"
    f" as {scores}, in output_dir/best, and use it later on.",
  )
  flags.DEFINE_integer(
    "patience",
    0,
    "With --keep_best: stop after so many evaluations that were no better.",
    lower_bound=0,
  )


def define_training_flags(
  has_epochs: bool = True, has_predict: bool = True, has_eval: bool = True
) -> None:
  """Batches, rate, checkpoints and progress; how long, if by epochs."""
  positive = dict(lower_bound=1)
  flags.DEFINE_integer(
    "train_batch_size", 32, "Examples a training step.", **positive
  )
  if has_eval:
    flags.DEFINE_integer(
      "eval_batch_size", 8, "Examples a batch of evaluation.", **positive
    )
  if has_predict:
    flags.DEFINE_integer(
      "predict_batch_size", 8, "Examples a batch of prediction.", **positive
    )
  flags.DEFINE_float(
    "learning_rate", 5e-5, "The highest rate of AdamW.", lower_bound=0.0
  )
  if has_epochs:
    flags.DEFINE_float(
      "num_train_epochs", 3.0, "Passes over the training data.", lower_bound=0.0
    )
    flags.DEFINE_float(
      "warmup_proportion",
      0.1,
      "Share of the steps over which the rate rises from 0; then it falls to"
      " 0.",
      lower_bound=0.0,
      upper_bound=1.0,
    )
  flags.DEFINE_integer(
    "save_checkpoints_steps", 1000, "Steps between checkpoints.", **positive
  )
  flags.DEFINE_integer(
    "keep_checkpoint_max",
    5,
    "How many of the newest checkpoints are kept.",
    **positive,
  )
  flags.DEFINE_integer(
    "random_seed",
    12345,
    "Seed of the order of the data, of new weights and of dropout: the same"
    " seed repeats a run.",
    lower_bound=0,
    upper_bound=2**31 - 1,
  )
  flags.DEFINE_integer(
    "log_steps", 20, "Steps between two reports of progress.", **positive
  )
  flags.DEFINE_string(
    "length_buckets",
    "auto",
    "How examples are grouped by length off TPU, so that little padding is"
    " computed: auto (bounds chosen from the data), none, or ascending bounds"
    " such as 32,64,128.",
  )


def define_precision_flag() -> None:
  """The type that the model computes in."""
  flags.DEFINE_enum(
    "precision",
    "float32",
    ["float32", "bfloat16", "float16"],
    "Of matrix products and activations; weights, softmax, statistics, losses"
    " and the optimiser stay in float32. bfloat16 for TPU, new GPUs and CPUs"
    " with AVX-512 BF16 or AMX; float16 for GPU, with dynamic loss scaling.",
  )


def define_speed_flags() -> None:
  """Precision, memory, and how the optimiser steps."""
  define_precision_flag()
  flags.DEFINE_integer(
    "gradient_accumulation_steps",
    1,
    "Split a training batch into so many parts, taken one after the other"
    " within a step: the same loss and step in less memory.",
    lower_bound=1,
  )
  flags.DEFINE_bool(
    "recompute_layers",
    False,
    "Compute each encoder layer again in the backward pass instead of keeping"
    " its activations: the same gradients, less memory, more time.",
  )
  flags.DEFINE_enum(
    "optimizer",
    "adamw",
    list(optimization.OPTIMIZERS),
    "adamw is BERT's own; lamb is for large batches.",
  )
  flags.DEFINE_float(
    "layerwise_lr_decay",
    1.0,
    "A layer's rate over that of the layer above it, such as 0.9; 1: equal.",
    lower_bound=0.0,
    upper_bound=1.0,
  )
  flags.DEFINE_float(
    "head_learning_rate",
    None,
    "Rate of the variables outside the encoder, if it is another one.",
    lower_bound=0.0,
  )
  flags.DEFINE_bool(
    "use_xla", False, "Compile the graph with XLA, which can help on GPU."
  )


def define_device_flags(has_training: bool = True) -> None:
  """Where the computation runs."""
  if has_training:
    flags.DEFINE_enum(
      "distribution",
      "none",
      ["none", "mirrored", "multi_worker"],
      "How training is spread, off TPU: mirrored over all GPUs of this machine,"
      " multi_worker over the machines that TF_CONFIG names. Each takes its"
      " share of a batch.",
    )
    flags.DEFINE_integer(
      "iterations_per_loop",
      1000,
      "Steps a TPU takes between two visits of the host.",
      lower_bound=1,
    )
  flags.DEFINE_bool("use_tpu", False, "Run on a TPU, or else on GPU or CPU.")
  flags.DEFINE_string(
    "tpu_name", None, "Name or grpc://address of the Cloud TPU to use."
  )
  flags.DEFINE_string(
    "tpu_zone", None, "The TPU's zone, if it can't be found out."
  )
  flags.DEFINE_string(
    "gcp_project", None, "The TPU's project, if it can't be found out."
  )
  flags.DEFINE_string("master", None, "Address of a TensorFlow master.")
  flags.DEFINE_integer(
    "num_tpu_cores", 8, "Cores of the TPU that share a batch.", lower_bound=1
  )


# ----------------------------------------------------- what joints are told


def estimator_options() -> dict:
  """The flags that `estimators.make_estimator` takes, as keywords."""
  names = (
    "output_dir",
    "train_batch_size",
    "eval_batch_size",
    "predict_batch_size",
    "use_tpu",
    "tpu_name",
    "tpu_zone",
    "gcp_project",
    "master",
    "num_tpu_cores",
    "iterations_per_loop",
    "save_checkpoints_steps",
    "keep_checkpoint_max",
    "random_seed",
    "use_xla",
    "distribution",
  )
  options = {name: FLAGS[name].value for name in names if name in FLAGS}
  return {**options, "devices": _devices()}


def optimizer_options() -> optimization.Options:
  """How a training step is taken, by the flags."""
  return optimization.Options(
    optimizer=FLAGS.optimizer,
    slices=FLAGS.gradient_accumulation_steps,
    layerwise_lr_decay=FLAGS.layerwise_lr_decay,
    head_learning_rate=FLAGS.head_learning_rate,
    scale_loss=FLAGS.precision == "float16",
  )


def encoder_options() -> dict:
  """The flags that `modeling.BertModel` takes, as keywords."""
  return {
    "compute_dtype": tf.as_dtype(FLAGS.precision),
    "recompute_layers": "recompute_layers" in FLAGS and FLAGS.recompute_layers,
  }


def length_buckets() -> str | list[int]:
  """`--length_buckets` as "auto" or a list of bounds; [] on TPU.

  Raises:
    ValueError: the flag holds something else.
  """
  text = FLAGS.length_buckets
  if FLAGS.use_tpu or text == "none":
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
  below = [bound for bound in bounds if 0 < bound < FLAGS.max_seq_length]
  return [*below, FLAGS.max_seq_length]


def load_model_files():
  """Reads and compares --bert_config_file, --vocab_file and their flags.

  Returns:
    A `modeling.BertConfig` and a `tokenization.FullTokenizer`.

  Raises:
    ValueError: the files or flags do not fit each other.
  """
  config = load_config()
  tokenization.validate_case_matches_checkpoint(
    FLAGS.do_lower_case, FLAGS.init_checkpoint
  )
  tokenizer = load_tokenizer()
  check_vocab_size(tokenizer.vocab, config)
  return config, tokenizer


def load_config() -> modeling.BertConfig:
  """Reads --bert_config_file.

  Raises:
    ValueError: it does not fit --max_seq_length, or can't be read.
  """
  config = modeling.BertConfig.from_json_file(FLAGS.bert_config_file)
  modeling.get_activation(config.hidden_act)  # or says that it is unknown
  if FLAGS.max_seq_length > config.max_position_embeddings:
    raise ValueError(
      f"--max_seq_length={FLAGS.max_seq_length} is over"
      f" max_position_embeddings={config.max_position_embeddings} of"
      f" {FLAGS.bert_config_file}"
    )
  return config


def check_vocab_size(vocab: Mapping, config: modeling.BertConfig) -> None:
  """Compares --vocab_file with the model, which may have some rows to spare.

  Raises:
    ValueError: the vocabulary has ids that the model has not.
  """
  size = max(vocab.values()) + 1
  if size < _LEAST_OF_VOCAB * config.vocab_size:
    logging.warning(
      f"{FLAGS.vocab_file} has {size} tokens, and {FLAGS.bert_config_file}"
      f" vocab_size {config.vocab_size}: is it the model's own vocabulary?"
    )
  if size > config.vocab_size:
    raise ValueError(
      f"{FLAGS.vocab_file} has {size} tokens but vocab_size is"
      f" {config.vocab_size} in {FLAGS.bert_config_file}: they belong to"
      " different models"
    )


def load_tokenizer():
  """The tokenizer of --vocab_file.

  Raises:
    ValueError: a special token is missing, or the vocabulary's case does not
      fit --do_lower_case.
  """
  tokenizer = tokenization.FullTokenizer(FLAGS.vocab_file, FLAGS.do_lower_case)
  missing = tokenization.missing_special_tokens(tokenizer.vocab)
  if missing:
    raise ValueError(
      f"{FLAGS.vocab_file} lacks the special tokens {', '.join(missing)}: add"
      " them, one a line"
    )
  is_cased = tokenization.vocab_is_cased(tokenizer.vocab)
  if FLAGS.check_vocab_case and is_cased is FLAGS.do_lower_case:
    kind = "cased" if is_cased else "uncased"
    raise ValueError(
      f"{FLAGS.vocab_file} is {kind}: give --do_lower_case={not is_cased} (or,"
      f" if --do_lower_case={is_cased} is meant, --nocheck_vocab_case)"
    )
  return tokenizer


def check_actions(*names: str) -> None:
  """Raises ValueError unless one of the flags `names` is on."""
  if not any(FLAGS[name].value for name in names):
    flags_text = ", ".join(f"--{name}" for name in names)
    raise ValueError(f"nothing to do: give at least one of {flags_text}")


def check_speed() -> None:
  """Checks how a batch is split, and the precision.

  Raises:
    ValueError: this machine can't compute in that precision, or the batch
      can't be split so.
  """
  slices, replicas = FLAGS.gradient_accumulation_steps, num_replicas()
  if FLAGS.train_batch_size % (slices * replicas):
    raise ValueError(
      f"--train_batch_size={FLAGS.train_batch_size} can't be split into"
      f" {slices * replicas} equal parts: --gradient_accumulation_steps="
      f"{slices} on each of {replicas} devices"
    )
  check_precision()


def check_precision() -> None:
  """Raises ValueError if this machine can't compute in --precision."""
  if FLAGS.use_tpu or tf.config.list_physical_devices("GPU"):
    return
  if FLAGS.precision == "float16":
    raise ValueError("--precision=float16 needs a GPU: give bfloat16")
  if FLAGS.precision == "bfloat16" and not _has_bfloat16_units():
    logging.warning(
      "this processor has no bfloat16 units (AVX-512 BF16 or AMX):"
      " --precision=bfloat16 will be slower than float32"
    )


def _has_bfloat16_units():
  """Whether the processor says that it multiplies bfloat16; True if unknown."""
  try:
    with open("/proc/cpuinfo", encoding="utf-8") as reader:
      return bool(re.search(r"\b(avx512_bf16|amx_bf16)\b", reader.read()))
  except OSError:
    return True


def check_devices(inputs: Sequence[str] = ()) -> None:
  """Checks the flags of TPUs and of several devices, and TF_CONFIG.

  Args:
    inputs: names of flags with files that the TPU itself reads, by commas.

  Raises:
    ValueError: they contradict each other, name files that a TPU can't reach,
      or TF_CONFIG does not say who the workers are.
  """
  if _distribution() != "none" and FLAGS.use_tpu:
    raise ValueError(
      f"--distribution={_distribution()} is for GPUs and CPUs: leave it out"
      " with --use_tpu, which uses all cores of the TPU"
    )
  addresses, index = _cluster()
  if index > 0:
    logging.info(
      f"worker {index} of {len(addresses)}: worker 0, the chief"
      f" ({addresses[0]}), tells of the progress and writes the results"
    )
    if not logging.level_debug():
      logging.set_verbosity(logging.WARNING)
  if not FLAGS.use_tpu:
    if FLAGS.tpu_name:
      raise ValueError(f"--tpu_name={FLAGS.tpu_name} needs --use_tpu")
    return
  if not FLAGS.tpu_name and not FLAGS.master:
    raise ValueError("--use_tpu needs --tpu_name (or --master)")
  if FLAGS.tpu_name and FLAGS.master:
    raise ValueError("give --tpu_name or --master, not both")
  for name in ("eval_batch_size", "predict_batch_size", "batch_size"):
    if name in FLAGS and FLAGS[name].value % FLAGS.num_tpu_cores:
      raise ValueError(
        f"--{name}={FLAGS[name].value} can't be split over --num_tpu_cores="
        f"{FLAGS.num_tpu_cores}: give a multiple"
      )
  paths = [
    (name, FLAGS[name].value)
    for name in ("output_dir", "init_checkpoint")
    if name in FLAGS
  ]
  for name in inputs:
    paths += [
      (name, path.strip()) for path in (FLAGS[name].value or "").split(",")
    ]
  for name, path in paths:
    if path and not path.startswith("gs://"):
      raise ValueError(
        f"--{name}={path} is a local path, which a TPU can't read: copy it to"
        " Cloud Storage and give gs://..."
      )


# -------------------------------------------------------- several machines


def is_chief() -> bool:
  """Whether this process writes, evaluates and predicts: all but one do not."""
  return _cluster()[1] == 0


def records_dir() -> str:
  """Where records go: each worker has a folder of its own for them."""
  index = _cluster()[1]
  if index == 0:
    return FLAGS.output_dir
  folder = os.path.join(FLAGS.output_dir, f"worker_{index}")
  tf.io.gfile.makedirs(folder)
  return folder


def _distribution():
  """How training is spread; a script that does not train has no such flag."""
  return FLAGS.distribution if "distribution" in FLAGS else "none"


def _devices():
  """Names of this machine's devices that share a training batch."""
  if _distribution() == "none":
    return []
  gpus = tf.config.list_logical_devices("GPU")
  cpus = tf.config.list_logical_devices("CPU")
  if _distribution() == "multi_worker":
    cpus = cpus[:1]
  return [device.name for device in gpus or cpus]


def num_replicas() -> int:
  """How many devices share a training batch, on all machines."""
  if FLAGS.use_tpu:
    return FLAGS.num_tpu_cores
  return max(len(_devices()), 1) * len(_cluster()[0])


def _cluster():
  """The workers' addresses, and which of them is this process.

  Raises:
    ValueError: --distribution and TF_CONFIG do not fit.
  """
  text = os.environ.get("TF_CONFIG", "")
  if _distribution() == "multi_worker":
    return parse_cluster(text)
  if text and not FLAGS.use_tpu:
    addresses, _ = parse_cluster(text)
    if len(addresses) > 1:
      raise ValueError(
        f"TF_CONFIG names {len(addresses)} workers, but --distribution="
        f"{_distribution()} knows one machine: give multi_worker, or unset"
        " TF_CONFIG"
      )
  return [""], 0


def parse_cluster(text: str) -> tuple[list[str], int]:
  """Reads the environment variable TF_CONFIG.

  Args:
    text: such as '{"cluster": {"worker": ["a:2222", "b:2222"]}, "task":
      {"type": "worker", "index": 0}}'. A cluster may have a `chief` too.

  Returns:
    The addresses of chief and workers, and the place of this process; the
    first writes the outputs.

  Raises:
    ValueError: it says something else; the sentence says what.
  """
  if not text:
    raise ValueError(
      "--distribution=multi_worker needs the environment variable TF_CONFIG,"
      f" such as {_TF_CONFIG}, with another index on each machine"
    )
  try:
    config = json.loads(text)
  except json.JSONDecodeError as error:
    raise ValueError(f"TF_CONFIG is not JSON: {error}") from None
  jobs = _part(config, "cluster")
  task = _part(config, "task")
  workers = _addresses(jobs, "worker")
  if not workers:
    raise ValueError(f"TF_CONFIG has no cluster.worker: give {_TF_CONFIG}")
  chief = _addresses(jobs, "chief")
  others = sorted(set(jobs) - {"chief", "worker"})
  if others or len(chief) > 1 or len({*chief, *workers}) < len(chief + workers):
    raise ValueError(
      "TF_CONFIG: cluster has to list each address once, as worker (and one as"
      f" chief, if you like); it holds {json.dumps(jobs)}"
    )
  kind, index = task.get("type"), task.get("index")
  found = {"chief": chief, "worker": workers}.get(kind)
  if not found or type(index) is not int or not 0 <= index < len(found):
    raise ValueError(
      f"TF_CONFIG: task is {json.dumps(task)}, but cluster has worker 0 to"
      f" {len(workers) - 1}" + (" and chief 0" if chief else "")
    )
  return chief + workers, index + (len(chief) if kind == "worker" else 0)


def _part(config, name):
  """One of TF_CONFIG's objects."""
  part = config.get(name) if isinstance(config, dict) else None
  if not isinstance(part, dict):
    raise ValueError(f"TF_CONFIG has no {name}: give {_TF_CONFIG}")
  return part


def _addresses(jobs, name):
  """The addresses of a job, none if it is missing."""
  addresses = jobs.get(name, [])
  if not isinstance(addresses, list) or not all(
    isinstance(a, str) and re.fullmatch(r".+:\d+", a) for a in addresses
  ):
    raise ValueError(
      f"TF_CONFIG: cluster.{name} has to be a list of host:port; it is"
      f" {json.dumps(addresses)}"
    )
  return addresses


# -------------------------------------------------------------------- run


def run(main) -> None:
  """Runs `main(argv)` as a script does: flags, quiet logs, clear errors.

  What our own files raise, and what the file system answers, is told in one
  line on standard error, with exit status 1; --verbosity=1 shows the
  traceback too. Any other exception is a defect and keeps its traceback.
  """
  _check_version()
  logging.set_verbosity(logging.INFO)
  logging.get_absl_handler().setFormatter(
    python_logging.Formatter("%(message)s")
  )
  tf.logging.set_verbosity(tf.logging.ERROR)
  tf.disable_v2_behavior()
  tf.enable_resource_variables()
  app.run(lambda argv: _guarded(main, argv))


def _guarded(main, argv):
  """Calls main, and turns a user's error into a sentence."""
  if logging.level_debug():
    tf.logging.set_verbosity(tf.logging.INFO)
  try:
    if len(argv) > 1:
      raise ValueError(
        f"stray words on the command line: {' '.join(argv[1:])} (a flag and"
        " its value are joined by =, as in --do_train=true)"
      )
    main(argv)
  except KeyboardInterrupt:
    sys.exit("interrupted")
  except tf.errors.ResourceExhaustedError as error:
    if logging.level_debug():
      raise
    full = re.search(r"([^\s;]+); No space left on device", str(error))
    told = f"{full[1]}: no room left on the disk" if full else None
    sys.exit(f"error: {told or _out_of_memory(error)}")
  except tf.train.NanLossDuringTrainingError:
    sys.exit(
      f"error: the loss became NaN: lower --learning_rate={FLAGS.learning_rate}"
      " or warm up for longer; the newest checkpoint is from before"
    )
  except Exception as error:
    if logging.level_debug() or not _is_for_user(error):
      raise
    sys.exit(f"error: {_sentence(error)}")


def _is_for_user(error):
  """Whether our own code raised `error`, or the file system did."""
  if isinstance(error, (OSError, *_FILE_ERRORS)):
    return True
  if isinstance(error, tf.errors.OpError) and error.op is None:
    return True  # of tf.io.gfile
  raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
  is_ours = (
    os.path.abspath(raised_in).startswith(_PROJECT + os.sep)
    and "site-packages" not in raised_in  # an environment of the project
  )
  return is_ours and isinstance(error, (ValueError, RuntimeError))


def _out_of_memory(error):
  """What did not fit, and the flags that help, those that cost least first."""
  size = re.search(r"shape ?(\[[\d,]*\])", str(error))
  settings, helpful = [], []
  for name in ("train_batch_size", "max_seq_length", "precision"):
    if name in FLAGS:
      settings.append(f"--{name}={FLAGS[name].value}")
  if "gradient_accumulation_steps" in FLAGS:
    parts = FLAGS.gradient_accumulation_steps
    helpful.append(f"--gradient_accumulation_steps={2 * parts} (same result)")
    if not FLAGS.recompute_layers:
      helpful.append("--recompute_layers (same result, slower)")
    if FLAGS.precision == "float32":
      helpful.append("--precision=bfloat16")
  helpful.append("a smaller batch, a shorter --max_seq_length")
  return (
    f"out of memory{' for a tensor ' + size.group(1) if size else ''} with"
    f" {', '.join(settings)}; what helps, in this order: {'; '.join(helpful)}"
  )


def _sentence(error):
  """The error's message in one line."""
  if isinstance(error, OSError) and error.filename:
    return f"{error.filename}: {error.strerror}"
  lines = str(getattr(error, "message", error)).split("\n")
  if isinstance(error, tf.errors.OpError):  # around it stands where it was met
    noise = re.compile(r"\s|$|Graph exec|Detected at|File |Node:|\[\[|Original")
    lines = [line for line in lines if not noise.match(line)][:1] or lines
  return " ".join(" ".join(lines).split())


def _check_version():
  """Ends the program where TensorFlow does not fit."""
  if not tf.__version__.startswith(_TENSORFLOW + "."):
    sys.exit(
      f"error: TensorFlow {tf.__version__} is installed, but TPUEstimator needs"
      f" {_TENSORFLOW}: pip install -r requirements.txt"
    )
