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
import zlib

import numpy as np
import tensorflow.compat.v1 as tf

LAYER_NORM_EPSILON = 1e-12
MASKED_SCORE = -10000.0  # exp() of it is 0, and it is finite in bfloat16


# ---------------------------------------------------------- configuration


@dataclasses.dataclass
class BertConfig:
  """Sizes of a model, as `bert_config.json` names them."""

  vocab_size: int
  hidden_size: int = 768
  num_hidden_layers: int = 12
  num_attention_heads: int = 12
  intermediate_size: int = 3072  # width inside a layer's dense block
  hidden_act: str = "gelu"  # a key of ACTIVATIONS
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
    config = cls(vocab_size=None)
    config.__dict__.update(json_object)
    config.validate()
    return config

  @classmethod
  def from_json_file(cls, json_file: str) -> BertConfig:
    """Reads a configuration; the file may be on `gs://`.

    Raises:
      tf.errors.NotFoundError: there is no such file.
      ValueError: the file is not JSON, or no model can have its sizes.
    """
    with tf.io.gfile.GFile(json_file, "rb") as reader:
      text = reader.read()
    try:
      json_object = json.loads(text)
    except ValueError as error:
      raise ValueError(f"{json_file} is not JSON: {error}") from None
    if not isinstance(json_object, dict):
      raise ValueError(f"{json_file} is not a JSON object of named sizes")
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
    for field in dataclasses.fields(self):
      size = getattr(self, field.name)
      if size is None and field.name == "vocab_size":
        raise ValueError("vocab_size is missing from the configuration")
      if field.type == "int" and not (isinstance(size, int) and size > 0):
        raise ValueError(f"{field.name} is {size!r}, not a whole number over 0")
    if self.hidden_size % self.num_attention_heads:
      raise ValueError(
        f"hidden_size {self.hidden_size} is not a multiple of"
        f" num_attention_heads {self.num_attention_heads}"
      )


# ------------------------------------------------------------------ model


class BertModel:
  """The encoder, built in the default graph when the object is made.

  With `compiled`, XLA compiles parts of the graph, which is faster on a CPU.
  Leave it off on TPU and with GPUs, in a `tf.while_loop` of TensorFlow 1, which
  can't hold compiled parts, and in a model that is served: the server may lack
  XLA, and XLA compiles again for each new length of text.

  Attributes:
    config, is_training, compiled: as given.
    compute_dtype: as given, a tf.DType.
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
  ):
    """Builds the graph.

    Args:
      config: BertConfig.
      is_training: bool, whether dropout is on and layers have gradients of
        their own, which are faster than TensorFlow's and take less memory.
      input_ids: int32 [B, S].
      input_mask: int32 [B, S], 1 for tokens and 0 for padding; None: all 1.
      token_type_ids: int32 [B, S], the segment; None: all 0.
      use_one_hot_embeddings: look words up by a matrix product, for TPU.
      scope: variable scope; None: `bert`, or `bert_1` where that is taken.
      dropout_seed: int32 [2]; None: drawn each time the graph runs.
      compute_dtype: float type of matrix products and activations. Variables,
        softmax, LayerNorm's statistics and all outputs are always float32.
      recompute_layers: bool, whether training keeps only each layer's output
        and computes the rest again for the gradient.
      compiled: bool, whether XLA compiles parts of the graph.
      trained_layers: int, how many of the top layers get gradients. The pooler
        gets them too, unless this is 0; the layers below and the embeddings get
        none, and keep nothing for them. None: everything gets gradients.

    Raises:
      ValueError: a size or a rank is wrong, S is over the limit, or the model
        has fewer layers than `trained_layers`.
    """
    config.validate()
    _check_trained_layers(trained_layers, config.num_hidden_layers)
    input_ids = tf.convert_to_tensor(input_ids)
    self._shape = get_shape_list(input_ids, 2, "input_ids")
    _check_length(self._shape[1], config.max_position_embeddings)
    if is_training and dropout_seed is None:
      dropout_seed = _draw_seed()
    self.config = config
    self.compute_dtype = tf.as_dtype(compute_dtype)
    self.is_training, self.compiled = is_training, compiled
    self._seed = dropout_seed
    self._recompute = recompute_layers
    self._num_fixed = 0  # layers without gradients
    if trained_layers is not None:
      self._num_fixed = config.num_hidden_layers - trained_layers
    self._has_gradient = is_training and trained_layers is None
    self._initializer = create_initializer(config.initializer_range)
    self._activation = get_activation(config.hidden_act)
    with tf.variable_scope(scope, default_name="bert"):
      with tf.variable_scope("embeddings"):
        tokens = self._embed(input_ids, token_type_ids, use_one_hot_embeddings)
        tokens = self._stopped(tokens)
      self._embedding_output = self._output(tokens)
      with tf.variable_scope("encoder"):
        self._all_encoder_layers = self._encode(tokens, input_mask)
      with tf.variable_scope("pooler"):
        pooled_output = self._pool(self.get_sequence_output())
        self._pooled_output = self._stopped(pooled_output)

  def get_pooled_output(self):
    """The vector of each sequence, float32 [B, D]."""
    return self._pooled_output

  def get_sequence_output(self):
    """The last layer's vector of each token, float32 [B, S, D]."""
    return self._all_encoder_layers[-1]

  def get_all_encoder_layers(self):
    """Every layer's vectors, a list of float32 [B, S, D]."""
    return self._all_encoder_layers

  def get_embedding_output(self):
    """The vectors that enter the first layer, float32 [B, S, D]."""
    return self._embedding_output

  def get_embedding_table(self):
    """The word embeddings, a variable [V, D]."""
    return self._embedding_table

  def dropout(self, tensor, dropout_prob):
    """`dropout` for a task's own layers, with the model's seed.

    Without training, it returns the tensor itself.
    """
    return self._drop(tensor, dropout_prob, self._seed)

  def _embed(self, input_ids, token_type_ids, use_one_hot_embeddings):
    """Sums word, segment and position embeddings: [B*S, D]."""
    config = self.config
    width = config.hidden_size
    if token_type_ids is None:
      token_type_ids = tf.zeros_like(input_ids)

    def table(name, rows):
      return tf.get_variable(name, [rows, width], initializer=self._initializer)

    self._embedding_table = table("word_embeddings", config.vocab_size)
    types = table("token_type_embeddings", config.type_vocab_size)
    positions = table("position_embeddings", config.max_position_embeddings)
    tokens = lookup(self._embedding_table, input_ids, use_one_hot_embeddings)
    tokens += lookup(types, token_type_ids, use_one_hot=True)
    length = self._shape[1]
    tokens = self._output(tokens) + tf.slice(positions, [0, 0], [length, -1])
    tokens = self._normalise(tf.reshape(tokens, [-1, width]))
    tokens = self.dropout(tokens, config.hidden_dropout_prob)
    return tf.cast(tokens, self.compute_dtype)

  def _encode(self, tokens, input_mask):
    """Runs the layers; returns a list of their outputs, [B, S, D]."""
    mask_scores = None
    if input_mask is not None:
      mask_scores = attention_mask_scores(input_mask)

    def layer(tokens, seed):
      return self._layer(tokens, mask_scores, seed)

    outputs = []
    for i in range(self.config.num_hidden_layers):
      self._has_gradient = self.is_training and i >= self._num_fixed
      with tf.variable_scope(f"layer_{i}"):
        if self._recompute and self._has_gradient:
          tokens = recomputed(layer, tokens, self._seed)
        else:
          tokens = self._stopped(layer(tokens, self._seed))
      outputs.append(self._output(tokens))
    return outputs

  def _layer(self, tokens, mask_scores, seed):
    """One Transformer layer on [B*S, D]: attention, then a dense block."""
    config = self.config
    with tf.variable_scope("attention"):
      with tf.variable_scope("self"):
        context = self._self_attention(tokens, mask_scores, seed)
      with tf.variable_scope("output"):
        tokens = self._add_to_residual(context, tokens, seed)
    with tf.variable_scope("intermediate"):
      width = config.intermediate_size
      activation = self._activation
      if self._has_gradient:
        activation = for_training(activation, self.compiled)
      inner = self._dense(tokens, width, activation=activation)
    with tf.variable_scope("output"):
      return self._add_to_residual(inner, tokens, seed)

  def _self_attention(self, tokens, mask_scores, seed):
    """Multi-head attention among the tokens of each sequence, [B*S, D]."""
    config = self.config
    batch, length = self._shape
    heads = config.num_attention_heads
    size = config.hidden_size // heads

    def project(name):
      projected = self._dense(tokens, heads * size, name)  # [B*S, D]
      projected = tf.reshape(projected, [batch, length, heads, size])
      return tf.transpose(projected, [0, 2, 1, 3])  # [B, N, S, H]

    query, key, value = project("query"), project("key"), project("value")
    rate = config.attention_probs_dropout_prob if self.is_training else 0.0
    context = attend(
      *(query, key, value, mask_scores, rate, seed),
      *(self.compiled, self._has_gradient),
    )
    context = tf.transpose(context, [0, 2, 1, 3])  # [B, S, N, H]
    return tf.reshape(context, [-1, heads * size])

  def _add_to_residual(self, inner, residual, seed):
    """A dense layer to width D, dropout, residual and LayerNorm."""
    config = self.config
    update = self._dense(inner, config.hidden_size)
    update = self._drop(update, config.hidden_dropout_prob, seed)
    return self._normalise(residual + update)

  def _pool(self, sequence_output):
    """The vector of each sequence, [B, D], from that of its first token."""
    width = self.config.hidden_size
    return self._dense(sequence_output[:, 0, :], width, activation=tf.tanh)

  def _dense(self, inputs, width, name="dense", activation=None):
    return dense(inputs, width, name, activation, self._initializer)

  def _drop(self, tensor, dropout_prob, seed):
    if not self.is_training:
      return tensor
    return dropout(tensor, dropout_prob, seed, self.compiled)

  def _normalise(self, tensor):
    return layer_norm(tensor, "LayerNorm", self.compiled, self._has_gradient)

  def _stopped(self, tensor):
    """The tensor, behind a stop where what computes it gets no gradient."""
    if self.is_training and not self._has_gradient:
      return tf.stop_gradient(tensor)
    return tensor

  def _output(self, tokens):
    """[B*S, D] of any type to float32 [B, S, D]."""
    tokens = tf.reshape(tokens, [*self._shape, self.config.hidden_size])
    return tf.cast(tokens, tf.float32)


def _check_trained_layers(trained_layers, num_layers):
  """Raises ValueError if a model can't train this number of layers."""
  if trained_layers is not None and not 0 <= trained_layers <= num_layers:
    raise ValueError(
      f"trained_layers is {trained_layers}: the model has {num_layers} layers"
    )


def _check_length(length, limit):
  """Raises ValueError if the length is known and over the limit."""
  if isinstance(length, int) and length > limit:
    raise ValueError(
      f"sequences of length {length} are over max_position_embeddings={limit}"
      " of the model's configuration: shorten them"
    )


# -------------------------------------------------------------- its parts


def with_gradient(output, inputs, gradient):
  """Gives a tensor a gradient of its own.

  `tf.custom_gradient` keeps each call, and so the graph, in a table of the
  process for ever. Here an op of the graph keeps the function.

  Args:
    output: a tensor that was computed from the inputs.
    inputs: tensors and variables.
    gradient: function of the gradient to the output; returns a list of the
      gradients to the inputs, None where there is none.

  Returns:
    The output.
  """

  def backward(op, upstream, *_):
    del op
    return [None, *gradient(upstream)]

  graph = tf.get_default_graph()
  with graph._override_gradient_function({"IdentityN": backward}):
    return tf.identity_n([output, *inputs])[0]


def recomputed(function, tokens, seed):
  """Calls `function(tokens, seed)`, whose gradient computes it again.

  Only the input is kept for the gradient, which calls `function` a second time
  with the same variables (arXiv:1604.06174).

  Args:
    function: takes `tokens` and `seed`, and returns one tensor.
    tokens: float tensor.
    seed: int32 [2]. All random numbers must come from it, because tensors that
      do not depend on the arguments may be kept from the first call.
  """
  seed = tf.convert_to_tensor(seed)
  used = {}

  def remember(getter, name, *args, **options):
    used[name] = getter(name, *args, **options)
    return used[name]

  scope = tf.get_variable_scope()
  with tf.variable_scope(
    scope, custom_getter=remember, auxiliary_name_scope=False
  ):
    output = function(tokens, seed)
  variables = [v for v in used.values() if v.trainable]

  def gradient(upstream):
    # Zero or NaN. The second call needs it, so it can't start early, and no
    # graph optimiser can see that it equals the first.
    zero = tf.stop_gradient(tf.reshape(upstream, [-1])[0] * 0.0)
    held = tf.stop_gradient(tokens) + zero
    held_seed = seed + tf.cast(zero, seed.dtype)
    with tf.variable_scope(scope, reuse=True):
      again = function(held, held_seed)
    to_tokens, *to_weights = tf.gradients(again, [held, *variables], upstream)
    with tf.control_dependencies(to_weights):  # before the layer below
      return [tf.identity(to_tokens), *to_weights]

  return with_gradient(output, [tokens, *variables], gradient)


def lookup(table, ids, use_one_hot):
  """Looks rows up in a table [V, D], for M ids in any shape: [M, D].

  A one-hot product is faster than a gather on a TPU, and where V is small.
  """
  ids = tf.reshape(ids, [-1])
  if use_one_hot:
    return tf.matmul(tf.one_hot(ids, table.shape[0], dtype=table.dtype), table)
  return tf.gather(table, ids)


def dense(inputs, width, name, activation=None, initializer=None):
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
  with tf.variable_scope(name):
    kernel = tf.get_variable("kernel", shape, initializer=initializer)
    bias = tf.get_variable("bias", [width], initializer=tf.zeros_initializer())
  kernel, bias = (tf.cast(w, inputs.dtype) for w in (kernel, bias))
  outputs = tf.nn.bias_add(tf.matmul(inputs, kernel), bias)
  return activation(outputs) if activation else outputs


def attention_mask_scores(input_mask):
  """Scores to add, [B, 1, 1, S]: MASKED_SCORE where input_mask [B, S] is 0."""
  scores = (1.0 - tf.cast(input_mask, tf.float32)) * MASKED_SCORE
  return scores[:, tf.newaxis, tf.newaxis, :]


def attend(
  query,
  key,
  value,
  mask_scores=None,
  dropout_prob=0.0,
  seed=None,
  compiled=False,
  is_training=False,
):
  """Scaled dot-product attention (arXiv:1706.03762, equation 1).

  Args:
    query: any float type, [B, N, S, H]; the softmax is float32.
    key: like query.
    value: like query.
    mask_scores: float32 [B, 1, 1, S], added to the scores; or None.
    dropout_prob: float below 1, of the probabilities.
    seed: int32 [2], see `dropout`.
    compiled: bool, whether XLA compiles parts; see `BertModel`.
    is_training: bool, whether to make a gradient of its own, which reads the
      [B, N, S, S] tensors fewer times than TensorFlow's.

  Returns:
    Type and shape of query.
  """
  dtype = query.dtype
  seed = _site_seed(seed) if dropout_prob else None
  query *= 1.0 / math.sqrt(query.shape[-1])
  scores = tf.cast(tf.matmul(query, key, transpose_b=True), tf.float32)
  if mask_scores is not None:
    scores += mask_scores  # [B, N, S, S]
  dropped = probs = tf.cast(tf.nn.softmax(scores), dtype)
  if dropout_prob:
    dropped = _drop(probs, dropout_prob, seed, compiled)
  context = tf.matmul(dropped, value)  # [B, N, S, H]
  if not is_training:
    return context

  def gradient(upstream):
    to_dropped = tf.matmul(upstream, value, transpose_b=True)
    # The sum over S that softmax's gradient needs equals a sum over H.
    products = tf.cast(upstream, tf.float32) * tf.cast(context, tf.float32)
    total = tf.reduce_sum(products, -1, keepdims=True)
    to_scores = _softmax_gradient(compiled, probs, dropped, to_dropped, total)
    to_query = tf.matmul(to_scores, key)
    to_key = tf.matmul(to_scores, query, transpose_a=True)
    return [to_query, to_key, tf.matmul(dropped, upstream, transpose_a=True)]

  return with_gradient(context, [query, key, value], gradient)


def layer_norm(input_tensor, name=None, compiled=False, is_training=False):
  """Layer normalisation (arXiv:1607.06450) over the last axis.

  Makes the variables `beta` and `gamma`, both [D], in scope `name`.

  Args:
    input_tensor: any float type, [..., D]; the statistics are float32.
    name: variable scope; None: `LayerNorm`, numbered where that is taken.
    compiled: bool, whether XLA compiles it; see `BertModel`.
    is_training: bool, whether to make a gradient of its own, which keeps fewer
      tensors than TensorFlow's.

  Returns:
    Type and shape of the input.
  """
  width = input_tensor.shape[-1]
  with tf.variable_scope(name, default_name="LayerNorm"):
    beta = tf.get_variable("beta", [width], initializer=tf.zeros_initializer())
    gamma = tf.get_variable("gamma", [width], initializer=tf.ones_initializer())
  rows = tf.reshape(input_tensor, [-1, width])
  gamma, beta = tf.convert_to_tensor(gamma), tf.convert_to_tensor(beta)
  outputs, normed, inverse = _normalise_forward(compiled, rows, gamma, beta)

  def gradient(upstream):
    return _normalise_backward(compiled, upstream, normed, inverse, gamma)

  if is_training:
    outputs = with_gradient(outputs, [rows, gamma, beta], gradient)
  return tf.reshape(outputs, tf.shape(input_tensor))


def dropout(input_tensor, dropout_prob, seed=None, compiled=False):
  """Sets random elements to 0 and scales the others up (JMLR 15:1929).

  The mask depends only on the seed and the name of the current variable scope,
  so two calls in one scope draw the same mask. So does the gradient.

  Args:
    input_tensor: any float type, any shape.
    dropout_prob: float below 1, probability of 0; None or 0: no dropout.
    seed: int32 [2]; None: drawn when the graph runs.
    compiled: bool, whether XLA compiles it; see `BertModel`.

  Returns:
    Type and shape of the input.

  Raises:
    ValueError: the probability is not from 0 to 1.
  """
  if not dropout_prob:
    return input_tensor
  seed = _site_seed(_draw_seed() if seed is None else seed)

  def drop(values):
    return _drop(values, dropout_prob, seed, compiled)

  inputs = tf.convert_to_tensor(input_tensor)
  return with_gradient(drop(inputs), [inputs], lambda value: [drop(value)])


def _site_seed(seed):
  """The seed int32 [2] for the current variable scope."""
  site = zlib.crc32(tf.get_variable_scope().name.encode()) & 0x7FFFFFFF
  return tf.random.experimental.stateless_fold_in(seed, site, alg="philox")


def _draw_seed():
  """A new int32 [2] each time the graph runs; it follows the graph's seed."""
  limits = np.iinfo(np.int32)
  return tf.random.uniform([2], limits.min, limits.max, tf.int32)


# ------------------------------------------------- one pass over memory each


def _one_pass(function):
  """Gives an element-wise function the argument `compiled`, before the others.

  Compiled by XLA for a CPU, the function reads and writes memory once. A chain
  of TensorFlow's ops does it once per op.
  """

  @functools.wraps(function)
  def run(compiled, *args):
    return (_compiled(function) if compiled else function)(*args)

  return run


def _compiled(function):
  """The function compiled by XLA, made once per graph and freed with it."""
  with tf.init_scope():
    graph = tf.get_default_graph()  # the outermost, even inside a tf.function
  known = graph._compiled_functions = getattr(graph, "_compiled_functions", {})
  if function not in known:
    known[function] = tf.function(function, autograph=False, jit_compile=True)
  return known[function]


def _drop(inputs, dropout_prob, seed, compiled):
  """Each element becomes 0, or is divided by 1 - dropout_prob."""
  if not 0.0 < dropout_prob < 1.0:
    raise ValueError(f"dropout probability {dropout_prob} is not from 0 to 1")
  has_kernel = not compiled and bool(tf.config.list_physical_devices("GPU"))
  return _masked(compiled, inputs, dropout_prob, seed, has_kernel)


@_one_pass
def _masked(inputs, dropout_prob, seed, has_kernel):
  """`_drop`, where `has_kernel` is that of `_random_words`."""
  drawn = _random_words(tf.shape(inputs), seed, has_kernel)
  kept = drawn >= np.uint32(round(dropout_prob * 2**32))
  scaled = tf.cast(inputs, tf.float32) * (1.0 / (1.0 - dropout_prob))
  return tf.cast(tf.where(kept, scaled, tf.zeros_like(scaled)), inputs.dtype)


def _random_words(shape, seed, has_kernel):
  """Uniform uint32 of the given shape, from a seed int32 [2].

  GPUs have a kernel that draws them. Elsewhere each number is a hash of its
  place, which compiled code computes in registers, many times faster than
  TensorFlow draws: two rounds of "lowbias32" (C. Wellons, Hash Prospector),
  with a part of the seed added before each.
  """
  if has_kernel:
    return tf.random.stateless_uniform(
      shape, seed, None, None, tf.uint32, alg="philox"
    )

  def folded(words, bits):
    shifted = tf.bitwise.right_shift(words, np.uint32(bits))
    return tf.bitwise.bitwise_xor(words, shifted)

  words = tf.cast(tf.range(tf.reduce_prod(shape)), tf.uint32)
  for key in tf.unstack(tf.bitcast(seed, tf.uint32)):
    words = folded(words + key, 16) * np.uint32(0x21F0AAAD)
    words = folded(words, 15) * np.uint32(0x735A2D97)
    words = folded(words, 15)
  return tf.reshape(words, shape)


@_one_pass
def _softmax_gradient(probs, dropped, to_dropped, total):
  """Gradient to the scores [B, N, S, S]; total float32 [B, N, S, 1]."""
  wide = [tf.cast(x, tf.float32) for x in (probs, dropped, to_dropped)]
  return tf.cast(wide[1] * wide[2] - wide[0] * total, probs.dtype)


@_one_pass
def _normalise_forward(rows, gamma, beta):
  """LayerNorm of [M, D], and what its gradient needs: [M, D] and [M, 1]."""
  wide = tf.cast(rows, tf.float32)
  centred = wide - tf.reduce_mean(wide, axis=-1, keepdims=True)
  variance = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
  inverse = tf.rsqrt(variance + LAYER_NORM_EPSILON)  # [M, 1]
  normed = centred * inverse
  outputs = tf.cast(normed * gamma + beta, rows.dtype)
  return outputs, tf.cast(normed, rows.dtype), inverse


@_one_pass
def _normalise_backward(upstream, normed, inverse, gamma):
  """Gradients to LayerNorm's rows [M, D], gamma [D] and beta [D]."""
  dtype = upstream.dtype
  upstream, normed = (tf.cast(x, tf.float32) for x in (upstream, normed))
  scaled = upstream * gamma
  mean = tf.reduce_mean(scaled, axis=-1, keepdims=True)
  slope = tf.reduce_mean(scaled * normed, axis=-1, keepdims=True)
  to_rows = tf.cast((scaled - mean - normed * slope) * inverse, dtype)
  to_gamma = tf.reduce_sum(upstream * normed, axis=0)
  return to_rows, to_gamma, tf.reduce_sum(upstream, axis=0)


# ------------------------------------------------------------ activations


def gelu(x):
  """Gaussian error linear unit in its tanh form (arXiv:1606.08415).

  0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), for any float type and shape.
  """
  argument = math.sqrt(2.0 / math.pi) * (x + 0.044715 * (x * x * x))
  return 0.5 * x * (1.0 + tf.tanh(argument))


def gelu_erf(x):
  """The same unit in its exact form, x Phi(x)."""
  return 0.5 * x * (1.0 + tf.erf(x / tf.cast(math.sqrt(2.0), x.dtype)))


def for_training(activation, compiled=False):
  """The activation, with a gradient that keeps nothing but its derivative.

  Args:
    activation: a value of ACTIVATIONS; only `gelu` and `gelu_erf` change.
    compiled: bool, whether XLA compiles it; see `BertModel`.
  """
  if activation not in (gelu, gelu_erf):
    return activation

  def run(x):
    value, derivative = _value_and_derivative(compiled, x, activation)
    return with_gradient(value, [x], lambda upstream: [upstream * derivative])

  return run


@_one_pass
def _value_and_derivative(x, activation):
  """An activation and its derivative, computed in float32."""
  wide = tf.cast(x, tf.float32)
  value = activation(wide)
  derivative = tf.gradients(value, wide)[0]
  return tf.cast(value, x.dtype), tf.cast(derivative, x.dtype)


ACTIVATIONS = {
  "": None,
  "linear": None,
  "relu": tf.nn.relu,
  "gelu": gelu,
  "gelu_erf": gelu_erf,
  "tanh": tf.tanh,
}


def get_activation(name):
  """The activation with this name, in any case; None for `linear` and "".

  None and functions are returned as they are.

  Raises:
    ValueError: no activation has this name.
  """
  if not isinstance(name, str):
    return name
  if name.lower() not in ACTIVATIONS:
    known = ", ".join(filter(None, ACTIVATIONS))
    raise ValueError(f"hidden_act {name!r} is none of {known}")
  return ACTIVATIONS[name.lower()]


# --------------------------------------------- shapes, weights, checkpoints


def create_initializer(initializer_range=0.02):
  """A truncated normal with this standard deviation; see `drawn_by_name`."""
  initializer = tf.truncated_normal_initializer
  return drawn_by_name(initializer, stddev=initializer_range)


def drawn_by_name(make_initializer, **options):
  """An initializer that draws by the graph's seed and the variable's name.

  TensorFlow's own draws by the number of ops that the graph has so far, so that
  any change of the graph before a variable changes its first weights. In a
  graph without a seed, each run draws different numbers.

  Args:
    make_initializer: class of an initializer that takes `seed`.
    **options: its other arguments.
  """

  def initialize(shape, dtype=tf.float32, partition_info=None):
    graph = tf.get_default_graph()
    # The name scope is the variable's name, followed by /Initializer.
    place = zlib.crc32(graph.get_name_scope().encode()) & 0x7FFFFFFF
    seed = None if graph.seed is None else place
    return make_initializer(seed=seed, **options)(shape, dtype, partition_info)

  return initialize


def get_shape_list(tensor, expected_rank=None, name=None):
  """The sizes: int where known, otherwise a scalar int32 tensor.

  Args:
    tensor: its rank has to be known.
    expected_rank: int, several of them, or None for any.
    name: of the tensor, for the error message.

  Raises:
    ValueError: the rank is unknown, or not an expected one.
  """
  rank = tensor.shape.rank
  if isinstance(expected_rank, int):
    expected_rank = [expected_rank]
  if rank is None or (expected_rank and rank not in expected_rank):
    wanted = " or ".join(map(str, expected_rank or ["known"]))
    raise ValueError(
      f"{name or tensor.name} has shape {tensor.shape}, rank {rank}: the rank"
      f" must be {wanted}"
    )
  static = tensor.shape.as_list()
  if None not in static:
    return static
  dynamic = tf.shape(tensor)
  return [dynamic[i] if size is None else size for i, size in enumerate(static)]


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
