# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""A trained model, found in its output folder and made ready to predict.

In: the folder that a run_ script filled (`task.json`, `bert_config.json`,
`vocab.txt`, checkpoints), or a pre-trained model's, which needs no `task.json`;
and rows of text such as {"text_a": ...}. Out: the graph from ids to named
predictions, and an answer for each row. What a task does is in its own file in
bert/tasks.

Shapes: B batch, S sequence.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow.compat.v1 as tf
from absl import logging

import modeling
import tokenization
from bert.tasks import task as tasks
from bert.tasks.all_tasks import TASKS
from bert.tasks.pretraining import Pretraining, PretrainingNote
from bert.training import checkpoints

_WINDOWS_AT_ONCE = 64  # of a long context, or of many rows
_MASKED_LM = "cls/predictions/output_bias"
_NEXT_SENTENCE = "cls/seq_relationship/output_bias"
_ENCODER_KERNEL = re.compile(r"^bert/encoder/.*/kernel$")


# ----------------------------------------------------------- trained models


@dataclasses.dataclass
class TrainedModel:
  """What an output folder holds of a model."""

  task: tasks.Task  # with its note
  config: modeling.BertConfig
  tokenizer: tokenization.FullTokenizer
  checkpoint: str  # prefix
  files: Mapping[str, str]  # {name: path}: bert_config.json, vocab.txt, ...


def find_model(
  model_dir: str, checkpoint: str | None = None, task_file: str | None = None
) -> TrainedModel:
  """Finds a trained model and its task.

  Args:
    model_dir: output folder of a run_ script, or `best` in it; or the folder
      of a pre-trained checkpoint.
    checkpoint: prefix of its weights; None: the best if one was kept
      (--keep_best), otherwise the newest.
    task_file: Python file that defines tasks of the user's own, or None.

  Raises:
    ValueError: the folder holds no trained model, something of it is missing,
      or its task is not known.
  """
  if not tf.io.gfile.isdir(model_dir):
    raise ValueError(f"there is no folder {model_dir}")
  saved = checkpoints.indexes(model_dir)
  found = (
    checkpoint
    or checkpoints.newest(os.path.join(model_dir, "best"))
    or checkpoints.newest(model_dir)
    or (saved[0] if len(saved) == 1 else None)
  )
  if not found:
    raise ValueError(
      f"{model_dir} holds no trained model (no checkpoint): give the"
      " --output_dir of a training"
    )
  known = {**TASKS, **(tasks.load_task_file(task_file) if task_file else {})}
  files, task = {}, None
  note_file = _file_path(model_dir, "task.json")
  if note_file:
    files["task.json"] = note_file
    note = tasks.read_note(note_file, known)
    task = known[note.task](note)
  elif not _has_head(found):
    raise ValueError(
      f"{model_dir} has no task.json, which fine-tuning leaves beside its"
      " checkpoints, and its checkpoint has no head for masked words"
      " (cls/predictions): run the training's command once more, which resumes"
      " and writes task.json, or copy it from there"
    )
  for name in ("bert_config.json", "vocab.txt"):
    files[name] = _file_path(model_dir, name)
    if not files[name]:
      raise _missing_file(model_dir, name, is_pretrained=not task)
  config = modeling.BertConfig.from_json_file(files["bert_config.json"])
  prefix = checkpoints.find_checkpoint(found, config, files["bert_config.json"])
  task = task or _pretraining(prefix, config, files["vocab.txt"])
  tokenizer = _load_tokenizer(files["vocab.txt"], task, config)
  return TrainedModel(task, config, tokenizer, prefix, files)


def _has_head(checkpoint):
  """Whether a checkpoint has a head for masked words, of pre-training."""
  try:
    return _MASKED_LM in dict(tf.train.list_variables(checkpoint))
  except (tf.errors.OpError, IndexError, ValueError):
    return True  # lost or damaged, as `find_checkpoint` says better


def _pretraining(checkpoint, config, vocab_file):
  """The task of a pre-trained model, which has no task.json.

  Its name or its vocabulary says in which case it reads text.
  """
  do_lower_case = tokenization.released_lower_case(checkpoint)
  if do_lower_case is None:
    is_cased = tokenization.vocab_is_cased(tokenization.load_vocab(vocab_file))
    do_lower_case = not is_cased  # None: as --do_lower_case is by default
  logging.info(
    f"{checkpoint} is of pre-training, and reads"
    f" {'lower-cased' if do_lower_case else 'cased'} text"
  )
  names = dict(tf.train.list_variables(checkpoint))
  note = PretrainingNote(
    max_seq_length=config.max_position_embeddings,
    next_sentence=_NEXT_SENTENCE in names,
    do_lower_case=do_lower_case,
  )
  return Pretraining(note)


def _load_tokenizer(vocab_file, task, config):
  tokenizer = tokenization.FullTokenizer(
    vocab_file, task.note.do_lower_case, task.never_split
  )
  size = max(tokenizer.vocab.values()) + 1
  missing = tokenization.missing_special_tokens(tokenizer.vocab)
  if size > config.vocab_size or missing:
    raise ValueError(
      f"{vocab_file} is not the model's vocabulary: it has {size} tokens for"
      f" vocab_size={config.vocab_size}, and lacks"
      f" {', '.join(missing) or 'no special token'}"
    )
  return tokenizer


def _file_path(model_dir, name):
  """The path of a model's file, which for `best` is in the folder above; None:
  there is none."""
  for folder in (model_dir, os.path.dirname(os.path.abspath(model_dir))):
    path = os.path.join(folder, name)
    if tf.io.gfile.exists(path):
      return path
    if "://" in model_dir or os.path.basename(folder.rstrip("/")) != "best":
      break
  return None


def _missing_file(model_dir, name, is_pretrained=False):
  """The error that a model's folder lacks a file."""
  if is_pretrained:
    return ValueError(
      f"{model_dir} has no {name}: copy there the one that the model was"
      " pre-trained with (run_pretraining.py leaves vocab.txt there if you give"
      " it --vocab_file)"
    )
  return ValueError(
    f"{model_dir} has no {name}, which training leaves beside its checkpoints:"
    " run the training's command once more, which resumes and writes it, or"
    " copy it from there"
  )


# -------------------------------------------------------------------- graph


def placeholders(
  task: tasks.Task, batch: int | None = None, length: int | None = None
) -> dict:
  """What a task's model is fed, {name: placeholder}.

  Args:
    task: of the model.
    batch: B; None: any.
    length: S; None: any.
  """
  shapes = task.shapes(batch, length)
  return {
    name: tf.placeholder(spec.dtype, shapes[name], name)
    for name, spec in task.inputs().items()
  }


def predictions(
  model: TrainedModel, inputs: Mapping, precision: str = "float32"
) -> dict:
  """Builds the graph from ids to what the task returns.

  It consists of TensorFlow's own ops, without compiled functions, so that it
  runs wherever TensorFlow does and needs no time for a new length.

  Args:
    model: its variables are made under their names, without their values.
    inputs: of `placeholders`.
    precision: float32 or bfloat16, of the encoder and its kernels.

  Returns:
    {name: tensor [B, ...]}.
  """

  def variable(getter, name, *args, **options):
    if precision == "bfloat16" and _ENCODER_KERNEL.search(name):
      options["dtype"] = tf.bfloat16  # each batch reads half as much memory
    return getter(name, *args, **options)

  task = model.task
  features = task.features_of(inputs)
  with tf.variable_scope("", custom_getter=variable):
    tensors = task.build(
      model.config, features, compute_dtype=tf.as_dtype(precision)
    )
  return task.served(tensors, inputs)


def load_weights(session, model: TrainedModel) -> None:
  """Gives the graph's variables their values in the checkpoint.

  Raises:
    ValueError: a variable is not in it, has another shape, can't be read, or
      is NaN or infinite.
  """
  reader = tf.train.load_checkpoint(model.checkpoint)
  shapes = reader.get_variable_to_shape_map()
  for variable in tf.global_variables():
    name, shape = variable.op.name, variable.shape.as_list()
    if shapes.get(name) != shape:
      raise ValueError(
        f"checkpoint {model.checkpoint} has"
        f" {name} of shape {shapes[name]}, not {shape}"
        if name in shapes
        else f"checkpoint {model.checkpoint} has no variable {name}"
      )
    value = checkpoints.read_weight(reader, model.checkpoint, name)
    variable.load(value.astype(variable.dtype.as_numpy_dtype), session)


class Predictor:
  """A trained model in a session, for rows of text.

  Args:
    model: of `find_model`.
    precision: float32 or bfloat16.
  """

  def __init__(self, model: TrainedModel, precision: str = "float32"):
    self._task, self.tokenizer = model.task, model.tokenizer
    graph = tf.Graph()
    with graph.as_default():
      inputs = placeholders(model.task)
      outputs = predictions(model, inputs, precision)
      self._session = tf.Session(graph=graph)
      load_weights(self._session, model)
    graph.finalize()
    self._names = list(outputs)
    self._call = self._session.make_callable(
      list(outputs.values()), list(inputs.values())
    )
    self._inputs = list(inputs)

  @property
  def example(self) -> dict:
    """A row as the model takes it."""
    return self._task.example

  def prepare(self, row) -> tuple[list[dict], object]:
    """What the model sees of a row.

    Returns:
      Its windows, {name: list} each, without padding; and what `answer` needs.

    Raises:
      ValueError: the row is not what the task takes; the message says why.
    """
    return prepare(self._task, row, self.tokenizer)

  def run(
    self, windows: Sequence[Mapping], batch_size: int = _WINDOWS_AT_ONCE
  ) -> list[dict]:
    """What the model returns for each window, {name: array}.

    Args:
      windows: of `prepare`; each batch is padded to its longest window.
      batch_size: windows to compute at once.
    """
    rows = []
    for first in range(0, len(windows), batch_size):
      arrays = padded(windows[first : first + batch_size])
      columns = self._call(*(arrays[name] for name in self._inputs))
      rows += [dict(zip(self._names, values)) for values in zip(*columns)]
    return rows

  def answer(self, kept, outputs: Sequence[Mapping]) -> dict:
    """The answer to a row.

    Args:
      kept: what `prepare` returned beside the windows.
      outputs: what `run` returned for them.
    """
    return self._task.answer(kept, outputs)


def prepare(task: tasks.Task, row, tokenizer) -> tuple[list[dict], object]:
  """What a task's model sees of a row, as `Predictor.prepare` says."""
  if not isinstance(row, dict):
    raise ValueError(
      f"a JSON object is expected, such as {json.dumps(task.example)}"
    )
  return task.prepare(row, tokenizer)


def padded(windows: Sequence[Mapping]) -> dict:
  """Windows as a batch, {name: array}, padded with 0 to the longest."""
  arrays = {}
  for name in windows[0]:
    width = max(len(window[name]) for window in windows)
    dtype = np.float32 if name == "features" else np.int32
    arrays[name] = np.zeros([len(windows), width], dtype)
    for row, window in zip(arrays[name], windows):
      row[: len(window[name])] = window[name]
  return arrays
