# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The formats that a trained model is exported in, one row of a table each.

In: a trained model and a Plan. Out: a folder with the file that a runtime
loads, and the model's small files; and the exported model run in its runtime.

A SavedModel has a graph for token ids and perhaps one for raw strings. TFLite
and ONNX files take token ids and give numbers: outputs that are strings (the
names of labels and tags) are left out, because `labels.txt` has them in order.

Shapes: B batch, S sequence.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.util
import json
import logging as python_logging
import os
import re
import tempfile
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow import lite
from tensorflow.python.eager import context

from bert.files import writing
from bert.records import text_graph
from bert.training import messages, trained_model

TFLITE_FILE, ONNX_FILE = "model.tflite", "model.onnx"
_ONNX_PACKAGES = ("onnx", "tf2onnx", "onnxruntime")
_OPSET = 17  # of ONNX: the newest that onnxruntime 1.13 and later read
_LEAST_HALVED = 1024  # numbers; smaller weights stay float32 in an ONNX file
_SERVING = tf.saved_model.signature_constants.DEFAULT_SERVING_SIGNATURE_DEF_KEY
# How TFLite's converter names an op that TFLite does not have.
_MISSING_OPS = re.compile(
  r"(?:TF Select|Custom) ops: ([^\n]+)|'tf\.(TensorList\w+)' op requires"
)


@dataclasses.dataclass(frozen=True)
class Plan:
  """How a model is exported."""

  format: str = "saved_model"
  precision: str = "float32"  # of the encoder, in a SavedModel
  with_text: bool = False  # also take raw strings, in a SavedModel
  quantize: str = "none"  # how a TFLite or ONNX file stores weights
  batch: int | None = None  # texts that a TFLite file takes at once; None: any
  length: int | None = None  # of these texts, in tokens; None: any


@dataclasses.dataclass(frozen=True)
class Format:
  """What makes one format different from the others.

  Attributes:
    save: called with (model, folder, plan), writes the model's files.
    load: called with (folder, number of threads or None), a context manager
      that gives {signature: run}; run takes {name: array [B, ...]} and returns
      the signature's outputs, {name: array [B, ...]}.
    check: called with nothing; raises ValueError if a package is missing.
  """

  save: Callable
  load: Callable
  check: Callable = lambda: None


# -------------------------------------------------------------- SavedModel


def _save_saved_model(model, folder, plan):
  make = functools.partial(
    make_signatures, model, plan.precision, plan.with_text
  )
  _write_saved_model(model, folder, make)


def _write_saved_model(model, folder, make):
  """Writes a SavedModel with the signatures that `make` returns."""
  with tf.Graph().as_default(), tf.Session() as session:
    signatures = make()
    trained_model.load_weights(session, model)
    with tempfile.TemporaryDirectory() as temporary:
      _write_small_files(model, temporary)
      for name in sorted(os.listdir(temporary)):
        path = tf.constant(os.path.join(temporary, name))
        tf.add_to_collection(tf.GraphKeys.ASSET_FILEPATHS, path)
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


def make_signatures(
  model: trained_model.TrainedModel, precision: str, with_text: bool
) -> dict:
  """The graph, and {name: signature}: `ids`, and for raw strings `text` and
  `text_pair`; `serving_default` is `ids`."""
  if with_text:
    inputs, texts = _inputs_of_text(model)
  else:
    inputs, texts = trained_model.placeholders(model.task), {}
  outputs = trained_model.predictions(model, inputs, precision)
  numbers = {k: v for k, v in inputs.items() if k == "features"}
  fed = {"ids": inputs, _SERVING: inputs}
  if texts:
    fed["text"] = {"text_a": texts["text_a"], **numbers}
    fed["text_pair"] = {**texts, **numbers}
    wanted = {"ids", _SERVING, *model.task.text_signatures()}
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


@contextlib.contextmanager
def _load_saved_model(folder, threads):
  config = tf.ConfigProto(intra_op_parallelism_threads=threads or 0)
  with tf.Graph().as_default(), tf.Session(config=config) as session:
    loaded = tf.saved_model.load(session, ["serve"], folder)
    yield {
      name: _call_of(session, signature)
      for name, signature in sorted(loaded.signature_def.items())
      if name != _SERVING  # the same as ids
    }


def _call_of(session, signature):
  inputs, outputs = list(signature.inputs), list(signature.outputs)
  call = session.make_callable(
    [signature.outputs[name].name for name in outputs],
    [signature.inputs[name].name for name in inputs],
  )

  def run(columns):
    return dict(zip(outputs, call(*(columns[name] for name in inputs))))

  return run


# ------------------------------------------------- graphs of ids and numbers


def _tensors(model, plan):
  """The inputs and the outputs that are numbers, {name: tensor} each."""
  inputs = trained_model.placeholders(model.task, plan.batch, plan.length)
  served = trained_model.predictions(model, inputs)
  outputs = {
    name: tensor for name, tensor in served.items() if tensor.dtype != tf.string
  }
  return inputs, outputs


def _write_small_files(model, folder):
  """Writes vocab.txt, bert_config.json, and what there is of task.json and
  labels.txt."""
  for name, path in model.files.items():
    tf.io.gfile.copy(path, os.path.join(folder, name))
  length = model.task.note.max_seq_length
  if "task.json" in model.files:
    path = os.path.join(folder, "task.json")
    with tf.io.gfile.GFile(path) as reader:
      note = json.load(reader)
    if note["max_seq_length"] != length:
      writing.write_json(path, {**note, "max_seq_length": length})
  labels = getattr(model.task.note, "labels", ())
  if labels:
    writing.write_lines(os.path.join(folder, "labels.txt"), labels)


@contextlib.contextmanager
def _quietly():
  """Hides what converters tell their developers; errors are raised anyway."""
  python_logging.disable(python_logging.WARNING)
  try:
    with messages.hidden_stderr():
      yield
  finally:
    python_logging.disable(python_logging.NOTSET)


def _write_bytes(path, content):
  with tf.io.gfile.GFile(path, "wb") as writer:
    writer.write(content)


# ------------------------------------------------------------------ TFLite


def _save_tflite(model, folder, plan):
  def make():
    with _functional_loops():
      inputs, outputs = _tensors(model, plan)
    signature = tf.saved_model.predict_signature_def(inputs, outputs)
    return {_SERVING: signature}

  with tempfile.TemporaryDirectory() as temporary:
    source = os.path.join(temporary, "saved_model")
    _write_saved_model(model, source, make)
    with _quietly():
      content = _to_tflite(source, plan, model.task.name)
  _write_small_files(model, folder)
  _write_bytes(os.path.join(folder, TFLITE_FILE), content)


@contextlib.contextmanager
def _functional_loops():
  """Has loops built as functions, the only loops that TFLite can hold."""
  before = tf.control_flow_v2_enabled()
  tf.enable_control_flow_v2()
  try:
    yield
  finally:
    if not before:
      tf.disable_control_flow_v2()


def _to_tflite(source, plan, task):
  """The bytes of a TFLite file, of TFLite's own ops."""
  with context.eager_mode():
    converter = lite.TFLiteConverter.from_saved_model(
      source, signature_keys=[_SERVING]
    )
    converter.target_spec.supported_ops = [lite.OpsSet.TFLITE_BUILTINS]
    if plan.quantize != "none":
      converter.optimizations = [lite.Optimize.DEFAULT]
    if plan.quantize == "float16":
      converter.target_spec.supported_types = [tf.float16]
    try:
      return converter.convert()
    except Exception as error:  # its class is not public
      ops = map("".join, _MISSING_OPS.findall(str(error)))
      found = ", ".join(ops) or str(error).splitlines()[0]
      shapes, remedy = "", "--format=saved_model or onnx can"
      if None in (plan.batch, plan.length):
        shapes = " for any number or length of texts"
        remedy = "give --export_length and --export_batch other values than 0"
      raise ValueError(
        f"--format=tflite: TFLite can't hold this {task} model{shapes}"
        f" ({found:.200}): {remedy}"
      ) from error


@contextlib.contextmanager
def _load_tflite(folder, threads):
  path = os.path.join(folder, TFLITE_FILE)
  call = lite.Interpreter(path, num_threads=threads).get_signature_runner()
  shapes = {
    name: details["shape_signature"]
    for name, details in call.get_input_details().items()
  }
  yield {"ids": functools.partial(_run_fixed, call, shapes)}


def _run_fixed(call, shapes, columns):
  """Runs rows in batches of the file's own size and width."""
  count, (size, *_) = len(columns["input_ids"]), shapes["input_ids"]
  parts = []
  for first in range(0, count, size if size > 0 else count):
    rows = slice(first, first + size if size > 0 else None)
    parts.append(
      call(
        **{
          n: _padded(n, columns[n][rows], shape) for n, shape in shapes.items()
        }
      )
    )
  return {
    name: np.concatenate([part[name] for part in parts])[:count]
    for name in parts[0]
  }


def _padded(name, rows, shape):
  """Rows padded with 0 to a shape, in which -1 is any size.

  Raises:
    ValueError: they are larger.
  """
  sizes = [
    size if wanted < 0 else wanted for size, wanted in zip(rows.shape, shape)
  ]
  if any(size > wanted for size, wanted in zip(rows.shape, sizes)):
    raise ValueError(
      f"{name} of {rows.shape[-1]} numbers does not fit: the file takes"
      f" {shape[-1]}"
    )
  return np.pad(rows, [(0, w - s) for s, w in zip(rows.shape, sizes)])


# -------------------------------------------------------------------- ONNX


def _check_onnx():
  missing = [p for p in _ONNX_PACKAGES if importlib.util.find_spec(p) is None]
  if missing:
    raise ValueError(
      f"--format=onnx needs {', '.join(missing)}: pip install -r"
      " requirements-onnx.txt, with Python 3.10 or 3.11"
    )


def _save_onnx(model, folder, plan):
  with _quietly():
    proto = _to_onnx(model, plan)
    if plan.quantize == "float16":
      _halve_weights(proto)
    content = proto.SerializeToString()
    if plan.quantize == "int8":
      content = _onnx_of_int8(content)
  _write_small_files(model, folder)
  _write_bytes(os.path.join(folder, ONNX_FILE), content)


def _to_onnx(model, plan):
  """The model as an onnx.ModelProto, for batches and lengths of any size."""
  import tf2onnx

  with tf.Graph().as_default(), tf.Session() as session:
    inputs, outputs = _tensors(model, plan)
    trained_model.load_weights(session, model)
    frozen = tf.graph_util.convert_variables_to_constants(
      session,
      session.graph.as_graph_def(),
      [tensor.op.name for tensor in outputs.values()],
    )
  proto, _ = tf2onnx.convert.from_graph_def(
    frozen,
    name=model.task.name,
    input_names=[tensor.name for tensor in inputs.values()],
    output_names=[tensor.name for tensor in outputs.values()],
    opset=_OPSET,
    tensors_to_rename={
      tensor.name: name for name, tensor in {**inputs, **outputs}.items()
    },
  )
  return proto


def _halve_weights(proto):
  """Stores weights as float16; the model makes them float32 as it is loaded."""
  from onnx import helper, numpy_helper, TensorProto

  casts = []
  for weight in proto.graph.initializer:
    values = numpy_helper.to_array(weight)
    if weight.data_type == TensorProto.FLOAT and values.size >= _LEAST_HALVED:
      name, half = weight.name, f"{weight.name}_float16"
      weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), half))
      casts.append(
        helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT)
      )
  nodes = [*casts, *proto.graph.node]
  del proto.graph.node[:]
  proto.graph.node.extend(nodes)


def _onnx_of_int8(content):
  """The bytes of a model whose products have weights of 8 bits."""
  from onnxruntime import quantization

  with tempfile.TemporaryDirectory() as temporary:
    before, after = (os.path.join(temporary, name) for name in ("a", "b"))
    _write_bytes(before, content)
    quantization.quantize_dynamic(
      before,
      after,
      per_channel=True,
      weight_type=quantization.QuantType.QUInt8,
    )
    with tf.io.gfile.GFile(after, "rb") as reader:
      return reader.read()


@contextlib.contextmanager
def _load_onnx(folder, threads):
  import onnxruntime

  options = onnxruntime.SessionOptions()
  options.intra_op_num_threads = threads or 0
  session = onnxruntime.InferenceSession(
    os.path.join(folder, ONNX_FILE), options, providers=["CPUExecutionProvider"]
  )
  inputs = [each.name for each in session.get_inputs()]
  outputs = [each.name for each in session.get_outputs()]

  def run(columns):
    fed = {name: columns[name] for name in inputs}
    return dict(zip(outputs, session.run(outputs, fed)))

  yield {"ids": run}


# ----------------------------------------------------------------- formats


FORMATS: Mapping[str, Format] = {
  "saved_model": Format(_save_saved_model, _load_saved_model),
  "tflite": Format(_save_tflite, _load_tflite),
  "onnx": Format(_save_onnx, _load_onnx, check=_check_onnx),
}


def save(model: trained_model.TrainedModel, folder: str, plan: Plan) -> None:
  """Writes a model's files into a folder, which exists."""
  FORMATS[plan.format].save(model, folder, plan)


def load(
  folder: str, format_name: str, threads: int | None = None
) -> contextlib.AbstractContextManager[dict[str, Callable]]:
  """An exported model in its runtime, {signature: run}; see `Format`.

  Args:
    folder: of `save`.
    format_name: a key of FORMATS.
    threads: that compute; None: as the runtime chooses.
  """
  return FORMATS[format_name].load(folder, threads)
