# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Compares the formats of export_model.py: size, speed and accuracy.

In: a classifier that was trained on MRPC, and MRPC's folder. Out: a table with
a row for each format: the size of its files, the milliseconds of one sentence
of 16 words, the pairs a second of a batch, and the accuracy on the development
set. The formats take turns at each measurement, so that all run under the same
load; the table has medians. ONNX is left out where its packages are missing.

  taskset -c 0 python benchmarks/bench_exports.py --model_dir=mrpc_output \
      --data_dir=MRPC --threads=1

--keep=FOLDER keeps the exports, and uses those that are there. --cpu_time
measures processor time instead.
"""

import argparse
import contextlib
import importlib.util
import os
import pathlib
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import numpy as np
import tensorflow.compat.v1 as tf

from bert.tasks import classification_data
from bert.training import export_formats, trained_model

Plan = export_formats.Plan
# 16 words.
_SENTENCE = (
  "the committee said on monday that it would not change the rules before the"
  " next election"
)
PLANS = {
  "SavedModel float32": Plan(),
  "SavedModel bfloat16": Plan(precision="bfloat16"),
  "TFLite float32": Plan("tflite"),
  "TFLite float16": Plan("tflite", quantize="float16"),
  "TFLite int8": Plan("tflite", quantize="int8"),
  "ONNX float32": Plan("onnx"),
  "ONNX float16": Plan("onnx", quantize="float16"),
  "ONNX int8": Plan("onnx", quantize="int8"),
}


def parse_arguments():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--model_dir", required=True)
  parser.add_argument("--data_dir", required=True, help="has MRPC's dev.tsv")
  parser.add_argument("--threads", type=int, default=1)
  parser.add_argument("--runs", type=int, default=200, help="of the sentence")
  parser.add_argument("--batch_size", type=int, default=32)
  parser.add_argument("--batches", type=int, default=5, help="of each format")
  parser.add_argument("--formats", default="", help="only names with this")
  parser.add_argument("--no_accuracy", action="store_true")
  parser.add_argument(
    "--cpu_time",
    action="store_true",
    help="measure processor time, which other programs disturb less",
  )
  parser.add_argument("--keep", help="folder to keep the exports in, and reuse")
  return parser.parse_args()


def exported(model, folder, plan):
  """The folder of an export, made where it is not yet there."""
  name = "_".join(str(value) for value in vars(plan).values())
  path = os.path.join(folder, name)
  if not os.path.exists(path):
    os.makedirs(path + ".partial")
    export_formats.save(model, path + ".partial", plan)
    os.rename(path + ".partial", path)
  return path


def size_of(path):
  """The megabytes of the model in an export, without its small files."""
  names = ("saved_model.pb", "variables/*", "model.*")
  files = (file for name in names for file in pathlib.Path(path).glob(name))
  return sum(file.stat().st_size for file in files) / 1e6


def take_turns(calls, clock, rounds, warm_up):
  """{name: median seconds} of calls that take turns."""
  seconds = {name: [] for name in calls}
  for turn in range(rounds + warm_up):
    for name, call in calls.items():
      started = clock()
      call()
      if turn >= warm_up:
        seconds[name].append(clock() - started)
  return {name: float(np.median(found)) for name, found in seconds.items()}


def accuracy(model, run, rows, labels, size):
  """The share of rows whose answer is their label."""
  right = 0
  prepared = [model.task.prepare(row, model.tokenizer) for row in rows]
  for first in range(0, len(rows), size):
    part = prepared[first : first + size]
    columns = run(trained_model.padded([windows[0] for windows, _ in part]))
    for place, (_, kept) in enumerate(part):
      outputs = {name: values[place] for name, values in columns.items()}
      answer = model.task.answer(kept, [outputs])
      right += answer["label"] == labels[first + place]
  return right / len(rows)


def main():
  args = parse_arguments()
  tf.logging.set_verbosity(tf.logging.ERROR)
  tf.disable_v2_behavior()
  tf.enable_resource_variables()
  model = trained_model.find_model(args.model_dir)
  examples = classification_data.MrpcProcessor().get_dev_examples(args.data_dir)
  rows = [{"text_a": e.text_a, "text_b": e.text_b} for e in examples]
  windows = [model.task.prepare(r, model.tokenizer)[0][0] for r in rows]
  alone = {"text_a": _SENTENCE, "text_b": ""}
  (sentence,), _ = model.task.prepare(alone, model.tokenizer)
  one = trained_model.padded([sentence])
  batch = trained_model.padded(windows[: args.batch_size])
  clock = time.process_time if args.cpu_time else time.perf_counter
  has_onnx = importlib.util.find_spec("tf2onnx")
  with contextlib.ExitStack() as stack:
    folder = args.keep or stack.enter_context(tempfile.TemporaryDirectory())
    runs, sizes = {}, {}
    for name, plan in PLANS.items():
      if args.formats in name and (plan.format != "onnx" or has_onnx):
        path = exported(model, folder, plan)
        loaded = export_formats.load(path, plan.format, args.threads)
        runs[name], sizes[name] = (
          stack.enter_context(loaded)["ids"],
          size_of(path),
        )
    shares = {}
    if not args.no_accuracy:
      labels = [example.label for example in examples]
      for name, run in runs.items():
        shares[name] = accuracy(model, run, rows, labels, args.batch_size)
    latencies = take_turns(
      {name: lambda run=run: run(one) for name, run in runs.items()},
      *(clock, args.runs, 10),
    )
    rates = take_turns(
      {name: lambda run=run: run(batch) for name, run in runs.items()},
      *(clock, args.batches, 1),
    )
  print(
    f"{one['input_ids'].shape[1]} tokens; {len(batch['input_ids'])} pairs of at"
    f" most {batch['input_ids'].shape[1]} tokens; {args.threads} threads;"
    f" accuracy on {len(rows)} pairs\n"
  )
  print("| | MB | one sentence | pairs a second | accuracy |")
  print("|---|---|---|---|---|")
  for name in runs:
    print(
      f"| {name} | {sizes[name]:.1f} | {1000 * latencies[name]:.2f} ms |"
      f" {args.batch_size / rates[name]:.1f} | {shares.get(name, 0):.3f} |"
    )


if __name__ == "__main__":
  main()
