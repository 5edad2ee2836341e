# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Finds checkpoints, compares them with the model and keeps the best one.

In: paths from the user, and the variables of a graph. Out: checkpoint prefixes,
and the weights that each variable starts from.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping

import tensorflow.compat.v1 as tf
from absl import logging

import modeling
from bert.files import writing

# Variables that belong to the optimiser or the run, not to the model.
_NOT_WEIGHTS = re.compile(
  r"/adam_[mv]$|^global_step$|(^|/)beta[12]_power$|^loss_scale/"
)
# Those of them that may start anew when training resumes.
_RENEWED = re.compile(r"/adam_[mv]$|^loss_scale/")
_LOWER_IS_BETTER = re.compile(r"(loss|mse|perplexity)$")
_WORDS = "bert/embeddings/word_embeddings"
_POSITIONS = "bert/embeddings/position_embeddings"


# ----------------------------------------------------- finding checkpoints


def checkpoint_prefix(path: str | None) -> str | None:
  """Returns the prefix of the checkpoint at `path`.

  Args:
    path: a prefix such as `dir/bert_model.ckpt`, one of the checkpoint's
      files, or a folder that holds one checkpoint or a `checkpoint` file.
      Empty or None: no checkpoint.

  Raises:
    ValueError: there is no such checkpoint.
  """
  if not path:
    return None
  if tf.io.gfile.isdir(path):
    found = tf.train.latest_checkpoint(path)
    indexes = tf.io.gfile.glob(os.path.join(path, "*.index"))
    if not found and len(indexes) == 1:
      found = indexes[0][: -len(".index")]
    if not found:
      raise ValueError(
        f"folder {path} holds {len(indexes)} checkpoints: give the prefix of"
        " one, such as dir/bert_model.ckpt"
      )
    return found
  prefix = re.sub(r"\.(index|meta|data-\d+-of-\d+)$", "", path)
  if not tf.io.gfile.exists(prefix + ".index"):
    raise ValueError(f"no checkpoint {prefix}: there is no file {prefix}.index")
  return prefix


def find_checkpoint(
  path: str | None, config: modeling.BertConfig, config_file: str
) -> str | None:
  """Returns `checkpoint_prefix(path)` after comparing its sizes with `config`.

  Raises:
    ValueError: there is no such checkpoint, it is damaged, or a size differs;
      the message gives both sizes.
  """
  checkpoint = checkpoint_prefix(path)
  if not checkpoint:
    return None
  try:
    shapes = dict(tf.train.list_variables(checkpoint))
    _check_size(checkpoint)
  except (tf.errors.OpError, IndexError):  # a damaged index can raise either
    raise ValueError(f"checkpoint {checkpoint} is damaged") from None
  layers = {
    int(match.group(1))
    for match in (re.match(r"bert/encoder/layer_(\d+)/", n) for n in shapes)
    if match
  }
  width = shapes.get(_WORDS, [config.vocab_size, config.hidden_size])
  limit = shapes.get(_POSITIONS, [config.max_position_embeddings])
  compared = [
    ("vocab_size", config.vocab_size, width[0]),
    ("hidden_size", config.hidden_size, width[1]),
    ("max_position_embeddings", config.max_position_embeddings, limit[0]),
  ]
  if layers:
    compared.append(
      ("num_hidden_layers", config.num_hidden_layers, len(layers))
    )
  for name, wanted, found in compared:
    if wanted != found:
      raise ValueError(
        f"{name} is {wanted} in {config_file} but {found} in checkpoint"
        f" {checkpoint}: give the --bert_config_file that belongs to it"
      )
  return checkpoint


def _check_size(checkpoint):
  """Raises ValueError if a checkpoint's data files are too short."""
  reader = tf.train.load_checkpoint(checkpoint)
  types = reader.get_variable_to_dtype_map()
  wanted = sum(
    math.prod(shape) * types[name].size
    for name, shape in reader.get_variable_to_shape_map().items()
    if types[name] != tf.string  # the size of strings is unknown
  )
  folder, prefix = os.path.split(checkpoint)
  found = sum(
    tf.io.gfile.stat(os.path.join(folder, name)).length
    for name in tf.io.gfile.listdir(folder or ".")
    if name.startswith(prefix + ".data-")
  )
  if found < wanted:
    raise ValueError(
      f"checkpoint {checkpoint} is damaged: its data files have {found} bytes,"
      f" but its variables need {wanted}: copy or download it again"
    )


def current_step(path: str) -> int:
  """Returns the step of a checkpoint or a folder's newest one; 0 if none."""
  checkpoint = path
  if not tf.io.gfile.exists(path + ".index"):
    checkpoint = tf.train.latest_checkpoint(path)
  if not checkpoint:
    return 0
  try:
    reader = tf.train.load_checkpoint(checkpoint)
    if not reader.has_tensor("global_step"):
      return 0
    return int(reader.get_tensor("global_step"))
  except (tf.errors.OpError, IndexError, ValueError):
    raise ValueError(f"checkpoint {checkpoint} is damaged") from None


def check_trained(output_dir: str, init_checkpoint: str | None) -> None:
  """Raises ValueError if there are no weights to predict with."""
  if not init_checkpoint and not tf.train.latest_checkpoint(output_dir):
    raise ValueError(
      f"{output_dir} holds no trained model: train first (--do_train), or give"
      " an --init_checkpoint with the task's weights"
    )


# ------------------------------------------------------- starting weights


def starting_weights(
  init_checkpoint: str | None, model_dir: str | None, may_be_new: bool
) -> tuple[dict, str]:
  """Decides which weights the graph's variables start from.

  A checkpoint in `model_dir` wins (the Estimator restores it itself).
  Otherwise variables start from `init_checkpoint` if it has them.

  Args:
    init_checkpoint: prefix or None.
    model_dir: output folder or None.
    may_be_new: whether variables that `init_checkpoint` lacks may start from
      new weights.

  Returns:
    The assignment map for `tf.train.init_from_checkpoint` (empty: nothing to
    assign), and one line for the log.

  Raises:
    ValueError: shapes differ, no variable matches, or a variable that
      prediction needs is missing.
  """
  variables = tf.trainable_variables()
  resumed = model_dir and tf.train.latest_checkpoint(model_dir)
  if resumed:
    _check_shapes(variables, resumed, "output_dir holds another model: ")
    unused = f", not {init_checkpoint}" if init_checkpoint else ""
    return {}, f"weights: {resumed}{unused}"
  if not init_checkpoint:
    return {}, f"new weights: {len(variables)} variables, drawn at random"
  assignment, _ = modeling.get_assignment_map_from_checkpoint(
    variables, init_checkpoint
  )
  if not assignment:
    raise ValueError(
      f"checkpoint {init_checkpoint} has none of the model's variables: is it"
      " a BERT checkpoint with TensorFlow's names (see convert_checkpoint.py)?"
    )
  _check_shapes(
    [v for v in variables if v.op.name in assignment], init_checkpoint
  )
  new = [v.op.name for v in variables if v.op.name not in assignment]
  if new and not may_be_new:
    raise ValueError(
      f"checkpoint {init_checkpoint} lacks {_some(new)}: train first"
      " (--do_train), or give a complete checkpoint"
    )
  unused = [
    name
    for name, _ in tf.train.list_variables(init_checkpoint)
    if name not in assignment and not _NOT_WEIGHTS.search(name)
  ]
  return assignment, (
    f"init_checkpoint {init_checkpoint}: {len(assignment)} of"
    f" {len(variables)} variables, new: {_some(new)}, unused: {_some(unused)}"
  )


def resuming_saver(
  model_dir: str | None, max_to_keep: int
) -> tf.train.Saver | None:
  """A saver that can restore a checkpoint although it lacks some variables.

  Another --precision or --trainable has the optimiser keep more than the
  checkpoint does: the loss scale of float16, or moments of variables that were
  not trained before. These start anew.

  Args:
    model_dir: output folder or None; its newest checkpoint is restored.
    max_to_keep: number of newest checkpoints to keep.

  Returns:
    A saver of all variables; None where nothing is lacking.
  """
  checkpoint = model_dir and tf.train.latest_checkpoint(model_dir)
  if not checkpoint:
    return None
  stored = {name for name, _ in tf.train.list_variables(checkpoint)}
  lacking = [
    variable
    for variable in tf.global_variables()
    if variable.op.name not in stored and _RENEWED.search(variable.op.name)
  ]
  if not lacking:
    return None
  names = _some([variable.op.name for variable in lacking])
  logging.info(f"{checkpoint} lacks {names}, which start anew")
  return _ResumingSaver(checkpoint, lacking, max_to_keep)


class _ResumingSaver(tf.train.Saver):
  """Saves all variables, and can restore a checkpoint that lacks some."""

  def __init__(self, checkpoint, lacking, max_to_keep):
    self._checkpoint, self._lacking = checkpoint, lacking
    super().__init__(
      max_to_keep=max_to_keep,
      sharded=True,
      save_relative_paths=True,
      defer_build=True,
    )

  def build(self):
    if self._is_built:  # the session is made again, after a machine was lost
      return
    super().build()
    tf.add_to_collection(tf.GraphKeys.SAVERS, self)  # as TensorFlow's own is
    lacking = {variable.name for variable in self._lacking}
    self._others = tf.train.Saver(
      [v for v in tf.global_variables() if v.name not in lacking], sharded=True
    )
    self._renew = tf.variables_initializer(self._lacking)

  def restore(self, sess, save_path):
    if save_path != self._checkpoint:  # one that was saved since
      super().restore(sess, save_path)
      return
    self._others.restore(sess, save_path)
    sess.run(self._renew)


def _check_shapes(variables, checkpoint, prefix=""):
  """Raises ValueError if a variable is missing or has another shape."""
  shapes = dict(tf.train.list_variables(checkpoint))
  for variable in variables:
    name, shape = variable.op.name, variable.shape.as_list()
    if name not in shapes:
      raise ValueError(
        f"{prefix}checkpoint {checkpoint} has no variable {name}; use another"
        " --output_dir"
      )
    if shape != shapes[name]:
      if name.startswith("bert/"):
        cause = "--bert_config_file or the vocabulary is another model's"
      else:
        cause = "the number of labels or features has changed"
      raise ValueError(
        f"{prefix}{name} has shape {shape} here but {shapes[name]} in"
        f" checkpoint {checkpoint}: {cause}"
      )


def _some(names, most=4):
  """Lists the first `most` names and counts the others."""
  if not names:
    return "none"
  more = f" and {len(names) - most} more" if len(names) > most else ""
  return ", ".join(names[:most]) + more


# ------------------------------------------------ the graph beside a checkpoint


class GraphListener(tf.train.CheckpointSaverListener):
  """Writes the graph beside each checkpoint, as its .meta file.

  TensorFlow can do this too, but then it also writes graph.pbtxt at each start
  of training, which takes seconds for a large model.
  """

  def after_save(self, session, global_step_value):
    with session.graph.as_default():
      saver = tf.get_collection(tf.GraphKeys.SAVERS)[0]
      saver.export_meta_graph(saver.last_checkpoints[-1] + ".meta")


# ---------------------------------------------------- the best checkpoint


class BestCheckpoint:
  """Keeps a copy of the best checkpoint in `output_dir`/best.

  Args:
    output_dir: the output folder of the training.
    score: the score's name in eval_results.txt. Lower is better for losses and
      errors, higher for all other scores.
    patience: stop after this many evaluations without a better score; 0: never.
  """

  def __init__(self, output_dir: str, score: str, patience: int = 0):
    self._folder = os.path.join(output_dir, "best")
    self._note = os.path.join(self._folder, "best.json")
    self._score = score
    self._sign = -1 if _LOWER_IS_BETTER.search(score) else 1
    self._patience = patience
    self._kept = None
    if tf.io.gfile.exists(self._note):
      with tf.io.gfile.GFile(self._note) as reader:
        self._kept = json.load(reader)
      if self._kept["score"] != score:
        self._kept = None

  @property
  def checkpoint(self) -> str | None:
    """Prefix of the best checkpoint, or None if there is none yet."""
    if self._kept is None:
      return None
    return os.path.join(self._folder, self._kept["checkpoint"])

  def check(self) -> None:
    """Raises ValueError if no checkpoint is kept."""
    if not self.checkpoint:
      raise ValueError(
        f"--keep_best={self._score}: {self._folder} holds no best checkpoint"
        " for this score"
      )

  def update(self, step: int, scores: Mapping, checkpoint: str) -> bool:
    """Keeps the checkpoint if it is the best; True if training should end."""
    value = scores[self._score]
    if self._is_better(value):
      self._keep(step, value, checkpoint)
    else:
      self._kept["worse"] += 1
      self._save_note()
    return self.is_patience_out()

  def is_patience_out(self) -> bool:
    """Returns whether training should end, and logs why if so."""
    worse = self._kept["worse"] if self._kept else 0
    if not self._patience or worse < self._patience:
      return False
    logging.info(
      f"stopping: {self._score} has not improved on {self._kept['value']:.4g}"
      f" (step {self._kept['step']}) in {worse} evaluations (--patience)"
    )
    return True

  def _is_better(self, value):
    if self._kept is None or math.isnan(self._kept["value"]):
      return True
    return (value - self._kept["value"]) * self._sign > 0

  def _keep(self, step, value, checkpoint):
    tf.io.gfile.makedirs(self._folder)
    name = os.path.basename(checkpoint)
    for path in tf.io.gfile.glob(checkpoint + ".*"):
      tf.io.gfile.copy(
        path, os.path.join(self._folder, os.path.basename(path)), True
      )
    self._kept = {
      "score": self._score,
      "value": float(value),
      "step": int(step),
      "checkpoint": name,
      "worse": 0,  # evaluations since then without a better score
    }
    self._save_note()
    tf.train.update_checkpoint_state(self._folder, name)
    for path in tf.io.gfile.glob(os.path.join(self._folder, "*.ckpt-*")):
      if not os.path.basename(path).startswith(name + "."):
        tf.io.gfile.remove(path)

  def _save_note(self):
    writing.write_json(self._note, self._kept)
