# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Fine-tunes BERT to find answers in a text, predicts, and scores answers.

In: SQuAD's JSON, 1.1 or 2.0, or questions as JSON lines with `id`, `question`
and `context`. Out, in `output_dir`: checkpoints, `task.json`,
`predictions.json`, `nbest_predictions.json`, `null_odds.json` (2.0),
`predictions.jsonl`, and where the answers are known `eval_results.txt` and
`.json`.
"""

from __future__ import annotations

from bert.training import common_flags  # isort: skip (quiets TensorFlow before it starts)

import bisect
import dataclasses
import json
import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import tensorflow.compat.v1 as tf
from absl import flags, logging
from tqdm import tqdm

import modeling
import optimization
import tokenization
from bert.records import files, input_pipeline, record_files, streams, tables
from bert.tasks import heads, metrics
from bert.tasks.answers import (  # noqa: F401  (of this script, for other programs)
  Answer,
  convert_examples_to_features,
  find_answers,
  get_final_text,
  InputFeatures,
  Prediction,
  prediction_fields,
  RawResult,
  split_context,
  SquadExample,
)
from bert.training import checkpoints, estimators, old_runs

FLAGS = flags.FLAGS


# --------------------------------------------------------------- examples


_KINDS = {list: "a list", str: "a text", int: "a number", dict: "an object"}


class _Question(NamedTuple):
  """One question as its file has it."""

  where: str  # file, and place in it
  id: str
  text: str
  context: str
  answers: list | None  # of (text, place in the context); None: no such key
  is_impossible: bool


def read_squad_examples(
  input_file: str,
  is_training: bool,
  version_2_with_negative: bool = False,
  verbose_logging: bool = False,
) -> list[SquadExample]:
  """Reads the questions of a file, in its order.

  Args:
    input_file: SQuAD's JSON; or an object a line, with the keys of a question
      (id, question; answers and is_impossible if they are known) and context,
      if the name ends in .jsonl.
    is_training: whether answers are needed. A question whose answer is not
      where it should be is then left out, and counted in the log.
    version_2_with_negative: whether questions may have no answer.
    verbose_logging: name each question that is left out, not the first only.

  Raises:
    ValueError: the file does not have this form, an id comes twice, or, for
      training, a question has not one answer; the place is named.
  """
  questions = list(_read_questions(input_file))
  _check_questions(input_file, questions, is_training, version_2_with_negative)
  contexts, examples, left_out = {}, [], []
  for question in questions:
    if question.context not in contexts:
      contexts[question.context] = split_context(question.context)
    example = _make_example(question, *contexts[question.context])
    if not is_training or _add_answer(example, question):
      examples.append(example)
    else:
      left_out.append(question)
  if left_out:
    logging.warning(
      f"{input_file}: left out {len(left_out)} of {len(questions)} questions,"
      " whose answer is not in the context at answer_start; the first is"
      f" {left_out[0].id} ({left_out[0].where})"
    )
    for question in left_out if verbose_logging else ():
      logging.warning(f"  left out {question.id}: {question.answers[0]}")
  if not examples:
    raise ValueError(f"{input_file} holds no question that can be used")
  return examples


def _read_questions(path: str) -> Iterator[_Question]:
  """The questions of a file; what is missing is named with its place."""
  if path.endswith(".jsonl"):
    for line, row in tables.Table(path, has_header=False):
      yield _read_question(f"{path}:{line}", row, row)
    return
  try:
    whole = json.loads(tables.read_text(path))
  except json.JSONDecodeError as error:
    raise ValueError(f"{path} is not JSON: {error}") from None
  for i, article in enumerate(_part(whole, "data", list, path)):
    at = f"{path}: data[{i}]"
    for j, paragraph in enumerate(_part(article, "paragraphs", list, at)):
      place = f"{at}.paragraphs[{j}]"
      for k, row in enumerate(_part(paragraph, "qas", list, place)):
        yield _read_question(f"{place}.qas[{k}]", row, paragraph, place)


def _read_question(where, row, paragraph, paragraph_where=None):
  """One question and its context, whose keys are in `paragraph`."""
  context = _part(paragraph, "context", str, paragraph_where or where)
  text = _part(row, "question", str, where)
  for name, value in (("context", context), ("question", text)):
    if not value.strip():
      raise ValueError(f"{where}: the {name} is empty")
  if isinstance(row.get("id"), int):
    row = {**row, "id": str(row["id"])}
  answers = None
  if row.get("answers") is not None:
    answers = [
      (
        _part(answer, "text", str, f"{where}.answers[{i}]"),
        _part(answer, "answer_start", int, f"{where}.answers[{i}]"),
      )
      for i, answer in enumerate(_part(row, "answers", list, where))
    ]
  is_impossible = bool(row.get("is_impossible", False))
  return _Question(
    where,
    _part(row, "id", str, where),
    text,
    context,
    [] if is_impossible else answers,
    is_impossible,
  )


def _part(value, key, kind, where):
  """`value[key]`, if it is of its kind."""
  if not isinstance(value, dict):
    raise ValueError(f"{where} has to be an object with the key {key!r}")
  if key not in value:
    raise ValueError(
      f"{where} has no key {key!r} but {', '.join(value) or 'none'}: is this"
      " SQuAD's JSON? (An object a line is read from a file named .jsonl)"
    )
  if not isinstance(value[key], kind) or isinstance(value[key], bool):
    raise ValueError(
      f"{where}.{key} has to be {_KINDS[kind]}, not {value[key]!r:.40}"
    )
  return value[key]


def _check_questions(path, questions, is_training, version_2_with_negative):
  """Raises ValueError for ids that come twice and answers too few or many."""
  places = {}
  for question in questions:
    if question.id in places:
      raise ValueError(
        f"{question.where}: the id {question.id} is that of"
        f" {places[question.id]} too: give each question its own"
      )
    places[question.id] = question.where
  impossible = [q for q in questions if q.is_impossible]
  if impossible and not version_2_with_negative:
    message = (
      f"{path} is SQuAD 2.0 data: {len(impossible)} of {len(questions)}"
      f" questions have no answer, the first is {impossible[0].id}"
    )
    if is_training:
      raise ValueError(f"{message}; give --version_2_with_negative")
    logging.warning(
      f"{message}; without --version_2_with_negative all will be answered"
    )
  if version_2_with_negative and not impossible and is_training:
    logging.warning(
      f"--version_2_with_negative: {path} has no question without an answer"
    )
  for question in questions if is_training else ():
    if len(question.answers or ()) != 1 and not question.is_impossible:
      raise ValueError(
        f"{question.where}: {question.id} has {len(question.answers or ())}"
        " answers, and training takes exactly one (none only where"
        " is_impossible is true)"
      )


def _make_example(question, words, starts):
  answers = question.answers
  if answers is not None:
    answers = [text for text, _ in answers]
  if not answers and not question.is_impossible:
    answers = None  # a test file may have the key, and nothing in it
  return SquadExample(
    question.id, question.text, words, answers=answers, token_starts=starts
  )


def _add_answer(example, question):
  """Gives an example its answer; False if it is not where it should be."""
  if question.is_impossible:
    example.is_impossible = True
    example.orig_answer_text = ""
    example.start_position = example.end_position = -1
    return True
  text, first = question.answers[0]
  last = first + len(text) - 1
  if not 0 <= first <= last < len(question.context):
    return False
  start = max(bisect.bisect_right(example.token_starts, first) - 1, 0)
  end = bisect.bisect_right(example.token_starts, last) - 1
  words = " ".join(example.doc_tokens[start : end + 1])
  example.orig_answer_text = text
  example.start_position, example.end_position = start, end
  return " ".join(text.split()) in words


# --------------------------------------------------------------- features


class FeatureWriter(record_files.RecordWriter):
  """Writes windows to a TFRecord file that appears when it is closed."""

  def __init__(self, filename: str, is_training: bool):
    super().__init__(filename, {})
    self._is_training = is_training
    self._encode_window = None  # made for the length of the first

  @property
  def num_features(self) -> int:
    return self.records.num_examples

  def process_feature(self, feature: InputFeatures) -> None:
    """Adds one window."""
    if not self._encode_window:
      self._encode_window = record_files.record_encoder(
        record_files.span_schema(len(feature.input_ids), self._is_training)
      )
    record = self._encode_window(
      {
        "unique_ids": feature.unique_id,
        "input_ids": feature.input_ids,
        "input_mask": feature.input_mask,
        "segment_ids": feature.segment_ids,
        "start_positions": feature.start_position,
        "end_positions": feature.end_position,
        "is_impossible": int(bool(feature.is_impossible)),
      }
    )
    self.write_encoded(record)
    self.records.lengths.append(len(feature.tokens))


def input_fn_builder(
  input_file: str, seq_length: int, is_training: bool, drop_remainder: bool
):
  """An input_fn over a file of windows."""
  schema = record_files.span_schema(seq_length, is_training)
  input_pipeline.check_records(input_file, schema)
  num_examples = sum(1 for _ in tf.python_io.tf_record_iterator(input_file))
  return input_pipeline.input_fn_builder(
    [input_file], schema, is_training, drop_remainder, num_examples
  )


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
  """BERT with two scores for each token.

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
  outputs = heads.span_forward(
    bert_config,
    {
      "input_ids": input_ids,
      "input_mask": input_mask,
      "segment_ids": segment_ids,
    },
    {},
    is_training,
    dropout_seed,
    use_one_hot_embeddings=use_one_hot_embeddings,
    **encoder_options,
  )
  return outputs["start_logits"], outputs["end_logits"]


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

  def forward(features, is_training, dropout_seed, compiled):
    start_logits, end_logits = create_model(
      bert_config,
      is_training,
      features["input_ids"],
      features["input_mask"],
      features["segment_ids"],
      use_one_hot_embeddings,
      dropout_seed,
      **(encoder_options or {}),
      compiled=compiled,
    )
    outputs = estimators.Outputs(
      loss_sums=[],
      predictions={
        "unique_ids": features["unique_ids"],
        "start_logits": start_logits,
        "end_logits": end_logits,
      },
    )
    if "start_positions" in features:
      losses = heads.span_loss(
        start_logits,
        end_logits,
        features["start_positions"],
        features["end_positions"],
      )
      outputs.loss_sums = [tf.reduce_sum(losses)]
      outputs.metric_fn = _mean_loss
      outputs.metric_inputs = [losses]
    return outputs

  return estimators.make_model_fn(
    forward,
    init_checkpoint,
    learning_rate,
    num_train_steps,
    num_warmup_steps,
    use_tpu,
    random_seed,
    options=optimizer_options,
  )


def _mean_loss(losses):
  return {"eval_loss": tf.metrics.mean(losses)}


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
  """Finds the answers (`find_answers`), and writes them as JSON.

  Args:
    all_examples: as the others up to do_lower_case, of `find_answers`.
    output_prediction_file: {id: text}.
    output_nbest_file: {id: [{text, probability, start_logit, end_logit}]}.
    output_null_log_odds_file: {id: float}, for SQuAD 2.0 only.
    version_2_with_negative: as null_score_diff_threshold, of `find_answers`.

  Returns:
    What was found, in the order of the examples.
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
  files.write_lines(output_prediction_file, [json.dumps(texts, indent=4)])
  files.write_lines(output_nbest_file, [_nbest_json(predictions)])
  if version_2_with_negative:
    odds = {p.qas_id: p.null_odds for p in predictions}
    files.write_lines(output_null_log_odds_file, [json.dumps(odds, indent=4)])
  return predictions


def _nbest_json(predictions):
  """As json.dumps(..., indent=4), which takes five times as long to indent."""
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
  """The lines of predictions.jsonl: a question and `prediction_fields`."""
  for example, prediction in zip(examples, predictions):
    line = {"id": prediction.qas_id, "question": example.question_text}
    line.update(prediction_fields(prediction))
    yield json.dumps(line, ensure_ascii=False)


def compute_scores(
  examples: Sequence[SquadExample], predictions: Sequence[Prediction]
) -> dict:
  """Scores of the questions whose answers are known; {} if none are.

  Returns:
    {name: float}, of `metrics.squad_scores` with "eval_" before the name. With
    null odds the scores are those of SQuAD 2.0, the best thresholds among them.
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
  """The best answer that is one; "" if there is none."""
  return next((answer.text for answer in answers if answer.text), "")


# ------------------------------------------------------------------- main


@dataclasses.dataclass
class TaskNote:
  """What prediction needs to know of a trained model: `task.json`."""

  task: str  # squad: the key of heads.FORWARD
  version_2_with_negative: bool
  do_lower_case: bool
  max_seq_length: int
  max_query_length: int
  doc_stride: int
  n_best_size: int
  max_answer_length: int
  null_score_diff_threshold: float


@dataclasses.dataclass
class Windows:
  """The windows of --predict_file: for the model, and for its answers."""

  features: Sequence[InputFeatures]  # without ids and masks
  input_fn: Callable


@dataclasses.dataclass
class Job:
  """One run: the model and the data."""

  config: modeling.BertConfig
  tokenizer: tokenization.FullTokenizer
  init_checkpoint: str | None
  note: TaskNote
  train: Sequence[SquadExample]  # empty without --do_train
  test: Sequence[SquadExample]  # of --predict_file, empty if not needed
  windows: Windows | None = None  # of `test`, once they are made

  @property
  def num_train_steps(self) -> int:
    return old_runs.num_train_steps(len(self.train))


def define_flags() -> None:
  """This script's flags, beside those of common_flags."""
  common_flags.define_model_flags(max_seq_length=384)
  common_flags.define_action_flags(has_eval=False)
  common_flags.define_training_flags(has_eval=False)
  common_flags.define_evaluation_flags("eval_f1 or eval_exact_match")
  common_flags.define_speed_flags()
  common_flags.define_device_flags()
  flags.adopt_module_key_flags(common_flags)
  data = "SQuAD's JSON, 1.1 or 2.0, or JSON lines named .jsonl"
  flags.DEFINE_string("train_file", None, f"Questions to train on: {data}.")
  flags.DEFINE_string(
    "predict_file",
    None,
    f"Questions to answer: {data}. Where it has answers, they are scored.",
  )
  positive = dict(lower_bound=1)
  flags.DEFINE_integer(
    "doc_stride", 128, "Pieces from one window to the next.", **positive
  )
  flags.DEFINE_integer(
    "max_query_length",
    64,
    "Pieces of a question; longer ones are cut.",
    **positive,
  )
  flags.DEFINE_integer(
    "n_best_size", 20, "Answers that are kept of a question.", **positive
  )
  flags.DEFINE_integer(
    "max_answer_length", 30, "Pieces of the longest answer.", **positive
  )
  flags.DEFINE_bool(
    "verbose_logging", False, "Name each question that training leaves out."
  )
  flags.DEFINE_bool(
    "version_2_with_negative", False, "SQuAD 2.0: there may be no answer."
  )
  flags.DEFINE_float(
    "null_score_diff_threshold",
    0.0,
    "SQuAD 2.0: no answer is predicted where it scores higher than the best"
    " answer by more than this.",
  )
  flags.mark_flags_as_required(["vocab_file", "bert_config_file", "output_dir"])


def main(_):
  job = prepare()
  old_runs.log_devices()
  if FLAGS.do_train:
    train(job)
  if FLAGS.do_predict and common_flags.is_chief():
    best = old_runs.best_checkpoint()
    predict(job, make_estimator(job), best)


def prepare() -> Job:
  """Checks the flags and reads all data, so that what is wrong shows early."""
  _check_flags()
  config, tokenizer = common_flags.load_model_files()
  init_checkpoint = old_runs.find_init_checkpoint(config)
  note = make_note(init_checkpoint)
  train_examples, test = [], []
  if FLAGS.do_train:
    train_examples = read_squad_examples(
      FLAGS.train_file,
      True,
      FLAGS.version_2_with_negative,
      FLAGS.verbose_logging,
    )
    random.Random(12345).shuffle(train_examples)  # as the original's, always
  if FLAGS.do_predict or FLAGS.eval_steps:
    test = read_squad_examples(
      FLAGS.predict_file, False, FLAGS.version_2_with_negative
    )
  if FLAGS.eval_steps and all(example.answers is None for example in test):
    raise ValueError(
      f"--eval_steps: --predict_file={FLAGS.predict_file} has no answers to"
      " compare with"
    )
  job = Job(config, tokenizer, init_checkpoint, note, train_examples, test)
  if FLAGS.do_train:
    old_runs.check_train_steps(len(train_examples), "questions")
  tf.io.gfile.makedirs(FLAGS.output_dir)
  return job


def _check_flags():
  old_runs.check_flags(("do_train", "do_predict"))
  for flag, file in (
    ("do_train", "train_file"),
    ("do_predict", "predict_file"),
    ("eval_steps", "predict_file"),
  ):
    if FLAGS[flag].value and not FLAGS[file].value:
      raise ValueError(f"--{flag} needs --{file}")
  if FLAGS.max_seq_length <= FLAGS.max_query_length + 3:
    raise ValueError(
      f"--max_seq_length={FLAGS.max_seq_length} has to be over"
      f" --max_query_length={FLAGS.max_query_length} + 3, or there is no room"
      " for the context"
    )
  scores = ["eval_exact_match", "eval_f1"]
  if FLAGS.version_2_with_negative:
    scores += ["eval_best_exact_match", "eval_best_f1"]
  old_runs.check_evaluation(scores)


def make_note(init_checkpoint: str | None) -> TaskNote:
  """The flags as `task.json` notes them.

  Raises:
    ValueError: the model that is used was trained with another case.
  """
  note = TaskNote(
    "squad",
    *(FLAGS[field.name].value for field in dataclasses.fields(TaskNote)[1:]),
  )
  kept = old_runs.load_note(TaskNote, init_checkpoint)
  if not kept:
    return note
  old_runs.compare_notes(kept, note, ["do_lower_case"])
  if kept.version_2_with_negative != note.version_2_with_negative:
    logging.warning(
      "the model was trained with --version_2_with_negative="
      f"{kept.version_2_with_negative}, and not {note.version_2_with_negative}"
    )
  return note


def make_estimator(job: Job):
  """The estimator of the flags."""
  return old_runs.make_estimator(
    model_fn_builder,
    job.num_train_steps,
    FLAGS.predict_batch_size,
    bert_config=job.config,
    init_checkpoint=job.init_checkpoint,
  )


def write_windows(job: Job, examples, name: str, output_fn=None):
  """Writes the windows' records; output_fn is given each one, if it is there.

  Returns:
    A `features.RecordFile`.
  """
  is_training = name == "train"
  with FeatureWriter(old_runs.record_path(name), is_training) as writer:

    def write(features):
      writer.process_feature(features)
      if output_fn:
        output_fn(features)

    counts = convert_examples_to_features(
      tqdm(examples, "features", unit="question", disable=None),
      job.tokenizer,
      FLAGS.max_seq_length,
      FLAGS.doc_stride,
      FLAGS.max_query_length,
      is_training,
      write,
    )
  without = ""
  if is_training:
    without = f", {counts.without_answer} of which hold no answer"
  logging.info(
    f"{name}: {len(examples)} questions, {counts.windows} windows{without}"
  )
  if not counts.windows:
    raise ValueError(f"{name}: no context has a piece of the vocabulary")
  return writer.records


def _input_fn(records, is_training):
  schema = record_files.span_schema(FLAGS.max_seq_length, is_training)
  return old_runs.make_input_fn(records, schema, is_training)


def train(job: Job) -> None:
  """Trains to answer."""
  mark = files.fingerprint(
    tables.read_text(FLAGS.train_file),
    dataclasses.asdict(job.note),
    job.tokenizer.vocab,
  )
  records = record_files.cached_records(
    old_runs.record_path("train"),
    mark,
    lambda: write_windows(job, job.train, "train"),
  )
  evaluator = make_estimator(job)
  old_runs.train(
    make_estimator(job),
    _input_fn(records, is_training=True),
    job.num_train_steps,
    len(job.train),
    lambda checkpoint: evaluate(job, evaluator, checkpoint),
    job.note,
  )


def evaluate(job: Job, estimator, checkpoint: str | None) -> dict:
  """Scores of the questions whose answers are known."""
  features, results = run_model(job, estimator, checkpoint)
  predictions = find_answers(job.test, features, results, **_answer_options())
  return compute_scores(job.test, predictions)


def _answer_options():
  """The flags that `find_answers` takes."""
  names = (
    "n_best_size",
    "max_answer_length",
    "do_lower_case",
    "version_2_with_negative",
    "null_score_diff_threshold",
  )
  return {name: FLAGS[name].value for name in names}


def run_model(job: Job, estimator, checkpoint: str | None):
  """The windows of the questions to answer, and a `RawResult` of each."""
  if not job.windows:
    job.windows = make_windows(job)
  features = job.windows.features
  rows = streams.in_input_order(
    estimators.predict(
      estimator, job.windows.input_fn, len(features), checkpoint
    ),
    RawResult._fields[1:],
  )
  return features, [
    RawResult(window.unique_id, row["start_logits"], row["end_logits"])
    for window, row in zip(features, rows)
  ]


def make_windows(job: Job) -> Windows:
  """Writes the records of the questions to answer, and keeps what is needed."""
  kept = []

  def keep(features):
    kept.append(
      dataclasses.replace(features, input_ids=(), input_mask=(), segment_ids=())
    )

  records = write_windows(job, job.test, "eval", keep)
  return Windows(kept, _input_fn(records, is_training=False))


def predict(job: Job, estimator, checkpoint: str | None) -> None:
  """Writes the answers to --predict_file, and their scores where known."""
  features, results = run_model(job, estimator, checkpoint)
  paths = {
    name: os.path.join(FLAGS.output_dir, name)
    for name in (
      "predictions.json",
      "nbest_predictions.json",
      "null_odds.json",
      "predictions.jsonl",
    )
  }
  predictions = write_predictions(
    job.test,
    features,
    results,
    output_prediction_file=paths["predictions.json"],
    output_nbest_file=paths["nbest_predictions.json"],
    output_null_log_odds_file=paths["null_odds.json"],
    **_answer_options(),
  )
  files.write_lines(
    paths["predictions.jsonl"], prediction_lines(job.test, predictions)
  )
  logging.info(f"wrote {paths['predictions.json']} and what is beside it")
  unknown = sum(example.answers is None for example in job.test)
  scores = compute_scores(job.test, predictions)
  if not scores:
    return
  if unknown:
    logging.warning(f"{unknown} questions have no known answer to score with")
  used = old_runs.used_checkpoint(checkpoint, job.init_checkpoint)
  scores["global_step"] = checkpoints.current_step(used)
  logging.info("evaluation:")
  estimators.write_eval_results(FLAGS.output_dir, scores, {})


if __name__ == "__main__":
  define_flags()
  common_flags.run(main)
