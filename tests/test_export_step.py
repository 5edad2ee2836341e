# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""A training step as one XLA module, run by another client than TensorFlow."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import ROOT

import modeling

sys.path.insert(0, str(ROOT / "benchmarks"))
import export_step

SIZES = dict(
  vocab_size=30,
  hidden_size=8,
  num_hidden_layers=1,
  num_attention_heads=2,
  intermediate_size=16,
  max_position_embeddings=8,
  type_vocab_size=2,
)
STEPS = 3


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
  """A folder with a tiny model's step, and the arguments that made it."""
  folder = tmp_path_factory.mktemp("step")
  config = modeling.BertConfig(**SIZES)
  (folder / "config.json").write_text(config.to_json_string())
  flags = [
    *(f"--bert_config_file={folder}/config.json", "--length=6"),
    *("--batch_size=3", "--precision=float32", "--values"),
    f"--output={folder}",
  ]
  script = str(ROOT / "benchmarks" / "export_step.py")
  subprocess.run([sys.executable, script, *flags], check=True)
  return folder, config, export_step.parse_arguments(flags)


@pytest.mark.slow
def test_another_client_takes_tensorflows_steps(exported):
  folder, config, args = exported
  # In a process of its own, because TensorFlow has an XLA of its own.
  script = str(ROOT / "benchmarks" / "run_step.py")
  command = [sys.executable, script, f"--folder={folder}", f"--runs={STEPS}"]
  done = subprocess.run(command, check=True, capture_output=True, text=True)
  losses = [float(loss) for loss in re.findall(r"loss (\S+),", done.stdout)]
  wanted = losses_of_tensorflow(folder, config, args)
  np.testing.assert_allclose(losses, wanted, rtol=1e-6)
  assert len(set(wanted)) == STEPS  # the weights or the masks have changed


def losses_of_tensorflow(folder, config, args):
  """The losses of the same steps in a plain graph."""
  named = json.loads((folder / "arguments.json").read_text())
  arrays = np.load(folder / "arguments.npz").values()
  values = dict(zip((argument["name"] for argument in named), arrays))
  batch = [values.pop(name) for name in export_step.make_batch(config, args)]
  inputs = [tf.placeholder(tf.int32, array.shape) for array in batch]
  loss = export_step.training_step(config, args)(*inputs)
  with tf.Session() as session:
    for variable in tf.global_variables():
      variable.load(values.pop(variable.op.name), session)
    assert not values
    feed = dict(zip(inputs, batch))
    return [float(session.run(loss, feed)) for _ in range(STEPS)]


def test_the_step_gives_every_trained_weight_and_moment_back(exported):
  folder = exported[0]
  for argument in json.loads((folder / "arguments.json").read_text()):
    is_input = argument["name"] in (
      *("input_ids", "input_mask", "segment_ids", "label_ids"),
    )
    assert (argument["result"] is None) == is_input, argument
