# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""What becomes of the graphs that an estimator builds: freed, and compiled or
not."""

import gc
import weakref

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import modeling
import optimization
from bert.records import input_pipeline
from bert.tasks import classification
from bert.training import estimators, flags

LENGTH, BATCH = 6, 4


class Watched(classification.Classification):
  """A classifier that remembers how its graphs were built."""

  def __init__(self):
    super().__init__(
      classification.ClassifierNote(
        "classifier", "single", ["no", "yes"], [], [], [], [], True, LENGTH
      )
    )
    self.graphs, self.compiled = [], []

  def layers(self, encoder, features):
    self.graphs.append(weakref.ref(tf.get_default_graph()))
    self.compiled.append(encoder.compiled)
    return super().layers(encoder, features)


@pytest.fixture
def task():
  return Watched()


@pytest.fixture
def estimator(tmp_path, task):
  options = flags.RunOptions(output_dir=str(tmp_path), train_batch_size=BATCH)
  graph = estimators.GraphOptions(
    optimizer=optimization.Options(0.1, 2), compiled=True
  )
  config = modeling.BertConfig(20, 8, 1, 2, 16)
  model_fn = estimators.make_model_fn(task, config, graph)
  return estimators.estimator_for(options, model_fn, BATCH)


def train_and_predict(estimator, task):
  schema = task.schema(is_training=True)
  rows = [
    {name: np.ones(spec.shape, np.int32) for name, spec in schema.items()}
    for _ in range(2 * BATCH)
  ]
  input_fn = input_pipeline.array_input_fn(rows, schema, drop_remainder=False)
  estimators.train(estimator, input_fn, 2, len(rows), BATCH, log_steps=10)
  for _ in estimators.predict(estimator, input_fn, len(rows)):
    pass


def test_graphs_are_freed_and_only_training_is_compiled(
  estimator, task, tmp_path
):
  def serving_input_fn():
    inputs = {
      name: tf.placeholder(tf.int32, [None, *spec.shape])
      for name, spec in task.schema(is_training=False).items()
    }
    return tf.estimator.export.ServingInputReceiver(inputs, inputs)

  train_and_predict(estimator, task)
  gc.collect()
  assert [graph() for graph in task.graphs] == [None, None]
  assert task.compiled == [True, False]
  folder = estimator.export_saved_model(str(tmp_path / "a"), serving_input_fn)
  assert not any(task.compiled[2:])
  exported = tf.saved_model.load(tf.Session(), ["serve"], folder.decode())
  assert not [
    function
    for function in exported.graph_def.library.function
    if "_XlaMustCompile" in function.attr
  ]
