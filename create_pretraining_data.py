# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Turns raw text into masked records for pre-training.

In: utf-8 text, one sentence per line, with a blank line between documents, and
a vocabulary. Out: TFRecord files for `run_pretraining.py`, and a report.

By default the whole corpus is held in memory, and one stream of random numbers
makes the same records as the original code. `--num_workers` and `--runner`
(Apache Beam) stream the corpus instead; both make the same records.

Worker processes import this file again, so importing it does not load
TensorFlow, which takes 450 MB.
"""

from __future__ import annotations

import dataclasses

from bert.training import entry, flags


@dataclasses.dataclass(frozen=True)
class Options(flags.TextOptions):
  """This script's flags."""

  input_file: str | None = flags.flag(
    None,
    "Text files or globs, separated by commas: utf-8, one sentence per line, a"
    " blank line between documents.",
    required=True,
    reads=True,
  )
  output_file: str | None = flags.flag(
    None,
    "TFRecord files to write, separated by commas.",
    required=True,
    writes="files",
  )
  max_seq_length: int = flags.flag(
    128, "An instance has at most N tokens.", lower_bound=5
  )
  max_predictions_per_seq: int = flags.flag(
    20,
    "Mask at most N tokens of an instance. N should be about --max_seq_length"
    " times --masked_lm_prob.",
    lower_bound=1,
  )
  do_whole_word_mask: bool = flags.flag(
    False, "Mask all pieces of a word, or none."
  )
  random_seed: int = flags.flag(
    12345, "Seed for all random choices.", lower_bound=0
  )
  next_sentence: bool = flags.flag(
    True,
    "Make pairs of texts, to predict whether the second follows the first."
    " false: fill records with full sentences, for masked words alone. A"
    " sentence longer than a record is divided.",
  )
  sentences: str = flags.flag(
    "full",
    "With --next_sentence=false. full: a record goes on with the next document"
    " after a [SEP], as RoBERTa's. doc: it ends with its document.",
    choices=("full", "doc"),
  )
  dupe_factor: int = flags.flag(
    10,
    "Go over the text N times, each time with other masks and pairs.",
    lower_bound=1,
  )
  masked_lm_prob: float = flags.flag(
    0.15,
    "Mask this share of the tokens.",
    lower_bound=0.0,
    upper_bound=1.0,
  )
  short_seq_prob: float = flags.flag(
    0.1,
    "Give the instances of this share of the documents a random length, because"
    " the texts of later tasks also differ in length.",
    lower_bound=0.0,
    upper_bound=1.0,
  )
  truncate_prob: float = flags.flag(
    0.0,
    "Cut this share of the sentences at a random place, chosen anew in each"
    " pass. 0.02 prepares a model for text that is not in whole sentences.",
    lower_bound=0.0,
    upper_bound=1.0,
  )
  split_sentences: bool = flags.flag(
    False,
    "Each line is a paragraph: split it into sentences by rules. Needs the"
    " library sentencex (pip install -r requirements-sentences.txt).",
  )
  language: str = flags.flag(
    "en", "With --split_sentences: language of the text, such as en, de or zh."
  )
  word_separator: str | None = flags.flag(
    None,
    "For text that is already split into words, such as segmented Chinese: the"
    " separator between words, besides white space. It is removed from the"
    " text. Needs --do_whole_word_mask, which then masks all characters of a"
    " word together.",
  )
  num_workers: int | None = flags.flag(
    None,
    "Make the records in N processes that stream the text, so memory does not"
    " grow with the corpus. Any N gives the same output, but it differs from"
    " the output without this flag. Without it, one stream of random numbers"
    " runs through the whole corpus, as in the original code. With it, each"
    " document has its own stream in each pass, seeded by --random_seed, the"
    " document's number and the pass. Random second texts come from the same"
    " block of documents (1 to 8 MB of text, with 16 documents if they fit)."
    " Records are shuffled over all output files. A document over 4 M"
    " characters is split.",
    lower_bound=1,
  )
  runner: str | None = flags.flag(
    None,
    "Make the same records as --num_workers, but in an Apache Beam pipeline"
    " with this runner: DirectRunner, DataflowRunner, FlinkRunner or"
    " SparkRunner (pip install -r requirements-beam.txt). Each output file has"
    " to fit into a worker's memory, so name many output files. Input files of"
    " 64 MB and more are read in parallel.",
  )
  beam_options: str = flags.flag(
    "", "With --runner: Beam's own flags, such as '--project=p --region=r'."
  )


if __name__ == "__main__":
  entry.parse(Options)  # --help ends here, before the slow imports

import contextlib
import functools
import gc
import importlib.util
import math
import os
import random
import shlex
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent import futures
from typing import NamedTuple

from absl import logging

from bert.files import reading, writing
from bert.records.parallel import Progress, Spill, worker_processes
from bert.records.pretraining_instances import (
  Block,
  block_records,
  create_instances_from_document,
  create_masked_lm_predictions,
  create_training_instances,
  file_size,
  group_files,
  instance_values,
  num_bytes,
  read_blocks,
  read_documents,
  Recipe,
  SentenceReader,
  Statistics,
  TrainingInstance,
  truncate_seq_pair,
)

__all__ = [  # what users of the original import from here
  "create_float_feature",
  "create_int_feature",
  "create_instances_from_document",
  "create_masked_lm_predictions",
  "create_training_instances",
  "MaskedLmInstance",
  "truncate_seq_pair",
  "TrainingInstance",
  "write_instance_to_example_files",
]

BUCKET_BYTES = 1 << 25  # about, of records that are sorted at once
SPILL_BYTES = 1 << 23  # of records that a worker holds
_COUNTERS = "pretraining"  # namespace of Beam's metrics


def record_schema(
  max_seq_length: int, max_predictions_per_seq: int, next_sentence: bool = True
) -> dict:
  """The layout of the records, {name: tf.FixedLenFeature}."""
  from bert.tasks.pretraining import Pretraining, PretrainingNote

  note = PretrainingNote(max_seq_length, max_predictions_per_seq, next_sentence)
  return Pretraining(note).schema(is_training=True)


# ----------------------------------------------- one stream of random numbers


def write_instance_to_example_files(
  instances: Sequence[TrainingInstance],
  tokenizer,
  max_seq_length: int,
  max_predictions_per_seq: int,
  output_files: Sequence[str],
  next_sentence: bool = True,
) -> None:
  """Writes instance k to file k modulo the number of files.

  The files appear when all of them are complete.
  """
  from bert.records import record_files

  sizes = max_seq_length, max_predictions_per_seq
  schema = record_schema(*sizes, next_sentence)
  progress = Progress("writing", len(instances), "record")
  with contextlib.ExitStack() as stack:
    stack.callback(progress.close)
    for shard, path in enumerate(output_files):
      writer = stack.enter_context(record_files.RecordWriter(path, schema))
      for instance in instances[shard :: len(output_files)]:
        writer.write(instance_values(instance, tokenizer, *sizes))
        progress.update(1)
      writer.finish()


# Three names of the original for programs of your own. This script does without
# objects for single pieces and features, which would take longer.


class MaskedLmInstance(NamedTuple):
  """A masked piece."""

  index: int  # its position
  label: str  # the true token there


def create_int_feature(values: Iterable[int]):
  """The tf.train.Feature that holds these integers."""
  import tensorflow.compat.v1 as tf

  return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def create_float_feature(values: Iterable[float]):
  """The tf.train.Feature that holds these numbers."""
  import tensorflow.compat.v1 as tf

  return tf.train.Feature(float_list=tf.train.FloatList(value=values))


@dataclasses.dataclass(frozen=True)
class _ReaderWithProgress:
  """A reader of sentences that counts the bytes it has read."""

  reader: SentenceReader
  progress: Progress

  def read(self, lines):
    self.progress.update(num_bytes(lines))
    return self.reader.read(lines)


def run_in_memory(
  input_files: Sequence[str], recipe: Recipe, output_files: Sequence[str]
) -> Statistics:
  """Makes and writes the original's records, and counts them."""
  statistics = Statistics()
  read = Progress("reading", sum(map(file_size, input_files)), "B")
  making = None

  def count(done, total):
    nonlocal making
    if not making:
      read.close()
      making = Progress("making instances", total, "document")
    making.update(1)

  gc.disable()  # millions of lists without cycles: searching takes a third
  instances = create_training_instances(
    input_files,
    recipe.reader.tokenizer,
    recipe.max_seq_length,
    recipe.dupe_factor,
    recipe.short_seq_prob,
    recipe.masked_lm_prob,
    recipe.max_predictions_per_seq,
    random.Random(recipe.random_seed),
    recipe.do_whole_word_mask,
    recipe.truncate_prob,
    _ReaderWithProgress(recipe.reader, read),
    statistics,
    count,
    recipe.sentences,
  )
  for progress in filter(None, (read, making)):
    progress.close()
  check_statistics(statistics, input_files)
  for instance in instances:
    statistics.count_instance(instance)
  write_instance_to_example_files(
    instances,
    recipe.reader.tokenizer,
    recipe.max_seq_length,
    recipe.max_predictions_per_seq,
    output_files,
    next_sentence=recipe.sentences is None,
  )
  gc.enable()
  return statistics


# ---------------------------------------------------------- worker processes


_worker = None  # (recipe, spill), in a worker process


def _start_worker(recipe: Recipe, spill: Spill) -> None:
  """Prepares a worker process."""
  global _worker
  _worker = recipe, spill
  gc.disable()  # no cycles are made


def _spill_block(block: Block) -> Statistics:
  """Makes a block's records and puts them into the files of their buckets."""
  recipe, spill = _worker
  statistics, waiting, size = Statistics(), [], 0
  for key, record in block_records(block, recipe, statistics):
    waiting.append((key, record))
    size += len(record)
    if size > SPILL_BYTES:
      spill.append(waiting)
      waiting, size = [], 0
  spill.append(waiting)
  return statistics


def run_workers(
  input_files: Sequence[str],
  recipe: Recipe,
  output_files: Sequence[str],
  num_workers: int,
) -> Statistics:
  """Makes records in several processes, which share the documents."""
  size = sum(map(file_size, input_files))
  # In each round the records take about twice the bytes of their text, and up
  # to eight times if documents are short.
  expected = 4 * size * recipe.dupe_factor
  num_buckets = math.ceil(expected / BUCKET_BYTES / len(output_files)) or 1
  if "://" in output_files[0]:
    making = tempfile.TemporaryDirectory()
  else:
    making = writing.scratch_folder(output_files[0] + ".partial-records")
  with making as folder:
    spill = Spill(folder, len(output_files), num_buckets)
    statistics = _spill_corpus(input_files, size, recipe, spill, num_workers)
    check_statistics(statistics, input_files)
    write_sorted(spill, statistics.instances, recipe, output_files)
  return statistics


def _spill_corpus(input_files, size, recipe, spill, num_workers):
  """Gives the workers blocks, a few at a time, until all are spilled."""
  statistics, running = Statistics(), {}
  progress = Progress("making records", size, "B")
  starting = worker_processes(num_workers, _start_worker, (recipe, spill))

  def take(done):
    for future in done:
      statistics.add(future.result())
      progress.update(running.pop(future))

  with progress, starting as submit:
    for group, files in enumerate(group_files(input_files)):
      for block in read_blocks(group, files):
        running[submit(_spill_block, block)] = block.num_bytes
        if len(running) > 2 * num_workers:
          take(futures.wait(running, return_when="FIRST_COMPLETED").done)
    take(futures.wait(running).done)
  return statistics


def write_sorted(
  spill: Spill, num_records: int, recipe: Recipe, output_files: Sequence[str]
) -> None:
  """Writes the spilled records; the files appear when all are complete."""
  progress = Progress("writing", num_records, "record")
  with contextlib.ExitStack() as stack:
    stack.callback(progress.close)
    for path, records in zip(output_files, spill.sorted_records()):
      writer = stack.enter_context(open_shard(path, recipe))
      for record in records:
        writer.write_encoded(record)
        progress.update(1)
      writer.finish()


def open_shard(path: str, recipe: Recipe):
  """The writer of an output file."""
  from bert.records import record_files

  schema = record_schema(
    recipe.max_seq_length,
    recipe.max_predictions_per_seq,
    next_sentence=recipe.sentences is None,
  )
  return record_files.RecordWriter(path, schema)


# --------------------------------------------------------------- Apache Beam


def run_beam(
  input_files: Sequence[str],
  recipe: Recipe,
  output_files: Sequence[str],
  runner: str,
  options: Sequence[str],
) -> Statistics:
  """Makes the same records as `run_workers` in an Apache Beam pipeline.

  Args:
    input_files, recipe, output_files: as for `run_workers`.
    runner: its name in Beam, such as DirectRunner.
    options: Beam's own flags.

  Raises:
    ValueError: Beam has no such runner or flags, or the text gives no records.
  """
  if not any(read_documents(input_files)):  # before a cluster is started
    check_statistics(Statistics(), input_files)
  import apache_beam as beam
  from apache_beam.options.pipeline_options import PipelineOptions

  groups = list(enumerate(group_files(input_files)))
  num_shards = len(output_files)
  try:
    pipeline = beam.Pipeline(
      options=PipelineOptions([f"--runner={runner}", *options])
    )
  except ValueError as error:
    raise ValueError(f"--runner={runner}: {error}") from None
  records = (
    pipeline
    | "groups of files" >> beam.Create(groups, reshuffle=True)
    | "read" >> beam.FlatMap(_beam_read)
    | "spread" >> beam.Reshuffle()
    | "make" >> beam.FlatMap(_beam_records, recipe, num_shards)
  )
  # With these, empty shards are written too.
  shards = pipeline | "shards" >> beam.Create(
    [(shard, None) for shard in range(num_shards)]
  )
  _ = (
    (records, shards)
    | beam.Flatten()
    | beam.GroupByKey()
    | "write" >> beam.Map(_beam_write, recipe, list(output_files))
  )
  result = pipeline.run()
  result.wait_until_finish()
  counted = result.metrics().query()["counters"]
  statistics = Statistics(
    **{
      count.key.metric.name: count.result
      for count in counted
      if count.key.metric.namespace == _COUNTERS
    }
  )
  check_statistics(statistics, input_files)
  return statistics


# Beam would read annotations of these functions as its own type hints.


def _beam_read(group):
  """The blocks of a group, (number, files)."""
  return read_blocks(*group)


def _beam_records(block, recipe, num_shards):
  """Yields (shard, (key, record)) for a block, and counts in Beam's metrics."""
  from apache_beam.metrics import Metrics

  statistics = Statistics()
  for key, record in block_records(block, recipe, statistics):
    yield key % num_shards, (key, record)
  for name, count in dataclasses.asdict(statistics).items():
    Metrics.counter(_COUNTERS, name).inc(count)


def _beam_write(shard_and_pairs, recipe, output_files):
  """Writes an output file, whose records are all sorted in memory."""
  shard, pairs = shard_and_pairs
  with open_shard(output_files[shard], recipe) as writer:
    for _, record in sorted(filter(None, pairs)):
      writer.write_encoded(record)


# -------------------------------------------------------------------- report


def check_statistics(
  statistics: Statistics, input_files: Sequence[str]
) -> None:
  """Raises ValueError if the text gives nothing to learn from."""
  files = ", ".join(input_files[:3]) + ", ..." * (len(input_files) > 3)
  if not statistics.documents:
    raise ValueError(f"there is no document with any text in {files}")
  if statistics.unknown == statistics.pieces:
    raise ValueError(
      f"all {statistics.pieces} pieces of {files} are [UNK]: the vocabulary is"
      " for another language or script"
    )


def report(
  statistics: Statistics,
  max_seq_length: int,
  output_files: Sequence[str],
  next_sentence: bool = True,
) -> list[str]:
  """Lines that say what was made from the corpus."""
  s = statistics
  size = s.instances * max_seq_length
  random_next = f"random next {s.random_next / s.instances:.1%}, "
  return [
    f"documents {s.documents:,}, sentences {s.sentences:,}, pieces"
    f" {s.pieces:,}, unknown pieces {s.unknown:,}"
    f" ({s.unknown / s.pieces:.2%})",
    f"instances {s.instances:,}: tokens used {s.tokens:,}, padded"
    f" {size - s.tokens:,} ({1 - s.tokens / size:.1%})",
    f"{random_next if next_sentence else ''}masked per sequence"
    f" {s.masked / s.instances:.1f}",
    f"wrote {s.instances:,} records to {len(output_files)} file(s):"
    f" {', '.join(output_files[:3])}{', ...' if output_files[3:] else ''}",
  ]


def warnings(statistics: Statistics, next_sentence: bool = True) -> list[str]:
  """What looks wrong with the text."""
  s = statistics
  found = []
  if next_sentence and s.documents == 1:
    found.append(
      "the text is one document, so random next sentences come from the same"
      " document: are the blank lines between documents missing?"
    )
  elif s.random_next > 0.95 * s.instances:
    found.append(
      f"{s.random_next / s.instances:.0%} of next sentences are random, because"
      f" documents have {s.sentences / s.documents:.1f} sentences: put blank"
      " lines between documents, not between sentences; if a line is a"
      " paragraph, give --split_sentences"
    )
  if s.unknown > 0.05 * s.pieces:
    found.append(
      f"{s.unknown / s.pieces:.0%} of the pieces are [UNK]: is --vocab_file for"
      " this language and case?"
    )
  return found


# ---------------------------------------------------------------------- main


def check_options(
  options: Options, input_files: Sequence[str], vocab: Iterable[str]
) -> list[str]:
  """Compares the options with each other and with the files.

  Returns:
    The output files.

  Raises:
    ValueError: something does not fit.
  """
  if options.num_workers and options.runner:
    raise ValueError("give --num_workers or --runner, not both")
  if options.next_sentence and "sentences" in options.given:
    raise ValueError(
      "--sentences is for --next_sentence=false: add that, or leave it out"
    )
  if not options.next_sentence and "short_seq_prob" in options.given:
    raise ValueError(
      "--short_seq_prob has no effect with --next_sentence=false: leave it out"
    )
  if options.beam_options and not options.runner:
    raise ValueError("--beam_options needs --runner")
  if options.word_separator is not None and not options.do_whole_word_mask:
    raise ValueError("--word_separator needs --do_whole_word_mask")
  if options.word_separator == "":
    raise ValueError("--word_separator is empty: give ' ' for white space")
  for name, library, extra in (
    ("runner", "apache_beam", "beam"),
    ("split_sentences", "sentencex", "sentences"),
  ):
    if getattr(options, name) and not importlib.util.find_spec(library):
      raise ValueError(
        f"--{name} needs the library {library}: pip install -r"
        f" requirements-{extra}.txt"
      )
  if not any(token.isalnum() for token in vocab):
    raise ValueError(
      f"--vocab_file={options.vocab_file} has no words, so all text would be"
      " [UNK]"
    )
  wanted = round(options.max_seq_length * options.masked_lm_prob)
  if options.max_predictions_per_seq < wanted:
    logging.warning(
      f"--max_predictions_per_seq={options.max_predictions_per_seq} is too low"
      f" to mask {options.masked_lm_prob:.0%} of long sequences: {wanted} of"
      f" --max_seq_length={options.max_seq_length}"
    )
  return check_output_files(options.output_file)


def check_output_files(names: str) -> list[str]:
  """The output files, from names separated by commas.

  Raises:
    ValueError: there are none, or one has no folder.
  """
  output_files = [name.strip() for name in names.split(",") if name.strip()]
  if not output_files:
    raise ValueError("--output_file is empty: name files")
  for path in output_files:
    folder = os.path.dirname(path) or "."
    if "://" not in path and not os.path.isdir(folder):
      raise ValueError(
        f"--output_file={path}: there is no folder {folder}; make it first"
      )
    if "://" not in path and os.path.isdir(path):
      raise ValueError(f"--output_file={path} is a folder: give a file")
  return output_files


def get_recipe(options: Options, tokenizer) -> Recipe:
  """How records are made, as the options say."""
  from bert.records import record_files

  schema = record_schema(
    options.max_seq_length,
    options.max_predictions_per_seq,
    options.next_sentence,
  )
  return Recipe(
    reader=SentenceReader(
      tokenizer,
      options.word_separator,
      options.language if options.split_sentences else None,
    ),
    encode=record_files.record_encoder(schema),
    max_seq_length=options.max_seq_length,
    max_predictions_per_seq=options.max_predictions_per_seq,
    dupe_factor=options.dupe_factor,
    short_seq_prob=options.short_seq_prob,
    masked_lm_prob=options.masked_lm_prob,
    do_whole_word_mask=options.do_whole_word_mask,
    truncate_prob=options.truncate_prob,
    random_seed=options.random_seed,
    sentences=None if options.next_sentence else options.sentences,
  )


def main(options: Options) -> None:
  from bert.training import runs

  started = time.monotonic()
  tokenizer = runs.load_tokenizer(options)
  input_files = reading.expand_globs(options.input_file)
  output_files = check_options(options, input_files, tokenizer.vocab)
  logging.info(f"reading {len(input_files)} file(s)")
  recipe = get_recipe(options, tokenizer)
  if options.runner:
    beam_options = shlex.split(options.beam_options)
    run = functools.partial(
      run_beam, runner=options.runner, options=beam_options
    )
  elif options.num_workers:
    run = functools.partial(run_workers, num_workers=options.num_workers)
  else:
    run = run_in_memory
  statistics = run(input_files, recipe, output_files)
  for line in report(
    statistics, options.max_seq_length, output_files, options.next_sentence
  ):
    logging.info(line)
  for line in warnings(statistics, options.next_sentence):
    logging.warning(line)
  logging.info(f"took {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
  entry.run(main, Options)
