# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Text to WordPiece tokens and ids.

In: text (str, UTF-8 bytes or text files) and a vocabulary file with one token a
line. Out: tokens, their ids and, on request, the span of text that each token
covers.

No step looks across white space, so the tokenizer splits a text into chunks at
white space and handles each chunk alone. It remembers the pieces of a chunk. A
new chunk goes through `BasicTokenizer`, whose steps are character tables
(`str.translate`), then through `WordpieceTokenizer`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Callable
from unicodedata import category, normalize

from bert.files import reading

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MEMORY_SIZE = 1 << 16  # remembered chunks: about 10 MB, 30 MB with offsets
MEMORY_CHARS = 32  # longer chunks (URLs, lines of Chinese) rarely repeat

# A chunk: a run without white space. Python counts these control characters as
# white space, but BERT drops them, which joins the text on both sides.
_CHUNK = re.compile(r"[\S\x0b\x0c\x1c-\x1f\x85]+")

# Blocks of Chinese characters: first and last code point.
_CHINESE = (
  (0x4E00, 0x9FFF),
  (0x3400, 0x4DBF),
  (0x20000, 0x2A6DF),
  (0x2A700, 0x2B73F),
  (0x2B740, 0x2B81F),
  (0x2B820, 0x2CEAF),
  (0xF900, 0xFAFF),
  (0x2F800, 0x2FA1F),
)

# Released models and the --do_lower_case that each was trained with.
_RELEASED_LOWER_CASE = {
  "uncased_L-24_H-1024_A-16": True,
  "uncased_L-12_H-768_A-12": True,
  "multilingual_L-12_H-768_A-12": True,
  "chinese_L-12_H-768_A-12": True,
  "cased_L-12_H-768_A-12": False,
  "cased_L-24_H-1024_A-16": False,
  "multi_cased_L-12_H-768_A-12": False,
}


def validate_case_matches_checkpoint(
  do_lower_case: bool, init_checkpoint: str | None
) -> None:
  """Raises ValueError if a released model was trained on the other case.

  Recognises the model by the name of the folder that holds `bert_model.ckpt`;
  accepts any other folder.
  """
  expected = released_lower_case(init_checkpoint)
  if expected is not None and expected != bool(do_lower_case):
    name = os.path.basename(os.path.dirname(init_checkpoint))
    raise ValueError(
      f"--do_lower_case={bool(do_lower_case)} does not fit "
      f"--init_checkpoint={init_checkpoint}: {name} was trained on "
      f"{'lower-cased' if expected else 'cased'} text; give "
      f"--do_lower_case={expected}, or another checkpoint"
    )


def released_lower_case(checkpoint: str | None) -> bool | None:
  """The --do_lower_case of a released model, by its folder's name, or None."""
  match = re.search(r"([\w-]+)/bert_model\.ckpt", checkpoint or "")
  return _RELEASED_LOWER_CASE.get(match.group(1)) if match else None


# Vocabulary


def load_vocab(vocab_file: str) -> dict[str, int]:
  """Reads a vocabulary: one token a line, whose id is the line number from 0.

  Lines end at "\\n" only, because real vocabularies contain U+2028 and lines of
  white space. If a token is listed twice, the last line gives its id.

  Args:
    vocab_file: a path; TensorFlow opens paths with a scheme, such as gs://.

  Returns:
    {token: id}, in the order of the lines.

  Raises:
    ValueError: the file cannot be read, is not UTF-8, or holds no token.
  """
  data = reading.read_bytes(os.fspath(vocab_file), "vocabulary file")
  reading.check_form(data, vocab_file)
  try:
    lines = data.decode("utf-8-sig").split("\n")
  except UnicodeDecodeError as error:
    line = data.count(b"\n", 0, error.start) + 1
    raise ValueError(
      f"{vocab_file}:{line}: not utf-8 text; a vocabulary has one token a line"
    ) from None
  if not lines[-1]:
    lines.pop()  # the file ends with a newline
  vocab = {line.strip(): index for index, line in enumerate(lines)}
  if not any(vocab):
    raise ValueError(
      f"vocabulary file {vocab_file} is empty; it needs one token a line"
    )
  return vocab


def missing_special_tokens(vocab: Iterable[str]) -> list[str]:
  """Returns which of [PAD] [UNK] [CLS] [SEP] [MASK] the vocabulary lacks."""
  return [token for token in SPECIAL_TOKENS if token not in vocab]


def vocab_is_cased(vocab: Iterable[str]) -> bool | None:
  """Guesses from its Latin words whether a vocabulary is cased.

  A word is a token with two Latin letters in a row that does not start with
  "[" or "<". If at least 10 % of the words have a capital, the vocabulary is
  cased; if under 2 % do, it is lower-cased.

  Returns:
    True, False, or None if unclear: under 10 words, or a share in between.
  """
  two_letters = re.compile("[A-Za-z]{2}")
  words = [t for t in vocab if two_letters.search(t) and t[0] not in "[<"]
  if len(words) < 10:
    return None
  share = sum(bool(re.search("[A-Z]", word)) for word in words) / len(words)
  return True if share >= 0.1 else False if share < 0.02 else None


def convert_by_vocab(vocab: dict, items: Iterable) -> list:
  """Looks up each item; raises ValueError for the first that is missing."""
  try:
    return [vocab[item] for item in items]
  except KeyError as error:
    raise ValueError(
      f"{error.args[0]!r} is not in the vocabulary of {len(vocab)} tokens; "
      "add it, or use the vocabulary that tokenized the text"
    ) from None


def convert_tokens_to_ids(vocab: dict, tokens: Iterable[str]) -> list[int]:
  """Returns the tokens' ids; raises ValueError for a token without one."""
  return convert_by_vocab(vocab, tokens)


def convert_ids_to_tokens(inv_vocab: dict, ids: Iterable[int]) -> list[str]:
  """Returns the ids' tokens; raises ValueError for an id without one."""
  return convert_by_vocab(inv_vocab, ids)


# Characters and words


def convert_to_unicode(text: str | bytes) -> str:
  """Returns str; decodes bytes as UTF-8 and drops invalid ones."""
  if isinstance(text, str):
    return text
  if isinstance(text, bytes):
    return text.decode("utf-8", "ignore")
  raise ValueError(f"text must be str or bytes, not {type(text).__name__}")


def printable_text(text: str | bytes) -> str:
  """Returns text as str, for print and logging."""
  return convert_to_unicode(text)


def whitespace_tokenize(text: str) -> list[str]:
  """Splits at white space, as `str.split` does."""
  return text.split()


def _is_whitespace(char: str) -> bool:
  return char in "\t\n\r " or category(char) == "Zs"


def _is_control(char: str) -> bool:
  return char not in "\t\n\r" and category(char) in ("Cc", "Cf")


def _is_punctuation(char: str) -> bool:
  """True for all ASCII symbols (also "$" and "^") and Unicode's P classes."""
  if char.isascii():
    return "!" <= char <= "~" and not char.isalnum()
  return category(char).startswith("P")


class _CharTable(dict):
  """A table for `str.translate` that adds a character on its first use."""

  def __init__(self, replace: Callable[[str], str]):
    self._replace = replace

  def __missing__(self, code: int) -> str:
    self[code] = replacement = self._replace(chr(code))
    return replacement


def _clean(char: str) -> str:
  if char in "\0\ufffd" or _is_control(char):
    return ""
  return " " if _is_whitespace(char) else char


def _strip_mark(char: str) -> str:
  return "" if category(char) == "Mn" else char


def _part_punctuation(char: str) -> str:
  return f"\0{char}\0" if _is_punctuation(char) else char


_CLEANED = _CharTable(_clean)
_STRIPPED = _CharTable(_strip_mark)
_PARTED = _CharTable(_part_punctuation)


class BasicTokenizer:
  """Splits text into words and punctuation, and may lower-case them.

  `tokenize` calls the other methods in order. Each returns at once if its text,
  like most English words, has nothing to change.
  """

  def __init__(self, do_lower_case: bool = True):
    self.do_lower_case = do_lower_case
    self._spaced = _CharTable(self._space_chinese_char)

  def tokenize(self, text: str | bytes) -> list[str]:
    """Returns the words of a text."""
    text = self._clean_text(convert_to_unicode(text))
    text = self._tokenize_chinese_chars(text)
    if self.do_lower_case:
      text = self._run_strip_accents(text.lower())
    words = []
    for word in text.split():
      words += self._run_split_on_punc(word)
    return words

  def _clean_text(self, text: str) -> str:
    """Drops control characters and makes all white space a plain space."""
    if text.isascii() and text.isprintable():
      return text
    return text.translate(_CLEANED)

  def _tokenize_chinese_chars(self, text: str) -> str:
    """Puts a space on each side of every Chinese character."""
    return text if text.isascii() else text.translate(self._spaced)

  def _space_chinese_char(self, char: str) -> str:
    return f" {char} " if self._is_chinese_char(ord(char)) else char

  def _is_chinese_char(self, cp: int) -> bool:
    """Whether a code point is in Unicode's blocks of Chinese characters.

    Japanese kana and Korean syllables are not: they are written in words.
    """
    return any(first <= cp <= last for first, last in _CHINESE)

  def _run_strip_accents(self, text: str) -> str:
    """Drops the accents of letters, which NFD makes characters (Mn)."""
    if text.isascii():
      return text
    return normalize("NFD", text).translate(_STRIPPED)

  def _run_split_on_punc(self, text: str) -> list[str]:
    """Splits a word at punctuation; each mark is a word. Keeps white space."""
    if text.isalnum():
      return [text]
    return [part for part in text.translate(_PARTED).split("\0") if part]


class WordpieceTokenizer:
  """Splits words from the left into the longest pieces in a vocabulary.

  The constructor copies the vocabulary, so later changes to it have no effect.
  """

  def __init__(
    self,
    vocab: Iterable[str],
    unk_token: str = "[UNK]",
    max_input_chars_per_word: int = 200,
  ):
    self.vocab = vocab
    self.unk_token = unk_token
    self.max_input_chars_per_word = max_input_chars_per_word
    self._heads = {token: token for token in vocab}
    self._tails = {t[2:]: t for t in self._heads if t.startswith("##")}
    self._longest = max(map(len, self._heads), default=0)

  def tokenize(self, text: str | bytes) -> list[str]:
    """Returns the pieces of words separated by white space."""
    words = convert_to_unicode(text).split()
    return [piece for word in words for piece in self.split_word(word)]

  def split_word(self, word: str, continues: bool = False) -> list[str]:
    """Returns the pieces of one word; [unk_token] if a part has no piece.

    Args:
      word: text without white space.
      continues: whether `word` is the rest of a word, so that every piece
        starts with "##".
    """
    if len(word) > self.max_input_chars_per_word:
      return [self.unk_token]
    known = self._tails if continues else self._heads
    if word in known:  # most words are
      return [known[word]]
    pieces, start = [], 0
    while start < len(word):
      end = min(len(word), start + self._longest)
      while end > start and word[start:end] not in known:
        end -= 1
      if end == start:
        return [self.unk_token]
      pieces.append(known[word[start:end]])
      start, known = end, self._tails
    return pieces


def split_chunks(text: str) -> list[str]:
  """Splits text at white space; no word crosses from one chunk to the next."""
  if text.isprintable():  # it has no control characters
    return text.split()
  return _CHUNK.findall(text)


class _Memory(dict):
  """Remembers a function's result by chunk; emptied when full or pickled."""

  def __init__(self, function: Callable):
    self._function = function

  def __missing__(self, chunk: str):
    result = self._function(chunk)
    if len(chunk) <= MEMORY_CHARS:
      if len(self) >= MEMORY_SIZE:
        self.clear()
      self[chunk] = result
    return result

  def __reduce__(self):
    return _Memory, (self._function,)


class FullTokenizer:
  """Text to WordPiece tokens, and tokens to ids.

  Attributes:
    vocab: {token: id}.
    inv_vocab: {id: token}.
  """

  def __init__(
    self,
    vocab_file: str,
    do_lower_case: bool = True,
    never_split: Iterable[str] = (),
  ):
    """Reads the vocabulary.

    Args:
      vocab_file: one token a line.
      do_lower_case: lower-case the text and strip its accents.
      never_split: tokens such as "[MASK]" or "@user" that stay whole, except
        inside a longer word: "@user" does not match in "@username". A token
        has an id only if the vocabulary holds it.

    Raises:
      ValueError: the vocabulary cannot be read, or never_split is not a list
        of tokens.
    """
    self.never_split = tuple(never_split)
    if isinstance(never_split, str) or not all(self.never_split):
      raise ValueError(
        f"never_split must be a list of non-empty tokens, not {never_split!r}"
      )
    self.vocab = load_vocab(vocab_file)
    self.inv_vocab = {index: token for token, index in self.vocab.items()}
    self.basic_tokenizer = BasicTokenizer(do_lower_case)
    self.wordpiece_tokenizer = WordpieceTokenizer(self.vocab)
    self._never_split_pattern = _any_of(self.never_split)
    self._pieces = _Memory(self._split_chunk)
    self._pieces_and_spans = _Memory(self._align_chunk)
    self._sizes = _Memory(self._size)

  def tokenize(self, text: str | bytes) -> list[str]:
    """Returns the tokens of a text."""
    pieces, tokens = self._pieces, []
    for chunk in self._chunks(convert_to_unicode(text)):
      tokens += pieces[chunk]
    return tokens

  def tokenize_with_offsets(
    self, text: str | bytes
  ) -> tuple[list[str], list[tuple[int, int]]]:
    """Returns the tokens of a text and their positions in it.

    Returns:
      tokens: as `tokenize` returns them.
      spans: (start, end) of each token, in characters (for bytes: of the
        decoded text). A span includes the accents stripped from its last
        letter. An unknown word's span is the whole word. If one character,
        such as a Korean syllable, becomes several pieces, they share its span.
    """
    text = convert_to_unicode(text)
    tokens, spans, at = [], [], 0
    for chunk in self._chunks(text):
      at = text.index(chunk, at)
      chunk_tokens, chunk_spans = self._pieces_and_spans[chunk]
      tokens += chunk_tokens
      for start, end in chunk_spans:
        spans.append((at + start, at + end))
      at += len(chunk)
    return tokens, spans

  def convert_tokens_to_ids(self, tokens: Iterable[str]) -> list[int]:
    """Returns the tokens' ids; raises ValueError for a token without one."""
    return convert_by_vocab(self.vocab, tokens)

  def convert_ids_to_tokens(self, ids: Iterable[int]) -> list[str]:
    """Returns the ids' tokens; raises ValueError for an id without one."""
    return convert_by_vocab(self.inv_vocab, ids)

  def _chunks(self, text: str) -> list[str]:
    """Splits text at white space and around never_split tokens."""
    if not self.never_split:
      return split_chunks(text)
    chunks = []
    for number, part in enumerate(self._never_split_pattern.split(text)):
      chunks += [part] if number % 2 else split_chunks(part)
    return chunks

  def _split_chunk(self, chunk: str) -> list[str]:
    """Returns the pieces of a chunk."""
    if chunk in self.never_split:
      return [chunk]
    pieces = []
    for word in self.basic_tokenizer.tokenize(chunk):
      pieces += self.wordpiece_tokenizer.split_word(word)
    return pieces

  def _align_chunk(self, chunk: str) -> tuple[list[str], list[tuple[int, int]]]:
    """Returns the pieces of a chunk and their spans in it."""
    if chunk in self.never_split:
      return [chunk], [(0, len(chunk))]
    starts, ends = self._align_characters(chunk)
    tokens, spans, at = [], [], 0
    for word in self.basic_tokenizer.tokenize(chunk):
      first, last = at, at + len(word)
      for piece in self.wordpiece_tokenizer.split_word(word):
        end = at + len(piece) - (len("##") if at > first else 0)
        if piece == self.wordpiece_tokenizer.unk_token:
          end = last
        tokens.append(piece)
        spans.append((starts[at], ends[end - 1]))
        at = end
    return tokens, spans

  def _size(self, char: str) -> int:
    """How many characters the words of one character have."""
    return sum(map(len, self.basic_tokenizer.tokenize(char)))

  def _align_characters(self, chunk: str) -> tuple[list[int], list[int]]:
    """Returns where each character of the chunk's words starts and ends in it.

    Lower-casing and NFD may look at a character's neighbours to choose or order
    characters (final sigma, stacked marks), but not to change how many there
    are. So the lengths of the single characters' normal forms add up.
    """
    starts, ends = [], []
    sizes = self._sizes
    for index, char in enumerate(chunk):
      size = sizes[char]
      starts += [index] * size
      ends += [index + 1] * size
      if not size and ends and category(char) == "Mn":
        ends[-1] = index + 1
    return starts, ends


def _any_of(tokens: tuple[str, ...]) -> re.Pattern:
  """Returns a pattern with one group that matches the longest token."""
  patterns = []
  for token in sorted(tokens, key=len, reverse=True):
    before = r"(?<!\w)" if re.match(r"\w", token) else ""
    after = r"(?!\w)" if re.match(r"\w", token[-1]) else ""
    patterns.append(before + re.escape(token) + after)
  return re.compile(f"({'|'.join(patterns)})")
