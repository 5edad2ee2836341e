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

import ast
import functools
import logging as python_logging
import os
import re
import sys
import types

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

if not (3, 9) <= sys.version_info[:2] <= (3, 11):  # TensorFlow can't say so
  sys.exit(
    f"error: Python {sys.version_info[0]}.{sys.version_info[1]} does not work:"
    " TensorFlow 2.15 needs Python 3.9, 3.10 or 3.11"
  )

from absl import app, logging
from absl import flags as absl_flags

from bert.files import clock, reading
from bert.training import endings, flags

_TENSORFLOW = "2.15"
# What absl says of a flag that is required.
_MISSING = re.compile(r"Flag (--\w+) must have a value other than None")
# Where a script's command line is read, and by which class.
_PARSE = re.compile(r"if __name__ == '__main__':\n\s+entry\.parse\((\w+)\)")


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


def check_first(check, options_class: type) -> None:
  """Has a script's options checked before its slow imports.

  A command line that is wrong ends the script, as in `parse`.

  Args:
    check: takes an options_class; a ValueError of it ends the script with its
      sentence and status 1.
    options_class: of `flags.Options`.
  """
  options = parse(options_class)
  with endings.clean():
    try:
      check(options)
    except ValueError as error:
      sys.exit(f"error: {error}")


def options_class_of(path: str) -> type:
  """The class of a script's options, without what is slow to import.

  Args:
    path: of a script that begins as this file says.

  Raises:
    ValueError: it does not, or can't be read.
  """
  text = reading.read_text(path, "script")
  try:
    statements = ast.parse(text).body
  except (SyntaxError, ValueError) as error:
    raise ValueError(f"{path} is not Python: {error}") from None
  found = map(_PARSE.fullmatch, map(ast.unparse, statements))
  place, called = next((p for p in enumerate(found) if p[1]), (0, None))
  if not called:
    raise ValueError(
      f"{path} does not declare its flags as the scripts here do: no"
      " entry.parse(Options) under if __name__ == '__main__'"
    )
  module = types.ModuleType(f"options_of_{len(sys.modules)}")
  sys.modules[module.__name__] = module  # where dataclasses look
  head = ast.Module(statements[:place], type_ignores=[])
  try:
    exec(compile(head, path, "exec"), module.__dict__)
    return getattr(module, called[1])
  except (AttributeError, ImportError, NameError) as error:
    raise ValueError(f"{path} can't be loaded: {error}") from None


def flag_error(error: absl_flags.Error) -> str:
  """What is wrong with a flag, in one line."""
  text = " ".join(str(error).split())
  missing = _MISSING.findall(text)
  if missing:
    text = f"give {', '.join(missing)}"
  return f"error: {text} (--help shows all flags)"


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
