# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""A disk without room: one sentence that names the file, and nothing left."""

import os
import re
import subprocess

import helpers
import pytest

import convert_checkpoint
import create_pretraining_data
import create_vocab
import export_model

TEXT = helpers.GOLDEN / "texts" / "corpus.txt"
RECORDS = (
  create_pretraining_data,
  f"--input_file={TEXT}",
  f"--vocab_file={helpers.GOLDEN / 'vocab.txt'}",
  "--output_file={}/records",
)
CONVERSION = (
  convert_checkpoint,
  f"--input={helpers.GOLDEN / 'tiny_checkpoint'}",
  "--output={}/out",
)
RUNS = [
  (
    create_vocab,
    f"--input_file={TEXT}",
    "--output_file={}/v",
    "--num_workers=1",
  ),
  RECORDS,
  (*RECORDS, "--num_workers=1"),
  CONVERSION,
  (*CONVERSION, "--strip"),
  (export_model, "--export_dir={}/out"),
  (export_model, "--export_dir={}/out", "--format=tflite"),
]


@pytest.fixture
def disk(tmp_path):
  """A folder on a disk of 64 KiB that holds nothing but a file of that size."""
  if os.geteuid() != 0:
    pytest.skip("only root makes a small disk")
  disk = tmp_path / "disk"
  disk.mkdir()
  mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
  if subprocess.run(mount, capture_output=True).returncode:
    pytest.skip("no file system can be mounted here")
  yield disk
  subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("room", [0, 8192])
@pytest.mark.parametrize(("script", "arguments"), [(s, a) for s, *a in RUNS])
def test_a_full_disk_is_named_and_keeps_no_part(
  disk, classifier, script, arguments, room
):
  if room and script is create_vocab:
    pytest.skip("a vocabulary has room there")
  if script is export_model:
    arguments = [*arguments, f"--model_dir={classifier()}"]
  (disk / "junk").write_bytes(bytes(65536 - room))
  done = helpers.run(script, *(flag.format(disk) for flag in arguments))
  assert done.returncode == 1
  found = re.search(
    r"^error: (.*): no room left on the disk$", done.stderr, re.M
  )
  assert found and found[1].startswith(str(disk)), done.stderr
  assert os.listdir(disk) == ["junk"]
