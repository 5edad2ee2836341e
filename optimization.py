# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""BERT's optimiser: Adam with weight decay, warm-up and clipping.

In: a scalar loss. Out: an op that takes one training step, and the scalars that
describe it. The update differs from Adam (arXiv:1412.6980) in having no bias
correction, and in decaying the weights beside the moments (arXiv:1711.05101).
"""

from __future__ import annotations

import dataclasses
import re

import tensorflow.compat.v1 as tf

CLIP_NORM = 1.0
WEIGHT_DECAY_RATE = 0.01
NOT_DECAYED = ("LayerNorm", "layer_norm", "bias")


@dataclasses.dataclass
class TrainStep:
  """One training step in the graph."""

  train_op: tf.Operation  # takes the step and counts it
  learning_rate: tf.Tensor  # float32 scalar, the rate it uses
  grad_norm: tf.Tensor  # float32 scalar, the global norm before clipping


def create_optimizer(loss, init_lr, num_train_steps, num_warmup_steps, use_tpu):
  """An op that clips the gradients, applies them and counts the step.

  Args:
    loss: float scalar.
    init_lr: the highest rate.
    num_train_steps: the count of steps at which the rate reaches 0.
    num_warmup_steps: the first of them, over which it rises; 0 or None: none.
    use_tpu: whether gradients are averaged across TPU replicas.

  Returns:
    The train op.
  """
  return train_step(
    loss, init_lr, num_train_steps, num_warmup_steps, use_tpu
  ).train_op


def train_step(
  loss, init_lr, num_train_steps, num_warmup_steps, use_tpu
) -> TrainStep:
  """As `create_optimizer`, but also gives the rate and the gradients' norm."""
  step = tf.train.get_or_create_global_step()
  rate = learning_rate_at(step, init_lr, num_train_steps, num_warmup_steps)
  variables = tf.trainable_variables()
  gradients = dense_gradients(loss, variables)
  if use_tpu:
    gradients = mean_across_replicas(gradients)
  gradients, norm = clip(gradients)
  optimizer = AdamWeightDecayOptimizer(
    rate, WEIGHT_DECAY_RATE, exclude_from_weight_decay=NOT_DECAYED
  )
  applied = optimizer.apply_gradients(zip(gradients, variables))
  with tf.control_dependencies([applied]):  # which has read the rate
    train_op = step.assign_add(1, read_value=False)
  return TrainStep(train_op, rate, norm)


def learning_rate_at(
  global_step, init_lr, num_train_steps, num_warmup_steps=None
):
  """The rate of the step that is taken after `global_step` others.

  It rises from 0 to `init_lr` over the warm-up, and falls along a line that
  goes from `init_lr` at step 0 to 0 at `num_train_steps`.

  Args:
    global_step: integer scalar, variable or tensor.
    init_lr: the highest rate.
    num_train_steps: from here on the rate is 0.
    num_warmup_steps: length of the warm-up; 0 or None: there is none.

  Returns:
    float32 scalar.
  """
  step = tf.cast(global_step, tf.float32)
  total = tf.constant(num_train_steps, tf.float32)
  rate = init_lr * (1.0 - tf.minimum(step, total) / total)
  if not num_warmup_steps:
    return rate
  warmup = tf.constant(num_warmup_steps, tf.float32)
  return tf.where(step < warmup, init_lr * (step / warmup), rate)


def dense_gradients(loss, variables):
  """Gradients of a loss, those of gathered rows summed into whole tables.

  Args:
    loss: float scalar.
    variables: list of variables.

  Returns:
    A list, each the shape of its variable; None where the loss does not
    depend on it.
  """
  gradients = tf.gradients(loss, variables)
  return [g if g is None else tf.convert_to_tensor(g) for g in gradients]


def mean_across_replicas(gradients):
  """Averages gradients over the replicas of a TPU, on a TPU."""
  replicas = tf.tpu.cross_replica_sum(tf.ones([]))
  return [
    g if g is None else tf.tpu.cross_replica_sum(g / replicas)
    for g in gradients
  ]


def clip(gradients, clip_norm=CLIP_NORM):
  """Scales gradients down to a global norm (arXiv:1211.5063).

  Args:
    gradients: list of tensors and None.
    clip_norm: the greatest norm that stays as it is.

  Returns:
    The list, scaled, and its float32 scalar norm before.
  """
  norm = tf.linalg.global_norm(gradients)
  clipped, _ = tf.clip_by_global_norm(gradients, clip_norm, use_norm=norm)
  return clipped, norm


class AdamWeightDecayOptimizer(tf.train.Optimizer):
  """Adam without bias correction, with decay of the weights themselves.

      m = beta_1 m + (1 - beta_1) g        slot <name>/adam_m
      v = beta_2 v + (1 - beta_2) g^2      slot <name>/adam_v
      w = w - rate (m / (sqrt(v) + epsilon) + decay w)

  It neither clips gradients nor counts steps.
  """

  def __init__(
    self,
    learning_rate,
    weight_decay_rate=0.0,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-6,
    exclude_from_weight_decay=None,
    name="AdamWeightDecayOptimizer",
  ):
    """Makes an optimiser of resource variables.

    Args:
      learning_rate: float or float scalar tensor.
      weight_decay_rate: float.
      beta_1: float, how much of m is kept.
      beta_2: float, how much of v is kept.
      epsilon: float, added to the root of v.
      exclude_from_weight_decay: regular expressions; a variable in whose name
        one is found is not decayed.
      name: of the ops.
    """
    super().__init__(use_locking=False, name=name)
    self.learning_rate = learning_rate
    self.weight_decay_rate = weight_decay_rate
    self.beta_1 = beta_1
    self.beta_2 = beta_2
    self.epsilon = epsilon
    self.exclude_from_weight_decay = exclude_from_weight_decay or ()

  def apply_gradients(self, grads_and_vars, global_step=None, name=None):
    """Takes a step; `global_step` is left alone, the caller counts it."""
    del global_step
    return super().apply_gradients(grads_and_vars, name=name)

  def _create_slots(self, var_list):
    for variable in var_list:
      self._zeros_slot(variable, "m", "adam_m")
      self._zeros_slot(variable, "v", "adam_v")

  def _resource_apply_dense(self, grad, var):
    rate = tf.cast(self.learning_rate, var.dtype.base_dtype)
    with tf.control_dependencies(self._decay(var, rate)):
      # With both powers 0 the kernel corrects no bias and adds epsilon outside
      # the root: the whole update in one pass over memory.
      return tf.raw_ops.ResourceApplyAdam(
        var=var.handle,
        m=self.get_slot(var, "m").handle,
        v=self.get_slot(var, "v").handle,
        beta1_power=tf.zeros([], rate.dtype),
        beta2_power=tf.zeros([], rate.dtype),
        lr=rate,
        beta1=tf.cast(self.beta_1, rate.dtype),
        beta2=tf.cast(self.beta_2, rate.dtype),
        epsilon=tf.cast(self.epsilon, rate.dtype),
        grad=grad,
      )

  def _resource_apply_sparse(self, grad, var, indices):
    """Moments and decay cover every row, so the gradient is made dense."""
    rows = tf.IndexedSlices(grad, indices, tf.shape(var))
    return self._resource_apply_dense(tf.convert_to_tensor(rows), var)

  def _resource_apply_sparse_duplicate_indices(self, grad, var, indices):
    return self._resource_apply_sparse(grad, var, indices)

  def _decay(self, var, rate):
    """The decay, as a list of one op or none."""
    if not self._is_decayed(var.op.name):
      return []
    decay = rate * tf.cast(self.weight_decay_rate, rate.dtype)
    return [var.assign_sub(var.read_value() * decay, read_value=False)]

  def _is_decayed(self, name):
    return self.weight_decay_rate and not any(
      re.search(pattern, name) for pattern in self.exclude_from_weight_decay
    )
