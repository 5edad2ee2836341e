# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Learns a WordPiece vocabulary from text.

In: files of text, in utf-8. Out: a vocabulary file, one token a line: [PAD],
the [unusedN], [UNK], [CLS], [SEP], [MASK], the letters, and the pieces learned.

Words are split and counted as `tokenization` splits them, in byte ranges of the
files spread over processes; the counts add up in the order of the ranges, so
the file does not depend on how many processes there were.

The pieces are learned by the trainer of `tokenizers`, which joins the pair that
is seen most (byte-pair encoding) until there are enough. From the same counts
of 470,000 words, for as many pieces (3,880 and 7,102), tensorflow-text's
learner took 26 s instead of 0.4; text of the same kind then had 0.1 and 0.4 %
fewer pieces a word, other text 4 % more.
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import math
import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator

import tokenizers
from absl import flags, logging
from tokenizers import models, pre_tokenizers, trainers
from tqdm import tqdm

import tokenization
from bert.records import files

FLAGS = flags.FLAGS

RANGE_BYTES = 1 << 23  # that a worker counts at a time
MAX_WORDS = 1_000_000  # distinct ones that are counted, to bound memory
# The trainer counts words itself, so it is shown each word as often as it was
# seen; of a larger text, in proportion: this many are a matter of seconds.
MAX_SHOWN = 20_000_000
SHOWN_AT_ONCE = 100_000
LONGEST_WORD = 200  # characters; the tokenizer takes a longer one as [UNK]
SECONDS_BETWEEN_REPORTS = 10


def define_flags():
  """Defines this script's flags."""
  flags.DEFINE_string(
    "input_file", None, "Text in utf-8: paths or globs, comma-separated."
  )
  flags.DEFINE_string("output_file", None, "The vocabulary to write.")
  flags.DEFINE_integer(
    "vocab_size", 30000, "Tokens in all, special and unused ones included."
  )
  flags.DEFINE_integer(
    "min_frequency",
    2,
    "Two pieces are joined if they are seen together so many times.",
    lower_bound=1,
  )
  flags.DEFINE_integer(
    "limit_alphabet",
    1000,
    "How many characters, the most frequent, are in pieces; a word with another"
    " one is unknown. Chinese and Japanese need some 8000.",
    lower_bound=1,
  )
  flags.DEFINE_bool(
    "do_lower_case",
    True,
    "Lower-case the text and strip its accents; the scripts that use the"
    " vocabulary need the same.",
  )
  flags.DEFINE_integer(
    "num_unused",
    99,
    "How many [unusedN] to leave room for words of yours. With 99, [UNK] has id"
    " 100, as in the released models.",
    lower_bound=0,
  )
  flags.DEFINE_string(
    "held_out",
    "0.01",
    "A share of the text, from each part of it, or other files, as paths or"
    " globs: not learned from, but used to count pieces a word and unknown"
    " words. 0 for none.",
  )
  flags.DEFINE_integer(
    "num_workers",
    os.cpu_count(),
    "Processes that count words. The vocabulary is the same for any number.",
    lower_bound=1,
  )
  flags.mark_flags_as_required(["input_file", "output_file"])


# ---------------------------------------------------------------- words


@dataclasses.dataclass
class Range:
  """Lines of a file, by where they begin."""

  path: str
  start: int  # byte where the lines to learn from begin
  cut: int  # where they end, and those held out begin
  end: int  # where those end


def split_files(files: Iterable[str], share: float) -> Iterator[Range]:
  """Yields ranges that cover the files, with the last `share` of each held out.

  Args:
    files: paths.
    share: from 0, nothing is held out, to 1, everything is.

  Raises:
    ValueError: a file can't be read.
  """
  for path in files:
    size = tokenization.file_size(path)
    for start in range(0, size, RANGE_BYTES):
      end = min(start + RANGE_BYTES, size)
      yield Range(path, start, end - math.floor((end - start) * share), end)


def count_range(part: Range, do_lower_case: bool) -> tuple[Counter, Counter]:
  """Counts the words to learn from and those held out, in a worker.

  Raises:
    ValueError: the file can't be read, or is not utf-8.
  """
  return (
    count_words(
      tokenization.text_lines(part.path, part.start, part.cut), do_lower_case
    ),
    count_words(
      tokenization.text_lines(part.path, part.cut, part.end), do_lower_case
    ),
  )


def count_words(lines: Iterable[str], do_lower_case: bool) -> Counter:
  """Counts the words of text as `tokenization.BasicTokenizer` splits it."""
  chunks = Counter()
  for line in lines:
    chunks.update(tokenization.split_chunks(line))
  basic = tokenization.BasicTokenizer(do_lower_case)
  words = Counter()
  for chunk, count in chunks.items():
    for word in basic.tokenize(chunk):
      words[word] += count
  return words


def count_ranges(ranges: list[Range], do_lower_case: bool, num_workers: int):
  """Counts the words of all ranges, in parallel, with progress.

  Args:
    ranges: of `split_files`.
    do_lower_case: as the tokenizer has it.
    num_workers: processes; with 1, this one.

  Returns:
    Two Counters: the words to learn from, and those held out.
  """
  learned, held_out = Counter(), Counter()
  with Progress(sum(part.end - part.start for part in ranges)) as progress:
    counted = _map_in_order(count_range, ranges, do_lower_case, num_workers)
    for part, counts in zip(ranges, counted):
      for total, count in zip((learned, held_out), counts):
        total.update(count)
        drop_rare(total, MAX_WORDS)
      progress.update(part.end - part.start)
  return learned, held_out


def drop_rare(counts: Counter, limit: int) -> None:
  """Halves a Counter of over `limit` words, the least frequent first."""
  if len(counts) <= limit:
    return
  rare = 0
  sizes = Counter(counts.values())
  kept = len(counts)
  while kept > limit // 2:
    rare += 1
    kept -= sizes[rare]
  for word in [word for word in counts if counts[word] <= rare]:
    del counts[word]
  logging.info(
    f"over {limit} distinct words: those seen {rare} times or less so far are"
    " forgotten"
  )


def _map_in_order(function, items, argument, num_workers):
  """Yields function(item, argument) for each item, a few of them ahead."""
  num_workers = min(num_workers, len(items))
  if num_workers <= 1:
    yield from (function(item, argument) for item in items)
    return
  waiting = collections.deque()
  with concurrent.futures.ProcessPoolExecutor(
    num_workers,
    # Not forked from this process, which has TensorFlow loaded.
    mp_context=multiprocessing.get_context("spawn"),
    initializer=signal.signal,
    initargs=(signal.SIGINT, signal.SIG_IGN),
  ) as executor:
    try:
      for item in items:
        waiting.append(executor.submit(function, item, argument))
        if len(waiting) > 2 * num_workers:
          yield waiting.popleft().result()
      while waiting:
        yield waiting.popleft().result()
    except ValueError as error:
      raise ValueError(str(error)) from None  # without the worker's traceback
    except concurrent.futures.process.BrokenProcessPool:
      raise RuntimeError(
        "a worker process ended before its work was done, killed for its"
        f" memory perhaps: give fewer than --num_workers={num_workers}"
      ) from None
    finally:
      for future in waiting:
        future.cancel()


class Progress:
  """Tells bytes done, their rate and the time left: a bar, or lines."""

  def __init__(self, total: int):
    self._total, self._done = total, 0
    self._started = self._told = time.monotonic()
    self._bar = tqdm(total=total, unit="B", unit_scale=True, disable=None)

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self._bar.close()

  def update(self, size: int) -> None:
    """Counts `size` bytes as done."""
    self._bar.update(size)
    self._done += size
    now = time.monotonic()
    if not self._bar.disable or now - self._told < SECONDS_BETWEEN_REPORTS:
      return
    self._told = now
    rate = self._done / (now - self._started)
    logging.info(
      f"counted {self._done / 1e6:.0f} of {self._total / 1e6:.0f} MB"
      f" ({rate / 1e6:.1f} MB/s),"
      f" {(self._total - self._done) / rate:.0f} s left"
    )


# --------------------------------------------------------------- pieces


def special_tokens(num_unused: int) -> list[str]:
  """What stands before the letters, in the order of the released models."""
  pad, *others = tokenization.SPECIAL_TOKENS
  return [pad, *(f"[unused{i}]" for i in range(num_unused)), *others]


def count_characters(counts: Counter) -> Counter:
  """How often each character is seen, by the counts of words."""
  characters = Counter()
  for word, count in counts.items():
    for character in word:
      characters[character] += count
  return characters


def choose_alphabet(characters: Counter, limit: int) -> list[str]:
  """Returns the `limit` most frequent characters, sorted."""
  ranked = sorted(characters, key=lambda char: (-characters[char], char))
  return sorted(ranked[:limit])


def letter_pieces(alphabet: Iterable[str], do_lower_case: bool) -> list[str]:
  """The pieces of one character: each as a beginning and a continuation.

  Characters that the tokenizer takes as words, such as punctuation and Chinese,
  continue none.
  """
  alphabet = list(alphabet)
  basic = tokenization.BasicTokenizer(do_lower_case)
  tails = [a for a in alphabet if len(basic.tokenize(f"a{a}a")) == 1]
  return alphabet + [f"##{letter}" for letter in tails]


def learn_pieces(
  counts: Counter, letters: list[str], size: int, min_frequency: int
) -> list[str]:
  """Learns the pieces that join letters, the most frequent pairs first.

  Args:
    counts: how often each word was seen; words with characters that are not
      among the letters, and those too long for the tokenizer, are passed by.
    letters: pieces of one character.
    size: how many pieces to return, letters included.
    min_frequency: of a pair, for it to be joined.

  Returns:
    The letters and the pieces in the order learned; fewer than `size` where
    the text has no more.
  """
  known = set(letters)
  learnable = {
    word: count
    for word, count in counts.items()
    if len(word) <= LONGEST_WORD and known.issuperset(word)
  }
  shown = min(1.0, MAX_SHOWN / max(sum(learnable.values()), 1))
  model = tokenizers.Tokenizer(models.WordPiece())
  model.pre_tokenizer = pre_tokenizers.CharDelimiterSplit(" ")
  trainer = trainers.WordPieceTrainer(
    vocab_size=size,
    min_frequency=max(round(min_frequency * shown), 1),
    # Their ids break ties between pairs; letters that the trainer finds itself
    # are numbered in the order of a hash table, another one in each run.
    special_tokens=letters,
    limit_alphabet=len(letters),
    continuing_subword_prefix="##",
    show_progress=sys.stderr.isatty(),
  )
  model.train_from_iterator(show_words(learnable, MAX_SHOWN), trainer)
  ids = model.get_vocab()
  return sorted(ids, key=ids.get)


def show_words(counts: dict[str, int], limit: int) -> Iterator[str]:
  """Yields each word so often as it is counted, or in proportion.

  Args:
    counts: how often each word was seen.
    limit: how many words to yield at most. Words are taken in alphabetical
      order and at equal steps, so that those that begin alike are together as
      frequent as they should be.

  Yields:
    Words, each followed by a space.
  """
  total = max(sum(counts.values()), 1)
  kept = min(total, limit)
  seen = 0
  for word in sorted(counts):
    times = (seen + counts[word]) * kept // total - seen * kept // total
    seen += counts[word]
    for start in range(0, times, SHOWN_AT_ONCE):
      yield f"{word} " * min(SHOWN_AT_ONCE, times - start)


# --------------------------------------------------------------- report


def measure(counts: Counter, vocab: Iterable[str]) -> tuple[float, float]:
  """Pieces a word, and the share of words that are unknown."""
  wordpiece = tokenization.WordpieceTokenizer(vocab)
  num_pieces = num_unknown = 0
  for word, count in counts.items():
    pieces = wordpiece.split_word(word)
    num_pieces += count * len(pieces)
    num_unknown += count * (pieces == [wordpiece.unk_token])
  num_words = sum(counts.values())
  return num_pieces / num_words, num_unknown / num_words


def coverage(characters: Counter, alphabet: Iterable[str]) -> float:
  """The share of the text's characters that are in the alphabet."""
  return sum(characters[a] for a in alphabet) / sum(characters.values())


def write_vocab(path: str, tokens: Iterable[str]) -> None:
  """Writes a vocabulary, one token a line; it appears when it is complete."""
  import tensorflow.compat.v1 as tf  # here, for the workers need none of it

  with files.whole(path) as partial, tf.io.gfile.GFile(partial, "w") as writer:
    writer.write("".join(f"{token}\n" for token in tokens))


# ----------------------------------------------------------------- main


def find_ranges() -> list[Range]:
  """The ranges of --input_file and --held_out.

  Raises:
    ValueError: they name no files, or no share, or --output_file is an input.
  """
  files = tokenization.expand_globs(FLAGS.input_file)
  try:
    share, others = float(FLAGS.held_out), []
  except ValueError:
    share = 0.0
    others = tokenization.expand_globs(FLAGS.held_out, "--held_out")
  if not 0 <= share < 1:
    raise ValueError(
      f"--held_out={FLAGS.held_out}: give a share under 1, or files"
    )
  if FLAGS.output_file in files + others:
    raise ValueError(f"--output_file={FLAGS.output_file} is an input too")
  logging.info(f"reading {len(files + others)} files")
  return [*split_files(files, share), *split_files(others, 1.0)]


def learn_vocab(counts: Counter, alphabet: list[str]) -> list[str]:
  """The vocabulary by the flags.

  Raises:
    ValueError: --vocab_size has no room for the letters.
  """
  special = special_tokens(FLAGS.num_unused)
  letters = letter_pieces(alphabet, FLAGS.do_lower_case)
  needed = len(special) + len(letters)
  if needed > FLAGS.vocab_size:
    raise ValueError(
      f"--vocab_size={FLAGS.vocab_size} is too small: {len(special)} special"
      f" and unused tokens and {len(letters)} pieces for {len(alphabet)}"
      f" characters need {needed}; raise it, or lower --limit_alphabet or"
      " --num_unused"
    )
  logging.info(f"learning pieces from {len(counts)} distinct words")
  size = FLAGS.vocab_size - len(special)
  return special + learn_pieces(counts, letters, size, FLAGS.min_frequency)


def report(learned, held_out, characters, alphabet, vocab) -> list[str]:
  """Lines on what was learned, and how it does on text not learned from."""
  share = coverage(characters, alphabet)
  lines = [
    f"words: {sum(learned.values())}, {len(learned)} of them distinct",
    f"alphabet: {len(alphabet)} of {len(characters)} characters, which are"
    f" {share:.4%} of the text"
    + ("; raise --limit_alphabet" if share < 0.995 else ""),
  ]
  measured = held_out or learned
  pieces, unknown = measure(measured, vocab)
  kind = "held-out" if held_out else "learned (none was held out)"
  lines.append(
    f"on {sum(measured.values())} {kind} words: {pieces:.3f} pieces a word,"
    f" {unknown:.3%} of the words unknown"
  )
  if len(vocab) < FLAGS.vocab_size:
    lines.append(
      f"only {len(vocab)} of --vocab_size={FLAGS.vocab_size} tokens: no more"
      f" pairs are seen --min_frequency={FLAGS.min_frequency} times"
    )
  return lines


def main(_):
  import tensorflow.compat.v1 as tf  # see write_vocab

  started = time.monotonic()
  os.environ.setdefault("RAYON_NUM_THREADS", str(FLAGS.num_workers))
  ranges = find_ranges()
  tf.io.gfile.makedirs(os.path.dirname(FLAGS.output_file) or ".")
  learned, held_out = count_ranges(
    ranges, FLAGS.do_lower_case, FLAGS.num_workers
  )
  if not learned:
    raise ValueError(f"--input_file={FLAGS.input_file} has no words")
  characters = count_characters(learned)
  alphabet = choose_alphabet(characters, FLAGS.limit_alphabet)
  vocab = learn_vocab(learned, alphabet)
  write_vocab(FLAGS.output_file, vocab)
  print("\n".join(report(learned, held_out, characters, alphabet, vocab)))
  print(
    f"{FLAGS.output_file}: {len(vocab)} tokens, the vocab_size for"
    f" bert_config.json, in {time.monotonic() - started:.0f} s"
  )


if __name__ == "__main__":
  # Only here, for workers import this file and need no TensorFlow.
  from bert.training import common_flags

  define_flags()
  common_flags.run(main)
