# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Runs that are killed and started again, and folders that a kill leaves."""

import json
import shutil

import helpers
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import write
from tensorboard.backend.event_processing import event_accumulator

import predict
import run_classifier
import run_pretraining
import run_tagger
from bert.records import record_files
from bert.tasks.pretraining import Pretraining, PretrainingNote
from bert.training import checkpoints, progress

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["good", "bad", "day", "week", "one", "two"]
CONFIG = {
  "vocab_size": len(TOKENS + WORDS),
  "hidden_size": 8,
  "num_hidden_layers": 1,
  "num_attention_heads": 2,
  "intermediate_size": 16,
  "max_position_embeddings": 16,
  "type_vocab_size": 2,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  """20 examples to train on, 8 to evaluate, vocabulary and configuration."""
  folder = tmp_path_factory.mktemp("data")
  write(folder / "vocab.txt", "\n".join([*TOKENS, *WORDS]) + "\n")
  write(folder / "bert_config.json", json.dumps(CONFIG))
  rng = np.random.RandomState(0)
  for name, count in (("train", 20), ("dev", 8)):
    lines, tagged = ["text\tlabel"], []
    for _ in range(count):
      words = list(rng.choice(WORDS, rng.randint(1, 8)))
      lines.append(f"{' '.join(words)}\t{words[0] == 'good'}")
      tagged += [f"{w} {'B-X' if w == 'good' else 'O'}" for w in words] + [""]
    write(folder / f"{name}.tsv", "\n".join(lines) + "\n")
    write(folder / f"{name}.txt", "\n".join(tagged) + "\n")
  return folder


def classify(data, output_dir, *flags):
  """Runs the classifier: 6 steps in 2.5 epochs of 20 examples."""
  return helpers.run(
    run_classifier,
    *("--task_name=custom", f"--data_dir={data}", "--do_train"),
    *common(data, output_dir, *flags),
  )


def tag(data, output_dir, *flags):
  """Runs the tagger, likewise."""
  return helpers.run(
    run_tagger,
    *(f"--train_file={data}/train.txt", "--do_train"),
    *common(data, output_dir, *flags),
  )


def common(data, output_dir, *flags):
  return [
    f"--vocab_file={data}/vocab.txt",
    f"--bert_config_file={data}/bert_config.json",
    *(f"--output_dir={output_dir}", "--max_seq_length=10"),
    *("--train_batch_size=8", "--num_train_epochs=2.5", "--log_steps=1"),
    *("--save_checkpoints_steps=3", "--learning_rate=1e-2", *flags),
  ]


def kill_at(monkeypatch, step, cls=progress.SavingClock):
  """Has the next run end once, as soon as the checkpoint of a step is saved."""
  whole, killed = cls.after_save, []

  def after_save(self, session, global_step_value):
    if global_step_value == step and not killed:
      killed.append(step)
      raise KeyboardInterrupt
    return whole(self, session, global_step_value)

  monkeypatch.setattr(cls, "after_save", after_save)


def weights(folder):
  """{name: array} of a folder's newest checkpoint."""
  reader = tf.train.load_checkpoint(checkpoints.newest(str(folder)))
  return {n: reader.get_tensor(n) for n in reader.get_variable_to_shape_map()}


def assert_equal(found, expected):
  assert found.keys() == expected.keys()
  for name, value in expected.items():
    np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.mark.parametrize(
  ("run", "flags"),
  [
    (
      classify,
      (
        *("--distribution=mirrored", "--gradient_accumulation_steps=2"),
        "--optimizer=adamw_corrected",
      ),
    ),
    (
      classify,
      ("--optimizer=adafactor", "--lr_schedule=cosine", "--max_grad_norm=0"),
    ),
    (tag, ()),
  ],
)
def test_a_run_that_is_killed_goes_on_with_the_next_example(
  data, tmp_path, monkeypatch, run, flags
):
  done = run(data, tmp_path / "whole", *flags)
  assert done.returncode == 0, done.stderr
  kill_at(monkeypatch, 3)
  done = run(data, tmp_path / "killed", *flags)
  assert (done.returncode, done.stderr.split("\n")[-2]) == (130, "interrupted")
  assert weights(tmp_path / "killed")["global_step"] == 3
  done = run(data, tmp_path / "killed", *flags)
  assert f"resuming {tmp_path / 'killed'} at step 3 of 6" in done.stderr
  assert_equal(weights(tmp_path / "killed"), weights(tmp_path / "whole"))


def test_a_run_may_go_on_with_another_optimizer(data, tmp_path):
  classify(data, tmp_path, "--num_train_epochs=1.25")
  for optimizer, epochs, slot in (
    ("adamw_corrected", 2.5, None),
    ("adafactor", 5, "adafactor_v"),
    ("adamw", 7.5, "adam_m"),
  ):
    before = checkpoints.newest(str(tmp_path))
    done = classify(
      *(data, tmp_path, f"--optimizer={optimizer}"),
      f"--num_train_epochs={epochs}",
    )
    assert done.returncode == 0, done.stderr
    lines = [x for x in done.stderr.split("\n") if "start anew" in x]
    assert len(lines) == bool(slot)
    if slot:
      first = f"{before} lacks bert/embeddings/word_embeddings/{slot}"
      assert lines[0].startswith(first)
  found = weights(tmp_path)
  assert found["global_step"] == 18
  assert not [name for name in found if "adafactor" in name]


def test_new_layers_are_drawn_by_the_seed_and_only_at_the_start(data, tmp_path):
  still = ("--learning_rate=0", "--weight_decay=0.1")  # first weights stay
  first = f"--init_checkpoint={tmp_path}/first"
  classify(data, tmp_path / "first", "--random_seed=7")
  classify(data, tmp_path / "new", *still)
  anew = ("--reinit_layers=1", first, *still)
  done = classify(data, tmp_path / "anew", *anew)
  assert "; --reinit_layers=1 draws anew: bert/encoder/layer_0/" in done.stderr
  expected = weights(tmp_path / "first")
  for name, value in weights(tmp_path / "new").items():
    if name.startswith(("bert/encoder/", "bert/pooler/")):
      expected[name] = value
  found = weights(tmp_path / "anew")
  names = [name for name in found if "/adam_" not in name]
  for name in names:
    np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
  done = classify(
    *(data, tmp_path / "anew", *anew, "--random_seed=9"),
    "--num_train_epochs=5",
  )
  assert "draws anew" not in done.stderr
  again = weights(tmp_path / "anew")
  assert again["global_step"] == 12
  for name in set(names) - {"global_step"}:
    np.testing.assert_array_equal(again[name], found[name], err_msg=name)


def test_more_new_layers_than_there_are_get_one_sentence(data, tmp_path):
  flags = ("--reinit_layers=2", f"--init_checkpoint={tmp_path}")
  done = classify(data, tmp_path / "out", *flags)
  assert done.returncode == 1
  assert done.stderr.endswith(
    f"error: --reinit_layers=2: the model of {data}/bert_config.json has 1"
    " layers\n"
  )


def curve(folder, tag):
  """[(step, value)] as TensorBoard shows them."""
  events = event_accumulator.EventAccumulator(
    str(folder), {event_accumulator.SCALARS: 0}
  )
  return [(e.step, e.value) for e in events.Reload().Scalars(tag)]


def test_what_was_saved_and_not_evaluated_is_evaluated_first(
  data, tmp_path, monkeypatch
):
  flags = "--eval_steps=3", "--keep_best=loss", "--patience=2"
  folders = whole, killed = tmp_path / "whole", tmp_path / "killed"
  done = classify(data, whole, *flags)
  assert done.returncode == 0, done.stderr
  for step in (3, 6):
    kill_at(monkeypatch, step, progress.EvaluationListener)
    done = classify(data, killed, *flags)
    assert done.stderr.endswith("interrupted\n"), done.stderr
    tf.summary.FileWriterCache.clear()  # as in a new process
  done = classify(data, killed, *flags)
  assert done.returncode == 0, done.stderr
  lines = done.stderr.split("\n")
  (evaluated,) = (i for i, x in enumerate(lines) if "step 6 evaluated" in x)
  assert "is already trained to step 6 of 6" in lines[evaluated + 1]
  tf.summary.FileWriterCache.clear()

  notes = [(f / "best" / "best.json").read_text() for f in folders]
  assert notes[0] == notes[1]
  assert_equal(weights(killed / "best"), weights(whole / "best"))
  curves = [curve(folder, "train/loss") for folder in folders]
  assert curves[0] == curves[1]
  assert [step for step, _ in curves[0]] == [1, 2, 3, 4, 5, 6]
  curves = [curve(folder / "eval", "eval_loss") for folder in folders]
  assert curves[0] == curves[1]
  assert [step for step, _ in curves[0]] == [3, 6]


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
  """The folder of a classifier with the checkpoints of steps 0, 3 and 6."""
  folder = tmp_path_factory.mktemp("run") / "out"
  done = classify(data, folder, "--eval_steps=3", "--keep_best=loss")
  assert done.returncode == 0, done.stderr
  return folder


@pytest.fixture
def own(trained, tmp_path):
  """A copy of the trained folder that a test may change."""
  return shutil.copytree(trained, tmp_path / "own")


def classify_text(folder):
  return helpers.run(predict, f"--model_dir={folder}", stdin="good\n")


def test_a_lost_state_is_found_again_by_name(data, own):
  (own / "checkpoint").unlink()
  (own / "model.ckpt-6.index").unlink()
  done = classify(data, own, "--eval_steps=3")
  assert done.returncode == 0, done.stderr
  line = "checkpoint is missing; the newest whole checkpoint is "
  assert done.stderr.count(f"{line}{own / 'model.ckpt-3'}") == 1
  assert f"resuming {own} at step 3 of 6" in done.stderr
  assert weights(own)["global_step"] == 6


def test_new_weights_never_replace_damaged_ones(data, own):
  for path in own.glob("model.ckpt-*.index"):
    path.write_bytes(path.read_bytes()[:-9])
  before = {p: p.read_bytes() for p in own.rglob("*") if p.is_file()}
  for flags in ((), ("--do_train=False", "--do_eval")):
    done = classify(data, own, *flags)
    assert done.returncode == 1
    assert f"error: {own} holds no whole checkpoint: checkpoint" in done.stderr
  assert {p: p.read_bytes() for p in own.rglob("*") if p.is_file()} == before


def test_predictions_take_the_best_and_no_other(own):
  expected = classify_text(own)
  assert expected.returncode == 0, expected.stderr
  (own / "best" / "checkpoint").unlink()
  for folder in (own, own / "best"):
    assert classify_text(folder).stdout == expected.stdout
  for path in (own / "best").glob("*.index"):
    path.unlink()
  done = classify_text(own)
  assert f"error: {own / 'best'} holds no whole checkpoint" in done.stderr
  shutil.rmtree(own / "best")
  assert classify_text(own).returncode == 0
  (own / "checkpoint").write_bytes(b"\xff")
  assert "checkpoint is damaged; the newest whole" in classify_text(own).stderr


def test_weights_that_are_no_numbers_predict_nothing(data, own):
  shutil.rmtree(own / "best")
  kept = weights(own)
  with tf.Graph().as_default(), tf.Session() as session:
    for name, value in kept.items():
      value = value * np.nan if name == "output_bias" else value
      tf.get_variable(name, initializer=value)
    session.run(tf.global_variables_initializer())
    tf.train.Saver().save(session, str(own / "model.ckpt"), 7)
  for done in (
    classify_text(own),
    classify(data, own, "--do_train=False", "--do_eval"),
    classify(data, own, "--num_train_epochs=9"),
    classify(
      *(data, own.parent / "new"), f"--init_checkpoint={own}/model.ckpt-7"
    ),
  ):
    assert done.returncode == 1
    assert "model.ckpt-7 is useless: output_bias has NaN" in done.stderr


def test_a_classifier_is_not_pretrained_over(data, own):
  before = {p: p.read_bytes() for p in own.rglob("*") if p.is_file()}
  records = str(data / "some.tfrecord")
  rows = [helpers.masked_row([2, 5, 6, 3], [1], 10, 4)] * 8
  task = Pretraining(PretrainingNote(10, 4))
  record_files.write_records(rows, task.schema(True), records)
  done = helpers.run(
    run_pretraining,
    *(f"--input_file={records}", "--do_train", f"--output_dir={own}"),
    f"--bert_config_file={data}/bert_config.json",
    *("--max_seq_length=10", "--max_predictions_per_seq=4"),
    *("--train_batch_size=4", "--num_train_steps=9", "--num_warmup_steps=2"),
  )
  assert done.returncode == 1
  assert "holds a model of the task classifier" in done.stderr
  assert {path: path.read_bytes() for path in before} == before


def test_the_loss_has_to_stay_a_number(data, tmp_path):
  done = classify(data, tmp_path, "--learning_rate=1e38")
  assert done.returncode == 1
  assert "lower --learning_rate or warm up for longer" in done.stderr
  assert "Traceback" not in done.stderr
  assert checkpoints.current_step(str(tmp_path)) == 0
  checkpoints.check_finite(checkpoints.newest(str(tmp_path)))
