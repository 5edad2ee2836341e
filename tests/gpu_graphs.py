# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Where TensorFlow would run the ops of a graph on a machine with a GPU.

In: a graph, and TensorFlow's registry of kernels, which lists those for GPUs
on every machine. Out: the ops that have no kernel for a GPU, and the tensors
that a GPU computes and the host waits for.

An op runs on the GPU if it has a kernel there for its types, unless it was put
on the host or uses a variable there. A kernel says which of its operands it
expects in the host's memory. Called functions and loops hold integers of 32
bits there.
"""

import functools

import tensorflow.compat.v1 as tf
from tensorflow.python.framework import kernels

CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
LOOPS = {"While", "StatelessWhile", "If", "StatelessIf"}
# Their kernels for GPUs wait for a number of results.
WAITING = {"Where", "DynamicPartition", "Unique", "UniqueV2"}


@functools.cache
def _kernels(kind, devices=("GPU", "DEFAULT")):
  found = kernels.get_registered_kernels_for_op(kind).kernel
  chosen = [k for k in found if k.device_type in devices and not k.label]
  return sorted(chosen, key=lambda k: (-k.priority, k.device_type != "GPU"))


def kernel_of(op):
  """The op's kernel for a GPU, or None."""

  def fits(constraint):
    types = op.get_attr(constraint.name)
    allowed = constraint.allowed_values.list.type
    types = types if isinstance(types, list) else [types]
    return all(each.as_datatype_enum in allowed for each in types)

  for kernel in _kernels(op.type):
    if all(map(fits, kernel.constraint)):
      return kernel
  return None


def is_compiled(op):
  """Whether an op calls a function that XLA compiles."""
  return (
    op.type in CALLS
    and function_of(op, "f").definition.attr["_XlaMustCompile"].b
  )


def function_of(op, name):
  return op.graph._get_function(op.get_attr(name).name)


def bodies_of(op):
  """The graphs of the functions, not compiled, that an op calls."""
  if op.type in CALLS and not is_compiled(op):
    return [function_of(op, "f").graph]
  if op.type in ("While", "StatelessWhile"):
    return [function_of(op, name).graph for name in ("cond", "body")]
  if op.type in ("If", "StatelessIf"):
    names = ("then_branch", "else_branch")
    return [function_of(op, name).graph for name in names]
  return []


def needed(fetched):
  """The ops that tensors and ops depend on, in the functions called too."""
  waiting = [getattr(each, "op", each) for each in fetched]
  seen = set()
  while waiting:
    op = waiting.pop()
    if op not in seen:
      seen.add(op)
      waiting += [value.op for value in op.inputs]
      waiting += op.control_inputs
      for body in bodies_of(op):
        waiting += body.get_operations()
  return seen


def is_on_host(op):
  """Whether an op, or the variable that it uses, was put on the host."""
  if "CPU" in op.device.upper():
    return True
  return any(
    value.dtype == tf.resource and value.op is not op and is_on_host(value.op)
    for value in op.inputs
  )


def on_host(op, values, arguments):
  """Which of an op's inputs or outputs its kernel has in host memory."""
  kernel = kernel_of(op)
  if is_on_host(op) or kernel is None:
    return [True] * len(values)
  is_argument = op.type == "Placeholder" and op.graph.building_function
  if is_argument or (op.type in CALLS | LOOPS and not is_compiled(op)):
    return [value.dtype in (tf.int32, tf.resource) for value in values]
  found = []
  for argument in arguments:
    count = 1
    if argument.number_attr:
      count = op.get_attr(argument.number_attr)
    elif argument.type_list_attr:
      count = len(op.get_attr(argument.type_list_attr))
    found += [argument.name in kernel.host_memory_arg] * count
  return found


def waited_for(ops):
  """Yields (tensor, op): what a GPU computes and an op needs in host memory."""
  given = {  # whether an output is in host memory
    value: is_host
    for op in ops
    for value, is_host in zip(
      (output.ref() for output in op.outputs),
      on_host(op, op.outputs, op.op_def.output_arg),
    )
  }
  for op in ops:
    inputs = on_host(op, op.inputs, op.op_def.input_arg)
    for value, is_host in zip(op.inputs, inputs):
      if is_host and not given[value.ref()]:
        yield value, op
    if op.type in WAITING and not is_on_host(op):
      yield op.inputs[0], op
