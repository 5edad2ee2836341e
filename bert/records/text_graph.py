# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The tokenizer and the packing of its tokens, as a graph.

In: raw strings [B]. Out: ids and the encoder's inputs, equal to those of
tokenization.py and packing.py. It needs tensorflow-text.

Shapes: B batch, S sequence, T tokens of a text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import tensorflow.compat.v1 as tf

_CJK = (
  r"[\x{4e00}-\x{9fff}\x{3400}-\x{4dbf}\x{20000}-\x{2a6df}\x{2a700}-\x{2b73f}"
  r"\x{2b740}-\x{2b81f}\x{2b820}-\x{2ceaf}\x{f900}-\x{faff}"
  r"\x{2f800}-\x{2fa1f}]"
)
_PUNCTUATION = r"[!-/:-@\[-`{-~\pP]"


def spaced(texts: tf.Tensor, do_lower_case: bool) -> tf.Tensor:
  """`tokenization.BasicTokenizer.tokenize` as a graph: words between spaces.

  Args:
    texts: string [...], UTF-8; what is not is left out.
    do_lower_case: lower-case, and strip accents.

  Returns:
    string [...].
  """
  replace = tf.strings.regex_replace
  texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", "ignore")
  texts = replace(texts, r"[\t\n\r\pZ]", " ")
  texts = replace(texts, r"[\x{fffd}\p{Cc}\p{Cf}]+", "")
  texts = replace(texts, f"({_CJK})", r" \1 ")
  if do_lower_case:
    texts = tf.strings.lower(texts, encoding="utf-8")
    texts = _text_package().normalize_utf8(texts, "NFD")
    texts = replace(texts, r"\p{Mn}+", "")
  return replace(texts, f"({_PUNCTUATION})", r" \1 ")


def token_ids(texts: tf.Tensor, tokenizer) -> tf.RaggedTensor:
  """`tokenization.FullTokenizer.tokenize` as a graph.

  Args:
    texts: string [B].
    tokenizer: a FullTokenizer; its vocabulary becomes part of the graph.

  Returns:
    int64 [B, (T)].
  """
  basic, pieces = tokenizer.basic_tokenizer, tokenizer.wordpiece_tokenizer
  words = tf.strings.split(
    spaced(texts, basic.do_lower_case), result_type="RaggedTensor"
  )  # [B, (words)]
  limit = pieces.max_input_chars_per_word
  is_long = tf.strings.length(words.values, unit="UTF8_CHAR") > limit
  words = words.with_values(
    tf.where_v2(
      is_long, tf.fill(tf.shape(is_long), pieces.unk_token), words.values
    )
  )
  table = tf.lookup.StaticHashTable(
    tf.lookup.KeyValueTensorInitializer(
      tf.constant(list(tokenizer.vocab)),
      tf.constant(list(tokenizer.vocab.values()), tf.int64),
    ),
    -1,
  )
  splitter = _text_package().WordpieceTokenizer(
    table,
    max_bytes_per_word=4 * limit,
    unknown_token=pieces.unk_token,
    token_out_type=tf.int64,
  )
  return splitter.tokenize(words).merge_dims(1, 2)


def packed(
  ids_a: tf.RaggedTensor,
  ids_b: tf.RaggedTensor,
  has_b: tf.Tensor,
  max_seq_length: int,
  vocab: Mapping[str, int],
) -> dict:
  """`packing.pack` as a graph; S is the longest row's length.

  Args:
    ids_a: int64 [B, (T)].
    ids_b: int64 [B, (T)], empty where there is no second text.
    has_b: bool [B], which rows have a second text.
    max_seq_length: longer rows are cut.
    vocab: for the ids of [CLS] and [SEP].

  Returns:
    `input_ids`, `input_mask` and `segment_ids`, int32 [B, S].
  """
  pairs = tf.cast(has_b, tf.int32)[:, tf.newaxis]
  kept_a, kept_b = _kept(ids_a, ids_b, max_seq_length - 2 - pairs)
  end_a = kept_a + 1  # place of the first [SEP], [B, 1]
  end = end_a + pairs * (kept_b + 1)  # of the last
  place = tf.range(tf.reduce_max(end) + 1)[tf.newaxis]  # [1, S]
  in_b = tf.cast(place > end_a, tf.int32)
  dense_a = tf.pad(_dense(ids_a), [[0, 0], [1, 1]])  # [CLS] and [SEP] are put
  source = tf.concat([dense_a, _dense(ids_b), tf.zeros_like(pairs)], axis=1)
  at = place + in_b * (tf.shape(dense_a)[1] - end_a - 1)
  at = tf.minimum(at, tf.shape(source)[1] - 1)
  ids = tf.gather(source, at, batch_dims=1)
  is_sep = tf.equal(place, end_a) | tf.equal(place, end)
  ids = tf.where_v2(is_sep, vocab["[SEP]"], ids)
  ids = tf.where_v2(tf.equal(place, 0), vocab["[CLS]"], ids)
  mask = tf.cast(place <= end, tf.int32)
  return {
    "input_ids": ids * mask,
    "input_mask": mask,
    "segment_ids": in_b * mask,
  }


def _kept(ids_a, ids_b, limit):
  """`packing.pair_lengths`, int32 [B, 1] each."""
  length_a, length_b = (
    tf.cast(ids.row_lengths(), tf.int32)[:, tf.newaxis]
    for ids in (ids_a, ids_b)
  )
  most_a = tf.maximum(limit - limit // 2, limit - length_b)
  kept_a = tf.minimum(length_a, most_a)
  return kept_a, tf.minimum(length_b, limit - kept_a)


def _dense(ids):
  return tf.cast(ids.to_tensor(0), tf.int32)


def _text_package():
  """The package tensorflow_text, loaded where strings are asked for."""
  import tensorflow_text

  return tensorflow_text


def check_tokenizer(tokenizer, texts: Iterable[str]) -> int:
  """Compares the graph's tokens with the tokenizer's.

  Args:
    tokenizer: a FullTokenizer.
    texts: to compare besides the vocabulary's tokens, each as it is, in
      capitals and in a word.

  Returns:
    How many texts were compared.

  Raises:
    ValueError: they differ; the text is named.
  """
  tokens = [token.removeprefix("##") for token in tokenizer.vocab]
  texts = [
    text for token in tokens for text in (token, token.upper(), f"a{token} b")
  ] + list(texts)
  with tf.Graph().as_default(), tf.Session() as session:
    fed = tf.placeholder(tf.string, [None])
    ids = token_ids(fed, tokenizer)
    session.run(tf.tables_initializer())
    for first in range(0, len(texts), 4096):
      part = texts[first : first + 4096]
      found = session.run(ids, {fed: [text.encode("utf-8") for text in part]})
      for text, row in zip(part, found.to_list()):
        tokens = tokenizer.tokenize(text)
        wanted = tokenizer.convert_tokens_to_ids(tokens)
        if row != wanted:
          raise ValueError(
            f"tensorflow-text can't reproduce this vocabulary: of"
            f" {text!r:.80} it makes the ids {row}, and tokenization.py"
            f" {wanted}: export with --signatures=ids"
          )
  return len(texts)
