# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Sets TensorFlow up for every test: graph mode, quiet, few threads, seeded.

Nothing comes in. Each test starts in an empty default graph whose seed, like
those of random and numpy, is 1. The environment is set before TensorFlow is
imported and is handed on to the scripts that tests start. Some fixtures make
small trained models.
"""

import gc
import json
import os
import random

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "2")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
# The tests compile more than they run.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import modeling
from bert.tasks.all_tasks import TASKS
from bert.training import trained_model

gc.disable()  # until all tests are imported
tf.logging.set_verbosity(tf.logging.ERROR)
tf.disable_v2_behavior()
tf.enable_resource_variables()
tf.config.set_logical_device_configuration(  # two devices for mirrored training
  tf.config.list_physical_devices("CPU")[0],
  [tf.config.LogicalDeviceConfiguration()] * 2,
)

# Fixtures of a module that train: the tests of a module that share one run in
# one process, so that it is made once.
TRAINED_ONCE = {"exported", "first", "interaction", "trained"}


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items):
  """Groups tests by the training that they share."""
  for item in items:
    shared = TRAINED_ONCE.intersection(item.fixturenames)
    if shared and not item.get_closest_marker("xdist_group"):
      item.add_marker(pytest.mark.xdist_group(item.module.__name__))


def pytest_collection_finish():
  """Spares what is imported from each search for garbage."""
  gc.collect()
  gc.freeze()
  gc.set_threshold(20_000, 20, 20)
  gc.enable()


@pytest.fixture(autouse=True)
def fresh_graph():
  """Gives the test an empty default graph and the same random numbers."""
  tf.reset_default_graph()
  tf.set_random_seed(1)
  np.random.seed(1)
  random.seed(1)


_WORDS = (
  "[PAD] [UNK] [CLS] [SEP] [MASK] good bad day ##s one two a the cafe , . ! é"
)


def make_trained_folder(task, folder, layers=1, width=8, **note):
  """Makes the output folder of a training, with weights drawn at random.

  Args:
    task: its name.
    folder: path of the folder to make.
    layers: of the encoder.
    width: of its vectors.
    **note: keys of task.json.
  """
  folder.mkdir(parents=True)
  config = modeling.BertConfig(
    *(len(_WORDS.split()), width, layers, 2, 2 * width),
    initializer_range=0.5 * (8 / width) ** 0.5,
  )
  (folder / "bert_config.json").write_text(config.to_json_string())
  (folder / "vocab.txt").write_text("\n".join([*_WORDS.split(), ""]))
  note = {"task": task, "do_lower_case": True, "max_seq_length": 12, **note}
  (folder / "task.json").write_text(json.dumps(note))
  with tf.Graph().as_default(), tf.Session() as session:
    tf.set_random_seed(1)
    made = TASKS[task](TASKS[task].Note(**note))
    inputs = trained_model.placeholders(made)
    made.build(config, made.features_of(inputs))
    tf.get_variable("bert/pooler/dense/bias/adam_m", [width])
    session.run(tf.global_variables_initializer())
    saver = tf.train.Saver()
    saver.save(session, str(folder / "model.ckpt"), global_step=3)
  return folder


CLASSIFIER_NOTE = {
  "label_type": "single",
  "labels": ["no", "yes"],
  "thresholds": [],
  "feature_columns": [],
  "feature_mean": [],
  "feature_std": [],
  "text_template": None,
}
SQUAD_NOTE = {
  "version_2_with_negative": False,
  "max_query_length": 4,
  "doc_stride": 3,
  "n_best_size": 3,
  "max_answer_length": 4,
  "null_score_diff_threshold": 0.0,
}


@pytest.fixture
def trained_folder(tmp_path):
  """Makes the output folder of a training, by its task and its note."""

  def make(task, folder=None, **note):
    return make_trained_folder(task, folder or tmp_path / task, **note)

  return make


@pytest.fixture
def classifier(trained_folder):
  """Makes the output folder of run_classifier.py, by keys of task.json."""

  def make(**note):
    return trained_folder("classifier", **{**CLASSIFIER_NOTE, **note})

  return make


@pytest.fixture
def squad_model(trained_folder):
  """Makes the output folder of run_squad.py, by keys of task.json."""

  def make(**note):
    return trained_folder("squad", **{**SQUAD_NOTE, **note})

  return make
