# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Makes a SavedModel for TensorFlow Serving of a trained model.

In: the output folder of a run_ script. Out: `export_dir`/1 (or the next
number), complete when it appears: weights; the graph from ids and, where
tensorflow-text is installed, from raw strings; and as assets the vocabulary,
`task.json` (labels, thresholds, feature statistics) and `labels.txt`.

Shapes: B batch, S sequence, T tokens of a text.
"""

from __future__ import annotations

import dataclasses

from bert.training import entry, flags


@dataclasses.dataclass(frozen=True)
class Options(flags.TrainedModelOptions):
  """This script's flags."""

  export_dir: str | None = flags.flag(
    None,
    "Folder for the exported versions, which are named 1, 2 and so on. It is"
    " the model's base path for TensorFlow Serving.",
    required=True,
    writes="folder",
  )
  signatures: str = flags.flag(
    "auto",
    "What the model takes. ids: token ids; text: raw strings too, with"
    " tensorflow-text; auto: text if tensorflow-text is installed and the task"
    " allows it, otherwise ids.",
    choices=("auto", "ids", "text"),
  )
  precision: str = flags.flag(
    "float32",
    "Precision of the encoder's products, activations and kernels.",
    choices=("float32", "bfloat16"),
  )
  check: bool = flags.flag(
    False,
    "Run a few examples through the export and through the checkpoint, and"
    " refuse the export if the outputs differ.",
  )
  check_file: str | None = flags.flag(
    None,
    "JSON lines for --check, as predict.py reads them. Default: a few built-in"
    " texts.",
    reads=True,
  )


if __name__ == "__main__":
  entry.parse(Options)  # --help ends here, before the slow imports

import importlib.util
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow.compat.v1 as tf
from absl import logging

from bert.files import writing
from bert.records import tables, text_graph
from bert.training import trained_model

_TEXT_PACKAGE = "tensorflow_text"
# The largest difference, in `compare`'s measure, that --check accepts.
_TOLERANCES = {"float32": 1e-4, "bfloat16": 0.1}
_WINDOWS_AT_ONCE = 64  # for --check


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
    model: of `trained_model.find_model`.
    export_dir: the model's base path for TensorFlow Serving.
    precision: float32 or bfloat16.
    with_text: make signatures for raw strings too.
    check: called with the finished folder, before it gets its name.

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
  with writing.scratch_folder(partial):
    _save(model, partial, precision, with_text)
    if check:
      check(partial)
    tf.io.gfile.rename(partial, folder)
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
    inputs, texts = trained_model.placeholders(model.task), {}
  outputs = trained_model.predictions(model, inputs, precision)
  numbers = {k: v for k, v in inputs.items() if k == "features"}
  fed = {"ids": inputs, "serving_default": inputs}
  if texts:
    fed["text"] = {"text_a": texts["text_a"], **numbers}
    fed["text_pair"] = {**texts, **numbers}
    wanted = {"ids", "serving_default", *model.task.text_signatures()}
    fed = {name: tensors for name, tensors in fed.items() if name in wanted}
  return {
    name: tf.saved_model.predict_signature_def(tensors, outputs)
    for name, tensors in fed.items()
  }


def _inputs_of_text(model):
  """The model's inputs, made of strings; where ids are fed, they take the
  place of what would be made."""
  text_a = tf.placeholder(tf.string, [None], "text_a")
  text_b = tf.placeholder_with_default(
    tf.fill(tf.shape(text_a), ""), [None], "text_b"
  )
  # Where a text may be alone, an empty second one is none.
  has_b = tf.fill(tf.shape(text_b), True)
  if "text" in model.task.text_signatures():
    has_b = tf.not_equal(text_b, "")
  rows = text_graph.packed(
    text_graph.token_ids(text_a, model.tokenizer),
    text_graph.token_ids(text_b, model.tokenizer),
    has_b,
    model.task.note.max_seq_length,
    model.tokenizer.vocab,
  )
  inputs = {
    name: tf.placeholder_with_default(tensor, [None, None], name)
    for name, tensor in rows.items()
  }
  numbers = trained_model.placeholders(model.task)
  if "features" in numbers:
    inputs["features"] = numbers["features"]
  return inputs, {"text_a": text_a, "text_b": text_b}


def _add_assets(model, folder):
  """Adds the model's small files to the graph's assets."""
  paths = dict(model.files)
  labels = getattr(model.task.note, "labels", ())
  if labels:
    paths["labels.txt"] = os.path.join(folder, "labels.txt")
    with open(paths["labels.txt"], "w", encoding="utf-8") as writer:
      writer.write("\n".join([*labels, ""]))
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
  texts_a, texts_b = zip(*(model.task.texts(row) for row in rows))
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


def main(options: Options) -> None:
  model = trained_model.find_model(
    options.model_dir, options.checkpoint, options.task_file
  )
  check = make_check(options, model)
  with_text = wants_text(options, model)
  if with_text:
    count = text_graph.check_tokenizer(model.tokenizer, _TEXTS)
    logging.info(f"tokenizer: {count} texts have the same ids in the graph")
  names = ["ids", *(model.task.text_signatures() if with_text else ())]
  folder = export(
    model, options.export_dir, options.precision, with_text, check
  )
  logging.info(
    f"exported {model.checkpoint} to {folder}: {model.task.name},"
    f" {options.precision}, signatures {', '.join(names)}"
  )


def wants_text(options: Options, model: trained_model.TrainedModel) -> bool:
  """Whether to make signatures for raw strings.

  Raises:
    ValueError: --signatures=text, and they can't be made.
  """
  is_installed = importlib.util.find_spec(_TEXT_PACKAGE) is not None
  is_possible = bool(model.task.text_signatures())
  if options.signatures == "text" and not is_possible:
    raise ValueError(
      f"--signatures=text: a {model.task.name} model takes ids only;"
      " predict.py takes text"
    )
  if options.signatures == "text" and not is_installed:
    raise ValueError(
      "--signatures=text needs tensorflow-text: pip install -r"
      " requirements-text.txt"
    )
  if options.signatures == "auto" and is_possible and not is_installed:
    logging.info(
      "tensorflow-text is not installed (requirements-text.txt): no signature"
      " for raw strings"
    )
  return options.signatures != "ids" and is_possible and is_installed


def make_check(
  options: Options, model: trained_model.TrainedModel
) -> Callable[[str], None] | None:
  """What --check does to a folder; None without it.

  Raises:
    ValueError: --check_file can't be used for it.
  """
  if not options.check:
    if options.check_file:
      raise ValueError(f"--check_file={options.check_file} needs --check")
    return None
  predictor = trained_model.Predictor(model)
  rows = check_rows(predictor, options.check_file)
  tolerance = _TOLERANCES[options.precision]
  return lambda folder: check(folder, model, predictor, rows, tolerance)


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
        name: value.replace("...", text) if isinstance(value, str) else value
        for name, value in predictor.example.items()
      }
      for text in _TEXTS
    ]
  rows = []
  for line, row in tables.read_rows(path):
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
  tolerance: float,
) -> None:
  """Raises ValueError if the export's outputs differ from the checkpoint's."""
  differences = compare(folder, model, predictor, rows)
  for name, difference in differences.items():
    message = (
      f"check: {len(rows)} examples through signature {name} and through the"
      f" checkpoint differ by at most {difference:.2g}"
    )
    logging.info(message)
    if not difference <= tolerance:  # or NaN
      raise ValueError(f"{message}: nothing is exported")


if __name__ == "__main__":
  entry.run(main, Options)
