# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Listens for HTTP requests until a signal comes, with uvicorn.

In: an ASGI app and an address. Out: its answers. A request that arrives too
slowly is refused, an answer that is taken too slowly is given up, and after a
signal what was accepted is finished.
"""

from __future__ import annotations

import contextlib
import functools
import http
import logging as python_logging
import math
import resource
import socket
import sys
from collections.abc import Callable

import uvicorn
from uvicorn.protocols.http import httptools_impl

from bert.files import reading
from bert.serving import rows, service
from bert.training import endings

_MOST_HEAD_BYTES = 1 << 16  # of a request's line and headers
_SECONDS_TO_IDLE = 30  # of a connection between two requests
_SECONDS_TO_TAKE = 60  # an answer, once the client's buffers are full
# So long a thread may hold Python's lock that another one waits for. Those that
# compute would wait longer while many requests are handled.
_SWITCH_SECONDS = 0.0005
_BACKLOG = 2048  # connections that are not accepted yet
_MOST_FILES = 1 << 16  # connections and files


# -------------------------------------------------------------- connections


class Connection(httptools_impl.HttpToolsProtocol):
  """A connection that ends if its client is too slow.

  Args:
    read_seconds: in which a request has to arrive.
    **options: of uvicorn.
  """

  def __init__(self, *, read_seconds: float, **options):
    super().__init__(**options)
    self._read_seconds = read_seconds
    self._reading = self._writing = None  # timers
    # Bytes that have come since a request began, or the last of its body.
    self._head_bytes = 0
    self._is_in_head = True
    self._is_partial = False  # whether a part of a request has come
    self._is_last = False  # whether it ends after the answer under way
    self._watchers = set()

  def connection_made(self, transport):
    super().connection_made(transport)
    self._begin_reading()

  def connection_lost(self, exc):
    self._end_reading()
    self.resume_writing()
    for call in tuple(self._watchers):
      call()
    super().connection_lost(exc)

  def data_received(self, data):
    self._begin_reading()
    self._head_bytes += len(data)
    super().data_received(data)
    # Also those behind a body: uvicorn keeps them.
    if self._head_bytes > _MOST_HEAD_BYTES:
      self._refuse(431, f"the headers have over {_MOST_HEAD_BYTES} bytes")

  def on_message_begin(self):
    super().on_message_begin()
    self._begin_reading()
    self._is_in_head = self._is_partial = True
    self.scope[service.WATCHERS] = self._watchers

  def on_headers_complete(self):
    super().on_headers_complete()
    self._is_in_head, self._head_bytes = False, 0

  def on_body(self, body):
    super().on_body(body)
    self._head_bytes = 0

  def on_message_complete(self):
    self._end_reading()
    self._head_bytes, self._is_partial = 0, False
    super().on_message_complete()

  def on_response_complete(self):
    if self._is_last:
      self.transport.close()
    super().on_response_complete()
    if self._is_partial and not self.transport.is_closing():
      self._unset_keepalive_if_required()
      self._begin_reading()

  def send_400_response(self, msg):
    self._refuse(400, "this is no HTTP request")

  # ------------------------------------------------------------- the timers

  def _is_answering(self):
    """Whether a request that has arrived is not answered yet.

    What comes behind it is not read, or at least not answered, until then.
    """
    cycle = self.cycle
    return bool(self.pipeline) or (
      cycle is not None and not cycle.response_complete and not cycle.more_body
    )

  def _begin_reading(self):
    if not self._reading and not self._is_answering():
      self._reading = self.loop.call_later(self._read_seconds, self._be_late)

  def _end_reading(self):
    if self._reading:
      self._reading.cancel()
      self._reading = None

  def _be_late(self):
    """Refuses a request that has not arrived in time."""
    if not self._is_in_head:
      self.scope[service.LATE] = True
    if self._is_in_head and not self._head_bytes:
      self.transport.close()  # it never began
    else:
      self._refuse(
        408, f"the request did not arrive in {self._read_seconds:g} seconds"
      )

  def pause_writing(self):
    super().pause_writing()
    if not self._writing:
      abort = self.transport.abort
      self._writing = self.loop.call_later(_SECONDS_TO_TAKE, abort)

  def resume_writing(self):
    if self._writing:
      self._writing.cancel()
      self._writing = None
    super().resume_writing()

  def _refuse(self, status, message):
    """Answers without the app, if no answer is under way, and hangs up."""
    if self.transport.is_closing():
      return
    if self._is_answering():  # that answer comes first, and is the last one
      self._is_last = True
      self.flow.pause_reading()
      return
    if self._is_in_head or not self.cycle.response_started:
      body = rows.encode({"error": message})
      head = (
        f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\n"
        "content-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
      )
      self.transport.write(head.encode() + body)
    self.transport.close()


# ------------------------------------------------------------------- server


class _Server(uvicorn.Server):
  """uvicorn's server, which says when it listens."""

  def __init__(self, config, on_ready):
    super().__init__(config)
    self._on_ready = on_ready

  def capture_signals(self):
    return contextlib.nullcontext()  # `run` has them handled

  async def startup(self, sockets=None):
    await super().startup(sockets)
    self._on_ready()


def bind(host: str, port: int) -> socket.socket:
  """A socket with an address of this machine, on which nobody listens yet.

  Args:
    host: a name or an address.
    port: 0: any that is free.

  Raises:
    ValueError: there is no such address here, or it is in use.
  """
  try:
    family, kind, protocol, _, address = socket.getaddrinfo(
      host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    found = socket.socket(family, kind, protocol)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(address)
  except (OSError, UnicodeError) as error:
    raise _not_bound(host, port, error) from None
  return found


def _not_bound(host, port, error):
  return ValueError(
    f"can't listen on --host={host} --port={port}: {reading.reason(error)}"
  )


def url_of(bound: socket.socket) -> str:
  """The address that a browser on this machine takes."""
  host, port = bound.getsockname()[:2]
  if host in ("0.0.0.0", "::"):
    host = "127.0.0.1" if host == "0.0.0.0" else "::1"
  return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def make_server(
  app,
  *,
  read_seconds: float,
  finish_seconds: float,
  on_ready: Callable[[], None],
) -> uvicorn.Server:
  """A server of uvicorn, to run with a socket that listens.

  Args:
    app: an ASGI app.
    read_seconds: in which a request has to arrive.
    finish_seconds: how long requests may go on when the server ends.
    on_ready: called when requests are taken.
  """
  # It would have a line for each request that is not HTTP.
  python_logging.getLogger("uvicorn.error").setLevel(python_logging.ERROR)
  config = uvicorn.Config(
    app,
    http=functools.partial(Connection, read_seconds=read_seconds),
    ws="none",
    lifespan="off",
    log_config=None,
    access_log=False,
    server_header=False,
    timeout_keep_alive=_SECONDS_TO_IDLE,
    timeout_graceful_shutdown=math.ceil(finish_seconds),
  )
  return _Server(config, on_ready)


def run(
  server: uvicorn.Server,
  bound: socket.socket,
  on_signal: Callable[[], None],
) -> None:
  """Answers requests until Ctrl-C or SIGTERM, then finishes what was accepted.

  Args:
    server: of `make_server`.
    bound: of `bind`.
    on_signal: called when a signal comes.

  Raises:
    ValueError: the address has come into use.
  """
  try:
    bound.listen(_BACKLOG)
  except OSError as error:
    raise _not_bound(*bound.getsockname()[:2], error) from None
  sys.setswitchinterval(_SWITCH_SECONDS)
  _allow_many_files()

  def end(number, frame):
    server.handle_exit(number, frame)  # the second Ctrl-C does not wait
    on_signal()

  with endings.handled_by(end):
    server.run(sockets=[bound])


def _allow_many_files():
  """Raises the limit of open files, of which each connection is one."""
  soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
  wanted = _MOST_FILES
  if hard != resource.RLIM_INFINITY:
    wanted = min(wanted, hard)
  if soft != resource.RLIM_INFINITY and soft < wanted:
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
