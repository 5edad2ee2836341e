# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Tags of words: what is kept of an evaluation, and its pictures.

In: sentences, their tags and predicted ones. Out: lines of
eval_predictions.jsonl, and from them sections of a report.

Shapes: N sentences.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from bert.reports import comparing, drawing, lengths, page
from bert.reports.classification import class_scores, confusion
from bert.tasks import metrics

HEAD = {"tag_scheme": str, "max_seq_length": int}
ROW = {
  "id": str,
  "tokens": [str],
  "tags": [str],
  "predicted": [str],
  "length": int,
}
SAME = ("tag_scheme",)
# A prediction that shares only some of the words: of the same type, or not.
OVERLAPS = ("(same type, other words)", "(other type and words)")
_MOST_ERRORS = 25
_NOTHING = "(none)"


def kept(
  note, sentences: Sequence, predictions: Sequence[Sequence[str]], tokenizer
) -> tuple:
  """The head and the rows of an evaluated file.

  Args:
    note: a TaggerNote.
    sentences: with their tags; `line` becomes the id.
    predictions: the predicted tags of each.
    tokenizer: a FullTokenizer.
  """
  head = {
    "task": note.task,
    "tag_scheme": note.tag_scheme,
    "max_seq_length": note.max_seq_length,
  }
  rows = (
    {
      "id": f"line {sentence.line}",
      "tokens": list(sentence.words),
      "tags": list(sentence.tags),
      "predicted": list(tags),
      # [CLS], and a [SEP] at the end
      "length": 2 + sum(len(tokenizer.tokenize(w)) for w in sentence.words),
    }
    for sentence, tags in zip(sentences, predictions)
  )
  return head, rows


def check(head: Mapping, row: Mapping) -> None:
  """Raises ValueError unless a row has as many tags as words."""
  del head
  sizes = {len(row[name]) for name in ("tokens", "tags", "predicted")}
  if len(sizes) > 1 or not row["tokens"]:
    raise ValueError(f"{row.where}: the words and the tags differ in number")


# ----------------------------------------------------------------- sections


def sections(head: Mapping, rows: Sequence[Mapping]) -> list[page.Section]:
  """Scores and confusions of entities and tags, and errors."""
  return list(_sections(head, rows))


def _sections(head, rows) -> Iterator[page.Section]:
  true = [row["tags"] for row in rows]
  found = [row["predicted"] for row in rows]
  if head["tag_scheme"] != "none":
    _, report = metrics.entity_scores(true, found, head["tag_scheme"])
    if report["entities"]:
      yield class_scores(report["entities"], "entity type")
      yield _entity_confusion(true, found)
  else:
    names = sorted({tag for tags in (*true, *found) for tag in tags})
    places = {name: i for i, name in enumerate(names)}
    report = metrics.classification_report(
      *(
        [places[t] for tags in all_tags for t in tags]
        for all_tags in (true, found)
      ),
      names,
    )
    yield class_scores(report["classes"], "tag")
    yield confusion(report["confusion_matrix"], names, "words")
  right = np.array([row["tags"] == row["predicted"] for row in rows])
  yield lengths.section(head, rows, right, "all tags right")
  yield _errors(head, rows)


def entity_pairs(true, found) -> Counter:
  """{(true type, predicted type): count} of one sentence's entities.

  Entities are paired if they have the same words; else if they overlap, under
  OVERLAPS. What is left over pairs with (none).

  Args:
    true: tags of the sentence.
    found: its predicted tags.
  """
  left, right = (
    {(first, last): kind for kind, first, last in metrics.tagged_entities(tags)}
    for tags in (true, found)
  )
  pairs = Counter()
  for span in left.keys() & right.keys():
    pairs[left.pop(span), right.pop(span)] += 1
  for span in sorted(left):
    other = next(
      (s for s in sorted(right) if s[0] <= span[1] and span[0] <= s[1]), None
    )
    if other is None:
      pairs[left[span], _NOTHING] += 1
    else:
      is_other = left[span] != right.pop(other)
      pairs[left[span], OVERLAPS[is_other]] += 1
  for kind in right.values():
    pairs[_NOTHING, kind] += 1
  return pairs


def _entity_confusion(true, found):
  pairs = sum(map(entity_pairs, true, found), Counter())
  found_in = {kind for pair in pairs for kind in pair}
  kinds = sorted(found_in - {*OVERLAPS, _NOTHING})
  rows, columns = [*kinds, _NOTHING], [*kinds, *OVERLAPS, _NOTHING]
  counts = [[pairs[row, column] for column in columns] for row in rows]
  picture = drawing.svg(
    lambda axes: drawing.matrix(
      axes, counts, rows, columns, "true entity", "predicted entity"
    ),
    "Confusion of entity types",
    drawing.size_of_matrix(len(rows), len(columns)),
  )
  return page.Section(
    "Confusion of entities",
    "True entities (rows) and what was found in their place. 'Other words':"
    " the prediction shares some words, but begins or ends elsewhere; (none):"
    " nothing was found there, or nothing is there.",
    [picture],
  )


def _errors(head, rows):
  wrong = [(_num_wrong(row), row) for row in rows]
  wrong = sorted((pair for pair in wrong if pair[0]), key=lambda pair: -pair[0])
  table = page.Table(
    ("id", "wrong tags", "sentence", "true", "predicted"),
    [
      (row["id"], count, *shown(head, row))
      for count, row in wrong[:_MOST_ERRORS]
    ],
  )
  return page.Section(
    "Sentences with the most wrong tags",
    f"{len(wrong)} of {len(rows)} sentences have a wrong tag"
    + page.first_of(len(wrong), _MOST_ERRORS),
    table=table if wrong else None,
  )


def _num_wrong(row):
  return sum(t != p for t, p in zip(row["tags"], row["predicted"]))


# --------------------------------------------------------------- comparison


def identity(row: Mapping) -> tuple:
  """What has to be equal in two folders."""
  return tuple(row["tokens"]), tuple(row["tags"])


def measures(head: Mapping) -> list[comparing.Measure]:
  """The scores to compare."""
  accuracy = comparing.Measure("token_accuracy", _words, comparing.ratio)
  if head["tag_scheme"] == "none":
    return [accuracy]
  return [comparing.Measure("f1", _entities, comparing.f1), accuracy]


def quality(head: Mapping, rows: Sequence[Mapping]) -> np.ndarray:
  """How good each sentence's tags are, float [N]: minus the wrong ones."""
  del head
  return -np.array([float(_num_wrong(row)) for row in rows])


def shown(head: Mapping, row: Mapping) -> tuple[str, str, str]:
  """The sentence, its entities and the predicted ones, for a table; or the
  words with other tags."""
  text = " ".join(row["tokens"])
  if head["tag_scheme"] == "none":
    wrong = [
      i
      for i in range(len(row["tags"]))
      if row["tags"][i] != row["predicted"][i]
    ]
    return text, *(
      ", ".join(f"{row['tokens'][i]}: {row[name][i]}" for i in wrong)
      for name in ("tags", "predicted")
    )
  return text, *(_entities_in_words(row, row[n]) for n in ("tags", "predicted"))


def _entities_in_words(row, tags):
  return ", ".join(
    f"{' '.join(row['tokens'][first : last + 1])}: {kind}"
    for kind, first, last in metrics.tagged_entities(tags)
  )


def _words(head, rows):
  """Right and all words of each sentence, [N, 2]."""
  del head
  sizes = np.array([len(row["tags"]) for row in rows], float)
  wrong = np.array([_num_wrong(row) for row in rows], float)
  return np.stack([sizes - wrong, sizes], axis=1)


def _entities(head, rows):
  """Right, predicted and true entities of each sentence, [N, 3]."""
  del head
  counts = []
  for row in rows:
    true, found = (
      set(metrics.tagged_entities(row[name])) for name in ("tags", "predicted")
    )
    counts.append([len(true & found), len(found), len(true)])
  return np.array(counts, float)
