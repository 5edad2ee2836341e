# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Fine-tunes BERT to rank responses to a context: passages, answers, endings.

In: CSV and TSV files of contexts with true and wrong responses, or SWAG's
files; or pairs of texts with a score. Out, in `output_dir`: checkpoints,
`task.json`, `eval_results.txt` and `.json`, TREC files and `predictions.jsonl`.

There are two kinds of model. Interaction reads context and response as a pair
and gives the probability that they match. Representation makes a vector of each
text on its own, and compares vectors by their cosine; search_responses.py
answers questions with such a model.
"""

from __future__ import annotations

import dataclasses

from bert.training import entry, flags


@dataclasses.dataclass(frozen=True)
class Options(flags.FineTuningOptions, flags.EvaluationOptions):
  """This script's flags."""

  eval_batch_size: int = flags.with_default(
    flags.EvaluationOptions, "eval_batch_size", 64
  )
  predict_batch_size: int = flags.with_default(
    flags.FineTuningOptions, "predict_batch_size", 64
  )
  data_dir: str | None = flags.flag(
    None,
    "Folder with the files train, valid (or val, dev) and test, each ending in"
    " .csv or .tsv. A file can have a header with context, response and label"
    " (0 or 1), or SWAG's header. Without a header, each row holds a context,"
    " its true response, and wrong ones. For the losses cosine and cosent, the"
    " header is text_a, text_b and score.",
    required=True,
  )
  model: str | None = flags.flag(
    None,
    "interaction reads context and response together, as a pair; representation"
    " makes a vector of each. Default: the kind of the trained model.",
    choices=("interaction", "representation"),
  )
  loss: str | None = flags.flag(
    None,
    "For interaction: cross_entropy (the default) on the label of each pair; or"
    " candidates, a softmax over the responses of a row. For representation:"
    " in_batch (the default), a softmax over all responses in the batch; or"
    " triplet, with semi-hard negatives; or on pairs of texts with a score:"
    " cosine, the squared error of their cosine, or cosent, the order of the"
    " pairs in a batch. All but cosine compare only what is on the same device"
    " and in the same part of a batch split by --gradient_accumulation_steps.",
    choices=(
      *("cross_entropy", "candidates"),
      *("in_batch", "triplet", "cosine", "cosent"),
    ),
  )
  pooling: str | None = flags.flag(
    None,
    "For representation: how to make the vector of a text. mean (the default):"
    " the mean of its tokens' vectors; cls: the vector of its first token.",
    choices=("mean", "cls"),
  )
  temperature: float | None = flags.flag(
    None,
    "For in_batch and cosent: divide the cosines by this before the softmax or"
    " the exponential. Default: 0.05.",
    lower_bound=1e-4,
  )
  margin: float | None = flags.flag(
    None,
    "For triplet: how much farther away than the true response a wrong one"
    " should be, in squared distance. Default: 0.2.",
    lower_bound=0.0,
  )
  score_range: tuple | None = flags.flag(
    None,
    "For cosine: the scores that stand for the cosines 0 and 1, such as 0,5."
    " Default: those of the trained model, or the lowest and highest score in"
    " the training file.",
  )
  num_candidates: int = flags.flag(
    0,
    "Train with at most N responses of each row: a true one and the first wrong"
    " ones. Rows with fewer are padded. 0: train with all responses.",
    lower_bound=0,
  )
  num_random_negatives: int = flags.flag(
    0,
    "For training, add N wrong responses to each row, drawn from the responses"
    " to other contexts.",
    lower_bound=0,
  )


if __name__ == "__main__":
  entry.parse(Options)  # --help ends here, before the slow imports

import json
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow.compat.v1 as tf
from absl import logging

from bert.files import clock, kept_files, writing
from bert.records import record_files, streams, tables
from bert.reports import kept_examples
from bert.reports import ranking as reported
from bert.tasks import metrics
from bert.tasks.ranking import GRADED_LOSSES, LOSSES, RankerNote, Ranking
from bert.tasks.ranking_data import (
  check_rankable,
  find_file,
  graded_rows,
  GradedPair,
  InputExample,
  Packer,
  read_examples,
  read_pairs,
  score_range,
  training_rows,
  TrainingRow,
)
from bert.training import cluster, estimators, runs

# ----------------------------------------------------------------- scores


@dataclasses.dataclass
class RankedExamples:
  """Examples and how a model scores their candidates."""

  examples: Sequence[InputExample]
  scores: list[np.ndarray]  # float [number of candidates] for each example

  @property
  def is_known(self) -> bool:
    """Whether it is known which candidates are true."""
    return all(example.labels for example in self.examples)

  def compute_scores(self, prefix: str) -> dict:
    """{name: float}, as `metrics.ranking_scores` gives them."""
    labels = [example.labels for example in self.examples]
    found = metrics.ranking_scores(labels, self.scores)
    return {f"{prefix}_{name}": value for name, value in found.items()}

  def trec_run(self, tag: str) -> Iterator[str]:
    """The lines of a TREC run file."""
    return metrics.trec_run(self._guids, self._document_ids, self.scores, tag)

  def trec_qrels(self) -> Iterator[str]:
    """The lines of the qrels file that goes with the run file."""
    labels = [example.labels for example in self.examples]
    return metrics.trec_qrels(self._guids, self._document_ids, labels)

  def kept(self, note: RankerNote) -> tuple:
    """What --report shows."""
    return reported.kept_ranking(note, self.examples, self.scores)

  def lines(self) -> Iterator[str]:
    """The lines of predictions.jsonl: contexts with responses, best first."""
    for example, scores in zip(self.examples, self.scores):
      ranked = []
      labels = example.labels or [0] * len(scores)
      for place in np.lexsort((labels, -scores)).tolist():  # as they are scored
        response = {
          "response": example.responses[place],
          "place": place,
          "score": float(scores[place]),
        }
        if example.labels:
          response["label"] = example.labels[place]
        ranked.append(response)
      line = {"id": example.guid, "context": example.context}
      yield json.dumps({**line, "responses": ranked}, ensure_ascii=False)

  @property
  def _guids(self):
    return [example.guid for example in self.examples]

  @property
  def _document_ids(self):
    """An id for each candidate, which numbers the true ones of a row first.

    If scores are equal, trec_eval puts the higher id first, so that there, too,
    ties count against the ranking.
    """
    most = max(len(example.responses) for example in self.examples)
    return [
      [f"{e.guid}-{number:0{len(str(most))}d}" for number in _true_first(e)]
      for e in self.examples
    ]


def _true_first(example):
  """Where each candidate stands if the true ones come first."""
  labels = np.array(example.labels or [0] * len(example.responses))
  order = np.argsort(-labels, kind="stable")
  return np.argsort(order).tolist()


SIMILARITY_SCORES = ("pearson", "spearman")


@dataclasses.dataclass
class ComparedPairs:
  """Pairs with a score, and the cosines of a model's vectors."""

  pairs: Sequence[GradedPair]
  cosines: np.ndarray  # float [number of pairs]

  @property
  def is_known(self) -> bool:
    """Whether the pairs' scores are known."""
    return all(pair.score is not None for pair in self.pairs)

  def compute_scores(self, prefix: str) -> dict:
    """{name: float}: how the cosines go with the scores."""
    scores = [pair.score for pair in self.pairs]
    found = metrics.regression_scores(scores, self.cosines)
    return {f"{prefix}_{name}": found[name] for name in SIMILARITY_SCORES}

  def kept(self, note: RankerNote) -> tuple:
    """What --report shows."""
    return reported.kept_pairs(note, self.pairs, self.cosines)

  def lines(self) -> Iterator[str]:
    """The lines of predictions.jsonl: pairs with their cosine."""
    for pair, cosine in zip(self.pairs, self.cosines):
      line = {"id": pair.guid, "text_a": pair.text_a, "text_b": pair.text_b}
      line["score"] = float(cosine)
      if pair.score is not None:
        line["label"] = pair.score
      yield json.dumps(line, ensure_ascii=False)


# ------------------------------------------------------------------- main


@dataclasses.dataclass
class Job:
  """One run: the model and the data."""

  options: Options
  model: runs.Model
  note: RankerNote
  train: Sequence[TrainingRow]  # empty without --do_train
  # Empty if not needed.
  valid: Sequence[InputExample] | Sequence[GradedPair]
  test: Sequence[InputExample] | Sequence[GradedPair]
  num_train_steps: int = 0
  input_fns: dict = dataclasses.field(default_factory=dict)  # made once each

  @property
  def task(self) -> Ranking:
    most = max((len(row.responses) for row in self.train), default=1)
    return Ranking(self.note, most)


def main(options: Options) -> None:
  job = prepare(options)
  options = job.options
  runs.log_devices(options)
  evaluator = make_estimator(job, options.eval_batch_size)
  if options.do_train:
    train(job, make_estimator(job, options.predict_batch_size), evaluator)
  if not cluster.is_chief(options):
    return
  best = runs.best_checkpoint(options)
  if options.do_eval:
    evaluate(job, evaluator, best)
  if options.do_predict:
    predict(job, make_estimator(job, options.predict_batch_size), best)


@clock.part("records")
def prepare(options: Options) -> Job:
  """Checks the options and reads all data, so that mistakes show early."""
  runs.check_options(options, ("do_train", "do_eval", "do_predict"))
  model = runs.load_model(options)
  note = make_note(options, runs.kept_note(options, Ranking, model))
  options = check_options(options, note)
  rows, valid, test, steps = [], [], [], 0
  if options.do_train:
    rows, note = read_training_rows(options, note)
  if options.do_eval or (options.do_train and options.eval_steps):
    valid = _read_scorable(options, note, "valid")
  if options.do_predict:
    test = _read_scorable(options, note, "test")
  if options.do_train:
    steps = runs.num_train_steps(options, len(rows), "training rows")
    check_batch(options, note, rows)
  tf.io.gfile.makedirs(options.output_dir)
  return Job(options, model, note, rows, valid, test, steps)


def read_training_rows(
  options: Options, note: RankerNote
) -> tuple[list[TrainingRow], RankerNote]:
  """The rows to train on, and the note with the range of their scores."""
  if note.loss not in GRADED_LOSSES:
    rows = training_rows(
      _read(options, "train", read_examples),
      note.loss,
      options.num_candidates,
      options.num_random_negatives,
      options.random_seed,
    )
    return rows, note
  pairs = _read(options, "train", read_pairs)
  if note.loss == "cosent":  # takes only the order of the scores
    return graded_rows(pairs, None), note
  if not note.score_range:
    note = dataclasses.replace(note, score_range=score_range(pairs))
  low, high = note.score_range
  logging.info(f"scores: {low:g} stands for the cosine 0, {high:g} for 1")
  return graded_rows(pairs, note.score_range), note


def make_note(options: Options, kept: RankerNote | None) -> RankerNote:
  """The note of the model: what the options say, or the trained model's note.

  Raises:
    ValueError: they contradict each other.
  """
  model = options.model or (kept and kept.model)
  if not model:
    raise ValueError("give --model=interaction or --model=representation")
  losses = LOSSES[model]
  if options.loss and options.loss not in losses:
    raise ValueError(
      f"--loss={options.loss} is not for --model={model}: give"
      f" {' or '.join(losses)}"
    )
  kept_loss = kept.loss if kept and kept.loss in losses else losses[0]
  usual = kept or RankerNote(
    Ranking.name, model, "mean", options.do_lower_case, options.max_seq_length
  )
  note = RankerNote(
    task=Ranking.name,
    model=model,
    loss=options.loss or kept_loss,
    pooling=options.pooling or usual.pooling,
    temperature=options.temperature or usual.temperature,
    margin=usual.margin if options.margin is None else options.margin,
    score_range=_score_range(options) or usual.score_range,
    do_lower_case=options.do_lower_case,
    max_seq_length=options.max_seq_length,
  )
  if kept:
    runs.compare_notes(kept, note, ("model", "pooling", "do_lower_case"))
  return note


def _score_range(options):
  """The two numbers of --score_range; () if it is not given."""
  if options.score_range is None:
    return ()
  given = f"--score_range={','.join(options.score_range)}"
  found = tuple(
    tables.number(value, f"{given}: each value")
    for value in options.score_range
  )
  if len(found) != 2 or found[0] >= found[1]:
    raise ValueError(
      f"{given} has to be two numbers, the lower one first, such as 0,5"
    )
  return found


def check_options(options: Options, note: RankerNote) -> Options:
  """Checks the options that depend on the model.

  Returns:
    The options, with the full name of --keep_best's score.

  Raises:
    ValueError: they do not go together.
  """
  is_graded = note.loss in GRADED_LOSSES
  for name, is_used in (
    ("pooling", note.model == "representation"),
    ("temperature", note.loss in ("in_batch", "cosent")),
    ("margin", note.loss == "triplet"),
    ("score_range", note.loss == "cosine"),
    ("num_candidates", not is_graded),
    ("num_random_negatives", not is_graded),
  ):
    if getattr(options, name) != getattr(Options, name) and not is_used:
      raise ValueError(
        f"--{name} is not for --model={note.model} with --loss={note.loss}"
      )
  scores = SIMILARITY_SCORES
  if not is_graded:
    scores = metrics.ranking_scores([[1, 0]], [[1.0, 0.0]])
  return runs.check_evaluation(options, [f"eval_{name}" for name in scores])


def check_batch(
  options: Options, note: RankerNote, rows: Sequence[TrainingRow]
) -> None:
  """Raises ValueError if what is computed at once has nothing to compare."""
  parts = options.gradient_accumulation_steps * cluster.num_replicas(options)
  at_once = options.train_batch_size // parts
  most = max(len(row.responses) for row in rows)
  if note.loss == "cosent" and at_once == 1:
    raise ValueError(
      "--loss=cosent compares pairs that are computed at once, which is one"
      f" here: raise --train_batch_size={options.train_batch_size}, which is"
      f" split into {parts} parts"
    )
  if note.loss in ("in_batch", "triplet") and at_once == most == 1:
    raise ValueError(
      f"--loss={note.loss} compares a true response with the others that are"
      " computed at once, which is one row here, and no row has wrong"
      f" responses: raise --train_batch_size={options.train_batch_size}, which"
      f" is split into {parts} parts"
    )


def _read(options, set_type, read):
  path = find_file(options.data_dir, set_type)
  writing.protect(path, "--data_dir")
  return read(path, set_type)


def _read_scorable(options, note, set_type):
  """The examples of a set to rank, or its pairs to compare."""
  if note.loss in GRADED_LOSSES:
    return _read(options, set_type, read_pairs)
  examples = _read(options, set_type, read_examples)
  check_rankable(examples)
  if set_type == "valid" and not all(e.labels for e in examples):
    raise ValueError(f"{examples[0].where}: there is no label to evaluate with")
  return examples


def make_estimator(job: Job, predict_batch_size: int):
  """The run's estimator, with this many texts or pairs per prediction batch."""
  return runs.make_estimator(
    job.options, job.task, job.model, job.num_train_steps, predict_batch_size
  )


def train(job: Job, estimator, evaluator) -> None:
  """Trains to rank, or to tell how alike texts are."""
  if job.task.is_graded:
    logging.info(f"training pairs: {len(job.train)}")
  elif job.note.loss == "cross_entropy":
    num_true = sum(row.label for row in job.train)
    logging.info(f"training pairs: {len(job.train)}, {num_true} of them true")
  else:
    most = max(len(row.responses) for row in job.train)
    logging.info(f"training rows: {len(job.train)} of up to {most} responses")
  packer = Packer(job.model.tokenizer, job.task)
  input_fn = get_input_fn(
    job,
    "train",
    [dataclasses.astuple(row) for row in job.train],
    lambda: map(packer.pack_row, job.train),
    is_training=True,
  )
  runs.train(
    job.options,
    estimator,
    input_fn,
    job.num_train_steps,
    len(job.train),
    lambda checkpoint: score(
      job, evaluator, job.valid, "eval", checkpoint
    ).compute_scores("eval"),
    job.note,
  )


def get_input_fn(job: Job, name: str, texts, rows: Callable, is_training: bool):
  """Writes the records, unless they exist already, and reads them.

  Args:
    job: the run.
    name: of the records; they are made once for each name.
    texts: what the records are made from, as JSON can hold it.
    rows: called without arguments, yields the records' values.
    is_training: as `Ranking.schema` and `runs.make_input_fn` take it.
  """
  if name in job.input_fns:
    return job.input_fns[name]
  output_file = runs.record_path(job.options, name)
  schema = job.task.schema(is_training)
  mark = kept_files.fingerprint(
    texts,
    [job.note.model, job.note.loss if is_training else None],
    [
      job.note.max_seq_length,
      job.note.do_lower_case,
      job.model.tokenizer.vocab,
    ],
  )
  records = record_files.cached_records(
    output_file,
    mark,
    lambda: record_files.write_records(rows(), schema, output_file),
    job.options.records_dir,
  )
  job.input_fns[name] = runs.make_input_fn(
    job.options, records, schema, is_training
  )
  return job.input_fns[name]


def run_model(job: Job, estimator, texts, name: str, checkpoint) -> np.ndarray:
  """The model's scores or vectors.

  Args:
    job: the run.
    estimator: of `make_estimator`.
    texts: tuples of one text or two.
    name: of the records.
    checkpoint: prefix; None: the newest.

  Returns:
    float32 [number of texts] or [number of texts, D].

  Raises:
    ValueError: they are NaN or infinite.
  """
  packer = Packer(job.model.tokenizer, job.task)
  input_fn = get_input_fn(
    *(job, name, texts, lambda: (packer.pack(*parts) for parts in texts)),
    is_training=False,
  )
  rows = streams.in_input_order(
    estimators.predict(estimator, input_fn, len(texts), checkpoint),
    (job.task.output,),
  )
  outputs = np.stack([row[job.task.output] for row in rows])
  if not np.isfinite(outputs).all():
    raise ValueError(
      f"the model's {job.task.output} are NaN or infinite: its training has"
      " failed"
    )
  return outputs


def score(
  job: Job, estimator, examples, name: str, checkpoint
) -> RankedExamples | ComparedPairs:
  """Scores what was read of a file: `rank` or `compare`."""
  by_task = compare if job.task.is_graded else rank
  return by_task(job, estimator, examples, name, checkpoint)


def compare(
  job: Job, estimator, pairs: Sequence[GradedPair], name: str, checkpoint
) -> ComparedPairs:
  """The cosines of pairs of texts."""
  texts = [text for pair in pairs for text in (pair.text_a, pair.text_b)]
  vector_of = vectors_of(job, estimator, texts, name, checkpoint)
  cosines = [vector_of[p.text_a] @ vector_of[p.text_b] for p in pairs]
  return ComparedPairs(pairs, np.array(cosines))


def vectors_of(job: Job, estimator, texts, name: str, checkpoint) -> dict:
  """{text: vector}; equal texts are computed once."""
  distinct = [(text,) for text in dict.fromkeys(texts)]
  vectors = run_model(job, estimator, distinct, name, checkpoint)
  return {text: vector for (text,), vector in zip(distinct, vectors)}


def rank(
  job: Job, estimator, examples, name: str, checkpoint
) -> RankedExamples:
  """Scores the candidates of each example; equal ones are scored once.

  At another place in a batch or a product, an equal text's score could differ
  in its last bits, and a tie would not be seen.
  """
  if job.task.is_pair:
    pairs = [(e.context, text) for e in examples for text in e.responses]
    pairs = list(dict.fromkeys(pairs))
    scores = run_model(job, estimator, pairs, name, checkpoint)
    score_of = dict(zip(pairs, scores))
  else:
    texts = [t for e in examples for t in (e.context, *e.responses)]
    vector_of = vectors_of(job, estimator, texts, name, checkpoint)
    score_of = {}
    for e in examples:
      distinct = list(dict.fromkeys(e.responses))
      found = np.stack([vector_of[t] for t in distinct]) @ vector_of[e.context]
      score_of.update(((e.context, t), s) for t, s in zip(distinct, found))
  return RankedExamples(
    examples,
    [np.array([score_of[e.context, t] for t in e.responses]) for e in examples],
  )


def write_trec_files(job: Job, ranked, name: str) -> None:
  """Writes `name`_run.trec, and `name`_qrels.trec if the labels are known.

  Pairs with a score have none.
  """
  if job.task.is_graded:
    return
  contents = {"run": ranked.trec_run(job.note.model)}
  if ranked.is_known:
    contents["qrels"] = ranked.trec_qrels()
  for kind, lines in contents.items():
    path = os.path.join(job.options.output_dir, f"{name}_{kind}.trec")
    writing.write_lines(path, lines)
    logging.info(f"wrote {path}")


@clock.part("evaluation")
def evaluate(job: Job, estimator, checkpoint: str | None) -> None:
  """Scores the validation file, and writes scores and TREC files."""
  ranked = score(job, estimator, job.valid, "eval", checkpoint)
  step = runs.used_step(job.options, job.model, checkpoint)
  scores = {**ranked.compute_scores("eval"), "global_step": step}
  runs.write_scores(job.options, scores, {})
  write_trec_files(job, ranked, "eval")
  if job.options.report:
    folder = job.options.output_dir
    kept_examples.write(folder, "", step, *ranked.kept(job.note))


@clock.part("prediction")
def predict(job: Job, estimator, checkpoint: str | None) -> None:
  """Ranks or compares the test file, and scores it if the truth is known."""
  ranked = score(job, estimator, job.test, "predict", checkpoint)
  path = os.path.join(job.options.output_dir, "predictions.jsonl")
  writing.write_lines(path, ranked.lines())
  logging.info(f"wrote {path}")
  write_trec_files(job, ranked, "test")
  if ranked.is_known:
    scores = ranked.compute_scores("test")
    for key, value in scores.items():
      logging.info(f"  {key} = {value}")
    path = os.path.join(job.options.output_dir, "test_results.json")
    writing.write_json(path, scores)


if __name__ == "__main__":
  entry.run(main, Options)
