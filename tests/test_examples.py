# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The task that docs/adding-a-task.md builds: trained, used and exported.

The page's commands run as they stand.
"""

import json
import re

import pytest
from helpers import ROOT, run
from pages import blocks, commands, enter, run_command

import export_model
import predict
from bert.tasks import task as tasks
from examples import relations

DATA = ROOT / "sample_data"
TASK_FILE = f"--task_file={ROOT / 'examples' / 'relations.py'}"
PAGE = ROOT / "docs" / "adding-a-task.md"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """The output folder of the page's commands."""
  folder = tmp_path_factory.mktemp("relations")
  with pytest.MonkeyPatch.context() as monkeypatch:
    enter(folder, monkeypatch)
    for block in blocks(PAGE):
      for command in commands(block):
        status, printed = run_command(command)
        assert status == 0, f"{command}\n{printed}"
  return folder / "relations_output"


@pytest.mark.slow
@pytest.mark.xdist_group("examples")
def test_it_learns_and_predict_agrees_with_the_script(trained):
  scores = json.loads((trained / "eval_results.json").read_text())
  assert scores["eval_accuracy"] >= 0.95
  rows = (DATA / "relations" / "dev.jsonl").read_text()
  flags = f"--model_dir={trained}", TASK_FILE
  done = run(predict, *flags, stdin=rows)
  answers = [json.loads(line) for line in done.stdout.splitlines()]
  labels = [json.loads(line)["label"] for line in rows.splitlines()]
  right = sum(a["label"] == label for a, label in zip(answers, labels))
  assert right / len(labels) == pytest.approx(scores["eval_accuracy"])


@pytest.mark.slow
@pytest.mark.xdist_group("examples")
def test_it_is_exported_and_the_export_agrees(trained, tmp_path):
  flags = f"--model_dir={trained}", f"--export_dir={tmp_path}", TASK_FILE
  rows = f"--check_file={DATA / 'relations' / 'test.jsonl'}"
  done = run(export_model, *flags, "--check", rows)
  assert done.returncode == 0, done.stderr
  assert "check: 40 examples through signature ids" in done.stderr


@pytest.mark.slow
@pytest.mark.xdist_group("examples")
def test_without_its_file_the_task_is_not_known(trained):
  done = run(predict, f"--model_dir={trained}")
  assert done.returncode == 1
  assert "'relations', which is not one of" in done.stderr
  assert "--task_file" in done.stderr and done.stderr.count("\n") == 1


def test_entities_are_found_by_their_marks():
  assert relations.find_entities("<2>Ann</2> met <1>Bo</1>.") == (
    "Ann met Bo.",
    [8, 0],
  )
  for text in ("Ann met Bo.", "<1>Ann</1>", "<1>Ann <2>met</1> Bo</2>"):
    with pytest.raises(ValueError, match="has to mark two entities"):
      relations.find_entities(text)


def test_the_pages_code_is_that_of_the_examples():
  sources = [
    (ROOT / "examples" / name).read_text()
    for name in ("relations.py", "run_relations.py")
  ]
  pieces = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
  assert len(pieces) >= 6
  for piece in pieces:
    assert any(piece in source for source in sources), piece


def test_a_task_file_has_to_define_a_task(tmp_path):
  path = tmp_path / "empty.py"
  path.write_text("x = 1\n")
  with pytest.raises(ValueError, match="defines no subclass of Task"):
    tasks.load_task_file(str(path))
