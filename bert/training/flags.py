# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Flags that are fields of a dataclass, and the options that scripts share.

In: frozen dataclasses whose fields are made by `flag`. Out: one flag on the
command line for each field, and an object with their values, which is passed
on. Nothing else reads absl's FLAGS.
"""

from __future__ import annotations

import dataclasses
import glob
import os
import re
import sys
from collections.abc import Sequence

from absl import flags as absl_flags

_MODEL_FILE = re.compile(
  r"^vocab\.txt$|config\.json$|\.(index|safetensors|bin)$|\.data-\d+-of-\d+$"
)

_LARGEST_INT = 2**63 - 1  # what TensorFlow's int64 holds
_LARGEST_FLOAT = (2 - 2**-23) * 2.0**127  # of float32

# ------------------------------------------------------- flags and fields


def flag(
  default,
  help_text: str,
  *,
  required: bool = False,
  reads: bool = False,
  writes: str | None = None,
  choices: Sequence[str] | None = None,
  repeated: bool = False,
  lower_bound=None,
  upper_bound=None,
):
  """A field of an options dataclass that is also a flag.

  The field's annotation gives the flag's kind: int, float, bool, str or tuple
  (values separated by commas), each with or without `| None`.

  Args:
    default: the value when the flag is not given.
    help_text: what --help says.
    required: whether the flag must be given.
    reads: whether it names files, folders or a checkpoint that the script
      reads and must not write over.
    writes: "files" or "folder" if it names what the script writes, where one
      run at a time may write.
    choices: the values that a str may have.
    repeated: whether a tuple's flag gives one value, and may come repeatedly.
    lower_bound: of a number.
    upper_bound: of a number.
  """
  metadata = {
    "help": help_text,
    "required": required,
    "reads": reads,
    "writes": writes,
    "choices": choices,
    "repeated": repeated,
    "bounds": {"lower_bound": lower_bound, "upper_bound": upper_bound},
  }
  return dataclasses.field(default=default, metadata=metadata)


def with_default(options_class: type, name: str, default):
  """The field `name` of another options class, with another default."""
  field = options_class.__dataclass_fields__[name]
  return dataclasses.field(default=default, metadata=field.metadata)


def define(options_class: type, flag_values=absl_flags.FLAGS) -> None:
  """Defines the flags of an options class, to be shown by --help."""
  for field in _flag_fields(options_class):
    _define_one(field, flag_values)
  absl_flags.mark_flags_as_required(
    [f.name for f in _flag_fields(options_class) if f.metadata["required"]],
    flag_values,
  )


def read(options_class: type, flag_values=absl_flags.FLAGS):
  """The options that the parsed flags give.

  Raises:
    ValueError: `define` has not defined them.
  """
  fields = _flag_fields(options_class)
  missing = [field.name for field in fields if field.name not in flag_values]
  if missing:
    raise ValueError(
      f"the flag --{missing[0]} is not defined: call"
      f" flags.define({options_class.__name__}), or pass the options as values"
    )
  values = {field.name: flag_values[field.name].value for field in fields}
  for name, value in values.items():
    if isinstance(value, list):
      values[name] = tuple(value)
  given = frozenset(name for name in values if flag_values[name].present)
  return options_class(**values, given=given)


def parse_own(options_class: type):
  """`parse` of this process's command line, with the flags that absl has."""
  return parse(options_class, sys.argv[1:], absl_flags.FLAGS)


def parse(options_class: type, arguments: Sequence[str], flag_values=None):
  """The options of a command line.

  Args:
    options_class: whose fields are the flags.
    arguments: such as "--do_train", without the program's name.
    flag_values: where the flags are defined; None: apart from absl's FLAGS.

  Returns:
    An options_class, and the words that are no flags; a field `words` that is
    no flag takes them, if there is one.

  Raises:
    absl.flags.Error: a flag is unknown, is missing, or has a wrong value.
  """
  if flag_values is None:
    flag_values = absl_flags.FlagValues()
  define(options_class, flag_values)
  _, *words = flag_values(["", *arguments])
  options = read(options_class, flag_values)
  fields = dataclasses.fields(options_class)
  if any(f.name == "words" and not f.metadata for f in fields):
    return dataclasses.replace(options, words=tuple(words)), []
  return options, words


def inputs(options) -> dict[str, list[str]]:
  """{flag: files} that the flags with `reads` name.

  A folder stands for the model's files in it, a checkpoint's prefix for its
  files, and a pattern for those that it matches.
  """
  return {
    field.name: [
      path
      for text in _paths(getattr(options, field.name))
      for path in _files(text)
    ]
    for field in _flag_fields(type(options))
    if field.metadata["reads"]
  }


def outputs(options) -> dict[str, list[str]]:
  """{flag: files or folders} that the flags with `writes` name.

  The path of a folder ends in "/".
  """
  found = {}
  for field in _flag_fields(type(options)):
    kind, value = field.metadata["writes"], getattr(options, field.name)
    if kind == "folder" and value:
      found[field.name] = [os.path.join(value, "")]
    elif kind == "files":
      found[field.name] = [path for path in _paths(value) if path != "-"]
  return found


def _paths(value):
  """The paths of a flag, which may be separated by commas."""
  texts = value.split(",") if isinstance(value, str) else value or ()
  return [text.strip() for text in texts if text.strip()]


def _files(text):
  """The files that a path, a checkpoint's prefix or a pattern names."""
  if "://" in text:
    return [text]
  if os.path.isdir(text):
    names = filter(_MODEL_FILE.search, os.listdir(text))
    return [os.path.join(text, name) for name in names]
  parts = filter(_MODEL_FILE.search, glob.glob(f"{glob.escape(text)}.*"))
  return [*glob.glob(text), text, *parts]


def _flag_fields(options_class):
  return [f for f in dataclasses.fields(options_class) if f.metadata]


def _define_one(field, flag_values):
  kind = field.type.removesuffix(" | None")
  # --help shows the flags of the program that runs, as sys.argv names it.
  given = {"flag_values": flag_values, "module_name": sys.argv[0]}
  name, default = field.name, field.default
  help_text, choices = field.metadata["help"], field.metadata["choices"]
  if field.metadata["required"]:
    help_text = f"Required. {help_text}"
  if choices:
    absl_flags.DEFINE_enum(name, default, list(choices), help_text, **given)
    return
  if kind in ("int", "float"):
    given.update(field.metadata["bounds"])
  if kind == "tuple" and default is not None:
    default = list(default)
  if field.metadata["repeated"]:
    absl_flags.DEFINE_multi_string(name, default, help_text, **given)
    return
  define_kind = {
    "int": absl_flags.DEFINE_integer,
    "float": absl_flags.DEFINE_float,
    "bool": absl_flags.DEFINE_bool,
    "str": absl_flags.DEFINE_string,
    "tuple": absl_flags.DEFINE_list,
  }[kind]
  define_kind(name, default, help_text, **given)
  if kind in _CHECKS:
    check, message = _CHECKS[kind]
    absl_flags.register_validator(name, check, message, flag_values)


def _is_utf8(value):
  """Whether a text or tuple of texts has no bytes that are not UTF-8."""
  try:
    "".join(value or "").encode("utf-8")
  except UnicodeEncodeError:
    return False
  return True


_NOT_UTF8 = _is_utf8, "the name is not UTF-8: rename the file or folder"
_CHECKS = {
  "int": (
    lambda value: value is None or abs(value) <= _LARGEST_INT,
    f"whole numbers are at most {_LARGEST_INT}",
  ),
  "float": (
    lambda value: value is None or abs(value) <= _LARGEST_FLOAT,  # not NaN
    "give a number that float32 can hold",
  ),
  "str": _NOT_UTF8,
  "tuple": _NOT_UTF8,
}


# --------------------------------------------- options that scripts share


@dataclasses.dataclass(frozen=True)
class Options:
  """What the options of every script have."""

  # Names of the flags that were given, rather than left at their defaults.
  given: frozenset = frozenset()


@dataclasses.dataclass(frozen=True)
class DeviceOptions(Options):
  """Where a model runs, and in which precision."""

  precision: str = flag(
    "float32",
    "Type of matrix products and activations; weights, softmax, statistics,"
    " losses and the optimizer stay in float32. bfloat16 suits TPUs, recent"
    " GPUs, and CPUs with AVX-512 BF16 or AMX; float16 is for GPUs, with"
    " dynamic loss scaling.",
    choices=("float32", "bfloat16", "float16"),
  )
  use_tpu: bool = flag(False, "Run on a TPU instead of a GPU or CPU.")
  tpu_name: str | None = flag(
    None,
    "The TPU to use: local on a TPU VM, otherwise its name or grpc://address.",
  )
  tpu_zone: str | None = flag(
    None, "Zone of the TPU, if it cannot be detected."
  )
  gcp_project: str | None = flag(
    None, "Project of the TPU, if it cannot be detected."
  )
  master: str | None = flag(
    None, "Address of a TensorFlow master, instead of --tpu_name."
  )
  num_tpu_cores: int = flag(8, "TPU cores that share a batch.", lower_bound=1)


@dataclasses.dataclass(frozen=True)
class ModelOptions(Options):
  """Which model to start from."""

  bert_config_file: str | None = flag(
    None,
    "JSON file with the model's sizes, such as bert_config.json beside a"
    " released checkpoint.",
    required=True,
    reads=True,
  )
  init_checkpoint: str | None = flag(
    None,
    "Weights to start from: a prefix such as dir/bert_model.ckpt, or a folder"
    " that holds one checkpoint.",
    reads=True,
  )
  max_seq_length: int = flag(
    128,
    "Length in WordPiece tokens, including [CLS] and [SEP]. Longer texts are"
    " cut, shorter ones padded.",
    lower_bound=3,
  )


@dataclasses.dataclass(frozen=True)
class TextOptions(Options):
  """The vocabulary, and how text is prepared for it."""

  vocab_file: str | None = flag(
    None,
    "The vocabulary, one WordPiece token per line.",
    required=True,
    reads=True,
  )
  do_lower_case: bool = flag(
    True,
    "Lower-case the text and strip accents: True for uncased vocabularies,"
    " False for cased ones.",
  )
  check_vocab_case: bool = flag(
    True, "Refuse a vocabulary whose case does not match --do_lower_case."
  )


@dataclasses.dataclass(frozen=True)
class RunOptions(ModelOptions, DeviceOptions):
  """What every run_ script has: output, batches, optimizer, evaluation."""

  output_dir: str | None = flag(
    None,
    "Folder for checkpoints, records and results. Training resumes from the"
    " newest checkpoint in it.",
    required=True,
    writes="folder",
  )
  do_train: bool = flag(False, "Train.")
  train_batch_size: int = flag(
    32, "Examples per training step, on all devices together.", lower_bound=1
  )
  learning_rate: float = flag(
    5e-5,
    "The highest learning rate; 0 leaves the weights as they are.",
    lower_bound=0.0,
  )
  save_checkpoints_steps: int = flag(
    1000, "Save a checkpoint every N training steps.", lower_bound=1
  )
  keep_checkpoint_max: int = flag(
    5,
    "Keep the N newest checkpoints.",
    lower_bound=1,
    upper_bound=2**31 - 1,
  )
  random_seed: int = flag(
    12345,
    "Seed for the order of the data, new weights and dropout. The same seed"
    " repeats a run.",
    lower_bound=0,
    upper_bound=2**31 - 1,
  )
  log_steps: int = flag(
    20, "Report progress every N training steps.", lower_bound=1
  )
  length_buckets: str = flag(
    "auto",
    "Put examples of similar length into a batch, so that there is little"
    " padding (not on TPU). auto chooses the lengths from the data; none pads"
    " all examples to --max_seq_length; or give ascending lengths, such as"
    " 32,64,128.",
  )
  pack_sequences: bool = flag(
    False,
    "Put several sequences in one row of --max_seq_length positions, with"
    " attention within each: the same losses (of questions, as without padding)"
    " and predictions with little padding, in static shapes. For TPU and GPU,"
    " instead of --length_buckets.",
  )
  packed_rows: int = flag(
    0,
    "With --pack_sequences: rows of a training batch. 0: chosen by the lengths"
    " of the training data.",
    lower_bound=0,
  )
  gradient_accumulation_steps: int = flag(
    1,
    "Split each training batch into N parts and compute them one after the"
    " other: the same loss and update in less memory.",
    lower_bound=1,
  )
  recompute_layers: bool = flag(
    False,
    "Compute each encoder layer again in the backward pass instead of keeping"
    " its activations: the same gradients, less memory, more time.",
  )
  optimizer: str = flag(
    "adamw",
    "adamw is BERT's own; adamw_corrected has Adam's bias correction, which"
    " BERT's own lacks: steadier on few examples; adafactor keeps almost"
    " nothing beside the weights; lamb is for large batches.",
    choices=("adamw", "adamw_corrected", "adafactor", "lamb"),
  )
  lr_schedule: str = flag(
    "linear",
    "What the learning rate does after the W warm-up steps, in step s of T."
    " linear: rate * (1 - s/T), as if it fell from step 0 on; constant: it"
    " stays; cosine: rate * (1 + cos(pi * (s-W)/(T-W))) / 2; inverse_sqrt: rate"
    " * sqrt(W/s), which does not reach 0.",
    choices=("linear", "constant", "cosine", "inverse_sqrt"),
  )
  weight_decay: float = flag(
    0.01,
    "In each step, all weights but biases and LayerNorm's shrink by this times"
    " the learning rate.",
    lower_bound=0.0,
  )
  adam_beta2: float = flag(
    0.999,
    "Decay rate of the average of squared gradients (beta2), for adamw,"
    " adamw_corrected and lamb.",
    lower_bound=0.0,
    upper_bound=0.999999,  # float32 still tells it from 1
  )
  max_grad_norm: float = flag(
    1.0,
    "Clip the gradient to this global norm. 0: do not clip.",
    lower_bound=0.0,
  )
  reinit_layers: int = flag(
    0,
    "Draw the weights of the top N encoder layers and of the pooler anew when"
    " training starts, instead of taking them from --init_checkpoint.",
    lower_bound=0,
  )
  layerwise_lr_decay: float = flag(
    1.0,
    "With 0.9, the learning rate of each layer is 0.9 times that of the layer"
    " above it; 1 gives all layers the same rate.",
    lower_bound=0.0,
    upper_bound=1.0,
  )
  head_learning_rate: float | None = flag(
    None,
    "The highest learning rate of the variables outside the encoder, whatever"
    " --learning_rate is; 0 leaves them as they are. Default: --learning_rate.",
    lower_bound=0.0,
  )
  use_xla: bool = flag(
    False,
    "Compile each training step as a whole with XLA, which can help on GPU;"
    " compiling takes long, once for each length.",
  )
  distribution: str = flag(
    "none",
    "Train on several devices (not on TPU): mirrored uses all GPUs of this"
    " machine, multi_worker the machines in TF_CONFIG. Each device computes a"
    " part of every batch.",
    choices=("none", "mirrored", "multi_worker"),
  )
  worker_timeout: float = flag(
    60.0,
    "With --distribution=multi_worker: end when another worker has been silent"
    " for N seconds.",
    lower_bound=5.0,
  )
  iterations_per_loop: int = flag(
    1000, "Steps that a TPU takes before it returns to the host.", lower_bound=1
  )
  eval_steps: int = flag(
    0,
    "Evaluate and save a checkpoint every N training steps. 0: do not evaluate"
    " during training.",
    lower_bound=0,
  )
  keep_best: str | None = flag(
    None,
    "With --eval_steps: copy the checkpoint with the best value of this score,"
    " such as eval_loss, to output_dir/best, and use it from then on.",
  )
  patience: int = flag(
    0,
    "With --keep_best: stop after N evaluations without improvement. 0: do not"
    " stop early.",
    lower_bound=0,
  )
  report: bool = flag(
    False,
    "At the end, write report.html to --output_dir: curves, scores and errors"
    " in pictures. For it, an evaluation keeps its examples in"
    " eval_predictions.jsonl there.",
  )


@dataclasses.dataclass(frozen=True)
class EvaluationOptions(Options):
  """Evaluation as an action of its own."""

  do_eval: bool = flag(False, "Evaluate, and write the scores.")
  eval_batch_size: int = flag(
    8, "Examples per evaluation batch.", lower_bound=1
  )


@dataclasses.dataclass(frozen=True)
class FineTuningOptions(RunOptions, TextOptions):
  """What the scripts that fine-tune on text have besides."""

  do_predict: bool = flag(False, "Predict; labels are not needed.")
  predict_batch_size: int = flag(
    8, "Examples per prediction batch.", lower_bound=1
  )
  num_train_epochs: float = flag(
    3.0, "Passes over the training data.", lower_bound=0.0, upper_bound=1e6
  )
  warmup_proportion: float = flag(
    0.1,
    "Share of the training steps in which the learning rate rises from 0."
    " --lr_schedule says what it does after that.",
    lower_bound=0.0,
    upper_bound=1.0,
  )
  trainable: str = flag(
    "all",
    "Which weights are trained: all; head, only those outside the encoder; or"
    " last:N, the head, the pooler and the top N layers. The others stay as"
    " they are, and no gradients are computed for them. Dropout stays on in all"
    " layers.",
  )
  records_dir: str | None = flag(
    None,
    "Folder in which runs share the records that they keep (not those of"
    " run_tagger.py, nor those to predict of run_squad.py): a run whose records"
    " would be the same takes those that are there.",
  )


@dataclasses.dataclass(frozen=True)
class TrainedModelOptions(Options):
  """Which trained model to use."""

  model_dir: str | None = flag(
    None,
    "Output folder of a training run, or `best` in it; or a folder with a"
    " pre-trained checkpoint, its bert_config.json and vocab.txt.",
    required=True,
    reads=True,
  )
  checkpoint: str | None = flag(
    None,
    "Prefix of the weights, such as dir/model.ckpt-300. Default: the best"
    " checkpoint in --model_dir if one was kept, otherwise the newest.",
    reads=True,
  )
  task_file: str | None = flag(
    None,
    "Python file that defines a task of your own; see docs/adding-a-task.md.",
    reads=True,
  )
