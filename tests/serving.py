# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""What tests of the server share: an app, a server in a thread, raw requests.

In: models as `bert.serving.models.load` gives them. Out: an app for Starlette's
TestClient, or one that listens on a port of this machine.
"""

import contextlib
import json
import socket
import threading
import types

import modeling
from bert.serving import app as apps
from bert.serving import batcher, measures, rows, server, service


class Held:
  """A model of texts, which can be held while it computes.

  A window is the text, and the answer its length.
  """

  num_responses = 0

  def __init__(self, name="held"):
    self.name, self.example, self.batches = name, {"text": "..."}, []
    config = modeling.BertConfig(10, 8, 3, 2, 16)
    self.model = types.SimpleNamespace(config=config)
    self.predictor = None
    self.may_go, self.began = threading.Event(), threading.Event()
    self.may_go.set()

  def prepare(self, row):
    if row["text"] == "defect":
      raise KeyError("my se" + "cret")  # tracebacks show this line
    return [{"input_ids": list(row["text"])}], None

  def is_short(self, row):
    return True

  def run(self, windows):
    self.batches.append(len(windows))
    self.began.set()
    assert self.may_go.wait(20)
    return [{"length": len(window["input_ids"])} for window in windows]

  def answer(self, kept, outputs):
    return {"length": outputs[0]["length"]}

  def about(self):
    return {"name": self.name}


@contextlib.contextmanager
def app_of(
  models,
  *,
  keys=(),
  hosts=(),
  inspect=True,
  max_batch=8,
  max_queue=64,
  **limits,
):
  """Yields an app for models, and its service."""
  counted = measures.Measures()
  batches = batcher.Batcher(max_batch, 0.0, max_queue, counted.note_batch, 1)
  served = service.Service(
    models, batches, counted, rows.Limits(**limits), inspect
  )
  try:
    yield apps.make_app(served, counted, keys, hosts), served
  finally:
    for model in models.values():
      if isinstance(model, Held):
        model.may_go.set()
    batches.close()


@contextlib.contextmanager
def listening(app, read_seconds=10.0):
  """Has an app listen in a thread; yields its port."""
  bound, ready = server.bind("127.0.0.1", 0), threading.Event()
  made = server.make_server(
    app, read_seconds=read_seconds, finish_seconds=20, on_ready=ready.set
  )
  port = bound.getsockname()[1]
  bound.listen()
  thread = threading.Thread(target=made.run, args=[[bound]], daemon=True)
  thread.start()
  assert ready.wait(20)
  try:
    yield port
  finally:
    made.should_exit = True
    thread.join(30)
    assert not thread.is_alive()


def connect(port):
  return socket.create_connection(("127.0.0.1", port), timeout=20)


def head(path, length=None, *lines):
  """The first bytes of a POST."""
  if length is not None:
    lines = (*lines, f"Content-Length: {length}")
  text = "".join(f"{line}\r\n" for line in ("Host: localhost", *lines))
  return f"POST {path} HTTP/1.1\r\n{text}\r\n".encode()


def post(path, *instances):
  """The bytes of a whole request."""
  body = json.dumps({"instances": instances}).encode()
  return head(path, len(body)) + body


def read_answer(connection):
  """The status and the JSON of the next answer on a connection."""
  data = b""
  while b"\r\n\r\n" not in data:
    part = connection.recv(65536)
    if not part:
      return None, data
    data += part
  first, _, body = data.partition(b"\r\n\r\n")
  lines = first.decode().lower().split("\r\n")
  fields = dict(line.split(": ", 1) for line in lines[1:])
  while len(body) < int(fields["content-length"]):
    body += connection.recv(65536)
  return int(first.split()[1]), json.loads(body)
