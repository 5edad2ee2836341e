# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Files that are made once and used again for as long as they fit.

In: a path, and fingerprints of what the file is made from. Out: what the file
holds. A note beside the file says what it was made from, and has a checksum
that tells whether the file is still as it was written.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping

from bert.files import locks, reading, writing


def fingerprint(*parts) -> str:
  """A SHA-256 of JSON-serialisable `parts`, equal for equal parts."""
  digest = hashlib.sha256()
  for part in parts:
    digest.update(json.dumps(part, sort_keys=True).encode("utf-8"))
    digest.update(b"\0")
  return digest.hexdigest()


def kept_file(
  path: str,
  mark: Mapping,
  make: Callable,
  load: Callable,
  before_making: Callable[[str], None] | None = None,
):
  """Loads a file if it was made from the same things, and makes it otherwise.

  A note beside the file, `path` followed by .json, holds what it was made from,
  its size in bytes and its SHA-256. A damaged file is made again.

  Args:
    path: of the file.
    mark: {name: str}, fingerprints of what the file is made from.
    make: called without arguments, writes the file and returns (what it holds,
      what the note says besides, a dict). Before it replaces a file it calls
      `forget(path)`, so that no note ever stands beside another file.
    load: called with the note, returns what the file holds. It raises EOFError,
      RuntimeError or ValueError if the file is damaged.
    before_making: called with the reason, a clause, before the file is made;
      may raise.

  Returns:
    What the file holds.

  Raises:
    ValueError: another run is making the file, or there is a folder in its
      place.
  """
  import tensorflow.compat.v1 as tf

  if tf.io.gfile.isdir(path):
    raise ValueError(f"{path} is a folder, where a file has to be: remove it")
  note = read_note(path + ".json") if tf.io.gfile.exists(path) else {}
  other = changed(note, mark)
  if not note:
    why = f"there is no {path}"
  elif other:
    why = f"{path} was made from another {' and another '.join(other)}"
    if "checkpoint" in note:
      why += f" ({note['checkpoint']})"
  elif not _is_as_written(path, note):
    why = f"{path} is damaged"
  else:
    try:
      return load(note)
    except (EOFError, KeyError, RuntimeError, ValueError) as error:
      why = f"{path} is damaged ({error})"
  if before_making:
    before_making(why)
  with locks.locked(path):
    made, details = make()
    size = tf.io.gfile.stat(path).length
    note = {**mark, **details, "bytes": size, "sha256": _checksum(path)}
    write_note(path + ".json", note)
  return made


def _is_as_written(path, note):
  """Whether a file has the size and, if there is one, checksum of its note."""
  import tensorflow.compat.v1 as tf

  if note.get("bytes") != tf.io.gfile.stat(path).length:
    return False
  # Notes of earlier versions have no checksum.
  return "sha256" not in note or note["sha256"] == _checksum(path)


def _checksum(path):
  """The SHA-256 of a file, in hexadecimal."""
  import tensorflow.compat.v1 as tf

  digest = hashlib.sha256()
  with tf.io.gfile.GFile(path, "rb") as reader:
    for block in iter(lambda: reader.read(1 << 22), b""):
      digest.update(block)
  return digest.hexdigest()


def forget(path: str) -> None:
  """Removes the note of a kept file that is about to be replaced."""
  import tensorflow.compat.v1 as tf

  if tf.io.gfile.exists(path + ".json"):
    tf.io.gfile.remove(path + ".json")


def share(path: str, other: str) -> None:
  """Puts a kept file and its note in another place, too.

  On one disk it takes no room: the two places are links to one file, which is
  only ever replaced, never changed.

  Args:
    path: of the file.
    other: the other place; a file there is replaced.
  """
  import tensorflow.compat.v1 as tf

  forget(other)
  for ending in ("", ".json"):
    with writing.whole(other + ending) as partial:
      with contextlib.suppress(FileNotFoundError):  # one that a kill left
        os.remove(partial)
      try:
        os.link(path + ending, partial)
      except OSError:  # another disk, or no file system with links
        tf.io.gfile.copy(path + ending, partial, overwrite=True)


def changed(kept: Mapping, mark: Mapping) -> list[str]:
  """The names whose fingerprint is not the one that was kept."""
  return [name for name in mark if kept.get(name) != mark[name]]


def read_note(path: str) -> dict:
  """The JSON object in a file; {} if there is none, or it is damaged."""
  import tensorflow.compat.v1 as tf

  if not tf.io.gfile.exists(path):
    return {}
  try:
    return reading.read_json(path, {}, "note")
  except ValueError:
    return {}


def write_note(path: str, note: Mapping) -> None:
  """Writes a JSON object on one line."""
  writing.write_lines(path, [writing.json_text(note, path)])
