# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Options for texts that are longer than the model reads at once.

In: nothing. Out: the dataclass whose fields are these flags, and what they say.
"""

from __future__ import annotations

import dataclasses

from bert.records import packing
from bert.training import flags

_SHORTEST = 5  # of windows: a pair with at least a piece of each text


@dataclasses.dataclass(frozen=True)
class LongTextOptions(flags.Options):
  """What is read of a text of more than --max_seq_length tokens."""

  long_texts: str = flags.flag(
    "cut",
    "What is read of a text of more than --max_seq_length tokens. cut: its"
    " beginning; head_tail: its beginning (a quarter of the length) and its"
    " end; windows: all of it, in windows, which are read one by one and give"
    " one answer.",
    choices=packing.LONG_TEXTS,
  )
  doc_stride: int | None = flags.flag(
    None,
    "With --long_texts=windows: the number of WordPiece tokens from the start"
    " of one window to the start of the next. Default: half of"
    " --max_seq_length.",
    lower_bound=1,
  )
  window_pooling: str = flags.flag(
    "mean",
    "With --long_texts=windows: how the outputs of a text's windows become"
    " one, by their mean or their maximum.",
    choices=packing.WINDOW_POOLINGS,
  )


def find_long_texts(
  options: LongTextOptions, kept: packing.LongTexts = packing.CUT
) -> packing.LongTexts:
  """What the flags say; a flag that is not given says what `kept` does.

  Args:
    options: with --max_seq_length.
    kept: of the trained model, if there is one.

  Raises:
    ValueError: a flag has no effect, or the windows would skip tokens.
  """
  given, length = options.given, options.max_seq_length
  kind = options.long_texts if "long_texts" in given else kept.kind
  if kind != "windows":
    for name in ("doc_stride", "window_pooling"):
      if name in given:
        raise ValueError(
          f"--{name} is for --long_texts=windows, not for --long_texts={kind}"
        )
    return packing.LongTexts(kind)
  if length < _SHORTEST:
    raise ValueError(
      f"--max_seq_length={length} is too short for --long_texts=windows: give"
      f" at least {_SHORTEST}"
    )
  stride = options.doc_stride or kept.doc_stride
  if "doc_stride" not in given and not 0 < stride <= length - 2:
    stride = length // 2  # none is kept, or one for a greater length
  if stride > length - 2:
    raise ValueError(
      f"--doc_stride={stride} is over the {length - 2} tokens of a text that a"
      f" window of --max_seq_length={length} holds beside [CLS] and [SEP], so"
      " tokens would be skipped: lower it"
    )
  pooling = kept.pooling
  if "window_pooling" in given:
    pooling = options.window_pooling
  return packing.LongTexts(kind, stride, pooling)
