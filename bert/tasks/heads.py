# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Task layers on the encoder, and their losses.

In: the encoder's vectors, [B, S, D] of tokens or [B, D] of sequences. Out:
logits, log-probabilities and losses. Every variable is made here under the name
that checkpoints use, in the current variable scope. `FORWARD` has the graph of
each kind of trained model, from token ids to predictions.

Shapes: B batch, S sequence, D hidden, V vocabulary, P masked positions a
sequence, L labels, F numbers given beside the text, W words, U units of a
recurrent cell.
"""

from __future__ import annotations

import tensorflow.compat.v1 as tf

import modeling

CLASSIFIER_DROPOUT = 0.1
CLASSIFIER_STDDEV = 0.02
SPAN_STDDEV = 0.02
TAGGER_DROPOUT = 0.1
TAGGER_STDDEV = 0.02
RNN_CELLS = {"lstm": 4, "gru": 3}  # and how many gates each has
NO_WEIGHT = 1e-5  # added to the sum of weights, which may be 0


# ----------------------------------------------------------- pre-training


def get_masked_lm_output(
  bert_config,
  input_tensor,
  output_weights,
  positions,
  label_ids,
  label_weights,
  compute_dtype=tf.float32,
):
  """Predicts masked tokens and scores the prediction.

  Args:
    bert_config: modeling.BertConfig.
    input_tensor: float32 [B, S, D], the encoder's sequence output.
    output_weights: float32 [V, D], the word embeddings.
    positions: int32 [B, P], where tokens were masked.
    label_ids: int32 [B, P], the tokens that stood there.
    label_weights: float32 [B, P], 0 for padding.
    compute_dtype: float type of the products; softmax and loss are float32.

  Returns:
    loss: float32 scalar, sum(w l) / (sum(w) + 1e-5).
    per_example_loss: float32 [B*P], l.
    log_probs: float32 [B*P, V].
  """
  logits = masked_lm_logits(
    bert_config, input_tensor, output_weights, positions, compute_dtype
  )
  per_example_loss, log_probs = _cross_entropy(
    logits, tf.reshape(label_ids, [-1])
  )
  weights = tf.reshape(label_weights, [-1])
  loss = tf.reduce_sum(weights * per_example_loss) / (
    tf.reduce_sum(weights) + NO_WEIGHT
  )
  return loss, per_example_loss, log_probs


def masked_lm_logits(
  bert_config,
  input_tensor,
  output_weights,
  positions,
  compute_dtype=tf.float32,
  compiled=False,
  is_training=False,
):
  """Scores each word of the vocabulary at each masked position.

  Makes the variables of `cls/predictions`.

  Args:
    bert_config: modeling.BertConfig.
    input_tensor: float32 [B, S, D], the encoder's sequence output.
    output_weights: float32 [V, D], the word embeddings.
    positions: int32 [B, P], where tokens were masked.
    compute_dtype: float type of the products.
    compiled: bool, as of `modeling.layer_norm`.
    is_training: bool, as of `modeling.layer_norm`.

  Returns:
    float32 [B*P, V].
  """
  tokens = gather_indexes(input_tensor, positions)  # [B*P, D]
  tokens = tf.cast(tokens, compute_dtype)
  initializer = modeling.create_initializer(bert_config.initializer_range)
  with tf.variable_scope("cls/predictions"):
    with tf.variable_scope("transform"):
      tokens = modeling.dense(
        tokens,
        bert_config.hidden_size,
        "dense",
        modeling.get_activation(bert_config.hidden_act),
        initializer,
      )
      tokens = modeling.layer_norm(tokens, "LayerNorm", compiled, is_training)
    bias = tf.get_variable(
      "output_bias",
      [bert_config.vocab_size],
      initializer=tf.zeros_initializer(),
    )
  table = tf.cast(output_weights, compute_dtype)
  logits = tf.matmul(tokens, table, transpose_b=True)  # [B*P, V]
  return tf.nn.bias_add(tf.cast(logits, tf.float32), bias)


def get_next_sentence_output(bert_config, input_tensor, labels):
  """Predicts whether the second text follows the first.

  Args:
    bert_config: modeling.BertConfig.
    input_tensor: float32 [B, D], the encoder's pooled output.
    labels: int32 [B, 1] or [B], 0 = it follows, 1 = it is random.

  Returns:
    loss: float32 scalar, the mean.
    per_example_loss: float32 [B].
    log_probs: float32 [B, 2].
  """
  with tf.variable_scope("cls/seq_relationship"):
    logits = _labels_product(input_tensor, 2, bert_config.initializer_range)
  per_example_loss, log_probs = _cross_entropy(logits, tf.reshape(labels, [-1]))
  return tf.reduce_mean(per_example_loss), per_example_loss, log_probs


def gather_indexes(sequence_tensor, positions):
  """Vectors at given positions of each sequence.

  Args:
    sequence_tensor: float32 [B, S, D].
    positions: int32 [B, P].

  Returns:
    float32 [B*P, D].
  """
  batch, length, width = modeling.get_shape_list(sequence_tensor, 3)
  starts = tf.range(batch)[:, tf.newaxis] * length  # [B, 1]
  rows = tf.reshape(positions + starts, [-1])  # in the matrix [B*S, D]
  return tf.gather(tf.reshape(sequence_tensor, [-1, width]), rows)


# --------------------------------------------------------- classification


def classification(
  pooled_output,
  num_labels,
  is_training,
  dropout_seed=None,
  features=None,
  compiled=False,
):
  """One logit a label from the vector of a sequence.

  Makes the variables `output_weights` [L, D + F] and `output_bias` [L].

  Args:
    pooled_output: float32 [B, D].
    num_labels: int, L; 1 for a number.
    is_training: bool, whether dropout is on.
    dropout_seed: int32 [2], or None.
    features: float32 [B, F], joined to the vector after dropout; or None.
    compiled: bool, as of `modeling.dropout`.

  Returns:
    float32 [B, L].
  """
  if is_training:
    pooled_output = modeling.dropout(
      pooled_output, CLASSIFIER_DROPOUT, dropout_seed, compiled
    )
  if features is not None:
    pooled_output = tf.concat([pooled_output, features], axis=1)
  return _labels_product(pooled_output, num_labels, CLASSIFIER_STDDEV)


def single_label_loss(logits, labels):
  """Cross entropy with one label an example.

  Args:
    logits: float32 [B, L].
    labels: int32 [B].

  Returns:
    float32 [B].
  """
  return _cross_entropy(logits, labels)[0]


def multi_label_loss(logits, labels):
  """Mean over the labels of each one's sigmoid cross entropy.

  Args:
    logits: float32 [B, L].
    labels: float32 [B, L] of 0 and 1.

  Returns:
    float32 [B].
  """
  losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
  return tf.reduce_mean(losses, axis=-1)


def regression_loss(logits, labels):
  """Squared error of a number.

  Args:
    logits: float32 [B, 1] or [B], the predicted numbers.
    labels: float32 [B].

  Returns:
    float32 [B].
  """
  return tf.square(tf.reshape(logits, [-1]) - tf.reshape(labels, [-1]))


# ------------------------------------------------------------------ spans


def spans(sequence_output):
  """Scores each token as the first and as the last of an answer.

  Makes the variables `cls/squad/output_weights` [2, D] and
  `cls/squad/output_bias` [2].

  Args:
    sequence_output: float32 [B, S, D].

  Returns:
    start_logits: float32 [B, S].
    end_logits: float32 [B, S].
  """
  batch, length, width = modeling.get_shape_list(sequence_output, 3)
  tokens = tf.reshape(sequence_output, [batch * length, width])
  with tf.variable_scope("cls/squad"):
    logits = _labels_product(tokens, 2, SPAN_STDDEV)  # [B*S, 2]
  logits = tf.reshape(logits, [batch, length, 2])
  start_logits, end_logits = tf.unstack(logits, axis=-1)
  return start_logits, end_logits


def span_loss(start_logits, end_logits, start_positions, end_positions):
  """Mean of the cross entropies of an answer's first and last token.

  Args:
    start_logits: float32 [B, S]; padding has its share in the softmax.
    end_logits: float32 [B, S].
    start_positions: int32 [B].
    end_positions: int32 [B].

  Returns:
    float32 [B].
  """
  start_loss, _ = _cross_entropy(start_logits, start_positions)
  end_loss, _ = _cross_entropy(end_logits, end_positions)
  return (start_loss + end_loss) / 2.0


# ---------------------------------------------------------------- ranking


def match_logits(pooled_output, is_training, dropout_seed=None, compiled=False):
  """Scores how well the two texts of a pair go together.

  Makes the variables of `classification` with two labels: 0 no match, 1 match.

  Args:
    pooled_output: float32 [B, D] of pairs.
    is_training: bool, whether dropout is on.
    dropout_seed: int32 [2], or None.
    compiled: bool, as of `modeling.dropout`.

  Returns:
    logits: float32 [B, 2].
    scores: float32 [B], log(p / (1 - p)) of the probability p of a match, which
      tells pairs apart where p is rounded to 1.
  """
  logits = classification(
    pooled_output, 2, is_training, dropout_seed, compiled=compiled
  )
  return logits, logits[:, 1] - logits[:, 0]


def candidates_loss(scores, is_candidate):
  """Cross entropy of the first of a row's candidates among all of them.

  Args:
    scores: float32 [B, C].
    is_candidate: bool [B, C], False for padding, never of the first.

  Returns:
    float32 [B].
  """
  scores = tf.where_v2(is_candidate, scores, modeling.MASKED_SCORE)
  return _cross_entropy(scores, tf.zeros_like(scores[:, 0], tf.int32))[0]


def sentence_vectors(sequence_output, input_mask, pooling):
  """One vector of length 1 for each text, whose products are cosines.

  Args:
    sequence_output: float32 [B, S, D].
    input_mask: int32 [B, S].
    pooling: "mean" of the tokens' vectors, or "cls", the first one.

  Returns:
    float32 [B, D].
  """
  if pooling == "cls":
    return tf.nn.l2_normalize(sequence_output[:, 0, :], axis=-1)
  # The length of the sum is normalised, so it need not be divided.
  weights = tf.cast(input_mask, tf.float32)[:, :, tf.newaxis]
  total = tf.reduce_sum(sequence_output * weights, axis=1)
  return tf.nn.l2_normalize(total, axis=-1)


def in_batch_negatives(text_ids):
  """Which of a batch's responses are wrong for which of its contexts.

  All but the padding, and texts that some row has as a true response of the
  same context, wherever they stand.

  Args:
    text_ids: int32 [B, 1 + C], of a context, its true response and its wrong
      ones; equal for equal texts, 0 for padding.

  Returns:
    bool [B, B * C].
  """
  contexts, own = text_ids[:, :1], text_ids[:, 1:2]
  columns = tf.reshape(text_ids[:, 1:], [1, -1])  # [1, B * C]
  is_same_context = tf.equal(contexts, tf.transpose(contexts))  # [B, B]
  is_own = tf.equal(own, columns)  # [B, B * C]
  num_rows = tf.matmul(  # that have a text as a context's true response
    tf.cast(is_same_context, tf.float32), tf.cast(is_own, tf.float32)
  )
  return tf.not_equal(columns, 0) & (num_rows < 0.5)


def in_batch_softmax_loss(contexts, responses, text_ids, temperature):
  """Cross entropy of a context's true response among the batch's responses.

  Args:
    contexts: float32 [B, D], of length 1.
    responses: float32 [B, C, D], of length 1, the true one first.
    text_ids: int32 [B, 1 + C], as of `in_batch_negatives`.
    temperature: float, divides the cosines.

  Returns:
    float32 [B].
  """
  cosines, own = _batch_cosines(contexts, responses)
  is_negative = in_batch_negatives(text_ids)
  cosines = tf.where_v2(is_negative, cosines, modeling.MASKED_SCORE)
  logits = tf.concat([own[:, tf.newaxis], cosines], axis=1) / temperature
  return _cross_entropy(logits, tf.zeros_like(own, tf.int32))[0]


def semi_hard_triplet_loss(contexts, responses, text_ids, margin):
  """max(0, d(c, r) - d(c, n) + margin), d the squared distance.

  The negative n is the nearest in the batch that is farther than the true
  response r; where there is none, the farthest of all (Schroff et al. 2015,
  arXiv:1503.03832). A context without a negative costs 0.

  Args:
    contexts: as the two below, of `in_batch_softmax_loss`.
    responses: float32 [B, C, D].
    text_ids: int32 [B, 1 + C].
    margin: float.

  Returns:
    float32 [B].
  """
  cosines, own = _batch_cosines(contexts, responses)
  own = 2.0 - 2.0 * own  # |a - b|^2 = 2 - 2 cos(a, b) of vectors of length 1
  distances = 2.0 - 2.0 * cosines
  is_negative = in_batch_negatives(text_ids)
  is_farther = is_negative & (distances > own[:, tf.newaxis])
  low = modeling.MASKED_SCORE
  nearest = tf.reduce_min(tf.where_v2(is_farther, distances, -low), axis=1)
  farthest = tf.reduce_max(tf.where_v2(is_negative, distances, low), axis=1)
  chosen = tf.where(tf.reduce_any(is_farther, axis=1), nearest, farthest)
  losses = tf.nn.relu(own - chosen + margin)
  has_negative = tf.reduce_any(is_negative, axis=1)
  return tf.where(has_negative, losses, tf.zeros_like(losses))


def _batch_cosines(contexts, responses):
  """Cosines [B, B * C] of all, and [B] of each context's true response."""
  columns = tf.reshape(responses, [-1, responses.shape[-1]])
  cosines = tf.matmul(contexts, columns, transpose_b=True)
  return cosines, tf.reduce_sum(contexts * responses[:, 0, :], axis=-1)


# ------------------------------------------------------------------- tags


def tagging(
  layers, word_positions, note, is_training, dropout_seed=None, compiled=False
):
  """Scores each tag of each word by the vector of its first piece.

  Makes the variables `tagger/output_weights` [L, D] and `tagger/output_bias`
  [L], or [L, 2 U] with a recurrent layer, whose own are in `tagger/birnn`;
  `tagger/mix_layers/weights` and `scale`; and `tagger/crf/transitions` [L, L].

  Args:
    layers: list of float32 [B, S, D], the encoder's.
    word_positions: int32 [B, W], 0 where there is no word.
    note: `labels`; `mix_layers`, the indexes of the layers to mix, none for
      the last alone; `birnn_cell`, a key of RNN_CELLS or None, and
      `birnn_size`, U; `use_crf`.
    is_training: bool, whether dropout is on.
    dropout_seed: int32 [2], or None.
    compiled: bool, as of `modeling.dropout`.

  Returns:
    logits: float32 [B, W, L].
    transitions: float32 [L, L], the score of a tag (column) behind another
      (row); None without a CRF.
  """
  size = len(note["labels"])
  batch, width = modeling.get_shape_list(word_positions, 2)
  transitions = None
  with tf.variable_scope("tagger"):
    vectors = layers[-1]
    if note["mix_layers"]:
      vectors = mix_layers([layers[i] for i in note["mix_layers"]])
    words = gather_indexes(vectors, word_positions)  # [B*W, D]
    if note["birnn_cell"]:
      words = tf.reshape(words, [batch, width, words.shape[-1]])
      words = birnn(
        words, word_positions > 0, note["birnn_cell"], note["birnn_size"]
      )
      words = tf.reshape(words, [-1, words.shape[-1]])
    if is_training:
      words = modeling.dropout(words, TAGGER_DROPOUT, dropout_seed, compiled)
    logits = _labels_product(words, size, TAGGER_STDDEV)
    if note["use_crf"]:
      transitions = tf.convert_to_tensor(
        tf.get_variable(
          "crf/transitions", [size, size], initializer=tf.zeros_initializer()
        )
      )
  return tf.reshape(logits, [batch, width, size]), transitions


def mix_layers(layers):
  """A weighted mean of layers, times a scale (ELMo, arXiv:1802.05365, eq. 1).

  Makes `mix_layers/weights` [number of layers], of which the softmax is taken,
  and `mix_layers/scale`, in the current scope: at first the plain mean.

  Args:
    layers: list of float32 [B, S, D].

  Returns:
    float32 [B, S, D].
  """
  with tf.variable_scope("mix_layers"):
    weights = tf.get_variable(
      "weights", [len(layers)], initializer=tf.zeros_initializer()
    )
    scale = tf.get_variable("scale", [], initializer=tf.ones_initializer())
  shares = tf.unstack(tf.nn.softmax(weights))
  return scale * tf.add_n([s * layer for s, layer in zip(shares, layers)])


def birnn(words, is_word, cell, size):
  """Reads the words in both directions with an LSTM or a GRU.

  Makes `birnn/kernel` [2, D, G U], `birnn/recurrent_kernel` [2, U, G U] and
  `birnn/bias` [2, G U] in the current scope, of G gates: forwards, backwards.
  The LSTM is that of arXiv:1402.1128 without peepholes (gates: input, forget,
  output, candidate); the GRU that of arXiv:1406.1078 with the reset gate behind
  the product (update, reset, candidate).

  Args:
    words: float32 [B, W, D].
    is_word: bool [B, W], False for padding, which leaves the state as it is.
    cell: a key of RNN_CELLS.
    size: units of each direction, U.

  Returns:
    float32 [B, W, 2 U].
  """
  batch, count, width = modeling.get_shape_list(words, 3)
  gates = RNN_CELLS[cell] * size
  initializer = modeling.drawn_by_name(
    tf.random_uniform_initializer, minval=-(size**-0.5), maxval=size**-0.5
  )
  with tf.variable_scope("birnn", initializer=initializer):
    kernel = tf.get_variable("kernel", [2, width, gates])
    recurrent = tf.get_variable("recurrent_kernel", [2, size, gates])
    bias = tf.get_variable(
      "bias", [2, gates], initializer=tf.zeros_initializer()
    )

  def both_ways(values):  # [B, W, X] to [2, W, B, X]
    values = tf.transpose(values, [1, 0, 2])
    return tf.stack([values, tf.reverse(values, [0])])

  inputs = tf.reshape(both_ways(words), [2, count * batch, width])
  inputs = tf.matmul(inputs, kernel) + bias[:, tf.newaxis]  # [2, W*B, G U]
  inputs = tf.reshape(inputs, [2, count, batch, gates])
  inputs = tf.transpose(inputs, [1, 0, 2, 3])  # [W, 2, B, G U]
  moves = tf.cast(is_word, tf.float32)[:, :, tf.newaxis]
  moves = tf.transpose(both_ways(moves), [1, 0, 2, 3])  # [W, 2, B, 1]
  recurrent = tf.convert_to_tensor(recurrent)
  step = {"lstm": _lstm_step, "gru": _gru_step}[cell]

  def masked_step(state, inputs):
    inputs, moves = inputs
    new = step(state, inputs, recurrent)
    return tuple(old + moves * (n - old) for n, old in zip(new, state))

  first = tf.zeros(tf.stack([2, batch, size]))
  first.set_shape([2, words.shape[0], size])
  state = (first, first) if cell == "lstm" else (first,)
  hidden = tf.scan(masked_step, (inputs, moves), state)[0]  # [W, 2, B, U]
  both = [hidden[:, 0], tf.reverse(hidden[:, 1], [0])]
  return tf.transpose(tf.concat(both, axis=-1), [1, 0, 2])


def _lstm_step(state, inputs, recurrent):
  """The next (hidden, cell), [2, B, U] each, of inputs [2, B, 4 U]."""
  hidden, cell = state
  take, keep, show, new = tf.split(
    inputs + tf.matmul(hidden, recurrent), 4, axis=-1
  )
  cell = tf.sigmoid(keep + 1.0) * cell + tf.sigmoid(take) * tf.tanh(new)
  return tf.sigmoid(show) * tf.tanh(cell), cell


def _gru_step(state, inputs, recurrent):
  """The next (hidden,), [2, B, U], of inputs [2, B, 3 U]."""
  (hidden,) = state
  update, reset, new = tf.split(inputs, 3, axis=-1)
  of_update, of_reset, of_new = tf.split(
    tf.matmul(hidden, recurrent), 3, axis=-1
  )
  new = tf.tanh(new + tf.sigmoid(reset + of_reset) * of_new)
  keep = tf.sigmoid(update + of_update)
  return (keep * hidden + (1.0 - keep) * new,)


def decode_tags(logits, transitions, is_word):
  """The best tag of each word: of its own, or with a CRF of the whole path.

  Args:
    logits: float32 [B, W, L].
    transitions: float32 [L, L], or None.
    is_word: bool [B, W], True up to the last word.

  Returns:
    int32 [B, W].
  """
  if transitions is None:
    return tf.argmax(logits, axis=-1, output_type=tf.int32)
  return viterbi(logits, transitions, is_word)


def tag_losses(logits, transitions, is_word, tag_ids, is_scored):
  """What the tags of each sequence cost, added up over its scored words.

  Without a CRF that is the cross entropy of each word. With one it is the
  negative log-likelihood of the scored words' tags, given those of the other
  words (arXiv:1603.01360, section 2.2): all paths that it is compared with
  have these tags.

  Args:
    logits: float32 [B, W, L].
    transitions: float32 [L, L], or None.
    is_word: bool [B, W], True up to the last word.
    tag_ids: int32 [B, W], the true tags.
    is_scored: int32 [B, W], 1 where a word counts.

  Returns:
    float32 [B].
  """
  if transitions is None:
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
      labels=tag_ids, logits=logits
    )
    return tf.reduce_sum(losses * tf.cast(is_scored, tf.float32), axis=1)
  true_tags = tf.one_hot(tag_ids, transitions.shape[0])  # [B, W, L]
  is_fixed = tf.cast(1 - is_scored, tf.float32)[:, :, tf.newaxis]
  possible = logits + modeling.MASKED_SCORE * is_fixed * (1.0 - true_tags)
  return log_partition(possible, transitions, is_word) - path_scores(
    logits, transitions, is_word, tag_ids
  )


def path_scores(logits, transitions, is_word, tag_ids):
  """The score of a path of tags: of each word's tag, and of each two in a row.

  Args:
    logits: float32 [B, W, L].
    transitions: float32 [L, L].
    is_word: bool [B, W]; the first word counts in any case.
    tag_ids: int32 [B, W].

  Returns:
    float32 [B].
  """
  tags = tf.one_hot(tag_ids, transitions.shape[0])  # [B, W, L]
  scores = tf.reduce_sum(tags * logits, axis=-1)  # [B, W]
  from_tags = tf.tensordot(tags[:, :-1], transitions, 1)  # [B, W-1, L]
  steps = scores[:, 1:] + tf.reduce_sum(tags[:, 1:] * from_tags, axis=-1)
  steps *= tf.cast(is_word[:, 1:], tf.float32)
  return scores[:, 0] + tf.reduce_sum(steps, axis=1)


def log_partition(logits, transitions, is_word):
  """Log of the sum of exp(score) over all paths, by the forward algorithm.

  Args:
    logits: float32 [B, W, L].
    transitions: float32 [L, L].
    is_word: bool [B, W]; the first word counts in any case.

  Returns:
    float32 [B].
  """

  def step(scores, inputs):  # scores [B, L] of all paths up to a tag
    logits, is_word = inputs
    paths = scores[:, :, tf.newaxis] + transitions  # [B, L, L]
    longer = tf.reduce_logsumexp(paths, axis=1) + logits
    return tf.where_v2(is_word, longer, scores)

  first, others, are_words = _by_word(logits, is_word)
  scores = tf.foldl(step, (others, are_words), first)
  return tf.reduce_logsumexp(scores, axis=-1)


def viterbi(logits, transitions, is_word):
  """The path of tags with the highest score.

  Args:
    logits: float32 [B, W, L].
    transitions: float32 [L, L].
    is_word: bool [B, W], True up to the last word.

  Returns:
    int32 [B, W]; behind the last word its tag is repeated.
  """
  size = logits.shape[-1]

  def step(state, inputs):
    scores, _ = state
    logits, is_word = inputs
    paths = scores[:, :, tf.newaxis] + transitions  # [B, L, L]
    before = tf.argmax(paths, axis=1, output_type=tf.int32)
    longer = tf.reduce_max(paths, axis=1) + logits
    return (
      tf.where_v2(is_word, longer, scores),
      tf.where_v2(is_word, before, tf.range(size)),
    )

  def back(tag, before):  # [B], [B, L]
    return tf.reduce_sum(before * tf.one_hot(tag, size, dtype=tf.int32), axis=1)

  # One position more, for tf.scan takes no empty sequence.
  logits = tf.pad(logits, [[0, 0], [0, 1], [0, 0]])
  is_word = tf.pad(is_word, [[0, 0], [0, 1]])
  first, others, are_words = _by_word(logits, is_word)
  state = first, tf.zeros_like(first, tf.int32)
  scores, before = tf.scan(step, (others, are_words), state, back_prop=False)
  last = tf.argmax(scores[-1], axis=-1, output_type=tf.int32)
  tags = tf.scan(back, before, last, back_prop=False, reverse=True)
  return tf.transpose(tags)


def _by_word(logits, is_word):
  """Of the first word [B, L], of the others [W-1, B, L] and [W-1, B, 1]."""
  logits = tf.transpose(logits, [1, 0, 2])
  is_word = tf.transpose(is_word)[:, :, tf.newaxis]
  return logits[0], logits[1:], is_word[1:]


# ----------------------------------------------- from ids to predictions


def classifier_forward(
  bert_config,
  features,
  note,
  is_training=False,
  dropout_seed=None,
  **encoder_options,
):
  """BERT with a classifier on the first token's pooled vector.

  Args:
    bert_config: modeling.BertConfig.
    features: `input_ids`, `input_mask` and `segment_ids`, int32 [B, S]; where
      the task has numbers beside the text, `features`, float32 [B, F].
    note: of task.json: `labels`, one an output (none: one output), and
      `label_type`, single, multi or number.
    is_training: bool, whether dropout is on.
    dropout_seed: int32 [2], or None.
    **encoder_options: of `modeling.BertModel`.

  Returns:
    `logits` and `probabilities`, float32 [B, L]; for a number, the
    probabilities are the numbers.
  """
  model = _encoder(
    bert_config, features, is_training, dropout_seed, encoder_options
  )
  logits = classification(
    model.get_pooled_output(),
    len(note["labels"]) or 1,
    is_training,
    dropout_seed,
    features.get("features"),
    model.compiled,
  )
  activation = {
    "single": tf.nn.softmax,
    "multi": tf.nn.sigmoid,
    "number": tf.identity,
  }[note["label_type"]]
  return {"logits": logits, "probabilities": activation(logits)}


def span_forward(
  bert_config,
  features,
  note,
  is_training=False,
  dropout_seed=None,
  **encoder_options,
):
  """BERT with two scores for each token.

  Args:
    bert_config: as all others, of `classifier_forward`; `note` is not used.

  Returns:
    `start_logits` and `end_logits`, float32 [B, S].
  """
  del note
  model = _encoder(
    bert_config, features, is_training, dropout_seed, encoder_options
  )
  start_logits, end_logits = spans(model.get_sequence_output())
  return {"start_logits": start_logits, "end_logits": end_logits}


def ranker_forward(
  bert_config,
  features,
  note,
  is_training=False,
  dropout_seed=None,
  **encoder_options,
):
  """BERT over pairs that may match, or over texts whose vectors are compared.

  Args:
    bert_config: modeling.BertConfig.
    features: `input_ids`, `input_mask` and `segment_ids`, int32 [B, S], or [B,
      N, S] of N sequences that are ranked together.
    note: of task.json: `model`, interaction or representation, and the latter's
      `pooling`.
    is_training: bool, whether dropout is on.
    dropout_seed: int32 [2], or None.
    **encoder_options: of `modeling.BertModel`.

  Returns:
    Of interaction `logits` [B * N, 2], `scores` and `probabilities` [B * N], of
    a match; of representation `vectors` [B * N, D]; all float32.
  """
  length = modeling.get_shape_list(features["input_ids"])[-1]
  inputs = {
    name: tf.reshape(features[name], [-1, length])
    for name in ("input_ids", "input_mask", "segment_ids")
  }
  model = _encoder(
    bert_config, inputs, is_training, dropout_seed, encoder_options
  )
  if note["model"] == "interaction":
    logits, scores = match_logits(
      model.get_pooled_output(), is_training, dropout_seed, model.compiled
    )
    probabilities = tf.sigmoid(scores)
    return {"logits": logits, "scores": scores, "probabilities": probabilities}
  vectors = sentence_vectors(
    model.get_sequence_output(), inputs["input_mask"], note["pooling"]
  )
  return {"vectors": vectors}


def tagger_scores(
  bert_config,
  features,
  note,
  is_training=False,
  dropout_seed=None,
  **encoder_options,
):
  """BERT with a score for each tag of each word.

  Args:
    bert_config: as all but `features`, of `classifier_forward`.
    features: `input_ids`, `input_mask` and `segment_ids`, int32 [B, S], and
      `word_positions`, int32 [B, W], where the first piece of each word is, 0
      behind the last.
    note: of task.json, as `tagging` takes it.
    is_training: bool, whether dropout is on.
    dropout_seed: int32 [2], or None.
    **encoder_options: of `modeling.BertModel`.

  Returns:
    As `tagging`.
  """
  model = _encoder(
    bert_config, features, is_training, dropout_seed, encoder_options
  )
  return tagging(
    model.get_all_encoder_layers(),
    features["word_positions"],
    note,
    is_training,
    dropout_seed,
    model.compiled,
  )


def tagger_forward(bert_config, features, note, *args, **encoder_options):
  """BERT with a tag for each word; the arguments are `tagger_scores`'.

  Returns:
    `logits`, float32 [B, W, L], and `tag_ids`, int32 [B, W].
  """
  logits, transitions = tagger_scores(
    bert_config, features, note, *args, **encoder_options
  )
  is_word = features["word_positions"] > 0
  return {
    "logits": logits,
    "tag_ids": decode_tags(logits, transitions, is_word),
  }


# The graph of a trained model by the `task` of its task.json, for training and
# prediction alike. All have the arguments of `classifier_forward`: `features`
# has what the task's records hold, `note` what its task.json does.
FORWARD = {
  "classifier": classifier_forward,
  "squad": span_forward,
  "tagger": tagger_forward,
  "ranker": ranker_forward,
}


def _encoder(bert_config, features, is_training, dropout_seed, options):
  return modeling.BertModel(
    bert_config,
    is_training,
    features["input_ids"],
    features["input_mask"],
    features["segment_ids"],
    dropout_seed=dropout_seed,
    **options,
  )


# ----------------------------------------------------------------- shared


def _labels_product(vectors, num_labels, stddev):
  """[B, D] to [B, L] by `output_weights` [L, D] and `output_bias` [L]."""
  weights = tf.get_variable(
    "output_weights",
    [num_labels, vectors.shape[-1]],
    initializer=modeling.create_initializer(stddev),
  )
  bias = tf.get_variable(
    "output_bias", [num_labels], initializer=tf.zeros_initializer()
  )
  return tf.nn.bias_add(tf.matmul(vectors, weights, transpose_b=True), bias)


def _cross_entropy(logits, labels):
  """Losses [M] and log-probabilities [M, L] of logits [M, L], labels [M]."""
  losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
    labels=labels, logits=logits
  )
  return losses, tf.nn.log_softmax(logits)
