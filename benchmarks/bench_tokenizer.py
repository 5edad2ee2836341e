# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Times the tokenizer against the `tokenizers` package on one thread.

In: a vocabulary and a text file with one sentence a line. Out: a table of
sentences/s and words/s (words are split at white space), and JSON with
--json_out. The contenders take turns in every round; the median round counts.
"new" is a tokenizer made for the round, which remembers nothing (reading the
vocabulary is not timed); "used" has seen the whole text in earlier rounds.
`tokenizers` always computes ids and offsets as well as tokens.

  python benchmarks/bench_tokenizer.py --vocab_file=V --text_file=T
"""

import argparse
import json
import os
import pathlib
import statistics
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import tokenizers

import tokenization

BASELINE = "tokenizers, one by one"


def parse_arguments():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--vocab_file", required=True)
  parser.add_argument("--text_file", required=True)
  parser.add_argument(
    "--cased", action="store_true", help="do not lower-case the text"
  )
  parser.add_argument("--rounds", type=int, default=7)
  parser.add_argument("--json_out", help="write the table as JSON here")
  return parser.parse_args()


def contenders(vocab_file, lower):
  """Returns {name: make}, where make() returns a function to time on lines."""

  def new():
    return tokenization.FullTokenizer(vocab_file, lower)

  def ids(line):
    return used.convert_tokens_to_ids(used.tokenize(line))

  def each(function):
    def run(lines):
      for line in lines:
        function(line)

    return run

  used = new()
  theirs = tokenizers.BertWordPieceTokenizer(vocab_file, lowercase=lower)
  return {
    BASELINE: lambda: each(lambda line: encode(theirs, line).tokens),
    "tokenizers, encode_batch": lambda: lambda lines: encode_all(theirs, lines),
    "ours, new": lambda: each(new().tokenize),
    "ours, used": lambda: each(used.tokenize),
    "ours, used, to ids": lambda: each(ids),
    "ours, new, offsets": lambda: each(new().tokenize_with_offsets),
    "ours, used, offsets": lambda: each(used.tokenize_with_offsets),
  }


def encode(theirs, line):
  return theirs.encode(line, add_special_tokens=False)


def encode_all(theirs, lines):
  batch = theirs.encode_batch(lines, add_special_tokens=False)
  return [encoding.tokens for encoding in batch]


def measure(makers, lines, rounds):
  """Returns {name: median seconds}, after one round of warm-up."""
  seconds = {name: [] for name in makers}
  for _ in range(rounds + 1):
    for name, make in makers.items():
      run = make()
      start = time.perf_counter()
      run(lines)
      seconds[name].append(time.perf_counter() - start)
  return {name: statistics.median(times[1:]) for name, times in seconds.items()}


def count_same(vocab_file, lower, lines):
  """Counts the lines for which both return the same tokens and offsets."""
  ours = tokenization.FullTokenizer(vocab_file, lower)
  theirs = tokenizers.BertWordPieceTokenizer(vocab_file, lowercase=lower)
  same = 0
  for line in lines:
    encoding = encode(theirs, line)
    expected = encoding.tokens, encoding.offsets
    same += ours.tokenize_with_offsets(line) == expected
  return same


def main():
  args = parse_arguments()
  text = pathlib.Path(args.text_file).read_text("utf-8")
  lines = [line for line in text.split("\n") if line.strip()]
  words = sum(len(line.split()) for line in lines)
  makers = contenders(args.vocab_file, not args.cased)
  seconds = measure(makers, lines, args.rounds)
  rows = [
    {
      "contender": name,
      "sentences_per_second": len(lines) / took,
      "words_per_second": words / took,
      "ratio": seconds[BASELINE] / took,
    }
    for name, took in seconds.items()
  ]
  print(f"{'contender':26}{'sentences/s':>12}{'words/s':>12}{'ratio':>7}")
  for row in rows:
    name, *numbers = row.values()
    print("{:26}{:12,.0f}{:12,.0f}{:7.2f}".format(name, *numbers))
  same = count_same(args.vocab_file, not args.cased, lines)
  print(f"{same} of {len(lines)} sentences have the same tokens and offsets")
  if args.json_out:
    result = {"sentences": len(lines), "same": same, "rows": rows}
    path = pathlib.Path(args.json_out)
    path.write_text(json.dumps(result, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
  main()
