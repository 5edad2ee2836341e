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


@pytest.mark.parametrize(
  ("dtype", "tolerance"), [(tf.bfloat16, 0.05), (tf.float16, 0.02)]
)
def test_low_precision_stays_near_and_hands_out_float32(
  golden, dtype, tolerance
):
  model = modeling.BertModel(
    golden_config(), False, *golden_inputs(golden), compute_dtype=dtype
  )
  assert all(v.dtype.base_dtype == tf.float32 for v in tf.global_variables())
  outputs = [
    model.get_embedding_output(),
    model.get_pooled_output(),
    *model.get_all_encoder_layers(),
  ]
  assert all(output.dtype == tf.float32 for output in outputs)
  with session_from(CHECKPOINT) as session:
    pooled, layer = session.run([outputs[1], outputs[-1]])
  expected = golden["out/pooled_output"]
  np.testing.assert_allclose(pooled, expected, atol=tolerance)
  assert np.abs(layer - golden["out/encoder_layer_2"]).max() < 2 * tolerance


def test_low_precision_products_are_low_precision():
  ids = tf.placeholder(tf.int32, [None, None])
  model = modeling.BertModel(
    golden_config(), False, ids, ids, compute_dtype=tf.bfloat16
  )
  assert model.get_pooled_output().dtype == tf.float32
  products = [
    op
    for op in tf.get_default_graph().get_operations()
    if op.type.endswith(("MatMul", "MatMulV2")) and "encoder" in op.name
  ]
  assert products
  assert all(op.outputs[0].dtype == tf.bfloat16 for op in products)
