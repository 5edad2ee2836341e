# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Files that no script can read: pipes, other encodings, odd names."""

import json
import os
import re

import helpers
import pytest
from helpers import write

import create_pretraining_data
import create_vocab
import run_pretraining
import run_ranker
import run_squad
import run_tagger
import search_responses
from bert.files import reading
from bert.records import corpora, input_pipeline

CONFIG = {
  "vocab_size": 8,
  "hidden_size": 8,
  "num_hidden_layers": 1,
  "num_attention_heads": 2,
  "intermediate_size": 16,
  "max_position_embeddings": 512,
  "type_vocab_size": 2,
}
TAGGED = "a O\nb B-X\n"
ANSWER = {"text": "a", "answer_start": 0}
QUESTION = {"id": 1, "question": "b", "context": "a", "answers": [ANSWER]}


@pytest.fixture
def folder(tmp_path):
  """A model's files, and a good file for each script."""
  tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##c"]
  write(tmp_path / "vocab.txt", "\n".join([*tokens, ""]))
  write(tmp_path / "bert_config.json", json.dumps(CONFIG))
  write(tmp_path / "tags.txt", TAGGED)
  write(tmp_path / "squad.jsonl", json.dumps(QUESTION))
  return tmp_path


def run(script, folder, *arguments):
  """Runs a script, whose flags name {folder}."""
  model = (
    f"--vocab_file={folder}/vocab.txt",
    f"--bert_config_file={folder}/bert_config.json",
    f"--output_dir={folder}/out/",
  )
  if script is create_pretraining_data:
    model = (model[0], f"--output_file={folder}/out.tfrecord")
  elif script is create_vocab:
    model = (f"--output_file={folder}/out.txt",)
  elif script is search_responses:
    model = ()
  given = [argument.format(folder=folder) for argument in arguments]
  return helpers.run(script, *model, *given)


# Each with {} for the file.
CASES = {
  "squad-train": (run_squad, "--do_train", "--train_file={}"),
  "squad-predict": (
    *(run_squad, "--do_train", "--train_file={{folder}}/squad.jsonl"),
    *("--do_predict", "--predict_file={}"),
  ),
  "squad-vocab": (
    *(run_squad, "--do_train", "--train_file={{folder}}/squad.jsonl"),
    "--vocab_file={}",
  ),
  "tagger-train": (run_tagger, "--do_train", "--train_file={}"),
  "tagger-eval": (
    *(run_tagger, "--do_train", "--train_file={{folder}}/tags.txt"),
    *("--do_eval", "--eval_file={}"),
  ),
  **{
    f"tagger-predict-{kind}": (
      *(run_tagger, "--do_train", "--train_file={{folder}}/tags.txt"),
      *("--do_predict", "--predict_file={}", f"--predict_format={kind}"),
    )
    for kind in ("conll", "text", "jsonl")
  },
  "ranker-train": (run_ranker, "--model=interaction", "--do_train"),
  "records": (run_pretraining, "--do_train", "--input_file={}"),
  "masker": (
    *(run_pretraining, "--do_train", "--input_file={{folder}}/tags.txt"),
    *("--mask_dynamically", "--vocab_file={}"),
  ),
  "text": (create_pretraining_data, "--input_file={}"),
  "text-workers": (
    *(create_pretraining_data, "--input_file={}", "--num_workers=1"),
  ),
  "text-vocab": (
    *(create_pretraining_data, "--input_file={{folder}}/tags.txt"),
    "--vocab_file={}",
  ),
  "vocab": (create_vocab, "--input_file={}"),
  "vocab-held-out": (
    *(create_vocab, "--input_file={{folder}}/tags.txt", "--held_out={}"),
  ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_pipe_is_no_file(folder, name):
  script, *arguments = CASES[name]
  if script is run_ranker:
    path = str(folder / "train.csv")
    os.mkfifo(path)
    arguments.append("--data_dir={{folder}}")
    ends = []
  else:  # as of <(command), whose end is read as an empty file
    ends = os.pipe()
    path = f"/dev/fd/{ends[0]}"
    os.close(ends[1])
  try:
    done = run(script, folder, *(a.format(path) for a in arguments))
  finally:
    if ends:
      os.close(ends[0])
  assert done.returncode == 1, done.stderr
  assert f"error: {path} is a pipe, not a " in done.stderr
  assert "save what it holds to a file first" in done.stderr
  assert not (folder / "out").exists()
  assert not list(folder.glob("out*"))


def test_a_pipe_of_responses_is_no_file(folder, trained_folder):
  model = trained_folder("ranker", model="representation", pooling="mean")
  os.mkfifo(folder / "pipe")
  done = run(
    search_responses,
    folder,
    *(f"--model_dir={model}", "--response_file={folder}/pipe"),
  )
  assert done.returncode == 1
  assert "/pipe is a pipe, not a response file: save" in done.stderr


def test_a_pipe_of_records_is_no_file(tmp_path):
  os.mkfifo(tmp_path / "pipe")
  path = str(tmp_path / "pipe")
  with pytest.raises(ValueError, match="is a pipe, not a record file"):
    input_pipeline.check_records(path, {})
  with pytest.raises(ValueError, match="is a pipe, not a record file"):
    corpora.count_examples([path])


# ---------------------------------------------------------------- encodings


@pytest.mark.parametrize(
  ("text", "found"),
  [
    ("a b\nb a\n".encode("utf-16"), "is UTF-16, not UTF-8: save it as UTF-8"),
    (b"a O\rb O\r" * 20_000, "ends its lines with carriage returns"),
    (b"a O\nb \xff\n", "(?i:is not utf-8): byte 6 is 0xff"),
  ],
  ids=["utf-16", "cr", "latin-1"],
)
@pytest.mark.parametrize(
  "name", ["squad-train", "tagger-train", "text", "vocab"]
)
def test_text_in_another_encoding_is_refused(folder, name, text, found):
  script, *arguments = CASES[name]
  path = folder / "given.txt"
  path.write_bytes(text)
  done = run(script, folder, *(a.format(path) for a in arguments))
  assert done.returncode == 1, done.stderr
  assert re.search(f"given.txt {found}", done.stderr)
  assert not list(folder.glob("out*"))


def test_a_line_that_ends_where_the_first_block_ends_is_read(tmp_path):
  path = tmp_path / "a.txt"
  first = b"a" * (reading.READ_BYTES - 1)
  path.write_bytes(first + b"\r\nb\r\n")
  lines = list(reading.text_lines(str(path)))
  assert lines == [first.decode() + "\r", "b\r"]


# -------------------------------------------------------------------- names

ODD = os.fsdecode(b"a\xff")  # a name that is not UTF-8


@pytest.mark.parametrize(
  "arguments",
  [
    (run_squad, "--do_train", "--train_file={0}/squad.jsonl"),
    (run_tagger, "--do_train", "--train_file={0}/tags.txt"),
    (run_ranker, "--model=interaction", "--do_train", "--data_dir={0}"),
    (run_pretraining, "--do_train", "--input_file={0}/tags.txt"),
  ],
)
def test_a_folder_whose_name_is_not_utf_8_is_an_error(folder, arguments):
  script, *flags = arguments
  write(folder / "train.csv", "a,b,c\n")
  out = f"--output_dir={folder}/{ODD}"
  done = run(script, folder, *(flag.format(folder) for flag in flags), out)
  assert done.returncode == 1, done.stderr
  assert re.search(r"a.udcff.* is not UTF-8: rename", done.stderr)
  assert not (folder / ODD).exists()


@pytest.mark.parametrize(
  "arguments",
  [
    (run_ranker, "--model=interaction", "--do_train", "--data_dir={0}"),
    (run_pretraining, "--do_train", "--input_file={0}/*.txt"),
    (create_pretraining_data, "--input_file={0}/*", "--output_file={0}/b"),
    (create_vocab, "--input_file={0}/*", "--output_file={0}/b"),
  ],
)
def test_a_file_whose_name_is_not_utf_8_is_read_or_an_error(folder, arguments):
  script, *flags = arguments
  odd = folder / ODD
  write(odd / f"{ODD}.txt", "a b a b a\n")
  done = run(script, folder, *(flag.format(odd) for flag in flags))
  assert done.returncode == 1, done.stderr
  assert re.search(r"a.udcff.* is not UTF-8: rename", done.stderr)
  assert os.listdir(odd) == [f"{ODD}.txt"]
