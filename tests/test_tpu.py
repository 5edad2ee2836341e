# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""What a TPU would run, as far as it can be seen without one.

Each script's training graph is built as TPUEstimator builds it for two
replicas, in the loop of its steps; its sums over replicas are counted. Its
summaries are written on the CPU, and the step is compiled by XLA and run,
alone.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops
from tensorflow.python.ops import summary_ops_v2
from tensorflow.python.tpu import tpu_function, training_loop

import modeling
import optimization
import run_classifier
import run_pretraining
import run_squad
from bert.records import input_pipeline, record_files, streams
from bert.tasks import classification as classification_task
from bert.tasks import ranking, tagging
from bert.tasks.classification_data import classification
from bert.tasks.pretraining import Pretraining, PretrainingNote
from bert.training import estimators, progress

BATCH, LENGTH, REPLICAS = 4, 8, 2
CONFIG = modeling.BertConfig(
  vocab_size=20,
  hidden_size=8,
  num_hidden_layers=1,
  num_attention_heads=2,
  intermediate_size=16,
  max_position_embeddings=16,
)


@dataclasses.dataclass
class Script:
  """A script's model and the records that it trains on."""

  model_fn_builder: Callable  # (optimizer options) -> model_fn
  schema: dict  # of its training records
  largest: dict  # {name: bound of its integers}, 2 where it is missing
  num_weights: int = 1  # losses with weights of their own
  without_gradient: tuple = ()  # variables that the loss does not depend on
  shown: tuple = ()  # beside the loss and the learning rate


def classifier(options):
  return run_classifier.model_fn_builder(
    *(CONFIG, 3, None, 0.1, 10, 2, True, True), optimizer_options=options
  )


def pretraining(options):
  return run_pretraining.model_fn_builder(
    *(CONFIG, None, 0.1, 10, 2, True, True), optimizer_options=options
  )


def squad(options):
  return run_squad.model_fn_builder(
    *(CONFIG, None, 0.1, 10, 2, True, True), optimizer_options=options
  )


def builder_of(task):
  """The model_fn_builder of a task object."""

  def model_fn_builder(options):
    return estimators.original_model_fn(
      *(task, CONFIG, None, 0.1, 10, 2, True, True), optimizer_options=options
    )

  return model_fn_builder


def ranker(model, loss, num_responses, **script):
  """Ranking with records of this many responses."""
  note = ranking.RankerNote("ranker", model, "mean", True, LENGTH, loss)
  task = ranking.Ranking(note, num_responses)
  return Script(builder_of(task), task.schema(is_training=True), **script)


TAGGER = tagging.Tagging(
  tagging.TaggerNote(
    *("tagger", ["O", "B", "I"], "bio"),
    use_crf=True,
    birnn_cell="lstm",
    birnn_size=4,
    mix_layers=[-1],
    do_lower_case=True,
    max_seq_length=LENGTH,
  )
)


PRETRAINING_SHOWN = (
  "masked_lm_loss",
  "masked_lm_accuracy",
  "next_sentence_loss",
  "next_sentence_accuracy",
)
POOLER = ("bert/pooler/dense/kernel", "bert/pooler/dense/bias")
SCRIPTS = {
  "pretraining": Script(
    pretraining,
    Pretraining(PretrainingNote(LENGTH, 3)).schema(is_training=True),
    {"input_ids": 20, "masked_lm_positions": LENGTH, "masked_lm_ids": 20},
    num_weights=2,
    shown=PRETRAINING_SHOWN,
  ),
  "packed pretraining": Script(
    pretraining,
    {
      **Pretraining(PretrainingNote(LENGTH, 3)).schema(is_training=True),
      # Each sequence has a row of its own: -1 elsewhere.
      "packed_starts": tf.FixedLenFeature([BATCH], tf.int64),
    },
    {"input_ids": 20, "masked_lm_positions": LENGTH, "masked_lm_ids": 20},
    num_weights=2,
    shown=PRETRAINING_SHOWN,
  ),
  "classifier": Script(
    classifier, classification((), LENGTH).schema(True), {"input_ids": 20}
  ),
  "squad": Script(
    squad,
    run_squad.answering(LENGTH).schema(is_training=True),
    {"input_ids": 20, "start_positions": LENGTH, "end_positions": LENGTH},
    without_gradient=POOLER,
  ),
  "ranker of candidates": ranker(
    *("interaction", "candidates", 3), largest={"input_ids": 20}
  ),
  "ranker in batch": ranker(
    *("representation", "in_batch", 2),
    largest={"input_ids": 20, "text_ids": 9},
    without_gradient=POOLER,
  ),
  "ranker of triplets": ranker(
    *("representation", "triplet", 2),
    largest={"input_ids": 20, "text_ids": 9},
    without_gradient=POOLER,
  ),
  "ranker of graded pairs": ranker(
    *("representation", "cosent", 1),
    largest={"input_ids": 20},
    without_gradient=POOLER,
  ),
  "tagger": Script(
    builder_of(TAGGER),
    TAGGER.schema(is_training=True),
    {"input_ids": 20, "word_positions": LENGTH, "tag_ids": 3},
    without_gradient=POOLER,
  ),
}


def of_script(name, *values, marks=()):
  """Parameters of a test; one worker builds all graphs of a script."""
  group = pytest.mark.xdist_group(f"tpu {name}")
  case = "-".join(map(str, [*values, name]))
  return pytest.param(SCRIPTS[name], *values, marks=[group, *marks], id=case)


each_script = pytest.mark.parametrize("script", [of_script(n) for n in SCRIPTS])
# Slices are the same for every script; these differ most in what is in them.
each_slices = pytest.mark.parametrize(
  ("script", "slices"),
  [of_script(name, 1) for name in SCRIPTS]
  + [
    of_script(name, 2, marks=[pytest.mark.slow])
    for name in ("pretraining", "ranker in batch", "tagger")
  ],
)


def batch_of(script):
  """A replica's batch, of static shape, as the input pipeline gives it."""
  rng = np.random.RandomState(0)
  batch = {}
  for name, spec in script.schema.items():
    shape = [BATCH, *spec.shape]
    values = rng.randint(0, script.largest.get(name, 2), shape)
    if name == "packed_starts":
      values = np.eye(BATCH) - 1
    is_number = spec.dtype == tf.float32
    batch[name] = tf.constant(values, tf.float32 if is_number else tf.int32)
  return batch


def spec_of_replica(script, slices, model_dir=None):
  """The TPUEstimatorSpec of a replica, in the context of its graph."""
  model_fn = script.model_fn_builder(optimization.Options(slices=slices))
  config = None
  if model_dir:
    config = tf.estimator.tpu.RunConfig(model_dir=str(model_dir))
  return model_fn(
    batch_of(script), None, tf.estimator.ModeKeys.TRAIN, {}, config
  )


def training_spec(script, slices=1, model_dir=None):
  """The spec of one of two replicas, in a graph that a CPU can run."""
  with tpu_function.tpu_shard_context(REPLICAS):
    return spec_of_replica(script, slices, model_dir)


_LOOPS = {}  # the graphs that `loop_graph` has built


def loop_graph(script, slices=1):
  """The graph of the steps as a TPU runs them: in a loop on all replicas."""

  def step():
    return spec_of_replica(script, slices).train_op

  key = id(script), slices
  if key not in _LOOPS:
    _LOOPS[key] = tf.Graph()
    with _LOOPS[key].as_default():
      tf.tpu.replicate(lambda: training_loop.repeat(2, step), [[]] * REPLICAS)
  return _LOOPS[key]


def ops_of(graph, *kinds):
  return [op for op in graph.get_operations() if op.type in kinds]


def computed_from(op):
  """An op, and all ops that depend on its outputs."""
  waiting, seen = [op], set()
  while waiting:
    op = waiting.pop()
    if op not in seen:
      seen.add(op)
      waiting += [user for value in op.outputs for user in value.consumers()]
  return seen


@each_slices
def test_each_gradient_is_summed_once_and_then_clipped(script, slices):
  graph = loop_graph(script, slices)
  sums = ops_of(graph, "CrossReplicaSum")
  shapes = sorted(op.outputs[0].shape.as_list() for op in sums)
  gradients = sorted(
    v.shape.as_list()
    for v in graph.get_collection("trainable_variables")
    if v.op.name not in script.without_gradient
  )
  # Beside the gradients, each a sum, what losses are divided by, and the loss,
  # which is a vector with all that is shown.
  loss = [1 + len(script.shown)] if script.shown else []
  others = [loss, *[[]] * script.num_weights]
  assert shapes == sorted(others + gradients)
  of_gradients = [
    op for op in sums if op.outputs[0].shape.as_list() not in others
  ]
  norm = next(
    op
    for op in graph.get_operations()
    if op.name.endswith("global_norm/global_norm")
  )
  after_norm = computed_from(norm)
  for op in of_gradients:  # of the raw gradient: nothing is clipped before
    assert op not in after_norm
    assert norm in computed_from(op)
  updates = ops_of(graph, "ResourceApplyAdam")
  assert len(updates) == len(gradients)
  for op in updates:
    assert op.inputs[9].op in after_norm  # its gradient


@each_script
def test_shapes_are_static_and_words_are_looked_up_by_products(script):
  graph = loop_graph(script)
  tables = [
    v.handle
    for v in graph.get_collection("trainable_variables")
    if v.op.name == "bert/embeddings/word_embeddings"
  ]
  assert len(tables) == 1
  gathers = ops_of(graph, "ResourceGather")
  assert not [op for op in gathers if op.inputs[0] is tables[0]]
  for op in ops_of(graph, "MatMul", "BatchMatMulV2"):
    assert op.outputs[0].shape.is_fully_defined(), op.name


@each_slices
def test_the_loop_of_a_tpu_holds_no_functions(script, slices):
  graph = loop_graph(script, slices)
  assert not graph.as_graph_def().library.function
  products = ops_of(graph, "MatMul", "BatchMatMulV2")
  assert products
  assert all(op.node_def.attr["_tpu_replicate"].s for op in products)


@each_script
def test_summaries_are_written_by_the_host(script, tmp_path):
  spec = training_spec(script, model_dir=tmp_path)
  write, rows = spec.host_call
  shown = [0.75, 0.125, *[0.5] * len(script.shown)]
  assert [row.shape.as_list() for row in rows] == [[1]] * (1 + len(shown))
  with tf.Graph().as_default(), tf.Session() as session:
    # As TPUEstimator does it: a row of each replica, the writer opened first.
    ops = write(
      tf.constant([3, 3], tf.int64),
      *(tf.constant([value] * 2) for value in shown),
    )
    opened = summary_ops_v2.summary_writer_initializer_op()
    session.run(opened)
    session.run(ops)
    session.run(
      [summary_ops_v2.legacy_raw_flush(writer=op.inputs[0]) for op in opened]
    )
  found = {
    (value.tag, event.step): float(tf.make_ndarray(value.tensor))
    for path in tmp_path.glob("events*")
    for event in tf.train.summary_iterator(str(path))
    for value in event.summary.value
  }
  names = ("loss", "learning_rate", *script.shown)
  tags = [(f"train/{name}", 3) for name in names]
  assert found == dict(zip(tags, shown))


def compiled_losses(script, slices, steps, monkeypatch):
  """Losses of steps that XLA compiled, in which one replica is all there is.

  XLA on the CPU has neither a sum over replicas nor a replica's number.
  """
  monkeypatch.setattr(tf.tpu, "cross_replica_sum", lambda v: v * REPLICAS)
  monkeypatch.setattr(gen_xla_ops, "xla_replica_id", lambda: 0)

  def step():
    spec = training_spec(script, slices)
    with tf.control_dependencies([spec.train_op]):
      return [tf.identity(spec.loss), *map(tf.identity, spec.host_call[1])]

  outputs = tf.xla.experimental.compile(step)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    return [session.run(outputs) for _ in range(steps)]


@each_slices
def test_xla_compiles_the_step(script, slices, monkeypatch):
  found = compiled_losses(script, slices, 4, monkeypatch)
  steps, losses = [int(run[1][0]) for run in found], [run[0] for run in found]
  assert steps == [1, 2, 3, 4]
  assert np.isfinite(losses).all()
  assert [run[2][0] for run in found] == losses
  np.testing.assert_allclose(
    [run[3][0] for run in found], [0.0, 0.05, 0.08, 0.07], rtol=1e-6
  )


@each_script
def test_replicas_draw_other_dropout_masks(script, monkeypatch):
  monkeypatch.setattr(tf.tpu, "cross_replica_sum", lambda v: v * REPLICAS)
  losses = []
  for replica in (0, 1, 0):
    monkeypatch.setattr(gen_xla_ops, "xla_replica_id", lambda r=replica: r)
    tf.reset_default_graph()
    tf.set_random_seed(1)  # the same weights
    spec = training_spec(script)
    with tf.Session() as session:
      session.run(tf.global_variables_initializer())
      losses.append(session.run(spec.loss))
  assert losses[0] == losses[2]
  assert losses[0] != losses[1]


# ------------------------------------------------------- hosts and progress


class Context:
  """What TPUEstimator tells an input_fn of its host."""

  num_hosts = 2

  def __init__(self, host):
    self.current_host = host


def write_records(tmp_path, count):
  rows = (
    {
      "input_ids": [place + 1] * LENGTH,
      "input_mask": [1] * LENGTH,
      "segment_ids": [0] * LENGTH,
      "label_ids": place,
      "is_real_example": 1,
    }
    for place in range(count)
  )
  schema = classification((), LENGTH).schema(True)
  return record_files.write_records(rows, schema, str(tmp_path / "a.tf_record"))


def read(tmp_path, count, is_training, params, steps):
  input_fn = input_pipeline.input_fn_builder(
    [write_records(tmp_path, count).path],
    classification((), LENGTH).schema(True),
    is_training,
    drop_remainder=True,
    num_examples=count,
    random_seed=1,
  )
  batch = tf.data.make_one_shot_iterator(input_fn(params)).get_next()
  with tf.Session() as session:
    return [session.run(batch) for _ in range(steps)]


def test_each_host_reads_examples_of_its_own(tmp_path):
  seen = []
  for host in range(2):
    params = {"batch_size": 2, "context": Context(host)}
    batches = read(tmp_path, 8, True, params, 2)  # an epoch of half of them
    seen.append({i for batch in batches for i in batch["label_ids"].tolist()})
  assert seen == [{0, 2, 4, 6}, {1, 3, 5, 7}]


def test_padding_counts_nowhere(tmp_path):
  batches = read(tmp_path, 5, False, {"batch_size": 4}, 2)
  assert [len(batch["label_ids"]) for batch in batches] == [4, 4]
  rows = list(streams.in_input_order(batches, ["label_ids"]))
  assert [row["label_ids"] for row in rows] == [0, 1, 2, 3, 4]
  # In the metrics of a TPUEstimatorSpec padding has the weight 0.
  is_real = tf.constant(np.concatenate([b["is_real_example"] for b in batches]))
  losses = tf.where(is_real > 0, tf.ones([8]), tf.fill([8], 100.0))
  predicted = 1 - is_real  # right for the true examples only
  metrics = classification_task._single_label_metrics(
    *(losses, tf.zeros([8], tf.int32), predicted),
    tf.cast(is_real, tf.float32),
  )
  with tf.Session() as session:
    session.run(tf.local_variables_initializer())
    session.run([update for _, update in metrics.values()])
    found = session.run({name: value for name, (value, _) in metrics.items()})
  assert found == {"eval_accuracy": 1.0, "eval_loss": 1.0}


def test_progress_is_told_from_what_leaves_the_tpu(tmp_path, caplog):
  caplog.set_level("INFO", logger="absl")
  step = tf.train.get_or_create_global_step()
  tf.add_to_collection(tf.GraphKeys.LOSSES, tf.constant(0.25))
  train_op = step.assign_add(100)  # --iterations_per_loop
  hook = progress.ProgressHook(300, 1000, 10, 20, str(tmp_path))
  with tf.train.MonitoredSession(hooks=[hook]) as session:
    for _ in range(3):
      session.run(train_op)
  lines = [line for line in caplog.messages if line.startswith("step ")]
  assert [line.split(",")[0] for line in lines] == [
    "step 100/300",
    "step 200/300",
    "step 300/300",
  ]
  assert "loss 0.25, epoch 1," in lines[0]
