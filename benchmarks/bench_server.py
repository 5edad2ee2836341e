# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Measures serve.py: with one client, with many, and with too many.

In: the output folder of a training. Out: what is measured, and JSON with
--json_out. The server runs in a process of its own; the load comes from this
one, over loopback, one text of 16 words a request.

One client: its requests take turns with predict.py's own compute (a Predictor
in this process), and their median latencies are compared. Many clients: each
sends its next text when the last one is answered; the rate is compared with
the inference steps of bench_step.py at the texts' mean length, at the best of
several batch sizes. Too many: with --soak_seconds, requests come at twice the
rate that was measured. Each is to be answered or refused (503), the server's
memory is to stay flat, and afterwards all requests are to be answered.

  python benchmarks/bench_server.py --model_dir=mrpc_output
  python benchmarks/bench_server.py --model_dir=mrpc_output --soak_seconds=600
"""

import argparse
import asyncio
import collections
import json
import os
import pathlib
import random
import re
import resource
import signal
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import uvloop

from bert.serving import rows

WARM_UP = 0.2  # share of a phase that does not count
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


def parse_arguments():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--model_dir", required=True)
  parser.add_argument(
    "--server_flags", default="", help="other flags of serve.py"
  )
  parser.add_argument("--words", type=int, default=16, help="of each text")
  parser.add_argument(
    "--requests", type=int, default=500, help="of the one client"
  )
  parser.add_argument("--clients", type=int, default=64)
  parser.add_argument("--seconds", type=float, default=20, help="of each round")
  parser.add_argument("--rounds", type=int, default=3)
  parser.add_argument(
    "--batch_sizes", default="16,32,64,128", help="of bench_step.py; none: 0"
  )
  parser.add_argument("--soak_seconds", type=float, default=0)
  parser.add_argument(
    "--soak_connections",
    type=int,
    default=1500,
    help="that send while others wait; more than the queue holds",
  )
  parser.add_argument("--json_out", help="write what is measured here")
  return parser.parse_args()


def make_bodies(words, count=2000):
  """Requests whose texts are words that follow each other in a text."""
  text = (ROOT / "sample_text.txt").read_text("utf-8").split()
  draw = random.Random(1)
  bodies = []
  for _ in range(count):
    start = draw.randrange(len(text) - words)
    bodies.append({"text": " ".join(text[start : start + words])})
  return bodies


# ------------------------------------------------------------------- client


class Connection(asyncio.Protocol):
  """A connection that is kept, for one request at a time."""

  def __init__(self):
    self._data, self._answer = b"", None

  def connection_made(self, transport):
    self.transport = transport

  def connection_lost(self, error):
    if self._answer and not self._answer.done():
      self._answer.set_result((0, b""))

  def data_received(self, data):
    self._data += data
    head, found, body = self._data.partition(b"\r\n\r\n")
    if not found:
      return
    if len(body) == int(_LENGTH.search(head)[1]):
      self._data = b""
      if not self._answer.done():
        self._answer.set_result((int(head[9:12]), body))

  async def post(self, path: str, value) -> tuple[int, bytes]:
    """The status and body of an answer; 0: the connection was lost."""
    self._answer = asyncio.get_running_loop().create_future()
    body = rows.encode({"instances": [value]})
    head = (
      f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}"
    )
    self.transport.write(head.encode() + b"\r\n\r\n" + body)
    return await self._answer


class Server:
  """A process of serve.py."""

  def __init__(self, args):
    flags = [f"--model_dir={args.model_dir}", "--port=0"]
    self._process = subprocess.Popen(
      [sys.executable, "serve.py", *flags, *args.server_flags.split()],
      cwd=ROOT,
      stderr=subprocess.PIPE,
      text=True,
    )
    name = os.path.basename(os.path.abspath(args.model_dir))
    self.path = f"/v1/models/{name}:predict"
    for line in self._process.stderr:
      ready = re.search(r"ready: http://127.0.0.1:(\d+)", line)
      if ready:
        self._port = int(ready[1])
        return
      print(line, end="", file=sys.stderr)
    sys.exit("serve.py did not start")

  async def connect(self) -> Connection:
    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_connection(
      Connection, "127.0.0.1", self._port
    )
    return protocol

  def megabytes(self) -> float:
    """The memory of the process (RSS)."""
    status = pathlib.Path(f"/proc/{self._process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s*(\d+)", status)[1]) / 1024

  def seconds(self) -> float:
    """The processor time that it has taken."""
    fields = pathlib.Path(f"/proc/{self._process.pid}/stat").read_text()
    user, system = fields.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

  def stop(self) -> None:
    """Ends the process; says what it logged."""
    self._process.send_signal(signal.SIGTERM)
    _, log = self._process.communicate(timeout=60)
    if self._process.returncode or log:
      print(f"serve.py ended with {self._process.returncode}: {log[-2000:]}")


# ------------------------------------------------------------------- phases


def one_client(server, predictor, texts, count):
  """Median milliseconds of a request, and of predict.py's compute."""

  async def measure():
    connection = await server.connect()
    found = {"server": [], "predictor": []}
    for number in range(count):
      row = texts[number % len(texts)]
      started = time.perf_counter()
      status, _ = await connection.post(server.path, row)
      found["server"].append(time.perf_counter() - started)
      if status != 200:
        sys.exit(f"one client: status {status}")
      started = time.perf_counter()
      windows, kept = predictor.prepare(row)
      json.dumps(predictor.answer(kept, predictor.run(windows)))
      found["predictor"].append(time.perf_counter() - started)
    connection.transport.close()
    start = int(count * WARM_UP)
    return {k: 1000 * statistics.median(v[start:]) for k, v in found.items()}

  return _run(measure())


def _run(awaitable):
  uvloop.install()
  return asyncio.run(awaitable)


def many_clients(server, texts, count, seconds):
  """Sequences a second of clients that each wait for their answers."""

  async def measure():
    end = time.perf_counter() + seconds
    counted_from = end - seconds * (1 - WARM_UP)
    times = []

    async def ask(place):
      connection = await server.connect()
      while time.perf_counter() < end:
        started = time.perf_counter()
        status, _ = await connection.post(server.path, texts[place])
        if status != 200:
          sys.exit(f"{count} clients: status {status}")
        times.append((started, time.perf_counter() - started))
        place = (place + count) % len(texts)
      connection.transport.close()

    await asyncio.gather(*map(ask, range(count)))
    took = [each for started, each in times if started > counted_from]
    return len(took) / (seconds * (1 - WARM_UP)), 1000 * statistics.median(took)

  return _run(measure())


def soak(server, texts, rate, seconds, most):
  """Sends at a rate, whatever is answered, and watches the memory."""
  statuses, memory, waits = collections.Counter(), [], []

  async def watch():
    while True:
      memory.append(server.megabytes())
      await asyncio.sleep(1)

  async def ask(connection, free, text):
    started = time.perf_counter()
    status, _ = await connection.post(server.path, text)
    statuses[status] += 1
    if status == 200:
      waits.append(time.perf_counter() - started)
    free.append(connection if status else await server.connect())

  async def measure():
    free = collections.deque()
    for _ in range(most):
      free.append(await server.connect())
    watching = asyncio.create_task(watch())
    tasks, sent, not_sent = set(), 0, 0
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
      wanted = int(rate * (time.perf_counter() - started))
      while sent + not_sent < wanted:
        if not free:
          not_sent += 1
          continue
        text = texts[sent % len(texts)]
        task = asyncio.create_task(ask(free.popleft(), free, text))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        sent += 1
      await asyncio.sleep(0.002)
    await asyncio.gather(*tasks)
    watching.cancel()
    after = collections.Counter()
    for text in texts[:200]:
      status, _ = await free[0].post(server.path, text)
      after[status] += 1
    for connection in free:
      connection.transport.close()
    return {"sent": sent, "not_sent": not_sent, "after": dict(after)}

  found = _run(measure())
  tenth = max(1, len(memory) // 10)
  parts = [memory[i : i + tenth] for i in range(0, len(memory), tenth)]
  return {
    **found,
    "statuses": dict(statuses),
    "median_ms": 1000 * statistics.median(waits or [0]),
    "most_ms": 1000 * max(waits or [0]),
    "megabytes": [round(statistics.mean(part), 1) for part in parts],
  }


def step_rates(length, batch_sizes):
  """{batch size: sequences a second} of bench_step.py."""
  found = {}
  for size in batch_sizes:
    out = f"/tmp/bench_server_{os.getpid()}.json"
    subprocess.run(
      [
        *(sys.executable, ROOT / "benchmarks" / "bench_step.py"),
        *("--models=6-layer", "--modes=inference", "--precisions=float32"),
        *(f"--lengths={length}", f"--batch_size={size}", "--rounds=20"),
        f"--json_out={out}",
      ],
      check=True,
      stdout=subprocess.DEVNULL,
    )
    (row,) = json.loads(pathlib.Path(out).read_text())["rows"]
    os.remove(out)
    found[size] = row["sequences_per_second"]
  return found


# --------------------------------------------------------------------- main


def load_predictor(model_dir):
  import tensorflow.compat.v1 as tf

  from bert.training import trained_model

  tf.logging.set_verbosity(tf.logging.ERROR)
  tf.disable_v2_behavior()
  tf.enable_resource_variables()
  return trained_model.Predictor(trained_model.find_model(model_dir))


def main():
  args = parse_arguments()
  hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
  resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
  texts = make_bodies(args.words)
  batch_sizes = [int(size) for size in args.batch_sizes.split(",") if size]
  predictor = load_predictor(args.model_dir)
  windows = [w for text in texts for w in predictor.prepare(text)[0]]
  length = round(statistics.mean(len(w["input_ids"]) for w in windows))
  print(f"{args.words} words, {length} tokens on average", flush=True)
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the server too
  server, found = Server(args), {"length": length}
  try:
    found["one"] = one_client(server, predictor, texts, args.requests)
    one, own = found["one"]["server"], found["one"]["predictor"]
    print(
      f"one client: {one:.2f} ms, predict.py's compute {own:.2f} ms, ratio"
      f" {one / own:.2f}",
      flush=True,
    )
    found["rounds"] = []
    for _ in range(args.rounds):
      busy = server.seconds()
      rate, wait = many_clients(server, texts, args.clients, args.seconds)
      busy = (server.seconds() - busy) / args.seconds
      steps = step_rates(length, batch_sizes) if batch_sizes[0] else {}
      found["rounds"].append({"rate": rate, "wait_ms": wait, "steps": steps})
      best = max(steps, key=steps.get, default=0)
      print(
        f"{args.clients} clients: {rate:.0f} sequences/s, median {wait:.1f} ms,"
        f" {busy:.2f} cores"
        + (
          f"; bench_step.py {steps[best]:.0f} with batches of {best}, share"
          f" {rate / steps[best]:.0%}"
          if steps
          else ""
        ),
        flush=True,
      )
    if args.soak_seconds:
      rate = 2 * statistics.median(r["rate"] for r in found["rounds"])
      found["soak"] = soak(
        server, texts, rate, args.soak_seconds, args.soak_connections
      )
      print(f"{rate:.0f} requests/s: {json.dumps(found['soak'])}", flush=True)
  finally:
    server.stop()
  if args.json_out:
    text = json.dumps(found, indent=2) + "\n"
    pathlib.Path(args.json_out).write_text(text, "utf-8")


if __name__ == "__main__":
  main()
