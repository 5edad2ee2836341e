# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Writes a training step as one XLA module, for any XLA runtime and device.

In: flags that choose the model, length, batch and precision. Out, in a folder:
step.hlo.txt (HLO text), step.hlo.pb (the same as a serialized HloModuleProto),
and arguments.json, which lists the module's arguments in order with the result
that takes the place of each. With --values, arguments.npz has their values too.

The step is forward, gradients, clipping and AdamW of a classifier with two
labels, dropout included, compiled as a whole. Its first result is the loss. The
variables' first values and moments are arguments like the batch.

  python benchmarks/export_step.py --length=128 --batch_size=32
  python benchmarks/run_step.py --folder=step_output --runs=20
"""

import argparse
import json
import os
import pathlib
import re
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

# isort: split
import numpy as np
import tensorflow.compat.v1 as tf

import modeling
import optimization
from bert.tasks import layers

LABELS = 2


def parse_arguments(arguments=None):
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument(
    "--bert_config_file", help="the model's sizes; default: BERT-Base"
  )
  parser.add_argument("--length", type=int, default=128)
  parser.add_argument("--batch_size", type=int, default=32)
  parser.add_argument(
    "--precision", choices=["float32", "bfloat16"], default="bfloat16"
  )
  parser.add_argument("--recompute_layers", action="store_true")
  parser.add_argument("--output", default="step_output", help="the folder")
  parser.add_argument(
    "--values", action="store_true", help="write the arguments' values too"
  )
  return parser.parse_args(arguments)


def main(args):
  config = modeling.BertConfig(30522, type_vocab_size=2)
  if args.bert_config_file:
    config = modeling.BertConfig.from_json_file(args.bert_config_file)
  step, variables = compiled_step(config, args)
  batch = make_batch(config, args)
  text = lowered(step, batch, "hlo")
  folder = pathlib.Path(args.output)
  folder.mkdir(parents=True, exist_ok=True)
  (folder / "step.hlo.txt").write_text(text)
  (folder / "step.hlo.pb").write_bytes(lowered(step, batch, "hlo_serialized"))
  values = {**batch, **variables}
  described = describe(values, results_of(text))
  (folder / "arguments.json").write_text(json.dumps(described, indent=1))
  if args.values:
    np.savez(folder / "arguments.npz", *values.values())
  print(f"{folder}: {len(values)} arguments, {len(text):,} characters of HLO")


def make_batch(config, args):
  """A batch of full length, {name: int32 array}."""
  rng = np.random.RandomState(1)
  shape = [args.batch_size, args.length]
  return {
    "input_ids": rng.randint(0, config.vocab_size, shape, np.int32),
    "input_mask": np.ones(shape, np.int32),
    "segment_ids": np.zeros(shape, np.int32),
    "label_ids": rng.randint(0, LABELS, args.batch_size, np.int32),
  }


def training_step(config, args):
  """A function of a batch's tensors that takes a step and returns the loss."""

  def take_step(input_ids, input_mask, segment_ids, label_ids):
    number = tf.cast(tf.train.get_or_create_global_step(), tf.int32)

    def loss_fn(batch, unused_index):
      model = modeling.BertModel(
        *(config, True, *batch["inputs"]),
        compute_dtype=tf.as_dtype(args.precision),
        dropout_seed=tf.stack([1, number]),
        recompute_layers=args.recompute_layers,
        last_positions=layers.first_position({"input_ids": input_ids}),
      )
      logits = layers.labels_product(model.get_pooled_output(), LABELS)
      losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=label_ids, logits=logits
      )
      return tf.reduce_mean(losses)

    inputs = (input_ids, input_mask, segment_ids)
    options = optimization.Options(
      learning_rate=2e-5, num_train_steps=1000, num_warmup_steps=100
    )
    step = optimization.train_step(loss_fn, {"inputs": inputs}, options)
    with tf.control_dependencies([step.train_op]):
      return tf.identity(step.loss)

  return take_step


def compiled_step(config, args):
  """The step as a compiled function, with variables of its own.

  Returns:
    The function; {name: value} of the variables that it reads, in the order in
    which they follow the batch among the module's arguments.
  """
  shape = [args.batch_size, args.length]
  specs = [tf.TensorSpec(shape, tf.int32)] * 3
  specs.append(tf.TensorSpec([args.batch_size], tf.int32))
  wrapped = tf.wrap_function(training_step(config, args), specs)
  step = tf.function(wrapped, specs, autograph=False, jit_compile=True)
  # The optimiser's moments stand only here: they are no variables of `wrapped`.
  variables = {
    id(variable.handle): (name, variable)
    for name, variable in wrapped._variable_holder.variables.items()
  }
  read = step.get_concrete_function().captured_inputs
  found = [variables[id(handle)] for handle in read]
  return step, {name: variable.numpy() for name, variable in found}


def lowered(step, batch, stage):
  """The step before the device's optimisation, as text or bytes."""
  return step.experimental_get_compiler_ir(*batch.values())(stage=stage)


def results_of(text):
  """{argument: the result that takes its place}, from the module's head."""
  head = text.partition("\n")[0]
  pairs = re.findall(r"\{(\d+)\}: \((\d+), \{\}", head)
  return {int(argument): int(result) for result, argument in pairs}


def describe(values, results):
  """A list of what is to know of each argument."""
  return [
    {
      "name": name,
      "type": str(value.dtype),
      "shape": list(value.shape),
      "result": results.get(i),
    }
    for i, (name, value) in enumerate(values.items())
  ]


if __name__ == "__main__":
  main(parse_arguments())
