# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Turns raw text into masked records for pre-training.

In: utf-8 text, one sentence a line, a blank line between documents, and a
vocabulary. Out: TFRecord files for `run_pretraining.py`, and a report.

By default one stream of random numbers runs through the whole corpus, which is
held in memory: the records are the original's. `--num_workers` and `--runner`
(Apache Beam) stream it instead, and give each other's records.

Worker processes import this file anew, so nothing on its upper level loads
TensorFlow, which takes 450 MB.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import gc
import importlib.util
import math
import multiprocessing
import os
import random
import shlex
import signal
import struct
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing import connection

from absl import flags, logging
from tqdm import tqdm

import tokenization
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

__all__ = [  # what the original's users import from here
  "create_instances_from_document",
  "create_masked_lm_predictions",
  "create_training_instances",
  "truncate_seq_pair",
  "TrainingInstance",
  "write_instance_to_example_files",
]

FLAGS = flags.FLAGS

LOG_SECONDS = 20  # between two reports of progress in a log
BUCKET_BYTES = 1 << 25  # of records that are sorted at once, about
SPILL_BYTES = 1 << 23  # of records that a worker holds
_COUNTERS = "pretraining"  # namespace of Beam's metrics
_SPILLED = struct.Struct("<QI")  # a record's key and its number of bytes


class Progress:
  """Share done, rate and time left: a bar on a terminal, else lines."""

  def __init__(self, task: str, total: int, unit: str):
    self._task, self._unit = task, unit
    self._total, self._done = total, 0
    self._started = self._told = time.monotonic()
    self._bar = tqdm(
      total=total, desc=task, unit=unit, unit_scale=True, disable=None
    )

  def update(self, count: int) -> None:
    self._done += count
    self._bar.update(count)
    now = time.monotonic()
    if self._bar.disable and now - self._told >= LOG_SECONDS:
      self._told = now
      meter = tqdm.format_meter(
        self._done,
        self._total,
        now - self._started,
        ncols=0,
        prefix=self._task,
        unit=self._unit,
        unit_scale=True,
      )
      logging.info(meter)

  def close(self) -> None:
    self._bar.close()


# ----------------------------------------------- one stream of random numbers


def write_instance_to_example_files(
  instances: Sequence[TrainingInstance],
  tokenizer,
  max_seq_length: int,
  max_predictions_per_seq: int,
  output_files: Sequence[str],
) -> None:
  """Writes instance k to file k mod their number.

  The files appear when all of them are complete.
  """
  from bert.records import record_files

  sizes = max_seq_length, max_predictions_per_seq
  schema = record_files.pretraining_schema(*sizes)
  progress = Progress("writing", len(instances), "record")
  with contextlib.ExitStack() as stack:
    stack.callback(progress.close)
    for shard, path in enumerate(output_files):
      writer = stack.enter_context(record_files.RecordWriter(path, schema))
      for instance in instances[shard :: len(output_files)]:
        writer.write(instance_values(instance, tokenizer, *sizes))
        progress.update(1)
      writer.finish()


@dataclasses.dataclass(frozen=True)
class _ReaderWithProgress:
  """A reader of sentences that tells how many bytes have gone through."""

  reader: SentenceReader
  progress: Progress

  def read(self, lines):
    self.progress.update(num_bytes(lines))
    return self.reader.read(lines)


def run_in_memory(
  input_files: Sequence[str], recipe: Recipe, output_files: Sequence[str]
) -> Statistics:
  """Makes and writes the original's records; returns what they are."""
  statistics = Statistics()
  reading = Progress("reading", sum(map(file_size, input_files)), "B")
  making = None

  def tell(done, total):
    nonlocal making
    if not making:
      reading.close()
      making = Progress("making instances", total, "document")
    making.update(1)

  gc.disable()  # lists by the million, no cycles: looking takes a third
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
    _ReaderWithProgress(recipe.reader, reading),
    statistics,
    tell,
  )
  for progress in filter(None, (reading, making)):
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
  )
  gc.enable()
  return statistics


# ---------------------------------------------------------- worker processes


@dataclasses.dataclass(frozen=True)
class Spill:
  """Where workers put records until all are known and can be sorted.

  A record goes to the output file that the key's remainder names. The records
  of an output file are in the order of their keys; each bucket takes a range of
  keys, and is small enough to be sorted in memory.
  """

  folder: str
  num_shards: int  # output files
  num_buckets: int  # of each output file

  def append(self, records: Sequence[tuple[int, bytes]]) -> None:
    """Adds (key, record) pairs to this process' files of their buckets."""
    buckets = defaultdict(list)
    for key, record in records:
      name = (key % self.num_shards, key * self.num_buckets >> 64)
      buckets[name] += (_SPILLED.pack(key, len(record)), record)
    for (shard, bucket), parts in buckets.items():
      path = os.path.join(self.folder, f"{shard}-{bucket}-{os.getpid()}")
      try:
        with open(path, "ab") as writer:
          writer.write(b"".join(parts))
      except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None

  def sorted_records(self) -> Iterator[Iterator[bytes]]:
    """Yields the records of each output file; the files read are removed."""
    paths = defaultdict(list)
    for name in os.listdir(self.folder):
      shard, bucket, _ = map(int, name.split("-"))
      paths[shard, bucket].append(os.path.join(self.folder, name))

    def of_shard(shard):
      for bucket in range(self.num_buckets):
        yield from _sorted_bucket(paths[shard, bucket])

    return map(of_shard, range(self.num_shards))


def _sorted_bucket(paths):
  """The records of several files, by their keys."""
  pairs = []
  for path in paths:
    with open(path, "rb") as reader:
      data = reader.read()
    os.remove(path)
    start = 0
    while start < len(data):
      key, size = _SPILLED.unpack_from(data, start)
      start += _SPILLED.size
      pairs.append((key, data[start : start + size]))
      start += size
  pairs.sort()
  return [record for _, record in pairs]


_worker = None  # (recipe, spill), in a worker process


def _start_worker(recipe: Recipe, spill: Spill) -> None:
  """Prepares a process; it ends with its parent, and leaves ^C to it."""
  global _worker
  _worker = recipe, spill
  gc.disable()  # as for the default: no cycles are made
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  parent = multiprocessing.parent_process().sentinel

  def end_with_parent():
    connection.wait([parent])
    os._exit(1)

  threading.Thread(target=end_with_parent, daemon=True).start()


def _spill_block(block: Block) -> Statistics:
  """Makes a block's records and puts them into the buckets' files."""
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
  """Makes records in processes that share the documents of a stream."""
  size = sum(map(file_size, input_files))
  # A record set has about twice the bytes of its text a round, or up to eight
  # times where documents are short.
  expected = 4 * size * recipe.dupe_factor
  num_buckets = math.ceil(expected / BUCKET_BYTES / len(output_files)) or 1
  first = output_files[0]
  is_local = "://" not in first
  with tempfile.TemporaryDirectory(
    prefix=os.path.basename(first) + ".partial-",
    dir=os.path.dirname(os.path.abspath(first)) if is_local else None,
  ) as folder:
    spill = Spill(folder, len(output_files), num_buckets)
    statistics = _spill_corpus(input_files, size, recipe, spill, num_workers)
    check_statistics(statistics, input_files)
    write_sorted(spill, statistics.instances, recipe, output_files)
  return statistics


def _spill_corpus(input_files, size, recipe, spill, num_workers):
  """Hands blocks to the workers, a few at a time, till all are spilled."""
  statistics = Statistics()
  progress = Progress("making records", size, "B")
  pool = concurrent.futures.ProcessPoolExecutor(
    num_workers,
    multiprocessing.get_context("spawn"),
    _start_worker,
    (recipe, spill),
  )
  running, wait = {}, concurrent.futures.wait

  def take(futures):
    for future in futures:
      statistics.add(future.result())
      progress.update(running.pop(future))

  try:
    for group, files in enumerate(group_files(input_files)):
      for block in read_blocks(group, files):
        running[pool.submit(_spill_block, block)] = block.num_bytes
        if len(running) > 2 * num_workers:
          take(wait(running, return_when="FIRST_COMPLETED").done)
    take(wait(running).done)
  except concurrent.futures.process.BrokenProcessPool:
    raise RuntimeError(
      "a worker process ended before its work was done, killed for its memory"
      f" perhaps: give fewer than --num_workers={num_workers}"
    ) from None
  finally:
    pool.shutdown(cancel_futures=True)
    progress.close()
  return statistics


def write_sorted(
  spill: Spill, num_records: int, recipe: Recipe, output_files: Sequence[str]
) -> None:
  """Writes what was spilled; the files appear when all are complete."""
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
  """A writer of an output file."""
  from bert.records import record_files

  schema = record_files.pretraining_schema(
    recipe.max_seq_length, recipe.max_predictions_per_seq
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
  """Makes the workers' records in an Apache Beam pipeline.

  Args:
    input_files, recipe, output_files: as everywhere.
    runner: Beam's name of it, such as DirectRunner.
    options: Beam's own flags.

  Raises:
    ValueError: Beam has no such runner or flags, or the text gives nothing.
  """
  if not any(read_documents(input_files)):  # before a cluster is asked
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
  # So that every shard is written, though it be empty.
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


# Beam takes annotations of such functions for its own kind of types.


def _beam_read(group):
  """The blocks of a (number, files)."""
  return read_blocks(*group)


def _beam_records(block, recipe, num_shards):
  """Yields (shard, (key, record)) of a block; counts by Beam's metrics."""
  from apache_beam.metrics import Metrics

  statistics = Statistics()
  for key, record in block_records(block, recipe, statistics):
    yield key % num_shards, (key, record)
  for name, count in dataclasses.asdict(statistics).items():
    Metrics.counter(_COUNTERS, name).inc(count)


def _beam_write(shard_and_pairs, recipe, output_files):
  """Writes an output file: all its records are sorted in memory."""
  shard, pairs = shard_and_pairs
  with open_shard(output_files[shard], recipe) as writer:
    for _, record in sorted(filter(None, pairs)):
      writer.write_encoded(record)


# -------------------------------------------------------------------- report


def check_statistics(
  statistics: Statistics, input_files: Sequence[str]
) -> None:
  """Raises ValueError where the text gives nothing to learn from."""
  files = ", ".join(input_files[:3]) + ", ..." * (len(input_files) > 3)
  if not statistics.documents:
    raise ValueError(f"there is no document with any text in {files}")
  if statistics.unknown == statistics.pieces:
    raise ValueError(
      f"all {statistics.pieces} pieces of {files} are [UNK]: the vocabulary is"
      " of another language or script"
    )


def report(
  statistics: Statistics, max_seq_length: int, output_files: Sequence[str]
) -> list[str]:
  """Lines that say what the corpus became."""
  s = statistics
  size = s.instances * max_seq_length
  return [
    f"documents {s.documents:,}, sentences {s.sentences:,}, pieces"
    f" {s.pieces:,}, unknown pieces {s.unknown:,}"
    f" ({s.unknown / s.pieces:.2%})",
    f"instances {s.instances:,}: tokens used {s.tokens:,}, padded"
    f" {size - s.tokens:,} ({1 - s.tokens / size:.1%})",
    f"random next {s.random_next / s.instances:.1%}, masked a sequence"
    f" {s.masked / s.instances:.1f}",
    f"wrote {s.instances:,} records to {len(output_files)} file(s):"
    f" {', '.join(output_files[:3])}{', ...' if output_files[3:] else ''}",
  ]


def warnings(statistics: Statistics) -> list[str]:
  """What looks wrong with the text."""
  s = statistics
  found = []
  if s.documents == 1:
    found.append(
      "the text is one document, so random next sentences are of the same"
      " document: are the blank lines between documents missing?"
    )
  elif s.random_next > 0.95 * s.instances:
    found.append(
      f"{s.random_next / s.instances:.0%} of next sentences are random, for"
      f" documents have {s.sentences / s.documents:.1f} sentences: a blank line"
      " belongs between documents, not between sentences (or"
      " --split_sentences, where a line is a paragraph)"
    )
  if s.unknown > 0.05 * s.pieces:
    found.append(
      f"{s.unknown / s.pieces:.0%} of the pieces are [UNK]: is --vocab_file of"
      " this language and case?"
    )
  return found


# ---------------------------------------------------------------------- main


def define_flags() -> None:
  """This script's flags, beside those of common_flags."""
  from bert.training import common_flags

  common_flags.define_text_flags()
  flags.adopt_module_key_flags(common_flags)
  flags.DEFINE_string(
    "input_file",
    None,
    "Text files or globs, comma-separated: utf-8, a sentence a line, a blank"
    " line between documents.",
  )
  flags.DEFINE_string(
    "output_file", None, "TFRecord files to write, comma-separated."
  )
  _define_instance_flags()
  _define_text_flags()
  _define_process_flags()
  flags.mark_flags_as_required(["input_file", "output_file", "vocab_file"])


def _define_instance_flags():
  flags.DEFINE_integer(
    "max_seq_length", 128, "Tokens of an instance at most.", lower_bound=5
  )
  flags.DEFINE_integer(
    "max_predictions_per_seq",
    20,
    "Masked tokens of an instance at most; about --max_seq_length times"
    " --masked_lm_prob.",
    lower_bound=1,
  )
  flags.DEFINE_bool(
    "do_whole_word_mask", False, "Mask all pieces of a word, or none."
  )
  flags.DEFINE_integer(
    "random_seed", 12345, "Seed of all that is drawn.", lower_bound=0
  )
  flags.DEFINE_integer(
    "dupe_factor",
    10,
    "How often the text is gone through, with other masks and pairs.",
    lower_bound=1,
  )
  share = dict(lower_bound=0.0, upper_bound=1.0)
  flags.DEFINE_float(
    "masked_lm_prob", 0.15, "Share of the tokens that are masked.", **share
  )
  flags.DEFINE_float(
    "short_seq_prob",
    0.1,
    "Share of the documents whose instances are of a random length, as later"
    " tasks' texts are.",
    **share,
  )
  flags.DEFINE_float(
    "truncate_prob",
    0.0,
    "Share of the sentences that are cut at a random place, in each round"
    " anew; 0.02 makes a model used to text that is not sentences.",
    **share,
  )


def _define_text_flags():
  flags.DEFINE_bool(
    "split_sentences",
    False,
    "A line is a paragraph, and is split into sentences by rules (needs the"
    " library sentencex: pip install -r requirements-sentences.txt).",
  )
  flags.DEFINE_string(
    "language", "en", "Of the text, for --split_sentences: en, de, zh, ..."
  )
  flags.DEFINE_string(
    "word_separator",
    None,
    "The text is segmented, as Chinese can be: this stands between its words,"
    " and white space may. With --do_whole_word_mask the characters of a word"
    " are masked together. The separator itself is no part of the text.",
  )


def _define_process_flags():
  flags.DEFINE_integer(
    "num_workers",
    None,
    "Make records in so many processes, streaming the text. Unlike the"
    " default, where one stream of random numbers runs through the whole"
    " corpus as in the original code, each document draws in each round from a"
    " stream of its own, made of --random_seed, its number and the round, and"
    " random second texts are of the same block of documents (1 to 8 MB of"
    " text, 16 documents if they fit). The output is the same for any number"
    " of processes; memory does not grow with the corpus. Records are shuffled"
    " over all output files. A document over 4 M characters is taken as"
    " several.",
    lower_bound=1,
  )
  flags.DEFINE_string(
    "runner",
    None,
    "Make the records of --num_workers, file by file, in an Apache Beam"
    " pipeline run by this runner: DirectRunner, DataflowRunner, FlinkRunner,"
    " SparkRunner (pip install -r requirements-beam.txt). Each output file has"
    " to fit into a worker's memory, so give many. Files of 64 MB and more are"
    " read at the same time.",
  )
  flags.DEFINE_string(
    "beam_options",
    "",
    "With --runner: Beam's own flags, such as '--project=p --region=r'.",
  )


def check_flags(input_files: Sequence[str], vocab: Iterable[str]) -> list[str]:
  """Compares flags with each other and with the files.

  Returns:
    The output files.

  Raises:
    ValueError: something does not fit.
  """
  if FLAGS.num_workers and FLAGS.runner:
    raise ValueError("give --num_workers or --runner, not both")
  if FLAGS.beam_options and not FLAGS.runner:
    raise ValueError("--beam_options needs --runner")
  if FLAGS.word_separator is not None and not FLAGS.do_whole_word_mask:
    raise ValueError("--word_separator needs --do_whole_word_mask")
  if FLAGS.word_separator == "":
    raise ValueError("--word_separator is empty: give ' ' for white space")
  for flag, library, extra in (
    (FLAGS.runner, "apache_beam", "beam"),
    (FLAGS.split_sentences, "sentencex", "sentences"),
  ):
    if flag and not importlib.util.find_spec(library):
      raise ValueError(
        f"--{'runner' if extra == 'beam' else 'split_sentences'} needs the"
        f" library {library}: pip install -r requirements-{extra}.txt"
      )
  if not any(token.isalnum() for token in vocab):
    raise ValueError(
      f"--vocab_file={FLAGS.vocab_file} has no words: nothing can fill"
      f" --max_seq_length={FLAGS.max_seq_length} but [UNK]"
    )
  wanted = round(FLAGS.max_seq_length * FLAGS.masked_lm_prob)
  if FLAGS.max_predictions_per_seq < wanted:
    logging.warning(
      f"--max_predictions_per_seq={FLAGS.max_predictions_per_seq} keeps long"
      f" sequences from having {FLAGS.masked_lm_prob:.0%} masked: {wanted} of"
      f" --max_seq_length={FLAGS.max_seq_length}"
    )
  return check_output_files(FLAGS.output_file, input_files)


def check_output_files(names: str, input_files: Sequence[str]) -> list[str]:
  """The files that comma-separated names stand for.

  Raises:
    ValueError: one is named twice, is an input, or has no folder.
  """
  output_files = [name.strip() for name in names.split(",") if name.strip()]
  if not output_files:
    raise ValueError("--output_file is empty: name files")
  for path in output_files:
    if output_files.count(path) > 1:
      raise ValueError(f"--output_file names {path} twice")
    if path in input_files:
      raise ValueError(f"--output_file={path} is an input file too")
    folder = os.path.dirname(path) or "."
    if "://" not in path and not os.path.isdir(folder):
      raise ValueError(
        f"--output_file={path}: there is no folder {folder}; make it first"
      )
    if "://" not in path and os.path.isdir(path):
      raise ValueError(f"--output_file={path} is a folder, give a file")
  return output_files


def get_recipe(tokenizer) -> Recipe:
  """How records are made, by the flags."""
  from bert.records import record_files

  schema = record_files.pretraining_schema(
    FLAGS.max_seq_length, FLAGS.max_predictions_per_seq
  )
  return Recipe(
    reader=SentenceReader(
      tokenizer,
      FLAGS.word_separator,
      FLAGS.language if FLAGS.split_sentences else None,
    ),
    encode=record_files.record_encoder(schema),
    max_seq_length=FLAGS.max_seq_length,
    max_predictions_per_seq=FLAGS.max_predictions_per_seq,
    dupe_factor=FLAGS.dupe_factor,
    short_seq_prob=FLAGS.short_seq_prob,
    masked_lm_prob=FLAGS.masked_lm_prob,
    do_whole_word_mask=FLAGS.do_whole_word_mask,
    truncate_prob=FLAGS.truncate_prob,
    random_seed=FLAGS.random_seed,
  )


def main(_):
  from bert.training import common_flags

  started = time.monotonic()
  tokenizer = common_flags.load_tokenizer()
  input_files = tokenization.expand_globs(FLAGS.input_file)
  output_files = check_flags(input_files, tokenizer.vocab)
  logging.info(f"reading {len(input_files)} file(s)")
  recipe = get_recipe(tokenizer)
  if FLAGS.runner:
    options = shlex.split(FLAGS.beam_options)
    run = functools.partial(run_beam, runner=FLAGS.runner, options=options)
  elif FLAGS.num_workers:
    run = functools.partial(run_workers, num_workers=FLAGS.num_workers)
  else:
    run = run_in_memory
  statistics = run(input_files, recipe, output_files)
  for line in report(statistics, FLAGS.max_seq_length, output_files):
    logging.info(line)
  for line in warnings(statistics):
    logging.warning(line)
  logging.info(f"took {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
  from bert.training import common_flags

  define_flags()
  common_flags.run(main)
