# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Several sequences in one row: how they are packed, and that nothing changes.

Losses, gradients, steps and predictions of packed sequences are compared with
those of the same sequences without packing, with dropout off.
"""

import dataclasses
import json

import helpers
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import modeling
import optimization
import run_classifier
import run_ranker
from bert.records import corpora, input_pipeline, packed_batches, record_files
from bert.tasks import classification as classification_task
from bert.tasks import ranking, tagging
from bert.tasks.answering import Answering
from bert.tasks.answering_data import answering
from bert.tasks.classification_data import classification
from bert.tasks.pretraining import Pretraining, PretrainingNote
from bert.training import devices, estimators

LENGTH = 16
CONFIG = {
  "vocab_size": 20,
  "hidden_size": 8,
  "num_hidden_layers": 1,
  "num_attention_heads": 2,
  "intermediate_size": 16,
  "max_position_embeddings": 16,
  "type_vocab_size": 2,
  "hidden_dropout_prob": 0.0,
  "attention_probs_dropout_prob": 0.0,
  "initializer_range": 0.3,
}
LENGTHS = [5, 11, 3, 16, 8, 6, 4, 9]  # 62 tokens, in 4 rows of 16
# Where these begin in the rows, as a person packs them.
STARTS = np.full([8, 4], -1)
for sequence, row, start in (
  *((3, 0, 0), (1, 1, 0), (0, 1, 11), (7, 2, 0), (5, 2, 9)),
  *((4, 3, 0), (6, 3, 8), (2, 3, 12)),
):
  STARTS[sequence, row] = start
PACKED = {"packed_starts": STARTS}


@pytest.fixture(autouse=True)
def no_dropout(monkeypatch):
  for task in (classification_task, ranking, tagging):
    monkeypatch.setattr(task, "DROPOUT", 0.0)


# ---------------------------------------------------------------- placing


def place(lengths, parts, rows, row_length):
  with tf.Session() as session:
    return session.run(
      packed_batches.place(tf.constant(lengths), parts, rows, row_length)
    )


def test_sequences_are_placed_from_the_longest_to_the_shortest():
  examples, starts = place([5, 3, 8, 2, 7, 1, 6, 4], 2, 2, 10)
  # In turn: 8 and 7; 6 to the shorter part; 4 to the first; 3 to the second.
  assert examples.tolist() == [[2, 0, 7, 5], [4, 6, 1, 3]]
  assert starts.tolist() == [
    [[0, -1], [-1, 0], [-1, 5], [8, -1]],  # 8 + 1 and 5 + 4 tokens
    [[0, -1], [-1, 0], [7, -1], [-1, 6]],  # 7 + 3 and 6 + 2 tokens
  ]


def test_the_fewest_rows_are_those_that_first_fit_decreasing_needs():
  assert packed_batches.rows_needed([[5, 3, 8, 2, 7, 1, 6, 4]], 4, 10) == 2
  # Any two are too long for a row; a shorter pool does not count.
  assert packed_batches.rows_needed([[1] * 4, [6] * 4], 4, 10) == 4


def test_rows_that_do_not_hold_a_part_are_refused():
  message = "2 rows of 10 positions do not hold the 3 sequences of a batch"
  with pytest.raises(tf.errors.InvalidArgumentError, match=message):
    place([6, 6, 6], 1, 2, 10)


@pytest.mark.parametrize(
  ("num_known", "num_rows"),
  [
    # 256 times 50.5 tokens in rows of 100, and by chance
    (1000000, 136),  # 2.2 % of 100 more: twice the root of 1 / 8192
    (1000, 147),  # 6.7 % more: the root of 1 / 8192 + 1 / 1000
  ],
)
def test_rows_are_chosen_with_room_for_chance(num_known, num_rows):
  lengths = np.tile(np.arange(1, 101), num_known // 100)
  packer = packed_batches.Packer(lengths, 10**6, 100, parts=2)
  shapes = packer_shapes(packer, batch_size=512)
  assert shapes["packed_starts"].as_list() == [512, num_rows]


def packer_shapes(packer, batch_size):
  mask = tf.ones([packer.row_length], tf.int32)
  dataset = tf.data.Dataset.from_tensors({"input_mask": mask}).repeat()
  dataset = packer.batches(dataset, batch_size, is_training=True)
  return tf.data.get_output_shapes(dataset)


@pytest.mark.parametrize(
  ("rows", "message"),
  [
    (
      50,
      "--packed_rows=50: .* 128 sequences needs at least 6[5-9] rows of 100",
    ),
    (99, "--packed_rows=99: .* positions, in multiples of 2"),
  ],
)
def test_rows_that_can_not_hold_a_batch_are_refused_at_once(rows, message):
  packer = packed_batches.Packer([*range(1, 101)], 1000, 100, 2, rows)
  with pytest.raises(ValueError, match=message):
    packer_shapes(packer, batch_size=128)


# ---------------------------------------------------------------- batches

SCHEMA = classification((), LENGTH).schema(True)


def rows_of(lengths):
  return [
    {
      "input_ids": [*range(1, n + 1), *[0] * (LENGTH - n)],
      "input_mask": [1] * n + [0] * (LENGTH - n),
      "segment_ids": [0] * LENGTH,
      "label_ids": place,
      "is_real_example": 1,
    }
    for place, n in enumerate(lengths)
  ]


@pytest.fixture
def records(tmp_path):
  """40 records, whose label is their place in the file."""
  lengths = np.random.RandomState(0).randint(1, LENGTH + 1, 40).tolist()
  path = str(tmp_path / "a.tf_record")
  return record_files.write_records(rows_of(lengths), SCHEMA, path)


def batches_of(input_fn, batch_size, limit=None, **params):
  following = tf.data.make_one_shot_iterator(
    input_fn({"batch_size": batch_size, **params})
  ).get_next()
  found = []
  with tf.Session() as session:
    while limit is None or len(found) < limit:
      try:
        found.append(session.run(following))
      except tf.errors.OutOfRangeError:
        break
  return found


def packed(records, is_training, batch_size, limit=None, parts=1, first=0):
  packer = packed_batches.Packer(
    records.lengths, records.num_examples, LENGTH, parts
  )
  input_fn = input_pipeline.input_fn_builder(
    *([records.path], SCHEMA, is_training, False, records.num_examples),
    random_seed=1,
    first_batch=first,
    packer=packer,
  )
  return batches_of(input_fn, batch_size, limit)


def check_rows(batch, parts=1):
  """No two tokens of a part stand in one place."""
  for starts, mask in zip(
    np.split(batch["packed_starts"], parts),
    np.split(batch["input_mask"], parts),
  ):
    taken = np.zeros([starts.shape[1], LENGTH], int)
    for each, length in zip(starts, mask.sum(axis=1)):
      (row,) = np.flatnonzero(each >= 0)
      assert each[row] + length <= LENGTH
      taken[row, each[row] : each[row] + length] += 1
    assert taken.max() == 1


@pytest.mark.parametrize("parts", [1, 2])
def test_each_example_comes_once_an_epoch(records, parts):
  found = packed(records, True, 8, 10, parts)
  for batch in found:
    check_rows(batch, parts)
    assert batch["packed_starts"].shape == found[0]["packed_starts"].shape
  labels = np.concatenate([batch["label_ids"] for batch in found])
  assert sorted(labels[:40]) == sorted(labels[40:]) == [*range(40)]
  assert labels[:40].tolist() != labels[40:].tolist()


@pytest.mark.parametrize("first", [3, 7])
def test_packed_training_resumes_where_it_stopped(records, first):
  whole, rest = (
    packed(records, True, 8, 10),
    packed(records, True, 8, 3, 1, first),
  )
  for one, other in zip(whole[first:], rest):
    assert one["label_ids"].tolist() == other["label_ids"].tolist()


def test_examples_to_predict_are_filled_up_and_numbered(records):
  found = packed(records, False, 16)
  assert [len(batch["label_ids"]) for batch in found] == [16, 16, 16]
  index = np.concatenate([batch["example_index"] for batch in found])
  labels = np.concatenate([batch["label_ids"] for batch in found])
  assert sorted(index) == [-1] * 8 + [*range(40)]
  assert index[index >= 0].tolist() == labels[index >= 0].tolist()


class Context:
  """What TPUEstimator tells an input_fn of its host."""

  num_hosts, current_host = 2, 0


def test_a_packed_corpus_resumes_on_each_of_several_hosts(tmp_path):
  lengths = np.random.RandomState(0).randint(1, LENGTH + 1, 48).tolist()
  path = str(tmp_path / "a.tfrecord")
  record_files.write_records(rows_of(lengths), SCHEMA, path)
  shards = corpora.count_examples([path])
  packer = packed_batches.Packer(lengths, 48, LENGTH, parts=4)

  def labels(first, count):  # 8 examples a step on two hosts
    input_fn = corpora.corpus_input_fn_builder(
      *(shards, SCHEMA, True, True),
      first_example=8 * first,
      packer=packer,
    )
    found = batches_of(input_fn, 4, count, context=Context())
    check_rows(found[0], parts=2)
    return [batch["label_ids"].tolist() for batch in found]

  whole = labels(0, 30)  # 2 pools and a half
  for first in (5, 13, 25):
    assert labels(first, 3) == whole[first : first + 3]


# ------------------------------------------------------ the same results


def sequences(rng):
  """Random inputs of the encoder for sequences of LENGTHS."""
  mask = (np.arange(LENGTH) < np.array(LENGTHS)[:, np.newaxis]).astype(int)
  return {
    "input_ids": rng.randint(1, 20, mask.shape) * mask,
    "input_mask": mask,
    "segment_ids": rng.randint(0, 2, mask.shape) * mask,
  }


def positions(rng, count):
  """Random places of tokens, [8, count]."""
  return np.array([rng.randint(0, n, count) for n in LENGTHS])


def for_pretraining(rng):
  weights = (rng.rand(8, 3) < 0.7).astype(np.float32)
  return Pretraining(PretrainingNote(LENGTH, 3)), {
    "masked_lm_positions": positions(rng, 3),
    "masked_lm_ids": rng.randint(0, 20, [8, 3]),
    "masked_lm_weights": weights,
    "next_sentence_labels": rng.randint(0, 2, [8, 1]),
  }


def for_classification(rng):
  return classification(("a", "b", "c"), LENGTH), {
    "label_ids": rng.randint(0, 3, 8),
    "is_real_example": np.ones(8, int),
  }


def for_answering(rng):
  return answering(LENGTH), {
    "unique_ids": np.arange(8),
    "start_positions": positions(rng, 1)[:, 0],
    "end_positions": positions(rng, 1)[:, 0],
    "is_impossible": np.zeros(8, int),
  }


def for_tagging(rng):
  note = tagging.TaggerNote(
    *("tagger", ["O", "B", "I"], "bio"),
    use_crf=True,
    birnn_cell="gru",
    birnn_size=4,
    mix_layers=[-1],
    do_lower_case=True,
    max_seq_length=LENGTH,
  )
  places = np.arange(1, LENGTH + 1)
  words = places * (places < np.array(LENGTHS)[:, np.newaxis])
  return tagging.Tagging(note), {
    "word_positions": words,
    "tag_ids": rng.randint(0, 3, words.shape) * (words > 0),
    "is_scored": (words > 0).astype(int),
  }


def for_pairs(rng):
  note = ranking.RankerNote(
    *("ranker", "interaction", "mean", True, LENGTH, "cross_entropy")
  )
  return ranking.Ranking(note), {
    "label_ids": rng.randint(0, 2, 8),
    "is_real_example": np.ones(8, int),
  }


TASKS = {
  "pretraining": for_pretraining,
  "classification": for_classification,
  "questions": for_answering,
  "tagging": for_tagging,
  "pairs": for_pairs,
}


@dataclasses.dataclass
class Result:
  """What a step of training shows."""

  loss: float
  predictions: dict
  moments: dict  # {name of a variable: a tenth of its clipped gradient}
  weights: dict  # {name: after the step}


def step(task, batch, predicts=True, slices=1, compiled=False, **encoder):
  """Predictions and one training step, in a graph of their own."""
  config = modeling.BertConfig.from_dict(CONFIG)
  model_fn = estimators.original_model_fn(
    *(task, config, None, 0.1, 10, 0, False, False),
    optimizer_options=optimization.Options(slices=slices),
    encoder_options=encoder,
  )
  with (
    tf.Graph().as_default(),
    tf.Session() as session,
    pytest.MonkeyPatch.context() as monkeypatch,
  ):
    monkeypatch.setattr(devices, "can_compile", lambda use_tpu: compiled)
    tf.set_random_seed(1)
    features = {
      name: tf.constant(
        value, tf.float32 if value.dtype == np.float32 else tf.int32
      )
      for name, value in batch.items()
    }
    spec = model_fn(features, None, tf.estimator.ModeKeys.TRAIN, {})
    predictions = {}
    if predicts:
      with tf.variable_scope(tf.get_variable_scope(), reuse=True):
        tensors = task.build(config, features, scope="bert")
      predictions = task.scored(tensors, features).predictions
    session.run(tf.global_variables_initializer())
    predictions = session.run(predictions)
    loss, _ = session.run([spec.loss, spec.train_op])
    values = session.run({v.op.name: v for v in tf.global_variables()})
    weights = {v.op.name: values[v.op.name] for v in tf.trainable_variables()}
  moments = {n: v for n, v in values.items() if n.endswith("/adam_m")}
  return Result(loss, predictions, moments, weights)


def inputs_of(name):
  """A task and a batch of sequences of LENGTHS, without packing."""
  rng = np.random.RandomState(3)
  task, columns = TASKS[name](rng)
  return task, {**sequences(rng), **columns}


def compare(plain, other, atol=1e-5):
  """Asserts that losses, gradients and the weights after a step are equal."""
  np.testing.assert_allclose(other.loss, plain.loss, atol=atol)
  assert other.moments.keys() == plain.moments.keys()
  assert max(np.abs(m).max() for m in plain.moments.values()) > 1e-2
  for name, moment in plain.moments.items():
    np.testing.assert_allclose(other.moments[name], moment, 0, atol / 10, name)
  # A step is up to 0.3, whatever the size of the gradient. Where that is 0 but
  # for rounding, so is nothing of the step.
  for name, weight in plain.weights.items():
    is_sure = np.abs(plain.moments.get(f"{name}/adam_m", 0.0)) > 1e-5
    found, wanted = (
      np.where(is_sure, w, 0) for w in (other.weights[name], weight)
    )
    np.testing.assert_allclose(found, wanted, 0, 10 * atol, name)


@pytest.mark.parametrize("name", [n for n in TASKS if n != "questions"])
def test_a_packed_step_is_the_step_of_the_same_sequences(name):
  task, batch = inputs_of(name)
  plain, other = step(task, batch), step(task, {**batch, **PACKED})
  compare(plain, other)
  for key, values in plain.predictions.items():
    np.testing.assert_allclose(other.predictions[key], values, 0, 1e-5, key)


class OneByOne(Answering):
  """Windows that are computed one after the other, without padding."""

  def build(self, config, features, **options):
    windows = []
    for i, length in enumerate(LENGTHS):
      one = {
        key: value[i : i + 1, :length] if value.shape.rank == 2 else value[i]
        for key, value in features.items()
      }
      with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE):
        found = super().build(config, one, **{**options, "scope": "bert"})
      windows.append(
        {
          key: tf.pad(v, [[0, 0], [0, LENGTH - length]], constant_values=-1e4)
          for key, v in found.items()
        }
      )
    return {
      key: tf.concat([window[key] for window in windows], axis=0)
      for key in windows[0]
    }


def test_packed_questions_are_those_without_padding():
  task, batch = inputs_of("questions")
  plain = step(OneByOne(task.note), batch)
  other = step(task, {**batch, **PACKED})
  compare(plain, other)
  is_token = batch["input_mask"] > 0
  for key in ("start_logits", "end_logits"):
    np.testing.assert_allclose(
      *(found.predictions[key][is_token] for found in (other, plain)),
      atol=1e-5,
    )
    assert other.predictions[key][~is_token].max() < -9999


# The same sequences in two parts of three rows each.
IN_PARTS = np.full([8, 3], -1)
for sequence, row, start in (
  *((3, 0, 0), (1, 1, 0), (0, 1, 11), (2, 2, 0)),
  *((7, 0, 0), (5, 0, 9), (4, 1, 0), (6, 2, 5)),
):
  IN_PARTS[sequence, row] = start


@pytest.mark.parametrize(
  ("starts", "options", "atol"),
  [
    (IN_PARTS, {"slices": 2}, 1e-5),
    (STARTS, {"recompute_layers": True}, 1e-5),
    (STARTS, {"compiled": True}, 1e-5),
    (STARTS, {"use_one_hot_embeddings": True}, 1e-5),
    (STARTS, {"trained_layers": 1}, 1e-5),
    (STARTS, {"compute_dtype": tf.bfloat16}, 5e-3),
  ],
)
def test_a_packed_step_goes_with_other_options(starts, options, atol):
  task, batch = inputs_of("classification")
  plain = step(task, batch, False, **{**options, "slices": 1})
  batch = {**batch, "packed_starts": starts}
  compare(plain, step(task, batch, False, **options), atol)


def test_packing_needs_static_shapes():
  ids = tf.zeros([8, LENGTH], tf.int32)
  with pytest.raises(ValueError, match="packing needs static shapes, not"):
    modeling.BertModel(
      *(modeling.BertConfig.from_dict(CONFIG), False, ids, ids),
      packed_starts=tf.placeholder(tf.int32, [8, None]),
    )


# ----------------------------------------------------------------- scripts

WORDS = [
  "good",
  "fine",
  "happy",
  "bad",
  "sad",
  "awful",
  "day",
  "week",
  "one",
  "two",
]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  """64 sentences of 1 to 9 words to train on, and 20 to evaluate."""
  folder = tmp_path_factory.mktemp("data")
  tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
  tokens += [f"[unused{i}]" for i in range(len(tokens), CONFIG["vocab_size"])]
  helpers.write(folder / "vocab.txt", "\n".join(tokens) + "\n")
  helpers.write(folder / "bert_config.json", json.dumps(CONFIG))
  rng = np.random.RandomState(0)
  for name, count in (("train", 64), ("dev", 20), ("test", 20)):
    lines = [
      f"{' '.join(rng.choice(WORDS, rng.randint(1, 10)))}\t{'ab'[i % 2]}"
      for i in range(count)
    ]
    text = "\n".join(["text\tlabel", *lines]) + "\n"
    helpers.write(folder / f"{name}.tsv", text)
  return folder


def run(script, data_dir, output_dir, *flags):
  return helpers.run(
    script,
    f"--data_dir={data_dir}",
    f"--vocab_file={data_dir}/vocab.txt",
    f"--bert_config_file={data_dir}/bert_config.json",
    f"--output_dir={output_dir}",
    *("--do_train", "--max_seq_length=12", "--learning_rate=1e-2"),
    *flags,
  )


def run_classifier_on(data_dir, output_dir, *flags):
  """Four steps, each on all of the sentences."""
  return run(
    *(run_classifier, data_dir, output_dir, "--task_name=custom"),
    *("--train_batch_size=64", "--num_train_epochs=4", "--log_steps=1"),
    *flags,
  )


def losses(output_dir):
  """The loss of each step, from the event files."""
  found = {}
  for path in sorted(output_dir.glob("events*")):
    for event in tf.train.summary_iterator(str(path)):
      for value in event.summary.value:
        if value.tag == "train/loss":
          found[event.step] = value.simple_value
  return [found[step] for step in sorted(found)]


@pytest.mark.slow
@pytest.mark.xdist_group("distribution")
def test_two_devices_train_and_predict_with_packed_sequences(
  data_dir, tmp_path
):
  padded, folder = tmp_path / "padded", tmp_path / "packed"
  predict = "--do_eval", "--do_predict"
  done = run_classifier_on(data_dir, padded, "--length_buckets=none", *predict)
  assert done.returncode == 0, done.stderr
  done = run_classifier_on(
    *(data_dir, folder, "--pack_sequences", "--distribution=mirrored"),
    *("--gradient_accumulation_steps=2", *predict),
  )
  assert done.returncode == 0, done.stderr
  assert "train: 64 examples, 7.0 tokens on average, packed (42" in done.stderr
  assert "packed: 64 sequences in 52 rows of 12" in done.stderr
  assert done.stderr.count("predicted 20 examples") == 2
  assert len(losses(padded)) == 4
  np.testing.assert_allclose(losses(folder), losses(padded), rtol=1e-5)
  scores, wanted = (
    json.loads((each / "eval_results.json").read_text())
    for each in (folder, padded)
  )
  assert scores["eval_loss"] == pytest.approx(wanted["eval_loss"], rel=1e-5)
  found, wanted = (
    np.loadtxt(each / "test_results.tsv") for each in (folder, padded)
  )
  np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (("--packed_rows=9",), "--packed_rows needs --pack_sequences"),
    (
      ("--pack_sequences", "--length_buckets=8"),
      "--length_buckets=8 and --pack_sequences are two ways to have less pad",
    ),
    (
      ("--pack_sequences", "--packed_rows=9"),
      "--packed_rows=9: a batch of 64 sequences needs at least 40 rows of 12",
    ),
  ],
)
def test_rows_and_flags_that_do_not_fit_are_named(
  data_dir, tmp_path, flags, message
):
  done = run_classifier_on(data_dir, tmp_path / "out", *flags)
  assert done.returncode == 1
  assert message in done.stderr


def test_a_batch_that_its_rows_do_not_hold_ends_in_one_sentence(
  data_dir, tmp_path, monkeypatch
):
  monkeypatch.setattr(packed_batches, "rows_needed", lambda *_: 2)
  done = run_classifier_on(data_dir, tmp_path / "out", "--pack_sequences")
  assert done.returncode == 1
  assert done.stderr.splitlines()[-1] == (
    "error: --pack_sequences: 2 rows of 12 positions do not hold the 64"
    " sequences of a batch, or of a part of it: give a higher"
    " --packed_rows"
  )


def test_records_of_several_sequences_are_not_packed(data_dir, tmp_path):
  rows = ["context,response,label"]
  rows += [f"{word} day,{word},{n % 2}" for n, word in enumerate(WORDS)]
  helpers.write(tmp_path / "train.csv", "\n".join(rows) + "\n")
  done = run(
    *(run_ranker, data_dir, tmp_path / "out", f"--data_dir={tmp_path}"),
    *("--model=representation", "--pack_sequences", "--train_batch_size=2"),
  )
  assert done.returncode == 1
  assert "--pack_sequences is for records of one sequence each" in done.stderr
