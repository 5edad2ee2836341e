# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The commands of the README and of docs/ that use the project's own data.

The commands of all pages run in one folder, behind the steps of `make
quickstart` with less training. A command that stands on two pages runs once.
tests/test_examples.py runs those of docs/adding-a-task.md.
"""

import re
import subprocess

import pytest
from helpers import ROOT
from pages import blocks, commands, enter, run_command

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SLOW = pytest.mark.slow
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
# What the quick start trains less here.
SHORTER = {
  "run_pretraining.py": (
    *("--num_train_steps=10", "--num_warmup_steps=2"),
    "--max_eval_steps=10",
  ),
  "run_classifier.py": ("--num_train_epochs=1",),
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
  """A folder with quickstart_output, made by the Makefile's own commands."""
  folder = tmp_path_factory.mktemp("pages")
  with pytest.MonkeyPatch.context() as monkeypatch:
    enter(folder, monkeypatch)
    dry = subprocess.run(
      ["make", "--no-print-directory", "-n", "quickstart", "PYTHON=python"],
      capture_output=True,
      text=True,
      check=True,
    )
    for line in dry.stdout.splitlines():
      if line.startswith(("mkdir ", "cut -f 2 sample_data/train")):
        subprocess.run(["bash", "-c", line], check=True)
      elif re.match(r"python \w+\.py ", line):  # not what installs packages
        script = line.split()[1]
        command = " ".join([line, *SHORTER.get(script, ())])
        status, printed = run_command(command)
        assert status == 0, printed
  return folder


@pytest.fixture(scope="module")
def finished():
  """The commands that have run in `workplace`."""
  return set()


@SLOW
@pytest.mark.xdist_group("docs")
@pytest.mark.parametrize(
  "page",
  [p for p in PAGES if blocks(p) and p.name != "adding-a-task.md"],
  ids=lambda page: page.name,
)
def test_the_pages_commands_run_as_they_stand(
  page, monkeypatch, workplace, finished
):
  monkeypatch.chdir(workplace)
  for block in blocks(page):
    if "make quickstart" in block:
      continue
    for command in commands(block):
      if command in finished:
        continue
      status, printed = run_command(command)
      assert status == 0, f"{command}\n{printed}"
      finished.add(command)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
  broken = [
    link
    for link in LINK.findall(page.read_text())
    if "://" not in link and not (page.parent / link).exists()
  ]
  assert not broken


def test_the_readme_is_short_and_names_every_page():
  readme = PAGES[0].read_text()
  assert readme.count("\n") <= 250
  for page in PAGES[1:]:
    assert f"docs/{page.name}" in readme
