# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""What a case has to work with: a server, a folder, and undisturbed runs.

In: a job. Out: its folder, fresh or as a finished run has left it; and how a
run in it ends.
"""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Callable
from typing import NamedTuple

from faults import jobs, promises
from faults.processes import Ended, Server

MOST_SECONDS = 30  # of a run that does not take long undisturbed

FIRST_SECONDS = 120  # of an undisturbed run


class Undisturbed(NamedTuple):
  """What a job does if nothing goes wrong."""

  seconds: float
  stdout: bytes
  files: dict  # {path: checksum}


class Case(NamedTuple):
  """One fault in one run."""

  job: jobs.Job
  kind: str
  name: str  # what is done, for the table
  seconds: float  # that it takes on two cores
  check: Callable  # of a Workplace; returns what is broken, or ""


class Workplace:
  """Runs jobs in folders of its own, one at a time.

  Args:
    server: runs the scripts.
    folder: for the cases' folders.
    finished: a folder for each undisturbed job; shared by all workplaces.
    undisturbed: {job's name: Undisturbed}, shared too.
  """

  def __init__(self, server: Server, folder, finished, undisturbed: dict):
    self.server = server
    self.finished = pathlib.Path(finished)
    self.undisturbed = undisturbed
    self._folder = pathlib.Path(folder)
    self._count = 0

  def fresh(self, job: jobs.Job) -> pathlib.Path:
    """A new folder with what a job reads."""
    folder = self._next()
    jobs.make_folder(job, folder, self.finished)
    return folder

  def done(self, job: jobs.Job) -> pathlib.Path:
    """A new folder as an undisturbed run leaves it."""
    folder = self._next()
    shutil.copytree(self.finished / job.name, folder)
    return folder

  def _next(self):
    self._count += 1
    self._folder.mkdir(parents=True, exist_ok=True)
    return self._folder / str(self._count)

  def tidy(self) -> None:
    """Removes the cases' folders."""
    shutil.rmtree(self._folder, ignore_errors=True)

  def arguments(self, job: jobs.Job, folder, **given) -> dict:
    """What `Server.start` takes for a job."""
    stdin = str(folder / job.stdin) if job.stdin else "/dev/null"
    environment = {"TMPDIR": str(folder / "tmp")}
    return {
      "words": job.words,
      "folder": folder,
      "stdin": stdin,
      "environment": environment,
      **given,
    }

  def run(self, job: jobs.Job, folder, **given) -> Ended:
    """Runs a job to its end."""
    known = self.undisturbed.get(job.name)
    limit = max(MOST_SECONDS, 6 * known.seconds) if known else FIRST_SECONDS
    return self.server.run(limit=limit, **self.arguments(job, folder, **given))

  def prepare(self, job: jobs.Job) -> None:
    """Runs a job undisturbed.

    Raises:
      RuntimeError: it fails.
    """
    folder = self.finished / job.name
    jobs.make_folder(job, folder, self.finished)
    ended = self.run(job, folder)
    if ended.status != 0:
      raise RuntimeError(
        f"undisturbed, {job.command} ends with status {ended.status}:"
        f"\n{ended.stderr}"
      )
    self.undisturbed[job.name] = Undisturbed(
      ended.seconds, ended.stdout, promises.files_of(folder)
    )

  def is_whole(self, job: jobs.Job, folder, ended: Ended) -> str:
    """Says in what a run that succeeded differs from an undisturbed one."""
    wanted = self.undisturbed[job.name]
    files = promises.files_of(folder)
    if job.stdin and ended.stdout != wanted.stdout:
      return "standard output differs from that of an undisturbed run"
    return promises.differs(job, files, wanted.files) or promises.left_over(
      files, wanted.files
    )
