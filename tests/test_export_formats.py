# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Exports for TFLite and ONNX Runtime: every task's numbers, and the flags."""

import importlib.util

import pytest

import export_model
from bert.training import trained_model
from bert.training.export_formats import Plan

NEEDS_ONNX = pytest.mark.skipif(
  importlib.util.find_spec("tf2onnx") is None,
  reason="needs the packages of requirements-onnx.txt",
)
LABELS = {
  "label_type": "single",
  "labels": ["no", "yes"],
  "thresholds": [],
  "feature_columns": [],
  "feature_mean": [],
  "feature_std": [],
}
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
    {
      "version_2_with_negative": False,
      "max_query_length": 4,
      "doc_stride": 3,
      "n_best_size": 3,
      "max_answer_length": 4,
      "null_score_diff_threshold": 0.0,
    },
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
