# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Rankings: what is kept of an evaluation, and its pictures.

In: contexts with scored candidates, or pairs of texts with a cosine. Out: lines
of eval_predictions.jsonl, and from them sections of a report.

Shapes: N contexts or pairs, C candidates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from bert.reports import comparing, drawing, page

HEAD = {"is_graded": bool}
ROW = {
  "id": str,
  "text": str,  # the context, or the first text of a pair
  "text_b": str,  # a true response, or the second text of a pair
  "labels": [float],  # of the candidates, over 0 for true ones; of a pair, one
  "scores": [float],
  "first?": str,  # the candidate that the model ranks first
}
SAME = ("is_graded",)
_MOST_ERRORS, _FARTHEST = 25, 20


def kept_ranking(note, examples: Sequence, scores: Sequence) -> tuple:
  """The head and the rows of ranked candidates.

  Args:
    note: a RankerNote.
    examples: `ranking_data.InputExample`s with labels.
    scores: float [C] of each.
  """

  def rows():
    for example, found in zip(examples, scores):
      first = int(_order(example.labels, found)[0])
      yield {
        "id": example.guid,
        "text": example.context,
        "text_b": example.responses[int(np.argmax(example.labels))],
        "labels": list(map(float, example.labels)),
        "scores": list(map(float, found)),
        "first": example.responses[first],
      }

  return {"task": note.task, "is_graded": False}, rows()


def kept_pairs(note, pairs: Sequence, cosines: Sequence[float]) -> tuple:
  """The head and the rows of `ranking_data.GradedPair`s with their cosines."""
  rows = (
    {
      "id": pair.guid,
      "text": pair.text_a,
      "text_b": pair.text_b,
      "labels": [float(pair.score)],
      "scores": [float(cosine)],
    }
    for pair, cosine in zip(pairs, cosines)
  )
  return {"task": note.task, "is_graded": True}, rows


def check(head: Mapping, row: Mapping) -> None:
  """Raises ValueError unless a row can be scored."""
  is_right = len(row["labels"]) == len(row["scores"]) > 0
  if not head["is_graded"]:
    is_right = is_right and max(row["labels"]) > 0 and "first" in row
  if not is_right:
    raise ValueError(f"{row.where}: the labels and the scores do not fit")


def _order(labels, scores):
  """Places of the candidates, best first; ties count against the model."""
  return np.lexsort((labels, -np.asarray(scores)))


def rank_of_first(row: Mapping) -> int:
  """The rank, from 1, of the best true candidate."""
  order = _order(row["labels"], row["scores"])
  return 1 + int(np.argmax(np.asarray(row["labels"])[order] > 0))


# ----------------------------------------------------------------- sections


def sections(head: Mapping, rows: Sequence[Mapping]) -> list[page.Section]:
  """Recall and ranks of true candidates; or a scatter of pairs."""
  return list(_pair_sections(rows) if head["is_graded"] else _sections(rows))


def _sections(rows) -> Iterator[page.Section]:
  ranks = np.array([rank_of_first(row) for row in rows])
  most = max(len(row["labels"]) for row in rows)
  yield _recall(rows, min(most, 50))
  yield _ranks(ranks, most)
  yield _scores_of_candidates(rows)
  order = np.argsort(-ranks, kind="stable")
  wrong = [int(i) for i in order if ranks[i] > 1]
  yield page.Section(
    "Contexts whose true response ranks lowest",
    f"{len(wrong)} of {len(rows)} do not have it first"
    + page.first_of(len(wrong), _MOST_ERRORS),
    table=page.Table(
      ("id", "rank", "context", "true", "ranked first"),
      [
        (
          rows[i]["id"],
          int(ranks[i]),
          *(rows[i][n] for n in ("text", "text_b", "first")),
        )
        for i in wrong[:_MOST_ERRORS]
      ],
    )
    if wrong
    else None,
  )


def _recall(rows, most):
  cutoffs = np.arange(1, most + 1)
  shares = []
  for row in rows:
    order = _order(row["labels"], row["scores"])
    is_true = np.asarray(row["labels"])[order] > 0
    found = np.cumsum(is_true) / is_true.sum()
    shares.append(np.pad(found, (0, max(most - len(found), 0)), "edge")[:most])
  recall = np.mean(shares, axis=0)
  rows_shown = [k for k in (1, 2, 3, 5, 10, 20, 50) if k <= most]
  return page.Section(
    "Recall at k",
    "The share of the true responses among the first k, as a mean over"
    " contexts.",
    [
      drawing.svg(
        lambda axes: drawing.lines(
          axes, {"": (cutoffs, recall)}, "k", "recall", "o"
        ),
        "Recall of true responses among the first k",
      )
    ],
    page.Table(
      ("k", "recall"), [(k, float(recall[k - 1])) for k in rows_shown]
    ),
  )


def _ranks(ranks, most):
  shown = np.minimum(ranks, _FARTHEST)
  last = min(most, _FARTHEST)

  def paint(axes):
    bins = np.arange(1, last + 2) - 0.5
    drawing.histogram(axes, {"": shown}, bins, "rank", "contexts")
    axes.set_xticks(
      range(1, last + 1),
      [*map(str, range(1, last)), f"{last}{'+' if most > _FARTHEST else ''}"],
    )

  return page.Section(
    "Rank of the first true response",
    f"Median {np.median(ranks):.0f}, mean {ranks.mean():.3g}; equal scores"
    " count against the model.",
    [drawing.svg(paint, "Histogram of the rank of the first true response")],
  )


def _scores_of_candidates(rows):
  labels = np.concatenate([row["labels"] for row in rows]) > 0
  scores = np.concatenate([row["scores"] for row in rows])

  def paint(axes):
    bins = np.histogram_bin_edges(scores, 30)
    for name, chosen in (("true", labels), ("wrong", ~labels)):
      weights = np.full(chosen.sum(), 100.0 / max(chosen.sum(), 1))
      axes.hist(scores[chosen], bins, weights=weights, alpha=0.6, label=name)
    axes.set_xlabel("score")
    axes.set_ylabel("percent of these")
    axes.legend()

  return page.Section(
    "Scores of true and wrong responses",
    "The less they overlap, the better one threshold for all contexts works.",
    [drawing.svg(paint, "Histogram of scores of true and wrong responses")],
  )


def _pair_sections(rows) -> Iterator[page.Section]:
  true, found = _pairs(rows)
  picture = drawing.svg(
    lambda axes: drawing.scatter(axes, true, found, "true score", "cosine"),
    "Scatter of true scores and cosines",
    (5.0, 4.4),
  )
  yield page.Section("Scores and cosines", "A dot is a pair.", [picture])
  # Ranks tell apart what is most out of order, whatever the scales.
  from scipy import stats

  gaps = np.abs(stats.rankdata(true) - stats.rankdata(found)) / len(rows)
  worst = np.argsort(-gaps, kind="stable")[:_MOST_ERRORS]
  yield page.Section(
    "Pairs that are most out of order",
    "By the difference of their places if all pairs are sorted by the true"
    " score and by the cosine.",
    table=page.Table(
      ("id", "true", "cosine", "text", "second text"),
      [
        (
          *(rows[i]["id"], float(true[i]), float(found[i])),
          *(rows[i]["text"], rows[i]["text_b"]),
        )
        for i in worst
      ],
    ),
  )


def _pairs(rows):
  return (
    np.array([row["labels"][0] for row in rows]),
    np.array([row["scores"][0] for row in rows]),
  )


# --------------------------------------------------------------- comparison


def identity(row: Mapping) -> tuple:
  """What has to be equal in two folders."""
  return row["text"], row["text_b"], tuple(row["labels"])


def measures(head: Mapping) -> list[comparing.Measure]:
  """The scores to compare."""
  if head["is_graded"]:
    return [
      comparing.Measure(
        "pearson",
        lambda h, rows: comparing.moments(*_pairs(rows)),
        comparing.pearson,
      )
    ]
  return [
    comparing.mean("recall_at_1", _recall_at_1),
    comparing.mean("mrr", quality),
  ]


def quality(head: Mapping, rows: Sequence[Mapping]) -> np.ndarray:
  """How good each row is, float [N]: 1 / rank; of pairs, how little their
  places in the two orders differ."""
  if head["is_graded"]:
    from scipy import stats

    true, found = map(stats.rankdata, _pairs(rows))
    return -np.abs(true - found) / len(rows)
  return np.array([1.0 / rank_of_first(row) for row in rows])


def _recall_at_1(head, rows):
  del head
  num_true = [sum(label > 0 for label in row["labels"]) for row in rows]
  is_first = [rank_of_first(row) == 1 for row in rows]
  return np.array(is_first) / np.array(num_true)


def shown(head: Mapping, row: Mapping) -> tuple[str, str, str]:
  """The context, the true response and the first one, for a table."""
  if head["is_graded"]:
    texts = f"{row['text']} \u2016 {row['text_b']}"
    return texts, f"{row['labels'][0]:.4g}", f"{row['scores'][0]:.4g}"
  rank = rank_of_first(row)
  found = f"rank {rank}" + (f"; first: {row['first']}" if rank > 1 else "")
  return row["text"], row["text_b"], found
