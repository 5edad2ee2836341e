# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""What a user is told when something goes wrong in a script.

In: a script's `main` and its options. Out: `main` called, and one clear
sentence on standard error for anything that the user can mend.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback

import tensorflow.compat.v1 as tf
from absl import logging

from bert.files import clock, writing
from bert.training import cluster, endings, flags, messages

# The folder of the scripts, two above this file.
_PROJECT = os.path.abspath(os.path.join(__file__, "../../.."))
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


def call(main, options, age: float = 0.0) -> None:
  """Calls `main(options)` and turns a user's error into a sentence.

  Args:
    main: takes options.
    options: of `flags.Options`.
    age: seconds since the process started, for the summary of a run.

  Raises:
    SystemExit: something of the user's is wrong; it holds the sentence.
  """
  if logging.level_debug():
    tf.logging.set_verbosity(tf.logging.INFO)
  try:
    outputs = flags.outputs(options) if cluster.is_chief(options) else {}
    with writing.guarded(flags.inputs(options), outputs):
      clock.start(age)
      # AutoGraph rewrites functions whose Python branches on tensors. Ours do
      # not; it would take time and leave files in the temporary folder, because
      # `endings` skips what Python does at its exit.
      tf.autograph.experimental.do_not_convert(main)(options)
      if isinstance(options, flags.RunOptions):
        _report(options)
        logging.info(clock.summary())
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


def _report(options):
  """Writes the page that --report asks for."""
  if options.report and cluster.is_chief(options):
    from bert.reports import reports  # loads what else is not needed

    tf.summary.FileWriterCache.clear()  # closes event files: all is in them
    with clock.part("report"):
      try:
        reports.write(options.output_dir)
      except (ValueError, OSError, tf.errors.OpError) as error:
        # The run has done its work.
        logging.warning(f"--report: {messages.one_line(error)}")


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
  return messages.one_line(error)
