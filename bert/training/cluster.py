# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The devices and machines that share a run.

In: a run's options, and the environment variable TF_CONFIG. Out: who the
workers are, which of them this process is, and checks that all of it fits.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence

import tensorflow.compat.v1 as tf
from absl import logging

from bert.files import reading

_TF_CONFIG = (
  '{"cluster": {"worker": ["host0:2222", "host1:2222"]},'
  ' "task": {"type": "worker", "index": 0}}'
)


def is_chief(options) -> bool:
  """Whether this process writes, evaluates and predicts; only one does."""
  return find_cluster(options)[1] == 0


def records_dir(options) -> str:
  """The folder for this worker's records; it is created if needed."""
  index = find_cluster(options)[1]
  if index == 0:
    return options.output_dir
  folder = os.path.join(options.output_dir, f"worker_{index}")
  tf.io.gfile.makedirs(folder)
  return folder


def devices(options) -> list[str]:
  """Names of this machine's devices that share a training batch."""
  if _distribution(options) == "none":
    return []
  gpus = tf.config.list_logical_devices("GPU")
  cpus = tf.config.list_logical_devices("CPU")
  if _distribution(options) == "multi_worker":
    cpus = cpus[:1]
  return [device.name for device in gpus or cpus]


def num_replicas(options) -> int:
  """The number of devices that share a training batch, on all machines."""
  if options.use_tpu:
    return options.num_tpu_cores
  return max(len(devices(options)), 1) * len(find_cluster(options)[0])


def find_cluster(options) -> tuple[list[str], int]:
  """The workers' addresses, and which of them this process is.

  Raises:
    ValueError: --distribution and TF_CONFIG do not fit together.
  """
  text = os.environ.get("TF_CONFIG", "")
  distribution = _distribution(options)
  if distribution == "multi_worker":
    return parse_cluster(text)
  if text and not getattr(options, "use_tpu", True):
    addresses, _ = parse_cluster(text)
    if len(addresses) > 1:
      raise ValueError(
        f"TF_CONFIG names {len(addresses)} workers, but --distribution="
        f"{distribution} uses one machine: give --distribution=multi_worker, or"
        " unset TF_CONFIG"
      )
  return [""], 0


def _distribution(options):
  """How training is spread; a script that does not train has no such flag."""
  return getattr(options, "distribution", "none")


# ----------------------------------------------------------------- checks


def check_devices(options, inputs: Sequence[str] = ()) -> None:
  """Checks the flags for TPUs and several devices, and TF_CONFIG.

  Args:
    options: of `flags.DeviceOptions`.
    inputs: names of flags with comma-separated files that the TPU itself
      reads.

  Raises:
    ValueError: they contradict each other, name files that a TPU can't reach,
      or TF_CONFIG does not say who the workers are.
  """
  if _distribution(options) != "none" and options.use_tpu:
    raise ValueError(
      f"--distribution={_distribution(options)} is for GPUs and CPUs: leave it"
      " out with --use_tpu, which uses all cores of the TPU"
    )
  _announce_worker(*find_cluster(options))
  if not options.use_tpu:
    if options.tpu_name:
      raise ValueError(f"--tpu_name={options.tpu_name} needs --use_tpu")
    return
  if not options.tpu_name and not options.master:
    raise ValueError("--use_tpu needs --tpu_name (or --master)")
  if options.tpu_name and options.master:
    raise ValueError("give --tpu_name or --master, not both")
  for name in ("eval_batch_size", "predict_batch_size", "batch_size"):
    size = getattr(options, name, 0)
    if size % options.num_tpu_cores:
      raise ValueError(
        f"--{name}={size} can't be split over --num_tpu_cores="
        f"{options.num_tpu_cores}: give a multiple"
      )
  _check_paths(options, inputs)


def _announce_worker(addresses, index):
  """Logs which worker this is, and keeps all but the first quiet."""
  if index == 0:
    return
  logging.info(
    f"worker {index} of {len(addresses)}: worker 0, the chief ({addresses[0]}),"
    " logs the progress and writes the results"
  )
  if not logging.level_debug():
    logging.set_verbosity(logging.WARNING)


def _check_paths(options, inputs):
  """Raises ValueError if a TPU can't reach a file.

  The TPU of a TPU VM is in this machine, and reads what the machine reads.
  """
  if options.tpu_name == "local":
    return
  paths = [
    (name, getattr(options, name, None))
    for name in ("output_dir", "init_checkpoint")
  ]
  for name in inputs:
    text = getattr(options, name) or ""
    paths += [(name, path.strip()) for path in text.split(",")]
  for name, path in paths:
    if path and not path.startswith("gs://"):
      raise ValueError(
        f"--{name}={path} is a local path, which a TPU can't read: copy it to"
        " Cloud Storage and give gs://..., or give --tpu_name=local on a TPU VM"
      )


# -------------------------------------------------------------- TF_CONFIG


def parse_cluster(text: str) -> tuple[list[str], int]:
  """Reads the environment variable TF_CONFIG.

  Args:
    text: such as '{"cluster": {"worker": ["a:2222", "b:2222"]}, "task":
      {"type": "worker", "index": 0}}'. A cluster may have a `chief` too.

  Returns:
    The addresses of chief and workers, and the place of this process; the
    first writes the outputs.

  Raises:
    ValueError: it says something else; the sentence says what.
  """
  if not text:
    raise ValueError(
      "--distribution=multi_worker needs the environment variable TF_CONFIG,"
      f" such as {_TF_CONFIG}, with another index on each machine"
    )
  config = reading.parse_json(text, "TF_CONFIG")
  jobs = _part(config, "cluster")
  task = _part(config, "task")
  workers = _addresses(jobs, "worker")
  if not workers:
    raise ValueError(f"TF_CONFIG has no cluster.worker: give {_TF_CONFIG}")
  chief = _addresses(jobs, "chief")
  others = sorted(set(jobs) - {"chief", "worker"})
  if others or len(chief) > 1 or len({*chief, *workers}) < len(chief + workers):
    raise ValueError(
      "TF_CONFIG: cluster has to list each address once, as worker (and one as"
      f" chief, if you like); it holds {json.dumps(jobs):.200}"
    )
  kind, index = task.get("type"), task.get("index")
  found = {"chief": chief, "worker": workers}.get(str(kind))
  if not found or type(index) is not int or not 0 <= index < len(found):
    raise ValueError(
      f"TF_CONFIG: task is {json.dumps(task):.200}, but cluster has worker 0 to"
      f" {len(workers) - 1}" + (" and chief 0" if chief else "")
    )
  return chief + workers, index + (len(chief) if kind == "worker" else 0)


def _part(config, name):
  """One of TF_CONFIG's objects."""
  part = config.get(name) if isinstance(config, dict) else None
  if not isinstance(part, dict):
    raise ValueError(f"TF_CONFIG has no {name}: give {_TF_CONFIG}")
  return part


def _addresses(jobs, name):
  """The addresses of a job, none if it is missing."""
  addresses = jobs.get(name, [])
  if not isinstance(addresses, list) or not all(map(_is_address, addresses)):
    raise ValueError(
      f"TF_CONFIG: cluster.{name} has to be a list of host:port, with ports 1"
      f" to 65535; it is {json.dumps(addresses):.200}"
    )
  return addresses


def _is_address(text):
  """Whether a JSON value is host:port, in ASCII."""
  found = isinstance(text, str) and re.fullmatch(r"[!-~]+:([0-9]{1,5})", text)
  return bool(found) and 0 < int(found[1]) < 1 << 16
