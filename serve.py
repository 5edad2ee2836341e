# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Answers HTTP requests with trained models, and shows a page to try them.

In: output folders of run_ scripts, or a pre-trained checkpoint's, each of which
is a model named after its folder; and requests such as
POST /v1/models/NAME:predict {"instances": [{"text": "..."}]}. Out:
{"predictions": [answer, ...]}, with the answers of predict.py. Requests that
come at the same time are computed together.
"""

from __future__ import annotations

import dataclasses
import importlib.util

from bert.training import entry, flags

_PACKAGES = ("fastapi", "httptools", "orjson", "prometheus_client", "uvicorn")


@dataclasses.dataclass(frozen=True)
class Options(flags.TrainedModelOptions):
  """This script's flags."""

  model_dir: tuple | None = flags.flag(
    None,
    "Output folders of training runs, or `best` in them; or folders with a"
    " pre-trained checkpoint, its bert_config.json and vocab.txt. Each is a"
    " model with its folder's name.",
    required=True,
    reads=True,
  )
  host: str = flags.flag(
    "127.0.0.1",
    "Address to listen on. The default is reached from this machine only;"
    " 0.0.0.0 is all of its addresses. Anyone who reaches it can ask, unless"
    " there are keys (--api_key_file).",
  )
  port: int = flags.flag(
    8501,
    "Port to listen on; 0: any that is free.",
    lower_bound=0,
    upper_bound=65535,
  )
  api_key_file: str | None = flags.flag(
    None,
    "File with keys, one a line. A request needs one of them: Authorization:"
    " Bearer KEY.",
    reads=True,
  )
  response_file: str | None = flags.flag(
    None,
    "Responses, one a line: the model of run_ranker.py --model=representation"
    " answers with the nearest of them. Their vectors are kept beside the file,"
    " as search_responses.py keeps them.",
    reads=True,
  )
  precision: str = flags.flag(
    "float32",
    "Precision of the encoder.",
    choices=("float32", "bfloat16"),
  )
  max_batch: int = flags.flag(
    64,
    "Compute at most N windows together. A short text is one window. Two"
    " batches are computed at the same time.",
    lower_bound=1,
  )
  max_delay_ms: float = flags.flag(
    0.0,
    "Wait so long for more requests before a batch that is not full is"
    " computed.",
    lower_bound=0.0,
    upper_bound=10_000.0,
  )
  max_queue: int = flags.flag(
    1024,
    "Refuse requests (503) while N windows wait to be computed.",
    lower_bound=1,
  )
  deadline_ms: float = flags.flag(
    10_000.0,
    "Give a request up (504) that is not answered so long after it has"
    " arrived.",
    lower_bound=1.0,
    upper_bound=3_600_000.0,
  )
  read_timeout_ms: float = flags.flag(
    10_000.0,
    "Refuse a request (408) that has not arrived as a whole after so long.",
    lower_bound=1.0,
    upper_bound=3_600_000.0,
  )
  max_body_mb: float = flags.flag(
    4.0,
    "Refuse (413) the bodies of requests that are larger, in MiB.",
    lower_bound=0.001,
    upper_bound=1024.0,
  )
  max_rows: int = flags.flag(
    1000, "The most rows of a request (400).", lower_bound=1
  )
  max_text_length: int = flags.flag(
    100_000,
    "The most characters of a row. A longer one gets an error instead of an"
    " answer.",
    lower_bound=1,
  )
  check: bool = flags.flag(
    False,
    "Load the models, compute an example with each, and end: status 0 if they"
    " can be served.",
  )
  inspect: bool = flags.flag(
    True,
    "Also answer :tokens and :attention, which the page shows. For :attention"
    " the weights are loaded once more, when it is first asked for.",
  )


def check_options(options: Options) -> None:
  """Raises ValueError if the options do not fit each other or this machine."""
  missing = [n for n in _PACKAGES if not importlib.util.find_spec(n)]
  if missing:
    raise ValueError(
      f"serve.py needs {', '.join(missing)}: pip install -r"
      " requirements-serve.txt"
    )
  if options.checkpoint and len(options.model_dir) > 1:
    raise ValueError(
      f"--checkpoint={options.checkpoint} is of one model: give one --model_dir"
    )


if __name__ == "__main__":
  entry.check_first(
    check_options, Options
  )  # --help ends here, before slow imports

import gc

from absl import logging

from bert.serving import app, batcher, front, measures, rows, server, service
from bert.serving import models as loading


def main(options: Options) -> None:
  check_options(options)
  keys = ()
  if options.api_key_file:
    keys = front.read_keys(options.api_key_file)
  if not options.check:
    bound = server.bind(options.host, options.port)  # mistakes show early
    hosts = ()
    if not keys:
      hosts = front.hosts_of(options.host, bound.getsockname()[0])
  models = loading.load(
    options.model_dir,
    checkpoint=options.checkpoint,
    task_file=options.task_file,
    precision=options.precision,
    batch_size=options.max_batch,
    response_file=options.response_file,
  )
  if options.check:
    return
  counted = measures.Measures()
  batches = batcher.Batcher(
    options.max_batch,
    options.max_delay_ms / 1000,
    options.max_queue,
    counted.note_batch,
  )
  served = service.Service(
    models, batches, counted, limits_of(options), options.inspect
  )
  gc.collect()
  gc.freeze()  # no search for garbage looks at the models again
  made = server.make_server(
    app.make_app(served, counted, keys, hosts),
    read_seconds=options.read_timeout_ms / 1000,
    finish_seconds=(options.read_timeout_ms + options.deadline_ms) / 1000 + 5,
    on_ready=lambda: logging.info(
      f"ready: {server.url_of(bound)} (Ctrl-C ends)"
    ),
  )
  server.run(made, bound, served.end)
  batches.close()


def limits_of(options: Options) -> rows.Limits:
  """What a request may ask for."""
  return rows.Limits(
    int(options.max_body_mb * 2**20),
    options.max_rows,
    options.max_text_length,
    options.deadline_ms / 1000,
  )


if __name__ == "__main__":
  entry.run(main, Options)
