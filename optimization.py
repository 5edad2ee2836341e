# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""A training step: schedule, gradients, clipping, accumulation and optimiser.

In: a loss, or a function that returns the loss of a part of a batch. Out: an op
that takes one training step, and the scalars that describe the step. The
optimisers are in bert/ops/optimizers.py. BERT's own AdamW differs from Adam
(arXiv:1412.6980): it has no bias correction, and it decays the weights apart
from the moments (arXiv:1711.05101).
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping

import tensorflow.compat.v1 as tf
from tensorflow.python.tpu import tpu_function

from bert.ops.optimizers import (
  AdafactorOptimizer,
  AdamWeightDecayOptimizer,
  CorrectedAdamOptimizer,
  LambOptimizer,
)

CLIP_NORM = 1.0
WEIGHT_DECAY_RATE = 0.01
NOT_DECAYED = ("LayerNorm", "layer_norm", "bias")
FIRST_LOSS_SCALE = 2.0**15  # of float16; halved whenever a gradient overflows
STEPS_TO_DOUBLE_SCALE = 2000
OPTIMIZERS = {
  "adamw": AdamWeightDecayOptimizer,
  "adamw_corrected": CorrectedAdamOptimizer,
  "adafactor": AdafactorOptimizer,
  "lamb": LambOptimizer,
}


@dataclasses.dataclass(frozen=True)
class Options:
  """How a training step is taken; the defaults are the original's."""

  learning_rate: float = 5e-5  # the highest; 0 leaves the weights as they are
  num_train_steps: int | None = None  # where the rate reaches 0
  num_warmup_steps: int | None = None  # over which it rises; 0 or None: none
  use_tpu: bool = False  # average gradients over the TPU's replicas
  optimizer: str = "adamw"  # of OPTIMIZERS
  slices: int = 1  # parts that a batch is computed in, one after the other
  layerwise_lr_decay: float = 1.0  # a layer's rate over that of the layer above
  # The highest of the variables outside the encoder; None: learning_rate.
  head_learning_rate: float | None = None
  scale_loss: bool = False  # dynamic loss scaling, for float16
  lr_schedule: str = "linear"  # of SCHEDULES
  weight_decay: float = WEIGHT_DECAY_RATE
  adam_beta2: float = 0.999  # for the optimisers that are kinds of Adam
  max_grad_norm: float = CLIP_NORM  # 0: gradients are not clipped


@dataclasses.dataclass
class TrainStep:
  """One training step in the graph."""

  train_op: tf.Operation  # takes the step and counts it
  # The loss of the whole batch on all replicas, float32: a scalar, or a vector
  # that begins with it, whichever the loss function returns.
  loss: tf.Tensor
  # float32 scalar: the encoder's; the others' if the encoder is not trained.
  learning_rate: tf.Tensor
  grad_norm: tf.Tensor  # float32 scalar, the global norm before clipping
  variables: list  # those that it trains: the loss depends on them


def create_optimizer(loss, init_lr, num_train_steps, num_warmup_steps, use_tpu):
  """An op that clips the gradients, applies them and counts the step.

  Args:
    loss: float scalar.
    init_lr: the highest rate.
    num_train_steps: the step at which the rate reaches 0.
    num_warmup_steps: how many steps the rate rises first; 0 or None: none.
    use_tpu: whether gradients are averaged over the TPU's replicas.

  Returns:
    The train op.
  """
  options = Options(init_lr, num_train_steps, num_warmup_steps, use_tpu)
  return train_step(lambda batch, index: loss, {}, options).train_op


def train_step(
  loss_fn: Callable, batch: Mapping, options: Options
) -> TrainStep:
  """Does what `create_optimizer` does, for a loss given by a function.

  Args:
    loss_fn: as `compute_gradients` takes it; `TrainStep.loss` has its shape.
    batch: {name: tensor [B, ...]} of this replica.
    options: how the step is taken.

  Raises:
    ValueError: the loss depends on no variable that can be trained.
  """
  step = tf.train.get_or_create_global_step()
  rate, head_rate = _rates_at(step, options)
  scale = _LossScale() if options.scale_loss else None
  loss, gradients, variables = compute_gradients(
    *(loss_fn, batch, options.slices, scale.value if scale else None),
    use_tpu=options.use_tpu,
  )
  trained = _trained(gradients, variables)
  loss, *gradients = mean_across_replicas([loss, *gradients], options.use_tpu)
  with tf.control_dependencies([loss]):  # all weights are read before a change
    gradients, norm = clip(gradients, options.max_grad_norm)
  is_finite = tf.math.is_finite(norm) if scale else None
  if scale:  # an overflow leaves weights and moments as they are
    gradients = [
      g if g is None else tf.where(is_finite, g, tf.zeros_like(g))
      for g in gradients
    ]
  rates = variable_rates(
    [v.name.partition(":")[0] for v in variables],
    rate,
    head_rate,
    options.layerwise_lr_decay,
  )
  optimizer = _optimizer(options, rate, rates, is_finite)
  applied = [optimizer.apply_gradients(zip(gradients, variables))]
  if scale:
    applied.append(scale.update(is_finite))
  if not options.learning_rate or not any(map(_is_of_encoder, trained)):
    rate = head_rate
  with tf.control_dependencies([rate, *applied]):  # all have read the step
    train_op = step.assign_add(1, read_value=False)
  return TrainStep(train_op, loss, rate, norm, trained)


def _optimizer(options, rate, rates, is_finite):
  """The optimiser that the options name."""
  make = OPTIMIZERS[options.optimizer]
  of_adam = {}
  if issubclass(make, AdamWeightDecayOptimizer):
    of_adam["beta_2"] = options.adam_beta2
  return make(
    rate,
    options.weight_decay,
    exclude_from_weight_decay=NOT_DECAYED,
    rates=rates,
    is_finite=is_finite,
    **of_adam,
  )


def _is_of_encoder(variable):
  return variable.name.partition(":")[0].startswith("bert/")


def _trained(gradients, variables):
  """The variables that have a gradient; ValueError if none has."""
  trained = [v for g, v in zip(gradients, variables) if g is not None]
  if not trained:
    raise ValueError(
      "nothing to train: the loss depends on no trainable variable. (With"
      " --trainable=head, the task needs variables of its own.)"
    )
  return trained


# ------------------------------------------------------------------- rates


def _rates_at(step, options):
  """The rates of a step, for the encoder and for the other variables."""
  highest = [options.learning_rate, options.head_learning_rate]
  if highest[1] is None:
    highest.pop()
  rates = [
    learning_rate_at(
      step,
      peak,
      options.num_train_steps,
      options.num_warmup_steps,
      options.lr_schedule,
    )
    for peak in highest
  ]
  return rates[0], rates[-1]


def learning_rate_at(
  global_step,
  init_lr,
  num_train_steps,
  num_warmup_steps=None,
  schedule="linear",
):
  """The rate of the step that follows `global_step` steps.

  In the warm-up of W steps, step s has the rate `init_lr` s / W. Then it has
  `init_lr` times the factor that the schedule's function describes.

  Args:
    global_step: integer scalar, variable or tensor.
    init_lr: the highest rate.
    num_train_steps: the length of the training, T.
    num_warmup_steps: length of the warm-up, W; 0 or None: no warm-up.
    schedule: a key of SCHEDULES.

  Returns:
    float32 scalar.
  """
  step = tf.cast(global_step, tf.float32)
  factor = SCHEDULES[schedule](step, num_train_steps, num_warmup_steps or 0)
  rate = init_lr * factor
  if not num_warmup_steps:
    return rate
  warmup = tf.constant(num_warmup_steps, tf.float32)
  return tf.where(step < warmup, init_lr * (step / warmup), rate)


def _linear(step, total, unused_warmup):
  """1 - s / T: the line that falls from 1 at step 0, warm-up or not, to 0."""
  total = tf.constant(total, tf.float32)
  return 1.0 - tf.minimum(step, total) / total


def _constant(step, unused_total, unused_warmup):
  """1."""
  return tf.ones_like(step)


def _cosine(step, total, warmup):
  """(1 + cos(pi (s - W) / (T - W))) / 2: from 1 after the warm-up to 0 at T."""
  part = (step - warmup) / max(total - warmup, 1)
  return 0.5 * (1.0 + tf.cos(math.pi * tf.clip_by_value(part, 0.0, 1.0)))


def _inverse_sqrt(step, unused_total, warmup):
  """sqrt(W / s), with 1 for a W of 0: from 1 after the warm-up, never to 0."""
  warmup = float(max(warmup, 1))
  return tf.sqrt(warmup / tf.maximum(step, warmup))


SCHEDULES = {
  "linear": _linear,
  "constant": _constant,
  "cosine": _cosine,
  "inverse_sqrt": _inverse_sqrt,
}


def variable_rates(
  names: list[str], rate, head_rate, layerwise_decay: float
) -> dict:
  """The rate of each variable (arXiv:1801.06146, arXiv:2003.10555).

  Args:
    names: of the variables.
    rate: of the encoder's top layer and pooler, a float scalar.
    head_rate: of variables outside `bert/`, a float scalar.
    layerwise_decay: a layer's rate divided by that of the layer above. The
      embeddings count as the layer below layer 0.

  Returns:
    {name: float scalar}.
  """
  layers = {
    name: int(match.group(1))
    for name in names
    if (match := re.match(r"bert/encoder/layer_(\d+)/", name))
  }
  top = max(layers.values(), default=-1)
  rates = {}
  for name in names:
    depth = layers.get(name, -1 if name.startswith("bert/embeddings/") else top)
    rates[name] = rate * layerwise_decay ** (top - depth)
    if not name.startswith("bert/"):
      rates[name] = head_rate
  return rates


# --------------------------------------------------------------- gradients


def compute_gradients(
  loss_fn: Callable,
  batch: Mapping,
  slices: int = 1,
  loss_scale=None,
  use_tpu: bool = False,
):
  """The loss of a batch and its gradients, computed slice by slice.

  Only one slice's activations are in memory at a time.

  Args:
    loss_fn: `(part, index) -> float32 scalar`, what a slice adds to the batch's
      loss. It may also return a float32 vector that begins with this scalar;
      its other scalars are summed over the slices too, and must have no
      gradient (`tf.stop_gradient`). `part` has the names of `batch`,
      [B / slices, ...]; `index` is an int32 scalar.
    batch: {name: tensor [B, ...]}.
    slices: number of parts that the batch is split into; it has to divide B.
    loss_scale: float32 scalar that keeps float16 gradients from underflow; the
      returned gradients are without it.
    use_tpu: whether the graph is for a TPU.

  Returns:
    The loss (float32, in the shape that loss_fn returns), the gradients (dense,
    each with its variable's shape; None where the loss does not depend on the
    variable), and the variables.
  """

  def share(index):
    loss = loss_fn(_slice(batch, slices, index), index)
    scaled = loss if loss_scale is None else loss * loss_scale
    gradients = dense_gradients(scaled, tf.trainable_variables())
    found = {i: g for i, g in enumerate(gradients) if g is not None}
    return {"loss": loss, "gradients": found}

  # Entered by its object, the scope makes the same names each time.
  with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE):
    if slices > 1:
      total = _sum_of_slices(share, slices, use_tpu)
    else:
      total = share(tf.constant(0))
  found, variables = total["gradients"], tf.trainable_variables()
  if loss_scale is not None:
    found = {i: gradient / loss_scale for i, gradient in found.items()}
  gradients = [found.get(i) for i in range(len(variables))]
  return total["loss"], gradients, variables


def _sum_of_slices(share, slices, use_tpu):
  """The sums of what `share(index)` returns for each slice, one at a time.

  The loop has to know the shapes of the sums before it starts. So the share is
  traced first, as a function, which the loop then calls.
  """
  graph = tf.get_default_graph()

  def outside(getter, *args, **options):  # of the function being traced
    with graph.as_default(), tf.name_scope(None):
      return getter(*args, **options)

  with tf.variable_scope(tf.get_variable_scope(), custom_getter=outside):
    index = tf.TensorSpec([], tf.int32)
    traced = tf.function(share, autograph=False).get_concrete_function(index)
  # A loop of TensorFlow 1, which a TPU needs, should hold no functions.
  of_slice = share if use_tpu else traced

  def add(index, sums):
    sums = tf.nest.map_structure(tf.add, sums, of_slice(index))
    with tf.control_dependencies(tf.nest.flatten(sums)):
      return index + 1, sums

  def add_all():
    zeros = tf.nest.map_structure(_zeros, traced.structured_outputs)
    return tf.while_loop(
      lambda index, _: index < slices,
      add,
      [tf.constant(0), zeros],
      parallel_iterations=1,
      back_prop=False,
    )

  # In a function this is a loop of TensorFlow 2, which can hold compiled parts.
  run = add_all if use_tpu else tf.function(add_all, autograph=False)
  return run()[1]


def _zeros(like):
  """Zeros that no graph optimiser turns into a constant, which would stay."""
  return tf.raw_ops.Empty(shape=like.shape, dtype=like.dtype, init=True)


def _slice(batch, slices, index):
  """Part `index` of `slices` of every tensor."""
  if slices == 1:
    return batch

  def part(value):
    if value.shape[0] and value.shape[0] % slices:
      raise ValueError(f"{slices} slices can't split a batch of {value.shape}")
    size = (value.shape[0] or tf.shape(value)[0]) // slices
    # Not a strided slice, because XLA has to know the sizes.
    begin = [index * size, *[0] * (value.shape.rank - 1)]
    cut = tf.slice(value, begin, tf.concat([[size], tf.shape(value)[1:]], 0))
    if value.shape[0]:
      cut.set_shape([size, *value.shape[1:]])
    return cut

  return {name: part(value) for name, value in batch.items()}


def dense_gradients(loss, variables):
  """Gradients of a loss; those of gathered rows are summed into whole tables.

  Args:
    loss: float scalar.
    variables: list of variables.

  Returns:
    A list of tensors, each with its variable's shape; None where the loss does
    not depend on the variable.
  """
  gradients = tf.gradients(loss, variables)
  return [g if g is None else tf.convert_to_tensor(g) for g in gradients]


def mean_across_replicas(values: list, use_tpu: bool) -> list:
  """Averages tensors over the replicas that share a step.

  Args:
    values: tensors; None stays None.
    use_tpu: whether the replicas are a TPU's cores. Otherwise they are those of
      the tf.distribute strategy, if there is one.
  """
  present = [value for value in values if value is not None]
  if use_tpu:
    replicas = tpu_function.get_tpu_context().number_of_shards or 1
    means = [tf.tpu.cross_replica_sum(value / replicas) for value in present]
  elif tf.distribute.has_strategy():
    means = tf.distribute.get_replica_context().merge_call(
      _mean_in_strategy, args=(present,)
    )
  else:
    return values
  means = iter(means)
  return [value if value is None else next(means) for value in values]


def _mean_in_strategy(strategy, values):
  """The means over all replicas, each on the devices of its values."""
  return strategy.extended.batch_reduce_to(
    tf.distribute.ReduceOp.MEAN, [(value, value) for value in values]
  )


def clip(gradients, clip_norm=CLIP_NORM):
  """Scales gradients down to a global norm (arXiv:1211.5063).

  Args:
    gradients: list of tensors and None.
    clip_norm: the largest norm that is left as it is; 0: any norm is.

  Returns:
    The scaled list, and the global norm before, a float32 scalar.
  """
  norm = tf.linalg.global_norm(gradients)
  if not clip_norm:  # new tensors, which wait for what the caller waits for
    return [g if g is None else tf.identity(g) for g in gradients], norm
  clipped, _ = tf.clip_by_global_norm(gradients, clip_norm, use_norm=norm)
  return clipped, norm


class _LossScale:
  """The factor of a float16 loss, as large as gradients allow."""

  def __init__(self):
    def state(name, value):
      return tf.get_variable(
        f"loss_scale/{name}",
        initializer=value,
        trainable=False,
        use_resource=True,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
      )

    self._scale = state("scale", FIRST_LOSS_SCALE)
    self._good_steps = state("good_steps", 0)
    self.value = self._scale.read_value()

  def update(self, is_finite):
    """Halves the factor after an overflow; doubles it after many good steps."""
    good_steps = tf.where(is_finite, self._good_steps + 1, 0)
    is_time = good_steps >= STEPS_TO_DOUBLE_SCALE
    scale = tf.where(is_time, self.value * 2.0, self.value)
    scale = tf.where(is_finite, scale, tf.maximum(self.value * 0.5, 1.0))
    return tf.group(
      self._scale.assign(scale),
      self._good_steps.assign(tf.where(is_time, 0, good_steps)),
    )
