# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""A process that has loaded TensorFlow, and runs scripts in copies of itself.

In: on standard input, a line of JSON for each run: words, folder, environment,
and the files of stdin, stdout and stderr. Out: on standard output, two lines
for each run: its process id, and its exit status when it has ended.

A copy (os.fork) starts in milliseconds, where a new process needs seconds to
load TensorFlow. It ends as any process does: an exception goes up to the
interpreter, which prints it.
"""

import gc
import json
import os
import pathlib
import runpy
import signal
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def serve():
  """Forks a process for each line; returns the run in the new process."""
  gc.collect()
  gc.freeze()  # a copy's searches for garbage would copy all that is loaded
  print("ready", flush=True)
  for line in sys.stdin:
    pid = os.fork()
    if not pid:
      return json.loads(line)
    print(pid, flush=True)
    _, status = os.waitpid(pid, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
  return None


def prepare(run):
  """Makes this process one that a shell has started."""
  os.setsid()
  signal.signal(signal.SIGINT, signal.default_int_handler)
  os.chdir(run["folder"])
  os.environ.pop("TF_CONFIG", None)
  os.environ.update(run["environment"])
  for number, (name, mode) in enumerate(
    (
      ("stdin", os.O_RDONLY),
      ("stdout", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
      ("stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    )
  ):
    handle = os.open(run[name], mode, 0o666)
    os.dup2(handle, number)
    os.close(handle)
  sys.argv = run["words"]


if __name__ == "__main__":
  sys.path[0] = str(ROOT)
  from bert.training import errors, runs, trained_model  # noqa: F401

  asked = serve()
  if asked:
    prepare(asked)
    runpy.run_path(str(ROOT / sys.argv[0]), run_name="__main__")
