# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""How a script starts.

In: a script's `main(options)` and the class of its options. Out: its command
line read, TensorFlow set up, and `main` called.

Importing this file loads no TensorFlow, which takes seconds. A script begins
with this import, which has TensorFlow start quietly, then come its options,
`entry.parse`, what is slow to import, and the rest. So --help and a wrong flag
are answered at once.
"""

from __future__ import annotations

import functools
import logging as python_logging
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

if not (3, 9) <= sys.version_info[:2] <= (3, 11):  # TensorFlow can't say so
  sys.exit(
    f"error: Python {sys.version_info[0]}.{sys.version_info[1]} does not work:"
    " TensorFlow 2.15 needs Python 3.9, 3.10 or 3.11"
  )

from absl import app, logging
from absl import flags as absl_flags

from bert.files import clock
from bert.training import endings, flags

_TENSORFLOW = "2.15"


@functools.cache
def parse(options_class: type):
  """Reads the command line that started this process.

  --help ends the script here, with status 0; a command line that is wrong ends
  it with a sentence and status 1.

  Args:
    options_class: of `flags.Options`; its fields are the flags.

  Returns:
    An options_class.
  """
  app.define_help_flags()
  logging.set_verbosity(logging.INFO)
  with endings.clean():
    try:
      options, words = flags.parse_own(options_class)
    except absl_flags.Error as error:
      sys.exit(flag_error(error))
    except SystemExit:  # of --help, which absl takes for a failure
      sys.exit(0)
    refuse(words)
  return options


def flag_error(error: absl_flags.Error) -> str:
  """What is wrong with a flag, in one line."""
  return f"error: {' '.join(str(error).split())} (--help shows all flags)"


def refuse(words) -> None:
  """Ends the script if its command line has words that are no flags."""
  if words:
    sys.exit(
      f"error: stray words on the command line: {' '.join(words)} (join a flag"
      " and its value with =, as in --do_train=true)"
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
  options = parse(options_class)
  with endings.clean():
    call = _prepare_tensorflow()
    app.run(
      lambda _: call(main, options, clock.age_of_process()),
      flags_parser=lambda words: words,
    )


def _prepare_tensorflow():
  """Sets TensorFlow and the log up, and returns `errors.call`."""
  import tensorflow.compat.v1 as tf

  if not tf.__version__.startswith(_TENSORFLOW + "."):
    sys.exit(
      f"error: TensorFlow {tf.__version__} is installed, but TPUEstimator needs"
      f" {_TENSORFLOW}: pip install -r requirements.txt"
    )
  from bert.training import errors

  logging.get_absl_handler().setFormatter(
    python_logging.Formatter("%(message)s")
  )
  tf.logging.set_verbosity(tf.logging.ERROR)
  tf.disable_v2_behavior()
  tf.enable_resource_variables()
  return errors.call
