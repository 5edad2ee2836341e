# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Keeps two runs from writing to one folder or file at once.

In: the path of an output. Out: a lock that the system releases when the process
ends, however it ends, so that none is ever stale.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterator

try:
  import fcntl
except ImportError:  # Windows has no such locks
  fcntl = None


@contextlib.contextmanager
def locked(path: str, wait: bool = False) -> Iterator[None]:
  """Holds the lock of an output while the block runs.

  The lock is a file: .lock in a folder, or the file's path followed by .lock.
  A folder that does not exist yet is made, and removed at the end if nothing
  was written to it. Paths with a scheme, and file systems without locks, are
  not locked.

  Args:
    path: a folder (or what will be one, if it ends in "/"), or a file.
    wait: whether to wait while another process holds the lock.

  Raises:
    ValueError: another process holds the lock; the message says which.
  """
  lock = os.path.join(path, ".lock") if _is_folder(path) else f"{path}.lock"
  if fcntl is None or "://" in path or path.startswith("/dev/"):
    yield
    return
  made = _make_folders(os.path.dirname(lock)) if _is_folder(path) else []
  try:
    handle = _open_locked(lock, path, wait)
    try:
      yield
    finally:
      if handle is not None:
        os.unlink(lock)
        os.close(handle)
  finally:
    for folder in made:
      with contextlib.suppress(OSError):  # it is in use
        os.rmdir(folder)


def _is_folder(path):
  return path.endswith("/") or os.path.isdir(path)


def _make_folders(folder):
  """Makes a folder and those above it; returns the new ones, deepest first."""
  new, above = [], folder
  while above and not os.path.lexists(above):
    new.append(above)
    above = os.path.dirname(above)
  os.makedirs(folder, exist_ok=True)
  return new


def _open_locked(lock, path, wait):
  """Opens and locks a file; None if the file system has no locks."""
  while True:
    try:
      handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except FileNotFoundError:
      return None  # no such folder, which the script itself reports
    try:
      fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
      holder = os.read(handle, 1000).decode("utf-8", "replace").strip()
      os.close(handle)
      raise ValueError(
        f"{path.rstrip('/')} is in use by {holder or 'another process'}: wait"
        " until that has ended, or write elsewhere"
      ) from None
    except OSError:
      os.close(handle)
      os.unlink(lock)
      return None
    with contextlib.suppress(FileNotFoundError):
      if os.path.samestat(os.fstat(handle), os.stat(lock)):
        break
    os.close(handle)  # its holder has just removed it
  os.ftruncate(handle, 0)
  script = os.path.basename(sys.argv[0])
  with contextlib.suppress(OSError):  # the disk is full
    os.write(
      handle,
      f"{script}, process {os.getpid()} on {socket.gethostname()}, since"
      f" {time.strftime('%Y-%m-%d %H:%M:%S')}".encode(),
    )
  return handle
