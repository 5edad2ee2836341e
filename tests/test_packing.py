# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Tests packing tokens into inputs of a fixed length."""

from bert.records import packing


class Tokenizer:
  """Numbers tokens from 1 in order of appearance."""

  def __init__(self):
    self.vocab = {}

  def convert_tokens_to_ids(self, tokens):
    return [self.vocab.setdefault(t, len(self.vocab) + 1) for t in tokens]


def drop_one_at_a_time(length_a, length_b, limit):
  """Cuts as the contract says: from the longer text, on a tie from B."""
  while length_a + length_b > limit:
    if length_a > length_b:
      length_a -= 1
    else:
      length_b -= 1
  return length_a, length_b


def test_pair_lengths_equal_dropping_one_piece_at_a_time():
  for a in range(12):
    for b in range(12):
      for limit in range(14):
        expected = drop_one_at_a_time(a, b, limit)
        assert packing.pair_lengths(a, b, limit) == expected, (a, b, limit)


def test_a_single_text_keeps_its_first_tokens():
  packed = packing.pack(list("abcdef"), None, 5, Tokenizer())
  assert packed.tokens == ["[CLS]", "a", "b", "c", "[SEP]"]
  assert packed.input_ids == [1, 2, 3, 4, 5]
  assert packed.segment_ids == [0] * 5


def test_a_pair_is_padded_and_its_second_text_is_segment_1():
  packed = packing.pack(["a"], ["b", "c"], 8, Tokenizer())
  assert packed.tokens == ["[CLS]", "a", "[SEP]", "b", "c", "[SEP]"]
  assert packed.input_ids == [1, 2, 3, 4, 5, 3, 0, 0]
  assert packed.input_mask == [1] * 6 + [0, 0]
  assert packed.segment_ids == [0, 0, 0, 1, 1, 1, 0, 0]
