# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Ranking: how well responses answer a context, or how alike two texts are.

In: the encoder's vectors of pairs (interaction) or of single texts
(representation). Out: the score and probability of a match for each pair, or a
vector for each text; and the losses that train them.

Shapes: B records, N sequences of a record, S sequence, D hidden, C responses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow.compat.v1 as tf

import modeling
from bert.records import packing, record_files
from bert.tasks import layers, task

DROPOUT = 0.1

# The losses on pairs of texts with a score.
GRADED_LOSSES = ("cosine", "cosent")
# The losses of each model, the default first.
LOSSES = {
  "interaction": ("cross_entropy", "candidates"),
  "representation": ("in_batch", "triplet", *GRADED_LOSSES),
}


@dataclasses.dataclass(frozen=True)
class RankerNote:
  """What task.json keeps of a ranker."""

  task: str
  model: str  # interaction or representation
  pooling: str  # of representation: mean or cls
  do_lower_case: bool
  max_seq_length: int
  # How it was trained: one of LOSSES, and the options of some of them.
  loss: str | None = None
  temperature: float = 0.05  # of in_batch and cosent
  margin: float = 0.2  # of triplet
  # Of cosine: the scores that stand for the cosines 0 and 1.
  score_range: Sequence[float] = ()


# ------------------------------------------------------------------ layers


def sentence_vectors(sequence_output, input_mask, pooling: str):
  """One vector of length 1 for each text, so that products are cosines.

  Args:
    sequence_output: float32 [B, S, D].
    input_mask: int32 [B, S].
    pooling: "mean" of the tokens' vectors, or "cls", the first one.

  Returns:
    float32 [B, D].
  """
  if pooling == "cls":
    return tf.nn.l2_normalize(sequence_output[:, 0, :], axis=-1)
  # The sum and the mean have the same direction.
  weights = tf.cast(input_mask, tf.float32)[:, :, tf.newaxis]
  total = tf.reduce_sum(sequence_output * weights, axis=1)
  return tf.nn.l2_normalize(total, axis=-1)


# ------------------------------------------------------------------ losses


def candidates_loss(scores, is_candidate):
  """The cross entropy of a record's first candidate among all of them.

  Args:
    scores: float32 [B, C].
    is_candidate: bool [B, C], False for padding; never for the first.

  Returns:
    float32 [B].
  """
  scores = tf.where_v2(is_candidate, scores, modeling.MASKED_SCORE)
  return layers.cross_entropy(scores, tf.zeros_like(scores[:, 0], tf.int32))


def in_batch_negatives(text_ids):
  """Which responses of a batch are wrong for which of its contexts.

  Every response in the batch is a negative, except padding and those that are
  true for the same context in any record.

  Args:
    text_ids: int32 [B, 1 + C], of a context, its true response and its wrong
      ones; equal for equal texts, 0 for padding.

  Returns:
    bool [B, B * C].
  """
  contexts, own = text_ids[:, :1], text_ids[:, 1:2]
  columns = tf.reshape(text_ids[:, 1:], [1, -1])  # [1, B * C]
  # No transposition: a GPU would send its integers to the host.
  is_same_context = tf.equal(contexts, tf.reshape(contexts, [1, -1]))  # [B, B]
  is_own = tf.equal(own, columns)  # [B, B * C]
  num_records = tf.matmul(  # in which the response is true for the context
    tf.cast(is_same_context, tf.float32), tf.cast(is_own, tf.float32)
  )
  return tf.not_equal(columns, 0) & (num_records < 0.5)


def in_batch_softmax_loss(contexts, responses, text_ids, temperature: float):
  """The cross entropy of a true response among all responses of the batch.

  Args:
    contexts: float32 [B, D], of length 1.
    responses: float32 [B, C, D], of length 1, the true one first.
    text_ids: int32 [B, 1 + C], as `in_batch_negatives` takes them.
    temperature: divides the cosines.

  Returns:
    float32 [B].
  """
  cosines, own = _batch_cosines(contexts, responses)
  is_negative = in_batch_negatives(text_ids)
  cosines = tf.where_v2(is_negative, cosines, modeling.MASKED_SCORE)
  logits = tf.concat([own[:, tf.newaxis], cosines], axis=1) / temperature
  return layers.cross_entropy(logits, tf.zeros_like(own, tf.int32))


def semi_hard_triplet_loss(contexts, responses, text_ids, margin: float):
  """max(0, d(c, r) - d(c, n) + margin), where d is the squared distance.

  The negative n is the nearest one in the batch that is farther away than the
  true response r; if there is none, the farthest one (Schroff et al. 2015,
  arXiv:1503.03832). A context without negatives costs 0.

  Args:
    contexts: float32 [B, D], of length 1.
    responses: float32 [B, C, D], of length 1, the true one first.
    text_ids: int32 [B, 1 + C], as `in_batch_negatives` takes them.
    margin: by how much negatives are to be farther away.

  Returns:
    float32 [B].
  """
  cosines, own = _batch_cosines(contexts, responses)
  own = 2.0 - 2.0 * own  # |a - b|^2 = 2 - 2 cos(a, b) if both have length 1
  distances = 2.0 - 2.0 * cosines
  is_negative = in_batch_negatives(text_ids)
  is_farther = is_negative & (distances > own[:, tf.newaxis])
  low = modeling.MASKED_SCORE
  nearest = tf.reduce_min(tf.where_v2(is_farther, distances, -low), axis=1)
  farthest = tf.reduce_max(tf.where_v2(is_negative, distances, low), axis=1)
  chosen = tf.where(tf.reduce_any(is_farther, axis=1), nearest, farthest)
  losses = tf.nn.relu(own - chosen + margin)
  has_negative = tf.reduce_any(is_negative, axis=1)
  return tf.where(has_negative, losses, tf.zeros_like(losses))


def cosent_loss(cosines, grades, temperature: float):
  """log(1 + sum of exp((cos_j - cos_i) / temperature)), grade_i > grade_j.

  The sum is over all couples of records in the batch, so the loss wants the
  cosines in the order of the grades, whatever their size (CoSENT, Su 2022,
  https://kexue.fm/archives/8847).

  Args:
    cosines: float32 [B], of the two vectors of a record.
    grades: float32 [B].
    temperature: divides the cosines.

  Returns:
    float32 [].
  """
  logits = cosines / temperature
  differences = logits[tf.newaxis, :] - logits[:, tf.newaxis]  # [B i, B j]
  is_ordered = grades[:, tf.newaxis] > grades[tf.newaxis, :]
  terms = tf.where_v2(is_ordered, differences, modeling.MASKED_SCORE)
  terms = tf.concat([[0.0], tf.reshape(terms, [-1])], axis=0)  # exp(0) is the 1
  return tf.reduce_logsumexp(terms)


def _batch_cosines(contexts, responses):
  """All cosines [B, B * C], and those of the true responses [B]."""
  columns = tf.reshape(responses, [-1, responses.shape[-1]])
  cosines = tf.matmul(contexts, columns, transpose_b=True)
  return cosines, tf.reduce_sum(contexts * responses[:, 0, :], axis=-1)


# -------------------------------------------------------------------- task


class Ranking(task.Task):
  """A pair to the probability that it matches, or a text to its vector.

  Args:
    note: of the model.
    num_responses: the most responses of a training record; 1 for pairs.
  """

  name = "ranker"
  Note = RankerNote

  def __init__(self, note, num_responses: int = 1):
    super().__init__(note)
    self._num_responses = num_responses

  @property
  def is_pair(self) -> bool:
    """Whether context and response are read together."""
    return self.note.model == "interaction"

  @property
  def is_graded(self) -> bool:
    """Whether the data are pairs of texts with a score."""
    return self.note.loss in GRADED_LOSSES

  @property
  def output(self) -> str:
    """The output that candidates are ranked by: scores or vectors."""
    return "scores" if self.is_pair else "vectors"

  @property
  def num_sequences(self) -> int:
    """The sequences of a training record, N; 1 for cross_entropy."""
    return self._num_responses + (not self.is_pair)

  def schema(self, is_training):
    """A sequence. For training, `label_ids` [] of a pair; or two sequences and
    their score, the float `label_ids` []; or N sequences that are ranked
    together and their `text_ids` [N], which are equal for equal texts, and 0 if
    there is no such sequence."""
    length = self.note.max_seq_length
    sequence = record_files.sequence_schema(length)
    if not is_training:
      return sequence
    if self.note.loss == "cross_entropy":
      return {
        **sequence,
        "label_ids": tf.FixedLenFeature([], tf.int64),
        "is_real_example": tf.FixedLenFeature([], tf.int64),
      }
    shape = [self.num_sequences, length]
    sequences = {name: record_files.per_position(shape) for name in sequence}
    if self.is_graded:
      return {**sequences, "label_ids": tf.FixedLenFeature([], tf.float32)}
    text_ids = tf.FixedLenFeature([self.num_sequences], tf.int64)
    return {**sequences, "text_ids": text_ids}

  def encode(self, config, features, *args, **options):
    """As of `task.Task`, with the N sequences of each record one by one."""
    return super().encode(config, _one_by_one(features), *args, **options)

  def last_positions(self, features):
    is_first = self.is_pair or self.note.pooling == "cls"
    return layers.first_position(features) if is_first else None

  def layers(self, encoder, features):
    """`logits` [B * N, 2], and `scores` and `probabilities` [B * N] of a match;
    or `vectors` [B * N, D].

    A score is log(p / (1 - p)) of the probability p. It tells pairs apart whose
    p is rounded to 1. Interaction makes the variables `output_weights` [2, D]
    and `output_bias` [2], for 0 no match and 1 match.
    """
    if not self.is_pair:
      vectors = sentence_vectors(
        encoder.get_sequence_output(),
        _one_by_one(features)["input_mask"],
        self.note.pooling,
      )
      return {"vectors": vectors}
    pooled = encoder.dropout(encoder.get_pooled_output(), DROPOUT)
    logits = layers.labels_product(pooled, 2)
    scores = logits[:, 1] - logits[:, 0]
    probabilities = tf.sigmoid(scores)
    return {"logits": logits, "scores": scores, "probabilities": probabilities}

  def scored(self, tensors, features):
    """The losses of training records; other records have none."""
    loss_sums = []
    if "label_ids" in features or "text_ids" in features:
      loss_sums.append(tf.reduce_sum(self.losses(tensors, features)))
    predictions = {self.output: tensors[self.output]}
    return task.Outputs(predictions, loss_sums)

  def losses(self, tensors, features):
    """The loss of each training record, float32 [B]."""
    if self.note.loss == "cross_entropy":
      return layers.cross_entropy(tensors["logits"], features["label_ids"])
    if self.is_graded:
      return self._graded_losses(tensors["vectors"], features["label_ids"])
    text_ids = features["text_ids"]
    _, num_sequences = modeling.get_shape_list(text_ids)
    if self.note.loss == "candidates":
      scores = tf.reshape(tensors["scores"], [-1, num_sequences])
      return candidates_loss(scores, tf.not_equal(text_ids, 0))
    vectors = tensors["vectors"]
    vectors = tf.reshape(vectors, [-1, num_sequences, vectors.shape[-1]])
    both = vectors[:, 0], vectors[:, 1:]  # [B, D], [B, C, D]
    if self.note.loss == "triplet":
      return semi_hard_triplet_loss(*both, text_ids, self.note.margin)
    return in_batch_softmax_loss(*both, text_ids, self.note.temperature)

  def _graded_losses(self, vectors, grades):
    """As `losses`, of vectors [2 * B, D] and grades [B]."""
    cosines = tf.reduce_sum(vectors[::2] * vectors[1::2], axis=-1)
    if self.note.loss == "cosine":
      return tf.square(cosines - grades)
    loss = cosent_loss(cosines, grades, self.note.temperature)
    return tf.fill(tf.shape(grades), loss)  # the batch's loss is their mean

  def served(self, tensors, inputs):
    """`probabilities` and `scores` [B] of a match, or `vectors` [B, D]."""
    del inputs
    return {
      name: tensor for name, tensor in tensors.items() if name != "logits"
    }

  @property
  def example(self):
    return dict.fromkeys(["text_a", "text_b"][: 1 + self.is_pair], "...")

  def text_signatures(self):
    return ("text_pair",) if self.is_pair else ("text",)

  def texts(self, row):
    text_a, text_b = task.text_of(row, ("text_a", "text"), self.example), None
    if self.is_pair:
      text_b = task.text_of(row, ("text_b",), self.example)
    elif row.get("text_b") is not None:
      raise ValueError(
        "'text_b' is not for this model, which makes a vector of one text: give"
        " each text a row of its own"
      )
    return text_a, text_b

  def prepare(self, row, tokenizer):
    """The one window of a row; nothing is kept."""
    length = self.note.max_seq_length
    packed = packing.pack_texts(*self.texts(row), length, tokenizer)
    return [task.window(packed)], None

  def answer(self, kept, outputs):
    """{"probability", "score"} or {"vector"}."""
    del kept
    (output,) = outputs
    if "vectors" in output:
      return {"vector": [float(value) for value in output["vectors"]]}
    return {
      "probability": float(output["probabilities"]),
      "score": float(output["scores"]),
    }

  def decision(self, answer):
    """Whether a pair matches; None of a vector."""
    return answer["probability"] >= 0.5 if "probability" in answer else None


def _one_by_one(features):
  """The features; inputs of the encoder, [B, S] or [B, N, S], as [B * N, S]."""
  length = modeling.get_shape_list(features["input_ids"])[-1]
  one_by_one = {
    name: tf.reshape(features[name], [-1, length])
    for name in task.ENCODER_INPUTS
  }
  return {**features, **one_by_one}
