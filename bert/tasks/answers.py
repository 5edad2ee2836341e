# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Cuts contexts into windows, and finds the answers in them.

In: questions and contexts, and then the logits of each window. Out: windows of
token ids, and for each question the best parts of its context.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

import tokenization
from bert.records import packing

# The narrow no-break space separates words too: SQuAD's contexts have it.
_WORD = re.compile("[^ \t\r\n\u202f]+")
_UNKNOWN = "[UNK]"  # never in a word as the tokenizer splits it: "[ UNK ]"


@dataclasses.dataclass
class SquadExample:
  """One question, its context, and what is known of the answer.

  Questions on one context share one list as `doc_tokens`, so that the context
  is tokenized only once.
  """

  qas_id: str
  question_text: str
  doc_tokens: Sequence[str]  # the context's words
  orig_answer_text: str | None = None  # this and the next three: for training
  start_position: int | None = None  # the answer's first word in doc_tokens
  end_position: int | None = None  # its last word
  is_impossible: bool = False  # the context has no answer
  # The right answers; [] if there is none, None if it is not known.
  answers: Sequence[str] | None = None
  token_starts: Sequence[int] | None = None  # of doc_tokens in the context


def check_texts(question: str, context: str, where: str = "") -> None:
  """Raises ValueError if a question or its context is empty.

  Args:
    question: any text.
    context: any text.
    where: begins the message.
  """
  for name, text in (("question", question), ("context", context)):
    if not text.strip():
      raise ValueError(f"{where}the {name} is empty")


def split_context(text: str) -> tuple[list[str], list[int]]:
  """The words of a context, and where in it each one starts."""
  words = list(_WORD.finditer(text))
  return [word.group() for word in words], [word.start() for word in words]


# ---------------------------------------------------------------- windows


@dataclasses.dataclass
class InputFeatures:
  """A question and a window of its context: [CLS] question [SEP] window [SEP].

  Positions are places in `tokens`.
  """

  unique_id: int
  example_index: int  # of the question
  doc_span_index: int  # of the window in its context
  tokens: Sequence[str]  # without padding
  token_to_orig_map: Mapping[int, int]  # {position: word of the context}
  # {position: whether no other window has more context around it}
  token_is_max_context: Mapping[int, bool]
  input_ids: Sequence[int]  # padded, as the next two are
  input_mask: Sequence[int]
  segment_ids: Sequence[int]
  start_position: int | None = None  # the answer's first piece; 0: not here
  end_position: int | None = None  # its last piece
  is_impossible: bool | None = None


@dataclasses.dataclass
class WindowCounts:
  """How many windows `convert_examples_to_features` made."""

  windows: int = 0
  without_answer: int = 0  # for training: those that do not hold the answer


@dataclasses.dataclass
class _Context:
  """A tokenized context."""

  doc_tokens: Sequence[str]
  pieces: list[str]
  ids: list[int]
  words: list[int]  # the word of each piece
  first_pieces: list[int]  # the first piece of each word


_FIRST_UNIQUE_ID = 1000000000


def convert_examples_to_features(
  examples: Iterable[SquadExample],
  tokenizer,
  max_seq_length: int,
  doc_stride: int,
  max_query_length: int,
  is_training: bool,
  output_fn: Callable[[InputFeatures], None],
) -> WindowCounts:
  """Cuts contexts into windows, each with its question.

  Args:
    examples: each context is tokenized once if its questions share
      `doc_tokens`.
    tokenizer: a FullTokenizer.
    max_seq_length: padded length.
    doc_stride: pieces from the start of one window to the start of the next.
    max_query_length: the most pieces of a question; the rest is cut off.
    is_training: whether to find the answers' positions.
    output_fn: called with each `InputFeatures`, in order.

  Raises:
    ValueError: a length is too small.
  """
  if doc_stride < 1:
    raise ValueError(f"doc_stride={doc_stride} has to be at least 1")
  contexts, counts = {}, WindowCounts()
  for example_index, example in enumerate(examples):
    key = id(example.doc_tokens)  # `contexts` keeps the list alive
    if key not in contexts:
      contexts[key] = _tokenize_context(example.doc_tokens, tokenizer)
    context = contexts[key]
    query = tokenizer.tokenize(example.question_text)[:max_query_length]
    answer = None
    if is_training:
      answer = _answer_pieces(example, context, tokenizer)
    for features in _window_features(
      query, context, answer, tokenizer, max_seq_length, doc_stride
    ):
      features.unique_id = _FIRST_UNIQUE_ID + counts.windows
      features.example_index = example_index
      features.is_impossible = example.is_impossible
      counts.windows += 1
      counts.without_answer += features.end_position == 0
      output_fn(features)
  return counts


def _tokenize_context(doc_tokens, tokenizer):
  context = _Context(doc_tokens, [], [], [], [])
  for word, token in enumerate(doc_tokens):
    pieces = tokenizer.tokenize(token)
    context.first_pieces.append(len(context.pieces))
    context.words += [word] * len(pieces)
    context.pieces += pieces
  context.ids = tokenizer.convert_tokens_to_ids(context.pieces)
  return context


def _answer_pieces(example, context, tokenizer):
  """First and last piece of the answer; (-1, -1) if there is none."""
  if example.is_impossible:
    return -1, -1
  first = context.first_pieces[example.start_position]
  last = len(context.pieces) - 1
  if example.end_position < len(example.doc_tokens) - 1:
    last = context.first_pieces[example.end_position + 1] - 1
  return _improve_answer_span(
    context.pieces, first, last, tokenizer, example.orig_answer_text
  )


def _improve_answer_span(
  doc_tokens: Sequence[str],
  input_start: int,
  input_end: int,
  tokenizer,
  orig_answer_text: str,
) -> tuple[int, int]:
  """Narrows the pieces of an answer's words to those of the answer.

  The words may hold more than the answer, as "(1887)." holds "1887".

  Args:
    doc_tokens: pieces of the context.
    input_start: the first piece of the answer's words.
    input_end: their last piece.
    tokenizer: a FullTokenizer.
    orig_answer_text: the answer.

  Returns:
    The first and last of the first pieces that equal the answer's; if none do,
    input_start and input_end.
  """
  wanted = tokenizer.tokenize(orig_answer_text)
  # Pieces have no spaces, and a text is searched in linear time.
  pieces = " ".join(["", *doc_tokens[input_start : input_end + 1], ""])
  place = pieces.find(" ".join(["", *wanted, ""])) if wanted else -1
  if place < 0:
    return input_start, input_end
  start = input_start + pieces.count(" ", 0, place)
  return start, start + len(wanted) - 1


def context_room(max_seq_length: int, query_length: int) -> int:
  """How many pieces of the context fit beside a question and 3 special tokens.

  Args:
    max_seq_length: padded length.
    query_length: pieces of the question.

  Raises:
    ValueError: none do.
  """
  room = max_seq_length - query_length - 3
  if room < 1:
    raise ValueError(
      f"max_seq_length={max_seq_length} leaves no room for the context beside a"
      f" question of {query_length} pieces: max_seq_length has to be over"
      " max_query_length + 3"
    )
  return room


def _window_features(
  query, context, answer, tokenizer, max_seq_length, doc_stride
):
  """The windows of a context, still without ids of their own.

  Args:
    query: pieces of the question.
    context: _Context.
    answer: first and last piece; None: not training.
    tokenizer: a FullTokenizer.
    max_seq_length: padded length.
    doc_stride: pieces from the start of one window to the start of the next.
  """
  room = context_room(max_seq_length, len(query))
  head = ["[CLS]", *query, "[SEP]"]
  head_ids = tokenizer.convert_tokens_to_ids(head)
  doc_spans = packing.window_spans(len(context.pieces), room, doc_stride)
  for index, (start, length) in enumerate(doc_spans):
    end = start + length
    positions = range(len(head), len(head) + length)
    is_best = _check_is_max_context(doc_spans, index, None)
    padding = [0] * (room - len(positions))
    features = InputFeatures(
      unique_id=0,
      example_index=0,
      doc_span_index=index,
      tokens=[*head, *context.pieces[start:end], "[SEP]"],
      token_to_orig_map=dict(zip(positions, context.words[start:end])),
      token_is_max_context=dict(zip(positions, is_best)),
      input_ids=[*head_ids, *context.ids[start:end], head_ids[-1], *padding],
      input_mask=[1] * (positions.stop + 1) + padding,
      segment_ids=[0] * len(head) + [1] * (len(positions) + 1) + padding,
    )
    if answer:
      is_whole = start <= answer[0] and answer[1] < end
      features.start_position, features.end_position = (
        (place - start + len(head) if is_whole else 0) for place in answer
      )
    yield features


def _check_is_max_context(
  doc_spans: Sequence[packing.Span], cur_span_index: int, position: int | None
) -> bool | list[bool]:
  """Whether no other window has more context around a piece.

  The context is min(left, right) + 0.01 * length of the window; on a tie the
  first window wins.

  Args:
    doc_spans: `start` and `length` of each window, in pieces.
    cur_span_index: the window.
    position: the piece's place in the context; None: all pieces of the window.

  Returns:
    bool, False where the window does not hold the piece; or a list of bool.
  """
  span = doc_spans[cur_span_index]
  start, end = span.start, span.start + span.length
  is_max = np.ones(span.length, bool)
  for index in _overlapping(doc_spans, cur_span_index):
    other = doc_spans[index]
    first = max(start, other.start)
    last = min(end, other.start + other.length)
    ours = _context_scores(span.length)[first - start : last - start]
    theirs = _context_scores(other.length)[
      first - other.start : last - other.start
    ]
    is_more = ours > theirs if index < cur_span_index else ours >= theirs
    is_max[first - start : last - start] &= is_more
  if position is None:
    return is_max.tolist()
  return start <= position < end and bool(is_max[position - start])


def _overlapping(doc_spans, cur_span_index):
  """Yields the windows that share pieces with one; starts only rise."""
  span = doc_spans[cur_span_index]
  for index in range(cur_span_index - 1, -1, -1):
    if doc_spans[index].start + doc_spans[index].length <= span.start:
      break
    yield index
  for index in range(cur_span_index + 1, len(doc_spans)):
    if doc_spans[index].start >= span.start + span.length:
      break
    yield index


@functools.lru_cache(maxsize=1024)
def _context_scores(length):
  """How much context each piece of a window has, float [length]."""
  left = np.arange(length)
  return np.minimum(left, left[::-1]) + 0.01 * length


# ---------------------------------------------------------------- answers


class RawResult(NamedTuple):
  """The model's output for a window."""

  unique_id: int
  start_logits: Sequence[float]  # one per position; padding may be cut off
  end_logits: Sequence[float]


def results_of(
  features: Iterable[InputFeatures], outputs: Iterable[Mapping]
) -> list[RawResult]:
  """The model's outputs, each with the id of its window.

  Args:
    features: the windows.
    outputs: `start_logits` and `end_logits` [S] of each window, in their order.
  """
  return [
    RawResult(window.unique_id, output["start_logits"], output["end_logits"])
    for window, output in zip(features, outputs)
  ]


class Answer(NamedTuple):
  """One of the answers to a question."""

  text: str  # "": no answer
  start_logit: float
  end_logit: float
  probability: float = 0.0  # among the answers that are kept
  start: int | None = None  # place of its first character in the context
  end: int | None = None  # one behind its last character
  window: int | None = None  # number of the window in the context


@dataclasses.dataclass
class Prediction:
  """The answers to a question, best first."""

  qas_id: str
  answer: Answer  # the one that is predicted
  answers: list[Answer]
  null_odds: float | None = None  # score of no answer minus the best answer's


def find_answers(
  all_examples: Sequence[SquadExample],
  all_features: Sequence[InputFeatures],
  all_results: Iterable[RawResult],
  n_best_size: int,
  max_answer_length: int,
  do_lower_case: bool,
  version_2_with_negative: bool = False,
  null_score_diff_threshold: float = 0.0,
) -> list[Prediction]:
  """Finds the best answers to each question from its windows' logits.

  Args:
    all_examples: the questions.
    all_features: their windows, as `convert_examples_to_features` made them.
    all_results: the logits of each window, in any order.
    n_best_size: how many starts and ends to try in each window, and how many
      answers to keep per question.
    max_answer_length: in pieces.
    do_lower_case: whether the tokenizer does so.
    version_2_with_negative: whether there may be no answer.
    null_score_diff_threshold: no answer is predicted if its score exceeds the
      best answer's by more than this.

  Returns:
    A `Prediction` for each example.

  Raises:
    ValueError: a window has no result, or logits are NaN or infinite.
  """
  results = _in_order(all_features, all_results)
  spans = _best_spans(all_features, results, n_best_size, max_answer_length)
  nulls = {}
  if version_2_with_negative:
    nulls = _null_spans(all_features, results)
  ranked = _rank(spans, nulls, all_features, len(all_examples))
  predictions = []
  for index, example in enumerate(all_examples):
    null = None
    if version_2_with_negative:  # a context without pieces has no window
      null = nulls.get(index, _Span(None, 0, 0, 0.0, 0.0))
    answers = _distinct_answers(
      example, all_features, ranked[index], n_best_size, do_lower_case, null
    )
    predictions.append(
      _predict(example.qas_id, answers, null, null_score_diff_threshold)
    )
  return predictions


class _Span(NamedTuple):
  """A span in a window; or many spans, when each field is an array."""

  window: int  # place in all_features
  start: int  # position; 0, that of [CLS], for no answer
  end: int
  start_logit: float
  end_logit: float


_WINDOWS_AT_ONCE = 256


def _in_order(all_features, all_results):
  """The results in the order of the windows."""
  found = {result.unique_id: result for result in all_results}
  missing = [f.unique_id for f in all_features if f.unique_id not in found]
  if missing:
    raise ValueError(
      f"{len(missing)} of {len(all_features)} windows have no result; the first"
      f" is {missing[0]}"
    )
  return [found[features.unique_id] for features in all_features]


def _best_spans(all_features, results, n_best_size, max_answer_length):
  """The spans between the best starts and ends of each window.

  They are sorted by window, then by rank of the start, then of the end.
  """
  parts = []
  for first in range(0, len(results), _WINDOWS_AT_ONCE):
    features = all_features[first : first + _WINDOWS_AT_ONCE]
    rows = results[first : first + _WINDOWS_AT_ONCE]
    start_logits = _padded([row.start_logits for row in rows])
    end_logits = _padded([row.end_logits for row in rows])
    starts = _get_best_indexes(start_logits, n_best_size)
    ends = _get_best_indexes(end_logits, n_best_size)
    may_start = [
      [f.token_is_max_context.get(position, False) for position in row]
      for f, row in zip(features, starts.tolist())
    ]
    may_end = [
      [position in f.token_to_orig_map for position in row]
      for f, row in zip(features, ends.tolist())
    ]
    lengths = ends[:, np.newaxis, :] - starts[:, :, np.newaxis] + 1  # [W, n, n]
    is_span = (lengths > 0) & (lengths <= max_answer_length)
    is_span &= np.array(may_start, bool)[:, :, np.newaxis]
    is_span &= np.array(may_end, bool)[:, np.newaxis, :]
    window, i, j = np.nonzero(is_span)
    parts.append(
      _Span(
        first + window,
        starts[window, i],
        ends[window, j],
        start_logits[window, starts[window, i]],
        end_logits[window, ends[window, j]],
      )
    )
  return _Span(*map(np.concatenate, zip(*parts))) if parts else None


def _padded(rows):
  """The logits of windows, float [W, S]; -inf behind the shorter ones."""
  logits = np.full([len(rows), max(map(len, rows))], -np.inf)
  for row, values in zip(logits, rows):
    if not np.isfinite(values).all():
      raise ValueError(
        "the logits are NaN or infinite: the model's training has failed"
      )
    row[: len(values)] = values
  return logits


def _get_best_indexes(logits, n_best_size: int):
  """The positions of the highest logits, the lower position on a tie.

  Args:
    logits: those of a window, or an array [W, S] of several windows.
    n_best_size: how many positions to find.

  Returns:
    A list, the highest first; of several windows, an array [W, n].
  """
  matrix = np.atleast_2d(logits)
  count = min(n_best_size, matrix.shape[1])
  lowest = np.partition(matrix, -count, axis=1)[:, -count, np.newaxis]
  windows, places = np.nonzero(matrix >= lowest)  # more than count on a tie
  order = np.lexsort((-matrix[windows, places], windows))  # stable
  first = np.searchsorted(windows, np.arange(len(matrix)))[:, np.newaxis]
  places = places[order[first + np.arange(count)]]  # [W, count]
  return places if np.ndim(logits) == 2 else places[0].tolist()


def _null_spans(all_features, results):
  """{example: the span of its lowest score of no answer}.

  On a tie the first window wins.
  """
  lowest = {}
  for window, (features, result) in enumerate(zip(all_features, results)):
    span = _Span(
      *(window, 0, 0),
      float(result.start_logits[0]),
      float(result.end_logits[0]),
    )
    kept = lowest.setdefault(features.example_index, span)
    if span.start_logit + span.end_logit < kept.start_logit + kept.end_logit:
      lowest[features.example_index] = span
  return lowest


def _rank(spans, nulls, all_features, num_examples):
  """The spans of each example, best first; on a tie in their old order."""
  if spans is None:
    return [[]] * num_examples
  if nulls:
    columns = zip(spans, zip(*nulls.values()))
    spans = _Span(*(np.concatenate([old, new]) for old, new in columns))
  owners = np.array([f.example_index for f in all_features])[spans.window]
  order = np.lexsort((-(spans.start_logit + spans.end_logit), owners))
  bounds = np.searchsorted(owners[order], np.arange(num_examples + 1))
  columns = [column[order].tolist() for column in spans]
  return [
    zip(*(column[start:end] for column in columns))  # few of them are used
    for start, end in zip(bounds, bounds[1:])
  ]


def _distinct_answers(
  example, all_features, spans, n_best_size, do_lower_case, null
):
  """The best answers to a question, each text once, without probabilities."""
  answers, seen = [], set()

  @functools.cache  # spans in a word of 300,000 characters share one text
  def join_words(first, last):
    return " ".join(example.doc_tokens[first : last + 1])

  for window, start, end, start_logit, end_logit in spans:
    if len(answers) >= n_best_size:
      break
    text, place = "", (None, None, None)
    if start > 0:
      text, words, cut = _answer_text(
        join_words, all_features[window], start, end, do_lower_case
      )
    if text in seen:
      continue
    seen.add(text)
    if start > 0:
      chars = _in_context(example, words, cut)
      place = (*chars, all_features[window].doc_span_index)
    answers.append((text, start_logit, end_logit, *place))
  if null and "" not in seen:
    answers.append(("", null.start_logit, null.end_logit, None, None, None))
  return answers or [("empty", 0.0, 0.0, None, None, None)]


def _answer_text(join_words, features, start, end, do_lower_case):
  """A span's text; (its first word, its words); where the text is in them."""
  pieces = " ".join(features.tokens[start : end + 1])
  text = " ".join(pieces.replace(" ##", "").replace("##", "").split())
  first = features.token_to_orig_map[start]
  last = features.token_to_orig_map[end]
  words = join_words(first, last)
  cut = _find_final_text(text, words, do_lower_case) or (0, len(words))
  return words[cut[0] : cut[1]], (first, words), cut


def _in_context(example, words, cut):
  """The characters of the context that a part of its words covers."""
  if example.token_starts is None:
    return None, None
  first, text = words
  places = []
  for place in (cut[0], cut[1] - 1):
    word = first + text.count(" ", 0, place)
    in_word = place - (text.rfind(" ", 0, place) + 1)
    places.append(example.token_starts[word] + in_word)
  return places[0], places[1] + 1


def get_final_text(pred_text: str, orig_text: str, do_lower_case: bool) -> str:
  """The part of the original words that a predicted text came from.

  Args:
    pred_text: pieces joined to words; without capitals and accents if the
      tokenizer removes them.
    orig_text: the words that these pieces are from, joined by spaces.
    do_lower_case: whether the tokenizer does so.

  Returns:
    A part of orig_text, such as "Steve Smith" of "Steve Smith's"; all of it if
    the predicted text can't be found.
  """
  cut = _find_final_text(pred_text, orig_text, do_lower_case)
  return orig_text[slice(*cut)] if cut else orig_text


@functools.lru_cache(maxsize=1 << 16)
def _find_final_text(pred_text, orig_text, do_lower_case):
  """(start, end) of what `get_final_text` returns; None for all of it."""
  if not pred_text or _UNKNOWN in pred_text:
    return None
  spaced = _spaced_alike(orig_text, do_lower_case)
  start = spaced.find(pred_text)
  if start < 0:
    return None
  last = start + len(pred_text) - 1
  return (
    _place_of_letter(orig_text, start - spaced.count(" ", 0, start)),
    _place_of_letter(orig_text, last - spaced.count(" ", 0, last)) + 1,
  )


def _place_of_letter(text, number):
  """The place of the character that has `number` others before it.

  Spaces do not count.
  """
  place = number
  while True:
    following = number + text.count(" ", 0, place + 1)
    if following == place:
      return place
    place = following


@functools.lru_cache(maxsize=1 << 10)
def _spaced_alike(text, do_lower_case):
  """`_spaced` of each word; "" if that changes how many letters there are."""
  words = [_spaced(word, do_lower_case) for word in text.split(" ")]
  spaced = " ".join(filter(None, words))
  if len(text) - text.count(" ") != len(spaced) - spaced.count(" "):
    return ""
  return spaced


@functools.lru_cache(maxsize=1 << 16)
def _spaced(word, do_lower_case):
  """A word with spaces where the tokenizer splits it at punctuation."""
  return " ".join(_basic_tokenizer(do_lower_case).tokenize(word))


@functools.cache
def _basic_tokenizer(do_lower_case):
  return tokenization.BasicTokenizer(do_lower_case)


def _predict(qas_id, answers, null, threshold):
  """Gives the answers to a question probabilities, and chooses one."""
  weights = _compute_softmax([start + end for _, start, end, *_ in answers])
  answers = [
    Answer(text, start, end, weight, *place)
    for (text, start, end, *place), weight in zip(answers, weights)
  ]
  if null is None:
    return Prediction(qas_id, answers[0], answers)
  odds = null.start_logit + null.end_logit
  best = next((answer for answer in answers if answer.text), None)
  if best:
    odds = odds - best.start_logit - best.end_logit
  if best is None or odds > threshold:
    best = next(answer for answer in answers if not answer.text)
  return Prediction(qas_id, best, answers, odds)


def _compute_softmax(scores: Sequence[float]) -> list[float]:
  """The probabilities of scores, [] of none.

  Adds up in the original's order, so that no bit differs from it.
  """
  highest = max(scores, default=0.0)
  weights = [math.exp(score - highest) for score in scores]
  total = sum(weights)
  return [weight / total for weight in weights]


def prediction_fields(prediction: Prediction) -> dict:
  """The predicted answer and the best answers, for JSON.

  `start` and `end` are places of characters in the context; `window` is the
  number, from 0, of the window that the answer was found in. All three are null
  if there is no answer.
  """
  fields = _answer_fields(prediction.answer)
  if prediction.null_odds is not None:
    fields["null_odds"] = prediction.null_odds
  fields["answers"] = [_answer_fields(a) for a in prediction.answers]
  return fields


def _answer_fields(answer):
  return {
    "text": answer.text,
    "probability": answer.probability,
    "start": answer.start,
    "end": answer.end,
    "window": answer.window,
  }
