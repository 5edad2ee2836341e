# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Answers to questions: what is kept of an evaluation, and its pictures.

In: questions, right answers and predicted ones. Out: lines of
eval_predictions.jsonl, and from them sections of a report.

Shapes: N questions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from bert.reports import comparing, drawing, page
from bert.reports.classification import reliability_section
from bert.tasks import metrics

HEAD = {"version_2_with_negative": bool, "null_score_diff_threshold": float}
ROW = {
  "id": str,
  "question": str,
  "answers": [str],  # the right ones; none: there is no answer
  "prediction": str,  # "": no answer
  "probability": float,
  "windows": int,  # in which the context was read
  "best?": str,  # the best answer that is one, whatever is predicted
  "null_odds?": float,
}
SAME = ("version_2_with_negative",)
_WORDS = ("what", "who", "when", "where", "which", "why", "how")
_WORD = re.compile(rf"\b({'|'.join(_WORDS)}|whom|whose)\b", re.IGNORECASE)
_LENGTHS = ((1, 1), (2, 2), (3, 4), (5, 8), (9, 10**9))
_MOST_ERRORS = 25


def kept(note, examples: Sequence, predictions: Sequence, windows) -> tuple:
  """The head and the rows of the questions whose answers are known.

  Args:
    note: a SquadNote.
    examples: `answers.SquadExample`s.
    predictions: an `answers.Prediction` for each.
    windows: `answers.InputFeatures` of all examples.
  """
  head = {
    "task": note.task,
    "version_2_with_negative": note.version_2_with_negative,
    "null_score_diff_threshold": float(note.null_score_diff_threshold),
  }
  counts = Counter(window.example_index for window in windows)
  return head, _kept_rows(examples, predictions, counts)


def _kept_rows(examples, predictions, counts):
  for place, (example, prediction) in enumerate(zip(examples, predictions)):
    if example.answers is None:
      continue
    row = {
      "id": example.qas_id,
      "question": example.question_text,
      "answers": list(example.answers),
      "prediction": prediction.answer.text,
      "probability": float(prediction.answer.probability),
      "windows": counts[place],
    }
    if prediction.null_odds is not None:
      row["best"] = next((a.text for a in prediction.answers if a.text), "")
      row["null_odds"] = float(prediction.null_odds)
    yield row


def check(head: Mapping, row: Mapping) -> None:
  """Raises ValueError unless a row has what its kind of data needs."""
  if head["version_2_with_negative"] and not {"best", "null_odds"} <= set(row):
    raise ValueError(f"{row.where}: there is no 'best' or no 'null_odds'")


def _scores(head, rows):
  """Exact match and F1 of each question, float [N] from 0 to 1."""
  return metrics.squad_pairs(
    [row["answers"] for row in rows],
    [row["prediction"] for row in rows],
    head["version_2_with_negative"],
  )


# ----------------------------------------------------------------- sections


def sections(head: Mapping, rows: Sequence[Mapping]) -> list[page.Section]:
  """Scores by kinds of questions, no-answer thresholds, and errors."""
  return list(_sections(head, rows))


def _sections(head, rows) -> Iterator[page.Section]:
  exact, f1 = _scores(head, rows)
  yield _by_group(
    "question word",
    [question_word(row["question"]) for row in rows],
    (exact, f1),
    (*_WORDS, "other"),
  )
  yield _by_group(
    "words of the answer",
    [_length_group(row) for row in rows],
    (exact, f1),
    ["none", *map(_length_name, _LENGTHS)],
  )
  counts = [min(row["windows"], 5) for row in rows]
  yield _by_group(
    "windows of the context",
    [f"{c}{' or more' if c == 5 else ''}" for c in counts],
    (exact, f1),
    ["0", "1", "2", "3", "4", "5 or more"],
  )
  yield _histogram(f1)
  if head["version_2_with_negative"]:
    yield _no_answer(head, rows)
  yield reliability_section([row["probability"] for row in rows], exact > 0.5)
  yield _errors(rows, f1)


def question_word(question: str) -> str:
  """The first question word of a question; "other" if it has none."""
  found = _WORD.search(question)
  if not found:
    return "other"
  word = found[1].lower()
  return "who" if word in ("whom", "whose") else word


def _length_group(row):
  if not row["answers"]:
    return "none"
  count = max(min(len(text.split()) for text in row["answers"]), 1)
  return next(_length_name(p) for p in _LENGTHS if p[0] <= count <= p[1])


def _length_name(pair):
  low, high = pair
  if high >= 10**9:
    return f"{low} or more"
  return str(low) if low == high else f"{low} to {high}"


def _by_group(kind, groups, scores, order):
  exact, f1 = scores
  names = [name for name in order if name in groups]
  chosen = {name: np.array([g == name for g in groups]) for name in names}
  values = {
    "exact match": [100 * float(exact[chosen[n]].mean()) for n in names],
    "F1": [100 * float(f1[chosen[n]].mean()) for n in names],
  }
  picture = drawing.svg(
    lambda axes: drawing.bars(axes, names, values, "percent", 100.0),
    f"Exact match and F1 by {kind}",
    (6.4, drawing.height_of_bars(names, 2)),
  )
  rows = zip(names, (int(chosen[n].sum()) for n in names), *values.values())
  return page.Section(
    f"By {kind}",
    "Exact match and F1 in percent; with few questions they say little.",
    [picture],
    page.Table((kind, "questions", *values), list(rows)),
  )


def _histogram(f1):
  def paint(axes):
    drawing.histogram(axes, {"": 100 * f1}, 20, "F1 of a question", "questions")

  text = (
    f"{np.mean(f1 == 1):.1%} of the questions have F1 100,"
    f" {np.mean(f1 == 0):.1%} have 0."
  )
  picture = drawing.svg(paint, "Histogram of F1 over the questions")
  return page.Section("F1 of the questions", text, [picture])


def thresholds(head: Mapping, rows: Sequence[Mapping]) -> dict[str, np.ndarray]:
  """The scores if no answer is predicted for odds over a threshold.

  Args:
    head: of SQuAD 2.0.
    rows: with `best` and `null_odds`.

  Returns:
    {"threshold", "exact match", "F1", "share without an answer"}, [N] each, the
    scores in percent, in rising order of thresholds: the odds of the questions.
  """
  odds = np.array([row["null_odds"] for row in rows])
  order = np.argsort(odds, kind="stable")
  references = [row["answers"] for row in rows]
  with_answer = metrics.squad_pairs(references, [r["best"] for r in rows], True)
  without = metrics.squad_pairs(references, [""] * len(rows), True)
  found = {"threshold": odds[order]}
  for name, given, empty in zip(("exact match", "F1"), with_answer, without):
    gains = np.cumsum((given - empty)[order])
    found[name] = 100.0 * (empty.sum() + gains) / len(rows)
  found["share without an answer"] = 100.0 * np.arange(len(rows) - 1, -1, -1)
  found["share without an answer"] /= len(rows)
  return found


def _no_answer(head, rows):
  curves = thresholds(head, rows)
  x = curves.pop("threshold")
  used = head["null_score_diff_threshold"]
  best = int(np.argmax(curves["F1"]))

  def paint(axes):
    drawing.lines(
      axes,
      {name: (x, curve) for name, curve in curves.items()},
      "null_score_diff_threshold",
      "percent",
    )
    axes.axvline(used, color=drawing.GREY, linestyle="--", linewidth=1.2)

  text = (
    "No answer is predicted where its score is higher than the best answer's by"
    f" more than a threshold. This run used {used:.4g} (dashed). F1 would be"
    f" highest, {curves['F1'][best]:.4g}, with {x[best]:.4g}: chosen on these"
    " questions, it will be a little lower on others."
  )
  picture = drawing.svg(paint, "Scores over thresholds of no answer")
  return page.Section("Thresholds of no answer", text, [picture])


def _errors(rows, f1):
  order = np.argsort([-row["probability"] for row in rows], kind="stable")
  wrong = [int(i) for i in order if f1[i] == 0.0]
  return page.Section(
    "The errors that the model was surest of",
    f"{len(wrong)} answers share no word with a right one"
    + page.first_of(len(wrong), _MOST_ERRORS),
    table=page.Table(
      ("id", "question", "right", "predicted", "probability"),
      [
        (row["id"], *shown({}, row), row["probability"])
        for row in (rows[i] for i in wrong[:_MOST_ERRORS])
      ],
    ),
  )


# --------------------------------------------------------------- comparison


def identity(row: Mapping) -> tuple:
  """What has to be equal in two folders."""
  return row["id"], row["question"], tuple(row["answers"])


def measures(head: Mapping) -> list[comparing.Measure]:
  """The scores to compare, in percent."""
  del head
  return [
    comparing.mean("exact_match", lambda h, rows: _scores(h, rows)[0], 100.0),
    comparing.mean("f1", lambda h, rows: _scores(h, rows)[1], 100.0),
  ]


def quality(head: Mapping, rows: Sequence[Mapping]) -> np.ndarray:
  """How good each answer is, float [N]: its F1."""
  return _scores(head, rows)[1]


def shown(head: Mapping, row: Mapping) -> tuple[str, str, str]:
  """The question, the right answers and the predicted one, for a table."""
  del head
  answers = dict.fromkeys(row["answers"])
  return (
    row["question"],
    " / ".join(answers) or "(no answer)",
    row["prediction"] or "(no answer)",
  )
