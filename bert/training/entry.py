# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""How a script starts, and how it ends when something goes wrong.

In: a script's `main(options)` and the class of its options. Out: TensorFlow
set up, `main` called, and one clear sentence on standard error for anything
that the user can mend.

A script imports this file before TensorFlow, so that TensorFlow starts quietly.
"""

from __future__ import annotations

import errno
import logging as python_logging
import os
import re
import sys
import traceback

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

if not (3, 9) <= sys.version_info[:2] <= (3, 11):  # TensorFlow can't say so
  sys.exit(
    f"error: Python {sys.version_info[0]}.{sys.version_info[1]} does not work:"
    " TensorFlow 2.15 needs Python 3.9, 3.10 or 3.11"
  )

from bert.training import endings  # isort: skip (before slow imports)

import tensorflow.compat.v1 as tf
from absl import app, logging

from bert.files import writing
from bert.training import cluster, flags

# The folder of the scripts, two above this file.
_PROJECT = os.path.abspath(os.path.join(__file__, "../../.."))
_TENSORFLOW = "2.15"
# What TensorFlow says of a file on a full disk.
_FULL = re.compile(r"([^\s;]+); No space left on device")
# What our input pipeline refuses while it runs.
_REFUSED = re.compile(r"assertion failed: \[(--\w+: [^\]]+)\]")
_NO_ROOM = "no room left on the disk"
# TensorFlow's errors about files that are missing, locked, folders, or damaged.
_FILE_ERRORS = (
  tf.errors.NotFoundError,
  tf.errors.PermissionDeniedError,
  tf.errors.FailedPreconditionError,
  tf.errors.DataLossError,
)


def run(main, options_class: type) -> None:
  """Runs `main(options)` as a script: flags, quiet logs, clear errors.

  Errors that our own files raise, and those of the file system, become one line
  on standard error, with exit status 1. --verbosity=1 shows the traceback too.
  Any other exception is a defect and keeps its traceback. Ctrl-C and SIGTERM
  end the script with a word and exit status 130 or 143; if nobody reads its
  standard output any more, it ends quietly with 141.

  Args:
    main: takes an options_class.
    options_class: of `flags.Options`; its fields are the flags.
  """
  _check_version()
  flags.define(options_class)
  logging.set_verbosity(logging.INFO)
  logging.get_absl_handler().setFormatter(
    python_logging.Formatter("%(message)s")
  )
  tf.logging.set_verbosity(tf.logging.ERROR)
  tf.disable_v2_behavior()
  tf.enable_resource_variables()
  with endings.clean():
    app.run(lambda words: call(main, flags.read(options_class), words[1:]))


def call(main, options, stray_words=()) -> None:
  """Calls `main(options)` and turns a user's error into a sentence.

  Args:
    main: takes options.
    options: of `flags.Options`.
    stray_words: words on the command line that are not flags.

  Raises:
    SystemExit: something of the user's is wrong; it holds the sentence.
  """
  if logging.level_debug():
    tf.logging.set_verbosity(tf.logging.INFO)
  try:
    if stray_words:
      raise ValueError(
        f"stray words on the command line: {' '.join(stray_words)} (join a flag"
        " and its value with =, as in --do_train=true)"
      )
    outputs = flags.outputs(options) if cluster.is_chief(options) else {}
    with writing.guarded(flags.inputs(options), outputs):
      main(options)
  except KeyboardInterrupt as stop:
    sys.exit(endings.stopped(stop))
  except tf.errors.ResourceExhaustedError as error:
    if logging.level_debug():
      raise
    full = _FULL.search(str(error))
    found = f"{full[1]}: {_NO_ROOM}" if full else _out_of_memory(error, options)
    sys.exit(f"error: {found}")
  except tf.train.NanLossDuringTrainingError:
    sys.exit(
      "error: the loss became NaN: lower"
      f" --learning_rate={options.learning_rate} or warm up for longer; the"
      " newest checkpoint is from before"
    )
  except endings.Unheard:
    raise
  except Exception as error:
    if logging.level_debug() or not _is_for_user(error):
      raise
    sys.exit(f"error: {_sentence(error, options)}")


def _is_for_user(error):
  """Whether our own code raised `error`, or the file system did."""
  if _FULL.search(str(error)):  # a RuntimeError of TensorFlow's event files
    return True
  if _REFUSED.search(str(error)):
    return True
  if isinstance(error, (OSError, UnicodeEncodeError, *_FILE_ERRORS)):
    return True
  if isinstance(error, tf.errors.OpError) and error.op is None:
    return True  # from tf.io.gfile
  raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
  is_ours = (
    os.path.abspath(raised_in).startswith(_PROJECT + os.sep)
    and "site-packages" not in raised_in  # a virtual environment in the project
  )
  return is_ours and isinstance(error, (ValueError, RuntimeError))


def _out_of_memory(error, options):
  """What did not fit, and the flags that help, the cheapest first."""
  size = re.search(r"shape ?(\[[\d,]*\])", str(error))
  settings, helpful = [], []
  names = ("train_batch_size", "batch_size", "max_seq_length", "precision")
  for name in names:
    if hasattr(options, name):
      settings.append(f"--{name}={getattr(options, name)}")
  if hasattr(options, "gradient_accumulation_steps"):
    parts = options.gradient_accumulation_steps
    helpful.append(f"--gradient_accumulation_steps={2 * parts} (same result)")
    if not options.recompute_layers:
      helpful.append("--recompute_layers (same result, slower)")
    if options.precision == "float32":
      helpful.append("--precision=bfloat16")
  helpful.append("a smaller batch")
  if hasattr(options, "max_seq_length"):
    helpful[-1] += ", a shorter --max_seq_length"
  return (
    f"out of memory{' for a tensor ' + size.group(1) if size else ''}"
    f"{' with ' + ', '.join(settings) if settings else ''}; try, in this order:"
    f" {'; '.join(helpful)}"
  )


def _sentence(error, options):
  """The error's message in one line."""
  if isinstance(error, OSError) and error.errno == errno.ENOSPC:
    outputs = flags.outputs(options).values()
    place = error.filename or ", ".join(
      path for each in outputs for path in each
    )
    return f"{place}: {_NO_ROOM}"
  full = _FULL.search(str(error))
  if full:
    return f"{full[1]}: {_NO_ROOM}"
  refused = _REFUSED.search(str(error))
  if refused:
    return refused[1]
  if isinstance(error, OSError) and error.filename:
    return f"{error.filename}: {error.strerror}"
  if isinstance(error, UnicodeEncodeError):  # of a name on the command line
    return f"{error.object!a:.200} is not UTF-8: rename the file or folder"
  lines = str(getattr(error, "message", error)).split("\n")
  if isinstance(error, tf.errors.OpError):  # the rest says where it was met
    noise = re.compile(r"\s|$|Graph exec|Detected at|File |Node:|\[\[|Original")
    lines = [line for line in lines if not noise.match(line)][:1] or lines
  return " ".join(" ".join(lines).split())


def _check_version():
  """Ends the program if this is another version of TensorFlow."""
  if not tf.__version__.startswith(_TENSORFLOW + "."):
    sys.exit(
      f"error: TensorFlow {tf.__version__} is installed, but TPUEstimator needs"
      f" {_TENSORFLOW}: pip install -r requirements.txt"
    )
