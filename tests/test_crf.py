# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The CRF against sums and maxima over all paths, computed one by one."""

import itertools

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from bert.tasks import crf


def evaluate(*tensors):
  with tf.Session() as session:
    return session.run(tensors)


def path_score(logits, transitions, path):
  """The score of a path, added up word by word."""
  score = sum(row[tag] for row, tag in zip(logits, path))
  return score + sum(transitions[pair] for pair in zip(path, path[1:]))


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_the_crf_equals_brute_force(scale):
  rng = np.random.RandomState(3)
  lengths, size = [5, 4, 1, 2], 3
  logits = (scale * rng.randn(4, 5, size)).astype(np.float32)
  transitions = (scale * rng.randn(size, size)).astype(np.float32)
  tags = rng.randint(0, size, [4, 5])
  is_word = np.arange(5) < np.array(lengths)[:, np.newaxis]
  is_scored = is_word.astype(np.int32)
  is_scored[0, [0, 3]] = is_scored[1, 2] = 0  # context: its tags are given
  inputs = [tf.constant(logits), tf.constant(transitions), tf.constant(is_word)]
  tag_ids = tf.constant(tags, tf.int32)
  totals, best, true, losses = evaluate(
    crf.log_partition(*inputs),
    crf.viterbi(*inputs),
    crf.path_scores(*inputs, tag_ids),
    crf.path_losses(*inputs, tag_ids, is_scored),
  )
  for row, length in enumerate(lengths):
    paths = list(itertools.product(range(size), repeat=length))
    scores = {
      path: path_score(logits[row].astype(float), transitions, path)
      for path in paths
    }
    total = np.logaddexp.reduce(list(scores.values()))
    np.testing.assert_allclose(totals[row], total, rtol=1e-5, atol=1e-5)
    assert tuple(best[row, :length]) == max(scores, key=scores.get)
    score = scores[tuple(tags[row, :length])]
    np.testing.assert_allclose(true[row], score, rtol=1e-5, atol=1e-5)
    given = [
      scores[path]
      for path in paths
      if all(
        is_scored[row, i] or path[i] == tags[row, i] for i in range(length)
      )
    ]
    loss = np.logaddexp.reduce(given) - score
    # The difference of two sums of this size, in float32.
    np.testing.assert_allclose(losses[row], loss, rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize("words", [1, None])
def test_a_single_word_has_a_path_too(words):
  logits = tf.placeholder(tf.float32, [None, words, 3])
  path = crf.viterbi(logits, tf.zeros([3, 3]), logits[:, :, 0] < 9)
  with tf.Session() as session:
    found = session.run(path, {logits: [[[0, 2, 1]], [[3, 2, 1]]]})
  assert found.tolist() == [[1], [0]]


def test_gradients_of_the_crf_are_differences_of_probabilities():
  """For a logit, the probability of its tag, minus 1 if the tag is true."""
  rng = np.random.RandomState(5)
  logits = tf.constant(rng.randn(1, 3, 2), tf.float32)
  transitions = tf.constant(rng.randn(2, 2), tf.float32)
  tags, ones = tf.constant([[0, 1, 1]]), tf.ones([1, 3], tf.int32)
  loss = crf.path_losses(logits, transitions, ones > 0, tags, ones)
  found, logits, transitions = evaluate(
    tf.gradients(loss, [logits, transitions]), logits, transitions
  )
  paths = list(itertools.product(range(2), repeat=3))
  scores = [path_score(logits[0], transitions, path) for path in paths]
  shares = np.exp(scores) / np.sum(np.exp(scores))
  for_logits, for_transitions = np.zeros([3, 2]), np.zeros([2, 2])
  for path, share in [*zip(paths, shares), ((0, 1, 1), -1.0)]:
    for word, tag in enumerate(path):
      for_logits[word, tag] += share
    for pair in zip(path, path[1:]):
      for_transitions[pair] += share
  np.testing.assert_allclose(found[0][0], for_logits, atol=1e-5)
  np.testing.assert_allclose(found[1], for_transitions, atol=1e-5)
