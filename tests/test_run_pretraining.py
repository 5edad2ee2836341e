# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Pre-training: the original's losses and steps, scores, and whole runs."""

import json
import math
import pathlib
import re

import helpers
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import modeling
import optimization
import run_pretraining
from bert.records import corpora, input_pipeline, record_files
from bert.tasks.pretraining import Pretraining, PretrainingNote
from bert.training import cluster, estimators, flags, trained_model

GOLDEN = helpers.GOLDEN
CHECKPOINT = str(GOLDEN / "tiny_checkpoint" / "model.ckpt")
LENGTH, PREDICTIONS = 16, 4
TASK = Pretraining(PretrainingNote(LENGTH, PREDICTIONS))
SCHEMA = TASK.schema(is_training=True)
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TOKENS += [*"abcdefgh", "##i", "##j", "##k", "##l"]
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
  """The golden checkpoint's configuration, without dropout."""
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


# ------------------------------------------------------------------- runs


def write_rows(path, rows):
  record_files.write_records(rows, SCHEMA, str(path))


def sentence(rng):
  """One word again and again, so that a masked one can be guessed."""
  length = rng.randint(4, 14)
  positions = rng.choice(range(1, length + 1), 1 + length // 6, False)
  ids = [2, *[int(rng.randint(5, 13))] * length, 3]
  positions = sorted(map(int, positions))
  is_random = int(rng.randint(2))
  return helpers.masked_row(ids, positions, LENGTH, PREDICTIONS, is_random)


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
  """A command line; of a flag given twice, the last value counts."""
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


def prepare(*arguments):
  options, _ = flags.parse(run_pretraining.Options, arguments)
  return run_pretraining.prepare(options)


def summaries(folder, tag):
  """{step: value} of a tag of the summaries."""
  return {
    event.step: value.simple_value
    for path in sorted(pathlib.Path(folder).glob("events*"))
    for event in tf.train.summary_iterator(str(path))
    for value in event.summary.value
    if value.tag == tag
  }


@pytest.mark.slow
def test_a_run_trains_evaluates_and_keeps_the_best(data, tmp_path):
  command = arguments(
    *(data, tmp_path, "--do_eval", f"--eval_input_file={data}/dev.tfrecord"),
    *("--num_train_steps=200", "--log_steps=50", "--eval_steps=200"),
    *("--keep_best=masked_lm_accuracy", "--max_eval_steps=1"),
    *("--train_batch_size=16", "--gradient_accumulation_steps=2"),
  )
  done = helpers.run(run_pretraining, *command)
  assert done.returncode == 0, done.stderr
  assert "train: 3 files, 40 examples" in done.stderr
  assert "batch 16, 40 examples = 80.00 epochs" in done.stderr
  assert "step 200/200, loss " in done.stderr
  assert "next_sentence_accuracy" in done.stderr
  assert done.stderr.count("predicted 8 examples") == 2  # a batch of 8
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
  assert set(shown) == {50, 100, 150, 200}
  assert shown[200] > shown[50]
  losses = summaries(tmp_path, "train/loss")
  parts = [
    summaries(tmp_path, f"train/{name}_loss")
    for name in ("masked_lm", "next_sentence")
  ]
  assert losses[200] == pytest.approx(parts[0][200] + parts[1][200], rel=1e-5)
  assert (tmp_path / "bert_config.json").exists()


@pytest.mark.slow
def test_a_run_that_is_interrupted_takes_the_same_steps(
  data, tmp_path, monkeypatch
):
  monkeypatch.setattr(corpora, "_POOL_EXAMPLES", 24)  # 3 batches
  options = "--mask_dynamically", f"--vocab_file={data}/vocab.txt"
  train = estimators.train

  def run(folder, last):  # the schedule is that of ten steps
    monkeypatch.setattr(
      estimators, "train", lambda e, i, steps, *args: train(e, i, last, *args)
    )
    command = arguments(data, tmp_path / folder, *options)
    done = helpers.run(run_pretraining, *command)
    assert done.returncode == 0, done.stderr
    return summaries(tmp_path / folder, "train/loss")

  whole = run("whole", 10)
  run("parts", 5)
  assert run("parts", 10) == whole
  assert len(whole) == 10
  assert len(set(whole.values())) > 5


def test_evaluation_on_training_records_gives_a_warning(data, tmp_path):
  done = helpers.run(
    run_pretraining,
    *arguments(data, tmp_path, "--do_train=False", "--do_eval"),
    f"--init_checkpoint={initial(data, tmp_path)}",
  )
  assert "evaluation runs on training records (--input_file)" in done.stderr
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
    TASK.build(config, rows)
    with tf.Session() as session:
      session.run(tf.global_variables_initializer())
      saver = tf.train.Saver()
      return saver.save(session, str(tmp_path / "first" / "model.ckpt"))


def test_a_record_is_decoded_to_int32():
  example = tf.train.Example()
  example.features.feature["ids"].int64_list.value.extend([1, 2])
  example.features.feature["weights"].float_list.value.append(0.5)
  found = run_pretraining._decode_record(
    example.SerializeToString(),
    {
      "ids": tf.FixedLenFeature([2], tf.int64),
      "weights": tf.FixedLenFeature([1], tf.float32),
    },
  )
  assert found["ids"].dtype == tf.int32
  assert found["weights"].dtype == tf.float32
  with tf.Session() as session:
    values = session.run(found)
  assert values["ids"].tolist() == [1, 2]
  assert values["weights"].tolist() == [0.5]


def test_the_originals_input_fn_trains_in_whole_batches(data):
  input_fn = run_pretraining.input_fn_builder(
    [str(data / "a.tfrecord")], LENGTH, PREDICTIONS, True, 2
  )
  dataset = input_fn({"batch_size": 8})
  shapes = tf.data.get_output_shapes(dataset)
  assert shapes["input_ids"].as_list() == [8, LENGTH]
  assert shapes["next_sentence_labels"].as_list() == [8, 1]


@pytest.mark.slow
def test_a_packed_run_is_the_run_without_packing(data, tmp_path):
  found = []
  for name, more in (
    ("padded", "--length_buckets=none"),
    ("packed", "--pack_sequences"),
  ):
    command = arguments(
      *(data, tmp_path / name, "--do_eval", more),
      f"--eval_input_file={data}/dev.tfrecord",
      *("--train_batch_size=40", "--num_train_steps=4"),  # all, four times
    )
    done = helpers.run(run_pretraining, *command)
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / name / "eval_results.json").read_text())
    steps = summaries(tmp_path / name, "train/loss")
    found.append(pytest.approx({**scores, **steps}, rel=1e-5))
  assert "packed: 40 sequences in" in done.stderr
  assert "packed: 8 sequences in" in done.stderr
  assert len(steps) == 4
  assert found[0] == found[1].expected


# -------------------------------------------------------------- bad input


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (("--max_seq_length=12",), "16 values of 'input_ids'.*12.*--max_seq_len"),
    (
      ("--max_seq_length=12", "--pack_sequences"),
      "16 values of 'input_ids'.*12.*--max_seq_len",
    ),
    (
      ("--max_predictions_per_seq=3",),
      "4 values of 'masked_lm_positions', .*3.*--max_predictions_per_seq",
    ),
    (("--input_file=no/*.tfrecord",), "--input_file: no/.* names no file"),
    (("--max_seq_length=64",), "--max_seq_length=64 is over max_position"),
    (("--do_train=False",), "give at least one of --do_train, --do_eval"),
    (("--mask_dynamically",), "--mask_dynamically needs --vocab_file"),
    (("--do_whole_word_mask",), "--do_whole_word_mask needs --mask_dynamic"),
    (
      ("--keep_best=f1",),
      "not a score of this task: give one of loss, masked",
    ),
    (
      ("--use_tpu", "--tpu_name=t", "--output_dir=gs://b/o"),
      "--input_file=.* is a local path, which a TPU can't read",
    ),
  ],
)
def test_flags_that_do_not_fit_are_named(data, tmp_path, options, message):
  done = helpers.run(run_pretraining, *arguments(data, tmp_path, *options))
  assert done.returncode == 1
  assert re.search(message, done.stderr)
  assert not list(tmp_path.glob("*.ckpt*"))


def test_vocabularies_that_do_not_fit_are_named(data, tmp_path):
  vocab = tmp_path / "vocab.txt"
  dynamic = "--mask_dynamically", f"--vocab_file={vocab}"
  for tokens, options, message in (
    (TOKENS[:4], (), "vocab.txt lacks [MASK]"),
    (
      TOKENS[:13],
      ("--do_whole_word_mask",),
      "has no pieces that begin with ##",
    ),
    ([*TOKENS, "more"], (), "has 18 tokens but vocab_size is 17"),
  ):
    vocab.write_text("\n".join(tokens) + "\n")
    command = arguments(data, tmp_path, *dynamic, *options)
    assert message in helpers.run(run_pretraining, *command).stderr


def test_damage_is_named_and_the_rest_of_the_file_can_be_skipped(
  data, tmp_path
):
  file = tmp_path / "bad.tfrecord"
  whole = (data / "a.tfrecord").read_bytes()
  file.write_bytes(whole[:-5])
  command = arguments(
    *(data, tmp_path),
    f"--input_file={file},{data}/b.tfrecord,{data}/?.tfrecord",
  )
  done = helpers.run(run_pretraining, *command)
  assert re.search("bad.tfrecord is damaged .* after 14", done.stderr)
  job = prepare(*command, "--skip_corrupted")
  assert job.train.num_examples == 14 + 40  # each file once


def test_records_of_another_model_are_named(data, tmp_path):
  row = helpers.masked_row([2, 5, 6, 3], [1], LENGTH, PREDICTIONS)
  path = tmp_path / "other.tfrecord"
  for name, value in (("input_ids", len(TOKENS)), ("segment_ids", 2)):
    write_rows(path, [{**row, name: [*row[name][1:], value]}])
    done = helpers.run(
      run_pretraining,
      *arguments(data, tmp_path / "out", f"--input_file={path}"),
    )
    assert done.returncode == 1
    assert f"{path} has the value {value} in {name!r}, where" in done.stderr


@pytest.mark.parametrize(
  "recipe",
  [
    ("--use_tpu", "--tpu_name=t", "--num_tpu_cores=32"),
    ("--distribution=mirrored", "--precision=bfloat16"),
  ],
)
def test_the_documented_recipes_for_devices_are_accepted(recipe):
  options, _ = flags.parse(
    run_pretraining.Options,
    [
      "--input_file=gs://b/records/*",
      "--eval_input_file=gs://b/held_out/*",
      "--bert_config_file=gs://b/bert_config.json",
      *("--output_dir=gs://b/out", "--do_train", "--do_eval"),
      *("--train_batch_size=256", "--eval_batch_size=256", *recipe),
    ],
  )
  cluster.check_devices(options, ("input_file", "eval_input_file"))


# --------------------------------------------------------- masked words alone


@pytest.fixture(scope="module")
def without_next(data, tmp_path_factory):
  """Records without next sentences: those of `data`'s b and dev."""
  folder = tmp_path_factory.mktemp("mlm")
  schema = Pretraining(PretrainingNote(LENGTH, PREDICTIONS, False)).schema(True)
  for name in ("b", "dev"):
    rows = [
      input_pipeline.read_checked(name, record, SCHEMA)
      for record in tf.python_io.tf_record_iterator(f"{data}/{name}.tfrecord")
    ]
    rows = [{key: list(row[key]) for key in schema} for row in rows]
    record_files.write_records(rows, schema, str(folder / f"{name}.tfrecord"))
  return folder


def test_masked_words_alone(data, without_next, tmp_path):
  records = f"--input_file={without_next}/b.tfrecord"
  held_out = f"--eval_input_file={without_next}/dev.tfrecord"
  command = arguments(data, tmp_path / "out", records, held_out)
  options = "--do_eval", "--mask_dynamically", "--num_train_steps=2"
  vocab = f"--vocab_file={data}/vocab.txt"
  done = helpers.run(run_pretraining, *command, *options, vocab)
  assert done.returncode == 0, done.stderr
  assert "objective: masked words\n" in done.stderr
  found = json.loads((tmp_path / "out" / "eval_results.json").read_text())
  assert set(found) == {
    *("global_step", "loss", "perplexity"),
    *("masked_lm_accuracy", "masked_lm_loss"),
  }
  # One batch of 8 and one of 2 make up the loss, which is of masked words.
  assert found["loss"] == pytest.approx(found["masked_lm_loss"], rel=0.1)
  last = str(tmp_path / "out" / "model.ckpt-2")
  names = dict(tf.train.list_variables(last))
  assert "cls/predictions/output_bias" in names
  assert not [name for name in names if "seq_relationship" in name]

  # The records with next sentences have the same words, so with --objective=mlm
  # the same scores; and both kinds can be mixed.
  command = arguments(
    data, tmp_path / "out", f"--input_file={data}/dev.tfrecord"
  )
  options = "--do_train=False", "--do_eval", "--objective=mlm"
  masks = "--mask_dynamically", vocab
  done = helpers.run(run_pretraining, *command, *options, *masks)
  again = json.loads((tmp_path / "out" / "eval_results.json").read_text())
  assert again == found
  mixed = f"{data}/dev.tfrecord,{without_next}/dev.tfrecord"
  mixed = arguments(data, tmp_path / "out", f"--input_file={mixed}", *options)
  done = helpers.run(run_pretraining, *mixed)
  assert "eval: 2 files, 20 examples" in done.stderr

  model = trained_model.find_model(str(tmp_path / "out"))
  assert model.task.note == PretrainingNote(32, 0, False, True)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (
      ("--input_file={data}/a.tfrecord,{other}/b.tfrecord",),
      "{data}/a.tfrecord has records with next sentences, and"
      " {other}/b.tfrecord has some without: train and evaluate on records of",
    ),
    (
      ("--do_eval", "--eval_input_file={other}/dev.tfrecord"),
      "next sentences, and {other}/dev.tfrecord has some without",
    ),
    (
      (
        *("--input_file={other}/b.tfrecord", "--eval_steps=1"),
        "--keep_best=next_sentence_accuracy",
      ),
      "--keep_best=next_sentence_accuracy: this run predicts masked words",
    ),
  ],
)
def test_records_of_two_kinds_are_named(
  data, without_next, tmp_path, options, message
):
  places = {"data": data, "other": without_next}
  options = [option.format(**places) for option in options]
  done = helpers.run(run_pretraining, *arguments(data, tmp_path, *options))
  assert done.returncode == 1
  assert message.format(**places) in done.stderr
  assert not list(tmp_path.glob("*.ckpt*"))


def test_a_head_is_not_lost_by_training_without_it(
  data, without_next, tmp_path
):
  initial(data, tmp_path)
  tf.train.update_checkpoint_state(
    str(tmp_path / "first"), str(tmp_path / "first" / "model.ckpt")
  )
  (tmp_path / "first" / "bert_config.json").write_text(json.dumps(CONFIG))
  records = f"--input_file={without_next}/b.tfrecord"
  done = helpers.run(
    run_pretraining, *arguments(data, tmp_path / "first", records)
  )
  assert done.returncode == 1
  assert "holds a model that predicts next sentences, and this" in done.stderr
