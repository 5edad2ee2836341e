# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""What each request passes before the routes: keys, counting, defects.

In: ASGI requests. Out: those with a key are passed on, if keys are asked for;
each is counted by its route and status. A defect becomes an answer with the
status 500, and a line in the log without any text of the user's.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import time
from collections.abc import Collection, Sequence

from starlette.responses import Response

from bert.files import reading
from bert.serving import batcher, measures, rows

# What needs no key: a page without answers, and what watches the server.
OPEN_PATHS = frozenset(("/", "/docs", "/healthz", "/openapi.json", "/readyz"))
CUT = 499  # the status of a request whose client was gone, as in nginx


def read_keys(path: str) -> tuple[bytes, ...]:
  """The keys of a file, one a line.

  Raises:
    ValueError: it has none, or one that a header can't hold.
  """
  found = []
  text = reading.read_text(path, "file of keys")
  for number, line in enumerate(text.split("\n"), 1):
    key = line.strip()
    if not re.fullmatch(r"[!-~]*", key):
      raise ValueError(
        f"{path}, line {number}: a key has no spaces, and ASCII characters only"
      )
    if key:
      found.append(key.encode())
  if not found:
    raise ValueError(f"{path} holds no key: give one a line")
  return tuple(found)


def hosts_of(host: str, address: str) -> frozenset[bytes]:
  """The names that a server of this machine only is asked by; else none.

  Another site's name may lead a browser here (DNS rebinding), and its page
  could then read the answers.

  Args:
    host: that was asked for, a name or an address.
    address: that it has become.
  """
  if not ipaddress.ip_address(address).is_loopback:
    return frozenset()
  names = ["localhost", "127.0.0.1", "::1", host, address]
  names = [f"[{name}]" if ":" in name else name for name in names]
  return frozenset(name.lower().encode() for name in names)


def error_response(status: int, message: str, headers=None) -> Response:
  """An answer that says what is wrong."""
  return Response(
    rows.encode({"error": message}), status, headers, "application/json"
  )


class Front:
  """The outermost layer of the app, as ASGI middleware.

  Args:
    app: the next layer.
    measures: counts the requests.
    keys: of `read_keys`; none: all requests are passed on.
    hosts: of `hosts_of`; none: a request may name any.
  """

  def __init__(
    self,
    app,
    measures: measures.Measures,
    keys: Sequence[bytes] = (),
    hosts: Collection[bytes] = (),
  ):
    self._app, self._measures = app, measures
    self._keys, self._hosts = keys, hosts

  async def __call__(self, scope, receive, send):
    if scope["type"] != "http":
      await self._app(scope, receive, send)
      return
    started, status = time.monotonic(), CUT

    async def noting(message):
      nonlocal status
      if message["type"] == "http.response.start":
        status = message["status"]
      await send(message)

    try:
      if self._keys and not self._may_pass(scope):
        response = error_response(
          401,
          "a key of this server is needed: send the header Authorization:"
          " Bearer KEY",
          {"WWW-Authenticate": "Bearer"},
        )
        await response(scope, receive, noting)
      elif self._hosts and not self._is_meant(scope):
        response = error_response(
          403,
          "the server answers to the names of this machine only, such as"
          " localhost: use one, or keys (--api_key_file)",
        )
        await response(scope, receive, noting)
      else:
        await self._app(scope, receive, noting)
    except Exception as error:
      batcher.log_defect("a request", error)
      if status != CUT:  # a part of the answer is sent: it can't be mended
        raise ConnectionAbortedError from None
      response = error_response(500, "an error in the server")
      await response(scope, receive, noting)
    finally:
      route = getattr(scope.get("route"), "path_format", "none")
      self._measures.note_request(route, status, time.monotonic() - started)

  def _may_pass(self, scope):
    """Whether a request has a key, or asks for what needs none."""
    if scope["path"] in OPEN_PATHS:
      return True
    given = next((v for k, v in scope["headers"] if k == b"authorization"), b"")
    kind, _, key = given.partition(b" ")
    found = [hmac.compare_digest(key.strip(), each) for each in self._keys]
    return kind.lower() == b"bearer" and any(found)

  def _is_meant(self, scope):
    """Whether a request names this server; one of no browser may not."""
    given = next((v for k, v in scope["headers"] if k == b"host"), b"")
    return not given or re.sub(rb":\d*$", b"", given).lower() in self._hosts
