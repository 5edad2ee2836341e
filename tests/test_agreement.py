# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""For each task, the run_ script, predict.py and the export say the same.

Each script trains a tiny model for a few steps on the sample data and predicts;
then the same rows go through predict.py and through an export.
"""

import json

import numpy as np
import pytest
from helpers import ROOT, run, write

import export_model
import predict
import run_classifier
import run_ranker
import run_squad
import run_tagger

DATA = ROOT / "sample_data"
MODEL = (
  f"--vocab_file={DATA / 'vocab.txt'}",
  *("--do_train", "--do_predict", "--num_train_epochs=0.3"),
  "--learning_rate=1e-3",
)


def lines_of(path):
  return path.read_text(encoding="utf-8").splitlines()


def json_of(path):
  return [json.loads(line) for line in lines_of(path)]


def tsv_of(path):
  return [line.split("\t") for line in lines_of(path)[1:]]


def classifier_rows(folder):
  """(row, the probabilities of its labels) of each prediction."""
  texts = tsv_of(DATA / "test.tsv")
  for (_, text), found in zip(texts, tsv_of(folder / "predictions.tsv")):
    yield {"text": text}, [float(value) for value in found[2:]]


def squad_rows(folder):
  for row, found in zip(
    json_of(DATA / "questions.jsonl"), json_of(folder / "predictions.jsonl")
  ):
    wanted = [found["text"], pytest.approx(found["probability"], rel=1e-3)]
    yield {name: row[name] for name in ("question", "context")}, wanted


def tagger_rows(folder):
  text = (folder / "predictions.txt").read_text(encoding="utf-8")
  for sentence in text.strip().split("\n\n"):
    fields = [line.split(" ") for line in sentence.split("\n")]
    yield {"tokens": [f[0] for f in fields]}, [f[-1] for f in fields]


def ranker_rows(folder):
  for line in json_of(folder / "predictions.jsonl"):
    for response in line["responses"]:
      row = {"text_a": line["context"], "text_b": response["response"]}
      yield row, [response["score"]]


CASES = {
  **{
    f"classifier-{name}": (
      run_classifier,
      (
        *("--task_name=custom", f"--data_dir={DATA}", "--max_seq_length=48"),
        *options,
      ),
      classifier_rows,
      lambda answer: list(answer["probabilities"].values()),
    )
    for name, options in (
      ("cls", ()),
      ("mean", ("--pooling=mean",)),
      # The texts have 18 tokens or so: of 10, most have several windows.
      ("windows", ("--long_texts=windows", "--max_seq_length=10")),
      ("head_tail", ("--long_texts=head_tail", "--max_seq_length=10")),
    )
  },
  "squad": (
    run_squad,
    (
      f"--train_file={DATA / 'squad-v1.1.json'}",
      f"--predict_file={DATA / 'questions.jsonl'}",
      *("--max_seq_length=64", "--max_query_length=24", "--doc_stride=24"),
      # All positions are candidates, so padding takes no candidate's place.
      *("--train_batch_size=4", "--n_best_size=64"),
    ),
    squad_rows,
    lambda answer: [answer["text"], answer["probability"]],
  ),
  "tagger": (
    run_tagger,
    (
      f"--train_file={DATA / 'ner' / 'train.txt'}",
      f"--predict_file={DATA / 'ner' / 'test.txt'}",
      *("--use_crf", "--max_seq_length=32", "--train_batch_size=8"),
    ),
    tagger_rows,
    lambda answer: answer["tags"],
  ),
  "ranker": (
    run_ranker,
    (
      *("--model=interaction", f"--data_dir={DATA / 'ranking'}"),
      "--max_seq_length=48",
    ),
    ranker_rows,
    lambda answer: [answer["score"]],
  ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_script_predict_and_export_agree(name, tmp_path):
  script, options, rows_of, values_of = CASES[name]
  config = json.loads((DATA / "bert_config.json").read_text())
  config["num_hidden_layers"] = 1
  config = write(tmp_path / "sizes" / "one_layer.json", json.dumps(config))
  folder = f"--output_dir={tmp_path}", f"--bert_config_file={config}"
  done = run(script, *MODEL, *options, *folder)
  assert done.returncode == 0, done.stderr
  rows, wanted = zip(*rows_of(tmp_path))
  assert len(rows) >= 3
  text = "\n".join(map(json.dumps, rows))
  done = run(predict, f"--model_dir={tmp_path}", stdin=text)
  answers = [json.loads(line) for line in done.stdout.splitlines()]
  assert len(answers) == len(wanted)
  for answer, values in zip(answers, wanted):
    found = values_of(answer)
    if all(isinstance(value, float) for value in values):
      np.testing.assert_allclose(found, values, rtol=1e-3, atol=1e-4)
    else:
      assert found == values
  (tmp_path / "rows.jsonl").write_text(text)
  done = run(
    export_model,
    *(f"--model_dir={tmp_path}", f"--export_dir={tmp_path / 'export'}"),
    *("--check", f"--check_file={tmp_path / 'rows.jsonl'}"),
  )
  assert done.returncode == 0, done.stderr
  assert f"check: {len(rows)} examples through signature ids" in done.stderr
