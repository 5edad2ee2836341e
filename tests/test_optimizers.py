# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The optimisers' updates against values worked out by hand, and PyTorch's."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import optimization

START = {
  "kernel": np.array([[1.0, -2.0, 0.5], [0.25, 3.0, -1.0]]),
  "bias": np.array([0.5, -0.5, 0.0]),
  "factor": np.array(2.0),
}
RATE = 0.01


def slopes():
  """Four steps' gradients; in one, a row of the matrix has none."""
  rng = np.random.RandomState(0)
  found = [
    {name: rng.normal(size=value.shape) for name, value in START.items()}
    for _ in range(4)
  ]
  found[1]["kernel"][0] = 0.0
  return found


def stepped(optimizer, steps, compiled=False, **options):
  """{variable: value} after steps with these gradients, at a constant rate."""
  variables = {
    name: tf.get_variable(name, initializer=value.astype(np.float32))
    for name, value in START.items()
  }
  fed = {n: tf.placeholder(tf.float32, v.shape) for n, v in START.items()}

  def loss():
    return tf.add_n([tf.reduce_sum(fed[n] * v) for n, v in variables.items()])

  options = optimization.Options(
    RATE,
    optimizer=optimizer,
    lr_schedule="constant",
    max_grad_norm=0.0,
    **options,
  )

  def step():
    return optimization.train_step(lambda *_: loss(), {}, options).train_op

  train_op = tf.xla.experimental.compile(step) if compiled else step()
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for gradients in steps:
      feed = {fed[n]: gradient for n, gradient in gradients.items()}
      session.run(train_op, feed)
    return session.run({v.op.name: v for v in tf.global_variables()})


def decay_of(name, weight_decay):
  return 0.0 if name == "bias" else weight_decay


# -------------------------------------------------------------------- Adam


@pytest.mark.parametrize(
  ("weight_decay", "beta_2"), [(0.01, 0.999), (0.3, 0.9), (0.0, 0.5)]
)
def test_corrected_adam_steps_as_its_paper_says(weight_decay, beta_2):
  found = stepped(
    "adamw_corrected",
    slopes(),
    weight_decay=weight_decay,
    adam_beta2=beta_2,
  )
  for name, w in START.items():
    m, v = 0.0, 0.0
    for t, gradients in enumerate(slopes(), 1):
      g = gradients[name]
      m = 0.9 * m + 0.1 * g
      v = beta_2 * v + (1 - beta_2) * g**2
      update = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - beta_2**t)) + 1e-6)
      w = w - RATE * (update + decay_of(name, weight_decay) * w)
    np.testing.assert_allclose(found[name], w, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found[f"{name}/adam_m"], m, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found[f"{name}/adam_v"], v, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize(
  ("optimizer", "beta_2", "size"),
  [
    ("adamw_corrected", 0.999, 1.0),
    ("adamw_corrected", 0.0, 1.0),
    ("adamw", 0.999, 3.1623),  # 0.1 g / sqrt(0.001 g^2)
  ],
)
def test_the_first_corrected_step_is_as_long_as_the_rate(
  optimizer, beta_2, size
):
  found = stepped(optimizer, slopes()[:1], weight_decay=0.0, adam_beta2=beta_2)
  moved = found["kernel"] - START["kernel"]
  np.testing.assert_allclose(np.abs(moved), RATE * size, rtol=1e-3)


def test_corrected_adam_steps_as_pytorch_does():
  torch = pytest.importorskip("torch", reason="PyTorch is not installed")
  found = stepped("adamw_corrected", slopes(), weight_decay=0.1)
  weights = {n: torch.tensor(v.astype(np.float32)) for n, v in START.items()}
  groups = [
    {"params": [weight], "weight_decay": decay_of(name, 0.1)}
    for name, weight in weights.items()
  ]
  optimizer = torch.optim.AdamW(groups, RATE, (0.9, 0.999), eps=1e-6)
  for gradients in slopes():
    for name, weight in weights.items():
      weight.grad = torch.tensor(gradients[name].astype(np.float32))
    optimizer.step()
  for name, weight in weights.items():
    np.testing.assert_allclose(found[name], weight.numpy(), 1e-6, 1e-6)


# --------------------------------------------------------------- Adafactor


def adafactor(name, w, steps, weight_decay):
  """A weight after some steps, and what is kept of it."""
  kept = {}
  for t, gradients in enumerate(steps, 1):
    g = gradients[name]
    square = g**2 + 1e-30
    beta_2 = 1 - t**-0.8
    if name == "kernel":
      # As in the paper's algorithm 4, with sums where the slots hold means.
      r = beta_2 * kept.get("vr", 0.0) + (1 - beta_2) * square.sum(1)
      c = beta_2 * kept.get("vc", 0.0) + (1 - beta_2) * square.sum(0)
      v = np.outer(r, c) / r.sum()
      kept = {"vr": r, "vc": c}
    else:
      v = beta_2 * kept.get("v", 0.0) + (1 - beta_2) * square
      kept = {"v": v}
    u = g / np.sqrt(v)
    u = u / max(1.0, np.sqrt(np.mean(u**2)) / 1.0)
    w = w - RATE * (u + decay_of(name, weight_decay) * w)
  return w, kept


@pytest.mark.parametrize("weight_decay", [0.01, 0.5])
def test_adafactor_steps_as_its_paper_says(weight_decay):
  found = stepped("adafactor", slopes(), weight_decay=weight_decay)
  for name, start in START.items():
    w, kept = adafactor(name, start, slopes(), weight_decay)
    np.testing.assert_allclose(found[name], w, rtol=1e-6, atol=1e-7)
    if name == "kernel":
      kept = {"vr": kept["vr"] / 3, "vc": kept["vc"] / 2}
    for slot, value in kept.items():
      np.testing.assert_allclose(
        found[f"{name}/adafactor_{slot}"], value, rtol=1e-5
      )
  assert {name for name in found if "/" in name} == {
    *("kernel/adafactor_vr", "kernel/adafactor_vc"),
    *("bias/adafactor_v", "factor/adafactor_v"),
  }


def test_adafactor_clips_an_update_that_is_longer_than_one():
  # After small gradients, g / sqrt(v) is far over 1 for a large one.
  steps = [{n: 0.01 * g for n, g in step.items()} for step in slopes()[:3]]
  steps.append(slopes()[3])
  first = stepped("adafactor", steps[:3], weight_decay=0.0)
  tf.reset_default_graph()
  last = stepped("adafactor", steps, weight_decay=0.0)
  for name in START:
    moved = last[name] - first[name]
    size = np.sqrt(np.mean(moved**2))
    np.testing.assert_allclose(size, RATE, rtol=1e-3)


def test_adafactor_leaves_weights_without_gradients():
  steps = [{n: np.zeros_like(v) for n, v in START.items()}]
  found = stepped("adafactor", steps, weight_decay=0.0)
  for name, value in START.items():
    np.testing.assert_array_equal(found[name], value)


# ------------------------------------------------------------ all of them


@pytest.mark.parametrize("optimizer", optimization.OPTIMIZERS)
def test_xla_compiles_the_same_steps(optimizer):  # as a TPU does
  expected = stepped(optimizer, slopes())
  tf.reset_default_graph()
  found = stepped(optimizer, slopes(), compiled=True)
  assert found.keys() == expected.keys()
  for name, value in expected.items():
    np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("optimizer", optimization.OPTIMIZERS)
def test_a_first_step_that_overflows_changes_nothing(optimizer):
  huge = {n: np.full_like(v, 1e38) for n, v in START.items()}
  found = stepped(optimizer, [huge], scale_loss=True)
  for name, value in START.items():
    np.testing.assert_array_equal(found[name], value)
  assert found["global_step"] == 1
  tf.reset_default_graph()
  found = stepped(optimizer, [huge, *slopes()], scale_loss=True)
  for name, value in START.items():
    assert np.isfinite(found[name]).all()
    assert (found[name] != value).all()
