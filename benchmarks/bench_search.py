# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Times the search for one question among many vectors, exact and indexed.

In: the vectors that search_responses.py keeps (responses.txt.npy); noisy
copies raise their number to each of --counts. Out: a table, and JSON with
--json_out.

  python benchmarks/bench_search.py --vectors=responses.txt.npy
"""

import argparse
import json
import os
import pathlib
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import numpy as np

from bert.records import search

_NOISE = 0.5  # length of the noise added to a vector of length 1
_QUESTIONS = 60
_ANSWERS = 5


def parse_arguments():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--vectors", required=True, help="a .npy file")
  parser.add_argument(
    "--counts", default="500000,1000000", help="numbers of vectors to search"
  )
  parser.add_argument("--json_out", help="write the table as JSON here")
  return parser.parse_args()


def with_noise(vectors, rng):
  """Returns the vectors with noise added, at length 1."""
  noise = rng.standard_normal(vectors.shape, dtype=np.float32)
  vectors = vectors + _NOISE / np.sqrt(vectors.shape[1]) * noise
  return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("f")


def median_milliseconds(find, questions):
  seconds = []
  for place in range(len(questions)):
    started = time.perf_counter()
    find(questions[place : place + 1], _ANSWERS)
    seconds.append(time.perf_counter() - started)
  return 1000 * float(np.median(seconds))


def measure(given, count):
  """Returns the row of the table for `count` vectors made from `given`."""
  rng = np.random.default_rng(0)
  copies = -(-count // len(given)) - 1
  vectors = [given, *(with_noise(given, rng) for _ in range(copies))]
  vectors = np.concatenate(vectors)[:count]
  questions = with_noise(vectors[rng.integers(0, count, _QUESTIONS)], rng)

  def exact(queries, most):
    return search.exact(vectors, queries, most)

  started = time.perf_counter()
  index = search.build_index(vectors)
  made = time.perf_counter()
  search.tune_index(index, vectors, _ANSWERS)
  tuned = time.perf_counter()
  _, true = exact(questions, _ANSWERS)
  _, found = index.search(questions, _ANSWERS)
  return {
    "vectors": count,
    "exact_ms": median_milliseconds(exact, questions),
    "index_ms": median_milliseconds(index.search, questions),
    "found": np.mean([np.isin(*pair).mean() for pair in zip(true, found)]),
    "make_s": made - started,
    "tune_s": tuned - made,
  }


def main():
  args = parse_arguments()
  given = np.load(args.vectors)
  rows = []
  for count in map(int, args.counts.split(",")):
    rows.append(measure(given, count))
    if len(rows) == 1:
      print("".join(f"{name:>10}" for name in rows[0]))
    print("".join(f"{value:>10.4g}" for value in rows[-1].values()), flush=True)
  if args.json_out:
    text = json.dumps({"rows": rows}, indent=2) + "\n"
    pathlib.Path(args.json_out).write_text(text, "utf-8")


if __name__ == "__main__":
  main()
