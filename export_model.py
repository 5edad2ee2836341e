# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Makes a SavedModel for TensorFlow Serving of a trained model.

In: the output folder of a run_ script. Out: `export_dir`/1 (or the next
number), whole when it appears: weights, the graph from ids, from raw strings
where tensorflow-text is installed, and as assets the vocabulary, `task.json`
(labels, thresholds, feature statistics) and `labels.txt`.

Shapes: B batch, S sequence, T tokens of a text.
"""

from __future__ import annotations

from bert.training import common_flags  # isort: skip (quiets TensorFlow before it starts)

import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import tensorflow.compat.v1 as tf
from absl import flags, logging

from bert.records import tables
from bert.training import trained_model

FLAGS = flags.FLAGS

_TEXT_PACKAGE = "tensorflow_text"
# Largest difference, as `compare` tells it, that --check accepts.
_TOLERANCES = {"float32": 1e-4, "bfloat16": 0.1}
_WINDOWS_AT_ONCE = 64  # that --check runs


# -------------------------------------------------- from strings to ids


_CJK = (
  r"[\x{4e00}-\x{9fff}\x{3400}-\x{4dbf}\x{20000}-\x{2a6df}\x{2a700}-\x{2b73f}"
  r"\x{2b740}-\x{2b81f}\x{2b820}-\x{2ceaf}\x{f900}-\x{faff}"
  r"\x{2f800}-\x{2fa1f}]"
)
_PUNCTUATION = r"[!-/:-@\[-`{-~\pP]"


def spaced(texts: tf.Tensor, do_lower_case: bool) -> tf.Tensor:
  """`tokenization.BasicTokenizer.spaced` as a graph: words between spaces.

  Args:
    texts: string [...], UTF-8; what is not is left out.
    do_lower_case: lower-case, and strip accents.

  Returns:
    string [...].
  """
  replace = tf.strings.regex_replace
  texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", "ignore")
  texts = replace(texts, r"[\t\n\r\pZ]", " ")
  texts = replace(texts, r"[\x{fffd}\p{Cc}\p{Cf}]+", "")
  texts = replace(texts, f"({_CJK})", r" \1 ")
  if do_lower_case:
    texts = tf.strings.lower(texts, encoding="utf-8")
    texts = _text_package().normalize_utf8(texts, "NFD")
    texts = replace(texts, r"\p{Mn}+", "")
  return replace(texts, f"({_PUNCTUATION})", r" \1 ")


def token_ids(texts: tf.Tensor, tokenizer) -> tf.RaggedTensor:
  """`tokenization.FullTokenizer.tokenize` as a graph.

  Args:
    texts: string [B].
    tokenizer: a FullTokenizer; its vocabulary becomes part of the graph.

  Returns:
    int64 [B, (T)].
  """
  basic, pieces = tokenizer.basic_tokenizer, tokenizer.wordpiece_tokenizer
  words = tf.strings.split(
    spaced(texts, basic.do_lower_case), result_type="RaggedTensor"
  )  # [B, (words)]
  limit = pieces.max_input_chars_per_word
  is_long = tf.strings.length(words.values, unit="UTF8_CHAR") > limit
  words = words.with_values(
    tf.where_v2(
      is_long, tf.fill(tf.shape(is_long), pieces.unk_token), words.values
    )
  )
  table = tf.lookup.StaticHashTable(
    tf.lookup.KeyValueTensorInitializer(
      tf.constant(list(tokenizer.vocab)),
      tf.constant(list(tokenizer.vocab.values()), tf.int64),
    ),
    -1,
  )
  splitter = _text_package().WordpieceTokenizer(
    table,
    max_bytes_per_word=4 * limit,
    unknown_token=pieces.unk_token,
    token_out_type=tf.int64,
  )
  return splitter.tokenize(words).merge_dims(1, 2)


def packed(
  ids_a: tf.RaggedTensor,
  ids_b: tf.RaggedTensor,
  has_b: tf.Tensor,
  max_seq_length: int,
  vocab: Mapping[str, int],
) -> dict:
  """`features.pack` as a graph; S is the longest row's length.

  Args:
    ids_a: int64 [B, (T)].
    ids_b: int64 [B, (T)], empty where there is no second text.
    has_b: bool [B], which rows have a second text.
    max_seq_length: longer rows are cut.
    vocab: for the ids of [CLS] and [SEP].

  Returns:
    `input_ids`, `input_mask` and `segment_ids`, int32 [B, S].
  """
  pairs = tf.cast(has_b, tf.int32)[:, tf.newaxis]
  kept_a, kept_b = _kept(ids_a, ids_b, max_seq_length - 2 - pairs)
  end_a = kept_a + 1  # place of the first [SEP], [B, 1]
  end = end_a + pairs * (kept_b + 1)  # of the last
  place = tf.range(tf.reduce_max(end) + 1)[tf.newaxis]  # [1, S]
  in_b = tf.cast(place > end_a, tf.int32)
  dense_a = tf.pad(_dense(ids_a), [[0, 0], [1, 1]])  # [CLS] and [SEP] are put
  source = tf.concat([dense_a, _dense(ids_b), tf.zeros_like(pairs)], axis=1)
  at = place + in_b * (tf.shape(dense_a)[1] - end_a - 1)
  at = tf.minimum(at, tf.shape(source)[1] - 1)
  ids = tf.gather(source, at, batch_dims=1)
  is_sep = tf.equal(place, end_a) | tf.equal(place, end)
  ids = tf.where_v2(is_sep, vocab["[SEP]"], ids)
  ids = tf.where_v2(tf.equal(place, 0), vocab["[CLS]"], ids)
  mask = tf.cast(place <= end, tf.int32)
  return {
    "input_ids": ids * mask,
    "input_mask": mask,
    "segment_ids": in_b * mask,
  }


def _kept(ids_a, ids_b, limit):
  """`features.pair_lengths`, int32 [B, 1] each."""
  length_a, length_b = (
    tf.cast(ids.row_lengths(), tf.int32)[:, tf.newaxis]
    for ids in (ids_a, ids_b)
  )
  most_a = tf.maximum(limit - limit // 2, limit - length_b)
  kept_a = tf.minimum(length_a, most_a)
  return kept_a, tf.minimum(length_b, limit - kept_a)


def _dense(ids):
  return tf.cast(ids.to_tensor(0), tf.int32)


def _text_package():
  """The package tensorflow_text, loaded where strings are asked for."""
  import tensorflow_text

  return tensorflow_text


def check_tokenizer(tokenizer, texts: Iterable[str]) -> int:
  """Compares the graph's tokens with the tokenizer's.

  Args:
    tokenizer: a FullTokenizer.
    texts: to compare besides the vocabulary's tokens, each as it is, in
      capitals and in a word.

  Returns:
    How many texts were compared.

  Raises:
    ValueError: they differ; the text is named.
  """
  tokens = [token.removeprefix("##") for token in tokenizer.vocab]
  texts = [
    text for token in tokens for text in (token, token.upper(), f"a{token} b")
  ] + list(texts)
  with tf.Graph().as_default(), tf.Session() as session:
    fed = tf.placeholder(tf.string, [None])
    ids = token_ids(fed, tokenizer)
    session.run(tf.tables_initializer())
    for first in range(0, len(texts), 4096):
      part = texts[first : first + 4096]
      found = session.run(ids, {fed: [text.encode("utf-8") for text in part]})
      for text, row in zip(part, found.to_list()):
        tokens = tokenizer.tokenize(text)
        wanted = tokenizer.convert_tokens_to_ids(tokens)
        if row != wanted:
          raise ValueError(
            f"tensorflow-text can't reproduce this vocabulary: of"
            f" {text!r:.80} it makes the ids {row}, and tokenization.py"
            f" {wanted}: export with --signatures=ids"
          )
  return len(texts)


# ----------------------------------------------------------------- export


def export(
  model: trained_model.TrainedModel,
  export_dir: str,
  precision: str,
  with_text: bool,
  check: Callable[[str], None] | None = None,
) -> str:
  """Writes the SavedModel as the next version in `export_dir`.

  Args:
    model: of `inference.find_model`.
    export_dir: what TensorFlow Serving calls the model's base path.
    precision: float32 or bfloat16.
    with_text: make signatures for raw strings too.
    check: called with the folder that is ready, before it has its name.

  Returns:
    The folder, such as `export_dir`/1.
  """
  tf.io.gfile.makedirs(export_dir)
  versions = [
    int(name)
    for name in (n.strip("/") for n in tf.io.gfile.listdir(export_dir))
    if name.isdecimal()
  ]
  folder = os.path.join(export_dir, str(max(versions, default=0) + 1))
  partial = folder + ".partial"  # no number, so Serving does not look at it
  if tf.io.gfile.exists(partial):
    tf.io.gfile.rmtree(partial)
  try:
    _save(model, partial, precision, with_text)
    if check:
      check(partial)
    tf.io.gfile.rename(partial, folder)
  finally:
    if tf.io.gfile.exists(partial):
      tf.io.gfile.rmtree(partial)
  return folder


def _save(model, folder, precision, with_text):
  with tf.Graph().as_default(), tf.Session() as session:
    signatures = make_signatures(model, precision, with_text)
    trained_model.load_weights(session, model)
    with tempfile.TemporaryDirectory() as temporary:
      _add_assets(model, temporary)
      builder = tf.saved_model.Builder(folder)
      builder.add_meta_graph_and_variables(
        session,
        [tf.saved_model.tag_constants.SERVING],
        signatures,
        assets_collection=tf.get_collection(tf.GraphKeys.ASSET_FILEPATHS),
        main_op=tf.tables_initializer(),
        strip_default_attrs=True,
      )
      builder.save()


def make_signatures(model, precision: str, with_text: bool) -> dict:
  """The graph, and {name: signature}: `ids`, and for raw strings `text` and
  `text_pair`; `serving_default` is `ids`."""
  if with_text:
    inputs, texts = _inputs_of_text(model)
  else:
    inputs, texts = trained_model.placeholders(model.note), {}
  outputs = trained_model.predictions(model, inputs, precision)
  numbers = {k: v for k, v in inputs.items() if k == "features"}
  fed = {"ids": inputs, "serving_default": inputs}
  if texts:
    fed["text"] = {"text_a": texts["text_a"], **numbers}
    fed["text_pair"] = {**texts, **numbers}
    wanted = {"ids", "serving_default", *_text_signatures(model)}
    fed = {name: tensors for name, tensors in fed.items() if name in wanted}
  return {
    name: tf.saved_model.predict_signature_def(tensors, outputs)
    for name, tensors in fed.items()
  }


def _text_signatures(model):
  return trained_model.TASKS[model.note["task"]].text_signatures(model.note)


def _inputs_of_text(model):
  """The model's inputs, made of strings; where ids are fed, they take the
  place of what would be made."""
  text_a = tf.placeholder(tf.string, [None], "text_a")
  text_b = tf.placeholder_with_default(
    tf.fill(tf.shape(text_a), ""), [None], "text_b"
  )
  # Where a text may be alone, an empty second one is none.
  has_b = tf.fill(tf.shape(text_b), True)
  if "text" in _text_signatures(model):
    has_b = tf.not_equal(text_b, "")
  rows = packed(
    token_ids(text_a, model.tokenizer),
    token_ids(text_b, model.tokenizer),
    has_b,
    model.note["max_seq_length"],
    model.tokenizer.vocab,
  )
  inputs = {
    name: tf.placeholder_with_default(tensor, [None, None], name)
    for name, tensor in rows.items()
  }
  numbers = trained_model.placeholders(model.note)
  if "features" in numbers:
    inputs["features"] = numbers["features"]
  return inputs, {"text_a": text_a, "text_b": text_b}


def _add_assets(model, folder):
  """Adds the model's small files to the graph's assets."""
  paths = dict(model.files)
  if model.note.get("labels"):
    paths["labels.txt"] = os.path.join(folder, "labels.txt")
    with open(paths["labels.txt"], "w", encoding="utf-8") as writer:
      writer.write("\n".join([*model.note["labels"], ""]))
  for path in paths.values():
    tf.add_to_collection(tf.GraphKeys.ASSET_FILEPATHS, tf.constant(path))


# ------------------------------------------------------------------ check


def compare(
  folder: str,
  model: trained_model.TrainedModel,
  predictor: trained_model.Predictor,
  rows: Sequence[Mapping],
) -> dict:
  """Runs rows through the export and through the checkpoint.

  Args:
    folder: of the SavedModel.
    model: as it was exported.
    predictor: of the model, in float32.
    rows: as predict.py takes them.

  Returns:
    {signature: largest difference of a number in the outputs, in parts of the
    largest of its kind and row where that is over 1; NaN where there is one}.
    Of the signatures for strings, those that can take all rows.
  """
  windows = [window for row in rows for window in predictor.prepare(row)[0]]
  wanted = predictor.run(windows)
  differences = {}
  with tf.Graph().as_default(), tf.Session() as session:
    loaded = tf.saved_model.load(session, ["serve"], folder)
    signatures = dict(loaded.signature_def)
    del signatures["serving_default"]  # the same as ids
    texts = {}
    if {"text", "text_pair"} & set(signatures):
      texts = _text_columns(model, rows)
      if any(texts["text_b"]):
        signatures.pop("text", None)
    for name, signature in sorted(signatures.items()):
      found = _outputs(session, signature, windows, texts)
      differences[name] = _largest_difference(found, wanted)
  return differences


def _text_columns(model, rows):
  """The rows as strings; each is one window."""
  task = trained_model.TASKS[model.note["task"]](model)
  texts_a, texts_b = zip(*(task.texts(row) for row in rows))
  return {"text_a": texts_a, "text_b": [text or "" for text in texts_b]}


def _outputs(session, signature, windows, texts):
  """Yields a signature's outputs of each window, {name: array}."""
  names = {name: info.name for name, info in signature.outputs.items()}
  for first in range(0, len(windows), _WINDOWS_AT_ONCE):
    part = slice(first, first + _WINDOWS_AT_ONCE)
    columns = {
      **trained_model.padded(windows[part]),
      **{name: column[part] for name, column in texts.items()},
    }
    fed = {info.name: columns[name] for name, info in signature.inputs.items()}
    columns = session.run(names, fed)
    for values in zip(*columns.values()):
      yield dict(zip(columns, values))


def _largest_difference(found, wanted):
  largest = 0.0
  for outputs, row in zip(found, wanted):
    for name, value in outputs.items():
      value, expected = np.ravel(value), np.ravel(row[name])
      if np.issubdtype(value.dtype, np.floating):
        # A window has the width of its batch.
        size = min(len(value), len(expected))
        gap = np.abs(value[:size] - expected[:size]).max(initial=0.0)
        scale = np.abs(expected).max(initial=1.0)
        largest = float(np.maximum(largest, gap / scale))  # keeps NaN
  return largest


# ------------------------------------------------------------------- main


_TEXTS = (
  "It's a café, naïve as ever; costs $5.00 (about 4,50 €).",
  "The quick brown fox jumps over the lazy dog, says the teacher.",
  "東京 is 東京都's centre\u2014isn't it?",
  "x",
)


def define_flags() -> None:
  """This script's flags."""
  common_flags.define_trained_model_flags()
  flags.adopt_module_key_flags(common_flags)
  flags.DEFINE_string(
    "export_dir",
    None,
    "Folder of the exported versions, 1, 2 and so on: the model's base path for"
    " TensorFlow Serving.",
  )
  flags.DEFINE_enum(
    "signatures",
    "auto",
    ["auto", "ids", "text"],
    "ids: for token ids; text: for raw strings too, with tensorflow-text; auto:"
    " as it is installed and the task allows.",
  )
  flags.DEFINE_enum(
    "precision",
    "float32",
    ["float32", "bfloat16"],
    "Of the encoder's products, activations and kernels.",
  )
  flags.DEFINE_bool(
    "check",
    False,
    "Run a few examples through the export and through the checkpoint, and"
    " compare.",
  )
  flags.DEFINE_string(
    "check_file",
    None,
    "JSON lines for --check, as predict.py reads them; not given: a few"
    " built-in texts.",
  )
  flags.mark_flags_as_required(["model_dir", "export_dir"])


def main(_):
  model = trained_model.find_model(FLAGS.model_dir, FLAGS.checkpoint)
  check = make_check(model)
  with_text = wants_text(model)
  if with_text:
    count = check_tokenizer(model.tokenizer, _TEXTS)
    logging.info(f"tokenizer: {count} texts have the same ids in the graph")
  names = ["ids", *(_text_signatures(model) if with_text else ())]
  folder = export(model, FLAGS.export_dir, FLAGS.precision, with_text, check)
  logging.info(
    f"exported {model.checkpoint} to {folder}: {model.note['task']},"
    f" {FLAGS.precision}, signatures {', '.join(names)}"
  )


def wants_text(model: trained_model.TrainedModel) -> bool:
  """Whether to make signatures for raw strings.

  Raises:
    ValueError: they are asked for, and can't be had.
  """
  is_installed = importlib.util.find_spec(_TEXT_PACKAGE) is not None
  is_possible = bool(_text_signatures(model))
  if FLAGS.signatures == "text" and not is_possible:
    raise ValueError(
      f"--signatures=text: a {model.note['task']} model takes ids only;"
      " predict.py takes text"
    )
  if FLAGS.signatures == "text" and not is_installed:
    raise ValueError(
      "--signatures=text needs tensorflow-text: pip install -r"
      " requirements-text.txt"
    )
  if FLAGS.signatures == "auto" and is_possible and not is_installed:
    logging.info(
      "tensorflow-text is not installed (requirements-text.txt): no signature"
      " for raw strings"
    )
  return FLAGS.signatures != "ids" and is_possible and is_installed


def make_check(
  model: trained_model.TrainedModel,
) -> Callable[[str], None] | None:
  """What --check does to a folder; None without it.

  Raises:
    ValueError: --check_file is not fit for it.
  """
  if not FLAGS.check:
    if FLAGS.check_file:
      raise ValueError(f"--check_file={FLAGS.check_file} needs --check")
    return None
  predictor = trained_model.Predictor(model)
  rows = check_rows(predictor, FLAGS.check_file)
  return lambda folder: check(folder, model, predictor, rows)


def check_rows(
  predictor: trained_model.Predictor, path: str | None
) -> list[dict]:
  """The rows of a file, or built-in ones.

  Raises:
    ValueError: the model does not take a row, which is named, or there is none.
  """
  if not path:
    return [
      {
        name: text if isinstance(value, str) else value
        for name, value in predictor.example.items()
      }
      for text in _TEXTS
    ]
  rows = []
  for line, row in tables.Table(path, has_header=False):
    try:
      windows, _ = predictor.prepare(row)
    except ValueError as error:
      raise ValueError(f"{path}:{line}: {error}") from None
    if windows:
      rows.append(row)
  if not rows:
    raise ValueError(f"{path} holds no text to check with")
  return rows


def check(
  folder: str,
  model: trained_model.TrainedModel,
  predictor: trained_model.Predictor,
  rows: Sequence,
) -> None:
  """Raises ValueError if the export says something else than the checkpoint."""
  differences = compare(folder, model, predictor, rows)
  for name, difference in differences.items():
    message = (
      f"check: {len(rows)} examples through signature {name} and through the"
      f" checkpoint differ by at most {difference:.2g}"
    )
    logging.info(message)
    if not difference <= _TOLERANCES[FLAGS.precision]:  # or NaN
      raise ValueError(f"{message}: nothing is exported")


if __name__ == "__main__":
  define_flags()
  common_flags.run(main)
