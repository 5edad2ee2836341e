# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Fine-tunes BERT to label how two marked entities are related, and scores it.

In: JSON lines with `text`, whose entities are marked, and `label`. Out, in
`output_dir`: checkpoints, `task.json`, `eval_results.txt` and `.json`. Run it
from the project's folder: python -m examples.run_relations --help
"""

from __future__ import annotations

import dataclasses

from bert.training import entry, flags


@dataclasses.dataclass(frozen=True)
class Options(flags.FineTuningOptions, flags.EvaluationOptions):
  """This script's flags."""

  train_file: str | None = flags.flag(None, "JSON lines to train on.")
  eval_file: str | None = flags.flag(None, "JSON lines to evaluate on.")


if __name__ == "__main__":
  entry.parse(Options)  # --help ends here, before the slow imports

import numpy as np
import tensorflow.compat.v1 as tf

from bert.files import clock
from bert.records import packing, record_files, streams, tables
from bert.tasks import metrics
from bert.training import estimators, runs
from examples.relations import Relations, RelationsNote

# --------------------------------------------------------------- examples


def read_rows(path: str) -> list[dict]:
  """The rows of a JSON-lines file, each with its place as `where`."""
  found = tables.read_rows(path, is_json=True)
  rows = [{**row, "where": row.where} for _, row in found]
  for row in rows:
    if not isinstance(row.get("label"), str):
      raise ValueError(f"{row['where']}: 'label' has to be a text")
  if not rows:
    raise ValueError(f"{path} holds no rows")
  return rows


# --------------------------------------------------------------- features


def write_records(task: Relations, rows, tokenizer, path: str):
  """Writes a record for each row."""
  length, labels = task.note.max_seq_length, list(task.note.labels)

  def record(row):
    if row["label"] not in labels:
      raise ValueError(
        f"{row['where']}: label {row['label']!r} is not one of"
        f" {', '.join(labels)}"
      )
    try:
      (window,), _ = task.prepare(row, tokenizer)
    except ValueError as error:
      raise ValueError(f"{row['where']}: {error}") from None
    positions = window.pop("entity_positions")
    padded = {n: packing.padded(ids, length) for n, ids in window.items()}
    label_id = labels.index(row["label"])
    return {**padded, "entity_positions": positions, "label_ids": label_id}

  schema = task.schema(is_training=True)
  return record_files.write_records(map(record, rows), schema, path)


# ------------------------------------------------------------------- main


def main(options: Options) -> None:
  runs.check_options(options, ("do_train", "do_eval"))
  runs.check_needed(
    options, [("do_train", "train_file"), ("do_eval", "eval_file")]
  )
  options = runs.check_evaluation(options, ["eval_accuracy"])
  model = runs.load_model(options)
  rows = read_rows(options.train_file) if options.do_train else []
  task = Relations(make_note(options, model, rows))
  tf.io.gfile.makedirs(options.output_dir)
  runs.log_devices(options)
  steps = runs.num_train_steps(options, len(rows)) if options.do_train else 0
  evaluator = runs.make_estimator(options, task, model, steps)
  if options.do_train:
    runs.train(
      options,
      runs.make_estimator(options, task, model, steps),
      make_input_fn(options, task, model, rows, is_training=True),
      steps,
      len(rows),
      lambda checkpoint: evaluate(options, task, model, evaluator, checkpoint),
      task.note,
    )
  if options.do_eval:
    best = runs.best_checkpoint(options)
    scores = evaluate(options, task, model, evaluator, best)
    runs.write_scores(options, scores, {})


def make_note(options: Options, model: runs.Model, rows) -> RelationsNote:
  """The note of the trained model, or a new one from the training rows."""
  kept = runs.kept_note(options, Relations, model)
  if not rows and not kept:
    raise ValueError("the labels are not known: train first (--do_train)")
  labels = sorted({row["label"] for row in rows}) if rows else kept.labels
  note = RelationsNote(
    Relations.name, labels, options.do_lower_case, options.max_seq_length
  )
  if kept:
    runs.compare_notes(kept, note, ("labels", "do_lower_case"))
  return note


def make_input_fn(options, task, model, rows, is_training):
  name = "train" if is_training else "eval"
  path = runs.record_path(options, name)
  records = write_records(task, rows, model.tokenizer, path)
  schema = task.schema(is_training)
  return runs.make_input_fn(options, records, schema, is_training)


@clock.part("evaluation")
def evaluate(options, task, model, estimator, checkpoint) -> dict:
  """The scores of --eval_file."""
  rows = read_rows(options.eval_file)
  input_fn = make_input_fn(options, task, model, rows, is_training=False)
  batches = estimators.predict(estimator, input_fn, len(rows), checkpoint)
  found = list(streams.in_input_order(batches, ("label_ids", "predicted")))
  labels, predicted = (
    np.array([row[name] for row in found]) for name in found[0]
  )
  scores = metrics.classification_scores(labels, predicted, ("accuracy",))
  scores = {f"eval_{name}": value for name, value in scores.items()}
  return {**scores, "global_step": runs.used_step(options, model, checkpoint)}


if __name__ == "__main__":
  entry.run(main, Options)
