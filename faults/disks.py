# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Gives scripts too small a disk.

In: a job. Out: cases, none where this user can't mount a file system. The job's
folder is a tmpfs that has room for a part of the outputs. The script says which
file found no room, and leaves no part of a file.
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from faults import jobs, promises
from faults.jobs import Job
from faults.workplace import Case, Workplace

SHARES = (0.0, 0.3, 0.6, 0.9)  # of the room that the outputs need
OTHER_FORMATS = ("npz", "hdf5", "tfrecord")  # of extract_features.py
_PAGE = 4096


def can_mount() -> bool:
  """Whether this user can mount a tmpfs."""
  if os.geteuid() != 0 or not shutil.which("mount"):
    return False
  with tempfile.TemporaryDirectory() as folder:
    if _mount(folder, 64):
      return False
    subprocess.run(["umount", folder], check=True)
  return True


def cases(job: Job) -> list[Case]:
  """A disk of each size for a job, and a full standard output."""
  found = [
    Case(
      job,
      "full disk",
      f"a disk with room for {share:.0%} of the outputs",
      0.8 * job.seconds,
      lambda work, share=share: _on_small_disk(work, job, share),
    )
    for share in SHARES
    if job.same
  ]
  if job.name == "extract_features":
    for kind in OTHER_FORMATS:
      other = jobs.dataclasses.replace(
        job, flags=f"{job.flags} --output_format={kind}"
      )
      found.append(
        Case(
          other,
          "full disk",
          f"a disk without room for {kind}",
          job.seconds,
          lambda work, other=other: _on_small_disk(work, other, 0),
        )
      )
  if job.stdin:
    found.append(
      Case(
        job,
        "full disk",
        "standard output is /dev/full",
        job.seconds,
        lambda work: _full_stdout(work, job),
      )
    )
  return found


def _mount(folder, kilobytes):
  """Mounts a tmpfs; the status of mount."""
  return subprocess.run(
    ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)],
    capture_output=True,
  ).returncode


def _room(paths):
  """The bytes of whole pages that files take."""
  return sum(-(-path.stat().st_size // _PAGE) * _PAGE for path in paths)


def _on_small_disk(work: Workplace, job: Job, share: float) -> str:
  folder = work.fresh(job)
  inputs = _room(p for p in folder.rglob("*") if p.is_file())
  finished = _room(
    p for p in (work.finished / job.name).rglob("*") if p.is_file()
  )
  folders = _PAGE * sum(1 for p in folder.rglob("*") if p.is_dir())
  size = inputs + folders + _PAGE + int(share * (finished - inputs))
  shutil.rmtree(folder)
  folder.mkdir()
  if _mount(folder, -(-size // 1024)):
    return "the tmpfs could not be mounted"
  try:
    jobs.make_folder(job, folder, work.finished)
    ended = work.run(job, folder)
    if ended.status == 0:
      return work.is_whole(job, folder, ended)
    return _after_error(work, job, folder, ended)
  finally:
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _after_error(work, job, folder: pathlib.Path, ended) -> str:
  broken = promises.one_sentence(ended)
  said = promises.last_line(ended.stderr)
  if not broken and not re.search(r"\b(out|tmp)[/.]", said):
    broken = f"names no file: {said}"
  if not broken and "room" not in said and "No space" not in said:
    broken = f"does not speak of a full disk: {said}"
  files = promises.files_of(folder)
  undisturbed = work.undisturbed[job.name].files
  wanted = promises.compared(job, undisturbed)
  for name, checksum in promises.compared(job, files).items():
    if not broken and name in wanted and wanted[name] != checksum:
      broken = f"{name} is not whole"
  return broken or promises.left_over(files, undisturbed)


def _full_stdout(work: Workplace, job: Job) -> str:
  folder = work.fresh(job)
  ended = work.run(job, folder, stdout="/dev/full")
  said = promises.last_line(ended.stderr)
  broken = promises.one_sentence(ended)
  if not broken and "standard output" not in said:
    broken = f"does not name standard output: {said}"
  return broken
