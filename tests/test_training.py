# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""What the run_ scripts check and choose alike, by their flags."""

import dataclasses
import json
import types

import pytest
import tensorflow.compat.v1 as tf

from bert.training import common_flags, old_runs


class Flags(types.SimpleNamespace):
  """Stands for the flags of a command line: FLAGS.name, FLAGS["name"].value."""

  def __contains__(self, name):
    return hasattr(self, name)

  def __getitem__(self, name):
    return types.SimpleNamespace(value=getattr(self, name))


@pytest.fixture
def values(monkeypatch, tmp_path):
  """The flags, as far as these tests go; a test changes them."""
  values = Flags(
    bert_config_file=None,
    distribution="none",
    do_eval=False,
    do_train=True,
    eval_steps=0,
    gradient_accumulation_steps=1,
    keep_best=None,
    num_train_epochs=3.0,
    output_dir=str(tmp_path / "out"),
    patience=0,
    precision="float32",
    train_batch_size=32,
    use_tpu=False,
    tpu_name=None,
    vocab_file=None,
  )
  for module in (common_flags, old_runs):
    monkeypatch.setattr(module, "FLAGS", values)
  return values


def save(folder, step=1):
  """Writes a checkpoint with one variable and returns its prefix."""
  with tf.Graph().as_default(), tf.Session() as session:
    tf.get_variable("kept", initializer=[0.0])
    session.run(tf.global_variables_initializer())
    return tf.train.Saver().save(session, str(folder / "model.ckpt"), step)


# ----------------------------------------------------------------- checks


def test_a_note_that_differs_is_told_by_field():
  kept = types.SimpleNamespace(labels=["0", "1"], do_lower_case=True)
  note = types.SimpleNamespace(labels=["0", "1"], do_lower_case=False)
  old_runs.compare_notes(kept, note, ["labels"])
  with pytest.raises(
    ValueError, match="has do_lower_case True, and now it is False: give the s"
  ):
    old_runs.compare_notes(kept, note, ["labels", "do_lower_case"])


@pytest.mark.parametrize(
  ("labels", "is_told"),
  [(["O", "B-X"], True), (["O", "B-A"], False), (["O", "A", "B"], False)],
)
def test_a_head_for_other_labels_is_told(
  values, tmp_path, caplog, labels, is_told
):
  kind = dataclasses.make_dataclass("Note", ["labels"])
  (tmp_path / "task.json").write_text('{"labels": ["O", "B-A"]}')
  old_runs.warn_of_other_labels(kind, str(tmp_path / "model.ckpt"), labels)
  assert ("has a head for O, B-A: training starts" in caplog.text) is is_told


def test_steps_are_those_of_whole_batches(values):
  assert old_runs.num_train_steps(3637) == 340  # 340.97
  old_runs.check_train_steps(11, "examples")
  with pytest.raises(
    ValueError, match=r"10 words x --num_train_epochs=3.0 do not fill one step"
  ):
    old_runs.check_train_steps(10, "words")


@pytest.mark.parametrize("given", ["f1", "eval_f1"])
def test_a_score_may_be_named_without_eval(values, given):
  values.keep_best, values.eval_steps = given, 5
  old_runs.check_evaluation(["eval_accuracy", "eval_f1"])
  assert values.keep_best == "eval_f1"


@pytest.mark.parametrize(
  ("changed", "message"),
  [
    ({"keep_best": "bleu"}, "keep_best=eval_bleu is no score .* eval_f1, eval"),
    ({"patience": 2}, "--patience needs --keep_best=SCORE"),
    ({"keep_best": "f1"}, "--keep_best needs --eval_steps"),
    (
      {"eval_steps": 5, "distribution": "multi_worker"},
      r"workers would wait: evaluate after training \(--do_eval\)",
    ),
    (
      {"eval_steps": 5, "use_tpu": True},
      r"no room for two programs: evaluate after training \(--do_eval\)",
    ),
    ({"keep_best": "f1", "do_train": False}, "best holds no checkpoint"),
  ],
)
def test_flags_of_evaluation_that_do_not_fit(values, changed, message):
  vars(values).update(changed)
  with pytest.raises(ValueError, match=message):
    old_runs.check_evaluation(["eval_f1", "eval_loss"])


def test_advice_names_flags_that_the_script_has(values):
  del values.do_eval  # as run_squad has it
  values.eval_steps, values.use_tpu = 5, True
  with pytest.raises(ValueError, match=r"after training \(--do_predict\)$"):
    old_runs.check_evaluation(["eval_f1"])


def test_a_folder_with_another_model_is_refused(values, tmp_path):
  folder = tmp_path / "out"
  folder.mkdir()
  (folder / "bert_config.json").write_text('{"a": 1, "b": 2}')
  (folder / "vocab.txt").write_text("one\ntwo\n")
  given = tmp_path / "config.json"
  given.write_text('{"b": 3}')
  values.bert_config_file = str(given)
  old_runs.check_flags(["do_train"])  # no checkpoint: nothing to lose
  save(folder)
  with pytest.raises(ValueError, match=r"config.json differs from its bert_c"):
    old_runs.check_flags(["do_train"])
  given.write_text(json.dumps({"b": 2, "a": 1}, indent=2))
  vocab = tmp_path / "vocab.txt"
  vocab.write_bytes(b"one\r\ntwo\r\n")
  values.vocab_file = str(vocab)
  old_runs.check_flags(["do_train"])  # laid out otherwise, but the same
  vocab.write_text("two\none\n")
  with pytest.raises(ValueError, match=r"vocab.txt differs from its vocab.txt"):
    old_runs.check_flags(["do_train"])


# --------------------------------------------------------------- training


def test_told_weights_go_before_the_newest_and_those_before_the_first(
  values, tmp_path
):
  assert old_runs.used_checkpoint(None, "init") == "init"
  newest = save(tmp_path / "out", 7)
  assert old_runs.used_checkpoint(None, "init") == newest
  assert old_runs.used_checkpoint("best", "init") == "best"


def test_the_best_checkpoint_is_used_where_one_is_kept(values, tmp_path):
  assert old_runs.best_checkpoint() is None
  values.keep_best = "eval_f1"
  assert old_runs.best_checkpoint() is None
  best = tmp_path / "out" / "best"
  best.mkdir(parents=True)
  note = {"score": "eval_f1", "value": 0.5, "checkpoint": "model.ckpt-3"}
  (best / "best.json").write_text(json.dumps(note))
  assert old_runs.best_checkpoint() == str(best / "model.ckpt-3")
