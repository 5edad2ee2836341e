# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""report.html: what a run trained and how well, on one page.

In: an output folder with event files, eval_results.json and what an evaluation
with --report has kept. Out: one file that opens without a network.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence

import tensorflow.compat.v1 as tf
from absl import logging

from bert.files import reading, writing
from bert.reports import (
  answering,
  classification,
  comparing,
  curves,
  kept_examples,
  page,
  ranking,
  tagging,
)

FILE, _RESULTS = "report.html", "eval_results.json"
# {task: what declares its rows, pictures and scores to compare}
KINDS = {
  "classifier": classification,
  "squad": answering,
  "tagger": tagging,
  "ranker": ranking,
}
# What evaluates a folder of each task once more.
_COMMANDS = {
  "classifier": "run_classifier.py --do_eval --report",
  "squad": "run_squad.py --do_predict --report",
  "tagger": "run_tagger.py --do_eval --report",
  "ranker": "run_ranker.py --do_eval --report",
}


def write(
  folder: str, output_file: str | None = None, baseline: str | None = None
) -> str:
  """Writes the report on a folder.

  Args:
    folder: output folder of a run_ script.
    output_file: where the page goes; None: report.html in the folder.
    baseline: another folder, to compare with; or None.

  Returns:
    The path of the page.

  Raises:
    ValueError: a folder is missing, damaged, or holds nothing to report on; or
      the two were evaluated on other examples.
  """
  output_file = output_file or os.path.join(folder, FILE)
  place = os.path.dirname(output_file) or "."
  if not tf.io.gfile.isdir(place):
    raise ValueError(f"there is no folder {place}")
  if baseline and _place(baseline) == _place(folder):
    raise ValueError(
      f"--baseline={baseline} is the same folder as --model_dir: give another"
      " model's"
    )
  results, sets = _read_folder(folder)
  sections = []
  if baseline:
    sections += _comparison(folder, sets, baseline)
  sections += [*_scores(results), *curves.sections(folder)]
  if not sets and not results and all(s.is_missing for s in sections):
    raise ValueError(
      f"{folder} holds no event files, no {_RESULTS} and no"
      f" {kept_examples.NAME}.jsonl, so there is nothing to report on: give the"
      " --output_dir of a run_ script"
    )
  for suffix, found in sets.items():
    kind = KINDS[found.head["task"]]
    sections += _named(suffix, kind.sections(found.head, found.rows))
  sections += _of_results(results, sets, os.path.join(folder, _RESULTS))
  if not sets:
    sections += _missing(folder)
  lines = page.render(
    f"Report on {_name(folder)}", _facts(folder, sets), sections
  )
  writing.write_lines(output_file, lines)
  logging.info(f"wrote {output_file}")
  return output_file


def _place(folder):
  """A folder's path, the same however it is written."""
  return folder.rstrip("/") if "://" in folder else os.path.realpath(folder)


def _name(folder):
  """The last part of a folder's path."""
  return os.path.basename(_place(folder))


def _read_folder(folder):
  """The scores of a folder, {} if it has none, and its evaluated sets."""
  if not tf.io.gfile.isdir(folder):
    raise ValueError(f"there is no folder {folder}")
  path = os.path.join(folder, _RESULTS)
  results = {}
  if tf.io.gfile.exists(path):
    results = reading.read_json(path, dict, "file of scores")
  return results, kept_examples.read_all(folder, KINDS)


def _facts(folder, sets) -> Iterator[str]:
  yield f"Folder: {_name(folder)}"
  for suffix, found in sets.items():
    yield (
      f"Evaluated{_in_words(suffix)}: {len(found.rows)} examples with the"
      f" weights of step {found.head['step']}"
    )


def _in_words(suffix):
  return f" ({suffix.strip('_')})" if suffix else ""


def _named(suffix, sections) -> list[page.Section]:
  """The sections, with the set's name where there are several."""
  return [
    dataclasses.replace(s, title=f"{s.title}{_in_words(suffix)}")
    for s in sections
  ]


def _scores(results) -> Iterator[page.Section]:
  rows = [
    (name, value)
    for name, value in results.items()
    if isinstance(value, (int, float)) and not isinstance(value, bool)
  ]
  if rows:
    table = page.Table(("score", "value"), rows)
    yield page.Section("Scores", f"From {_RESULTS}.", table=table)


def _of_results(
  results: Mapping, sets: Mapping, path: str
) -> Iterator[page.Section]:
  """What eval_results.json tells of sets that were evaluated without
  --report."""
  for key, report in results.items():
    suffix = key.removeprefix("report")
    if key.startswith("report") and suffix not in sets:
      reading.check_shape(report, _REPORT, path, key)
      yield from _named(suffix, _of_report(report))


def _of_report(report) -> Iterator[page.Section]:
  names, counts = report.get("labels"), report.get("confusion_matrix")
  if names and counts and {len(names)} == {len(counts), *map(len, counts)}:
    yield classification.confusion(counts, names)
  for place, kind in (("classes", "class"), ("entities", "entity type")):
    if report.get(place):
      yield classification.class_scores(report[place], kind)


_SCORES = {"precision": float, "recall": float, "f1": float, "support": int}
_REPORT = {
  "labels?": [str],
  "classes?": {str: _SCORES},
  "entities?": {str: _SCORES},
  "confusion_matrix?": [[int]],
}


def _missing(folder) -> Iterator[page.Section]:
  """A word on what is not there, and the command that makes it."""
  command = _command_for(folder)
  if command:
    yield page.Section(
      "What is missing",
      "This folder was evaluated without --report, so the texts and"
      " probabilities of single examples are not known here. Give the"
      f" training's command once more, with {command} in place of --do_train.",
      is_missing=True,
    )


def _command_for(folder):
  """What evaluates the folder's model; None: its task keeps no examples."""
  path = os.path.join(folder, "task.json")
  if not tf.io.gfile.exists(path):
    return None
  note = reading.read_json(path, {"task?": str}, "note of a trained model")
  return _COMMANDS.get(note.get("task"))


def _comparison(folder, sets, baseline) -> list[page.Section]:
  _, others = _read_folder(baseline)
  for place, found in ((folder, sets), (baseline, others)):
    if not found:
      raise ValueError(
        f"{place} holds no {kept_examples.NAME}.jsonl to compare by: evaluate"
        f" it with {_command_for(place) or '--report'}"
      )
  if sets.keys() != others.keys():
    raise ValueError(
      f"{folder} and {baseline} were evaluated on other files: the first has"
      f" {_files(sets)}, the second {_files(others)}"
    )
  sections = []
  for suffix, ours in sets.items():
    kind, theirs = KINDS[ours.head["task"]], others[suffix]
    names = [
      kept_examples.path_of(place, suffix) for place in (folder, baseline)
    ]
    comparing.check_same(kind, ours, theirs, names)
    found = comparing.sections(kind, ours, theirs, (folder, baseline))
    sections += _named(suffix, found)
  return sections


def _files(sets: Sequence[str]):
  return ", ".join(
    os.path.basename(kept_examples.path_of("", suffix)) for suffix in sets
  )
