# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""A trained model, found in its output folder and made ready to predict.

In: the folder that a run_ script filled (`task.json`, `bert_config.json`,
`vocab.txt`, checkpoints), and rows of text such as {"text_a": ...}. Out: the
graph from ids to named predictions, and an answer for each row. `TASKS` says
for each task what goes in and what comes out.

Shapes: B batch, S sequence, W words, L labels, F numbers given beside the text,
D hidden.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

import modeling
import tokenization
from bert.records import packing
from bert.tasks import answers, heads, metrics
from bert.training import checkpoints

_LARGEST = float(np.finfo(np.float32).max)
_WINDOWS_AT_ONCE = 64  # of a long context, and of many rows
_ENCODER_KERNEL = re.compile(r"^bert/encoder/.*/kernel$")


# ----------------------------------------------------------- trained models


@dataclasses.dataclass
class TrainedModel:
  """What an output folder holds of a model."""

  note: Mapping  # task.json
  config: modeling.BertConfig
  tokenizer: tokenization.FullTokenizer
  checkpoint: str  # prefix
  files: Mapping[str, str]  # {name: path}: task.json, bert_config.json, ...


def find_model(model_dir: str, checkpoint: str | None = None) -> TrainedModel:
  """Finds a trained model and its task.

  Args:
    model_dir: output folder of a run_ script, or `best` in it.
    checkpoint: of its weights; None: the best if one was kept (--keep_best), or
      else the newest.

  Raises:
    ValueError: the folder holds no trained model, something of it is missing,
      or its task is not known.
  """
  if not tf.io.gfile.isdir(model_dir):
    raise ValueError(f"there is no folder {model_dir}")
  found = (
    checkpoint
    or tf.train.latest_checkpoint(os.path.join(model_dir, "best"))
    or tf.train.latest_checkpoint(model_dir)
  )
  if not found:
    raise ValueError(
      f"{model_dir} holds no trained model (no checkpoint): give the"
      " --output_dir of a training"
    )
  files = {
    name: _find_file(model_dir, name)
    for name in ("task.json", "bert_config.json", "vocab.txt")
  }
  note = _read_note(files["task.json"])
  config = modeling.BertConfig.from_json_file(files["bert_config.json"])
  prefix = checkpoints.find_checkpoint(found, config, files["bert_config.json"])
  tokenizer = tokenization.FullTokenizer(
    files["vocab.txt"], note["do_lower_case"]
  )
  size = max(tokenizer.vocab.values()) + 1
  missing = tokenization.missing_special_tokens(tokenizer.vocab)
  if size > config.vocab_size or missing:
    raise ValueError(
      f"{files['vocab.txt']} is not the model's vocabulary: it has {size}"
      f" tokens for vocab_size={config.vocab_size}, and lacks"
      f" {', '.join(missing) or 'no special token'}"
    )
  return TrainedModel(note, config, tokenizer, prefix, files)


def _find_file(model_dir, name):
  """The path of a model's file, which for `best` is in the folder above."""
  for folder in (model_dir, os.path.dirname(os.path.abspath(model_dir))):
    path = os.path.join(folder, name)
    if tf.io.gfile.exists(path):
      return path
    if "://" in model_dir or os.path.basename(folder.rstrip("/")) != "best":
      break
  raise ValueError(
    f"{model_dir} has no {name}, which training leaves beside its checkpoints:"
    " run the training's command once more, which resumes and writes it, or"
    " copy it from there"
  )


def _read_note(path):
  with tf.io.gfile.GFile(path, "rb") as reader:
    text = reader.read()
  try:
    note = json.loads(text)
    task = note.get("task")
  except (AttributeError, ValueError):
    raise ValueError(
      f"{path} is damaged, or not that of a run_ script"
    ) from None
  if task is None:
    raise ValueError(
      f"{path} does not say its task, for it is from an older version: add"
      f' "task": one of {", ".join(TASKS)}'
    )
  if task not in TASKS:
    raise ValueError(
      f"{path}: task {task!r} is not known here: it is none of"
      f" {', '.join(TASKS)}"
    )
  needed = ("do_lower_case", "max_seq_length", *TASKS[task].noted)
  lacking = [name for name in needed if name not in note]
  if lacking:
    raise ValueError(
      f"{path} is damaged, or from an older version: it lacks"
      f" {', '.join(lacking)}"
    )
  return note


# -------------------------------------------------------------------- graph


def placeholders(note: Mapping) -> dict:
  """What is fed: int32 [B, S] each, B and S unknown.

  Also a tagger's `word_positions`, int32 [B, W]; and where the task has numbers
  beside the text, `features`, float32 [B, F], as they are: the graph
  standardises them.
  """
  names = ["input_ids", "input_mask", "segment_ids"]
  if note["task"] == "tagger":
    names.append("word_positions")
  inputs = {
    name: tf.placeholder(tf.int32, [None, None], name) for name in names
  }
  if note.get("feature_columns"):
    width = len(note["feature_columns"])
    inputs["features"] = tf.placeholder(tf.float32, [None, width], "features")
  return inputs


def predictions(
  model: TrainedModel, inputs: Mapping, precision: str = "float32"
) -> dict:
  """The graph from ids to what `TASKS` says of the model's task.

  It is made of TensorFlow's own ops, without compiled functions, so that it
  runs wherever TensorFlow does and needs no time for a new length.

  Args:
    model: its variables are made under their names, without their values.
    inputs: as `placeholders` gives.
    precision: float32 or bfloat16, of the encoder: of its kernels too.

  Returns:
    {name: tensor [B, ...]}.
  """
  note, inputs = model.note, dict(inputs)
  if "features" in inputs:
    mean, std = (
      np.array(note[name], np.float32)
      for name in ("feature_mean", "feature_std")
    )
    inputs["features"] = (inputs["features"] - mean) / std

  def variable(getter, name, *args, **options):
    if precision == "bfloat16" and _ENCODER_KERNEL.search(name):
      options["dtype"] = tf.bfloat16  # halves what each batch reads of memory
    return getter(name, *args, **options)

  with tf.variable_scope("", custom_getter=variable):
    tensors = heads.FORWARD[note["task"]](
      model.config, inputs, note, compute_dtype=tf.as_dtype(precision)
    )
  return TASKS[note["task"]].outputs(tensors, inputs, note)


def load_weights(session, model: TrainedModel) -> None:
  """Gives the graph's variables their values in the checkpoint.

  Raises:
    ValueError: a variable is not in it, has another shape, or can't be read.
  """
  reader = tf.train.load_checkpoint(model.checkpoint)
  shapes = reader.get_variable_to_shape_map()
  for variable in tf.global_variables():
    name, shape = variable.op.name, variable.shape.as_list()
    if shapes.get(name) != shape:
      raise ValueError(
        f"checkpoint {model.checkpoint} has"
        f" {name} of shape {shapes[name]}, not {shape}"
        if name in shapes
        else f"checkpoint {model.checkpoint} has no variable {name}"
      )
    try:
      value = reader.get_tensor(name)
    except (tf.errors.OpError, IndexError):  # IndexError: the file is too short
      raise ValueError(
        f"checkpoint {model.checkpoint} is damaged: {name} can't be read"
      ) from None
    variable.load(value.astype(variable.dtype.as_numpy_dtype), session)


class Predictor:
  """A trained model in a session, for rows of text.

  Args:
    model: of `find_model`.
    precision: float32 or bfloat16.
  """

  def __init__(self, model: TrainedModel, precision: str = "float32"):
    self._task = TASKS[model.note["task"]](model)
    graph = tf.Graph()
    with graph.as_default():
      inputs = placeholders(model.note)
      outputs = predictions(model, inputs, precision)
      self._session = tf.Session(graph=graph)
      load_weights(self._session, model)
    graph.finalize()
    self._names = list(outputs)
    self._call = self._session.make_callable(
      list(outputs.values()), list(inputs.values())
    )
    self._inputs = list(inputs)

  @property
  def example(self) -> dict:
    """A row as the model takes it."""
    return self._task.example

  def prepare(self, row) -> tuple[list[dict], object]:
    """What the model sees of a row.

    Returns:
      Its windows, {name: list} each, not padded; and what `answer` needs.

    Raises:
      ValueError: the row is not what the task takes; the sentence says what.
    """
    return self._task.prepare(_checked(row, self._task.example))

  def run(
    self, windows: Sequence[Mapping], batch_size: int = _WINDOWS_AT_ONCE
  ) -> list[dict]:
    """What the model says of each window, {name: array}.

    Args:
      windows: of `prepare`; each batch of them is padded to its longest.
      batch_size: how many are computed at once.
    """
    rows = []
    for first in range(0, len(windows), batch_size):
      arrays = padded(windows[first : first + batch_size])
      columns = self._call(*(arrays[name] for name in self._inputs))
      rows += [dict(zip(self._names, values)) for values in zip(*columns)]
    return rows

  def answer(self, kept, outputs: Sequence[Mapping]) -> dict:
    """The answer to a row: of what `prepare` kept, and what `run` gave."""
    return self._task.answer(kept, outputs)


def padded(windows: Sequence[Mapping]) -> dict:
  """Windows as a batch, {name: array}, padded with 0 to the longest."""
  arrays = {}
  for name in windows[0]:
    width = max(len(window[name]) for window in windows)
    dtype = np.float32 if name == "features" else np.int32
    arrays[name] = np.zeros([len(windows), width], dtype)
    for row, window in zip(arrays[name], windows):
      row[: len(window[name])] = window[name]
  return arrays


def _checked(row, example):
  if not isinstance(row, dict):
    raise ValueError(
      f"a JSON object is expected, such as {json.dumps(example)}"
    )
  return row


def _text(row, names, example):
  """The text of the first key that the row has."""
  name = next((name for name in names if name in row), None)
  if name is None:
    raise ValueError(
      f"no key {names[0]!r} but {', '.join(map(repr, row)) or 'none'}: such as"
      f" {json.dumps(example)} is expected"
    )
  if not isinstance(row[name], str):
    raise ValueError(f"{name!r} has to be a text, not {row[name]!r:.40}")
  return row[name]


# -------------------------------------------------------------------- tasks


class Classifier:
  """A text or a pair to its label, labels or number.

  All tasks have these methods; `text_signatures` says which an export can have
  for raw strings, of text and text_pair, and those that have them have `texts`.
  `noted` is what a task's task.json tells beside what all tell.
  """

  noted = (
    *("label_type", "labels", "thresholds"),
    *("feature_columns", "feature_mean", "feature_std"),
  )

  def __init__(self, model: TrainedModel):
    self._note, self._tokenizer = model.note, model.tokenizer
    self._template = self._note.get("text_template")
    self._columns = [str(c) for c in self._note["feature_columns"]]

  @property
  def example(self):
    texts = ["text_a", "text_b"]
    if self._template:
      texts = re.findall(r"\{([^{}]+)\}", self._template)
    return {**dict.fromkeys(texts, "..."), **dict.fromkeys(self._columns, 0.5)}

  @staticmethod
  def text_signatures(note):
    del note
    return ("text", "text_pair")

  @staticmethod
  def outputs(tensors, inputs, note):
    """`probabilities`, `labels` [B, L], and `label` [B] or `is_given` [B, L];
    for a number, `prediction` [B]."""
    del inputs
    probabilities = tensors["probabilities"]
    if note["label_type"] == "number":
      return {"prediction": probabilities[:, 0]}
    labels = tf.constant(note["labels"])
    batch = tf.shape(probabilities)[0]
    outputs = {
      "probabilities": probabilities,
      "labels": tf.tile(labels[tf.newaxis], [batch, 1]),
    }
    if note["label_type"] == "multi":
      outputs["is_given"] = probabilities >= np.float32(note["thresholds"])
    else:
      outputs["label"] = tf.gather(labels, tf.argmax(probabilities, axis=-1))
    return outputs

  def texts(self, row) -> tuple[str, str | None]:
    """The text of a row, and the second one, if there is one."""
    if self._template:
      text_a = re.sub(
        r"\{([^{}]+)\}",
        lambda match: str(self._value(row, match.group(1))),
        self._template,
      )
    else:
      text_a = _text(row, ("text_a", "text"), self.example)
    text_b = row.get("text_b")
    if text_b is not None:
      text_b = _text(row, ("text_b",), self.example)
    return text_a, text_b

  def prepare(self, row):
    """The one window of a row; nothing is kept."""
    text_a, text_b = self.texts(row)
    length = self._note["max_seq_length"]
    window = _packed(text_a, text_b or None, length, self._tokenizer)
    if self._columns:
      window["features"] = [self._number(row, name) for name in self._columns]
    return [window], None

  def _value(self, row, name):
    if name not in row:
      raise ValueError(
        f"no key {name!r}: such as {json.dumps(self.example)} is expected"
      )
    return row[name]

  def _number(self, row, name):
    value = self._value(row, name)
    try:
      number = float(value)
    except (OverflowError, TypeError, ValueError):
      number = np.nan
    if not abs(number) <= _LARGEST:  # or NaN
      raise ValueError(
        f"{name!r} has to be a number that float32 holds, not {value!r:.40}"
      )
    return number

  def answer(self, kept, outputs):
    """{"label", "probabilities"}, {"labels", "probabilities"} or
    {"prediction"}."""
    del kept
    (output,) = outputs
    if "prediction" in output:
      return {"prediction": float(output["prediction"])}
    values = [float(value) for value in output["probabilities"]]
    probabilities = dict(zip(self._note["labels"], values))
    if "label" in output:
      label = output["label"].decode()
      return {"label": label, "probabilities": probabilities}
    given = [
      label
      for label, is_given in zip(self._note["labels"], output["is_given"])
      if is_given
    ]
    return {"labels": given, "probabilities": probabilities}


class Squad:
  """A question and its context to the answer, a part of the context."""

  example = {"question": "...", "context": "..."}
  noted = (
    *("max_query_length", "doc_stride", "n_best_size", "max_answer_length"),
    *("version_2_with_negative", "null_score_diff_threshold"),
  )

  def __init__(self, model: TrainedModel):
    self._note, self._tokenizer = model.note, model.tokenizer

  @staticmethod
  def text_signatures(note):
    del note
    return ()  # windows, and the way back to the text, are no graph

  @staticmethod
  def outputs(tensors, inputs, note):
    """`start_logits` and `end_logits` [B, S]; the best span of a window's
    context, `start` and `end` [B] (the last token of it), its `score` [B], and
    `null_score` [B], that of no answer."""
    starts, ends = tensors["start_logits"], tensors["end_logits"]
    is_context = inputs["input_mask"] * inputs["segment_ids"]
    # All of segment 1 but the last [SEP].
    following = tf.pad(is_context[:, 1:], [[0, 0], [0, 1]])
    outside = (1.0 - tf.cast(following, tf.float32)) * -1e9
    scores = (starts + outside)[:, :, tf.newaxis]
    scores += (ends + outside)[:, tf.newaxis, :]  # [B, S, S]
    longest = note["max_answer_length"]
    length = tf.shape(starts)[1]
    is_span = tf.linalg.band_part(
      tf.ones([length, length]), 0, tf.minimum(longest, length) - 1
    )
    scores = tf.reshape(scores + (1.0 - is_span) * -1e9, [-1, length * length])
    best = tf.argmax(scores, axis=-1, output_type=tf.int32)
    return {
      "start_logits": starts,
      "end_logits": ends,
      "start": best // length,
      "end": best % length,
      "score": tf.reduce_max(scores, axis=-1),
      "null_score": starts[:, 0] + ends[:, 0],
    }

  def prepare(self, row):
    """The windows of the context; the question and they are kept."""
    question = _text(row, ("question",), self.example)
    context = _text(row, ("context",), self.example)
    for name, text in (("question", question), ("context", context)):
      if not text.strip():
        raise ValueError(f"the {name} is empty")
    words, starts = answers.split_context(context)
    example = answers.SquadExample("", question, words, token_starts=starts)
    found = []
    answers.convert_examples_to_features(
      [example],
      self._tokenizer,
      *(self._note[n] for n in ("max_seq_length", "doc_stride")),
      self._note["max_query_length"],
      False,
      found.append,
    )
    return [_unpadded(features) for features in found], (example, found)

  def answer(self, kept, outputs):
    """{"text", "probability", "start", "end", "window", "answers"}; for SQuAD
    2.0 `null_odds` too."""
    example, found = kept
    results = [
      answers.RawResult(f.unique_id, o["start_logits"], o["end_logits"])
      for f, o in zip(found, outputs)
    ]
    options = (
      "n_best_size",
      "max_answer_length",
      "do_lower_case",
      "version_2_with_negative",
      "null_score_diff_threshold",
    )
    (prediction,) = answers.find_answers(
      [example],
      found,
      results,
      **{name: self._note[name] for name in options},
    )
    return answers.prediction_fields(prediction)


class Tagger:
  """A text, or its words, to a tag for each word."""

  example = {"text": "..."}
  noted = (
    *("labels", "tag_scheme", "use_crf"),
    *("birnn_cell", "birnn_size", "mix_layers"),
  )

  def __init__(self, model: TrainedModel):
    self._note, self._tokenizer = model.note, model.tokenizer

  @staticmethod
  def text_signatures(note):
    del note
    return ()  # words in the text, and windows of them, are no graph

  @staticmethod
  def outputs(tensors, inputs, note):
    """`tag_ids` and `tags` [B, W], nothing behind the last word; `logits`."""
    is_word = inputs["word_positions"] > 0
    labels = tf.gather(tf.constant(note["labels"]), tensors["tag_ids"])
    tags = tf.where_v2(is_word, labels, "")
    return {**tensors, "tags": tags}

  def prepare(self, row):
    """The windows of a row's words; they and the words are kept."""
    text, spans, words = None, [], row.get("tokens")
    if words is None:
      text = _text(row, ("text",), self.example)
      spans = packing.word_spans(text, self._tokenizer)
      words = [text[start:end] for start, end in spans]
    elif not isinstance(words, list) or not all(
      isinstance(word, str) for word in words
    ):
      raise ValueError(f"'tokens' has to be a list of words, not {words!r:.40}")
    length = self._note["max_seq_length"]
    pieces = packing.word_pieces(words, length, self._tokenizer)
    windows = packing.word_windows(pieces, length)
    rows = [
      packing.pack_words(pieces, window, length, self._tokenizer)
      for window in windows
    ]
    for inputs in rows:
      num_tokens = sum(inputs["input_mask"])
      for name in inputs:
        inputs[name] = inputs[name][:num_tokens]
    return rows, (text, spans, words, windows)

  def answer(self, kept, outputs):
    """As a line of predictions.jsonl: `tokens`, `tags`, `spans`, `entities`."""
    text, spans, words, windows = kept
    tags = []
    for window, output in zip(windows, outputs):
      places = slice(
        window.own_start - window.start, window.own_end - window.start
      )
      tags += [tag.decode() for tag in output["tags"][places]]
    answer = {"tokens": words, "tags": tags}
    if text is not None:
      answer["spans"] = spans
    if self._note["tag_scheme"] != "none":
      answer["entities"] = metrics.entity_fields(tags, text, spans)
    return answer


class Ranker:
  """A pair to the probability that it matches, or a text to its vector."""

  noted = ("model", "pooling")

  def __init__(self, model: TrainedModel):
    self._note, self._tokenizer = model.note, model.tokenizer
    self._is_pair = self._note["model"] == "interaction"

  @property
  def example(self):
    return dict.fromkeys(["text_a", "text_b"][: 1 + self._is_pair], "...")

  @staticmethod
  def text_signatures(note):
    return ("text_pair",) if note["model"] == "interaction" else ("text",)

  @staticmethod
  def outputs(tensors, inputs, note):
    """`probabilities` and `scores` [B] of a match, or `vectors` [B, D]."""
    del inputs, note
    names = ("probabilities", "scores", "vectors")
    return {name: tensors[name] for name in names if name in tensors}

  def texts(self, row) -> tuple[str, str | None]:
    """The text of a row, and the second one of a pair."""
    text_a = _text(row, ("text_a", "text"), self.example)
    text_b = None
    if self._is_pair:
      text_b = _text(row, ("text_b",), self.example)
    elif row.get("text_b") is not None:
      raise ValueError(
        "'text_b': this model makes a vector of one text: give each a row"
      )
    return text_a, text_b

  def prepare(self, row):
    """The one window of a row; nothing is kept."""
    length = self._note["max_seq_length"]
    return [_packed(*self.texts(row), length, self._tokenizer)], None

  def answer(self, kept, outputs):
    """{"probability", "score"} or {"vector"}."""
    del kept
    (output,) = outputs
    if "vectors" in output:
      return {"vector": [float(value) for value in output["vectors"]]}
    return {
      "probability": float(output["probabilities"]),
      "score": float(output["scores"]),
    }


def _packed(text_a, text_b, max_seq_length, tokenizer):
  """The one window of a text, or of a pair where text_b is not None."""
  tokens_b = None if text_b is None else tokenizer.tokenize(text_b)
  return _unpadded(
    packing.pack(
      tokenizer.tokenize(text_a), tokens_b, max_seq_length, tokenizer
    )
  )


def _unpadded(packed):
  """The encoder's inputs without padding."""
  length = len(packed.tokens)
  return {
    name: getattr(packed, name)[:length]
    for name in ("input_ids", "input_mask", "segment_ids")
  }


# By the `task` of task.json, as heads.FORWARD.
TASKS = {
  "classifier": Classifier,
  "squad": Squad,
  "tagger": Tagger,
  "ranker": Ranker,
}
