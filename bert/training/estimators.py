# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Everything about TPUEstimator: devices, graphs, training, prediction.

In: a task, options, and input functions. Out: a trained output folder, and
predicted arrays.

Evaluation is prediction with labels: all scores are computed on the host from
the arrays that `predict` yields, on CPU, GPU and TPU alike.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow.compat.v1 as tf
from absl import logging
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

import optimization
from bert.files import clock
from bert.training import checkpoints, cluster, devices, flags
from bert.training.progress import (
  EvaluationListener,
  ProgressHook,
  SavingClock,
  show_predicting,
  show_progress,
)
from bert.training.workers import workers_of, WorkersHook

# ---------------------------------------------------------------- devices


def make_strategy(
  distribution: str, devices: Sequence[str], worker_timeout: float = 60.0
):
  """The tf.distribute strategy that spreads training, or None.

  Args:
    distribution: none, mirrored over `devices`, or multi_worker over the
      machines of the environment variable TF_CONFIG.
    devices: names, such as /device:GPU:0.
    worker_timeout: seconds after which a silent worker counts as gone.
  """
  if distribution == "none":
    return None
  # Of TensorFlow's own doing, and without consequence.
  warnings.filterwarnings("ignore", "To make it possible to preserve tf.data")
  if distribution == "mirrored":
    return tf.distribute.MirroredStrategy(devices)
  strategy = tf.distribute.experimental.MultiWorkerMirroredStrategy()
  # From now on the others can see that we are there.
  workers_of(strategy).timeout = worker_timeout
  return strategy


def estimator_for(
  options, model_fn, predict_batch_size: int, output_dir: str | None = None
):
  """The TPUEstimator of a script's options, for CPU, GPU or TPU.

  Args:
    options: of `flags.RunOptions`; without training, of
      `flags.DeviceOptions`.
    model_fn: of `make_model_fn`.
    predict_batch_size: examples per batch of `predict`.
    output_dir: folder of checkpoints; None: --output_dir.

  Returns:
    tf.estimator.tpu.TPUEstimator.
  """
  config = _run_config(options, output_dir or options.output_dir)
  return tf.estimator.tpu.TPUEstimator(
    model_fn=model_fn,
    config=config,
    use_tpu=options.use_tpu,
    # A TPUEstimator needs the first two even where they are not used.
    train_batch_size=getattr(options, "train_batch_size", predict_batch_size),
    eval_batch_size=getattr(options, "eval_batch_size", predict_batch_size),
    predict_batch_size=predict_batch_size,
  )


def _run_config(options, output_dir):
  """How and where the estimator of some options runs."""
  tpu = tf.estimator.tpu
  tpu_config = {
    "num_shards": options.num_tpu_cores if options.use_tpu else None
  }
  training = {}
  if isinstance(options, flags.RunOptions):
    strategy = make_strategy(
      options.distribution, cluster.devices(options), options.worker_timeout
    )
    tpu_config["iterations_per_loop"] = options.iterations_per_loop
    save_steps = options.eval_steps or options.save_checkpoints_steps
    training = {
      "train_distribute": strategy,
      "tf_random_seed": options.random_seed,
      "save_checkpoints_steps": save_steps if _writes(strategy) else None,
      "keep_checkpoint_max": options.keep_checkpoint_max,
      "checkpoint_save_graph_def": False,  # GraphListener saves it
    }
  tpu_cluster = None
  if options.use_tpu and options.tpu_name:
    tpu_cluster = tf.distribute.cluster_resolver.TPUClusterResolver(
      options.tpu_name, zone=options.tpu_zone, project=options.gcp_project
    )
  has_gpu = not options.use_tpu and devices.has_gpu()
  return tpu.RunConfig(
    cluster=tpu_cluster,
    device_fn=devices.place if has_gpu else None,
    session_config=_session_config(options),
    master=options.master,
    model_dir=output_dir,
    log_step_count_steps=None,  # ProgressHook logs them
    save_summary_steps=0,  # ProgressHook writes them
    tpu_config=tpu.TPUConfig(
      per_host_input_for_training=tpu.InputPipelineConfig.PER_HOST_V2,
      **tpu_config,
    ),
    **training,
  )


def _session_config(options):
  session_config = tf.ConfigProto(allow_soft_placement=True)
  # A second round of graph optimisation takes time and finds nothing.
  rewrites = session_config.graph_options.rewrite_options
  rewrites.meta_optimizer_iterations = type(rewrites).ONE
  if getattr(options, "distribution", "none") == "mirrored":
    session_config.device_count["CPU"] = len(cluster.devices(options))
  return session_config


def _writes(strategy):
  """Whether this process saves checkpoints: all but one worker do not."""
  workers = workers_of(strategy)
  return not workers or workers.index == 0


# ------------------------------------------------------------------ specs


@dataclasses.dataclass(frozen=True)
class GraphOptions:
  """How the graph of a task is built and trained."""

  init_checkpoint: str | None = None  # prefix of the weights to start from
  optimizer: optimization.Options = optimization.Options()
  random_seed: int = 0  # of dropout
  # Whether XLA may compile parts of the graph: `devices.can_compile`. What is
  # exported never has compiled parts.
  compiled: bool = False
  whole_step: bool = False  # whether XLA compiles a training step as a whole
  # Whether prediction may have weights that no checkpoint of its own has. A
  # program may name one later: `estimator.predict(checkpoint_path=...)`.
  predicts_with_new_weights: bool = False
  reinit_layers: int = 0  # top layers that do not start from init_checkpoint
  # Other arguments of modeling.BertModel, such as compute_dtype.
  encoder: Mapping = dataclasses.field(default_factory=dict)


def make_model_fn(task, config, options: GraphOptions):
  """The model_fn of a task for TPUEstimator.

  Args:
    task: of `bert.tasks.task.Task`.
    config: modeling.BertConfig.
    options: how the graph is built and trained.

  Returns:
    `model_fn(features, labels, mode, params, config)`.
  """

  def forward(features, is_training, dropout_seed, compiled):
    tensors = task.build(
      config,
      features,
      is_training=is_training,
      dropout_seed=dropout_seed,
      compiled=compiled,
      **options.encoder,
    )
    return task.scored(tensors, features)

  def model_fn(features, labels, mode, params, config=None):
    del labels, params
    is_training = mode == tf.estimator.ModeKeys.TRAIN
    trained = None
    if is_training:
      spec, trained = _training_spec(
        *(task, forward, features, options, config and config.model_dir)
      )
    else:
      spec = _inference_spec(task, forward, features, mode, options.compiled)
    spec.update(_start(options, config, trained))
    return tf.estimator.tpu.TPUEstimatorSpec(mode=mode, **spec)

  return model_fn


def original_model_fn(
  task,
  bert_config,
  init_checkpoint: str | None,
  learning_rate: float,
  num_train_steps: int | None,
  num_warmup_steps: int | None,
  use_tpu: bool,
  use_one_hot_embeddings: bool,
  random_seed: int = 0,
  optimizer_options: optimization.Options | None = None,
  encoder_options: Mapping | None = None,
):
  """`make_model_fn` with the arguments of the original's `model_fn_builder`.

  Args:
    task: of `bert.tasks.task.Task`.
    bert_config: modeling.BertConfig.
    init_checkpoint: prefix of the weights to start from, or None.
    learning_rate: the highest.
    num_train_steps: None without training.
    num_warmup_steps: None without training.
    use_tpu: whether the graph is for a TPU.
    use_one_hot_embeddings: look words up by a product, for TPU.
    random_seed: of dropout.
    optimizer_options: other options of a training step; None: the original's.
    encoder_options: other arguments of `modeling.BertModel`.
  """
  optimizer = dataclasses.replace(
    optimizer_options or optimization.Options(),
    learning_rate=learning_rate,
    num_train_steps=num_train_steps,
    num_warmup_steps=num_warmup_steps,
    use_tpu=use_tpu,
  )
  encoder = {"use_one_hot_embeddings": use_one_hot_embeddings}
  encoder.update(encoder_options or {})
  options = GraphOptions(
    init_checkpoint,
    optimizer,
    random_seed,
    devices.can_compile(use_tpu),
    predicts_with_new_weights=True,
    encoder=encoder,
  )
  return make_model_fn(task, bert_config, options)


@clock.part("graph")
def _training_spec(task, forward, features, options, model_dir):
  """The spec of a training step, as keywords, and the variables it trains."""
  names = []

  def take_step(batch):
    loss_fn = _training_loss(task, forward, batch, options, names)
    return optimization.train_step(loss_fn, batch, options.optimizer)

  step = (
    _as_a_whole(take_step, features)
    if options.whole_step
    else take_step(features)
  )
  shown = _shown(step, names)
  spec = {"loss": shown["loss"], "train_op": step.train_op}
  if options.optimizer.use_tpu:
    spec["host_call"] = _host_summaries(model_dir, step, shown)
    return spec, step.variables
  for name, scalar in shown.items():
    show_progress(name, scalar)
  with tf.control_dependencies([step.train_op]):  # how many were taken
    show_progress("steps_taken", tf.train.get_global_step().read_value())
  show_progress(
    "batch_elements", tf.reduce_max([tf.size(v) for v in features.values()])
  )
  return spec, step.variables


def _as_a_whole(take_step, features):
  """The `optimization.TrainStep` of a batch, compiled by XLA as one program."""
  steps = []

  def computation(*values):
    step = take_step(dict(zip(features, values)))
    steps.append(step)
    with tf.control_dependencies([step.train_op]):
      return [tf.identity(x) for x in (step.loss, step.learning_rate)]

  loss, rate = tf.xla.experimental.compile(computation, list(features.values()))
  return dataclasses.replace(
    steps[0], train_op=tf.group(loss, rate), loss=loss, learning_rate=rate
  )


def _start(options, config, trained):
  """Has the variables start from what `starting_weights` finds.

  Args:
    options: GraphOptions.
    config: RunConfig of the estimator, or None.
    trained: list of variables; None without training.

  Returns:
    {"scaffold_fn": what TPUEstimator calls}, where the variables start on a
    TPU's host, outside this graph, or where they are restored in another way
    than TPUEstimator's; otherwise {}.
  """
  init_checkpoint = options.init_checkpoint
  is_training = trained is not None
  may_be_new = is_training or options.predicts_with_new_weights
  model_dir = config and config.model_dir

  def start(_=None):
    assignment, text = checkpoints.starting_weights(
      init_checkpoint,
      model_dir,
      may_be_new,
      options.reinit_layers if is_training else 0,
    )
    if is_training or assignment:
      logging.info(text)
    saver = None
    if is_training:
      checkpoints.make_resumable(model_dir)
      counts = map(_num_weights, (trained, tf.trainable_variables()))
      logging.info("trained weights: {:,} of {:,}".format(*counts))
      keep = config.keep_checkpoint_max if config else 5
      saver = checkpoints.resuming_saver(model_dir, keep)

    def scaffold_fn():
      if assignment:
        tf.train.init_from_checkpoint(init_checkpoint, assignment)
      return tf.train.Scaffold(saver=saver)

    if options.optimizer.use_tpu or saver:
      return {"scaffold_fn": scaffold_fn}
    scaffold_fn()
    return {}

  if tf.distribute.has_strategy():  # once, where variables have their names
    return tf.distribute.get_replica_context().merge_call(start)
  return start()


def _num_weights(variables):
  return sum(variable.shape.num_elements() for variable in variables)


@clock.part("graph")
def _inference_spec(task, forward, features, mode, compiled):
  """The spec of evaluation or prediction, as keywords.

  On a CPU nothing is compiled: without gradients, TensorFlow's own ops are as
  fast, and new lengths cost nothing.
  """
  is_prediction = mode == tf.estimator.ModeKeys.PREDICT
  # Batches of our pipeline have `example_index`. What an export is fed does
  # not, and the server that runs the export may lack XLA.
  is_served = is_prediction and "example_index" not in features
  is_compiled = compiled and devices.has_gpu() and not is_served
  outputs = forward(features, False, None, is_compiled)
  if is_prediction:
    return {"predictions": _pass_through(outputs.predictions, features)}
  return {
    "loss": _weighted(outputs.loss_sums, task.loss_weights(features)),
    "eval_metrics": (outputs.metric_fn, list(outputs.metric_inputs)),
  }


def _training_loss(task, forward, features, options, names):
  """A loss_fn for a batch, as `optimization.compute_gradients` takes it.

  If the task shows more than the loss, `names` is filled with the names of what
  it shows, and the loss becomes a vector that begins with the loss. The other
  entries have no gradient, so the vector's gradient is the loss's. They are
  added up over slices and replicas as the loss is.
  """
  use_tpu = options.optimizer.use_tpu
  step = tf.cast(tf.train.get_or_create_global_step(), tf.int32)
  # The weights of the whole batch, as a mean over the replicas: then the mean
  # of the replicas' losses is the loss of the batch.
  weights = optimization.mean_across_replicas(
    list(task.loss_weights(features)), use_tpu
  )
  seed = tf.stack([options.random_seed, step])
  if use_tpu:
    replica = gen_xla_ops.xla_replica_id()
  else:
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group

  def loss_fn(part, index):
    place = tf.cast(replica, tf.int32) * 2**16 + index
    part_seed = tf.random.experimental.stateless_fold_in(
      seed, place, alg="philox"
    )
    outputs = forward(part, True, part_seed, options.compiled)
    loss = _weighted(outputs.loss_sums, weights)
    if not outputs.shown:
      return loss
    names[:] = outputs.shown
    others = [total / weights[i] for total, i in outputs.shown.values()]
    return tf.stack([loss, *map(tf.stop_gradient, others)])

  return loss_fn


def _shown(step, names):
  """{name: scalar} of a step: the loss, the rate, and what `names` lists."""
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


# ---------------------------------------------------- training, prediction


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
    estimator: of `estimator_for`.
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
  first = checkpoints.current_step(output_dir)
  if listener:
    listener.catch_up()
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
  workers = workers_of(strategy)
  run = _train_with_others if workers else _train_alone
  with clock.part("graph"):  # what is no step, checkpoint or evaluation
    run(estimator, input_fn, num_train_steps, progress, workers or listener)
  if workers and workers.index > 0:
    return
  if checkpoints.current_step(output_dir) <= first:
    raise RuntimeError(f"training took no step: {output_dir} is at {first}")


def _train_alone(estimator, input_fn, num_train_steps, progress, listener):
  """Trains on the devices of this machine, or on a TPU."""
  listeners = [checkpoints.FiniteListener(), checkpoints.GraphListener()]
  if listener:
    listeners.append(listener)
  hooks = [progress]
  if not estimator.config.tpu_config.num_shards:  # a TPU has its own
    hooks.append(_saver_hook(estimator))
  estimator.train(
    input_fn,
    max_steps=num_train_steps,
    hooks=hooks,
    saving_listeners=[*listeners, SavingClock(progress)],
  )


def _saver_hook(estimator, listeners=()):
  """What saves checkpoints, after the hooks before it have seen the step."""
  hook = tf.train.CheckpointSaverHook(
    estimator.model_dir,
    save_steps=estimator.config.save_checkpoints_steps,
    listeners=listeners,
    save_graph_def=False,
  )
  # Otherwise it reads the step again after each, for it could have been many.
  hook._set_steps_per_run(1)
  return hook


def _train_with_others(estimator, input_fn, num_train_steps, progress, workers):
  """Trains on the machines of TF_CONFIG, once all of them are there."""
  workers.meet(
    {
      "step of the newest checkpoint in --output_dir": checkpoints.current_step(
        estimator.model_dir
      ),
      "number of training steps": num_train_steps,
      **progress.plan,
    }
  )
  hooks = [WorkersHook(workers, num_train_steps)]
  if workers.index == 0:
    # Without summaries of its own, the session would save no checkpoint.
    listeners = [checkpoints.FiniteListener(), checkpoints.GraphListener()]
    saver = _saver_hook(estimator, [*listeners, SavingClock(progress)])
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
    estimator: of `estimator_for`.
    input_fn: of `input_pipeline`, not for training.
    num_examples: how many it will give; None: not known.
    checkpoint: prefix; None: the newest of the output folder.

  Yields:
    {name: array [B, ...]}, in the order of computation; `example_index` tells
    each example's place.
  """
  checkpoint = checkpoint or checkpoints.newest(estimator.model_dir)
  if checkpoint:
    checkpoints.check_finite(checkpoint)
  batches = estimator.predict(
    input_fn, checkpoint_path=checkpoint, yield_single_examples=False
  )
  yield from show_predicting(
    batches,
    lambda batch: int(np.sum(batch["example_index"] >= 0)),
    num_examples,
    checkpoint,
  )
