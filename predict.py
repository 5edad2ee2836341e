# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Answers JSON lines from standard input with a trained model, as they come.

In: the output folder of any run_ script or a pre-trained checkpoint's, which is
loaded once, and rows such as {"id": 7, "text_a": "...", "text_b": "..."},
{"question": "...", "context": "..."} or {"text": "... [MASK] ..."}, one per
line. Out: one JSON line for each, in the same order; a row that
can't be answered gets {"error": "..."}.
"""

from __future__ import annotations

import dataclasses

from bert.training import entry, flags


@dataclasses.dataclass(frozen=True)
class Options(flags.TrainedModelOptions):
  """This script's flags."""

  precision: str = flags.flag(
    "float32",
    "Precision of the encoder.",
    choices=("float32", "bfloat16"),
  )
  predict_batch_size: int = flags.flag(
    32,
    "Answer at most N waiting lines together.",
    lower_bound=1,
  )


if __name__ == "__main__":
  entry.parse(Options)  # --help ends here, before the slow imports

import json
import sys
from collections.abc import Iterable, Iterator

from absl import logging

from bert.files import reading
from bert.records import streams
from bert.training import trained_model


def main(options: Options) -> None:
  if sys.stdin is None:
    raise ValueError("standard input is closed: give it JSON lines")
  model = trained_model.find_model(
    options.model_dir, options.checkpoint, options.task_file
  )
  predictor = trained_model.Predictor(model, options.precision)
  logging.info(
    f"ready: {model.task.name} with {model.checkpoint}; give a line such as"
    f" {json.dumps(predictor.example)}"
    + (" (Ctrl-D ends)" if sys.stdin.isatty() else "")
  )
  batches = streams.as_they_come(
    numbered_lines(sys.stdin.buffer), options.predict_batch_size
  )
  indent = 2 if sys.stdin.isatty() and sys.stdout.isatty() else None
  for answer in answer_lines(batches, predictor):
    text = json.dumps(answer, ensure_ascii=False, indent=indent)
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace") + b"\n")
    sys.stdout.buffer.flush()


def numbered_lines(stream) -> Iterator[tuple[int, bytes]]:
  """Yields lines and their numbers, from 1; blank lines are skipped."""
  return ((i, line) for i, line in enumerate(stream, 1) if line.strip())


def answer_lines(
  batches: Iterable[list], predictor: trained_model.Predictor
) -> Iterator[dict]:
  """Yields an answer for each line, with the row's `id` if it has one."""
  for batch in batches:
    rows = [read_row(number, line, predictor) for number, line in batch]
    windows = [window for _, found, _ in rows for window in found or ()]
    outputs = iter(predictor.run(windows))
    for answer, found, kept in rows:
      if found is not None:
        answer.update(predictor.answer(kept, [next(outputs) for _ in found]))
      yield answer


def read_row(number: int, line: bytes, predictor: trained_model.Predictor):
  """A line's answer so far, its windows, and what is kept for the answer.

  The windows are None if the answer is an error.
  """
  answer, where = {}, f"line {number}"
  try:
    row = reading.parse_json(line, where)
    if isinstance(row, dict) and "id" in row:
      answer["id"] = row["id"]
  except ValueError as error:
    return {"error": str(error)}, None, None
  try:
    return answer, *predictor.prepare(row)
  except ValueError as error:
    answer["error"] = f"{where}: {error}"
  return answer, None, None


if __name__ == "__main__":
  entry.run(main, Options)
