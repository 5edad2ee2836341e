# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Times fine-tuning end to end: padded and bucketed, by precision.

In: a folder with train.tsv and dev.tsv in a GLUE task's columns, and a
checkpoint. Out: a table of wall-clock time (script start to evaluation
results) and accuracy, and JSON with --json_out. The contenders take turns in
every round. With --transformers_model, a Hugging Face folder of the same
checkpoint, transformers on PyTorch is also timed: dynamic padding, examples
grouped by length, and the same batch size, epochs, learning rate and precision.
It runs in --transformers_python, which needs both packages.

  python benchmarks/bench_finetune.py --data_dir=MRPC --model_dir=CHECKPOINT
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
EPOCHS, BATCH, RATE, LENGTH = 3, 32, 5e-5, 128


def parse_arguments():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--data_dir", required=True)
  parser.add_argument("--task_name", default="mrpc")
  parser.add_argument(
    "--model_dir",
    required=True,
    help="folder with bert_model.ckpt, bert_config.json and vocab.txt",
  )
  parser.add_argument(
    "--max_train_examples", type=int, help="train on fewer, for a quick look"
  )
  parser.add_argument("--rounds", type=int, default=1)
  parser.add_argument(
    "--precisions",
    type=lambda text: text.split(","),
    default=["float32", "bfloat16"],
    help="one or both of float32,bfloat16",
  )
  parser.add_argument(
    "--only", nargs="*", help="contenders to run, by their names in the table"
  )
  parser.add_argument("--transformers_model")
  parser.add_argument("--transformers_python", default=sys.executable)
  parser.add_argument("--json_out", help="write the table as JSON here")
  return parser.parse_args()


def our_command(options, output_dir, precision, buckets, seed):
  """Returns the command that fine-tunes with this project's script."""
  limit = options.max_train_examples
  return [
    sys.executable,
    str(ROOT / "run_classifier.py"),
    f"--task_name={options.task_name}",
    f"--data_dir={options.data_dir}",
    f"--vocab_file={options.model_dir}/vocab.txt",
    f"--bert_config_file={options.model_dir}/bert_config.json",
    f"--init_checkpoint={options.model_dir}/bert_model.ckpt",
    f"--output_dir={output_dir}",
    "--do_train",
    "--do_eval",
    f"--max_seq_length={LENGTH}",
    f"--train_batch_size={BATCH}",
    f"--learning_rate={RATE}",
    f"--num_train_epochs={EPOCHS}",
    f"--precision={precision}",
    f"--length_buckets={buckets}",
    f"--random_seed={seed}",
    *([f"--max_train_examples={limit}"] if limit else []),
  ]


def their_command(options, output_dir, precision, seed):
  """Returns the command that does the same with transformers."""
  return [
    options.transformers_python,
    str(ROOT / "benchmarks" / "finetune_transformers.py"),
    f"--data_dir={options.data_dir}",
    f"--model={options.transformers_model}",
    f"--output_dir={output_dir}",
    f"--precision={precision}",
    f"--seed={seed}",
    f"--epochs={EPOCHS}",
    f"--batch={BATCH}",
    f"--rate={RATE}",
    f"--length={LENGTH}",
    f"--max_train_examples={options.max_train_examples or 0}",
  ]


def contenders(options):
  """Returns {name: function from (output_dir, seed) to a command}."""
  found = {}
  for precision in options.precisions:
    for name, buckets in (("padded", "none"), ("bucketed", "auto")):
      found[f"{precision} {name}"] = lambda o, s, p=precision, b=buckets: (
        our_command(options, o, p, b, s)
      )
    if options.transformers_model:
      found[f"{precision} transformers"] = lambda o, s, p=precision: (
        their_command(options, o, p, s)
      )
  if options.only:
    found = {name: found[name] for name in options.only}
  return found


def run(command, output_dir):
  """Runs one training; returns its seconds and accuracy."""
  started = time.monotonic()
  done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
  seconds = time.monotonic() - started
  if done.returncode:
    sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
  results = json.loads(
    (pathlib.Path(output_dir) / "eval_results.json").read_text()
  )
  return {"seconds": seconds, "accuracy": results["eval_accuracy"]}


def measure(options):
  """Returns {name: [{"seconds", "accuracy"} of each round]}."""
  entries = contenders(options)
  runs = {name: [] for name in entries}
  for seed in range(1, options.rounds + 1):
    for name, command in entries.items():
      with tempfile.TemporaryDirectory() as output_dir:
        runs[name].append(run(command(output_dir, seed), output_dir))
      last = runs[name][-1]
      print(
        f"round {seed}: {name}: {last['seconds']:.0f} s,"
        f" accuracy {last['accuracy']:.3f}",
        flush=True,
      )
  return runs


def table(runs):
  """Returns rows: median seconds, mean accuracy, speed against the first."""
  rows = []
  for name, found in runs.items():
    seconds = statistics.median(r["seconds"] for r in found)
    accuracy = statistics.mean(r["accuracy"] for r in found)
    rows.append({"name": name, "seconds": seconds, "accuracy": accuracy})
  for row in rows:
    row["times as fast"] = rows[0]["seconds"] / row["seconds"]
  return rows


def main():
  options = parse_arguments()
  rows = table(measure(options))
  print(f"\n{'':24}{'seconds':>9}{'times as fast':>15}{'accuracy':>10}")
  for row in rows:
    print(
      f"{row['name']:24}{row['seconds']:9.0f}{row['times as fast']:15.2f}"
      f"{row['accuracy']:10.3f}"
    )
  if options.json_out:
    pathlib.Path(options.json_out).write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
  main()
