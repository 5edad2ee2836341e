# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Tests batches from TFRecords: buckets, order, shuffling, padding."""

import itertools
import json
import math
import os
import threading

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from bert.records import corpora, input_pipeline, record_files, streams
from bert.tasks.classification_data import classification
from bert.tasks.pretraining import Pretraining, PretrainingNote

LENGTHS = [3, 16, 5, 9, 1, 12, 16, 7, 2, 10]
SCHEMA = classification((), 16).schema(True)


@pytest.fixture
def records(tmp_path):
  """Records with LENGTHS tokens, whose label is their place in the file."""
  path = str(tmp_path / "a.tf_record")
  rows = [
    {
      "input_ids": [*range(1, n + 1), *[0] * (16 - n)],
      "input_mask": [1] * n + [0] * (16 - n),
      "segment_ids": [0] * 16,
      "label_ids": place,
      "is_real_example": 1,
    }
    for place, n in enumerate(LENGTHS)
  ]
  return record_files.write_records(rows, SCHEMA, path).path


def batches(path, limit=None, batch_size=4, **options):
  """Returns the batches of an input_fn as arrays."""
  options = {
    "is_training": False,
    "drop_remainder": False,
    "num_examples": len(LENGTHS),
    **options,
  }
  input_fn = input_pipeline.input_fn_builder([path], SCHEMA, **options)
  following = tf.data.make_one_shot_iterator(
    input_fn({"batch_size": batch_size})
  ).get_next()
  found = []
  with tf.Session() as session:
    while limit is None or len(found) < limit:
      try:
        found.append(session.run(following))
      except tf.errors.OutOfRangeError:
        break
  return found


def test_integers_become_int32_and_single_values_become_vectors(records):
  batch = batches(records)[0]
  assert batch["input_ids"].dtype == np.int32
  assert batch["input_ids"].shape == (4, 16)
  assert batch["label_ids"].tolist() == [0, 1, 2, 3]


def test_batches_are_cut_to_their_bucket_without_losing_tokens(records):
  found = batches(records, bounds=[4, 8, 16])
  seen = []
  for batch in found:
    width = batch["input_ids"].shape[1]
    assert width in (4, 8, 16)
    below = {4: 0, 8: 4, 16: 8}[width]
    for ids, mask, place in zip(
      batch["input_ids"], batch["input_mask"], batch["label_ids"]
    ):
      length = LENGTHS[place]
      assert below < length <= width
      assert mask.sum() == length
      assert ids.tolist() == [*range(1, length + 1), *[0] * (width - length)]
      seen.append(place)
  assert sorted(seen) == list(range(10))


def test_predictions_come_back_in_input_order(records):
  found = batches(records, bounds=[4, 8, 16], batch_size=2)
  order = [i for batch in found for i in batch["example_index"]]
  assert order != sorted(order)
  rows = list(streams.in_input_order(found, ["label_ids"]))
  assert [row["label_ids"] for row in rows] == list(range(10))


def test_the_zeros_that_fill_the_last_batch_have_index_minus_1(records):
  found = batches(records, drop_remainder=True)
  assert [batch["input_ids"].shape for batch in found] == [(4, 16)] * 3
  last = found[-1]
  assert last["example_index"].tolist() == [8, 9, -1, -1]
  assert last["is_real_example"].tolist() == [1, 1, 0, 0]
  assert not last["input_mask"][2:].any()
  rows = list(streams.in_input_order(found, ["label_ids"]))
  assert len(rows) == 10


def test_the_longest_sequence_of_a_record_chooses_its_bucket(tmp_path):
  schema = {
    name: record_files.per_position([2, 8])
    for name in record_files.sequence_schema(8)
  }
  path = str(tmp_path / "a.tf_record")
  lengths = [(2, 3), (7, 1), (4, 4)]
  rows = []
  for pair in lengths:
    mask = [int(i < n) for n in pair for i in range(8)]
    rows.append(dict.fromkeys(schema, mask))
  records = record_files.write_records(rows, schema, path)
  assert records.lengths == [3, 7, 4]
  input_fn = input_pipeline.batch_input_fn(
    records, schema, False, 4, [4, 8], drop_remainder=False
  )
  batch = tf.data.make_one_shot_iterator(input_fn({"batch_size": 4})).get_next()
  with tf.Session() as session:
    found = [session.run(batch) for _ in range(2)]
  shapes = {values["input_ids"].shape for values in found}
  assert shapes == {(2, 2, 4), (1, 2, 8)}
  sums = {
    tuple(row) for values in found for row in values["input_mask"].sum(axis=-1)
  }
  assert sums == set(lengths)


def test_static_shapes_on_tpu(records):
  input_fn = input_pipeline.input_fn_builder(
    [records], SCHEMA, True, True, len(LENGTHS)
  )
  shapes = tf.data.get_output_shapes(input_fn({"batch_size": 4}))
  assert shapes["input_ids"].as_list() == [4, 16]
  assert shapes["label_ids"].as_list() == [4]


def test_training_sees_each_example_once_an_epoch_in_a_new_order(records):
  found = batches(
    records, limit=4, batch_size=5, is_training=True, random_seed=3
  )
  order = [place for batch in found for place in batch["label_ids"].tolist()]
  first, second = order[:10], order[10:]
  assert sorted(first) == sorted(second) == list(range(10))
  assert first != second
  assert first != sorted(first)


def test_the_same_seed_gives_the_same_order(records):
  def order(seed):
    found = batches(records, limit=6, is_training=True, random_seed=seed)
    return [batch["label_ids"].tolist() for batch in found]

  assert order(3) == order(3)
  assert order(3) != order(4)


@pytest.mark.parametrize(
  "options", [{}, {"bounds": [4, 8, 16]}, {"drop_remainder": True}]
)
def test_training_that_resumes_goes_on_with_the_next_batch(records, options):
  options = {**options, "is_training": True, "random_seed": 5}
  whole = batches(records, 9, **options)
  rest = batches(records, 5, **options, first_batch=4)  # in the second epoch
  for found, expected in zip(rest, whole[4:]):
    for name, value in expected.items():
      np.testing.assert_array_equal(found[name], value)
  assert len({batch["label_ids"].tobytes() for batch in whole}) > 7


def test_every_batch_of_a_training_bucket_is_full(records):
  found = batches(
    records, limit=12, is_training=True, bounds=[8, 16], random_seed=1
  )
  assert [len(batch["label_ids"]) for batch in found] == [4] * 12


def padded_positions(lengths, bounds):
  return sum(min(b for b in bounds if b >= n) for n in lengths)


@pytest.mark.parametrize("min_examples", [1, 6, 40])
def test_bucket_bounds_are_the_best_of_all(min_examples):
  rng = np.random.RandomState(0)
  for _ in range(20):
    lengths = rng.randint(1, 65, size=30)
    longest = -(-max(lengths) // 8) * 8
    allowed = []
    for count in range(3):
      for choice in itertools.combinations(range(8, longest, 8), count):
        bounds = [*choice, longest]
        sizes = np.bincount(np.searchsorted(bounds, lengths))
        if len(bounds) == 1 or sizes.min() >= min_examples:
          allowed.append(bounds)
    chosen = input_pipeline.bucket_bounds(
      lengths.tolist(), 64, min_examples, max_buckets=3
    )
    needed = [padded_positions(lengths, bounds) for bounds in allowed]
    assert chosen in allowed
    assert padded_positions(lengths, chosen) == min(needed)


def test_bucket_bounds_of_equal_lengths():
  assert input_pipeline.bucket_bounds([20] * 5, 128) == [24]
  assert input_pipeline.bucket_bounds([128] * 5, 128) == [128]
  assert input_pipeline.bucket_bounds([50, 3], 50) == [8, 50]
  assert input_pipeline.bucket_bounds([50, 3], 50, min_examples=2) == [50]


def test_a_last_bucket_with_too_few_examples_is_joined_to_another():
  lengths = [3] * 5 + [50]
  assert input_pipeline.bucket_bounds(lengths, 50, min_examples=2) == [50]


@pytest.mark.parametrize(
  "price, expected",
  [
    (0, [8, 16, 24]),  # 168 positions; [8, 24] has 200, [24] has 360
    (31, [8, 16, 24]),  # 168 + 3 * 31 = 261 < 262 = 200 + 2 * 31
    (33, [8, 24]),  # 200 + 2 * 33 = 266 < 267 = 168 + 3 * 33
    (159, [8, 24]),  # 200 + 2 * 159 = 518 < 519 = 360 + 159
    (161, [24]),  # 360 + 161 = 521 < 522 = 200 + 2 * 161
  ],
)
def test_a_bucket_has_to_save_more_positions_than_it_costs(price, expected):
  lengths = [8] * 10 + [16] * 4 + [24]
  found = input_pipeline.bucket_bounds(lengths, 128, bucket_price=price)
  assert found == expected


def test_describe_gives_the_share_of_padding():
  # 4 + 12 tokens of 8 + 16 positions: a third is padding; of 32, a half.
  text = input_pipeline.describe([4, 12], 16, [8, 16])
  assert "33.3% of what is computed is padding (50.0% at full length)" in text


@pytest.mark.parametrize(
  ("is_training", "train_batch_size", "price", "bounds"),
  [
    (False, 6, 0, [8, 16]),
    (True, 1, 0, [8, 16]),  # both have 5 examples, which is over 4 batches
    (True, 2, 0, [16]),
    (True, 1, 39, [8, 16]),  # 120 + 2 * 39 positions, or 160 + 39
    (True, 1, 41, [16]),
  ],
)
def test_auto_bounds_follow_from_the_records(
  records, is_training, train_batch_size, price, bounds
):
  input_fn = input_pipeline.batch_input_fn(
    record_files.RecordFile(records, LENGTHS),
    SCHEMA,
    is_training,
    train_batch_size,
    "auto",
    drop_remainder=False,
    random_seed=1,
    bucket_price=price,
  )
  dataset = input_fn({"batch_size": 2})
  batch = tf.data.make_one_shot_iterator(dataset).get_next()["input_ids"]
  with tf.Session() as session:
    widths = {session.run(batch).shape[1] for _ in range(5)}
  assert widths == set(bounds)


def test_the_error_for_records_of_another_length_gives_both(records):
  wanted = classification((), 12).schema(True)
  with pytest.raises(ValueError, match=r"16 values of 'input_ids'.*for 12"):
    input_pipeline.check_records(records, wanted)


def test_records_of_another_task_are_refused(records):
  wanted = {**SCHEMA, "unique_ids": tf.FixedLenFeature([], tf.int64)}
  with pytest.raises(ValueError, match=r"no 'unique_ids' in its records"):
    input_pipeline.check_records(records, wanted)


@pytest.mark.parametrize("data", [b"", b"not a record file at all"])
def test_a_file_without_records_is_refused(tmp_path, data):
  path = tmp_path / "a.tf_record"
  path.write_bytes(data)
  with pytest.raises(ValueError, match=r"a.tf_record (is not|holds no)"):
    input_pipeline.check_records(str(path), SCHEMA)


# ----------------------------------------------------------------- corpora

FILE_SIZES = [7, 1, 12, 10]


@pytest.fixture
def shards(tmp_path):
  """30 records in 4 files; label_ids numbers them across the files."""
  rng, paths, place = np.random.RandomState(0), [], 0
  for i, size in enumerate(FILE_SIZES):
    rows = []
    for _ in range(size):
      n = rng.randint(1, 17)
      rows.append(
        {
          "input_ids": [*range(1, n + 1), *[0] * (16 - n)],
          "input_mask": [1] * n + [0] * (16 - n),
          "segment_ids": [0] * 16,
          "label_ids": place,
          "is_real_example": 1,
        }
      )
      place += 1
    paths.append(str(tmp_path / f"{i}.tf_record"))
    record_files.write_records(rows, SCHEMA, paths[-1])
  return corpora.count_examples(paths)


def with_number(number, example):
  return {**example, "number": number}


def corpus_batches(shards, steps, first=0, context=None, workers=None, **given):
  """Returns `steps` batches of 5, after skipping the `first` ones."""
  options = {"is_training": True, "drop_remainder": False, **given}
  input_fn = corpora.corpus_input_fn_builder(
    *(shards, SCHEMA),
    random_seed=7,
    first_example=5 * first,
    transform=with_number,
    **options,
  )
  params = {"batch_size": 5, "context": context}
  following = tf.data.make_one_shot_iterator(
    input_fn(params, workers)
  ).get_next()
  with tf.Session() as session:
    return [session.run(following) for _ in range(steps)]


def labels_of(batches):
  return [batch["label_ids"].tolist() for batch in batches]


def test_a_corpus_is_counted_and_each_pass_has_its_own_order(shards):
  assert [shard.num_examples for shard in shards] == FILE_SIZES
  found = corpus_batches(shards, 12)
  order = np.concatenate(labels_of(found))
  first, second = order[:30].tolist(), order[30:].tolist()
  assert sorted(first) == sorted(second) == list(range(30))
  assert first != second
  numbers = np.concatenate([batch["number"] for batch in found])
  assert numbers.tolist() == list(range(60))


@pytest.mark.parametrize("bounds", [[], [4, 8, 16]])
@pytest.mark.parametrize("first", [3, 6, 8])
def test_a_corpus_resumes_where_it_stopped(shards, monkeypatch, bounds, first):
  monkeypatch.setattr(corpora, "_POOL_EXAMPLES", 20)  # 4 batches
  whole = labels_of(corpus_batches(shards, 12, bounds=bounds))
  rest = labels_of(corpus_batches(shards, 12 - first, first, bounds=bounds))
  assert rest == whole[first:]


def test_pools_are_batched_by_length_without_losing_examples(
  shards, monkeypatch
):
  monkeypatch.setattr(corpora, "_POOL_EXAMPLES", 30)
  found = corpus_batches(shards, 6, bounds=[4, 8, 16])
  assert sorted(sum(labels_of(found), [])) == list(range(30))
  widths = [batch["input_ids"].shape[1] for batch in found]
  assert set(widths) == {4, 8, 16}
  assert widths != sorted(widths)  # batches come out of order
  for batch, width in zip(found, widths):
    longest = batch["input_mask"].sum(axis=1).max()
    assert width == min(bound for bound in (4, 8, 16) if bound >= longest)


def test_examples_longer_than_all_bounds_are_not_cut(shards):
  found = corpus_batches(shards, 6, bounds=[4])
  assert {batch["input_ids"].shape[1] for batch in found} == {4, 16}


class Host:
  """What TPUEstimator passes to an input_fn about its host."""

  num_hosts = 2

  def __init__(self, current_host):
    self.current_host = current_host


class Worker:
  """What a tf.distribute strategy passes to an input_fn about its worker."""

  num_replicas_in_sync = num_input_pipelines = 5

  def __init__(self, input_pipeline_id):
    self.input_pipeline_id = input_pipeline_id


def test_hosts_share_each_pass(shards):
  parts = [
    labels_of(
      corpus_batches(shards, 3, context=Host(host), drop_remainder=True)
    )
    for host in range(2)
  ]
  assert sorted(np.ravel(parts)) == list(range(30))


def test_workers_share_each_batch(shards):
  whole = labels_of(corpus_batches(shards, 7, bounds=[8, 16]))
  parts = [
    labels_of(corpus_batches(shards, 7, bounds=[8, 16], workers=Worker(worker)))
    for worker in range(5)
  ]
  assert np.concatenate(parts, axis=1).tolist() == whole


def test_a_corpus_is_evaluated_once_and_in_order(shards):
  options = dict(is_training=False, bounds=[8, 16], num_examples=12)
  found = corpus_batches(shards, 3, **options)
  rows = list(streams.in_input_order(found, ["label_ids"]))
  assert [row["label_ids"] for row in rows] == list(range(12))


@pytest.mark.parametrize("is_cut", [True, False])
def test_the_error_names_a_damaged_file_and_a_flag_skips_its_rest(
  shards, tmp_path, caplog, is_cut
):
  paths = [shard.path for shard in shards]
  file = tmp_path / "2.tf_record"
  data = file.read_bytes()
  end = b"" if is_cut else bytes([data[-10] ^ 255]) + data[-9:]
  file.write_bytes(data[:-10] + end)
  with pytest.raises(
    ValueError, match=r"2.tf_record is damaged at byte \d+ of \d+, after 11 rec"
  ):
    corpora.count_examples(paths)
  rest = corpora.count_examples(paths, skip_corrupted=True)
  assert [shard.num_examples for shard in rest] == [7, 1, 11, 10]
  assert "bytes are left out" in caplog.text
  found = np.concatenate(labels_of(corpus_batches(rest, 11)))[:29]
  assert sorted(found) == [*range(19), *range(20, 30)]


def test_record_counts_are_kept_until_a_file_changes(
  shards, tmp_path, monkeypatch
):
  paths, note = [shard.path for shard in shards], str(tmp_path / "note.json")
  corpora.count_examples(paths, note)
  read = []
  count = corpora._count
  monkeypatch.setattr(
    corpora, "_count", lambda path: read.append(path) or count(path)
  )
  assert corpora.count_examples(paths, note) == shards
  assert read == []
  first, second = (tmp_path / f"{i}.tf_record" for i in range(2))
  second.write_bytes(second.read_bytes() + first.read_bytes())
  changed = corpora.count_examples(paths, note)
  assert read == [paths[1]]
  assert changed[1].num_examples == 8


def test_sample_lengths_reads_every_file_and_checks_the_vocabulary(shards):
  lengths = corpora.sample_lengths(shards, SCHEMA, {"input_ids": 17})
  assert len(lengths) == 30
  with pytest.raises(
    ValueError, match=r"0.tf_record has the value 9 in 'input_ids', .* 0 to 8:"
  ):
    corpora.sample_lengths(shards, SCHEMA, {"input_ids": 9})


@pytest.mark.parametrize(
  "damaged",
  [
    *({}, [], 5, None, [[1, 2], 3], [[1, 2, 3], 3, None], [[1], 3, None]),
    *([["a", 2], 3, None], [5, 3, None], [[1, 2], None, None]),
    *([[1, 2], 3, []], [[1, 2], [3], None]),
  ],
)
def test_damaged_counts_are_made_again(shards, tmp_path, damaged):
  paths, note = [shard.path for shard in shards], tmp_path / "note.json"
  note.write_text(json.dumps(dict.fromkeys(paths, damaged)))
  assert corpora.count_examples(paths, str(note)) == shards
  assert corpora.count_examples(paths, str(note)) == shards


def pretraining_schema(predictions):
  note = PretrainingNote(8, predictions)
  return Pretraining(note).schema(is_training=True)


def test_the_error_for_too_few_masked_words_names_the_flag(tmp_path):
  schema = pretraining_schema(3)
  row = {name: [0] * spec.shape[0] for name, spec in schema.items()}
  path = str(tmp_path / "a.tf_record")
  record_files.write_records([row], schema, path)
  shards = corpora.count_examples([path])
  with pytest.raises(
    ValueError, match=r"with 3 values .*for 5.*change --max_predictions_per_seq"
  ):
    wanted = pretraining_schema(5)
    corpora.sample_lengths(shards, wanted, {})


@pytest.mark.parametrize(
  ("column", "place", "value", "takes"),
  [
    ("input_ids", 1, 10, "0 to 9"),
    ("input_ids", 0, -1, "0 to 9"),
    ("input_ids", 0, 2**40, "0 to 9"),
    ("input_mask", 7, 2, "0 to 1"),
    ("input_mask", 0, -1, "0 to 1"),
    ("segment_ids", 2, 2, "0 to 1"),
    ("masked_lm_positions", 0, 8, "0 to 7"),
    ("masked_lm_positions", 0, -1, "0 to 7"),
    ("masked_lm_ids", 2, 10, "0 to 9"),
    ("masked_lm_weights", 0, math.nan, "numbers from 0 on"),
    ("masked_lm_weights", 0, math.inf, "numbers from 0 on"),
    ("masked_lm_weights", 0, -1.0, "numbers from 0 on"),
    ("next_sentence_labels", 0, 2, "0 to 1"),
  ],
)
def test_values_that_no_model_has_are_named(
  tmp_path, column, place, value, takes
):
  schema = pretraining_schema(3)
  path = str(tmp_path / "a.tf_record")
  row = {name: [0] * spec.shape[0] for name, spec in schema.items()}
  row["masked_lm_weights"] = [1.0, 0.5, 0.0]
  sizes = {"input_ids": 10, "masked_lm_ids": 10, "segment_ids": 2}

  def lengths():
    record_files.write_records([row], schema, path)
    return corpora.sample_lengths(corpora.count_examples([path]), schema, sizes)

  assert lengths() == [0]
  row[column] = [*row[column][:place], value, *row[column][place + 1 :]]
  with pytest.raises(
    ValueError,
    match=f"a.tf_record has the value {value} in '{column}', .* {takes}: make",
  ):
    lengths()


def test_columns_of_another_kind_are_named(tmp_path):
  """TensorFlow would only say so in the middle of training."""
  schema = pretraining_schema(3)
  row = {name: [0] * spec.shape[0] for name, spec in schema.items()}
  floats = {**schema, "input_ids": tf.FixedLenFeature([8], tf.float32)}
  path = str(tmp_path / "a.tf_record")
  record_files.write_records([row], floats, path)
  with pytest.raises(ValueError, match="with 0 values of 'input_ids', but"):
    input_pipeline.check_records(path, schema)


def test_a_stream_is_sorted_by_length_within_its_windows():
  def row(length):
    mask = [1] * length + [0] * (16 - length)
    return {"input_ids": [length] * 16, "input_mask": mask}

  def windows():
    yield [row(9), row(1), row(2)]
    yield [row(3)]

  schema = {name: tf.FixedLenFeature([16], tf.int64) for name in row(1)}
  input_fn = streams.stream_input_fn(windows(), schema)
  batch = tf.data.make_one_shot_iterator(input_fn({"batch_size": 2})).get_next()
  with tf.Session() as session:
    found = [session.run(batch) for _ in range(3)]
  assert [b["example_index"].tolist() for b in found] == [[1, 2], [0], [3]]
  assert [b["input_ids"].shape for b in found] == [(2, 8), (1, 16), (1, 8)]


@pytest.mark.filterwarnings("ignore:To make it possible to preserve tf.data")
def test_autotuning_is_off_so_sessions_close_at_once(records):
  """tf.data's autotuner can sleep for a minute before it sees the end."""
  rows = [{"input_ids": [1] * 4}]
  schema = {"input_ids": tf.FixedLenFeature([4], tf.int64)}
  for input_fn in (
    input_pipeline.input_fn_builder([records], SCHEMA, False, False, 8),
    input_pipeline.input_fn_builder([records], SCHEMA, True, False, 8),
    input_pipeline.array_input_fn(rows, schema, False),
    streams.stream_input_fn([rows], schema),
  ):
    options = input_fn({"batch_size": 2}).options()
    assert options.autotune.enabled is False


def test_examples_in_memory_keep_their_order_and_length():
  rows = [{"input_ids": [i] * 4} for i in range(3)]
  schema = {"input_ids": tf.FixedLenFeature([4], tf.int64)}
  input_fn = input_pipeline.array_input_fn(rows, schema, drop_remainder=True)
  batch = tf.data.make_one_shot_iterator(input_fn({"batch_size": 2})).get_next()
  with tf.Session() as session:
    found = [session.run(batch) for _ in range(2)]
  assert [b["example_index"].tolist() for b in found] == [[0, 1], [2, -1]]
  assert [b["input_ids"][:, 0].tolist() for b in found] == [[0, 1], [2, 0]]


def test_early_results_wait_for_their_turn():
  order = streams.InputOrder()
  assert list(order.add(1, "b")) == []
  assert list(order.add(0, "a")) == ["a", "b"]
  assert list(order.add(2, "c")) == ["c"]


# ----------------------------------------------------- things as they arrive


def test_arrived_things_are_yielded_without_waiting_for_more():
  reader, writer = os.pipe()
  with os.fdopen(reader, "rb") as stream:
    batches = streams.as_they_come(stream, 3)
    os.write(writer, b"1\n")
    assert next(batches) == [b"1\n"]  # while the stream is still open
    os.write(writer, b"2\n3\n4\n5\n")
    os.close(writer)
    rest = sum(batches, [])
    assert rest == [b"%d\n" % i for i in range(2, 6)]


def test_waiting_things_are_yielded_together():
  go_on, is_full = threading.Event(), threading.Event()

  def things():
    yield 0
    go_on.wait(60)
    yield from (1, 2, 3)
    is_full.set()
    yield from (4, 5)

  batches = streams.as_they_come(things(), 3)
  assert next(batches) == [0]
  go_on.set()
  assert is_full.wait(60)
  assert next(batches) == [1, 2, 3]
  assert sum(batches, []) == [4, 5]


def test_a_read_error_is_raised_after_the_things_before_it():
  def broken():
    yield 1
    raise ValueError("not utf-8")

  batches = streams.as_they_come(broken(), 2)
  assert next(batches) == [1]
  with pytest.raises(ValueError, match="not utf-8"):
    next(batches)


def test_an_unneeded_stream_is_not_waited_for():
  reader, writer = os.pipe()
  with os.fdopen(reader, "rb") as stream:
    batches = streams.as_they_come(stream, 2, lambda: True)
    assert list(batches) == []
    os.close(writer)
