# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The parts of the encoder under the original's names, called by themselves."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import modeling

B, F, T, N, H = 2, 3, 4, 2, 5
RNG = np.random.RandomState(0)


def evaluate(tensors, seed=1):
  """The tensors' values, with weights drawn from a seed."""
  tf.set_random_seed(seed)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    return session.run(tensors)


def floats(*shape):
  return tf.constant(RNG.standard_normal(shape).astype(np.float32))


def attention_by_hand(sequences, mask, weights):
  """Multi-head attention with numpy's einsum, [B, F, N * H]."""
  (query, key, value) = (
    (x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]).reshape(
      *x.shape[:2], N, H
    )
    for x, name in zip(sequences, ("query", "key", "value"))
  )
  scores = np.einsum("bfnh,btnh->bnft", query, key) / np.sqrt(H)
  scores = np.where(mask[:, np.newaxis], scores, scores - 10000.0)
  shares = np.exp(scores - scores.max(-1, keepdims=True))
  shares /= shares.sum(-1, keepdims=True)
  context = np.einsum("bnft,btnh->bfnh", shares, value)
  return context.reshape(*context.shape[:2], N * H)


# ------------------------------------------------------------- attention


def test_attention_to_another_sequence_is_the_papers():
  tf.set_random_seed(1)
  from_tensor, to_tensor = floats(B, F, 6), floats(B, T, 7)
  mask = np.array([[[1, 1, 0, 0]] * F, [[1, 0, 0, 0], [0, 1, 1, 1], [1] * 4]])
  context = modeling.attention_layer(
    *(from_tensor, to_tensor, mask, N, H), initializer_range=1.0
  )
  weights = {v.op.name: v for v in tf.trainable_variables()}
  assert sorted(weights) == [
    f"{layer}/{part}"
    for layer in ("key", "query", "value")
    for part in ("bias", "kernel")
  ]
  context, a, b, weights = evaluate([context, from_tensor, to_tensor, weights])
  by_hand = attention_by_hand([a, b, b], mask, weights)
  np.testing.assert_allclose(context, by_hand, rtol=1e-5, atol=1e-5)


def test_attention_takes_and_returns_matrices():
  from_tensor, to_tensor = floats(B, F, 6), floats(B, T, 6)
  with tf.variable_scope("shared", reuse=tf.AUTO_REUSE):
    whole = modeling.attention_layer(from_tensor, to_tensor, None, N, H)
    matrix = modeling.attention_layer(
      modeling.reshape_to_matrix(from_tensor),
      modeling.reshape_to_matrix(to_tensor),
      *(None, N, H),
      do_return_2d_tensor=True,
      batch_size=B,
      from_seq_length=F,
      to_seq_length=T,
    )
  whole, matrix = evaluate([whole, matrix])
  assert whole.shape == (B, F, N * H)
  np.testing.assert_array_equal(whole.reshape(-1, N * H), matrix)


def test_projections_have_the_given_activations():
  ones = tf.ones([B, F, 6])
  context = modeling.attention_layer(
    *(ones, ones, None, N, H), value_act=lambda x: 0.0 * x + 3.0
  )
  np.testing.assert_array_equal(evaluate(context), np.full([B, F, N * H], 3.0))


def test_matrices_without_their_sizes_are_an_error():
  with pytest.raises(ValueError, match="need batch_size, from_seq_length and"):
    modeling.attention_layer(tf.ones([6, 4]), tf.ones([6, 4]), batch_size=2)


def test_the_two_sequences_have_the_same_rank():
  with pytest.raises(ValueError, match="to_tensor has shape .* must be 3"):
    modeling.attention_layer(tf.ones([2, 3, 4]), tf.ones([6, 4]))


@pytest.mark.parametrize("shape", [(B,), (B, 1, F, F)])
def test_a_mask_of_the_wrong_rank_is_an_error(shape):
  x = tf.ones([B, F, 8])
  with pytest.raises(ValueError, match="attention_mask .* must be 2 or 3"):
    modeling.attention_layer(x, x, tf.ones(shape))


def test_the_models_mask_has_two_axes_or_three():
  config = modeling.BertConfig(9, 8, 1, 2, 16, max_position_embeddings=8)
  ids = tf.zeros([2, 3], tf.int32)
  with pytest.raises(ValueError, match="input_mask .* must be 2 or 3"):
    modeling.BertModel(config, False, ids, tf.ones([2]))


def test_the_mask_of_pairs_repeats_that_of_positions():
  mask = modeling.create_attention_mask_from_input_mask(
    tf.zeros([2, 3, 5]), tf.constant([[1, 1], [1, 0]])
  )
  assert mask.dtype == tf.float32
  expected = [[[1, 1]] * 3, [[1, 0]] * 3]
  np.testing.assert_array_equal(evaluate(mask), expected)


# ----------------------------------------------------------- Transformer


def transformer(x, mask=None, **options):
  sizes = dict(hidden_size=8, num_hidden_layers=3, num_attention_heads=2)
  dropouts = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
  options = {**sizes, **dropouts, "intermediate_size": 12, **options}
  with tf.variable_scope("users", reuse=tf.AUTO_REUSE):
    return modeling.transformer_model(x, mask, **options)


def test_a_transformer_reads_a_users_own_vectors():
  x = floats(B, F, 8)
  positions = tf.constant([[1, 1, 1], [1, 0, 0]])
  pairs = modeling.create_attention_mask_from_input_mask(x, positions)
  layers = transformer(x, pairs, do_return_all_layers=True)
  assert len(layers) == 3
  *_, last = layers
  *layers, again, by_positions = evaluate(
    [*layers, transformer(x, pairs), transformer(x, positions)]
  )
  np.testing.assert_array_equal(layers[-1], again)
  np.testing.assert_array_equal(again, by_positions)
  names = {v.op.name for v in tf.trainable_variables()}
  for i in range(3):
    assert f"users/layer_{i}/attention/self/query/kernel" in names
    assert f"users/layer_{i}/attention/output/LayerNorm/gamma" in names
    assert f"users/layer_{i}/intermediate/dense/bias" in names
    assert f"users/layer_{i}/output/dense/kernel" in names
  assert len(names) == 3 * 16


def test_a_mask_of_pairs_hides_later_tokens():
  x = RNG.standard_normal([1, 3, 8]).astype(np.float32)
  changed = x.copy()
  changed[:, 2] += 1.0  # which the first two tokens can't see
  mask = np.tril(np.ones([1, 3, 3]))
  outputs = [transformer(tf.constant(v), mask) for v in (x, changed)]
  first, second = evaluate(outputs)
  np.testing.assert_array_equal(first[:, :2], second[:, :2])
  assert np.abs(first[:, 2] - second[:, 2]).max() > 1e-3


@pytest.mark.parametrize("recompute", [False, True])
def test_its_own_gradients_are_tensorflows(recompute):
  x = floats(B, F, 8)
  found = []
  for build in (
    modeling.Build(),
    modeling.Build(is_training=True, recompute_layers=recompute),
  ):
    loss = tf.reduce_sum(tf.sin(transformer(x, build=build)))
    found.append(tf.gradients(loss, [x, *tf.trainable_variables()]))
  plain, own = evaluate(found)
  assert len(plain) == 1 + 3 * 16
  for a, b in zip(plain, own):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_dropout_draws_anew_without_a_seed():
  x = floats(B, F, 8)
  build = modeling.Build(is_training=True, recompute_layers=True)
  output = transformer(
    x, hidden_dropout_prob=0.5, initializer_range=1.0, build=build
  )
  gradient = tf.gradients(tf.reduce_sum(tf.sin(output)), x)[0]
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    first, second = (session.run([output, gradient]) for _ in range(2))
  assert np.isfinite(first[1]).all()
  assert np.abs(first[0] - second[0]).max() > 0.1


def test_another_width_is_an_error():
  with pytest.raises(ValueError, match="vectors of 6 numbers, but hidden_size"):
    transformer(tf.ones([B, F, 6]))


def test_an_unknown_width_is_an_error():
  x = tf.placeholder(tf.float32, [2, 3, None])
  with pytest.raises(ValueError, match="last size is unknown: give it"):
    transformer(x)


def test_heads_have_to_divide_the_width():
  with pytest.raises(ValueError, match="8 is not a multiple of .* 3"):
    transformer(tf.ones([B, F, 8]), num_attention_heads=3)


# ------------------------------------------------------------ embeddings


@pytest.mark.parametrize("use_one_hot", [False, True])
def test_words_are_looked_up(use_one_hot):
  ids = tf.constant([[2, 0, 1]])
  vectors, table = modeling.embedding_lookup(
    *(ids, 5, 4), use_one_hot_embeddings=use_one_hot
  )
  assert table.op.name == "word_embeddings"
  vectors, table = evaluate([vectors, table])
  np.testing.assert_array_equal(vectors, table[[[2, 0, 1]]])


def test_ids_may_have_a_last_axis():
  with tf.variable_scope("", reuse=tf.AUTO_REUSE):
    one, table = modeling.embedding_lookup(tf.constant([[[2], [0]]]), 5, 4)
    two, _ = modeling.embedding_lookup(tf.constant([[[2, 1], [0, 3]]]), 5, 4)
  assert two.shape == [1, 2, 8]
  one, two, table = evaluate([one, two, table])
  np.testing.assert_array_equal(one, table[[[2, 0]]])
  np.testing.assert_array_equal(two[0, 1], np.concatenate([table[0], table[3]]))


def test_segments_and_positions_are_added():
  words = floats(2, 3, 4)
  segments = tf.constant([[0, 0, 1], [1, 1, 1]])
  output = modeling.embedding_postprocessor(
    *(words, True, segments), token_type_vocab_size=2, dropout_prob=0.0
  )
  types, positions, *_ = tf.trainable_variables()
  assert types.shape == [2, 4] and positions.shape == [512, 4]
  output, words, types, positions, segments = evaluate(
    [output, words, types, positions, segments]
  )
  total = words + types[segments] + positions[:3]
  centred = total - total.mean(-1, keepdims=True)
  expected = centred / np.sqrt(np.square(centred).mean(-1, keepdims=True))
  np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)


def test_positions_and_segments_may_be_left_out():
  modeling.embedding_postprocessor(
    tf.ones([2, 3, 4]), use_position_embeddings=False
  )
  names = [v.op.name for v in tf.trainable_variables()]
  assert names == ["LayerNorm/beta", "LayerNorm/gamma"]


def test_one_scope_may_hold_two_kinds_of_embeddings():
  for kind in ("words", "tags"):
    modeling.embedding_postprocessor(
      tf.ones([2, 3, 4]), position_embedding_name=f"{kind}/positions"
    )
  names = {v.op.name for v in tf.trainable_variables()}
  assert {"LayerNorm/gamma", "LayerNorm_1/gamma"} <= names


def test_segments_that_are_missing_are_an_error():
  with pytest.raises(ValueError, match="use_token_type needs token_type_ids"):
    modeling.embedding_postprocessor(tf.ones([2, 3, 4]), use_token_type=True)


def test_more_positions_than_there_are_vectors_are_an_error():
  with pytest.raises(ValueError, match="length 9 are over .*=8"):
    modeling.embedding_postprocessor(
      tf.ones([2, 9, 4]), max_position_embeddings=8
    )


# ----------------------------------------------------------- small parts


def test_layer_norm_and_dropout():
  x = floats(40, 50)
  with tf.variable_scope("", reuse=tf.AUTO_REUSE):
    normed = modeling.layer_norm(x, "norm")
    dropped = modeling.layer_norm_and_dropout(x, 0.25, "norm")
  normed, dropped = evaluate([normed, dropped])
  kept = dropped != 0
  assert 0.7 < kept.mean() < 0.8
  np.testing.assert_allclose(dropped[kept], normed[kept] / 0.75, rtol=1e-6)


def test_a_tensor_becomes_a_matrix_and_comes_back():
  x = floats(2, 3, 4)
  matrix = modeling.reshape_to_matrix(x)
  assert matrix.shape == [6, 4]
  assert modeling.reshape_to_matrix(matrix) is matrix
  wider = tf.concat([matrix, matrix], -1)
  back = modeling.reshape_from_matrix(wider, [2, 3, 4])
  assert back.shape == [2, 3, 8]
  assert modeling.reshape_from_matrix(matrix, [6, 4]) is matrix
  back, x = evaluate([back, x])
  np.testing.assert_array_equal(back, np.concatenate([x, x], -1))


def test_a_vector_is_no_matrix():
  with pytest.raises(ValueError, match="the rank must be 2 or more"):
    modeling.reshape_to_matrix(tf.ones([3]))


def test_ranks_are_checked():
  x = tf.ones([2, 3], name="pair")
  modeling.assert_rank(x, 2)
  modeling.assert_rank(x, [1, 2])
  with pytest.raises(ValueError, match="pair:0 has shape .* must be 3"):
    modeling.assert_rank(x, 3)
  with pytest.raises(ValueError, match="mine has shape .* must be 1 or 3"):
    modeling.assert_rank(x, [1, 3], "mine")


def test_the_model_has_the_originals_attributes_and_op_names():
  config = modeling.BertConfig(9, 8, 2, 2, 16, max_position_embeddings=8)
  model = modeling.BertModel(config, False, tf.zeros([2, 3], tf.int32))
  assert model.pooled_output is model.get_pooled_output()
  assert model.pooled_output.name == "bert/pooler/dense/Tanh:0"
  assert model.sequence_output is model.get_sequence_output()
  assert model.sequence_output is model.all_encoder_layers[-1]
  assert model.all_encoder_layers is model.get_all_encoder_layers()
  assert model.embedding_output is model.get_embedding_output()
  assert model.embedding_table is model.get_embedding_table()
  assert model.embedding_table.op.name == "bert/embeddings/word_embeddings"


# --------------------------------------------------------- fixed layers


def encoder(trained_layers, is_training=True, recompute=False):
  """A model of three layers, and the gradients of its variables by name."""
  config = modeling.BertConfig(9, 8, 3, 2, 16, max_position_embeddings=8)
  with tf.variable_scope("", reuse=tf.AUTO_REUSE):
    model = modeling.BertModel(
      *(config, is_training, tf.constant([[1, 2, 3], [4, 5, 0]])),
      scope="bert",
      dropout_seed=tf.constant([1, 2]),
      recompute_layers=recompute,
      trained_layers=trained_layers,
    )
  variables = tf.trainable_variables()
  sums = [tf.reduce_sum(tf.sin(x)) for x in model.all_encoder_layers]
  loss = tf.add_n([*sums, tf.reduce_sum(tf.sin(model.pooled_output))])
  gradients = tf.gradients(loss, variables)
  found = {v.op.name: g for v, g in zip(variables, gradients) if g is not None}
  return loss, found


@pytest.mark.parametrize("recompute", [False, True])
def test_fixed_layers_get_no_gradient_and_the_others_the_same(recompute):
  loss, gradients = encoder(None, recompute=recompute)
  partial_loss, partial = encoder(2, recompute=recompute)
  assert len(gradients) == 5 + 3 * 16 + 2
  assert set(partial) == {
    name
    for name in gradients
    if name.startswith(("bert/encoder/layer_1", "bert/encoder/layer_2"))
    or name.startswith("bert/pooler")
  }
  whole, fixed = evaluate([(loss, gradients), (partial_loss, partial)])
  np.testing.assert_allclose(fixed[0], whole[0], rtol=1e-6)
  for name, gradient in fixed[1].items():
    np.testing.assert_allclose(
      gradient, whole[1][name], rtol=1e-4, atol=1e-5, err_msg=name
    )


def test_nothing_of_the_encoder_is_trained_with_no_layer():
  _, gradients = encoder(0)
  assert gradients == {}


def test_no_backward_pass_is_built_below_the_trained_layers():
  encoder(1)
  names = [op.name for op in tf.get_default_graph().get_operations()]
  backward = [n for n in names if n.startswith("gradients")]
  assert [n for n in backward if "layer_2" in n]
  assert not [n for n in backward if "layer_1" in n or "embeddings" in n]


def test_prediction_has_no_stops():
  encoder(1, is_training=False)
  types = {op.type for op in tf.get_default_graph().get_operations()}
  assert "StopGradient" not in types


def test_more_trained_layers_than_there_are_are_an_error():
  with pytest.raises(ValueError, match="trained_layers is 4, .* has 3 layers"):
    encoder(4)
