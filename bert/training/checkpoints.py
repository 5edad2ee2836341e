# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Finds checkpoints, compares them with the model and keeps the best one.

In: paths from the user, and the variables of a graph. Out: checkpoint prefixes,
and the weights that each variable starts from.
"""

from __future__ import annotations

import fnmatch
import functools
import math
import os
import re
from collections.abc import Mapping

import numpy as np
import tensorflow.compat.v1 as tf
from absl import logging

import modeling
from bert.files import reading, writing
from bert.tasks import metrics

# Variables that belong to the optimiser or the run, not to the model.
_NOT_WEIGHTS = re.compile(
  r"/adam_[mv]$|/adafactor_v[rc]?$|^global_step$|(^|/)beta[12]_power$"
  r"|^loss_scale/"
)
# Those of them that may start anew when training resumes.
_RENEWED = re.compile(r"/adam_[mv]$|/adafactor_v[rc]?$|^loss_scale/")
_SAVED = re.compile(r"model\.ckpt-(\d+)\.index$")
_LAYER = re.compile(r"bert/encoder/layer_(\d+)/")
_WORDS = "bert/embeddings/word_embeddings"
_POSITIONS = "bert/embeddings/position_embeddings"


# ----------------------------------------------------- finding checkpoints


def newest(folder: str) -> str | None:
  """Returns the prefix of the checkpoint that a folder stands at.

  That is the one that its file `checkpoint` names, or in the folder `best` its
  best.json. Where that file is lost or names a checkpoint that is not whole,
  the newest whole model.ckpt-N is found by its name, and a line in the log says
  so.

  Args:
    folder: maybe one that does not exist.

  Returns:
    A prefix; None if there is no checkpoint.

  Raises:
    ValueError: there are checkpoints, but none is whole, or TensorFlow can't
      read any at such a path.
  """
  _check_name(folder)
  if not tf.io.gfile.isdir(folder):
    return None
  named = _named(folder)
  fault = _fault(named) if named else None
  if named and not fault:
    return named
  saved = _saved(folder)
  found = next((p for p in reversed(saved) if not _fault(p)), None)
  state = os.path.join(folder, "checkpoint")
  has_state = tf.io.gfile.exists(state)
  if not fault:
    fault = f"{state} {'is damaged' if has_state else 'is missing'}"
  if found:
    _warn_once(f"{fault}; the newest whole checkpoint is {found}")
  elif named or saved or has_state:
    raise ValueError(
      f"{folder} holds no whole checkpoint: {fault}; bring back its files from"
      " a copy, or give another folder"
    )
  return found


def _check_name(path):
  """Raises ValueError if TensorFlow could not read a checkpoint at a path.

  It can save one there, but looks for it with the path as a pattern.
  """
  if "\\" in path or not fnmatch.fnmatchcase(path, path):
    raise ValueError(
      f"{path}: TensorFlow can't read checkpoints from a path with [...] or a"
      " backslash in it: rename the folder"
    )


def _named(folder):
  """The prefix that a folder's best.json or `checkpoint` names, or None."""
  best = _read_best(folder)
  if best:
    return os.path.join(folder, best["checkpoint"])
  try:
    state = tf.train.get_checkpoint_state(folder)
  except ValueError:  # it is not UTF-8, or names nothing
    return None
  return state.model_checkpoint_path if state else None


def _saved(folder):
  """The prefixes of a folder's checkpoints by number, the newest last."""
  matches = map(_SAVED.match, tf.io.gfile.listdir(folder))
  steps = sorted(int(match[1]) for match in matches if match)
  return [os.path.join(folder, f"model.ckpt-{step}") for step in steps]


@functools.cache
def _warn_once(text):
  logging.warning(text)


def make_resumable(folder: str | None) -> None:
  """Makes sure that TensorFlow resumes from the checkpoint that `newest` finds.

  TensorFlow reads the folder's file `checkpoint`, and begins at step 0 where it
  is lost. So the file is written again.

  Raises:
    ValueError: a variable of the checkpoint is NaN or infinite.
  """
  found = folder and newest(folder)
  if not found:
    return
  if found != _named(folder):
    whole = [prefix for prefix in _saved(folder) if not _fault(prefix)]
    _write_state(folder, [os.path.basename(prefix) for prefix in whole])
  check_finite(found, moments=True)


def _write_state(folder, names):
  """Writes the file `checkpoint`, which names checkpoints, the newest last."""
  lines = [f'model_checkpoint_path: "{names[-1]}"']
  lines += [f'all_model_checkpoint_paths: "{name}"' for name in names]
  writing.write_lines(os.path.join(folder, "checkpoint"), lines)


def checkpoint_prefix(path: str | None) -> str | None:
  """Returns the prefix of the checkpoint at `path`.

  Args:
    path: a prefix such as `dir/bert_model.ckpt`, one of the checkpoint's
      files, or a folder that holds one checkpoint or those of a training.
      Empty or None: no checkpoint.

  Raises:
    ValueError: there is no such checkpoint, or none that is whole.
  """
  if not path:
    return None
  if tf.io.gfile.isdir(path):
    found, saved = newest(path), indexes(path)
    if not found and len(saved) != 1:
      raise ValueError(
        f"folder {path} holds {len(saved)} checkpoints: give the prefix of"
        " one, such as dir/bert_model.ckpt"
      )
    return found or saved[0]
  _check_name(path)
  prefix = re.sub(r"\.(index|meta|data-\d+-of-\d+)$", "", path)
  if not tf.io.gfile.exists(prefix + ".index"):
    raise ValueError(f"no checkpoint {prefix}: there is no file {prefix}.index")
  return prefix


def indexes(folder: str) -> list[str]:
  """The prefixes of the checkpoints in a folder, whatever their names."""
  return [
    os.path.join(folder, name.removesuffix(".index"))
    for name in tf.io.gfile.listdir(folder)
    if name.endswith(".index")
  ]


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
  fault = _fault(checkpoint)
  if fault:
    raise ValueError(fault)
  shapes = dict(tf.train.list_variables(checkpoint))
  layers = {int(match.group(1)) for match in map(_LAYER.match, shapes) if match}
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


def _fault(checkpoint):
  """A sentence if a checkpoint lacks files or has damaged ones, or None."""
  folder, prefix = os.path.split(checkpoint)
  if not tf.io.gfile.exists(checkpoint + ".index"):
    return f"there is no file {checkpoint}.index"
  try:
    reader = tf.train.load_checkpoint(checkpoint)
    types = reader.get_variable_to_dtype_map()
    shapes = reader.get_variable_to_shape_map()
  except (tf.errors.OpError, IndexError):  # a damaged index can raise either
    return f"checkpoint {checkpoint} is damaged"
  wanted = sum(
    math.prod(shape) * types[name].size
    for name, shape in shapes.items()
    if types[name] != tf.string  # the size of strings is unknown
  )
  data = [
    name
    for name in tf.io.gfile.listdir(folder or ".")
    if name.startswith(prefix + ".data-")
  ]
  found = sum(
    tf.io.gfile.stat(os.path.join(folder, name)).length for name in data
  )
  if found < wanted:
    return (
      f"checkpoint {checkpoint} is damaged: its data files have {found} bytes,"
      f" but its variables need {wanted}: copy or download it again"
    )
  return None


def current_step(path: str) -> int:
  """Returns the step of a checkpoint or a folder's newest one; 0 if none."""
  checkpoint = path
  if not tf.io.gfile.exists(path + ".index"):
    checkpoint = newest(path)
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
  if not init_checkpoint and not newest(output_dir):
    raise ValueError(
      f"{output_dir} holds no trained model: train first (--do_train), or give"
      " an --init_checkpoint with the task's weights"
    )


# ----------------------------------------------------------- finite weights


def read_weight(reader, checkpoint: str, name: str) -> np.ndarray:
  """The value of a variable in a checkpoint.

  Args:
    reader: of `tf.train.load_checkpoint`.
    checkpoint: prefix, for the error message.
    name: of the variable.

  Raises:
    ValueError: it can't be read, or is NaN or infinite.
  """
  try:
    value = reader.get_tensor(name)
  except (tf.errors.OpError, IndexError):  # IndexError: the file is too short
    raise ValueError(
      f"checkpoint {checkpoint} is damaged: {name} can't be read"
    ) from None
  is_number = reader.get_variable_to_dtype_map()[name].is_floating
  if is_number and not np.isfinite(value).all():
    raise ValueError(
      f"checkpoint {checkpoint} is useless: {name} has NaN or infinite values;"
      " take an earlier checkpoint, or train again with a lower --learning_rate"
    )
  return value


def check_finite(checkpoint: str, moments: bool = False) -> None:
  """Raises ValueError if a weight of a checkpoint is NaN or infinite.

  Args:
    checkpoint: prefix.
    moments: whether to look at what the optimizer keeps, too.
  """
  reader = tf.train.load_checkpoint(checkpoint)
  for name in sorted(reader.get_variable_to_shape_map()):
    if moments or not _NOT_WEIGHTS.search(name):
      read_weight(reader, checkpoint, name)


class FiniteListener(tf.train.CheckpointSaverListener):
  """Ends training before it saves variables that are NaN or infinite."""

  def begin(self):
    variables = [v for v in tf.global_variables() if v.dtype.is_floating]
    self._names = [variable.op.name for variable in variables]
    self._are_finite = [
      tf.reduce_all(tf.math.is_finite(variable)) for variable in variables
    ]

  def before_save(self, session, global_step_value):
    found = zip(self._names, session.run(self._are_finite))
    lost = [name for name, is_finite in found if not is_finite]
    if lost:
      raise ValueError(
        f"step {global_step_value}: NaN or infinite values in {_some(lost)}:"
        " lower --learning_rate or warm up for longer; the newest checkpoint is"
        " from before"
      )


# ------------------------------------------------------- starting weights


def starting_weights(
  init_checkpoint: str | None,
  model_dir: str | None,
  may_be_new: bool,
  reinit_layers: int = 0,
) -> tuple[dict, str]:
  """Decides which weights the graph's variables start from.

  A checkpoint in `model_dir` wins (the Estimator restores it itself).
  Otherwise variables start from `init_checkpoint` if it has them.

  Args:
    init_checkpoint: prefix or None.
    model_dir: output folder or None.
    may_be_new: whether variables that `init_checkpoint` lacks may start from
      new weights.
    reinit_layers: how many of the encoder's top layers start from new weights
      although `init_checkpoint` has them, and the pooler with them
      (arXiv:2006.05987, section 5).

  Returns:
    The assignment map for `tf.train.init_from_checkpoint` (empty: nothing to
    assign), and one line for the log.

  Raises:
    ValueError: shapes differ, no variable matches, or a variable that
      prediction needs is missing.
  """
  variables = tf.trainable_variables()
  resumed = model_dir and newest(model_dir)
  if resumed:
    _check_shapes(variables, resumed, "output_dir holds another model: ")
    unused = f", not {init_checkpoint}" if init_checkpoint else ""
    return {}, f"weights: {resumed}{unused}"
  if not init_checkpoint:
    return {}, f"new weights: {len(variables)} variables, drawn at random"
  assignment = _matching(variables, init_checkpoint)
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
  redrawn = _top_layers(assignment, reinit_layers)
  taken = {k: v for k, v in assignment.items() if k not in redrawn}
  text = (
    f"init_checkpoint {init_checkpoint}: {len(taken)} of"
    f" {len(variables)} variables, new: {_some(new)}, unused: {_some(unused)}"
  )
  if redrawn:
    text += f"; --reinit_layers={reinit_layers} draws anew: {_some(redrawn)}"
  return taken, text


def _matching(variables, checkpoint):
  """The assignment map of the variables that a checkpoint has.

  Raises:
    ValueError: it has none, or some with other shapes or no numbers.
  """
  assignment, _ = modeling.get_assignment_map_from_checkpoint(
    variables, checkpoint
  )
  if not assignment:
    raise ValueError(
      f"checkpoint {checkpoint} has none of the model's variables: is it"
      " a BERT checkpoint with TensorFlow's names (see convert_checkpoint.py)?"
    )
  _check_shapes([v for v in variables if v.op.name in assignment], checkpoint)
  reader = tf.train.load_checkpoint(checkpoint)
  for name in assignment:
    read_weight(reader, checkpoint, name)
  return assignment


def _top_layers(names, count):
  """The names of the pooler and of the top `count` layers; none for 0."""
  if not count:
    return []
  matches = {name: _LAYER.match(name) for name in names}
  layers = {name: int(match[1]) for name, match in matches.items() if match}
  lowest = max(layers.values(), default=0) + 1 - count
  top = {name for name, layer in layers.items() if layer >= lowest}
  return [n for n in names if n in top or n.startswith("bert/pooler/")]


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
  checkpoint = model_dir and newest(model_dir)
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
      graph = saver.export_meta_graph().SerializeToString()
    with writing.whole(saver.last_checkpoints[-1] + ".meta") as partial:
      with tf.io.gfile.GFile(partial, "wb") as writer:
        writer.write(graph)


# ---------------------------------------------------- the best checkpoint


def _read_best(folder):
  """What best.json in a folder says, or None if there is none.

  Raises:
    ValueError: it is damaged.
  """
  path = os.path.join(folder, "best.json")
  if not tf.io.gfile.exists(path):
    return None
  shape = {
    "score": str,
    "value": float,
    "step": int,
    "checkpoint": str,
    "worse": int,
    "compared?": int,
  }
  kept = reading.read_json(path, shape, "note of the best checkpoint")
  if not re.fullmatch(r"[^/\\]+", kept["checkpoint"]):
    raise ValueError(
      f"{path}: 'checkpoint' has to be a name in its folder, not"
      f" {kept['checkpoint']!r}"
    )
  return kept


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
    self._sign = -1 if metrics.lower_is_better(score) else 1
    self._patience = patience
    self._kept = _read_best(self._folder)
    if self._kept and self._kept["score"] != score:
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
      self._kept["worse"] += not self.has_compared(step)
      self._kept["compared"] = int(step)
      self._save_note()
    return self.is_patience_out()

  def has_compared(self, step: int, unknown: bool = False) -> bool:
    """Whether `update` has had the scores of a step.

    Args:
      step: of a checkpoint.
      unknown: the answer where an earlier version wrote best.json, which does
        not say.
    """
    if self._kept is None:
      return False
    if "compared" not in self._kept:
      return unknown
    return step <= self._kept["compared"]

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
    if self._kept is None:
      return True
    return (value - self._kept["value"]) * self._sign > 0

  def _keep(self, step, value, checkpoint):
    tf.io.gfile.makedirs(self._folder)
    name = os.path.basename(checkpoint)
    folder = os.path.dirname(checkpoint)
    for file in tf.io.gfile.listdir(folder):
      if file.startswith(name + "."):
        source = os.path.join(folder, file)
        tf.io.gfile.copy(source, os.path.join(self._folder, file), True)
    self._kept = {
      "score": self._score,
      "value": float(value),
      "step": int(step),
      "checkpoint": name,
      "worse": 0,  # evaluations since then without a better score
      "compared": int(step),  # the last step whose scores were compared
    }
    self._save_note()
    _write_state(self._folder, [name])
    for file in tf.io.gfile.listdir(self._folder):
      if ".ckpt-" in file and not file.startswith(name + "."):
        tf.io.gfile.remove(os.path.join(self._folder, file))

  def _save_note(self):
    writing.write_json(self._note, self._kept)
