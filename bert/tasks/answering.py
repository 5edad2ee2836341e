# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Question answering: a question and its context to a part of the context.

In: the encoder's vector of each token [B, S, D]. Out: each token's score as the
first and as the last of the answer, and their loss; and from a row with a
question and a context to the answer.

Shapes: B batch, S sequence, D hidden.
"""

from __future__ import annotations

import dataclasses

import tensorflow.compat.v1 as tf

import modeling
from bert.records import record_files
from bert.tasks import answers, layers, task

_OUTSIDE = -1e9  # added to the score of what can't be an answer


@dataclasses.dataclass(frozen=True)
class SquadNote:
  """What task.json keeps of a model that answers questions."""

  task: str
  version_2_with_negative: bool  # whether a question may have no answer
  do_lower_case: bool
  max_seq_length: int
  max_query_length: int  # in pieces
  doc_stride: int  # pieces from the start of one window to the next one's
  n_best_size: int  # answers to keep per question
  max_answer_length: int  # in pieces
  null_score_diff_threshold: float

  @property
  def window_options(self) -> dict:
    """Keyword arguments of `answers.convert_examples_to_features`."""
    return self._values("max_seq_length", "doc_stride", "max_query_length")

  @property
  def answer_options(self) -> dict:
    """Keyword arguments of `answers.find_answers`."""
    return self._values(
      "n_best_size",
      "max_answer_length",
      "do_lower_case",
      "version_2_with_negative",
      "null_score_diff_threshold",
    )

  def _values(self, *names):
    return {name: getattr(self, name) for name in names}


# ------------------------------------------------------------------ layers


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
    logits = layers.labels_product(tokens, 2)  # [B*S, 2]
  logits = tf.reshape(logits, [batch, length, 2])
  start_logits, end_logits = tf.unstack(logits, axis=-1)
  return start_logits, end_logits


def span_loss(start_logits, end_logits, start_positions, end_positions):
  """The mean of the cross entropies of an answer's first and last token.

  Args:
    start_logits: float32 [B, S]; the softmax includes padding.
    end_logits: float32 [B, S].
    start_positions: int32 [B].
    end_positions: int32 [B].

  Returns:
    float32 [B].
  """
  start_loss = layers.cross_entropy(start_logits, start_positions)
  end_loss = layers.cross_entropy(end_logits, end_positions)
  return (start_loss + end_loss) / 2.0


def best_spans(start_logits, end_logits, is_context, max_answer_length: int):
  """The span of each window with the highest sum of its two logits.

  Args:
    start_logits: float32 [B, S].
    end_logits: float32 [B, S].
    is_context: bool [B, S], which tokens an answer may have.
    max_answer_length: in tokens.

  Returns:
    start: int32 [B].
    end: int32 [B], the last token.
    score: float32 [B].
  """
  outside = (1.0 - tf.cast(is_context, tf.float32)) * _OUTSIDE
  scores = tf.expand_dims(start_logits + outside, 2)
  scores += tf.expand_dims(end_logits + outside, 1)  # [B, S, S]
  length = tf.shape(start_logits)[1]
  is_span = tf.linalg.band_part(
    tf.ones([length, length]), 0, tf.minimum(max_answer_length, length) - 1
  )
  scores = tf.reshape(
    scores + (1.0 - is_span) * _OUTSIDE, [-1, length * length]
  )
  best = tf.argmax(scores, axis=-1, output_type=tf.int32)
  return best // length, best % length, tf.reduce_max(scores, axis=-1)


# -------------------------------------------------------------------- task


class Answering(task.Task):
  """A question and its context to the answer, a part of the context."""

  name = "squad"
  Note = SquadNote
  example = {"question": "...", "context": "..."}

  @property
  def least_length(self):
    return self.note.max_query_length + super().least_length

  def schema(self, is_training):
    """`unique_ids` names the window; for training, `start_positions` and
    `end_positions` are the first and last token of the answer, both 0 if the
    window has none, and `is_impossible` is 1 if the context has none."""
    names = ["unique_ids"]
    if is_training:
      names += ["start_positions", "end_positions", "is_impossible"]
    return {
      **record_files.sequence_schema(self.note.max_seq_length),
      **{name: tf.FixedLenFeature([], tf.int64) for name in names},
    }

  def layers(self, encoder, features):
    """`start_logits` and `end_logits` [B, S].

    Packed rows have no padding that could have logits, so those of padding get
    the lowest score: the softmax is that of each window without padding.
    """
    logits = spans(encoder.get_sequence_output())
    if "packed_starts" in features:
      is_padding = 1.0 - tf.cast(features["input_mask"], tf.float32)
      logits = [each + is_padding * modeling.MASKED_SCORE for each in logits]
    return dict(zip(("start_logits", "end_logits"), logits))

  def scored(self, tensors, features):
    predictions = {"unique_ids": features["unique_ids"], **tensors}
    if "start_positions" not in features:
      return task.Outputs(predictions)
    losses = span_loss(
      tensors["start_logits"],
      tensors["end_logits"],
      features["start_positions"],
      features["end_positions"],
    )
    return task.Outputs(
      predictions,
      loss_sums=[tf.reduce_sum(losses)],
      metric_fn=_mean_loss,
      metric_inputs=[losses],
    )

  def served(self, tensors, inputs):
    """`start_logits` and `end_logits` [B, S]; of the best span in each window,
    its first token `start`, its last token `end` and its `score`, [B] each; and
    `null_score` [B], the score of no answer."""
    starts, ends = tensors["start_logits"], tensors["end_logits"]
    in_second = inputs["input_mask"] * inputs["segment_ids"]
    # All of the second segment except its last token, [SEP].
    is_context = in_second * tf.pad(in_second[:, 1:], [[0, 0], [0, 1]]) > 0
    start, end, score = best_spans(
      starts, ends, is_context, self.note.max_answer_length
    )
    return {
      "start_logits": starts,
      "end_logits": ends,
      "start": start,
      "end": end,
      "score": score,
      "null_score": starts[:, 0] + ends[:, 0],
    }

  def prepare(self, row, tokenizer):
    """The windows of the context; the question and the windows are kept."""
    question = task.text_of(row, ("question",), self.example)
    context = task.text_of(row, ("context",), self.example)
    answers.check_texts(question, context)
    words, starts = answers.split_context(context)
    example = answers.SquadExample("", question, words, token_starts=starts)
    found = []
    answers.convert_examples_to_features(
      [example],
      tokenizer,
      is_training=False,
      output_fn=found.append,
      **self.note.window_options,
    )
    return [task.window(features) for features in found], (example, found)

  def answer(self, kept, outputs):
    """{"text", "probability", "start", "end", "window", "answers"}; for SQuAD
    2.0 also "null_odds"."""
    example, found = kept
    (prediction,) = answers.find_answers(
      [example],
      found,
      answers.results_of(found, outputs),
      **self.note.answer_options,
    )
    return answers.prediction_fields(prediction)

  def decision(self, answer):
    """The text of the answer."""
    return answer["text"]


def _mean_loss(losses):
  return {"eval_loss": tf.metrics.mean(losses)}
