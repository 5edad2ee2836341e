# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""What a GPU would run, as far as it can be seen without one.

Each task's graphs are built as on a GPU, for training, evaluation and export,
and held against TensorFlow's registry of kernels. The choice between compiled
and plain ops is made for machines that are described to it.
"""

import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from gpu_graphs import kernel_of, needed, waited_for
from helpers import ROOT

import extract_features
import modeling
import optimization
import run_squad
from bert.ops import activations, dropout, layer_norm
from bert.ops.attention import attend
from bert.records import input_pipeline
from bert.tasks import classification, ranking, tagging
from bert.tasks.all_tasks import TASKS
from bert.tasks.pretraining import Pretraining, PretrainingNote
from bert.training import devices, estimators, flags, progress, runs

sys.path.insert(0, str(ROOT / "benchmarks"))
import bench_traffic

LENGTH = 8
CONFIG = modeling.BertConfig(
  vocab_size=20,
  hidden_size=8,
  num_hidden_layers=1,
  num_attention_heads=2,
  intermediate_size=16,
  max_position_embeddings=16,
)


def classifier(label_type):
  thresholds = [0.5, 0.5] if label_type == "multi" else []
  note = ("classifier", label_type, ["no", "yes"], thresholds, [], [], [])
  return classification.Classification(
    classification.ClassifierNote(*note, True, LENGTH)
  )


def ranker(model, loss):
  note = ranking.RankerNote("ranker", model, "mean", True, LENGTH, loss)
  return ranking.Ranking(note, 3 if model == "interaction" else 2)


def tagger(use_crf, cell):
  return tagging.Tagging(
    tagging.TaggerNote(
      *("tagger", ["O", "B", "I"], "bio"),
      use_crf=use_crf,
      birnn_cell=cell,
      birnn_size=4,
      mix_layers=[-1],
      do_lower_case=True,
      max_seq_length=LENGTH,
    )
  )


MADE = {
  "classifier": classifier("single"),
  "classifier of many labels": classifier("multi"),
  "squad": run_squad.answering(LENGTH),
  "ranker of candidates": ranker("interaction", "candidates"),
  "ranker in batch": ranker("representation", "in_batch"),
  "ranker of triplets": ranker("representation", "triplet"),
  "tagger": tagger(False, None),
  "tagger with a CRF": tagger(True, "lstm"),
  "pretraining": Pretraining(PretrainingNote(LENGTH, 3)),
}
EXTRACTION = extract_features.Extraction([-1], "mean")
# Kernels that a GPU has not. A tagger's loops over words keep integers and
# booleans in arrays, which TensorFlow has on the host only.
ON_HOST = {
  name: {
    *("TensorArrayV3", "TensorArrayScatterV3", "TensorArrayReadV3"),
    "TensorArrayWriteV3",
  }
  for name in ("tagger with a CRF",)
}
# What the host waits for in training, in the tasks' layers: TensorFlow's own
# gradients of sums and of gathered rows compute sizes on the GPU. The last is a
# CRF's loop.
WAITED = {
  ("DynamicStitch", "Reshape"),
  ("Cast", "StridedSlice"),
}
OF_CRF = {
  ("Enter", "TensorArrayReadV3"),
  ("StridedSlice", "TensorArrayScatterV3"),
}
# How many such places each task has; the others have none.
MOST_WAITED = {
  "classifier of many labels": 1,
  "pretraining": 3,
  "ranker in batch": 2,
  "ranker of triplets": 2,
  "tagger": 3,
  "tagger with a CRF": 9,
}


@pytest.fixture
def gpu(monkeypatch):
  """Has the code that builds graphs see a GPU."""
  monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])


def batch_of(schema):
  """A batch of any size and length, on the host, as an iterator gives it."""
  cut = ("input_ids", "input_mask", "segment_ids")

  def shape(name, spec):
    return (
      [None, *spec.shape[:-1], None] if name in cut else [None, *spec.shape]
    )

  with tf.device("/cpu:0"):
    return {
      name: tf.placeholder(
        tf.float32 if spec.dtype == tf.float32 else tf.int32,
        shape(name, spec),
      )
      for name, spec in schema.items()
    }


def model_fn_of(task, slices=1, compiled=True):
  options = estimators.GraphOptions(
    optimizer=optimization.Options(0.1, 10, 2, slices=slices),
    compiled=compiled,
    encoder={"compute_dtype": tf.bfloat16},
  )
  return estimators.make_model_fn(task, CONFIG, options)


def trained(task, slices=1, compiled=True):
  """All ops of a training step and of what is shown of it."""
  with tf.device(devices.place):  # as `estimators.estimator_for` does
    tf.train.get_or_create_global_step()
    batch = batch_of(task.schema(is_training=True))
    model_fn = model_fn_of(task, slices, compiled)
    spec = model_fn(batch, None, tf.estimator.ModeKeys.TRAIN, {})
  return needed([spec.train_op, *progress_tensors()])


def progress_tensors():
  return tf.get_collection(progress._PROGRESS)


def evaluated(task):
  """All ops of evaluation, which is prediction with labels."""
  batch = batch_of(task.schema(is_training=True))
  batch["example_index"] = tf.placeholder(tf.int32, [None])
  mode = tf.estimator.ModeKeys.PREDICT
  return needed(model_fn_of(task)(batch, None, mode, {}).predictions.values())


def exported(task):
  """All ops of what is exported."""
  inputs = {
    name: tf.placeholder(spec.dtype, spec.shape)
    for name, spec in task.inputs().items()
  }
  tensors = task.build(CONFIG, task.features_of(inputs))
  return needed(task.served(tensors, inputs).values())


def without_kernel(ops):
  """The kinds of ops that a GPU has no kernel for; texts are the host's."""
  return {
    op.type
    for op in ops
    if kernel_of(op) is None
    and tf.string not in [value.dtype for value in op.outputs]
  }


each_task = pytest.mark.parametrize("name", MADE)


def test_all_tasks_are_among_those_that_are_built_here():
  assert set(TASKS.values()) < {type(task) for task in MADE.values()}


@pytest.mark.parametrize(
  ("name", "slices"), [*((name, 1) for name in MADE), ("classifier", 2)]
)
def test_a_step_runs_on_the_gpu_and_waits_for_nothing(name, slices, gpu):
  ops = trained(MADE[name], slices)
  assert len(ops) > 500
  assert without_kernel(ops) <= ON_HOST.get(name, set())
  waited = [(value.op.type, op) for value, op in waited_for(ops)]
  allowed = WAITED | (OF_CRF if name == "tagger with a CRF" else set())
  assert {(kind, op.type) for kind, op in waited} <= allowed
  assert len(waited) <= MOST_WAITED.get(name, 0)
  # Nothing in the encoder, forward or backward.
  assert not [op.name for _, op in waited if "bert/" in op.name]


def test_a_step_of_plain_ops_runs_on_the_gpu_too(gpu):
  ops = trained(MADE["classifier"], compiled=False)
  assert not without_kernel(ops)
  drawn = [op for op in ops if op.type == "StatelessRandomUniformFullIntV2"]
  assert tf.uint32 in [op.outputs[0].dtype for op in drawn]  # by its kernel
  assert not [value for value, _ in waited_for(ops)]


def test_without_places_for_small_integers_a_step_would_wait():
  batch = batch_of(MADE["classifier"].schema(is_training=True))
  tf.train.get_or_create_global_step()
  spec = model_fn_of(MADE["classifier"])(
    batch, None, tf.estimator.ModeKeys.TRAIN, {}
  )
  waited = list(waited_for(needed([spec.train_op])))
  kinds = {(value.op.type, op.type) for value, op in waited}
  assert ("StatelessRandomUniformFullIntV2", "Pack") in kinds  # seeds


@each_task
def test_a_gpu_has_a_kernel_for_every_op_of_evaluation(name, gpu):
  ops = evaluated(MADE[name])
  assert without_kernel(ops) <= ON_HOST.get(name, set())


@pytest.mark.parametrize("name", sorted(set(MADE) - {"pretraining"}))
def test_a_gpu_has_a_kernel_for_every_op_of_an_export(name):
  ops = exported(MADE[name])
  assert without_kernel(ops) <= ON_HOST.get(name, set())


def test_a_gpu_has_a_kernel_for_every_op_of_extraction(gpu):
  batch = batch_of(extract_features.schema(LENGTH))
  batch["example_index"] = tf.placeholder(tf.int32, [None])
  model_fn = model_fn_of(EXTRACTION)
  spec = model_fn(batch, None, tf.estimator.ModeKeys.PREDICT, {})
  assert not without_kernel(needed(spec.predictions.values()))


def test_the_estimator_places_small_integers_where_there_is_a_gpu(
  tmp_path, monkeypatch
):
  options = flags.RunOptions(output_dir=str(tmp_path))
  model_fn = model_fn_of(MADE["classifier"])

  def device_fn():
    return estimators.estimator_for(options, model_fn, 8).config.device_fn

  assert device_fn() is None
  monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
  assert device_fn() is devices.place


@pytest.mark.parametrize(
  ("device", "wanted"),
  [
    ("", "/device:CPU:0"),
    ("/job:worker/task:1/device:GPU:1", "/job:worker/task:1/device:CPU:0"),
  ],
)
def test_a_few_integers_are_placed_on_the_host(device, wanted):
  with tf.device(devices.place), tf.device(device):
    few = tf.placeholder_with_default([1, 2], [2]) + 1
    many = tf.placeholder(tf.int32, [None]) + 1
    numbers = tf.placeholder_with_default([1.0], [1]) * 2.0
    step = tf.get_variable("step", [], tf.int64, use_resource=True)
  assert few.device == wanted
  assert step.device == wanted
  assert many.device == numbers.device == device


# ------------------------------------------------- compiled, or plain ops


def broken(device):
  raise tf.errors.InternalError(
    None, None, f"Graph execution error:\n\nlibdevice not found at {device}\n"
  )


def works(device):
  assert device in ("/device:GPU:0", "/device:CPU:0")


@pytest.mark.parametrize(
  ("has_gpu", "attempt", "assembler", "problem"),
  [
    (True, works, "/usr/local/cuda/bin/ptxas", None),
    (True, broken, "ptxas", "libdevice not found at /device:GPU:0"),
    (True, works, None, "CUDA's ptxas is missing"),
    (False, works, None, None),
    (False, devices.compile_once, None, None),
  ],
)
def test_xla_is_tried_on_the_device(has_gpu, attempt, assembler, problem):
  assert devices.why_not_compiled(has_gpu, attempt, assembler) == problem


def test_a_gpu_without_an_assembler_is_not_tried():
  def attempt(device):
    raise AssertionError(f"XLA would end the process on {device}")

  assert devices.why_not_compiled(True, attempt, None)


def test_a_gpu_that_cannot_compile_is_told_once(gpu, monkeypatch, caplog):
  caplog.set_level("INFO", logger="absl")
  monkeypatch.setattr(devices, "compile_once", broken)
  monkeypatch.setattr(devices, "ptxas", lambda: "ptxas")
  devices.can_compile.cache_clear()
  try:
    assert not devices.can_compile(use_tpu=False)
    assert not devices.can_compile(use_tpu=False)
    monkeypatch.setattr(devices, "compile_once", works)
    assert not devices.can_compile(use_tpu=False)  # decided for good
  finally:
    devices.can_compile.cache_clear()
  assert len(caplog.messages) == 1
  assert "libdevice not found" in caplog.messages[0]
  assert "pip install nvidia-cuda-nvcc-cu12" in caplog.messages[0]


def test_nothing_is_compiled_apart_on_a_tpu(caplog):
  assert devices.can_compile(use_tpu=False)
  assert not devices.can_compile(use_tpu=True)
  assert not caplog.messages


def test_ptxas_is_looked_for_where_xla_looks(tmp_path, monkeypatch):
  monkeypatch.setenv("PATH", str(tmp_path / "a"))
  monkeypatch.delenv("XLA_FLAGS", raising=False)
  found = devices.ptxas()  # of this machine, if it has CUDA
  tool = tmp_path / "a b" / "bin" / "ptxas"
  tool.parent.mkdir(parents=True)
  tool.write_text("")
  tool.chmod(0o755)
  assert devices.ptxas() == found
  monkeypatch.setenv("PATH", str(tool.parent))
  assert devices.ptxas() == str(tool)
  monkeypatch.setenv("PATH", "/nowhere")
  other = tmp_path / "c" / "bin" / "ptxas"
  other.parent.mkdir(parents=True)
  tool.rename(other)
  monkeypatch.setenv("XLA_FLAGS", f"--a=b --xla_gpu_cuda_data_dir={tmp_path}/c")
  assert devices.ptxas() == str(other)
  monkeypatch.setenv(
    "XLA_FLAGS", "--xla_gpu_unsafe_fallback_to_driver_on_ptxas_not_found"
  )
  assert devices.ptxas() == "driver"


SEED = (3, 4)
OPS = {  # (tensors [2, 3, 4, 8], compiled) -> a tensor
  "dropout": lambda x, compiled: dropout.dropout(x[0], 0.5, SEED, compiled),
  "layer_norm": lambda x, compiled: layer_norm.layer_norm(
    x[0], "norm", compiled, True
  ),
  "add_and_norm": lambda x, compiled: tf.reshape(
    layer_norm.add_and_norm(
      *(tf.reshape(part, [-1, 8]) for part in x[:2]),
      *(0.5, SEED, "norm", compiled, True),
    ),
    [2, 3, 4, 8],
  ),
  "gelu": lambda x, compiled: activations.for_training(
    activations.gelu_erf, compiled
  )(x[0]),
  "attend": lambda x, compiled: attend(
    *x, tf.constant([0.0, 0.0, 0.0, -1e4]), 0.5, SEED, compiled, True
  ),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", OPS)
def test_compiled_functions_give_the_plain_values_and_gradients(
  name, dtype, monkeypatch
):
  values = np.random.RandomState(1).randn(4, 2, 3, 4, 8)
  *inputs, upstream = [tf.constant(x, tf.as_dtype(dtype)) for x in values]
  found = []
  for compiled in (False, True):
    with tf.variable_scope("", reuse=tf.AUTO_REUSE):
      output = OPS[name](inputs, compiled)
    used = inputs[: {"attend": 3, "add_and_norm": 2}.get(name, 1)]
    gradients = tf.gradients(output, used, upstream)
    found.append([tf.cast(x, tf.float32) for x in [output, *gradients]])
    # What is compiled is what a GPU would be given.
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    plain, compiled = session.run(found)
  tolerance = 1e-5 if dtype == "float32" else 2e-2
  for value, wanted in zip(compiled, plain):
    assert np.abs(wanted).max() > 0.1
    np.testing.assert_allclose(value, wanted, tolerance, tolerance)


# ------------------------------------------------------- bytes of a step


def normalised(x):
  mean = tf.reduce_mean(x, -1, keepdims=True)
  variance = tf.reduce_mean(tf.square(x - mean), -1, keepdims=True)
  return (x - mean) * tf.rsqrt(variance)


@pytest.mark.parametrize(
  ("function", "wanted"),
  [
    # In and out, 10 rows of 100 floats.
    (lambda x: tf.tanh(x) * x, 4000 + 4000),
    # The mean; with it the variance; with both the result.
    (normalised, (4000 + 40) + (4000 + 40 + 40) + (4000 + 80 + 4000)),
    (lambda x: tf.reduce_sum(x * 2.0, 0), 4000 + 400),
    # The maxima, the sums, the result.
    (tf.nn.softmax, (4000 + 40) + (4000 + 40 + 40) + (4000 + 80 + 4000)),
  ],
)
def test_a_sum_ends_a_pass_over_memory(function, wanted):
  x = tf.placeholder(tf.float32, [10, 100])
  tf.function(function, autograph=False, jit_compile=True)(x)
  calls = [
    op
    for op in tf.get_default_graph().get_operations()
    if op.type in bench_traffic.CALLS
  ]
  passes = bench_traffic.passes_bytes(bench_traffic.called(calls[0]))
  assert passes == wanted


def test_ops_of_a_step_count_what_they_read_and_write():
  x = tf.placeholder(tf.bfloat16, [4, 6])
  weights = tf.get_variable("weights", [6, 5], use_resource=True)
  y = tf.reshape(tf.matmul(x, tf.cast(weights, x.dtype)), [-1])  # [20]
  loss = tf.reduce_sum(tf.cast(y, tf.float32))
  found = bench_traffic.traffic(weights.assign_sub(loss * tf.ones([6, 5])).op)
  assert found[bench_traffic.PRODUCTS] == 2 * (24 + 30 + 20)
  assert found["Cast"] == (4 + 2) * 30 + (2 + 4) * 20
  assert found["AssignSubVariableOp"] == 3 * 4 * 30
  assert not found["Reshape"] + found["ReadVariableOp"]


def test_the_products_of_a_layer_are_counted():
  args = bench_traffic.parse_arguments(["--batch_size=4"])
  config = modeling.BertConfig(50, 64, 3, 4, 256)
  found = bench_traffic.count(config, args, 32)
  tokens, width, inner, heads, length = 4 * 32, 64, 256, 4 * 4, 32

  def product(m, k, n):
    return m * k + k * n + m * n

  dense = 4 * product(tokens, width, width) + 2 * product(tokens, width, inner)
  attention = 2 * heads * product(length, width // 4, length)
  # Each forward, and twice backward, of two bytes a number.
  assert found[bench_traffic.PRODUCTS][0] == 3 * 2 * (dense + attention)


# ----------------------------------------------- the whole step (--use_xla)


@pytest.mark.slow
def test_a_step_compiled_as_a_whole_is_the_same(tmp_path):
  task = MADE["classifier"]
  schema = task.schema(is_training=True)
  rng = np.random.RandomState(1)
  rows = [
    {name: rng.randint(2, size=spec.shape) for name, spec in schema.items()}
    for _ in range(8)
  ]
  input_fn = input_pipeline.array_input_fn(rows, schema, drop_remainder=False)
  weights = []
  for whole_step in (False, True):
    folder = tmp_path / str(whole_step)
    graph = estimators.GraphOptions(
      optimizer=optimization.Options(0.01, 2),
      compiled=True,
      whole_step=whole_step,
    )
    options = flags.RunOptions(output_dir=str(folder), train_batch_size=4)
    model_fn = estimators.make_model_fn(task, CONFIG, graph)
    estimator = estimators.estimator_for(options, model_fn, 4)
    estimators.train(estimator, input_fn, 2, len(rows), 4, log_steps=10)
    names = estimator.get_variable_names()
    weights.append({n: estimator.get_variable_value(n) for n in names})
  plain, whole = weights
  assert whole["global_step"] == 2
  assert np.abs(whole["output_weights/adam_m"]).max() > 0
  for name, value in plain.items():
    np.testing.assert_allclose(whole[name], value, 1e-4, 1e-6)


def test_one_device_can_compile_the_whole_step(tmp_path):
  options = flags.FineTuningOptions(
    output_dir=str(tmp_path),
    do_train=True,
    use_xla=True,
    distribution="mirrored",
  )
  with pytest.raises(ValueError, match="--use_xla compiles the step of one"):
    runs.check_options(options, ["do_train"])
