# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The heads: the original's values and names, and losses worked by hand."""

import itertools
import pathlib

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import modeling
from bert.tasks import heads

GOLDEN = pathlib.Path(__file__).parent / "golden"
CHECKPOINT = str(GOLDEN / "tiny_checkpoint" / "model.ckpt")


def evaluate(*tensors):
  """The tensors' values, once the variables have their first ones."""
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    return session.run(tensors)


def names_and_shapes():
  return {v.op.name: v.shape.as_list() for v in tf.trainable_variables()}


@pytest.fixture
def golden():
  return dict(np.load(GOLDEN / "modeling.npz"))


@pytest.fixture
def pretraining(golden):
  """{golden name: tensor} of both pre-training heads on the golden encoder."""
  config = modeling.BertConfig.from_json_file(
    str(GOLDEN / "tiny_checkpoint" / "bert_config.json")
  )
  names = "input_ids", "input_mask", "segment_ids"
  inputs = [golden["in/" + name] for name in names]
  model = modeling.BertModel(config, False, *inputs)
  masked_lm = heads.get_masked_lm_output(
    config,
    model.get_sequence_output(),
    model.get_embedding_table(),
    golden["in/masked_lm_positions"],
    golden["in/masked_lm_ids"],
    golden["in/masked_lm_weights"],
  )
  next_sentence = heads.get_next_sentence_output(
    config, model.get_pooled_output(), golden["in/next_sentence_labels"]
  )
  parts = "loss", "example_loss", "log_probs"
  return {
    **{f"masked_lm_{part}": t for part, t in zip(parts, masked_lm)},
    **{f"next_sentence_{part}": t for part, t in zip(parts, next_sentence)},
  }


# ----------------------------------------------------------- pre-training


def test_pretraining_values_are_the_originals(golden, pretraining):
  variables = tf.trainable_variables()
  found, _ = modeling.get_assignment_map_from_checkpoint(variables, CHECKPOINT)
  tf.train.init_from_checkpoint(CHECKPOINT, found)
  for name, value in zip(pretraining, evaluate(*pretraining.values())):
    np.testing.assert_allclose(value, golden["out/" + name], atol=1e-5)


def test_pretraining_names_and_shapes_are_the_originals(pretraining):
  assert len(pretraining) == 6
  assert names_and_shapes() == dict(tf.train.list_variables(CHECKPOINT))


def test_masked_words_in_bfloat16_are_close_and_come_out_in_float32():
  config = modeling.BertConfig(20, hidden_size=8, initializer_range=0.5)
  vectors = tf.constant(np.random.randn(2, 6, 8), tf.float32)
  table = tf.constant(np.random.randn(20, 8), tf.float32)
  positions, ids = [[1, 3], [5, 0]], [[4, 9], [19, 0]]
  outputs = []
  for dtype in (tf.float32, tf.bfloat16):
    with tf.variable_scope("", reuse=tf.AUTO_REUSE):
      outputs += heads.get_masked_lm_output(
        *(config, vectors, table, tf.constant(positions), ids),
        *(tf.constant([[1.0, 1.0], [1.0, 0.0]]), dtype),
      )
  assert {v.dtype.base_dtype for v in tf.trainable_variables()} == {tf.float32}
  assert {output.dtype for output in outputs} == {tf.float32}
  loss, _, log_probs, loss_16, _, log_probs_16 = evaluate(*outputs)
  assert loss != loss_16  # 8 bits of mantissa
  np.testing.assert_allclose(loss_16, loss, rtol=0.05)
  np.testing.assert_allclose(log_probs_16, log_probs, atol=0.3)


def test_padding_has_no_part_in_the_masked_lm_loss():
  config = modeling.BertConfig(vocab_size=4, hidden_size=2)
  # Equal weights for all four words: every prediction costs log(4).
  loss, per_example_loss, log_probs = heads.get_masked_lm_output(
    config,
    tf.ones([1, 3, 2]),
    tf.ones([4, 2]),
    tf.constant([[1, 2, 0]]),
    tf.constant([[3, 0, 0]]),
    tf.constant([[1.0, 1.0, 0.0]]),
  )
  loss, per_example_loss, log_probs = evaluate(
    loss, per_example_loss, log_probs
  )
  np.testing.assert_allclose(per_example_loss, np.log([4, 4, 4]), rtol=1e-5)
  np.testing.assert_allclose(log_probs, np.full([3, 4], -np.log(4)), rtol=1e-5)
  np.testing.assert_allclose(loss, 2 * np.log(4) / (2 + 1e-5), rtol=1e-6)


def test_indexes_gather_from_their_own_sequence():
  vectors = tf.reshape(tf.range(12.0), [2, 3, 2])
  found = heads.gather_indexes(vectors, tf.constant([[2, 0], [1, 1]]))
  expected = [[4, 5], [0, 1], [8, 9], [8, 9]]
  np.testing.assert_array_equal(evaluate(found)[0], expected)


def test_indexes_gather_where_shapes_are_unknown():
  vectors = tf.placeholder(tf.float32, [None, None, 2])
  positions = tf.placeholder(tf.int32, [None, None])
  found = heads.gather_indexes(vectors, positions)
  feed = {vectors: [[[0, 1], [2, 3]], [[4, 5], [6, 7]]], positions: [[1], [0]]}
  with tf.Session() as session:
    np.testing.assert_array_equal(session.run(found, feed), [[2, 3], [4, 5]])


# --------------------------------------------------------- classification


def test_the_classifier_is_a_product_and_a_bias():
  with tf.variable_scope("", reuse=tf.AUTO_REUSE):
    tf.get_variable("output_weights", initializer=[[1.0, 2.0], [0.0, -1.0]])
    tf.get_variable("output_bias", initializer=[0.5, 0.0])
    logits = heads.classification(tf.constant([[3.0, 4.0]]), 2, False)
  np.testing.assert_allclose(evaluate(logits)[0], [[11.5, -4.0]])


def test_the_classifiers_names_and_shapes():
  heads.classification(
    tf.ones([5, 8]), 3, False, features=tf.placeholder(tf.float32, [None, 2])
  )
  shapes = {"output_weights": [3, 10], "output_bias": [3]}
  assert names_and_shapes() == shapes


def test_features_are_joined_behind_the_vector():
  with tf.variable_scope("", reuse=tf.AUTO_REUSE):
    tf.get_variable("output_weights", initializer=[[1.0, 10.0, 100.0]])
    logits = heads.classification(
      tf.constant([[1.0, 2.0]]), 1, False, features=tf.constant([[3.0]])
    )
  np.testing.assert_allclose(evaluate(logits)[0], [[321.0]])


def test_dropout_is_on_in_training_alone_and_spares_features():
  with tf.variable_scope("", reuse=tf.AUTO_REUSE):
    weights = np.repeat([[1.0, 0.0], [0.0, 1.0]], [1000, 1000], axis=1)
    tf.get_variable("output_weights", initializer=weights.astype(np.float32))
    ones = tf.ones([1, 1000])
    train, same, other, predict = (
      heads.classification(ones, 2, is_training, seed, ones)
      for is_training, seed in (
        (True, [1, 0]),
        (True, [1, 0]),
        (True, [1, 1]),
        (False, [1, 0]),
      )
    )
  train, same, other, predict = evaluate(train, same, other, predict)
  np.testing.assert_allclose(predict, [[1000.0, 1000.0]])
  np.testing.assert_allclose(train[0, 1], 1000.0)
  np.testing.assert_array_equal(train, same)
  assert train[0, 0] != other[0, 0]
  kept = train[0, 0] * 0.9  # of 1000, each scaled by 1 / 0.9
  assert 850 < kept < 950


def test_one_label_costs_its_log_probability():
  logits = tf.constant([[np.log(3.0), 0.0], [0.0, 0.0]], tf.float32)
  losses = heads.single_label_loss(logits, tf.constant([0, 1]))
  np.testing.assert_allclose(
    evaluate(losses)[0], [-np.log(3 / 4), -np.log(1 / 2)], rtol=1e-5
  )


def test_several_labels_cost_the_mean_of_theirs():
  logits = tf.constant([[np.log(3.0), 0.0]], tf.float32)
  losses = heads.multi_label_loss(logits, tf.constant([[1.0, 0.0]]))
  expected = (-np.log(3 / 4) - np.log(1 / 2)) / 2
  np.testing.assert_allclose(evaluate(losses)[0], [expected], rtol=1e-5)


def test_a_number_costs_the_square_of_its_error():
  losses = heads.regression_loss(
    tf.constant([[1.0], [2.0]]), tf.constant([4.0, 2.5])
  )
  np.testing.assert_allclose(evaluate(losses)[0], [9.0, 0.25])


# ------------------------------------------------------------------ spans


def test_spans_score_each_token_by_their_own_weights():
  with tf.variable_scope("", reuse=tf.AUTO_REUSE):
    tf.get_variable(
      "cls/squad/output_weights", initializer=[[1.0, 0.0], [0.0, -1.0]]
    )
    tf.get_variable("cls/squad/output_bias", initializer=[0.5, 0.0])
    vectors = tf.constant([[[3.0, 4.0], [1.0, 2.0]], [[0.0, 1.0], [5.0, 0.0]]])
    starts, ends = evaluate(*heads.spans(vectors))
  np.testing.assert_allclose(starts, [[3.5, 1.5], [0.5, 5.5]])
  np.testing.assert_allclose(ends, [[-4.0, -2.0], [-1.0, 0.0]])


def test_the_names_and_shapes_of_spans():
  heads.spans(tf.placeholder(tf.float32, [None, None, 8]))
  assert names_and_shapes() == {
    "cls/squad/output_weights": [2, 8],
    "cls/squad/output_bias": [2],
  }


def test_a_span_costs_the_mean_of_its_two_ends():
  starts = tf.constant([[np.log(3.0), 0.0]], tf.float32)
  ends = tf.constant([[0.0, 0.0]])
  loss = heads.span_loss(starts, ends, tf.constant([0]), tf.constant([1]))
  expected = (-np.log(3 / 4) - np.log(1 / 2)) / 2
  np.testing.assert_allclose(evaluate(loss)[0], [expected], rtol=1e-5)


# ------------------------------------------------------------------- tags


def tag_note(size=3, **head):
  values = dict(use_crf=False, birnn_cell=None, birnn_size=4, mix_layers=[])
  return {"labels": list("abcdefg")[:size], **values, **head}


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
  totals, best, losses = evaluate(
    heads.log_partition(*inputs),
    heads.viterbi(*inputs),
    heads.tag_losses(*inputs, tf.constant(tags, tf.int32), is_scored),
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
    given = [
      scores[path]
      for path in paths
      if all(
        is_scored[row, i] or path[i] == tags[row, i] for i in range(length)
      )
    ]
    loss = np.logaddexp.reduce(given) - scores[tuple(tags[row, :length])]
    # Of two sums of this size, in float32.
    np.testing.assert_allclose(losses[row], loss, rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize("words", [1, None])
def test_one_word_has_a_path_too(words):
  logits = tf.placeholder(tf.float32, [None, words, 3])
  path = heads.viterbi(logits, tf.zeros([3, 3]), logits[:, :, 0] < 9)
  with tf.Session() as session:
    found = session.run(path, {logits: [[[0, 2, 1]], [[3, 2, 1]]]})
  assert found.tolist() == [[1], [0]]


def test_gradients_of_the_crf_are_differences_of_probabilities():
  """By the emissions: how likely a tag is, less 1 where it is the true one."""
  rng = np.random.RandomState(5)
  logits = tf.constant(rng.randn(1, 3, 2), tf.float32)
  transitions = tf.constant(rng.randn(2, 2), tf.float32)
  tags, ones = tf.constant([[0, 1, 1]]), tf.ones([1, 3], tf.int32)
  loss = heads.tag_losses(logits, transitions, ones > 0, tags, ones)
  found, logits, transitions = evaluate(
    tf.gradients(loss, [logits, transitions]), logits, transitions
  )
  paths = list(itertools.product(range(2), repeat=3))
  scores = [path_score(logits[0], transitions, path) for path in paths]
  shares = np.exp(scores) / np.sum(np.exp(scores))
  of_logits, of_transitions = np.zeros([3, 2]), np.zeros([2, 2])
  for path, share in [*zip(paths, shares), ((0, 1, 1), -1.0)]:
    for word, tag in enumerate(path):
      of_logits[word, tag] += share
    for pair in zip(path, path[1:]):
      of_transitions[pair] += share
  np.testing.assert_allclose(found[0][0], of_logits, atol=1e-5)
  np.testing.assert_allclose(found[1], of_transitions, atol=1e-5)


def test_without_a_crf_only_scored_words_cost():
  logits = tf.constant([[[np.log(3.0), 0.0], [5.0, 0.0]]], tf.float32)
  tags, is_scored = tf.constant([[0, 1]]), tf.constant([[1, 0]])
  loss = heads.tag_losses(logits, None, tags >= 0, tags, is_scored)
  np.testing.assert_allclose(evaluate(loss)[0], [-np.log(3 / 4)], rtol=1e-5)


def test_the_taggers_names_and_shapes():
  layers = [tf.ones([2, 5, 8])] * 3
  positions = tf.ones([2, 4], tf.int32)
  head = dict(use_crf=True, birnn_cell="lstm", birnn_size=6, mix_layers=[-1, 0])
  logits, transitions = heads.tagging(
    layers, positions, tag_note(**head), False
  )
  assert logits.shape.as_list() == [2, 4, 3]
  assert transitions.shape.as_list() == [3, 3]
  assert names_and_shapes() == {
    "tagger/mix_layers/weights": [2],
    "tagger/mix_layers/scale": [],
    "tagger/birnn/kernel": [2, 8, 24],
    "tagger/birnn/recurrent_kernel": [2, 6, 24],
    "tagger/birnn/bias": [2, 24],
    "tagger/output_weights": [3, 12],
    "tagger/output_bias": [3],
    "tagger/crf/transitions": [3, 3],
  }


def test_layers_are_mixed_by_the_softmax_of_their_weights():
  with tf.variable_scope("mix_layers", reuse=tf.AUTO_REUSE):
    tf.get_variable("weights", initializer=[np.log(3.0).astype("f"), 0.0])
    tf.get_variable("scale", initializer=2.0)
  with tf.variable_scope("", reuse=tf.AUTO_REUSE):
    mixed = heads.mix_layers([tf.ones([1, 1, 1]), tf.fill([1, 1, 1], 5.0)])
  expected = 2 * (3 / 4 * 1 + 1 / 4 * 5)
  np.testing.assert_allclose(evaluate(mixed)[0], [[[expected]]], rtol=1e-6)


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def lstm_of_one_direction(words, kernel, recurrent, bias):
  hidden = cell = np.zeros(len(recurrent))
  outputs = []
  for word in words:
    gates = word @ kernel + hidden @ recurrent + bias
    take, keep, show, new = np.split(gates, 4)
    cell = sigmoid(keep + 1) * cell + sigmoid(take) * np.tanh(new)
    hidden = sigmoid(show) * np.tanh(cell)
    outputs.append(hidden)
  return np.array(outputs)


def gru_of_one_direction(words, kernel, recurrent, bias):
  hidden, outputs = np.zeros(len(recurrent)), []
  for word in words:
    update, reset, new = np.split(word @ kernel + bias, 3)
    before = np.split(hidden @ recurrent, 3)
    new = np.tanh(new + sigmoid(reset + before[1]) * before[2])
    keep = sigmoid(update + before[0])
    hidden = keep * hidden + (1 - keep) * new
    outputs.append(hidden)
  return np.array(outputs)


@pytest.mark.parametrize(
  ("cell", "one_direction"),
  [("lstm", lstm_of_one_direction), ("gru", gru_of_one_direction)],
)
def test_a_recurrent_layer_reads_words_both_ways(cell, one_direction):
  words = np.random.randn(2, 4, 3).astype(np.float32)
  lengths = [4, 2]
  is_word = np.arange(4) < np.array(lengths)[:, np.newaxis]
  output = heads.birnn(tf.constant(words), tf.constant(is_word), cell, 2)
  output, *weights = evaluate(output, *tf.trainable_variables())
  for row, length in enumerate(lengths):
    read = words[row, :length]
    forwards = one_direction(read, *(w[0] for w in weights))
    backwards = one_direction(read[::-1], *(w[1] for w in weights))[::-1]
    expected = np.concatenate([forwards, backwards], axis=-1)
    np.testing.assert_allclose(output[row, :length], expected, atol=1e-5)


# ----------------------------------------------- from ids to predictions


def test_a_trained_model_is_its_encoder_and_head_by_its_note():
  config = modeling.BertConfig(12, 8, 1, 2, 16)
  inputs = {"input_ids": tf.constant([[1, 2]])}
  inputs.update(
    input_mask=tf.ones([1, 2], tf.int32), segment_ids=tf.zeros([1, 2], tf.int32)
  )
  note = {"task": "classifier", "labels": ["a", "b"], "label_type": "multi"}
  outputs = heads.FORWARD["classifier"](config, inputs, note)
  with tf.variable_scope(tf.get_variable_scope(), reuse=True):
    model = modeling.BertModel(config, False, *inputs.values(), scope="bert")
    logits = heads.classification(model.get_pooled_output(), 2, False)
  found, probabilities, expected = evaluate(
    outputs["logits"], outputs["probabilities"], logits
  )
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-expected)), 1e-5)


# ---------------------------------------------------------------- ranking


def test_a_match_is_scored_by_the_odds_of_its_probability():
  with tf.variable_scope("", reuse=tf.AUTO_REUSE):
    tf.get_variable("output_weights", initializer=[[1.0, 0.0], [0.0, 2.0]])
    logits, scores = heads.match_logits(tf.constant([[3.0, 4.0]]), False)
  logits, scores = evaluate(logits, scores)
  np.testing.assert_allclose(logits, [[3.0, 8.0]])
  np.testing.assert_allclose(scores, [5.0])


def test_the_first_candidate_is_to_win_against_those_there_are():
  scores = tf.constant([[np.log(3.0), 0.0, 9.0], [0.0, 0.0, 0.0]], tf.float32)
  is_candidate = tf.constant([[True, True, False], [True, True, True]])
  losses = evaluate(heads.candidates_loss(scores, is_candidate))[0]
  np.testing.assert_allclose(losses, [-np.log(3 / 4), np.log(3)], rtol=1e-5)


def test_sentence_vectors_leave_padding_out_and_have_length_1():
  tokens = tf.constant([[[3.0, 0.0], [0.0, 4.0], [9.0, 9.0]]])
  mask = tf.constant([[1, 1, 0]])
  mean, cls = evaluate(
    heads.sentence_vectors(tokens, mask, "mean"),
    heads.sentence_vectors(tokens, mask, "cls"),
  )
  np.testing.assert_allclose(mean, [[0.6, 0.8]], rtol=1e-6)
  np.testing.assert_allclose(cls, [[1.0, 0.0]])


# Rows: a context, its true response, a wrong one. Context 1 comes twice; text 4
# is one of its true ones, and wrong for another context; the last row lacks its
# wrong one.
TEXT_IDS = [[1, 2, 3], [1, 4, 5], [6, 7, 4], [8, 9, 0]]


def test_negatives_of_a_batch_are_what_is_not_known_to_be_true():
  found = evaluate(heads.in_batch_negatives(tf.constant(TEXT_IDS)))[0]
  columns = np.array(TEXT_IDS)[:, 1:].ravel()
  sets = [set(columns[row]) for row in found]
  assert sets == [
    {3, 5, 7, 9},  # not 4, wherever it stands
    {3, 5, 7, 9},
    {2, 3, 4, 5, 9},
    {2, 3, 4, 5, 7},
  ]


def unit(*degrees):
  angles = np.radians(np.array(degrees, np.float32))
  return tf.constant(np.stack([np.cos(angles), np.sin(angles)], axis=-1))


def test_in_batch_softmax_is_over_all_responses_of_the_batch():
  # Two rows, each with a true response (0 and 90 degrees) and no wrong one.
  losses = heads.in_batch_softmax_loss(
    unit(0, 90), unit([0], [90]), tf.constant([[1, 2], [3, 4]]), 0.5
  )
  expected = np.log(1 + np.exp((0 - 1) / 0.5))
  np.testing.assert_allclose(evaluate(losses)[0], [expected] * 2, rtol=1e-5)


def test_equal_responses_are_no_negatives():
  losses = heads.in_batch_softmax_loss(
    unit(0, 90), unit([10], [10]), tf.constant([[1, 2], [3, 2]]), 0.5
  )
  np.testing.assert_allclose(evaluate(losses)[0], [0.0, 0.0], atol=1e-6)


@pytest.mark.parametrize(
  ("wrong", "chosen"),
  [
    ([40.0, 60.0, 10.0], 40.0),  # the nearest that is farther than 30 degrees
    ([10.0, 20.0, 5.0], 20.0),  # none is: the farthest of all
  ],
)
def test_triplets_take_the_semi_hard_negative(wrong, chosen):
  losses = heads.semi_hard_triplet_loss(
    unit(0), unit([30.0, *wrong]), tf.constant([[1, 2, 3, 4, 5]]), 0.5
  )
  distance = [2 - 2 * np.cos(np.radians(d)) for d in (30.0, chosen)]
  expected = max(distance[0] - distance[1] + 0.5, 0.0)
  np.testing.assert_allclose(evaluate(losses)[0], [expected], rtol=1e-4)


def test_a_triplet_without_a_negative_costs_nothing():
  losses = heads.semi_hard_triplet_loss(
    unit(0), unit([30.0, 50.0]), tf.constant([[1, 2, 0]]), 0.5
  )
  np.testing.assert_array_equal(evaluate(losses)[0], [0.0])


def test_sequences_that_are_ranked_together_are_encoded_each():
  config = modeling.BertConfig(12, 8, 1, 2, 16)
  ids = tf.constant([[[1, 2], [3, 4], [5, 6]]])
  inputs = {
    "input_ids": ids,
    "input_mask": tf.ones_like(ids),
    "segment_ids": tf.zeros_like(ids),
  }
  note = {"model": "representation", "pooling": "mean"}
  together = heads.FORWARD["ranker"](config, inputs, note)["vectors"]
  with tf.variable_scope(tf.get_variable_scope(), reuse=True):
    model = modeling.BertModel(config, False, ids[0], scope="bert")
  mean = tf.reduce_mean(model.get_sequence_output(), axis=1)
  found, expected = evaluate(together, tf.nn.l2_normalize(mean, axis=-1))
  np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_tagger_gives_the_path_of_its_crf():
  config = modeling.BertConfig(12, 8, 2, 2, 16)
  inputs = {
    "input_ids": tf.constant([[1, 2, 3, 4]]),
    "input_mask": tf.ones([1, 4], tf.int32),
    "segment_ids": tf.zeros([1, 4], tf.int32),
    "word_positions": tf.constant([[1, 3, 0, 0]]),
  }
  outputs = heads.FORWARD["tagger"](config, inputs, tag_note(use_crf=True))
  transitions = tf.trainable_variables("tagger/crf")[0]
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    # After the tag a, which the words have alone, b is worth much more.
    session.run(transitions.assign([[0, 9, 0], [0, 0, 0], [0, 0, 0.0]]))
    logits, tags = session.run([outputs["logits"], outputs["tag_ids"]])
  assert logits.shape == (1, 4, 3)
  assert tags[0, :2].tolist() == [0, 1]
