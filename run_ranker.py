# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Fine-tunes BERT to rank responses to a context: passages, answers, endings.

In: CSV and TSV files of contexts with true and wrong responses, SWAG's files,
and a file of responses to search. Out, in `output_dir`: checkpoints,
`task.json`, `eval_results.txt` and `.json`, TREC files and `predictions.jsonl`;
beside the file of responses, their vectors; on standard output, answers to the
questions of standard input.

Two models: interaction reads context and response as a pair, and says how
probably they match; representation makes a vector of each alone, and compares
vectors by their cosine.
"""

from __future__ import annotations

from bert.training import common_flags  # isort: skip (quiets TensorFlow before it starts)

import dataclasses
import hashlib
import importlib.util
import io
import json
import logging as python_logging
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow.compat.v1 as tf
from absl import flags, logging

import modeling
import optimization
from bert.records import files, packing, record_files, tables
from bert.tasks import heads, metrics
from bert.training import checkpoints, estimators, old_runs, trained_model

FLAGS = flags.FLAGS

# The losses of each model, the usual one first.
LOSSES = {
  "interaction": ("cross_entropy", "candidates"),
  "representation": ("in_batch", "triplet"),
}


# --------------------------------------------------------------- examples


@dataclasses.dataclass
class InputExample:
  """A context and its candidates."""

  guid: str
  context: str
  responses: list[str]
  labels: list[int]  # 1 for a true response; empty if not known
  where: str  # file and line, for messages


_PAIR_COLUMNS = ("context", "response", "label")
_SWAG_COLUMNS = ("sent1", "sent2", "ending0", "ending1", "ending2", "ending3")
# What a first column is called; it may have any case.
_CONTEXT_NAMES = ("context", "query", "question")
# Names of the sets' files, by whichever of the endings there is.
_FILES = {
  "train": ("train",),
  "valid": ("valid", "val", "dev"),
  "test": ("test",),
}


def find_file(data_dir: str, set_type: str) -> str:
  """The path of a set's file; the usual one if there is none."""
  paths = [
    os.path.join(data_dir, f"{name}.{ending}")
    for name in _FILES[set_type]
    for ending in ("csv", "tsv")
  ]
  return next((path for path in paths if tf.io.gfile.exists(path)), paths[0])


def read_examples(path: str, set_type: str) -> list[InputExample]:
  """Reads contexts with their candidates.

  Three layouts, told by the first line: a header with context, response and
  label, rows of one context being gathered; SWAG's header; or no header and in
  each row a context, its true response, and wrong ones (MS MARCO's triples, for
  instance).

  Args:
    path: of a .csv file, or of one with tabs.
    set_type: first part of the examples' ids.

  Returns:
    The examples, in the order of the file.

  Raises:
    ValueError: a row can't be read; its file and line are named.
  """
  rows = list(tables.Table(path, has_header=False))
  if rows and not isinstance(rows[0][1], list):
    raise ValueError(f"{path}: rows of a .csv or .tsv file are expected")
  header = [cell.strip().lower() for cell in rows[0][1]] if rows else []
  if set(_PAIR_COLUMNS) <= set(header):
    examples = _read_pairs(path, rows[1:], header)
  elif set(_SWAG_COLUMNS) <= set(header):
    examples = _read_swag(path, rows[1:], header)
  else:
    named = [name for name in header if name in _CONTEXT_NAMES]
    if named and header[0] not in _CONTEXT_NAMES:
      raise ValueError(
        f"{path}:{rows[0][0]}: the column {named[0]} has to be the first, then"
        f" the true response and wrong ones; this line has {', '.join(header)}"
      )
    if named:
      logging.warning(
        f"{path}:{rows[0][0]} is taken for the columns' names: below each, a"
        " context, its true response, and wrong ones are expected"
      )
      rows = rows[1:]
    examples = _read_rows(path, rows)
  if not examples:
    raise ValueError(f"{path} holds no examples")
  for number, example in enumerate(examples):
    example.guid = f"{set_type}-{number}"
    if not all(text.strip() for text in (example.context, *example.responses)):
      name = "response" if example.context.strip() else "context"
      raise ValueError(f"{example.where}: the {name} is empty")
  repeated = [example.where for example in examples if _wrong_and_true(example)]
  if repeated:
    logging.warning(
      f"{repeated[0]}: a response is both true and wrong; {len(repeated)}"
      " contexts have such, which count as ties, against the ranking"
    )
  return examples


def _read_pairs(path, rows, header):
  """A response a row; those of one context are gathered, true ones first."""
  found = {}
  for line, row in rows:
    where = f"{path}:{line}"
    context, response, label = _cells(where, row, header, _PAIR_COLUMNS)
    label = label.strip()
    if label not in ("0", "1"):
      raise ValueError(f"{where}: label {label!r} is neither 0 nor 1")
    if not response.strip():
      raise ValueError(f"{where}: the response is empty")
    if context not in found:
      found[context] = InputExample("", context, [], [], where)
    example = found[context]
    place = sum(example.labels) if label == "1" else len(example.labels)
    example.responses.insert(place, response)
    example.labels.insert(place, int(label))
  return list(found.values())


def _read_swag(path, rows, header):
  """A sentence, the beginning of the next, and four endings of it a row."""
  examples = []
  for line, row in rows:
    where = f"{path}:{line}"
    context, start, *endings = _cells(where, row, header, _SWAG_COLUMNS)
    labels = []
    if "label" in header:
      (label,) = _cells(where, row, header, ("label",))
      if label.strip() not in ("0", "1", "2", "3"):
        raise ValueError(f"{where}: label {label!r} is none of 0, 1, 2, 3")
      labels = [int(i == int(label)) for i in range(len(endings))]
    responses = [f"{start} {ending}".strip() for ending in endings]
    examples.append(InputExample("", context, responses, labels, where))
  return examples


def _cells(where, row, header, names):
  if len(row) != len(header):
    raise ValueError(
      f"{where}: {len(row)} columns, but the header has {len(header)}"
      f" ({', '.join(header)})"
    )
  return [row[header.index(name)] for name in names]


def _read_rows(path, rows):
  """A context, its true response, and wrong ones a row."""
  examples = []
  labelled = [
    line for line, row in rows if len(row) == 3 and row[2].strip() in ("0", "1")
  ]
  if 2 * len(labelled) > len(rows):
    raise ValueError(
      f"{path}:{labelled[0]}: the third column looks like a label, as in"
      f" {len(labelled)} of {len(rows)} lines: name the columns in a first"
      f" line, {','.join(_PAIR_COLUMNS)}"
    )
  for line, row in rows:
    where = f"{path}:{line}"
    if len(row) < 2:
      raise ValueError(
        f"{where}: {len(row)} column; a context and at least its true response"
        " are expected, by commas in a .csv file and by tabs in others"
      )
    context, *responses = row
    labels = [1] + [0] * (len(responses) - 1)
    examples.append(InputExample("", context, responses, labels, where))
  return examples


def check_rankable(examples: Iterable[InputExample]) -> None:
  """Raises ValueError if there is nothing to rank for an example."""
  for example in examples:
    num_true = sum(example.labels)
    if len(example.responses) < 2:
      raise ValueError(
        f"{example.where}: {len(example.responses)} candidate: a true response"
        " and at least one wrong one are needed, to be ranked"
      )
    if example.labels and not 0 < num_true < len(example.labels):
      raise ValueError(
        f"{example.where}: {num_true} of the {len(example.labels)} responses to"
        f" {example.context!r} are true: at least one true and one wrong are"
        " needed, to be ranked"
      )


def read_responses(path: str) -> list[str]:
  """The distinct lines of a file of responses; empty ones are left out.

  Raises:
    ValueError: there are none.
  """
  lines = [line.strip() for line in tables.read_text(path).split("\n")]
  if lines and not lines[-1]:
    lines.pop()  # behind the last line's end
  texts = list(dict.fromkeys(filter(None, lines)))
  if not texts:
    raise ValueError(f"{path} holds no responses: give one a line")
  if len(texts) < len(lines):
    num_empty = lines.count("")
    where = f", the first in line {lines.index('') + 1}" if num_empty else ""
    logging.warning(
      f"{path}: left out {num_empty} empty lines{where}, and"
      f" {len(lines) - num_empty - len(texts)} that repeat another"
    )
  return texts


# --------------------------------------------------------------- features


@dataclasses.dataclass
class TrainingRow:
  """What one training record is made of."""

  context: str
  responses: list[str]  # of a pair one; otherwise the true one first
  label: int = 1  # of a pair


def training_rows(
  examples: Sequence[InputExample],
  loss: str,
  num_candidates: int = 0,
  num_random: int = 0,
  random_seed: int = 0,
) -> list[TrainingRow]:
  """What is learned from, one record each.

  Args:
    examples: with labels.
    loss: one of LOSSES.
    num_candidates: of a true response and its wrong ones, at most; 0: all.
    num_random: wrong responses added, drawn from those of other contexts.
    random_seed: of the drawing.

  Returns:
    Pairs for cross_entropy, and for the others a row for each true response.
    Examples that lack what the loss compares are left out, and told.

  Raises:
    ValueError: none is left, or labels are missing.
  """
  rows, left_out = [], []
  draw = _drawer(examples, num_random, random_seed)
  for example in examples:
    if not example.labels:
      raise ValueError(f"{example.where}: there is no label to learn from")
    wrong, true = _split(example)
    wrong = wrong[: num_candidates - 1] if num_candidates else wrong
    wrong = wrong + draw(example)
    if loss == "cross_entropy":
      rows += [TrainingRow(example.context, [text], 1) for text in true]
      rows += [TrainingRow(example.context, [text], 0) for text in wrong]
    elif true and (wrong or loss != "candidates"):
      rows += [TrainingRow(example.context, [text, *wrong]) for text in true]
    else:
      left_out.append(example.where)
  if left_out:
    logging.warning(
      f"left out {len(left_out)} of {len(examples)} contexts with too few"
      f" candidates for this loss, the first at {left_out[0]}"
    )
  if not rows:
    raise ValueError(
      f"{examples[0].where}: no context has what --loss={loss} needs: a true"
      " response" + (" and a wrong one" if loss == "candidates" else "")
    )
  if loss == "cross_entropy" and len({row.label for row in rows}) == 1:
    kind = "true" if rows[0].label else "wrong"
    raise ValueError(
      f"{examples[0].where}: all {len(rows)} responses are {kind}, so there is"
      " nothing to tell apart: add others, or --num_random_negatives=3"
    )
  return rows


def _split(example):
  """The wrong responses and the true ones."""
  split = [], []
  for text, label in zip(example.responses, example.labels):
    split[label].append(text)
  return split


def _wrong_and_true(example):
  """The responses that are both."""
  wrong, true = _split(example)
  return set(wrong) & set(true)


def _drawer(examples, count, random_seed):
  """Draws `count` responses of other contexts for an example, each once."""
  known = {}  # {context: its responses}
  for example in examples:
    known.setdefault(example.context, set()).update(example.responses)
  everything = list(dict.fromkeys(t for e in examples for t in e.responses))
  rng = random.Random(random_seed)

  def draw(example):
    own = known[example.context]
    most = min(count + len(own), len(everything)) if count else 0
    drawn = [t for t in rng.sample(everything, most) if t not in own]
    return drawn[:count]

  return draw


def training_schema(note: TaskNote, max_seq_length: int, num_candidates: int):
  """The layout of training records, of up to `num_candidates` responses."""
  if note.loss == "cross_entropy":
    return record_files.classification_schema(max_seq_length)
  num_contexts = int(note.model == "representation")
  return record_files.candidates_schema(
    max_seq_length, num_contexts + num_candidates
  )


class Packer:
  """Makes the model's inputs of texts and pairs, and numbers the texts.

  Each distinct text is tokenized once. Texts of the same pieces have the same
  number, for the model can't tell them apart.
  """

  def __init__(self, tokenizer, max_seq_length: int):
    self._tokenizer = tokenizer
    self._length = max_seq_length
    self._pieces = {}
    self._ids = {}

  def pack(self, text: str, second: str | None = None) -> dict:
    """The encoder's three inputs of a text, or of a pair."""
    packed = packing.pack(
      self._tokenize(text),
      None if second is None else self._tokenize(second),
      self._length,
      self._tokenizer,
    )
    return {
      "input_ids": packed.input_ids,
      "input_mask": packed.input_mask,
      "segment_ids": packed.segment_ids,
    }

  def pack_row(self, row: TrainingRow, note: TaskNote, num_sequences: int):
    """The values of a training record."""
    if note.loss == "cross_entropy":
      (response,) = row.responses
      packed = self.pack(row.context, response)
      return {**packed, "label_ids": row.label, "is_real_example": 1}
    if note.model == "interaction":
      texts = row.responses
      sequences = [self.pack(row.context, text) for text in texts]
    else:
      texts = [row.context, *row.responses]
      sequences = [self.pack(text) for text in texts]
    missing = num_sequences - len(texts)
    padding = [0] * (missing * self._length)
    record = {
      name: [i for packed in sequences for i in packed[name]] + padding
      for name in sequences[0]
    }
    pieces = [tuple(self._tokenize(text)) for text in texts]
    ids = [self._ids.setdefault(text, len(self._ids) + 1) for text in pieces]
    return {**record, "text_ids": ids + [0] * missing}

  def _tokenize(self, text):
    if text not in self._pieces:
      self._pieces[text] = self._tokenizer.tokenize(text)
    return self._pieces[text]


# ------------------------------------------------------------------ model


def per_example_losses(note: TaskNote, outputs: Mapping, features: Mapping):
  """The loss of each training record, float32 [B]."""
  if note.loss == "cross_entropy":
    return heads.single_label_loss(outputs["logits"], features["label_ids"])
  text_ids = features["text_ids"]
  _, num_sequences = modeling.get_shape_list(text_ids)
  if note.loss == "candidates":
    scores = tf.reshape(outputs["scores"], [-1, num_sequences])
    return heads.candidates_loss(scores, tf.not_equal(text_ids, 0))
  vectors = outputs["vectors"]
  vectors = tf.reshape(vectors, [-1, num_sequences, vectors.shape[-1]])
  both = vectors[:, 0], vectors[:, 1:]  # [B, D], [B, C, D]
  if note.loss == "triplet":
    return heads.semi_hard_triplet_loss(*both, text_ids, note.margin)
  return heads.in_batch_softmax_loss(*both, text_ids, note.temperature)


def model_fn_builder(
  bert_config: modeling.BertConfig,
  note: TaskNote,
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
  """The ranker's model_fn for TPUEstimator.

  Predictions are `scores` [B] of pairs (interaction), or `vectors` [B, D] of
  texts (representation).

  Args:
    bert_config: sizes of the encoder.
    note: the model, its loss and pooling.
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
    outputs = heads.ranker_forward(
      bert_config,
      features,
      dataclasses.asdict(note),
      is_training,
      dropout_seed,
      use_one_hot_embeddings=use_one_hot_embeddings,
      **(encoder_options or {}),
      compiled=compiled,
    )
    losses = []
    if is_training:
      losses.append(tf.reduce_sum(per_example_losses(note, outputs, features)))
    name = output_name(note)
    return estimators.Outputs(losses, predictions={name: outputs[name]})

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


def output_name(note: TaskNote) -> str:
  """What the model predicts."""
  return "scores" if note.model == "interaction" else "vectors"


# ----------------------------------------------------------------- scores


@dataclasses.dataclass
class TaskNote:
  """What prediction needs to know of a trained model: `task.json`."""

  task: str  # ranker: the key of heads.FORWARD
  model: str  # interaction or representation
  loss: str
  pooling: str  # of representation: mean or cls
  temperature: float  # of in_batch
  margin: float  # of triplet
  do_lower_case: bool
  max_seq_length: int


@dataclasses.dataclass
class Ranking:
  """How the model ranks the candidates of some examples."""

  examples: Sequence[InputExample]
  scores: list[np.ndarray]  # float [M] of each example's candidates

  @property
  def is_known(self) -> bool:
    """Whether it is known which candidates are true."""
    return all(example.labels for example in self.examples)

  def compute_scores(self, prefix: str) -> dict:
    """{name: float} as of `metrics.ranking_scores`."""
    labels = [example.labels for example in self.examples]
    found = metrics.ranking_scores(labels, self.scores)
    return {f"{prefix}_{name}": value for name, value in found.items()}

  def trec_run(self, tag: str) -> Iterator[str]:
    """The lines of a TREC run file."""
    return metrics.trec_run(self._guids, self._document_ids, self.scores, tag)

  def trec_qrels(self) -> Iterator[str]:
    """The lines of the qrels file that belongs to it."""
    labels = [example.labels for example in self.examples]
    return metrics.trec_qrels(self._guids, self._document_ids, labels)

  def lines(self) -> Iterator[str]:
    """The lines of predictions.jsonl: a context, its responses best first."""
    for example, scores in zip(self.examples, self.scores):
      ranked = []
      labels = example.labels or [0] * len(scores)
      for place in np.lexsort((labels, -scores)).tolist():  # as it is scored
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
    """A number in its row for each candidate, true ones first.

    trec_eval puts the higher id first where scores are equal: so ties count
    against us there, too.
    """
    most = max(len(example.responses) for example in self.examples)
    return [
      [f"{e.guid}-{number:0{len(str(most))}d}" for number in _true_first(e)]
      for e in self.examples
    ]


def _true_first(example):
  """The place of each candidate if the true ones were in front."""
  labels = np.array(example.labels or [0] * len(example.responses))
  order = np.argsort(-labels, kind="stable")
  return np.argsort(order).tolist()


_ROWS_AT_ONCE = 1 << 16
# Up to here an exact search takes some 20 ms on two cores (bench_search.py).
_MOST_EXACT = 500_000
# Of a FAISS index: vectors that a list's centre is learned from, and how its
# search is compared with the exact one.
_POINTS_A_LIST = 40
_QUERIES_TRIED = 256
_SHARE_FOUND = 0.99


def search(vectors: np.ndarray, queries: np.ndarray, count: int):
  """Finds the highest inner products, exactly.

  Args:
    vectors: float32 [N, D].
    queries: float32 [Q, D].
    count: how many to find for each query; at most N are found.

  Returns:
    products: float32 [Q, count], descending.
    places: int [Q, count] of `vectors`.
  """
  products = np.empty([len(queries), 0], np.float32)
  places = np.empty([len(queries), 0], int)
  for first in range(0, len(vectors), _ROWS_AT_ONCE):
    part = queries @ vectors[first : first + _ROWS_AT_ONCE].T  # [Q, R]
    best = np.argpartition(part, -min(count, part.shape[1]), axis=1)
    best = np.sort(best[:, -count:], axis=1)
    products = np.hstack([products, np.take_along_axis(part, best, axis=1)])
    places = np.hstack([places, first + best])
    order = np.argsort(-products, axis=1, kind="stable")[:, :count]
    products = np.take_along_axis(products, order, axis=1)
    places = np.take_along_axis(places, order, axis=1)
  return products, places


def _load_faiss():
  """The library, without its lines about the processor."""
  python_logging.getLogger("faiss").setLevel(python_logging.WARNING)
  import faiss

  return faiss


def build_index(vectors: np.ndarray):
  """A FAISS index that looks only at the vectors near a query.

  The vectors are put into lists around centres; a search reads the lists of the
  nearest `nprobe` centres (IVF; Jégou et al., 2011), which `tune_index` sets.

  Args:
    vectors: float32 [N, D], of length 1.

  Returns:
    A `faiss.IndexIVFFlat` of inner products.
  """
  faiss = _load_faiss()
  started = time.monotonic()
  num_lists = min(len(vectors), int(2 * np.sqrt(len(vectors))))
  index = faiss.IndexIVFFlat(
    faiss.IndexFlatIP(vectors.shape[1]),
    vectors.shape[1],
    num_lists,
    faiss.METRIC_INNER_PRODUCT,
  )
  index.cp.min_points_per_centroid = 1  # or else few are told as a defect
  index.cp.max_points_per_centroid = _POINTS_A_LIST
  index.train(vectors)
  index.add(vectors)
  logging.info(
    f"FAISS index of {len(vectors)} vectors in {num_lists} lists:"
    f" {time.monotonic() - started:.0f} s"
  )
  return index


def tune_index(index, vectors: np.ndarray, count: int) -> None:
  """Has an index read as many lists as find 99 % of what exact search finds.

  Args:
    index: of `build_index`; its `nprobe` is set.
    vectors: float32 [N, D], of which some are the queries of this trial.
    count: how many are to be found.
  """
  drawn = np.random.RandomState(0).permutation(len(vectors))
  queries = vectors[drawn[:_QUERIES_TRIED]]
  _, true = search(vectors, queries, count)
  share, index.nprobe = 0.0, 0
  while share < _SHARE_FOUND and index.nprobe < index.nlist:
    index.nprobe = min(max(1, 2 * index.nprobe), index.nlist)
    _, found = index.search(queries, count)
    share = np.mean([np.isin(*pair).mean() for pair in zip(true, found)])
  logging.info(
    f"FAISS index: reads {index.nprobe} of {index.nlist} lists, which hold"
    f" {share:.1%} of the {count} nearest to {len(queries)} of the responses"
  )


# ------------------------------------------------------------------- main


@dataclasses.dataclass
class Job:
  """One run: the model and the data."""

  config: modeling.BertConfig
  tokenizer: object  # FullTokenizer
  init_checkpoint: str | None
  note: TaskNote
  train: Sequence[TrainingRow]  # empty without --do_train
  valid: Sequence[InputExample]  # empty if not needed
  test: Sequence[InputExample]
  responses: Sequence[str]
  reranker: trained_model.TrainedModel | None
  input_fns: dict = dataclasses.field(default_factory=dict)  # made once each

  @property
  def num_train_steps(self) -> int:
    return old_runs.num_train_steps(len(self.train))


def define_flags() -> None:
  """This script's flags, beside those of common_flags."""
  common_flags.define_model_flags()
  common_flags.define_action_flags()
  common_flags.define_training_flags()
  common_flags.define_speed_flags()
  common_flags.define_device_flags()
  common_flags.define_evaluation_flags("eval_recall_at_1 or eval_mrr")
  flags.adopt_module_key_flags(common_flags)
  for name in ("eval_batch_size", "predict_batch_size"):
    FLAGS.set_default(name, 64)  # a response base is many texts
  flags.DEFINE_string(
    "data_dir",
    None,
    "Folder of train, valid (or val, dev) and test, ending in .csv or .tsv: a"
    " header with context, response and label (0 or 1), SWAG's, or none and in"
    " each row a context, its true response, and wrong ones.",
  )
  _define_ranking_flags()
  _define_search_flags()
  flags.mark_flags_as_required(["vocab_file", "bert_config_file", "output_dir"])


def _define_ranking_flags():
  """The model, and what it learns from."""
  flags.DEFINE_enum(
    "model",
    None,
    list(LOSSES),
    "interaction reads context and response as a pair; representation makes a"
    " vector of each. Not given: that of the trained model.",
  )
  flags.DEFINE_enum(
    "loss",
    None,
    [loss for losses in LOSSES.values() for loss in losses],
    "Of interaction: cross_entropy of each pair's label (usual), or of the true"
    " one among the candidates of a row. Of representation: in_batch, softmax"
    " over the batch's responses (usual), or semi-hard triplet. Their wrong"
    " responses are those of the part of a batch that is computed at once: of"
    " one device, and with --gradient_accumulation_steps of one slice.",
  )
  flags.DEFINE_enum(
    "pooling",
    None,
    ["mean", "cls"],
    "representation: of the tokens' vectors (usual), or the first one.",
  )
  flags.DEFINE_float(
    "temperature",
    None,
    "in_batch: divides the cosines before the softmax (usual: 0.05).",
    lower_bound=1e-4,
  )
  flags.DEFINE_float(
    "margin",
    None,
    "triplet: by which a wrong response should be farther, as the square of the"
    " distance (usual: 0.2).",
    lower_bound=0.0,
  )
  flags.DEFINE_integer(
    "num_candidates",
    0,
    "Train with at most so many responses of a row, a true one and the first"
    " wrong ones; 0: all. Rows with fewer are padded.",
    lower_bound=0,
  )
  flags.DEFINE_integer(
    "num_random_negatives",
    0,
    "Train with so many more wrong responses of each row, drawn from those of"
    " other contexts in the training data.",
    lower_bound=0,
  )


def _define_search_flags():
  """The response base, and how it is asked."""
  flags.DEFINE_bool(
    "do_interact",
    False,
    "Answer the questions of standard input, one a line, from --response_file.",
  )
  flags.DEFINE_string(
    "response_file",
    None,
    "Responses to search, one a line. Their vectors are kept beside it, with"
    " the endings .npy and .npy.json, and an index of them with .faiss and"
    " .faiss.json.",
  )
  flags.DEFINE_bool(
    "make_vectors",
    True,
    "Make the vectors of --response_file, and an index, where there are none,"
    " or those of another model or text; otherwise that is an error.",
  )
  flags.DEFINE_enum(
    "search",
    "auto",
    ["auto", "exact", "faiss"],
    "How --response_file is searched: exact computes all inner products; faiss"
    " those of the nearest parts (pip install -r requirements-faiss.txt), by an"
    " index kept beside it with the ending .faiss; auto is exact up to"
    f" {_MOST_EXACT} responses, and beyond that faiss if it is installed.",
  )
  flags.DEFINE_integer(
    "num_answers", 5, "Answers to a question.", lower_bound=1
  )
  flags.DEFINE_string(
    "rerank_model",
    None,
    "Folder of a trained interaction model, which puts the best candidates of"
    " the search in order.",
  )
  flags.DEFINE_integer(
    "rerank_candidates",
    20,
    "How many candidates --rerank_model gets.",
    lower_bound=1,
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
    ranking = rank(job, evaluator, job.valid, "eval", best)
    logging.info("evaluation:")
    scores = ranking.compute_scores("eval")
    used = old_runs.used_checkpoint(best, job.init_checkpoint)
    scores["global_step"] = checkpoints.current_step(used)
    estimators.write_eval_results(FLAGS.output_dir, scores, {})
    write_trec_files(ranking, "eval", job.note.model)
  if FLAGS.do_predict:
    predict(job, make_estimator(job, FLAGS.predict_batch_size), best)
  if FLAGS.do_interact:
    estimator = make_estimator(job, FLAGS.predict_batch_size)
    find = response_search(job, estimator, best)
    interact(job, find, old_runs.used_checkpoint(best, job.init_checkpoint))


def prepare() -> Job:
  """Checks the flags and reads all data, so that what is wrong shows early."""
  old_runs.check_flags(("do_train", "do_eval", "do_predict", "do_interact"))
  config, tokenizer = common_flags.load_model_files()
  init_checkpoint = old_runs.find_init_checkpoint(config)
  kept = old_runs.load_note(TaskNote, init_checkpoint)
  note = make_note(kept)
  check_flags(note)
  rows, valid, test, responses = [], [], [], []
  if FLAGS.do_train:
    rows = training_rows(
      read_examples(find_file(FLAGS.data_dir, "train"), "train"),
      note.loss,
      FLAGS.num_candidates,
      FLAGS.num_random_negatives,
      FLAGS.random_seed,
    )
  if FLAGS.do_eval or (FLAGS.do_train and FLAGS.eval_steps):
    valid = _read_rankable("valid")
  if FLAGS.do_predict:
    test = _read_rankable("test")
  if FLAGS.do_interact:
    responses = read_responses(FLAGS.response_file)
  reranker = find_reranker(FLAGS.rerank_model) if FLAGS.rerank_model else None
  model = config, tokenizer, init_checkpoint, note
  job = Job(*model, rows, valid, test, responses, reranker)
  if FLAGS.do_train:
    old_runs.check_train_steps(len(rows), "training rows")
    check_batch(note, rows)
  tf.io.gfile.makedirs(FLAGS.output_dir)
  return job


def check_batch(note: TaskNote, rows: Sequence[TrainingRow]) -> None:
  """Raises ValueError if a batch has nothing wrong to compare with."""
  parts = FLAGS.gradient_accumulation_steps * common_flags.num_replicas()
  at_once = FLAGS.train_batch_size // parts
  most = max(len(row.responses) for row in rows)
  if note.model == "representation" and at_once == most == 1:
    raise ValueError(
      f"--loss={note.loss} takes wrong responses from the rest of what is"
      " computed at once, which is one row without any: raise"
      f" --train_batch_size={FLAGS.train_batch_size}, which is split into"
      f" {parts} parts"
    )


def make_note(kept: TaskNote | None) -> TaskNote:
  """What the flags say of the model, or else the trained model's note.

  Raises:
    ValueError: they contradict each other.
  """
  model = FLAGS.model or (kept and kept.model)
  if not model:
    raise ValueError("give --model=interaction or --model=representation")
  losses = LOSSES[model]
  if FLAGS.loss and FLAGS.loss not in losses:
    raise ValueError(
      f"--loss={FLAGS.loss} is none of --model={model}, which has"
      f" {' and '.join(losses)}"
    )
  is_same = kept is not None and kept.model == model
  note = TaskNote(
    task="ranker",
    model=model,
    loss=FLAGS.loss or (kept.loss if is_same else losses[0]),
    pooling=FLAGS.pooling or (kept.pooling if kept else "mean"),
    temperature=FLAGS.temperature or (kept.temperature if kept else 0.05),
    margin=(kept.margin if kept else 0.2)
    if FLAGS.margin is None
    else FLAGS.margin,
    do_lower_case=FLAGS.do_lower_case,
    max_seq_length=FLAGS.max_seq_length,
  )
  if kept:
    old_runs.compare_notes(kept, note, ("model", "pooling", "do_lower_case"))
  return note


def check_flags(note: TaskNote) -> None:
  """Raises ValueError where flags do not go together."""
  scores = metrics.ranking_scores([[1, 0]], [[1.0, 0.0]])
  old_runs.check_evaluation([f"eval_{name}" for name in scores])
  for name, is_used in (
    ("pooling", note.model == "representation"),
    ("temperature", note.loss == "in_batch"),
    ("margin", note.loss == "triplet"),
  ):
    if FLAGS[name].value is not None and not is_used:
      raise ValueError(
        f"--{name} is not for --model={note.model} with --loss={note.loss}"
      )
  needs_data = FLAGS.do_train or FLAGS.do_eval or FLAGS.do_predict
  if needs_data and not FLAGS.data_dir:
    raise ValueError("--data_dir is needed to train, evaluate and predict")
  if FLAGS.do_interact and not FLAGS.response_file:
    raise ValueError("--do_interact needs --response_file")
  if FLAGS.do_interact and note.model != "representation":
    raise ValueError(
      f"--do_interact searches vectors, which --model={note.model} has not:"
      " give a representation model, and this one as --rerank_model"
    )
  if FLAGS.do_interact and FLAGS.precision == "float16":
    raise ValueError("--do_interact takes --precision=float32 or bfloat16")
  if FLAGS.do_interact and FLAGS.use_tpu:
    raise ValueError("--do_interact runs on GPU or CPU: leave out --use_tpu")
  if FLAGS.search == "faiss":
    if importlib.util.find_spec("faiss") is None:
      raise ValueError(
        "--search=faiss needs the library FAISS: pip install -r"
        " requirements-faiss.txt"
      )
    if FLAGS.response_file and "://" in FLAGS.response_file:
      raise ValueError(
        f"--search=faiss keeps its index on this machine: copy"
        f" --response_file={FLAGS.response_file} here"
      )
  if FLAGS.rerank_model and not FLAGS.do_interact:
    raise ValueError("--rerank_model needs --do_interact")


def _read_rankable(set_type):
  examples = read_examples(find_file(FLAGS.data_dir, set_type), set_type)
  check_rankable(examples)
  if set_type == "valid" and not all(e.labels for e in examples):
    raise ValueError(f"{examples[0].where}: there is no label to evaluate with")
  return examples


def make_estimator(job: Job, predict_batch_size: int):
  """The estimator of the flags, predicting so many examples at a time."""
  return old_runs.make_estimator(
    model_fn_builder,
    job.num_train_steps,
    predict_batch_size,
    bert_config=job.config,
    init_checkpoint=job.init_checkpoint,
    note=job.note,
  )


def train(job: Job, estimator, evaluator) -> None:
  """Trains to rank."""
  most = max(len(row.responses) for row in job.train)
  if job.note.loss == "cross_entropy":
    num_true = sum(row.label for row in job.train)
    logging.info(f"training pairs: {len(job.train)}, {num_true} of them true")
  else:
    logging.info(f"training rows: {len(job.train)} of up to {most} responses")
  schema = training_schema(job.note, FLAGS.max_seq_length, most)
  num_sequences = schema["input_ids"].shape[0]  # no matter for pairs
  packer = Packer(job.tokenizer, FLAGS.max_seq_length)
  input_fn = _input_fn(
    job,
    "train",
    [dataclasses.astuple(row) for row in job.train],
    schema,
    lambda: (packer.pack_row(r, job.note, num_sequences) for r in job.train),
    is_training=True,
  )

  def evaluate(checkpoint):
    ranking = rank(job, evaluator, job.valid, "eval", checkpoint)
    return ranking.compute_scores("eval")

  old_runs.train(
    estimator, input_fn, job.num_train_steps, len(job.train), evaluate, job.note
  )


def _input_fn(job, name, texts, schema, rows: Callable, is_training: bool):
  """Writes records, or finds them made of the same texts, and reads them."""
  output_file = old_runs.record_path(name)
  mark = files.fingerprint(
    texts,
    [job.note.model, job.note.loss if is_training else None],
    [FLAGS.max_seq_length, FLAGS.do_lower_case, job.tokenizer.vocab],
  )
  records = record_files.cached_records(
    output_file,
    mark,
    lambda: record_files.write_records(rows(), schema, output_file),
  )
  return old_runs.make_input_fn(records, schema, is_training)


def run_model(job: Job, estimator, texts, name: str, checkpoint) -> np.ndarray:
  """What the model says of texts or pairs.

  Args:
    job: the model.
    estimator: runs it.
    texts: [N] tuples of one text or two.
    name: of the records.
    checkpoint: prefix, or None.

  Returns:
    float32 [N, D] or [N].
  """
  if name not in job.input_fns:
    packer = Packer(job.tokenizer, FLAGS.max_seq_length)
    job.input_fns[name] = _input_fn(
      job,
      name,
      texts,
      record_files.sequence_schema(FLAGS.max_seq_length),
      lambda: (packer.pack(*parts) for parts in texts),
      is_training=False,
    )
  output, found = output_name(job.note), None
  for batch in estimators.predict(
    estimator, job.input_fns[name], len(texts), checkpoint
  ):
    if found is None:
      found = np.empty([len(texts), *batch[output].shape[1:]], np.float32)
    is_real = batch["example_index"] >= 0
    found[batch["example_index"][is_real]] = batch[output][is_real]
  return found


def rank(job: Job, estimator, examples, name: str, checkpoint) -> Ranking:
  """Scores the candidates of each example; equal ones are scored once.

  For in another place of a batch, or of a product, an equal text's score could
  differ in its last bits, and would not be seen to be a tie.
  """
  if job.note.model == "interaction":
    pairs = [(e.context, text) for e in examples for text in e.responses]
    pairs = list(dict.fromkeys(pairs))
    flat = run_model(job, estimator, pairs, name, checkpoint)
    score_of = dict(zip(pairs, flat))
  else:
    texts = [(t,) for e in examples for t in (e.context, *e.responses)]
    texts = list(dict.fromkeys(texts))
    vectors = run_model(job, estimator, texts, name, checkpoint)
    vector_of = {text: vector for (text,), vector in zip(texts, vectors)}
    score_of = {}
    for e in examples:
      distinct = list(dict.fromkeys(e.responses))
      found = np.stack([vector_of[t] for t in distinct]) @ vector_of[e.context]
      score_of.update(((e.context, t), s) for t, s in zip(distinct, found))
  return Ranking(
    examples,
    [np.array([score_of[e.context, t] for t in e.responses]) for e in examples],
  )


def write_trec_files(ranking: Ranking, name: str, tag: str) -> None:
  """Writes `name`_run.trec, and `name`_qrels.trec where labels are known."""
  contents = {"run": ranking.trec_run(tag)}
  if ranking.is_known:
    contents["qrels"] = ranking.trec_qrels()
  for kind, lines in contents.items():
    path = os.path.join(FLAGS.output_dir, f"{name}_{kind}.trec")
    files.write_lines(path, lines)
    logging.info(f"wrote {path}")


def predict(job: Job, estimator, checkpoint: str | None) -> None:
  """Ranks the test file, and scores it where the true responses are known."""
  ranking = rank(job, estimator, job.test, "predict", checkpoint)
  path = os.path.join(FLAGS.output_dir, "predictions.jsonl")
  files.write_lines(path, ranking.lines())
  logging.info(f"wrote {path}")
  write_trec_files(ranking, "test", job.note.model)
  if ranking.is_known:
    scores = ranking.compute_scores("test")
    for key, value in scores.items():
      logging.info(f"  {key} = {value}")
    path = os.path.join(FLAGS.output_dir, "test_results.json")
    files.write_json(path, scores)


def response_search(job: Job, estimator, checkpoint: str | None) -> Callable:
  """Searches the vectors of --response_file, kept or made.

  Returns:
    `(queries [Q, D], count) -> products, places`, as of `search`.
  """
  texts = [(text,) for text in job.responses]
  used = old_runs.used_checkpoint(checkpoint, job.init_checkpoint)
  mark = {
    "model": model_fingerprint(job, used),
    "text": files.fingerprint(job.responses),
    "checkpoint": used,
  }
  vectors = kept_file(
    FLAGS.response_file + ".npy",
    f"vectors of {FLAGS.response_file}",
    mark,
    lambda: run_model(job, estimator, texts, "responses", checkpoint),
    _save_vectors,
    _load_vectors,
    FLAGS.make_vectors,
  )

  def exact(queries, count):
    return search(vectors, queries, count)

  if not use_faiss(len(vectors)):
    return exact
  faiss = _load_faiss()
  try:
    index = kept_file(
      FLAGS.response_file + ".faiss",
      f"a FAISS index of {FLAGS.response_file}",
      mark,
      lambda: build_index(vectors),
      faiss.write_index,
      faiss.read_index,
      FLAGS.make_vectors,
    )
  except ValueError as error:
    if FLAGS.search == "faiss":
      raise
    logging.warning(f"{error}; without one, the search is exact, and slower")
    return exact
  count = FLAGS.rerank_candidates if FLAGS.rerank_model else 0
  tune_index(index, vectors, min(max(count, FLAGS.num_answers), len(vectors)))
  return index.search


def use_faiss(num_responses: int) -> bool:
  """Whether --search means FAISS for so many responses."""
  if FLAGS.search != "auto":
    return FLAGS.search == "faiss"
  if num_responses <= _MOST_EXACT:
    return False
  is_there = importlib.util.find_spec("faiss") is not None
  if not is_there:
    logging.warning(
      f"{num_responses} responses are searched exactly, which takes a while for"
      " each question: pip install -r requirements-faiss.txt is faster"
    )
  return is_there and os.path.exists(FLAGS.response_file)


def kept_file(
  path: str,
  what: str,
  mark: Mapping,
  make: Callable,
  save: Callable,
  load: Callable,
  may_make: bool = True,
):
  """What is kept in a file with its mark beside it, or made anew.

  Args:
    path: of the file; the mark is kept in the same with .json behind.
    what: it holds, for messages.
    mark: fingerprints of the `model` and the `text` that it is made of, and for
      messages the `checkpoint`.
    make: called without arguments, makes it.
    save: `(it, path)` writes it.
    load: `(path)` reads it.
    may_make: whether to make it where what is kept is of another mark.

  Raises:
    ValueError: there is none of this mark, and it can't be made or kept.
  """
  kept = _read_mark(path)
  changed = [key for key in ("model", "text") if kept.get(key) != mark[key]]
  why = f"there is no {path}"
  if kept and changed:
    why = f"{path} holds {what} of another {' and another '.join(changed)}"
    why += f" (made with {kept.get('checkpoint')})"
  elif kept and kept.get("bytes") == tf.io.gfile.stat(path).length:
    logging.info(f"{what}: {path}")
    try:
      return load(path)
    except (EOFError, RuntimeError, ValueError) as error:
      why = f"{path} is damaged ({error})"
  elif kept:
    why = f"{path} is damaged"
  _check_replaceable(path, why, may_make)
  logging.info(f"{why}: making {what} with {mark['checkpoint']}")
  made = make()
  with files.whole(path) as partial:
    save(made, partial)
    size = tf.io.gfile.stat(partial).length
    if tf.io.gfile.exists(path + ".json"):
      tf.io.gfile.remove(path + ".json")  # never beside another's vectors
  files.write_json(path + ".json", {**mark, "bytes": size})
  return made


def model_fingerprint(job: Job, checkpoint: str) -> str:
  """Equal for weights and settings that give equal vectors.

  A checkpoint's index has a checksum of each of its tensors.
  """
  with tf.io.gfile.GFile(checkpoint + ".index", "rb") as reader:
    weights = hashlib.sha256(reader.read()).hexdigest()
  note = job.note
  return files.fingerprint(
    weights,
    job.config.to_dict(),
    job.tokenizer.vocab,
    [note.pooling, note.do_lower_case, note.max_seq_length],
    FLAGS.precision,
  )


def _read_mark(path):
  """What is noted of the vectors in a file; {} if there are none."""
  note = path + ".json"
  if not tf.io.gfile.exists(path) or not tf.io.gfile.exists(note):
    return {}
  with tf.io.gfile.GFile(note) as reader:
    try:
      return dict(json.load(reader))
    except (TypeError, ValueError):
      return {}


def _check_replaceable(path, what, may_make):
  """Raises ValueError, before anything is computed, if it would be in vain."""
  if not may_make:
    raise ValueError(
      f"{what}: have it made (--make_vectors), or give the --output_dir or"
      " --init_checkpoint and the flags that go with what is there"
    )
  try:
    with tf.io.gfile.GFile(path + ".partial", "wb") as writer:
      writer.write(b"")
    tf.io.gfile.remove(path + ".partial")
    is_writable = not tf.io.gfile.isdir(path)
  except (OSError, tf.errors.OpError):
    is_writable = False
  if not is_writable:
    raise ValueError(
      f"{what}, and it can't be written: copy the responses to a folder that"
      " can be written to"
    )


def _save_vectors(vectors, path):
  with tf.io.gfile.GFile(path, "wb") as writer:
    np.save(writer, vectors)


def _load_vectors(path):
  if os.path.exists(path):
    return np.load(path)
  with tf.io.gfile.GFile(path, "rb") as reader:
    return np.load(io.BytesIO(reader.read()))


def interact(job: Job, find: Callable, checkpoint: str) -> None:
  """Answers the questions of standard input, best answers first.

  Args:
    job: with the responses.
    find: of `response_search`.
    checkpoint: prefix of the weights that make a question's vector.
  """
  model = trained_model.Predictor(
    trained_model.TrainedModel(
      dataclasses.asdict(job.note), job.config, job.tokenizer, checkpoint, {}
    ),
    FLAGS.precision,
  )
  reranker, count = None, FLAGS.num_answers
  if job.reranker:
    reranker = trained_model.Predictor(job.reranker, FLAGS.precision)
    count = max(count, FLAGS.rerank_candidates)
  model.run(model.prepare({"text": "?"})[0])  # the first one takes longer
  if sys.stdin.isatty():
    logging.info("a question a line; Ctrl-D ends")
  times = []
  for question in questions(sys.stdin.buffer):
    times.append([time.monotonic()])
    windows, _ = model.prepare({"text": question})
    query = np.stack([output["vectors"] for output in model.run(windows)])
    times[-1].append(time.monotonic())
    products, places = find(query, count)
    times[-1].append(time.monotonic())
    places = places[0][places[0] >= 0]  # FAISS: -1 where it found no more
    responses = [job.responses[place] for place in places]
    found = list(zip(products[0].tolist(), responses))
    if reranker:
      found = _reranked(reranker, question, responses)
    times[-1].append(time.monotonic())
    print(question)
    for place, (score, text) in enumerate(found[: FLAGS.num_answers], 1):
      print(f"{place:3d}  {score:.4f}  {text}")
    print(flush=True)
  if times:
    steps = np.median(np.diff(times, axis=1), axis=0) * 1000
    logging.info(
      f"{len(times)} questions, median: {steps[0]:.1f} ms for a vector,"
      f" {steps[1]:.1f} ms to search {len(job.responses)} responses"
      + (f", {steps[2]:.1f} ms to put {count} in order" if reranker else "")
    )


def questions(stream) -> Iterator[str]:
  """The lines of a stream of bytes; empty ones are passed over.

  One that is not UTF-8 is told and passed over, too.
  """
  for number, line in enumerate(iter(stream.readline, b""), 1):
    try:
      question = line.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
      logging.error(
        f"line {number} is not UTF-8: byte {error.start} is"
        f" 0x{line[error.start]:02x}"
      )
      continue
    if question:
      yield question


def _reranked(reranker, question, responses):
  """(probability of a match, response), best first."""
  windows = [
    window
    for text in responses
    for window in reranker.prepare({"text_a": question, "text_b": text})[0]
  ]
  outputs = reranker.run(windows)
  order = sorted(range(len(outputs)), key=lambda i: -outputs[i]["scores"])
  return [(float(outputs[i]["probabilities"]), responses[i]) for i in order]


def find_reranker(folder: str) -> trained_model.TrainedModel:
  """The interaction model in an output folder.

  Raises:
    ValueError: it holds none.
  """
  model = trained_model.find_model(folder)
  if model.note.get("model") != "interaction":
    kind = model.note.get("model", model.note["task"])
    raise ValueError(
      f"--rerank_model={folder} holds a {kind} model: give the --output_dir of"
      " a training with --model=interaction"
    )
  return model


if __name__ == "__main__":
  define_flags()
  common_flags.run(main)
