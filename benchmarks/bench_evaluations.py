# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Measures the memory of a training run that evaluates again and again.

In: flags for the number of evaluations and the model's size. Out: a table with
one row per evaluation, and JSON with --json_out. A small classifier trains in
this process as with --eval_steps=1: each step saves a checkpoint, builds an
evaluation graph, runs it and leaves it. The memory should stay flat.

  python benchmarks/bench_evaluations.py
"""

import argparse
import json
import os
import pathlib
import re
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import numpy as np
import tensorflow.compat.v1 as tf

import modeling
import optimization
from bert.records import input_pipeline
from bert.tasks import classification
from bert.training import devices, estimators, flags, progress

BATCH_SIZE, LENGTH, NUM_EXAMPLES, VOCABULARY = 8, 32, 16, 1000
FORM = "{:>10}{:>10}{:>10}"


def parse_arguments():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--evaluations", type=int, default=20)
  parser.add_argument("--layers", type=int, default=12)
  parser.add_argument("--hidden_size", type=int, default=64)
  parser.add_argument("--json_out", help="write the table as JSON here")
  return parser.parse_args()


def make_task():
  note = classification.ClassifierNote(
    "classifier", "single", ["no", "yes"], [], [], [], [], True, LENGTH
  )
  return classification.Classification(note)


def make_estimator(args, task, output_dir):
  config = modeling.BertConfig(
    VOCABULARY,
    args.hidden_size,
    args.layers,
    num_attention_heads=2,
    intermediate_size=4 * args.hidden_size,
  )
  options = flags.RunOptions(
    output_dir=output_dir, train_batch_size=BATCH_SIZE, eval_steps=1
  )
  graph = estimators.GraphOptions(
    optimizer=optimization.Options(1e-4, args.evaluations),
    compiled=devices.can_compile(use_tpu=False),
  )
  model_fn = estimators.make_model_fn(task, config, graph)
  return estimators.estimator_for(options, model_fn, BATCH_SIZE)


def make_input_fns(schema):
  """The input_fns of training and evaluation, on random ids."""
  random = np.random.RandomState(1)
  bounds = {"input_ids": VOCABULARY}
  rows = [
    {
      name: random.randint(1, bounds.get(name, 2), spec.shape)
      for name, spec in schema.items()
    }
    for _ in range(NUM_EXAMPLES)
  ]
  evaluated = input_pipeline.array_input_fn(rows, schema, False)
  return lambda params: evaluated(params).repeat(), evaluated


def resident_mb():
  """The memory this process holds now, in MB."""
  status = pathlib.Path("/proc/self/status").read_text("utf-8")
  return int(re.search(r"VmRSS:\s*(\d+)", status)[1]) / 1024


def measure(args, output_dir):
  """Trains with evaluations; returns a row for each of them."""
  task = make_task()
  estimator = make_estimator(args, task, output_dir)
  train_fn, eval_fn = make_input_fns(task.schema(is_training=False))
  rows = []

  def evaluate(checkpoint):
    started = time.perf_counter()
    for _ in estimators.predict(estimator, eval_fn, NUM_EXAMPLES, checkpoint):
      pass
    seconds = time.perf_counter() - started
    rows.append({"mb": resident_mb(), "seconds": seconds})
    print(FORM.format(len(rows), f"{rows[-1]['mb']:.0f}", f"{seconds:.1f}"))
    return {}

  estimators.train(
    *(estimator, train_fn, args.evaluations, NUM_EXAMPLES, BATCH_SIZE),
    log_steps=args.evaluations,
    listener=progress.EvaluationListener(evaluate, output_dir),
  )
  return rows


def main():
  args = parse_arguments()
  tf.logging.set_verbosity(tf.logging.ERROR)
  tf.disable_v2_behavior()
  tf.enable_resource_variables()
  print(FORM.format("evaluation", "MB", "seconds"))
  with tempfile.TemporaryDirectory() as output_dir:
    rows = measure(args, output_dir)
  if args.json_out:
    text = json.dumps({**vars(args), "rows": rows}, indent=2) + "\n"
    pathlib.Path(args.json_out).write_text(text, "utf-8")


if __name__ == "__main__":
  main()
