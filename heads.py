# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Task layers on the encoder, and their losses.

In: the encoder's vectors, [B, S, D] of tokens or [B, D] of sequences. Out:
logits, log-probabilities and losses. Every variable is made here under the name
that checkpoints use, in the current variable scope. `FORWARD` has the graph of
each kind of trained model, from token ids to predictions.

Shapes: B batch, S sequence, D hidden, V vocabulary, P masked positions a
sequence, L labels, F numbers given beside the text.
"""

from __future__ import annotations

import tensorflow.compat.v1 as tf

import modeling

CLASSIFIER_DROPOUT = 0.1
CLASSIFIER_STDDEV = 0.02
SPAN_STDDEV = 0.02
NO_WEIGHT = 1e-5  # added to the sum of weights, which may be 0


# ----------------------------------------------------------- pre-training


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
  logits = masked_lm_logits(
    bert_config, input_tensor, output_weights, positions, compute_dtype
  )
  per_example_loss, log_probs = _cross_entropy(
    logits, tf.reshape(label_ids, [-1])
  )
  weights = tf.reshape(label_weights, [-1])
  loss = tf.reduce_sum(weights * per_example_loss) / (
    tf.reduce_sum(weights) + NO_WEIGHT
  )
  return loss, per_example_loss, log_probs


def masked_lm_logits(
  bert_config,
  input_tensor,
  output_weights,
  positions,
  compute_dtype=tf.float32,
):
  """Scores each word of the vocabulary at each masked position.

  Makes the variables of `cls/predictions`.

  Args:
    bert_config: modeling.BertConfig.
    input_tensor: float32 [B, S, D], the encoder's sequence output.
    output_weights: float32 [V, D], the word embeddings.
    positions: int32 [B, P], where tokens were masked.
    compute_dtype: float type of the products.

  Returns:
    float32 [B*P, V].
  """
  tokens = gather_indexes(input_tensor, positions)  # [B*P, D]
  tokens = tf.cast(tokens, compute_dtype)
  initializer = modeling.create_initializer(bert_config.initializer_range)
  with tf.variable_scope("cls/predictions"):
    with tf.variable_scope("transform"):
      tokens = modeling.dense(
        tokens,
        bert_config.hidden_size,
        "dense",
        modeling.get_activation(bert_config.hidden_act),
        initializer,
      )
      tokens = modeling.layer_norm(tokens, "LayerNorm")
    bias = tf.get_variable(
      "output_bias",
      [bert_config.vocab_size],
      initializer=tf.zeros_initializer(),
    )
  table = tf.cast(output_weights, compute_dtype)
  logits = tf.matmul(tokens, table, transpose_b=True)  # [B*P, V]
  return tf.nn.bias_add(tf.cast(logits, tf.float32), bias)


def get_next_sentence_output(bert_config, input_tensor, labels):
  """Predicts whether the second text follows the first.

  Args:
    bert_config: modeling.BertConfig.
    input_tensor: float32 [B, D], the encoder's pooled output.
    labels: int32 [B, 1] or [B], 0 = it follows, 1 = it is random.

  Returns:
    loss: float32 scalar, the mean.
    per_example_loss: float32 [B].
    log_probs: float32 [B, 2].
  """
  with tf.variable_scope("cls/seq_relationship"):
    logits = _labels_product(input_tensor, 2, bert_config.initializer_range)
  per_example_loss, log_probs = _cross_entropy(logits, tf.reshape(labels, [-1]))
  return tf.reduce_mean(per_example_loss), per_example_loss, log_probs


def gather_indexes(sequence_tensor, positions):
  """Vectors at given positions of each sequence.

  Args:
    sequence_tensor: float32 [B, S, D].
    positions: int32 [B, P].

  Returns:
    float32 [B*P, D].
  """
  batch, length, width = modeling.get_shape_list(sequence_tensor, 3)
  starts = tf.range(batch)[:, tf.newaxis] * length  # [B, 1]
  rows = tf.reshape(positions + starts, [-1])  # in the matrix [B*S, D]
  return tf.gather(tf.reshape(sequence_tensor, [-1, width]), rows)


# --------------------------------------------------------- classification


def classification(
  pooled_output, num_labels, is_training, dropout_seed=None, features=None
):
  """One logit a label from the vector of a sequence.

  Makes the variables `output_weights` [L, D + F] and `output_bias` [L].

  Args:
    pooled_output: float32 [B, D].
    num_labels: int, L; 1 for a number.
    is_training: bool, whether dropout is on.
    dropout_seed: int32 [2], or None.
    features: float32 [B, F], joined to the vector after dropout; or None.

  Returns:
    float32 [B, L].
  """
  if is_training:
    pooled_output = modeling.dropout(
      pooled_output, CLASSIFIER_DROPOUT, dropout_seed
    )
  if features is not None:
    pooled_output = tf.concat([pooled_output, features], axis=1)
  return _labels_product(pooled_output, num_labels, CLASSIFIER_STDDEV)


def single_label_loss(logits, labels):
  """Cross entropy with one label an example.

  Args:
    logits: float32 [B, L].
    labels: int32 [B].

  Returns:
    float32 [B].
  """
  return _cross_entropy(logits, labels)[0]


def multi_label_loss(logits, labels):
  """Mean over the labels of each one's sigmoid cross entropy.

  Args:
    logits: float32 [B, L].
    labels: float32 [B, L] of 0 and 1.

  Returns:
    float32 [B].
  """
  losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
  return tf.reduce_mean(losses, axis=-1)


def regression_loss(logits, labels):
  """Squared error of a number.

  Args:
    logits: float32 [B, 1] or [B], the predicted numbers.
    labels: float32 [B].

  Returns:
    float32 [B].
  """
  return tf.square(tf.reshape(logits, [-1]) - tf.reshape(labels, [-1]))


# ------------------------------------------------------------------ spans


def spans(sequence_output):
  """Scores each token as the first and as the last of an answer.

  Makes the variables `cls/squad/output_weights` [2, D] and
  `cls/squad/output_bias` [2].

  Args:
    sequence_output: float32 [B, S, D].

  Returns:
    start_logits: float32 [B, S].
    end_logits: float32 [B, S].
  """
  batch, length, width = modeling.get_shape_list(sequence_output, 3)
  tokens = tf.reshape(sequence_output, [batch * length, width])
  with tf.variable_scope("cls/squad"):
    logits = _labels_product(tokens, 2, SPAN_STDDEV)  # [B*S, 2]
  logits = tf.reshape(logits, [batch, length, 2])
  start_logits, end_logits = tf.unstack(logits, axis=-1)
  return start_logits, end_logits


def span_loss(start_logits, end_logits, start_positions, end_positions):
  """Mean of the cross entropies of an answer's first and last token.

  Args:
    start_logits: float32 [B, S]; padding has its share in the softmax.
    end_logits: float32 [B, S].
    start_positions: int32 [B].
    end_positions: int32 [B].

  Returns:
    float32 [B].
  """
  start_loss, _ = _cross_entropy(start_logits, start_positions)
  end_loss, _ = _cross_entropy(end_logits, end_positions)
  return (start_loss + end_loss) / 2.0


# ----------------------------------------------- from ids to predictions


def classifier_forward(
  bert_config,
  features,
  note,
  is_training=False,
  dropout_seed=None,
  **encoder_options,
):
  """BERT with a classifier on the first token's pooled vector.

  Args:
    bert_config: modeling.BertConfig.
    features: `input_ids`, `input_mask` and `segment_ids`, int32 [B, S]; where
      the task has numbers beside the text, `features`, float32 [B, F].
    note: of task.json: `labels`, one an output (none: one output), and
      `label_type`, single, multi or number.
    is_training: bool, whether dropout is on.
    dropout_seed: int32 [2], or None.
    **encoder_options: of `modeling.BertModel`.

  Returns:
    `logits` and `probabilities`, float32 [B, L]; for a number, the
    probabilities are the numbers.
  """
  model = _encoder(
    bert_config, features, is_training, dropout_seed, encoder_options
  )
  logits = classification(
    model.get_pooled_output(),
    len(note["labels"]) or 1,
    is_training,
    dropout_seed,
    features.get("features"),
  )
  activation = {
    "single": tf.nn.softmax,
    "multi": tf.nn.sigmoid,
    "number": tf.identity,
  }[note["label_type"]]
  return {"logits": logits, "probabilities": activation(logits)}


def span_forward(
  bert_config,
  features,
  note,
  is_training=False,
  dropout_seed=None,
  **encoder_options,
):
  """BERT with two scores for each token.

  Args:
    bert_config: as all others, of `classifier_forward`; `note` is not used.

  Returns:
    `start_logits` and `end_logits`, float32 [B, S].
  """
  del note
  model = _encoder(
    bert_config, features, is_training, dropout_seed, encoder_options
  )
  start_logits, end_logits = spans(model.get_sequence_output())
  return {"start_logits": start_logits, "end_logits": end_logits}


# The graph of a trained model by the `task` of its task.json, for training and
# prediction alike. All have the arguments of `classifier_forward`: `features`
# has what the task's records hold, `note` what its task.json does.
FORWARD = {"classifier": classifier_forward, "squad": span_forward}


def _encoder(bert_config, features, is_training, dropout_seed, options):
  return modeling.BertModel(
    bert_config,
    is_training,
    features["input_ids"],
    features["input_mask"],
    features["segment_ids"],
    dropout_seed=dropout_seed,
    **options,
  )


# ----------------------------------------------------------------- shared


def _labels_product(vectors, num_labels, stddev):
  """[B, D] to [B, L] by `output_weights` [L, D] and `output_bias` [L]."""
  weights = tf.get_variable(
    "output_weights",
    [num_labels, vectors.shape[-1]],
    initializer=modeling.create_initializer(stddev),
  )
  bias = tf.get_variable(
    "output_bias", [num_labels], initializer=tf.zeros_initializer()
  )
  return tf.nn.bias_add(tf.matmul(vectors, weights, transpose_b=True), bias)


def _cross_entropy(logits, labels):
  """Losses [M] and log-probabilities [M, L] of logits [M, L], labels [M]."""
  losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
    labels=labels, logits=logits
  )
  return losses, tf.nn.log_softmax(logits)
