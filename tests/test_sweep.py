# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Sweeps over a small script that only says how well it did."""

import os
import pathlib
import re
import shutil
import time
from xml.etree import ElementTree

import helpers
import pytest
from helpers import write

import sweep
from bert.training import sweep_runs, sweep_tables, sweeps

# Its accuracy is rate / 10 + seed / 100, its loss the opposite.
SCRIPT = """
from __future__ import annotations
import dataclasses
from bert.training import entry, flags

@dataclasses.dataclass(frozen=True)
class Options(flags.RunOptions):
  do_eval: bool = flags.flag(False, "Evaluate.")

if __name__ == "__main__":
  entry.parse(Options)

import json, os, pathlib, sys, time

options = entry.parse(Options)
folder = pathlib.Path(options.output_dir)
with open(folder / "starts.txt", "a") as writer:
  print(os.getpid(), file=writer)
print("noise", file=sys.stderr)
if options.learning_rate == 9:
  sys.exit("error: the loss became NaN")
if options.learning_rate == 8:
  sys.exit("error: no data")
if options.random_seed == 2 and pathlib.Path(__file__ + ".hold").exists():
  time.sleep(60)
for name in ("model.ckpt-1.index", "checkpoint"):
  (folder / name).write_text("")
accuracy = options.learning_rate / 10 + options.random_seed / 100
scores = {"loss": 1 - accuracy, "eval_accuracy": accuracy, "global_step": 7}
report = {"report": {"no": 1}, "name": "x"}
(folder / "eval_results.json").write_text(json.dumps({**scores, **report}))
"""
COMMAND = ("script.py", "--bert_config_file=c", "--do_eval")


@pytest.fixture(autouse=True)
def script(tmp_path, monkeypatch):
  write(tmp_path / "script.py", SCRIPT)
  monkeypatch.chdir(tmp_path)


def run(*flags, command=COMMAND):
  return helpers.run(sweep, "--output_dir=out", *flags, "--", *command)


def table(name):
  """The cells of a table in the output folder."""
  lines = pathlib.Path("out", name).read_text().splitlines()
  return [line.split("\t") for line in lines]


def starts(folder):
  """How often a run was started."""
  return len(pathlib.Path("out", folder, "starts.txt").read_text().split("\n"))


# ------------------------------------------------------------------- plan


def test_all_combinations_are_run_with_each_seed():
  grid = ["learning_rate=1e-5,2e-5", "train_batch_size=16,32"]
  plan = sweeps.plan(COMMAND, grid, 2, "out")
  assert [run.title for run in plan.runs[:3]] == [
    "learning_rate=1e-5 train_batch_size=16, seed 1",
    "learning_rate=1e-5 train_batch_size=16, seed 2",
    "learning_rate=1e-5 train_batch_size=32, seed 1",
  ]
  assert len(plan.runs) == 8
  assert plan.runs[7].words == (
    *COMMAND,
    "--learning_rate=2e-5",
    "--train_batch_size=32",
    "--random_seed=2",
    "--output_dir=out/learning_rate=2e-5+train_batch_size=32/seed_2",
  )
  assert plan.command == {
    "script": "script.py",
    "bert_config_file": "c",
    "do_eval": True,
  }
  assert not plan.shares_records


def test_folders_have_names_that_tensorflow_can_read():
  grid = ["init_checkpoint=a/b[1],a/b_1_"]
  folders = [run.folder for run in sweeps.plan(COMMAND, grid, 1, "out").runs]
  assert len(set(folders)) == 2
  for folder in folders:
    assert re.fullmatch(r"out/init_checkpoint=a_b_1_\+\w{8}/seed_1", folder)


def test_the_projects_scripts_are_found_from_any_folder():
  words = ("run_tagger.py", "--do_eval", "--vocab_file=v")
  plan = sweeps.plan((*words, "--bert_config_file=c"), (), 1, "out")
  assert plan.runs[0].words[0] == str(helpers.ROOT / "run_tagger.py")
  assert plan.shares_records


FIXED = "script.py: the sweep sets --"


@pytest.mark.parametrize(
  ("grid", "command", "sentence"),
  [
    ("rat=1", COMMAND, "script.py: Unknown command line flag 'rat'"),
    ("learning_rate=", COMMAND, "--grid learning_rate=: give a flag and its v"),
    ("learning_rate=1,", COMMAND, "--grid learning_rate=1,: give a flag and "),
    ("--learning_rate=1", COMMAND, "--grid --learning_rate=1: give a flag and"),
    ("learning_rate=a", COMMAND, "script.py: flag --learning_rate=a: could no"),
    ("learning_rate=1,1.0", COMMAND, "--grid has one setting twice: learning_"),
    ("output_dir=a", COMMAND, "--grid output_dir: the sweep sets --output_dir"),
    (
      "learning_rate=1",
      (*COMMAND, "--learning_rate=2"),
      "--learning_rate is in the grid and in script.py's command",
    ),
    (None, (*COMMAND, "--output_dir=a"), FIXED + "output_dir itself: it names"),
    (
      None,
      (*COMMAND, "--random_seed=7"),
      FIXED + "random_seed itself: give --",
    ),
    (None, (*COMMAND, "word"), "script.py: stray words on its command line: w"),
    (None, COMMAND[:2], "script.py: without --do_eval there are no scores"),
    (None, ("script.py",), "script.py: flag --bert_config_file=None: Flag --b"),
    (
      None,
      (),
      "no script to run: give one, as in python sweep.py --output_dir",
    ),
    (
      None,
      ("nowhere.py",),
      "there is no script nowhere.py: give a run_ script",
    ),
    (None, ("modeling.py",), "modeling.py does not declare its flags as the s"),
    (None, ("predict.py",), "predict.py has no --output_dir and --random_seed"),
  ],
)
def test_mistakes_are_seen_before_anything_runs(grid, command, sentence):
  flags = [f"--grid={grid}"] if grid else []
  done = run(*flags, command=command)
  assert done.returncode == 1
  start, *rest = done.stderr.splitlines()
  assert sentence in start and not rest
  assert not os.path.exists("out")


def test_a_flag_comes_once_in_the_grid():
  done = run("--grid=learning_rate=1", "--grid=learning_rate=2")
  assert done.stderr == (
    "error: --grid learning_rate comes twice: list all values in one\n"
  )


def test_a_wrong_grid_needs_no_tensorflow(tmp_path):
  write(tmp_path / "tensorflow.py", "raise SystemExit('it was imported')")
  done = helpers.run_process(
    *("sweep.py", "--output_dir=out", "--grid", "rat=1", "--", *COMMAND),
    env={**os.environ, "PYTHONPATH": str(tmp_path)},
  )
  assert done.returncode == 1
  assert done.stderr.startswith("error: script.py: Unknown command line flag")


# ------------------------------------------------------------------ tables


def test_runs_become_tables_and_failures_are_rows():
  done = run("--grid=learning_rate=1,9,3,8", "--seeds=2", "--jobs=2")
  assert done.returncode == 1
  assert done.stderr.splitlines()[-1] == (
    "error: 2 of 8 runs failed, the first with: no data (after mending this,"
    " add --retry_failed)"
  )
  heading, *rows = table("results.tsv")
  assert heading == [
    *("learning_rate", "random_seed", "status", "seconds"),
    *("loss", "eval_accuracy", "global_step", "folder", "message"),
  ]
  assert [row[:3] for row in rows] == [
    ["1", "1", "done"],
    ["1", "2", "done"],
    ["9", "1", "diverged"],
    ["9", "2", "diverged"],
    ["3", "1", "done"],
    ["3", "2", "done"],
    ["8", "1", "failed"],
    ["8", "2", "failed"],
  ]
  assert rows[1][5:] == [
    "0.12000000000000001",
    "7",
    "learning_rate=1/seed_2",
    "",
  ]
  assert rows[3][5:] == [
    "",
    "",
    "learning_rate=9/seed_2",
    "the loss became NaN",
  ]
  # 0.31 and 0.32: mean 0.315, deviation 0.01 / sqrt(2).
  assert table("summary.tsv") == [
    [
      "learning_rate",
      *(f"eval_accuracy {x}" for x in ("mean", "deviation", "min", "max")),
      *("runs", "failed"),
    ],
    ["3", "0.315", "0.00707107", "0.31", "0.32", "2", "0"],
    ["1", "0.115", "0.00707107", "0.11", "0.12", "2", "0"],
    ["9", "", "", "", "", "0", "2"],
    ["8", "", "", "", "", "0", "2"],
  ]
  best = (
    "python script.py --bert_config_file=c --do_eval --learning_rate=3"
    " --random_seed=2 --output_dir=out/learning_rate=3/seed_2"
  )
  assert done.stdout == best + "\n"
  page = pathlib.Path("out/summary.md").read_text()
  assert "| 3 | 0.315 | 0.007071 | 0.31 | 0.32 | 2 | 0 |" in page
  assert best in page
  cores = len(os.sched_getaffinity(0))
  assert f"2 runs at once, each with {max(cores // 2, 1)} of {cores}" in (
    done.stderr
  )
  assert (
    "best setting, with the highest eval_accuracy: learning_rate=3: 0.315"
    in (done.stderr)
  )
  log = pathlib.Path("out/learning_rate=8/seed_1/log.txt").read_text()
  assert log == "noise\nerror: no data\n"


def test_runs_at_once_share_the_cores(monkeypatch):
  monkeypatch.setattr(sweep_runs, "num_cores", lambda: 8)
  monkeypatch.delenv("OMP_NUM_THREADS")
  monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "5")  # the user's own
  environment = sweep_runs.child_environment(3)
  assert environment["OMP_NUM_THREADS"] == "2"
  assert environment["TF_NUM_INTRAOP_THREADS"] == "5"
  assert "OMP_NUM_THREADS" not in sweep_runs.child_environment(1)


def test_a_setting_with_a_failed_run_comes_after_those_without():
  results = [
    sweeps.Result("done", 1.0, {"eval_accuracy": value}) if value else
    sweeps.Result("failed", 1.0, {}, "why")
    for value in (0.9, None, 0.7, 0.8)
  ]  # fmt: skip
  plan = sweeps.plan(COMMAND, ["learning_rate=1,2"], 2, "out")
  os.mkdir("out")
  state = sweeps.State("out", plan)
  for run, result in zip(plan.runs, results):
    os.makedirs(run.folder)
    state.keep(run, result)
  rows = sweep_tables.summarise(plan, state, "eval_accuracy")
  assert [row.setting[0][1] for row in rows] == ["2", "1"]
  assert [row.mean for row in rows] == [0.75, 0.9]
  assert rows[1].deviation is None and rows[1].failed == 1
  assert rows[0].best_run() == plan.runs[3]
  # The scores are 0.7, 0.8 and 0.9, so the dots are as far apart.
  tree = ElementTree.fromstring(sweep_tables.plot(rows))
  texts = [each.text for each in tree.iter() if each.tag.endswith("}text")]
  assert "eval_accuracy: dots are runs, bars their mean" in texts
  assert {"learning_rate=2", "learning_rate=1 (1 failed)"} <= set(texts)
  uses = [each.attrib for each in tree.iter() if each.tag.endswith("}use")]
  dots = [each for each in uses if "fill-opacity" in each.get("style", "")]
  xs = sorted(float(each["x"]) for each in dots)
  assert len(xs) == 3
  assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.01)


@pytest.mark.parametrize(
  ("script", "score"),
  [
    ("run_classifier.py", "eval_accuracy"),
    ("run_classifier.py", "eval_mm_accuracy"),
    ("run_tagger.py", "eval_dev_token_f1"),
    ("run_squad.py", "eval_HasAns_exact_match"),
    ("run_ranker.py", "mrr"),
    ("run_pretraining.py", "masked_lm_accuracy"),
    ("script.py", "anything"),
    ("run_ranker.py", None),
  ],
)
def test_scores_that_a_script_may_have_are_taken(script, score):
  sweeps.check_score(score, script)


def test_a_score_that_no_task_of_a_script_has_is_refused_at_once():
  with pytest.raises(ValueError) as error:
    sweeps.check_score("acuracy", "run_ranker.py")
  assert str(error.value) == (
    "--score=acuracy is not a score of run_ranker.py: give one of recall_at_1,"
    " recall_at_2, recall_at_5, recall_at_10, mrr, map, ndcg, pearson, spearman"
  )
  command = ("run_ranker.py", "--bert_config_file=c", "--vocab_file=v")
  command += ("--data_dir=d", "--do_eval")
  done = run("--grid=learning_rate=1,3", "--score=acuracy", command=command)
  assert done.stderr.startswith("error: --score=acuracy is not a score of run_")
  assert not os.path.exists("out")


def test_a_loss_is_sorted_with_the_lowest_first():
  done = run("--grid=learning_rate=1,3", "--score=loss")
  assert "best setting, with the lowest loss: learning_rate=3" in done.stderr
  assert [row[0] for row in table("summary.tsv")[1:]] == ["3", "1"]
  # Another start may sort by another score; nothing is run again.
  done = run("--grid=learning_rate=1,3", "--score=f1")
  assert done.returncode == 1
  assert done.stderr.splitlines()[-1] == (
    "error: --score=f1 is not a score of this script: give one of loss,"
    " eval_accuracy"
  )
  assert starts("learning_rate=1/seed_1") == 2


def test_checkpoints_of_the_best_setting_stay():
  run("--grid=learning_rate=1,3,2", "--seeds=2")
  kept = sorted(pathlib.Path("out").glob("*/*/model.ckpt-1.index"))
  assert [str(path.parent) for path in kept] == [
    "out/learning_rate=3/seed_1",
    "out/learning_rate=3/seed_2",
  ]
  assert len([*pathlib.Path("out").glob("*/*/eval_results.json")]) == 6
  assert not os.path.exists("out/learning_rate=1/seed_1/checkpoint")


@pytest.mark.parametrize(("keep", "count"), [("all", 2), ("none", 0)])
def test_all_checkpoints_or_none_stay(keep, count):
  run("--grid=learning_rate=1,3", f"--keep={keep}")
  assert len([*pathlib.Path("out").glob("*/*/model.ckpt-1.index")]) == count


def test_runs_that_diverge_are_no_error_unless_all_do():
  assert run("--grid=learning_rate=1,9").returncode == 0
  done = run("--grid=learning_rate=9")
  assert done.returncode == 1
  assert done.stderr.splitlines()[-1] == (
    "error: all 1 runs diverged, the first with: the loss became NaN"
  )


def test_failed_runs_are_run_again_when_asked():
  done = run("--grid=learning_rate=8,9")
  assert done.returncode == 1
  assert "error: 1 of 2 runs failed, the first with: no data" in done.stderr
  assert [row[2] for row in table("results.tsv")[1:]] == ["failed", "diverged"]
  assert starts("learning_rate=8/seed_1") == 2
  run("--grid=learning_rate=8,9")
  assert starts("learning_rate=8/seed_1") == 2
  run("--grid=learning_rate=8,9", "--retry_failed")
  assert starts("learning_rate=8/seed_1") == 3


# ------------------------------------------------------------------ go on


def test_a_larger_grid_runs_only_what_is_new():
  run("--grid=learning_rate=1,3")
  done = run("--grid=learning_rate=1,4,3", "--seeds=2")
  assert "runs: 6 (settings: 3, seeds: 2), 2 of them done before" in done.stderr
  assert "[3 of 6] learning_rate=1, seed 2: eval_accuracy 0.12" in done.stderr
  assert starts("learning_rate=1/seed_1") == 2
  assert table("summary.tsv")[1][:2] == ["4", "0.415"]
  shutil.rmtree("out/learning_rate=3/seed_2")
  done = run("--grid=learning_rate=1,4,3", "--seeds=2")
  assert "[6 of 6] learning_rate=3, seed 2: eval_accuracy 0.32" in done.stderr


def test_another_command_in_the_folder_is_refused():
  run("--grid=learning_rate=1")
  before = pathlib.Path("out/sweep.json").read_bytes()
  done = run(
    "--grid=learning_rate=1", command=(*COMMAND, "--max_seq_length=64")
  )
  assert done.returncode == 1
  assert done.stderr == (
    "error: out holds a sweep of another command: --max_seq_length was not"
    " given and is now 64: give the same command, or another --output_dir\n"
  )
  assert pathlib.Path("out/sweep.json").read_bytes() == before
  same = ("script.py", "--do_eval=true", "--bert_config_file=c")
  assert run("--grid=learning_rate=1", command=same).returncode == 0


def start_of(run):
  """Waits until a run has started, and returns its process."""
  path, latest = pathlib.Path(run, "starts.txt"), time.monotonic() + 120
  while not path.exists() or not path.read_text().endswith("\n"):
    assert time.monotonic() < latest
    time.sleep(0.05)
  return int(path.read_text().split()[-1])


def wait_for_end(process):
  latest = time.monotonic() + 30
  while os.path.exists(f"/proc/{process}"):
    assert time.monotonic() < latest
    time.sleep(0.05)


def test_a_sweep_that_was_killed_goes_on(tmp_path):
  hold = write("script.py.hold", "")
  words = (
    *(f"--output_dir={tmp_path}/out", "--grid=learning_rate=1,3", "--seeds=2"),
    *("--", f"{tmp_path}/script.py", *COMMAND[1:]),
  )
  process = helpers.start_process("sweep.py", *words)
  child = start_of("out/learning_rate=1/seed_2")
  process.kill()
  process.communicate()
  wait_for_end(child)
  os.remove(hold)
  done = helpers.run(sweep, *words)
  assert done.returncode == 0
  assert "(settings: 2, seeds: 2), 1 of them done before" in done.stderr
  assert starts("learning_rate=1/seed_1") == 2
  assert starts("learning_rate=1/seed_2") == 3
  assert [row[1] for row in table("summary.tsv")[1:]] == ["0.315", "0.115"]


def test_runs_end_when_the_sweep_is_interrupted():
  write("script.py.hold", "")
  plan = sweeps.plan(COMMAND, (), 3, "out")
  results = sweep_runs.results_of(plan.runs, 2, None)
  assert next(results)[0].seed == 1  # seed 2 waits
  child = start_of("out/no_grid/seed_2")
  results.close()
  with pytest.raises(ProcessLookupError):
    os.kill(child, 0)
  assert not os.path.exists("out/no_grid/seed_3")
