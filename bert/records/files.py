# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Files that appear when they are complete.

In: a path, local or gs://. Out: the path of a file beside it, which takes its
name at the end.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator


@contextlib.contextmanager
def whole(path: str) -> Iterator[str]:
  """Gives the path to write to; what is there takes the name `path` at the end.

  Where the block fails, nothing is left of it, and a file that was there
  before stays.

  Args:
    path: of the file; one that exists is replaced.

  Yields:
    `path` with .partial behind.
  """
  import tensorflow.compat.v1 as tf  # here, for data workers need none of it

  partial = path + ".partial"
  try:
    yield partial
    tf.io.gfile.rename(partial, path, overwrite=True)
  finally:
    if tf.io.gfile.exists(partial):
      tf.io.gfile.remove(partial)


def write_lines(path: str, lines: Iterable[str]) -> None:
  """Writes lines to a file that appears when it is complete.

  What UTF-8 has not, half a surrogate pair of a JSON file, is written as JSON
  has it.
  """
  import tensorflow.compat.v1 as tf

  with whole(path) as partial:
    with tf.io.gfile.GFile(partial, "wb") as writer:
      writer.write(b"")  # or else there would be no file without lines
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
