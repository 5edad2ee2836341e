# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The rows of a request, from the bytes of its body to their answers.

In: a body in the row format of TensorFlow Serving, {"instances": [row, ...]}.
Out: each row's windows, or what is wrong with it; and the answers, in the same
order. One bad row does not fail the others.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence

import orjson

from bert.serving import batcher
from bert.training import messages

_MOST_CHARACTERS = 500  # of an error message


@dataclasses.dataclass(frozen=True)
class Limits:
  """What a request may ask for."""

  max_body: int = 4 << 20  # bytes
  max_rows: int = 1000
  max_text_length: int = 100_000  # characters of a row
  deadline: float = 10.0  # seconds, from when the body is there


class Refusal(Exception):
  """A request that is not answered.

  Args:
    status: of HTTP.
    message: for the client.
    **headers: of the answer, with _ for -.
  """

  def __init__(self, status: int, message: str, **headers: str):
    super().__init__(message)
    self.status, self.message = status, message
    self.headers = {k.replace("_", "-"): v for k, v in headers.items()}


@dataclasses.dataclass
class Row:
  """A row on its way to its answer."""

  answer: dict  # so far: the row's id, and the error if there is one
  windows: Sequence[Mapping] = ()
  kept: object = None  # for the model's `answer`
  is_bad: bool = False


def encode(value) -> bytes:
  """A value as JSON."""
  return orjson.dumps(
    value, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
  )


def parse(body: bytes, max_rows: int) -> dict:
  """The object in a body, whose `instances` are a list of rows.

  Raises:
    Refusal: it is something else.
  """
  try:
    value = orjson.loads(body)
  except orjson.JSONDecodeError as error:
    # The message, and not the text around the place, which it holds as well.
    raise Refusal(400, f"the body is not JSON: {error.msg}") from None
  if not isinstance(value, dict) or "instances" not in value:
    raise Refusal(
      400, 'the body has to be a JSON object such as {"instances": [ROW, ...]}'
    )
  rows = value["instances"]
  if not isinstance(rows, list) or not rows:
    raise Refusal(400, "'instances' has to be a list of one row or more")
  if len(rows) > max_rows:
    raise Refusal(
      400,
      f"{len(rows)} rows are too many: a request may have {max_rows}, so send"
      " several",
    )
  return value


def number_below(value: Mapping, name: str, count: int) -> int:
  """A whole number from 0 on of a body; 0 if it is not given.

  Raises:
    Refusal: it is something else, or not below `count`.
  """
  found = value.get(name, 0)
  if isinstance(found, float) and found.is_integer():
    found = int(found)  # JSON has one kind of number
  if type(found) is not int or not 0 <= found < count:
    raise Refusal(
      400, f"{name!r} has to be a whole number from 0 to {count - 1}"
    )
  return found


def each(
  rows: Sequence,
  fill: Callable,
  max_text_length: int,
  deadline: float,
  where: str,
) -> list[Row]:
  """The rows of a request, each filled or with what is wrong with it.

  Args:
    rows: as they are in the body.
    fill: takes a Row, which it fills, and a row of the body.
    max_text_length: the most characters of a row.
    deadline: when to give up, by time.monotonic.
    where: names the model, for the log.

  Raises:
    Late: the deadline is over.
  """
  found = []
  for row in rows:
    if time.monotonic() > deadline:
      raise batcher.Late
    found.append(_filled(row, fill, max_text_length, where))
  return found


def _filled(row, fill, max_text_length, where):
  made = Row({})
  try:
    if isinstance(row, dict) and "id" in row:
      if isinstance(row["id"], (dict, list)):
        raise ValueError("'id' has to be a text or a number")
      made.answer["id"] = row["id"]
    if _num_characters(row) > max_text_length:
      raise ValueError(
        f"the row is too long: it may have {max_text_length} characters"
      )
    fill(made, row)
  except ValueError as error:
    _fail(made, messages.one_line(error)[:_MOST_CHARACTERS])
  except RecursionError:
    _fail(made, "too many nested brackets")
  except Exception as error:
    batcher.log_defect(f"a row for {where}", error)
    _fail(made, "the row can't be answered: an error in the server")
  return made


def _fail(row, message):
  row.answer["error"], row.is_bad = message, True


def _num_characters(value):
  """How many characters the texts of a value have."""
  if isinstance(value, str):
    return len(value)
  if isinstance(value, dict):
    return sum(len(k) + _num_characters(v) for k, v in value.items())
  if isinstance(value, list):
    return sum(map(_num_characters, value))
  return 0


def finish(model, rows: Sequence[Row], outputs: Sequence[Mapping]) -> bytes:
  """The body of the answer.

  Args:
    model: of `models.load`.
    rows: whose windows are computed.
    outputs: of all their windows, one after the other.
  """
  start = 0
  for row in rows:
    end = start + len(row.windows)
    if not row.is_bad:
      try:
        row.answer.update(model.answer(row.kept, outputs[start:end]))
      except Exception as error:
        batcher.log_defect(f"an answer of {model.name}", error)
        _fail(row, "the row can't be answered: an error in the server")
    start = end
  return written(rows)


def written(rows: Sequence[Row]) -> bytes:
  """The body with the answers of rows."""
  return encode({"predictions": [row.answer for row in rows]})
