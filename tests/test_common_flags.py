# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""How a script starts, and how it ends when something goes wrong."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
SCRIPT = """
import sys
sys.path.insert(0, {root!r})
from bert.training import common_flags
import tensorflow.compat.v1 as tf
from absl import flags

common_flags.define_model_flags()
common_flags.define_training_flags()
common_flags.define_speed_flags()

def main(_):
  {body}

common_flags.run(main)
"""


def run(tmp_path, body, *flags):
  """Runs a script of which only main's body is given."""
  path = tmp_path / "script.py"
  path.write_text(SCRIPT.format(root=str(ROOT), body=body))
  return subprocess.run(
    [sys.executable, str(path), *flags], capture_output=True, text=True
  )


def test_a_file_that_is_not_there_is_one_line(tmp_path):
  done = run(tmp_path, "open('nowhere.txt')")
  assert done.returncode == 1
  assert done.stderr == "error: nowhere.txt: No such file or directory\n"


def test_what_our_files_raise_is_one_line(tmp_path):
  done = run(tmp_path, "common_flags.check_actions()")
  assert done.returncode == 1
  assert done.stderr.startswith("error: nothing to do: give at least one of")
  assert done.stderr.count("\n") == 1


def test_a_defect_keeps_its_traceback(tmp_path):
  done = run(tmp_path, "int('x')")
  assert done.returncode == 1
  assert "Traceback" in done.stderr
  assert "invalid literal" in done.stderr


def test_debugging_shows_the_traceback_of_a_clear_error_too(tmp_path):
  done = run(tmp_path, "common_flags.check_actions()", "--verbosity=1")
  assert done.returncode == 1
  assert "Traceback" in done.stderr


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (
      (),
      "with --train_batch_size=32, --max_seq_length=128, --precision=float32;"
      " what helps, in this order: --gradient_accumulation_steps=2 (same"
      " result); --recompute_layers (same result, slower);"
      " --precision=bfloat16; a smaller batch, a shorter --max_seq_length",
    ),
    (
      (
        "--precision=bfloat16",
        "--recompute_layers",
        "--gradient_accumulation_steps=4",
      ),
      "what helps, in this order: --gradient_accumulation_steps=8 (same"
      " result); a smaller batch, a shorter --max_seq_length",
    ),
  ],
)
def test_out_of_memory_names_what_helps(tmp_path, flags, message):
  body = (
    "raise tf.errors.ResourceExhaustedError(None, None, 'OOM when allocating"
    " tensor with shape[32,12,128,128] and type float on cpu')"
  )
  done = run(tmp_path, body, *flags)
  assert done.returncode == 1
  assert done.stderr.startswith("error: out of memory for a tensor [32,12,128,")
  assert message in done.stderr
  assert "Traceback" not in done.stderr


def test_a_full_disk_is_not_taken_for_full_memory(tmp_path):
  body = (
    "raise tf.errors.ResourceExhaustedError(None, None, 'Failed to write:"
    " /out/model.ckpt-7.data; No space left on device\\n\\t [[save]]')"
  )
  done = run(tmp_path, body)
  assert done.returncode == 1
  assert (
    done.stderr == "error: /out/model.ckpt-7.data: no room left on the disk\n"
  )


def test_graph_mode_is_on_and_tensorflow_is_quiet(tmp_path):
  done = run(tmp_path, "print(tf.executing_eagerly())")
  assert (done.stdout, done.stderr) == ("False\n", "")


def test_a_vocabulary_much_smaller_than_the_model_is_told(tmp_path):
  body = """
  import modeling
  config = modeling.BertConfig(10, 8, 1, 2, 16)
  for size in (8, 9):
    common_flags.check_vocab_size(dict(zip(range(size), range(size))), config)
  """
  done = run(tmp_path, body, "--vocab_file=v.txt", "--bert_config_file=c.json")
  assert done.returncode == 0
  assert done.stderr == (
    "v.txt has 8 tokens, and c.json vocab_size 10: is it the model's own"
    " vocabulary?\n"
  )
