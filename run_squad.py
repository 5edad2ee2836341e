# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Fine-tunes BERT to find answers in a text, predicts, and scores answers.

In: SQuAD's JSON, 1.1 or 2.0, or JSON lines with `id`, `question` and `context`.
Out, in `output_dir`: checkpoints, `task.json`, `predictions.json`,
`nbest_predictions.json`, `null_odds.json` (2.0), `predictions.jsonl`, and if
the answers are known, `eval_results.txt` and `.json`.
"""

from __future__ import annotations

import dataclasses

from bert.training import entry, flags

_DATA = "SQuAD's JSON, 1.1 or 2.0, or JSON lines in a file named .jsonl."


@dataclasses.dataclass(frozen=True)
class Options(flags.FineTuningOptions):
  """This script's flags."""

  max_seq_length: int = flags.with_default(
    flags.FineTuningOptions, "max_seq_length", 384
  )
  train_file: str | None = flags.flag(
    None,
    f"Questions to train on: {_DATA}",
    reads=True,
  )
  predict_file: str | None = flags.flag(
    None,
    f"Questions to answer: {_DATA} If it has answers, predictions are scored.",
    reads=True,
  )
  doc_stride: int = flags.flag(
    128,
    "A long context is read in windows. This is the number of WordPiece tokens"
    " from the start of one window to the start of the next.",
    lower_bound=1,
  )
  max_query_length: int = flags.flag(
    64,
    "Cut questions to N WordPiece tokens.",
    lower_bound=1,
  )
  n_best_size: int = flags.flag(
    20, "Keep the N best answers to each question.", lower_bound=1
  )
  max_answer_length: int = flags.flag(
    30, "Predict answers of at most N WordPiece tokens.", lower_bound=1
  )
  verbose_logging: bool = flags.flag(
    False, "Log each question that training leaves out."
  )
  version_2_with_negative: bool = flags.flag(
    False, "For SQuAD 2.0: questions may have no answer."
  )
  null_score_diff_threshold: float = flags.flag(
    0.0,
    "For SQuAD 2.0: predict 'no answer' if its score is higher than that of the"
    " best answer by more than this.",
  )


if __name__ == "__main__":
  entry.parse(Options)  # --help ends here, before the slow imports

import functools
import json
import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import tensorflow.compat.v1 as tf
from absl import logging
from tqdm import tqdm

import modeling
import optimization
from bert.files import clock, kept_files, reading, writing
from bert.records import record_files, streams
from bert.reports import answering as reported
from bert.reports import kept_examples
from bert.tasks import metrics
from bert.tasks.answering import Answering, SquadNote
from bert.tasks.answering_data import (  # noqa: F401  (the original's)
  answering,
  FeatureWriter,
  input_fn_builder,
  read_squad_examples,
)
from bert.tasks.answers import (  # noqa: F401  (the original's)
  _check_is_max_context,
  _compute_softmax,
  _get_best_indexes,
  _improve_answer_span,
  context_room,
  convert_examples_to_features,
  find_answers,
  get_final_text,
  InputFeatures,
  Prediction,
  prediction_fields,
  RawResult,
  results_of,
  SquadExample,
)
from bert.training import cluster, estimators, runs

# ------------------------------------------------------------------ model


def create_model(
  bert_config: modeling.BertConfig,
  is_training: bool,
  input_ids: tf.Tensor,
  input_mask: tf.Tensor,
  segment_ids: tf.Tensor,
  use_one_hot_embeddings: bool,
  dropout_seed: tf.Tensor | None = None,
  **encoder_options,
):
  """The original's name for `Answering`'s graph; `main` does not use it.

  Args:
    bert_config: sizes of the encoder.
    is_training: whether dropout is on.
    input_ids: int32 [B, S].
    input_mask: int32 [B, S].
    segment_ids: int32 [B, S].
    use_one_hot_embeddings: look words up by a product, for TPU.
    dropout_seed: int32 [2], or None.
    **encoder_options: of `modeling.BertModel`: precision, recomputation.

  Returns:
    (start_logits, end_logits), float32 [B, S] each.
  """
  batch = {
    "input_ids": input_ids,
    "input_mask": input_mask,
    "segment_ids": segment_ids,
  }
  tensors = answering().build(
    bert_config,
    batch,
    is_training=is_training,
    dropout_seed=dropout_seed,
    use_one_hot_embeddings=use_one_hot_embeddings,
    **encoder_options,
  )
  return tensors["start_logits"], tensors["end_logits"]


def model_fn_builder(
  bert_config: modeling.BertConfig,
  init_checkpoint: str | None,
  learning_rate: float,
  num_train_steps: int | None,
  num_warmup_steps: int | None,
  use_tpu: bool,
  use_one_hot_embeddings: bool,
  random_seed: int = 0,
  optimizer_options: optimization.Options | None = None,
  encoder_options: Mapping | None = None,
):
  """The model_fn for TPUEstimator.

  Predictions are `unique_ids` [B], `start_logits` and `end_logits` [B, S].
  """
  return estimators.original_model_fn(
    answering(),
    bert_config,
    init_checkpoint,
    learning_rate,
    num_train_steps,
    num_warmup_steps,
    use_tpu,
    use_one_hot_embeddings,
    random_seed,
    optimizer_options,
    encoder_options,
  )


# ----------------------------------------------------------------- scores


def write_predictions(
  all_examples: Sequence[SquadExample],
  all_features: Sequence[InputFeatures],
  all_results: Iterable[RawResult],
  n_best_size: int,
  max_answer_length: int,
  do_lower_case: bool,
  output_prediction_file: str,
  output_nbest_file: str,
  output_null_log_odds_file: str | None,
  version_2_with_negative: bool = False,
  null_score_diff_threshold: float = 0.0,
) -> list[Prediction]:
  """Finds the answers with `find_answers`, and writes them as JSON.

  Args:
    all_examples: this and the arguments up to do_lower_case: see
      `find_answers`.
    output_prediction_file: gets {id: text}.
    output_nbest_file: gets {id: [{text, probability, start_logit,
      end_logit}]}.
    output_null_log_odds_file: gets {id: float}, for SQuAD 2.0 only.
    version_2_with_negative: see `find_answers`.
    null_score_diff_threshold: see `find_answers`.

  Returns:
    The predictions, in the order of the examples.
  """
  predictions = find_answers(
    all_examples,
    all_features,
    all_results,
    n_best_size,
    max_answer_length,
    do_lower_case,
    version_2_with_negative,
    null_score_diff_threshold,
  )
  texts = {p.qas_id: p.answer.text for p in predictions}
  writing.write_lines(output_prediction_file, [json.dumps(texts, indent=4)])
  writing.write_lines(output_nbest_file, [_nbest_json(predictions)])
  if version_2_with_negative:
    odds = {p.qas_id: p.null_odds for p in predictions}
    writing.write_lines(output_null_log_odds_file, [json.dumps(odds, indent=4)])
  return predictions


def _nbest_json(predictions):
  """Equals json.dumps(..., indent=4), in a fifth of its time."""
  questions = []
  for prediction in predictions:
    answers = ",\n".join(
      f"""        {{
            "text": {json.dumps(answer.text)},
            "probability": {answer.probability!r},
            "start_logit": {answer.start_logit!r},
            "end_logit": {answer.end_logit!r}
        }}"""
      for answer in prediction.answers
    )
    name = json.dumps(prediction.qas_id)
    questions.append(f"    {name}: [\n{answers}\n    ]")
  return "{\n" + ",\n".join(questions) + "\n}"


def prediction_lines(
  examples: Sequence[SquadExample], predictions: Sequence[Prediction]
) -> Iterator[str]:
  """The lines of predictions.jsonl: each question, `prediction_fields`."""
  for example, prediction in zip(examples, predictions):
    line = {"id": prediction.qas_id, "question": example.question_text}
    line.update(prediction_fields(prediction))
    yield json.dumps(line, ensure_ascii=False)


def compute_scores(
  examples: Sequence[SquadExample], predictions: Sequence[Prediction]
) -> dict:
  """Scores the questions whose answers are known.

  Returns:
    {name: float}, what `metrics.squad_scores` returns with "eval_" before each
    name; if the predictions have null odds, the scores of SQuAD 2.0 and the
    best thresholds. {} if no answer is known.
  """
  known = [
    (example.answers, prediction)
    for example, prediction in zip(examples, predictions)
    if example.answers is not None
  ]
  if not known:
    return {}
  references = [answers for answers, _ in known]
  texts = [prediction.answer.text for _, prediction in known]
  odds = None
  if known[0][1].null_odds is not None:
    odds = [prediction.null_odds for _, prediction in known]
  scores = metrics.squad_scores(references, texts, odds)
  if odds:
    best = [_best_text(prediction.answers) for _, prediction in known]
    scores.update(metrics.squad_best_thresholds(references, best, odds))
  return {f"eval_{name}": value for name, value in scores.items()}


def _best_text(answers):
  """The text of the best answer that has one; "" if none has."""
  return next((answer.text for answer in answers if answer.text), "")


# ------------------------------------------------------------------- main


@dataclasses.dataclass
class Windows:
  """The windows of --predict_file."""

  features: Sequence[InputFeatures]  # without ids and masks
  input_fn: Callable


@dataclasses.dataclass
class Job:
  """One run: the model and the data."""

  options: Options
  model: runs.Model
  task: Answering
  train: Sequence[SquadExample]  # empty without --do_train
  test: Sequence[SquadExample]  # of --predict_file, empty if not needed
  num_train_steps: int = 0
  windows: Windows | None = None  # of `test`, once they are made


def main(options: Options) -> None:
  job = prepare(options)
  options = job.options
  runs.log_devices(options)
  if options.do_train:
    train(job)
  if options.do_predict and cluster.is_chief(options):
    predict(job, make_estimator(job), runs.best_checkpoint(options))


@clock.part("records")
def prepare(options: Options) -> Job:
  """Checks the options and reads all data, so that mistakes show early."""
  config = runs.load_config(options)
  options = validate_flags_or_throw(config, options)
  model = runs.load_model(options)
  task = Answering(make_note(options, model))
  train_examples, test = [], []
  if options.do_train:
    train_examples = read_squad_examples(
      options.train_file,
      True,
      options.version_2_with_negative,
      options.verbose_logging,
    )
    random.Random(12345).shuffle(train_examples)  # always as in the original
  if options.do_predict or options.eval_steps:
    test = read_squad_examples(
      options.predict_file, False, options.version_2_with_negative
    )
  if options.eval_steps and all(example.answers is None for example in test):
    raise ValueError(
      f"--eval_steps: --predict_file={options.predict_file} has no answers to"
      " compare with"
    )
  job = Job(options, model, task, train_examples, test)
  if options.do_train:
    job.num_train_steps = runs.num_train_steps(
      options, len(train_examples), "questions"
    )
  tf.io.gfile.makedirs(options.output_dir)
  return job


def validate_flags_or_throw(
  bert_config: modeling.BertConfig, options: Options | None = None
) -> Options:
  """Checks the options, with each other and with the model.

  Args:
    bert_config: of the model.
    options: of the script; None: those of the command line, which
      `flags.define(run_squad.Options)` has defined.

  Returns:
    The options, with the full name of the score in --keep_best.

  Raises:
    ValueError: they do not fit.
  """
  if options is None:
    options = flags.read(Options)
  runs.check_options(options, ("do_train", "do_predict"))
  runs.check_needed(
    options,
    (
      ("do_train", "train_file"),
      ("do_predict", "predict_file"),
      ("eval_steps", "predict_file"),
    ),
  )
  runs.check_length(options, bert_config)
  context_room(options.max_seq_length, options.max_query_length)
  scores = ["eval_exact_match", "eval_f1"]
  if options.version_2_with_negative:
    scores += ["eval_best_exact_match", "eval_best_f1"]
  return runs.check_evaluation(options, scores)


def make_note(options: Options, model: runs.Model) -> SquadNote:
  """The options that `task.json` keeps.

  Raises:
    ValueError: the trained model that is used has another case.
  """
  names = [field.name for field in dataclasses.fields(SquadNote)]
  values = {name: getattr(options, name) for name in names if name != "task"}
  note = SquadNote(task=Answering.name, **values)
  kept = runs.kept_note(options, Answering, model)
  if not kept:
    return note
  runs.compare_notes(kept, note, ["do_lower_case"])
  if kept.version_2_with_negative != note.version_2_with_negative:
    logging.warning(
      "the model was trained with --version_2_with_negative="
      f"{kept.version_2_with_negative}, and now it is"
      f" {note.version_2_with_negative}"
    )
  return note


def make_estimator(job: Job):
  """The estimator of the run."""
  return runs.make_estimator(
    job.options, job.task, job.model, job.num_train_steps
  )


@clock.part("records")
def write_windows(job: Job, examples, name: str, output_fn=None):
  """Cuts contexts into windows and writes their records.

  Args:
    job: this run.
    examples: whose windows to write.
    name: of the records; "train" for training.
    output_fn: called with each window, if given.

  Returns:
    A `record_files.RecordFile`.
  """
  is_training = name == "train"
  path = runs.record_path(job.options, name)
  with FeatureWriter(path, is_training) as writer:

    def write(features):
      writer.process_feature(features)
      if output_fn:
        output_fn(features)

    counts = convert_examples_to_features(
      tqdm(examples, "features", unit="question", disable=None),
      job.model.tokenizer,
      is_training=is_training,
      output_fn=write,
      **job.task.note.window_options,
    )
  without = ""
  if is_training:
    without = f", {counts.without_answer} of which hold no answer"
  logging.info(
    f"{name}: {len(examples)} questions, {counts.windows} windows{without}"
  )
  if not counts.windows:
    raise ValueError(f"{name}: no context has a token of the vocabulary")
  return writer.records


def _input_fn(job, records, is_training):
  schema = job.task.schema(is_training)
  return runs.make_input_fn(job.options, records, schema, is_training)


def train(job: Job) -> None:
  """Trains to answer."""
  mark = kept_files.fingerprint(
    reading.read_text(job.options.train_file, "data file"),
    dataclasses.asdict(job.task.note),
    job.model.tokenizer.vocab,
  )
  records = record_files.cached_records(
    runs.record_path(job.options, "train"),
    mark,
    lambda: write_windows(job, job.train, "train"),
    job.options.records_dir,
  )
  evaluator = make_estimator(job)
  runs.train(
    job.options,
    make_estimator(job),
    _input_fn(job, records, is_training=True),
    job.num_train_steps,
    len(job.train),
    lambda checkpoint: evaluate(job, evaluator, checkpoint),
    job.task.note,
  )


@clock.part("evaluation")
def evaluate(job: Job, estimator, checkpoint: str | None) -> dict:
  """Scores of the questions whose answers are known."""
  features, results = run_model(job, estimator, checkpoint)
  predictions = find_answers(
    job.test, features, results, **job.task.note.answer_options
  )
  return compute_scores(job.test, predictions)


def run_model(job: Job, estimator, checkpoint: str | None):
  """The windows of the questions to answer, and a `RawResult` for each."""
  if not job.windows:
    job.windows = make_windows(job)
  features, input_fn = job.windows.features, job.windows.input_fn
  rows = streams.in_input_order(
    estimators.predict(estimator, input_fn, len(features), checkpoint),
    ("start_logits", "end_logits"),
  )
  return features, results_of(features, rows)


def make_windows(job: Job) -> Windows:
  """Writes the records of the questions to answer, and keeps their windows."""
  kept = []

  def keep(features):
    kept.append(
      dataclasses.replace(features, input_ids=(), input_mask=(), segment_ids=())
    )

  records = write_windows(job, job.test, "eval", keep)
  return Windows(kept, _input_fn(job, records, is_training=False))


@clock.part("prediction")
def predict(job: Job, estimator, checkpoint: str | None) -> None:
  """Writes the answers to --predict_file, and scores those that are known."""
  features, results = run_model(job, estimator, checkpoint)
  path = functools.partial(os.path.join, job.options.output_dir)
  predictions = write_predictions(
    job.test,
    features,
    results,
    output_prediction_file=path("predictions.json"),
    output_nbest_file=path("nbest_predictions.json"),
    output_null_log_odds_file=path("null_odds.json"),
    **job.task.note.answer_options,
  )
  writing.write_lines(
    path("predictions.jsonl"), prediction_lines(job.test, predictions)
  )
  logging.info(f"wrote {path('predictions.json')} and the files beside it")
  unknown = sum(example.answers is None for example in job.test)
  scores = compute_scores(job.test, predictions)
  if not scores:
    return
  if unknown:
    logging.warning(f"{unknown} questions have no known answer to score with")
  scores["global_step"] = runs.used_step(job.options, job.model, checkpoint)
  runs.write_scores(job.options, scores, {})
  if job.options.report:
    kept_examples.write(
      *(job.options.output_dir, "", scores["global_step"]),
      *reported.kept(job.task.note, job.test, predictions, features),
    )


if __name__ == "__main__":
  entry.run(main, Options)
