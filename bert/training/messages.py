# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""What TensorFlow says: its errors in one line, and its chatter hidden.

In: an error. Out: what it says, without the lines that say where.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator

import tensorflow.compat.v1 as tf

_NOISE = re.compile(
  r"\s|$|Graph exec|Detected at node|File |Node:|\[\[|Original"
)


def one_line(error: Exception) -> str:
  """The message of an error; of one that TensorFlow's graph met, its point."""
  lines = str(getattr(error, "message", error)).split("\n")
  if isinstance(error, tf.errors.OpError):  # the rest says where it was met
    lines = [line for line in lines if not _NOISE.match(line)][:1] or lines
  return " ".join(" ".join(lines).split())


@contextlib.contextmanager
def hidden_stderr() -> Iterator[None]:
  """Hides what compiled code prints to standard error in the block."""
  stderr = os.dup(2)
  try:
    with open(os.devnull, "w") as nowhere:
      os.dup2(nowhere.fileno(), 2)
    yield
  finally:
    os.dup2(stderr, 2)
    os.close(stderr)
