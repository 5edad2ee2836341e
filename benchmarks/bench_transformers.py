# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Compares steps with those of transformers on PyTorch, in alternation.

In: --transformers_python, a Python that has torch and transformers. Out: a
table, and JSON with --json_out. Each contender is a process of its own, which
takes a step whenever it is told to; the two take turns. The median round
counts. With one thread, both run on the same core. It takes about 8 minutes.

Both compute the same 6-layer model on the same full-length sequences. A
training step is forward, gradients, clipping to a norm of 1 and AdamW; theirs
has the attention `sdpa`, the fused AdamW and, in bfloat16, autocast, as
finetune_transformers.py has them. Theirs infers in bfloat16 with the weights in
bfloat16 too.

  python benchmarks/bench_transformers.py --transformers_python=PYTHON
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import bench_step

MODEL = "6-layer"
VOCAB_SIZE = 30522
MIN_ROUNDS = 2  # after a step of each contender that does not count


def parse_arguments():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument(
    "--transformers_python",
    default=sys.executable,
    help="a Python with torch and transformers; default: this one",
  )
  bench_step.add_choices(parser, "--modes", ["train", "inference"])
  bench_step.add_choices(parser, "--precisions", ["float32", "bfloat16"])
  bench_step.add_choices(parser, "--lengths", ["56", "128", "384"])
  bench_step.add_choices(parser, "--threads", ["1", "all"])
  parser.add_argument("--batch_size", type=int, default=32)
  parser.add_argument("--rounds", type=int, default=3)
  parser.add_argument(
    "--max_seconds",
    type=float,
    default=15,
    help="begin no round of a case later than this",
  )
  parser.add_argument("--json_out", help="write the table as JSON here")
  parser.add_argument("--serve", help=argparse.SUPPRESS)  # a contender
  args = parser.parse_args()
  if not args.serve and not has_transformers(args.transformers_python):
    parser.error(
      f"--transformers_python={args.transformers_python}: give a Python that"
      " has torch and transformers"
    )
  return args


def has_transformers(python):
  """Whether a Python runs and has both packages."""
  command = [python, "-c", "import torch, transformers"]
  try:
    return not subprocess.run(command, capture_output=True).returncode
  except OSError:
    return False


# ------------------------------------------------------------ a contender


def our_step(case):
  """A function that takes this project's step."""
  import tensorflow.compat.v1 as tf

  tf.logging.set_verbosity(tf.logging.ERROR)
  tf.disable_v2_behavior()
  tf.enable_resource_variables()
  return bench_step.make_step(tf, case)[0]


def their_step(case):
  """A function that takes the step of transformers."""
  import torch
  import transformers

  torch.set_num_threads(len(os.sched_getaffinity(0)))
  torch.manual_seed(1)
  sizes = bench_step.MODELS[case["model"]]
  config = transformers.BertConfig(
    **{**sizes, "hidden_act": "gelu"},  # their name of the exact form
    vocab_size=VOCAB_SIZE,
    attn_implementation="sdpa",
    num_labels=2,
  )
  model = transformers.BertForSequenceClassification(config)
  shape = [case["batch_size"], case["length"]]
  ids = torch.randint(0, VOCAB_SIZE, shape)
  batch = {
    "input_ids": ids,
    "attention_mask": torch.ones_like(ids),
    "token_type_ids": torch.zeros_like(ids),
  }
  is_bfloat16 = case["precision"] == "bfloat16"
  if case["mode"] == "inference":
    return _their_inference(torch, model, batch, is_bfloat16)
  labels = torch.zeros(shape[0], dtype=torch.int64)
  optimizer = torch.optim.AdamW(
    model.parameters(), lr=1e-4, weight_decay=0.01, fused=True
  )
  model.train()

  def step():
    with torch.autocast("cpu", torch.bfloat16, enabled=is_bfloat16):
      loss = model(**batch, labels=labels).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()

  return step


def _their_inference(torch, model, batch, is_bfloat16):
  model = model.eval().bert
  if is_bfloat16:
    model = model.to(torch.bfloat16)

  def infer():
    with torch.no_grad():
      model(**batch)

  return infer


CONTENDERS = {"ours": our_step, "theirs": their_step}


def serve(make_step):
  """Makes the step of each case in the input; takes it for each blank line."""
  step = None
  for line in sys.stdin:
    if line.strip():
      step = make_step(json.loads(line))
    begun = time.perf_counter()
    step()
    print(time.perf_counter() - begun, flush=True)


# -------------------------------------------------------------- the parent


class Contender:
  """A process that takes steps when it is told to."""

  def __init__(self, name, python, cores):
    self._name = name
    self._process = subprocess.Popen(
      [python, __file__, f"--serve={name}"],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
      preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )

  def step(self, case=""):
    """Takes a step, the first of a case if one is given; returns its seconds.

    Args:
      case: JSON.
    """
    try:
      self._process.stdin.write(case + "\n")
      self._process.stdin.flush()
    except BrokenPipeError:
      pass
    line = self._process.stdout.readline()
    if not line:
      sys.exit(f"{self._name}: ended with code {self._process.wait()}")
    return float(line)

  def close(self):
    self._process.stdin.close()
    self._process.wait()


def started(threads, args):
  """The contenders, on one core or on all of them."""
  cores = sorted(os.sched_getaffinity(0))
  if threads == 1:
    cores = cores[-1:]
  return {
    "ours": Contender("ours", sys.executable, cores),
    "theirs": Contender("theirs", args.transformers_python, cores),
  }


def measure(case, contenders, args):
  """The case with the median seconds of both, and their ratio."""
  for contender in contenders.values():
    contender.step(json.dumps(case))
  taken = {name: [] for name in contenders}
  begun = time.perf_counter()
  for i in range(args.rounds):
    if i >= MIN_ROUNDS and time.perf_counter() - begun > args.max_seconds:
      break
    for name, contender in contenders.items():
      taken[name].append(contender.step())
  medians = {name: statistics.median(found) for name, found in taken.items()}
  return {**case, **medians, "ratio": medians["theirs"] / medians["ours"]}


def cases(args, threads):
  """The cases in the order in which they run, each a dict."""
  return [
    {
      "model": MODEL,
      "mode": mode,
      "precision": precision,
      "length": int(length),
      "batch_size": args.batch_size,
      "threads": threads,
      "recompute_layers": False,
      "gradient_accumulation_steps": 1,
      "trainable": "all",
    }
    for mode in args.modes
    for precision in args.precisions
    for length in args.lengths
  ]


def main():
  args = parse_arguments()
  if args.serve:
    serve(CONTENDERS[args.serve])
    return
  form = "{:>7}{:>11}{:>11}{:>7}{:>9}{:>10}{:>15}"
  headings = "threads,mode,precision,length,ours s,theirs s,times as fast"
  print(form.format(*headings.split(",")), flush=True)
  rows = []
  for threads in (0 if name == "all" else int(name) for name in args.threads):
    contenders = started(threads, args)
    for case in cases(args, threads):
      row = measure(case, contenders, args)
      rows.append(row)
      shown = [row[name] for name in ("mode", "precision", "length")]
      times = [f"{row[name]:.3f}" for name in contenders]
      ratio = f"{row['ratio']:.2f}"
      print(form.format(threads or "all", *shown, *times, ratio), flush=True)
    for contender in contenders.values():
      contender.close()
  if args.json_out:
    text = json.dumps({"rows": rows}, indent=2) + "\n"
    pathlib.Path(args.json_out).write_text(text, "utf-8")


if __name__ == "__main__":
  main()
