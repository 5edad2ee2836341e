# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Progress of prediction in words, and evaluation at each checkpoint."""

import pytest
import tensorflow.compat.v1 as tf

from bert.training import progress


@pytest.mark.parametrize(
  ("done", "total", "seconds", "text"),
  [
    (30, 90, 20, "example 30/90, 1.5 examples/s, 0:40 left"),
    (10, 9010, 10, "example 10/9010, 1.0 examples/s, 2:30:00 left"),
    (30, None, 20, "example 30, 1.5 examples/s"),
  ],
)
def test_prediction_gives_its_rate_and_the_time_left(
  done, total, seconds, text
):
  assert progress._how_far(done, total, seconds) == text


def test_replicas_show_a_scalar_once():
  for _ in range(2):
    with tf.name_scope("replica"):
      progress.show_progress("loss", tf.constant(1.0))
  names = [tensor.op.name for tensor in tf.get_collection("progress")]
  assert names == ["progress/loss"]


def save(folder, step):
  tf.reset_default_graph()
  tf.get_variable("global_step", initializer=tf.constant(step, tf.int64))
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    return tf.train.Saver().save(session, str(folder / "model.ckpt"), step)


def test_a_run_that_resumes_evaluates_its_new_checkpoints_only(
  tmp_path, caplog
):
  caplog.set_level("INFO", logger="absl")
  seen = []

  def evaluate(checkpoint):
    seen.append(checkpoint)
    return {"eval_loss": 0.25, "eval_accuracy": 1234.5}

  save(tmp_path, 3)
  listener = progress.EvaluationListener(evaluate, str(tmp_path))
  assert not listener.is_patience_out()
  listener.after_save(None, 3)
  prefix = save(tmp_path, 5)
  assert not listener.after_save(None, 5)
  assert seen == [prefix]
  line = "step 5 evaluated: eval_accuracy 1234, eval_loss 0.25"
  assert line in caplog.messages


def test_prediction_passes_batches_on_and_counts_examples(caplog):
  caplog.set_level("INFO", logger="absl")
  batches = progress.show_predicting(iter(["abc", "d"]), len, 4, "out/model-3")
  assert list(batches) == ["abc", "d"]
  (line,) = caplog.messages
  assert line.startswith("predicted 4 examples in 0.0 s (")
  assert line.endswith(" examples/s) with out/model-3")
