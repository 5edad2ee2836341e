# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Fine-tunes BERT to tag words, such as names, then evaluates and predicts.

In: CoNLL files: a word per line with its tag last, and a blank line after each
sentence; for prediction also texts, one per line or as JSON lines. Out, in
`output_dir`: checkpoints, `task.json`, `eval_results.txt` and `.json`, and
`predictions.txt` in CoNLL's columns, or `predictions.jsonl` for texts.
"""

from __future__ import annotations

import dataclasses

from bert.training import entry, flags

# A new recurrent layer does not learn within a few epochs at the encoder's
# rate, and at 1e-3 only with some seeds.
_BIRNN_RATE = 3e-3


@dataclasses.dataclass(frozen=True)
class HeadOptions(flags.Options):
  """The layers above the encoder."""

  use_crf: bool = flags.flag(
    False,
    "Score whole sequences of tags with a linear-chain CRF, instead of each tag"
    " alone.",
  )
  use_birnn: bool = flags.flag(
    False,
    "Add a recurrent layer that reads the words in both directions. It needs a"
    " higher learning rate than the encoder, so --head_learning_rate is"
    f" {_BIRNN_RATE} unless you set it, or --learning_rate if that is higher.",
  )
  birnn_cell: str = flags.flag(
    "lstm", "With --use_birnn: the kind of cell.", choices=("lstm", "gru")
  )
  birnn_size: int = flags.flag(
    128, "With --use_birnn: units in each direction.", lower_bound=1
  )
  mix_layers: tuple = flags.flag(
    (),
    "Instead of the last encoder layer, use a learned mean of these layers,"
    " such as -1,-2,-3,-4 (-1 is the last).",
  )


@dataclasses.dataclass(frozen=True)
class Options(flags.FineTuningOptions, flags.EvaluationOptions, HeadOptions):
  """This script's flags."""

  train_file: str | None = flags.flag(
    None,
    "File to train on: a word per line with its tag last, and a blank line"
    " after each sentence.",
    reads=True,
  )
  eval_file: tuple = flags.flag(
    (),
    "One or more files to evaluate on, separated by commas, in the format of"
    " --train_file.",
    reads=True,
  )
  predict_file: tuple = flags.flag(
    (),
    "One or more files to tag, separated by commas: in the format of"
    " --train_file, with or without tags, or texts (see --predict_format).",
    reads=True,
  )
  predict_format: str = flags.flag(
    "auto",
    "Format of --predict_file. conll: as --train_file; text: a text per line;"
    " jsonl: an object per line with text or tokens; auto: jsonl if the file"
    " ends in .jsonl or .json, otherwise conll.",
    choices=("auto", "conll", "text", "jsonl"),
  )
  tag_scheme: str = flags.flag(
    "auto",
    "How the tags mark entities. none: they don't (as with parts of speech);"
    " auto: find out from the tags.",
    choices=("auto", "io", "bio", "bioes", "none"),
  )
  refuse_new_tags: bool = flags.flag(
    False,
    "Refuse files with tags that the model does not know, instead of only"
    " warning.",
  )


if __name__ == "__main__":
  entry.parse(Options)  # --help ends here, before the slow imports

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import tensorflow.compat.v1 as tf
from absl import logging

from bert.files import clock, reading, writing
from bert.records import streams, tables
from bert.reports import kept_examples
from bert.reports import tagging as reported
from bert.tasks import metrics
from bert.tasks.tagging import (
  conll_lines,
  json_lines,
  row_sentence,
  Sentence,
  TaggerNote,
  Tagging,
  text_sentence,
  Windows,
  write_windows,
)
from bert.training import cluster, estimators, runs

_DOCUMENT_START = "-DOCSTART-"
_BLANK = " \t\r"  # other white space is a word, and needs a tag
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")

# --------------------------------------------------------------- examples


def read_conll(path: str, has_tags: bool = True) -> list[Sentence]:
  """Reads sentences with one word per line.

  Tabs separate the fields if the first line has one, otherwise spaces do. Lines
  that begin with -DOCSTART- count as blank.

  Args:
    path: of the file.
    has_tags: whether each word needs a tag; if not, one column is enough.

  Raises:
    ValueError: a line has no word, no tag, or more or fewer fields than the
      first line, or the file has no words. The message names file and line.
  """
  sentences, rows, columns = [], [], None
  text = reading.read_text(path, "data file")
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
  """The fields of a line; a blank line has none."""
  if not line.strip(_BLANK):
    return []
  if separator == "\t":
    return line.split("\t")
  return [field for field in line.split(" ") if field]


def _check_fields(where, fields, columns, has_tags):
  first_line, count = columns
  hint = "" if has_tags else " (for texts, give --predict_format=text)"
  if len(fields) == 1 and (has_tags or count > 1):
    raise ValueError(
      f"{where}: no tag: a line has a word, a tab or space, and its tag, but"
      f" this one has {fields[0]!r}{hint}"
    )
  if len(fields) != count:
    raise ValueError(
      f"{where}: {len(fields)} fields, but line {first_line} has {count}: every"
      f" line needs the same number{hint}"
    )
  for name, field in (("word", fields[0]), ("tag", fields[-1])):
    if not field.strip(_BLANK):
      raise ValueError(f"{where}: the {name} is empty")
  if has_tags and _CONTROL.search(fields[-1].strip(_BLANK)):
    raise ValueError(
      f"{where}: the tag {fields[-1]!r} has a control character: remove it"
    )


def _sentence(rows, line):
  words = [fields[0] for fields in rows]
  if len(rows[0]) == 1:
    return Sentence(words, line=line)
  return Sentence(words, [fields[-1].strip(_BLANK) for fields in rows], line)


def read_texts(path: str, tokenizer) -> list[Sentence]:
  """Reads one text per line and finds its words; blank lines have none."""
  lines = reading.read_text(path, "data file").removesuffix("\n").split("\n")
  return [
    text_sentence(line.rstrip("\r"), tokenizer, number)
    for number, line in enumerate(lines, 1)
  ]


def read_json_lines(path: str, tokenizer) -> list[Sentence]:
  """Reads one JSON object per line, with `text` or a list of words, `tokens`.

  Raises:
    ValueError: an object has neither, or both. The message names file and line.
  """
  sentences = []
  for number, row in tables.read_rows(path, is_json=True):
    try:
      if row.get("text") is not None and row.get("tokens") is not None:
        raise ValueError("give 'text' or 'tokens', not both")
      sentences.append(row_sentence(row, tokenizer, number))
    except ValueError as error:
      raise ValueError(f"{path}:{number}: {error}") from None
  return sentences


def tags_of(sentences: Sequence[Sentence]) -> list[str]:
  """The different tags of the sentences: O first, then the others, sorted.

  Raises:
    ValueError: there are fewer than two.
  """
  found = {tag for sentence in sentences for tag in sentence.tags}
  if len(found) < 2:
    raise ValueError(
      f"the training data have only one tag, {', '.join(found)}: at least two"
      " are needed"
    )
  return sorted(found, key=lambda tag: (tag != "O", tag))


def check_tags(
  path: str, sentences: Sequence[Sentence], note: TaggerNote, refuse: bool
) -> None:
  """Checks the form of tags, and warns of unknown ones and missing B-.

  Args:
    path: of the sentences.
    sentences: with or without tags.
    note: of the model.
    refuse: whether an unknown tag is an error.

  Raises:
    ValueError: a tag is unknown, and `refuse` is on; or it has no letter such
      as B-, and others have one.
  """
  tagged = [sentence for sentence in sentences if sentence.tags is not None]
  found = {}  # {tag: [lines]}
  for sentence in tagged:
    for number, tag in enumerate(sentence.tags, sentence.line):
      found.setdefault(tag, []).append(number)
  if note.tag_scheme != "none":
    _check_marks(path, found)
  new = {tag: lines for tag, lines in found.items() if tag not in note.labels}
  if new:
    tag, (number, *_) = next(iter(new.items()))
    more = f" ({len(new)} unknown tags in all)" if len(new) > 1 else ""
    text = (
      f"{path}:{number}: unknown tag {tag!r}{more}; the model knows"
      f" {', '.join(note.labels)}"
    )
    if refuse:
      raise ValueError(text)
    count = sum(map(len, new.values()))
    logging.warning(f"{text}. {count} words with unknown tags count as wrong")
  repaired = metrics.count_repaired([s.tags for s in tagged], note.tag_scheme)
  if repaired:
    logging.warning(
      f"{path}: {repaired} entities begin with I- or E- instead of B-; they"
      " still count as entities, as in CoNLL"
    )


def _check_marks(path, found):
  """Raises ValueError if some tags, {tag: lines}, have letters, others none."""
  marked = next(filter(metrics.is_marked, found), None)
  for tag, (number, *_) in found.items():
    if marked and tag != "O" and not metrics.is_marked(tag):
      raise ValueError(
        f"{path}:{number}: tag {tag!r} is neither O nor of the form of"
        f" {marked!r} in line {found[marked][0]}: correct it, or give"
        " --tag_scheme=none if the tags mark no entities"
      )


# ----------------------------------------------------------------- scores


def compute_scores(
  sentences: Sequence[Sentence],
  predictions: Sequence[Sequence[str]],
  scheme: str,
) -> tuple[dict, dict]:
  """The scores of the tags and, if they mark any, of the entities.

  Args:
    sentences: with their tags.
    predictions: the predicted tags of each sentence.
    scheme: one of metrics.TAG_SCHEMES.

  Returns:
    {name: float}, and what else eval_results.json holds.
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
    entity_scores, entities = metrics.entity_scores(labels, predictions, scheme)
    scores.update(entity_scores)
    report.update(entities)
  return {f"eval_{name}": value for name, value in scores.items()}, report


def score_names(scheme: str) -> list[str]:
  """The names that --keep_best may have: all of `compute_scores`, and loss."""
  if scheme == "none":
    return ["token_accuracy", "token_macro_f1", "loss"]
  kinds = ("precision", "recall", "f1")
  tokens = [f"token_{kind}" for kind in ("accuracy", *kinds)]
  return [*kinds, *tokens, "loss"]


# ------------------------------------------------------------------- main


@dataclasses.dataclass
class Job:
  """One run: the model and the data."""

  options: Options
  model: runs.Model
  note: TaggerNote
  train: Sequence[Sentence]  # empty without --do_train
  dev: Mapping[str, Sequence[Sentence]]  # {suffix of the file: sentences}
  test: Mapping[str, Sequence[Sentence]]
  num_train_steps: int = 0
  inputs: dict = dataclasses.field(default_factory=dict)  # made once each


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
    scores, reports, tags = evaluate(job, evaluator, best)
    runs.write_scores(options, scores, reports)
    if options.report:
      keep_examples(job, tags, scores["global_step"])
  if options.do_predict:
    predict(job, make_estimator(job, options.predict_batch_size), best)


@clock.part("records")
def prepare(options: Options) -> Job:
  """Checks the options and reads all data, so that mistakes show early."""
  options = check_options(options)
  model = runs.load_model(options)
  kept = runs.kept_note(options, Tagging, model)
  sentences = read_conll(options.train_file) if options.do_train else []
  note = make_note(options, kept, sentences, model.config.num_hidden_layers)
  runs.warn_of_other_labels(options, Tagging, model, note.labels)
  dev, test = {}, {}
  if options.do_eval or (options.do_train and options.eval_steps):
    dev = _read_sets(options.eval_file, read_conll)
  if options.do_predict:
    test = _read_sets(
      options.predict_file,
      lambda path: _read_to_predict(options, path, model.tokenizer),
    )
  options = runs.check_evaluation(
    options,
    [
      f"eval{suffix}_{name}"
      for suffix in dev or _suffixes(options.eval_file)
      for name in score_names(note.tag_scheme)
    ],
  )
  if options.do_train:
    check_tags(options.train_file, sentences, note, False)
  for paths, sets in ((options.eval_file, dev), (options.predict_file, test)):
    for path, found in zip(paths, sets.values()):
      check_tags(path, found, note, options.refuse_new_tags)
  tf.io.gfile.makedirs(options.output_dir)
  job = Job(options, model, note, sentences, dev, test)
  if options.do_train:
    windows, _ = get_input(job, job.train, "train", is_training=True)
    job.num_train_steps = runs.num_train_steps(
      options, windows.records.num_examples, "windows"
    )
  return job


def check_options(options: Options) -> Options:
  """Checks the options that need no data.

  Returns:
    The options, with a head_learning_rate that suits --use_birnn.

  Raises:
    ValueError: they do not go together.
  """
  runs.check_options(options, ("do_train", "do_eval", "do_predict"))
  runs.check_needed(
    options,
    (
      ("do_train", "train_file"),
      ("do_eval", "eval_file"),
      ("do_predict", "predict_file"),
      ("eval_steps", "eval_file"),
    ),
  )
  for name in ("birnn_cell", "birnn_size"):
    if name in options.given and not options.use_birnn:
      raise ValueError(f"--{name} needs --use_birnn")
  is_new_birnn = options.do_train and options.use_birnn
  if not is_new_birnn or options.head_learning_rate is not None:
    return options
  rate = max(_BIRNN_RATE, options.learning_rate)
  logging.info(f"--use_birnn sets --head_learning_rate={rate}")
  return dataclasses.replace(options, head_learning_rate=rate)


def _suffixes(paths):
  """What tells the results of files apart: "" for one file, else _name each.

  Raises:
    ValueError: two files have the same name, and so have their folders.
  """
  if len(paths) <= 1:
    return [""]
  parts = [os.path.splitext(path)[0].split("/") for path in paths]
  for count in (1, 2):
    names = ["_" + "_".join(part[-count:]) for part in parts]
    if len(set(names)) == len(names):
      return names
  raise ValueError(
    f"{','.join(paths)}: give files with different names, or in folders with"
    " different names"
  )


def _read_sets(paths, read):
  """{suffix: sentences} of the files."""
  return {suffix: read(path) for suffix, path in zip(_suffixes(paths), paths)}


def _predict_format(options, path):
  if options.predict_format != "auto":
    return options.predict_format
  return "jsonl" if path.endswith((".jsonl", ".json")) else "conll"


def _read_to_predict(options, path, tokenizer):
  kind = _predict_format(options, path)
  if kind == "conll":
    return read_conll(path, has_tags=False)
  read = {"text": read_texts, "jsonl": read_json_lines}[kind]
  return read(path, tokenizer)


def make_note(
  options: Options,
  kept: TaggerNote | None,
  sentences: Sequence[Sentence],
  num_layers: int,
) -> TaggerNote:
  """The note of the model: the one that was kept, or a new one.

  Args:
    options: of the script.
    kept: note of the trained model, if there is one.
    sentences: the training data; none if the run does not train.
    num_layers: of the encoder.

  Raises:
    ValueError: the trained model has other tags, another head or case, or
      there is no trained model to tag with.
  """
  if not sentences and not kept:
    raise ValueError(
      f"there is no task.json in {options.output_dir} or beside the"
      " --init_checkpoint, so that the tags are not known: train first"
      " (--do_train)"
    )
  labels = tags_of(sentences) if sentences else kept.labels
  scheme = options.tag_scheme
  if scheme == "auto":
    scheme = metrics.tag_scheme(labels) if sentences else kept.tag_scheme
  note = TaggerNote(
    task=Tagging.name,
    labels=list(labels),
    tag_scheme=scheme,
    use_crf=options.use_crf,
    birnn_cell=options.birnn_cell if options.use_birnn else None,
    birnn_size=options.birnn_size,
    mix_layers=_layers_to_mix(options.mix_layers, num_layers),
    do_lower_case=options.do_lower_case,
    max_seq_length=options.max_seq_length,
  )
  if not kept:
    return note
  compared = ["labels", "do_lower_case"]
  head = {field.name for field in dataclasses.fields(HeadOptions)}
  if options.do_train or head & options.given:
    compared += ["use_crf", "birnn_cell", "birnn_size", "mix_layers"]
  runs.compare_notes(kept, note, compared)
  return dataclasses.replace(
    kept, tag_scheme=scheme, max_seq_length=options.max_seq_length
  )


def _layers_to_mix(texts, num_layers):
  """--mix_layers as numbers from -1, the last layer, downwards.

  Raises:
    ValueError: they are not layers of the encoder, or one is given twice.
  """
  try:
    places = [range(num_layers)[int(text)] for text in texts]
  except (ValueError, IndexError):
    places = []
  if len(set(places)) < len(texts):
    raise ValueError(
      f"--mix_layers={','.join(texts)}: give different layers from -1 (the"
      f" last) to {-num_layers}"
    )
  return [place - num_layers for place in places]


def make_estimator(job: Job, predict_batch_size: int):
  """The run's estimator, with this many examples per prediction batch."""
  return runs.make_estimator(
    job.options,
    Tagging(job.note),
    job.model,
    job.num_train_steps,
    predict_batch_size,
  )


def get_input(
  job: Job, sentences: Sequence[Sentence], name: str, is_training: bool
) -> tuple[Windows, Callable | None]:
  """Writes the records once and reads them; without words, no input_fn."""
  if name not in job.inputs:
    job.inputs[name] = _make_input(job, sentences, name, is_training)
  return job.inputs[name]


def _make_input(job, sentences, name, is_training):
  path = runs.record_path(job.options, name)
  windows = write_windows(sentences, job.note, job.model.tokenizer, path)
  logging.info(
    f"{name}: {len(sentences)} sentences,"
    f" {sum(len(s.words) for s in sentences)} words, in"
    f" {windows.records.num_examples} windows"
  )
  if not windows.owned:
    return windows, None
  schema = Tagging(job.note).schema(is_training)
  return windows, runs.make_input_fn(
    job.options, windows.records, schema, is_training
  )


def train(job: Job, estimator, evaluator) -> None:
  """Trains to tag."""
  counts = Counter(tag for s in job.train for tag in s.tags)
  shown = ", ".join(f"{tag} {counts[tag]}" for tag in job.note.labels)
  logging.info(
    f"tags of the training data (--tag_scheme={job.note.tag_scheme}): {shown}"
  )
  windows, input_fn = get_input(job, job.train, "train", is_training=True)
  runs.train(
    job.options,
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
  """The tags of every word, and the mean loss of the words with known tags."""
  windows, input_fn = get_input(job, sentences, name, is_training=False)
  tags = [[] for _ in sentences]
  if not windows.owned:
    return tags, 0.0
  rows = streams.in_input_order(
    estimators.predict(estimator, input_fn, len(windows.owned), checkpoint),
    ("tag_ids", "losses"),
  )
  loss = 0.0
  for (place, own), row in zip(windows.owned, rows):
    tags[place] += [job.note.labels[i] for i in row["tag_ids"][own]]
    loss += float(row["losses"])
  return tags, loss / max(windows.num_scored, 1)


@clock.part("evaluation")
def evaluate(job: Job, estimator, checkpoint: str | None):
  """The scores of every --eval_file, their reports, and the tags."""
  scores, reports, tags_in = {}, {}, {}
  for suffix, sentences in job.dev.items():
    name = f"eval{suffix}"
    tags, loss = predict_tags(job, estimator, sentences, name, checkpoint)
    tags_in[suffix] = tags
    if len({tag for row in tags for tag in row}) == 1:
      logging.warning(
        f"{name}: the model predicts the same tag for every word: has it"
        " learned? Try another --learning_rate, --head_learning_rate or"
        " --num_train_epochs"
      )
    found, reports[f"report{suffix}"] = compute_scores(
      sentences, tags, job.note.tag_scheme
    )
    found["eval_loss"] = loss
    for key, value in found.items():
      scores[key.replace("eval", name, 1)] = value
  scores["global_step"] = runs.used_step(job.options, job.model, checkpoint)
  return scores, reports, tags_in


def keep_examples(job: Job, tags: Mapping, step: int) -> None:
  """Keeps what --report shows of every --eval_file."""
  for suffix, sentences in job.dev.items():
    kept_examples.write(
      *(job.options.output_dir, suffix, step),
      *reported.kept(job.note, sentences, tags[suffix], job.model.tokenizer),
    )


@clock.part("prediction")
def predict(job: Job, estimator, checkpoint: str | None) -> None:
  """Writes predictions.txt or predictions.jsonl for every --predict_file."""
  options = job.options
  for path, (suffix, sentences) in zip(options.predict_file, job.test.items()):
    tags, _ = predict_tags(
      job, estimator, sentences, f"predict{suffix}", checkpoint
    )
    if _predict_format(options, path) == "conll":
      ending, lines = "txt", conll_lines(sentences, tags)
    else:
      ending = "jsonl"
      lines = json_lines(sentences, tags, job.note.tag_scheme)
    output = os.path.join(options.output_dir, f"predictions{suffix}.{ending}")
    writing.write_lines(output, lines)
    logging.info(f"wrote {output}")


if __name__ == "__main__":
  entry.run(main, Options)
