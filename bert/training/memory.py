# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Refuses sizes that this machine's memory can't hold, before a graph is built.

In: a run's options and its model's configuration. Out: nothing, or a sentence
with the gigabytes that are needed and those that there are.

What is counted is less than what training takes, so nothing is refused that
could fit.
"""

from __future__ import annotations

import os

import tensorflow.compat.v1 as tf

import modeling
from bert.records import input_pipeline
from bert.training import cluster, devices, flags

_FLOAT = 4  # bytes
_COPIES = 4  # of each weight: itself, its gradient and two moments
_FEWEST_COPIES = 2  # with Adafactor, which keeps next to nothing
_LAYER_GRAPH = 1_000_000  # bytes of a layer's operations; 3.7 MB measured
_SLACK = 2  # refused is what needs this many times the memory
_LIMITS = (
  "/sys/fs/cgroup/memory.max",
  "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)


def check_memory(
  options: flags.RunOptions, config: modeling.BertConfig
) -> None:
  """Raises ValueError if training needs far more memory than there is."""
  if options.use_tpu or options.master:
    return
  if not options.do_train or devices.has_gpu():
    return
  weights, batch = weight_bytes(options, config), batch_bytes(options, config)
  there = machine_bytes()
  if weights + batch <= _SLACK * there:
    return
  if weights > batch:
    advice = f"use a smaller model than {options.bert_config_file}"
  else:
    advice = "lower --train_batch_size or raise --gradient_accumulation_steps"
  raise ValueError(
    f"training needs at least {_gigabytes(weights)} GB of memory for the"
    f" weights and {_gigabytes(batch)} GB for a batch, and this machine has"
    f" {_gigabytes(there)} GB: {advice}"
  )


def _gigabytes(size):
  return f"{size / 1e9:,.1f}"


def weight_bytes(options, config) -> int:
  """The least that the weights take, with what the optimizer keeps of them."""
  width = config.hidden_size
  rows = (
    config.vocab_size + config.max_position_embeddings + config.type_vocab_size
  )
  layer = 4 * width**2 + 2 * width * config.intermediate_size
  count = rows * width + config.num_hidden_layers * layer
  copies = _FEWEST_COPIES if options.optimizer == "adafactor" else _COPIES
  if getattr(options, "trainable", "all") != "all":
    copies = 1
  graph = config.num_hidden_layers * _LAYER_GRAPH
  return count * copies * _FLOAT + graph


def batch_bytes(options, config) -> int:
  """The least that one part of a batch takes: each layer's input."""
  length = options.max_seq_length
  if options.length_buckets != "none":  # all examples may be short
    length = min(length, input_pipeline.BOUND_MULTIPLE)
  layers = 1  # without a backward pass, one after the other
  if getattr(options, "trainable", "all") == "all":
    layers = config.num_hidden_layers
  machines = len(cluster.find_cluster(options)[0])
  examples = options.train_batch_size // (
    options.gradient_accumulation_steps * machines
  )
  size = tf.as_dtype(options.precision).size
  return examples * length * config.hidden_size * layers * size


def machine_bytes() -> int:
  """The memory of this machine, or of the container that we run in."""
  sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
  for path in _LIMITS:
    try:
      with open(path, encoding="utf-8") as reader:
        sizes.append(int(reader.read()))
    except (OSError, ValueError):  # no such limit, or "max"
      continue
  return min(sizes)
