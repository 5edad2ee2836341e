# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""What a server does with a request for a model, from its body to its answer.

In: requests, and the models of a server. Out: bodies in the row format of
TensorFlow Serving, {"predictions": [answer, ...]}, or a Refusal.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures

from starlette.requests import ClientDisconnect, Request

from bert.serving import batcher as batchers
from bert.serving import inspection, models, rows
from bert.serving import measures as measuring

# Where a connection keeps what is to be called when it is lost.
WATCHERS = "bert.watchers"
# Set by a connection that gives a request up which arrives too slowly.
LATE = "bert.late"
NO_THREAD = "the server computes nothing any more: it has to be started again"
# The rows of a body of so many bytes are prepared at once; those of a larger
# one in a thread, so that the event loop goes on.
_SMALL_BODY = 2048
_THREADS = 2  # for those
_MOST_IN_THREADS = 64  # requests, before others are refused
# A body that is too large is read up to so many times the limit: a client that
# is still sending does not hear what is wrong.
_READ_ON = 16
# So many of the largest bodies may be held in memory at a time.
_MOST_BODIES = 64
_MOST_SECONDS_TO_WAIT = 60  # that Retry-After names
# A request is refused if those that wait will take more of its deadline.
_SHARE_TO_WAIT = 0.6


@dataclasses.dataclass(frozen=True)
class _Given:
  """A request that was read."""

  value: Mapping  # of `rows.parse`
  is_small: bool
  deadline: float  # by time.monotonic

  @property
  def rows(self) -> Sequence:
    return self.value["instances"]


class Service:
  """Answers requests for models.

  Args:
    served: {name: Served} of `models.load`.
    batcher: that computes their windows.
    measures: that count the rows.
    limits: of each request.
    inspect: whether to answer `tokens` and `attention`.

  Attributes:
    models: {name: Served}.
    limits: of each request.
    is_ending: whether the server is about to end.
  """

  def __init__(
    self,
    served: Mapping[str, models.Served],
    batcher: batchers.Batcher,
    measures: measuring.Measures,
    limits: rows.Limits,
    inspect: bool = True,
  ):
    self.models, self.limits, self.is_ending = served, limits, False
    self._batcher, self._measures = batcher, measures
    self._inspect = inspect
    self._threads = futures.ThreadPoolExecutor(_THREADS, "prepare")
    self._num_in_threads = 0
    self._num_bytes = 0  # of bodies that are held
    self._attention = {
      name: inspection.Attention(each.model) for name, each in served.items()
    }
    measures.watch_queue(lambda: batcher.num_waiting)

  @property
  def is_alive(self) -> bool:
    """Whether windows are computed; if not, the server is broken."""
    return self._batcher.is_alive

  @property
  def is_ready(self) -> bool:
    """Whether requests are answered."""
    return self.is_alive and not self.is_ending

  def end(self) -> None:
    """Has the server say that it is about to end."""
    self.is_ending = True

  def about(self, model: models.Served) -> dict:
    """What users want to know of a model."""
    return {**model.about(), "inspect": self._inspect}

  def find(self, request: Request) -> models.Served:
    """The model that a request's path names.

    Raises:
      Refusal: there is none.
    """
    name = request.path_params["name"]
    if name not in self.models:
      raise rows.Refusal(
        404,
        f"there is no model {name[:100]!r}: this server has"
        f" {', '.join(self.models)}",
      )
    return self.models[name]

  # ------------------------------------------------------------ the answers

  async def predict(self, request: Request) -> bytes:
    """The answers to rows."""
    model = self.find(request)

    def fill(row, value):
      row.windows, row.kept = model.prepare(value)

    async with self._read(request, model) as given:
      found = await self._filled(model, given, fill)
      windows = [window for row in found for window in row.windows]
      self._refuse_large(len(windows))
      outputs = await self._batcher.compute(
        model, windows, given.deadline, request.scope.get(WATCHERS)
      )
      body = await self._call(given, rows.finish, model, found, outputs)
    self._count(model, found)
    return body

  async def tokens(self, request: Request) -> bytes:
    """How a model reads rows: pieces and their ids."""
    model = self._inspected(request)

    def fill(row, value):
      row.answer.update(inspection.tokens(model.predictor, value))

    async with self._read(request, model) as given:
      return rows.written(await self._filled(model, given, fill))

  async def attention(self, request: Request) -> bytes:
    """Which tokens of a row look at which, in one layer and head."""
    model = self._inspected(request)
    async with self._read(request, model) as given:
      return await self._attention_of(model, given)

  async def _attention_of(self, model, given):
    if len(given.rows) > 1:
      raise rows.Refusal(400, ":attention takes one row at a time")
    config = model.model.config
    layer = rows.number_below(given.value, "layer", config.num_hidden_layers)
    head = rows.number_below(given.value, "head", config.num_attention_heads)

    def fill(row, value):
      found = self._attention[model.name].weights(value, layer, head)
      row.answer.update(found)

    given = dataclasses.replace(given, is_small=False)
    found = await self._filled(model, given, fill)
    return await self._call(given, rows.written, found)

  def _inspected(self, request):
    if not self._inspect:
      raise rows.Refusal(404, "this server was started with --noinspect")
    return self.find(request)

  def _count(self, model, found):
    num_bad = sum(row.is_bad for row in found)
    self._measures.note_rows(model.name, len(found), num_bad)

  # --------------------------------------------------------------- the steps

  @contextlib.asynccontextmanager
  async def _read(self, request, model):
    """A request with the rows of its body, whose bytes count meanwhile.

    Raises:
      Refusal: too many wait, or the body is not as it should be.
    """
    self._refuse_if_busy()
    held = 0

    def hold(size):
      nonlocal held
      if self._num_bytes + size > _MOST_BODIES * self.limits.max_body:
        raise _busy("too many large requests wait: try again later")
      self._num_bytes += size
      held += size

    try:
      body = await read_body(request, self.limits.max_body, hold)
      self._refuse_if_busy()  # others may have come meanwhile
      deadline = time.monotonic() + self.limits.deadline
      given = _Given({}, len(body) <= _SMALL_BODY, deadline)
      value = await self._call(given, rows.parse, body, self.limits.max_rows)
      is_small = given.is_small and all(map(model.is_short, value["instances"]))
      yield dataclasses.replace(given, value=value, is_small=is_small)
    finally:
      self._num_bytes -= held

  def _refuse_if_busy(self):
    """Raises Refusal if what waits already comes before a new request."""
    if not self._batcher.is_alive:
      raise rows.Refusal(503, NO_THREAD)
    seconds = self._batcher.seconds_to_wait()
    if (
      self._batcher.is_full
      or self._num_in_threads >= _MOST_IN_THREADS
      or seconds > _SHARE_TO_WAIT * self.limits.deadline
    ):
      raise _busy("too many requests wait: try again later", seconds)

  def _refuse_large(self, size):
    """Raises Refusal if so many windows can't be computed in time."""
    most = self._batcher.max_queue
    if size > most:
      raise rows.Refusal(
        413,
        f"the rows make {size} windows, and {most} are the most: send fewer"
        " rows",
      )
    waiting = self._batcher.seconds_to_wait(size)
    seconds = waiting + self._batcher.seconds_to_compute(size)
    if size > 1 and seconds > self.limits.deadline:
      raise _busy(
        f"the {size} windows of the rows would take {seconds:.0f} seconds, and"
        f" {self.limits.deadline:g} are the most: send fewer rows",
        waiting,
      )

  async def _filled(self, model, given, fill):
    """The rows of a request, each filled by a function."""
    return await self._call(
      *(given, rows.each, given.rows, fill, self.limits.max_text_length),
      *(given.deadline, model.name),
    )

  async def _call(self, given, function, *arguments):
    """What a function returns; for a large request, called in a thread."""
    if given.is_small:
      return function(*arguments)
    loop = asyncio.get_running_loop()
    call = functools.partial(function, *arguments)
    self._num_in_threads += 1
    try:
      return await asyncio.wait_for(
        loop.run_in_executor(self._threads, call),
        given.deadline - time.monotonic(),
      )
    except (asyncio.TimeoutError, futures.TimeoutError):
      raise batchers.Late from None
    finally:
      self._num_in_threads -= 1


def _busy(message, seconds=0.0):
  """A refusal that says after how many seconds to try again."""
  seconds = min(max(math.ceil(seconds), 1), _MOST_SECONDS_TO_WAIT)
  return rows.Refusal(503, message, Retry_After=str(seconds))


async def read_body(
  request: Request, most: int, hold: Callable[[int], None]
) -> bytes:
  """The body of a request, which may come in pieces.

  Args:
    request: whose body it is.
    most: bytes that it may have.
    hold: called with the size of each piece that is kept.

  Raises:
    Refusal: it has more than `most` bytes.
    ClientDisconnect: the client is gone.
  """
  declared = request.headers.get("content-length", "0")
  size = int(declared) if declared.isdecimal() else 0
  is_refused = size > most
  has_more = size <= _READ_ON * most and not (
    is_refused and "expect" in request.headers  # it asks before it sends
  )
  parts, size = [], 0
  while has_more:
    message = await request.receive()
    if message["type"] == "http.disconnect":
      if request.scope.get(LATE):
        raise rows.Refusal(408, "the request arrives too slowly")
      raise ClientDisconnect
    part = message.get("body", b"")
    size += len(part)
    is_refused = is_refused or size > most
    if is_refused:
      parts.clear()
    else:
      hold(len(part))
      parts.append(part)
    has_more = message.get("more_body", False)
    if size > _READ_ON * most:
      break
  if is_refused:
    raise rows.Refusal(
      413,
      f"the body is too large: {most} bytes are the most, so send several"
      " requests",
      **({"Connection": "close"} if has_more or not size else {}),
    )
  return b"".join(parts)
