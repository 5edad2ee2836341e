# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Reads the files that people give: their bytes, text, lines and JSON.

In: a path, local or with a scheme such as gs://. Out: the content, or one
sentence that says which file, what was found and what to do. Pipes and devices
are refused, because what reads a file here may read it twice.

Processes that make data load this file, so TensorFlow is imported where a path
has a scheme.
"""

from __future__ import annotations

import codecs
import glob
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping

READ_BYTES = 1 << 16
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_KINDS = {
  stat.S_IFIFO: "a pipe",
  stat.S_IFCHR: "a device",
  stat.S_IFBLK: "a device",
  stat.S_IFSOCK: "a socket",
}


# ------------------------------------------------------------- whole files


def check_regular(path: str, name: str = "file") -> None:
  """Raises ValueError unless a path names a regular file.

  Args:
    path: TensorFlow looks up a path that has a scheme.
    name: what the file is called in the sentence, such as "vocabulary file".
  """
  if re.search("[\ud800-\udfff]", path):  # bytes that Python could not decode
    raise ValueError(f"the name of the {name} {path!r} is not UTF-8: rename it")
  if "://" in path:
    import tensorflow.compat.v1 as tf

    if not tf.io.gfile.exists(path):
      raise ValueError(f"there is no {name} {path}")
    return
  try:
    mode = os.stat(path).st_mode
  except (OSError, ValueError) as error:  # ValueError: a null character
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
      raise ValueError(f"there is no {name} {path}") from None
    raise ValueError(
      f"cannot read the {name} {path}: {reason(error)}"
    ) from None
  if stat.S_ISDIR(mode):
    raise ValueError(f"{path} is a folder, not a {name}")
  if not stat.S_ISREG(mode):
    kind = _KINDS.get(stat.S_IFMT(mode), "a special file")
    raise ValueError(
      f"{path} is {kind}, not a {name}: save what it holds to a file first"
    )


def read_bytes(path: str, name: str = "file") -> bytes:
  """Returns a file's bytes.

  Args:
    path: of a regular file.
    name: what the file is called in the error message.

  Raises:
    ValueError: there is no such file, or it can't be read.
  """
  check_regular(path, name)
  opener, errors = _opener(path)
  try:
    with opener(path, "rb") as reader:
      return reader.read()
  except errors as error:
    raise ValueError(
      f"cannot read the {name} {path}: {reason(error)}"
    ) from None


def read_text(path: str, name: str = "file") -> str:
  """Returns the text of a UTF-8 file, without a byte-order mark.

  Raises:
    ValueError: there is no such file, or it is not UTF-8, or its lines end in
      carriage returns alone.
  """
  data = read_bytes(path, name)
  check_form(data, path)
  try:
    return data.decode("utf-8-sig")
  except UnicodeDecodeError as error:
    raise ValueError(
      f"{path} is not UTF-8: byte {error.start} is"
      f" 0x{data[error.start]:02x}; save it as UTF-8"
    ) from None


def check_form(data: bytes, path: str) -> None:
  """Raises ValueError for UTF-16, and lines that end in "\\r" alone."""
  if data.startswith(_UTF_16):
    raise ValueError(f"{path} is UTF-16, not UTF-8: save it as UTF-8")
  if b"\r" in data and b"\n" not in data:
    raise ValueError(
      f"{path} ends its lines with carriage returns (\\r) alone: save it with"
      " line feeds (\\n)"
    )


def reason(error: Exception) -> str:
  """Why a file could not be read or written, in a few words."""
  found = getattr(error, "strerror", None)
  return (found or f"{type(error).__name__} {error}").strip()


def _opener(path: str):
  """Returns the function that opens a path and the error class it raises."""
  if "://" in path:
    import tensorflow.compat.v1 as tf

    return tf.io.gfile.GFile, tf.errors.OpError
  return _open_local, OSError


def _open_local(path: str, mode: str):
  """Opens a local file, or standard input for "-".

  Unbuffered, so that reading a pipe returns the data that has arrived instead
  of waiting for more.
  """
  if path == "-":
    return open(0, mode, buffering=0, closefd=False)
  return open(path, mode, buffering=0)


# ------------------------------------------------------------ lines of text


def expand_globs(patterns: str, flag: str = "--input_file") -> list[str]:
  """Returns the files that match comma-separated paths or globs.

  Args:
    patterns: such as "books/*.txt,news.txt"; TensorFlow expands patterns with
      a scheme, such as gs://.
    flag: the flag that holds the patterns, for the error message.

  Returns:
    Paths in the order of the patterns; the files of one pattern are sorted.
    Leaves out folders, and half-written files (".partial") unless a pattern is
    the exact path.

  Raises:
    ValueError: a pattern names no file, or something else than a file.
  """
  files = []
  for pattern in filter(None, map(str.strip, patterns.split(","))):
    found = _glob(pattern)
    if not found:
      raise ValueError(f"{flag}: {pattern} names no file")
    files += found
  if not files:
    raise ValueError(f"{flag} is empty: give paths or globs")
  for path in files:
    check_regular(path)
  return files


def _glob(pattern: str) -> list[str]:
  if "://" in pattern:
    import tensorflow.compat.v1 as tf

    found, isdir = tf.io.gfile.glob(pattern), tf.io.gfile.isdir
  else:
    found = [pattern] if os.path.exists(pattern) else glob.glob(pattern)
    isdir = os.path.isdir
  return sorted(
    path
    for path in found
    if path == pattern or not path.endswith(".partial")
    if not isdir(path)
  )


def file_size(path: str) -> int:
  """Returns a file's size in bytes; raises ValueError if it is unreadable."""
  opener, errors = _opener(path)
  try:
    with opener(path, "rb") as reader:
      return reader.size() if "://" in path else os.path.getsize(path)
  except errors as error:
    raise ValueError(f"cannot read {path}: {reason(error)}") from None


def text_lines(
  path: str, start: int = 0, end: int | None = None
) -> Iterator[str]:
  """Yields the lines of a UTF-8 file, without their "\\n".

  Args:
    path: TensorFlow opens paths with a scheme, such as gs://; "-" is standard
      input, whose lines are yielded as they arrive.
    start: first byte of the range; only lines that begin in the range are
      yielded, so adjacent ranges yield each line exactly once.
    end: the byte after the range; None: the end of the file.

  Raises:
    ValueError: the file cannot be read, or is not UTF-8, with the position of
      the bad byte; or its lines end in carriage returns alone.
  """
  if path != "-":
    check_regular(path)
  opener, errors = _opener(path)
  try:
    with opener(path, "rb") as reader:
      if not start and path != "-":
        check_form(reader.read(READ_BYTES)[: READ_BYTES - 1], path)
        reader.seek(0)
      if start:
        reader.seek(start - 1)
      lines = _byte_lines(reader, max(start - 1, 0))
      if start:
        next(lines, None)  # it began before `start`
      for at, line in lines:
        if end is not None and at >= end:
          return
        yield _decode(line, "standard input" if path == "-" else path, at)
  except errors as error:
    raise ValueError(f"cannot read {path}: {reason(error)}") from None


def _byte_lines(reader, at: int) -> Iterator[tuple[int, bytes]]:
  """Yields (first byte, line) pairs; GFile's readline would drop "\\r"."""
  begun, block = [], True  # begun: the parts of an unfinished line
  while block:
    block = reader.read(READ_BYTES)
    *lines, rest = block.split(b"\n")
    if lines:
      lines[0] = b"".join([*begun, lines[0]])
      begun = []
    begun.append(rest)
    for line in lines:
      yield at, line
      at += len(line) + 1
  last = b"".join(begun)
  if last:
    yield at, last


def _decode(line: bytes, path: str, at: int) -> str:
  try:
    return line.decode("utf-8")
  except UnicodeDecodeError as error:
    raise ValueError(
      f"{path} is not utf-8: byte {at + error.start} is"
      f" 0x{line[error.start]:02x}; save the file as utf-8"
    ) from None


# -------------------------------------------------------------------- JSON


def read_json(path: str, shape=None, name: str = "file"):
  """Returns the value that a JSON file holds.

  Args:
    path: of a UTF-8 file.
    shape: what the value has to look like; see `check_shape`. None: anything.
    name: what the file is called in the error message.

  Raises:
    ValueError: there is no such file, it is not JSON, or has another shape.
  """
  value = parse_json(read_text(path, name), path)
  if shape is not None:
    check_shape(value, shape, path)
  return value


def parse_json(text: str | bytes, where: str):
  """Returns the value of a JSON text, which has only finite numbers.

  Args:
    text: JSON.
    where: the file, and the line if it has several values, for the error.

  Raises:
    ValueError: it is not JSON, or too deeply nested.
  """
  try:
    if isinstance(text, bytes):
      text = text.decode("utf-8-sig")
    return json.loads(text, parse_constant=_refuse, parse_float=_finite)
  except UnicodeDecodeError as error:
    raise ValueError(
      f"{where}: not UTF-8: byte {error.start} is"
      f" 0x{error.object[error.start]:02x}"
    ) from None
  except RecursionError:
    raise ValueError(f"{where}: not JSON: too many nested brackets") from None
  except ValueError as error:
    raise ValueError(f"{where}: not JSON: {error}") from None


def _refuse(constant):
  raise ValueError(f"{constant} is not a number that JSON has")


def _finite(digits):
  value = float(digits)
  if value in (float("inf"), float("-inf")):
    raise ValueError(f"{digits:.40} is too large a number")
  return value


_NAMES = {
  str: "a text",
  int: "a whole number",
  float: "a number",
  bool: "true or false",
  list: "a list",
  dict: "an object",
  type(None): "null",
}


def check_shape(value, shape, where: str, key: str = "") -> None:
  """Raises ValueError unless a JSON value has a shape.

  Args:
    value: of `json.loads`.
    shape: a type (float takes whole numbers too; int and float take no bool);
      a tuple of shapes, one of which has to fit; `[shape]`, a list whose
      entries have that shape; `{str: shape}`, an object whose values have it;
      or {"key": shape}, an object with these keys, of which those whose name
      ends in "?" may be missing, and maybe others.
    where: the file, for the error message.
    key: the place of `value` in the file, such as labels[3]; "" for all of it.
  """
  if isinstance(shape, tuple):
    if not any(_fits(value, kind) for kind in shape):
      _raise_other_kind(value, _kind(shape), where, key)
    shape = next(kind for kind in shape if _fits(value, kind))
  if not _fits(value, shape):
    _raise_other_kind(value, _kind(shape), where, key)
  if isinstance(shape, list):
    for i, entry in enumerate(value):
      check_shape(entry, shape[0], where, f"{key}[{i}]")
  elif isinstance(shape, Mapping):
    _check_entries(value, shape, where, key)


def _check_entries(value, shape, where, key):
  if str in shape:
    shape = dict.fromkeys(value, shape[str])
  for name, kind in shape.items():
    plain = name.removesuffix("?")
    place = f"{key}.{plain}" if key else plain
    if plain in value:
      check_shape(value[plain], kind, where, place)
    elif plain == name:
      raise ValueError(f"{where}: no key {place!r}: give {_kind(kind)}")


def _fits(value, shape):
  """Whether a value is of the outermost kind of a shape."""
  if isinstance(shape, (list, Mapping)):
    return isinstance(value, type(shape))
  if isinstance(value, bool):
    return shape is bool
  return isinstance(value, (int, float) if shape is float else shape)


def _kind(shape):
  """What a shape is called in a sentence."""
  if isinstance(shape, tuple):
    return " or ".join(map(_kind, shape))
  return _NAMES[shape if isinstance(shape, type) else type(shape)]


def _raise_other_kind(value, wanted, where, key):
  what = f"{key!r} has" if key else "it has"
  raise ValueError(f"{where}: {what} to be {wanted}, not {shown(value)}")


def shown(value) -> str:
  """A JSON value as an error message shows it, cut to 40 characters."""
  text = re.sub(r"\s+", " ", json.dumps(value, ensure_ascii=False))
  return text if len(text) <= 40 else text[:37] + "..."
