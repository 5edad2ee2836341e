# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Packs WordPiece tokens into inputs of a fixed length.

In: lists of pieces, and a tokenizer for their ids. Out: `input_ids`,
`input_mask` and `segment_ids` of one length.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
from collections.abc import Sequence
from typing import NamedTuple

LONG_TEXTS = ("cut", "head_tail", "windows")
WINDOW_POOLINGS = ("mean", "max")


@dataclasses.dataclass
class PackedInputs:
  """One example as the encoder sees it; all lists but tokens are padded."""

  tokens: list[str]  # [CLS] A [SEP] or [CLS] A [SEP] B [SEP], unpadded
  input_ids: list[int]  # vocabulary ids, 0 where padded
  input_mask: list[int]  # 1 for a token, 0 for padding
  segment_ids: list[int]  # 0 for [CLS] A [SEP], 1 for B [SEP]


@dataclasses.dataclass(frozen=True)
class LongTexts:
  """What is read of texts that are over the length.

  cut: the first pieces. head_tail: the first and the last pieces, a quarter of
  them from the head, as 128 of 510 in Sun et al. 2019, arXiv:1905.05583.
  windows: all pieces, in windows that are read one by one.
  """

  kind: str = "cut"  # one of LONG_TEXTS
  doc_stride: int = 0  # of windows: pieces from the start of one to the next's
  pooling: str = "mean"  # of windows: one of WINDOW_POOLINGS


CUT = LongTexts()


def pair_lengths(length_a: int, length_b: int, limit: int) -> tuple[int, int]:
  """How a pair is truncated: the pieces of A and of B that fit into `limit`.

  Equals dropping pieces one at a time from the end of the longer text, and
  from B on a tie. `text_graph` has the same rule as a graph, for exports.
  Pre-training data follows its own rule, in `pretraining_instances`.
  """
  if length_a + length_b <= limit:
    return length_a, length_b
  kept_a = max(min(length_a, limit - limit // 2), limit - length_b)
  return kept_a, limit - kept_a


def truncate_seq_pair(
  tokens_a: list[str], tokens_b: list[str], max_length: int
) -> None:
  """Cuts the ends of a pair, in place, until it fits; see `pair_lengths`."""
  kept_a, kept_b = pair_lengths(len(tokens_a), len(tokens_b), max_length)
  del tokens_a[kept_a:], tokens_b[kept_b:]


class Span(NamedTuple):
  """The pieces of a text that a window holds."""

  start: int
  length: int


def window_spans(num_pieces: int, room: int, doc_stride: int) -> list[Span]:
  """The span of each window; the last one reaches the end of the text.

  Args:
    num_pieces: of the text; without any there is no window.
    room: pieces that a window holds.
    doc_stride: pieces from the start of one window to the start of the next;
      over the room it counts as the room.
  """
  step = min(room, doc_stride)
  over = max(num_pieces - room, 0)  # pieces beyond the first window
  starts = range(0, -(-over // step) * step + 1 if num_pieces else 0, step)
  return [Span(start, min(room, num_pieces - start)) for start in starts]


def kept_pieces(pieces: Sequence, size: int, kind: str) -> list:
  """The `size` pieces that "cut" or "head_tail" keeps of a text."""
  tail = 0
  if kind == "head_tail" and len(pieces) > size:
    tail = size - (size + 2) // 4  # the head is a quarter, rounded
  return [*pieces[: size - tail], *pieces[len(pieces) - tail :]]


def fitting_texts(
  tokens_a: Sequence, tokens_b: Sequence | None, max_seq_length: int, long_texts
) -> list[tuple]:
  """What is read of a text or a pair, in parts that fit into the length.

  In a pair, both texts keep as many pieces as if they were cut. With windows,
  those of the longer text, or of B on a tie, are moved along it, and the other
  text stands in each of them.

  Args:
    tokens_a: pieces of the first text.
    tokens_b: pieces of the second, or None.
    max_seq_length: at least 3 with a pair, 2 without; 5 for windows.
    long_texts: a `LongTexts`.

  Returns:
    (pieces of A, pieces of B or None) of each window; without windows of one.
  """
  limit = max_seq_length - (2 if tokens_b is None else 3)
  sizes = len(tokens_a), len(tokens_b or ())
  kept = pair_lengths(*sizes, limit)
  if long_texts.kind != "windows" or sum(sizes) <= limit:
    texts = zip((tokens_a, tokens_b), kept)
    return [
      tuple(
        None if text is None else kept_pieces(text, size, long_texts.kind)
        for text, size in texts
      )
    ]
  kept_a, kept_b = kept
  stride = long_texts.doc_stride
  if sizes[0] > sizes[1]:
    part_b = None if tokens_b is None else tokens_b[:kept_b]
    spans = window_spans(sizes[0], kept_a, stride)
    return [(tokens_a[start : start + size], part_b) for start, size in spans]
  spans = window_spans(sizes[1], kept_b, stride)
  part_a = tokens_a[:kept_a]
  return [(part_a, tokens_b[start : start + size]) for start, size in spans]


def pack(tokens_a, tokens_b, max_seq_length: int, tokenizer) -> PackedInputs:
  """Cuts, joins and pads one text or a pair.

  Args:
    tokens_a: pieces of the first text.
    tokens_b: pieces of the second, or None (an empty list is a second text).
    max_seq_length: padded length; at least 3 with a pair, 2 without.
    tokenizer: has `convert_tokens_to_ids`.

  Returns:
    A `PackedInputs`.
  """
  if tokens_b is None:
    tokens = ["[CLS]", *tokens_a[: max_seq_length - 2], "[SEP]"]
    segment_ids = [0] * len(tokens)
  else:
    kept_a, kept_b = list(tokens_a), list(tokens_b)
    truncate_seq_pair(kept_a, kept_b, max_seq_length - 3)
    first, second = ["[CLS]", *kept_a, "[SEP]"], [*kept_b, "[SEP]"]
    tokens = first + second
    segment_ids = [0] * len(first) + [1] * len(second)
  padding = [0] * (max_seq_length - len(tokens))
  return PackedInputs(
    tokens=tokens,
    input_ids=tokenizer.convert_tokens_to_ids(tokens) + padding,
    input_mask=[1] * len(tokens) + padding,
    segment_ids=segment_ids + padding,
  )


def pack_texts(
  text_a: str, text_b: str | None, max_seq_length: int, tokenizer
) -> PackedInputs:
  """`pack` for a text, or for a pair if text_b is not None."""
  tokens_b = None if text_b is None else tokenizer.tokenize(text_b)
  return pack(tokenizer.tokenize(text_a), tokens_b, max_seq_length, tokenizer)


def pack_long_texts(
  text_a: str, text_b: str | None, max_seq_length: int, tokenizer, long_texts
) -> list[PackedInputs]:
  """`pack` of each window of a text, or of a pair if text_b is not None.

  `long_texts` is a `LongTexts`.
  """
  tokens_b = None if text_b is None else tokenizer.tokenize(text_b)
  parts = fitting_texts(
    tokenizer.tokenize(text_a), tokens_b, max_seq_length, long_texts
  )
  return [pack(*part, max_seq_length, tokenizer) for part in parts]


@dataclasses.dataclass(frozen=True)
class WordWindow:
  """The words of a sentence that the encoder sees at once, by their numbers.

  The words before and after its own are context.
  """

  start: int  # the first word
  own_start: int  # the first of its own words, which this window tags
  own_end: int  # one past the last of its own words
  end: int  # one past the last word

  @property
  def own(self) -> slice:
    """Where its own words are among the words of the window."""
    return slice(self.own_start - self.start, self.own_end - self.start)


def word_spans(text: str, tokenizer) -> list[tuple[int, int]]:
  """Finds the words of a text; each punctuation mark is a word.

  Args:
    text: any.
    tokenizer: a FullTokenizer.

  Returns:
    (start, end) of each word, in characters.
  """
  spans = []
  for piece, (start, end) in zip(*tokenizer.tokenize_with_offsets(text)):
    if piece.startswith("##") and spans:
      spans[-1] = (spans[-1][0], end)
    else:
      spans.append((start, end))
  return spans


def word_pieces(
  words: Sequence[str], max_seq_length: int, tokenizer
) -> list[list[str]]:
  """The pieces of each word, at least one.

  A word without pieces, such as a zero-width character, becomes [UNK]. A word
  that would fill more than a quarter of the length keeps only its first pieces.
  """
  most = max(_context(max_seq_length), 1)
  return [tokenizer.tokenize(word)[:most] or ["[UNK]"] for word in words]


def word_windows(
  pieces: Sequence[Sequence[str]], max_seq_length: int
) -> list[WordWindow]:
  """Divides a sentence into windows that fit.

  Each word is tagged in exactly one window. The words around a window's own
  fill up to a quarter of the length on each side, unless the sentence ends.

  Args:
    pieces: of each word, from `word_pieces`.
    max_seq_length: of a window, with [CLS] and [SEP].
  """
  room, context = max_seq_length - 2, _context(max_seq_length)
  # The words before word i have ends[i] pieces.
  ends = list(itertools.accumulate(map(len, pieces), initial=0))
  windows, own_start = [], 0
  while own_start < len(pieces):
    start = bisect.bisect_left(ends, ends[own_start] - context)
    end = bisect.bisect_right(ends, ends[start] + room) - 1
    own_end = end
    if end < len(pieces):
      own_end = bisect.bisect_right(ends, ends[start] + room - context) - 1
    windows.append(WordWindow(start, own_start, own_end, end))
    own_start = own_end
  return windows


def _context(max_seq_length):
  """Pieces of context on each side, except at the ends of the sentence."""
  return (max_seq_length - 2) // 4


def pack_words(
  pieces: Sequence[Sequence[str]],
  window: WordWindow,
  max_seq_length: int,
  tokenizer,
) -> dict:
  """Makes the model's inputs for a window.

  Args:
    pieces: of each word of the sentence.
    window: one of its `word_windows`.
    max_seq_length: padded length.
    tokenizer: has `convert_tokens_to_ids`.

  Returns:
    `input_ids`, `input_mask`, `segment_ids` and `word_positions`, lists of
    int of the padded length.
  """
  words = pieces[window.start : window.end]
  packed = pack(
    [piece for word in words for piece in word], None, max_seq_length, tokenizer
  )
  positions = itertools.accumulate(map(len, words[:-1]), initial=1)
  return {
    "input_ids": packed.input_ids,
    "input_mask": packed.input_mask,
    "segment_ids": packed.segment_ids,
    "word_positions": padded(list(positions), max_seq_length),
  }


def padded(values: list[int], length: int) -> list[int]:
  """`values`, followed by zeros up to `length`."""
  return values + [0] * (length - len(values))
