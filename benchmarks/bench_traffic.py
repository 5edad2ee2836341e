# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Counts the bytes that a training step on a GPU moves through its memory.

In: flags that choose length, batch and precision. Out: a table in GB, and JSON
with --json_out. Nothing is run: the step's graph is built as for a GPU, with
static shapes, and the sizes of operands are added up. So this needs no GPU.

Counted are the inputs and outputs of every op that the step depends on, each
time it is read or written:
- Free are ops that give another view of the same memory (FREE).
- Variables count where they are gathered from or updated, in and out.
- A compiled function counts once for each pass over memory that XLA makes of
  it. Element-wise ops, broadcasts and views are computed in registers; a sum
  ends a pass, and what needs it begins another one. A pass reads what it needs
  of the function's inputs and of earlier sums, again if an earlier pass has
  read it, and writes its sums and its outputs. Sums over rows, sums over
  columns and element-wise outputs are passes of their own. So a function
  without sums counts its inputs and outputs only.
- With --use_xla the whole step is one program; it isn't counted here.

`layer` is what one more layer adds to the step, its share of clipping and of
the optimiser included. `model` is the whole model with a classifier of two
labels. Caches, and ops that TensorFlow joins while it runs, are left out.

  python benchmarks/bench_traffic.py
  python benchmarks/bench_traffic.py --plain --lengths=512
"""

import argparse
import collections
import dataclasses
import json
import os
import pathlib
import sys
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

# isort: split
import tensorflow.compat.v1 as tf

import modeling
import optimization
from bert.tasks import layers

LABELS = 2
PRODUCTS, PASSES, OTHERS = "matrix products", "compiled passes", "others"
FREE = {
  *("Identity", "IdentityN", "StopGradient", "PreventGradient", "Reshape"),
  *("ExpandDims", "Squeeze", "Bitcast", "ReadVariableOp", "Const", "Shape"),
  *("VarHandleOp", "Placeholder", "NoOp", "ShapeN", "Size", "Rank"),
}
MATRIX_PRODUCTS = {"MatMul", "BatchMatMulV2", "Einsum"}
VIEWS = {"Identity", "StopGradient", "Reshape", "ExpandDims", "Squeeze"}
CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
# How often an op goes through each variable that it is given.
VARIABLE_PASSES = {
  "ResourceApplyAdam": 2,  # in and out
  "AssignSubVariableOp": 2,
  "AssignAddVariableOp": 2,
  "AssignVariableOp": 1,
}
SUMS = {"Sum", "Mean", "Max", "Min", "BiasAddGrad"}
SMALL = 1e-3  # GB: types of ops with less are shown together


def parse_arguments(arguments=None):
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument(
    "--bert_config_file", help="the model's sizes; default: BERT-Base"
  )
  parser.add_argument(
    "--lengths",
    type=lambda text: [int(part) for part in text.split(",")],
    default=[128, 512],
    help="default: 128,512",
  )
  parser.add_argument("--batch_size", type=int, default=32)
  parser.add_argument(
    "--precision",
    choices=["float32", "bfloat16", "float16"],
    default="bfloat16",
  )
  parser.add_argument(
    "--plain", action="store_true", help="as where XLA can't compile"
  )
  parser.add_argument("--recompute_layers", action="store_true")
  parser.add_argument("--json_out", help="write the table as JSON here")
  return parser.parse_args(arguments)


# ------------------------------------------------------------------ graphs


def training_step(config, args, length):
  """Builds a step in the default graph, as for a GPU; returns its train op."""
  names = ("input_ids", "input_mask", "token_type_ids")
  shape = [args.batch_size, length]
  inputs = {name: tf.placeholder(tf.int32, shape) for name in names}
  labels = tf.placeholder(tf.int32, [args.batch_size])
  step = tf.cast(tf.train.get_or_create_global_step(), tf.int32)

  def loss_fn(batch, unused_index):
    model = modeling.BertModel(
      *(config, True),
      **batch,
      scope="bert",
      dropout_seed=tf.stack([1, step]),
      compute_dtype=tf.as_dtype(args.precision),
      recompute_layers=args.recompute_layers,
      compiled=not args.plain,
      last_positions=layers.first_position(batch),
    )
    logits = layers.labels_product(model.get_pooled_output(), LABELS)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
      labels=labels, logits=logits
    )
    return tf.reduce_mean(losses)

  options = optimization.Options(
    learning_rate=2e-5, num_train_steps=1000, num_warmup_steps=100
  )
  with mock.patch.object(tf.config, "list_physical_devices", lambda _: ["GPU"]):
    return optimization.train_step(loss_fn, inputs, options).train_op


def needed(op):
  """The ops that an op depends on, and the op itself."""
  waiting, seen = [op], set()
  while waiting:
    op = waiting.pop()
    if op not in seen:
      seen.add(op)
      waiting += [value.op for value in op.inputs]
      waiting += op.control_inputs
  return seen


# ---------------------------------------------------------------- counting


def traffic(op) -> collections.Counter:
  """{kind: bytes} of everything that an op depends on."""
  found = collections.Counter()
  for each in needed(op):
    if each.type in FREE:
      continue
    if each.type in CALLS:
      found[PASSES] += passes_bytes(called(each))
    elif each.type in MATRIX_PRODUCTS:
      found[PRODUCTS] += op_bytes(each)
    else:
      found[each.type] += op_bytes(each)
  return found


def op_bytes(op) -> int:
  """The bytes of an op's inputs and outputs."""
  values = [*op.inputs, *op.outputs]
  if op.type in ("ResourceGather", "GatherV2"):  # it reads what it gives
    values = [op.inputs[1], *op.outputs, *op.outputs]
  if op.type == "UnsortedSegmentSum":  # it adds to the rows that it is given
    values = [op.inputs[1], op.inputs[0], op.inputs[0], *op.outputs]
  if op.type in ("Slice", "StridedSlice"):
    values = [*op.outputs, *op.outputs]
  total = sum(size_of(value) for value in values)
  times = VARIABLE_PASSES.get(op.type, 0)
  return total + times * sum(variable_bytes(value) for value in op.inputs)


def size_of(value) -> int:
  """The bytes of a tensor; 0 of a variable's handle."""
  if value.dtype in (tf.resource, tf.string, tf.variant):
    return 0
  count = value.shape.num_elements()
  if count is None:
    raise ValueError(f"the shape of {value.name} is unknown: {value.shape}")
  return count * value.dtype.size


def variable_bytes(handle) -> int:
  """The bytes of the variable behind a handle; 0 of another tensor."""
  if handle.dtype != tf.resource:
    return 0
  shape = tf.TensorShape(handle.op.get_attr("shape"))
  return shape.num_elements() * handle.op.get_attr("dtype").size


def called(op):
  """The graph of the compiled function that an op calls."""
  function = op.graph._get_function(op.get_attr("f").name)
  if not function.definition.attr["_XlaMustCompile"].b:
    raise ValueError(f"{op.name} calls a function that is not compiled")
  return function.graph


def passes_bytes(function) -> int:
  """The bytes of a compiled function's passes; see the top of the file."""
  passes = Passes(function)
  return sum(
    size_of(value)
    for reads, writes in passes.found.values()
    for value in {id(value): value for value in [*reads, *writes]}.values()
  )


class Passes:
  """The passes over memory that XLA makes of a function.

  Attributes:
    found: {(number, kind): (what it reads, what it writes)}.
  """

  def __init__(self, function):
    self._inputs = {id(value) for value in function.inputs}
    self._leaves, self._numbers = {}, {}
    self.found = collections.defaultdict(lambda: ([], []))
    for op in function.get_operations():
      if is_sum(op):
        self._add(op.outputs[0], kind_of(op))
      elif op.type == "Softmax":
        self._sources(op.outputs[0])  # which adds its passes
    for value in map(self._base, function.outputs):
      if id(value) not in self._inputs and not is_sum(value.op):
        self._add(value, "element-wise")

  def _add(self, value, kind):
    reads, writes = self.found[self._number(value), kind]
    reads += self._sources(value)
    writes.append(value)

  def _base(self, value):
    """The tensor that a value is a view of."""
    while id(value) not in self._inputs and value.op.type in VIEWS:
      value = value.op.inputs[0]
    return value

  def _number(self, value):
    """In which pass a value is computed; 0 of the function's inputs."""
    if id(value) not in self._numbers:
      value = self._base(value)
    if id(value) in self._inputs:
      return 0
    if id(value) not in self._numbers:
      before = map(self._number, self._sources(value))
      self._numbers[id(value)] = 1 + max(before, default=0)
    return self._numbers[id(value)]

  def _sources(self, value):
    """The inputs and sums that a value is computed from, in registers."""
    value = self._base(value)
    if id(value) not in self._leaves:
      leaves = {}
      for each in map(self._base, operands(value.op)):
        is_kept = id(each) in self._inputs or is_sum(each.op)
        for leaf in [each] if is_kept else self._sources(each):
          leaves[id(leaf)] = leaf
      if value.op.type == "Softmax":
        leaves.update(self._maxima_and_sums(value, list(leaves.values())))
      self._leaves[id(value)] = list(leaves.values())
    return self._leaves[id(value)]

  def _maxima_and_sums(self, value, sources):
    """Adds the two passes over rows before a softmax; what they give."""
    number = 1 + max(map(self._number, sources))
    given = {}
    for i in range(2):
      rows = tf.TensorSpec([*value.shape[:-1], 1], tf.float32)
      reads, writes = self.found[number + i, "rows"]
      reads += [*sources, *given.values()]
      writes.append(rows)
      self._numbers[id(rows)] = number + i
      given[id(rows)] = rows
    return given


def operands(op):
  """The inputs whose values an op in a compiled function reads."""
  if op.type in ("Shape", "ZerosLike", "OnesLike"):
    return []
  if op.type in SUMS:
    return op.inputs[:1]
  return list(op.inputs)


def is_sum(op):
  """Whether an op ends a pass."""
  if op.type in MATRIX_PRODUCTS:
    return True
  return op.type in SUMS and op.inputs[0].dtype.is_floating


def kind_of(op):
  """Whether a sum is over rows or over columns."""
  if op.type in MATRIX_PRODUCTS or op.type == "BiasAddGrad":
    return op.type
  axes = tf.get_static_value(op.inputs[1]).reshape(-1)
  last = op.inputs[0].shape.rank - 1
  return "rows" if {-1, last} & set(axes.tolist()) else "columns"


# ------------------------------------------------------------------- table


def count(config, args, length):
  """{kind: (bytes of a layer, bytes of the model)}."""
  found = []
  for size in (1, 2):
    shallow = dataclasses.replace(config, num_hidden_layers=size)
    with tf.Graph().as_default():
      found.append(traffic(training_step(shallow, args, length)))
  one, two = found
  more = config.num_hidden_layers - 1
  return {
    kind: (two[kind] - one[kind], one[kind] + more * (two[kind] - one[kind]))
    for kind in two
  }


def table(columns) -> dict:
  """{kind: numbers in GB}, the largest first, with a sum.

  Args:
    columns: of `count`, one for each length.
  """
  kinds = {kind for column in columns for kind in column}
  rows = {
    kind: [
      value / 1e9 for column in columns for value in column.get(kind, (0, 0))
    ]
    for kind in kinds
  }
  small = [kind for kind in rows if max(rows[kind]) < SMALL]
  rows[OTHERS] = [sum(v) for v in zip(*(rows.pop(kind) for kind in small))]
  first = [kind for kind in (PRODUCTS, PASSES) if kind in rows]
  rest = sorted(rows.keys() - set(first), key=lambda kind: -max(rows[kind]))
  rows["sum"] = [sum(values) for values in zip(*rows.values())]
  return {kind: rows[kind] for kind in [*first, *rest, "sum"]}


def main(args):
  tf.disable_v2_behavior()
  config = modeling.BertConfig(30522, type_vocab_size=2)
  if args.bert_config_file:
    config = modeling.BertConfig.from_json_file(args.bert_config_file)
  rows = table([count(config, args, length) for length in args.lengths])
  print(
    f"GB a training step, batch {args.batch_size}, {args.precision},"
    f" {'plain ops' if args.plain else 'compiled passes'}"
  )
  heads = [f"{part} {n}" for n in args.lengths for part in ("layer", "model")]
  print(f"{'':24}" + "".join(f"{head:>12}" for head in heads))
  for kind, values in rows.items():
    print(f"{kind:24}" + "".join(f"{value:12.3f}" for value in values))
  if args.json_out:
    text = json.dumps({"heads": heads, "rows": rows}, indent=1) + "\n"
    pathlib.Path(args.json_out).write_text(text, "utf-8")


if __name__ == "__main__":
  main(parse_arguments())
