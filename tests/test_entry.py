# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""How a script starts, and how it ends when something goes wrong."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import types

import helpers
import pytest
import tensorflow.compat.v1 as tf
from absl import logging
from helpers import write

import create_pretraining_data
import create_vocab
import extract_features
import run_classifier
from bert.files import locks
from bert.training import errors, flags, runs

SCRIPT = f"""
from __future__ import annotations
import dataclasses, sys
sys.path.insert(0, {str(helpers.ROOT)!r})
from bert.training import entry, flags
import tensorflow.compat.v1 as tf

@dataclasses.dataclass(frozen=True)
class Options(flags.DeviceOptions):
  file: str | None = flags.flag(None, "A file to open.", required=True)
  words: tuple = flags.flag((), "Words.")

def main(options):
  print(tf.executing_eagerly(), options.words, sorted(options.given))
  open(options.file)

if __name__ == "__main__":
  entry.run(main, Options)
"""


START_EACH = """
import os, runpy, sys
import bert.training.entry
sys.modules["tensorflow"] = None  # importing it is an error
for script in sys.argv[2:]:
  if os.fork() == 0:
    sys.argv = [script, sys.argv[1]]
    runpy.run_path(script, run_name="__main__")
  print(script, os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


@dataclasses.dataclass(frozen=True)
class Options(flags.RunOptions):
  """The options of a small script."""


def run(main, *arguments):
  """Runs a main that needs no flags."""
  script = types.SimpleNamespace(main=main, Options=flags.DeviceOptions)
  return helpers.run(script, *arguments)


def failing(error):
  def main(options):
    raise error

  return main


def test_a_script_starts_quietly_in_graph_mode(tmp_path):
  path = helpers.write(tmp_path / "script.py", SCRIPT)
  done = helpers.run_process(path, "--file=nowhere.txt", "--words=a,b")
  assert done.stdout == "False ('a', 'b') ['file', 'words']\n"
  assert done.stderr == "error: nowhere.txt: No such file or directory\n"
  assert done.returncode == 1


def start_each(scripts, flag):
  """Starts scripts with a flag where TensorFlow can't be imported."""
  return subprocess.run(
    [sys.executable, "-c", START_EACH, flag, *scripts],
    capture_output=True,
    text=True,
    cwd=helpers.ROOT,
  )


@pytest.fixture(scope="module")
def scripts():
  paths = helpers.ROOT.glob("*.py")
  found = sorted(p.name for p in paths if "entry.run(" in p.read_text("utf-8"))
  assert len(found) >= 12
  return [*found, "examples/run_relations.py"]


def flags_of(script):
  """The fields of a script's options that are flags."""
  module = importlib.import_module(script[:-3].replace("/", "."))
  return [f for f in dataclasses.fields(module.Options) if f.metadata]


def test_every_script_shows_all_its_flags_without_tensorflow(scripts):
  done = start_each(scripts, "--help")
  assert done.stderr == ""
  for name in scripts:
    _, heading, shown = done.stdout.partition(f"\n{name}:\n")
    shown, status, _ = shown.partition(f"\n{name} 0\n")
    assert heading and status
    for field in flags_of(name):
      mark = "[no]" if field.type.startswith("bool") else ""
      assert f"  --{mark}{field.name}: " in shown


@pytest.mark.parametrize(
  ("flag", "sentence"),
  [
    ("--nonsense=1", "error: Unknown command line flag 'nonsense' (--help "),
    ("word", "--{required} (--help "),
  ],
)
def test_every_script_refuses_a_wrong_flag_without_tensorflow(
  scripts, flag, sentence
):
  done = start_each(scripts, flag)
  assert done.stdout.split() == sum(([name, "1"] for name in scripts), [])
  lines = done.stderr.splitlines()
  assert len(lines) == len(scripts)
  for name, line in zip(scripts, lines):
    required = [f.name for f in flags_of(name) if f.metadata["required"]]
    assert line.startswith("error: ")
    assert sentence.format(required=required[-1]) in line


def test_a_missing_file_gets_one_line():
  done = run(lambda options: pathlib.Path("nowhere.txt").read_text())
  assert done.returncode == 1
  assert done.stderr == "error: nowhere.txt: No such file or directory\n"


def test_a_missing_file_of_tensorflow_gets_one_line():
  done = run(lambda options: tf.io.gfile.GFile("nowhere.txt").read())
  assert done.returncode == 1
  assert done.stderr == "error: nowhere.txt; No such file or directory\n"


def test_an_error_of_our_files_gets_one_line(tmp_path):
  options = Options(output_dir=str(tmp_path))
  done = run(lambda _: runs.check_options(options, ("do_train",)))
  assert done.returncode == 1
  assert (
    done.stderr == "error: nothing to do: give at least one of --do_train\n"
  )


def test_a_defect_keeps_its_traceback():
  with pytest.raises(json.JSONDecodeError):  # a ValueError, but not ours
    run(lambda options: json.loads("x"))
  with pytest.raises(KeyError):
    run(failing(KeyError("x")))


def test_debugging_keeps_the_traceback_of_a_clear_error(monkeypatch):
  monkeypatch.setattr(logging, "level_debug", lambda: True)
  with pytest.raises(ValueError, match="a sentence"):
    errors.call(failing(ValueError("a sentence")), Options())


def test_stray_words_are_refused():
  done = run(lambda options: None, "--use_tpu", "true")
  assert done.returncode == 1
  assert done.stderr.startswith("error: stray words on the command line: true")


def test_an_interrupted_run_says_so():
  done = run(failing(KeyboardInterrupt()))
  assert (done.returncode, done.stderr) == (130, "interrupted\n")
  done = run(failing(KeyboardInterrupt(signal.SIGTERM)))
  assert (done.returncode, done.stderr) == (143, "terminated\n")


def test_a_loss_that_became_nan_names_the_learning_rate():
  error = tf.train.NanLossDuringTrainingError()
  with pytest.raises(SystemExit, match="lower --learning_rate=0.5 or warm up"):
    errors.call(failing(error), Options(learning_rate=0.5))


OUT_OF_MEMORY = tf.errors.ResourceExhaustedError(
  None, None, "OOM when allocating tensor with shape[32,12,128,128] on cpu"
)


@pytest.mark.parametrize(
  ("options", "advice"),
  [
    (
      Options(),
      "out of memory for a tensor [32,12,128,128] with --train_batch_size=32,"
      " --max_seq_length=128, --precision=float32; try, in this order:"
      " --gradient_accumulation_steps=2 (same result); --recompute_layers (same"
      " result, slower); --precision=bfloat16; a smaller batch, a shorter"
      " --max_seq_length",
    ),
    (
      Options(
        precision="bfloat16",
        recompute_layers=True,
        gradient_accumulation_steps=4,
      ),
      "out of memory for a tensor [32,12,128,128] with --train_batch_size=32,"
      " --max_seq_length=128, --precision=bfloat16; try, in this order:"
      " --gradient_accumulation_steps=8 (same result); a smaller batch, a"
      " shorter --max_seq_length",
    ),
    (
      flags.TrainedModelOptions(),
      "out of memory for a tensor [32,12,128,128]; try, in this order: a"
      " smaller batch",
    ),
  ],
)
def test_out_of_memory_names_the_flags_that_help(options, advice):
  with pytest.raises(SystemExit) as end:
    errors.call(failing(OUT_OF_MEMORY), options)
  assert end.value.code == "error: " + advice


def test_a_full_disk_is_not_taken_for_full_memory():
  error = tf.errors.ResourceExhaustedError(
    *(None, None),
    "Failed to write: /out/model.ckpt-7.data; No space left on device\n"
    "\t [[save]]",
  )
  done = run(failing(error))
  assert done.returncode == 1
  assert (
    done.stderr == "error: /out/model.ckpt-7.data: no room left on the disk\n"
  )


# ---------------------------------------------------------- inputs, outputs


@pytest.mark.parametrize(
  ("script", "flags", "sentence"),
  [
    (
      create_vocab,
      ["--input_file=*.txt", "--output_file=./a.txt"],
      "--output_file=./a.txt would replace --input_file=a.txt",
    ),
    (
      create_vocab,
      ["--input_file=a.txt", "--held_out=b.txt", "--output_file=link"],
      "--output_file=link would replace --held_out=b.txt",
    ),
    (
      create_pretraining_data,
      ["--input_file=a.txt", "--vocab_file=b.txt", "--output_file=c,./c"],
      "--output_file=./c and --output_file=c are one file",
    ),
    (
      extract_features,
      [
        *("--input_file=a.txt", "--vocab_file=b.txt"),
        *("--bert_config_file=c.json", "--init_checkpoint=m/model.ckpt"),
        "--output_file=m/../m/model.ckpt.index",
      ],
      "model.ckpt.index would replace --init_checkpoint=m/model.ckpt.index",
    ),
    (
      extract_features,
      [
        *("--input_file=a.txt", "--vocab_file=b.txt"),
        *("--bert_config_file=c.json", "--init_checkpoint=m"),
        "--output_file=m/model.ckpt.index",
      ],
      "model.ckpt.index would replace --init_checkpoint=m/model.ckpt.index",
    ),
  ],
)
def test_no_script_writes_over_what_it_reads(
  tmp_path, monkeypatch, script, flags, sentence
):
  monkeypatch.chdir(tmp_path)
  for name in ("a.txt", "b.txt", "c.json", "m/model.ckpt.index"):
    write(name, name)
  pathlib.Path("link").symlink_to("b.txt")
  done = helpers.run(script, *flags)
  assert done.returncode == 1 and sentence in done.stderr
  for name in ("a.txt", "b.txt", "c.json", "m/model.ckpt.index"):
    assert pathlib.Path(name).read_text() == name
  assert {path.name for path in tmp_path.iterdir()} == {
    *("a.txt", "b.txt", "c.json", "link", "m"),
  }


def test_the_second_run_in_a_folder_says_who_holds_it(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  write("a.txt", "word")
  (tmp_path / "out").mkdir()
  with locks.locked("out"), locks.locked("vocab.txt"):
    done = helpers.run(
      run_classifier,
      *("--task_name=cola", "--data_dir=d", "--vocab_file=a.txt"),
      *("--bert_config_file=c.json", "--output_dir=out", "--do_train"),
    )
    assert "out is in use by" in done.stderr and str(os.getpid()) in done.stderr
    done = helpers.run(
      create_vocab, "--input_file=a.txt", "--output_file=vocab.txt"
    )
    assert "vocab.txt is in use by" in done.stderr
  assert not list((tmp_path / "out").iterdir())
