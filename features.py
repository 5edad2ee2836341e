# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Reads rows of data files, packs WordPiece tokens and writes tf.Examples.

In: TSV, CSV and JSON-lines files; lists of pieces, and a tokenizer for their
ids. Out: rows with their line numbers; `input_ids`, `input_mask` and
`segment_ids` of one length; TFRecord files. Each kind of record is declared
once, as a table of `tf.FixedLenFeature` that both `write_records` and the
parser of `input_pipeline` follow.
"""

from __future__ import annotations

import bisect
import contextlib
import csv
import dataclasses
import errno
import hashlib
import io
import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import tensorflow.compat.v1 as tf

import files
import tf_example


def read_text(path: str) -> str:
  """The text of a data file, without a byte-order mark.

  Raises:
    ValueError: there is no such file, or it is not UTF-8.
  """
  if not tf.io.gfile.exists(path) or tf.io.gfile.isdir(path):
    raise ValueError(f"there is no data file {path}")
  with tf.io.gfile.GFile(path, "rb") as reader:
    data = reader.read()
  try:
    return data.decode("utf-8-sig")
  except UnicodeDecodeError as error:
    raise ValueError(
      f"{path} is not UTF-8: byte {error.start} is"
      f" 0x{data[error.start]:02x}; save it as UTF-8"
    ) from None


class Table:
  """Rows of a TSV, CSV or JSON-lines file, by its ending, with line numbers.

  A byte-order mark, blank lines and CRLF are read as they are meant; quotes
  are text in TSV and quoting in CSV.

  Args:
    path: file; `.csv` has commas, `.jsonl` and `.json` an object a line, all
      others tabs.
    has_header: whether the first row names the columns.
    is_json: whether there is an object a line; None: by the ending.

  Raises:
    ValueError: there is no such file, or it is not UTF-8.
  """

  def __init__(self, path: str, has_header: bool, is_json: bool | None = None):
    self.path = path
    if is_json is None:
      is_json = path.endswith((".jsonl", ".json"))
    self._is_json = is_json
    self._text = read_text(path)
    self._rows = self._read_rows()
    self.header = None
    if has_header and not self._is_json:
      self.header = next(self._rows, (0, []))[1]

  def __iter__(self) -> Iterator[tuple]:
    """Yields (line number from 1, list of cells or dict of them)."""
    return self._rows

  def cell(self, line: int, row, column: int | str):
    """The value of a column in a row.

    Raises:
      ValueError: there is no such column; the line and what it has are named.
    """
    if self._is_json:
      if str(column) in row:
        return row[str(column)]
      found = f"the keys {', '.join(row)}"
    else:
      place = self._place(column)
      if place is not None and -len(row) <= place < len(row):
        return row[place]
      found = f"{len(row)} columns"
      if self.header:
        found += f" (the header names {', '.join(self.header)})"
      elif len(row) == 1 and not self.path.endswith(".csv"):
        found += " (columns are parted by tabs; name a comma file .csv)"
    raise ValueError(
      f"{self.path}:{line}: no column {column!r}: this line has {found}"
    )

  def _place(self, column):
    """The index of a column, by number or name; None if it has none."""
    if self.header and column in self.header:
      return self.header.index(column)
    if isinstance(column, int):
      return column
    return int(column) if re.fullmatch(r"-?\d+", column) else None

  def _read_rows(self):
    if self.path.endswith(".csv") and not self._is_json:
      reader = csv.reader(io.StringIO(self._text, newline=""), strict=True)
      while True:
        line = reader.line_num + 1
        try:
          row = next(reader, None)
        except csv.Error as error:
          raise ValueError(f"{self.path}:{line}: {error}") from None
        if row is None:
          return
        if any(cell.strip() for cell in row):
          yield line, row
    for line, text in enumerate(self._text.split("\n"), 1):
      text = text.rstrip("\r")
      if text.strip():
        yield (
          line,
          self._read_json(line, text) if self._is_json else (text.split("\t")),
        )

  def _read_json(self, line, text):
    try:
      row = json.loads(text)
    except (ValueError, RecursionError) as error:
      raise ValueError(f"{self.path}:{line}: not JSON: {error}") from None
    if not isinstance(row, dict):
      raise ValueError(
        f"{self.path}:{line}: a JSON object is expected, such as"
        ' {"text": "...", "label": "..."}'
      )
    return row


@dataclasses.dataclass
class PackedInputs:
  """One example as the encoder sees it; all lists but tokens are padded."""

  tokens: list[str]  # [CLS] A [SEP] or [CLS] A [SEP] B [SEP], unpadded
  input_ids: list[int]  # vocabulary ids, 0 where padded
  input_mask: list[int]  # 1 for a token, 0 for padding
  segment_ids: list[int]  # 0 for [CLS] A [SEP], 1 for B [SEP]


@dataclasses.dataclass
class RecordFile:
  """A finished TFRecord file and what batching needs to know of it."""

  path: str
  # Tokens of each record, in the file's order; of the longest of its sequences
  # where it has several.
  lengths: list[int]

  @property
  def num_examples(self) -> int:
    return len(self.lengths)


def sequence_schema(max_seq_length: int) -> dict:
  """The three inputs of the encoder: int64, [max_seq_length] each."""
  return {
    name: tf.FixedLenFeature([max_seq_length], tf.int64)
    for name in ("input_ids", "input_mask", "segment_ids")
  }


def classification_schema(
  max_seq_length: int,
  label_shape: Sequence[int] = (),
  label_dtype=tf.int64,
  num_features: int = 0,
) -> dict:
  """Layout of a classification record.

  Args:
    max_seq_length: padded length.
    label_shape: `()` for one label, `(num_labels,)` for several.
    label_dtype: tf.int64 for classes, tf.float32 for a number.
    num_features: how many standardised numbers stand beside the text.

  Returns:
    {name: tf.FixedLenFeature}.
  """
  schema = {
    **sequence_schema(max_seq_length),
    "label_ids": tf.FixedLenFeature(list(label_shape), label_dtype),
    "is_real_example": tf.FixedLenFeature([], tf.int64),
  }
  if num_features:
    schema["features"] = tf.FixedLenFeature([num_features], tf.float32)
  return schema


def span_schema(max_seq_length: int, is_training: bool) -> dict:
  """Layout of a record of a question and a window of its context.

  Args:
    max_seq_length: padded length.
    is_training: whether it has the answer, `start_positions` and
      `end_positions` (the last token of it), both 0 where there is none.

  Returns:
    {name: tf.FixedLenFeature}; `unique_ids` tell the window.
  """
  names = ["unique_ids"]
  if is_training:
    names += ["start_positions", "end_positions", "is_impossible"]
  return {
    **sequence_schema(max_seq_length),
    **{name: tf.FixedLenFeature([], tf.int64) for name in names},
  }


def candidates_schema(max_seq_length: int, num_sequences: int) -> dict:
  """Layout of a record of several sequences that are ranked together.

  Args:
    max_seq_length: padded length of each.
    num_sequences: how many there are.

  Returns:
    {name: tf.FixedLenFeature}; `text_ids` are equal for equal texts, and 0
    where a sequence is missing.
  """
  return {
    **{
      name: tf.FixedLenFeature([num_sequences, max_seq_length], spec.dtype)
      for name, spec in sequence_schema(max_seq_length).items()
    },
    "text_ids": tf.FixedLenFeature([num_sequences], tf.int64),
  }


def tagging_schema(max_seq_length: int) -> dict:
  """Layout of a record of a sentence's words, or of a window of them.

  Args:
    max_seq_length: padded length, of the words too, which are fewer.

  Returns:
    {name: tf.FixedLenFeature}; for each word, `word_positions` is where its
    first piece stands (0: there is no such word), `tag_ids` its tag, and
    `is_scored` is 1 if it counts, 0 for context and padding.
  """
  return {
    **sequence_schema(max_seq_length),
    **{
      name: tf.FixedLenFeature([max_seq_length], tf.int64)
      for name in ("word_positions", "tag_ids", "is_scored")
    },
  }


def pretraining_schema(
  max_seq_length: int, max_predictions_per_seq: int
) -> dict:
  """Layout of a pre-training record.

  Args:
    max_seq_length: padded length.
    max_predictions_per_seq: masked positions, padded with position 0, id 0 and
      weight 0.

  Returns:
    {name: tf.FixedLenFeature}; `next_sentence_labels` is 0 where the second
    text follows the first, 1 where it is a random one.
  """
  masked = [max_predictions_per_seq]
  return {
    **sequence_schema(max_seq_length),
    "masked_lm_positions": tf.FixedLenFeature(masked, tf.int64),
    "masked_lm_ids": tf.FixedLenFeature(masked, tf.int64),
    "masked_lm_weights": tf.FixedLenFeature(masked, tf.float32),
    "next_sentence_labels": tf.FixedLenFeature([1], tf.int64),
  }


def pair_lengths(length_a: int, length_b: int, limit: int) -> tuple[int, int]:
  """How many pieces of A and of B are kept so that both fit into `limit`.

  Equals dropping pieces one at a time from the end of the longer text, and
  from B on a tie.
  """
  if length_a + length_b <= limit:
    return length_a, length_b
  kept_a = max(min(length_a, limit - limit // 2), limit - length_b)
  return kept_a, limit - kept_a


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
    kept_a, kept_b = pair_lengths(
      len(tokens_a), len(tokens_b), max_seq_length - 3
    )
    first = ["[CLS]", *tokens_a[:kept_a], "[SEP]"]
    second = [*tokens_b[:kept_b], "[SEP]"]
    tokens = first + second
    segment_ids = [0] * len(first) + [1] * len(second)
  padding = [0] * (max_seq_length - len(tokens))
  return PackedInputs(
    tokens=tokens,
    input_ids=tokenizer.convert_tokens_to_ids(tokens) + padding,
    input_mask=[1] * len(tokens) + padding,
    segment_ids=segment_ids + padding,
  )


@dataclasses.dataclass(frozen=True)
class WordWindow:
  """The words of a sentence that the encoder sees at once, by their numbers."""

  start: int  # the first word
  own_start: int  # the first that this window tags; those before are context
  own_end: int  # behind the last that it tags
  end: int  # behind the last word


def word_spans(text: str, tokenizer) -> list[tuple[int, int]]:
  """Where the words of a text are: punctuation marks are words of their own.

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
  """The pieces of each word, at least one and at most what leaves room.

  A word without a piece, such as a zero-width character, is [UNK]. Of a word
  that would fill more than a quarter of the length, the first pieces are kept.
  """
  most = max(_context(max_seq_length), 1)
  return [tokenizer.tokenize(word)[:most] or ["[UNK]"] for word in words]


def word_windows(
  pieces: Sequence[Sequence[str]], max_seq_length: int
) -> list[WordWindow]:
  """Divides a sentence into windows that fit.

  Each word is tagged in one window, with words of up to a quarter of the
  length before it and behind it, as far as the sentence goes.

  Args:
    pieces: of each word, as `word_pieces` gives them.
    max_seq_length: of a window, [CLS] and [SEP] included.
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
  """Pieces of context on each side of a window that is not at an end."""
  return (max_seq_length - 2) // 4


def pack_words(
  pieces: Sequence[Sequence[str]],
  window: WordWindow,
  max_seq_length: int,
  tokenizer,
) -> dict:
  """A window as the encoder sees it.

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
  """`values` and zeros behind them."""
  return values + [0] * (length - len(values))


def record_encoder(schema: Mapping) -> tf_example.ExampleEncoder:
  """What turns {name: int, float or list} into the bytes of `schema`'s records.

  Args:
    schema: {name: tf.FixedLenFeature}.
  """
  return tf_example.ExampleEncoder(
    {
      name: (
        math.prod(spec.shape),
        "float" if spec.dtype == tf.float32 else "int",
      )
      for name, spec in schema.items()
    }
  )


class RecordWriter:
  """Writes a TFRecord file that appears when it is closed.

  Used as a context manager, it leaves no file behind after an error. Where the
  disk is full, writing or closing raises OSError.

  Args:
    output_file: path; an existing file is replaced at the end.
    schema: {name: tf.FixedLenFeature}.
  """

  def __init__(self, output_file: str, schema: Mapping):
    self.records = RecordFile(output_file, [])
    self._encode = record_encoder(schema)
    self._max_seq_length = None  # of a record that has sequences
    if "input_mask" in schema:
      self._max_seq_length = schema["input_mask"].shape[-1]
    self._partial = output_file + ".partial"
    self._writer = tf.io.TFRecordWriter(self._partial)

  def write(self, row: Mapping) -> None:
    """Adds one record, {name: int, float or list}."""
    self.write_encoded(self._encode(row))
    mask, step = row["input_mask"], self._max_seq_length
    self.records.lengths.append(
      max(sum(mask[i : i + step]) for i in range(0, len(mask), step))
    )

  def write_encoded(self, record: bytes) -> None:
    """Adds a record that `record_encoder` made; its length is not noted."""
    try:
      self._writer.write(record)
    except tf.errors.ResourceExhaustedError:
      raise self._no_room() from None

  def finish(self) -> None:
    """Ends the writing; `close` gives the file its name.

    So that of several files none appears before all are on the disk.
    """
    try:
      self._writer.close()
    except tf.errors.ResourceExhaustedError:
      raise self._no_room() from None

  def close(self) -> RecordFile:
    """Gives the file its name; it comes with each record's tokens."""
    try:
      self.finish()
    except OSError:
      self._remove()
      raise
    tf.io.gfile.rename(self._partial, self.records.path, overwrite=True)
    return self.records

  def __enter__(self):
    return self

  def __exit__(self, error_type, error, traceback):
    if error_type is None:
      self.close()
    else:
      self._remove()

  def _no_room(self):
    return OSError(errno.ENOSPC, "no room left on the disk", self._partial)

  def _remove(self):
    with contextlib.suppress(tf.errors.OpError):  # of what can't be flushed
      self._writer.close()
    tf.io.gfile.remove(self._partial)


def write_records(
  rows: Iterable[Mapping], schema: Mapping, output_file: str
) -> RecordFile:
  """Writes `rows` by `schema`, as a `RecordWriter` does."""
  with RecordWriter(output_file, schema) as writer:
    for row in rows:
      writer.write(row)
  return writer.records


def fingerprint(*parts) -> str:
  """A SHA-256 over JSON-serialisable `parts`: equal parts, equal records."""
  digest = hashlib.sha256()
  for part in parts:
    digest.update(json.dumps(part, sort_keys=True).encode("utf-8"))
    digest.update(b"\0")
  return digest.hexdigest()


def cached_records(output_file: str, mark: str, write) -> RecordFile:
  """Reuses `output_file` if it was made from the same input, else writes it.

  Args:
    output_file: path of the TFRecord file; its `.json` beside it holds the
      mark and the lengths.
    mark: `fingerprint` of everything that the records are made of.
    write: called without arguments, writes the file, returns a `RecordFile`.

  Returns:
    A `RecordFile`, read or made.
  """
  note = output_file + ".json"
  kept = _read_note(note, output_file)
  if kept and kept["fingerprint"] == mark:
    return RecordFile(output_file, kept["lengths"])
  if tf.io.gfile.exists(note):
    tf.io.gfile.remove(note)  # never beside records it does not describe
  records = write()
  with files.whole(note) as partial, tf.io.gfile.GFile(partial, "w") as writer:
    kept = {"fingerprint": mark, "lengths": records.lengths}
    json.dump({**kept, "bytes": tf.io.gfile.stat(output_file).length}, writer)
  return records


def _read_note(note, output_file):
  """What is noted of a record file; None if they do not fit each other."""
  if not tf.io.gfile.exists(note) or not tf.io.gfile.exists(output_file):
    return None
  with tf.io.gfile.GFile(note) as reader:
    try:
      kept = json.load(reader)
    except ValueError:
      return None
  size = tf.io.gfile.stat(output_file).length
  is_whole = {"fingerprint", "lengths", "bytes"} <= set(kept)
  return kept if is_whole and kept["bytes"] == size else None
