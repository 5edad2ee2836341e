# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Writes files that appear when they are complete, and never over an input.

In: a path, local or gs://, and what the file holds. Out: the whole file, or
nothing. `guarded` names the files that a run reads and locks those that it
writes; whatever writes a file here refuses to replace one that the run reads.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping

from bert.files import locks

_inputs: dict = {}  # {place of a file that this run reads: flag=path}


# ------------------------------------------------- what a run reads and writes


@contextlib.contextmanager
def guarded(
  inputs: Mapping[str, Iterable[str]], outputs: Mapping[str, Iterable[str]]
) -> Iterator[None]:
  """Keeps a run from writing over what it reads, and others from its outputs.

  Args:
    inputs: {flag: paths of the files that it names}.
    outputs: {flag: paths of files or folders that the run writes}.

  Raises:
    ValueError: an output is an input or two outputs are one file, however the
      paths are spelt; or another run is writing there.
  """
  before = dict(_inputs)
  for flag, paths in inputs.items():
    for path in paths:
      protect(path, f"--{flag}")
  try:
    _check_outputs(outputs)
    with contextlib.ExitStack() as stack:
      for path in (path for paths in outputs.values() for path in paths):
        stack.enter_context(locks.locked(path))
      yield
  finally:
    _inputs.clear()
    _inputs.update(before)


def protect(path: str, name: str) -> None:
  """Has this run refuse to write over a file.

  Args:
    path: of the file.
    name: where the run has the path from, such as --input_file.
  """
  place = _place(path)
  if place:
    _inputs[place] = f"{name}={path}"


def _check_outputs(outputs):
  """Raises ValueError if an output is an input, or comes twice."""
  found = {}
  for flag, paths in outputs.items():
    for path in paths:
      check_target(path, flag)
      same = os.path.realpath(path) if "://" not in path else path
      if same in found and not _is_special(path):
        raise ValueError(
          f"--{flag}={path} and --{found[same]} are one file: give each output"
          " a name of its own"
        )
      found[same] = f"{flag}={path}"


def check_target(path: str, flag: str = "") -> None:
  """Raises ValueError if a file to be written is one that the run reads.

  Args:
    path: of the file.
    flag: that names it, if one does, for the error message.
  """
  read = _inputs.get(_place(path))
  if read:
    name = f"--{flag}={path}" if flag else path
    raise ValueError(
      f"{name} would replace {read}, which this run reads: write to another"
      " file or folder"
    )


def is_input(path: str) -> bool:
  """Whether a path is one of the files that this run reads."""
  return _place(path) in _inputs


def _place(path):
  """(device, inode) of a regular file; None if there is none.

  A path with a scheme, such as gs://, stands for itself.
  """
  if "://" in path:
    return path
  try:
    found = os.stat(path)
  except (OSError, ValueError):
    return None
  if not stat.S_ISREG(found.st_mode):
    return None
  return found.st_dev, found.st_ino


def _is_special(path):
  """Whether a path is a device or pipe, such as /dev/null."""
  try:
    mode = os.stat(path).st_mode
  except (OSError, ValueError):
    return False
  return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


# ------------------------------------------------------------- whole files


def partial_path(path: str) -> str:
  """Where a file is written until it is complete.

  Returns:
    `path` followed by .partial, or `path` itself if it is a device or a pipe,
    such as /dev/null.

  Raises:
    ValueError: this run reads the file, or it is a folder.
  """
  check_target(path)
  if "://" not in path and os.path.isdir(path):
    raise ValueError(f"{path} is a folder: name a file to write")
  return path if _is_special(path) else path + ".partial"


@contextlib.contextmanager
def whole(path: str) -> Iterator[str]:
  """Gives a path to write to, and renames the file to `path` at the end.

  If the block fails, the partial file is removed, and a file that was at `path`
  before stays there.

  Args:
    path: of the file; an existing one is replaced.

  Yields:
    What `partial_path` returns.

  Raises:
    ValueError: this run reads the file.
  """
  import tensorflow.compat.v1 as tf  # here, because data workers do without

  partial = partial_path(path)
  if partial == path:
    yield path
    return
  try:
    yield partial
    tf.io.gfile.rename(partial, path, overwrite=True)
  finally:
    if tf.io.gfile.exists(partial):
      tf.io.gfile.remove(partial)


@contextlib.contextmanager
def scratch_folder(path: str) -> Iterator[str]:
  """Makes an empty folder for the block, and removes it at the end.

  Args:
    path: of the folder. One that a killed run has left there is removed first;
      the run holds the lock of its output, so no other run uses it.

  Yields:
    `path`.
  """
  import tensorflow.compat.v1 as tf

  def remove():
    if tf.io.gfile.exists(path):
      tf.io.gfile.rmtree(path)

  remove()
  try:
    tf.io.gfile.makedirs(path)
    yield path
  finally:
    remove()


def write_lines(path: str, lines: Iterable[str]) -> None:
  """Writes lines to a file that appears when it is complete.

  Half of a surrogate pair, which JSON can hold and UTF-8 can't, is written as
  its JSON escape.
  """
  import tensorflow.compat.v1 as tf

  with whole(path) as partial:
    with tf.io.gfile.GFile(partial, "wb") as writer:
      writer.write(b"")  # makes the file even if there are no lines
      for line in lines:
        writer.write((line + "\n").encode("utf-8", "backslashreplace"))


def write_json(path: str, value) -> None:
  """Writes a JSON file that appears when it is complete.

  Raises:
    ValueError: it holds NaN or an infinite number, which JSON does not have.
  """
  text = json_text(value, path, indent=2)
  write_lines(path, text.split("\n"))


def json_text(value, where: str, indent: int | None = None) -> str:
  """A value as JSON, which has only finite numbers.

  Args:
    value: JSON-serialisable.
    where: the file, for the error message.
    indent: spaces of a level; None: all on one line.

  Raises:
    ValueError: it holds NaN or an infinite number.
  """
  try:
    return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
  except ValueError:
    raise ValueError(
      f"{where} would hold NaN or an infinite number, which JSON does not have:"
      " the weights or the data are damaged"
    ) from None
