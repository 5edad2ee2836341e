# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""What a script promises, as checks of a folder and of what was printed.

In: how a run ended, and its folder beside that of an undisturbed run. Out: what
is broken, a clause; "" if the promise was kept.
"""

from __future__ import annotations

import fnmatch
import hashlib
import pathlib
import re

from faults.jobs import Job
from faults.processes import Ended

# Events hold times, and runs that were disturbed save checkpoints at other
# steps: their names are compared without numbers.
_NUMBERS = (
  (re.compile(r"(^|/)events\.out\..*"), r"\1events"),
  (re.compile(r"model\.ckpt-\d+"), "model.ckpt-N"),
  (re.compile(r"^out/\d+/"), "out/N/"),  # versions of an export
)
_CHECKPOINT = re.compile(r"^(.*model\.ckpt-)(\d+)\.(?:index|data.*)$")
_CRASH = re.compile(
  r"^(Traceback|Fatal Python error|Segmentation|terminate called|\*\*\* ).*",
  re.MULTILINE,
)
_EXCEPTION = re.compile(
  r"^[\w.]+(?:Error|Exception|Interrupt|Exit)\b.*", re.MULTILINE
)
_ERROR = re.compile(r"^(error: .*|FATAL Flags parsing error.*)", re.MULTILINE)
MOST_CHARACTERS = 1200  # of an error message


def files_of(folder: pathlib.Path) -> dict[str, str]:
  """{path: checksum} of the files in a job's folder."""
  return {
    str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted(folder.rglob("*"))
    if path.is_file()
  }


def plain(name: str) -> str:
  """A file's name without what differs from run to run."""
  for pattern, to in _NUMBERS:
    name = pattern.sub(to, name)
  return name


def left_over(files, undisturbed) -> str:
  """Names a file that an undisturbed run does not leave."""
  known = {plain(name) for name in undisturbed}
  extra = [name for name in files if plain(name) not in known]
  return f"left {', '.join(extra[:3])}" if extra else ""


def compared(job: Job, files) -> dict[str, str]:
  """{name: checksum} of the outputs that every run makes alike.

  Of the checkpoints of a folder, only the newest is compared.
  """
  steps = {}
  for name in files:
    found = _CHECKPOINT.match(name)
    if found:
      steps[found[1]] = max(int(found[2]), steps.get(found[1], -1))
  chosen = {}
  for name, checksum in files.items():
    found = _CHECKPOINT.match(name)
    is_old = found and int(found[2]) < steps[found[1]]
    is_wanted = any(fnmatch.fnmatch(name, pattern) for pattern in job.same)
    if is_wanted and not is_old and not name.endswith((".meta", ".lock")):
      same_name = plain(name) if job.name == "export_model" else name
      chosen[same_name] = checksum
  return chosen


def differs(job: Job, files, undisturbed) -> str:
  """Names an output that is not as that of an undisturbed run."""
  found, wanted = compared(job, files), compared(job, undisturbed)
  for name in sorted(wanted):
    if name not in found:
      return f"{name} is missing"
    if found[name] != wanted[name]:
      return f"{name} differs from that of an undisturbed run"
  return ""


def crashed(ended: Ended) -> str:
  """Says how a script crashed or hung."""
  if ended.status is None:
    return f"did not end within {ended.seconds:.0f} s"
  if _CRASH.search(ended.stderr):
    kinds = _EXCEPTION.findall(ended.stderr)
    said = kinds[-1][:160] if kinds else last_line(ended.stderr)
    return f"status {ended.status}, {said}"
  if ended.status < 0:
    return f"ended by signal {-ended.status}"
  return ""


def one_sentence(ended: Ended) -> str:
  """Says what is wrong with how a script refused its input."""
  broken = crashed(ended)
  if broken:
    return broken
  said = _ERROR.findall(ended.stderr)
  last = last_line(ended.stderr)
  if ended.status not in (1, 2):
    return f"status {ended.status}, {last}"
  if len(said) != 1:
    return f"status {ended.status}, {len(said)} sentences, {last}"
  if len(said[0]) > MOST_CHARACTERS:
    return f"an error message of {len(said[0])} characters"
  if said[0].startswith("error: ") and not last.startswith("error: "):
    return f"goes on after the error: {last}"
  return ""


def last_line(text: str) -> str:
  """The last line that says something, at most 160 characters of it."""
  lines = [line.strip() for line in text.split("\n") if line.strip()]
  return lines[-1][:160] if lines else "nothing on standard error"
