# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""What tests share: small files and models, and running a script.

Starting a process that imports TensorFlow takes seconds. `run` runs a script's
`main` in the test's own process, with its flags parsed as on the command line;
`run_process` starts it as a user does, which few tests need.
"""

import contextlib
import io
import logging as python_logging
import os
import pathlib
import signal
import socket
import subprocess
import sys
from typing import NamedTuple

import tensorflow.compat.v1 as tf
from absl import flags as absl_flags
from absl import logging

import modeling
from bert.tasks import pretraining
from bert.training import entry, errors, flags

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
PRETRAINED_WORDS = (
  "[PAD] [UNK] [CLS] [SEP] [MASK] good bad day ##s one two a the cafe , ."
)
absl_flags.FLAGS.mark_as_parsed()  # pytest's own command line holds none


class Done(NamedTuple):
  """How a script ended."""

  returncode: int
  stdout: str
  stderr: str


def write(path, text) -> str:
  """Writes a text file, its folder too, and returns its path."""
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(text, encoding="utf-8")
  return str(path)


def run(script, *arguments, stdin="") -> Done:
  """Runs a script's main in this process.

  Args:
    script: the imported module, with `main` and `Options`.
    *arguments: such as "--do_train".
    stdin: str or bytes that it reads from standard input.

  Returns:
    How it ended; a defect is raised.
  """
  out, err = _stream("strict"), _stream("backslashreplace")
  handler = logging.get_absl_handler().python_handler
  before = handler.stream, sys.stdin, logging.get_verbosity()
  handler.setFormatter(python_logging.Formatter("%(message)s"))
  data = stdin.encode() if isinstance(stdin, str) else stdin
  try:
    handler.stream, sys.stdin = err, io.TextIOWrapper(io.BytesIO(data))
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    tf.logging.set_verbosity(tf.logging.ERROR)  # which tf2onnx changes
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
      code = _call(script, arguments, err)
  finally:
    handler.stream, sys.stdin, verbosity = before
    logging.set_verbosity(verbosity)
    tf.reset_default_graph()
  return Done(code, *(_text(stream) for stream in (out, err)))


def _call(script, arguments, err):
  """The exit status of a script's main."""
  try:
    options, words = flags.parse(script.Options, arguments)
    entry.refuse(words)
    errors.call(script.main, options)
  except absl_flags.Error as error:
    err.write(entry.flag_error(error) + "\n")
    return 1
  except SystemExit as end:
    if isinstance(end.code, str):
      err.write(end.code + "\n")
      return 1
    return end.code or 0
  return 0


def _stream(errors):
  return io.TextIOWrapper(
    io.BytesIO(), encoding="utf-8", errors=errors, write_through=True
  )


def _text(stream):
  return stream.buffer.getvalue().decode("utf-8", "replace")


def run_process(script: str, *arguments, stdin="", **options):
  """Runs a script, such as "predict.py", in a process of its own."""
  return subprocess.run(
    [sys.executable, str(ROOT / script), *arguments],
    input=stdin,
    capture_output=True,
    text=True,
    **options,
  )


def start_process(*arguments, **options):
  """Starts Python in a process group of its own, which takes signals.

  Args:
    *arguments: of Python; a script, such as "predict.py", and its flags.
    **options: of subprocess.Popen.
  """

  def prepare():
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # not as in the background

  pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
  return subprocess.Popen(
    [sys.executable, *arguments],
    cwd=ROOT,
    text=True,
    preexec_fn=prepare,
    **{**pipes, **options},
  )


def free_addresses(count):
  """Addresses on this machine on which no program listens."""
  sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
  addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
  for each in sockets:
    each.close()
  return addresses


def masked_row(ids, positions, length: int, predictions: int, is_random=0):
  """A pre-training record whose ids at some positions are masked by id 4.

  Args:
    ids: the true ids, without padding.
    positions: which of them are masked.
    length: of the record.
    predictions: how many masked words it has room for.
    is_random: its `next_sentence_labels`.
  """
  masked = list(positions)
  padding = [0] * (length - len(ids))
  rest = [0] * (predictions - len(masked))
  given = [4 if i in masked else token for i, token in enumerate(ids)]
  return {
    "input_ids": given + padding,
    "input_mask": [1] * len(ids) + padding,
    "segment_ids": [0] * length,
    "masked_lm_positions": masked + rest,
    "masked_lm_ids": [ids[position] for position in masked] + rest,
    "masked_lm_weights": [1.0] * len(masked) + [0.0] * len(rest),
    "next_sentence_labels": [is_random],
  }


def make_pretrained_folder(folder, next_sentence=True):
  """A released checkpoint: bert_model.ckpt, vocab.txt, bert_config.json."""
  folder.mkdir(parents=True)
  words = PRETRAINED_WORDS.split()
  config = modeling.BertConfig(
    len(words) + 1, 8, 1, 2, 16, max_position_embeddings=64
  )
  config.initializer_range = 0.5
  (folder / "bert_config.json").write_text(config.to_json_string())
  (folder / "vocab.txt").write_text("\n".join([*words, ""]))
  with tf.Graph().as_default(), tf.Session() as session:
    tf.set_random_seed(1)
    ids = tf.zeros([1, 3], tf.int32)
    encoder = modeling.BertModel(config, False, ids, ids + 1, ids)
    pretraining.masked_lm_logits(
      config, tf.zeros([1, 8]), encoder.get_embedding_table()
    )
    if next_sentence:
      pretraining.next_sentence_logits(config, encoder.get_pooled_output())
    session.run(tf.global_variables_initializer())
    tf.train.Saver().save(
      session, str(folder / "bert_model.ckpt"), write_state=False
    )
  return folder
