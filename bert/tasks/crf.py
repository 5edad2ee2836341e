# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""A linear-chain CRF: scores of tag paths, their loss and the best path.

In: a score for each tag of each word, and for each tag after another. Out: the
negative log-likelihood of the true tags, and the path with the highest score.

Shapes: B batch, W words, L labels.
"""

from __future__ import annotations

import tensorflow.compat.v1 as tf

import modeling


def path_losses(logits, transitions, is_word, tag_ids, is_scored):
  """The negative log-likelihood of the scored words' tags.

  The tags of the other words are given: the true path is compared only with
  paths that have these tags too (arXiv:1603.01360, section 2.2).

  Args:
    logits: float32 [B, W, L].
    transitions: float32 [L, L], the score of a tag (column) after another
      (row).
    is_word: bool [B, W], True up to the last word.
    tag_ids: int32 [B, W], the true tags.
    is_scored: int32 [B, W], 1 where a word counts.

  Returns:
    float32 [B].
  """
  true_tags = tf.one_hot(tag_ids, transitions.shape[0])  # [B, W, L]
  is_given = tf.cast(1 - is_scored, tf.float32)[:, :, tf.newaxis]
  possible = logits + modeling.MASKED_SCORE * is_given * (1.0 - true_tags)
  return log_partition(possible, transitions, is_word) - path_scores(
    logits, transitions, is_word, tag_ids
  )


def path_scores(logits, transitions, is_word, tag_ids):
  """The score of a path: the sum over its tags and over its pairs of tags.

  Args:
    logits: float32 [B, W, L].
    transitions: float32 [L, L].
    is_word: bool [B, W]; the first word counts in any case.
    tag_ids: int32 [B, W].

  Returns:
    float32 [B].
  """
  tags = tf.one_hot(tag_ids, transitions.shape[0])  # [B, W, L]
  scores = tf.reduce_sum(tags * logits, axis=-1)  # [B, W]
  from_tags = tf.tensordot(tags[:, :-1], transitions, 1)  # [B, W-1, L]
  steps = scores[:, 1:] + tf.reduce_sum(tags[:, 1:] * from_tags, axis=-1)
  steps *= tf.cast(is_word[:, 1:], tf.float32)
  return scores[:, 0] + tf.reduce_sum(steps, axis=1)


def log_partition(logits, transitions, is_word):
  """The log of the sum of exp(score) over all paths, by the forward algorithm.

  Args:
    logits: float32 [B, W, L].
    transitions: float32 [L, L].
    is_word: bool [B, W]; the first word counts in any case.

  Returns:
    float32 [B].
  """

  def step(scores, inputs):  # scores [B, L] of all paths up to a tag
    logits, is_word = inputs
    paths = scores[:, :, tf.newaxis] + transitions  # [B, L, L]
    longer = tf.reduce_logsumexp(paths, axis=1) + logits
    return tf.where_v2(is_word, longer, scores)

  first, others, are_words = _by_word(logits, is_word)
  scores = tf.foldl(step, (others, are_words), first)
  return tf.reduce_logsumexp(scores, axis=-1)


def viterbi(logits, transitions, is_word):
  """The path with the highest score.

  Args:
    logits: float32 [B, W, L].
    transitions: float32 [L, L].
    is_word: bool [B, W], True up to the last word.

  Returns:
    int32 [B, W]; the last word's tag is repeated after it.
  """
  size = logits.shape[-1]

  def step(state, inputs):
    scores, _ = state
    logits, is_word = inputs
    paths = scores[:, :, tf.newaxis] + transitions  # [B, L, L]
    before = tf.argmax(paths, axis=1, output_type=tf.int32)
    longer = tf.reduce_max(paths, axis=1) + logits
    return (
      tf.where_v2(is_word, longer, scores),
      tf.where_v2(is_word, before, tf.range(size)),
    )

  def back(tag, before):  # [B], [B, L]
    return tf.reduce_sum(before * tf.one_hot(tag, size, dtype=tf.int32), axis=1)

  # One more position, because tf.scan refuses an empty sequence.
  logits = tf.pad(logits, [[0, 0], [0, 1], [0, 0]])
  is_word = tf.concat([is_word, tf.zeros_like(is_word[:, :1])], axis=1)
  first, others, are_words = _by_word(logits, is_word)
  state = first, tf.zeros_like(first, tf.int32)
  scores, before = tf.scan(step, (others, are_words), state, back_prop=False)
  last = tf.argmax(scores[-1], axis=-1, output_type=tf.int32)
  # Without reverse=True, which a file for ONNX can't have.
  tags = tf.scan(back, tf.reverse(before, [0]), last, back_prop=False)
  return tf.transpose(tf.reverse(tags, [0]))


def _by_word(logits, is_word):
  """The first word [B, L], and the others [W-1, B, L] and [W-1, B, 1]."""
  logits = tf.transpose(logits, [1, 0, 2])
  is_word = tf.transpose(is_word)[:, :, tf.newaxis]
  return logits[0], logits[1:], is_word[1:]
