# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Shows which ops of a training step keep only one of two threads busy.

In: flags that choose precision, length and batch. Out: a table of kinds of ops
with the processor time of all threads while they run, and that of the busiest,
so that it works on a busy machine too. Ops run one after the other; each may
use two threads. "waiting" is the time by which the busiest thread works longer
than all others together: a second core waits that long. The time between two
ops is not counted.

  python benchmarks/bench_threads.py --precision=bfloat16 --length=128
"""

import argparse
import bisect
import collections
import os
import pathlib
import threading
import time

import bench_step

TASKS = pathlib.Path("/proc/self/task")
CALLS = ("PartitionedCall", "StatefulPartitionedCall")
PAUSE = 0.0003  # seconds between two readings
FORM = "{:42}{:>6}{:>9}{:>12}{:>9}"


def parse_arguments():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--model", default="6-layer", choices=bench_step.MODELS)
  parser.add_argument("--precision", default="bfloat16")
  parser.add_argument("--length", type=int, default=128)
  parser.add_argument("--batch_size", type=int, default=32)
  parser.add_argument("--steps", type=int, default=3)
  parser.add_argument("--rows", type=int, default=16, help="of the table")
  return parser.parse_args()


class TracedSession:
  """A session that traces what it runs."""

  def __init__(self, tf):
    self._options = tf.RunOptions(trace_level=tf.RunOptions.SOFTWARE_TRACE)
    self._metadata = tf.RunMetadata()
    self.graph = tf.get_default_graph()
    self._session = tf.Session(
      graph=self.graph,
      config=tf.ConfigProto(
        intra_op_parallelism_threads=2, inter_op_parallelism_threads=1
      ),
    )
    self._session.run(tf.global_variables_initializer())

  def run(self, fetched, feed):
    self._session.run(fetched, feed, self._options, self._metadata)

  def ops(self):
    """(start, end, kind) of each op of the last run, in microseconds."""
    for device in self._metadata.step_stats.dev_stats:
      for op in device.node_stats:
        start = op.all_start_micros + op.op_start_rel_micros
        end = op.all_start_micros + op.op_end_rel_micros
        yield start, end, self._kind(op)

  def _kind(self, op):
    kind = op.timeline_label.partition(" = ")[2].partition("(")[0]
    if kind not in CALLS:
      return kind or op.node_name
    try:  # what XLA compiles, by the name of its function
      called = self.graph.get_operation_by_name(op.node_name).get_attr("f").name
    except KeyError:
      return kind
    return "compiled " + called.removeprefix("__inference_").lstrip("_")


class Clocks:
  """Reads the processor time of each thread again and again."""

  def __init__(self):
    self._files = [
      os.open(path / "schedstat", os.O_RDONLY) for path in TASKS.iterdir()
    ]
    self._times, self._values, self._is_over = [], [], False
    self._thread = threading.Thread(target=self._read)

  def _read(self):
    while not self._is_over:
      self._times.append(time.time() * 1e6)
      self._values.append(
        [int(os.pread(file, 64, 0).split()[0]) for file in self._files]
      )
      time.sleep(PAUSE)

  def __enter__(self):
    self._thread.start()
    return self

  def __exit__(self, *unused):
    self._is_over = True
    self._thread.join()
    for file in self._files:
      os.close(file)

  def at(self, moment):
    """The milliseconds of each thread at a moment, between two readings."""
    i = bisect.bisect_left(self._times, moment)
    i = min(max(i, 1), len(self._times) - 1)
    before, after = self._times[i - 1 : i + 1]
    share = min(max((moment - before) / (after - before), 0.0), 1.0)
    pairs = zip(*self._values[i - 1 : i + 1])
    return [(low + (high - low) * share) / 1e6 for low, high in pairs]


def measure(args):
  """{kind: [times it ran, milliseconds of each thread]} of one step."""
  import tensorflow.compat.v1 as tf

  tf.logging.set_verbosity(tf.logging.ERROR)
  tf.disable_v2_behavior()
  tf.enable_resource_variables()
  sessions = []

  def new_session(tf):
    sessions.append(TracedSession(tf))
    return sessions[-1]

  bench_step.new_session = new_session
  case = {
    "model": args.model,
    "mode": "train",
    "precision": args.precision,
    "length": args.length,
    "batch_size": args.batch_size,
    "recompute_layers": False,
    "gradient_accumulation_steps": 1,
    "trainable": "all",
  }
  step, _ = bench_step.make_step(tf, case)
  step()
  step()
  kinds = collections.defaultdict(lambda: [0, []])
  for _ in range(args.steps):
    with Clocks() as clocks:
      step()
    for start, end, kind in sessions[0].ops():
      spent = zip(clocks.at(start), clocks.at(end))
      spent = [(after - before) / args.steps for before, after in spent]
      found = kinds[kind]
      found[0] += 1 / args.steps
      found[1] = [sum(x) for x in zip(found[1] or [0] * len(spent), spent)]
  return kinds


def main():
  args = parse_arguments()
  rows = []
  for kind, (count, spent) in measure(args).items():
    waiting = max(0.0, 2 * max(spent) - sum(spent))
    rows.append((kind, count, sum(spent), max(spent), waiting))
  rows.sort(key=lambda row: -row[2])
  sums = [sum(row[i] for row in rows) for i in range(1, 5)]
  print(FORM.format("op", "times", "ms, all", "ms, busiest", "waiting"))
  for kind, count, *times in [*rows[: args.rows], ("all ops", *sums)]:
    print(FORM.format(kind, round(count), *(f"{t:.1f}" for t in times)))


if __name__ == "__main__":
  main()
