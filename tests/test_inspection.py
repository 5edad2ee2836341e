# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Tokens and attention, against the weights of a checkpoint in NumPy."""

import itertools

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from scipy import special

from bert.serving import inspection
from bert.training import trained_model

# Ids of the tiny models' vocabulary: [CLS] good day ##s [SEP] two bad [SEP].
ROW = {"text_a": "good days", "text_b": "Two bad"}
IDS = [2, 5, 7, 8, 3, 10, 6, 3]
SEGMENTS = [0] * 5 + [1] * 3
HEADS, SIZE = 2, 4


@pytest.fixture
def model(trained_folder):
  folder = trained_folder(
    "classifier",
    layers=2,
    label_type="single",
    labels=["no", "yes"],
    thresholds=[],
    feature_columns=["size"],
    feature_mean=[0.0],
    feature_std=[1.0],
  )
  return trained_model.find_model(str(folder))


def test_tokens_are_those_of_the_first_window(model):
  predictor = trained_model.Predictor(model)
  found = inspection.tokens(predictor, {**ROW, "size": 1})
  assert found == {
    "tokens": ["[CLS]", "good", "day", "##s", "[SEP]", "two", "bad", "[SEP]"],
    "ids": IDS,
    "segment_ids": SEGMENTS,
  }
  with pytest.raises(ValueError, match="no key 'size'"):
    inspection.tokens(predictor, ROW)
  with pytest.raises(ValueError, match="a JSON object is expected"):
    inspection.tokens(predictor, "good")


def test_attention_is_the_softmax_of_each_layer_and_head(model):
  attention = inspection.Attention(model)
  by_hand = probabilities(model.checkpoint)
  for layer in range(2):
    for head in range(HEADS):
      found = attention.weights({**ROW, "size": 1}, layer, head)
      weights = np.array(found["weights"])
      assert found["tokens"][1:4] == ["good", "day", "##s"]
      np.testing.assert_allclose(weights, by_hand[layer][head], atol=2e-6)
      np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-5)
  # The four differ, so that none can stand for another.
  pairs = itertools.combinations(np.reshape(by_hand, [4, -1]), 2)
  assert min(abs(a - b).max() for a, b in pairs) > 0.01


def probabilities(checkpoint):
  """The attention of both layers on IDS, [2][N, S, S], from the equations."""
  reader = tf.train.load_checkpoint(checkpoint)

  def weight(name):
    return reader.get_tensor(f"bert/{name}").astype(np.float64)

  def dense(values, name):
    return values @ weight(f"{name}/kernel") + weight(f"{name}/bias")

  def norm(values, name):
    centred = values - values.mean(-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
    scaled = centred / deviation * weight(f"{name}/LayerNorm/gamma")
    return scaled + weight(f"{name}/LayerNorm/beta")

  def heads(values, name):
    return dense(values, name).reshape([-1, HEADS, SIZE]).transpose(1, 0, 2)

  values = weight("embeddings/word_embeddings")[IDS]
  values = values + weight("embeddings/token_type_embeddings")[SEGMENTS]
  values += weight("embeddings/position_embeddings")[: len(IDS)]
  values = norm(values, "embeddings")
  found = []
  for layer in ("encoder/layer_0", "encoder/layer_1"):
    query, key, value = (
      heads(values, f"{layer}/attention/self/{name}")
      for name in ("query", "key", "value")
    )
    scores = query @ key.transpose(0, 2, 1) / np.sqrt(SIZE)
    found.append(special.softmax(scores, axis=-1))
    context = (found[-1] @ value).transpose(1, 0, 2).reshape([-1, HEADS * SIZE])
    update = dense(context, f"{layer}/attention/output/dense")
    values = norm(values + update, f"{layer}/attention/output")
    inner = dense(values, f"{layer}/intermediate/dense")
    cubic = np.sqrt(2 / np.pi) * (inner + 0.044715 * inner**3)
    inner *= 0.5 * (1 + np.tanh(cubic))  # gelu
    update = dense(inner, f"{layer}/output/dense")
    values = norm(values + update, f"{layer}/output")
  return found


def test_layers_and_heads_that_are_not_there(model):
  attention = inspection.Attention(model)
  row = {**ROW, "size": 1}
  for layer, head, message in (
    (2, 0, "'layer' has to be a whole number from 0 to 1, not 2"),
    (-1, 0, "'layer' has to be a whole number from 0 to 1, not -1"),
    (0, 2, "'head' has to be a whole number from 0 to 1, not 2"),
    (True, 0, "'layer' has to be a whole number from 0 to 1, not true"),
    (0, "1", "'head' has to be a whole number from 0 to 1, not \"1\""),
    (0, 1.0, "'head' has to be a whole number from 0 to 1, not 1.0"),
  ):
    with pytest.raises(ValueError) as raised:
      attention.weights(row, layer, head)
    assert str(raised.value) == message
  with pytest.raises(ValueError, match="no key 'size'"):
    attention.weights(ROW, 0, 0)
