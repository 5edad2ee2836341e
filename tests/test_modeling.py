# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Tests of the encoder: the original's values, names, shapes and dropout."""

import pathlib

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import modeling

GOLDEN = pathlib.Path(__file__).parent / "golden"
CHECKPOINT = str(GOLDEN / "tiny_checkpoint" / "model.ckpt")


def golden_config(**changes):
  file = str(GOLDEN / "tiny_checkpoint" / "bert_config.json")
  config = modeling.BertConfig.from_json_file(file)
  config.__dict__.update(changes)
  return config


@pytest.fixture
def golden():
  return dict(np.load(GOLDEN / "modeling.npz"))


def golden_inputs(golden):
  names = "input_ids", "input_mask", "segment_ids"
  return [golden["in/" + name] for name in names]


def session_from(checkpoint):
  """A session whose variables come from a checkpoint, all of them."""
  variables = tf.trainable_variables()
  found, _ = modeling.get_assignment_map_from_checkpoint(variables, checkpoint)
  assert set(found) == {variable.op.name for variable in variables}
  tf.train.init_from_checkpoint(checkpoint, found)
  session = tf.Session()
  session.run(tf.global_variables_initializer())
  return session


@pytest.mark.parametrize("use_one_hot", [False, True])
def test_outputs_are_the_originals(golden, use_one_hot):
  model = modeling.BertModel(
    golden_config(), False, *golden_inputs(golden), use_one_hot
  )
  outputs = {
    "embedding_output": model.get_embedding_output(),
    "pooled_output": model.get_pooled_output(),
  }
  for i, layer in enumerate(model.get_all_encoder_layers()):
    outputs[f"encoder_layer_{i}"] = layer
  with session_from(CHECKPOINT) as session:
    for name, value in session.run(outputs).items():
      np.testing.assert_allclose(value, golden["out/" + name], atol=1e-5)
