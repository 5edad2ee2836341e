# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Exports for TFLite and ONNX Runtime: every task's numbers, and the flags."""

import dataclasses
import importlib.util
import json
import pathlib
import re

import conftest
import helpers
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import export_model
from bert.tasks.classification import Classification
from bert.training import export_formats, trained_model
from bert.training.export_formats import Plan

NEEDS_ONNX = pytest.mark.skipif(
  importlib.util.find_spec("tf2onnx") is None,
  reason="needs the packages of requirements-onnx.txt",
)
LABELS = conftest.CLASSIFIER_NOTE
TAGS = {
  "labels": ["O", "B-PER", "I-PER"],
  "tag_scheme": "bio",
  "use_crf": False,
  "birnn_cell": None,
  "birnn_size": 4,
  "mix_layers": [],
}
TEXTS = "a good day, the café", "bad", "one day " * 9
CONTEXTS = [{"question": "one day?", "context": text} for text in TEXTS]
PAIRS = [{"text_a": text, "text_b": "two bad days"} for text in TEXTS]
SENTENCES = [{"text": text} for text in TEXTS]
# {case: (task, keys of task.json, rows, whether answers decide something)}
CASES = {
  "label": ("classifier", LABELS, PAIRS, True),
  "labels and features of windows": (
    "classifier",
    {
      **LABELS,
      "label_type": "multi",
      "thresholds": [0.5, 0.5],
      "feature_columns": ["size"],
      "feature_mean": [10.0],
      "feature_std": [4.0],
      "long_texts": "windows",
      "doc_stride": 4,
      "pooling": "max",
    },
    [{**row, "size": 7} for row in SENTENCES],
    True,
  ),
  "number": (
    "classifier",
    {**LABELS, "label_type": "number", "labels": [], "pooling": "mean"},
    PAIRS,
    False,
  ),
  "answer": (
    "squad",
    conftest.SQUAD_NOTE,
    CONTEXTS,
    True,
  ),
  "tags": ("tagger", TAGS, SENTENCES, True),
  "tags, LSTM and CRF": (
    "tagger",
    {**TAGS, "use_crf": True, "birnn_cell": "lstm", "mix_layers": [-1, 0]},
    SENTENCES,
    True,
  ),
  "tags, GRU": ("tagger", {**TAGS, "birnn_cell": "gru"}, SENTENCES, True),
  "match": (
    "ranker",
    {"model": "interaction", "pooling": "cls"},
    PAIRS,
    True,
  ),
  "vector": (
    "ranker",
    {"model": "representation", "pooling": "mean"},
    SENTENCES,
    False,
  ),
}


def agreement(model, plan, rows, folder):
  """How far an export agrees with the checkpoint, and the export's folder."""
  predictor = trained_model.Predictor(model)
  made = export_model.export(model, str(folder), plan)
  (found,) = export_model.compare(
    made, plan.format, model, predictor, rows
  ).values()
  return found, made


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
  "plan",
  [
    Plan("tflite", batch=1, length=12),
    pytest.param(Plan("onnx"), marks=NEEDS_ONNX),
  ],
  ids=lambda plan: plan.format,
)
def test_each_task_has_the_checkpoints_numbers(
  plan, case, trained_folder, tmp_path
):
  task, note, rows, decides = CASES[case]
  model = trained_model.find_model(str(trained_folder(task, **note)))
  found, made = agreement(model, plan, rows, tmp_path / "out")
  assert found.difference < 1e-4
  assert found.same == found.decisions == (len(rows) if decides else 0)
  names = {path.name for path in (tmp_path / "out" / "1").iterdir()}
  assert names == {
    *("vocab.txt", "bert_config.json", "task.json"),
    *(["labels.txt"] if note.get("labels") else []),
    "model.tflite" if plan.format == "tflite" else "model.onnx",
  }


@pytest.mark.parametrize(
  "format_name", ["tflite", pytest.param("onnx", marks=NEEDS_ONNX)]
)
def test_smaller_weights_keep_the_labels(format_name, trained_folder, tmp_path):
  folder = trained_folder("classifier", width=96, **LABELS)
  model = trained_model.find_model(str(folder))
  rows = [{"text_a": text, "text_b": b} for text in TEXTS for b in TEXTS]
  sizes, differences = {}, {}
  for quantize in ("none", "float16", "int8"):
    plan = Plan(format_name, quantize=quantize)
    if format_name == "tflite":
      plan = dataclasses.replace(plan, batch=1, length=12)
    found, made = agreement(model, plan, rows, tmp_path / "out")
    assert (found.decisions, found.same) == (9, 9)
    (file,) = pathlib.Path(made).glob("model.*")
    sizes[quantize] = file.stat().st_size
    differences[quantize] = found.difference
  assert sizes["none"] > 4 * 75_000 * 0.9
  assert sizes["float16"] < 0.6 * sizes["none"]
  assert sizes["int8"] < 0.6 * sizes["none"]
  assert differences["none"] < 1e-5 < differences["float16"] < 0.01
  assert differences["float16"] < differences["int8"] < 0.2


def test_texts_are_cut_to_the_length_of_the_file(trained_folder, tmp_path):
  folder = trained_folder("classifier", **LABELS)
  rows = helpers.write(
    tmp_path / "rows.jsonl",
    "".join(json.dumps(row) + "\n" for row in PAIRS),
  )
  done = helpers.run(
    *(export_model, f"--model_dir={folder}", f"--export_dir={tmp_path}/out"),
    *("--format=tflite", "--export_length=7", "--export_batch=2"),
    *("--check", f"--check_file={rows}"),
  )
  assert done.returncode == 0, done.stderr
  assert "; 3 of 3 answers are the same (100.0%)" in done.stderr
  assert "classifier, float32, tflite, 0.0 MB" in done.stderr
  note = json.loads((tmp_path / "out" / "1" / "task.json").read_text())
  assert note == {
    **json.loads((folder / "task.json").read_text()),
    "max_seq_length": 7,
  }
  with export_formats.load(str(tmp_path / "out" / "1"), "tflite") as runs:
    columns = dict.fromkeys(
      ("input_ids", "input_mask", "segment_ids"), np.ones([5, 7], np.int32)
    )
    found = runs["ids"](columns)
    assert found["probabilities"].shape == (5, 2)  # three batches of two
    wide = {name: np.ones([1, 8], np.int32) for name in columns}
    with pytest.raises(ValueError, match="of 8 numbers .* the file takes 7"):
      runs["ids"](wide)


@pytest.mark.parametrize("case", ["number", "answer", "tags, GRU"])
def test_tflite_files_for_texts_of_any_length(case, trained_folder, tmp_path):
  task, note, rows, _ = CASES[case]
  model = trained_model.find_model(str(trained_folder(task, **note)))
  if case == "tags, GRU":
    message = (
      "this tagger model for any number or length of texts"
      r" \(StridedSlice\): give --export_length and --export_batch other"
    )
    with pytest.raises(ValueError, match=message):
      agreement(model, Plan("tflite"), rows, tmp_path / "out")
    return
  found, _ = agreement(model, Plan("tflite"), rows, tmp_path / "out")
  assert found.difference < 1e-4 and found.same == found.decisions


def test_what_tflite_cannot_hold_is_told(classifier, tmp_path, monkeypatch):
  monkeypatch.setattr(
    Classification,
    "served",
    lambda self, tensors, inputs: {
      "x": tf.linalg.det(tensors["probabilities"][:, tf.newaxis, :1])
    },
  )
  done = helpers.run(
    *(export_model, f"--model_dir={classifier()}"),
    *(f"--export_dir={tmp_path}/out", "--format=tflite"),
  )
  assert done.returncode == 1
  assert done.stderr == (
    "error: --format=tflite: TFLite can't hold this classifier model"
    " (MatrixDeterminant): --format=saved_model or onnx can\n"
  )
  assert not (tmp_path / "out").exists()


def test_flags_that_do_not_fit(squad_model, tmp_path, monkeypatch):
  folders = f"--model_dir={squad_model()}", f"--export_dir={tmp_path}/out"

  def error(*arguments):
    done = helpers.run(export_model, *folders, *arguments)
    assert done.returncode == 1 and not (tmp_path / "out").exists()
    (line,) = done.stderr.splitlines()
    return line

  assert error("--quantize=int8") == (
    "error: --quantize=int8 is for --format=tflite and onnx: a SavedModel can"
    " have --precision=bfloat16"
  )
  tflite = "--format=tflite"
  assert error(tflite, "--signatures=text") == (
    "error: --signatures=text is for --format=saved_model: the other formats"
    " take token ids"
  )
  assert error(tflite, "--precision=bfloat16") == (
    "error: --precision=bfloat16 is for --format=saved_model: the other formats"
    " can have --quantize=float16"
  )
  assert "--export_length=513 is over max_position_embeddings=512" in (
    error(tflite, "--export_length=513")
  )
  assert "--export_batch=2 is for --format=tflite: the other formats" in (
    error("--export_batch=2")
  )
  assert "--check_file=x needs --check" in error(tflite, "--check_file=x")
  assert "one of <saved_model|tflite|onnx>" in error("--format=torch")
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  assert error("--format=onnx").startswith(
    "error: --format=onnx needs onnx, tf2onnx, onnxruntime: pip install"
  )


def test_what_a_check_accepts():
  def accepts(weights, difference, decisions=0, same=0):
    return export_model.Agreement(difference, decisions, same).is_within(
      weights
    )

  assert accepts("float32", 9e-5) and not accepts("float32", 2e-4, 4, 4)
  assert accepts("float16", 0.01, 4, 3) and not accepts("float16", 0.03)
  assert accepts("int8", 0.9, 4, 3) and not accepts("int8", 0.9, 4, 2)
  assert accepts("int8", 0.9, 400, 360) and not accepts("int8", 0.9, 400, 359)
  assert accepts("int8", 0.1) and not accepts("int8", 0.3)
  nan = float("nan")
  assert not accepts("int8", nan, 4, 4) and not accepts("float32", nan)


def test_ctrl_c_leaves_no_part(classifier, tmp_path, monkeypatch):
  def stop(*_):
    raise KeyboardInterrupt

  monkeypatch.setattr(export_formats, "_write_bytes", stop)
  done = helpers.run(
    *(export_model, f"--model_dir={classifier()}"),
    *(f"--export_dir={tmp_path}/out", "--format=tflite"),
  )
  assert done.returncode == 130 and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
  "format_name", ["tflite", pytest.param("onnx", marks=NEEDS_ONNX)]
)
def test_the_pages_programs_run(
  format_name, classifier, tmp_path, monkeypatch, capsys
):
  """The Python of docs/serving.md, on a file that the page's flags make."""
  page = (helpers.ROOT / "docs" / "serving.md").read_text()
  (program,) = [
    block
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    if f"model.{format_name}" in block
  ]
  folder = {"tflite": "phone", "onnx": "onnx"}[format_name]
  done = helpers.run(
    *(export_model, f"--model_dir={classifier(max_seq_length=128)}"),
    *(f"--export_dir={tmp_path}/{folder}/mrpc", f"--format={format_name}"),
  )
  assert done.returncode == 0, done.stderr
  monkeypatch.chdir(tmp_path)
  exec(program, {})
  values = capsys.readouterr().out.strip("[] \n").split()
  assert len(values) == 2
  assert sum(map(float, values)) == pytest.approx(1.0, abs=1e-4)
