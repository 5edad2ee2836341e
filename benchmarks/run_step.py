# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Runs and times the training step that export_step.py wrote.

In: the folder. Out: the loss of each step and the median time of a step. It
needs jax, and neither TensorFlow nor this project. Without arguments.npz the
weights are drawn at random, so that only the time means something.

  python benchmarks/run_step.py --folder=step_output --runs=20
"""

import argparse
import json
import pathlib
import statistics
import time

import jax  # noqa: F401  (sets jaxlib up)
import numpy as np
from jaxlib import xla_client


def parse_arguments():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--folder", default="step_output")
  parser.add_argument("--runs", type=int, default=20)
  return parser.parse_args()


def load(folder, client):
  """The compiled step, its arguments, and which results replace which."""
  data = (folder / "step.hlo.pb").read_bytes()
  computation = xla_client.XlaComputation(data)
  module = xla_client._xla.mlir.xla_computation_to_mlir_module(computation)
  described = json.loads((folder / "arguments.json").read_text())
  if (folder / "arguments.npz").exists():
    arrays = list(np.load(folder / "arguments.npz").values())
  else:
    arrays = [draw(argument) for argument in described]
  replaced = {i: a["result"] for i, a in enumerate(described) if a["result"]}
  return client.compile(module), arrays, replaced


def draw(argument):
  """Values for an argument: ones, or small random numbers for weights."""
  rng = np.random.RandomState(1)
  if argument["type"].startswith("int"):
    return np.ones(argument["shape"], argument["type"])
  values = rng.standard_normal(argument["shape"]) * 0.02
  is_moment = argument["name"].endswith(("adam_m", "adam_v"))
  return (values * (not is_moment)).astype(argument["type"])


def take_steps(step, arrays, replaced, client, runs):
  """Yields (loss, seconds) of each step; each goes on from the one before."""
  arguments = [client.buffer_from_pyval(array) for array in arrays]
  for _ in range(runs):
    begun = time.perf_counter()
    results = step.execute(arguments)
    loss = float(np.asarray(results[0]))
    took = time.perf_counter() - begun
    for place, result in replaced.items():
      arguments[place] = results[result]
    yield loss, took


def main():
  args = parse_arguments()
  client = xla_client.make_cpu_client()
  begun = time.perf_counter()
  step, arrays, replaced = load(pathlib.Path(args.folder), client)
  print(f"{client.platform}: compiled in {time.perf_counter() - begun:.1f} s")
  took = []
  for loss, seconds in take_steps(step, arrays, replaced, client, args.runs):
    took.append(seconds)
    print(f"step {len(took)}: loss {loss:.9g}, {seconds:.4f} s")
  print(f"median {statistics.median(took):.4f} s a step")


if __name__ == "__main__":
  main()
