# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""--trainable: which weights move, and what is computed for the others."""

import json
import re

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import run, write

import modeling
import optimization
import run_classifier
from bert.tasks import layers
from bert.training import checkpoints, flags, runs

WORDS = ["good", "fine", "bad", "sad", "day", "week", "one", "two"]
CONFIG = modeling.BertConfig(13, 8, 2, 2, 16, max_position_embeddings=16)
LAYERS = {f"layer_{i}" for i in range(2)}
HEAD = {"output_weights", "output_bias"}
OF_ALL = LAYERS | HEAD | {"embeddings", "pooler"}
TRAINED = {
  "all": OF_ALL,
  "head": HEAD,
  "last:1": HEAD | {"layer_1", "pooler"},
  "last:2": HEAD | LAYERS | {"pooler"},
}


def part_of(name):
  """The part of the model that a variable is in."""
  return re.sub(r"^bert/(encoder/)?", "", name).split("/")[0]


# ------------------------------------------------------------------ graphs


def training_step(trained_layers, config=CONFIG, slices=1, **encoder):
  """A step of a classifier on random ids."""
  ids = np.random.RandomState(0).randint(0, 13, [4, 6]).astype(np.int32)

  def loss_fn(part, index):
    del index
    model = modeling.BertModel(
      *(config, True, part["ids"]),
      scope="bert",
      dropout_seed=tf.constant([1, 2]),
      compiled=True,
      trained_layers=trained_layers,
      **encoder,
    )
    logits = layers.labels_product(model.get_pooled_output(), 2)
    labels = tf.zeros([4 // slices], tf.int32)
    return tf.reduce_sum(layers.cross_entropy(logits, labels)) / 4

  options = optimization.Options(0.1, 10, slices=slices)
  return optimization.train_step(loss_fn, {"ids": tf.constant(ids)}, options)


def parts_with(pattern):
  """The parts of the model that have an operation with such a name."""
  names = [op.name for op in tf.get_default_graph().get_operations()]
  matches = [m for m in (re.search(pattern, name) for name in names) if m]
  return {part_of(match[1]) for match in matches} & OF_ALL


@pytest.mark.parametrize("flag", TRAINED)
def test_no_gradient_is_computed_below_what_is_trained(flag):
  options = flags.FineTuningOptions(trainable=flag)
  step = training_step(runs.trained_layers(options))
  assert {part_of(v.op.name) for v in step.variables} == TRAINED[flag]
  assert (
    parts_with(r"(?:^|/)gradients(?:_\d+)?/(bert/.*)") == TRAINED[flag] - HEAD
  )
  slots = {v.op.name for v in tf.global_variables() if "/adam_" in v.op.name}
  assert {part_of(name) for name in slots} == TRAINED[flag]


def test_fixed_layers_keep_nothing_for_gradients():
  training_step(1)
  own = [  # where a gradient of our own keeps its inputs
    re.match(r"bert/encoder/(layer_\d)/", op.name)
    for op in tf.get_default_graph().get_operations()
    if op.type == "IdentityN"
  ]
  assert {match[1] for match in own if match} == {"layer_1"}


@pytest.mark.parametrize("trained_layers", [0, 1, 2])
def test_the_loss_is_the_same_whatever_is_trained(trained_layers):
  losses = []
  for layers_ in (None, trained_layers):
    tf.reset_default_graph()
    tf.set_random_seed(1)
    step = training_step(layers_)
    with tf.Session() as session:
      session.run(tf.global_variables_initializer())
      losses.append(session.run(step.loss))
  assert losses[1] == pytest.approx(losses[0], rel=1e-5)  # dropout included


@pytest.mark.parametrize(
  "encoder",
  [{"recompute_layers": True}, {"slices": 2}],
  ids=["recomputed", "in slices"],
)
@pytest.mark.parametrize("trained_layers", [0, 1])
def test_steps_that_save_memory_train_the_same(trained_layers, encoder):
  config = modeling.BertConfig.from_dict(
    {
      **CONFIG.to_dict(),
      "hidden_dropout_prob": 0.0,
      "attention_probs_dropout_prob": 0.0,
    }
  )
  found = []
  for options in ({}, encoder):
    tf.reset_default_graph()
    tf.set_random_seed(1)
    step = training_step(trained_layers, config, **options)
    with tf.Session() as session:
      session.run(tf.global_variables_initializer())
      found.append(session.run([step.loss, step.grad_norm]))
  np.testing.assert_allclose(found[1], found[0], rtol=1e-5)


def test_a_loss_without_variables_of_a_task_has_nothing_to_train():
  with pytest.raises(ValueError, match="nothing to train: the loss depends on"):
    optimization.create_optimizer(tf.constant(1.0), 0.1, 10, 0, False)


# -------------------------------------------------------------------- runs


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
  write(folder / "vocab.txt", "\n".join(tokens) + "\n")
  write(folder / "bert_config.json", json.dumps(CONFIG.to_dict()))
  rows = [f"{WORDS[i % 4]} {WORDS[4 + i % 3]}\t{i % 4 // 2}" for i in range(32)]
  write(folder / "train.tsv", "\n".join(["text\tlabel", *rows]) + "\n")
  return folder


def train(data_dir, output_dir, *flags, epochs=1):
  done = run(
    run_classifier,
    *("--task_name=custom", f"--data_dir={data_dir}", "--do_train"),
    f"--vocab_file={data_dir}/vocab.txt",
    f"--bert_config_file={data_dir}/bert_config.json",
    *(f"--output_dir={output_dir}", f"--num_train_epochs={epochs}"),
    *("--max_seq_length=8", "--train_batch_size=8", "--learning_rate=1e-2"),
    *("--warmup_proportion=0", *flags),
  )
  assert "Traceback" not in done.stderr
  return done


def weights(folder):
  reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(str(folder)))
  names = reader.get_variable_to_shape_map()
  return {name: reader.get_tensor(name) for name in names}


@pytest.fixture(scope="module")
def first(data_dir, tmp_path_factory):
  """The folder of a run that trained everything."""
  folder = tmp_path_factory.mktemp("first")
  done = train(data_dir, folder)
  assert "trained weights: 1,666 of 1,666" in done.stderr
  return folder


@pytest.mark.parametrize(
  ("flag", "options"),
  [
    ("head", ("--recompute_layers", "--optimizer=lamb")),
    ("last:1", ("--gradient_accumulation_steps=2",)),
    ("last:1", ("--recompute_layers", "--layerwise_lr_decay=0.5")),
    ("last:2", ()),
  ],
)
def test_only_what_is_trained_moves(data_dir, first, tmp_path, flag, options):
  given = (f"--trainable={flag}", f"--init_checkpoint={first}", *options)
  assert train(data_dir, tmp_path, *given).returncode == 0
  before, after = weights(first), weights(tmp_path)
  moved = set()
  for name, value in before.items():
    if "/adam_" in name or name == "global_step":
      continue
    if not np.array_equal(value, after[name]):  # every weight is in it
      moved.add(part_of(name))
  assert moved == TRAINED[flag]
  assert {part_of(n) for n in after if "/adam_" in n} == TRAINED[flag]


def test_a_run_that_trains_the_head_says_so_and_resumes(
  data_dir, first, tmp_path
):
  given = ("--trainable=head", f"--init_checkpoint={first}")
  done = train(data_dir, tmp_path, *given)
  assert "trained weights: 18 of 1,666" in done.stderr
  half = weights(tmp_path)
  done = train(data_dir, tmp_path, *given, epochs=2)
  assert "resuming" in done.stderr
  found = weights(tmp_path)
  assert found["global_step"] == 8
  assert (found["output_weights"] != half["output_weights"]).any()
  name = "bert/pooler/dense/kernel"
  np.testing.assert_array_equal(found[name], weights(first)[name])


def test_a_run_may_go_on_with_more_or_fewer_trained_weights(
  data_dir, first, tmp_path
):
  head = ("--trainable=head", f"--init_checkpoint={first}")
  train(data_dir, tmp_path, *head)
  done = train(data_dir, tmp_path, "--trainable=last:1", epochs=2)
  assert done.returncode == 0, done.stderr
  assert re.search(r"model.ckpt-4 lacks bert/.*, which start anew", done.stderr)
  assert {
    part_of(name) for name in weights(tmp_path) if "/adam_" in name
  } == TRAINED["last:1"]
  done = train(data_dir, tmp_path, "--trainable=head", epochs=3)
  assert done.returncode == 0, done.stderr
  assert "start anew" not in done.stderr
  assert weights(tmp_path)["global_step"] == 12


@pytest.mark.parametrize(
  ("flag", "message"),
  [
    ("last:3", "bert_config.json has 2 layers"),
    ("last:0", "--trainable=last:0: give all, head, or last:N with N from 1"),
    ("last:-1", "--trainable=last:-1: give all, head, or last:N"),
    ("foo", "--trainable=foo: give all, head, or last:N"),
  ],
)
def test_a_wrong_value_gets_one_clear_sentence(
  data_dir, tmp_path, flag, message
):
  done = train(data_dir, tmp_path, f"--trainable={flag}")
  assert done.returncode == 1
  assert message in done.stderr
  assert done.stderr.count("error:") == 1


def test_a_resuming_saver_is_built_once(tmp_path):
  weight = tf.get_variable("w", initializer=[1.0])
  tf.train.get_or_create_global_step()
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    tf.train.Saver().save(session, str(tmp_path / "model.ckpt"), 3)
  moment = tf.get_variable("w/adam_m", initializer=[5.0])
  saver = checkpoints.resuming_saver(str(tmp_path), 5)
  saver.build()
  tf.get_default_graph().finalize()
  saver.build()  # as a session does that is made again
  with tf.Session() as session:
    saver.restore(session, str(tmp_path / "model.ckpt-3"))
    assert session.run([weight, moment]) == [[1.0], [5.0]]
