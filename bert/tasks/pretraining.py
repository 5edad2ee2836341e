# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Pre-training: predicts masked words, and whether one text follows another.

In: the encoder's vectors of each token [B, S, D] and of each sequence [B, D].
Out: logits, losses and how often the predictions are right; and from a row of
text to what stands in place of [MASK], how probable the text is, or whether a
second text follows. `Masker` draws new masks for records while they are read.

Shapes: B batch, S sequence, D hidden, P masked positions, V vocabulary.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow.compat.v1 as tf

import modeling
from bert.ops.positions import in_xla, on_host
from bert.records import record_files
from bert.tasks import layers, masked_text, task

NO_WEIGHT = 1e-5  # added to the sum of weights, which may be 0
PLACES_MULTIPLE = 32  # few different sizes, each of which takes time to prepare
# A chosen piece becomes [MASK] in 8 of 10 draws and stays as it is in one; in
# the last it becomes any piece.
MASKED, KEPT = 0.8, 0.9


@dataclasses.dataclass(frozen=True)
class PretrainingNote:
  """The sizes of the records, and what they are for."""

  max_seq_length: int = 0
  max_predictions_per_seq: int = 0
  next_sentence: bool = True  # whether it is predicted
  do_lower_case: bool = True


# ------------------------------------------------------------------ layers


def get_masked_lm_output(
  bert_config,
  input_tensor,
  output_weights,
  positions,
  label_ids,
  label_weights,
  compute_dtype=tf.float32,
):
  """Predicts masked tokens and scores the prediction.

  Args:
    bert_config: modeling.BertConfig.
    input_tensor: float32 [B, S, D], the encoder's sequence output.
    output_weights: float32 [V, D], the word embeddings.
    positions: int32 [B, P], where tokens were masked.
    label_ids: int32 [B, P], the tokens that stood there.
    label_weights: float32 [B, P], 0 for padding.
    compute_dtype: float type of the products; softmax and loss are float32.

  Returns:
    loss: float32 scalar, sum(w l) / (sum(w) + 1e-5).
    per_example_loss: float32 [B*P], l.
    log_probs: float32 [B*P, V].
  """
  tokens = layers.gather_indexes(input_tensor, positions)  # [B*P, D]
  logits = masked_lm_logits(bert_config, tokens, output_weights, compute_dtype)
  losses = layers.cross_entropy(logits, tf.reshape(label_ids, [-1]))
  weights = tf.reshape(label_weights, [-1])
  loss = tf.reduce_sum(weights * losses) / (tf.reduce_sum(weights) + NO_WEIGHT)
  return loss, losses, tf.nn.log_softmax(logits)


def masked_lm_logits(
  bert_config,
  tokens,
  output_weights,
  compute_dtype=tf.float32,
  compiled=False,
  is_training=False,
):
  """Scores each word of the vocabulary for each token.

  Makes the variables of `cls/predictions`.

  Args:
    bert_config: modeling.BertConfig.
    tokens: float32 [M, D], the encoder's vectors of masked tokens.
    output_weights: float32 [V, D], the word embeddings.
    compute_dtype: float type of the products.
    compiled: bool, as `modeling.layer_norm` takes it.
    is_training: bool, as `modeling.layer_norm` takes it.

  Returns:
    float32 [M, V].
  """
  tokens = tf.cast(tokens, compute_dtype)
  with tf.variable_scope("cls/predictions"):
    with tf.variable_scope("transform"):
      tokens = modeling.dense(
        tokens,
        bert_config.hidden_size,
        "dense",
        modeling.get_activation(bert_config.hidden_act),
        modeling.create_initializer(bert_config.initializer_range),
      )
      tokens = modeling.layer_norm(tokens, "LayerNorm", compiled, is_training)
    bias = modeling.variable(
      "output_bias", [bert_config.vocab_size], tf.zeros_initializer()
    )
  table = tf.cast(output_weights, compute_dtype)
  logits = tf.matmul(tokens, table, transpose_b=True)  # [M, V]
  return tf.nn.bias_add(tf.cast(logits, tf.float32), bias)


def places_to_predict(weights):
  """The places of a batch that have a masked token.

  Their number is rounded up with places that have none, so that few different
  sizes occur. XLA, which a TPU needs, has to know the number: there it is all.

  Args:
    weights: float32 [B, P], 0 for padding.

  Returns:
    int32 [M], places from 0 to B*P - 1, those with a weight first.
  """
  if in_xla():
    return tf.range(tf.size(weights))
  with on_host():
    is_used = tf.not_equal(tf.reshape(weights, [-1]), 0.0)
    order = tf.argsort(tf.cast(is_used, tf.int32), direction="DESCENDING")
    count = tf.maximum(tf.math.count_nonzero(is_used, dtype=tf.int32), 1)
    return order[: -(-count // PLACES_MULTIPLE) * PLACES_MULTIPLE]


def get_next_sentence_output(bert_config, input_tensor, labels):
  """Predicts whether the second text follows the first.

  Args:
    bert_config: modeling.BertConfig.
    input_tensor: float32 [B, D], the encoder's pooled output.
    labels: int32 [B, 1] or [B]; 0: it follows, 1: it was drawn at random.

  Returns:
    loss: float32 scalar, the mean.
    per_example_loss: float32 [B].
    log_probs: float32 [B, 2].
  """
  logits = next_sentence_logits(bert_config, input_tensor)
  losses = layers.cross_entropy(logits, tf.reshape(labels, [-1]))
  return tf.reduce_mean(losses), losses, tf.nn.log_softmax(logits)


def next_sentence_logits(bert_config, input_tensor):
  """Scores both labels of `get_next_sentence_output`, float32 [B, 2].

  Makes the variables of `cls/seq_relationship`.
  """
  with tf.variable_scope("cls/seq_relationship"):
    return layers.labels_product(input_tensor, 2, bert_config.initializer_range)


# -------------------------------------------------------------------- task


class Pretraining(task.Task):
  """Masked words, and the next sentence unless the note says otherwise.

  It has no task.json: a checkpoint with `cls/predictions` is enough.
  """

  name = "pretraining"
  Note = PretrainingNote
  example = masked_text.EXAMPLE
  never_split = ("[MASK]",)

  def schema(self, is_training):
    """`masked_lm_positions`, `masked_lm_ids` and `masked_lm_weights` are [P],
    padded with 0; `next_sentence_labels` [1] is 0 if the second text follows
    the first, and 1 if it was drawn at random."""
    del is_training
    masked = [self.note.max_predictions_per_seq]
    schema = {
      **record_files.sequence_schema(self.note.max_seq_length),
      "masked_lm_positions": tf.FixedLenFeature(masked, tf.int64),
      "masked_lm_ids": tf.FixedLenFeature(masked, tf.int64),
      "masked_lm_weights": tf.FixedLenFeature(masked, tf.float32),
    }
    if self.note.next_sentence:
      schema["next_sentence_labels"] = tf.FixedLenFeature([1], tf.int64)
    return schema

  def last_positions(self, features):
    """[CLS], then the masked words."""
    first = layers.first_position(features)
    return tf.concat([first, features["masked_lm_positions"]], axis=1)

  def layers(self, encoder, features):
    """`masked_lm_logits` [M, V] and, if predicted, `next_sentence_logits`
    [B, 2].

    The logits are those of `masked_lm_places` [M], see `places_to_predict`; of
    all places where the features have no weights.
    """
    places = None
    if "masked_lm_weights" in features:
      places = places_to_predict(features["masked_lm_weights"])
    positions = features["masked_lm_positions"]
    if encoder.last_positions is not None:  # its output holds them behind [CLS]
      size = modeling.get_shape_list(positions)[1]
      positions = tf.expand_dims(tf.range(1, size + 1), 0)
    tokens = layers.gather_indexes(
      encoder.get_sequence_output(), positions, places
    )
    tensors = {
      "masked_lm_places": places,
      "masked_lm_logits": masked_lm_logits(
        encoder.config,
        tokens,
        encoder.get_embedding_table(),
        encoder.compute_dtype,
        encoder.compiled,
        encoder.is_training,
      ),
    }
    if self.note.next_sentence:
      tensors["next_sentence_logits"] = next_sentence_logits(
        encoder.config, encoder.get_pooled_output()
      )
    return tensors

  def scored(self, tensors, features):
    """The losses, and how often the predictions are right.

    `predictions` are float32 [B]: weighted sums over the masked words of each
    example, `masked_lm_loss`, `masked_lm_right` and `masked_lm_weight`; and, if
    predicted, `next_sentence_loss`, `next_sentence_right`.
    """
    weights = features["masked_lm_weights"]  # [B, P]
    places = tensors["masked_lm_places"]  # [M]

    def of_examples(values):  # [M] to [B]
      values = tf.scatter_nd(places[:, tf.newaxis], values, [tf.size(weights)])
      return tf.reduce_sum(tf.reshape(values, tf.shape(weights)) * weights, 1)

    with on_host():
      ids = tf.gather(tf.reshape(features["masked_lm_ids"], [-1]), places)
    losses, right = _judged(tensors["masked_lm_logits"], ids)
    each = {
      "masked_lm_loss": of_examples(losses),
      "masked_lm_right": of_examples(right),
      "masked_lm_weight": tf.reduce_sum(weights, axis=1),
    }
    parts = ["masked_lm"]  # in the order of the loss weights
    if self.note.next_sentence:
      parts.append("next_sentence")
      each["next_sentence_loss"], each["next_sentence_right"] = _judged(
        tensors["next_sentence_logits"], features["next_sentence_labels"]
      )
    totals = {name: tf.reduce_sum(values) for name, values in each.items()}
    is_real = tf.cast(features["input_mask"][:, 0], tf.float32)
    shown = {}
    for place, part in enumerate(parts):
      shown[f"{part}_loss"] = totals[f"{part}_loss"], place
      shown[f"{part}_accuracy"] = totals[f"{part}_right"], place
    return task.Outputs(
      predictions=each,
      loss_sums=[totals[f"{part}_loss"] for part in parts],
      metric_fn=_metrics,
      metric_inputs=[is_real, *each.values()],
      shown=shown,
    )

  def loss_weights(self, features):
    """The number of masked words, and of sequences if those are predicted."""
    words = tf.reduce_sum(features["masked_lm_weights"]) + NO_WEIGHT
    if not self.note.next_sentence:
      return (words,)
    return (words, *super().loss_weights(features))

  def inputs(self):
    """`masked_positions`, int32 [B, P], are the places to predict, and
    `masked_ids` [B, P] the tokens whose probability is asked for there."""
    names = "masked_positions", "masked_ids"
    places = {
      name: tf.TensorSpec([None, None], tf.int32, name) for name in names
    }
    return {**super().inputs(), **places}

  def shapes(self, batch, length):
    """As of `task.Task`, with P of `MOST_MASKS` where the length is fixed."""
    shapes = super().shapes(batch, length)
    count = min(length, masked_text.MOST_MASKS) if length else None
    places = dict.fromkeys(("masked_positions", "masked_ids"), [batch, count])
    return {**shapes, **places}

  def features_of(self, inputs):
    features = {name: inputs[name] for name in task.ENCODER_INPUTS}
    return {**features, "masked_lm_positions": inputs["masked_positions"]}

  def served(self, tensors, inputs):
    """Natural logarithms of probabilities: of the `masked_ids` as
    `log_probs` [B, P], and of the K most probable `top_ids` [B, P, K]
    as `top_log_probs`; and `next_log_probs` [B, 2] of a second text that
    follows and of one that does not, if the model predicts it."""
    log_probs = tf.nn.log_softmax(tensors["masked_lm_logits"])  # [B*P, V]
    ids = inputs["masked_ids"]
    shape = tf.shape(ids)
    count = min(masked_text.MOST_TOKENS, log_probs.shape[-1])
    top = tf.math.top_k(log_probs, count)
    wanted = tf.gather(log_probs, tf.reshape(ids, [-1]), axis=1, batch_dims=1)
    by_place = tf.concat([shape, [count]], axis=0)
    outputs = {
      "log_probs": tf.reshape(wanted, shape),
      "top_ids": tf.reshape(top.indices, by_place),
      "top_log_probs": tf.reshape(top.values, by_place),
    }
    if self.note.next_sentence:
      logits = tensors["next_sentence_logits"]
      outputs["next_log_probs"] = tf.nn.log_softmax(logits)
    return outputs

  def prepare(self, row, tokenizer):
    """One window for `text` and for `text_a` with `text_b`; for `score` one for
    each token, which is masked in it."""
    return masked_text.prepare(row, self.note, tokenizer)

  def answer(self, kept, outputs):
    """{"masks"}, {"pseudo_log_likelihood", ...} or {"next_probability"}."""
    return kept.answer(outputs)

  def decision(self, answer):
    """The most probable token of each [MASK], or whether a text follows."""
    if "masks" in answer:
      return [[t["token"] for t in tokens[:1]] for tokens in answer["masks"]]
    if "next_probability" in answer:
      return answer["next_probability"] >= 0.5
    return None


def _judged(logits, labels):
  """The loss of each row, and 1 where its prediction is right, float32 [M].

  Args:
    logits: float32 [M, L].
    labels: int32 of any shape with M values.
  """
  labels = tf.reshape(labels, [-1])
  # As int64, which a GPU compares; int32 it would send to the host.
  right = tf.equal(tf.argmax(logits, axis=-1), tf.cast(labels, tf.int64))
  return layers.cross_entropy(logits, labels), tf.cast(right, tf.float32)


def _metrics(
  is_real,
  masked_lm_loss,
  masked_lm_right,
  masked_lm_weight,
  next_sentence_loss=None,
  next_sentence_right=None,
):
  """The metrics of a TPUEstimatorSpec, without examples that are padding."""

  def of_words(values):
    return tf.metrics.mean(
      tf.math.divide_no_nan(values, masked_lm_weight), masked_lm_weight
    )

  metrics = {
    "masked_lm_loss": of_words(masked_lm_loss),
    "masked_lm_accuracy": of_words(masked_lm_right),
  }
  if next_sentence_loss is not None:
    metrics |= {
      "next_sentence_loss": tf.metrics.mean(next_sentence_loss, is_real),
      "next_sentence_accuracy": tf.metrics.mean(next_sentence_right, is_real),
    }
  return metrics


# ------------------------------------------------------------------- masks


@dataclasses.dataclass(frozen=True)
class Masker:
  """Draws new masks for records in the input pipeline.

  The records may have masks already, which are undone first. The rule is that
  of `create_pretraining_data.py`, with other random numbers: an example's mask
  depends only on the seed and the example's number. All shapes are static.
  """

  vocab: Mapping[str, int]  # token to id
  max_predictions_per_seq: int
  masked_lm_prob: float = 0.15
  do_whole_word_mask: bool = False
  random_seed: int = 0

  def __call__(self, number, example: Mapping) -> dict:
    """Returns the example with another mask.

    Args:
      number: int64 scalar, the example's place in the order of the data.
      example: {name: tensor} of one record.
    """
    seed = tf.stack([tf.cast(self.random_seed, tf.int64), number])
    ids = unmasked_ids(example)  # [S]
    draws = tf.random.stateless_uniform([4, *ids.shape], seed, alg="philox")
    special = [self.vocab["[CLS]"], self.vocab["[SEP]"]]
    can_be = tf.cast(example["input_mask"], tf.bool) & tf.reduce_all(
      tf.not_equal(ids[:, tf.newaxis], special), axis=1
    )
    length = tf.reduce_sum(example["input_mask"])
    count = tf.round(tf.cast(length, tf.float64) * self.masked_lm_prob)
    count = tf.clip_by_value(
      tf.cast(count, tf.int32), 1, self.max_predictions_per_seq
    )
    chosen = choose_words(draws[0], can_be, self._continues(ids), count)
    return {
      **example,
      "input_ids": tf.where(chosen, self._replaced(ids, draws[1:]), ids),
      **self._labels(ids, chosen),
    }

  def _continues(self, ids):
    """Which ids are masked together with the candidate before them."""
    if not self.do_whole_word_mask:
      return tf.zeros_like(ids, tf.bool)
    table = np.zeros(max(self.vocab.values()) + 1, bool)
    for token, index in self.vocab.items():
      table[index] = token.startswith("##")
    return tf.gather(tf.constant(table), ids)

  def _replaced(self, ids, draws):
    """What each position holds if it is chosen, by random numbers [3, S]."""
    words = tf.constant(sorted(self.vocab.values()), tf.int32)
    place = tf.cast(draws[1] * len(self.vocab), tf.int32)
    random_ids = tf.gather(words, tf.minimum(place, len(self.vocab) - 1))
    mask_ids = tf.fill(tf.shape(ids), self.vocab["[MASK]"])
    kept_or_random = tf.where(draws[0] < KEPT, ids, random_ids)
    return tf.where(draws[0] < MASKED, mask_ids, kept_or_random)

  def _labels(self, ids, chosen):
    """masked_lm_* of the chosen positions, in order and padded with 0."""
    positions = tf.cast(tf.where(chosen)[:, 0], tf.int32)
    padding = [[0, self.max_predictions_per_seq - tf.size(positions)]]

    def padded(values):
      values = tf.pad(values, padding)
      return tf.ensure_shape(values, [self.max_predictions_per_seq])

    return {
      "masked_lm_positions": padded(positions),
      "masked_lm_ids": padded(tf.gather(ids, positions)),
      "masked_lm_weights": padded(tf.ones_like(positions, tf.float32)),
    }


def unmasked_ids(example: Mapping):
  """input_ids [S] with the true tokens put back wherever the weight is 1."""
  is_masked = example["masked_lm_weights"] > 0
  positions = tf.boolean_mask(example["masked_lm_positions"], is_masked)
  return tf.tensor_scatter_nd_update(
    example["input_ids"],
    positions[:, tf.newaxis],
    tf.boolean_mask(example["masked_lm_ids"], is_masked),
  )


def choose_words(order, can_be, continues, count):
  """Chooses words at random until `count` positions are chosen.

  Words are taken in random order. A word with more positions than are left to
  choose is skipped.

  Args:
    order: float32 [S], random; the value at its first position orders a word.
    can_be: bool [S], the candidates.
    continues: bool [S], candidates that belong to the candidate before.
    count: int32 scalar.

  Returns:
    bool [S].
  """
  number = tf.cumsum(tf.cast(can_be, tf.int32))  # of each candidate, from 1
  is_first = can_be & (~continues | tf.equal(number, 1))
  words = tf.cumsum(tf.cast(is_first, tf.int32)) - 1  # [S], each one's word
  length = order.shape[0]
  sizes = tf.math.unsorted_segment_sum(tf.cast(can_be, tf.int32), words, length)
  firsts = tf.where(is_first)[:, 0]  # of each word
  shuffled = tf.argsort(tf.gather(order, firsts))
  sizes = tf.gather(sizes, shuffled)

  def fitting(taken):
    left = count - tf.reduce_sum(sizes * tf.cast(taken, tf.int32))
    return ~taken & (sizes <= left), left

  def take(taken):  # the words that fit, up to the first that no longer does
    fits, left = fitting(taken)
    so_far = tf.cumsum(sizes * tf.cast(fits, tf.int32))
    return [taken | (fits & (so_far <= left))]

  (taken,) = tf.while_loop(
    lambda taken: tf.reduce_any(fitting(taken)[0]),
    take,
    [tf.zeros_like(sizes, tf.bool)],
    return_same_structure=True,
  )
  chosen_words = tf.tensor_scatter_nd_update(
    tf.zeros([length], tf.bool), shuffled[:, tf.newaxis], taken
  )
  return can_be & tf.gather(chosen_words, tf.maximum(words, 0))
