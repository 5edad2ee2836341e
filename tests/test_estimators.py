# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Starting weights, training, progress, the best checkpoint and results."""

import dataclasses
import json
import pathlib
import re
import shutil

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import modeling
import optimization
from bert.tasks import task as tasks
from bert.training import checkpoints, estimators, flags, progress

CONFIG = modeling.BertConfig(
  vocab_size=99,
  hidden_size=32,
  num_hidden_layers=3,
  num_attention_heads=4,
  intermediate_size=37,
  max_position_embeddings=40,
  type_vocab_size=3,
)
TINY = str(
  pathlib.Path(__file__).parent / "golden" / "tiny_checkpoint" / "model.ckpt"
)


def save(folder, values, step=None):
  """Writes a checkpoint with the given arrays, and returns its prefix."""
  with tf.Graph().as_default():
    for name, value in values.items():
      tf.get_variable(name, initializer=np.asarray(value))
    if step is not None:
      tf.get_variable("global_step", initializer=np.int64(step))
    with tf.Session() as session:
      session.run(tf.global_variables_initializer())
      return tf.train.Saver().save(session, str(folder / "model.ckpt"), step)


# ------------------------------------------------------- starting weights


@pytest.mark.parametrize(
  "name",
  ["", "model.ckpt", "model.ckpt.index", "model.ckpt.data-00000-of-00001"],
)
def test_a_checkpoint_is_found_by_prefix_file_or_folder(tmp_path, name):
  prefix = save(tmp_path, {"a": [1.0]})
  assert checkpoints.checkpoint_prefix(str(tmp_path / name)) == prefix


def test_no_checkpoint():
  assert checkpoints.checkpoint_prefix(None) is None
  assert checkpoints.checkpoint_prefix("") is None
  with pytest.raises(
    ValueError, match=r"there is no file nowhere/a.ckpt.index"
  ):
    checkpoints.checkpoint_prefix("nowhere/a.ckpt")


def test_an_empty_folder_is_no_checkpoint(tmp_path):
  with pytest.raises(ValueError, match="holds 0 checkpoints"):
    checkpoints.checkpoint_prefix(str(tmp_path))


@pytest.mark.parametrize(
  ("name", "found"),
  [
    ("vocab_size", 99),
    ("hidden_size", 32),
    ("num_hidden_layers", 3),
    ("max_position_embeddings", 40),
  ],
)
def test_sizes_that_differ_from_the_checkpoint_are_named(name, found):
  config = modeling.BertConfig.from_dict({**CONFIG.to_dict(), name: 4 * 32})
  with pytest.raises(
    ValueError, match=f"{name} is 128 in c.json but {found} in checkpoint"
  ):
    checkpoints.find_checkpoint(TINY, config, "c.json")
  assert checkpoints.find_checkpoint(TINY, CONFIG, "c.json") == TINY


def test_a_checkpoint_whose_download_ended_early_is_refused(tmp_path):
  folder = tmp_path / "tiny"
  shutil.copytree(pathlib.Path(TINY).parent, folder)
  prefix = str(folder / "model.ckpt")
  assert checkpoints.find_checkpoint(prefix, CONFIG, "c.json") == prefix
  (data,) = (path for path in folder.iterdir() if ".data" in path.name)
  size = data.stat().st_size
  data.write_bytes(data.read_bytes()[:-4])
  with pytest.raises(ValueError, match=f"damaged: .* have {size - 4} bytes"):
    checkpoints.find_checkpoint(prefix, CONFIG, "c.json")
  data.unlink()
  with pytest.raises(ValueError, match="is damaged"):
    checkpoints.find_checkpoint(prefix, CONFIG, "c.json")


def test_what_starts_from_where_is_said(tmp_path):
  tf.get_variable("kept", initializer=[0.0, 0.0])
  tf.get_variable("fresh", initializer=[0.0])
  prefix = save(
    tmp_path, {"kept": [1.0, 2.0], "other": [3.0], "kept/adam_m": [0.0, 0.0]}
  )
  assignment, line = checkpoints.starting_weights(prefix, None, True)
  assert dict(assignment) == {"kept": "kept"}
  assert line == (
    f"init_checkpoint {prefix}: 1 of 2 variables, new: fresh, unused: other"
  )
  with pytest.raises(ValueError, match=r"lacks fresh: train first"):
    checkpoints.starting_weights(prefix, None, False)


def test_a_checkpoint_that_matches_nothing_is_refused(tmp_path):
  tf.get_variable("a", initializer=[0.0])
  prefix = save(tmp_path, {"b": [0.0]})
  with pytest.raises(ValueError, match="none of the model's variables"):
    checkpoints.starting_weights(prefix, None, True)


def test_other_shapes_name_the_likely_cause(tmp_path):
  tf.get_variable("output_bias", initializer=[0.0, 0.0, 0.0])
  prefix = save(tmp_path, {"output_bias": [0.0, 0.0]})
  with pytest.raises(
    ValueError, match=r"shape \[3\] here but \[2\] .* number of labels"
  ):
    checkpoints.starting_weights(prefix, None, True)


def test_an_output_folder_with_another_model_is_refused(tmp_path):
  tf.get_variable("a", initializer=[0.0])
  save(tmp_path, {"b": [0.0]}, step=3)
  with pytest.raises(ValueError, match="output_dir holds another model"):
    checkpoints.starting_weights(None, str(tmp_path), True)


# --------------------------------------------------------------- training


class Line(tasks.Task):
  """Fits a line: loss (w x - y)^2, divided by `weights`."""

  def __init__(self, weights=(4.0,), shows=False):
    self._weights, self._shows = weights, shows

  def build(self, config, features, **options):
    del config, options
    return {"slope": tf.get_variable("slope", initializer=[0.0])}

  def scored(self, tensors, features):
    slope = tensors["slope"]
    losses = tf.square(slope * features["x"] - features["y"])
    outputs = tasks.Outputs({"losses": losses}, [tf.reduce_sum(losses)])
    if self._shows:
      size = tf.reduce_sum(features["x"])
      outputs.shown = {"size": (size, 1), "slope": (slope[0] * size, 0)}
    return outputs

  def loss_weights(self, features):
    return [tf.constant(weight) for weight in self._weights]


def input_fn(params):
  x = np.linspace(0, 1, 8, dtype=np.float32)
  dataset = tf.data.Dataset.from_tensor_slices(
    {"x": x, "y": 3 * x, "example_index": np.arange(8, dtype=np.int32)}
  )
  return dataset.repeat().batch(params["batch_size"])


def line_estimator(output_dir, steps, task=None, slices=1, **options):
  graph = estimators.GraphOptions(
    optimizer=optimization.Options(0.1, steps, 2, slices=slices)
  )
  return estimators.estimator_for(
    flags.RunOptions(output_dir=str(output_dir), train_batch_size=4, **options),
    estimators.make_model_fn(task or Line(), None, graph),
    predict_batch_size=8,
  )


def summaries(folder):
  """{tag: {step: value}} of the event files in a folder."""
  found = {}
  for path in sorted(folder.glob("events*")):
    for event in tf.train.summary_iterator(str(path)):
      for value in event.summary.value:
        found.setdefault(value.tag, {})[event.step] = value.simple_value
  return found


def test_training_shows_and_records_its_progress(tmp_path, caplog):
  caplog.set_level("INFO", logger="absl")
  estimator = line_estimator(tmp_path, 20)
  estimators.train(estimator, input_fn, 20, 8, 4, log_steps=8)
  lines = [line for line in caplog.messages if line.startswith("step ")]
  assert [re.match(r"step (\d+)/20", line).group(1) for line in lines] == [
    "8",
    "16",
    "20",
  ]
  assert "epoch 4," in lines[0]  # 8 steps of 4 are 4 passes over 8 examples
  assert "learning_rate 0.065" in lines[0]  # 0.1 (1 - 7 / 20), of step 7
  assert lines[-1].endswith("0:00 left")
  found = summaries(tmp_path)
  assert set(found["train/loss"]) == {8, 16, 20}
  assert found["train/learning_rate"][8] == pytest.approx(0.065)
  assert found["train/epoch"][20] == 10
  assert found["train/examples_per_second"][16] > 0
  assert found["train/loss"][20] < found["train/loss"][8]


@pytest.mark.parametrize("slices", [1, 2])
def test_what_is_shown_is_of_the_whole_batch_and_moves_no_weight(
  tmp_path, slices
):
  found = []
  for name in ("shown", "plain"):
    task = Line((4.0, 2.0), shows=name == "shown")
    estimator = line_estimator(tmp_path / name, 5, task, slices)
    estimators.train(estimator, input_fn, 5, 8, 4, log_steps=2)
    found.append(summaries(tmp_path / name))
  shown, plain = found
  assert shown["train/loss"] == plain["train/loss"]
  # Batches of x are 0, 1, 2, 3 and 4, 5, 6, 7 sevenths; two steps have both.
  np.testing.assert_allclose(shown["train/size"][2], (6 + 22) / 7 / 2 / 2)
  assert "train/size" not in plain
  assert shown["train/slope"][4] > shown["train/slope"][2] > 0


def test_training_goes_on_and_does_not_start_when_it_is_done(tmp_path, caplog):
  caplog.set_level("INFO", logger="absl")
  estimators.train(line_estimator(tmp_path, 6), input_fn, 6, 8, 4, 10)
  estimators.train(line_estimator(tmp_path, 9), input_fn, 9, 8, 4, 10)
  assert f"resuming {tmp_path} at step 6 of 9" in caplog.messages
  assert checkpoints.current_step(str(tmp_path)) == 9
  estimators.train(line_estimator(tmp_path, 9), input_fn, 9, 8, 4, 10)
  assert any("already trained to step 9 of 9" in m for m in caplog.messages)


def test_evaluation_while_training_keeps_the_best_and_stops(tmp_path):
  losses = iter([0.5, 0.3, 0.4, 0.35, 0.1])
  seen = []

  def evaluate(checkpoint):
    seen.append(checkpoint)
    return {"eval_loss": next(losses)}

  best = checkpoints.BestCheckpoint(str(tmp_path), "eval_loss", patience=2)
  listener = progress.EvaluationListener(evaluate, str(tmp_path), best)
  estimator = line_estimator(
    tmp_path, 10, save_checkpoints_steps=2, keep_checkpoint_max=1
  )
  estimators.train(estimator, input_fn, 10, 8, 4, 10, listener)
  assert [path.rsplit("-", 1)[1] for path in seen] == ["2", "4", "6", "8"]
  assert checkpoints.current_step(str(tmp_path)) < 10
  kept = json.loads((tmp_path / "best" / "best.json").read_text())
  assert (kept["value"], kept["step"], kept["worse"]) == (0.3, 4, 2)
  names = {path.name.split(".")[1] for path in tmp_path.glob("best/*.ckpt-*")}
  assert names == {"ckpt-4"}
  again = checkpoints.BestCheckpoint(str(tmp_path), "eval_loss")
  assert again.checkpoint == str(tmp_path / "best" / "model.ckpt-4")
  assert checkpoints.current_step(again.checkpoint) == 4
  assert summaries(tmp_path / "eval")["eval_loss"][6] == pytest.approx(0.4)


def test_a_score_that_is_no_number_is_never_the_best(tmp_path):
  prefix = save(tmp_path, {"a": [0.0]})
  best = checkpoints.BestCheckpoint(str(tmp_path / "out"), "eval_loss")
  for step, value in enumerate([float("nan"), 0.5, float("nan"), 0.7]):
    best.update(step, {"eval_loss": value}, prefix)
  kept = json.loads((tmp_path / "out" / "best" / "best.json").read_text())
  assert (kept["value"], kept["step"]) == (0.5, 1)


def test_a_higher_accuracy_is_better(tmp_path):
  prefix = save(tmp_path, {"a": [0.0]})
  best = checkpoints.BestCheckpoint(str(tmp_path / "out"), "eval_accuracy", 1)
  assert not best.update(1, {"eval_accuracy": 0.5}, prefix)
  assert not best.update(2, {"eval_accuracy": 0.7}, prefix)
  assert best.update(3, {"eval_accuracy": 0.6}, prefix)


def test_prediction_needs_a_trained_model(tmp_path):
  with pytest.raises(ValueError, match="holds no trained model"):
    checkpoints.check_trained(str(tmp_path), None)
  checkpoints.check_trained(str(tmp_path), "a/checkpoint")
  save(tmp_path, {"a": [1.0]})
  checkpoints.check_trained(str(tmp_path), None)


# ---------------------------------------------------------------- results


@dataclasses.dataclass
class Note:
  case: str


def test_a_note_is_that_of_the_model_that_is_used(tmp_path):
  trained, start = tmp_path / "trained", tmp_path / "start"
  for folder in (trained, start / "best"):
    folder.mkdir(parents=True)
    prefix = save(folder, {"a": [1.0]})
  (trained / "task.json").write_text('{"case": "trained"}')
  (start / "task.json").write_text('{"case": "start"}')

  def case(*paths):
    note = checkpoints.load_note(Note, *map(str, paths))
    return note and note.case

  assert case(trained, prefix) == "trained"
  assert case(tmp_path, prefix) == "start"
  assert checkpoints.load_note(Note, str(tmp_path), None) is None
  (trained / "task.json").write_text('{"labels": []}')
  with pytest.raises(ValueError, match="task.json is damaged, or of another"):
    case(trained, prefix)
