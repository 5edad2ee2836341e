# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Training on several devices and in several processes, for real.

The classifier is trained as a user does it, but with all dropout off, so that
its losses can be compared. tests/conftest.py makes two devices of the CPU. If
several workers train, each is a process of its own.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent import futures

import helpers
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import ROOT, run

import optimization
import run_classifier
import run_pretraining
from bert.records import input_pipeline, record_files
from bert.tasks import classification, classification_data, task
from bert.tasks.pretraining import Pretraining, PretrainingNote
from bert.training import checkpoints, estimators, flags, workers

NICE, NASTY = ["good", "fine", "happy"], ["bad", "sad", "awful"]
WORDS = [*NICE, *NASTY, "day", "week", "one", "two"]
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
}
# What a worker runs.
WORKER = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from bert.training import entry
import run_classifier
from bert.tasks import classification
classification.DROPOUT = 0.0
entry.run(run_classifier.main, run_classifier.Options)
"""

pytestmark = pytest.mark.xdist_group("distribution")


@pytest.fixture(scope="module", autouse=True)
def no_dropout():
  with pytest.MonkeyPatch.context() as monkeypatch:
    monkeypatch.setattr(classification, "DROPOUT", 0.0)
    yield


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  """64 sentences to train on and 20 to evaluate, in batches of 8."""
  folder = tmp_path_factory.mktemp("data")
  tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
  tokens += [f"[unused{i}]" for i in range(len(tokens), CONFIG["vocab_size"])]
  (folder / "vocab.txt").write_text("\n".join(tokens) + "\n")
  (folder / "bert_config.json").write_text(json.dumps(CONFIG))
  rng = np.random.RandomState(0)
  for name, count in (("train", 64), ("dev", 20)):
    lines = ["text\tlabel"]
    for _ in range(count):
      label = int(rng.randint(2))
      words = [WORDS[3 * label + rng.randint(3)]]
      words += list(rng.choice(WORDS[6:], rng.randint(1, 8)))
      lines.append(f"{' '.join(words)}\t{'nasty' if label else 'nice'}")
    (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n")
  return folder


def arguments(data_dir, output_dir, *flags):
  """A training of 20 steps; a flag that is given again counts last."""
  return [
    "--task_name=custom",
    f"--data_dir={data_dir}",
    f"--vocab_file={data_dir}/vocab.txt",
    f"--bert_config_file={data_dir}/bert_config.json",
    f"--output_dir={output_dir}",
    *("--do_train", "--num_train_epochs=2.5", "--log_steps=1"),
    *("--max_seq_length=12", "--train_batch_size=8", "--learning_rate=1e-2"),
    *flags,
  ]


def train(script, *flags, returncode=0):
  """The log of a training in this process."""
  done = run(script, *flags)
  assert done.returncode == returncode, done.stderr
  return done.stderr


def finish(process, returncode=0):
  """The log of a process, once it has ended as it should."""
  _, log = process.communicate(timeout=600)
  assert process.returncode == returncode, log
  assert "Traceback" not in log
  return log


def tf_config(addresses, index):
  cluster = {"worker": addresses}
  place = {"type": "worker", "index": index}
  return json.dumps({"cluster": cluster, "task": place})


def start_workers(data_dir, output_dir, *flags):
  """Starts two workers on loopback; the first is the chief."""
  addresses = helpers.free_addresses(2)
  command = [sys.executable, "-c", WORKER]
  command += arguments(data_dir, output_dir, "--distribution=multi_worker")
  return [
    subprocess.Popen(
      [*command, *flags],
      stderr=subprocess.PIPE,
      text=True,
      env={**os.environ, "TF_CONFIG": tf_config(addresses, index)},
      cwd=data_dir,
    )
    for index in range(2)
  ]


def losses(output_dir):
  """The loss of each step, from the event files."""
  return scalars(output_dir, "loss")


def scalars(output_dir, name):
  """What training showed at each step, from the event files."""
  found = {}
  for path in sorted(output_dir.glob("events*")):
    for event in tf.train.summary_iterator(str(path)):
      for value in event.summary.value:
        if value.tag == f"train/{name}":
          found[event.step] = value.simple_value
  return [found[step] for step in sorted(found)]


@pytest.fixture(scope="module")
def alone(data_dir, tmp_path_factory):
  """The output folder of one process on one device."""
  output_dir = tmp_path_factory.mktemp("alone")
  train(run_classifier, *arguments(data_dir, output_dir))
  return output_dir


@pytest.fixture(scope="module")
def losses_alone(alone):
  """The losses of one process on one device."""
  found = losses(alone)
  assert len(found) == 20
  assert found[0] != found[-1]
  return found


# ---------------------------------------------------------- several devices


@pytest.mark.slow
def test_two_devices_train_as_one(data_dir, tmp_path, losses_alone):
  log = train(
    run_classifier,
    *arguments(data_dir, tmp_path, "--distribution=mirrored", "--do_eval"),
    *("--gradient_accumulation_steps=2", "--eval_steps=10"),
  )
  assert "batch 8 on 2 devices" in log
  assert log.count("new weights: 25 variables") == 1
  assert log.count("predicted 20 examples") == 3  # steps 10, 20, at the end
  np.testing.assert_allclose(losses(tmp_path), losses_alone, rtol=1e-5)


@pytest.mark.slow
def test_two_devices_train_the_head_as_one_and_go_on_with_the_rest(
  data_dir, tmp_path
):
  two, one = tmp_path / "two", tmp_path / "one"
  for trainable, optimizer, epochs, line in (
    ("head", "adamw_corrected", 1, "trained weights: 18 of "),
    ("all", "adafactor", 2, "model.ckpt-8 lacks bert/"),
  ):
    given = (f"--trainable={trainable}", f"--num_train_epochs={epochs}")
    given += (f"--optimizer={optimizer}",)
    train(run_classifier, *arguments(data_dir, one, *given))
    given += ("--distribution=mirrored",)
    log = train(run_classifier, *arguments(data_dir, two, *given))
    assert log.count(line) == 1, log
  np.testing.assert_allclose(losses(two), losses(one), rtol=1e-5)


@pytest.mark.slow
def test_two_devices_pretrain_as_one(data_dir, tmp_path):
  """Records with 1 to 3 masked words: replicas and slices differ in weight."""
  rng = np.random.RandomState(0)
  rows = []
  for length in rng.randint(5, 13, 32):
    masked, padding = rng.randint(1, 4), [0] * (12 - length)
    rows.append(
      {
        "input_ids": [*map(int, rng.randint(5, 19, length)), *padding],
        "input_mask": [1] * length + padding,
        "segment_ids": [0] * 12,
        "masked_lm_positions": [1, 2, 3][:masked] + [0] * (3 - masked),
        "masked_lm_ids": [5, 6, 7][:masked] + [0] * (3 - masked),
        "masked_lm_weights": [1.0] * masked + [0.0] * (3 - masked),
        "next_sentence_labels": int(rng.randint(2)),
      }
    )
  schema = Pretraining(PretrainingNote(12, 3)).schema(is_training=True)
  record_files.write_records(rows, schema, str(tmp_path / "records"))
  for name, options in (
    ("1", ()),
    ("2", ("--distribution=mirrored", "--gradient_accumulation_steps=2")),
  ):
    train(
      run_pretraining,
      *(f"--input_file={tmp_path}/records", "--do_train"),
      f"--bert_config_file={data_dir}/bert_config.json",
      f"--output_dir={tmp_path / name}",
      *("--max_seq_length=12", "--max_predictions_per_seq=3"),
      *("--train_batch_size=8", "--learning_rate=1e-2", "--log_steps=1"),
      *("--num_train_steps=6", "--num_warmup_steps=1", *options),
    )
  for name in ("loss", "masked_lm_accuracy", "next_sentence_loss"):
    alone, together = (scalars(tmp_path / n, name) for n in "12")
    assert len(alone) == 6
    np.testing.assert_allclose(together, alone, rtol=1e-5)


class Weighted(task.Task):
  """Its loss is divided by the weights of the rows."""

  def build(self, config, features, **options):
    slope = tf.get_variable("slope", initializer=[1.0])
    return {"losses": slope * features["x"]}

  def scored(self, tensors, features):
    return task.Outputs({}, [tf.reduce_sum(tensors["losses"])])

  def loss_weights(self, features):
    return (tf.reduce_sum(features["w"]),)


def test_a_weighted_loss_is_divided_by_the_weights_of_all_devices(tmp_path):
  def input_fn(params, input_context):
    # 6 over a weight of 3 on one device, 2 over 1 on the other.
    parts = {"x": [[1.0, 5.0], [2.0, 0.0]], "w": [[1.0, 2.0], [1.0, 0.0]]}
    return tf.data.Dataset.from_tensor_slices(parts).repeat()

  optimizer = optimization.Options(
    learning_rate=0.0, num_train_steps=2, num_warmup_steps=0
  )
  model_fn = estimators.make_model_fn(
    Weighted(None), None, estimators.GraphOptions(optimizer=optimizer)
  )
  options = flags.RunOptions(
    output_dir=str(tmp_path), train_batch_size=4, distribution="mirrored"
  )
  estimator = estimators.estimator_for(options, model_fn, 4)
  estimators.train(estimator, input_fn, 2, 4, 4, 1)
  # Not (6 / 3 + 2 / 1) / 2, the mean of the devices' means.
  assert losses(tmp_path) == pytest.approx([8 / 4, 8 / 4])


# --------------------------------------------------------- several machines


@pytest.mark.slow
def test_two_processes_train_as_one(data_dir, tmp_path, losses_alone):
  chief, other = start_workers(data_dir, tmp_path, "--do_eval")
  log, other_log = finish(chief), finish(other)
  assert "batch 8 on 2 devices" in log
  np.testing.assert_allclose(losses(tmp_path), losses_alone, rtol=1e-5)
  assert log.count("predicted 20 examples") == 1
  assert "eval_accuracy" in (tmp_path / "eval_results.txt").read_text()

  assert len(other_log.splitlines()) == 1
  assert "worker 1 of 2: worker 0, the chief" in other_log
  names = sorted(p.name for p in tmp_path.glob("worker_*/*"))
  assert names == ["train.tf_record", "train.tf_record.json"]
  assert len(list(tmp_path.glob("events*"))) == 1
  assert not list(tmp_path.glob("tmp_*"))


@pytest.mark.slow
def test_a_killed_worker_ends_the_others_and_all_go_on_later(
  data_dir, tmp_path
):
  """First the chief is killed; then, after a new start, the other worker."""
  step = 0
  for killed in (0, 1):
    group = start_workers(
      *(data_dir, tmp_path, "--num_train_epochs=9999", "--log_steps=1000"),
      "--save_checkpoints_steps=20",
    )
    wait_for_checkpoint(tmp_path, step + 20)
    group[killed].kill()
    killed_at = time.monotonic()
    log = finish(group[1 - killed], returncode=1)
    assert time.monotonic() - killed_at < 60
    assert re.search(rf"error: worker {killed} \(127.*\) has ended or", log)
    assert log.count("error") == 1
    resumed, step = step, checkpoints.current_step(str(tmp_path))
  assert f"resuming {tmp_path} at step {resumed} of 79992" in log


def wait_for_checkpoint(output_dir, step):
  """Waits until a training has saved this step or a later one."""
  deadline = time.monotonic() + 90
  while checkpoints.current_step(str(output_dir)) < step:
    assert time.monotonic() < deadline
    time.sleep(0.1)


def test_a_worker_that_does_not_answer_is_named(
  data_dir, tmp_path, monkeypatch
):
  addresses = helpers.free_addresses(2)
  monkeypatch.setenv("TF_CONFIG", tf_config(addresses, 1))
  monkeypatch.setattr(workers, "SECONDS_TO_ANSWER", 1)
  log = train(
    run_classifier,
    *arguments(data_dir, tmp_path, "--distribution=multi_worker"),
    returncode=1,
  )
  assert (
    f"error: worker 0 ({addresses[0]}) of TF_CONFIG has not answered for 1 s"
  ) in log


def test_workers_with_other_folders_are_told(
  data_dir, tmp_path, alone, monkeypatch
):
  """The other worker, whose folder is empty, is a thread."""
  shutil.copytree(alone, tmp_path / "a")
  addresses = helpers.free_addresses(2)
  other = workers.Workers(addresses, 1)
  empty = {"step of the newest checkpoint in --output_dir": 0}
  monkeypatch.setenv("TF_CONFIG", tf_config(addresses, 0))
  with futures.ThreadPoolExecutor(1) as threads:
    meeting = threads.submit(other.meet, empty)
    log = train(
      run_classifier,
      *arguments(data_dir, tmp_path / "a", "--distribution=multi_worker"),
      "--num_train_epochs=3",
      returncode=1,
    )
    error = str(meeting.exception())
  fact = "step of the newest checkpoint in --output_dir is"
  worker = f"worker 1 ({addresses[1]})"
  assert f"error: {fact} 20 here, on worker 0, but 0 on {worker}" in log
  assert error.startswith(f"{fact} 0 here, on worker 1, but 20 on worker 0")


# ------------------------------------------------------------------- shares


def test_the_shares_of_workers_make_up_the_batches_of_one(tmp_path):
  lengths = [3, 16, 5, 9, 1, 12, 16, 7, 2, 10, 4, 11]
  schema = classification_data.classification((), 16).schema(True)
  records = record_files.write_records(
    (
      {
        "input_ids": [place] * n + [0] * (16 - n),
        "input_mask": [1] * n + [0] * (16 - n),
        "segment_ids": [0] * 16,
        "label_ids": place,
        "is_real_example": 1,
      }
      for place, n in enumerate(lengths)
    ),
    schema,
    str(tmp_path / "a.tf_record"),
  )
  input_fn = input_pipeline.input_fn_builder(
    [records.path], schema, True, False, 12, random_seed=5, bounds=[8, 16]
  )

  def batches(count, context=None):
    dataset = input_fn({"batch_size": 4}, context)
    batch = tf.data.make_one_shot_iterator(dataset).get_next()
    with tf.Session() as session:
      return [session.run(batch) for _ in range(count)]

  def context(worker):
    return tf.distribute.InputContext(
      num_input_pipelines=2, input_pipeline_id=worker, num_replicas_in_sync=4
    )

  whole = batches(6)
  first, second = (batches(12, context(worker)) for worker in range(2))
  for step, batch in enumerate(whole):
    place = slice(2 * step, 2 * step + 2)
    parts = [*first[place], *second[place]]  # of replicas 0 to 3
    for name, values in batch.items():
      joined = np.concatenate([part[name] for part in parts])
      np.testing.assert_array_equal(joined, values)
