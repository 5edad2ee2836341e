# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The commands of the README and of docs/ that use the project's own data.

Each page's fenced `sh` blocks that name such data run in their order, in a
folder of their own, behind the steps of `make quickstart` with less training. A
plain `python script.py` runs in this process; anything else runs in a shell, as
it stands.
"""

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from helpers import ROOT, run

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SLOW = pytest.mark.slow
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


RELEASED = "uncased_L-12"  # a checkpoint to download
OUR_DATA = ("sample_data/", "sample_text.txt", "quickstart_output/")
# What the quick start trains less here.
SHORTER = {
  "run_pretraining.py": ("--num_train_steps=20", "--num_warmup_steps=2"),
  "run_classifier.py": ("--num_train_epochs=1",),
}


def blocks(page):
  """The page's blocks of commands on the project's data."""
  found = re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
  return [
    block
    for block in found
    if any(name in block for name in OUR_DATA) and RELEASED not in block
  ]


def commands(block):
  """The commands of a block; one that goes on with \\ or | is one."""
  joined = re.sub(r"\\\n\s*", " ", block)
  joined = re.sub(r"\|\n\s*", "| ", joined)
  return [line for line in joined.split("\n") if line.strip()]


def run_command(command, folder):
  """Runs a command and returns (exit status, what it printed)."""
  words = shlex.split(command)
  is_plain = words[0] == "python" and not re.search(r"[|<>&;$*]", command)
  if is_plain and words[1].endswith(".py"):
    script = importlib.import_module(words[1].removesuffix(".py"))
    done = run(script, *words[2:])
  elif is_plain and words[1] == "-m":
    done = run(importlib.import_module(words[2]), *words[3:])
  else:
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    done = subprocess.run(
      ["bash", "-c", "set -euo pipefail\n" + command],
      capture_output=True,
      text=True,
      cwd=folder,
      env={**os.environ, "PATH": path},
    )
  return done.returncode, done.stdout + done.stderr


def enter(folder, monkeypatch):
  """Works in a folder that sees the project's files and keeps its own."""
  for path in ROOT.iterdir():
    if not path.name.startswith(".") and "output" not in path.name:
      (folder / path.name).symlink_to(path)
  monkeypatch.chdir(folder)


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
  """The folder quickstart_output, made by the Makefile's own commands."""
  folder = tmp_path_factory.mktemp("quickstart")
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
        status, printed = run_command(command, folder)
        assert status == 0, printed
  return folder / "quickstart_output"


@SLOW
@pytest.mark.parametrize(
  "page", [p for p in PAGES if blocks(p)], ids=lambda page: page.name
)
def test_the_pages_commands_run_as_they_stand(
  page, tmp_path, monkeypatch, quickstart
):
  enter(tmp_path, monkeypatch)
  shutil.copytree(quickstart, tmp_path / "quickstart_output")
  for block in blocks(page):
    if "make quickstart" in block:
      continue
    for command in commands(block):
      status, printed = run_command(command, tmp_path)
      assert status == 0, f"{command}\n{printed}"


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
