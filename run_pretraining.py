# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Pre-trains BERT: masked words and the next sentence.

In: records of `create_pretraining_data.py`, in any number of files. Out, in
`output_dir`: checkpoints, `bert_config.json`, `eval_results.txt` and `.json`,
and `*_files.json`, which keeps how many records each input file holds.
"""

from __future__ import annotations

from bert.training import common_flags  # isort: skip (quiets TensorFlow before it starts)

import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow.compat.v1 as tf
from absl import flags, logging

import modeling
import optimization
import tokenization
from bert.records import corpora, input_pipeline, record_files, streams
from bert.tasks import heads
from bert.tasks.heads import (  # noqa: F401 (the original's names)
  gather_indexes,
  get_masked_lm_output,
  get_next_sentence_output,
)
from bert.training import checkpoints, estimators, old_runs

FLAGS = flags.FLAGS

SCORES = (
  "loss",
  "masked_lm_loss",
  "masked_lm_accuracy",
  "perplexity",
  "next_sentence_loss",
  "next_sentence_accuracy",
)
SHOWN = (  # while training
  "masked_lm_loss",
  "masked_lm_accuracy",
  "next_sentence_loss",
  "next_sentence_accuracy",
)
# A chosen piece becomes [MASK] in 8 of 10 draws, and stays in one; the last
# makes it any piece.
MASKED, KEPT = 0.8, 0.9


# --------------------------------------------------------------- examples


@dataclasses.dataclass
class Corpus:
  """Record files, and what batching needs to know of them."""

  shards: Sequence[corpora.Shard]
  bounds: Sequence[int]  # lengths that batches are cut to; none: never cut

  @property
  def num_examples(self) -> int:
    return sum(shard.num_examples for shard in self.shards)


def read_corpus(
  name: str, flag: str, vocab_size: int, min_examples: int
) -> Corpus:
  """Finds, counts and checks the record files of a flag.

  Args:
    name: for the log, and for the file that keeps the counts.
    flag: its name, such as input_file.
    vocab_size: of the model.
    min_examples: of a bucket of lengths.

  Raises:
    ValueError: there are none, or they are damaged, or made for other flags.
  """
  found = tokenization.expand_globs(FLAGS[flag].value, f"--{flag}")
  shards = corpora.count_examples(
    list(dict.fromkeys(found)),  # globs may overlap
    os.path.join(common_flags.records_dir(), f"{name}_files.json"),
    FLAGS.skip_corrupted,
  )
  longest = FLAGS.max_seq_length
  lengths = corpora.sample_lengths(
    shards,
    record_files.pretraining_schema(longest, FLAGS.max_predictions_per_seq),
    vocab_size,
  )
  bounds = common_flags.length_buckets()
  if bounds == "auto":
    bounds = input_pipeline.bucket_bounds(lengths, longest, min_examples)
  corpus = Corpus(shards, bounds)
  described = input_pipeline.describe(lengths, longest, bounds)
  sampled = ""
  if len(lengths) < corpus.num_examples:
    sampled = f" {corpus.num_examples} examples; looked at"
  logging.info(f"{name}: {len(shards)} files,{sampled} {described}")
  return corpus


# --------------------------------------------------------------- features


@dataclasses.dataclass(frozen=True)
class Masker:
  """Draws new masks for records, masked or not, in the input pipeline.

  The rule is that of `create_pretraining_data.py`, with other random numbers.
  A record's mask follows from the seed and its number alone, and the shapes
  are static.
  """

  vocab: Mapping[str, int]  # token to id
  max_predictions_per_seq: int
  masked_lm_prob: float = 0.15
  do_whole_word_mask: bool = False
  random_seed: int = 0

  def __call__(self, number, example: Mapping) -> dict:
    """The example with another mask.

    Args:
      number: int64 scalar.
      example: {name: tensor} of one record.
    """
    seed = tf.stack([tf.cast(self.random_seed, tf.int64), number])
    ids = unmasked_ids(example)  # [S]
    draws = tf.random.stateless_uniform([4, *ids.shape], seed, alg="philox")
    special = [self.vocab["[CLS]"], self.vocab["[SEP]"]]
    can_be = tf.cast(example["input_mask"], tf.bool) & tf.reduce_all(
      tf.not_equal(ids[:, tf.newaxis], special), axis=1
    )
    length = tf.reduce_sum(example["input_mask"])
    count = tf.round(tf.cast(length, tf.float64) * self.masked_lm_prob)
    count = tf.clip_by_value(
      tf.cast(count, tf.int32), 1, self.max_predictions_per_seq
    )
    chosen = choose_words(draws[0], can_be, self._continues(ids), count)
    return {
      **example,
      "input_ids": tf.where(chosen, self._replaced(ids, draws[1:]), ids),
      **self._labels(ids, chosen),
    }

  def _continues(self, ids):
    """Which ids are to be masked together with the candidate before them."""
    if not self.do_whole_word_mask:
      return tf.zeros_like(ids, tf.bool)
    table = np.zeros(max(self.vocab.values()) + 1, bool)
    for token, index in self.vocab.items():
      table[index] = token.startswith("##")
    return tf.gather(tf.constant(table), ids)

  def _replaced(self, ids, draws):
    """What each position would hold if it were chosen, by draws [3, S]."""
    words = tf.constant(sorted(self.vocab.values()), tf.int32)
    place = tf.cast(draws[1] * len(self.vocab), tf.int32)
    random_ids = tf.gather(words, tf.minimum(place, len(self.vocab) - 1))
    mask_ids = tf.fill(tf.shape(ids), self.vocab["[MASK]"])
    kept_or_random = tf.where(draws[0] < KEPT, ids, random_ids)
    return tf.where(draws[0] < MASKED, mask_ids, kept_or_random)

  def _labels(self, ids, chosen):
    """masked_lm_* of the chosen positions, in order and padded with 0."""
    positions = tf.cast(tf.where(chosen)[:, 0], tf.int32)
    padding = [[0, self.max_predictions_per_seq - tf.size(positions)]]

    def padded(values):
      values = tf.pad(values, padding)
      return tf.ensure_shape(values, [self.max_predictions_per_seq])

    return {
      "masked_lm_positions": padded(positions),
      "masked_lm_ids": padded(tf.gather(ids, positions)),
      "masked_lm_weights": padded(tf.ones_like(positions, tf.float32)),
    }


def unmasked_ids(example: Mapping):
  """input_ids [S] with the true tokens put back where the weight is 1."""
  is_masked = example["masked_lm_weights"] > 0
  positions = tf.boolean_mask(example["masked_lm_positions"], is_masked)
  return tf.tensor_scatter_nd_update(
    example["input_ids"],
    positions[:, tf.newaxis],
    tf.boolean_mask(example["masked_lm_ids"], is_masked),
  )


def choose_words(order, can_be, continues, count):
  """Chooses words at random until `count` positions are chosen.

  Words are taken in a random order; one with more positions than are left to
  choose is passed over.

  Args:
    order: float32 [S], random; a word comes by that of its first position.
    can_be: bool [S], the candidates.
    continues: bool [S], candidates that belong to the candidate before.
    count: int32 scalar.

  Returns:
    bool [S].
  """
  number = tf.cumsum(tf.cast(can_be, tf.int32))  # of each candidate, from 1
  is_first = can_be & (~continues | tf.equal(number, 1))
  words = tf.cumsum(tf.cast(is_first, tf.int32)) - 1  # [S], each one's word
  length = order.shape[0]
  sizes = tf.math.unsorted_segment_sum(tf.cast(can_be, tf.int32), words, length)
  firsts = tf.where(is_first)[:, 0]  # of each word
  shuffled = tf.argsort(tf.gather(order, firsts))
  sizes = tf.gather(sizes, shuffled)

  def fitting(taken):
    left = count - tf.reduce_sum(sizes * tf.cast(taken, tf.int32))
    return ~taken & (sizes <= left), left

  def take(taken):  # words that fit, up to the first that no longer does
    fits, left = fitting(taken)
    so_far = tf.cumsum(sizes * tf.cast(fits, tf.int32))
    return [taken | (fits & (so_far <= left))]

  (taken,) = tf.while_loop(
    lambda taken: tf.reduce_any(fitting(taken)[0]),
    take,
    [tf.zeros_like(sizes, tf.bool)],
    return_same_structure=True,
  )
  chosen_words = tf.tensor_scatter_nd_update(
    tf.zeros([length], tf.bool), shuffled[:, tf.newaxis], taken
  )
  return can_be & tf.gather(chosen_words, tf.maximum(words, 0))


def input_fn_builder(
  input_files: Sequence[str],
  max_seq_length: int,
  max_predictions_per_seq: int,
  is_training: bool,
  num_cpu_threads: int = 4,
):
  """An input_fn over record files; evaluation reads them once, in order."""
  del num_cpu_threads  # TensorFlow finds out how many pay
  schema = record_files.pretraining_schema(
    max_seq_length, max_predictions_per_seq
  )
  return corpora.corpus_input_fn_builder(
    corpora.count_examples(input_files),
    schema,
    is_training,
    drop_remainder=is_training,
  )


# ------------------------------------------------------------------ model


def forward(
  bert_config: modeling.BertConfig,
  features: Mapping,
  is_training: bool,
  dropout_seed,
  use_one_hot_embeddings: bool,
  encoder_options: Mapping,
) -> estimators.Outputs:
  """Both losses of a batch, and how often the predictions are right.

  `predictions` has [B] float32 arrays, sums over an example's masked words:
  `masked_lm_loss` and `masked_lm_right`, each weighted, `masked_lm_weight`;
  and `next_sentence_loss`, `next_sentence_right`.
  """
  model = modeling.BertModel(
    bert_config,
    is_training,
    features["input_ids"],
    features["input_mask"],
    features["segment_ids"],
    use_one_hot_embeddings,
    dropout_seed=dropout_seed,
    **encoder_options,
  )
  logits = heads.masked_lm_logits(
    bert_config,
    model.get_sequence_output(),
    model.get_embedding_table(),
    features["masked_lm_positions"],
    encoder_options.get("compute_dtype", tf.float32),
    model.compiled,
    is_training,
  )
  weights = features["masked_lm_weights"]  # [B, P]
  labels = tf.reshape(features["masked_lm_ids"], [-1])
  losses = heads.single_label_loss(logits, labels)  # [B*P]
  right = tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), labels)

  def of_examples(values):
    values = tf.reshape(tf.cast(values, tf.float32), tf.shape(weights))
    return tf.reduce_sum(values * weights, axis=1)  # [B]

  _, next_losses, next_log_probs = heads.get_next_sentence_output(
    bert_config, model.get_pooled_output(), features["next_sentence_labels"]
  )
  next_right = tf.equal(
    tf.argmax(next_log_probs, axis=-1, output_type=tf.int32),
    tf.reshape(features["next_sentence_labels"], [-1]),
  )
  return _outputs(
    {
      "masked_lm_loss": of_examples(losses),
      "masked_lm_right": of_examples(right),
      "masked_lm_weight": tf.reduce_sum(weights, axis=1),
      "next_sentence_loss": next_losses,
      "next_sentence_right": tf.cast(next_right, tf.float32),
    },
    is_real=tf.cast(features["input_mask"][:, 0], tf.float32),
  )


def _outputs(each, is_real):
  """`Outputs` of what each example gives, [B]; padding is not real."""
  totals = {name: tf.reduce_sum(values) for name, values in each.items()}
  return estimators.Outputs(
    loss_sums=[totals["masked_lm_loss"], totals["next_sentence_loss"]],
    predictions=each,
    metric_fn=_metrics,
    metric_inputs=[*each.values(), is_real],
    shown=dict(
      zip(
        SHOWN,
        [
          (totals["masked_lm_loss"], 0),
          (totals["masked_lm_right"], 0),
          (totals["next_sentence_loss"], 1),
          (totals["next_sentence_right"], 1),
        ],
      )
    ),
  )


def loss_weights(features: Mapping) -> tuple:
  """What the two losses are divided by: masked words, and sequences."""
  words = tf.reduce_sum(features["masked_lm_weights"]) + heads.NO_WEIGHT
  return (words, *estimators.count_examples(features))


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
  """A TPUEstimator model_fn of pre-training.

  Args:
    bert_config: modeling.BertConfig.
    init_checkpoint: prefix of the weights to start from, or None.
    learning_rate: the highest rate.
    num_train_steps: None without training.
    num_warmup_steps: None without training.
    use_tpu: whether it runs on a TPU.
    use_one_hot_embeddings: look words up by a product.
    random_seed: of dropout.
    optimizer_options: how a training step is taken; None: as the original did.
    encoder_options: keywords of `modeling.BertModel`, such as compute_dtype.

  Returns:
    `model_fn(features, labels, mode, params, config)`.
  """

  def task(features, is_training, dropout_seed, compiled):
    return forward(
      bert_config,
      features,
      is_training,
      dropout_seed,
      use_one_hot_embeddings,
      {**(encoder_options or {}), "compiled": compiled},
    )

  return estimators.make_model_fn(
    task,
    init_checkpoint,
    learning_rate,
    num_train_steps,
    num_warmup_steps,
    use_tpu,
    random_seed,
    loss_weights,
    optimizer_options,
  )


def _metrics(
  masked_lm_loss,
  masked_lm_right,
  masked_lm_weight,
  next_sentence_loss,
  next_sentence_right,
  is_real,
):
  """The contract's metrics of a TPUEstimatorSpec, over real examples."""

  def of_words(values):
    return tf.metrics.mean(
      tf.math.divide_no_nan(values, masked_lm_weight), masked_lm_weight
    )

  return {
    "masked_lm_loss": of_words(masked_lm_loss),
    "masked_lm_accuracy": of_words(masked_lm_right),
    "next_sentence_loss": tf.metrics.mean(next_sentence_loss, is_real),
    "next_sentence_accuracy": tf.metrics.mean(next_sentence_right, is_real),
  }


# ----------------------------------------------------------------- scores


def compute_scores(arrays: Mapping, batch_size: int) -> dict:
  """The scores of predicted examples.

  Args:
    arrays: {name: float [N]} as `forward` predicts, in input order.
    batch_size: `loss` is the mean over batches of this size, as the original
      gave it; the others are means over all words or examples.

  Returns:
    {name: float} for each of SCORES.
  """
  arrays = {name: np.asarray(a, np.float64) for name, a in arrays.items()}

  def loss(rows):
    words = np.sum(arrays["masked_lm_weight"][rows]) + heads.NO_WEIGHT
    return np.sum(arrays["masked_lm_loss"][rows]) / words + np.mean(
      arrays["next_sentence_loss"][rows]
    )

  starts = range(0, len(arrays["masked_lm_loss"]), batch_size)
  words = max(np.sum(arrays["masked_lm_weight"]), heads.NO_WEIGHT)
  masked_lm_loss = np.sum(arrays["masked_lm_loss"]) / words
  with np.errstate(over="ignore"):
    perplexity = np.exp(masked_lm_loss)
  scores = {
    "loss": np.mean([loss(slice(i, i + batch_size)) for i in starts]),
    "masked_lm_loss": masked_lm_loss,
    "masked_lm_accuracy": np.sum(arrays["masked_lm_right"]) / words,
    "perplexity": perplexity,
    "next_sentence_loss": np.mean(arrays["next_sentence_loss"]),
    "next_sentence_accuracy": np.mean(arrays["next_sentence_right"]),
  }
  return {name: float(value) for name, value in scores.items()}


# ------------------------------------------------------------------- main


@dataclasses.dataclass
class Job:
  """One run: the model and the data."""

  config: modeling.BertConfig
  init_checkpoint: str | None
  masker: Masker | None
  train: Corpus | None  # without --do_train
  dev: Corpus | None  # if not needed


def define_flags() -> None:
  """This script's flags, beside those of common_flags."""
  common_flags.define_model_flags(has_text=False)
  common_flags.define_action_flags(has_predict=False)
  common_flags.define_training_flags(has_epochs=False, has_predict=False)
  common_flags.define_speed_flags()
  common_flags.define_device_flags()
  common_flags.define_evaluation_flags("masked_lm_accuracy or loss")
  flags.adopt_module_key_flags(common_flags)
  _define_data_flags()
  _define_mask_flags()
  flags.DEFINE_integer(
    "num_train_steps", 100000, "Training steps.", lower_bound=1
  )
  flags.DEFINE_integer(
    "num_warmup_steps",
    10000,
    "The first of them, over which the rate rises from 0; then it falls to 0.",
    lower_bound=0,
  )
  flags.DEFINE_integer(
    "max_eval_steps", 100, "Evaluate so many batches at most.", lower_bound=1
  )
  flags.mark_flags_as_required(["input_file", "bert_config_file", "output_dir"])


def _define_data_flags():
  flags.DEFINE_string(
    "input_file",
    None,
    "Records to train on: files or globs, comma-separated.",
  )
  flags.DEFINE_string(
    "eval_input_file",
    None,
    "Records to evaluate on, of held-out text; otherwise those of"
    " --input_file.",
  )
  flags.DEFINE_integer(
    "max_predictions_per_seq",
    20,
    "Masked words a sequence at most, as the records were made.",
    lower_bound=1,
  )
  flags.DEFINE_bool(
    "skip_corrupted",
    False,
    "Leave out what follows on the first damaged record of a file, and tell"
    " how much that is.",
  )


_MASK_FLAGS = ("vocab_file", "masked_lm_prob", "do_whole_word_mask")


def _define_mask_flags():
  flags.DEFINE_bool(
    "mask_dynamically",
    False,
    "Draw a new mask for each example in each pass over the records, which may"
    " be masked or not. Needs --vocab_file.",
  )
  flags.DEFINE_string(
    "vocab_file",
    None,
    "--mask_dynamically: the vocabulary that the records were made with.",
  )
  flags.DEFINE_float(
    "masked_lm_prob",
    0.15,
    "--mask_dynamically: share of the tokens that are masked.",
    lower_bound=0.0,
    upper_bound=1.0,
  )
  flags.DEFINE_bool(
    "do_whole_word_mask",
    False,
    "--mask_dynamically: mask all pieces of a word, or none.",
  )


def main(_):
  job = prepare()
  old_runs.log_devices()
  evaluator = make_estimator(job)
  if FLAGS.do_train:
    train(job, make_estimator(job), evaluator)
  if FLAGS.do_eval and common_flags.is_chief():
    best = old_runs.best_checkpoint()
    scores = evaluate(job, evaluator, best)
    logging.info("evaluation:")
    estimators.write_eval_results(FLAGS.output_dir, scores, {})


def prepare() -> Job:
  """Checks the flags and the records, so that what is wrong shows early."""
  old_runs.check_flags(
    ("do_train", "do_eval"), inputs=("input_file", "eval_input_file")
  )
  old_runs.check_evaluation(SCORES)
  config = common_flags.load_config()
  init_checkpoint = old_runs.find_init_checkpoint(config)
  if FLAGS.do_train and FLAGS.num_warmup_steps >= FLAGS.num_train_steps:
    logging.warning(
      f"--num_warmup_steps={FLAGS.num_warmup_steps} of --num_train_steps="
      f"{FLAGS.num_train_steps}: the rate will not reach --learning_rate"
    )
  masker = make_masker(config)
  tf.io.gfile.makedirs(FLAGS.output_dir)
  train_corpus, dev = None, None
  if FLAGS.do_train:
    # While training, a batch should not be longer for want of its like.
    fewest = 4 * FLAGS.train_batch_size
    train_corpus = read_corpus("train", "input_file", config.vocab_size, fewest)
  if (FLAGS.do_eval or FLAGS.eval_steps) and common_flags.is_chief():
    flag = "eval_input_file" if FLAGS.eval_input_file else "input_file"
    dev = read_corpus("eval", flag, config.vocab_size, 1)
    if not FLAGS.eval_input_file:
      logging.warning(
        "evaluation runs on training records (--input_file): its scores say"
        " little of other text; give held-out records as --eval_input_file"
      )
  return Job(config, init_checkpoint, masker, train_corpus, dev)


def make_masker(config: modeling.BertConfig) -> Masker | None:
  """The masker of the flags; None: the records' own masks stay.

  Raises:
    ValueError: the flags do not go together, or the vocabulary does not fit.
  """
  if not FLAGS.mask_dynamically:
    for name in _MASK_FLAGS[1:]:
      if FLAGS[name].present:
        raise ValueError(
          f"--{name} needs --mask_dynamically: without it the records keep the"
          " masks that they were made with"
        )
    return None
  if not FLAGS.vocab_file:
    raise ValueError(
      "--mask_dynamically needs --vocab_file, the vocabulary that the records"
      " were made with"
    )
  vocab = tokenization.load_vocab(FLAGS.vocab_file)
  missing = tokenization.missing_special_tokens(vocab)
  if missing:
    raise ValueError(
      f"--mask_dynamically: {FLAGS.vocab_file} lacks {', '.join(missing)}"
    )
  if FLAGS.do_whole_word_mask and not any(t.startswith("##") for t in vocab):
    raise ValueError(
      f"--do_whole_word_mask: {FLAGS.vocab_file} has no pieces that begin with"
      " ##, which tell the words apart"
    )
  common_flags.check_vocab_size(vocab, config)
  return Masker(
    vocab,
    FLAGS.max_predictions_per_seq,
    FLAGS.masked_lm_prob,
    FLAGS.do_whole_word_mask,
    FLAGS.random_seed,
  )


def make_estimator(job: Job):
  """The estimator of the flags."""
  return old_runs.make_estimator(
    model_fn_builder,
    FLAGS.num_train_steps,
    FLAGS.eval_batch_size,
    FLAGS.num_warmup_steps,
    bert_config=job.config,
    init_checkpoint=job.init_checkpoint,
  )


def get_input_fn(job: Job, is_training: bool):
  """Reads the records of --input_file, or those to evaluate on."""
  corpus = job.train if is_training else job.dev
  used = checkpoints.current_step(FLAGS.output_dir) * FLAGS.train_batch_size
  masker = job.masker
  if masker and not is_training:  # the same for whatever is compared
    masker = dataclasses.replace(masker, random_seed=0)
  return corpora.corpus_input_fn_builder(
    corpus.shards,
    record_files.pretraining_schema(
      FLAGS.max_seq_length, FLAGS.max_predictions_per_seq
    ),
    is_training,
    drop_remainder=FLAGS.use_tpu,
    bounds=corpus.bounds,
    random_seed=FLAGS.random_seed,
    first_example=used,
    num_examples=FLAGS.max_eval_steps * FLAGS.eval_batch_size,
    transform=masker,
  )


def train(job: Job, estimator, evaluator) -> None:
  """Trains, from the record on that comes next."""
  old_runs.train(
    estimator,
    get_input_fn(job, is_training=True),
    FLAGS.num_train_steps,
    job.train.num_examples,
    lambda checkpoint: evaluate(job, evaluator, checkpoint),
  )


def evaluate(job: Job, estimator, checkpoint: str | None) -> dict:
  """Scores of the first --max_eval_steps batches."""
  limit = FLAGS.max_eval_steps * FLAGS.eval_batch_size
  count = min(job.dev.num_examples, limit)
  batches = estimators.predict(
    estimator, get_input_fn(job, is_training=False), count, checkpoint
  )
  names = (
    "masked_lm_loss",
    "masked_lm_right",
    "masked_lm_weight",
    "next_sentence_loss",
    "next_sentence_right",
  )
  rows = list(streams.in_input_order(batches, names))
  arrays = {name: np.array([row[name] for row in rows]) for name in names}
  scores = compute_scores(arrays, FLAGS.eval_batch_size)
  used = old_runs.used_checkpoint(checkpoint, job.init_checkpoint)
  scores["global_step"] = checkpoints.current_step(used)
  return scores


if __name__ == "__main__":
  define_flags()
  common_flags.run(main)
