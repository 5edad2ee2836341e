# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""How a script's process ends: alone, by a signal, or with nobody listening.

In: Ctrl-C, SIGTERM, a standard output that is closed, full or read no more.
Out: what is half written is removed, a word on standard error, an exit status.

Importing this file, which a script does first, has Ctrl-C during the slow
imports that follow say so without a traceback.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

_WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
# After a signal: within this time the program begins to end, or is ended; and
# so long it may take to remove what is half written.
_SECONDS_TO_BEGIN = 1.5
_SECONDS_TO_END = 10
_is_stopping = threading.Event()
_stops: list[KeyboardInterrupt] = []  # the one that `_stop` has raised
_REASONS = {
  errno.EBADF: "it is closed",
  errno.ENOSPC: "no room left on the disk",
}


class Unheard(OSError):
  """Standard output can't be written."""


def _prepare_process():
  """Has imports stop with a word, and no file take a standard one's number."""

  def show(kind, error, trace):
    if _stops:  # during slow imports, which may turn it into another error
      _leave(stopped(_stops[0]))
    if issubclass(kind, KeyboardInterrupt):
      stopped(error)
    else:
      sys.__excepthook__(kind, error, trace)

  show_any = threading.excepthook

  def show_of_thread(given):
    # Of TensorFlow's event files: the main thread meets it too, and says so.
    if "No space left on device" not in str(given.exc_value):
      show_any(given)

  sys.excepthook, threading.excepthook = show, show_of_thread
  for number in range(3):
    try:
      os.fstat(number)
    except OSError:  # it is closed
      os.open(os.devnull, os.O_RDONLY)


@contextlib.contextmanager
def clean() -> Iterator[None]:
  """Runs a part of a script in the block; what ends it ends the process.

  From here on, a signal raises KeyboardInterrupt(its number), so that a script
  can clean up, and further signals are ignored. Errors of standard output are
  `Unheard`.
  """
  _handle_signals()
  _name_standard_output()
  try:
    try:
      yield
    finally:
      if not _is_stopping.is_set():  # or a line comes twice
        sys.stdout.flush()
  except SystemExit as end:
    if _stops and isinstance(end.code, str):
      _leave(stopped(_stops[0]))  # an error of what the signal left half done
    _leave(end.code)
  except KeyboardInterrupt as stop:
    _leave(stopped(stop))
  except Unheard as error:
    if error.errno == errno.EPIPE:
      _leave(128 + signal.SIGPIPE)
    reason = _REASONS.get(error.errno, error.strerror)
    _leave(f"error: standard output: {reason}")
  except Exception:
    if _stops:
      _leave(stopped(_stops[0]))
    raise


@contextlib.contextmanager
def handled_by(call: Callable) -> Iterator[None]:
  """Has Ctrl-C and SIGTERM call `call(number, frame)` in the block.

  They do not end the program there; a server has work to finish first.
  """
  before = {number: signal.getsignal(number) for number in _WORDS}
  wakeup = signal.set_wakeup_fd(-1)
  for number, handler in before.items():
    if handler is not signal.SIG_IGN:  # as nohup has it
      signal.signal(number, call)
  try:
    yield
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
    signal.set_wakeup_fd(wakeup)


def stopped(stop: KeyboardInterrupt) -> int:
  """Says that a signal ended the program, and returns its exit status."""
  number = stop.args[0] if stop.args else signal.SIGINT
  with contextlib.suppress(OSError):
    print(_WORDS[number], file=sys.stderr, flush=True)
  return 128 + number


def _leave(code):
  """Ends the process, as `sys.exit` does, without waiting for threads.

  One that reads from a terminal would never end.
  """
  with contextlib.suppress(OSError):
    if isinstance(code, str):
      print(code, file=sys.stderr)
    sys.stderr.flush()
  os._exit(1 if isinstance(code, str) else code or 0)


# ----------------------------------------------------------------- signals


@functools.cache  # once a process
def _handle_signals():
  """Has Ctrl-C and SIGTERM end the program, whatever it is doing."""
  for number in _WORDS:
    if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
      signal.signal(number, _stop)
  reader, writer = os.pipe()
  os.set_blocking(writer, False)
  signal.set_wakeup_fd(writer)
  threading.Thread(target=_end_in_time, args=[reader], daemon=True).start()


def _stop(number, frame):
  """Begins to end the program; another signal would only disturb that."""
  del frame
  for each in _WORDS:
    signal.signal(each, signal.SIG_IGN)
  _stops.append(KeyboardInterrupt(number))
  _is_stopping.set()
  raise _stops[0]


def _end_in_time(reader):
  """Ends the process after a signal if `_stop` could not do so.

  Python calls it between two of its own instructions, so not while TensorFlow
  computes; and an exception is lost where Python can't pass it on.
  """
  number = os.read(reader, 1)[0]
  if _is_stopping.wait(_SECONDS_TO_BEGIN):
    time.sleep(_SECONDS_TO_END)
  _leave(stopped(KeyboardInterrupt(number)))


# --------------------------------------------------------- standard output


class _Output(io.FileIO):
  """Standard output, whose errors are `Unheard`."""

  def write(self, data):
    try:
      return super().write(data)
    except OSError as error:
      raise Unheard(error.errno, error.strerror) from None


@functools.cache  # once a process
def _name_standard_output():
  output = _Output(1, "w", closefd=False)
  sys.stdout = io.TextIOWrapper(
    io.BufferedWriter(output),
    getattr(sys.stdout, "encoding", "utf-8"),
    "backslashreplace",
    line_buffering=output.isatty(),
  )


_prepare_process()
