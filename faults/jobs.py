# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""One small command for each script, and the files that it reads.

In: the project's sample data, and what other jobs have made. Out: `JOBS`, and
folders in which their commands run. A command reads files below in/ and writes
below out/.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil

ROOT = pathlib.Path(__file__).resolve().parent.parent

CONFIG = {
  "attention_probs_dropout_prob": 0.1,
  "hidden_act": "gelu",
  "hidden_dropout_prob": 0.1,
  "hidden_size": 16,
  "initializer_range": 0.02,
  "intermediate_size": 32,
  "max_position_embeddings": 64,
  "num_attention_heads": 2,
  "num_hidden_layers": 1,
  "type_vocab_size": 2,
  "vocab_size": 600,
}
EXAMPLES = (  # as an evaluation with --report keeps them
  {
    **{"task": "classifier", "label_type": "single", "labels": ["no", "yes"]},
    **{"thresholds": [], "max_seq_length": 8, "temperature": 1.0, "step": 3},
    "examples": 3,
  },
  *(
    {
      **{"id": f"dev-{i}", "text_a": "Late again.", "label": label},
      **{"probabilities": [1.0 - p, p], "length": 4 + i},
    }
    for i, (label, p) in enumerate([("no", 0.25), ("yes", 0.75), ("no", 0.5)])
  ),
)
LINES = {  # written for the jobs
  "questions": "When does the bakery open?\nMay I take my dog along?\n",
  "texts": '{"text": "The repair was worth it."}\n{"text": "Late again."}\n',
  "config": json.dumps(CONFIG, indent=2) + "\n",
  "examples": "\n".join(map(json.dumps, EXAMPLES)) + "\n",
}
TRAINING = (
  "--bert_config_file=in/config.json --vocab_file=in/vocab.txt"
  " --output_dir=out --max_seq_length=32 --train_batch_size=8"
  " --learning_rate=1e-3"
)


@dataclasses.dataclass(frozen=True)
class Job:
  """A command that is disturbed.

  Attributes:
    script: its file.
    flags: separated by spaces.
    inputs: {path: where it is from}: a file of the project, its first lines
      ("file:20"), a text of LINES ("=texts"), or another job's output
      ("@script/file").
    same: patterns of the outputs that are equal after every run.
    seconds: of an undisturbed run on two cores, to choose cases by.
    stdin: the file that it reads from standard input.
    has_workers: whether it starts processes of its own.
    trains: whether its output folder is one that training goes on in.
  """

  script: str
  flags: str
  inputs: dict
  same: tuple
  seconds: float
  stdin: str = ""
  has_workers: bool = False
  trains: bool = False

  @property
  def name(self) -> str:
    return pathlib.Path(self.script).stem

  @property
  def words(self) -> list[str]:
    return [self.script, *self.flags.split()]

  @property
  def sources(self) -> set[str]:
    """The names of the jobs whose outputs this one reads."""
    given = [source for source in self.inputs.values() if source[0] == "@"]
    return {source[1:].partition("/")[0] for source in given}

  @property
  def reads_outputs(self) -> bool:
    """Whether it goes on from what an earlier run has left in out/."""
    return self.trains or any(name.startswith("out/") for name in self.inputs)

  @property
  def command(self) -> str:
    """As a user types it."""
    stdin = f" < {self.stdin}" if self.stdin else ""
    return f"python {self.script} {self.flags}{stdin}"


_MODEL = {"in/config.json": "=config", "in/vocab.txt": "sample_data/vocab.txt"}
_PRETRAINED = {"in/model": "@run_pretraining/out"}
_TRAINED = ("out/model.ckpt-*", "out/best/model.ckpt-*", "out/eval_results.txt")

# In an order in which each finds what it reads.
JOBS = (
  Job(
    "create_vocab.py",
    "--input_file=in/text.txt --output_file=out/vocab.txt --vocab_size=400"
    " --num_workers=2",
    {"in/text.txt": "sample_text.txt"},
    ("out/vocab.txt",),
    1,
    has_workers=True,
  ),
  Job(
    "create_pretraining_data.py",
    "--input_file=in/text.txt --vocab_file=in/vocab.txt"
    " --output_file=out/0.tfrecord,out/1.tfrecord --num_workers=2"
    " --max_seq_length=32 --max_predictions_per_seq=5 --dupe_factor=2",
    {"in/text.txt": "sample_text.txt", "in/vocab.txt": "sample_data/vocab.txt"},
    ("out/*.tfrecord",),
    1,
    has_workers=True,
  ),
  Job(
    "run_pretraining.py",
    "--do_train --do_eval --input_file=in/0.tfrecord"
    f" --eval_input_file=in/1.tfrecord {TRAINING} --max_predictions_per_seq=5"
    " --num_train_steps=12 --num_warmup_steps=2 --save_checkpoints_steps=3"
    " --max_eval_steps=3 --log_steps=4",
    {
      **_MODEL,
      "in/0.tfrecord": "@create_pretraining_data/out/0.tfrecord",
      "in/1.tfrecord": "@create_pretraining_data/out/1.tfrecord",
    },
    _TRAINED,
    5,
    trains=True,
  ),
  Job(
    "run_classifier.py",
    "--task_name=custom --data_dir=in/data --text_a_column=text"
    " --label_column=label --id_column=id --do_train --do_eval --do_predict"
    f" {TRAINING} --num_train_epochs=2 --eval_steps=4 --keep_best=eval_loss"
    " --log_steps=4",
    {
      **_MODEL,
      "in/data/train.tsv": "sample_data/train.tsv:49",
      "in/data/dev.tsv": "sample_data/dev.tsv:17",
      "in/data/test.tsv": "sample_data/test.tsv:9",
    },
    (*_TRAINED, "out/predictions.tsv", "out/test_results.tsv"),
    8,
    trains=True,
  ),
  Job(
    "run_squad.py",
    "--do_train --do_predict --train_file=in/squad.json"
    f" --predict_file=in/squad.json {TRAINING} --max_query_length=12"
    " --doc_stride=16 --num_train_epochs=1 --save_checkpoints_steps=4"
    " --log_steps=4",
    {**_MODEL, "in/squad.json": "sample_data/squad-v1.1.json"},
    (*_TRAINED, "out/*predictions.json*"),
    5,
    trains=True,
  ),
  Job(
    "run_tagger.py",
    "--do_train --do_eval --do_predict --train_file=in/train.txt"
    f" --eval_file=in/dev.txt --predict_file=in/test.txt {TRAINING}"
    " --num_train_epochs=2 --save_checkpoints_steps=4 --log_steps=4",
    {
      **_MODEL,
      "in/train.txt": "sample_data/ner/train.txt:700",
      "in/dev.txt": "sample_data/ner/dev.txt:200",
      "in/test.txt": "sample_data/ner/test.txt:100",
    },
    (*_TRAINED, "out/predictions.txt"),
    6,
    trains=True,
  ),
  Job(
    "run_ranker.py",
    "--model=representation --data_dir=in/data --do_train --do_eval"
    f" --do_predict {TRAINING} --num_train_epochs=2"
    " --save_checkpoints_steps=4 --log_steps=4",
    {
      **_MODEL,
      "in/data/train.csv": "sample_data/ranking/train.csv:61",
      "in/data/valid.csv": "sample_data/ranking/valid.csv:6",
      "in/data/test.csv": "sample_data/ranking/test.csv:6",
    },
    (*_TRAINED, "out/predictions.jsonl", "out/test_results.json"),
    6,
    trains=True,
  ),
  Job(
    "sweep.py",
    "--output_dir=out --grid num_train_epochs=1,2 -- run_ranker.py"
    " --model=representation --data_dir=in/data --do_train --do_eval"
    f" {TRAINING.replace(' --output_dir=out', '')} --save_checkpoints_steps=2",
    {
      **_MODEL,
      "in/data/train.csv": "sample_data/ranking/train.csv:31",
      "in/data/valid.csv": "sample_data/ranking/valid.csv:6",
    },
    ("out/*/seed_1/eval_results.txt",),
    20,
  ),
  Job(
    "search_responses.py",
    "--model_dir=in/model --response_file=out/responses.txt --num_answers=2",
    {
      "in/model": "@run_ranker/out",
      "in/questions.txt": "=questions",
      "out/responses.txt": "sample_data/ranking/responses.txt:12",
    },
    ("out/responses.txt*",),
    2,
    stdin="in/questions.txt",
  ),
  Job(
    "extract_features.py",
    "--input_file=in/text.txt --output_file=out/vectors.json"
    " --vocab_file=in/model/vocab.txt --init_checkpoint=in/model"
    " --bert_config_file=in/model/bert_config.json --layers=-1"
    " --max_seq_length=16",
    {**_PRETRAINED, "in/text.txt": "sample_text.txt:30"},
    ("out/vectors.json",),
    2,
  ),
  Job(
    "convert_checkpoint.py",
    "--input=in/model --output=out --overwrite",
    _PRETRAINED,
    ("out/*",),
    1,
  ),
  Job(
    "export_model.py",
    "--model_dir=in/model --export_dir=out --signatures=ids",
    {"in/model": "@run_classifier/out"},
    ("out/*/variables/*",),
    3,
  ),
  Job(
    "predict.py",
    "--model_dir=in/model",
    {"in/model": "@run_classifier/out", "in/texts.jsonl": "=texts"},
    (),
    2,
    stdin="in/texts.jsonl",
  ),
  Job(
    "report.py",
    "--model_dir=in/model --baseline=in/other --output_file=out/report.html",
    {
      "in/model/eval_predictions.jsonl": "=examples",
      "in/other/eval_predictions.jsonl": "=examples",
    },
    ("out/report.html",),
    3,
  ),
  Job(
    "serve.py",
    "--model_dir=in/model --check",
    {"in/model": "@run_classifier/out"},
    (),
    2,
  ),
)


def make_folder(job: Job, folder: pathlib.Path, finished: pathlib.Path) -> None:
  """Makes a folder with what a job reads, and an empty out/ to write to.

  Args:
    job: of JOBS.
    folder: must not exist.
    finished: holds a folder of each job that has run undisturbed.
  """
  for name in ("in", "out", "tmp"):
    (folder / name).mkdir(parents=True)
  copy_inputs(job, folder, finished)


def copy_inputs(job: Job, folder: pathlib.Path, finished: pathlib.Path) -> None:
  """Copies what a job reads into its folder."""
  for name, source in job.inputs.items():
    to = folder / name
    to.parent.mkdir(parents=True, exist_ok=True)
    if source.startswith("="):
      to.write_text(LINES[source[1:]])
      continue
    source, _, count = source.partition(":")
    base = finished if source.startswith("@") else ROOT
    found = base / source.removeprefix("@")
    if found.is_dir():
      shutil.copytree(found, to)
    elif count:
      lines = found.read_text("utf-8").split("\n")[: int(count)]
      to.write_text("\n".join(lines) + "\n", "utf-8")
    else:
      shutil.copyfile(found, to)
