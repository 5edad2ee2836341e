# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Makes masked instances for pre-training from documents, and their records.

In: files with one sentence per line and a blank line between documents, and a
tokenizer. Out: `TrainingInstance`s, or the bytes of their tf.Examples with keys
to sort them by. Nothing here loads TensorFlow, so that worker processes stay
small.

Random numbers come from `rng`, and the order of draws is part of the interface:
the same rng gives exactly the original's instances.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Callable

from absl import logging

import tokenization
from bert.files import reading
from bert.records import tf_example

_NEVER_MASKED = frozenset(("[CLS]", "[SEP]"))
# A worker holds one block of documents, and random second texts come from the
# same block: it is large enough for variety, and small enough for memory.
BLOCK_CHARS = 1 << 20
BLOCK_DOCUMENTS = 16
MAX_BLOCK_CHARS = 1 << 23  # however few documents that is
MAX_DOCUMENT_CHARS = 1 << 22  # longer documents are split
GROUP_BYTES = 1 << 26  # of files that one reader reads, one after the other


@dataclasses.dataclass
class TrainingInstance:
  """Two texts, or full sentences, masked."""

  tokens: list[str]  # [CLS] A [SEP] B [SEP] or [CLS] ... [SEP], some masked
  segment_ids: list[int]  # 0 for [CLS] A [SEP], 1 for B [SEP]
  masked_lm_positions: list[int]  # ascending
  masked_lm_labels: list[str]  # the true tokens at these positions
  # Whether B was drawn from another document; None: there is no B.
  is_random_next: bool | None


@dataclasses.dataclass
class Statistics:
  """Counts for a corpus; the counts for its parts add up."""

  documents: int = 0
  sentences: int = 0  # with at least one token
  pieces: int = 0  # in the sentences
  unknown: int = 0  # pieces that are [UNK]
  instances: int = 0
  tokens: int = 0  # in the instances
  masked: int = 0
  random_next: int = 0

  def add(self, other: Statistics) -> None:
    for field in dataclasses.fields(self):
      total = getattr(self, field.name) + getattr(other, field.name)
      setattr(self, field.name, total)

  def count_document(self, document: Sequence[Sequence[str]]) -> None:
    self.documents += 1
    self.sentences += len(document)
    self.pieces += sum(map(len, document))
    self.unknown += sum(sentence.count("[UNK]") for sentence in document)

  def count_instance(self, instance: TrainingInstance) -> None:
    self.instances += 1
    self.tokens += len(instance.tokens)
    self.masked += len(instance.masked_lm_positions)
    self.random_next += bool(instance.is_random_next)


# ----------------------------------------------------------------- documents


class JoinedPiece(str):
  """A piece that continues a word without "##", as in Chinese."""

  __slots__ = ()


@dataclasses.dataclass(frozen=True)
class SentenceReader:
  """Turns lines of text into sentences of pieces.

  Attributes:
    tokenizer: a `tokenization.FullTokenizer`.
    word_separator: what stands between the words of the text; after the first
      piece of a word, pieces without "##" become `JoinedPiece`s. None: the text
      does not say where words end.
    language: a code such as "en" if lines are paragraphs to be split into
      sentences (by the library sentencex); None: a line is a sentence.
  """

  tokenizer: tokenization.FullTokenizer
  word_separator: str | None = None
  language: str | None = None

  def read(self, lines: Iterable[str]) -> list[list[str]]:
    """Returns the sentences in a document's lines, without empty ones."""
    sentences = (s for line in lines for s in self._split(line))
    pieces = map(self._tokenize, sentences)
    return [sentence for sentence in pieces if sentence]

  def _split(self, line):
    if self.language is None:
      return (line,)
    import sentencex  # optional: installed only if it is needed

    return sentencex.segment(self.language, line)

  def _tokenize(self, sentence):
    if self.word_separator is None:
      return self.tokenizer.tokenize(sentence)
    pieces = []
    for part in sentence.split(self.word_separator):
      for word in part.split():
        first, *others = self.tokenizer.tokenize(word) or [""]
        pieces.append(first)
        pieces += [p if p[:2] == "##" else JoinedPiece(p) for p in others]
    return list(filter(None, pieces))


def read_documents(
  input_files: Sequence[str], max_chars: int | None = None
) -> Iterator[list[str]]:
  """Yields documents as lists of their lines, stripped.

  A blank line ends a document; the end of a file does not.

  Args:
    input_files: paths of utf-8 text.
    max_chars: a document ends when it reaches this number of characters, and
      the rest is another document; None: no limit.
  """
  lines, chars = [], 0
  for path in input_files:
    for line in reading.text_lines(path):
      line = line.strip()
      if line:
        lines.append(line)
        chars += len(line)
      is_over = max_chars is not None and chars >= max_chars
      if is_over:
        logging.log_first_n(
          logging.WARNING,
          f"{path}: split a document of over {max_chars} characters: are the"
          " blank lines between documents missing?",
          1,
        )
      if lines and (is_over or not line):
        yield lines
        lines, chars = [], 0
  if lines:
    yield lines


def num_bytes(lines: Iterable[str]) -> int:
  """About how many bytes the lines of a document take in its file."""
  return sum(len(line.encode("utf-8")) + 1 for line in lines)


def cut_sentences(
  document: Sequence[list[str]], truncate_prob: float, rng: random.Random
) -> list[list[str]]:
  """Cuts a share of the sentences, `truncate_prob`, at random places.

  Text in fine-tuning is often not in whole sentences, and this prepares the
  model for it.
  """
  cut = []
  for sentence in document:
    if len(sentence) > 1 and rng.random() < truncate_prob:
      sentence = sentence[: rng.randint(1, len(sentence) - 1)]
    cut.append(sentence)
  return cut


# ----------------------------------------------------------------- instances


def create_training_instances(
  input_files: Sequence[str],
  tokenizer,
  max_seq_length: int,
  dupe_factor: int,
  short_seq_prob: float,
  masked_lm_prob: float,
  max_predictions_per_seq: int,
  rng: random.Random,
  do_whole_word_mask: bool = False,
  truncate_prob: float = 0.0,
  reader: SentenceReader | None = None,
  statistics: Statistics | None = None,
  on_progress: Callable[[int, int], None] = lambda done, total: None,
  sentences: str | None = None,
) -> list[TrainingInstance]:
  """Makes the instances of a corpus in memory, with one stream of numbers.

  Args:
    input_files: as for `read_documents`, with one sentence per line.
    tokenizer: a FullTokenizer.
    max_seq_length: the most tokens of an instance, at least 5.
    dupe_factor: rounds over the corpus, each with other masks and pairs.
    short_seq_prob: share of documents whose instances have a random length.
    masked_lm_prob: share of an instance's tokens that are masked.
    max_predictions_per_seq: the most masked tokens of an instance.
    rng: numbers are drawn from it in the original's order.
    do_whole_word_mask: mask all pieces of a word or none.
    truncate_prob: share of sentences that are cut, chosen again in each round.
    reader: of sentences; None: the tokenizer alone.
    statistics: counts what was read.
    on_progress: called after each document: (number done, total of all rounds).
    sentences: as of a `Recipe`.

  Returns:
    The instances, shuffled.
  """
  reader = reader or SentenceReader(tokenizer)
  documents = list(filter(None, map(reader.read, read_documents(input_files))))
  for document in documents if statistics else ():
    statistics.count_document(document)
  rng.shuffle(documents)
  make = _maker(
    sentences,
    short_seq_prob,
    max_seq_length=max_seq_length,
    masked_lm_prob=masked_lm_prob,
    max_predictions_per_seq=max_predictions_per_seq,
    vocab_words=list(tokenizer.vocab),
    do_whole_word_mask=do_whole_word_mask,
  )
  instances, done = [], 0
  for _ in range(dupe_factor):
    rngs = [rng] * len(documents)
    for _, made in _make_round(make, documents, rngs, truncate_prob):
      instances += made
      done += 1
      on_progress(done, dupe_factor * len(documents))
  rng.shuffle(instances)
  return instances


def _maker(sentences, short_seq_prob, **options):
  """What makes the instances of a round: `(documents, rngs)` to a list for each
  document, which has its own rng."""
  if sentences:
    return functools.partial(
      _create_sentence_instances, across=sentences == "full", **options
    )

  def make(documents, rngs):
    for index, rng in enumerate(rngs):
      yield create_instances_from_document(
        documents, index, short_seq_prob=short_seq_prob, rng=rng, **options
      )

  return make


def _make_round(make, documents, rngs, truncate_prob):
  """Yields (rng, instances) for each document, which has its own rng."""
  if truncate_prob:
    documents = [
      cut_sentences(document, truncate_prob, rng)
      for document, rng in zip(documents, rngs)
    ]
  yield from zip(rngs, make(documents, rngs))


def create_instances_from_document(
  all_documents: Sequence[Sequence[list[str]]],
  document_index: int,
  max_seq_length: int,
  short_seq_prob: float,
  masked_lm_prob: float,
  max_predictions_per_seq: int,
  vocab_words: Sequence[str],
  rng: random.Random,
  do_whole_word_mask: bool = False,
) -> list[TrainingInstance]:
  """Makes the instances of one document; random second texts come from others.

  Args:
    all_documents: each a list of sentences, which are lists of pieces.
    document_index: the document's place in `all_documents`.
    vocab_words: the words that may replace a masked piece.
    max_seq_length, short_seq_prob, masked_lm_prob, max_predictions_per_seq,
      rng, do_whole_word_mask: as for `create_training_instances`.

  Returns:
    The instances in the document's order.
  """
  document = all_documents[document_index]
  max_num_tokens = max_seq_length - 3  # [CLS], [SEP], [SEP]
  target = max_num_tokens
  if rng.random() < short_seq_prob:
    target = rng.randint(2, max_num_tokens)
  instances = []
  start = 0
  while start < len(document):
    end, length = start, 0
    while end < len(document) and length < target:
      length += len(document[end])
      end += 1
    a_end = start + (rng.randint(1, end - start - 1) if end - start > 1 else 1)
    tokens_a = _joined(document[start:a_end])
    is_random_next = end - start == 1 or rng.random() < 0.5
    if is_random_next:
      tokens_b = _random_tokens(
        all_documents, document_index, target - len(tokens_a), rng
      )
      start = a_end  # the sentences after A are used again
    else:
      tokens_b = _joined(document[a_end:end])
      start = end
    truncate_seq_pair(tokens_a, tokens_b, max_num_tokens, rng)
    tokens, positions, labels = create_masked_lm_predictions(
      ["[CLS]", *tokens_a, "[SEP]", *tokens_b, "[SEP]"],
      masked_lm_prob,
      max_predictions_per_seq,
      vocab_words,
      rng,
      do_whole_word_mask,
    )
    segment_ids = [0] * (len(tokens_a) + 2) + [1] * (len(tokens_b) + 1)
    instances.append(
      TrainingInstance(tokens, segment_ids, positions, labels, is_random_next)
    )
  return instances


def pack_sentences(
  documents: Sequence[Sequence[list[str]]], max_num_tokens: int, across: bool
) -> list[tuple[int, list[str]]]:
  """Packs full sentences, in order, into as few texts as their order allows.

  RoBERTa's FULL-SENTENCES and DOC-SENTENCES (arXiv:1907.11692, section 4.2). A
  sentence that no longer fits begins the next text. One that is longer than a
  text is divided, so that nothing is lost.

  Args:
    documents: each a list of sentences, which are lists of pieces.
    max_num_tokens: of a text.
    across: whether a text goes on with the next document, after a [SEP].

  Returns:
    (number of the document that it begins in, tokens) of each text.
  """
  texts, tokens, first = [], [], 0
  for number, document in enumerate(documents):
    if tokens and not across:
      texts.append((first, tokens))
      tokens = []
    between = ["[SEP]"]
    for part in _parts(document, max_num_tokens):
      if len(tokens) + len(between) + len(part) > max_num_tokens and tokens:
        texts.append((first, tokens))
        tokens = []
      if tokens:
        tokens += between + part
      else:
        first, tokens = number, list(part)
      between = []
  return [*texts, (first, tokens)] if tokens else texts


def _parts(document, most):
  """The sentences of a document, in parts of at most `most` pieces."""
  for sentence in document:
    for start in range(0, len(sentence), most):
      yield sentence[start : start + most]


def _create_sentence_instances(
  documents, rngs, max_seq_length, across, **options
):
  """Yields, for each document, the instances that begin in it."""
  found = [[] for _ in documents]
  room = max_seq_length - 2  # [CLS], [SEP]
  for number, tokens in pack_sentences(documents, room, across):
    found[number].append(["[CLS]", *tokens, "[SEP]"])
  for texts, rng in zip(found, rngs):
    yield [_sentence_instance(tokens, rng=rng, **options) for tokens in texts]


def _sentence_instance(tokens, **options):
  """An instance without a second text."""
  masked, positions, labels = create_masked_lm_predictions(tokens, **options)
  segment_ids = [0] * len(tokens)
  return TrainingInstance(masked, segment_ids, positions, labels, None)


def _joined(sentences):
  """The pieces of several sentences, in a new list."""
  return [piece for sentence in sentences for piece in sentence]


def _random_tokens(all_documents, document_index, wanted, rng):
  """At least `wanted` pieces from a random place of a random document."""
  for _ in range(10):  # a limit, because there may be only one document
    index = rng.randint(0, len(all_documents) - 1)
    if index != document_index:
      break
  document = all_documents[index]
  tokens = []
  for sentence in document[rng.randint(0, len(document) - 1) :]:
    tokens += sentence
    if len(tokens) >= wanted:
      break
  return tokens


def truncate_seq_pair(
  tokens_a: list[str],
  tokens_b: list[str],
  max_num_tokens: int,
  rng: random.Random,
) -> None:
  """Cuts a pair in place, at a random end of the longer text (B on a tie)."""
  lengths, cut = [len(tokens_a), len(tokens_b)], [0, 0]  # cut: from the front
  for _ in range(sum(lengths) - max_num_tokens):
    longer = 0 if lengths[0] > lengths[1] else 1
    lengths[longer] -= 1
    cut[longer] += rng.random() < 0.5
  for tokens, first, length in zip((tokens_a, tokens_b), cut, lengths):
    tokens[:] = tokens[first : first + length]


def create_masked_lm_predictions(
  tokens: Sequence[str],
  masked_lm_prob: float,
  max_predictions_per_seq: int,
  vocab_words: Sequence[str],
  rng: random.Random,
  do_whole_word_mask: bool = False,
) -> tuple[list[str], list[int], list[str]]:
  """Masks a share of the tokens, never [CLS] or [SEP] (BERT, section 3.1).

  Of the chosen tokens 80 % become [MASK], 10 % a random word, and 10 % stay.

  Returns:
    The masked tokens, the chosen positions in order, and the true tokens there.
  """
  share = int(round(len(tokens) * masked_lm_prob))
  wanted = min(max_predictions_per_seq, max(1, share))
  positions = [i for i, t in enumerate(tokens) if t not in _NEVER_MASKED]
  if do_whole_word_mask:
    words = _words(tokens, positions)
    _shuffle(words, rng)
    chosen = _take_whole(words, wanted)
  else:
    _shuffle(positions, rng)
    chosen = positions[:wanted]
  output = list(tokens)
  for position in chosen:
    if rng.random() < 0.8:
      output[position] = "[MASK]"
    elif rng.random() >= 0.5:
      output[position] = vocab_words[rng.randint(0, len(vocab_words) - 1)]
  chosen.sort()
  return output, chosen, [tokens[position] for position in chosen]


def _words(tokens, positions):
  """The positions of each word."""
  words = []
  for position in positions:
    token = tokens[position]
    if words and (token[:2] == "##" or isinstance(token, JoinedPiece)):
      words[-1].append(position)
    else:
      words.append([position])
  return words


def _take_whole(words, wanted):
  """Positions of words, in turn, skipping words that no longer fit."""
  chosen = []
  for word in words:
    if len(chosen) + len(word) <= wanted:
      chosen += word
  return chosen


def _shuffle(items: list, rng: random.Random) -> None:
  """`rng.shuffle(items)` with the same draws, in half the time."""
  draw = rng.getrandbits
  for last in range(len(items) - 1, 0, -1):
    bits = (last + 1).bit_length()
    other = draw(bits)
    while other > last:
      other = draw(bits)
    items[last], items[other] = items[other], items[last]


# -------------------------------------------------------- blocks and records


@dataclasses.dataclass(frozen=True)
class Block:
  """Consecutive documents of the corpus."""

  group: int  # number of the group of files, from 0
  first: int  # number of its first document in the group, from 0
  documents: list[list[str]]  # their lines

  @property
  def num_bytes(self) -> int:
    return sum(map(num_bytes, self.documents))


@dataclasses.dataclass(frozen=True)
class Recipe:
  """How the documents of a block become records; each worker gets one.

  Fields without a comment mean the same as the arguments of
  `create_training_instances`.
  """

  reader: SentenceReader
  encode: tf_example.ExampleEncoder  # of `instance_values`
  max_seq_length: int
  max_predictions_per_seq: int
  dupe_factor: int
  short_seq_prob: float
  masked_lm_prob: float
  do_whole_word_mask: bool
  truncate_prob: float
  random_seed: int
  # "full" or "doc": full sentences without a second text, packed across
  # documents or not; `short_seq_prob` has no effect. None: pairs of texts.
  sentences: str | None = None


def file_size(path: str) -> int:
  """Bytes of a file; TensorFlow finds it if the path has a scheme."""
  if "://" in path:
    import tensorflow.compat.v1 as tf

    return tf.io.gfile.stat(path).length
  return os.path.getsize(path)


def group_files(input_files: Sequence[str]) -> list[list[str]]:
  """Groups consecutive files by their sizes.

  Returns:
    Groups of at least GROUP_BYTES, if all files together are that large. Groups
    can be read at the same time.
  """
  groups, room = [], 0
  for path in input_files:
    if room <= 0:
      groups.append([])
      room = GROUP_BYTES
    groups[-1].append(path)
    room -= file_size(path)
  if room > 0 and len(groups) > 1:
    rest = groups.pop()
    groups[-1] += rest
  return groups


def read_blocks(group: int, input_files: Sequence[str]) -> Iterator[Block]:
  """Yields the blocks of a group of files.

  A block has at least BLOCK_CHARS characters and BLOCK_DOCUMENTS documents, if
  the files have that many, but ends when it reaches MAX_BLOCK_CHARS. The last
  documents join the block before them if they are few and short.
  """
  block, documents, chars, first = None, [], 0, 0
  for lines in read_documents(input_files, MAX_DOCUMENT_CHARS):
    documents.append(lines)
    chars += sum(map(len, lines))
    is_full = chars >= BLOCK_CHARS and len(documents) >= BLOCK_DOCUMENTS
    if is_full or chars >= MAX_BLOCK_CHARS:
      if block:
        yield block
      block = Block(group, first, documents)
      first += len(documents)
      documents, chars = [], 0
  if block and len(documents) < BLOCK_DOCUMENTS and chars < BLOCK_CHARS:
    block.documents.extend(documents)
    documents = []
  if block:
    yield block
  if documents:
    yield Block(group, first, documents)


def block_records(
  block: Block, recipe: Recipe, statistics: Statistics
) -> Iterator[tuple[int, bytes]]:
  """Yields the records of a block's documents, each with a key.

  Each document has its own generator of random numbers in each round. Random
  second texts come from the same block, and full sentences are packed across
  the documents of a block. So the records depend only on
  the corpus and the recipe, whichever process makes them. Sorting them by key
  shuffles the corpus.

  Args:
    block: of documents.
    recipe: for all blocks.
    statistics: counts what is read and made.

  Yields:
    (key of 64 bits, bytes of a tf.Example).
  """
  documents, numbers = [], []
  for number, lines in enumerate(block.documents, block.first):
    document = recipe.reader.read(lines)
    if document:
      documents.append(document)
      numbers.append(number)
      statistics.count_document(document)
  tokenizer = recipe.reader.tokenizer
  make = _maker(
    recipe.sentences,
    recipe.short_seq_prob,
    max_seq_length=recipe.max_seq_length,
    masked_lm_prob=recipe.masked_lm_prob,
    max_predictions_per_seq=recipe.max_predictions_per_seq,
    vocab_words=list(tokenizer.vocab),
    do_whole_word_mask=recipe.do_whole_word_mask,
  )
  lengths = recipe.max_seq_length, recipe.max_predictions_per_seq
  for round_number in range(recipe.dupe_factor):
    rngs = [
      # random.Random hashes a string by SHA-512, the same on all machines.
      random.Random(f"{recipe.random_seed} {block.group} {n} {round_number}")
      for n in numbers
    ]
    for rng, made in _make_round(make, documents, rngs, recipe.truncate_prob):
      for instance in made:
        statistics.count_instance(instance)
        values = instance_values(instance, tokenizer, *lengths)
        yield rng.getrandbits(64), recipe.encode(values)


def instance_values(
  instance: TrainingInstance,
  tokenizer,
  max_seq_length: int,
  max_predictions_per_seq: int,
) -> dict:
  """The values of an instance's record, {name: list}, padded.

  Without a second text there are no `next_sentence_labels`.
  """
  convert = tokenizer.convert_tokens_to_ids
  padding = [0] * (max_seq_length - len(instance.tokens))
  masked = len(instance.masked_lm_positions)
  unused = max_predictions_per_seq - masked
  values = {
    "input_ids": convert(instance.tokens) + padding,
    "input_mask": [1] * len(instance.tokens) + padding,
    "segment_ids": instance.segment_ids + padding,
    "masked_lm_positions": instance.masked_lm_positions + [0] * unused,
    "masked_lm_ids": convert(instance.masked_lm_labels) + [0] * unused,
    "masked_lm_weights": [1.0] * masked + [0.0] * unused,
  }
  if instance.is_random_next is not None:
    values["next_sentence_labels"] = [int(instance.is_random_next)]
  return values
