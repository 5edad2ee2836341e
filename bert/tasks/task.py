# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""What a task is: one object, from its records to its answers.

Training, evaluation, `predict.py` and `export_model.py` all use this object, so
that each rule of a task stands in one place. docs/adding-a-task.md builds one
from nothing.

Shapes: B batch, S sequence.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys
from collections.abc import Callable, Mapping, Sequence

import tensorflow.compat.v1 as tf

import modeling
from bert.files import reading
from bert.records import packing

ENCODER_INPUTS = ("input_ids", "input_mask", "segment_ids")


@dataclasses.dataclass
class Outputs:
  """What a batch gives to training, evaluation and prediction with labels.

  The loss is the sum of `loss_sums`, each divided by its own entry of the
  task's `loss_weights`. The weights are those of the whole batch, so that the
  losses of parts of a batch add up to the loss of the batch.
  """

  predictions: dict  # {name: [B, ...]}, what prediction returns
  loss_sums: Sequence[tf.Tensor] = ()  # float32 scalars: sums of losses
  metric_fn: Callable | None = None  # eval_metrics of a TPUEstimatorSpec
  metric_inputs: Sequence[tf.Tensor] = ()
  # {name: (sum, index of the loss weight that divides it)}: what training
  # shows beside the loss, such as accuracies; float32 scalars.
  shown: Mapping = dataclasses.field(default_factory=dict)


class Task:
  """What one kind of model is. Subclass it for a task.

  Attributes:
    name: `task` in task.json.
    Note: frozen dataclass with what task.json keeps; it has the fields `task`,
      `do_lower_case` and `max_seq_length`. Fields that prediction can do
      without have defaults.
    example: a row as `prepare` takes it, shown to users; "..." stands for any
      text.
    never_split: tokens that a row's text may hold as such.
    note: the task's own Note.
  """

  name: str
  Note: type
  example: dict = {"text": "..."}
  never_split: tuple[str, ...] = ()

  def __init__(self, note):
    self.note = note

  @property
  def least_length(self) -> int:
    """The shortest sequence that holds a row: 3 special tokens and a piece."""
    return 4

  # ---------------------------------------------------------------- records

  def schema(self, is_training: bool) -> dict:
    """The layout of the task's records, {name: tf.FixedLenFeature}."""
    raise NotImplementedError

  # ------------------------------------------------------------------ graph

  def encode(
    self,
    config: modeling.BertConfig,
    features: Mapping,
    is_training: bool = False,
    dropout_seed=None,
    **encoder_options,
  ) -> modeling.BertModel:
    """Builds the encoder over the features' three inputs, int32 [B, S].

    With `packed_starts` among the features, it computes packed rows; otherwise
    the last layer computes no more than `last_positions`. See
    `modeling.BertModel`.

    Args:
      config: sizes of the encoder.
      features: {name: tensor}, a batch of records.
      is_training: whether dropout is on.
      dropout_seed: int32 [2], or None.
      **encoder_options: other arguments of `modeling.BertModel`.
    """
    rows = features.get("packed_starts")
    if rows is None and "last_positions" not in encoder_options:
      encoder_options["last_positions"] = self._last_positions(features)
    return modeling.BertModel(
      config,
      is_training,
      *(features[name] for name in ENCODER_INPUTS),
      dropout_seed=dropout_seed,
      packed_starts=rows,
      **encoder_options,
    )

  def _last_positions(self, features):
    """`last_positions`, unless a subclass has replaced the layers only."""
    classes = {
      name: next(each for each in type(self).__mro__ if name in vars(each))
      for name in ("layers", "last_positions")
    }
    if not issubclass(classes["last_positions"], classes["layers"]):
      return None
    return self.last_positions(features)

  def last_positions(self, features: Mapping):
    """The tokens whose vectors `layers` needs of the encoder's last layer.

    A task that needs few, such as those of `layers.first_position`, saves most
    of what that layer takes. A subclass that replaces `layers` gets all, unless
    it replaces this too.

    Args:
      features: {name: tensor}, a batch of records.

    Returns:
      int32 [B, P], the pooled one first; None: all are needed.
    """
    del features

  def layers(self, encoder: modeling.BertModel, features: Mapping) -> dict:
    """Builds the task's layers on the encoder.

    Variables are made here, under the names that checkpoints use. For dropout
    use `encoder.dropout`, which is off unless the model trains.

    Args:
      encoder: of `encode`.
      features: {name: tensor}, as `schema` or `inputs` declares them.

    Returns:
      {name: tensor [B, ...]}, such as logits and probabilities.
    """
    raise NotImplementedError

  def build(self, config, features: Mapping, **options) -> dict:
    """`layers` on the encoder of `encode`, whose arguments these are."""
    return self.layers(self.encode(config, features, **options), features)

  def scored(self, tensors: Mapping, features: Mapping) -> Outputs:
    """The losses of a batch, and what prediction in a run_ script returns.

    Args:
      tensors: of `layers`.
      features: a batch of records; labels may be missing when predicting.
    """
    raise NotImplementedError

  def loss_weights(self, features: Mapping) -> tuple:
    """What each of the loss sums is divided by, float32 scalars.

    The default is the number of examples, for a mean over examples.
    """
    size = tf.shape(features["input_mask"])[0]
    return (tf.cast(size, tf.float32),)

  # ------------------------------------------------------------- prediction

  def inputs(self) -> dict:
    """What a trained model is fed, {name: tf.TensorSpec}."""
    return {
      name: tf.TensorSpec([None, None], tf.int32, name)
      for name in ENCODER_INPUTS
    }

  def shapes(self, batch: int | None, length: int | None) -> dict:
    """The shapes of `inputs`, {name: list}, for one batch size and length.

    Args:
      batch: B; None: any.
      length: S; None: any.
    """
    return {
      name: [batch, *(size or length for size in spec.shape.as_list()[1:])]
      for name, spec in self.inputs().items()
    }

  def features_of(self, inputs: Mapping) -> dict:
    """The features that `layers` takes, from what a trained model is fed."""
    return dict(inputs)

  def served(self, tensors: Mapping, inputs: Mapping) -> dict:
    """What a trained model returns, {name: tensor [B, ...]}.

    Args:
      tensors: of `layers`.
      inputs: as `inputs` declares them.
    """
    raise NotImplementedError

  def prepare(self, row: Mapping, tokenizer) -> tuple[list[dict], object]:
    """Turns a row into windows for the model.

    Args:
      row: such as `example`.
      tokenizer: a FullTokenizer.

    Returns:
      The windows, {name: list} each, without padding; and whatever `answer`
      needs to know of the row.

    Raises:
      ValueError: the row is not what the task takes; the message says why.
    """
    raise NotImplementedError

  def answer(self, kept, outputs: Sequence[Mapping]) -> dict:
    """Turns the model's outputs into an answer, for JSON.

    Args:
      kept: what `prepare` returned beside the windows.
      outputs: of each window, {name: array}, as `served` names them; without
        those that are strings, if an export is checked that has only numbers.
    """
    raise NotImplementedError

  def decision(self, answer: Mapping):
    """What an answer decides, such as a label, without its numbers.

    `export_model.py --check` judges by how many decisions an export keeps.

    Args:
      answer: of `answer`.

    Returns:
      Anything that can be compared; None: it is numbers only.
    """
    del answer

  def text_signatures(self) -> tuple[str, ...]:
    """The signatures for raw strings that an export can have.

    Any of "text" and "text_pair". A task that has one also has `texts`.
    """
    return ()

  def texts(self, row: Mapping) -> tuple[str, str | None]:
    """The text of a row, and its second text, if it has one."""
    raise NotImplementedError


# ------------------------------------------------------------ rows of text


def text_of(row: Mapping, names: Sequence[str], example: Mapping) -> str:
  """The text under the first of the names that a row has.

  Raises:
    ValueError: the row has none of them, or its value is not a text.
  """
  name = next((name for name in names if name in row), None)
  if name is None:
    found = f", only {', '.join(map(repr, row))}" if row else ""
    raise ValueError(
      f"no key {names[0]!r}{found}: give a row such as {json.dumps(example)}"
    )
  if not isinstance(row[name], str):
    found = reading.shown(row[name])
    raise ValueError(f"{name!r} has to be a text, not {found}")
  return row[name]


def window(packed: packing.PackedInputs) -> dict:
  """The encoder's inputs without padding."""
  length = len(packed.tokens)
  return {name: getattr(packed, name)[:length] for name in ENCODER_INPUTS}


# --------------------------------------------------------------- task.json

# What JSON may hold for a note's field, by its annotation.
_SHAPES = {
  "bool": bool,
  "int": int,
  "float": float,
  "str": str,
  "bool | None": (bool, type(None)),
  "str | None": (str, type(None)),
  "Sequence[int]": [int],
  "Sequence[float]": [float],
  "Sequence[str]": [str],
  "Sequence[int | str]": [(int, str)],
}


def read_note(path: str, tasks: Mapping[str, type]):
  """Reads a trained model's task.json.

  Args:
    path: of the file.
    tasks: {name: class} of the tasks that it may be.

  Returns:
    The Note of the task that the file names.

  Raises:
    ValueError: the file is damaged, or of a task that is not among `tasks`.
  """
  kept = reading.read_json(path, {"task?": str}, "note of a trained model")
  name = kept.get("task")
  known = ", ".join(tasks)
  if name is None:
    raise ValueError(
      f"{path} does not name its task, because it is from an older version: add"
      f' "task": one of {known}'
    )
  if name not in tasks:
    raise ValueError(
      f"{path} is of the task {name!r}, which is not one of {known}: give"
      " another folder, or name the task's own file with --task_file"
    )
  fields = dataclasses.fields(tasks[name].Note)
  missing = [
    field.name
    for field in fields
    if field.default is dataclasses.MISSING
    and field.default_factory is dataclasses.MISSING
    and field.name not in kept
  ]
  if missing:
    raise ValueError(
      f"{path} is damaged, or from an older version: it lacks"
      f" {', '.join(missing)}"
    )
  values = {f.name: kept[f.name] for f in fields if f.name in kept}
  for field in fields:
    if field.name in values and field.type in _SHAPES:
      shape = _SHAPES[field.type]
      reading.check_shape(values[field.name], shape, path, field.name)
  try:
    return tasks[name].Note(**values)
  except ValueError as error:
    raise ValueError(f"{path}: {error}") from None


def load_task_file(path: str) -> dict[str, type]:
  """Loads the tasks that a Python file of the user's defines.

  Returns:
    {name: class} of the subclasses of Task in the file.

  Raises:
    ValueError: there is no such file, or it defines no task.
  """
  spec = importlib.util.spec_from_file_location("task_file", path)
  if not tf.io.gfile.exists(path) or spec is None:
    raise ValueError(f"--task_file={path}: there is no such Python file")
  module = importlib.util.module_from_spec(spec)
  sys.modules[spec.name] = module  # dataclasses look their module up there
  spec.loader.exec_module(module)
  found = {
    value.name: value
    for value in vars(module).values()
    if isinstance(value, type)
    and issubclass(value, Task)
    and value.__module__ == module.__name__
    and hasattr(value, "name")  # one without is a base of others
  }
  if not found:
    raise ValueError(f"--task_file={path} defines no subclass of Task")
  return found
