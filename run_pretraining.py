# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Pre-trains BERT: masked words and, if the records have it, the next sentence.

In: records of `create_pretraining_data.py`, in any number of files. Out, in
`output_dir`: checkpoints, `bert_config.json`, `eval_results.txt` and `.json`,
and `*_files.json`, which keeps how many records each input file holds.
"""

from __future__ import annotations

import dataclasses

from bert.training import entry, flags


@dataclasses.dataclass(frozen=True)
class MaskOptions(flags.Options):
  """How new masks are drawn."""

  mask_dynamically: bool = flags.flag(
    False,
    "Draw a new mask for each example in each pass over the records. It does"
    " not matter whether the records are masked already. Needs --vocab_file.",
  )
  vocab_file: str | None = flags.flag(
    None,
    "The vocabulary that the records were made with. --mask_dynamically needs"
    " it; predict.py needs it in --output_dir, where it is copied to.",
    reads=True,
  )
  masked_lm_prob: float = flags.flag(
    0.15,
    "With --mask_dynamically: mask this share of the tokens.",
    lower_bound=0.0,
    upper_bound=1.0,
  )
  do_whole_word_mask: bool = flags.flag(
    False, "With --mask_dynamically: mask all pieces of a word, or none."
  )


@dataclasses.dataclass(frozen=True)
class Options(flags.RunOptions, flags.EvaluationOptions, MaskOptions):
  """This script's flags."""

  input_file: str | None = flags.flag(
    None,
    "Records to train on: files or globs, separated by commas.",
    required=True,
    reads=True,
  )
  eval_input_file: str | None = flags.flag(
    None,
    "Records of held-out text to evaluate on. Default: those of --input_file.",
    reads=True,
  )
  objective: str = flags.flag(
    "auto",
    "What is predicted. auto: masked words, and the next sentence if the"
    " records have it; mlm: masked words alone.",
    choices=("auto", "mlm"),
  )
  max_predictions_per_seq: int = flags.flag(
    20,
    "A sequence has at most N masked words. Give the number that the records"
    " were made with.",
    lower_bound=1,
  )
  skip_corrupted: bool = flags.flag(
    False,
    "If a record file is damaged, use only the records before the damage, and"
    " log how much is lost.",
  )
  num_train_steps: int = flags.flag(100000, "Training steps.", lower_bound=1)
  num_warmup_steps: int = flags.flag(
    10000,
    "Number of steps in which the learning rate rises from 0."
    " --lr_schedule says what it does after that.",
    lower_bound=0,
  )
  max_eval_steps: int = flags.flag(
    100, "Evaluate only the first N batches.", lower_bound=1
  )


if __name__ == "__main__":
  entry.parse(Options)  # --help ends here, before the slow imports

import os
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow.compat.v1 as tf
from absl import logging

import modeling
import optimization
import tokenization
from bert.files import clock, reading
from bert.records import corpora, input_pipeline, streams
from bert.records.input_pipeline import (  # noqa: F401  (the original's)
  decode_record as _decode_record,
)
from bert.tasks.layers import gather_indexes  # noqa: F401  (the original's)
from bert.tasks.pretraining import (  # noqa: F401  (the original's)
  get_masked_lm_output,
  get_next_sentence_output,
  Masker,
  NO_WEIGHT,
  Pretraining,
  PretrainingNote,
)
from bert.training import checkpoints, cluster, estimators, runs

_NEXT_SENTENCE = "cls/seq_relationship/output_bias"

# --------------------------------------------------------------- examples


@dataclasses.dataclass
class Corpus:
  """Record files, and what batching needs to know of them."""

  shards: Sequence[corpora.Shard]
  bounds: Sequence[int]  # lengths that batches are cut to; empty: never cut
  lengths: Sequence[int]  # the tokens of some of the records

  @property
  def num_examples(self) -> int:
    return sum(shard.num_examples for shard in self.shards)


def find_shards(options: Options, name: str, flag: str) -> list[corpora.Shard]:
  """Finds and counts the record files that a flag names.

  Args:
    options: of the script.
    name: for the file that keeps the counts.
    flag: `input_file` or `eval_input_file`.

  Raises:
    ValueError: there are none, or they are damaged.
  """
  found = reading.expand_globs(getattr(options, flag), f"--{flag}")
  return corpora.count_examples(
    list(dict.fromkeys(found)),  # globs may overlap
    os.path.join(cluster.records_dir(options), f"{name}_files.json"),
    options.skip_corrupted,
  )


def have_next_sentence(shards: Sequence[corpora.Shard]) -> bool:
  """Whether the first records of files have next sentences.

  Raises:
    ValueError: those of some files have and of others have not.
  """
  first = {}  # {whether it has: the first such file}
  for shard in shards:
    record = next(tf.python_io.tf_record_iterator(shard.path))
    names = input_pipeline.column_names(shard.path, record)
    first.setdefault("next_sentence_labels" in names, shard.path)
  if len(first) > 1:
    raise ValueError(
      f"{first[True]} has records with next sentences, and {first[False]} has"
      " some without: train and evaluate on records of one kind, or give"
      " --objective=mlm, which uses the masked words of both"
    )
  return set(first) != {False}


def read_corpus(
  options: Options,
  name: str,
  shards: Sequence[corpora.Shard],
  task: Pretraining,
  config: modeling.BertConfig,
  min_examples: int,
) -> Corpus:
  """Checks record files, and chooses how to batch them.

  Args:
    options: of the script.
    name: for the log.
    shards: of `find_shards`.
    task: of the model.
    config: of the model.
    min_examples: the fewest examples that a bucket of lengths may have.

  Raises:
    ValueError: they were made with other sizes, or have values that the model
      does not take.
  """
  schema = task.schema(is_training=True)
  sizes = {
    "input_ids": config.vocab_size,
    "masked_lm_ids": config.vocab_size,
    "segment_ids": config.type_vocab_size,
  }
  lengths = corpora.sample_lengths(shards, schema, sizes)
  longest = options.max_seq_length
  bounds = runs.length_buckets(options)
  if bounds == "auto":
    is_training = name == "train"
    steps, size = options.max_eval_steps, options.eval_batch_size
    if is_training:
      steps, size = options.num_train_steps, options.train_batch_size
    price = runs.bucket_price(options, is_training, steps * size / len(lengths))
    bounds = input_pipeline.bucket_bounds(
      lengths, longest, min_examples, bucket_price=price
    )
  corpus = Corpus(shards, bounds, lengths)
  described = input_pipeline.describe(
    lengths, longest, bounds, options.pack_sequences
  )
  sampled = ""
  if len(lengths) < corpus.num_examples:
    sampled = f" {corpus.num_examples} examples; looked at"
  logging.info(f"{name}: {len(shards)} files,{sampled} {described}")
  return corpus


# --------------------------------------------------------------- features


def make_task(options: Options, shards: Sequence[corpora.Shard]) -> Pretraining:
  """The task, with the record sizes that the options give.

  Args:
    options: of the script.
    shards: all record files, which say whether next sentences are predicted.

  Raises:
    ValueError: they do not agree, or next sentences are not predicted and
      --keep_best or the model in --output_dir needs them.
  """
  next_sentence = options.objective == "auto" and have_next_sentence(shards)
  if not next_sentence:
    _check_no_next_sentence(options)
  what = "masked words and the next sentence"
  logging.info(f"objective: {what if next_sentence else 'masked words'}")
  sizes = options.max_seq_length, options.max_predictions_per_seq
  return Pretraining(PretrainingNote(*sizes, next_sentence))


def _check_no_next_sentence(options):
  best = options.keep_best or ""
  if best.startswith("next_sentence"):
    raise ValueError(
      f"--keep_best={best}: this run predicts masked words alone; give another"
      " score, such as masked_lm_loss"
    )
  resumed = options.do_train and checkpoints.newest(options.output_dir)
  if resumed and _NEXT_SENTENCE in dict(tf.train.list_variables(resumed)):
    raise ValueError(
      f"{options.output_dir} holds a model that predicts next sentences, and"
      " this run would train masked words alone: give another --output_dir (to"
      " start from that model, name it as --init_checkpoint)"
    )


def input_fn_builder(
  input_files: Sequence[str],
  max_seq_length: int,
  max_predictions_per_seq: int,
  is_training: bool,
  num_cpu_threads: int = 4,
):
  """An input_fn over record files; evaluation reads them once, in order."""
  del num_cpu_threads  # TensorFlow chooses the number
  task = Pretraining(PretrainingNote(max_seq_length, max_predictions_per_seq))

  def input_fn(params, input_context=None):
    read = corpora.corpus_input_fn_builder(
      corpora.count_examples(input_files),
      task.schema(is_training),
      is_training,
      drop_remainder=is_training,
    )
    return read(params, input_context)

  return input_fn


# ------------------------------------------------------------------ model


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
  """The model_fn of pre-training for TPUEstimator.

  Args:
    bert_config: modeling.BertConfig.
    init_checkpoint: prefix of the weights to start from, or None.
    learning_rate: the highest rate.
    num_train_steps: None without training.
    num_warmup_steps: None without training.
    use_tpu: whether it runs on a TPU.
    use_one_hot_embeddings: look words up by a product.
    random_seed: of dropout.
    optimizer_options: how a training step is taken; None: as the original does.
    encoder_options: keywords of `modeling.BertModel`, such as compute_dtype.

  Returns:
    `model_fn(features, labels, mode, params, config)`.
  """
  task = Pretraining(PretrainingNote())
  return estimators.original_model_fn(
    task,
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


SCORES = (  # the last two only where next sentences are predicted
  "loss",
  "masked_lm_loss",
  "masked_lm_accuracy",
  "perplexity",
  "next_sentence_loss",
  "next_sentence_accuracy",
)


def compute_scores(arrays: Mapping, batch_size: int) -> dict:
  """The scores of predicted examples.

  Args:
    arrays: {name: float [N]}, the predictions of `Pretraining.scored`, in input
      order.
    batch_size: `loss` is the mean over batches of this size, as the original
      computed it; the others are means over all words or examples.

  Returns:
    {name: float} for each of SCORES, without those of next sentences if there
    are none.
  """
  arrays = {name: np.asarray(a, np.float64) for name, a in arrays.items()}

  next_sentence = "next_sentence_loss" in arrays

  def loss(rows):
    words = np.sum(arrays["masked_lm_weight"][rows]) + NO_WEIGHT
    loss = np.sum(arrays["masked_lm_loss"][rows]) / words
    if next_sentence:
      loss += np.mean(arrays["next_sentence_loss"][rows])
    return loss

  starts = range(0, len(arrays["masked_lm_loss"]), batch_size)
  words = max(np.sum(arrays["masked_lm_weight"]), NO_WEIGHT)
  masked_lm_loss = np.sum(arrays["masked_lm_loss"]) / words
  with np.errstate(over="ignore"):
    perplexity = np.exp(masked_lm_loss)
  scores = {
    "loss": np.mean([loss(slice(i, i + batch_size)) for i in starts]),
    "masked_lm_loss": masked_lm_loss,
    "masked_lm_accuracy": np.sum(arrays["masked_lm_right"]) / words,
    "perplexity": perplexity,
  }
  if next_sentence:
    scores["next_sentence_loss"] = np.mean(arrays["next_sentence_loss"])
    scores["next_sentence_accuracy"] = np.mean(arrays["next_sentence_right"])
  return {name: float(value) for name, value in scores.items()}


# ------------------------------------------------------------------- main


@dataclasses.dataclass
class Job:
  """One run: the model and the data."""

  options: Options
  model: runs.Model
  task: Pretraining
  masker: Masker | None  # None: the records keep their masks
  train: Corpus | None  # without --do_train
  dev: Corpus | None  # if not needed


def main(options: Options) -> None:
  job = prepare(options)
  options = job.options
  runs.log_devices(options)
  evaluator = make_estimator(job)
  if options.do_train:
    train(job, make_estimator(job), evaluator)
  if options.do_eval and cluster.is_chief(options):
    best = runs.best_checkpoint(options)
    runs.write_scores(options, evaluate(job, evaluator, best), {})


@clock.part("records")
def prepare(options: Options) -> Job:
  """Checks the options and the records, so that mistakes show early."""
  runs.check_options(
    options, ("do_train", "do_eval"), ("input_file", "eval_input_file")
  )
  options = runs.check_evaluation(options, SCORES)
  config = runs.load_config(options)
  model = runs.Model(config, None, runs.find_init_checkpoint(options, config))
  if options.do_train and options.num_warmup_steps >= options.num_train_steps:
    logging.warning(
      f"--num_warmup_steps={options.num_warmup_steps} of --num_train_steps="
      f"{options.num_train_steps}: the rate will not reach --learning_rate"
    )
  masker = make_masker(options, config)
  tf.io.gfile.makedirs(options.output_dir)
  shards = {}
  if options.do_train:
    shards["train"] = find_shards(options, "train", "input_file")
  if (options.do_eval or options.eval_steps) and cluster.is_chief(options):
    flag = "eval_input_file" if options.eval_input_file else "input_file"
    shards["eval"] = find_shards(options, "eval", flag)
    if not options.eval_input_file:
      logging.warning(
        "evaluation runs on training records (--input_file): its scores say"
        " little about other text; give held-out records as --eval_input_file"
      )
  task = make_task(
    options, [shard for each in shards.values() for shard in each]
  )
  # A bucket with fewer examples would seldom fill a batch of training.
  fewest = {"train": 4 * options.train_batch_size, "eval": 1}
  corpus = {
    name: read_corpus(options, name, found, task, config, fewest[name])
    for name, found in shards.items()
  }
  return Job(
    options, model, task, masker, corpus.get("train"), corpus.get("eval")
  )


def make_masker(options: Options, config: modeling.BertConfig) -> Masker | None:
  """The masker that the options ask for; None: the records keep their masks.

  Raises:
    ValueError: the options do not go together, or the vocabulary does not fit.
  """
  if not options.mask_dynamically:
    for name in ("masked_lm_prob", "do_whole_word_mask"):
      if name in options.given:
        raise ValueError(
          f"--{name} needs --mask_dynamically: without it the records keep the"
          " masks that they were made with"
        )
    return None
  if not options.vocab_file:
    raise ValueError(
      "--mask_dynamically needs --vocab_file, the vocabulary that the records"
      " were made with"
    )
  vocab = tokenization.load_vocab(options.vocab_file)
  missing = tokenization.missing_special_tokens(vocab)
  if missing:
    raise ValueError(
      f"--mask_dynamically: {options.vocab_file} lacks {', '.join(missing)}"
    )
  if options.do_whole_word_mask and not any(t.startswith("##") for t in vocab):
    raise ValueError(
      f"--do_whole_word_mask: {options.vocab_file} has no pieces that begin"
      " with ##, so it can't say where words end"
    )
  runs.check_vocab_size(options, vocab, config)
  return Masker(
    vocab,
    options.max_predictions_per_seq,
    options.masked_lm_prob,
    options.do_whole_word_mask,
    options.random_seed,
  )


def make_estimator(job: Job):
  """The run's estimator."""
  options = job.options
  return runs.make_estimator(
    options,
    job.task,
    job.model,
    options.num_train_steps,
    options.eval_batch_size,
  )


def get_input_fn(job: Job, is_training: bool):
  """Reads the records to train on, or those to evaluate on."""
  options = job.options
  corpus = job.train if is_training else job.dev
  count = corpus.num_examples
  lengths = corpus.lengths
  if not is_training:
    count = min(count, options.max_eval_steps * options.eval_batch_size)
  if options.pack_sequences and not is_training:
    lengths = corpora.first_lengths(corpus.shards, count)
  step = checkpoints.current_step(options.output_dir)
  masker = job.masker
  if masker and not is_training:  # the same masks in all evaluations
    masker = dataclasses.replace(masker, random_seed=0)
  return corpora.corpus_input_fn_builder(
    corpus.shards,
    job.task.schema(is_training),
    is_training,
    drop_remainder=options.use_tpu,
    bounds=corpus.bounds,
    random_seed=options.random_seed,
    first_example=step * options.train_batch_size,
    num_examples=count,
    transform=masker,
    packer=runs.make_packer(options, lengths, count, is_training),
  )


def train(job: Job, estimator, evaluator) -> None:
  """Trains, starting with the first record that was not used before."""
  runs.train(
    job.options,
    estimator,
    get_input_fn(job, is_training=True),
    job.options.num_train_steps,
    job.train.num_examples,
    lambda checkpoint: evaluate(job, evaluator, checkpoint),
  )


@clock.part("evaluation")
def evaluate(job: Job, estimator, checkpoint: str | None) -> dict:
  """Scores of the first --max_eval_steps batches."""
  options = job.options
  limit = options.max_eval_steps * options.eval_batch_size
  count = min(job.dev.num_examples, limit)
  batches = estimators.predict(
    estimator, get_input_fn(job, is_training=False), count, checkpoint
  )
  names = ["masked_lm_loss", "masked_lm_right", "masked_lm_weight"]
  if job.task.note.next_sentence:
    names += ["next_sentence_loss", "next_sentence_right"]
  rows = list(streams.in_input_order(batches, names))
  arrays = {name: np.array([row[name] for row in rows]) for name in names}
  scores = compute_scores(arrays, options.eval_batch_size)
  scores["global_step"] = runs.used_step(options, job.model, checkpoint)
  return scores


if __name__ == "__main__":
  entry.run(main, Options)
