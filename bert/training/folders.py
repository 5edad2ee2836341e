# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""What an output folder may hold when a run begins, and what a kill left there.

In: a run's options, its task and first weights. Out: one sentence where the
folder or the weights are another model's, before anything is written.
"""

from __future__ import annotations

import os
import re

import tensorflow.compat.v1 as tf
from absl import logging

from bert.files import locks, reading
from bert.training import checkpoints, cluster, flags

_OTHER_WEIGHTS = re.compile(r"^(?!model\.ckpt-\d+\.).*\.(index|safetensors)$")
_PARTIAL = re.compile(r"\.partial(-\d+)?$")
_LEFT_BEHIND = re.compile(
  r"^model\.ckpt-\d+_temp(_\w+)?$|\.tempstate\d+$"
  r"|^(graph\.pbtxt|checkpoint|model\.ckpt-\d+\.meta)\.tmp\w*$"
)
_PRETRAINING = "cls/predictions/output_bias"
_UNUSED = re.compile(r"\[unused\d+\]$")  # a word that a vocabulary may replace


def model_files(options: flags.RunOptions) -> list[tuple[str, str]]:
  """(option, name of its copy in the output folder) of the given files."""
  pairs = (
    ("bert_config_file", "bert_config.json"),
    ("vocab_file", "vocab.txt"),
  )
  return [pair for pair in pairs if getattr(options, pair[0], None)]


def check_output_dir(options: flags.RunOptions) -> None:
  """Compares the model in --output_dir, if there is one, with the given files.

  Raises:
    ValueError: it is of another configuration or vocabulary.
  """
  folder = options.output_dir
  if not folder:
    raise ValueError("--output_dir is empty: name a folder")
  found = checkpoints.newest(folder)
  if not found and options.do_train:
    found = _other_weights(folder)
  if not found:
    return
  for name, file in model_files(options):
    kept, given = os.path.join(folder, file), getattr(options, name)
    if not tf.io.gfile.exists(kept):
      continue
    if _content(name, kept) != _content(name, given):
      raise ValueError(
        f"{folder} holds another model: --{name}={given} differs from its"
        f" {file}; give another --output_dir"
      )


def _other_weights(folder):
  """A file with weights that no training of ours has left in a folder."""
  if not tf.io.gfile.isdir(folder):
    return None
  return next(filter(_OTHER_WEIGHTS.search, tf.io.gfile.listdir(folder)), None)


def _content(option, path):
  """What a configuration or vocabulary says, whatever its layout."""
  if option == "bert_config_file":
    return reading.read_json(path, dict, "configuration")
  return [line.strip() for line in reading.read_text(path).split("\n")]


def check_task(options: flags.RunOptions, task) -> None:
  """Raises ValueError if --output_dir holds a model of another task.

  Args:
    options: of the script.
    task: of `bert.tasks.task.Task`.
  """
  if not options.do_train or not cluster.is_chief(options):
    return
  path = os.path.join(options.output_dir, "task.json")
  kept = None
  if tf.io.gfile.exists(path):
    note = reading.read_json(path, {"task?": str}, "note of a trained model")
    kept = note.get("task", task.name)
  else:
    found = checkpoints.newest(options.output_dir)
    names = dict(tf.train.list_variables(found)) if found else {}
    kept = "pretraining" if _PRETRAINING in names else task.name
  if kept != task.name:
    raise ValueError(
      f"{options.output_dir} holds a model of the task {kept}, and this run"
      f" would train one of the task {task.name}: give another --output_dir"
      " (to start from that model, name it as --init_checkpoint)"
    )


def check_source(options: flags.RunOptions, checkpoint: str | None) -> None:
  """Compares --init_checkpoint's vocabulary and case with the flags.

  Args:
    options: of the script.
    checkpoint: prefix of --init_checkpoint, or None.

  Raises:
    ValueError: training would start from the weights of other words.
  """
  resumes = options.do_train and checkpoints.newest(options.output_dir)
  if not checkpoint or not options.do_train or resumes:
    return
  folder = os.path.dirname(checkpoint)
  if os.path.basename(folder) == "best":
    folder = os.path.dirname(folder)
  vocab = os.path.join(folder, "vocab.txt")
  if getattr(options, "vocab_file", None) and tf.io.gfile.exists(vocab):
    _compare_vocabularies(options.vocab_file, vocab)
  path = os.path.join(folder, "task.json")
  if not hasattr(options, "do_lower_case") or not tf.io.gfile.exists(path):
    return
  shape = {"do_lower_case?": bool}
  note = reading.read_json(path, shape, "note of a trained model")
  was, is_now = note.get("do_lower_case"), options.do_lower_case
  if was not in (None, is_now):
    raise ValueError(
      f"--init_checkpoint={checkpoint} was trained with --do_lower_case={was}"
      f" ({path}), and now it is {is_now}: give the same"
    )


def check_calibration(options) -> None:
  """Raises ValueError if --calibrate has no evaluation, or no model to keep
  the temperature beside."""
  if not options.calibrate:
    return
  if not options.do_eval:
    raise ValueError("--calibrate needs --do_eval")
  if not options.do_train and not checkpoints.newest(options.output_dir):
    raise ValueError(
      "--calibrate keeps the temperature in task.json beside the model, but"
      f" {options.output_dir} holds no checkpoint: give the --output_dir of the"
      " training"
    )


def _compare_vocabularies(given, kept):
  """Raises ValueError if two vocabularies have different words of one id."""
  pairs = zip(_content("vocab_file", kept), _content("vocab_file", given))
  for number, (was, is_now) in enumerate(pairs, 1):
    if was != is_now and was and is_now and not _UNUSED.match(was):
      raise ValueError(
        f"--vocab_file={given} is not the vocabulary of --init_checkpoint,"
        f" which is {kept}: line {number} is {was!r} there and {is_now!r} here"
      )


def remove_garbage(folder: str) -> None:
  """Removes the half-written files that killed runs left in a folder.

  The caller holds the folder's lock. What another process is writing under a
  lock of its own stays.
  """
  for place in (folder, os.path.join(folder, "best")):
    if not tf.io.gfile.isdir(place):
      continue
    for name in tf.io.gfile.listdir(place):
      name = name.rstrip("/")  # gs:// marks folders by it
      path = os.path.join(place, name)
      if _LEFT_BEHIND.search(name) or (
        _PARTIAL.search(name) and not _is_being_written(path)
      ):
        logging.info(f"removing {path}, which a killed run left")
        is_folder = tf.io.gfile.isdir(path)
        (tf.io.gfile.rmtree if is_folder else tf.io.gfile.remove)(path)


def _is_being_written(path):
  """Whether the process that writes a partial file lives."""
  try:
    with locks.locked(_PARTIAL.sub("", path)):
      return False
  except ValueError:
    return True
