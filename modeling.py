# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The BERT encoder as a TensorFlow graph.

In: token ids [B, S] and a BertConfig. Out: a vector of each token [B, S, D] and
of the whole sequence [B, D]. The graph is that of "BERT: Pre-training of Deep
Bidirectional Transformers" (arXiv:1810.04805), and its variables have the names
that released checkpoints use.

Shapes: B batch, S sequence, N heads, H size of a head, D hidden = N * H,
V vocabulary. B and S may be unknown until the graph runs. Between layers, one
matrix [B*S, D] holds the tokens of all sequences.
"""

from __future__ import annotations

import collections
import copy
import dataclasses
import functools
import json
import math

import tensorflow.compat.v1 as tf

from bert.files import reading
from bert.ops.activations import for_training, gelu, gelu_erf, get_activation
from bert.ops.attention import attend
from bert.ops.config_values import check_values
from bert.ops.dropout import draw_seed, dropout
from bert.ops.gradients import recomputed
from bert.ops.layer_norm import add_and_norm, layer_norm
from bert.ops.packed_rows import PackedRows
from bert.ops.positions import select
from bert.ops.shapes import (
  assert_rank,
  get_shape_list,
  reshape_from_matrix,
  reshape_to_matrix,
)
from bert.ops.variables import create_initializer, variable

MASKED_SCORE = -10000.0  # exp() of it is 0, and it is finite in bfloat16

__all__ = [
  "BertConfig",
  "BertModel",
  "Build",
  "assert_rank",
  "attention_layer",
  "create_attention_mask_from_input_mask",
  "create_initializer",
  "dense",
  "dropout",
  "embedding_lookup",
  "embedding_postprocessor",
  "gelu",
  "gelu_erf",
  "get_activation",
  "get_assignment_map_from_checkpoint",
  "get_shape_list",
  "layer_norm",
  "layer_norm_and_dropout",
  "lookup",
  "reshape_from_matrix",
  "reshape_to_matrix",
  "transformer_model",
  "variable",
]


# ---------------------------------------------------------- configuration


@dataclasses.dataclass
class BertConfig:
  """Sizes of a model, as `bert_config.json` names them."""

  vocab_size: int
  hidden_size: int = 768
  num_hidden_layers: int = 12
  num_attention_heads: int = 12
  intermediate_size: int = 3072  # width inside a layer's dense block
  hidden_act: str = "gelu"  # see get_activation
  hidden_dropout_prob: float = 0.1
  attention_probs_dropout_prob: float = 0.1
  max_position_embeddings: int = 512
  type_vocab_size: int = 16
  initializer_range: float = 0.02  # standard deviation

  @classmethod
  def from_dict(cls, json_object: dict) -> BertConfig:
    """Makes a configuration; unknown keys become attributes.

    Raises:
      ValueError: no model can have these sizes.
    """
    for name in json_object:
      if callable(getattr(cls, name, None)):
        raise ValueError(f"{name!r} is a method, and no key of a configuration")
    config = cls(vocab_size=None)
    config.__dict__.update(json_object)
    config.validate()
    return config

  @classmethod
  def from_json_file(cls, json_file: str) -> BertConfig:
    """Reads a configuration; the file may be on `gs://`.

    Raises:
      ValueError: there is no such file, it is not JSON, or no model can have
        its sizes.
    """
    json_object = reading.read_json(json_file, {}, "configuration")
    try:
      return cls.from_dict(json_object)
    except ValueError as error:
      raise ValueError(f"{json_file}: {error}") from None

  def to_dict(self) -> dict:
    """Returns a copy of all keys, including unknown ones."""
    return copy.deepcopy(self.__dict__)

  def to_json_string(self) -> str:
    """Returns the text of a `bert_config.json`."""
    return json.dumps(self.__dict__, indent=2, sort_keys=True) + "\n"

  def validate(self) -> None:
    """Raises ValueError if no model can have these sizes."""
    if self.vocab_size is None:
      raise ValueError("vocab_size is missing from the configuration")
    check_values(self)
    if self.hidden_size % self.num_attention_heads:
      raise ValueError(
        f"hidden_size {self.hidden_size} is not a multiple of"
        f" num_attention_heads {self.num_attention_heads}"
      )


# ------------------------------------------------------------------ model


@dataclasses.dataclass(frozen=True, eq=False)
class Build:
  """How the functions below build their part of a graph.

  The defaults make plain ops with TensorFlow's gradients, which run anywhere.

  Attributes:
    is_training: whether layers have gradients of their own, which are faster
      than TensorFlow's and take less memory. (Dropout is on wherever its
      probability is over 0.)
    compiled: whether XLA compiles parts of the graph, which is faster.
      Leave it off on TPU, in a `tf.while_loop` of TensorFlow 1,
      which can't hold compiled parts, and in a model that is served: the server
      may lack XLA, and XLA compiles again for each new length of text.
    dropout_seed: int32 [2]; None: drawn each time the graph runs.
    recompute_layers: whether training keeps only each layer's output and
      computes the rest again for the gradient.
    trained_layers: how many of the top layers get gradients; the layers below
      and the embeddings get none, and keep nothing for them. None: all.
  """

  is_training: bool = False
  compiled: bool = False
  dropout_seed: tf.Tensor | None = None
  recompute_layers: bool = False
  trained_layers: int | None = None


PLAIN = Build()


class BertModel:
  """The encoder, built in the default graph when the object is made.

  Attributes:
    config, is_training, compiled, last_positions: as given.
    compute_dtype: as given, a tf.DType.
    embedding_table: the word embeddings, a variable [V, D].
    embedding_output: the vectors that enter the first layer, float32 [B, S, D].
    all_encoder_layers: every layer's vectors, a list of float32 [B, S, D].
    sequence_output: the last of them. If `last_positions` was given, it is [B,
      P, D] and holds the tokens at those positions.
    pooled_output: the vector of each sequence, float32 [B, D].
  """

  def __init__(
    self,
    config,
    is_training,
    input_ids,
    input_mask=None,
    token_type_ids=None,
    use_one_hot_embeddings=False,
    scope=None,
    dropout_seed=None,
    compute_dtype=tf.float32,
    recompute_layers=False,
    compiled=False,
    trained_layers=None,
    packed_starts=None,
    last_positions=None,
  ):
    """Builds the graph.

    Args:
      config: BertConfig.
      is_training: bool, whether dropout is on; see `Build` too.
      input_ids: int32 [B, S].
      input_mask: int32 [B, S], 1 for tokens and 0 for padding, or [B, S, S],
        which tokens each token may attend to; None: all 1.
      token_type_ids: int32 [B, S], the segment; None: all 0.
      use_one_hot_embeddings: look words up by a matrix product, for TPU.
      scope: variable scope; None: `bert`, or `bert_1` where that is taken.
      dropout_seed: as `Build` has it.
      compute_dtype: float type of matrix products and activations. Variables,
        softmax, LayerNorm's statistics and all outputs are always float32.
      recompute_layers: as `Build` has it.
      compiled: as `Build` has it.
      trained_layers: as `Build` has it; with 0 the pooler gets none either.
      packed_starts: as `PackedRows` takes it: the layers compute R rows with
        several sequences each. Outputs are [B, ...] all the same, and 0 for
        padding. None: each sequence has a row of its own.
      last_positions: int32 [B, P], the tokens whose vectors are needed of the
        last layer, which computes no others; the first is pooled. It saves
        most of a layer if that is [CLS] alone. None: all, and [CLS] is pooled.

    Raises:
      ValueError: a size or a rank is wrong, S is over the limit, or
        `last_positions` are given for packed rows.
    """
    config.validate()
    if is_training and dropout_seed is None:
      dropout_seed = draw_seed()
    self.config, self.is_training, self.compiled = config, is_training, compiled
    self.compute_dtype = tf.as_dtype(compute_dtype)
    self._build = Build(
      *(is_training, compiled, dropout_seed, recompute_layers, trained_layers)
    )
    self.last_positions = _checked_positions(last_positions, packed_starts)
    inputs = input_ids, input_mask, token_type_ids
    with tf.variable_scope(scope, default_name="bert"):
      self._compute(*inputs, use_one_hot_embeddings, packed_starts)

  def _compute(
    self, input_ids, input_mask, token_type_ids, use_one_hot, packed_starts
  ):
    """Sets the attributes that hold the model's tensors."""
    input_ids = tf.convert_to_tensor(input_ids)
    assert_rank(input_ids, 2, "input_ids")
    if token_type_ids is None:
      token_type_ids = tf.zeros_like(input_ids)
    rows = position_ids = None
    if packed_starts is not None:
      rows = PackedRows(packed_starts, input_mask)
      input_ids, token_type_ids = map(rows.pack, (input_ids, token_type_ids))
      position_ids, input_mask = rows.position_ids, rows.attention_mask
    with tf.variable_scope("embeddings"):
      tokens = self._embed(input_ids, token_type_ids, position_ids, use_one_hot)
    with tf.variable_scope("encoder"):
      layers = self._encode(tokens, input_mask)
    if rows:
      tokens, *layers = map(rows.unpack, (tokens, *layers))
    self.embedding_output = tf.cast(tokens, tf.float32)
    self.all_encoder_layers = [tf.cast(x, tf.float32) for x in layers]
    self.sequence_output = self.all_encoder_layers[-1]
    with tf.variable_scope("pooler"):
      self.pooled_output = self._pool(self.sequence_output)
    if self.is_training and self._build.trained_layers == 0:
      self.pooled_output = tf.stop_gradient(self.pooled_output)

  def get_pooled_output(self):
    return self.pooled_output

  def get_sequence_output(self):
    return self.sequence_output

  def get_all_encoder_layers(self):
    return self.all_encoder_layers

  def get_embedding_output(self):
    return self.embedding_output

  def get_embedding_table(self):
    return self.embedding_table

  def dropout(self, tensor, dropout_prob):
    """`dropout` for a task's own layers, with the model's seed.

    Without training, it returns the tensor itself.
    """
    if not self.is_training:
      return tensor
    seed = self._build.dropout_seed
    return dropout(tensor, dropout_prob, seed, self.compiled)

  def _embed(
    self, input_ids, token_type_ids, position_ids, use_one_hot_embeddings
  ):
    """The sum of word, segment and position embeddings, [B, S, D]."""
    config = self.config
    is_fixed = self.is_training and self._build.trained_layers is not None
    build = dataclasses.replace(
      self._build, is_training=self.is_training and not is_fixed
    )
    words, self.embedding_table = embedding_lookup(
      input_ids,
      config.vocab_size,
      config.hidden_size,
      config.initializer_range,
      use_one_hot_embeddings=use_one_hot_embeddings,
    )
    tokens = embedding_postprocessor(
      words,
      use_token_type=True,
      token_type_ids=token_type_ids,
      token_type_vocab_size=config.type_vocab_size,
      initializer_range=config.initializer_range,
      max_position_embeddings=config.max_position_embeddings,
      dropout_prob=self._rate(config.hidden_dropout_prob),
      build=build,
      position_ids=position_ids,
    )
    tokens = tf.cast(tokens, self.compute_dtype)
    return tf.stop_gradient(tokens) if is_fixed else tokens

  def _encode(self, tokens, input_mask):
    """The layers' outputs, a list of [B, S, D]."""
    config = self.config
    if input_mask is not None:
      input_mask = tf.convert_to_tensor(input_mask)
      assert_rank(input_mask, [2, 3], "input_mask")
    return transformer_model(
      tokens,
      input_mask,
      config.hidden_size,
      config.num_hidden_layers,
      config.num_attention_heads,
      config.intermediate_size,
      get_activation(config.hidden_act),
      self._rate(config.hidden_dropout_prob),
      self._rate(config.attention_probs_dropout_prob),
      config.initializer_range,
      do_return_all_layers=True,
      build=self._build,
      last_positions=self.last_positions,
    )

  def _pool(self, sequence_output):
    """The vector of each sequence, [B, D], from that of its first token."""
    initializer = create_initializer(self.config.initializer_range)
    first, width = sequence_output[:, 0, :], self.config.hidden_size
    return dense(first, width, "dense", tf.tanh, initializer)

  def _rate(self, dropout_prob):
    return dropout_prob if self.is_training else 0.0


def _checked_positions(last_positions, packed_starts):
  """`last_positions` as a tensor, or None."""
  if last_positions is None:
    return None
  if packed_starts is not None:
    raise ValueError("packed rows need all tokens of the last layer")
  last_positions = tf.convert_to_tensor(last_positions)
  assert_rank(last_positions, 2, "last_positions")
  return last_positions


# ------------------------------------------------------------- embeddings


def embedding_lookup(
  input_ids,
  vocab_size,
  embedding_size=128,
  initializer_range=0.02,
  word_embedding_name="word_embeddings",
  use_one_hot_embeddings=False,
):
  """Looks up the vectors of words.

  Args:
    input_ids: int32 [B, S] or [B, S, 1]. Of [B, S, K], the K vectors of each
      place are joined.
    vocab_size: V.
    embedding_size: W, the width of a vector.
    initializer_range: standard deviation of the first weights.
    word_embedding_name: of the table's variable.
    use_one_hot_embeddings: look words up by a matrix product, for TPU.

  Returns:
    float32 [B, S, W], or [B, S, K * W]; and the table, a variable [V, W].
  """
  batch, length, *joined = get_shape_list(input_ids, [2, 3], "input_ids")
  initializer = create_initializer(initializer_range)
  table = variable(
    word_embedding_name, [vocab_size, embedding_size], initializer
  )
  words = lookup(table, input_ids, use_one_hot_embeddings)
  width = math.prod(joined) * embedding_size
  return tf.reshape(words, [batch, length, width]), table


def embedding_postprocessor(
  input_tensor,
  use_token_type=False,
  token_type_ids=None,
  token_type_vocab_size=16,
  token_type_embedding_name="token_type_embeddings",
  use_position_embeddings=True,
  position_embedding_name="position_embeddings",
  initializer_range=0.02,
  max_position_embeddings=512,
  dropout_prob=0.1,
  build=PLAIN,
  position_ids=None,
):
  """Adds vectors of segments and positions, then LayerNorm and dropout.

  Args:
    input_tensor: float32 [B, S, W].
    use_token_type: whether to add the vectors of segments.
    token_type_ids: int32 [B, S], the segments.
    token_type_vocab_size: number of segments.
    token_type_embedding_name: of the variable.
    use_position_embeddings: whether to add the vectors of positions.
    position_embedding_name: of the variable.
    initializer_range: standard deviation of the first weights.
    max_position_embeddings: the longest S.
    dropout_prob: float below 1.
    build: Build.
    position_ids: int32 [B, S]; None: 0 to S - 1.

  Returns:
    float32 [B, S, W].

  Raises:
    ValueError: the rank is wrong, segments are missing, or S is too large.
  """
  shape = get_shape_list(input_tensor, 3, "input_tensor")
  length, width = shape[1:]
  initializer = create_initializer(initializer_range)
  output = input_tensor
  if use_token_type:
    if token_type_ids is None:
      raise ValueError("use_token_type needs token_type_ids, int32 [B, S]")
    types = variable(
      token_type_embedding_name, [token_type_vocab_size, width], initializer
    )
    vectors = lookup(types, token_type_ids, use_one_hot=True)
    output += tf.reshape(vectors, shape)
  if use_position_embeddings:
    _check_length(length, max_position_embeddings)
    places = [max_position_embeddings, width]
    table = variable(position_embedding_name, places, initializer)
    if position_ids is None:
      output += tf.slice(table, [0, 0], [length, -1])
    else:
      output += tf.gather(table, position_ids)
  return layer_norm_and_dropout(output, dropout_prob, None, build)


def _check_length(length, limit):
  """Raises ValueError if sequences are too long for the position vectors."""
  if isinstance(length, int) and length > limit:
    raise ValueError(
      f"sequences of length {length} are over max_position_embeddings={limit}"
      " of the model's configuration: shorten them"
    )


def lookup(table, ids, use_one_hot):
  """Looks rows up in a table [V, D], for M ids in any shape: [M, D].

  A one-hot product is faster than a gather on a TPU, and where V is small.
  """
  ids = tf.reshape(ids, [-1])
  if use_one_hot:
    return tf.matmul(tf.one_hot(ids, table.shape[0], dtype=table.dtype), table)
  return tf.gather(table, ids)


# ------------------------------------------------------------ Transformer


def transformer_model(
  input_tensor,
  attention_mask=None,
  hidden_size=768,
  num_hidden_layers=12,
  num_attention_heads=12,
  intermediate_size=3072,
  intermediate_act_fn=gelu,
  hidden_dropout_prob=0.1,
  attention_probs_dropout_prob=0.1,
  initializer_range=0.02,
  do_return_all_layers=False,
  build=PLAIN,
  last_positions=None,
):
  """The layers of a Transformer encoder (arXiv:1706.03762), `layer_0` and on.

  Sizes and probabilities are those that `BertConfig` has under the same names.

  Args:
    input_tensor: [B, S, D], of the float type to compute in.
    attention_mask: as `attention_layer` takes it, with F = T = S.
    intermediate_act_fn: function of a tensor, or None.
    do_return_all_layers: bool.
    build: Build.
    last_positions: as `BertModel` takes it.

  Returns:
    The last layer's vectors, of the input's type and shape, or [B, P, D] with
    `last_positions`; or the list of every layer's.

  Raises:
    ValueError: a rank is wrong, D is not `hidden_size`, the heads do not divide
      it, or fewer layers exist than are to be trained.
  """
  shape = get_shape_list(input_tensor, 3, "input_tensor")
  _check_width(shape[-1], hidden_size, num_attention_heads)
  tokens = reshape_to_matrix(input_tensor)  # [B*S, D] from layer to layer
  outputs = []
  builds = _layer_builds(build, num_hidden_layers, last_positions)
  for i, each in enumerate(builds):
    positions = last_positions if i == num_hidden_layers - 1 else None
    layer = functools.partial(
      _transformer_layer,
      *(shape, attention_mask, num_attention_heads, intermediate_size),
      *(intermediate_act_fn, hidden_dropout_prob, attention_probs_dropout_prob),
      *(initializer_range, each, positions),
    )
    if each.is_training and each.recompute_layers:
      layer = functools.partial(recomputed, layer)
    with tf.variable_scope(f"layer_{i}"):
      tokens = layer(tokens, each.dropout_seed)
    if build.is_training and not each.is_training:  # it is fixed
      tokens = tf.stop_gradient(tokens)
    if positions is not None:
      shape = [*get_shape_list(positions, 2), hidden_size]
    outputs.append(reshape_from_matrix(tokens, shape))
  return outputs if do_return_all_layers else outputs[-1]


def _layer_builds(build, num_layers, last_positions):
  """The Build of each layer; those of lower layers without gradients differ."""
  num_trained = build.trained_layers
  if num_trained is None:
    num_trained = num_layers
  if not 0 <= num_trained <= num_layers:
    raise ValueError(
      f"trained_layers is {num_trained}, but the model has {num_layers} layers"
    )
  if build.dropout_seed is None and build.recompute_layers:
    build = dataclasses.replace(build, dropout_seed=draw_seed())
  fixed = dataclasses.replace(build, is_training=False)
  num_fixed = num_layers - num_trained
  builds = [fixed] * num_fixed + [build] * num_trained
  if last_positions is not None and get_shape_list(last_positions)[1] == 1:
    # One token of each sequence is not worth a compilation.
    builds[-1] = dataclasses.replace(builds[-1], compiled=False)
  return builds


def _check_width(width, hidden_size, num_attention_heads):
  """Raises ValueError if a Transformer can't have this input."""
  if not isinstance(width, int):
    raise ValueError("input_tensor's last size is unknown: give it a set_shape")
  if hidden_size % num_attention_heads:
    raise ValueError(
      f"hidden_size {hidden_size} is not a multiple of num_attention_heads"
      f" {num_attention_heads}"
    )
  if width != hidden_size:
    raise ValueError(
      f"input_tensor has vectors of {width} numbers, but hidden_size is"
      f" {hidden_size}: each layer adds to its input, so they must be equal"
    )


def _transformer_layer(
  shape,
  attention_mask,
  heads,
  intermediate_size,
  activation,
  hidden_dropout,
  probs_dropout,
  initializer_range,
  build,
  positions,
  tokens,
  seed,
):
  """One layer on [B*S, D]: attention, then a dense block.

  Where there are `positions` [B, P], it returns their vectors only, [B*P, D].
  """
  batch, length, width = shape
  build = dataclasses.replace(build, dropout_seed=seed)
  outputs, num_outputs = tokens, length  # the vectors that become the output
  if positions is not None:
    num_outputs = get_shape_list(positions)[1]
    outputs, attention_mask = select(
      tokens, positions, shape, attention_mask, build.is_training
    )
  initializer = create_initializer(initializer_range)
  if build.is_training:
    activation = for_training(activation, build.compiled)

  def add_to_residual(inner, residual):
    update = dense(inner, width, initializer=initializer)
    return add_and_norm(
      *(residual, update, hidden_dropout, seed, "LayerNorm"),
      *(build.compiled, build.is_training),
    )

  with tf.variable_scope("attention"):
    with tf.variable_scope("self"):
      context = attention_layer(
        outputs,
        tokens,
        attention_mask,
        heads,
        width // heads,
        attention_probs_dropout_prob=probs_dropout,
        initializer_range=initializer_range,
        do_return_2d_tensor=True,
        batch_size=batch,
        from_seq_length=num_outputs,
        to_seq_length=length,
        build=build,
      )
    with tf.variable_scope("output"):
      outputs = add_to_residual(context, outputs)
  with tf.variable_scope("intermediate"):
    inner = dense(outputs, intermediate_size, "dense", activation, initializer)
  with tf.variable_scope("output"):
    return add_to_residual(inner, outputs)


def attention_layer(
  from_tensor,
  to_tensor,
  attention_mask=None,
  num_attention_heads=1,
  size_per_head=512,
  query_act=None,
  key_act=None,
  value_act=None,
  attention_probs_dropout_prob=0.0,
  initializer_range=0.02,
  do_return_2d_tensor=False,
  batch_size=None,
  from_seq_length=None,
  to_seq_length=None,
  build=PLAIN,
):
  """Multi-head attention from one sequence to another, or to itself.

  Args:
    from_tensor: [B, F, W], of the float type to compute in; or [B*F, W], with
      `batch_size`, `from_seq_length` and `to_seq_length` given.
    to_tensor: [B, T, W] or [B*T, W], of the same rank and type.
    attention_mask: [B, F, T], 1 where F may attend to T and 0 elsewhere; or
      [B, T], the same for every F; None: all 1.
    num_attention_heads, size_per_head: N and H.
    query_act, key_act, value_act: activations of the three, or None.
    attention_probs_dropout_prob: float below 1.
    initializer_range: standard deviation of the first weights.

  Returns:
    [B, F, N*H], or [B*F, N*H] if `do_return_2d_tensor`; the input's type.

  Raises:
    ValueError: a rank is wrong, or the sizes of matrices are missing.
  """
  batch, from_length, to_length = _attention_sizes(
    *(from_tensor, to_tensor, batch_size, from_seq_length, to_seq_length)
  )
  heads, size = num_attention_heads, size_per_head
  initializer = create_initializer(initializer_range)

  def project(tensor, length, name, activation):
    tensor = reshape_to_matrix(tensor)
    projected = dense(tensor, heads * size, name, activation, initializer)
    projected = tf.reshape(projected, [batch, length, heads, size])
    return tf.transpose(projected, [0, 2, 1, 3])  # [B, N, F or T, H]

  context = attend(
    project(from_tensor, from_length, "query", query_act),
    project(to_tensor, to_length, "key", key_act),
    project(to_tensor, to_length, "value", value_act),
    _mask_scores(attention_mask),
    attention_probs_dropout_prob,
    *(build.dropout_seed, build.compiled, build.is_training),
  )
  context = tf.transpose(context, [0, 2, 1, 3])  # [B, F, N, H]
  shape = [-1] if do_return_2d_tensor else [batch, from_length]
  return tf.reshape(context, [*shape, heads * size])


def _attention_sizes(from_tensor, to_tensor, batch, from_length, to_length):
  """B, F and T of `attention_layer`."""
  from_shape = get_shape_list(from_tensor, [2, 3], "from_tensor")
  to_shape = get_shape_list(to_tensor, len(from_shape), "to_tensor")
  if len(from_shape) == 3:
    return from_shape[0], from_shape[1], to_shape[1]
  if None in (batch, from_length, to_length):
    raise ValueError(
      "matrices need batch_size, from_seq_length and to_seq_length; given are"
      f" {batch}, {from_length} and {to_length}"
    )
  return batch, from_length, to_length


def create_attention_mask_from_input_mask(from_tensor, to_mask):
  """A mask of pairs of positions, from a mask of the positions attended to.

  Args:
    from_tensor: [B, F, ...].
    to_mask: int32 [B, T], 1 for tokens and 0 for padding.

  Returns:
    float32 [B, F, T], the same for every F.
  """
  batch, from_length = get_shape_list(from_tensor, name="from_tensor")[:2]
  to_length = get_shape_list(to_mask, 2, "to_mask")[1]
  mask = tf.cast(tf.reshape(to_mask, [batch, 1, to_length]), tf.float32)
  return tf.tile(mask, [1, from_length, 1])


def _mask_scores(attention_mask):
  """What a mask adds to the scores [B, N, F, T]; None of no mask."""
  if attention_mask is None:
    return None
  attention_mask = tf.convert_to_tensor(attention_mask)
  assert_rank(attention_mask, [2, 3], "attention_mask")
  scores = (1.0 - tf.cast(attention_mask, tf.float32)) * MASKED_SCORE
  if attention_mask.shape.rank == 2:
    scores = tf.expand_dims(scores, 1)
  return tf.expand_dims(scores, 1)


def dense(inputs, width, name="dense", activation=None, initializer=None):
  """A dense layer with variables `name/kernel` [in, width], `name/bias`.

  Args:
    inputs: [M, in], of the float type to compute in; variables are float32.
    width: int, size of the output.
    name: variable scope.
    activation: function of a tensor, or None.
    initializer: of the kernel; None: `create_initializer()`.

  Returns:
    [M, width], of the inputs' type.
  """
  initializer = initializer or create_initializer()
  shape = [inputs.shape[-1], width]
  with tf.variable_scope(name) as scope:
    kernel = variable("kernel", shape, initializer)
    bias = variable("bias", [width], tf.zeros_initializer())
  kernel, bias = (tf.cast(w, inputs.dtype) for w in (kernel, bias))
  outputs = tf.nn.bias_add(tf.matmul(inputs, kernel), bias)
  if activation is None:
    return outputs
  with tf.name_scope(scope.original_name_scope):  # .../pooler/dense/Tanh
    return activation(outputs)


def layer_norm_and_dropout(input_tensor, dropout_prob, name=None, build=PLAIN):
  """`layer_norm`, then `dropout`; type and shape of the input."""
  output = layer_norm(input_tensor, name, build.compiled, build.is_training)
  return dropout(output, dropout_prob, build.dropout_seed, build.compiled)


# ------------------------------------------------------------ checkpoints


def get_assignment_map_from_checkpoint(tvars, init_checkpoint):
  """Finds which variables a checkpoint has, by name.

  Args:
    tvars: variables of the graph.
    init_checkpoint: prefix, such as `dir/bert_model.ckpt`.

  Returns:
    assignment_map: OrderedDict {name: name} for
      `tf.train.init_from_checkpoint`.
    initialized_variable_names: {name: 1}, each with and without ":0".
  """
  wanted = {variable.op.name for variable in tvars}
  stored = tf.train.list_variables(init_checkpoint)
  found = [name for name, _ in stored if name in wanted]
  initialized = {key: 1 for name in found for key in (name, name + ":0")}
  return collections.OrderedDict(zip(found, found)), initialized
