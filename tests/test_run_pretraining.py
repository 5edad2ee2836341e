# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Pre-training: losses of the original, masks by the rule, whole runs."""

import json
import math
import pathlib
import random
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from absl import flags

import modeling
import optimization
import run_pretraining
from bert.records import corpora, record_files
from bert.training import common_flags, estimators

ROOT = pathlib.Path(__file__).parent.parent
GOLDEN = ROOT / "tests" / "golden"
CHECKPOINT = str(GOLDEN / "tiny_checkpoint" / "model.ckpt")
LENGTH, PREDICTIONS = 16, 4
SCHEMA = record_files.pretraining_schema(LENGTH, PREDICTIONS)
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TOKENS += [*"abcdefgh", "##i", "##j", "##k", "##l"]
PIECES = range(13, 17)
CONFIG = {
  "vocab_size": len(TOKENS),
  "hidden_size": 8,
  "num_hidden_layers": 1,
  "num_attention_heads": 2,
  "intermediate_size": 16,
  "max_position_embeddings": 32,
  "type_vocab_size": 2,
  "initializer_range": 0.2,  # learns at once, whatever the seed
  "hidden_dropout_prob": 0.0,
  "attention_probs_dropout_prob": 0.0,
}


# ------------------------------------------------------------------ model


@pytest.fixture
def golden():
  """The original's inputs and outputs, by name."""
  return dict(np.load(GOLDEN / "modeling.npz"))


@pytest.fixture
def batch(golden):
  return {
    name[3:]: tf.constant(value)
    for name, value in golden.items()
    if name.startswith("in/")
  }


@pytest.fixture
def config():
  """Of the golden checkpoint, without dropout."""
  kept = json.loads(
    (GOLDEN / "tiny_checkpoint" / "bert_config.json").read_text()
  )
  dropout = "hidden_dropout_prob", "attention_probs_dropout_prob"
  return modeling.BertConfig.from_dict({**kept, **dict.fromkeys(dropout, 0.0)})


def spec_of(config, batch, mode, rate=0.0, steps=None, warmup=None, **options):
  model_fn = run_pretraining.model_fn_builder(
    *(config, CHECKPOINT, rate, steps, warmup, False, False), **options
  )
  return model_fn(batch, None, mode, {})


def test_evaluation_gives_the_originals_losses(golden, batch, config):
  spec = spec_of(config, batch, tf.estimator.ModeKeys.EVAL)
  metric_fn, inputs = spec.eval_metrics
  metrics = metric_fn(*inputs)
  with tf.Session() as session:
    session.run(
      [tf.global_variables_initializer(), tf.local_variables_initializer()]
    )
    loss = session.run(spec.loss)
    session.run([update for _, update in metrics.values()])
    found = session.run({name: value for name, (value, _) in metrics.items()})
  parts = golden["out/masked_lm_loss"], golden["out/next_sentence_loss"]
  np.testing.assert_allclose(loss, sum(parts), rtol=1e-5)
  weights = golden["in/masked_lm_weights"].ravel()
  ids = golden["in/masked_lm_ids"].ravel()
  right = golden["out/masked_lm_log_probs"].argmax(axis=-1) == ids
  labels = golden["in/next_sentence_labels"].ravel()
  next_right = golden["out/next_sentence_log_probs"].argmax(axis=-1) == labels
  losses = golden["out/masked_lm_example_loss"]
  expected = {
    "masked_lm_loss": np.average(losses, weights=weights),
    "masked_lm_accuracy": np.average(right, weights=weights),
    "next_sentence_loss": parts[1],
    "next_sentence_accuracy": next_right.mean(),
  }
  expected = {name: float(value) for name, value in expected.items()}
  assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("slices", [1, 2])
def test_training_takes_the_originals_steps(batch, config, slices):
  golden = json.loads((GOLDEN / "optimization.json").read_text())
  weights = batch["masked_lm_weights"]
  spec = spec_of(
    *(config, batch, tf.estimator.ModeKeys.TRAIN),
    golden["init_lr"],
    golden["num_train_steps"],
    golden["num_warmup_steps"],
    optimizer_options=optimization.Options(slices=slices),
  )
  losses = []
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    words = session.run(weights).sum(axis=1)
    assert words[:2].sum() != words[2:].sum()  # slices differ in weight
    for _ in golden["steps"]:
      losses.append(session.run([spec.loss, spec.train_op])[0])
  expected = [step["loss"] for step in golden["steps"]]
  np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_scores_worked_by_hand():
  arrays = {
    "masked_lm_loss": [2.0, 4.0, 3.0],
    "masked_lm_right": [1.0, 0.0, 1.0],
    "masked_lm_weight": [1.0, 2.0, 1.0],
    "next_sentence_loss": [0.5, 0.25, 1.0],
    "next_sentence_right": [1.0, 1.0, 0.0],
  }
  found = run_pretraining.compute_scores(arrays, 2)
  # Batches (6 / 3 + 0.375) and (3 / 1 + 1).
  assert found["loss"] == pytest.approx((2.375 + 4.0) / 2, rel=1e-4)
  assert found["masked_lm_loss"] == pytest.approx(9 / 4)
  assert found["perplexity"] == pytest.approx(math.exp(9 / 4))
  assert found["masked_lm_accuracy"] == pytest.approx(2 / 4)
  assert found["next_sentence_loss"] == pytest.approx(1.75 / 3)
  assert found["next_sentence_accuracy"] == pytest.approx(2 / 3)


# ------------------------------------------------------------------ masks


def row_of(ids, positions=(), is_random=0):
  """A record; ids at `positions` are masked."""
  given, masked = list(ids), list(positions)
  for position in masked:
    given[position] = 4
  padding = [0] * (LENGTH - len(ids))
  rest = [0] * (PREDICTIONS - len(masked))
  return {
    "input_ids": given + padding,
    "input_mask": [1] * len(ids) + padding,
    "segment_ids": [0] * LENGTH,
    "masked_lm_positions": masked + rest,
    "masked_lm_ids": [ids[position] for position in masked] + rest,
    "masked_lm_weights": [1.0] * len(masked) + [0.0] * len(rest),
    "next_sentence_labels": [is_random],
  }


SENTENCE = [2, 5, 13, 14, 6, 7, 15, 3, 16, 8, 9, 10, 3]  # with [CLS], [SEP]


def masked(row, count, **options):
  """Arrays of `count` masks drawn for a record."""
  masker = run_pretraining.Masker(
    {token: i for i, token in enumerate(TOKENS)}, PREDICTIONS, **options
  )
  example = {
    name: tf.constant(value, tf.float32 if "weights" in name else tf.int32)
    for name, value in row.items()
  }
  dataset = tf.data.Dataset.range(count).map(lambda n: masker(n, example))
  shapes = tf.data.get_output_shapes(dataset)
  assert all(shape.is_fully_defined() for shape in shapes.values())
  drawn = tf.data.make_one_shot_iterator(dataset.batch(count)).get_next()
  with tf.Session() as session:
    return session.run(drawn)


def test_the_true_tokens_are_put_back():
  example = {
    name: tf.constant(value, tf.float32 if "weights" in name else tf.int32)
    for name, value in row_of(SENTENCE, [1, 6, 9]).items()
  }
  with tf.Session() as session:
    ids = session.run(run_pretraining.unmasked_ids(example))
  assert ids.tolist() == SENTENCE + [0] * 3


def test_masks_follow_the_rule_and_its_rates():
  found = masked(row_of(SENTENCE, [1, 6]), 3000, masked_lm_prob=0.25)
  # round(13 * 0.25) = 3 of the ten pieces that are no [CLS] or [SEP].
  assert (found["masked_lm_weights"] == [1, 1, 1, 0]).all()
  positions = found["masked_lm_positions"]
  assert not positions[:, 3].any()
  assert (np.diff(positions[:, :3], axis=1) > 0).all()
  counts = np.bincount(positions[:, :3].ravel(), minlength=13)
  assert (counts[[0, 7, 12]] == 0).all()
  others = np.delete(counts, [0, 7, 12])
  assert (abs(others / 3000 - 0.3) < 0.04).all()  # 5 standard deviations
  truth = np.array(SENTENCE)
  assert (found["masked_lm_ids"][:, :3] == truth[positions[:, :3]]).all()
  rows = np.arange(3000)[:, None]
  given = found["input_ids"][rows, positions[:, :3]]
  true = found["masked_lm_ids"][:, :3]
  # 1 of 17 random pieces is [MASK], and 1 is the true one.
  assert abs((given == 4).mean() - (0.8 + 0.1 / 17)) < 0.02
  assert abs((given == true).mean() - (0.1 + 0.1 / 17)) < 0.02
  is_random = (given != 4) & (given != true)
  assert set(given[is_random]) == set(range(17)) - {4}
  untouched = found["input_ids"].copy()
  untouched[rows, positions[:, :3]] = true
  assert (untouched == SENTENCE + [0] * 3).all()


@pytest.mark.parametrize(
  ("probability", "expected"), [(0.0, 1), (0.19, 2), (0.2, 3), (1.0, 4)]
)
def test_the_number_of_masked_words(probability, expected):
  # 13 tokens: 2.47 and 2.6 are rounded; at least 1, and 4 by the flag.
  found = masked(row_of(SENTENCE), 3, masked_lm_prob=probability)
  assert found["masked_lm_weights"].sum(axis=1).tolist() == [expected] * 3


def test_masks_are_new_each_pass_and_repeat():
  first = masked(row_of(SENTENCE), 8, random_seed=1)["input_ids"]
  again = masked(row_of(SENTENCE), 8, random_seed=1)["input_ids"]
  other = masked(row_of(SENTENCE), 8, random_seed=2)["input_ids"]
  assert (first == again).all()
  assert (first != other).any()
  assert len({tuple(ids) for ids in first}) > 1


def chosen_one_by_one(order, can_be, continues, count):
  """The rule as it is written: words in turn, skipping what is too long."""
  words = []
  for position in np.flatnonzero(can_be):
    if continues[position] and words:
      words[-1].append(position)
    else:
      words.append([position])
  chosen = set()
  for word in sorted(words, key=lambda word: order[word[0]]):
    if len(chosen) + len(word) <= count:
      chosen.update(word)
  return [position in chosen for position in range(len(order))]


def test_words_are_chosen_as_one_by_one():
  shapes = tf.float32, tf.bool, tf.bool, tf.int32
  inputs = [
    tf.placeholder(dtype, [] if dtype == tf.int32 else [LENGTH])
    for dtype in shapes
  ]
  chosen = run_pretraining.choose_words(*inputs)
  draw = random.Random(1)
  with tf.Session() as session:
    for _ in range(300):
      values = (
        [draw.random() for _ in range(LENGTH)],
        [draw.random() < 0.8 for _ in range(LENGTH)],
        [draw.random() < 0.5 for _ in range(LENGTH)],
        draw.randint(1, 8),
      )
      found = session.run(chosen, dict(zip(inputs, values)))
      assert found.tolist() == chosen_one_by_one(*values)


def test_whole_words_are_masked_together():
  found = masked(
    row_of(SENTENCE), 50, masked_lm_prob=0.3, do_whole_word_mask=True
  )
  words = [{1, 2, 3}, {4}, {5, 6, 8}, {9}, {10}, {11}]  # 8 goes over [SEP]
  seen = set()
  for positions, weights in zip(
    found["masked_lm_positions"], found["masked_lm_weights"]
  ):
    positions = set(positions[weights > 0].tolist())
    for word in words:
      assert word <= positions or not word & positions
      seen |= word & positions
    assert len(positions) <= 4
  assert seen == set().union(*words)


# ------------------------------------------------------------------- runs


def write_rows(path, rows):
  record_files.write_records(rows, SCHEMA, str(path))


def sentence(rng):
  """One word again and again, so that a masked one can be told."""
  length = rng.randint(4, 14)
  positions = rng.choice(range(1, length + 1), 1 + length // 6, False)
  ids = [2, *[int(rng.randint(5, 13))] * length, 3]
  return row_of(ids, sorted(map(int, positions)), int(rng.randint(2)))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  """40 records in 3 files to train on, 10 to evaluate; vocabulary; sizes."""
  folder = tmp_path_factory.mktemp("data")
  rng = np.random.RandomState(0)
  for name, count in (("a", 15), ("b", 5), ("c", 20), ("dev", 10)):
    write_rows(
      folder / f"{name}.tfrecord", [sentence(rng) for _ in range(count)]
    )
  (folder / "vocab.txt").write_text("\n".join(TOKENS) + "\n")
  (folder / "bert_config.json").write_text(json.dumps(CONFIG))
  return folder


def arguments(data, output_dir, *others):
  """A command line; a flag that is given again counts last."""
  return [
    f"--input_file={data}/[ab].tfrecord,{data}/c.tfrecord",
    f"--bert_config_file={data}/bert_config.json",
    f"--output_dir={output_dir}",
    f"--max_seq_length={LENGTH}",
    f"--max_predictions_per_seq={PREDICTIONS}",
    *("--do_train", "--train_batch_size=8", "--num_train_steps=10"),
    *("--num_warmup_steps=2", "--learning_rate=1e-2", "--log_steps=1"),
    *others,
  ]


@pytest.fixture
def run():
  """Runs the script in this process, and takes its flags away again."""
  before = set(flags.FLAGS)

  def run(*arguments, main=run_pretraining.main):
    forget()
    run_pretraining.define_flags()
    flags.FLAGS(["run_pretraining.py", *arguments])
    return main([])

  def forget():
    flags.FLAGS.remove_flag_values(
      [name for name in flags.FLAGS if name not in before]
    )

  yield run
  forget()


def summaries(folder, tag):
  """{step: value} of a tag."""
  return {
    event.step: value.simple_value
    for path in sorted(pathlib.Path(folder).glob("events*"))
    for event in tf.train.summary_iterator(str(path))
    for value in event.summary.value
    if value.tag == tag
  }


def test_a_run_trains_evaluates_and_keeps_the_best(data, tmp_path):
  command = arguments(
    *(data, tmp_path, "--do_eval", f"--eval_input_file={data}/dev.tfrecord"),
    *("--num_train_steps=300", "--log_steps=100", "--eval_steps=150"),
    *("--keep_best=masked_lm_accuracy", "--max_eval_steps=1"),
    *("--train_batch_size=16", "--gradient_accumulation_steps=2"),
  )
  done = subprocess.run(
    [sys.executable, str(ROOT / "run_pretraining.py"), *command],
    capture_output=True,
    text=True,
    cwd=tmp_path,
  )
  assert done.returncode == 0, done.stderr
  assert "train: 3 files, 40 examples" in done.stderr
  assert "batch 16, 40 examples = 120.00 epochs" in done.stderr
  assert "step 300/300, loss " in done.stderr
  assert "next_sentence_accuracy" in done.stderr
  assert done.stderr.count("predicted 8 examples") == 3  # a batch of 8
  assert "training records" not in done.stderr
  results = dict(
    line.split(" = ")
    for line in (tmp_path / "eval_results.txt").read_text().splitlines()
  )
  assert set(results) == {
    *("global_step", "loss", "perplexity"),
    *("masked_lm_accuracy", "masked_lm_loss"),
    *("next_sentence_accuracy", "next_sentence_loss"),
  }
  loss = float(results["masked_lm_loss"])
  assert float(results["perplexity"]) == pytest.approx(math.exp(loss))
  assert float(results["masked_lm_accuracy"]) > 0.6  # chance: 1/8
  best = json.loads((tmp_path / "best" / "best.json").read_text())
  assert best["value"] == float(results["masked_lm_accuracy"])
  assert best["step"] == int(results["global_step"])
  shown = summaries(tmp_path, "train/masked_lm_accuracy")
  assert set(shown) == {100, 200, 300}
  assert shown[300] > shown[100]
  losses = summaries(tmp_path, "train/loss")
  parts = [
    summaries(tmp_path, f"train/{name}_loss")
    for name in ("masked_lm", "next_sentence")
  ]
  assert losses[300] == pytest.approx(parts[0][300] + parts[1][300], rel=1e-5)
  assert (tmp_path / "bert_config.json").exists()


@pytest.mark.parametrize("options", [(), ("--mask_dynamically",)])
def test_ten_steps_are_five_and_after_a_restart_five(
  data, tmp_path, run, monkeypatch, options
):
  monkeypatch.setattr(corpora, "_POOL_EXAMPLES", 24)  # 3 batches
  options = (*options, f"--vocab_file={data}/vocab.txt")
  run(*arguments(data, tmp_path / "whole", *options))
  whole = summaries(tmp_path / "whole", "train/loss")
  train = estimators.train
  for last in (5, 10):  # the schedule is that of ten steps
    monkeypatch.setattr(
      estimators,
      "train",
      lambda e, i, steps, *args, last=last: train(e, i, last, *args),
    )
    tf.reset_default_graph()
    run(*arguments(data, tmp_path / "parts", *options))
  parts = summaries(tmp_path / "parts", "train/loss")
  assert parts == whole
  assert len(whole) == 10
  assert len(set(whole.values())) > 5


def test_evaluation_on_training_records_is_said(data, tmp_path, run, caplog):
  run(
    *arguments(data, tmp_path, "--do_train=False", "--do_eval"),
    f"--init_checkpoint={initial(data, tmp_path)}",
  )
  assert "evaluation runs on training records (--input_file)" in caplog.text
  found = json.loads((tmp_path / "eval_results.json").read_text())
  assert found["global_step"] == 0
  assert found["masked_lm_loss"] == pytest.approx(math.log(17), rel=0.5)


def initial(data, tmp_path):
  """A checkpoint of new weights."""
  config = modeling.BertConfig.from_json_file(str(data / "bert_config.json"))
  with tf.Graph().as_default():
    rows = {
      name: tf.zeros([1, *spec.shape], tf.int32)
      for name, spec in SCHEMA.items()
    }
    rows["masked_lm_weights"] = tf.zeros([1, PREDICTIONS])
    run_pretraining.forward(config, rows, False, None, False, {})
    with tf.Session() as session:
      session.run(tf.global_variables_initializer())
      saver = tf.train.Saver()
      return saver.save(session, str(tmp_path / "first" / "model.ckpt"))


def test_the_originals_input_fn_trains_in_whole_batches(data):
  input_fn = run_pretraining.input_fn_builder(
    [str(data / "a.tfrecord")], LENGTH, PREDICTIONS, True, 2
  )
  dataset = input_fn({"batch_size": 8})
  shapes = tf.data.get_output_shapes(dataset)
  assert shapes["input_ids"].as_list() == [8, LENGTH]
  assert shapes["next_sentence_labels"].as_list() == [8, 1]


# -------------------------------------------------------------- bad input


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (("--max_seq_length=12",), "16 values of 'input_ids'.*12.*--max_seq_len"),
    (
      ("--max_predictions_per_seq=3",),
      "4 values of 'masked_lm_positions' .*3.*--max_predictions_per_seq",
    ),
    (("--input_file=no/*.tfrecord",), "--input_file: no/.* names no file"),
    (("--max_seq_length=64",), "--max_seq_length=64 is over max_position"),
    (("--do_train=False",), "give at least one of --do_train, --do_eval"),
    (("--mask_dynamically",), "--mask_dynamically needs --vocab_file"),
    (("--do_whole_word_mask",), "--do_whole_word_mask needs --mask_dynamic"),
    (("--keep_best=f1",), "no score of this task: give one of loss, masked"),
    (
      ("--use_tpu", "--tpu_name=t", "--output_dir=gs://b/o"),
      "--input_file=.* is a local path, which a TPU can't read",
    ),
  ],
)
def test_flags_that_do_not_fit_are_named(data, tmp_path, run, options, message):
  with pytest.raises(ValueError, match=message):
    run(*arguments(data, tmp_path, *options), main=prepare)
  assert not list(tmp_path.glob("*.ckpt*"))


def prepare(_):
  return run_pretraining.prepare()


def test_vocabularies_that_do_not_fit_are_named(data, tmp_path, run):
  vocab = tmp_path / "vocab.txt"
  dynamic = "--mask_dynamically", f"--vocab_file={vocab}"
  vocab.write_text("\n".join(TOKENS[:4]) + "\n")
  with pytest.raises(ValueError, match=r"vocab.txt lacks \[MASK\]"):
    run(*arguments(data, tmp_path, *dynamic), main=prepare)
  vocab.write_text("\n".join(TOKENS[:13]) + "\n")
  with pytest.raises(ValueError, match=r"has no pieces that begin with ##"):
    options = *dynamic, "--do_whole_word_mask"
    run(*arguments(data, tmp_path, *options), main=prepare)
  vocab.write_text("\n".join([*TOKENS, "more"]) + "\n")
  with pytest.raises(ValueError, match=r"has 18 tokens but vocab_size is 17"):
    run(*arguments(data, tmp_path, *dynamic), main=prepare)


def test_damage_is_named_and_what_follows_can_be_left_out(data, tmp_path, run):
  file = tmp_path / "bad.tfrecord"
  whole = (data / "a.tfrecord").read_bytes()
  file.write_bytes(whole[:-5])
  options = f"--input_file={file},{data}/b.tfrecord,{data}/?.tfrecord"
  with pytest.raises(ValueError, match=r"bad.tfrecord is damaged .* after 14"):
    run(*arguments(data, tmp_path, options), main=prepare)
  job = run(
    *arguments(data, tmp_path, options, "--skip_corrupted"), main=prepare
  )
  assert job.train.num_examples == 14 + 40  # each file once


@pytest.mark.parametrize(
  "recipe",
  [
    ("--use_tpu", "--tpu_name=t", "--num_tpu_cores=32"),
    ("--distribution=mirrored", "--precision=bfloat16"),
  ],
)
def test_the_readmes_recipes_for_devices_fit_each_other(run, recipe):
  run(
    "--input_file=gs://b/records/*",
    "--eval_input_file=gs://b/held_out/*",
    "--bert_config_file=gs://b/bert_config.json",
    *("--output_dir=gs://b/out", "--do_train", "--do_eval"),
    *("--train_batch_size=256", "--eval_batch_size=256", *recipe),
    main=lambda _: common_flags.check_devices(("input_file",)),
  )
