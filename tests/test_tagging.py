# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The tagger's layers and losses, its records, and rows turned into answers."""

import helpers
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import modeling
import tokenization
from bert.records import packing
from bert.tasks import tagging
from bert.training import estimators

TOKENS = "[PAD] [UNK] [CLS] [SEP] [MASK] ann fox . ##s ##t x ##x"
CONFIG = modeling.BertConfig(
  len(TOKENS.split()), 8, 2, 2, 16, initializer_range=0.2
)


@pytest.fixture
def tokenizer(tmp_path):
  text = "\n".join([*TOKENS.split(), ""])
  return tokenization.FullTokenizer(helpers.write(tmp_path / "vocab.txt", text))


def tagger(length=16, **fields):
  """A Tagging whose note has these fields."""
  note = {
    "task": "tagger",
    "labels": ["O", "B-PER", "I-PER"],
    "tag_scheme": "bio",
    "use_crf": False,
    "birnn_cell": None,
    "birnn_size": 4,
    "mix_layers": [],
    "do_lower_case": True,
    "max_seq_length": length,
  }
  return tagging.Tagging(tagging.TaggerNote(**{**note, **fields}))


def evaluate(*tensors):
  """The tensors' values, once the variables have their first ones."""
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    return session.run(tensors)


def batch_of_two():
  """Two windows of 2 words and 1, all of which count."""
  return {
    "input_ids": tf.constant([[2, 5, 7, 3], [2, 6, 3, 0]]),
    "input_mask": tf.constant([[1, 1, 1, 1], [1, 1, 1, 0]]),
    "segment_ids": tf.zeros([2, 4], tf.int32),
    "word_positions": tf.constant([[1, 2, 0, 0], [1, 0, 0, 0]]),
    "tag_ids": tf.constant([[1, 2, 0, 0], [0, 0, 0, 0]]),
    "is_scored": tf.constant([[1, 1, 0, 0], [1, 0, 0, 0]]),
  }


# ------------------------------------------------------------------ layers


def test_the_names_and_shapes_of_variables():
  head = dict(use_crf=True, birnn_cell="lstm", birnn_size=6, mix_layers=[-1, 0])
  tensors = tagger(**head).build(CONFIG, batch_of_two())
  assert tensors["logits"].shape.as_list() == [2, 4, 3]
  assert tensors["transitions"].shape.as_list() == [3, 3]
  shapes = {
    v.op.name: v.shape.as_list() for v in tf.trainable_variables("tagger")
  }
  assert shapes == {
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
    mixed = tagging.mix_layers([tf.ones([1, 1, 1]), tf.fill([1, 1, 1], 5.0)])
  expected = 2 * (3 / 4 * 1 + 1 / 4 * 5)
  np.testing.assert_allclose(evaluate(mixed)[0], [[[expected]]], rtol=1e-6)


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def lstm_in_one_direction(words, kernel, recurrent, bias):
  hidden = cell = np.zeros(len(recurrent))
  outputs = []
  for word in words:
    gates = word @ kernel + hidden @ recurrent + bias
    take, keep, show, new = np.split(gates, 4)
    cell = sigmoid(keep + 1) * cell + sigmoid(take) * np.tanh(new)
    hidden = sigmoid(show) * np.tanh(cell)
    outputs.append(hidden)
  return np.array(outputs)


def gru_in_one_direction(words, kernel, recurrent, bias):
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
  [("lstm", lstm_in_one_direction), ("gru", gru_in_one_direction)],
)
def test_a_recurrent_layer_reads_words_both_ways(cell, one_direction):
  words = np.random.randn(2, 4, 3).astype(np.float32)
  lengths = [4, 2]
  is_word = np.arange(4) < np.array(lengths)[:, np.newaxis]
  output = tagging.birnn(tf.constant(words), tf.constant(is_word), cell, 2)
  output, *weights = evaluate(output, *tf.trainable_variables())
  for row, length in enumerate(lengths):
    read = words[row, :length]
    forwards = one_direction(read, *(w[0] for w in weights))
    backwards = one_direction(read[::-1], *(w[1] for w in weights))[::-1]
    expected = np.concatenate([forwards, backwards], axis=-1)
    np.testing.assert_allclose(output[row, :length], expected, atol=1e-5)


def test_tags_are_the_best_path_of_the_crf():
  tensors = tagger(use_crf=True).build(CONFIG, batch_of_two())
  transitions = tf.trainable_variables("tagger/crf")[0]
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    # After O, which each word alone would get, B-PER is worth much more.
    session.run(transitions.assign([[0, 9, 0], [0, 0, 0], [0, 0, 0.0]]))
    logits, tags = session.run([tensors["logits"], tensors["tag_ids"]])
  assert logits.shape == (2, 4, 3)
  assert tags[0, :2].tolist() == [0, 1]


# ------------------------------------------------------------------ losses


def test_without_a_crf_only_scored_words_cost():
  logits = tf.constant([[[np.log(3.0), 0.0], [5.0, 0.0]]], tf.float32)
  tags, is_scored = tf.constant([[0, 1]]), tf.constant([[1, 0]])
  loss = tagging.tag_losses(logits, None, tags >= 0, tags, is_scored)
  np.testing.assert_allclose(evaluate(loss)[0], [-np.log(3 / 4)], rtol=1e-5)


@pytest.mark.parametrize("use_crf", [False, True])
def test_the_loss_is_the_mean_over_the_words_of_all_windows(use_crf):
  model_fn = estimators.make_model_fn(
    tagger(use_crf=use_crf), CONFIG, estimators.GraphOptions()
  )
  specs = []
  for mode in (tf.estimator.ModeKeys.PREDICT, tf.estimator.ModeKeys.EVAL):
    with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE):
      specs.append(model_fn(batch_of_two(), None, mode, {}))
  parts, whole = specs
  losses, mean = evaluate(parts.predictions["losses"], whole.loss)
  np.testing.assert_allclose(losses.sum() / 3, mean, rtol=1e-5)


def test_what_stands_after_the_last_word_counts_for_nothing():
  """Positions of 0 are not words, whatever is computed there."""
  rng = np.random.RandomState(0)
  logits = rng.randn(1, 4, 3).astype(np.float32)
  transitions = tf.constant(rng.randn(3, 3), tf.float32)
  others = logits.copy()
  others[:, 2:] = 9.0 * rng.randn(1, 2, 3)
  is_word = tf.constant([[True, True, False, False]])
  tag_ids = tf.constant([[1, 2, 0, 0]])
  (ours, our_tags), (theirs, their_tags) = evaluate(
    *[
      (
        tagging.tag_losses(
          *(tf.constant(values), transitions, is_word, tag_ids),
          tf.cast(is_word, tf.int32),
        ),
        tagging.best_tags(tf.constant(values), transitions, is_word),
      )
      for values in (logits, others)
    ]
  )
  np.testing.assert_array_equal(ours, theirs)
  np.testing.assert_array_equal(our_tags[:, :2], their_tags[:, :2])


# ----------------------------------------------------------------- records


def test_a_record_has_the_first_piece_and_tag_of_each_word(tokenizer):
  words, tags = ["Anns", "\u200b", "foxts", "."], ["B-PER", "O", "I-PER", "?"]
  sentence = tagging.Sentence(words, tags)
  labels = {"O": 0, "B-PER": 1, "I-PER": 2}
  [(row, window)] = tagging.convert_sentence(sentence, labels, 24, tokenizer)
  pieces = ["[CLS]", "ann", "##s", "[UNK]", "fox", "##t", "##s", ".", "[SEP]"]
  assert tokenizer.convert_ids_to_tokens(row["input_ids"][:9]) == pieces
  assert row["word_positions"][:5] == [1, 3, 4, 7, 0]
  assert row["tag_ids"][:5] == [1, 0, 2, 0, 0]
  assert row["is_scored"][:5] == [1, 1, 1, 0, 0]  # "?" is not among the labels
  assert {len(values) for values in row.values()} == {24}
  assert set(row) == set(tagger(24).schema(is_training=True))
  assert window == packing.WordWindow(0, 0, 4, 4)


@pytest.mark.parametrize("length", [3, 4, 8, 16, 24])
def test_each_word_of_a_long_sentence_is_tagged_once(tokenizer, length):
  rng = np.random.RandomState(length)
  words = list(rng.choice(["x", "xx", "xxxxxxxx", "annts"], 60))
  sentence = tagging.Sentence(words, list(rng.choice(["O", "A"], 60)))
  rows = list(
    tagging.convert_sentence(sentence, {"O": 0, "A": 1}, length, tokenizer)
  )
  assert len(rows) > 1
  tagged = []
  for row, window in rows:
    scored = np.flatnonzero(row["is_scored"]) + window.start
    assert scored.tolist() == list(range(window.own_start, window.own_end))
    tagged += range(window.start, window.end)[window.own]
    assert (
      sum(p > 0 for p in row["word_positions"]) == window.end - window.start
    )
    assert sum(row["input_mask"]) <= length
  assert tagged == list(range(60))
  if length >= 8:  # context on both sides, except at the ends
    for _, window in rows[1:-1]:
      assert window.start < window.own_start < window.own_end < window.end


# ----------------------------------------------------------------- answers


def test_what_is_served_names_the_tags_of_words():
  words = tf.constant([[1, 2, 0]])
  tensors = {
    "logits": tf.zeros([1, 3, 3]),
    "tag_ids": tf.constant([[1, 2, 2]]),
    "transitions": tf.zeros([3, 3]),
  }
  task = tagger()
  assert list(task.inputs())[-1] == "word_positions"
  outputs = task.served(tensors, {"word_positions": words})
  assert list(outputs) == ["logits", "tag_ids", "tags"]
  tags = evaluate(outputs["tags"])[0]
  assert tags.tolist() == [[b"B-PER", b"I-PER", b""]]


def tagged_row(task, row, tokenizer, tag_of):
  """The answer to a row if the model tags each word by its first piece."""
  windows, kept = task.prepare(row, tokenizer)
  outputs = []
  for window in windows:
    assert len({len(values) for values in window.values()}) == 1  # no padding
    pieces = tokenizer.convert_ids_to_tokens(window["input_ids"])
    places = [p for p in window["word_positions"] if p]
    ids = [task.note.labels.index(tag_of[pieces[place]]) for place in places]
    outputs.append({"tag_ids": np.array([*ids, 0])})
  return task.answer(kept, outputs)


TAG_OF = {"ann": "B-PER", "fox": "I-PER", "x": "O", ".": "O"}


def test_a_text_gets_tags_spans_and_entities(tokenizer):
  text = "Ann  Fox x. " * 5  # several windows
  found = tagged_row(tagger(), {"text": text}, tokenizer, TAG_OF)
  assert found["tokens"] == ["Ann", "Fox", "x", "."] * 5
  assert found["tags"] == ["B-PER", "I-PER", "O", "O"] * 5
  assert [text[a:b] for a, b in found["spans"]] == found["tokens"]
  assert [entity["text"] for entity in found["entities"]] == ["Ann  Fox"] * 5
  assert (found["entities"][1]["first"], found["entities"][1]["last"]) == (4, 5)


def test_words_are_tagged_as_they_are(tokenizer):
  row = {"tokens": ["Anns", "x fox"], "text": 3}
  found = tagged_row(tagger(), row, tokenizer, TAG_OF)
  assert found == {
    "tokens": ["Anns", "x fox"],
    "tags": ["B-PER", "O"],
    "entities": [{"type": "PER", "first": 0, "last": 0}],
  }
  task = tagger(tag_scheme="none")
  found = tagged_row(task, {"tokens": []}, tokenizer, TAG_OF)
  assert found == {"tokens": [], "tags": []}


@pytest.mark.parametrize(
  ("row", "message"),
  [
    ({"tokens": "ann"}, "'tokens' has to be a list of words, not 'ann'"),
    ({"tokens": ["ann", 3]}, "'tokens' has to be a list of words"),
    ({"words": ["ann"]}, "no key 'text', only 'words': give a row such as"),
    ({"text": 3}, "'text' has to be a text, not 3"),
  ],
)
def test_rows_that_are_not_sentences_are_refused(tokenizer, row, message):
  with pytest.raises(ValueError, match=message):
    tagger().prepare(row, tokenizer)
