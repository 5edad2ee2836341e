# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Classification: a text or a pair to one label, several labels or a number.

In: the encoder's vector of each sequence [B, D]. Out: logits, probabilities,
labels and losses; and from a row of text to its label.

Shapes: B batch, S sequence, D hidden, L labels, F numbers beside the text.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from bert.records import packing, record_files, tables
from bert.tasks import layers, task, windows

DROPOUT = 0.1
_SMALLEST = 1e-30  # instead of 0, which has no logarithm and no root's slope
_COLUMN = re.compile(r"\{([^{}]+)\}")  # of a template


@dataclasses.dataclass(frozen=True)
class ClassifierNote:
  """What task.json keeps of a classifier."""

  task: str
  label_type: str  # single, multi or number
  labels: Sequence[str]  # in the order of their ids; none for a number
  thresholds: Sequence[float]  # one per label if there can be several
  feature_columns: Sequence[int | str]
  feature_mean: Sequence[float]  # over the training data
  feature_std: Sequence[float]
  do_lower_case: bool
  max_seq_length: int
  text_template: str | None = None
  task_name: str = ""
  second_text: bool | None = None  # a row has two texts; None: not known
  pooling: str = "cls"  # one of POOLINGS
  # What is read of texts that are over the length: `packing.LongTexts`.
  long_texts: str = packing.CUT.kind
  doc_stride: int = packing.CUT.doc_stride
  window_pooling: str = packing.CUT.pooling
  # Of single labels: the logits are divided by it before the softmax.
  calibration_temperature: float = 1.0

  def __post_init__(self):
    if self.label_type not in LOSSES:
      raise ValueError(
        f"label_type {self.label_type!r} is none of {', '.join(LOSSES)}"
      )
    for name, known in (
      ("pooling", POOLINGS),
      ("long_texts", packing.LONG_TEXTS),
      ("window_pooling", packing.WINDOW_POOLINGS),
    ):
      if getattr(self, name) not in known:
        raise ValueError(
          f"{name} {getattr(self, name)!r} is none of {', '.join(known)}"
        )
    if self.has_windows and self.doc_stride < 1:
      raise ValueError(f"doc_stride {self.doc_stride} has to be at least 1")
    if self.calibration_temperature <= 0.0:
      raise ValueError(
        f"calibration_temperature {self.calibration_temperature} has to be"
        " over 0"
      )

  @property
  def has_windows(self) -> bool:
    """Whether a text can be several windows, so several records."""
    return self.long_texts == "windows"

  @property
  def reading(self) -> packing.LongTexts:
    return packing.LongTexts(
      self.long_texts, self.doc_stride, self.window_pooling
    )

  @property
  def num_outputs(self) -> int:
    return len(self.labels) or 1


@dataclasses.dataclass(frozen=True)
class TrainingLoss:
  """What training minimises for single labels, instead of the cross entropy.

  Evaluation and prediction do not depend on it.
  """

  class_weights: Sequence[float] = ()  # one per label; none: all are 1
  label_smoothing: float = 0.0
  focal_gamma: float = 0.0
  # The teacher's share of the loss of a text with a label; None: no teacher.
  distillation_weight: float | None = None
  temperature: float = 1.0


# ----------------------------------------------------------------- pooling


def _first_last_mean(encoder, input_mask):
  """The mean over the tokens of the first and the last layer, [B, D]."""
  found = encoder.get_all_encoder_layers()
  return layers.pool((found[0] + found[-1]) / 2.0, input_mask, "mean")


# {name: function of the encoder and the mask [B, S] that gives [B, D]}.
POOLINGS = {
  "cls": lambda encoder, _: encoder.get_pooled_output(),
  "mean": lambda encoder, mask: layers.pool(
    encoder.get_sequence_output(), mask, "mean"
  ),
  "max": lambda encoder, mask: layers.pool(
    encoder.get_sequence_output(), mask, "max"
  ),
  "first_last_mean": _first_last_mean,
}


# ------------------------------------------------------------------ losses


def label_loss(logits, targets, loss: TrainingLoss):
  """The cross entropy with weights, smoothing and focus.

  -sum_l w_l q_l (1 - p_l)^gamma log p_l, where p is the softmax of the logits,
  w the class weights and q the targets after smoothing: (1 - s) q_l + s / L.
  The power is the focal loss (Lin et al. 2017, arXiv:1708.02002).

  Args:
    logits: float32 [B, L].
    targets: float32 [B, L], a distribution, or zeros where there is no label.
    loss: the weights, s and gamma.

  Returns:
    float32 [B], 0 where there is no label.
  """
  logs = tf.nn.log_softmax(logits)
  if loss.label_smoothing:
    even = tf.reduce_mean(targets, axis=-1, keepdims=True)
    targets += loss.label_smoothing * (even - targets)
  terms = targets * logs
  if loss.focal_gamma:
    others = tf.maximum(-tf.math.expm1(logs), _SMALLEST)
    terms *= tf.pow(others, loss.focal_gamma)
  if loss.class_weights:
    terms *= tf.constant(loss.class_weights, tf.float32)
  return -tf.reduce_sum(terms, axis=-1)


def row_weights(targets, class_weights: Sequence[float]):
  """What each row weighs in the mean over a batch, float32 [B].

  sum_l w_l q_l, without smoothing; 1 for a row without a label.
  """
  has_label = tf.reduce_sum(targets, axis=-1) > 0.0
  weights = tf.reduce_sum(targets * tf.constant(class_weights), axis=-1)
  return tf.where(has_label, weights, tf.ones_like(weights))


def distillation_loss(logits, teacher, temperature: float):
  """The cross entropy against a teacher's softened distribution.

  T^2 times the cross entropy of softmax(log(teacher) / T) and softmax(logits /
  T), so that the size of the gradient does not depend on T (Hinton et al. 2015,
  arXiv:1503.02531).

  Args:
    logits: float32 [B, L], the student's.
    teacher: float32 [B, L], the teacher's probabilities.
    temperature: T.

  Returns:
    float32 [B].
  """
  logs = tf.math.log(tf.maximum(teacher, _SMALLEST)) / temperature
  losses = distribution_loss(logits / temperature, tf.nn.softmax(logs))
  return temperature**2 * losses


def distribution_loss(logits, targets):
  """The cross entropy against a distribution over the labels.

  Args:
    logits: float32 [B, L].
    targets: float32 [B, L].

  Returns:
    float32 [B].
  """
  return tf.nn.softmax_cross_entropy_with_logits_v2(
    labels=targets, logits=logits
  )


def multi_label_loss(logits, labels):
  """The mean over the labels of each label's sigmoid cross entropy.

  Args:
    logits: float32 [B, L].
    labels: float32 [B, L], 0 and 1.

  Returns:
    float32 [B].
  """
  losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
  return tf.reduce_mean(losses, axis=-1)


def regression_loss(logits, labels):
  """The squared error of a number.

  Args:
    logits: float32 [B, 1] or [B], the predicted numbers.
    labels: float32 [B].

  Returns:
    float32 [B].
  """
  return tf.square(tf.reshape(logits, [-1]) - tf.reshape(labels, [-1]))


LOSSES = {
  "single": layers.cross_entropy,
  "multi": multi_label_loss,
  "number": regression_loss,
}
ACTIVATIONS = {
  "single": tf.nn.softmax,
  "multi": tf.nn.sigmoid,
  "number": tf.identity,
}


# -------------------------------------------------------------------- task


class Classification(task.Task):
  """A text or a pair to its label, labels or number.

  Args:
    note: of the model.
    training: what training minimises; None: the cross entropy, or the loss of
      several labels or a number.
    distributions: names of what the records hold besides, one probability per
      label each: label_probabilities, teacher_probabilities.
  """

  name = "classifier"
  Note = ClassifierNote

  def __init__(
    self,
    note,
    training: TrainingLoss | None = None,
    distributions: Sequence[str] = (),
  ):
    super().__init__(note)
    self._training, self._distributions = training, distributions

  def schema(self, is_training):
    """`label_ids` is int64 [], or float32 [L] of several labels or [] of a
    number; `features` float32 [F] where there are numbers beside the text.
    Where texts have windows, `text_index` counts the texts from 0.
    `label_probabilities` [L], zeros for a text without a label, and
    `teacher_probabilities` [L] are float32."""
    note = self.note
    label_shape = [len(note.labels)] if note.label_type == "multi" else []
    label_dtype = tf.int64 if note.label_type == "single" else tf.float32
    schema = {
      **record_files.sequence_schema(note.max_seq_length),
      "label_ids": tf.FixedLenFeature(label_shape, label_dtype),
      "is_real_example": tf.FixedLenFeature([], tf.int64),
    }
    if note.has_windows:
      schema["text_index"] = tf.FixedLenFeature([], tf.int64)
    if note.feature_columns:
      size = len(note.feature_columns)
      schema["features"] = tf.FixedLenFeature([size], tf.float32)
    for name in self._distributions:
      schema[name] = tf.FixedLenFeature([len(note.labels)], tf.float32)
    return schema

  def last_positions(self, features):
    is_first = self.note.pooling == "cls"
    return layers.first_position(features) if is_first else None

  def layers(self, encoder, features):
    """`logits` and `probabilities` [B, L], and `predicted`: the label's id
    [B], 0 or 1 per label [B, L], or the number [B]. The probabilities are of
    the logits divided by the note's temperature, the losses of the logits.

    Makes the variables `output_weights` [L, D + F] and `output_bias` [L].
    Recipes that freeze a graph know the logits as the operation `loss/BiasAdd`
    and the probabilities of single labels as `loss/Softmax`.
    """
    pooled = POOLINGS[self.note.pooling](encoder, features["input_mask"])
    vectors = encoder.dropout(pooled, DROPOUT)
    if features.get("features") is not None:
      vectors = tf.concat([vectors, features["features"]], axis=1)
    with tf.name_scope("loss"):  # the original's names of operations
      logits = layers.labels_product(vectors, self.note.num_outputs)
      divided, temperature = logits, self.note.calibration_temperature
      if temperature != 1.0:
        divided = logits / temperature
      probabilities = ACTIVATIONS[self.note.label_type](divided)
    return {
      "logits": logits,
      "probabilities": probabilities,
      "predicted": self._predicted(probabilities),
    }

  def _predicted(self, probabilities):
    """The choice of labels, for training, prediction and export alike."""
    if self.note.label_type == "single":
      return tf.argmax(probabilities, axis=-1, output_type=tf.int32)
    if self.note.label_type == "multi":
      thresholds = np.float32(self.note.thresholds)
      return tf.cast(probabilities >= thresholds, tf.int32)
    return probabilities[:, 0]

  def scored(self, tensors, features):
    """Scores are of the plain losses, whatever training minimises."""
    labels = features["label_ids"]
    if "label_probabilities" in features:
      losses = distribution_loss(
        tensors["logits"], features["label_probabilities"]
      )
    else:
      losses = LOSSES[self.note.label_type](tensors["logits"], labels)
    trained = [losses]
    if self._training:
      trained = self._training_losses(tensors["logits"], features)
    of_windows = {}
    if "text_index" in features:
      of_windows = {
        "text_index": features["text_index"],
        "logits": tensors["logits"],
      }
    is_real = tf.ones_like(losses)
    if "is_real_example" in features:
      is_real = tf.cast(features["is_real_example"], tf.float32)
    return task.Outputs(
      predictions={
        "probabilities": tensors["probabilities"],
        "predicted": tensors["predicted"],
        "per_example_loss": losses,
        "label_ids": labels,
        **of_windows,
      },
      loss_sums=[tf.reduce_sum(values) for values in trained],
      metric_fn=(
        _single_label_metrics
        if self.note.label_type == "single"
        else _mean_loss
      ),
      metric_inputs=(losses, labels, tensors["predicted"], is_real),
    )

  def _targets(self, features):
    """The distribution over the labels of each row, float32 [B, L]."""
    if "label_probabilities" in features:
      return features["label_probabilities"]
    return tf.one_hot(features["label_ids"], len(self.note.labels))

  def _training_losses(self, logits, features):
    """The losses of each row, float32 [B]: of its label and of its teacher.

    Class weights are of labels only, so each has its own entry of
    `loss_weights`.
    """
    targets = self._targets(features)
    losses = label_loss(logits, targets, self._training)
    if "teacher_probabilities" not in features:
      return [losses]
    share = self._training.distillation_weight
    has_label = tf.reduce_sum(targets, axis=-1) > 0.0
    shares = tf.where_v2(has_label, share, 1.0)
    taught = distillation_loss(
      logits, features["teacher_probabilities"], self._training.temperature
    )
    return [(1.0 - shares) * losses, shares * taught]

  def loss_weights(self, features):
    """The number of examples, or with class weights the sum of theirs; and
    with a teacher the number of examples."""
    (of_labels,) = sizes = super().loss_weights(features)
    if not self._training:
      return sizes
    weights = self._training.class_weights
    if weights:
      of_labels = tf.reduce_sum(row_weights(self._targets(features), weights))
    has_teacher = "teacher_probabilities" in features
    return (of_labels, *sizes) if has_teacher else (of_labels,)

  def inputs(self):
    """`features`, float32 [B, F], holds the numbers as they are."""
    inputs = super().inputs()
    if self.note.feature_columns:
      size = len(self.note.feature_columns)
      inputs["features"] = tf.TensorSpec([None, size], tf.float32, "features")
    return inputs

  def features_of(self, inputs):
    """Standardises the numbers as the training data were."""
    features = dict(inputs)
    if "features" in features:
      mean = np.array(self.note.feature_mean, np.float32)
      std = np.array(self.note.feature_std, np.float32)
      features["features"] = (features["features"] - mean) / std
    return features

  def served(self, tensors, inputs):
    """`probabilities` and `labels` [B, L], and `label` [B] or `is_given`
    [B, L]; for a number, `prediction` [B]. Where texts have windows, B counts
    windows, and there are `logits` [B, L], of which `answer` makes one row."""
    outputs = self._named(tensors)
    if self.note.has_windows:
      outputs["logits"] = tensors["logits"]
    return outputs

  def _named(self, tensors):
    """The probabilities and the choice, with the names of the labels."""
    probabilities, predicted = tensors["probabilities"], tensors["predicted"]
    if self.note.label_type == "number":
      return {"prediction": predicted}
    labels = tf.constant(self.note.labels)
    batch = tf.shape(probabilities)[0]
    outputs = {
      "probabilities": probabilities,
      "labels": tf.tile(labels[tf.newaxis], [batch, 1]),
    }
    if self.note.label_type == "multi":
      return {**outputs, "is_given": tf.cast(predicted, tf.bool)}
    return {**outputs, "label": tf.gather(labels, predicted)}

  @property
  def example(self):
    texts = ["text_a"]
    if self.note.text_template:
      texts = template_columns(self.note.text_template)
    if self.note.second_text or (
      self.note.second_text is None and not self.note.text_template
    ):
      texts.append("text_b")
    numbers = map(str, self.note.feature_columns)
    return {**dict.fromkeys(texts, "..."), **dict.fromkeys(numbers, 0.5)}

  def text_signatures(self):
    """None but for texts that are cut, which is all that the graph does."""
    return ("text", "text_pair") if self.note.long_texts == "cut" else ()

  def texts(self, row):
    template = self.note.text_template
    if template:
      text_a = fill_template(
        template, lambda name: tables.text(self._value(row, name), repr(name))
      )
    else:
      text_a = task.text_of(row, ("text_a", "text"), self.example)
    text_b = row.get("text_b")
    if text_b is not None or self.note.second_text:
      text_b = task.text_of(row, ("text_b",), self.example)
    if text_b and self.note.second_text is False:
      raise ValueError(
        "the model was trained on single texts, so it does not take 'text_b':"
        f" give a row such as {json.dumps(self.example)}"
      )
    return text_a, text_b

  def prepare(self, row, tokenizer):
    """The windows of a row, mostly one; nothing is kept."""
    text_a, text_b = self.texts(row)
    note, numbers = self.note, {}
    if note.feature_columns:
      numbers["features"] = [
        tables.number(self._value(row, name), repr(name))
        for name in map(str, note.feature_columns)
      ]
    found = packing.pack_long_texts(
      text_a, text_b or None, note.max_seq_length, tokenizer, note.reading
    )
    return [{**task.window(packed), **numbers} for packed in found], None

  def _value(self, row, name):
    if name not in row:
      raise ValueError(
        f"no key {name!r}: give a row such as {json.dumps(self.example)}"
      )
    return row[name]

  def answer(self, kept, outputs):
    """{"label", "probabilities"}, {"labels", "probabilities"} or
    {"prediction"}."""
    del kept
    labels = self.note.labels
    output = self._of_windows(outputs) if self.note.has_windows else outputs[0]
    if "prediction" in output:
      return {"prediction": float(output["prediction"])}
    values = [float(value) for value in output["probabilities"]]
    probabilities = dict(zip(labels, values))
    if self.note.label_type == "single":
      label = labels[int(np.argmax(output["probabilities"]))]
      return {"label": label, "probabilities": probabilities}
    given = [
      label for label, is_given in zip(labels, output["is_given"]) if is_given
    ]
    return {"labels": given, "probabilities": probabilities}

  def _of_windows(self, outputs):
    """What `served` would give for the windows of one text together."""
    note = self.note
    logits = np.stack([output["logits"] for output in outputs])
    found = windows.predictions(
      note, windows.pool(logits, [0], note.window_pooling)
    )
    (probabilities,), (predicted,) = found["probabilities"], found["predicted"]
    if note.label_type == "number":
      return {"prediction": predicted}
    return {"probabilities": probabilities, "is_given": predicted}

  def decision(self, answer):
    """The label or labels; None of a number."""
    return answer.get("label", answer.get("labels"))


def _single_label_metrics(losses, label_ids, predicted, is_real):
  """eval_accuracy and eval_loss over the examples that are not padding."""
  return {
    "eval_accuracy": tf.metrics.accuracy(label_ids, predicted, is_real),
    **_mean_loss(losses, label_ids, predicted, is_real),
  }


def _mean_loss(losses, label_ids, predicted, is_real):
  del label_ids, predicted
  return {"eval_loss": tf.metrics.mean(losses, is_real)}


# ---------------------------------------------------------------- template


def check_template(template: str | None) -> None:
  """Raises ValueError unless --text_template names columns in braces."""
  if template is None:
    return
  if re.search(r"[{}]", _COLUMN.sub("", template)):
    raise ValueError(
      f"--text_template={template}: a brace has no partner or no name in it:"
      " write columns as in 'I am {age}'"
    )
  if not _COLUMN.search(template):
    raise ValueError(
      f"--text_template={template} names no column, as 'I am {{age}}' does"
    )


def template_columns(template: str) -> list[str]:
  """The columns that a template such as "I am {age}." names."""
  return _COLUMN.findall(template)


def fill_template(template: str, text_of: Callable[[str], str]) -> str:
  """The template with the text of each column that it names."""
  return _COLUMN.sub(lambda match: text_of(match.group(1)), template)
