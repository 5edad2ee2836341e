# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The task of answering questions: its layers, its loss, a row's answer."""

import dataclasses

import helpers
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import modeling
import tokenization
from bert.tasks import answering
from bert.tasks.answering_data import answering as of_length

NOTE = dataclasses.replace(
  of_length(16).note,
  max_query_length=4,
  doc_stride=4,
  n_best_size=3,
  max_answer_length=2,
)


def evaluate(*tensors):
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    return session.run(tensors)


def names_and_shapes():
  return {v.op.name: v.shape.as_list() for v in tf.trainable_variables()}


# ----------------------------------------------------------------- records


def test_a_window_has_its_answer_for_training_only():
  predicted = of_length(8).schema(is_training=False)
  assert set(predicted) == {
    *("input_ids", "input_mask", "segment_ids", "unique_ids")
  }
  trained = of_length(8).schema(is_training=True)
  assert set(trained) - set(predicted) == {
    *("start_positions", "end_positions", "is_impossible")
  }
  assert trained["input_ids"].shape == [8]
  assert trained["start_positions"].shape == []


# ------------------------------------------------------------------ layers


def test_spans_score_each_token_by_their_own_weights():
  with tf.variable_scope("", reuse=tf.AUTO_REUSE):
    tf.get_variable(
      "cls/squad/output_weights", initializer=[[1.0, 0.0], [0.0, -1.0]]
    )
    tf.get_variable("cls/squad/output_bias", initializer=[0.5, 0.0])
    vectors = tf.constant([[[3.0, 4.0], [1.0, 2.0]], [[0.0, 1.0], [5.0, 0.0]]])
    starts, ends = evaluate(*answering.spans(vectors))
  np.testing.assert_allclose(starts, [[3.5, 1.5], [0.5, 5.5]])
  np.testing.assert_allclose(ends, [[-4.0, -2.0], [-1.0, 0.0]])


def test_the_names_and_shapes_of_spans():
  answering.spans(tf.placeholder(tf.float32, [None, None, 8]))
  assert names_and_shapes() == {
    "cls/squad/output_weights": [2, 8],
    "cls/squad/output_bias": [2],
  }


def test_a_span_costs_the_mean_of_its_two_ends():
  starts = tf.constant([[np.log(3.0), 0.0]], tf.float32)
  ends = tf.constant([[0.0, 0.0]])
  loss = answering.span_loss(starts, ends, tf.constant([0]), tf.constant([1]))
  expected = (-np.log(3 / 4) - np.log(1 / 2)) / 2
  np.testing.assert_allclose(evaluate(loss)[0], [expected], rtol=1e-5)


def test_a_batch_without_answers_has_no_loss():
  tensors = {"start_logits": tf.zeros([2, 4]), "end_logits": tf.zeros([2, 4])}
  features = {"unique_ids": tf.constant([7, 8])}
  outputs = of_length(4).scored(tensors, features)
  assert not outputs.loss_sums
  assert set(outputs.predictions) == {"unique_ids", *tensors}
  positions = {"start_positions": [0, 1], "end_positions": [0, 1]}
  outputs = of_length(4).scored(tensors, {**features, **positions})
  (found,) = evaluate(outputs.loss_sums[0])
  np.testing.assert_allclose(found, 2 * np.log(4), rtol=1e-6)


# ------------------------------------------------------------- prediction


def test_the_best_span_is_in_the_context_and_short_enough():
  # [CLS] q [SEP] a b c [SEP] [PAD]; an answer has at most 2 tokens.
  inputs = {
    "input_mask": tf.constant([[1, 1, 1, 1, 1, 1, 1, 0]]),
    "segment_ids": tf.constant([[0, 0, 0, 1, 1, 1, 1, 0]]),
  }
  tensors = {
    "start_logits": tf.constant([[9.0, 8, 0, 4, 1, 3, 9, 9]]),
    "end_logits": tf.constant([[9.0, 8, 0, 0, 1, 5, 9, 9]]),
  }
  served = answering.Answering(NOTE).served(tensors, inputs)
  names = ("start", "end", "score", "null_score")
  found = evaluate(*(served[name] for name in names))
  # From a to c is the highest, 9, but too long; then c alone, 8.
  assert [value.tolist() for value in found] == [[5], [5], [8.0], [18.0]]


@pytest.fixture
def tokenizer(tmp_path):
  words = ["how", "many", "nine", "day", "road", "tree", "lamp", "rain"]
  lines = [*tokenization.SPECIAL_TOKENS, *words, ""]
  return tokenization.FullTokenizer(
    helpers.write(tmp_path / "vocab.txt", "\n".join(lines))
  )


def test_a_row_goes_through_the_graph_to_its_answer(tokenizer):
  task = answering.Answering(
    dataclasses.replace(NOTE, n_best_size=16, max_answer_length=8)
  )
  context = "Day road tree  lamp rain wind, moon shop day nine road tree lamp."
  windows, kept = task.prepare(
    {"question": "How many?", "context": context}, tokenizer
  )
  assert len(windows) == 3
  assert all(set(window) == set(task.inputs()) for window in windows)
  inputs = {
    name: tf.placeholder(spec.dtype, spec.shape)
    for name, spec in task.inputs().items()
  }
  config = modeling.BertConfig(
    len(tokenizer.vocab), 8, 1, 2, 16, initializer_range=0.5
  )
  tensors = task.served(task.build(config, task.features_of(inputs)), inputs)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    outputs = []
    for window in windows:
      feed = {inputs[name]: [window[name]] for name in inputs}
      values = session.run(tensors, feed)
      outputs.append({name: value[0] for name, value in values.items()})
  answer = task.answer(kept, outputs)
  assert list(answer) == [
    *("text", "probability", "start", "end", "window", "answers")
  ]
  assert answer["answers"][0]["text"] == answer["text"] != ""
  assert 1 < len(answer["answers"]) <= 16
  for found in answer["answers"]:
    words = context[found["start"] : found["end"]].split()
    assert " ".join(words) == found["text"]


@pytest.mark.parametrize(
  ("row", "message"),
  [
    ({"question": "x"}, "no key 'context'"),
    ({"context": "x"}, "no key 'question'"),
    ({"question": " ", "context": "x"}, "the question is empty"),
    ({"question": "x", "context": "\n"}, "the context is empty"),
    ({"question": 1, "context": "x"}, "'question' has to be a text"),
  ],
)
def test_a_row_that_does_not_fit_is_refused(tokenizer, row, message):
  with pytest.raises(ValueError, match=message):
    answering.Answering(NOTE).prepare(row, tokenizer)
