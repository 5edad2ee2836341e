# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Connections: slow, cut, in pieces; signals, ports, and the process itself."""

import contextlib
import json
import re
import select
import signal
import socket
import threading
import time

import helpers
import pytest

pytest.importorskip("fastapi", reason="requirements-serve.txt")

import conftest
from serving import app_of, connect, head, Held, listening, post, read_answer

from bert.serving import server

pytestmark = pytest.mark.xdist_group("serve")
PATH = "/v1/models/held:predict"
ROW = {"text": "four"}
ANSWERED = (200, {"predictions": [{"length": 4}]})


@pytest.fixture
def held():
  return Held()


@pytest.fixture
def port(held):
  """Of a server in a thread, which waits half a second for a request."""
  with app_of({"held": held}, max_body=50_000) as (app, _):
    with listening(app, read_seconds=0.5) as port:
      yield port


def read_answer_of(port):
  """The answer to a request in a connection of its own."""
  with connect(port) as connection:
    connection.sendall(post(PATH, ROW))
    return read_answer(connection)


def answers(port):
  """Whether the server goes on."""
  return read_answer_of(port) == ANSWERED


def ended(connection):
  """Whether the other side has closed the connection."""
  try:
    return connection.recv(1) == b""
  except ConnectionResetError:
    return True


# -------------------------------------------------------------- connections


def test_a_connection_is_kept_for_further_requests(port):
  with connect(port) as connection:
    for _ in range(3):
      connection.sendall(post(PATH, ROW))
      assert read_answer(connection) == ANSWERED


def test_requests_that_are_sent_at_once_are_answered_in_order(port):
  with connect(port) as connection:
    connection.sendall(post(PATH, ROW) + post(PATH, {"text": "a"}))
    data = b""
    while data.count(b'"length"') < 2:
      data += connection.recv(65536)
    assert re.findall(rb'"length":(\d)', data) == [b"4", b"1"]


def test_a_request_may_come_in_pieces(port):
  with connect(port) as connection:
    data = post(PATH, ROW)
    for start in range(0, len(data), 40):
      connection.sendall(data[start : start + 40])
      time.sleep(0.01)
    assert read_answer(connection) == ANSWERED
    body = json.dumps({"instances": [ROW]}).encode()
    connection.sendall(head(PATH, None, "Transfer-Encoding: chunked"))
    for part in (body[:9], body[9:], b""):
      connection.sendall(b"%x\r\n%s\r\n" % (len(part), part))
    assert read_answer(connection) == ANSWERED


@pytest.mark.parametrize("start", [0, 1, 30, 90])
def test_a_client_that_sends_a_byte_at_a_time_is_refused(port, start):
  data = post(PATH, ROW)
  with connect(port) as connection:
    connection.sendall(data[:start])
    begun = time.monotonic()
    while not select.select([connection], [], [], 0.1)[0]:
      assert time.monotonic() - begun < 20
      if start:
        connection.sendall(data[start : start + 1])
        start += 1
    assert time.monotonic() - begun > 0.3
    if start:
      assert read_answer(connection) == (
        408,
        {"error": "the request did not arrive in 0.5 seconds"},
      )
    assert ended(connection)
  assert answers(port)


def test_slow_clients_do_not_keep_others_waiting(held):
  with app_of({"held": held}) as (app, _), listening(app, 60) as port:
    slow = [connect(port) for _ in range(50)]
    for connection in slow:
      connection.sendall(post(PATH, ROW)[:-1])
    assert answers(port)
    for connection in slow:
      connection.close()


def test_a_connection_that_is_cut_harms_nobody(port, held):
  held.may_go.clear()
  first = connect(port)
  first.sendall(post(PATH, ROW))
  assert held.began.wait(20)
  for data in (b"", b"PO", post(PATH, ROW)[:-3], post(PATH, ROW), b"\0" * 99):
    with connect(port) as connection:
      connection.sendall(data)
  second = connect(port)
  second.sendall(post(PATH, ROW))
  time.sleep(0.2)
  held.may_go.set()
  for connection in (first, second):
    assert read_answer(connection) == ANSWERED
    connection.close()
  # Of the whole request that was cut nothing is computed.
  assert sum(held.batches) == 2


def test_what_is_no_http_is_refused(port):
  for data in (b"good\r\n\r\n", b"\x16\x03\x01" * 9, b"GET / HTTP/9.9\r\n\r\n"):
    with connect(port) as connection:
      connection.sendall(data)
      assert read_answer(connection) == (
        400,
        {"error": "this is no HTTP request"},
      )
      assert ended(connection)
  assert answers(port)


def test_headers_have_a_limit(port):
  with connect(port) as connection:
    connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
    try:
      for _ in range(100):
        connection.sendall(b"a" * 1000)
        time.sleep(0.001)
    except (BrokenPipeError, ConnectionResetError):
      pass
  with connect(port) as connection:
    connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 65536)
    assert read_answer(connection)[0] == 431
  assert answers(port)


def test_what_follows_a_body_has_a_limit(port):
  """The fields behind the last chunk, in one or in many."""
  body = json.dumps({"instances": [ROW]}).encode()
  begun = head(PATH, None, "Transfer-Encoding: chunked") + (
    b"%x\r\n%s\r\n0\r\n" % (len(body), body)
  )
  with connect(port) as connection:
    connection.sendall(begun + b"X: 1\r\n\r\n")
    assert read_answer(connection) == ANSWERED
  for part in (b"X: " + b"a" * 9000 + b"\r\n", b"a" * 9000):
    with connect(port) as connection:
      connection.sendall(begun + b"X: ")
      time.sleep(0.05)
      sent = 0
      with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while sent < 8_000_000:
          connection.sendall(part)
          sent += len(part)
          if select.select([connection], [], [], 0.002)[0]:
            break
      assert read_answer(connection)[0] == 431
      assert sent < 1_000_000
  assert answers(port)


@pytest.mark.parametrize(
  "second", [post(PATH, ROW)[:-5], b"POS", b"\r\n", b"\0\0 \0", b"POST / \0"]
)
def test_what_is_wrong_with_a_later_request_is_no_answer_to_the_first(
  port, held, second
):
  held.may_go.clear()
  with connect(port) as connection:
    connection.sendall(post(PATH, ROW))
    assert held.began.wait(20)
    connection.sendall(second)
    time.sleep(0.8)  # it has arrived too late
    held.may_go.set()
    assert read_answer(connection) == ANSWERED
    if second == b"\r\n":  # may stand before a request
      connection.sendall(post(PATH, ROW))
      assert read_answer(connection) == ANSWERED
      return
    if b"\0" not in second:
      assert read_answer(connection)[0] == 408
    assert ended(connection)
  assert answers(port)


def test_a_body_that_is_too_large_is_refused(port):
  with connect(port) as connection:
    connection.sendall(head(PATH, 300_000) + b" " * 300_000)
    status, answer = read_answer(connection)
    assert status == 413
    assert answer["error"].startswith("the body is too large: 50000 bytes are ")
    connection.sendall(post(PATH, ROW))  # it was read: the connection is kept
    assert read_answer(connection) == ANSWERED
  with connect(port) as connection:
    connection.sendall(head(PATH, None, "Transfer-Encoding: chunked"))
    for _ in range(10):
      connection.sendall(b"2710\r\n" + b" " * 10_000 + b"\r\n")
    connection.sendall(b"0\r\n\r\n")
    assert read_answer(connection)[0] == 413
  with connect(port) as connection:  # it asks before it sends
    connection.sendall(head(PATH, 300_000, "Expect: 100-continue"))
    assert read_answer(connection)[0] == 413


def test_an_answer_that_nobody_takes_is_given_up(held, monkeypatch):
  monkeypatch.setattr(server, "_SECONDS_TO_TAKE", 0.3)
  lost, lose = threading.Event(), server.Connection.connection_lost

  def connection_lost(self, error):
    lose(self, error)
    lost.set()

  monkeypatch.setattr(server.Connection, "connection_lost", connection_lost)
  held.answer = lambda kept, outputs: {"text": "a" * 1_000_000}
  with app_of({"held": held}) as (app, _), listening(app) as port:
    with connect(port) as connection:
      connection.sendall(post(PATH, *[ROW] * 30))
      assert lost.wait(20)
      received = 0
      try:
        while part := connection.recv(1 << 20):
          received += len(part)
      except ConnectionResetError:
        pass
      assert received < 25_000_000  # what the system keeps of it
    assert read_answer_of(port)[0] == 200


def test_it_finishes_what_was_accepted(held):
  with app_of({"held": held}) as (app, _), listening(app) as port:
    held.may_go.clear()
    connection = connect(port)
    connection.sendall(post(PATH, ROW))
    assert held.began.wait(20)
    threading.Timer(0.5, held.may_go.set).start()
  assert read_answer(connection) == ANSWERED  # the server has ended
  assert ended(connection)
  with pytest.raises(ConnectionRefusedError):
    connect(port)


# ---------------------------------------------------------------- addresses


def test_addresses():
  for host, port, url in (
    ("127.0.0.1", 0, "http://127.0.0.1:"),
    ("localhost", 0, "http://"),
    ("0.0.0.0", 0, "http://127.0.0.1:"),
  ):
    bound = server.bind(host, port)
    assert server.url_of(bound).startswith(url)
    bound.close()
  with socket.create_server(("127.0.0.1", 0)) as other:
    port = other.getsockname()[1]
    with pytest.raises(ValueError, match=f"--port={port}: Address already in"):
      server.bind("127.0.0.1", port)
  for host, reason in (
    ("nowhere.invalid", "--host=nowhere.invalid --port=80: "),
    ("192.0.2.1", "Cannot assign requested address"),
    ("a" * 70, "can't listen on --host="),
  ):
    with pytest.raises(ValueError, match=reason):
      server.bind(host, 80)


# ------------------------------------------------------------- the process


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  made = tmp_path_factory.mktemp("process") / "classifier"
  return conftest.make_trained_folder(
    "classifier", made, **conftest.CLASSIFIER_NOTE
  )


def test_the_process_from_start_to_sigterm(folder):
  """A batch waits a second; the signal comes while a request is in it."""
  process = helpers.start_process(
    "serve.py", f"--model_dir={folder}", "--port=0", "--max_delay_ms=1500"
  )
  log = []
  for line in process.stderr:
    log.append(line)
    if line.startswith("ready: "):
      break
  ready = re.fullmatch(
    r"ready: http://127\.0\.0\.1:(\d+) \(Ctrl-C ends\)\n", log[-1]
  )
  assert ready, log
  port = int(ready[1])
  other = helpers.run_process(
    "serve.py", f"--model_dir={folder}", f"--port={port}"
  )
  assert other.returncode == 1
  assert other.stderr == (
    f"error: can't listen on --host=127.0.0.1 --port={port}: Address already in"
    " use\n"
  )
  for path in folder.iterdir():
    path.unlink()  # the model is in memory
  path = "/v1/models/classifier:predict"
  with connect(port) as connection, connect(port) as silent:
    connection.sendall(post(path, {"text": "my secret"}))
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    status, answer = read_answer(connection)
    assert status == 200 and "label" in answer["predictions"][0]
    assert ended(silent)
  output, rest = process.communicate(timeout=30)
  assert (process.returncode, output, rest) == (0, "", "")
  assert log[0].startswith("classifier: classifier with ")
  assert len(log) == 2
