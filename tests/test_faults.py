# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The campaign finds faults that are planted, and counts them."""

import random

import pytest
from helpers import ROOT

from faults import campaign, jobs, kills, mutations, processes, promises, report
from faults.processes import Ended
from faults.workplace import Case, Workplace

CORE = {"modeling.py", "optimization.py", "tokenization.py"}
JOB = jobs.Job("make.py", "", {"in/text.txt": "=questions"}, ("out/*",), 1)
# Writes its output in place and slowly, and fails if the last line has no "?".
CARELESS = """
import os, time
text = open("in/text.txt").read()
assert text.endswith("?\\n")
if not os.path.exists("out/text.txt"):
  with open("out/text.txt", "w") as writer:
    for letter in text:
      writer.write(letter)
      writer.flush()
      time.sleep(0.05)
"""

EXPECTED = {
  "in/text.txt array": "status 1, AssertionError",
  "in/text.txt missing": "status 1, FileNotFoundError: [Errno 2] No such file"
  " or directory: 'in/text.txt'",
}


def case(job, kind, name, seconds=10):
  return Case(job, kind, name, seconds, lambda work: "")


def ended(status, stderr):
  return Ended(status, b"", stderr, 1.0)


def test_each_script_has_a_job():
  scripts = {path.name for path in ROOT.glob("*.py")} - CORE
  assert {job.script for job in jobs.JOBS} == scripts


# ----------------------------------------------------------------- choosing


def test_a_part_is_even_and_always_the_same():
  cases = [
    case(job, kind, str(number))
    for job in jobs.JOBS[:4]
    for kind in ("kill", "damaged file")
    for number in range(30)
  ]
  chosen = campaign.choose(cases, 200, seed=1)
  assert chosen == campaign.choose(cases, 200, seed=1)
  assert chosen != campaign.choose(cases, 200, seed=2)
  assert sum(c.seconds for c in chosen) == 200 * campaign.AT_ONCE
  for job in jobs.JOBS[:4]:
    for kind in ("kill", "damaged file"):
      assert sum(c.job is job and c.kind == kind for c in chosen) == 5


def test_all_cases_are_chosen_if_there_is_time():
  cases = [case(JOB, "kill", str(number)) for number in range(10)]
  chosen = campaign.choose(cases, 50, seed=1)
  assert sorted(chosen, key=cases.index) == cases


def test_kills_are_at_moments_that_the_seed_draws():
  names = [c.name for c in kills.cases(JOB, 1)]
  assert names == [c.name for c in kills.cases(JOB, 1)]
  assert names != [c.name for c in kills.cases(JOB, 2)]
  assert sum(c.kind == "kill" for c in kills.cases(JOB, 1)) == kills.KILLS


# ------------------------------------------------------------------ damages


def test_the_damages_of_a_file_fit_what_it_holds():
  any_file = set(mutations.ANY_FILE)
  text = any_file | set(mutations.TEXT_FILE)
  assert set(mutations.damages_for(b"\xff\x00\x80")) == any_file
  assert set(mutations.damages_for(b"one\ntwo\n")) == text
  assert set(mutations.damages_for(b'{"a": 1}')) == text | set(
    mutations.JSON_FILE
  )
  assert mutations.flipped not in mutations.damages_for(b"")


@pytest.mark.parametrize("damage", mutations.damages_for(b'{"a": 1}\n'))
def test_a_damaged_file_is_another_one(damage):
  data = b'{"a": 7}\n'
  assert damage(data, random.Random(1)) != data


def test_of_several_checkpoints_the_newest_is_damaged(tmp_path):
  for name in ("model.ckpt-4.index", "model.ckpt-12.index", "events.out.1"):
    (tmp_path / "in" / "model").mkdir(parents=True, exist_ok=True)
    (tmp_path / "in" / "model" / name).touch()
  assert mutations.read_files(tmp_path) == ["in/model/model.ckpt-12.index"]


def test_another_checkpoint_may_be_used_if_a_line_says_so():
  name, line = (
    "in/model.ckpt-12.index",
    "checkpoint in/model.ckpt-12 is damaged",
  )
  assert mutations.is_announced(name, f"reading\n{line}; the newest is 9\n")
  assert not mutations.is_announced(name, line.replace("12", "4"))
  assert not mutations.is_announced(name, "weights: in/model.ckpt-12\n")


# ----------------------------------------------------------------- promises


@pytest.mark.parametrize(
  ("status", "stderr", "broken"),
  [
    (1, "reading\nerror: a.txt is empty\n", ""),
    (1, "FATAL Flags parsing error:\n  flag --x\nPass --help\n", ""),
    (3, "error: a.txt is empty\n", "status 3, error: a.txt is empty"),
    (1, "reading\n", "status 1, 0 sentences, reading"),
    (1, "error: a\nerror: b\n", "status 1, 2 sentences, error: b"),
    (1, "error: a\nmore\n", "goes on after the error: more"),
    (1, "Traceback (most\nKeyError: 1\n", "status 1, KeyError: 1"),
    (-6, "", "ended by signal 6"),
    (None, "", "did not end within 1 s"),
  ],
)
def test_one_sentence_is_what_a_script_may_say(status, stderr, broken):
  assert promises.one_sentence(ended(status, stderr)) == broken


def test_outputs_are_compared_with_those_of_an_undisturbed_run():
  before = {"out/a": "1", "out/model.ckpt-4.index": "2", "in/x": "3"}
  assert not promises.differs(JOB, dict(before), before)
  other = {**before, "out/a": "9"}
  assert promises.differs(JOB, other, before).startswith("out/a differs")
  assert promises.differs(JOB, {}, before) == "out/a is missing"


def test_what_an_undisturbed_run_does_not_leave_is_named():
  before = {
    "out/a": "1",
    "out/model.ckpt-4.index": "2",
    "out/events.out.1": "3",
  }
  kept = {"out/a": "1", "out/model.ckpt-2.index": "2", "out/events.out.7": "3"}
  assert not promises.left_over(kept, before)
  left = {**kept, "out/a.partial": "4"}
  assert promises.left_over(left, before) == "left out/a.partial"


def test_the_table_counts_and_shows_the_first_broken_case():
  results = [
    report.Result(case(JOB, "kill", "one"), ""),
    report.Result(case(JOB, "kill", "two"), "left out/a.partial"),
    report.Result(case(JOB, "kill", "three"), "left out/b.partial"),
  ]
  lines = report.table(results).split("\n")
  assert lines[2].split() == ["make", "kill", "3", "1", "2"]
  assert lines[3].split() == ["all", "3", "1", "2"]
  assert lines[5] == "BROKEN make, kill: two: left out/a.partial"
  assert not any("three" in line for line in lines)


# ------------------------------------------------------------ planted faults


@pytest.mark.slow
def test_planted_faults_are_found(tmp_path):
  script = tmp_path / "make.py"
  script.write_text(CARELESS)
  job = jobs.dataclasses.replace(JOB, script=str(script))
  server = processes.Server()
  try:
    finished = tmp_path / "finished"
    work = Workplace(server, tmp_path / "cases", finished, {})
    work.prepare(job)
    work.undisturbed["make"] = work.undisturbed["make"]._replace(seconds=2)
    (killed, *_) = [c for c in kills.cases(job, 1) if "36%" in c.name]
    assert killed.check(work).startswith("out/text.txt differs")
    damaged = mutations.cases(job, finished, seed=1)
    found = {c.name: c.check(work) for c in damaged if c.name in EXPECTED}
  finally:
    server.close()
  assert found == EXPECTED
