# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Word vectors for another vocabulary, made of those of the old one.

In: two vocabularies and the rows of the old one. Out: rows of the new one.
"""

from __future__ import annotations

import re

import numpy as np

import tokenization


def old_rows(old: dict, new: dict, do_lower_case=None) -> dict[int, list[int]]:
  """Returns {new id: old ids of the same token, or of its pieces}.

  Args:
    old, new: {token: id}.
    do_lower_case: the old tokenizer's; None: judged by the capitals in `old`.
  """
  if do_lower_case is None:
    do_lower_case = not tokenization.vocab_is_cased(old)
  basic = tokenization.BasicTokenizer(do_lower_case)
  wordpiece = tokenization.WordpieceTokenizer(old)
  rows = {}
  for token, index in new.items():
    pieces = [token]
    if token not in old:
      pieces = _old_pieces(token, basic, wordpiece)
    rows[index] = [old[piece] for piece in pieces]
  return rows


def _old_pieces(token, basic, wordpiece) -> list[str]:
  """Returns the pieces of a token's text, without the unknown ones."""
  if re.fullmatch(r"\[.+\]", token):  # [unused7] is a name, not a text
    return []
  continues = token.startswith("##") and len(token) > len("##")
  words = basic.tokenize(token[len("##") :] if continues else token)
  pieces = []
  for number, word in enumerate(words):
    pieces += wordpiece.split_word(word, continues and number == 0)
  return [piece for piece in pieces if piece != wordpiece.unk_token]


def average_rows(values: np.ndarray, rows: dict, num_tokens: int) -> np.ndarray:
  """Returns means of rows of `values`, float32 [num_tokens, ...].

  Args:
    values: [old tokens, ...], float32.
    rows: {new id: rows to take the mean of}; no rows: the mean of all.
    num_tokens: size of the new vocabulary.
  """
  mean = np.mean(values, axis=0, dtype=np.float64)
  averaged = np.repeat(mean[None], num_tokens, axis=0).astype(np.float32)
  for index, old in rows.items():
    if old:
      averaged[index] = np.mean(values[old], axis=0)
  return averaged


def report_rows(rows: dict, old: dict, new: dict) -> list[str]:
  """Returns lines that say where the vectors of how many tokens came from."""
  others = {token: rows[new[token]] for token in new if token not in old}
  sizes = [len(pieces) for pieces in others.values() if pieces]
  none = [token for token, pieces in others.items() if not pieces]
  mean = f", {np.mean(sizes):.1f} each" if sizes else ""
  listed = f" ({', '.join(none[:10])}{', ...' * (len(none) > 10)})"
  return [
    f"vocabulary: {max(old.values()) + 1} -> {max(new.values()) + 1} tokens",
    f"copied: {len(new) - len(others)} tokens",
    f"mean of their old pieces: {len(sizes)} tokens{mean}",
    f"mean of all, without a piece: {len(none)} tokens{listed if none else ''}",
  ]
