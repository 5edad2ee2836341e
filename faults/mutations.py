# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Damages each file that a script reads.

In: a job. Out: cases. The script ends with status 0, or with one sentence and
status 1 or 2; soon; without a traceback; and what stood in the output folder
still stands there.
"""

from __future__ import annotations

import functools
import json
import os
import pathlib
import random
import re
import shutil

from faults import promises
from faults.jobs import Job
from faults.workplace import Case, Workplace

# Files of a model's folder that no script reads, or that only say what was.
_NOT_READ = re.compile(
  r"/events\.out|\.meta$|/eval_results|/test_results|(?<!/eval_)predictions"
  r"|worker_"
  r"|/model/(?:[^/]*\.tf_record|.*\.json\.json|eval_files|train_files)|trec"
)
# Files of ours that have a checksum or a form: damaged, they never change what
# a run computes.
_CHECKED = re.compile(
  r"model\.ckpt|bert_model\.ckpt|/checkpoint$|\.tf_?record|/best\.json$"
  r"|\.npy$|^out/"
)
_STEP = re.compile(r"^(.*model\.ckpt-)(\d+)\.")


def truncated(data, draw):
  return data[: len(data) // 2]


def empty(data, draw):
  return b""


def flipped(data, draw):
  """One bit of one byte is another."""
  at = draw.randrange(len(data))
  return data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :]


def array(data, draw):
  return b'[1, "two", null]\n'


def noise(data, draw):
  return bytes(draw.randrange(256) for _ in range(500))


def utf_16(data, draw):
  return data.decode("utf-8").encode("utf-16")


def crlf(data, draw):
  return data.replace(b"\n", b"\r\n")


def another_type(data, draw):
  """A JSON file in which one value has become of another type."""
  value = json.loads(data)
  name = draw.choice(sorted(value))
  value[name] = draw.choice([None, float("nan"), {}, [1], True, "x", -1])
  return json.dumps(value).encode()


def brackets(data, draw):
  return b"[" * 100_000


ANY_FILE = (truncated, empty, flipped, array, noise)
TEXT_FILE = (utf_16, crlf)
JSON_FILE = (another_type, brackets)
DAMAGES = 4  # of each file; another seed draws others
OTHER_THINGS = ("missing", "a folder")


def cases(job: Job, finished: pathlib.Path, seed: int) -> list[Case]:
  """Some damages to each file that a job reads, or finds in its outputs."""
  found = []
  tops = ("in", "out") if job.reads_outputs else ("in",)
  for name in read_files(finished / job.name, tops):
    draw = random.Random(f"{seed} {job.name} {name}")
    damages = damages_for((finished / job.name / name).read_bytes())
    damages += [*OTHER_THINGS, *(("a pipe",) if name in job.inputs else ())]
    chosen = draw.sample(damages, DAMAGES)
    for count, damage in enumerate(chosen):
      label = damage if isinstance(damage, str) else damage.__name__
      check = functools.partial(
        _damaged,
        job=job,
        name=name,
        damage=damage,
        seed=draw.random(),
        is_new=job.trains and name.startswith("in/") and count % 2 == 0,
      )
      title = f"{name} {label.replace('_', ' ')}"
      found.append(Case(job, "damaged file", title, 0.6 * job.seconds, check))
  return found


def read_files(folder: pathlib.Path, tops=("in", "out")) -> list[str]:
  """The files below in/ and out/ that a finished job's script reads.

  Of several checkpoints in a folder, only the newest is read.
  """
  names = sorted(
    str(path.relative_to(folder))
    for top in tops
    for path in (folder / top).rglob("*")
    if path.is_file()
  )
  names = [name for name in names if not _NOT_READ.search(name)]
  newest = {}
  for name in names:
    step = _STEP.match(name)
    if step:
      newest[step[1]] = max(int(step[2]), newest.get(step[1], -1))
  return [
    name
    for name in names
    for step in [_STEP.match(name)]
    if not step or int(step[2]) == newest[step[1]]
  ]


def damages_for(data: bytes) -> list:
  """The functions that damage a file with these contents."""
  found = [damage for damage in ANY_FILE if data or damage is not flipped]
  try:
    text = data.decode("utf-8")
  except UnicodeDecodeError:
    return found
  if "\0" in text:
    return found
  found += TEXT_FILE
  try:
    is_object = isinstance(json.loads(text), dict)
  except ValueError:
    is_object = False
  return [*found, *JSON_FILE] if is_object else found


def put(damage, path: pathlib.Path, seed: float) -> None:
  """Damages a file."""
  if not isinstance(damage, str):
    data = path.read_bytes()
    path.write_bytes(damage(data, random.Random(seed)))
    return
  path.unlink()
  if damage == "a folder":
    path.mkdir()
  elif damage == "a pipe":
    os.mkfifo(path)


def _damaged(work: Workplace, job, name, damage, seed, is_new) -> str:
  """Runs a job with one file damaged, on new or finished outputs."""
  folder = work.fresh(job) if is_new else work.done(job)
  path = folder / name
  put(damage, path, seed)
  before = promises.files_of(folder)
  stdin = {}
  if name == job.stdin and not path.is_file():
    stdin = {"stdin": "/dev/null"}  # a shell would not even start it
  ended = work.run(job, folder, **stdin)
  if path.is_dir():
    shutil.rmtree(path)
  if ended.status == 0:
    broken = promises.crashed(ended)
    is_checked = _CHECKED.search(name) and name not in job.inputs
    if not broken and is_checked and not is_announced(name, ended.stderr):
      broken = work.is_whole(job, folder, ended)
      broken = broken and f"status 0, but {broken}"
    return broken
  return promises.one_sentence(ended) or _lost(folder, before, work, job, name)


def is_announced(name: str, log: str) -> bool:
  """Whether a log says that a checkpoint is damaged, so another one is used."""
  checkpoint = re.sub(r"\.(index|data-\S+)$", "", name)
  found = rf"^.*{re.escape(checkpoint)} is (damaged|missing)\b"
  return bool(re.search(found, log, re.MULTILINE))


def _lost(folder, before, work, job, damaged):
  """Says which earlier output is gone or other after an error."""
  after = promises.files_of(folder)
  for name, checksum in before.items():
    if name != damaged and not name.endswith(".meta"):
      if name not in after:
        return f"a sentence, but {name} is gone"
      is_same = after[name] == checksum or "events" in name
      if not is_same and name in promises.compared(job, before):
        return f"a sentence, but {name} has changed"
  return promises.left_over(after, work.undisturbed[job.name].files)
