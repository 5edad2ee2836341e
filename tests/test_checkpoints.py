# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Finding checkpoints, starting from them, and keeping the best one."""

import json
import os
import pathlib
import re
import shutil

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import GOLDEN

import modeling
from bert.training import checkpoints

CONFIG = modeling.BertConfig(
  vocab_size=99,
  hidden_size=32,
  num_hidden_layers=3,
  num_attention_heads=4,
  intermediate_size=37,
  max_position_embeddings=40,
  type_vocab_size=3,
)
TINY = str(GOLDEN / "tiny_checkpoint" / "model.ckpt")


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


# ----------------------------------------------------- finding checkpoints


@pytest.fixture
def folder(tmp_path):
  """A folder with the checkpoints of steps 3 and 6, by name too."""
  folder = tmp_path / "out *1*"
  folder.mkdir()
  for step in (3, 6):
    save(folder, {"a": [1.0] * 8}, step)
  return folder


def cut(folder, name):
  path = folder / name
  path.write_bytes(path.read_bytes()[:-4])


DAMAGE = {
  "nothing": (lambda f: None, 6, ""),
  "no state": (lambda f: (f / "checkpoint").unlink(), 6, "is missing"),
  "empty state": (lambda f: (f / "checkpoint").write_text(""), 6, "is damaged"),
  "other state": (lambda f: (f / "checkpoint").write_text("{"), 6, "damaged"),
  "not UTF-8": (
    lambda f: (f / "checkpoint").write_bytes(b"\xff\xfe"),
    6,
    "checkpoint is damaged",
  ),
  "no index": (
    lambda f: (f / "model.ckpt-6.index").unlink(),
    3,
    "there is no file .*model.ckpt-6.index",
  ),
  "cut index": (
    lambda f: cut(f, "model.ckpt-6.index"),
    3,
    "model.ckpt-6 is damaged",
  ),
  "cut data": (
    lambda f: cut(f, "model.ckpt-6.data-00000-of-00001"),
    3,
    "model.ckpt-6 is damaged: its data files have",
  ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_newest_whole_checkpoint_is_found(folder, caplog, damage):
  harm, step, text = DAMAGE[damage]
  harm(folder)
  for _ in range(2):
    found = checkpoints.newest(str(folder))
    assert found == str(folder / f"model.ckpt-{step}")
  assert checkpoints.current_step(str(folder)) == step
  if not text:
    assert not caplog.messages
    return
  (line,) = caplog.messages  # once, however often it is asked
  assert re.search(text, line)
  assert line.endswith(f"the newest whole checkpoint is {found}")
  checkpoints.make_resumable(str(folder))  # for TensorFlow's own eyes
  state = tf.train.get_checkpoint_state(str(folder))
  assert state.model_checkpoint_path == found
  assert state.all_model_checkpoint_paths[-1] == found


@pytest.mark.parametrize("name", ["out[1]", "a\\b"])
def test_a_folder_that_tensorflow_takes_for_a_pattern_is_refused(name):
  with pytest.raises(ValueError, match="rename the folder"):
    checkpoints.newest(name)
  with pytest.raises(ValueError, match="rename the folder"):
    checkpoints.checkpoint_prefix(f"{name}/model.ckpt-3")


def test_weights_of_which_none_is_whole_are_an_error(folder):
  for step in (3, 6):
    cut(folder, f"model.ckpt-{step}.index")
  with pytest.raises(ValueError, match="no whole checkpoint: .*-6 is damaged;"):
    checkpoints.newest(str(folder))
  for path in folder.glob("model.ckpt*"):
    path.unlink()
  with pytest.raises(ValueError, match="there is no file .*model.ckpt-6.index"):
    checkpoints.newest(str(folder))
  (folder / "checkpoint").unlink()
  assert checkpoints.newest(str(folder)) is None
  assert checkpoints.newest(str(folder / "none")) is None


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


def test_the_pooler_and_the_top_layers_may_start_anew(tmp_path):
  names = [
    "bert/embeddings/word_embeddings",
    *(f"bert/encoder/layer_{i}/output/dense/bias" for i in range(11)),
    "bert/pooler/dense/bias",
    "output_bias",
  ]
  for name in names:
    tf.get_variable(name, initializer=[0.0])
  prefix = save(tmp_path, {name: [1.0] for name in names})
  assignment, line = checkpoints.starting_weights(prefix, None, True, 2)
  assert set(assignment) == {*names[:10], "output_bias"}  # up to layer 8
  assert line == (
    f"init_checkpoint {prefix}: 11 of 14 variables, new: none, unused: none;"
    " --reinit_layers=2 draws anew: bert/encoder/layer_10/output/dense/bias,"
    " bert/encoder/layer_9/output/dense/bias, bert/pooler/dense/bias"
  )


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


def test_prediction_needs_a_trained_model(tmp_path):
  with pytest.raises(ValueError, match="holds no trained model"):
    checkpoints.check_trained(str(tmp_path), None)
  checkpoints.check_trained(str(tmp_path), "a/checkpoint")
  save(tmp_path, {"a": [1.0]})
  checkpoints.check_trained(str(tmp_path), None)


# ---------------------------------------------------------------- the best


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_named(tmp_path, value):
  tf.get_variable("a", initializer=[0.0, 0.0])
  tf.get_variable("b", initializer=[0.0])
  values = {"a": [1.0, value], "b": [1.0], "b/adam_m": [0.0]}
  prefix = save(tmp_path, values, 3)
  for check in (
    lambda: checkpoints.starting_weights(prefix, None, True),
    lambda: checkpoints.check_finite(prefix),
    lambda: checkpoints.make_resumable(str(tmp_path)),
  ):
    with pytest.raises(ValueError, match="model.ckpt-3 is useless: a has NaN"):
      check()
  values = {"a": [1.0, 2.0], "b": [1.0], "b/adam_m": [value]}
  prefix = save(tmp_path, values, 6)
  checkpoints.check_finite(prefix)  # the moments of the optimizer are not used
  with pytest.raises(ValueError, match="useless: b/adam_m has NaN"):
    checkpoints.make_resumable(str(tmp_path))


def test_weights_that_are_no_numbers_are_not_saved():
  tf.get_variable("good", initializer=[1.0])
  bad = tf.get_variable("bad", initializer=[1.0, 2.0])
  tf.get_variable("global_step", initializer=np.int64(1))
  listener = checkpoints.FiniteListener()
  listener.begin()
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    listener.before_save(session, 3)
    bad.load([1.0, np.nan], session)
    with pytest.raises(ValueError, match="step 6: NaN or inf.* in bad: lower"):
      listener.before_save(session, 6)


def test_a_score_is_compared_once(tmp_path):
  prefix = save(tmp_path, {"a": [0.0]})
  note = tmp_path / "best" / "best.json"

  def make():  # as a run that resumes does
    return checkpoints.BestCheckpoint(str(tmp_path), "eval_loss", 2)

  assert not make().has_compared(3)
  for step in (3, 6, 6):
    make().update(step, {"eval_loss": step}, prefix)
  assert json.loads(note.read_text())["worse"] == 1
  assert make().has_compared(6)
  assert not make().has_compared(9)
  kept = json.loads(note.read_text())
  del kept["compared"]  # as earlier versions wrote it
  note.write_text(json.dumps(kept))
  assert make().has_compared(9, unknown=True)
  assert make().update(9, {"eval_loss": 9}, prefix)
  assert make().has_compared(9)


@pytest.mark.parametrize(
  ("text", "found"),
  [
    ("", "not JSON"),
    ("[]", "it has to be an object"),
    ("{}", "no key 'score'"),
    ('{"score": 1}', "'score' has to be a text, not 1"),
    (
      '{"score": "eval_loss", "value": NaN, "step": 3, "worse": 0}',
      "NaN is not a number that JSON has",
    ),
    (
      '{"score": "a", "value": 1, "step": 3, "worse": 0, "checkpoint": "../b"}',
      "'checkpoint' has to be a name in its folder, not '../b'",
    ),
  ],
)
def test_a_damaged_note_of_the_best_is_told(tmp_path, text, found):
  (tmp_path / "best").mkdir()
  (tmp_path / "best" / "best.json").write_text(text)
  with pytest.raises(ValueError, match=re.escape(found)):
    checkpoints.BestCheckpoint(str(tmp_path), "eval_loss")


def test_the_note_of_the_best_names_it(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)  # a relative folder has its own pitfalls
  best = checkpoints.BestCheckpoint("out", "eval_loss")
  os.mkdir("out")
  for step in (3, 6):
    prefix = save(pathlib.Path("out"), {"a": [0.0]}, step)
    best.update(step, {"eval_loss": step}, prefix)
  found = checkpoints.newest(os.path.join("out", "best"))
  assert found == best.checkpoint == os.path.join("out/best", "model.ckpt-3")
  assert tf.train.latest_checkpoint(os.path.join("out", "best")) == found
  os.remove("out/best/checkpoint")
  assert checkpoints.newest(os.path.join("out", "best")) == found
  os.remove("out/best/model.ckpt-3.index")
  with pytest.raises(ValueError, match="out/best holds no whole checkpoint"):
    checkpoints.newest(os.path.join("out", "best"))


def test_a_higher_accuracy_is_better(tmp_path):
  prefix = save(tmp_path, {"a": [0.0]})
  best = checkpoints.BestCheckpoint(str(tmp_path / "out"), "eval_accuracy", 1)
  assert not best.update(1, {"eval_accuracy": 0.5}, prefix)
  assert not best.update(2, {"eval_accuracy": 0.7}, prefix)
  assert best.update(3, {"eval_accuracy": 0.6}, prefix)
