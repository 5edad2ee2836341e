# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Ctrl-C, SIGTERM and an output that nobody reads, in real processes."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import helpers
import pytest

SCRIPT = """
import sys, time
from bert.training import endings

def work():
{}

with endings.clean():
  try:
    work()
  except KeyboardInterrupt as stop:
    sys.exit(endings.stopped(stop))
"""
WAIT = "  print('begun', flush=True)\n"
ENDINGS = [
  (signal.SIGINT, 130, "interrupted\n"),
  (signal.SIGTERM, 143, "terminated\n"),
]


def run_script(lines, **options):
  return helpers.start_process("-c", SCRIPT.format(lines), **options)


@pytest.mark.parametrize(("number", "code", "word"), ENDINGS)
@pytest.mark.parametrize(
  "lines",
  [
    "  time.sleep(60)",
    "  sys.stdin.read()",
    # It reads in a thread, as predict.py does.
    "  import threading\n"
    "  threading.Thread(target=sys.stdin.read, daemon=True).start()\n"
    "  time.sleep(60)",
    # Python can't pass the exception on.
    "  class Lost:\n    def __del__(self):\n      time.sleep(60)\n"
    "  endings._SECONDS_TO_END = 0.2\n  sys.stderr = sys.__stderr__\n"
    "  sys.unraisablehook = lambda _: None\n"
    "  Lost()\n  time.sleep(60)",
    # Python gets no turn.
    "  endings._SECONDS_TO_BEGIN = 0.2\n"
    "  import ctypes, threading\n"
    "  lock = ctypes.create_string_buffer(64)\n"
    "  mutex = ctypes.CDLL(None).pthread_mutex_lock\n"
    "  mutex(lock)\n  mutex(lock)",
  ],
)
def test_a_signal_ends_a_script_with_a_word(lines, number, code, word):
  process = run_script(WAIT + lines)
  assert process.stdout.readline() == "begun\n"
  time.sleep(0.1)
  begun = time.monotonic()
  process.send_signal(number)
  process.wait(20)
  assert time.monotonic() - begun < 2
  assert (process.returncode, process.stderr.read()) == (code, word)
  process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_can_be_handled_for_a_while(number):
  process = run_script(
    "  endings._SECONDS_TO_BEGIN = 0.1\n"
    "  def call(number, frame):\n    print(number, flush=True)\n"
    "  with endings.handled_by(call):\n  " + WAIT + "    time.sleep(0.5)\n"
    "    time.sleep(0.5)\n"
    "  print('behind it', flush=True)\n  time.sleep(60)"
  )
  assert process.stdout.readline() == "begun\n"
  time.sleep(0.1)  # its own print is over
  process.send_signal(number)
  assert process.stdout.readline() == f"{number.value}\n"
  assert process.stdout.readline() == "behind it\n"
  process.send_signal(number)
  assert process.wait(20) == 128 + number
  process.communicate()


def test_an_error_that_follows_a_signal_is_not_shown():
  process = run_script(
    WAIT + "  try:\n    print('in it', flush=True)\n    time.sleep(60)\n"
    "  finally:\n    [].pop()"
  )
  assert [process.stdout.readline() for _ in range(2)] == ["begun\n", "in it\n"]
  time.sleep(0.2)  # it sleeps
  process.send_signal(signal.SIGTERM)
  assert process.communicate() == ("", "terminated\n")
  assert process.returncode == 143


def test_what_a_script_cleans_up_is_not_disturbed_by_a_second_signal():
  process = run_script(
    WAIT + "  try:\n    print('in it', flush=True)\n    time.sleep(60)\n"
    "  finally:\n    time.sleep(0.5)\n    print('clean', flush=True)"
  )
  assert [process.stdout.readline() for _ in range(2)] == ["begun\n", "in it\n"]
  time.sleep(0.2)  # it sleeps
  for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
    process.send_signal(number)
    time.sleep(0.1)
  assert process.communicate() == ("clean\n", "interrupted\n")
  assert process.returncode == 130


def test_ctrl_c_during_imports_has_no_traceback():
  process = helpers.start_process(
    "-c", "from bert.training import endings\nprint(1, flush=True)\ninput()"
  )
  process.stdout.readline()
  process.send_signal(signal.SIGINT)
  assert process.communicate() == ("", "interrupted\n")


@pytest.mark.parametrize(
  ("shell", "code", "stderr"),
  [
    ('"$0" -c "$1" >&-', 1, "error: standard output: it is closed\n"),
    (
      '"$0" -c "$1" > /dev/full',
      *(1, "error: standard output: no room left on the disk\n"),
    ),
    ('("$0" -c "$1"; echo $? >&2) | :', 0, "141\n"),
  ],
)
@pytest.mark.parametrize("flush", [True, False])
def test_output_that_nobody_hears_has_no_traceback(shell, code, stderr, flush):
  lines = f"  time.sleep(0.2)\n  print('a', flush={flush})"
  command = ["sh", "-c", shell, sys.executable, SCRIPT.format(lines)]
  done = subprocess.run(
    command, cwd=helpers.ROOT, capture_output=True, text=True
  )
  assert (done.returncode, done.stderr) == (code, stderr)


def test_a_file_does_not_become_a_closed_standard_output(tmp_path):
  lines = (
    f"  print(open({str(tmp_path / 'a')!r}, 'w').fileno(), file=sys.stderr)"
  )
  command = [
    "sh",
    "-c",
    '"$0" -c "$1" >&-',
    sys.executable,
    SCRIPT.format(lines),
  ]
  done = subprocess.run(
    command, cwd=helpers.ROOT, capture_output=True, text=True
  )
  assert (done.returncode, int(done.stderr) > 2) == (0, True)


# ---------------------------------------------------------- whole scripts


def workers_of(process):
  """The ids of a process's workers, once it has one."""
  folder = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}")
  deadline = time.monotonic() + 60
  while time.monotonic() < deadline:
    found = [
      child
      for child in (folder / "children").read_text().split()
      if b"spawn_main" in pathlib.Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    if found:
      return found
    time.sleep(0.05)
  raise AssertionError("no workers")


@pytest.mark.skipif(not pathlib.Path("/proc/self/task").is_dir(), reason="proc")
@pytest.mark.parametrize(
  ("numbers", "code", "word", "seconds"),
  [
    ([signal.SIGINT, signal.SIGINT], 130, "interrupted\n", 0.0),  # they start
    ([signal.SIGKILL], -9, None, 2.0),
  ],
)
def test_a_signal_ends_a_script_and_its_workers(
  tmp_path, numbers, code, word, seconds
):
  process = helpers.start_process(
    "create_pretraining_data.py",
    f"--input_file={helpers.GOLDEN / 'texts' / 'corpus.txt'}",
    f"--vocab_file={helpers.GOLDEN / 'vocab.txt'}",
    f"--output_file={tmp_path / 'a'},{tmp_path / 'b'}",
    *("--num_workers=2", "--dupe_factor=999999", "--verbosity=-1"),
  )
  workers = workers_of(process)
  time.sleep(seconds)
  begun = time.monotonic()
  for number in numbers:
    if number == signal.SIGKILL:
      process.kill()
    else:  # as a terminal does
      os.killpg(process.pid, number)
    time.sleep(0.1)
  process.wait(20)
  assert time.monotonic() - begun < 2
  assert process.returncode == code
  output, error = process.communicate()
  assert output == "" and error == (word or error)
  deadline = time.monotonic() + 2
  while any(os.path.exists(f"/proc/{worker}") for worker in workers):
    assert time.monotonic() < deadline
    time.sleep(0.02)
  if code != -9:
    assert not list(tmp_path.iterdir())
