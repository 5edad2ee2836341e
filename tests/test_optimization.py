# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The optimisers: the original's values, schedules, slices and LAMB."""

import json
import pathlib
import time

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from tensorflow.python.tpu import tpu_function

import modeling
import optimization
from bert.tasks import layers
from bert.tasks.pretraining import (
  get_masked_lm_output,
  get_next_sentence_output,
)

GOLDEN = pathlib.Path(__file__).parent / "golden"
CHECKPOINT = str(GOLDEN / "tiny_checkpoint" / "model.ckpt")
INPUTS = ("input_ids", "input_mask", "segment_ids")


def tiny_model(batch, use_one_hot=False):
  """The golden encoder, without dropout, on the inputs of a batch."""
  config = modeling.BertConfig.from_json_file(
    str(GOLDEN / "tiny_checkpoint" / "bert_config.json")
  )
  model = modeling.BertModel(
    config,
    True,
    batch["input_ids"],
    batch["input_mask"],
    batch["segment_ids"],
    use_one_hot,
  )
  return config, model


def pretraining_losses(batch, use_one_hot=False):
  """Masked-LM and next-sentence losses of the golden batch or a part of it."""
  config, model = tiny_model(batch, use_one_hot)
  masked, per_token, _ = get_masked_lm_output(
    config,
    model.get_sequence_output(),
    model.get_embedding_table(),
    batch["masked_lm_positions"],
    batch["masked_lm_ids"],
    batch["masked_lm_weights"],
  )
  following, per_pair, _ = get_next_sentence_output(
    config, model.get_pooled_output(), batch["next_sentence_labels"]
  )
  return masked + following, per_token, per_pair


@pytest.fixture
def batch():
  arrays = np.load(GOLDEN / "modeling.npz")
  return {
    name[len("in/") :]: tf.constant(arrays[name])
    for name in arrays.files
    if name.startswith("in/")
  }


def start(session, values=None):
  """Starts the variables from the golden checkpoint, or from `values`."""
  session.run(tf.global_variables_initializer())
  known = dict(tf.train.list_variables(CHECKPOINT))
  for variable in tf.trainable_variables():
    name = variable.op.name
    if name in known:
      variable.load(tf.train.load_variable(CHECKPOINT, name), session)
    else:
      variable.load(values[name], session)


def assert_final(session, final):
  """All variables, slots and the step are those of a golden file."""
  found = {v.op.name: v for v in tf.global_variables()}
  names = {name.replace("|", "/") for name in final}
  assert names == set(found)
  for name, value in session.run(found).items():
    expected = final[name.replace("/", "|")]
    error = np.linalg.norm(value - expected)
    # Where the true gradient is 0 (biases of keys), both sides are rounding.
    assert error <= 1e-4 * np.linalg.norm(expected) + 1e-6, name


def assert_steps(session, train, steps):
  for expected in steps:
    found = session.run(
      {
        "loss": train.loss,
        "learning_rate": train.learning_rate,
        "grad_norm": train.grad_norm,
        "op": train.train_op,
      }
    )
    for name in ("loss", "learning_rate", "grad_norm"):
      np.testing.assert_allclose(
        found[name], expected[name], rtol=1e-4, atol=1e-9, err_msg=name
      )


def golden_options(golden):
  return optimization.Options(
    golden["init_lr"], golden["num_train_steps"], golden["num_warmup_steps"]
  )


def test_pretraining_steps_are_the_originals(batch):
  golden = json.loads((GOLDEN / "optimization.json").read_text())
  train = optimization.train_step(
    lambda part, index: pretraining_losses(part)[0],
    batch,
    golden_options(golden),
  )
  with tf.Session() as session:
    start(session)
    assert_steps(session, train, golden["steps"])
    assert_final(session, np.load(GOLDEN / "optimization_final.npz"))


def variables_of(kinds):
  """Has each new variable be a reference variable if `kinds(name)` says so."""

  def make(next_creator, **options):
    is_reference = kinds(options["name"])
    return next_creator(**{**options, "use_resource": not is_reference})

  return tf.variable_creator_scope(make)


REFERENCES = {
  "most": lambda name: "token_type" not in name,  # BertModel multiplies those
  "a head's": lambda name: name.startswith("cls/"),
}


@pytest.mark.parametrize("references", REFERENCES.values(), ids=REFERENCES)
def test_reference_variables_step_like_resource_variables(references, batch):
  golden = json.loads((GOLDEN / "optimization.json").read_text())
  with variables_of(references):
    train = optimization.train_step(
      lambda part, index: pretraining_losses(part)[0],
      batch,
      golden_options(golden),
    )
  known = {v.op.name: v for v in tf.global_variables()}
  for variable in tf.trainable_variables():
    name = variable.op.name
    slot = known.get(f"{name}/adam_m", variable)  # some have no gradient
    assert (variable.op.type == "VariableV2") == references(name)
    assert slot.op.type == variable.op.type
  with tf.Session() as session:
    start(session)
    assert_steps(session, train, golden["steps"])
    assert_final(session, np.load(GOLDEN / "optimization_final.npz"))


@pytest.mark.parametrize(
  "options",
  [
    {"optimizer": "lamb"},
    {"optimizer": "adamw_corrected"},
    {"optimizer": "adafactor"},
    {"slices": 2},
    {"scale_loss": True},
  ],
  ids=["LAMB", "corrected", "Adafactor", "slices", "loss scaling"],
)
def test_all_options_of_a_step_take_reference_variables(options):
  found = []
  rows = np.array([[1.0, 2.0], [3.0, -4.0]], np.float32)
  for is_reference in (False, True):
    tf.reset_default_graph()

    def loss_fn(part, index):
      del index
      kernel = tf.get_variable("kernel", initializer=rows)
      bias = tf.get_variable("bias", initializer=rows[0])
      return tf.reduce_sum(
        tf.square(tf.gather(kernel, part["ids"]) + bias * part["factors"])
      )

    data = {"ids": tf.constant([1, 1]), "factors": tf.constant(rows)}
    with variables_of(lambda name, wanted=is_reference: wanted):
      train = optimization.train_step(
        loss_fn, data, optimization.Options(0.1, 10, **options)
      )
    with tf.Session() as session:
      session.run(tf.global_variables_initializer())
      for _ in range(3):
        session.run(train.train_op)
      variables = {v.op.name: v for v in tf.trainable_variables()}
      types = {v.op.type for v in variables.values()}
      assert types == {"VariableV2" if is_reference else "VarHandleOp"}
      found.append(session.run(variables))
  for name, value in found[0].items():
    np.testing.assert_array_equal(value, found[1][name], err_msg=name)


def test_fine_tuning_steps_are_the_originals(batch):
  golden = json.loads((GOLDEN / "classifier_optimization.json").read_text())
  arrays = np.load(GOLDEN / "classifier_optimization.npz")

  def loss_fn(part, index):
    del index
    _, model = tiny_model(part)
    # The golden run had no dropout on the pooled output either.
    logits = layers.labels_product(model.get_pooled_output(), 3)
    labels = tf.constant(golden["labels"])
    return tf.reduce_mean(layers.cross_entropy(logits, labels))

  train = optimization.train_step(loss_fn, batch, golden_options(golden))
  with tf.Session() as session:
    start(
      session,
      {n[6:]: arrays[n] for n in arrays.files if n.startswith("start/")},
    )
    assert_steps(session, train, golden["steps"])
    assert_final(
      session,
      {n[6:]: arrays[n] for n in arrays.files if n.startswith("final/")},
    )


def test_the_rate_rises_falls_and_ends_at_zero():
  golden = json.loads((GOLDEN / "optimization.json").read_text())
  step = tf.placeholder(tf.int64, [])
  rate = optimization.learning_rate_at(
    step,
    golden["init_lr"],
    golden["num_train_steps"],
    golden["num_warmup_steps"],
  )
  with tf.Session() as session:
    found = [
      session.run(rate, {step: i})
      for i in range(len(golden["learning_rate_by_step"]))
    ]
  np.testing.assert_allclose(
    found, golden["learning_rate_by_step"], rtol=1e-5, atol=1e-9
  )


@pytest.mark.parametrize("num_warmup_steps", [0, None])
def test_without_warm_up_the_first_rate_is_the_highest(num_warmup_steps):
  rate = optimization.learning_rate_at(
    tf.constant(0), 0.5, 10, num_warmup_steps
  )
  with tf.Session() as session:
    assert session.run(rate) == 0.5


HALF = np.sqrt(0.5)


@pytest.mark.parametrize(
  ("schedule", "warmup", "expected"),  # of steps 0 to 8 of 8, at the rate 10
  [
    ("linear", 2, [0, 5, 7.5, 6.25, 5, 3.75, 2.5, 1.25, 0]),
    ("linear", 0, [10, 8.75, 7.5, 6.25, 5, 3.75, 2.5, 1.25, 0]),
    ("constant", 2, [0, 5, *[10] * 7]),
    ("constant", 0, [10] * 9),
    ("cosine", 4, [0, 2.5, 5, 7.5, 10, 5 + 5 * HALF, 5, 5 - 5 * HALF, 0]),
    ("cosine", 8, [0, 1.25, 2.5, 3.75, 5, 6.25, 7.5, 8.75, 10]),
    (
      "inverse_sqrt",
      2,
      [0, 5, 10, *(10 * np.sqrt(2 / s) for s in (3, 4, 5, 6, 7, 8))],
    ),
    ("inverse_sqrt", 0, [10, *(10 / np.sqrt(s) for s in range(1, 9))]),
  ],
)
def test_a_schedule_goes_on_after_the_warm_up(schedule, warmup, expected):
  step = tf.placeholder(tf.int64, [])
  rate = optimization.learning_rate_at(step, 10.0, 8, warmup, schedule)
  with tf.Session() as session:
    found = [session.run(rate, {step: i}) for i in range(9)]
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
  ("norm", "expected"), [(1.0, [0.6, 0.8]), (5.0, [3, 4]), (0.0, [6, 8])]
)
def test_gradients_are_clipped_to_the_given_norm(norm, expected):
  w = tf.get_variable("w", initializer=[3.0, 4.0])
  train = optimization.train_step(  # the gradient is (6, 8)
    lambda *_: tf.reduce_sum(tf.square(w)),
    {},
    optimization.Options(0.1, 10, max_grad_norm=norm),
  )
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    assert session.run([train.grad_norm, train.train_op])[0] == 10.0
    m = session.run(tf.global_variables("w/adam_m")[0])
  np.testing.assert_allclose(m, 0.1 * np.array(expected), rtol=1e-5)


def test_create_optimizer_clips_applies_and_counts():
  w = tf.get_variable("w", initializer=[3.0, 4.0])
  # The gradient is 2 w = (6, 8), of norm 10: clipped to (0.6, 0.8).
  op = optimization.create_optimizer(
    tf.reduce_sum(tf.square(w)), 0.1, 10, 0, use_tpu=False
  )
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    session.run(op)
    assert session.run(tf.train.get_global_step()) == 1
    m = session.run(tf.global_variables("w/adam_m")[0])
    np.testing.assert_allclose(m, [0.06, 0.08], rtol=1e-5)
    # v = 0.001 g^2, so m / sqrt(v) = 0.1 / sqrt(0.001) for both; then decay.
    update = 0.1 / np.sqrt(0.001)
    np.testing.assert_allclose(
      session.run(w),
      [3 - 0.1 * (update + 0.03), 4 - 0.1 * (update + 0.04)],
      rtol=1e-4,
    )


def test_the_optimizer_alone_neither_clips_nor_counts():
  w = tf.get_variable("w", initializer=[3.0, 4.0])
  step = tf.train.get_or_create_global_step()
  optimizer = optimization.AdamWeightDecayOptimizer(0.1)
  op = optimizer.apply_gradients([(tf.constant([60.0, 80.0]), w)], step)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    session.run(op)
    assert session.run(step) == 0
    m = session.run(optimizer.get_slot(w, "m"))
    np.testing.assert_allclose(m, [6.0, 8.0], rtol=1e-5)


@pytest.mark.parametrize("max_grad_norm", [1.0, 0.0])
def test_the_loss_is_that_of_the_weights_before_the_step(max_grad_norm):
  w = tf.get_variable("w", initializer=[4.0])
  ids = tf.py_func(lambda: (time.sleep(0.3), np.int32(0))[1], [], tf.int32)
  ids.set_shape([])
  loss = tf.gather(w, ids)  # reads w late
  train = optimization.train_step(
    lambda batch, index: loss,
    {},
    optimization.Options(0.5, 10, max_grad_norm=max_grad_norm),
  )
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    assert session.run([train.loss, train.train_op])[0] == 4.0


def test_names_left_out_of_the_decay_are_found_anywhere():
  names = ("a/LayerNorm/gamma", "a/bias", "a/kernel", "output_bias")
  variables = [tf.get_variable(n, initializer=[1.0]) for n in names]
  optimizer = optimization.AdamWeightDecayOptimizer(
    0.5, 0.1, exclude_from_weight_decay=optimization.NOT_DECAYED
  )
  op = optimizer.apply_gradients([(tf.zeros([1]), v) for v in variables])
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    session.run(op)
    found = np.ravel(session.run(variables))
  np.testing.assert_allclose(found, [1.0, 1.0, 0.95, 1.0])


def test_a_subclass_decides_what_is_decayed():
  class Other(optimization.AdamWeightDecayOptimizer):
    def _do_use_weight_decay(self, param_name):
      return param_name == "a"

  variables = [tf.get_variable(n, initializer=[1.0]) for n in ("a", "b")]
  op = Other(0.5, 0.1).apply_gradients([(tf.zeros([1]), v) for v in variables])
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    session.run(op)
    assert np.ravel(session.run(variables)).tolist() == pytest.approx([0.95, 1])


def test_names_and_their_decay_as_the_original_has_them():
  optimizer = optimization.AdamWeightDecayOptimizer(
    0.1, 0.01, exclude_from_weight_decay=["LayerNorm", "bias"]
  )
  assert optimizer._get_variable_name("a/kernel:0") == "a/kernel"
  assert optimizer._get_variable_name("a/kernel") == "a/kernel"
  assert optimizer._do_use_weight_decay("a/kernel") is True
  assert optimizer._do_use_weight_decay("a/LayerNorm/gamma") is False
  without = optimization.AdamWeightDecayOptimizer(0.1)
  assert without._do_use_weight_decay("a/kernel") is False


def test_slots_of_the_originals_checkpoints_restore(tmp_path):
  names = ("w", "w/adam_m", "w/adam_v", "global_step")
  with tf.Graph().as_default(), tf.Session() as session:
    for i, name in enumerate(names[:3]):
      tf.get_variable(name, initializer=[float(i + 1)])
    tf.get_variable("global_step", initializer=np.int64(7))
    session.run(tf.global_variables_initializer())
    prefix = tf.train.Saver().save(session, str(tmp_path / "original"))
  w = tf.get_variable("w", initializer=[0.0])
  optimization.create_optimizer(tf.reduce_sum(w), 0.1, 10, 0, use_tpu=False)
  with tf.Session() as session:
    tf.train.Saver().restore(session, prefix)
    found = {v.op.name: v for v in tf.global_variables()}
    assert set(found) == set(names)
    values = session.run(found)
  assert [float(np.ravel(values[n])[0]) for n in names] == [1.0, 2.0, 3.0, 7.0]


def test_gathered_rows_step_like_a_one_hot_product():
  found = []
  for name, use_one_hot in (("gathered", False), ("product", True)):
    table = tf.get_variable(name, initializer=np.ones([4, 2], np.float32))
    rows = modeling.lookup(table, tf.constant([1, 3, 1]), use_one_hot)
    loss = tf.reduce_sum(rows * [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    with tf.variable_scope("", reuse=tf.AUTO_REUSE):
      gradient = optimization.dense_gradients(loss, [table])[0]
    optimizer = optimization.AdamWeightDecayOptimizer(0.1, 0.01, name=name)
    found.append(
      (table, gradient, optimizer.apply_gradients([(gradient, table)]))
    )
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    gradients = session.run([gradient for _, gradient, _ in found])
    np.testing.assert_allclose(gradients[0], [[0, 0], [6, 8], [0, 0], [3, 4]])
    np.testing.assert_allclose(gradients[1], gradients[0])
    session.run([op for _, _, op in found])
    tables = session.run([table for table, _, _ in found])
    np.testing.assert_allclose(tables[0], tables[1], rtol=1e-6)
    assert tables[0][0, 0] == pytest.approx(0.999)  # decay reaches every row


def test_sparse_gradients_given_directly_are_made_dense():
  w = tf.get_variable("w", initializer=np.ones([3, 1], np.float32))
  optimizer = optimization.AdamWeightDecayOptimizer(0.1)
  slices = tf.IndexedSlices(
    tf.constant([[1.0], [2.0]]), tf.constant([1, 1]), tf.constant([3, 1])
  )
  op = optimizer.apply_gradients([(slices, w)])
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    session.run(op)
    m = session.run(optimizer.get_slot(w, "m"))
  np.testing.assert_allclose(m, [[0.0], [0.3], [0.0]], rtol=1e-6)


def test_variables_without_gradient_stay():
  tf.get_variable("unused", initializer=[1.0])
  w = tf.get_variable("w", initializer=[1.0])
  op = optimization.create_optimizer(tf.reduce_sum(w), 0.1, 10, 0, False)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    session.run(op)
    assert session.run(tf.trainable_variables("unused")[0]) == 1.0


def test_a_tpus_replicas_step_by_their_mean_clipped_once(monkeypatch):
  # Of two replicas the other's gradient is 3 times this one's, 0.4: the mean
  # is 0.8. Clipped one by one, to 0.4 and 1.0, it would be 0.7.
  monkeypatch.setattr(tf.tpu, "cross_replica_sum", lambda value: value * 4.0)
  w = tf.get_variable("w", initializer=[1.0])
  with tpu_function.tpu_shard_context(2):
    op = optimization.create_optimizer(tf.reduce_sum(0.4 * w), 0.1, 10, 0, True)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    session.run(op)
    m = session.run(tf.global_variables("w/adam_m")[0])
  np.testing.assert_allclose(m, [0.08], rtol=1e-5)


# ------------------------------------------------------------------ slices


@pytest.mark.slow
def test_slices_add_up_to_the_batch(batch):
  # One slice has no masked token at all: a mean of means would be far off.
  weights = np.load(GOLDEN / "modeling.npz")["in/masked_lm_weights"].copy()
  weights[:2] = 0.0
  batch["masked_lm_weights"] = tf.constant(weights)
  total = tf.reduce_sum(batch["masked_lm_weights"]) + 1e-5

  def loss_fn(part, index):
    del index
    _, per_token, per_pair = pretraining_losses(part)
    tokens = tf.reshape(part["masked_lm_weights"], [-1]) * per_token
    return tf.reduce_sum(tokens) / total + tf.reduce_sum(per_pair) / 4.0

  with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE):
    whole = optimization.compute_gradients(loss_fn, batch)
    parts = optimization.compute_gradients(loss_fn, batch, slices=2)
    original, _, _ = pretraining_losses(batch)
  names = [v.op.name for v in whole[2]]
  assert [v.op.name for v in parts[2]] == names
  norms = [tf.linalg.global_norm(each[1]) for each in (whole, parts)]
  with tf.Session() as session:
    start(session)
    losses, norms, expected, found = session.run(
      [[original, whole[0], parts[0]], norms, whole[1], parts[1]]
    )
  np.testing.assert_allclose(losses, losses[0], rtol=1e-6)
  np.testing.assert_allclose(norms[1], norms[0], rtol=1e-6)
  for name, one, other in zip(names, expected, found):
    np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-6, err_msg=name)


def test_slices_are_told_apart_and_cover_the_batch_in_order():
  w = tf.get_variable("w", initializer=[0.0])
  seen = []

  def loss_fn(part, index):
    seen.append(part["x"].shape.as_list())
    weight = tf.pow(10.0, tf.cast(index, tf.float32))
    return tf.reduce_sum(w * part["x"][:, 0]) * weight

  x = tf.constant([[1.0], [2.0], [3.0], [4.0], [5.0], [6.0]])
  _, gradients, _ = optimization.compute_gradients(loss_fn, {"x": x}, slices=3)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    found = session.run(gradients[0])
  assert found.tolist() == [3.0 + 70.0 + 1100.0]
  assert seen == [[2, 1]]  # static, and built once for any number


@pytest.mark.parametrize("use_tpu", [False, True])
def test_slices_make_the_same_variables_and_one_model(use_tpu):
  arrays = np.load(GOLDEN / "modeling.npz")
  values, products = [], []
  for slices in (1, 2, 4):
    with tf.Graph().as_default() as graph, tf.Session() as session:
      tf.set_random_seed(5)

      def loss_fn(part, index):
        del index
        _, model = tiny_model(part)
        return tf.reduce_sum(
          layers.labels_product(model.get_pooled_output(), 2)
        )

      inputs = {n: tf.constant(arrays["in/" + n]) for n in INPUTS}
      with tf.variable_scope("outer"):
        optimization.compute_gradients(loss_fn, inputs, slices, use_tpu=use_tpu)
      session.run(tf.global_variables_initializer())
      variables = {v.op.name: v for v in tf.global_variables()}
      values.append(session.run(variables))
      definition = graph.as_graph_def()
      nodes = list(definition.node)
      for function in definition.library.function:
        nodes += function.node_def
      products.append(sum("MatMul" in node.op for node in nodes))
  assert products[0] == products[1] == products[2] > 20
  assert len(values[0]) > 20
  for other in values[1:]:
    assert set(other) == set(values[0])
    for name, value in values[0].items():
      np.testing.assert_array_equal(other[name], value, err_msg=name)


# ------------------------------------------------------------------- rates


def test_rates_fall_from_layer_to_layer():
  rates = optimization.variable_rates(
    [
      "bert/embeddings/word_embeddings",
      "bert/encoder/layer_0/output/dense/kernel",
      "bert/encoder/layer_1/output/dense/kernel",
      "bert/pooler/dense/kernel",
      "output_weights",
    ],
    rate=2.0,
    head_rate=10.0,
    layerwise_decay=0.5,
  )
  assert list(rates.values()) == [0.5, 1.0, 2.0, 2.0, 10.0]


def test_a_variable_moves_by_its_own_rate():
  variables = [tf.get_variable(n, initializer=[1.0]) for n in ("a", "b", "c")]
  optimizer = optimization.AdamWeightDecayOptimizer(
    0.1, rates={"b": 0.05, "c": 0.0}
  )
  op = optimizer.apply_gradients([(tf.ones([1]), v) for v in variables])
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    session.run(op)
    moved = 1.0 - np.ravel(session.run(variables))
  np.testing.assert_allclose(moved[1], moved[0] / 2, rtol=1e-5)
  assert moved[2] == 0.0


@pytest.mark.parametrize("optimizer", optimization.OPTIMIZERS)
@pytest.mark.parametrize(
  "rates, moving",
  [((0.0, 0.1), {"head"}), ((0.1, 0.0), {"bert/a"}), ((0.0, None), set())],
  ids=["only the head", "only the encoder", "nothing"],
)
def test_a_rate_of_zero_leaves_its_variables_as_they_are(
  optimizer, rates, moving
):
  names = ("bert/a", "head")
  variables = {n: tf.get_variable(n, initializer=[1.5]) for n in names}
  loss = tf.add_n([tf.reduce_sum(v) for v in variables.values()])
  rate, head_rate = rates
  train = optimization.train_step(
    lambda part, index: loss,
    {},
    optimization.Options(
      rate, 10, head_learning_rate=head_rate, optimizer=optimizer
    ),
  )
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for _ in range(3):
      session.run(train.train_op)
    values = session.run(variables)
  assert {name for name, value in values.items() if value != 1.5} == moving


# -------------------------------------------------------------------- LAMB


def test_lamb_steps_as_the_paper_says():
  weights = {"kernel": np.array([3.0, 4.0]), "bias": np.array([2.0])}
  slopes = {"kernel": np.array([0.1, -0.2]), "bias": np.array([0.3])}
  variables = {
    n: tf.get_variable(n, initializer=v.astype(np.float32))
    for n, v in weights.items()
  }
  step = tf.train.get_or_create_global_step()
  optimizer = optimization.LambOptimizer(
    0.5, 0.01, exclude_from_weight_decay=optimization.NOT_DECAYED
  )
  op = optimizer.apply_gradients(
    [(tf.constant(slopes[n], tf.float32), v) for n, v in variables.items()]
  )
  with tf.control_dependencies([op]):
    op = step.assign_add(1)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for _ in range(3):
      session.run(op)
    found = session.run(variables)
  m, v = {n: 0.0 for n in weights}, {n: 0.0 for n in weights}
  for count in (1, 2, 3):
    for name, slope in slopes.items():
      m[name] = 0.9 * m[name] + 0.1 * slope
      v[name] = 0.999 * v[name] + 0.001 * slope**2
      update = m[name] / (1 - 0.9**count)
      update = update / (np.sqrt(v[name] / (1 - 0.999**count)) + 1e-6)
      ratio = 1.0
      if name == "kernel":
        update = update + 0.01 * weights[name]
        ratio = np.linalg.norm(weights[name]) / np.linalg.norm(update)
      weights[name] = weights[name] - 0.5 * ratio * update
  for name, expected in weights.items():
    np.testing.assert_allclose(found[name], expected, rtol=1e-4)


# ------------------------------------------------------------ loss scaling


def test_an_overflow_changes_nothing_but_the_scale():
  w = tf.get_variable("w", initializer=[1.0])
  factor = tf.placeholder(tf.float32, [])
  train = optimization.train_step(
    lambda batch, index: tf.reduce_sum(w) * factor,
    {},
    optimization.Options(0.1, 10, scale_loss=True),
  )
  slots = ["w", "w/adam_m", "w/adam_v"]
  values = {v.op.name: v for v in tf.global_variables()}
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    session.run(train.train_op, {factor: 0.5})
    first = session.run(values)
    np.testing.assert_allclose(first["w/adam_m"], [0.05], rtol=1e-5)
    assert first["loss_scale/scale"] == 2.0**15
    session.run(train.train_op, {factor: 1e38})  # times 2^15 is infinite
    second = session.run(values)
  assert [second[n] for n in slots] == [first[n] for n in slots]
  assert second["loss_scale/scale"] == 2.0**14
  assert (first["loss_scale/good_steps"], second["loss_scale/good_steps"]) == (
    1,
    0,
  )


def test_the_scale_doubles_after_many_good_steps(monkeypatch):
  monkeypatch.setattr(optimization, "STEPS_TO_DOUBLE_SCALE", 2)
  w = tf.get_variable("w", initializer=[1.0])
  train = optimization.train_step(
    lambda batch, index: tf.reduce_sum(w),
    {},
    optimization.Options(0.1, 10, scale_loss=True),
  )
  scale = tf.global_variables("loss_scale/scale")[0]
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    found = []
    for _ in range(4):
      session.run(train.train_op)
      found.append(session.run(scale))
  assert found == [2.0**15, 2.0**16, 2.0**16, 2.0**17]


@pytest.mark.parametrize(
  ("rate", "head_rate", "name", "shown"),
  [
    (0.5, 0.25, "bert/w", 0.5),
    (0.5, 0.25, "head/w", 0.25),
    (0.0, 0.25, "bert/w", 0.25),
    (0.5, None, "head/w", 0.5),
  ],
)
def test_the_rate_that_is_shown_is_one_in_use(rate, head_rate, name, shown):
  w = tf.get_variable(name, initializer=[1.0])
  options = optimization.Options(rate, 10, head_learning_rate=head_rate)
  step = optimization.train_step(lambda *_: tf.reduce_sum(w), {}, options)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    assert session.run(step.learning_rate) == shown
