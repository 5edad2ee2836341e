# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Fine-tunes BERT to tag words, such as named entities, scores and predicts.

In: CoNLL files, a word a line, the word first and its tag last, a blank line
behind each sentence; for prediction also texts, one a line or as JSON lines.
Out, in `output_dir`: checkpoints, `task.json`, `eval_results.txt` and `.json`,
and `predictions.txt` in CoNLL's columns, or `predictions.jsonl` for texts.
"""

from __future__ import annotations

from bert.training import common_flags  # isort: skip (quiets TensorFlow before it starts)

import collections
import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence

import tensorflow.compat.v1 as tf
from absl import flags, logging

import modeling
import optimization
import tokenization
from bert.records import files, packing, record_files, streams, tables
from bert.tasks import heads, metrics
from bert.training import checkpoints, estimators, old_runs

FLAGS = flags.FLAGS

_DOCUMENT_START = "-DOCSTART-"
# A recurrent layer drawn at random does not learn within some epochs at the
# encoder's rate, nor with each seed at 1e-3.
_BIRNN_RATE = 3e-3
_BLANK = " \t\r"  # other white space is a word, which needs a tag like others


# --------------------------------------------------------------- examples


@dataclasses.dataclass
class Sentence:
  """Words, their tags where they are known, and the text where there is one."""

  words: Sequence[str]
  tags: Sequence[str] | None = None
  line: int = 0  # of the file, from 1, where it begins
  text: str | None = None
  spans: Sequence[tuple[int, int]] = ()  # of the words in the text


def read_conll(path: str, has_tags: bool = True) -> list[Sentence]:
  """Reads sentences of one word a line.

  Fields are parted by tabs if the first line has one, or else by spaces. Lines
  that begin with -DOCSTART- count as blank.

  Args:
    path: of the file.
    has_tags: whether tags have to be there; otherwise, one column will do.

  Raises:
    ValueError: a line has no word, no tag, or another number of fields than the
      lines before, or there is no word at all; file and line are named.
  """
  sentences, rows, columns = [], [], None
  text = tables.read_text(path)
  separator = None
  for number, line in enumerate([*text.split("\n"), ""], 1):
    line = line.rstrip("\r")
    if line.split(" ")[0].split("\t")[0] == _DOCUMENT_START:
      line = ""
    if line.strip(_BLANK) and separator is None:
      separator = "\t" if "\t" in line else " "
    fields = _fields(line, separator)
    if fields:
      columns = columns or (number, len(fields))
      _check_fields(f"{path}:{number}", fields, columns, has_tags)
      rows.append(fields)
    elif rows:
      sentences.append(_sentence(rows, number - len(rows)))
      rows = []
  if not sentences:
    raise ValueError(f"{path} holds no words")
  return sentences


def _fields(line, separator):
  """The fields of a line, none if it is blank."""
  if not line.strip(_BLANK):
    return []
  if separator == "\t":
    return line.split("\t")
  return [field for field in line.split(" ") if field]


def _check_fields(where, fields, columns, has_tags):
  first_line, count = columns
  hint = "" if has_tags else " (of texts: give --predict_format=text)"
  if len(fields) == 1 and (has_tags or count > 1):
    raise ValueError(
      f"{where}: no tag: a line is a word, a tab or space, and its tag; found"
      f" {fields[0]!r}{hint}"
    )
  if len(fields) != count:
    raise ValueError(
      f"{where}: {len(fields)} fields, but line {first_line} has {count}: all"
      f" lines need as many{hint}"
    )
  for name, field in (("word", fields[0]), ("tag", fields[-1])):
    if not field.strip(_BLANK):
      raise ValueError(f"{where}: the {name} is empty")


def _sentence(rows, line):
  words = [fields[0] for fields in rows]
  if len(rows[0]) == 1:
    return Sentence(words, line=line)
  return Sentence(words, [fields[-1].strip(_BLANK) for fields in rows], line)


def read_texts(path: str, tokenizer) -> list[Sentence]:
  """Reads texts, one a line, and finds their words; blank lines have none."""
  lines = tables.read_text(path).removesuffix("\n").split("\n")
  return [
    _text_sentence(line.rstrip("\r"), number, tokenizer)
    for number, line in enumerate(lines, 1)
  ]


def read_json_lines(path: str, tokenizer) -> list[Sentence]:
  """Reads JSON objects, one a line, with `text` or a list `tokens`.

  Raises:
    ValueError: an object has neither; file and line are named.
  """
  sentences = []
  for number, row in tables.Table(path, False, is_json=True):
    text, tokens = row.get("text"), row.get("tokens")
    if isinstance(text, str) and tokens is None:
      sentences.append(_text_sentence(text, number, tokenizer))
    elif (
      isinstance(tokens, list)
      and all(isinstance(token, str) for token in tokens)
      and text is None
    ):
      sentences.append(Sentence(tokens, line=number))
    else:
      raise ValueError(
        f'{path}:{number}: give {{"text": "..."}} or {{"tokens": ["...", ...]}}'
      )
  return sentences


def _text_sentence(text, line, tokenizer):
  spans = packing.word_spans(text, tokenizer)
  words = [text[start:end] for start, end in spans]
  return Sentence(words, line=line, text=text, spans=spans)


def tags_of(sentences: Sequence[Sentence]) -> list[str]:
  """The different tags of sentences: O first, the others sorted.

  Raises:
    ValueError: there are fewer than two.
  """
  found = {tag for sentence in sentences for tag in sentence.tags}
  if len(found) < 2:
    raise ValueError(
      f"the training data have one tag only, {', '.join(found)}; at least two"
      " are needed"
    )
  return sorted(found, key=lambda tag: (tag != "O", tag))


def check_tags(
  path: str, sentences: Sequence[Sentence], note: TaskNote, refuse: bool
) -> None:
  """Tells of tags that training has not seen, and of entities without begin.

  Args:
    path: of the sentences.
    sentences: with or without tags.
    note: of the model.
    refuse: whether an unseen tag is an error.

  Raises:
    ValueError: there is one, and it is to be refused.
  """
  tagged = [sentence for sentence in sentences if sentence.tags is not None]
  new = [
    (tag, number)
    for sentence in tagged
    for number, tag in enumerate(sentence.tags, sentence.line)
    if tag not in note.labels
  ]
  if new:
    tag, number = new[0]
    count = len({tag for tag, _ in new})
    more = f" ({count} such tags in all)" if count > 1 else ""
    message = (
      f"{path}:{number}: tag {tag!r} is not one of {', '.join(note.labels)},"
      f" which the model knows{more}"
    )
    if refuse:
      raise ValueError(message)
    logging.warning(f"{message}; {len(new)} words of such tags count as wrong")
  repaired = metrics.count_repaired([s.tags for s in tagged], note.tag_scheme)
  if repaired:
    logging.warning(
      f"{path}: {repaired} entities begin with I- or E- instead of B-; they"
      " are read as entities all the same, as CoNLL does"
    )


# --------------------------------------------------------------- features


@dataclasses.dataclass
class Windows:
  """The records of sentences, and which words each of them tags."""

  records: record_files.RecordFile
  # Of each record: its sentence, the first word of the row that it tags, count.
  owned: Sequence[tuple[int, int, int]]
  num_scored: int  # words that count in the loss


def convert_sentence(
  sentence: Sentence,
  labels: Mapping[str, int],
  max_seq_length: int,
  tokenizer,
) -> Iterator[tuple[dict, packing.WordWindow]]:
  """Makes the records of a sentence.

  Args:
    sentence: its words; tags may be missing or unknown, and then have id 0 and
      count in no loss.
    labels: {tag: id}.
    max_seq_length: padded length.
    tokenizer: a FullTokenizer.

  Yields:
    Rows of `tagging_schema`, one a window, each with its window.
  """
  pieces = packing.word_pieces(sentence.words, max_seq_length, tokenizer)
  tags = sentence.tags or [None] * len(pieces)
  for window in packing.word_windows(pieces, max_seq_length):
    words = range(window.start, window.end)
    row = packing.pack_words(pieces, window, max_seq_length, tokenizer)
    row["tag_ids"] = packing.padded(
      [labels.get(tags[i], 0) for i in words], max_seq_length
    )
    row["is_scored"] = packing.padded(
      [
        int(window.own_start <= i < window.own_end and tags[i] in labels)
        for i in words
      ],
      max_seq_length,
    )
    yield row, window


def write_windows(
  sentences: Sequence[Sentence],
  labels: Sequence[str],
  max_seq_length: int,
  tokenizer,
  output_file: str,
) -> Windows:
  """Writes the records of sentences to a TFRecord file.

  Args:
    sentences: in the order of the records.
    labels: tags in the order of their ids.
    max_seq_length: padded length.
    tokenizer: a FullTokenizer.
    output_file: path of the file.
  """
  ids = {tag: i for i, tag in enumerate(labels)}
  schema = record_files.tagging_schema(max_seq_length)
  owned, num_scored = [], 0
  with record_files.RecordWriter(output_file, schema) as writer:
    for place, sentence in enumerate(sentences):
      for row, window in convert_sentence(
        sentence, ids, max_seq_length, tokenizer
      ):
        writer.write(row)
        first = window.own_start - window.start
        owned.append((place, first, window.own_end - window.own_start))
        num_scored += sum(row["is_scored"])
  return Windows(writer.records, owned, num_scored)


# ------------------------------------------------------------------ model


def model_fn_builder(
  bert_config: modeling.BertConfig,
  note: Mapping,
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
  """The tagger's model_fn for TPUEstimator.

  Predictions are `tag_ids` [B, W], and `losses` [B] over the words that count.

  Args:
    bert_config: sizes of the encoder.
    note: the fields of TaskNote that `heads.tagger_scores` takes.
    init_checkpoint: as the six below, of `estimators.make_model_fn`.
    learning_rate: the highest.
    num_train_steps: None without training.
    num_warmup_steps: None without training.
    use_tpu: whether it is for a TPU.
    use_one_hot_embeddings: look words up by a product, for TPU.
    random_seed: of dropout.
    optimizer_options: how a step is taken.
    encoder_options: of `modeling.BertModel`: precision, recomputation.
  """

  def forward(features, is_training, dropout_seed, compiled):
    logits, transitions = heads.tagger_scores(
      bert_config,
      features,
      note,
      is_training,
      dropout_seed,
      use_one_hot_embeddings=use_one_hot_embeddings,
      **(encoder_options or {}),
      compiled=compiled,
    )
    return _outputs(features, logits, transitions)

  return estimators.make_model_fn(
    forward,
    init_checkpoint,
    learning_rate,
    num_train_steps,
    num_warmup_steps,
    use_tpu,
    random_seed,
    loss_weights=count_words,
    options=optimizer_options,
  )


def _outputs(features, logits, transitions):
  is_word = features["word_positions"] > 0
  losses = heads.tag_losses(
    logits, transitions, is_word, features["tag_ids"], features["is_scored"]
  )
  return estimators.Outputs(
    loss_sums=[tf.reduce_sum(losses)],
    predictions={
      "tag_ids": heads.decode_tags(logits, transitions, is_word),
      "losses": losses,
    },
    metric_fn=_mean_loss,
    metric_inputs=[losses, features["is_scored"]],
  )


def count_words(features: Mapping) -> tuple:
  """The loss weights of a mean over words: how many count."""
  count = tf.reduce_sum(tf.cast(features["is_scored"], tf.float32))
  return (tf.maximum(count, 1.0),)


def _mean_loss(losses, is_scored):
  count = tf.reduce_sum(tf.cast(is_scored, tf.float32), axis=1)
  mean = losses / tf.maximum(count, 1.0)
  return {"eval_loss": tf.metrics.mean(mean, count)}


# ----------------------------------------------------------------- scores


def compute_scores(
  sentences: Sequence[Sentence],
  predictions: Sequence[Sequence[str]],
  scheme: str,
) -> tuple[dict, dict]:
  """Scores of the tags and, if there are any, of the entities.

  Args:
    sentences: with their tags.
    predictions: the predicted tags of each.
    scheme: of metrics.TAG_SCHEMES.

  Returns:
    {name: float}, and what eval_results.json holds besides.
  """
  labels = [sentence.tags for sentence in sentences]
  scores = metrics.token_scores(labels, predictions, scheme)
  true, found = (
    [tag for tags in rows for tag in tags] for rows in (labels, predictions)
  )
  names = sorted({*true, *found})
  places = {tag: i for i, tag in enumerate(names)}
  report = metrics.classification_report(
    [places[tag] for tag in true], [places[tag] for tag in found], names
  )
  if scheme != "none":
    of_entities, entities = metrics.entity_scores(labels, predictions, scheme)
    scores.update(of_entities)
    report.update(entities)
  return {f"eval_{name}": value for name, value in scores.items()}, report


def score_names(scheme: str) -> list[str]:
  """The scores of a scheme, as --keep_best takes them."""
  if scheme == "none":
    return ["token_accuracy", "token_macro_f1", "loss"]
  kinds = ("precision", "recall", "f1")
  tokens = [f"token_{kind}" for kind in ("accuracy", *kinds)]
  return [*kinds, *tokens, "loss"]


def conll_lines(
  sentences: Sequence[Sentence], predictions: Sequence[Sequence[str]]
) -> Iterator[str]:
  """The lines of predictions.txt: word, true tag if it is known, predicted.

  They are parted by spaces, or by tabs where words have spaces.
  """
  has_spaces = any(" " in word for s in sentences for word in s.words)
  separator = "\t" if has_spaces else " "
  for sentence, predicted in zip(sentences, predictions):
    columns = [sentence.words, predicted]
    if sentence.tags is not None:
      columns.insert(1, sentence.tags)
    yield from map(separator.join, zip(*columns))
    yield ""


def json_lines(
  sentences: Sequence[Sentence],
  predictions: Sequence[Sequence[str]],
  scheme: str,
) -> Iterator[str]:
  """The lines of predictions.jsonl: words, tags, `metrics.entity_fields`."""
  for sentence, tags in zip(sentences, predictions):
    line = {"tokens": list(sentence.words), "tags": list(tags)}
    if sentence.text is not None:
      line = {"text": sentence.text, **line, "spans": sentence.spans}
    if scheme != "none":
      line["entities"] = metrics.entity_fields(
        tags, sentence.text, sentence.spans
      )
    yield json.dumps(line, ensure_ascii=False)


# ------------------------------------------------------------------- main


@dataclasses.dataclass
class TaskNote:
  """What prediction needs to know of a trained model: `task.json`."""

  task: str  # tagger
  labels: Sequence[str]  # the tags in the order of their ids
  tag_scheme: str  # of metrics.TAG_SCHEMES
  use_crf: bool
  birnn_cell: str | None  # lstm, gru, or None without a recurrent layer
  birnn_size: int
  mix_layers: Sequence[int]  # none: the last layer alone
  do_lower_case: bool
  max_seq_length: int


@dataclasses.dataclass
class Job:
  """One run: the model and the data."""

  config: modeling.BertConfig
  tokenizer: tokenization.FullTokenizer
  init_checkpoint: str | None
  note: TaskNote
  train: Sequence[Sentence]  # empty without --do_train
  dev: Mapping[str, Sequence[Sentence]]  # {suffix of the file: sentences}
  test: Mapping[str, Sequence[Sentence]]
  inputs: dict = dataclasses.field(default_factory=dict)  # made once each
  num_train_steps: int = 0


def define_flags() -> None:
  """This script's flags, beside those of common_flags."""
  common_flags.define_model_flags()
  common_flags.define_action_flags()
  common_flags.define_training_flags()
  common_flags.define_speed_flags()
  common_flags.define_device_flags()
  common_flags.define_evaluation_flags("eval_f1 or eval_token_accuracy")
  flags.adopt_module_key_flags(common_flags)
  conll = "a word a line, its tag last, a blank line behind each sentence"
  flags.DEFINE_string("train_file", None, f"To train on: {conll}.")
  flags.DEFINE_list(
    "eval_file", [], "To evaluate on, as --train_file: one file or several."
  )
  flags.DEFINE_list(
    "predict_file",
    [],
    "To tag, one file or several: as --train_file, with tags or without; or"
    " texts, by --predict_format.",
  )
  flags.DEFINE_enum(
    "predict_format",
    "auto",
    ["auto", "conll", "text", "jsonl"],
    "Of --predict_file: text is a text a line, jsonl an object a line with"
    " text or tokens; auto is jsonl for files named so, or else conll.",
  )
  flags.DEFINE_enum(
    "tag_scheme",
    "auto",
    ["auto", *metrics.TAG_SCHEMES],
    "How the tags mark entities; none: they mark none, as parts of speech.",
  )
  flags.DEFINE_bool(
    "refuse_new_tags",
    False,
    "Refuse files with tags that training has not seen, instead of a warning.",
  )
  _define_head_flags()
  flags.mark_flags_as_required(["vocab_file", "bert_config_file", "output_dir"])


def _define_head_flags():
  """What stands on the encoder."""
  flags.DEFINE_bool(
    "use_crf",
    False,
    "Score whole sequences of tags with a linear-chain CRF, instead of each"
    " word's for itself.",
  )
  flags.DEFINE_bool(
    "use_birnn",
    False,
    "Put a recurrent layer in both directions below. --head_learning_rate is"
    f" then {_BIRNN_RATE} (or --learning_rate, if that is higher), if it is not"
    " given.",
  )
  flags.DEFINE_enum(
    "birnn_cell", "lstm", list(heads.RNN_CELLS), "Of --use_birnn."
  )
  flags.DEFINE_integer(
    "birnn_size", 128, "Units a direction of --use_birnn.", lower_bound=1
  )
  flags.DEFINE_list(
    "mix_layers",
    [],
    "Tag by a learned mean of these encoder layers, such as -1,-2,-3,-4 (-1 is"
    " the last), instead of the last.",
  )


def main(_):
  job = prepare()
  old_runs.log_devices()
  evaluator = make_estimator(job, FLAGS.eval_batch_size)
  if FLAGS.do_train:
    train(job, make_estimator(job, FLAGS.predict_batch_size), evaluator)
  if not common_flags.is_chief():
    return
  best = old_runs.best_checkpoint()
  if FLAGS.do_eval:
    scores, report = evaluate(job, evaluator, best)
    logging.info("evaluation:")
    estimators.write_eval_results(FLAGS.output_dir, scores, report)
  if FLAGS.do_predict:
    predict(job, make_estimator(job, FLAGS.predict_batch_size), best)


def prepare() -> Job:
  """Checks the flags and reads all data, so that what is wrong shows early."""
  _check_flags()
  config, tokenizer = common_flags.load_model_files()
  init_checkpoint = old_runs.find_init_checkpoint(config)
  kept = old_runs.load_note(TaskNote, init_checkpoint)
  sentences = read_conll(FLAGS.train_file) if FLAGS.do_train else []
  note = make_note(kept, sentences, config)
  old_runs.warn_of_other_labels(TaskNote, init_checkpoint, note.labels)
  needs_dev = FLAGS.do_eval or (FLAGS.do_train and FLAGS.eval_steps)
  dev, test = {}, {}
  if needs_dev:
    dev = _read_sets(FLAGS.eval_file, read_conll)
  if FLAGS.do_predict:
    test = _read_sets(
      FLAGS.predict_file, lambda path: _read_to_predict(path, tokenizer)
    )
  _check_evaluation_flags(dev or _suffixes(FLAGS.eval_file), note)
  if FLAGS.do_train:
    check_tags(FLAGS.train_file, sentences, note, False)
  for paths, sets in ((FLAGS.eval_file, dev), (FLAGS.predict_file, test)):
    for path, found in zip(paths, sets.values()):
      check_tags(path, found, note, FLAGS.refuse_new_tags)
  tf.io.gfile.makedirs(FLAGS.output_dir)
  job = Job(config, tokenizer, init_checkpoint, note, sentences, dev, test)
  if FLAGS.do_train:
    plan_training(job)
  return job


def _check_flags():
  old_runs.check_flags(("do_train", "do_eval", "do_predict"))
  for flag, file in (
    ("do_train", "train_file"),
    ("do_eval", "eval_file"),
    ("do_predict", "predict_file"),
    ("eval_steps", "eval_file"),
  ):
    if FLAGS[flag].value and not FLAGS[file].value:
      raise ValueError(f"--{flag} needs --{file}")
  for flag in ("birnn_cell", "birnn_size"):
    if FLAGS[flag].present and not FLAGS.use_birnn:
      raise ValueError(f"--{flag} needs --use_birnn")
  if FLAGS.do_train and FLAGS.use_birnn and FLAGS.head_learning_rate is None:
    FLAGS.head_learning_rate = max(_BIRNN_RATE, FLAGS.learning_rate)
    logging.info(
      f"--use_birnn: --head_learning_rate={FLAGS.head_learning_rate}, for none"
      " is given"
    )


def _check_evaluation_flags(suffixes, note):
  old_runs.check_evaluation(
    [
      f"eval{suffix}_{name}"
      for suffix in suffixes
      for name in score_names(note.tag_scheme)
    ]
  )


def _suffixes(paths):
  """What tells files apart: nothing if there is one, or else _name each.

  Raises:
    ValueError: two files have one name, and so have their folders.
  """
  if len(paths) <= 1:
    return [""]
  parts = [os.path.splitext(path)[0].split("/") for path in paths]
  for count in (1, 2):
    names = ["_" + "_".join(part[-count:]) for part in parts]
    if len(set(names)) == len(names):
      return names
  raise ValueError(
    f"{','.join(paths)}: files need names of their own, or folders with such"
  )


def _read_sets(paths, read):
  """{suffix: sentences} of files."""
  return {suffix: read(path) for suffix, path in zip(_suffixes(paths), paths)}


def _predict_format(path):
  if FLAGS.predict_format != "auto":
    return FLAGS.predict_format
  return "jsonl" if path.endswith((".jsonl", ".json")) else "conll"


def _read_to_predict(path, tokenizer):
  kind = _predict_format(path)
  if kind == "conll":
    return read_conll(path, has_tags=False)
  read = {"text": read_texts, "jsonl": read_json_lines}[kind]
  return read(path, tokenizer)


def make_note(
  kept: TaskNote | None,
  sentences: Sequence[Sentence],
  config: modeling.BertConfig,
) -> TaskNote:
  """What is to be known of the model: what was kept, or else the new facts.

  Raises:
    ValueError: the trained model has other tags, another head or case, or
      there is no model to tag with.
  """
  if not sentences and not kept:
    raise ValueError(
      f"there is no task.json in {FLAGS.output_dir} or beside the"
      " --init_checkpoint, which tells the tags: train first (--do_train)"
    )
  labels = tags_of(sentences) if sentences else kept.labels
  scheme = FLAGS.tag_scheme
  if scheme == "auto":
    scheme = metrics.tag_scheme(labels) if sentences else kept.tag_scheme
  note = TaskNote(
    task="tagger",
    labels=list(labels),
    tag_scheme=scheme,
    use_crf=FLAGS.use_crf,
    birnn_cell=FLAGS.birnn_cell if FLAGS.use_birnn else None,
    birnn_size=FLAGS.birnn_size,
    mix_layers=_layers_to_mix(config.num_hidden_layers),
    do_lower_case=FLAGS.do_lower_case,
    max_seq_length=FLAGS.max_seq_length,
  )
  if not kept:
    return note
  compared = ["labels", "do_lower_case"]
  of_head = ["use_crf", "birnn_cell", "birnn_size", "mix_layers"]
  if FLAGS.do_train or any(
    FLAGS[name].present for name in ("use_birnn", *of_head)
  ):
    compared += of_head
  old_runs.compare_notes(kept, note, compared)
  return dataclasses.replace(
    kept, tag_scheme=scheme, max_seq_length=FLAGS.max_seq_length
  )


def _layers_to_mix(num_layers):
  """--mix_layers as numbers.

  Raises:
    ValueError: they are no layers of the encoder, or one comes twice.
  """
  try:
    indexes = [int(text) for text in FLAGS.mix_layers]
    places = [range(num_layers)[i] for i in indexes]
  except (ValueError, IndexError):
    places = []
  if len(set(places)) < len(FLAGS.mix_layers):
    raise ValueError(
      f"--mix_layers={','.join(FLAGS.mix_layers)}: give different layers from"
      f" -1 (the last) to {-num_layers}"
    )
  return [place - num_layers for place in places]


def make_estimator(job: Job, predict_batch_size: int):
  """The estimator of the flags, predicting so many examples at a time."""
  return old_runs.make_estimator(
    model_fn_builder,
    job.num_train_steps,
    predict_batch_size,
    bert_config=job.config,
    init_checkpoint=job.init_checkpoint,
    note=dataclasses.asdict(job.note),
  )


def get_input(
  job: Job, sentences: Sequence[Sentence], name: str, is_training: bool
) -> tuple[Windows, Callable | None]:
  """Writes the records once, and reads them; no input_fn without a word."""
  if name not in job.inputs:
    windows = write_windows(
      sentences,
      job.note.labels,
      FLAGS.max_seq_length,
      job.tokenizer,
      old_runs.record_path(name),
    )
    logging.info(
      f"{name}: {len(sentences)} sentences,"
      f" {sum(len(s.words) for s in sentences)} words, in"
      f" {windows.records.num_examples} windows"
    )
    input_fn = None
    if windows.owned:
      schema = record_files.tagging_schema(FLAGS.max_seq_length)
      input_fn = old_runs.make_input_fn(windows.records, schema, is_training)
    job.inputs[name] = windows, input_fn
  return job.inputs[name]


def plan_training(job: Job) -> None:
  """Writes the training records, whose number gives that of the steps.

  Raises:
    ValueError: they do not fill a step.
  """
  windows, _ = get_input(job, job.train, "train", is_training=True)
  count = windows.records.num_examples
  old_runs.check_train_steps(count, "windows")
  job.num_train_steps = old_runs.num_train_steps(count)


def train(job: Job, estimator, evaluator) -> None:
  """Trains to tag."""
  counts = collections.Counter(tag for s in job.train for tag in s.tags)
  shown = ", ".join(f"{tag} {counts[tag]}" for tag in job.note.labels)
  logging.info(
    f"tags of the training data (--tag_scheme={job.note.tag_scheme}): {shown}"
  )
  windows, input_fn = get_input(job, job.train, "train", is_training=True)
  old_runs.train(
    estimator,
    input_fn,
    job.num_train_steps,
    windows.records.num_examples,
    lambda checkpoint: evaluate(job, evaluator, checkpoint)[0],
    job.note,
  )


def predict_tags(
  job: Job,
  estimator,
  sentences: Sequence[Sentence],
  name: str,
  checkpoint: str | None,
) -> tuple[list[list[str]], float]:
  """Tags of every word, and the mean loss of the words whose tag is known."""
  windows, input_fn = get_input(job, sentences, name, is_training=False)
  tags = [[] for _ in sentences]
  if not windows.owned:
    return tags, 0.0
  rows = streams.in_input_order(
    estimators.predict(estimator, input_fn, len(windows.owned), checkpoint),
    ("tag_ids", "losses"),
  )
  loss = 0.0
  for (place, first, count), row in zip(windows.owned, rows):
    ids = row["tag_ids"][first : first + count]
    tags[place] += [job.note.labels[i] for i in ids]
    loss += float(row["losses"])
  return tags, loss / max(windows.num_scored, 1)


def evaluate(job: Job, estimator, checkpoint: str | None):
  """Scores of all --eval_file, and their reports."""
  scores, reports = {}, {}
  for suffix, sentences in job.dev.items():
    tags, loss = predict_tags(
      job, estimator, sentences, f"eval{suffix}", checkpoint
    )
    if len({tag for row in tags for tag in row}) == 1:
      logging.warning(
        f"eval{suffix}: the same tag is predicted for all words: has the model"
        " learned? Try another --learning_rate, --head_learning_rate or"
        " --num_train_epochs"
      )
    found, reports[f"report{suffix}"] = compute_scores(
      sentences, tags, job.note.tag_scheme
    )
    found["eval_loss"] = loss
    for name, value in found.items():
      scores[name.replace("eval", f"eval{suffix}", 1)] = value
  used = old_runs.used_checkpoint(checkpoint, job.init_checkpoint)
  scores["global_step"] = checkpoints.current_step(used)
  return scores, reports


def predict(job: Job, estimator, checkpoint: str | None) -> None:
  """Writes predictions.txt or predictions.jsonl for all --predict_file."""
  for path, (suffix, sentences) in zip(FLAGS.predict_file, job.test.items()):
    tags, _ = predict_tags(
      job, estimator, sentences, f"predict{suffix}", checkpoint
    )
    if _predict_format(path) == "conll":
      ending, lines = "txt", conll_lines(sentences, tags)
    else:
      ending = "jsonl"
      lines = json_lines(sentences, tags, job.note.tag_scheme)
    output = os.path.join(FLAGS.output_dir, f"predictions{suffix}.{ending}")
    files.write_lines(output, lines)
    logging.info(f"wrote {output}")


if __name__ == "__main__":
  define_flags()
  common_flags.run(main)
