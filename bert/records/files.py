# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Files that appear when they are complete, and files that are kept.

In: a path, local or gs://, and what the file holds. Out: the whole file, or
nothing. A kept file has a note beside it that says what it was made from, and
is used again for as long as that fits.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping


@contextlib.contextmanager
def whole(path: str) -> Iterator[str]:
  """Gives a path to write to, and renames the file to `path` at the end.

  If the block fails, the partial file is removed, and a file that was at `path`
  before stays there.

  Args:
    path: of the file; an existing one is replaced.

  Yields:
    `path` followed by .partial.
  """
  import tensorflow.compat.v1 as tf  # here, because data workers do without

  partial = path + ".partial"
  try:
    yield partial
    tf.io.gfile.rename(partial, path, overwrite=True)
  finally:
    if tf.io.gfile.exists(partial):
      tf.io.gfile.remove(partial)


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
  """Writes a JSON file that appears when it is complete."""
  text = json.dumps(value, indent=2, ensure_ascii=False)
  write_lines(path, text.split("\n"))


def fingerprint(*parts) -> str:
  """A SHA-256 of JSON-serialisable `parts`, equal for equal parts."""
  digest = hashlib.sha256()
  for part in parts:
    digest.update(json.dumps(part, sort_keys=True).encode("utf-8"))
    digest.update(b"\0")
  return digest.hexdigest()


# ------------------------------------------------------------- kept files


def kept_file(
  path: str,
  mark: Mapping,
  make: Callable,
  load: Callable,
  before_making: Callable[[str], None] | None = None,
):
  """Loads a file if it was made from the same things, and makes it otherwise.

  A note beside the file, `path` followed by .json, holds what it was made from
  and its size in bytes.

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
  """
  import tensorflow.compat.v1 as tf

  note = read_note(path + ".json") if tf.io.gfile.exists(path) else {}
  other = changed(note, mark)
  if not note:
    why = f"there is no {path}"
  elif other:
    why = f"{path} was made from another {' and another '.join(other)}"
    if "checkpoint" in note:
      why += f" ({note['checkpoint']})"
  elif note.get("bytes") != tf.io.gfile.stat(path).length:
    why = f"{path} is damaged"
  else:
    try:
      return load(note)
    except (EOFError, KeyError, RuntimeError, ValueError) as error:
      why = f"{path} is damaged ({error})"
  if before_making:
    before_making(why)
  made, details = make()
  size = tf.io.gfile.stat(path).length
  write_note(path + ".json", {**mark, **details, "bytes": size})
  return made


def forget(path: str) -> None:
  """Removes the note of a kept file that is about to be replaced."""
  import tensorflow.compat.v1 as tf

  if tf.io.gfile.exists(path + ".json"):
    tf.io.gfile.remove(path + ".json")


def changed(kept: Mapping, mark: Mapping) -> list[str]:
  """The names whose fingerprint is not the one that was kept."""
  return [name for name in mark if kept.get(name) != mark[name]]


def read_note(path: str) -> dict:
  """The JSON object in a file; {} if there is none, or it is damaged."""
  import tensorflow.compat.v1 as tf

  if not tf.io.gfile.exists(path):
    return {}
  with tf.io.gfile.GFile(path, "rb") as reader:
    try:
      return dict(json.loads(reader.read()))
    except (TypeError, ValueError):
      return {}


def write_note(path: str, note: Mapping) -> None:
  """Writes a JSON object on one line."""
  write_lines(path, [json.dumps(note)])
