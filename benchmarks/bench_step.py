# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Compares training and inference steps with the machine's matrix products.

In: flags that choose models, lengths, precisions and modes. Out: a table, and
JSON with --json_out. A training step is forward, gradients, clipping and AdamW
on full-length random sequences. Each case runs in a separate process, whose
peak memory is shown. Steps take turns with large matrix products of the same
precision. The median round counts; the share is the step's GFLOP/s divided by
the product's.

The mode `pretrain` trains with the heads that predict masked words (0.15 of the
tokens) and the next sentence.

GFLOP counts 2 operations for each multiplication in the encoder's dense layers
and attention, and in the head for masked words; training counts a layer three
times if it is trained. It counts nothing else.

  python benchmarks/bench_step.py
  python benchmarks/bench_step.py --models=6-layer --lengths=128 --rounds=3
  python benchmarks/bench_step.py --models=6-layer --modes=pretrain
"""

import argparse
import json
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

MODELS = {
  "6-layer": dict(
    hidden_size=384,
    num_hidden_layers=6,
    num_attention_heads=12,
    intermediate_size=1536,
    hidden_act="gelu_erf",
  ),
  "base": {},
}
BATCH_SIZES = {"6-layer": 32, "base": 8}
PRODUCT_SIZE = 2048
PRODUCTS = 4  # in a run, one after the other
COLUMNS = {  # heading: (key of a result, format)
  "model": ("model", "{:8}"),
  "mode": ("mode", "{:>10}"),
  "precision": ("precision", "{:>10}"),
  "length": ("length", "{:7}"),
  "batch": ("batch_size", "{:6}"),
  "s/step": ("seconds_per_step", "{:7.3f}"),
  "seq/s": ("sequences_per_second", "{:8.1f}"),
  "tokens/s": ("tokens_per_second", "{:10,.0f}"),
  "GFLOP/s": ("gflops", "{:8.0f}"),
  "product": ("product_gflops", "{:8.0f}"),
  "share": ("share", "{:6.0%}"),
  "MB": ("peak_mb", "{:7.0f}"),
}


def add_choices(parser, name, values, others=()):
  """Adds a flag that takes some of the values, by default all but `others`."""
  parser.add_argument(
    name,
    type=lambda text: text.split(","),
    default=values,
    help=f"any of {','.join([*values, *others])}; default: {','.join(values)}",
  )


def parse_arguments():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])

  add_choices(parser, "--models", list(MODELS))
  add_choices(parser, "--modes", ["train", "inference"], ["pretrain"])
  add_choices(parser, "--precisions", ["float32", "bfloat16"])
  add_choices(parser, "--lengths", ["64", "128", "384"])
  parser.add_argument(
    "--batch_size", type=int, help="default: 32 for 6-layer, 8 for base"
  )
  parser.add_argument("--rounds", type=int, default=5)
  parser.add_argument(
    "--threads", type=int, default=0, help="cores to use; 0: all"
  )
  parser.add_argument(
    "--cpu_time",
    action="store_true",
    help="count the processor time of one thread, steady on a busy machine",
  )
  parser.add_argument("--recompute_layers", action="store_true")
  parser.add_argument("--gradient_accumulation_steps", type=int, default=1)
  parser.add_argument(
    "--trainable", default="all", help="all, head or last:N, as in run_ scripts"
  )
  parser.add_argument("--json_out", help="write the table as JSON here")
  parser.add_argument("--one", help=argparse.SUPPRESS)  # a process's case
  return parser.parse_args()


# --------------------------------------------------- in a separate process


def measure(case):
  """Returns the case with its measured values; see COLUMNS."""
  import tensorflow.compat.v1 as tf

  tf.logging.set_verbosity(tf.logging.ERROR)
  tf.disable_v2_behavior()
  tf.enable_resource_variables()
  step, flop = make_step(tf, case)
  step()
  step()
  peak = peak_memory()
  if not case["rounds"]:  # bench_memory.py needs the memory only
    return {**case, "peak_mb": peak}
  product, product_flop = make_product(tf, case)
  product()
  step_seconds, product_seconds = [], []
  for _ in range(case["rounds"]):
    step_seconds.append(seconds(step, case))
    product_seconds.append(seconds(product, case))
  took = statistics.median(step_seconds)
  gflops = flop / took / 1e9
  product_gflops = product_flop / statistics.median(product_seconds) / 1e9
  return {
    **case,
    "seconds_per_step": took,
    "sequences_per_second": case["batch_size"] / took,
    "tokens_per_second": case["batch_size"] * case["length"] / took,
    "gflops": gflops,
    "product_gflops": product_gflops,
    "share": gflops / product_gflops,
    "peak_mb": peak,
  }


def make_step(tf, case):
  """Returns a function that takes a step, and the step's operations."""
  import modeling
  import optimization
  from bert.training import flags, runs

  config = modeling.BertConfig(
    30522, type_vocab_size=2, **MODELS[case["model"]]
  )
  training = case["mode"] != "inference"
  slices = case["gradient_accumulation_steps"]
  trained_layers = runs.trained_layers(
    flags.FineTuningOptions(trainable=case["trainable"])
  )
  loss = pretraining_loss if case["mode"] == "pretrain" else classifier_loss
  batch = make_batch(config, case)

  def encoder(inputs):
    return make_encoder(tf, config, inputs, case, trained_layers)

  with tf.Graph().as_default():
    inputs = {
      name: tf.placeholder(values.dtype, [None] * values.ndim)
      for name, values in batch.items()
    }
    if training:
      options = optimization.Options(1e-4, 1000, 100, slices=slices)
      fetched = optimization.train_step(
        lambda part, index: loss(tf, encoder(part), part) / slices,
        inputs,
        options,
      ).train_op
    else:
      fetched = encoder(inputs).get_pooled_output()
    session = new_session(tf)
  feed = {inputs[name]: values for name, values in batch.items()}
  if not training:
    trained_layers = 0
  elif trained_layers is None:
    trained_layers = config.num_hidden_layers
  flop = model_flop(config, case, trained_layers)
  return lambda: session.run(fetched, feed), flop


def make_batch(config, case):
  """Random sequences of full length, {name: int32 array}."""
  import numpy as np

  rng = np.random.RandomState(1)
  size, length = case["batch_size"], case["length"]
  batch = {
    "input_ids": rng.randint(0, config.vocab_size, [size, length]),
    "input_mask": np.ones([size, length]),
    "segment_ids": np.zeros([size, length]),
  }
  batch = {name: values.astype(np.int32) for name, values in batch.items()}
  if case["mode"] == "pretrain":
    masked = [size, predictions(case)]
    ids = rng.randint(0, config.vocab_size, masked, np.int32)
    places = [rng.permutation(length)[: masked[1]] for _ in range(size)]
    batch["masked_lm_positions"] = np.sort(places).astype(np.int32)
    batch["masked_lm_ids"] = ids
    batch["masked_lm_weights"] = np.ones(masked, np.float32)
    batch["next_sentence_labels"] = np.zeros([size, 1], np.int32)
  return batch


def predictions(case):
  """The masked words of a sequence: 20 at length 128, 77 at 512."""
  return math.ceil(0.15 * case["length"])


def make_encoder(tf, config, inputs, case, trained_layers):
  import modeling
  from bert.tasks import layers, pretraining
  from bert.training import devices

  positions = layers.first_position(inputs)
  if case["mode"] == "pretrain":
    task = pretraining.Pretraining(pretraining.PretrainingNote())
    positions = task.last_positions(inputs)
  return modeling.BertModel(
    config,
    case["mode"] != "inference",
    inputs["input_ids"],
    inputs["input_mask"],
    inputs["segment_ids"],
    scope="bert",
    compute_dtype=tf.as_dtype(case["precision"]),
    recompute_layers=case["recompute_layers"],
    trained_layers=trained_layers,
    compiled=devices.can_compile(use_tpu=False),
    last_positions=positions,
  )


def classifier_loss(tf, encoder, unused_part):
  """A scalar loss of the pooled outputs."""
  from bert.tasks import layers

  scores = layers.labels_product(encoder.get_pooled_output(), 2)
  return tf.reduce_mean(tf.square(scores - 0.5))


def pretraining_loss(unused_tf, encoder, part):
  """The sum of both losses of pre-training."""
  from bert.tasks import pretraining

  task = pretraining.Pretraining(pretraining.PretrainingNote())
  outputs = task.scored(task.layers(encoder, part), part)
  return sum(outputs.loss_sums)


def model_flop(config, case, trained_layers):
  width, inner = config.hidden_size, config.intermediate_size
  dense = 4 * width * width + 2 * width * inner
  attention = 2 * case["length"] * width
  tokens = case["batch_size"] * case["length"]
  words = 0
  if case["mode"] == "pretrain":
    words = case["batch_size"] * predictions(case)
  # The last layer has keys and values of all tokens, and the rest of few.
  few, pair = case["batch_size"] + words, 2 * width * width
  last = tokens * pair + few * (dense - pair + attention)
  times = 3 if trained_layers else 1  # a gradient takes two products more
  flop = 2 * times * last
  layers = config.num_hidden_layers - 1 + 2 * max(trained_layers - 1, 0)
  flop += 2 * tokens * layers * (dense + attention)
  if words:
    flop += 3 * 2 * words * width * (width + config.vocab_size)
  return flop


def make_product(tf, case):
  """Returns a function that multiplies large matrices, and the operations."""
  with tf.Graph().as_default():
    shape = [PRODUCT_SIZE, PRODUCT_SIZE]
    left, right = (
      tf.get_variable(
        name, initializer=tf.cast(tf.random.normal(shape), case["precision"])
      )
      for name in ("left", "right")
    )
    corners = []  # fetching one of each product keeps TensorFlow from pruning
    for _ in range(PRODUCTS):
      with tf.control_dependencies(corners[-1:]):
        product = tf.matmul(left.read_value(), right.read_value())
        corners.append(product[0, 0])
    session = new_session(tf)
  return lambda: session.run(corners), PRODUCTS * 2 * PRODUCT_SIZE**3


def pin(threads):
  """Keeps this process to so many cores; 0: to all. TensorFlow counts them when
  its first session starts, and ignores what later ones ask for."""
  if threads:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


def new_session(tf):
  session = tf.Session(graph=tf.get_default_graph())
  session.run(tf.global_variables_initializer())
  return session


def seconds(run, case):
  clock = time.process_time if case["cpu_time"] else time.perf_counter
  start = clock()
  run()
  return clock() - start


def peak_memory():
  """Returns the peak memory of this process, in MB."""
  status = pathlib.Path("/proc/self/status").read_text("utf-8")
  return int(re.search(r"VmHWM:\s*(\d+)", status)[1]) / 1024


# ------------------------------------------------------------- the parent


def cases(args):
  return [
    {
      "model": model,
      "mode": mode,
      "precision": precision,
      "length": int(length),
      "batch_size": args.batch_size or BATCH_SIZES[model],
      "rounds": args.rounds,
      "threads": 1 if args.cpu_time else args.threads,
      "cpu_time": args.cpu_time,
      "recompute_layers": args.recompute_layers,
      "gradient_accumulation_steps": args.gradient_accumulation_steps,
      "trainable": args.trainable,
    }
    for model in args.models
    for mode in args.modes
    for precision in args.precisions
    for length in args.lengths
  ]


def measured_apart(case):
  """Runs `measure` in a separate process."""
  command = [sys.executable, __file__, "--one", json.dumps(case)]
  done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
  return json.loads(done.stdout.splitlines()[-1])


def print_row(values):
  print("".join(values), flush=True)


def main():
  args = parse_arguments()
  if args.one:
    case = json.loads(args.one)
    pin(case["threads"])
    print(json.dumps(measure(case)))
    return
  widths = {h: re.search(r"\d+", f)[0] for h, (_, f) in COLUMNS.items()}
  print_row(f"{heading:>{width}}" for heading, width in widths.items())
  rows = []
  for case in cases(args):
    rows.append(measured_apart(case))
    print_row(form.format(rows[-1][key]) for key, form in COLUMNS.values())
  if args.json_out:
    text = json.dumps({"rows": rows}, indent=2) + "\n"
    pathlib.Path(args.json_out).write_text(text, "utf-8")


if __name__ == "__main__":
  main()
