# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""TensorFlow's error messages, in one line.

In: an error. Out: what it says, without the lines that say where.
"""

from __future__ import annotations

import re

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
