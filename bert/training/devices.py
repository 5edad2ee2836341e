# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""What a run computes on, and whether XLA can compile for it.

In: the machine. Out: a line that describes it, and the choice between compiled
and plain ops, made once in a process.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
from collections.abc import Callable

import tensorflow.compat.v1 as tf
from absl import logging

from bert.training import messages

_SMALL = 16  # integers at most, that an op on the host takes or gives
_LONGEST = 200  # of what a line of the log tells of an error
_FALLBACK = "--xla_gpu_unsafe_fallback_to_driver_on_ptxas_not_found"
_REMEDY = (
  "pip install nvidia-cuda-nvcc-cu12==12.2.140, or name the folder of CUDA 12.2"
  " in XLA_FLAGS=--xla_gpu_cuda_data_dir=..."
)


def describe_devices(use_tpu: bool, tpu_name: str | None) -> str:
  """One line that says what the run computes on."""
  if use_tpu:
    return f"devices: TPU {tpu_name}"
  names = [
    tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
    for gpu in tf.config.list_physical_devices("GPU")
  ]
  cores = os.cpu_count()
  if hasattr(os, "sched_getaffinity"):  # Linux: those that we may use
    cores = len(os.sched_getaffinity(0))
  if names:
    return f"devices: {len(names)} GPU ({', '.join(names)}), {cores} CPU cores"
  return f"devices: no GPU found, {cores} CPU cores"


def has_gpu() -> bool:
  """Whether TensorFlow sees a GPU."""
  return bool(tf.config.list_physical_devices("GPU"))


@functools.cache
def can_compile(use_tpu: bool) -> bool:
  """Whether XLA may compile parts of a graph; see `modeling.Build`.

  The first call tries it, and warns if the GPU has to do without.
  """
  if use_tpu:
    return False
  problem = why_not_compiled(has_gpu(), compile_once, ptxas())
  if problem:
    logging.warning(
      f"XLA can't compile for this GPU ({problem}), so plain ops compute"
      f" everything, which is slower. To mend it: {_REMEDY}"
    )
  return not problem


def why_not_compiled(
  has_gpu: bool, attempt: Callable, assembler: str | None
) -> str | None:
  """What keeps XLA from compiling for this machine's device; None: nothing.

  Args:
    has_gpu: whether it is a GPU.
    attempt: compiles something on the device that it is given, such as
      `compile_once`.
    assembler: of `ptxas`. Without it, XLA would end the process.
  """
  if has_gpu and not assembler:
    return "CUDA's ptxas is missing"
  try:
    attempt("/device:GPU:0" if has_gpu else "/device:CPU:0")
  except tf.errors.OpError as error:
    return messages.one_line(error)[:_LONGEST]
  return None


def compile_once(device: str) -> None:
  """Compiles something small, and hides what XLA prints the first time.

  Raises:
    tf.errors.OpError: it does not work.
  """
  with messages.hidden_stderr():
    with tf.Graph().as_default(), tf.device(device), tf.Session() as session:
      compiled = tf.function(
        _functions_of_libdevice, autograph=False, jit_compile=True
      )
      session.run(compiled(tf.random.uniform([2, 2])))


def _functions_of_libdevice(x):
  """What our compiled functions take from CUDA's library, and a sum."""
  return tf.reduce_sum(tf.erf(tf.exp(x)) * tf.tanh(tf.rsqrt(x + 1.0)), axis=0)


def ptxas() -> str | None:
  """The assembler that XLA would find for a GPU's code; None if none.

  XLA looks on PATH, then in the folders below. `driver` if XLA_FLAGS lets it do
  without.
  """
  flags = os.environ.get("XLA_FLAGS", "")
  if _FALLBACK in flags and f"{_FALLBACK}=false" not in flags:
    return "driver"
  given = re.search(r"--xla_gpu_cuda_data_dir=(\S+)", flags)
  packages = os.path.dirname(tf.sysconfig.get_lib())
  folders = [
    *([given[1]] if given else []),
    os.path.join(packages, "nvidia", "cuda_nvcc"),
    "/usr/local/cuda-12.2",
    "/usr/local/cuda",
  ]
  bins = [os.path.join(folder, "bin") for folder in folders]
  path = os.environ.get("PATH", os.defpath)
  return shutil.which("ptxas", path=os.pathsep.join([path, *bins]))


def place(op: tf.Operation) -> str:
  """Where TensorFlow should run an op: on the host, or as it is.

  A device function of `tf.device`, for GPUs. Steps, seeds, sizes and conditions
  of loops are a few integers. TensorFlow would compute some of them on the GPU
  and need them on the host, which then waits for all that the GPU has to do
  before. So an op that takes and gives nothing else runs on the host, and so
  does the variable that counts steps.
  """
  if op.type == "VarHandleOp":
    is_small = _is_small(op.get_attr("dtype"), op.get_attr("shape"))
  else:
    values = [*op.inputs, *op.outputs]
    has_data = values and (op.inputs or op.type == "Const")
    is_small = has_data and all(_is_small(v.dtype, v.shape) for v in values)
  if not is_small:
    return op.device
  device = tf.DeviceSpec.from_string(op.device)
  return device.replace(device_type="CPU", device_index=0).to_string()


def _is_small(dtype, shape):
  """Whether a tensor holds a few integers or truth values."""
  count = tf.TensorShape(shape).num_elements()
  is_few = count is not None and count <= _SMALL
  return (dtype.is_integer or dtype.is_bool) and is_few
