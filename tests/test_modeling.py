# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Tests of the encoder: the original's values, names, shapes and dropout."""

import gc
import json
import math
import pathlib
import subprocess
import sys
import weakref

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import modeling
import optimization
from bert.ops import gradients

GOLDEN = pathlib.Path(__file__).parent / "golden"
CHECKPOINT = str(GOLDEN / "tiny_checkpoint" / "model.ckpt")
QUICK_START = str(GOLDEN.parent.parent / "sample_data" / "bert_config.json")

TINY = dict(
  vocab_size=30,
  hidden_size=8,
  num_hidden_layers=2,
  num_attention_heads=2,
  intermediate_size=16,
  max_position_embeddings=8,
  type_vocab_size=2,
)
RELEASED = dict(vocab_size=30522, type_vocab_size=2)
CONFIGS = {
  "tiny": TINY,
  "base": RELEASED,
  "large": dict(
    RELEASED,
    hidden_size=1024,
    num_hidden_layers=24,
    num_attention_heads=16,
    intermediate_size=4096,
  ),
  "quick start": json.loads(pathlib.Path(QUICK_START).read_text()),
}


def golden_config(**changes):
  file = str(GOLDEN / "tiny_checkpoint" / "bert_config.json")
  config = modeling.BertConfig.from_json_file(file)
  config.__dict__.update(changes)
  return config


@pytest.fixture
def golden():
  return dict(np.load(GOLDEN / "modeling.npz"))


def golden_inputs(golden):
  names = "input_ids", "input_mask", "segment_ids"
  return [golden["in/" + name] for name in names]


def session_from(checkpoint):
  """A session whose variables come from a checkpoint, all of them."""
  variables = tf.trainable_variables()
  found, _ = modeling.get_assignment_map_from_checkpoint(variables, checkpoint)
  assert set(found) == {variable.op.name for variable in variables}
  tf.train.init_from_checkpoint(checkpoint, found)
  session = tf.Session()
  session.run(tf.global_variables_initializer())
  return session


@pytest.mark.parametrize("use_one_hot", [False, True])
def test_outputs_are_the_originals(golden, use_one_hot):
  model = modeling.BertModel(
    golden_config(), False, *golden_inputs(golden), use_one_hot
  )
  outputs = {
    "embedding_output": model.get_embedding_output(),
    "pooled_output": model.get_pooled_output(),
  }
  for i, layer in enumerate(model.get_all_encoder_layers()):
    outputs[f"encoder_layer_{i}"] = layer
  with session_from(CHECKPOINT) as session:
    for name, value in session.run(outputs).items():
      np.testing.assert_allclose(value, golden["out/" + name], atol=1e-5)


@pytest.mark.parametrize(
  ("dtype", "tolerance"), [(tf.bfloat16, 0.05), (tf.float16, 0.02)]
)
def test_low_precision_stays_near_and_hands_out_float32(
  golden, dtype, tolerance
):
  model = modeling.BertModel(
    golden_config(), False, *golden_inputs(golden), compute_dtype=dtype
  )
  assert all(v.dtype.base_dtype == tf.float32 for v in tf.global_variables())
  outputs = [
    model.get_embedding_output(),
    model.get_pooled_output(),
    *model.get_all_encoder_layers(),
  ]
  assert all(output.dtype == tf.float32 for output in outputs)
  with session_from(CHECKPOINT) as session:
    pooled, layer = session.run([outputs[1], outputs[-1]])
  expected = golden["out/pooled_output"]
  np.testing.assert_allclose(pooled, expected, atol=tolerance)
  assert np.abs(layer - golden["out/encoder_layer_2"]).max() < 2 * tolerance


def test_low_precision_products_are_low_precision():
  ids = tf.placeholder(tf.int32, [None, None])
  model = modeling.BertModel(
    golden_config(), False, ids, ids, compute_dtype=tf.bfloat16
  )
  assert model.get_pooled_output().dtype == tf.float32
  products = [
    op
    for op in tf.get_default_graph().get_operations()
    if op.type.endswith(("MatMul", "MatMulV2")) and "encoder" in op.name
  ]
  assert products
  assert all(op.outputs[0].dtype == tf.bfloat16 for op in products)


# ---------------------------------------------------------- configuration


def config_file(tmp_path, text):
  path = tmp_path / "bert_config.json"
  path.write_text(text)
  return str(path)


def test_unknown_keys_are_kept(tmp_path):
  given = {**TINY, "directionality": "bidi", "pooler_fc_size": 768}
  path = config_file(tmp_path, json.dumps(given))
  config = modeling.BertConfig.from_json_file(path)
  assert config.pooler_fc_size == 768
  assert given.items() <= config.to_dict().items()
  assert json.loads(config.to_json_string()) == config.to_dict()


def test_arguments_stand_in_the_originals_order():
  config = modeling.BertConfig(9, 8, 7, 4, 5, "relu", 0.1, 0.2, 3, 2, 0.01)
  assert list(config.to_dict().values()) == [
    *(9, 8, 7, 4, 5, "relu"),
    *(0.1, 0.2, 3, 2, 0.01),
  ]


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ('{"hidden_size": 8}', "vocab_size is missing"),
    ("{", "not JSON"),
    ("[1]", "has to be an object"),
    ('{"vocab_size": 9, "hidden_size": "8"}', "hidden_size is '8'"),
    ('{"vocab_size": 9, "validate": 1}', "'validate' is a method, and no key"),
    ('{"vocab_size": 2147483648}', "a whole number over 0 that int32 can hold"),
    ('{"vocab_size": true}', "vocab_size is True, not a whole number over 0"),
    ('{"vocab_size": 9, "hidden_act": 3}', "hidden_act is 3, not the name of"),
    ('{"vocab_size": 9, "initializer_range": -0.1}', "is -0.1, not a number"),
    ('{"vocab_size": 9, "initializer_range": "0.1"}', "is '0.1', not a number"),
    ('{"vocab_size": 9, "initializer_range": null}', "is None, not a number"),
    ('{"vocab_size": 9, "hidden_dropout_prob": 1.5}', "is 1.5, not .* up to 1"),
    ('{"vocab_size": 9, "hidden_dropout_prob": 1}', "prob is 1, not a number"),
    (
      '{"vocab_size": 9, "hidden_dropout_prob": true}',
      "prob is True, not a num",
    ),
    (
      '{"vocab_size": 9, "attention_probs_dropout_prob": [0]}',
      r"is \[0\], not",
    ),
    ('{"vocab_size": 9, "hidden_size": NaN}', "not JSON: NaN is not a number"),
    ('{"vocab_size": 9, "hidden_size": 10}', "10 is not a multiple of .* 12"),
  ],
)
def test_an_unusable_configuration_is_named(tmp_path, text, message):
  path = config_file(tmp_path, text)
  with pytest.raises(ValueError, match=f"bert_config.json.*{message}"):
    modeling.BertConfig.from_json_file(path)


# ------------------------------------------------------- names and shapes


def tiny_model(input_ids, is_training=False, **arguments):
  config = modeling.BertConfig(**TINY)
  return modeling.BertModel(config, is_training, input_ids, **arguments)


def trainable_names():
  return [variable.op.name for variable in tf.trainable_variables()]


def test_names_and_shapes_are_the_originals():
  modeling.BertModel(golden_config(), False, np.zeros([1, 2], np.int32))
  found = {v.op.name: v.shape.as_list() for v in tf.trainable_variables()}
  original = dict(tf.train.list_variables(CHECKPOINT))
  assert found == {n: s for n, s in original.items() if n.startswith("bert/")}


@pytest.mark.parametrize("name", CONFIGS)
def test_parameters_are_counted(name):
  golden = json.loads((GOLDEN / "parameters.json").read_text())
  assert name in golden, f"parameters.json has no count for {name}"
  config = modeling.BertConfig.from_dict(CONFIGS[name])
  modeling.BertModel(config, False, tf.zeros([1, 2], tf.int32))
  variables = tf.trainable_variables("bert/")
  assert sum(v.shape.num_elements() for v in variables) == golden[name]


def test_a_second_model_has_weights_of_its_own():
  ids = tf.zeros([1, 2], tf.int32)
  tiny_model(ids)
  first = trainable_names()
  tiny_model(ids)
  second = [name.replace("bert/", "bert_1/", 1) for name in first]
  assert trainable_names() == first + second


def test_models_in_one_reused_scope_share_weights():
  ids = tf.constant([[3, 4, 5]])
  one = tiny_model(ids, scope="bert")
  names = trainable_names()
  with tf.variable_scope("", reuse=tf.AUTO_REUSE):
    other = tiny_model(ids, scope="bert")
  assert trainable_names() == names
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    a, b = session.run([one.get_pooled_output(), other.get_pooled_output()])
  np.testing.assert_array_equal(a, b)


def test_the_assignment_map_holds_what_the_checkpoint_has():
  tf.get_variable("bert/pooler/dense/bias", [32])
  tf.get_variable("output_bias", [3])
  found, initialized = modeling.get_assignment_map_from_checkpoint(
    tf.trainable_variables(), CHECKPOINT
  )
  name = "bert/pooler/dense/bias"
  assert dict(found) == {name: name}
  assert initialized == {name: 1, name + ":0": 1}


def test_unknown_shapes_give_the_same_outputs(golden):
  inputs = golden_inputs(golden)
  holders = [tf.placeholder(tf.int32, [None, None]) for _ in inputs]
  with tf.variable_scope("", reuse=tf.AUTO_REUSE):
    models = [
      modeling.BertModel(golden_config(), False, *arrays, scope="bert")
      for arrays in (inputs, holders)
    ]
  outputs = [model.get_sequence_output() for model in models]
  assert outputs[0].shape.as_list() == [4, 24, 32]
  assert outputs[1].shape.as_list() == [None, None, 32]
  with session_from(CHECKPOINT) as session:
    static, dynamic = session.run(outputs, dict(zip(holders, inputs)))
  np.testing.assert_allclose(static, dynamic, atol=1e-5)


def test_no_mask_and_no_segments_are_ones_and_zeros():
  ids = tf.constant([[3, 4, 5]])
  with tf.variable_scope("", reuse=tf.AUTO_REUSE):
    bare = tiny_model(ids, scope="bert")
    full = tiny_model(
      ids,
      input_mask=tf.ones_like(ids),
      token_type_ids=tf.zeros_like(ids),
      scope="bert",
    )
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    a, b = session.run([bare.get_pooled_output(), full.get_pooled_output()])
  np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_sequence_over_the_limit_names_both_numbers():
  with pytest.raises(ValueError, match="length 9 .* max_position_embeddings=8"):
    tiny_model(tf.zeros([1, 9], tf.int32))


def test_shapes_are_checked_by_rank():
  with pytest.raises(ValueError, match=r"input_ids has shape \(3,\), rank 1"):
    tiny_model(tf.zeros([3], tf.int32))
  tensor = tf.placeholder(tf.float32, [None, 4])
  rows, columns = modeling.get_shape_list(tensor, [1, 2])
  assert columns == 4
  with tf.Session() as session:
    assert session.run(rows, {tensor: np.zeros([3, 4])}) == 3


# ---------------------------------------------------------------- dropout


def masks_of_ones(*calls, size=1000):
  """Dropout of ones, half of them dropped, for (scope, seed) calls."""
  outputs = []
  for scope, seed in calls:
    with tf.variable_scope(scope):
      outputs.append(modeling.dropout(tf.ones([size]), 0.5, seed))
  with tf.Session() as session:
    return session.run(outputs)


def test_a_mask_depends_on_seed_and_scope_alone():
  first, same, other_scope, other_step, other_run = masks_of_ones(
    ("a", [1, 0]), ("a", [1, 0]), ("b", [1, 0]), ("a", [1, 1]), ("a", [2, 0])
  )
  np.testing.assert_array_equal(first, same)
  for other in (other_scope, other_step, other_run):
    assert 0.4 < np.mean(first == other) < 0.6  # as chance has it


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 0.9])
def test_the_rate_is_the_one_asked(rate):
  seed = tf.placeholder(tf.int32, [2])
  output = modeling.dropout(tf.fill([99, 101], 3.0), rate, seed)
  with tf.Session() as session:
    found = [session.run(output, {seed: [7, step]}) for step in range(200)]
  np.testing.assert_allclose(np.max(found), 3.0 / (1.0 - rate), rtol=1e-6)
  scatter = math.sqrt(rate * (1.0 - rate) / np.size(found))
  assert abs(np.mean(np.equal(found, 0.0)) - rate) < 4 * scatter


def test_a_models_dropout_has_its_seed_and_is_off_without_training():
  ids, seed, x = tf.constant([[3, 4]]), tf.constant([1, 2]), tf.ones([99])
  evaluated = tiny_model(ids, dropout_seed=seed)
  assert evaluated.dropout(x, 0.5) is x
  trained = tiny_model(ids, True, dropout_seed=seed)
  with tf.variable_scope("head"):
    outputs = trained.dropout(x, 0.5), modeling.dropout(x, 0.5, seed)
  with tf.Session() as session:
    found, expected = session.run(outputs)
  np.testing.assert_array_equal(found, expected)
  assert set(found) == {0.0, 2.0}


def test_no_dropout_returns_the_tensor_itself():
  x = tf.ones([2])
  assert modeling.dropout(x, 0.0) is x
  assert modeling.dropout(x, None) is x
  with pytest.raises(ValueError, match="dropout probability 1.0"):
    modeling.dropout(x, 1.0)


def two_runs(is_training, dropout_seed=None):
  """Two runs of one model in a new graph whose seed is 5."""
  with tf.Graph().as_default(), tf.Session() as session:
    tf.set_random_seed(5)
    ids = tf.constant([[3, 4, 5]])
    config = modeling.BertConfig(**TINY, hidden_dropout_prob=0.5)
    model = modeling.BertModel(
      config, is_training, ids, dropout_seed=dropout_seed
    )
    session.run(tf.global_variables_initializer())
    return [session.run(model.get_sequence_output()) for _ in range(2)]


def test_without_a_seed_runs_differ_and_follow_the_graphs():
  first, second = two_runs(is_training=True)
  assert np.abs(first - second).max() > 0.1
  np.testing.assert_array_equal([first, second], two_runs(is_training=True))


def test_with_a_seed_runs_are_equal_and_differ_from_no_dropout():
  first, second = two_runs(is_training=True, dropout_seed=[1, 2])
  np.testing.assert_array_equal(first, second)
  assert np.abs(first - two_runs(is_training=False)[0]).max() > 0.1


# -------------------------------------------------------------------- XLA


def train_three_steps(compiled):
  """Losses of a training graph of static shape, with dropout."""
  ids = tf.constant([[3, 4, 5, 6], [7, 8, 9, 0], [3, 2, 1, 0]])
  seed = tf.placeholder(tf.int32, [2])
  tf.train.get_or_create_global_step()

  def step(ids, seed):
    config = modeling.BertConfig(**{**TINY, "num_hidden_layers": 1})
    mask = tf.cast(ids > 0, tf.int32)
    model = modeling.BertModel(config, True, ids, mask, dropout_seed=seed)
    loss = tf.reduce_mean(tf.square(model.get_pooled_output() - 0.1))
    train_op = optimization.create_optimizer(loss, 0.01, 10, 0, False)
    with tf.control_dependencies([train_op]):
      return tf.identity(loss)

  if compiled:
    loss = tf.xla.experimental.compile(step, [ids, seed])[0]
  else:
    loss = step(ids, seed)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    return [session.run(loss, {seed: [1, i]}) for i in range(3)]


def test_a_training_graph_of_static_shape_compiles_with_xla():
  with tf.Graph().as_default():
    tf.set_random_seed(1)
    expected = train_three_steps(compiled=False)
  tf.set_random_seed(1)
  np.testing.assert_allclose(
    train_three_steps(compiled=True), expected, rtol=1e-4
  )
  assert expected[0] != expected[1] != expected[2]


# ------------------------------------------------------ parts by themselves


def numeric_gradient(function, x, upstream, step=1e-6):
  """Central differences of sum(function(x) * upstream), in float64."""
  gradient = np.zeros_like(x)
  for index in np.ndindex(*x.shape):
    moved = np.zeros_like(x)
    moved[index] = step
    change = function(x + moved) - function(x - moved)
    gradient[index] = np.sum(change * upstream) / (2 * step)
  return gradient


def normal(*shape):
  return np.random.normal(size=shape)


def value_and_gradients(function, arrays, upstream):
  """A graph function's value and gradients on float32 copies of arrays."""
  inputs = [tf.constant(array, tf.float32) for array in arrays]
  output = function(*inputs)
  gradients = tf.gradients(output, inputs, tf.constant(upstream, tf.float32))
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    return session.run([output, gradients])


def gelu_by_hand(x):
  inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
  return 0.5 * x * (1 + np.tanh(inner))


def gelu_erf_by_hand(x):
  return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


@pytest.mark.parametrize(
  ("graph", "by_hand"),
  [(modeling.gelu, gelu_by_hand), (modeling.gelu_erf, gelu_erf_by_hand)],
)
def test_gelu_and_its_gradient(graph, by_hand):
  x = np.append(np.linspace(-6, 6, 49), [-100.0, 100.0])
  value, (gradient,) = value_and_gradients(graph, [x], np.ones_like(x))
  np.testing.assert_allclose(value, by_hand(x), atol=1e-6)
  expected = numeric_gradient(by_hand, x, np.ones_like(x))
  np.testing.assert_allclose(gradient, expected, atol=1e-5)


def test_activations_are_found_by_name():
  assert modeling.get_activation("GELU") is modeling.gelu
  assert modeling.get_activation("gelu_erf") is modeling.gelu_erf
  assert modeling.get_activation("Relu") is tf.nn.relu
  for name in (None, "", "linear"):
    assert modeling.get_activation(name) is None
  assert modeling.get_activation(tf.sin) is tf.sin


def layer_norm_by_hand(x):
  centred = x - x.mean(axis=-1, keepdims=True)
  variance = (centred**2).mean(axis=-1, keepdims=True)
  return centred / np.sqrt(variance + 1e-12)


# Training has gradients of its own; without it they are TensorFlow's.
both_gradients = pytest.mark.parametrize("is_training", [True, False])


@both_gradients
def test_layer_norm_and_its_gradient(is_training):
  x, upstream, gamma, beta = normal(2, 3, 5), normal(2, 3, 5), normal(5), 0.5
  with tf.variable_scope("LayerNorm"):
    tf.get_variable("gamma", initializer=gamma.astype(np.float32))
    tf.get_variable("beta", initializer=np.full([5], beta, np.float32))
  with tf.variable_scope("", reuse=True):
    value, (gradient,) = value_and_gradients(
      lambda x: modeling.layer_norm(x, "LayerNorm", is_training=is_training),
      [x],
      upstream,
    )

  def by_hand(x):
    return layer_norm_by_hand(x) * gamma + beta

  np.testing.assert_allclose(value, by_hand(x), atol=1e-5)
  expected = numeric_gradient(by_hand, x, upstream)
  np.testing.assert_allclose(gradient, expected, atol=1e-4)


@both_gradients
def test_layer_norms_weights_have_the_right_gradients(is_training):
  x, upstream = normal(4, 5), normal(4, 5)
  output = modeling.layer_norm(
    tf.constant(x, tf.float32), is_training=is_training
  )
  assert trainable_names() == ["LayerNorm/beta", "LayerNorm/gamma"]
  gradients = tf.gradients(
    output, tf.trainable_variables(), tf.constant(upstream, tf.float32)
  )
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    to_beta, to_gamma = session.run(gradients)
  np.testing.assert_allclose(to_beta, upstream.sum(axis=0), atol=1e-5)
  expected = (upstream * layer_norm_by_hand(x)).sum(axis=0)
  np.testing.assert_allclose(to_gamma, expected, atol=1e-5)


@both_gradients
def test_attention_and_its_gradients_are_those_of_its_equation(is_training):
  arrays = [normal(2, 3, 4, 5) for _ in range(3)]
  mask_scores = tf.constant([[0.0, 0, 0, -1e4], [0, 0, 0, 0]])
  mask_scores = mask_scores[:, tf.newaxis, tf.newaxis, :]
  seed = tf.constant([3, 4])
  kept = modeling.dropout(tf.ones([2, 3, 4, 4]), 0.5, seed)  # 0 or 2

  def fast(query, key, value):
    return modeling.attend(
      *(query, key, value, mask_scores, 0.5, seed), is_training=is_training
    )

  def plain(query, key, value):
    scores = tf.matmul(query, key, transpose_b=True) / math.sqrt(5)
    return tf.matmul(tf.nn.softmax(scores + mask_scores) * kept, value)

  upstream = normal(2, 3, 4, 5)
  value, gradients = value_and_gradients(fast, arrays, upstream)
  expected, slopes = value_and_gradients(plain, arrays, upstream)
  np.testing.assert_allclose(value, expected, atol=1e-5)
  for found, slope in zip(gradients, slopes):
    np.testing.assert_allclose(found, slope, atol=1e-5)


def loss_and_gradients(inputs, scope=None, **options):
  """The loss of a training graph, and its dense gradients, in a list."""
  model = modeling.BertModel(
    golden_config(),
    True,
    *inputs,
    scope=scope,
    dropout_seed=tf.constant([1, 2]),
    **options,
  )
  loss = tf.reduce_mean(tf.square(model.get_pooled_output() - 0.1))
  gradients = tf.gradients(loss, tf.trainable_variables())
  return [loss, *map(tf.convert_to_tensor, gradients)]


def assert_all_close(values, expected, tolerance=1e-6):
  for value, wanted in zip(values, expected):
    np.testing.assert_allclose(value, wanted, tolerance, tolerance)


# The pooled token comes first; a position may come twice.
@pytest.mark.parametrize(
  ("positions", "static", "by_pairs", "options"),
  [
    ([0], True, False, {}),
    ([0], False, False, {"compiled": True}),
    ([0], False, True, {"recompute_layers": True}),
    ([0, 3, 1, 3], False, False, {}),
    ([0, 3, 1, 3], True, True, {"compiled": True}),
    ([0, 3, 1, 3], False, False, {"recompute_layers": True}),
    ([0, 3, 1, 3], True, False, {"trained_layers": 1}),
    ([0, 3, 1, 3], False, True, {"trained_layers": 0}),
  ],
)
def test_the_last_layer_can_compute_the_tokens_that_are_needed_alone(
  golden, positions, static, by_pairs, options
):
  config = golden_config(
    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
  )
  inputs = [tf.constant(x, tf.int32) for x in golden_inputs(golden)]
  positions = tf.tile([positions], [inputs[0].shape[0], 1])
  if not static:
    inputs = [tf.placeholder_with_default(x, [None, None]) for x in inputs]
  if by_pairs:
    inputs[1] = tf.cast(
      modeling.create_attention_mask_from_input_mask(*inputs[:2]), tf.int32
    )

  def outputs_of(last_positions):
    with tf.variable_scope("", reuse=tf.AUTO_REUSE):
      model = modeling.BertModel(
        *(config, True, *inputs),
        scope="bert",
        last_positions=last_positions,
        **options,
      )
    output = model.get_sequence_output()
    assert model.get_all_encoder_layers()[-1] is output
    if last_positions is None:
      output = tf.gather(output, positions, batch_dims=1)
    pooled = model.get_pooled_output()
    loss = tf.reduce_sum(tf.square(output)) + tf.reduce_sum(pooled)
    gradients = tf.gradients(loss, tf.trainable_variables())
    gradients = [tf.convert_to_tensor(g) for g in gradients if g is not None]
    assert (len(gradients) > 15) == (options.get("trained_layers") != 0)
    return [output, pooled, *gradients]

  outputs = outputs_of(positions), outputs_of(None)
  with session_from(CHECKPOINT) as session:
    found, wanted = session.run(outputs)
  assert found[0].shape[:2] == tuple(positions.shape)
  assert len(found) == len(wanted)
  assert_all_close(found, wanted, 2e-5)


def test_packed_rows_need_all_tokens_of_the_last_layer():
  with pytest.raises(ValueError, match="packed rows need all tokens"):
    modeling.BertModel(
      modeling.BertConfig(**TINY),
      False,
      tf.constant([[1, 2, 3]]),
      tf.constant([[1, 1, 1]]),
      packed_starts=tf.constant([[0]]),
      last_positions=tf.constant([[0]]),
    )


# In bfloat16 the two graphs may fuse, and so round, differently.
@pytest.mark.parametrize(
  ("dtype", "tolerance"), [(tf.float32, 1e-6), (tf.bfloat16, 0.02)]
)
@pytest.mark.parametrize("static", [True, False])
def test_recomputing_changes_neither_loss_nor_gradients(
  golden, dtype, tolerance, static
):
  results = []
  for recompute in (False, True):
    tf.reset_default_graph()
    inputs = [tf.constant(x, tf.int32) for x in golden_inputs(golden)]
    if not static:
      inputs = [tf.placeholder_with_default(x, [None, None]) for x in inputs]
    outputs = loss_and_gradients(
      inputs, compute_dtype=dtype, recompute_layers=recompute
    )
    with session_from(CHECKPOINT) as session:
      results.append(session.run(outputs))
  assert_all_close(*results, tolerance)


def test_recomputing_works_in_a_while_loop(golden):
  inputs = [tf.constant(x, tf.int32) for x in golden_inputs(golden)]
  outside = loss_and_gradients(inputs)

  def body(i, sums):
    with tf.variable_scope("", reuse=True):
      inside = loss_and_gradients(inputs, "bert", recompute_layers=True)
    return i + 1, [total + one for total, one in zip(sums, inside)]

  zeros = [tf.zeros_like(x) for x in outside]
  _, sums = tf.while_loop(lambda i, _: i < 2, body, [0, zeros])
  with session_from(CHECKPOINT) as session:
    once, twice = session.run([outside, sums])
  assert_all_close(twice, [2.0 * x for x in once])


MEMORY_SCRIPT = """
import re
import numpy as np, tensorflow.compat.v1 as tf
import modeling
tf.disable_v2_behavior(); tf.enable_resource_variables()

def kilobytes(name):
  status = open("/proc/self/status").read()
  return int(re.search(name + r": *\\s*(\\d+)", status)[1])

def peak(recompute_layers):
  config = modeling.BertConfig(20, 32, 6, 4, 64)
  with tf.Graph().as_default(), tf.Session() as session:
    ids = tf.placeholder(tf.int32, [None, None])
    model = modeling.BertModel(
      config, True, ids, ids, compiled=True, recompute_layers=recompute_layers)
    loss = tf.reduce_sum(model.get_pooled_output())
    step = tf.linalg.global_norm(tf.gradients(loss, tf.trainable_variables()))
    session.run(tf.global_variables_initializer())
    session.run(step, {ids: np.ones([1, 8])})
    start = kilobytes("VmRSS")
    session.run(step, {ids: np.ones([3, 512])})
    return kilobytes("VmHWM") - start

print(peak(True), peak(False))
"""


@pytest.mark.slow
def test_recomputing_takes_less_memory():
  done = subprocess.run(
    [sys.executable, "-c", MEMORY_SCRIPT],
    cwd=pathlib.Path(__file__).parent.parent,
    capture_output=True,
    check=True,
  )
  less, more = map(int, done.stdout.split())
  assert less < 0.75 * more


def compiled_functions():
  """The functions of the default graph that XLA compiles."""
  return [
    function
    for function in tf.get_default_graph().as_graph_def().library.function
    if "_XlaMustCompile" in function.attr
  ]


@pytest.mark.parametrize("is_training", [False, True])
def test_a_compiled_model_is_the_plain_one_with_functions_for_xla(is_training):
  config = modeling.BertConfig(12, 8, 1, 2, 16)
  arguments = config, is_training, tf.constant([[1, 2, 3]])
  options = dict(scope="bert", dropout_seed=tf.constant([1, 2]))
  plain = modeling.BertModel(*arguments, **options)
  assert not compiled_functions()
  with tf.variable_scope("", reuse=True):
    compiled = modeling.BertModel(*arguments, **options, compiled=True)
  assert compiled_functions()
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    found, wanted = session.run(
      [plain.get_pooled_output(), compiled.get_pooled_output()]
    )
  np.testing.assert_allclose(found, wanted, rtol=1e-5)


def has_own_gradients():
  graph = tf.get_default_graph()
  return any(op.type == "IdentityN" for op in graph.get_operations())


def test_only_training_graphs_have_gradients_of_their_own():
  ids = tf.constant([[3, 4, 5]])
  tiny_model(ids, compiled=True)
  assert not has_own_gradients()
  tiny_model(ids, True)
  assert has_own_gradients()


def test_a_gradient_of_its_own_is_used_in_loops_and_functions():
  def tripled(x):  # with the gradient 5
    return gradients.with_gradient(
      3.0 * x, [x], lambda upstream: [5 * upstream]
    )

  def sum_of_gradients(x):
    def add(i, total):
      return i + 1, total + tf.gradients(tripled(x), x)[0]

    return tf.while_loop(lambda i, _: i < 2, add, [0, tf.constant(0.0)])[1]

  x = tf.constant(2.0)
  y = tripled(x)
  called = tf.function(tripled, autograph=False)(x)
  found = [
    y,
    tf.gradients(y, x)[0],
    tf.gradients(called, x)[0],
    sum_of_gradients(x),
    tf.function(sum_of_gradients, autograph=False)(x),
  ]
  with tf.Session() as session:
    assert session.run(found) == [6.0, 5.0, 5.0, 10.0, 10.0]


def built_graph(is_training, compiled, recompute=False, slices=1):
  """A weak reference to a graph that was built, run and left."""
  with tf.Graph().as_default() as graph, tf.Session() as session:
    batch = {"ids": tf.constant([[3, 4, 5], [3, 5, 0]])}

    def loss_fn(part, index):
      del index
      model = tiny_model(
        *(part["ids"], is_training),
        scope="bert",
        compiled=compiled,
        recompute_layers=recompute,
      )
      return tf.reduce_sum(model.dropout(model.get_pooled_output(), 0.1))

    if is_training:
      options = optimization.Options(0.1, 10, slices=slices)
      fetched = optimization.train_step(loss_fn, batch, options).train_op
    else:
      fetched = loss_fn(batch, 0)
    session.run(tf.global_variables_initializer())
    session.run(fetched)
    return weakref.ref(graph)


@pytest.mark.parametrize(
  "options",
  [
    dict(is_training=False, compiled=False),
    dict(is_training=False, compiled=True),
    dict(is_training=True, compiled=False),
    dict(is_training=True, compiled=True, slices=2),
    dict(is_training=True, compiled=True, recompute=True),
  ],
)
def test_a_graph_is_freed_once_nobody_uses_it(options):
  graph = built_graph(**options)
  gc.collect()
  assert graph() is None


def first_weights(seed, ops_before=0):
  with tf.Graph().as_default(), tf.Session() as session:
    tf.set_random_seed(seed)
    for _ in range(ops_before):
      tf.constant(0)
    modeling.BertModel(
      modeling.BertConfig(20, 8, 2, 2, 16), False, tf.constant([[1, 2]])
    )
    session.run(tf.global_variables_initializer())
    return {v.name: session.run(v) for v in tf.trainable_variables()}


def test_first_weights_follow_from_the_seed_and_the_name():
  weights, again = first_weights(5), first_weights(5, ops_before=7)
  for name, value in weights.items():
    np.testing.assert_array_equal(value, again[name])
  layers = [w for n, w in weights.items() if n.endswith("query/kernel:0")]
  assert not np.allclose(*layers)
  other = first_weights(6)["bert/pooler/dense/kernel:0"]
  assert not np.allclose(other, weights["bert/pooler/dense/kernel:0"])
