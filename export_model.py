# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Exports a trained model: as a SavedModel, for TFLite or for ONNX Runtime.

In: the output folder of a run_ script. Out: `export_dir`/1 (or the next
number), complete when it appears: the model in the format of --format, and
beside it the vocabulary, `task.json` (labels, thresholds, feature statistics)
and `labels.txt`. What differs between the formats is in
bert/training/export_formats.py.

Shapes: B batch, S sequence.
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
  format: str = flags.flag(
    "saved_model",
    "saved_model: for TensorFlow Serving; tflite: a file for phones and other"
    " small devices; onnx: a file for ONNX Runtime, which needs the packages of"
    " requirements-onnx.txt.",
    choices=("saved_model", "tflite", "onnx"),
  )
  quantize: str = flags.flag(
    "none",
    "How a TFLite or ONNX file stores the weights. float16: half as large,"
    " computed as in float32; int8: a quarter as large, with products of 8-bit"
    " numbers.",
    choices=("none", "float16", "int8"),
  )
  export_length: int | None = flags.flag(
    None,
    "Length in tokens of the texts that a TFLite file takes; shorter ones are"
    " padded. Default: the model's max_seq_length. 0: any length.",
    lower_bound=0,
  )
  export_batch: int = flags.flag(
    1,
    "Texts that a TFLite file takes at once. 0: any number.",
    lower_bound=0,
  )
  signatures: str = flags.flag(
    "auto",
    "What a SavedModel takes. ids: token ids; text: raw strings too, with"
    " tensorflow-text; auto: text if tensorflow-text is installed and the task"
    " allows it, otherwise ids.",
    choices=("auto", "ids", "text"),
  )
  precision: str = flags.flag(
    "float32",
    "Precision of the encoder's products, activations and kernels in a"
    " SavedModel.",
    choices=("float32", "bfloat16"),
  )
  check: bool = flags.flag(
    False,
    "Run a few examples through the export, in its own runtime, and through the"
    " checkpoint, and refuse the export if the outputs differ.",
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
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow.compat.v1 as tf
from absl import logging

from bert.files import writing
from bert.records import tables, text_graph
from bert.tasks import task as tasks
from bert.training import export_formats, trained_model

_TEXT_PACKAGE = "tensorflow_text"
# The largest difference, in `_largest_difference`'s measure, that --check
# accepts, by the precision or the type of the weights.
_TOLERANCES = {"float32": 1e-4, "bfloat16": 0.1, "float16": 0.02, "int8": 0.2}
_WINDOWS_AT_ONCE = 64  # for --check
# Flags that are for some formats: {flag: (formats, values that suit the others
# too, what these have instead)}.
_FLAGS_OF_FORMATS = {
  "quantize": (
    ("tflite", "onnx"),
    ("none",),
    "a SavedModel can have --precision=bfloat16",
  ),
  "precision": (
    ("saved_model",),
    ("float32",),
    "the other formats can have --quantize=float16",
  ),
  "signatures": (
    ("saved_model",),
    ("auto", "ids"),
    "the other formats take token ids",
  ),
  "export_length": (
    ("tflite",),
    (None,),
    "the other formats take texts of any length",
  ),
  "export_batch": (
    ("tflite",),
    (1,),
    "the other formats take any number of texts",
  ),
}


# ----------------------------------------------------------------- export


def export(
  model: trained_model.TrainedModel,
  export_dir: str,
  plan: export_formats.Plan,
  check: Callable[[str], None] | None = None,
) -> str:
  """Writes the model as the next version in `export_dir`.

  Args:
    model: of `trained_model.find_model`.
    export_dir: the model's base path for TensorFlow Serving.
    plan: the format, and how the model is written in it.
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
    export_formats.save(model, partial, plan)
    if check:
      check(partial)
    tf.io.gfile.rename(partial, folder)
  return folder


# ------------------------------------------------------------------ check


@dataclasses.dataclass(frozen=True)
class Agreement:
  """How far an export agrees with its checkpoint."""

  # The largest difference of a number in the outputs, in parts of the largest
  # of its kind and row where that is over 1; NaN where there is one.
  difference: float
  decisions: int  # rows whose answer decides something, such as a label
  same: int  # of them, those where the two decide the same

  def is_within(self, weights: str) -> bool:
    """Whether --check accepts it for weights of a type, of `_TOLERANCES`.

    8 bits move every number. On MRPC they changed 2 to 5 answers in a hundred,
    and about as many became right as wrong. So one in ten may change, or one of
    few.
    """
    if weights == "int8" and self.decisions:
      changed = self.decisions - self.same
      return changed <= max(1, self.decisions // 10) and self.difference >= 0.0
    return self.difference <= _TOLERANCES[weights]  # not NaN

  def __str__(self):
    share = ""
    if self.decisions:
      share = (
        f"; {self.same} of {self.decisions} answers are the same"
        f" ({self.same / self.decisions:.1%})"
      )
    return f"differ by at most {self.difference:.2g}{share}"


def compare(
  folder: str,
  format_name: str,
  model: trained_model.TrainedModel,
  predictor: trained_model.Predictor,
  rows: Sequence[Mapping],
) -> dict[str, Agreement]:
  """Runs rows through the export and through the checkpoint.

  Args:
    folder: of the export.
    format_name: a key of `export_formats.FORMATS`.
    model: as it was exported.
    predictor: of the model, in float32.
    rows: as predict.py takes them.

  Returns:
    {signature: how far it agrees}. Of the signatures for strings, those that
    can take all rows.
  """
  prepared = [predictor.prepare(row) for row in rows]
  windows = [window for found, _ in prepared for window in found]
  wanted = predictor.run(windows)
  decided = _decisions(model.task, prepared, wanted)
  agreements = {}
  with export_formats.load(folder, format_name) as signatures:
    texts = {}
    if {"text", "text_pair"} & set(signatures):
      texts = _text_columns(model, rows)
      if any(texts["text_b"]):
        signatures.pop("text", None)
    for name, run in signatures.items():
      found = list(_outputs(run, windows, texts))
      pairs = [
        pair
        for pair in zip(decided, _decisions(model.task, prepared, found))
        if pair != (None, None)
      ]
      agreements[name] = Agreement(
        _largest_difference(found, wanted),
        len(pairs),
        sum(ours == theirs for ours, theirs in pairs),
      )
  return agreements


def _decisions(task, prepared, outputs):
  """What each row's answer decides; None where the task does not say."""
  if type(task).decision is tasks.Task.decision:
    return [None] * len(prepared)
  rest = iter(outputs)
  return [
    task.decision(task.answer(kept, [next(rest) for _ in windows]))
    for windows, kept in prepared
  ]


def _text_columns(model, rows):
  """The rows as strings; each is one window."""
  texts_a, texts_b = zip(*(model.task.texts(row) for row in rows))
  return {
    "text_a": np.array([text.encode("utf-8") for text in texts_a], object),
    "text_b": np.array(
      [(text or "").encode("utf-8") for text in texts_b], object
    ),
  }


def _outputs(run, windows, texts):
  """Yields a signature's outputs of each window, {name: array}."""
  for first in range(0, len(windows), _WINDOWS_AT_ONCE):
    part = slice(first, first + _WINDOWS_AT_ONCE)
    columns = run(
      {
        **trained_model.padded(windows[part]),
        **{name: column[part] for name, column in texts.items()},
      }
    )
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
  check_flags(options)
  model = trained_model.find_model(
    options.model_dir, options.checkpoint, options.task_file
  )
  plan, model = make_plan(options, model)
  check = make_check(options, plan, model)
  if plan.with_text:
    count = text_graph.check_tokenizer(model.tokenizer, _TEXTS)
    logging.info(f"tokenizer: {count} texts have the same ids in the graph")
  folder = export(model, options.export_dir, plan, check)
  if plan.format == "saved_model":
    texts = model.task.text_signatures() if plan.with_text else ()
    shown = f"signatures {', '.join(['ids', *texts])}"
  else:
    shown = f"{plan.format}, {_size(folder) / 1e6:.1f} MB"
  logging.info(
    f"exported {model.checkpoint} to {folder}: {model.task.name},"
    f" {_weights(plan)}, {shown}"
  )


def _weights(plan):
  """The type of the weights, or the precision that they are computed in."""
  return plan.precision if plan.quantize == "none" else plan.quantize


def _size(folder):
  return sum(
    tf.io.gfile.stat(os.path.join(folder, name)).length
    for name in tf.io.gfile.listdir(folder)
  )


def check_flags(options: Options) -> None:
  """Raises ValueError if flags do not fit each other."""
  for flag, (formats, neutral, instead) in _FLAGS_OF_FORMATS.items():
    value = getattr(options, flag)
    if options.format not in formats and value not in neutral:
      raise ValueError(
        f"--{flag}={value} is for --format={' and '.join(formats)}: {instead}"
      )
  if options.check_file and not options.check:
    raise ValueError(f"--check_file={options.check_file} needs --check")
  export_formats.FORMATS[options.format].check()


def make_plan(
  options: Options, model: trained_model.TrainedModel
) -> tuple[export_formats.Plan, trained_model.TrainedModel]:
  """How to export, and the model with the length that the export has.

  Raises:
    ValueError: the model can't be exported so.
  """
  plan = export_formats.Plan(
    format=options.format,
    precision=options.precision,
    with_text=options.format == "saved_model" and wants_text(options, model),
    quantize=options.quantize,
  )
  if plan.format != "tflite":
    return plan, model
  limit, length = model.config.max_position_embeddings, options.export_length
  if length is None:
    length = model.task.note.max_seq_length
  if length > limit:
    raise ValueError(
      f"--export_length={length} is over max_position_embeddings={limit} of"
      f" {model.files['bert_config.json']}"
    )
  if 0 < length < model.task.least_length:
    raise ValueError(
      f"--export_length={length} is too short for this {model.task.name} model:"
      f" give at least {model.task.least_length}"
    )
  if length:
    note = dataclasses.replace(model.task.note, max_seq_length=length)
    model = dataclasses.replace(model, task=type(model.task)(note))
  plan = dataclasses.replace(
    plan, batch=options.export_batch or None, length=length or None
  )
  return plan, model


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
  options: Options,
  plan: export_formats.Plan,
  model: trained_model.TrainedModel,
) -> Callable[[str], None] | None:
  """What --check does to a folder; None without it.

  Raises:
    ValueError: --check_file can't be used for it.
  """
  if not options.check:
    return None
  predictor = trained_model.Predictor(model)
  rows = check_rows(predictor, options.check_file)
  return lambda folder: check(folder, plan, model, predictor, rows)


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
  plan: export_formats.Plan,
  model: trained_model.TrainedModel,
  predictor: trained_model.Predictor,
  rows: Sequence,
) -> None:
  """Raises ValueError if the export's outputs differ from the checkpoint's."""
  agreements = compare(folder, plan.format, model, predictor, rows)
  for name, agreement in agreements.items():
    message = (
      f"check: {len(rows)} examples through signature {name} and through the"
      f" checkpoint {agreement}"
    )
    logging.info(message)
    if not agreement.is_within(_weights(plan)):
      raise ValueError(f"{message}: nothing is exported")


if __name__ == "__main__":
  entry.run(main, Options)
