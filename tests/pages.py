# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Finds and runs the commands of the README and of docs/.

In: a page. Out: its commands that use the project's own data, run as they
stand. A plain `python script.py`, also behind a pipe, runs in this process;
anything else runs in a shell.
"""

import importlib
import os
import re
import shlex
import subprocess
import sys

from helpers import ROOT, run

RELEASED = "uncased_L-12"  # a checkpoint to download
OUR_DATA = ("sample_data/", "sample_text.txt", "quickstart_output/")
_PYTHON = re.compile(
  r"(?:(?P<before>[^|]*)\|\s*)?(?P<python>python [^|<>&;$*]*)"
)


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


def run_command(command):
  """Runs a command and returns (exit status, what it printed)."""
  parts = _PYTHON.fullmatch(command)
  if not parts:
    done = _shell(command)
  else:
    stdin = _shell(parts["before"]).stdout if parts["before"] else ""
    _, *words = shlex.split(parts["python"])
    if words[0] == "-m":
      words = words[1:]
    if words[0] == "serve.py":
      words.append("--check")  # ends once it could serve
    script = importlib.import_module(words[0].removesuffix(".py"))
    done = run(script, *words[1:], stdin=stdin)
  return done.returncode, done.stdout + done.stderr


def _shell(command):
  path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
  return subprocess.run(
    ["bash", "-c", "set -euo pipefail\n" + command],
    capture_output=True,
    text=True,
    env={**os.environ, "PATH": path},
  )


def enter(folder, monkeypatch):
  """Works in a folder that sees the project's files and keeps its own."""
  for path in ROOT.iterdir():
    if not path.name.startswith(".") and "output" not in path.name:
      (folder / path.name).symlink_to(path)
  monkeypatch.chdir(folder)
