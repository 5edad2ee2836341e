# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Everything TPUEstimator: devices, starting weights, specs, hooks, results.

In: a task's `forward(features, is_training, dropout_seed) -> Outputs`, options
from the flags, and input functions. Out: a trained output folder, predicted
arrays in input order, and result files.

Evaluation is prediction with labels: every score is computed on the host from
the arrays that `predict` gives, on CPU, GPU and TPU alike.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import re
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow.compat.v1 as tf
from absl import logging
from tensorflow.compiler.tf2xla.ops import gen_xla_ops
from tqdm import tqdm

import files
import modeling
import optimization

# Variables that belong to the optimiser or the run, not to the model.
_NOT_WEIGHTS = re.compile(
  r"/adam_[mv]$|^global_step$|(^|/)beta[12]_power$|^loss_scale/"
)
_LOWER_IS_BETTER = re.compile(r"(loss|mse|perplexity)$")
_WORDS = "bert/embeddings/word_embeddings"
_POSITIONS = "bert/embeddings/position_embeddings"
SECONDS_TO_ANSWER = 60  # of a worker that starts
SECONDS_TO_CONNECT = 5
SECONDS_BETWEEN_CALLS = 2  # while training
SECONDS_TO_BLAME = 40  # over SECONDS_TO_ANSWER / 2
_SECONDS_BETWEEN_LINES = 20  # of prediction's progress
_PROGRESS = "progress"  # graph collection: scalars that training shows


@dataclasses.dataclass
class Outputs:
  """What a task's forward pass gives for a batch of B examples.

  The loss is the sum of `loss_sums`, each divided by its own of the task's
  `loss_weights`, which are those of the whole batch: so the losses of parts of
  a batch add up to that of the whole.
  """

  loss_sums: Sequence[tf.Tensor]  # float32 scalars: sums of weighted losses
  predictions: dict  # {name: [B, ...]}, what prediction gives
  metric_fn: Callable | None = None  # eval_metrics of a TPUEstimatorSpec
  metric_inputs: Sequence[tf.Tensor] = ()
  # {name: (sum, which of the loss weights divides it)}: what training shows
  # beside the loss, such as accuracies; float32 scalars.
  shown: Mapping = dataclasses.field(default_factory=dict)


# ---------------------------------------------------------------- devices


def describe_devices(use_tpu: bool, tpu_name: str | None) -> str:
  """One line that says what the run computes on."""
  if use_tpu:
    return f"devices: TPU {tpu_name}"
  names = [
    tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
    for gpu in tf.config.list_physical_devices("GPU")
  ]
  cores = os.cpu_count()
  if hasattr(os, "sched_getaffinity"):  # Linux: those that we may use
    cores = len(os.sched_getaffinity(0))
  if names:
    return f"devices: {len(names)} GPU ({', '.join(names)}), {cores} CPU cores"
  return f"devices: no GPU found, {cores} CPU cores"


def make_strategy(distribution: str, devices: Sequence[str]):
  """The tf.distribute strategy that spreads training, or None.

  Args:
    distribution: none, mirrored over `devices`, or multi_worker over the
      machines of the environment variable TF_CONFIG.
    devices: names, such as /device:GPU:0.
  """
  if distribution == "none":
    return None
  # Of TensorFlow's own doing, and without consequence.
  warnings.filterwarnings("ignore", "To make it possible to preserve tf.data")
  if distribution == "mirrored":
    return tf.distribute.MirroredStrategy(devices)
  strategy = tf.distribute.experimental.MultiWorkerMirroredStrategy()
  _workers(strategy)  # from now on the others can see that we are there
  return strategy


def make_estimator(
  model_fn,
  train_batch_size: int,
  eval_batch_size: int = 8,
  predict_batch_size: int = 8,
  use_tpu: bool = False,
  **run_options,
):
  """A TPUEstimator for CPU, GPU or TPU, by the scripts' flags.

  Args:
    model_fn: as `make_model_fn` gives.
    train_batch_size: examples a step, over all TPU cores.
    eval_batch_size: examples a batch of `evaluate`.
    predict_batch_size: examples a batch of `predict`.
    use_tpu: run on a TPU.
    **run_options: of `run_config`.

  Returns:
    tf.estimator.tpu.TPUEstimator.
  """
  config = run_config(use_tpu=use_tpu, **run_options)
  if not use_tpu and not tf.config.list_physical_devices("GPU"):
    _compile_once_quietly()
  return tf.estimator.tpu.TPUEstimator(
    model_fn=model_fn,
    config=config,
    use_tpu=use_tpu,
    train_batch_size=train_batch_size,
    eval_batch_size=eval_batch_size,
    predict_batch_size=predict_batch_size,
  )


@functools.cache
def _compile_once_quietly():
  """Compiles something small: XLA tells on standard error of its first time."""
  stderr = os.dup(2)
  try:
    with open(os.devnull, "w") as nowhere:
      os.dup2(nowhere.fileno(), 2)
    with tf.Graph().as_default(), tf.Session() as session:
      session.run(tf.function(tf.exp, jit_compile=True)(tf.random.uniform([2])))
  finally:
    os.dup2(stderr, 2)
    os.close(stderr)


def run_config(
  output_dir: str,
  use_tpu: bool = False,
  tpu_name: str | None = None,
  tpu_zone: str | None = None,
  gcp_project: str | None = None,
  master: str | None = None,
  num_tpu_cores: int = 8,
  iterations_per_loop: int = 1000,
  save_checkpoints_steps: int = 1000,
  keep_checkpoint_max: int = 5,
  random_seed: int | None = None,
  use_xla: bool = False,
  distribution: str = "none",
  devices: Sequence[str] = (),
):
  """How and where an estimator runs; the arguments are flags of these names.

  `devices` are those of `make_strategy`.

  Returns:
    tf.estimator.tpu.RunConfig.
  """
  strategy = make_strategy(distribution, devices)
  cluster = None
  if use_tpu and tpu_name:
    cluster = tf.distribute.cluster_resolver.TPUClusterResolver(
      tpu_name, zone=tpu_zone, project=gcp_project
    )
  session_config = tf.ConfigProto(allow_soft_placement=True)
  if distribution == "mirrored":
    session_config.device_count["CPU"] = len(devices)
  if use_xla:
    jit = session_config.graph_options.optimizer_options
    jit.global_jit_level = tf.OptimizerOptions.ON_1
  workers = _workers(strategy)
  is_chief = not workers or workers.index == 0
  tpu = tf.estimator.tpu
  return tpu.RunConfig(
    cluster=cluster,
    session_config=session_config,
    train_distribute=strategy,
    master=master,
    model_dir=output_dir,
    tf_random_seed=random_seed,
    save_checkpoints_steps=save_checkpoints_steps if is_chief else None,
    log_step_count_steps=None,  # ProgressHook tells
    keep_checkpoint_max=keep_checkpoint_max,
    save_summary_steps=0,  # ProgressHook writes them
    tpu_config=tpu.TPUConfig(
      iterations_per_loop=iterations_per_loop,
      num_shards=num_tpu_cores,
      per_host_input_for_training=tpu.InputPipelineConfig.PER_HOST_V2,
    ),
  )


# -------------------------------------------------------- several machines


class Workers:
  """The workers of a cluster, and their signs of life.

  TensorFlow waits for ever for a worker that is missing. So until training
  starts, each worker answers at its address of TF_CONFIG and tells its facts;
  then TensorFlow's server takes the address over, and is only called. When a
  worker is gone, this process ends with a sentence.

  Args:
    addresses: host:port of each worker.
    index: which of them is this process.

  Raises:
    ValueError: another program has this worker's port.
  """

  def __init__(self, addresses: Sequence[str], index: int):
    self.index = index
    self._addresses = list(addresses)
    self._others = [i for i in range(len(addresses)) if i != index]
    self._facts = None
    self._told = set()  # who knows our facts
    self._is_last_step = False
    self._all_met = threading.Event()
    self._left = threading.Event()
    port = int(addresses[index].rpartition(":")[2])
    try:
      self._server = socket.create_server(("", port))
    except OSError as error:
      raise ValueError(
        f"TF_CONFIG: worker {index} can't listen on port {port}:"
        f" {error.strerror}"
      ) from None
    self._server.settimeout(0.1)  # between two looks at _all_met
    self._answering = threading.Thread(target=self._answer, daemon=True)
    self._answering.start()

  def meet(self, facts: Mapping):
    """Waits until all workers are ready to train, and compares their facts.

    Raises:
      ValueError: a worker has not answered for SECONDS_TO_ANSWER, or its facts
        are others.
    """
    self._facts = dict(facts)
    waiting = {i: time.monotonic() for i in self._others}
    while waiting or len(self._told) < len(self._others):
      for i, last in list(waiting.items()):
        answer = self._ask(i)
        if answer is not None:
          waiting[i] = time.monotonic()
        elif time.monotonic() - last > SECONDS_TO_ANSWER:
          raise ValueError(
            f"{self._name(i)} of TF_CONFIG has not answered for"
            f" {SECONDS_TO_ANSWER} s: start all workers, and if one has ended,"
            " all of them again"
          )
        if answer:
          self._compare(i, answer)
          del waiting[i]
      time.sleep(0.2)
    self._all_met.set()
    self._answering.join()
    threading.Thread(target=self._watch, daemon=True).start()

  def tell_step(self, step: int, last_step: int):
    """Says how far training is; workers may end after the last step."""
    self._is_last_step = step >= last_step - 1
    if step >= last_step:
      self._left.set()

  def blame(self):
    """Waits after an error, so that a worker that is gone is named."""
    time.sleep(SECONDS_TO_BLAME)

  def _name(self, i):
    return f"worker {i} ({self._addresses[i]})"

  def _connect(self, i):
    host, _, port = self._addresses[i].rpartition(":")
    return socket.create_connection((host, int(port)), SECONDS_TO_CONNECT)

  def _answer(self):
    """Tells our facts to whom asks, until all workers have met."""
    while not self._all_met.is_set():
      try:
        connection, _ = self._server.accept()
        connection.settimeout(SECONDS_TO_CONNECT)
        with connection, connection.makefile("rw") as stream:
          asker, facts = int(stream.readline()), self._facts
          stream.write(json.dumps(facts or {}) + "\n")
          stream.flush()
          if facts:
            self._told.add(asker)
      except (OSError, ValueError):  # nobody asks, or not one of the workers
        continue
    self._server.close()

  def _ask(self, i):
    """The facts of a worker, {} if it is not ready, None without answer."""
    try:
      with self._connect(i) as connection:
        with connection.makefile("rw") as stream:
          stream.write(f"{self.index}\n")
          stream.flush()
          return json.loads(stream.readline())
    except (OSError, ValueError):
      return None

  def _compare(self, i, facts):
    for name, value in self._facts.items():
      if facts.get(name) != value:
        raise ValueError(
          f"{name} is {value} here, on worker {self.index}, but"
          f" {facts.get(name)} on {self._name(i)}: all workers need the same"
          " flags and data, and an --output_dir that they share"
        )

  def _watch(self):
    """Ends the process when a worker can't be reached any more."""
    last = dict.fromkeys(self._others, time.monotonic())
    seen = set()
    while not self._left.wait(SECONDS_BETWEEN_CALLS):
      for i in self._others:
        try:
          self._connect(i).close()
        except OSError as error:
          # Nothing listens: its process is gone, if it has come so far.
          is_gone = isinstance(error, ConnectionRefusedError) and i in seen
          limit = SECONDS_TO_ANSWER / 2
          if is_gone and not self._is_last_step:
            limit = SECONDS_BETWEEN_CALLS
          if time.monotonic() - last[i] > limit and not self._left.is_set():
            self._end(i)
        else:
          seen.add(i)
          last[i] = time.monotonic()

  def _end(self, i):
    """Ends the process at once: TensorFlow would wait for the others."""
    message = (
      f"error: {self._name(i)} has ended or can't be reached: start all"
      " workers again, and training goes on from the newest checkpoint"
    )
    print(message, file=sys.stderr, flush=True)
    os._exit(1)


def _workers(strategy) -> Workers | None:
  """The cluster of a strategy; None if it knows this machine only."""
  if not isinstance(
    strategy, tf.distribute.experimental.MultiWorkerMirroredStrategy
  ):
    return None
  resolver = strategy.cluster_resolver
  jobs = resolver.cluster_spec().as_dict()
  chief = jobs.get("chief", [])
  index = resolver.task_id + (
    len(chief) if resolver.task_type == "worker" else 0
  )
  return _cached_workers((*chief, *jobs["worker"]), index)


@functools.cache  # a process has one port
def _cached_workers(addresses, index):
  return Workers(addresses, index)


class _WorkersHook(tf.train.SessionRunHook):
  """Tells `Workers` how far training is."""

  def __init__(self, workers: Workers, num_train_steps: int):
    self._workers = workers
    self._total = num_train_steps

  def begin(self):
    self._step = tf.train.get_global_step()

  def after_create_session(self, session, coord):
    del coord
    self._workers.tell_step(session.run(self._step), self._total)

  def after_run(self, run_context, run_values):
    del run_values
    self._workers.tell_step(run_context.session.run(self._step), self._total)


# ------------------------------------------------------- starting weights


def checkpoint_prefix(path: str | None) -> str | None:
  """The prefix of the checkpoint that `path` means.

  Args:
    path: a prefix such as `dir/bert_model.ckpt`, one of the checkpoint's
      files, or a folder that holds one checkpoint or a `checkpoint` file.
      Empty or None: no checkpoint.

  Raises:
    ValueError: there is no such checkpoint.
  """
  if not path:
    return None
  if tf.io.gfile.isdir(path):
    found = tf.train.latest_checkpoint(path)
    indexes = tf.io.gfile.glob(os.path.join(path, "*.index"))
    if not found and len(indexes) == 1:
      found = indexes[0][: -len(".index")]
    if not found:
      raise ValueError(
        f"folder {path} holds {len(indexes)} checkpoints: name the prefix of"
        " one, such as dir/bert_model.ckpt"
      )
    return found
  prefix = re.sub(r"\.(index|meta|data-\d+-of-\d+)$", "", path)
  if not tf.io.gfile.exists(prefix + ".index"):
    raise ValueError(f"no checkpoint {prefix}: there is no file {prefix}.index")
  return prefix


def find_checkpoint(
  path: str | None, config: modeling.BertConfig, config_file: str
) -> str | None:
  """`checkpoint_prefix`, once its sizes are compared with the configuration.

  Raises:
    ValueError: there is no such checkpoint, it is damaged, or its sizes are
      others; both numbers are named.
  """
  checkpoint = checkpoint_prefix(path)
  if not checkpoint:
    return None
  try:
    shapes = dict(tf.train.list_variables(checkpoint))
    _check_size(checkpoint)
  except (tf.errors.OpError, IndexError):  # what a damaged index can raise
    raise ValueError(f"checkpoint {checkpoint} is damaged") from None
  layers = {
    int(match.group(1))
    for match in (re.match(r"bert/encoder/layer_(\d+)/", n) for n in shapes)
    if match
  }
  width = shapes.get(_WORDS, [config.vocab_size, config.hidden_size])
  limit = shapes.get(_POSITIONS, [config.max_position_embeddings])
  compared = [
    ("vocab_size", config.vocab_size, width[0]),
    ("hidden_size", config.hidden_size, width[1]),
    ("max_position_embeddings", config.max_position_embeddings, limit[0]),
  ]
  if layers:
    compared.append(
      ("num_hidden_layers", config.num_hidden_layers, len(layers))
    )
  for name, wanted, found in compared:
    if wanted != found:
      raise ValueError(
        f"{name} is {wanted} in {config_file} but {found} in checkpoint"
        f" {checkpoint}: give the --bert_config_file that came with it"
      )
  return checkpoint


def _check_size(checkpoint):
  """Raises ValueError if a checkpoint's data are not all there."""
  reader = tf.train.load_checkpoint(checkpoint)
  types = reader.get_variable_to_dtype_map()
  wanted = sum(
    math.prod(shape) * types[name].size
    for name, shape in reader.get_variable_to_shape_map().items()
    if types[name] != tf.string  # whose size is not told
  )
  folder, prefix = os.path.split(checkpoint)
  found = sum(
    tf.io.gfile.stat(os.path.join(folder, name)).length
    for name in tf.io.gfile.listdir(folder or ".")
    if name.startswith(prefix + ".data-")
  )
  if found < wanted:
    raise ValueError(
      f"checkpoint {checkpoint} is damaged: its data files have {found} bytes"
      f" and its variables {wanted}: copy or download it again"
    )


def check_trained(output_dir: str, init_checkpoint: str | None) -> None:
  """Raises ValueError if there are no weights to predict with."""
  if not init_checkpoint and not tf.train.latest_checkpoint(output_dir):
    raise ValueError(
      f"{output_dir} holds no trained model: train first (--do_train), or give"
      " an --init_checkpoint that has the task's weights"
    )


def starting_weights(
  init_checkpoint: str | None, model_dir: str | None, is_training: bool
) -> tuple[dict, str]:
  """Finds where the graph's variables start from.

  A checkpoint in `model_dir` wins (the Estimator restores it itself);
  otherwise the variables that `init_checkpoint` has start from it.

  Args:
    init_checkpoint: prefix or None.
    model_dir: output folder or None.
    is_training: new variables are allowed only while training.

  Returns:
    The assignment map for `tf.train.init_from_checkpoint` (empty: nothing to
    assign), and one line for the log.

  Raises:
    ValueError: shapes differ, nothing matches, or a variable that prediction
      needs is in no checkpoint.
  """
  variables = tf.trainable_variables()
  resumed = model_dir and tf.train.latest_checkpoint(model_dir)
  if resumed:
    _check_shapes(variables, resumed, "output_dir holds another model: ")
    unused = f", not {init_checkpoint}" if init_checkpoint else ""
    return {}, f"weights: {resumed}{unused}"
  if not init_checkpoint:
    return {}, f"new weights: {len(variables)} variables, drawn at random"
  assignment, _ = modeling.get_assignment_map_from_checkpoint(
    variables, init_checkpoint
  )
  if not assignment:
    raise ValueError(
      f"checkpoint {init_checkpoint} has none of the model's variables: is it"
      " a BERT checkpoint in TensorFlow's names (see convert_checkpoint.py)?"
    )
  _check_shapes(
    [v for v in variables if v.op.name in assignment], init_checkpoint
  )
  new = [v.op.name for v in variables if v.op.name not in assignment]
  if new and not is_training:
    raise ValueError(
      f"checkpoint {init_checkpoint} lacks {_some(new)}: train first"
      " (--do_train), or give a checkpoint that has all"
    )
  unused = [
    name
    for name, _ in tf.train.list_variables(init_checkpoint)
    if name not in assignment and not _NOT_WEIGHTS.search(name)
  ]
  return assignment, (
    f"init_checkpoint {init_checkpoint}: {len(assignment)} of"
    f" {len(variables)} variables, new: {_some(new)}, unused: {_some(unused)}"
  )


def _check_shapes(variables, checkpoint, prefix=""):
  """Raises ValueError where a variable's shape is not the checkpoint's."""
  shapes = dict(tf.train.list_variables(checkpoint))
  for variable in variables:
    name, shape = variable.op.name, variable.shape.as_list()
    if name not in shapes:
      raise ValueError(
        f"{prefix}checkpoint {checkpoint} has no variable {name}; give another"
        " --output_dir"
      )
    if shape != shapes[name]:
      if name.startswith("bert/"):
        cause = "--bert_config_file or the vocabulary is another one's"
      else:
        cause = "the number of labels or features has changed"
      raise ValueError(
        f"{prefix}{name} has shape {shape} here but {shapes[name]} in"
        f" checkpoint {checkpoint}: {cause}"
      )


def _some(names, most=4):
  """The first of `names` in words."""
  if not names:
    return "none"
  more = f" and {len(names) - most} more" if len(names) > most else ""
  return ", ".join(names[:most]) + more


# ------------------------------------------------------------------ specs


def count_examples(features: Mapping) -> tuple:
  """The loss weights of a mean over examples: their number."""
  size = tf.shape(features["input_mask"])[0]
  return (tf.cast(size, tf.float32),)


def make_model_fn(
  forward: Callable,
  init_checkpoint: str | None,
  learning_rate: float,
  num_train_steps: int | None,
  num_warmup_steps: int | None,
  use_tpu: bool,
  random_seed: int = 0,
  loss_weights: Callable = count_examples,
  options: optimization.Options | None = None,
):
  """A TPUEstimator model_fn around a task's forward pass.

  Args:
    forward: `(features, is_training, dropout_seed) -> Outputs`.
    init_checkpoint: prefix of the weights to start from, or None.
    learning_rate: as the four below, of `optimization.train_step`.
    num_train_steps: None without training.
    num_warmup_steps: None without training.
    use_tpu: also restores through a scaffold.
    random_seed: of dropout.
    loss_weights: `features -> float32 scalars`, what each of the task's losses
      is divided by.
    options: how a training step is taken; None: as the original did.

  Returns:
    `model_fn(features, labels, mode, params, config)`.
  """

  def train_spec(features, model_dir):
    names = []
    step = optimization.train_step(
      _training_loss(
        *(forward, loss_weights, features, random_seed, use_tpu), names
      ),
      *(features, learning_rate, num_train_steps, num_warmup_steps, use_tpu),
      options,
    )
    shown = _shown(step, names)
    spec = {"loss": shown["loss"], "train_op": step.train_op}
    if use_tpu:
      return {**spec, "host_call": _host_summaries(model_dir, step, shown)}
    for name, scalar in shown.items():
      show_progress(name, scalar)
    return spec

  def model_fn(features, labels, mode, params, config=None):
    del labels, params
    is_training = mode == tf.estimator.ModeKeys.TRAIN
    model_dir = config and config.model_dir
    if is_training:
      spec = train_spec(features, model_dir)
    else:
      spec = _inference_spec(mode, forward, loss_weights, features)
    spec.update(_start(init_checkpoint, model_dir, is_training, use_tpu))
    return tf.estimator.tpu.TPUEstimatorSpec(mode=mode, **spec)

  return model_fn


def _start(init_checkpoint, model_dir, is_training, use_tpu):
  """Has the variables start from what `starting_weights` finds.

  Returns:
    On TPU, where they start on the host, outside this graph, {"scaffold_fn":
    what does it}; otherwise {}.
  """

  def start(_=None):
    assignment, text = starting_weights(init_checkpoint, model_dir, is_training)
    if is_training or assignment:
      logging.info(text)

    def scaffold_fn():
      if assignment:
        tf.train.init_from_checkpoint(init_checkpoint, assignment)
      return tf.train.Scaffold()

    if use_tpu:
      return {"scaffold_fn": scaffold_fn}
    scaffold_fn()
    return {}

  if tf.distribute.has_strategy():  # once, where variables have their names
    return tf.distribute.get_replica_context().merge_call(start)
  return start()


def _inference_spec(mode, forward, loss_weights, features):
  """The spec of evaluation or prediction, as keywords."""
  outputs = forward(features, False, None)
  if mode == tf.estimator.ModeKeys.PREDICT:
    return {"predictions": _pass_through(outputs.predictions, features)}
  return {
    "loss": _weighted(outputs.loss_sums, loss_weights(features)),
    "eval_metrics": (outputs.metric_fn, list(outputs.metric_inputs)),
  }


def _training_loss(
  forward, loss_weights, features, random_seed, use_tpu, names
):
  """A loss_fn of `optimization.compute_gradients` for a batch.

  Where the task shows more than the loss, `names` is filled with what, and the
  loss becomes a vector that begins with it. The rest has no gradient, so that
  the vector's gradient is the loss's, and over slices and replicas all of it
  is added up as the loss is.
  """
  step = tf.cast(tf.train.get_or_create_global_step(), tf.int32)
  # Of the whole batch, whatever the part, as a mean over the replicas: the
  # mean of their losses then is the loss of the batch.
  weights = optimization.mean_across_replicas(
    list(loss_weights(features)), use_tpu
  )
  seed = tf.stack([random_seed, step])
  if use_tpu:
    replica = gen_xla_ops.xla_replica_id()
  else:
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group

  def loss_fn(part, index):
    place = tf.cast(replica, tf.int32) * 2**16 + index
    part_seed = tf.random.experimental.stateless_fold_in(
      seed, place, alg="philox"
    )
    outputs = forward(part, True, part_seed)
    loss = _weighted(outputs.loss_sums, weights)
    if not outputs.shown:
      return loss
    names[:] = outputs.shown
    others = [total / weights[i] for total, i in outputs.shown.values()]
    return tf.stack([loss, *map(tf.stop_gradient, others)])

  return loss_fn


def _shown(step, names):
  """{name: scalar} of a step: the loss, the rate, and what `names` tells."""
  loss, *others = tf.unstack(step.loss) if names else [step.loss]
  shown = {"loss": loss, "learning_rate": step.learning_rate}
  return {**shown, **dict(zip(names, others))}


def _weighted(sums, weights):
  """The loss: each sum over its weight, added up."""
  return tf.add_n([value / weight for value, weight in zip(sums, weights)])


def _pass_through(predictions, features):
  """Predictions with each example's place in the input."""
  if "example_index" in features:
    index = features["example_index"]
    predictions = {**predictions, "example_index": index}
  return {name: tf.identity(value) for name, value in predictions.items()}


def _host_summaries(model_dir, train_step, scalars):
  """The host_call that writes scalars of a TPU's steps for TensorBoard.

  A TPU hands tensors to its host with one row a core: the number of steps
  taken, then the scalars, which are the same on all cores.
  """
  with tf.control_dependencies([train_step.train_op]):
    step = tf.train.get_global_step().read_value()
  rows = [tf.reshape(scalar, [1]) for scalar in (step, *scalars.values())]

  def write(*rows):
    step, *values = (row[0] for row in rows)
    summary = tf.compat.v2.summary
    with summary.create_file_writer(model_dir).as_default(step=step):
      for name, value in zip(scalars, values):
        summary.scalar(f"train/{name}", value)
    return tf.summary.all_v2_summary_ops()

  return write, rows


def show_progress(name: str, scalar: tf.Tensor) -> None:
  """Has `ProgressHook` show a scalar, which is the same on all replicas."""
  name = f"{_PROGRESS}/{name}"
  if any(shown.op.name == name for shown in tf.get_collection(_PROGRESS)):
    return  # another replica's
  with tf.name_scope(None):
    tf.add_to_collection(_PROGRESS, tf.identity(scalar, name=name))


# ------------------------------------------------------------------ hooks


class ProgressHook(tf.train.SessionRunHook):
  """Shows training as it goes: a bar on a terminal, lines elsewhere.

  Every `log_steps` it gives the step of all steps, the epoch, the learning
  rate, the means of the loss and the other scalars of `show_progress` since the
  last time, examples a second and the time left, and writes the same as
  TensorBoard summaries.
  Time spent on saving and evaluating between steps is not counted.
  """

  def __init__(
    self,
    num_train_steps: int,
    num_examples: int,
    batch_size: int,
    log_steps: int,
    output_dir: str,
  ):
    self._total = num_train_steps
    self._num_examples = num_examples
    self._batch_size = batch_size
    self._log_steps = log_steps
    self._output_dir = output_dir
    self._started = time.monotonic()
    self.plan = {"batch size": batch_size, "number of examples": num_examples}

  def begin(self):
    self._step_tensor = tf.train.get_global_step()
    self._shown = {
      tensor.op.name.split("/")[-1]: tensor
      for tensor in tf.get_collection(_PROGRESS)
    }
    self._recorded = ()  # by others
    if not self._shown:  # on TPU, whose host_call records the loss of each step
      self._shown = {"loss": tf.get_collection(tf.GraphKeys.LOSSES)[-1]}
      self._recorded = ("loss",)
    self._writer = tf.summary.FileWriterCache.get(self._output_dir)

  def after_create_session(self, session, coord):
    del coord
    self._first = self._step = session.run(self._step_tensor)
    self._seconds = 0.0
    self._open_window()
    self._bar = None
    if sys.stderr.isatty():
      self._bar = tqdm(total=self._total, initial=self._first, unit="step")

  def before_run(self, run_context):
    self._started = time.monotonic()
    return tf.train.SessionRunArgs(self._shown)

  def leave_out(self, seconds: float):
    """Takes time that was not spent on training from the running step."""
    self._started += seconds

  def after_run(self, run_context, run_values):
    self._window_seconds += time.monotonic() - self._started
    step = run_context.session.run(self._step_tensor)
    self._window.append(run_values.results)
    due = step // self._log_steps > self._step // self._log_steps
    if self._bar:
      self._bar.update(step - self._step)
    self._step = step
    if due or step >= self._total:
      self._show()
      self._open_window()

  def end(self, session):
    self._writer.flush()
    if self._bar:
      self._bar.close()

  def _open_window(self):
    self._window, self._window_seconds = [], 0.0
    self._window_step = self._step

  def _show(self):
    steps = self._step - self._window_step
    self._seconds += self._window_seconds
    values = dict(self._window[-1])
    for name in values.keys() - {"learning_rate"}:
      values[name] = float(np.mean([run[name] for run in self._window]))
    values["epoch"] = self._step * self._batch_size / self._num_examples
    values["examples_per_second"] = (
      steps * self._batch_size / max(self._window_seconds, 1e-9)
    )
    left = (self._total - self._step) * self._seconds
    left /= max(self._step - self._first, 1)
    summary = tf.Summary()
    for name in values.keys() - self._recorded:
      summary.value.add(tag=f"train/{name}", simple_value=float(values[name]))
    self._writer.add_summary(summary, self._step)
    if self._bar:  # a terminal's line has no room for more
      self._bar.set_postfix_str(f"loss {_number(values['loss'])}")
    else:
      parts = [f"{name} {_number(value)}" for name, value in values.items()]
      logging.info(
        f"step {self._step}/{self._total}, {', '.join(parts)},"
        f" {_duration(left)} left"
      )


class _SavingClock(tf.train.CheckpointSaverListener):
  """Leaves the time of saving, and of listeners before it, out of progress."""

  def __init__(self, progress: ProgressHook):
    self._progress = progress

  def before_save(self, session, global_step_value):
    self._started = time.monotonic()

  def after_save(self, session, global_step_value):
    self._progress.leave_out(time.monotonic() - self._started)


class EvaluationListener(tf.train.CheckpointSaverListener):
  """Evaluates each new checkpoint while training goes on.

  Args:
    evaluate: `checkpoint -> {score: float}`.
    output_dir: where the checkpoints are.
    best: a `BestCheckpoint` that may end training, or None.
  """

  def __init__(self, evaluate: Callable, output_dir: str, best=None):
    self._evaluate = evaluate
    self._output_dir = output_dir
    self._best = best
    self._first = current_step(output_dir)

  def is_patience_out(self) -> bool:
    """Whether an earlier training has ended for want of a better score."""
    return bool(self._best) and self._best.is_patience_out()

  def after_save(self, session, global_step_value):
    if global_step_value == self._first:  # the weights it starts from
      return None
    checkpoint = tf.train.latest_checkpoint(self._output_dir)
    scores = self._evaluate(checkpoint)
    _write_summaries(
      os.path.join(self._output_dir, "eval"), scores, global_step_value
    )
    shown = ", ".join(f"{k} {_number(v)}" for k, v in sorted(scores.items()))
    logging.info(f"step {global_step_value} evaluated: {shown}")
    if self._best and self._best.update(global_step_value, scores, checkpoint):
      return True  # asks the session to stop
    return None


class BestCheckpoint:
  """Keeps a copy of the best checkpoint in `output_dir`/best.

  Args:
    output_dir: of the training.
    score: name of the score, as in eval_results.txt. Losses and errors are
      better when lower, all others when higher.
    patience: stop after this many evaluations without a better one; 0: never.
  """

  def __init__(self, output_dir: str, score: str, patience: int = 0):
    self._folder = os.path.join(output_dir, "best")
    self._note = os.path.join(self._folder, "best.json")
    self._score = score
    self._sign = -1 if _LOWER_IS_BETTER.search(score) else 1
    self._patience = patience
    self._kept = None
    if tf.io.gfile.exists(self._note):
      with tf.io.gfile.GFile(self._note) as reader:
        self._kept = json.load(reader)
      if self._kept["score"] != score:
        self._kept = None

  @property
  def checkpoint(self) -> str | None:
    """Prefix of the best checkpoint, None before there is one."""
    if self._kept is None:
      return None
    return os.path.join(self._folder, self._kept["checkpoint"])

  def check(self) -> None:
    """Raises ValueError if no checkpoint is kept."""
    if not self.checkpoint:
      raise ValueError(
        f"--keep_best={self._score}: {self._folder} holds no checkpoint that"
        " was the best by this score"
      )

  def update(self, step: int, scores: Mapping, checkpoint: str) -> bool:
    """Keeps the checkpoint if it is the best; True when patience is out."""
    value = scores[self._score]
    if self._is_better(value):
      self._keep(step, value, checkpoint)
    else:
      self._kept["worse"] += 1
      self._save_note()
    return self.is_patience_out()

  def is_patience_out(self) -> bool:
    """Whether training should end; says so if it should."""
    worse = self._kept["worse"] if self._kept else 0
    if not self._patience or worse < self._patience:
      return False
    logging.info(
      f"stopping: {self._score} is not better than {self._kept['value']:.4g} of"
      f" step {self._kept['step']} in {worse} evaluations (--patience)"
    )
    return True

  def _is_better(self, value):
    if self._kept is None or math.isnan(self._kept["value"]):
      return True
    return (value - self._kept["value"]) * self._sign > 0

  def _keep(self, step, value, checkpoint):
    tf.io.gfile.makedirs(self._folder)
    name = os.path.basename(checkpoint)
    for path in tf.io.gfile.glob(checkpoint + ".*"):
      tf.io.gfile.copy(
        path, os.path.join(self._folder, os.path.basename(path)), True
      )
    self._kept = {
      "score": self._score,
      "value": float(value),
      "step": int(step),
      "checkpoint": name,
      "worse": 0,  # evaluations since that were not better
    }
    self._save_note()
    tf.train.update_checkpoint_state(self._folder, name)
    for path in tf.io.gfile.glob(os.path.join(self._folder, "*.ckpt-*")):
      if not os.path.basename(path).startswith(name + "."):
        tf.io.gfile.remove(path)

  def _save_note(self):
    write_json(self._note, self._kept)


def _number(value):
  """A score or rate with four digits that matter."""
  return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"


def _duration(seconds):
  """Seconds as h:mm:ss or m:ss."""
  minutes, seconds = divmod(int(seconds + 0.5), 60)
  hours, minutes = divmod(minutes, 60)
  clock = f"{minutes}:{seconds:02d}"
  return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else clock


# ---------------------------------------------------- training, prediction


def current_step(path: str) -> int:
  """The step of a checkpoint or of a folder's newest, 0 if there is none."""
  checkpoint = path
  if not tf.io.gfile.exists(path + ".index"):
    checkpoint = tf.train.latest_checkpoint(path)
  if not checkpoint:
    return 0
  try:
    reader = tf.train.load_checkpoint(checkpoint)
    if not reader.has_tensor("global_step"):
      return 0
    return int(reader.get_tensor("global_step"))
  except (tf.errors.OpError, IndexError, ValueError):
    raise ValueError(f"checkpoint {checkpoint} is damaged") from None


def train(
  estimator,
  input_fn,
  num_train_steps: int,
  num_examples: int,
  batch_size: int,
  log_steps: int,
  listener: EvaluationListener | None = None,
) -> None:
  """Trains up to `num_train_steps`, from where the output folder stands.

  Args:
    estimator: of `make_estimator`.
    input_fn: of `input_pipeline`.
    num_train_steps: the step to reach, counted from the first training on.
    num_examples: in an epoch.
    batch_size: examples a step.
    log_steps: steps between two lines of progress.
    listener: evaluates at each checkpoint.

  Raises:
    RuntimeError: no step was taken.
  """
  output_dir = estimator.model_dir
  first = current_step(output_dir)
  if first >= num_train_steps:
    logging.info(
      f"{output_dir} is already trained to step {first} of {num_train_steps}:"
      " nothing to train; another --output_dir starts anew"
    )
    return
  if listener and listener.is_patience_out():
    return
  if first:
    logging.info(f"resuming {output_dir} at step {first} of {num_train_steps}")
  strategy = estimator.config.train_distribute
  replicas = strategy.num_replicas_in_sync if strategy else 1
  shared = f" on {replicas} devices" if replicas > 1 else ""
  logging.info(
    f"training: steps {first} to {num_train_steps}, batch {batch_size}{shared},"
    f" {num_examples} examples ="
    f" {num_train_steps * batch_size / num_examples:.2f} epochs"
  )
  progress = ProgressHook(
    num_train_steps, num_examples, batch_size, log_steps, output_dir
  )
  workers = _workers(strategy)
  # A strategy would have AutoGraph rewrite the model's code, which needs none.
  run = tf.autograph.experimental.do_not_convert(
    _train_with_others if workers else _train_alone
  )
  run(estimator, input_fn, num_train_steps, progress, workers or listener)
  if workers and workers.index > 0:
    return
  if current_step(output_dir) <= first:
    raise RuntimeError(f"training took no step: {output_dir} is at {first}")


def _train_alone(estimator, input_fn, num_train_steps, progress, listener):
  """Trains on the devices of this machine, or on a TPU."""
  listeners = [listener] if listener else []
  estimator.train(
    input_fn,
    max_steps=num_train_steps,
    hooks=[progress],
    saving_listeners=[*listeners, _SavingClock(progress)],
  )


def _train_with_others(estimator, input_fn, num_train_steps, progress, workers):
  """Trains on the machines of TF_CONFIG, once all of them are there."""
  workers.meet(
    {
      "step of the newest checkpoint in --output_dir": current_step(
        estimator.model_dir
      ),
      "number of training steps": num_train_steps,
      **progress.plan,
    }
  )
  hooks = [_WorkersHook(workers, num_train_steps)]
  if workers.index == 0:
    # Without summaries of its own, the session would save no checkpoint.
    saver = tf.train.CheckpointSaverHook(
      estimator.model_dir,
      save_steps=estimator.config.save_checkpoints_steps,
      listeners=[_SavingClock(progress)],
    )
    hooks += [progress, saver]
  try:
    tf.estimator.train_and_evaluate(
      estimator,
      tf.estimator.TrainSpec(input_fn, num_train_steps, hooks),
      tf.estimator.EvalSpec(input_fn),  # of a job that parse_cluster refuses
    )
  except tf.errors.OpError:
    workers.blame()
    raise


def predict(
  estimator,
  input_fn,
  num_examples: int | None,
  checkpoint: str | None = None,
) -> Iterator[dict]:
  """Predicts batch by batch, with progress: a bar on a terminal, or lines.

  Args:
    estimator: of `make_estimator`.
    input_fn: of `input_pipeline`, not for training.
    num_examples: how many it will give; None: not known.
    checkpoint: prefix; None: the newest of the output folder.

  Yields:
    {name: array [B, ...]}, in the order of computation; `example_index` tells
    each example's place.
  """
  started = told = time.monotonic()
  batches = estimator.predict(
    input_fn, checkpoint_path=checkpoint, yield_single_examples=False
  )
  done = 0
  with tqdm(total=num_examples, unit="example", disable=None) as bar:
    for batch in batches:
      count = int(np.sum(batch["example_index"] >= 0))
      bar.update(count)
      done += count
      yield batch
      seconds = time.monotonic() - told
      if bar.disable and seconds > _SECONDS_BETWEEN_LINES:
        told += seconds
        logging.info(_progress(done, num_examples, told - started))
  seconds = time.monotonic() - started
  used = checkpoint or tf.train.latest_checkpoint(estimator.model_dir)
  logging.info(
    f"predicted {done} examples in {seconds:.1f} s"
    f" ({done / seconds:.1f} examples/s)"
    f"{f' with {used}' if used else ''}"
  )


def _progress(done, total, seconds):
  """How far prediction is, in words."""
  rate = done / seconds
  if not total:
    return f"example {done}, {rate:.1f} examples/s"
  left = _duration((total - done) / max(rate, 1e-9))
  return f"example {done}/{total}, {rate:.1f} examples/s, {left} left"


# ---------------------------------------------------------------- results


def write_eval_results(output_dir: str, scores: Mapping, report: Mapping):
  """Writes eval_results.txt and eval_results.json, and logs the scores.

  Args:
    output_dir: where they go.
    scores: {name: float or int}: `key = value` lines sorted by key.
    report: what the JSON file holds besides the scores.
  """
  lines = [f"{name} = {scores[name]}" for name in sorted(scores)]
  for line in lines:
    logging.info(f"  {line}")
  write_lines(os.path.join(output_dir, "eval_results.txt"), lines)
  write_json(
    os.path.join(output_dir, "eval_results.json"), {**scores, **report}
  )


def write_lines(path: str, lines: Iterable[str]) -> None:
  """Writes lines to a file that appears when it is complete.

  What UTF-8 has not, half a surrogate pair of a JSON file, is written as JSON
  has it.
  """
  with files.whole(path) as partial:
    with tf.io.gfile.GFile(partial, "wb") as writer:
      writer.write(b"")  # or else there would be no file without lines
      for line in lines:
        writer.write((line + "\n").encode("utf-8", "backslashreplace"))


def write_json(path: str, value) -> None:
  """Writes a JSON file that appears when it is complete."""
  text = json.dumps(value, indent=2, ensure_ascii=False)
  write_lines(path, text.split("\n"))


def load_note(kind, output_dir: str, init_checkpoint: str | None):
  """What `task.json` notes of a trained model.

  Args:
    kind: dataclass of the note.
    output_dir: looked into, and into the folder above, if it holds a model.
    init_checkpoint: prefix of the weights that are used otherwise, or None.

  Returns:
    A `kind`; None if there is no note.

  Raises:
    ValueError: the note has other fields.
  """
  folders = []
  if tf.train.latest_checkpoint(output_dir):
    folders += [output_dir, os.path.dirname(output_dir)]
  if init_checkpoint:
    folder = os.path.dirname(init_checkpoint)
    folders += [folder, os.path.dirname(folder)]  # out/best has it in out
  for folder in folders:
    path = os.path.join(folder, "task.json")
    if tf.io.gfile.exists(path):
      with tf.io.gfile.GFile(path) as reader:
        text = reader.read()
      try:
        return kind(**json.loads(text))
      except (TypeError, ValueError):
        raise ValueError(
          f"{path} is damaged, or of another script's model: give another"
          " folder"
        ) from None
  return None


def _write_summaries(folder, scores, step):
  """Writes scores for TensorBoard."""
  summary = tf.Summary()
  for name, value in scores.items():
    summary.value.add(tag=name, simple_value=float(value))
  writer = tf.summary.FileWriterCache.get(folder)
  writer.add_summary(summary, step)
  writer.flush()
