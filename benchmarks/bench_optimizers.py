# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Measures the memory that weights, optimiser and gradients take.

In: flags that choose models and optimisers. Out: a table. Each case runs in a
separate process, which makes the variables of a classifier and takes two steps
on one short text, whose activations take next to nothing. "weights", "slots"
and "gradients" are the bytes of the tensors, by their shapes; "peak" is the
process's highest resident memory, less that before the variables were made.
The peak also has what the step holds for a while, such as clipped gradients.

  python benchmarks/bench_optimizers.py
"""

import argparse
import json
import os
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import bench_step  # which finds the project's modules

MODELS = {
  "base": {},
  "large": dict(
    hidden_size=1024,
    num_hidden_layers=24,
    num_attention_heads=16,
    intermediate_size=4096,
  ),
}
OPTIMIZERS = ("adamw", "adamw_corrected", "lamb", "adafactor")
COLUMNS = ("weights", "slots", "gradients", "sum", "peak")
LENGTH = 8


def parse_arguments():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--models", default=",".join(MODELS))
  parser.add_argument("--optimizers", default=",".join(OPTIMIZERS))
  parser.add_argument(
    "--shapes_only", action="store_true", help="make no variables, for no peak"
  )
  parser.add_argument("--one", help=argparse.SUPPRESS)  # a process's case
  return parser.parse_args()


# --------------------------------------------------- in a separate process


def measure(model, optimizer, shapes_only):
  """Returns {column: megabytes}."""
  import numpy as np
  import tensorflow.compat.v1 as tf

  import modeling
  import optimization
  from bert.tasks import layers

  tf.logging.set_verbosity(tf.logging.ERROR)
  tf.disable_v2_behavior()
  tf.enable_resource_variables()
  config = modeling.BertConfig(30522, type_vocab_size=2, **MODELS[model])
  ids = tf.constant(np.ones([1, LENGTH], np.int32))

  def loss(part, unused_index):
    encoder = modeling.BertModel(config, True, part["ids"], scope="bert")
    scores = layers.labels_product(encoder.get_pooled_output(), 2)
    return tf.reduce_mean(tf.square(scores - 0.5))

  step = optimization.train_step(
    loss, {"ids": ids}, optimization.Options(1e-4, 10, optimizer=optimizer)
  )
  before = bench_step.peak_memory()
  if not shapes_only:
    with tf.Session() as session:
      session.run(tf.global_variables_initializer())
      for _ in range(2):
        session.run(step.train_op)
  peak = bench_step.peak_memory() - before
  sizes = {
    v.op.name: v.shape.num_elements() * v.dtype.size
    for v in tf.global_variables()
  }
  weights = {v.op.name for v in tf.trainable_variables()}
  megabytes = {
    "weights": sum(sizes[name] for name in weights),
    "slots": sum(s for name, s in sizes.items() if name not in weights),
    "gradients": sum(sizes[v.op.name] for v in step.variables),
  }
  megabytes = {name: size / 2**20 for name, size in megabytes.items()}
  return {**megabytes, "sum": sum(megabytes.values()), "peak": peak}


# ------------------------------------------------------------- the parent


def measured_apart(*case):
  """Runs `measure` in a separate process."""
  command = [sys.executable, __file__, "--one", json.dumps(case)]
  done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
  return json.loads(done.stdout.splitlines()[-1])


def main():
  args = parse_arguments()
  if args.one:
    print(json.dumps(measure(*json.loads(args.one))))
    return
  form = "{:6}  {:16}" + "{:>11}" * len(COLUMNS)
  print(form.format("model", "MB with", *COLUMNS))
  for model in args.models.split(","):
    for optimizer in args.optimizers.split(","):
      found = measured_apart(model, optimizer, args.shapes_only)
      numbers = (f"{found[name]:,.1f}" for name in COLUMNS)
      print(form.format(model, optimizer, *numbers), flush=True)


if __name__ == "__main__":
  main()
