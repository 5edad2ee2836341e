# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Pre-training's records, its layers as the original's, and its masks."""

import random
import types

import helpers
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import modeling
from bert.records import record_files
from bert.tasks import layers, pretraining

CHECKPOINT = str(helpers.GOLDEN / "tiny_checkpoint" / "model.ckpt")
LENGTH, PREDICTIONS = 16, 4
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TOKENS += [*"abcdefgh", "##i", "##j", "##k", "##l"]


# ---------------------------------------------------------------- records


def schema_of(*sizes):
  note = pretraining.PretrainingNote(*sizes)
  return pretraining.Pretraining(note).schema(is_training=True)


def test_a_record_is_parsed_to_the_shapes_it_was_made_from(tmp_path):
  schema = schema_of(4, 2)
  values = {
    "input_ids": [7, 8, 9, 0],
    "input_mask": [1, 1, 1, 0],
    "segment_ids": [0, 0, 1, 0],
    "masked_lm_positions": [1, 0],
    "masked_lm_ids": [6, 0],
    "masked_lm_weights": [1.0, 0.0],
    "next_sentence_labels": [1],
  }
  path = str(tmp_path / "a.tf_record")
  record_files.write_records([values], schema, path)
  record = next(tf.python_io.tf_record_iterator(path))
  with tf.Session() as session:
    found = session.run(tf.parse_single_example(record, schema))
  assert {name: value.tolist() for name, value in found.items()} == values
  assert {str(value.dtype) for value in found.values()} == {"int64", "float32"}


# ----------------------------------------------------------------- layers


def evaluate(*tensors):
  """The tensors' values, with the variables' first values."""
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    return session.run(tensors)


def names_and_shapes():
  return {v.op.name: v.shape.as_list() for v in tf.trainable_variables()}


@pytest.fixture
def golden():
  return dict(np.load(helpers.GOLDEN / "modeling.npz"))


@pytest.fixture
def outputs(golden):
  """{golden name: tensor} of both pre-training heads on the golden encoder."""
  config = modeling.BertConfig.from_json_file(
    str(helpers.GOLDEN / "tiny_checkpoint" / "bert_config.json")
  )
  names = "input_ids", "input_mask", "segment_ids"
  inputs = [golden["in/" + name] for name in names]
  model = modeling.BertModel(config, False, *inputs)
  masked_lm = pretraining.get_masked_lm_output(
    config,
    model.get_sequence_output(),
    model.get_embedding_table(),
    golden["in/masked_lm_positions"],
    golden["in/masked_lm_ids"],
    golden["in/masked_lm_weights"],
  )
  next_sentence = pretraining.get_next_sentence_output(
    config, model.get_pooled_output(), golden["in/next_sentence_labels"]
  )
  parts = "loss", "example_loss", "log_probs"
  return {
    **{f"masked_lm_{part}": t for part, t in zip(parts, masked_lm)},
    **{f"next_sentence_{part}": t for part, t in zip(parts, next_sentence)},
  }


def test_values_are_the_originals(golden, outputs):
  variables = tf.trainable_variables()
  found, _ = modeling.get_assignment_map_from_checkpoint(variables, CHECKPOINT)
  tf.train.init_from_checkpoint(CHECKPOINT, found)
  for name, value in zip(outputs, evaluate(*outputs.values())):
    np.testing.assert_allclose(value, golden["out/" + name], atol=1e-5)


def test_names_and_shapes_are_the_originals(outputs):
  assert len(outputs) == 6
  assert names_and_shapes() == dict(tf.train.list_variables(CHECKPOINT))


def test_masked_words_in_bfloat16_are_close_and_come_out_in_float32():
  config = modeling.BertConfig(20, hidden_size=8, initializer_range=0.5)
  vectors = tf.constant(np.random.randn(2, 6, 8), tf.float32)
  table = tf.constant(np.random.randn(20, 8), tf.float32)
  positions, ids = [[1, 3], [5, 0]], [[4, 9], [19, 0]]
  outputs = []
  for dtype in (tf.float32, tf.bfloat16):
    with tf.variable_scope("", reuse=tf.AUTO_REUSE):
      outputs += pretraining.get_masked_lm_output(
        *(config, vectors, table, tf.constant(positions), ids),
        *(tf.constant([[1.0, 1.0], [1.0, 0.0]]), dtype),
      )
  assert {v.dtype.base_dtype for v in tf.trainable_variables()} == {tf.float32}
  assert {output.dtype for output in outputs} == {tf.float32}
  loss, _, log_probs, loss_16, _, log_probs_16 = evaluate(*outputs)
  assert loss != loss_16  # 8 bits of mantissa
  np.testing.assert_allclose(loss_16, loss, rtol=0.05)
  np.testing.assert_allclose(log_probs_16, log_probs, atol=0.3)


def test_padding_does_not_count_in_the_masked_lm_loss():
  config = modeling.BertConfig(vocab_size=4, hidden_size=2)
  # Equal weights for all four words: every prediction costs log(4).
  loss, per_example_loss, log_probs = pretraining.get_masked_lm_output(
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


def head_of(weights, encoder_outputs, places=None, monkeypatch=None):
  """Shares of the loss, predictions and gradients of the task's head."""
  vectors, table = encoder_outputs
  if places is not None:
    monkeypatch.setattr(pretraining, "places_to_predict", lambda _: places)
  batch, masked = weights.shape
  rng = np.random.RandomState(3)
  features = {
    "input_mask": tf.ones([batch, 6], tf.int32),
    "masked_lm_positions": tf.constant(rng.randint(0, 6, [batch, masked])),
    "masked_lm_ids": tf.constant(rng.randint(0, 20, [batch, masked])),
    "masked_lm_weights": tf.constant(weights),
    "next_sentence_labels": tf.zeros([batch, 1], tf.int32),
  }
  features = {
    name: value if "weights" in name else tf.cast(value, tf.int32)
    for name, value in features.items()
  }
  encoder = types.SimpleNamespace(
    config=modeling.BertConfig(20, hidden_size=8, initializer_range=0.5),
    compute_dtype=tf.float32,
    compiled=True,
    last_positions=None,
    is_training=True,
    get_sequence_output=lambda: vectors,
    get_pooled_output=lambda: vectors[:, 0],
    get_embedding_table=lambda: table,
  )
  task = pretraining.Pretraining(pretraining.PretrainingNote())
  with tf.variable_scope("", reuse=tf.AUTO_REUSE):
    tensors = task.layers(encoder, features)
    outputs = task.scored(tensors, features)
  gradients = tf.gradients(
    tf.add_n(outputs.loss_sums), [vectors, table, *tf.trainable_variables()]
  )
  return {
    "rows": tf.shape(tensors["masked_lm_logits"])[0],
    "loss": list(outputs.loss_sums),
    "predictions": outputs.predictions,
    "shown": {name: value for name, (value, _) in outputs.shown.items()},
    "gradients": [tf.convert_to_tensor(g) for g in gradients],
  }


@pytest.mark.parametrize("count", [0, 1, 32, 33, 80])
def test_only_places_with_a_masked_word_are_predicted(count, monkeypatch):
  weights = np.zeros(80, np.float32)
  weights[np.random.RandomState(1).permutation(80)[:count]] = 1.0
  weights = weights.reshape(8, 10)
  rng = np.random.RandomState(2)
  encoder_outputs = (
    tf.constant(rng.randn(8, 6, 8), tf.float32),
    tf.constant(rng.randn(20, 8), tf.float32),
  )
  some = head_of(weights, encoder_outputs)
  every = head_of(weights, encoder_outputs, tf.range(80), monkeypatch)
  some, every = evaluate(some, every)
  assert every.pop("rows") == 80
  assert some.pop("rows") == {0: 32, 1: 32, 32: 32, 33: 64, 80: 80}[count]
  assert some["predictions"]["masked_lm_weight"].sum() == count
  assert (some["loss"][0] > 0) == (count > 0)
  found, expected = tf.nest.flatten(some), tf.nest.flatten(every)
  assert len(found) == len(expected) > 18
  for one, other in zip(found, expected):
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_a_computation_of_xla_predicts_all_places():
  rows = []

  def compute():
    rows.append(pretraining.places_to_predict(tf.constant([[1.0, 0.0, 1.0]])))
    return rows

  (found,) = evaluate(*tf.xla.experimental.compile(compute))
  assert rows[0].shape.as_list() == [3]
  assert found.tolist() == [0, 1, 2]


def test_indexes_gather_from_their_own_sequence():
  vectors = tf.reshape(tf.range(12.0), [2, 3, 2])
  found = layers.gather_indexes(vectors, tf.constant([[2, 0], [1, 1]]))
  expected = [[4, 5], [0, 1], [8, 9], [8, 9]]
  np.testing.assert_array_equal(evaluate(found)[0], expected)


def test_indexes_gather_where_shapes_are_unknown():
  vectors = tf.placeholder(tf.float32, [None, None, 2])
  positions = tf.placeholder(tf.int32, [None, None])
  found = layers.gather_indexes(vectors, positions)
  feed = {vectors: [[[0, 1], [2, 3]], [[4, 5], [6, 7]]], positions: [[1], [0]]}
  with tf.Session() as session:
    np.testing.assert_array_equal(session.run(found, feed), [[2, 3], [4, 5]])


# ------------------------------------------------------------------ masks


def row_of(ids, positions=()):
  return helpers.masked_row(ids, positions, LENGTH, PREDICTIONS)


SENTENCE = [2, 5, 13, 14, 6, 7, 15, 3, 16, 8, 9, 10, 3]  # with [CLS], [SEP]


def masked(row, count, **options):
  """Arrays of `count` masks drawn for a record."""
  masker = pretraining.Masker(
    {token: i for i, token in enumerate(TOKENS)}, PREDICTIONS, **options
  )
  example = {
    name: tf.constant(value, tf.float32 if "weights" in name else tf.int32)
    for name, value in row.items()
  }
  dataset = tf.data.Dataset.range(count).map(lambda n: masker(n, example))
  shapes = tf.data.get_output_shapes(dataset)
  assert all(shape.is_fully_defined() for shape in shapes.values())
  drawn = tf.data.make_one_shot_iterator(dataset.batch(count)).get_next()
  with tf.Session() as session:
    return session.run(drawn)


def test_the_true_tokens_are_put_back():
  example = {
    name: tf.constant(value, tf.float32 if "weights" in name else tf.int32)
    for name, value in row_of(SENTENCE, [1, 6, 9]).items()
  }
  with tf.Session() as session:
    ids = session.run(pretraining.unmasked_ids(example))
  assert ids.tolist() == SENTENCE + [0] * 3


def test_masks_follow_the_rule_and_its_rates():
  found = masked(row_of(SENTENCE, [1, 6]), 3000, masked_lm_prob=0.25)
  # round(13 * 0.25) = 3 of the ten pieces that are no [CLS] or [SEP].
  assert (found["masked_lm_weights"] == [1, 1, 1, 0]).all()
  positions = found["masked_lm_positions"]
  assert not positions[:, 3].any()
  assert (np.diff(positions[:, :3], axis=1) > 0).all()
  counts = np.bincount(positions[:, :3].ravel(), minlength=13)
  assert (counts[[0, 7, 12]] == 0).all()
  others = np.delete(counts, [0, 7, 12])
  assert (abs(others / 3000 - 0.3) < 0.04).all()  # 5 standard deviations
  truth = np.array(SENTENCE)
  assert (found["masked_lm_ids"][:, :3] == truth[positions[:, :3]]).all()
  rows = np.arange(3000)[:, None]
  given = found["input_ids"][rows, positions[:, :3]]
  true = found["masked_lm_ids"][:, :3]
  # 1 of 17 random pieces is [MASK], and 1 is the true one.
  assert abs((given == 4).mean() - (0.8 + 0.1 / 17)) < 0.02
  assert abs((given == true).mean() - (0.1 + 0.1 / 17)) < 0.02
  is_random = (given != 4) & (given != true)
  assert set(given[is_random]) == set(range(17)) - {4}
  untouched = found["input_ids"].copy()
  untouched[rows, positions[:, :3]] = true
  assert (untouched == SENTENCE + [0] * 3).all()


@pytest.mark.parametrize(
  ("probability", "expected"), [(0.0, 1), (0.19, 2), (0.2, 3), (1.0, 4)]
)
def test_the_number_of_masked_words(probability, expected):
  # 13 tokens: 2.47 and 2.6 are rounded; at least 1, and 4 by the flag.
  found = masked(row_of(SENTENCE), 3, masked_lm_prob=probability)
  assert found["masked_lm_weights"].sum(axis=1).tolist() == [expected] * 3


def test_masks_are_new_each_pass_and_repeat():
  first = masked(row_of(SENTENCE), 8, random_seed=1)["input_ids"]
  again = masked(row_of(SENTENCE), 8, random_seed=1)["input_ids"]
  other = masked(row_of(SENTENCE), 8, random_seed=2)["input_ids"]
  assert (first == again).all()
  assert (first != other).any()
  assert len({tuple(ids) for ids in first}) > 1


def chosen_one_by_one(order, can_be, continues, count):
  """The rule as it is written: words in turn, skipping what is too long."""
  words = []
  for position in np.flatnonzero(can_be):
    if continues[position] and words:
      words[-1].append(position)
    else:
      words.append([position])
  chosen = set()
  for word in sorted(words, key=lambda word: order[word[0]]):
    if len(chosen) + len(word) <= count:
      chosen.update(word)
  return [position in chosen for position in range(len(order))]


def test_words_are_chosen_as_one_by_one():
  shapes = tf.float32, tf.bool, tf.bool, tf.int32
  inputs = [
    tf.placeholder(dtype, [] if dtype == tf.int32 else [LENGTH])
    for dtype in shapes
  ]
  chosen = pretraining.choose_words(*inputs)
  draw = random.Random(1)
  with tf.Session() as session:
    for _ in range(300):
      values = (
        [draw.random() for _ in range(LENGTH)],
        [draw.random() < 0.8 for _ in range(LENGTH)],
        [draw.random() < 0.5 for _ in range(LENGTH)],
        draw.randint(1, 8),
      )
      found = session.run(chosen, dict(zip(inputs, values)))
      assert found.tolist() == chosen_one_by_one(*values)


def test_whole_words_are_masked_together():
  found = masked(
    row_of(SENTENCE), 50, masked_lm_prob=0.3, do_whole_word_mask=True
  )
  words = [{1, 2, 3}, {4}, {5, 6, 8}, {9}, {10}, {11}]  # 8 goes over [SEP]
  seen = set()
  for positions, weights in zip(
    found["masked_lm_positions"], found["masked_lm_weights"]
  ):
    positions = set(positions[weights > 0].tolist())
    for word in words:
      assert word <= positions or not word & positions
      seen |= word & positions
    assert len(positions) <= 4
  assert seen == set().union(*words)
