# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Tagging: a sentence to a tag for each word, such as the names in it.

In: the encoder's vectors of tokens [B, S, D], and where each word begins. Out:
logits, tags and losses of words; and from a row of text to its words, tags and
entities.

Shapes: B batch, S sequence, D hidden, W words, L labels, U units of a
recurrent cell, G its gates.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence

import tensorflow.compat.v1 as tf

import modeling
from bert.files import clock
from bert.ops import variables
from bert.records import packing, record_files
from bert.tasks import crf, layers, metrics, task

DROPOUT = 0.1
RNN_CELLS = {"lstm": 4, "gru": 3}  # and how many gates each has


@dataclasses.dataclass(frozen=True)
class TaggerNote:
  """What task.json keeps of a tagger."""

  task: str
  labels: Sequence[str]  # the tags in the order of their ids
  tag_scheme: str  # one of metrics.TAG_SCHEMES
  use_crf: bool
  birnn_cell: str | None  # a key of RNN_CELLS; None: no recurrent layer
  birnn_size: int
  mix_layers: Sequence[int]  # their indexes; none: only the last layer
  do_lower_case: bool
  max_seq_length: int


# --------------------------------------------------------------- sentences


@dataclasses.dataclass
class Sentence:
  """Words, their tags if they are known, and the text if there is one."""

  words: Sequence[str]
  tags: Sequence[str] | None = None
  line: int = 0  # of the file, from 1, where it begins
  text: str | None = None
  spans: Sequence[tuple[int, int]] = ()  # of the words in the text


def text_sentence(text: str, tokenizer, line: int = 0) -> Sentence:
  """The words of a text, found as the tokenizer finds them."""
  spans = packing.word_spans(text, tokenizer)
  words = [text[start:end] for start, end in spans]
  return Sentence(words, line=line, text=text, spans=spans)


def row_sentence(row: Mapping, tokenizer, line: int = 0) -> Sentence:
  """The sentence of a row, which has `text` or a list of words, `tokens`.

  Raises:
    ValueError: the row has neither.
  """
  words = row.get("tokens")
  if words is None:
    text = task.text_of(row, ("text",), Tagging.example)
    return text_sentence(text, tokenizer, line)
  if not isinstance(words, list) or not all(isinstance(w, str) for w in words):
    raise ValueError(f"'tokens' has to be a list of words, not {words!r:.40}")
  return Sentence(words, line=line)


def pack_sentence(
  words: Sequence[str], max_seq_length: int, tokenizer
) -> Iterator[tuple[packing.WordWindow, dict]]:
  """Yields the windows of a sentence, each with its padded inputs."""
  pieces = packing.word_pieces(words, max_seq_length, tokenizer)
  for window in packing.word_windows(pieces, max_seq_length):
    yield (
      window,
      packing.pack_words(pieces, window, max_seq_length, tokenizer),
    )


def tagged_fields(sentence: Sentence, tags: Sequence[str], scheme: str) -> dict:
  """A tagged sentence as predictions show it.

  Returns:
    `tokens` and `tags`; if there is a text, `spans`; if tags mark entities,
    `entities`, as `metrics.entity_fields` gives them.
  """
  fields = {"tokens": list(sentence.words), "tags": list(tags)}
  if sentence.text is not None:
    fields["spans"] = sentence.spans
  if scheme != "none":
    fields["entities"] = metrics.entity_fields(
      tags, sentence.text, sentence.spans
    )
  return fields


# -------------------------------------------------------- lines of predictions


def conll_lines(
  sentences: Sequence[Sentence], predictions: Sequence[Sequence[str]]
) -> Iterator[str]:
  """The lines of predictions.txt: word, true tag if known, predicted tag.

  Spaces separate them, or tabs if any word or tag has a space.
  """
  has_spaces = any(
    " " in field for s in sentences for field in (*s.words, *(s.tags or ()))
  ) or any(" " in tag for tags in predictions for tag in tags)
  separator = "\t" if has_spaces else " "
  for sentence, predicted in zip(sentences, predictions):
    columns = [sentence.words, predicted]
    if sentence.tags is not None:
      columns.insert(1, sentence.tags)
    yield from map(separator.join, zip(*columns))
    yield ""


def json_lines(
  sentences: Sequence[Sentence],
  predictions: Sequence[Sequence[str]],
  scheme: str,
) -> Iterator[str]:
  """The lines of predictions.jsonl: the text, if any, and `tagged_fields`."""
  for sentence, tags in zip(sentences, predictions):
    line = {} if sentence.text is None else {"text": sentence.text}
    line.update(tagged_fields(sentence, tags, scheme))
    yield json.dumps(line, ensure_ascii=False)


# ------------------------------------------------------------------ layers


def mix_layers(vectors):
  """A weighted mean of layers, times a scale (ELMo, arXiv:1802.05365, eq. 1).

  Makes `mix_layers/weights` [number of layers], whose softmax weights the
  layers, and `mix_layers/scale`, in the current scope. At first this is the
  plain mean.

  Args:
    vectors: list of float32 [B, S, D].

  Returns:
    float32 [B, S, D].
  """
  with tf.variable_scope("mix_layers"):
    weights = modeling.variable(
      "weights", [len(vectors)], tf.zeros_initializer()
    )
    scale = modeling.variable("scale", [], tf.ones_initializer())
  shares = tf.unstack(tf.nn.softmax(weights))
  return scale * tf.add_n([s * layer for s, layer in zip(shares, vectors)])


def birnn(words, is_word, cell: str, size: int):
  """Reads the words in both directions with an LSTM or a GRU.

  Makes `birnn/kernel` [2, D, G U], `birnn/recurrent_kernel` [2, U, G U] and
  `birnn/bias` [2, G U] in the current scope: forwards, backwards. The LSTM is
  that of arXiv:1402.1128 without peepholes (gates: input, forget, output,
  candidate); the GRU is that of arXiv:1406.1078 with the reset gate after the
  product (update, reset, candidate).

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
  initializer = variables.drawn_by_name(
    tf.random_uniform_initializer, minval=-(size**-0.5), maxval=size**-0.5
  )
  with tf.variable_scope("birnn", initializer=initializer):
    kernel = modeling.variable("kernel", [2, width, gates])
    recurrent = modeling.variable("recurrent_kernel", [2, size, gates])
    bias = modeling.variable("bias", [2, gates], tf.zeros_initializer())

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
  """The next (hidden, cell), [2, B, U] each, from inputs [2, B, 4 U]."""
  hidden, cell = state
  take, keep, show, new = tf.split(
    inputs + tf.matmul(hidden, recurrent), 4, axis=-1
  )
  cell = tf.sigmoid(keep + 1.0) * cell + tf.sigmoid(take) * tf.tanh(new)
  return tf.sigmoid(show) * tf.tanh(cell), cell


def _gru_step(state, inputs, recurrent):
  """The next (hidden,), [2, B, U], from inputs [2, B, 3 U]."""
  (hidden,) = state
  update, reset, new = tf.split(inputs, 3, axis=-1)
  to_update, to_reset, to_new = tf.split(
    tf.matmul(hidden, recurrent), 3, axis=-1
  )
  new = tf.tanh(new + tf.sigmoid(reset + to_reset) * to_new)
  keep = tf.sigmoid(update + to_update)
  return (keep * hidden + (1.0 - keep) * new,)


def best_tags(logits, transitions, is_word):
  """The best tag of each word, or with a CRF the best path of tags.

  Args:
    logits: float32 [B, W, L].
    transitions: float32 [L, L], or None without a CRF.
    is_word: bool [B, W], True up to the last word.

  Returns:
    int32 [B, W].
  """
  if transitions is None:
    return tf.argmax(logits, axis=-1, output_type=tf.int32)
  return crf.viterbi(logits, transitions, is_word)


def tag_losses(logits, transitions, is_word, tag_ids, is_scored):
  """The loss of each sequence, summed over its scored words.

  Without a CRF this is the cross entropy of each word; with one,
  `crf.path_losses`.

  Args:
    logits: float32 [B, W, L].
    transitions: float32 [L, L], or None without a CRF.
    is_word: bool [B, W], True up to the last word.
    tag_ids: int32 [B, W], the true tags.
    is_scored: int32 [B, W], 1 where a word counts.

  Returns:
    float32 [B].
  """
  if transitions is None:
    losses = layers.cross_entropy(logits, tag_ids)  # [B, W]
    return tf.reduce_sum(losses * tf.cast(is_scored, tf.float32), axis=1)
  return crf.path_losses(logits, transitions, is_word, tag_ids, is_scored)


# -------------------------------------------------------------------- task


class Tagging(task.Task):
  """A text, or its words, to a tag for each word."""

  name = "tagger"
  Note = TaggerNote
  example = {"text": "..."}

  def schema(self, is_training):
    """A record is a window of a sentence. For each word, `word_positions` is
    where its first piece stands (0: there is no such word), `tag_ids` is its
    tag, and `is_scored` is 1 if it counts, 0 for context and padding. These
    have the padded length too, because words are fewer than positions."""
    length = self.note.max_seq_length
    return {
      **record_files.sequence_schema(length),
      **{
        name: record_files.per_position(length)
        for name in ("word_positions", "tag_ids", "is_scored")
      },
    }

  def layers(self, encoder, features):
    """`logits` [B, W, L], `tag_ids` int32 [B, W] and, with a CRF,
    `transitions` [L, L], the score of a tag (column) after another (row).

    The vector of a word's first piece stands for the word. Makes the variables
    `tagger/output_weights` [L, D] and `tagger/output_bias` [L]. With a
    recurrent layer the weights are [L, 2 U], and its own variables are in
    `tagger/birnn`. `mix_layers` and the CRF add `tagger/mix_layers/weights` and
    `scale`, and `tagger/crf/transitions` [L, L].
    """
    note, size = self.note, len(self.note.labels)
    is_word = features["word_positions"] > 0
    transitions = None
    with tf.variable_scope("tagger"):
      words = self._words(encoder, features["word_positions"])  # [B, W, X]
      batch, count, width = modeling.get_shape_list(words, 3)
      words = encoder.dropout(tf.reshape(words, [-1, width]), DROPOUT)
      logits = tf.reshape(
        layers.labels_product(words, size), [batch, count, size]
      )
      if note.use_crf:
        transitions = tf.convert_to_tensor(
          modeling.variable(
            "crf/transitions", [size, size], tf.zeros_initializer()
          )
        )
    tensors = {
      "logits": logits,
      "tag_ids": best_tags(logits, transitions, is_word),
    }
    if note.use_crf:
      tensors["transitions"] = transitions
    return tensors

  def _words(self, encoder, word_positions):
    """The vector of each word, [B, W, D], or [B, W, 2 U] if read by birnn."""
    note, vectors = self.note, encoder.get_sequence_output()
    if note.mix_layers:
      every_layer = encoder.get_all_encoder_layers()
      vectors = mix_layers([every_layer[i] for i in note.mix_layers])
    batch, count = modeling.get_shape_list(word_positions, 2)
    words = layers.gather_indexes(vectors, word_positions)  # [B*W, D]
    words = tf.reshape(words, [batch, count, words.shape[-1]])
    if note.birnn_cell:
      is_word = word_positions > 0
      words = birnn(words, is_word, note.birnn_cell, note.birnn_size)
    return words

  def scored(self, tensors, features):
    """Predictions are `tag_ids` [B, W], and `losses` [B], the sum over the
    words that count."""
    losses = tag_losses(
      tensors["logits"],
      tensors.get("transitions"),
      features["word_positions"] > 0,
      features["tag_ids"],
      features["is_scored"],
    )
    return task.Outputs(
      predictions={"tag_ids": tensors["tag_ids"], "losses": losses},
      loss_sums=[tf.reduce_sum(losses)],
      metric_fn=_mean_loss,
      metric_inputs=[losses, features["is_scored"]],
    )

  def loss_weights(self, features):
    """The number of words that count, for a mean over words."""
    count = tf.reduce_sum(tf.cast(features["is_scored"], tf.float32))
    return (tf.maximum(count, 1.0),)

  def inputs(self):
    """`word_positions`, int32 [B, W], is where the first piece of each word
    stands, 0 after the last word."""
    name = "word_positions"
    return {
      **super().inputs(),
      name: tf.TensorSpec([None, None], tf.int32, name),
    }

  def served(self, tensors, inputs):
    """`logits` [B, W, L], `tag_ids` and `tags` [B, W]; the tags after the last
    word are empty."""
    tags = tf.gather(tf.constant(self.note.labels), tensors["tag_ids"])
    return {
      "logits": tensors["logits"],
      "tag_ids": tensors["tag_ids"],
      "tags": tf.where_v2(inputs["word_positions"] > 0, tags, ""),
    }

  def prepare(self, row, tokenizer):
    """The windows of a row's words; the sentence and they are kept."""
    sentence = row_sentence(row, tokenizer)
    windows, rows = [], []
    for window, inputs in pack_sentence(
      sentence.words, self.note.max_seq_length, tokenizer
    ):
      windows.append(window)
      length = sum(inputs["input_mask"])
      rows.append({name: values[:length] for name, values in inputs.items()})
    return rows, (sentence, windows)

  def answer(self, kept, outputs):
    """`tokens`, `tags`, `spans` and `entities`, as in predictions.jsonl."""
    sentence, windows = kept
    tags = [
      self.note.labels[tag_id]
      for window, output in zip(windows, outputs)
      for tag_id in output["tag_ids"][window.own]
    ]
    return tagged_fields(sentence, tags, self.note.tag_scheme)

  def decision(self, answer):
    """The tags."""
    return answer["tags"]


def _mean_loss(losses, is_scored):
  """eval_loss, the mean over words."""
  count = tf.reduce_sum(tf.cast(is_scored, tf.float32), axis=1)
  mean = losses / tf.maximum(count, 1.0)
  return {"eval_loss": tf.metrics.mean(mean, count)}


# ----------------------------------------------------------------- records


@dataclasses.dataclass
class Windows:
  """The records of sentences, and which words each of them tags."""

  records: record_files.RecordFile
  # Of each record: its sentence, and its own words among the window's.
  owned: Sequence[tuple[int, slice]]
  num_scored: int  # words that count in the loss


def convert_sentence(
  sentence: Sentence, labels: Mapping[str, int], max_seq_length: int, tokenizer
) -> Iterator[tuple[dict, packing.WordWindow]]:
  """Makes the records of a sentence.

  Args:
    sentence: its tags may be missing or unknown; such a word gets id 0 and does
      not count in the loss.
    labels: {tag: id}.
    max_seq_length: padded length.
    tokenizer: a FullTokenizer.

  Yields:
    The record of each window, as `Tagging.schema` declares it, and the window.
  """
  tags = sentence.tags or [None] * len(sentence.words)
  for window, row in pack_sentence(sentence.words, max_seq_length, tokenizer):
    words = range(window.start, window.end)
    ids = [labels.get(tags[i], 0) for i in words]
    is_scored = [
      int(window.own_start <= i < window.own_end and tags[i] in labels)
      for i in words
    ]
    row["tag_ids"] = packing.padded(ids, max_seq_length)
    row["is_scored"] = packing.padded(is_scored, max_seq_length)
    yield row, window


@clock.part("records")
def write_windows(
  sentences: Sequence[Sentence], note: TaggerNote, tokenizer, output_file: str
) -> Windows:
  """Writes the records of sentences to a TFRecord file, in their order."""
  ids = {tag: i for i, tag in enumerate(note.labels)}
  schema = Tagging(note).schema(is_training=True)
  owned, num_scored = [], 0
  with record_files.RecordWriter(output_file, schema) as writer:
    for place, sentence in enumerate(sentences):
      for row, window in convert_sentence(
        sentence, ids, note.max_seq_length, tokenizer
      ):
        writer.write(row)
        owned.append((place, window.own))
        num_scored += sum(row["is_scored"])
  return Windows(writer.records, owned, num_scored)
