# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Output folders of other models, what kills leave there, and impossible sizes.

In come folders with a few small files. Out comes one sentence, or nothing.
"""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import write

import modeling
from bert.files import locks
from bert.tasks.classification import Classification, ClassifierNote
from bert.tasks.pretraining import Pretraining, PretrainingNote
from bert.training import flags, folders, memory

CLASSIFICATION = Classification(
  ClassifierNote(
    task="classifier",
    label_type="single",
    labels=["no", "yes"],
    thresholds=[],
    feature_columns=[],
    feature_mean=[],
    feature_std=[],
    do_lower_case=True,
    max_seq_length=16,
  )
)
PRETRAINING = Pretraining(PretrainingNote(16, 4))


@pytest.fixture
def options(tmp_path):
  """The options of a training; a test changes them."""
  return flags.FineTuningOptions(
    do_train=True,
    output_dir=str(tmp_path / "out"),
    bert_config_file=write(tmp_path / "sizes", '{"a": 1}'),
    vocab_file=write(tmp_path / "words.txt", "one\ntwo\nthree\n"),
  )


def save(folder, name="kept", step=3):
  folder.mkdir(parents=True, exist_ok=True)
  with tf.Graph().as_default(), tf.Session() as session:
    tf.get_variable(name, initializer=np.zeros(2, np.float32))
    session.run(tf.global_variables_initializer())
    return tf.train.Saver().save(session, str(folder / "model.ckpt"), step)


# -------------------------------------------------------- other models' folders


def test_a_configuration_may_have_any_name(options, tmp_path):
  save(tmp_path / "out")
  write(tmp_path / "out/bert_config.json", '{\n  "a": 1\n}')
  folders.check_output_dir(options)
  write(tmp_path / "sizes", '{"a": 2}')
  with pytest.raises(ValueError, match="sizes differs from its bert_config.js"):
    folders.check_output_dir(options)


@pytest.mark.parametrize("name", ["bert_model.ckpt.index", "model.safetensors"])
def test_the_folder_of_a_released_model_keeps_its_files(
  options, tmp_path, name
):
  write(tmp_path / "out" / "vocab.txt", "one\ntwo\n")
  folders.check_output_dir(options)  # no weights that need it
  write(tmp_path / "out" / name, "")
  with pytest.raises(ValueError, match="holds another model: --vocab_file="):
    folders.check_output_dir(options)
  write(tmp_path / "out" / "vocab.txt", "one\r\ntwo\r\nthree\n")
  folders.check_output_dir(options)  # the same words


@pytest.mark.parametrize(
  ("kept", "task", "message"),
  [
    ("squad", CLASSIFICATION, "the task squad, and this run .* classifier:"),
    ("classifier", PRETRAINING, "task classifier, .* the task pretraining:"),
    ("classifier", CLASSIFICATION, None),
    (None, CLASSIFICATION, "of the task pretraining, .* the task classifier:"),
    (None, PRETRAINING, None),
  ],
)
def test_a_folder_keeps_its_task(options, tmp_path, kept, task, message):
  if kept:
    write(tmp_path / "out" / "task.json", json.dumps({"task": kept}))
  else:
    save(tmp_path / "out", "cls/predictions/output_bias")
  if not message:
    folders.check_task(options, task)
    return
  with pytest.raises(ValueError, match=message):
    folders.check_task(options, task)
  folders.check_task(dataclasses.replace(options, do_train=False), task)


@pytest.mark.parametrize(
  ("words", "message"),
  [
    ("one\ntwo\nthree\n", None),
    ("one\ntwo\n", None),  # this one has more
    ("one\n[unused0]\nthree\n", None),  # a place that was free
    ("two\none\n", r"words.txt is not .* line 1 is 'two' there and 'one' here"),
  ],
)
@pytest.mark.parametrize("place", ["", "best"])
def test_weights_belong_to_their_words(
  options, tmp_path, words, message, place
):
  prefix = save(tmp_path / "from" / place)
  folders.check_source(options, prefix)
  vocab = write(tmp_path / "from" / "vocab.txt", words)
  if not message:
    folders.check_source(options, prefix)
    return
  with pytest.raises(ValueError, match=message) as raised:
    folders.check_source(options, prefix)
  assert vocab in str(raised.value)
  save(tmp_path / "out")  # training goes on from these
  folders.check_source(options, prefix)


def test_weights_belong_to_their_case(options, tmp_path):
  prefix = save(tmp_path / "from")
  path = write(tmp_path / "from" / "task.json", '{"do_lower_case": false}')
  with pytest.raises(ValueError, match="with --do_lower_case=False") as raised:
    folders.check_source(options, prefix)
  assert path in str(raised.value)
  write(tmp_path / "from" / "task.json", '{"do_lower_case": true}')
  folders.check_source(options, prefix)


# ---------------------------------------------------------------- after a kill


def test_what_a_kill_left_is_removed(tmp_path):
  left = (
    "model.ckpt-6_temp/part-00000-of-00001.data-00000-of-00001",
    "model.ckpt-6.index.tempstate1234",
    "graph.pbtxt.tmp5678",
    "checkpoint.tmpabcd",
    "train.tf_record.partial",
    "vectors.partial-99/one",
    "best/best.json.partial",
  )
  stay = (
    "model.ckpt-3.index",
    "model.ckpt-3.data-00000-of-00001",
    "checkpoint",
    "best/best.json",
    "my_temp/file",
    "answers.tsv.partial",  # of a run that goes on
  )
  for name in (*left, *stay):
    write(tmp_path / name, "")
  with locks.locked(str(tmp_path / "answers.tsv")):
    folders.remove_garbage(str(tmp_path))
  found = [p for p in tmp_path.rglob("*") if not p.is_dir()]
  assert {str(p.relative_to(tmp_path)) for p in found} == set(stay)
  assert not (tmp_path / "model.ckpt-6_temp").exists()
  folders.remove_garbage(str(tmp_path / "none"))


# ---------------------------------------------------------------------- sizes


def config(**sizes):
  return modeling.BertConfig.from_dict(
    {**modeling.BertConfig(30522).to_dict(), **sizes}
  )


def test_the_sizes_of_bert_base_by_hand(options):
  # Words, positions and types of 768; 12 layers of 12 * 768 ** 2.
  count = (30522 + 512 + 16) * 768 + 12 * 12 * 768**2
  graph = 12 * 1_000_000
  base = config()
  assert memory.weight_bytes(options, base) == 16 * count + graph
  factored = dataclasses.replace(options, optimizer="adafactor")
  assert memory.weight_bytes(factored, base) == 8 * count + graph
  head = dataclasses.replace(options, trainable="head")
  assert memory.weight_bytes(head, base) == 4 * count + graph
  # 32 examples, as short as a bucket can be, for each layer.
  assert memory.batch_bytes(options, base) == 32 * 8 * 768 * 12 * 4
  whole = dataclasses.replace(
    options,
    length_buckets="none",
    precision="bfloat16",
    gradient_accumulation_steps=4,
  )
  assert memory.batch_bytes(whole, base) == 8 * 128 * 768 * 12 * 2


@pytest.mark.parametrize(
  ("sizes", "batch_size", "message"),
  [
    ({}, 32, None),
    (
      {"hidden_size": 12 * 10**8},
      32,
      "GB for a batch, .* 16.0 GB: use a smaller",
    ),
    ({"num_hidden_layers": 10**6}, 32, "training needs at least 114,"),
    ({}, 10**6, "and 294.9 GB for a batch, .*: lower --train_batch_size"),
  ],
)
def test_sizes_that_no_machine_has_are_refused(
  options, monkeypatch, sizes, batch_size, message
):
  monkeypatch.setattr(memory, "machine_bytes", lambda: 16_000_000_000)
  options = dataclasses.replace(options, train_batch_size=batch_size)
  if not message:
    memory.check_memory(options, config(**sizes))
    return
  with pytest.raises(ValueError, match=message):
    memory.check_memory(options, config(**sizes))


def test_what_needs_at_most_twice_the_memory_is_tried(options, monkeypatch):
  needed = memory.weight_bytes(options, config())
  needed += memory.batch_bytes(options, config())
  monkeypatch.setattr(memory, "machine_bytes", lambda: needed // 2 + 1)
  memory.check_memory(options, config())
  monkeypatch.setattr(memory, "machine_bytes", lambda: needed // 2 - 1)
  with pytest.raises(ValueError, match="GB"):
    memory.check_memory(options, config())


def test_this_machine_has_memory():
  assert 10**8 < memory.machine_bytes() < 10**15
