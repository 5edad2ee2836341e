# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Measures what --pack_sequences saves: padding, and the time of a sequence.

In: records of create_pretraining_data.py, whose lengths count. Out: the share
of padding with and without packing, for several batch sizes; then the time that
a training step takes for a sequence, both ways. Steps with and without packing
take turns, on random words. The median round counts.

  python benchmarks/bench_packing.py --records='records/*.tfrecord'
"""

import argparse
import glob
import statistics

import bench_step
import numpy as np


def parse_arguments():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--records", required=True, help="files, as a glob")
  parser.add_argument("--max_seq_length", type=int, default=512)
  parser.add_argument(
    "--batch_sizes",
    default="32,128,256,1024",
    help="whose padding is counted",
  )
  parser.add_argument("--model", default="6-layer", choices=bench_step.MODELS)
  parser.add_argument("--precision", default="float32")
  parser.add_argument(
    "--batch_size", type=int, default=32, help="sequences in a step"
  )
  parser.add_argument("--rounds", type=int, default=3, help="0: no steps")
  parser.add_argument(
    "--cpu_time",
    action="store_true",
    help="count the processor time of one thread, steady on a busy machine",
  )
  return parser.parse_args()


def read_lengths(pattern):
  """The tokens of all records."""
  from bert.records import corpora

  shards = corpora.count_examples(sorted(glob.glob(pattern)))
  count = sum(shard.num_examples for shard in shards)
  return corpora.first_lengths(shards, count)


def packed_batches(tf, lengths, batch_size, length, count):
  """Packs the first batches of the records, in random order.

  Returns:
    A list of {name: array}, with `input_mask` and `packed_starts`.
  """
  from bert.records import packed_batches

  packer = packed_batches.Packer(lengths, len(lengths), length)
  shuffled = np.random.RandomState(0).permutation(lengths)
  with tf.Graph().as_default(), tf.Session() as session:
    dataset = tf.data.Dataset.from_tensor_slices(shuffled.astype(np.int32))
    dataset = dataset.repeat().map(
      lambda size: {"input_mask": tf.sequence_mask(size, length, tf.int32)}
    )
    dataset = packer.batches(dataset, batch_size, is_training=True)
    following = tf.data.make_one_shot_iterator(dataset).get_next()
    return [session.run(following) for _ in range(count)]


def padding(batch):
  """The share of padding in the batch's padded and in its packed form."""
  tokens, (places, length) = (
    batch["input_mask"].sum(),
    batch["input_mask"].shape,
  )
  rows = batch["packed_starts"].shape[1]
  return 1 - tokens / (places * length), 1 - tokens / (rows * length)


def make_step(tf, args, batch, is_packed):
  """A function that takes a training step on a batch, in a graph of its own."""
  import modeling
  import optimization
  from bert.tasks import layers
  from bert.training import devices

  config = modeling.BertConfig(
    30522, type_vocab_size=2, **bench_step.MODELS[args.model]
  )
  inputs = {
    "input_ids": np.random.RandomState(1).randint(
      0, config.vocab_size, batch["input_mask"].shape
    ),
    **{k: v for k, v in batch.items() if is_packed or k == "input_mask"},
  }

  def loss(part, unused_index):
    pooled = modeling.BertModel(
      config,
      True,
      **part,
      scope="bert",
      compute_dtype=tf.as_dtype(args.precision),
      compiled=devices.can_compile(use_tpu=False),
      last_positions=None if is_packed else layers.first_position(part),
    ).get_pooled_output()
    return tf.reduce_mean(tf.square(layers.labels_product(pooled, 2) - 0.5))

  with tf.Graph().as_default():
    features = {
      name: tf.placeholder(tf.int32, value.shape)
      for name, value in inputs.items()
    }
    options = optimization.Options(1e-4, 1000, 100)
    train_op = optimization.train_step(loss, features, options).train_op
    session = bench_step.new_session(tf)
  feed = {features[name]: value for name, value in inputs.items()}
  return lambda: session.run(train_op, feed)


def print_padding(tf, args, lengths):
  print(f"{len(lengths)} records, {np.mean(lengths):.1f} tokens on average")
  for batch_size in map(int, args.batch_sizes.split(",")):
    (batch,) = packed_batches(tf, lengths, batch_size, args.max_seq_length, 1)
    before, after = padding(batch)
    rows = batch["packed_starts"].shape[1]
    print(
      f"batch {batch_size}: {rows} rows, padding {before:.1%} before and"
      f" {after:.1%} after"
    )


def print_steps(tf, args, lengths):
  (batch,) = packed_batches(
    tf, lengths, args.batch_size, args.max_seq_length, 1
  )
  ways = {"padded": False, "packed": True}
  steps = {name: make_step(tf, args, batch, way) for name, way in ways.items()}
  took = {name: [] for name in ways}
  for step in steps.values():
    step()
  for _ in range(args.rounds):
    for name, step in steps.items():
      took[name].append(bench_step.seconds(step, vars(args)))
  medians = {name: statistics.median(each) for name, each in took.items()}
  for name, median in medians.items():
    print(f"{name}: {median / args.batch_size * 1000:.1f} ms a sequence")
  print(f"ratio: {medians['padded'] / medians['packed']:.2f}")


def main():
  args = parse_arguments()
  bench_step.pin(1 if args.cpu_time else 0)
  import tensorflow.compat.v1 as tf

  tf.logging.set_verbosity(tf.logging.ERROR)
  tf.disable_v2_behavior()
  tf.enable_resource_variables()
  lengths = read_lengths(args.records)
  print_padding(tf, args, lengths)
  if args.rounds:
    print_steps(tf, args, lengths)


if __name__ == "__main__":
  main()
