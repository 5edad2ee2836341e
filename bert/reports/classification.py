# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""A classifier's evaluation: what is kept of it, and its pictures.

In: examples, their labels and probabilities. Out: lines of
eval_predictions.jsonl, and from them sections of a report.

Shapes: N examples, L labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from bert.reports import calibration, comparing, drawing, lengths, page
from bert.tasks import metrics

HEAD = {
  "label_type": str,
  "labels": [str],
  "thresholds": [float],
  "max_seq_length": int,
  "temperature": float,
}
ROW = {
  "id": str,
  "text_a": str,
  "text_b?": str,
  "label": (str, [str], float),
  "probabilities": [float],  # of a number: the number
  "length": int,
}
SAME = ("label_type", "labels")  # of the head, in models to compare
_MOST_ERRORS, _MOST_CLASSES = 25, 20


def kept(note, examples: Sequence, arrays: Mapping, tokenizer) -> tuple:
  """The head and the rows of an evaluated set.

  Args:
    note: a ClassifierNote.
    examples: with their texts and labels.
    arrays: `probabilities` [N, L], which prediction would give, and
      `label_ids`, in the order of the examples.
    tokenizer: a FullTokenizer.
  """
  head = {
    "task": note.task,
    "label_type": note.label_type,
    "labels": list(note.labels),
    "thresholds": list(note.thresholds),
    "max_seq_length": note.max_seq_length,
    "temperature": note.calibration_temperature,
  }
  return head, _kept_rows(note, examples, arrays, tokenizer)


def _kept_rows(note, examples, arrays, tokenizer):
  for example, probabilities, label in zip(
    examples, arrays["probabilities"], arrays["label_ids"]
  ):
    texts = {"text_a": example.text_a}
    if example.text_b:
      texts["text_b"] = example.text_b
    if note.label_type == "single":
      label = note.labels[label]
    elif note.label_type == "multi":
      label = [name for name, has in zip(note.labels, label) if has]
    else:
      label = float(label)
    yield {
      "id": example.guid,
      **texts,
      "label": label,
      "probabilities": [float(value) for value in np.ravel(probabilities)],
      # [CLS], and a [SEP] behind each text
      "length": 1 + sum(len(tokenizer.tokenize(t)) + 1 for t in texts.values()),
    }


def check(head: Mapping, row: Mapping) -> None:
  """Raises ValueError unless a row fits the labels of the head."""
  labels, given = head["labels"], row["label"]
  kinds = {"single": str, "multi": list, "number": (int, float)}
  given = [given] if isinstance(given, str) else given
  if (
    head["label_type"] not in kinds
    or not isinstance(row["label"], kinds[head["label_type"]])
    or len(row["probabilities"]) != max(len(labels), 1)
    or isinstance(given, list)
    and not set(given) <= set(labels)
  ):
    raise ValueError(
      f"{row.where}: the label and its probabilities do not fit the first line"
    )


# ---------------------------------------------------------------- as arrays


def _probabilities(rows):
  return np.array([row["probabilities"] for row in rows])


def _label_ids(head, rows):
  """int [N], or 0 and 1 [N, L] of several labels; float [N] of numbers."""
  labels = head["labels"]
  if head["label_type"] == "single":
    return np.array([labels.index(row["label"]) for row in rows])
  if head["label_type"] == "multi":
    return np.array([[n in row["label"] for n in labels] for row in rows], int)
  return np.array([row["label"] for row in rows], float)


def _predicted(head, rows):
  """As `_label_ids`."""
  probabilities = _probabilities(rows)
  if head["label_type"] == "single":
    return np.argmax(probabilities, axis=1)
  if head["label_type"] == "multi":
    thresholds = np.array(head["thresholds"], np.float32)
    return (probabilities.astype(np.float32) >= thresholds).astype(int)
  return probabilities[:, 0]


def _texts(row):
  return " \u2016 ".join(filter(None, (row["text_a"], row.get("text_b"))))


# ----------------------------------------------------------------- sections


def sections(head: Mapping, rows: Sequence[Mapping]) -> list[page.Section]:
  """The pictures that suit the kind of labels."""
  kinds = {"single": _single, "multi": _multi, "number": _number}
  return list(kinds[head["label_type"]](head, rows))


def _single(head, rows) -> Iterator[page.Section]:
  names, probabilities = head["labels"], _probabilities(rows)
  labels, predicted = _label_ids(head, rows), _predicted(head, rows)
  report = metrics.classification_report(labels, predicted, names)
  yield confusion(report["confusion_matrix"], names)
  yield class_scores(report["classes"], "class")
  yield _thresholds_of_single(names, labels, probabilities)
  yield reliability_section(
    probabilities.max(axis=1), predicted == labels, _before(head, rows)
  )
  yield lengths.section(head, rows, predicted == labels, "accuracy")
  sure = probabilities.max(axis=1)
  yield _errors(
    [
      (rows[i], names[labels[i]], names[predicted[i]], sure[i])
      for i in np.argsort(-sure, kind="stable")
      if predicted[i] != labels[i]
    ]
  )


def _before(head, rows):
  """Confidences without the temperature; None if there is none."""
  if head["temperature"] == 1.0:
    return None
  probabilities = _probabilities(rows)
  plain = calibration.divided(probabilities, 1 / head["temperature"])
  return plain.max(axis=1), head["temperature"]


def _multi(head, rows) -> Iterator[page.Section]:
  names, probabilities = head["labels"], _probabilities(rows)
  labels, predicted = _label_ids(head, rows), _predicted(head, rows)
  report = metrics.multilabel_report(labels, predicted, names)
  yield class_scores(report["classes"], "label")
  yield _average_precisions(names, labels, probabilities)
  yield _threshold_curves(
    labels.ravel(),
    probabilities.ravel(),
    "Of all decisions whether a text has a label, with one threshold for all"
    " labels.",
  )
  sure = np.where(predicted, probabilities, 1.0 - probabilities)
  right = predicted == labels
  yield reliability_section(sure.ravel(), right.ravel(), None)
  yield lengths.section(head, rows, right.all(axis=1), "all labels right")
  wrong = []
  for place in np.argsort(-sure, axis=None, kind="stable"):
    i, j = divmod(int(place), len(names))
    if not right[i, j]:
      both = names[j], f"not {names[j]}"
      pair = both if labels[i, j] else both[::-1]
      wrong.append((rows[i], *pair, sure[i, j]))
  yield _errors(wrong)


def _number(head, rows) -> Iterator[page.Section]:
  true, found = _label_ids(head, rows), _predicted(head, rows)
  picture = drawing.svg(
    lambda axes: drawing.scatter(axes, true, found, "true", "predicted", True),
    "Scatter of true and predicted numbers",
    (5.0, 4.4),
  )
  yield page.Section(
    "True and predicted numbers",
    "A dot is an example; both are equal on the line.",
    [picture],
  )
  differences = found - true

  def paint(axes):
    drawing.histogram(
      axes, {"": differences}, 30, "predicted minus true", "examples"
    )
    axes.axvline(0.0, color=drawing.GREY, linewidth=1)

  yield page.Section(
    "Errors of the number",
    f"The mean difference is {differences.mean():.4g}, the mean absolute one"
    f" {np.abs(differences).mean():.4g}.",
    [drawing.svg(paint, "Histogram of predicted minus true")],
  )
  yield lengths.section(head, rows, None, "")
  worst = np.argsort(-np.abs(differences), kind="stable")[:_MOST_ERRORS]
  yield page.Section(
    "The largest errors",
    table=page.Table(
      ("id", "true", "predicted", "text"),
      [
        (rows[i]["id"], float(true[i]), float(found[i]), _texts(rows[i]))
        for i in worst
      ],
    ),
  )


# ----------------------------------------------------- parts of several tasks


def confusion(
  counts: Sequence[Sequence[int]], names: Sequence[str], what: str = "examples"
) -> page.Section:
  """A confusion matrix; of many classes, those with the most errors."""
  counts = np.array(counts)
  errors = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diag(counts)
  chosen = np.sort(np.argsort(-errors, kind="stable")[:_MOST_CLASSES])
  text = f"How many {what} of each true class (rows) got which prediction."
  if len(chosen) < len(names):
    text += (
      f" Shown are the {len(chosen)} of {len(names)} classes with the most"
      " errors; the pairs below are of all."
    )
  counts_shown = counts[np.ix_(chosen, chosen)]
  shown = [names[i] for i in chosen]
  picture = drawing.svg(
    lambda axes: drawing.matrix(
      axes, counts_shown, shown, shown, "true", "predicted"
    ),
    f"Confusion matrix of {what}",
    drawing.size_of_matrix(len(shown), len(shown)),
  )
  table = None
  if len(names) > 2:
    off = counts - np.diag(np.diag(counts))
    places = [
      divmod(int(i), len(names))
      for i in np.argsort(-off.ravel(), kind="stable")[:10]
    ]
    pairs = [
      (names[i], names[j], int(off[i, j])) for i, j in places if off[i, j]
    ]
    table = page.Table(("true", "predicted", what), pairs) if pairs else None
  return page.Section("Confusion matrix", text, [picture], table)


def class_scores(classes: Mapping[str, Mapping], kind: str) -> page.Section:
  """Precision, recall and F1 of each class.

  Args:
    classes: {name: {"precision", "recall", "f1", "support"}}.
    kind: what they are called: class, label, type.
  """
  order = sorted(classes, key=lambda name: -classes[name]["support"])
  shown = order[:_MOST_CLASSES]
  scores = ("precision", "recall", "f1")
  picture = drawing.svg(
    lambda axes: drawing.bars(
      axes,
      shown,
      {score: [classes[n][score] for n in shown] for score in scores},
      *("score", 1.0),
    ),
    f"Precision, recall and F1 of each {kind}",
    (6.4, drawing.height_of_bars(shown, 3)),
  )
  rows = [(n, *(classes[n][s] for s in (*scores, "support"))) for n in order]
  return page.Section(
    f"Scores of each {kind}",
    f"The most frequent {kind} first; support counts its true examples.",
    [picture],
    page.Table((kind, *scores, "support"), rows),
  )


def _thresholds_of_single(names, labels, probabilities):
  if len(names) == 2:
    return _threshold_curves(
      labels,
      probabilities[:, 1],
      f"If {names[1]!r} is predicted where its probability reaches a threshold;"
      " without one, it is predicted from 0.5 on.",
    )
  sure, right = (
    probabilities.max(axis=1),
    probabilities.argmax(axis=1) == labels,
  )
  order = np.argsort(-sure, kind="stable")
  answered = np.arange(1, len(sure) + 1)
  series = {
    "accuracy of those": (sure[order], np.cumsum(right[order]) / answered),
    "share of examples": (sure[order], answered / len(sure)),
  }
  return page.Section(
    "Accuracy over thresholds",
    "If the model only answers where its highest probability reaches a"
    " threshold: how many examples are left, and how many of those are right.",
    [
      drawing.svg(
        lambda axes: drawing.lines(axes, series, "threshold", "share"),
        "Accuracy and share of answered examples over thresholds",
      )
    ],
  )


def threshold_curves(is_true, probabilities) -> dict[str, np.ndarray]:
  """Precision, recall and F1 if all from a threshold on are predicted.

  Args:
    is_true: 0 or 1 [N].
    probabilities: float [N].

  Returns:
    {"threshold", "precision", "recall", "f1"}, [K] each, for the K different
    probabilities, the lowest first.
  """
  is_true, probabilities = np.asarray(is_true), np.asarray(probabilities)
  order = np.argsort(-probabilities, kind="stable")
  values = probabilities[order]
  last = np.flatnonzero(np.append(np.diff(values) != 0, True))  # of equal ones
  right, found = np.cumsum(is_true[order])[last], last + 1
  total = max(int(is_true.sum()), 1)
  curves = {
    "threshold": values[last],
    "precision": right / found,
    "recall": right / total,
    "f1": 2 * right / (found + total),
  }
  return {name: curve[::-1] for name, curve in curves.items()}


def _threshold_curves(is_true, probabilities, text):
  found = threshold_curves(is_true, probabilities)
  thresholds = found.pop("threshold")
  best = int(np.argmax(found["f1"]))
  text += (
    f" F1 is highest, {found['f1'][best]:.4g}, at {thresholds[best]:.3g}:"
    " chosen on these examples, it will be a little lower on others."
  )
  series = {name: (thresholds, curve) for name, curve in found.items()}
  return page.Section(
    "Precision and recall over thresholds",
    text,
    [
      drawing.svg(
        lambda axes: drawing.lines(axes, series, "threshold", "score"),
        "Precision, recall and F1 over thresholds",
      )
    ],
  )


def _average_precisions(names, labels, probabilities):
  """The mean precision at each true example of a label's ranking."""
  from sklearn import metrics as scores

  values = [
    float(scores.average_precision_score(true, found)) if true.any() else 0.0
    for true, found in zip(labels.T, probabilities.T)
  ]
  order = np.argsort(values, kind="stable")[::-1]
  shown = [int(i) for i in order[:_MOST_CLASSES]]
  picture = drawing.svg(
    lambda axes: drawing.bars(
      axes,
      [names[i] for i in shown],
      {"": [values[i] for i in shown]},
      *("average precision", 1.0),
    ),
    "Average precision of each label",
    (6.4, drawing.height_of_bars(shown)),
  )
  return page.Section(
    "Average precision of each label",
    "How well a label's probability ranks the texts that have it before the"
    " others, whatever the threshold: 1 if all of them come first.",
    [picture],
    page.Table(
      ("label", "average precision", "texts"),
      [(names[i], values[i], int(labels[:, i].sum())) for i in map(int, order)],
    ),
  )


def reliability_section(confidence, is_right, before=None) -> page.Section:
  """A reliability diagram.

  Args:
    confidence: float [N], the probability of what is predicted.
    is_right: bool [N].
    before: (confidence without a temperature, the temperature), or None.
  """
  groups = {"": confidence}
  if before:
    groups = {"before": before[0], "after": confidence}
  found = {
    name: calibration.reliability(values, is_right)
    for name, values in groups.items()
  }

  def paint(axes):
    axes = axes if isinstance(axes, list) else [axes]
    for each, (name, bins) in zip(axes, found.items()):
      _paint_reliability(each, bins, f"{name} ECE {bins.error:.4f}".strip())

  size = (9.4, 4.0) if before else (5.0, 4.0)
  picture = drawing.svg(paint, "Reliability diagram", size, (1, len(groups)))
  text = (
    "Bars: how many of the predictions in a bin are right; the line: as many as"
    " their probabilities say; grey: the share of predictions in the bin. The"
    " expected calibration error (ECE) is the mean distance of bars and line"
    f" over {calibration.BINS} bins, weighted by their predictions."
  )
  if before:
    text += (
      f" The logits are divided by {before[1]:.4g}, which --calibrate fitted to"
      " the development set: on other texts, the gain is a little smaller."
    )
  return page.Section("Calibration", text, [picture])


def _paint_reliability(axes, bins, title):
  width = 1.0 / len(bins.counts)
  middles = (np.arange(len(bins.counts)) + 0.5) * width
  axes.bar(middles, bins.accuracy, width * 0.94, color=drawing.BLUE)
  axes.plot([0, 1], [0, 1], color=drawing.ORANGE, linewidth=1.4)
  shares = bins.counts / max(bins.counts.sum(), 1)
  axes.bar(middles, shares, width * 0.35, color="#bdbdbd")
  axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability", ylabel="share")
  axes.set_title(title, loc="left")


def _errors(wrong):
  """A table of (row, true, predicted, probability), the surest first."""
  return page.Section(
    "The errors that the model was surest of",
    f"{len(wrong)} predictions are wrong"
    + page.first_of(len(wrong), _MOST_ERRORS),
    table=page.Table(
      ("id", "true", "predicted", "probability", "text"),
      [
        (row["id"], true, predicted, float(sure), _texts(row))
        for row, true, predicted, sure in wrong[:_MOST_ERRORS]
      ],
    ),
  )


# --------------------------------------------------------------- comparison


def identity(row: Mapping) -> tuple:
  """What has to be equal in two folders: the texts and their labels."""
  label = row["label"]
  label = tuple(sorted(label)) if isinstance(label, list) else label
  return row["text_a"], row.get("text_b"), label


def measures(head: Mapping) -> list[comparing.Measure]:
  """The scores to compare."""
  if head["label_type"] == "single":
    found = [comparing.mean("accuracy", _right)]
    if len(head["labels"]) == 2:
      found.append(comparing.Measure("f1", _f1_counts, comparing.f1))
    return found
  if head["label_type"] == "multi":
    return [
      comparing.mean("subset_accuracy", _right),
      comparing.Measure("micro_f1", _f1_counts, comparing.f1),
    ]
  return [
    comparing.mean("mse", _squares),
    comparing.Measure("pearson", _moments, comparing.pearson),
  ]


def quality(head: Mapping, rows: Sequence[Mapping]) -> np.ndarray:
  """How good each prediction is, float [N]: 1 if it is right."""
  return (
    -_squares(head, rows)
    if head["label_type"] == "number"
    else _right(head, rows)
  )


def shown(head: Mapping, row: Mapping) -> tuple[str, str, str]:
  """The text, the truth and the prediction of a row, for a table."""
  (predicted,) = _predicted(head, [row])
  if head["label_type"] == "single":
    return _texts(row), row["label"], head["labels"][predicted]
  if head["label_type"] == "multi":
    given = [n for n, has in zip(head["labels"], predicted) if has]
    return _texts(row), ", ".join(row["label"]), ", ".join(given)
  return _texts(row), f"{row['label']:.4g}", f"{predicted:.4g}"


def _right(head, rows):
  same = _label_ids(head, rows) == _predicted(head, rows)
  return np.all(same.reshape([len(rows), -1]), axis=1).astype(float)


def _f1_counts(head, rows):
  """Right, predicted and true decisions of each row, [N, 3]."""
  true, found = _label_ids(head, rows), _predicted(head, rows)
  pairs = [
    each.reshape([len(rows), -1]) for each in (true * found, found, true)
  ]
  return np.stack([pair.sum(axis=1) for pair in pairs], axis=1)


def _squares(head, rows):
  return np.square(_label_ids(head, rows) - _predicted(head, rows))


def _moments(head, rows):
  return comparing.moments(_label_ids(head, rows), _predicted(head, rows))
