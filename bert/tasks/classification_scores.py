# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""A classifier's scores, and its predictions as lines of text.

In: predicted arrays. Out: scores with a report, and predictions.tsv. And what
--thresholds says, and how often labels occur.

Shapes: N examples, L labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from bert.tasks import metrics
from bert.tasks.classification import ClassifierNote


def compute_scores(
  note: ClassifierNote, names: Sequence[str], arrays: Mapping, batch_size: int
) -> tuple[dict, dict]:
  """The task's scores, and for classes a report.

  Args:
    note: of the model.
    names: official scores of a single-label task.
    arrays: `predicted` and `label_ids` [N] or [N, L], and `per_example_loss`
      [N], in input order.
    batch_size: `loss` is the mean over batches of this size, as the original
      gave it; `eval_loss` the mean over examples.

  Returns:
    {name: float}, and what eval_results.json holds besides.
  """
  labels, predictions = arrays["label_ids"], arrays["predicted"]
  report = {}
  if note.label_type == "single":
    scores = metrics.classification_scores(labels, predictions, names)
    report = metrics.classification_report(labels, predictions, note.labels)
  elif note.label_type == "multi":
    labels = labels.astype(int)
    scores = metrics.multilabel_scores(labels, predictions)
    report = metrics.multilabel_report(labels, predictions, note.labels)
  else:
    scores = metrics.regression_scores(labels, predictions)
  losses = arrays["per_example_loss"].astype(np.float64)
  batches = [
    losses[i : i + batch_size] for i in range(0, len(losses), batch_size)
  ]
  scores["loss"] = float(np.mean(losses))
  scores = {f"eval_{name}": value for name, value in scores.items()}
  scores["loss"] = float(np.mean([np.mean(batch) for batch in batches]))
  return scores, report


def prediction_lines(
  note: ClassifierNote, guids: Sequence[str], arrays: Mapping
) -> Iterator[str]:
  """The lines of predictions.tsv: id, label, a probability for each label."""
  if note.label_type == "number":
    yield "id\tprediction"
    for guid, value in zip(guids, arrays["predicted"]):
      yield f"{guid}\t{value}"
    return
  yield "\t".join(["id", "label", *note.labels])
  for guid, predicted, row in zip(
    guids, arrays["predicted"], arrays["probabilities"]
  ):
    if note.label_type == "single":
      label = note.labels[predicted]
    else:
      label = ",".join(np.asarray(note.labels)[predicted == 1])
    yield "\t".join([guid, label, *(str(value) for value in row)])


def find_thresholds(
  given: Sequence[str] | None, task, kept: ClassifierNote | None
) -> list[float]:
  """--thresholds, one per label; if not given, those kept, or 0.5.

  Args:
    given: the flag's value.
    task: a `classification_data.Dataset`.
    kept: note of the trained model, if there is one.

  Raises:
    ValueError: they are no numbers from 0 to 1, or not one per label.
  """
  if task.label_type != "multi":
    return []
  if not given:
    return kept.thresholds if kept else [0.5] * len(task.labels)
  try:
    values = [float(value) for value in given]
  except ValueError:
    values = [-1.0]
  if not all(0.0 <= value <= 1.0 for value in values):
    raise ValueError(
      f"--thresholds={','.join(given)}: numbers are expected, from 0 to 1"
    )
  if len(values) == 1:
    values *= len(task.labels)
  if len(values) != len(task.labels):
    raise ValueError(
      f"--thresholds has {len(values)} numbers for {len(task.labels)} labels"
      f" ({', '.join(task.labels)})"
    )
  return values


def label_histogram(note: ClassifierNote, examples: Sequence) -> str:
  """How often each label occurs in the training data, in words.

  Args:
    note: of the model.
    examples: of the training data.
  """
  if note.label_type == "number":
    values = [example.label for example in examples]
    return f"{min(values)} to {max(values)}, mean {np.mean(values):.4g}"
  counts, unknown = Counter(), "(none)"
  for example in examples:
    label = example.label or unknown
    counts.update([label] if isinstance(label, str) else label)
  labels = [*note.labels, *{unknown} & set(counts)]
  return ", ".join(
    f"{label} {counts[label]} ({counts[label] / len(examples):.1%})"
    for label in labels
  )
