# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Measures the memory of a training step: the largest batch that fits.

In: flags that choose model, precision and lengths. Out: a table, and JSON with
--json_out. For every length and every way to save memory, a separate process
takes two steps at each of two batch sizes and reports its peak memory. Memory
grows linearly with the batch size, so two peaks give the memory per sequence,
the fixed memory, and the largest batch in 8, 12 and 16 GB. With gradient
accumulation, the batch counts all parts together.

  python benchmarks/bench_memory.py
"""

import argparse
import json
import pathlib

import bench_step

GIGABYTES = (8, 12, 16)
# name: (parts, whether layers are recomputed, tokens relative to "plain": in
# small batches, the weights would take most of the memory)
WAYS = {
  "plain": (1, False, 1),
  "accumulating by 4": (4, False, 2),
  "recomputing": (1, True, 3),
}
FORM = "{:>7}  {:18}{:>12}{:>10}" + "{:>9}" * len(GIGABYTES)


def parse_arguments():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--model", default="base", choices=bench_step.MODELS)
  parser.add_argument("--precision", default="float32")
  parser.add_argument("--lengths", default="128,256,384,512")
  parser.add_argument(
    "--tokens", type=int, default=4096, help="in the larger 'plain' batch"
  )
  parser.add_argument("--json_out", help="write the table as JSON here")
  return parser.parse_args()


def peak(args, length, batch, way):
  """Returns the peak memory of a process that takes two steps, in MB."""
  slices, recompute, _ = WAYS[way]
  case = {
    "model": args.model,
    "mode": "train",
    "precision": args.precision,
    "length": length,
    "batch_size": batch,
    "rounds": 0,
    "threads": 0,
    "recompute_layers": recompute,
    "gradient_accumulation_steps": slices,
    "trainable": "all",
  }
  return bench_step.measured_apart(case)["peak_mb"]


def measure(args, length, way):
  """Returns a row: MB per sequence, fixed MB, the largest batches."""
  most = max(8, WAYS[way][2] * args.tokens // length // 8 * 8)
  low, high = (peak(args, length, batch, way) for batch in (most // 2, most))
  each = (high - low) / (most - most // 2)
  rest = high - each * most
  return {
    "length": length,
    "way": way,
    "batch": most,
    "peak_mb": high,
    "mb_a_sequence": each,
    "mb_fixed": rest,
    "largest_batch": {g: int((g * 1024 - rest) / each) for g in GIGABYTES},
  }


def main():
  args = parse_arguments()
  sizes = [f"{g} GB" for g in GIGABYTES]
  print(FORM.format("length", "way", "MB/sequence", "MB fixed", *sizes))
  rows = []
  for length in map(int, args.lengths.split(",")):
    for way in WAYS:
      rows.append(measure(args, length, way))
      row = rows[-1]
      numbers = (f"{row[key]:,.1f}" for key in ("mb_a_sequence", "mb_fixed"))
      batches = row["largest_batch"].values()
      print(FORM.format(length, way, *numbers, *batches), flush=True)
  if args.json_out:
    text = json.dumps({**vars(args), "rows": rows}, indent=2) + "\n"
    pathlib.Path(args.json_out).write_text(text, "utf-8")


if __name__ == "__main__":
  main()
