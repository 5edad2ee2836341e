# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The optimisers: AdamW with and without bias correction, LAMB, Adafactor.

In: gradients, which are averaged over replicas and clipped already, and rates.
Out: an op that changes the variables. g is a gradient and w its variable; t
counts the steps from 1 on. The count is that of the global step, so it goes on
where a training resumes, and is 1 where a training starts from other weights.
"""

from __future__ import annotations

import math
import re

import tensorflow.compat.v1 as tf

# Of Adafactor: the paper's eps1, its d, and the exponent of its beta_2.
EPS1 = 1e-30
LARGEST_UPDATE = 1.0
DECAY_EXPONENT = 0.8


class WeightDecayOptimizer(tf.train.Optimizer):
  """What the optimisers share: rates, and a decay of the weights themselves.

  They neither clip gradients nor count steps. Gradients of replicas have to be
  averaged before. A subclass has `_create_slots` and `_resource_apply_dense`.
  """

  def __init__(
    self,
    learning_rate,
    weight_decay_rate=0.0,
    exclude_from_weight_decay=None,
    name="WeightDecayOptimizer",
    rates=None,
    is_finite=None,
  ):
    """Makes an optimiser of resource and reference variables.

    Args:
      learning_rate: float or float scalar tensor.
      weight_decay_rate: float.
      exclude_from_weight_decay: regular expressions. A variable is not decayed
        if one of them matches anywhere in its name.
      name: of the ops.
      rates: {variable name: its own rate}; the default is `learning_rate`.
      is_finite: bool scalar tensor; if it is false, nothing changes. None:
        always true.
    """
    super().__init__(use_locking=False, name=name)
    self.learning_rate = learning_rate
    self.weight_decay_rate = weight_decay_rate
    self.exclude_from_weight_decay = exclude_from_weight_decay or ()
    self._rates = rates or {}
    self._is_finite = is_finite

  def apply_gradients(self, grads_and_vars, global_step=None, name=None):
    """Takes a step; the caller counts it, so `global_step` is not used.

    Gradients of gathered rows become dense first, because moments and decay
    cover every row.
    """
    del global_step
    dense = [(_dense(grad, var), var) for grad, var in grads_and_vars]
    return super().apply_gradients(dense, name=name)

  def _distributed_apply(
    self, distribution, grads_and_vars, global_step=None, name=None
  ):
    """Takes the same step on every replica; gradients are averaged already."""
    del global_step
    grads_and_vars = [(g, v) for g, v in grads_and_vars if g is not None]
    with tf.init_scope():
      self._create_slots([variable for _, variable in grads_and_vars])
    updates = [
      distribution.extended.update(
        variable,
        lambda v, g: self._resource_apply_dense(g, v),
        args=(gradient,),
      )
      for gradient, variable in grads_and_vars
    ]
    return tf.group(*updates, name=name)

  def _apply_dense(self, grad, var):
    """Takes the step of a reference variable."""
    return self._resource_apply_dense(grad, var)

  def _rate_of(self, var):
    """The rate of a variable, in the variable's type."""
    name = self._get_variable_name(var.name).split("/replica_")[0]
    rate = self._rates.get(name, self.learning_rate)
    rate = tf.cast(rate, var.dtype.base_dtype)
    if self._is_finite is None:
      return rate
    return rate * tf.cast(self._is_finite, rate.dtype)

  def _kept(self, share):
    """The share of a moment that is kept: all of it in a skipped step."""
    if self._is_finite is None:
      return share
    return tf.where(self._is_finite, share, 1.0)

  def _decay(self, grad, var, rate):
    """The decay, as a list of one op, or of none."""
    if not self._do_use_weight_decay(self._get_variable_name(var.name)):
      return []
    with tf.control_dependencies([grad]):  # after all reads of the weights
      decay = rate * tf.cast(self.weight_decay_rate, rate.dtype)
      return [var.assign_sub(var.read_value() * decay, read_value=False)]

  def _do_use_weight_decay(self, param_name):
    """Whether the variable with this name is decayed."""
    return bool(self.weight_decay_rate) and not self._is_excluded(param_name)

  def _is_excluded(self, param_name):
    """Whether the name is one of those that are never decayed."""
    return any(
      re.search(pattern, param_name)
      for pattern in self.exclude_from_weight_decay
    )

  def _get_variable_name(self, param_name):
    """The name of a variable without the `:0` of its tensor."""
    return re.sub(r":\d+$", "", param_name)


def _dense(grad, var):
  """A gradient as a tensor of the variable's shape; None stays None."""
  if isinstance(grad, tf.IndexedSlices):
    grad = tf.IndexedSlices(grad.values, grad.indices, tf.shape(var))
    return tf.convert_to_tensor(grad)
  return grad


def _step_count(dtype):
  """t, the number of the step that is taken: a float scalar, 1 at first.

  With float16, a step that is skipped because of an overflow counts, too.
  """
  return tf.cast(tf.train.get_or_create_global_step(), dtype) + 1.0


# -------------------------------------------------------------------- Adam


class AdamWeightDecayOptimizer(WeightDecayOptimizer):
  """Adam without bias correction, and with decay of the weights themselves.

  m = beta_1 m + (1 - beta_1) g        slot <name>/adam_m
  v = beta_2 v + (1 - beta_2) g^2      slot <name>/adam_v
  w = w - rate (m / (sqrt(v) + epsilon) + decay w)
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
    rates=None,
    is_finite=None,
  ):
    """Makes an optimiser; see `WeightDecayOptimizer` for the other arguments.

    Args:
      learning_rate: float or float scalar tensor.
      weight_decay_rate: float.
      beta_1: float, the share of m that is kept.
      beta_2: float, the share of v that is kept.
      epsilon: float, added to the root of v.
      exclude_from_weight_decay: regular expressions.
      name: of the ops.
      rates: {variable name: its own rate}.
      is_finite: bool scalar tensor or None.
    """
    super().__init__(
      learning_rate,
      weight_decay_rate,
      exclude_from_weight_decay,
      name,
      rates,
      is_finite,
    )
    self.beta_1 = self._kept(beta_1)
    self.beta_2 = self._kept(beta_2)
    self.epsilon = epsilon
    self._betas = beta_1, beta_2

  def _create_slots(self, var_list):
    for variable in var_list:
      self._zeros_slot(variable, "m", "adam_m")
      self._zeros_slot(variable, "v", "adam_v")

  def _resource_apply_dense(self, grad, var):
    m, v = self.get_slot(var, "m"), self.get_slot(var, "v")
    handles = {"var": var.handle, "m": m.handle, "v": v.handle}
    return self._apply_adam(tf.raw_ops.ResourceApplyAdam, handles, grad, var)

  def _apply_dense(self, grad, var):
    m, v = self.get_slot(var, "m"), self.get_slot(var, "v")
    references = {"var": var, "m": m, "v": v}
    return self._apply_adam(tf.raw_ops.ApplyAdam, references, grad, var)

  def _apply_adam(self, kernel, variables, grad, var):
    """Takes the step of a variable with one of TensorFlow's kernels."""
    rate = self._rate_of(var)
    with tf.control_dependencies(self._decay(grad, var, rate)):
      rate, epsilon = self._corrected(rate, tf.cast(self.epsilon, rate.dtype))
      # With both powers 0 this kernel corrects no bias and adds epsilon outside
      # the root, so it does the whole update in one pass over memory.
      return kernel(
        **variables,
        beta1_power=tf.zeros([], rate.dtype),
        beta2_power=tf.zeros([], rate.dtype),
        lr=rate,
        beta1=tf.cast(self.beta_1, rate.dtype),
        beta2=tf.cast(self.beta_2, rate.dtype),
        epsilon=epsilon,
        grad=grad,
      )

  def _corrected(self, rate, epsilon):
    """The rate and epsilon of a step that corrects the bias, or does not."""
    return rate, epsilon

  def _biases(self, dtype):
    """1 - beta_1^t and 1 - beta_2^t: how far m and v have come from 0."""
    count = _step_count(dtype)
    # By expm1, since a difference of near numbers would lose digits.
    logs = [math.log(beta) if beta else -math.inf for beta in self._betas]
    return [-tf.math.expm1(count * log) for log in logs]


class CorrectedAdamOptimizer(AdamWeightDecayOptimizer):
  """AdamW with the bias correction of Adam (arXiv:1412.6980, arXiv:1711.05101).

      m, v, and their slots, as in AdamWeightDecayOptimizer
      m' = m / (1 - beta_1^t),  v' = v / (1 - beta_2^t)
      w = w - rate (m' / (sqrt(v') + epsilon) + decay w)

  BERT's own lacks the correction, so its first steps are up to three times as
  large, which makes training on few examples unstable (arXiv:2006.04884,
  arXiv:2006.05987).
  """

  def _corrected(self, rate, epsilon):
    bias_1, bias_2 = self._biases(rate.dtype)
    root = tf.sqrt(bias_2)
    return rate * root / bias_1, epsilon * root


class LambOptimizer(AdamWeightDecayOptimizer):
  """LAMB (You et al. 2019, arXiv:1904.00962, algorithm 2) for large batches.

      m' and v' as in CorrectedAdamOptimizer
      u = m' / (sqrt(v') + epsilon) + decay w
      w = w - rate (|w| / |u|) u

  A variable that is excluded from the decay is not scaled by |w| / |u| either.
  """

  def _apply_dense(self, grad, var):
    return self._resource_apply_dense(grad, var)

  def _resource_apply_dense(self, grad, var):
    rate = self._rate_of(var)
    m, v = self.get_slot(var, "m"), self.get_slot(var, "v")
    new_m = m.assign(m * self.beta_1 + grad * (1.0 - self.beta_1))
    new_v = v.assign(v * self.beta_2 + tf.square(grad) * (1.0 - self.beta_2))
    bias_1, bias_2 = self._biases(rate.dtype)
    update = new_m / bias_1 / (tf.sqrt(new_v / bias_2) + self.epsilon)
    if not self._is_excluded(self._get_variable_name(var.name)):
      update += self.weight_decay_rate * var
      sizes = tf.norm(var), tf.norm(update)
      ratio = tf.where(
        tf.minimum(*sizes) > 0, tf.math.divide_no_nan(*sizes), 1.0
      )
      rate *= ratio
    return var.assign_sub(update * rate, read_value=False)


# --------------------------------------------------------------- Adafactor


# {whether a variable is a matrix: {slot: the axis over which it
# averages the squares of a gradient}}
_AVERAGED = {True: {"vr": -1, "vc": -2}, False: {"v": None}}


class AdafactorOptimizer(WeightDecayOptimizer):
  """Adafactor (Shazeer and Stern 2018, arXiv:1804.04235, algorithms 4 and 5).

      beta_2 = 1 - t^-DECAY_EXPONENT
      of a matrix [N, M], whose v is the product of a column and a row:
        r = beta_2 r + (1 - beta_2) (mean of g^2 over M + EPS1)   [N]
        c = beta_2 c + (1 - beta_2) (mean of g^2 over N + EPS1)   [M]
        v = r c / (mean of r)             slots <name>/adafactor_vr, _vc
      of a vector or a scalar:
        v = beta_2 v + (1 - beta_2) (g^2 + EPS1)    slot <name>/adafactor_v
      u = g / sqrt(v),  u' = u / max(1, RMS(u) / LARGEST_UPDATE)
      w = w - rate (u' + decay w)

  It keeps no first moment. The rate is that of the schedule: neither the
  paper's "relative step" sets it, nor is it multiplied by the size of w (the
  paper's max(eps2, RMS(w)), often called scale_parameter), so a rate means
  about what it means for AdamW. Where v starts anew in a later step, r and c
  are too small for a while, and LARGEST_UPDATE keeps the updates from being
  too large.
  """

  def _create_slots(self, var_list):
    # The first step overwrites them. If it is skipped, nothing is divided by 0.
    start = tf.constant_initializer(EPS1)
    for variable in var_list:
      for slot, axis in _AVERAGED[variable.shape.rank >= 2].items():
        shape = variable.shape.as_list()
        if axis is not None:
          del shape[axis]
        self._get_or_make_slot_with_initializer(
          variable,
          start,
          tf.TensorShape(shape),
          variable.dtype.base_dtype,
          slot,
          f"adafactor_{slot}",
        )

  def _resource_apply_dense(self, grad, var):
    rate = self._rate_of(var)
    count = _step_count(rate.dtype)
    beta_2 = self._kept(1.0 - tf.pow(count, -DECAY_EXPONENT))
    moments = [
      self._new_moment(var, slot, axis, grad, beta_2)
      for slot, axis in _AVERAGED[var.shape.rank >= 2].items()
    ]
    if len(moments) == 1:
      update = grad * tf.math.rsqrt(moments[0])
    else:
      rows, columns = moments
      mean = tf.reduce_mean(rows, -1, keepdims=True)
      update = grad * tf.math.rsqrt(rows / mean)[..., tf.newaxis]
      update *= tf.math.rsqrt(columns)[..., tf.newaxis, :]
    size = tf.sqrt(tf.reduce_mean(tf.square(update)))
    scale = rate / tf.maximum(1.0, size / LARGEST_UPDATE)
    with tf.control_dependencies(self._decay(grad, var, rate)):
      return var.assign_sub(update * scale, read_value=False)

  def _new_moment(self, var, slot, axis, grad, beta_2):
    """A slot's value after this step."""
    square = tf.square(grad)
    if axis is not None:
      square = tf.reduce_mean(square, axis)
    moment = self.get_slot(var, slot)
    square = (square + EPS1) * (1.0 - beta_2)
    return tf.identity(moment.assign(moment * beta_2 + square))
