# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Training with an estimator: progress, resuming and evaluation."""

import json
import re

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import optimization
from bert.tasks import task
from bert.training import checkpoints, estimators, flags, progress


class Line(task.Task):
  """Fits a line: loss (w x - y)^2."""

  name = "line"

  def build(self, config, features, **options):
    slope = tf.get_variable("slope", initializer=[0.0])
    return {"losses": tf.square(slope * features["x"] - features["y"])}

  def scored(self, tensors, features):
    return task.Outputs(tensors, loss_sums=[tf.reduce_sum(tensors["losses"])])

  def loss_weights(self, features):
    return (tf.constant(4.0), tf.constant(2.0))


def input_fn(params):
  x = np.linspace(0, 1, 8, dtype=np.float32)
  dataset = tf.data.Dataset.from_tensor_slices(
    {"x": x, "y": 3 * x, "example_index": np.arange(8, dtype=np.int32)}
  )
  return dataset.repeat().batch(params["batch_size"])


def line_estimator(
  output_dir, steps, line=None, slices=1, warmup=2, scale_loss=False, **options
):
  """The estimator of a line, or of the task `line`, with batches of 4."""
  optimizer = optimization.Options(
    learning_rate=0.1,
    num_train_steps=steps,
    num_warmup_steps=warmup,
    slices=slices,
    scale_loss=scale_loss,  # as --precision=float16 does
  )
  graph = estimators.GraphOptions(optimizer=optimizer)
  model_fn = estimators.make_model_fn(line or Line(None), None, graph)
  options = flags.RunOptions(
    output_dir=str(output_dir), train_batch_size=4, **options
  )
  return estimators.estimator_for(options, model_fn, predict_batch_size=4)


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


def test_a_step_is_one_run_of_the_session(tmp_path, monkeypatch):
  runs, run = [], tf.Session.run

  def counted(self, *args, **kwargs):
    runs.append(args)
    return run(self, *args, **kwargs)

  monkeypatch.setattr(tf.Session, "run", counted)
  counts = []
  for steps in (3, 23):
    estimator = line_estimator(tmp_path / str(steps), steps)
    runs.clear()
    estimators.train(estimator, input_fn, steps, 8, 4, log_steps=2)
    counts.append(len(runs))
  # What stops at the last step may look at it once or twice.
  assert counts[1] - counts[0] == pytest.approx(20, abs=1)


@pytest.mark.parametrize("slices", [1, 2])
def test_what_is_shown_is_of_the_whole_batch_and_moves_no_weight(
  tmp_path, slices
):
  class Shown(Line):
    def scored(self, tensors, features):
      outputs = super().scored(tensors, features)
      size = tf.reduce_sum(features["x"])
      slope = tf.trainable_variables()[0]
      outputs.shown = {"size": (size, 1), "slope": (slope[0] * size, 0)}
      return outputs

  found = []
  for name, line in (("shown", Shown(None)), ("plain", Line(None))):
    estimator = line_estimator(tmp_path / name, 5, line, slices, warmup=0)
    estimators.train(estimator, input_fn, 5, 8, 4, log_steps=2)
    found.append(summaries(tmp_path / name))
  shown, plain = found
  assert shown["train/loss"] == plain["train/loss"]
  # Batches of x are 0, 1, 2, 3 and 4, 5, 6, 7 sevenths; two steps have both.
  np.testing.assert_allclose(shown["train/size"][2], (6 + 22) / 7 / 2 / 2)
  assert "train/size" not in plain
  assert shown["train/slope"][4] > shown["train/slope"][2] > 0


def test_the_graph_is_beside_each_checkpoint_and_is_not_text(tmp_path):
  estimator = line_estimator(
    tmp_path, 7, save_checkpoints_steps=2, keep_checkpoint_max=2
  )
  estimators.train(estimator, input_fn, 7, 8, 4, 10)
  for suffix in ("index", "meta"):
    steps = sorted(path.stem for path in tmp_path.glob(f"*.{suffix}"))
    assert steps == ["model.ckpt-6", "model.ckpt-7"]
  assert not (tmp_path / "graph.pbtxt").exists()
  with tf.Graph().as_default(), tf.Session() as session:
    newest = str(tmp_path / "model.ckpt-7")
    saver = tf.train.import_meta_graph(newest + ".meta")
    saver.restore(session, newest)
    assert session.run(tf.train.get_global_step()) == 7


def test_training_resumes_and_does_not_start_when_it_is_done(tmp_path, caplog):
  caplog.set_level("INFO", logger="absl")
  estimators.train(line_estimator(tmp_path, 6), input_fn, 6, 8, 4, 10)
  estimators.train(line_estimator(tmp_path, 9), input_fn, 9, 8, 4, 10)
  assert f"resuming {tmp_path} at step 6 of 9" in caplog.messages
  assert checkpoints.current_step(str(tmp_path)) == 9
  estimators.train(line_estimator(tmp_path, 9), input_fn, 9, 8, 4, 10)
  assert any("already trained to step 9 of 9" in m for m in caplog.messages)


def test_training_resumes_in_and_from_float16(tmp_path, caplog):
  caplog.set_level("INFO", logger="absl")

  def train(steps, scale_loss):
    caplog.clear()
    estimator = line_estimator(
      tmp_path, steps, scale_loss=scale_loss, save_checkpoints_steps=2
    )
    estimators.train(estimator, input_fn, steps, 8, 4, 10)
    reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(str(tmp_path)))
    names = reader.get_variable_to_shape_map()
    return {name: reader.get_tensor(name) for name in names}

  first = train(4, scale_loss=False)
  second = train(8, scale_loss=True)
  anew = [line for line in caplog.messages if "anew" in line]
  assert len(anew) == 1
  assert anew[0].endswith(
    "model.ckpt-4 lacks loss_scale/scale, loss_scale/good_steps, which start"
    " anew"
  )
  scaled = {"loss_scale/scale", "loss_scale/good_steps"}
  assert set(second) == set(first) | scaled
  assert second["loss_scale/scale"] == optimization.FIRST_LOSS_SCALE
  assert second["loss_scale/good_steps"] == 4  # those of this run
  assert second["slope"] > first["slope"]
  third = train(12, scale_loss=True)
  assert not [line for line in caplog.messages if "anew" in line]
  assert third["loss_scale/good_steps"] == 8
  fourth = train(16, scale_loss=False)
  assert set(fourth) == set(first)
  assert fourth["global_step"] == 16


def test_weights_go_on_from_the_checkpoint_where_something_starts_anew(
  tmp_path,
):
  found = []
  for name, scale_loss in (("a", False), ("b", True)):
    estimators.train(line_estimator(tmp_path / name, 4), input_fn, 4, 8, 4, 10)
    estimators.train(
      line_estimator(tmp_path / name, 8, scale_loss=scale_loss),
      *(input_fn, 8, 8, 4, 10),
    )
    path = tf.train.latest_checkpoint(str(tmp_path / name))
    found.append(
      [tf.train.load_variable(path, n) for n in ("slope", "slope/adam_m")]
    )
  np.testing.assert_allclose(found[1], found[0], rtol=1e-5)


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
