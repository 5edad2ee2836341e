# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Measures how long a script takes to start, against `import tensorflow`.

In: nothing but the repository. Out: a table, and JSON with --json_out. For
every script: the time of --help, of a wrong flag, and to its first line, which
is a line of its log where the sample data are enough to begin, and otherwise
the error that a file is missing. Each is measured in alternation with `import
tensorflow`, as wall time and as CPU time of all threads; medians of --rounds.

  python benchmarks/bench_start.py
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
TENSORFLOW = ["-c", "import sys, tensorflow; print(1, file=sys.stderr)"]
MODEL = "--bert_config_file=sample_data/bert_config.json"
TEXT = f"--vocab_file=sample_data/vocab.txt {MODEL} --output_dir=OUT"
FLAGS = {  # OUT is a folder that is removed again, NONE a missing path
  "convert_checkpoint": "--input=NONE --output=OUT",
  "create_pretraining_data": "--input_file=sample_text.txt"
  " --vocab_file=sample_data/vocab.txt --output_file=OUT/records",
  "create_vocab": "--input_file=sample_text.txt --output_file=OUT/vocab.txt",
  "export_model": "--model_dir=NONE --export_dir=OUT",
  "extract_features": "--vocab_file=sample_data/vocab.txt --input_file=NONE"
  f" {MODEL} --init_checkpoint=NONE --output_file=OUT/vectors",
  "predict": "--model_dir=NONE",
  "run_classifier": f"{TEXT} --do_train --task_name=custom"
  " --data_dir=sample_data",
  "run_pretraining": f"{MODEL} --output_dir=OUT --do_train --input_file=NONE",
  "run_ranker": f"{TEXT} --do_train --data_dir=sample_data/ranking",
  "run_squad": f"{TEXT} --do_train --train_file=sample_data/squad-v1.1.json",
  "run_tagger": f"{TEXT} --do_train --train_file=sample_data/ner/train.txt",
  "search_responses": "--model_dir=NONE --response_file=NONE",
  "serve": "--model_dir=NONE --port=0",
}
CASES = ("--help", "a wrong flag", "first line")
HEADER = "{:24}" + "{:>26}" * len(CASES)
FORM = "{:24}" + "{:>10}{:>8}{:>8}" * len(CASES)


def parse_arguments():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--scripts", default=",".join(FLAGS))
  parser.add_argument("--rounds", type=int, default=5)
  parser.add_argument("--json_out", help="write the table as JSON here")
  return parser.parse_args()


def measured(arguments):
  """Returns the seconds, wall and CPU, to a process's first line or end."""
  begun = time.monotonic()
  process = subprocess.Popen(
    [sys.executable, *arguments],
    cwd=ROOT,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
  )
  process.stderr.readline()
  seconds = time.monotonic() - begun
  # The times of a process that has ended stay until it is waited for.
  stat = pathlib.Path(f"/proc/{process.pid}/stat").read_text("utf-8")
  ticks = stat.rpartition(")")[2].split()[11:13]
  process.kill()
  process.communicate()
  return seconds, sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def measure(script, rounds):
  """Returns {case: {wall, cpu, and those of `import tensorflow`}}."""
  with tempfile.TemporaryDirectory() as folder:
    flags = FLAGS[script].replace("OUT", folder).replace("NONE", "nowhere")
    cases = dict(zip(CASES, (["--help"], ["--nonsense"], flags.split())))
    times = {case: [] for case in (*CASES, "tensorflow")}
    for _ in range(rounds):
      times["tensorflow"].append(measured(TENSORFLOW))
      for case, arguments in cases.items():
        times[case].append(measured([f"{script}.py", *arguments]))
  return {
    case: dict(zip(("wall", "cpu"), map(statistics.median, zip(*found))))
    for case, found in times.items()
  }


def main():
  args = parse_arguments()
  print(HEADER.format("", *CASES))
  columns = ("wall", "cpu", "ratio") * len(CASES)
  print(FORM.format("seconds", *columns))
  rows = {}
  for script in args.scripts.split(","):
    rows[script] = row = measure(script, args.rounds)
    cells = []
    for case in CASES:
      ratio = row[case]["cpu"] / row["tensorflow"]["cpu"]
      cells += [row[case]["wall"], row[case]["cpu"], ratio]
    print(FORM.format(script, *(f"{cell:.2f}" for cell in cells)), flush=True)
  alone = [row["tensorflow"] for row in rows.values()]
  medians = {n: statistics.median(t[n] for t in alone) for n in alone[0]}
  print(
    "ratio: CPU time over that of `import tensorflow`, which takes"
    " {wall:.2f} s and {cpu:.2f} s of CPU".format(**medians)
  )
  if args.json_out:
    text = json.dumps({**vars(args), "rows": rows}, indent=2) + "\n"
    pathlib.Path(args.json_out).write_text(text, "utf-8")


if __name__ == "__main__":
  main()
