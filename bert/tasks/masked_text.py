# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Questions about a text that a model of masked words answers.

In: a row: a text with [MASK], a text to score, or two texts. Out: windows for
the model; and from its log-probabilities the words for each [MASK], the text's
pseudo-log-likelihood, or how probable it is that the second text follows.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence

from bert.files import reading
from bert.records import packing
from bert.tasks import task

MOST_TOKENS = 100  # that can be asked for in place of a [MASK]
MOST_MASKS = 20  # that an export of fixed length takes in a text
_TOP_K = 5  # tokens, where a row does not say how many
EXAMPLE = {"text": "... [MASK]"}


def prepare(row: Mapping, note, tokenizer) -> tuple[list[dict], object]:
  """Turns a row into windows, and into what can `answer` it.

  Args:
    row: with `text` (and perhaps `top_k`), `score`, or `text_a` and `text_b`.
    note: a PretrainingNote.
    tokenizer: a FullTokenizer that keeps [MASK] whole.

  Raises:
    ValueError: it is no such row, or too long; the message says what to do.
  """
  if "score" in row:
    others = [n for n in ("text", "text_a", "text_b", "top_k") if n in row]
    if others:
      raise ValueError(f"give 'score' or {others[0]!r}, not both in one row")
    return _score(task.text_of(row, ("score",), EXAMPLE), note, tokenizer)
  text = task.text_of(row, ("text", "text_a"), EXAMPLE)
  if "text_b" not in row:
    return _fill(text, _top_k(row), note, tokenizer)
  text_b = task.text_of(row, ("text_b",), EXAMPLE)
  return _follow(text, text_b, note, tokenizer)


def _top_k(row):
  count = row.get("top_k", _TOP_K)
  if type(count) is not int or not 1 <= count <= MOST_TOKENS:
    raise ValueError(
      f"'top_k' has to be a whole number from 1 to {MOST_TOKENS}, not"
      f" {reading.shown(count)}"
    )
  return count


def _window(tokens_a, tokens_b, note, tokenizer, places=()):
  """A text, or a pair, that fits; `places` are predicted.

  Raises:
    ValueError: it is longer than what the model takes.
  """
  length = len(tokens_a) + 2 + (0 if tokens_b is None else len(tokens_b) + 1)
  if length > note.max_seq_length:
    raise ValueError(
      f"the text has {length} tokens with [CLS] and [SEP], and the model takes"
      f" {note.max_seq_length}: shorten it"
    )
  packed = packing.pack(tokens_a, tokens_b, length, tokenizer)
  return {
    **task.window(packed),
    "masked_positions": list(places),
    "masked_ids": [packed.input_ids[place] for place in places],
  }


# ------------------------------------------------------------ words for [MASK]


@dataclasses.dataclass(frozen=True)
class _Filled:
  """A text with [MASK]."""

  count: int  # of tokens wanted for each
  num_masks: int
  inv_vocab: Mapping[int, str]

  def answer(self, outputs: Sequence[Mapping]) -> dict:
    """{"masks": a list for each [MASK], the most probable token first}."""
    (output,) = outputs
    found = zip(output["top_ids"], output["top_log_probs"])
    masks = [self._tokens(*top) for top, _ in zip(found, range(self.num_masks))]
    return {"masks": masks}

  def _tokens(self, ids, log_probs):
    tokens = [
      {
        "token": self.inv_vocab[int(index)],
        "probability": math.exp(log_prob),
      }
      for index, log_prob in zip(ids, log_probs)
      if int(index) in self.inv_vocab  # a model may have spare rows
    ]
    return tokens[: self.count]


def _fill(text, count, note, tokenizer):
  tokens = tokenizer.tokenize(text)
  places = [i for i, token in enumerate(tokens, 1) if token == "[MASK]"]
  if not places:
    raise ValueError(
      "the text has no [MASK]: replace a word with it to have the word"
      f" predicted, as in {json.dumps(EXAMPLE)}; give the text as 'score' to"
      " score it, or give 'text_a' and 'text_b' to ask whether b follows a"
    )
  window = _window(tokens, None, note, tokenizer, places)
  return [window], _Filled(count, len(places), tokenizer.inv_vocab)


# ---------------------------------------------------- pseudo-log-likelihood


@dataclasses.dataclass(frozen=True)
class _Scored:
  """A text each of whose tokens is masked in turn."""

  tokens: Sequence[str]

  def answer(self, outputs: Sequence[Mapping]) -> dict:
    """The sum, the mean and the log-probability of each token."""
    each = [float(output["log_probs"][0]) for output in outputs]
    total = math.fsum(each)
    return {
      "pseudo_log_likelihood": total,
      "mean": total / len(each),
      "tokens": list(self.tokens),
      "log_probabilities": each,
    }


def _score(text, note, tokenizer):
  """Salazar et al., 2020 (arXiv:1910.14659), equation 1."""
  tokens = tokenizer.tokenize(text)
  if not tokens or "[MASK]" in tokens:
    found = "[MASK]" if tokens else "no token"
    raise ValueError(f"'score' has {found} in it: give a text without [MASK]")
  (mask_id,) = tokenizer.convert_tokens_to_ids(["[MASK]"])
  windows = []
  places = range(1, len(tokens) + 1)
  whole = _window(tokens, None, note, tokenizer, places)
  for place, true_id in zip(places, whole["masked_ids"]):
    ids = list(whole["input_ids"])
    ids[place] = mask_id
    windows.append(
      {
        **whole,
        "input_ids": ids,
        "masked_positions": [place],
        "masked_ids": [true_id],
      }
    )
  return windows, _Scored(tokens)


# ------------------------------------------------------------- the next text


class _Followed:
  """A text and perhaps the next one."""

  def answer(self, outputs: Sequence[Mapping]) -> dict:
    """How probable it is that the second text follows the first."""
    (output,) = outputs
    return {"next_probability": math.exp(output["next_log_probs"][0])}


def _follow(text_a, text_b, note, tokenizer):
  if not note.next_sentence:
    raise ValueError(
      "the model can't say whether 'text_b' follows: it was trained without"
      " next sentences (it has no cls/seq_relationship)"
    )
  texts = map(tokenizer.tokenize, (text_a, text_b))
  return [_window(*texts, note, tokenizer)], _Followed()
