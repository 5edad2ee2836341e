# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Runs the benchmarks of `make bench` and shows their tables at the end.

In: a vocabulary and a text for the tokenizer; optionally, for fine-tuning, a
folder with data in a GLUE task's columns and one with a checkpoint (and one
with the same checkpoint for transformers), and a Python with torch and
transformers. Out: the tables, and JSON files in --output_dir. Takes 15
minutes on two cores, 30 with all of it, because the slow benchmarks measure
only a part of what they measure by default; --complete has them measure all, in
over an hour.

  python benchmarks/run_all.py --vocab_file=V --text_file=T \
      --data_dir=MRPC --model_dir=CHECKPOINT --transformers_python=PYTHON
"""

import argparse
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PARTS = {  # what a benchmark measures without --complete
  "bench_step": ["--lengths=128,384", "--rounds=3"],
  "bench_memory": ["--lengths=128,512", "--tokens=2048"],
  "bench_transformers": ["--lengths=56,128"],
  "bench_finetune": ["--precisions=bfloat16"],
}


def parse_arguments():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--vocab_file", required=True)
  parser.add_argument("--text_file", required=True)
  parser.add_argument("--data_dir", help="data to time fine-tuning with")
  parser.add_argument("--task_name", default="mrpc")
  parser.add_argument("--model_dir", help="as in bench_finetune.py")
  parser.add_argument("--transformers_model", help="as in bench_finetune.py")
  parser.add_argument("--transformers_python", help="has both packages")
  parser.add_argument("--complete", action="store_true")
  parser.add_argument("--output_dir", default="bench_output")
  args = parser.parse_args()
  if bool(args.data_dir) != bool(args.model_dir):
    parser.error("--data_dir and --model_dir go together")
  return args


def benchmarks(args):
  """Returns {benchmark: its arguments}."""

  def given(*names):
    values = {name: getattr(args, name) for name in names}
    return [f"--{name}={value}" for name, value in values.items() if value]

  found = {
    "bench_tokenizer": given("vocab_file", "text_file"),
    "bench_step": [],
    "bench_memory": [],
  }
  if args.transformers_python:
    found["bench_transformers"] = given("transformers_python")
  if args.data_dir:
    found["bench_finetune"] = given(
      *("data_dir", "task_name", "model_dir"),
      *("transformers_model", "transformers_python"),
    )
  if not args.complete:
    for name, arguments in found.items():
      arguments += PARTS.get(name, [])
  return found


def shown_and_kept(command):
  """Runs a command, shows its output as it arrives, and returns it."""
  lines = []
  process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
  for line in process.stdout:
    print(line, end="", flush=True)
    lines.append(line)
  if process.wait():
    sys.exit(f"{' '.join(command)} failed")
  return "".join(lines)


def main():
  args = parse_arguments()
  folder = pathlib.Path(args.output_dir)
  folder.mkdir(parents=True, exist_ok=True)
  tables = {}
  for name, arguments in benchmarks(args).items():
    script, json_out = HERE / f"{name}.py", folder / f"{name}.json"
    print(f"\n{name}", flush=True)
    tables[name] = shown_and_kept(
      [sys.executable, str(script), *arguments, f"--json_out={json_out}"]
    )
  print("\nAll tables; the same as JSON in " + str(folder))
  for name, table in tables.items():
    print(f"\n{name}\n{table}", end="")


if __name__ == "__main__":
  main()
