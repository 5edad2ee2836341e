# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Batches from TFRecords: buckets, order, shuffling, padding."""

import itertools

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import features
import input_pipeline

LENGTHS = [3, 16, 5, 9, 1, 12, 16, 7, 2, 10]
SCHEMA = features.classification_schema(16)


@pytest.fixture
def records(tmp_path):
  """Records of LENGTHS whose label is their place and whose ids count up."""
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
  return features.write_records(rows, SCHEMA, path).path


def batches(path, limit=None, batch_size=4, **options):
  """The batches that an input_fn gives, as arrays."""
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


def test_integers_become_int32_and_one_value_a_record_is_a_vector(records):
  batch = batches(records)[0]
  assert batch["input_ids"].dtype == np.int32
  assert batch["input_ids"].shape == (4, 16)
  assert batch["label_ids"].tolist() == [0, 1, 2, 3]


def test_batches_are_cut_to_their_bucket_and_lose_no_token(records):
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
  rows = list(input_pipeline.in_input_order(found, ["label_ids"]))
  assert [row["label_ids"] for row in rows] == list(range(10))


def test_whole_batches_are_filled_with_zeros_that_are_told_apart(records):
  found = batches(records, drop_remainder=True)
  assert [batch["input_ids"].shape for batch in found] == [(4, 16)] * 3
  last = found[-1]
  assert last["example_index"].tolist() == [8, 9, -1, -1]
  assert last["is_real_example"].tolist() == [1, 1, 0, 0]
  assert not last["input_mask"][2:].any()
  rows = list(input_pipeline.in_input_order(found, ["label_ids"]))
  assert len(rows) == 10


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


def test_training_buckets_fill_every_batch(records):
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


def test_describe_tells_the_share_of_padding():
  # 4 + 12 tokens of 8 + 16 positions: a third is padding; of 32, a half.
  text = input_pipeline.describe([4, 12], 16, [8, 16])
  assert "33.3% of what is computed is padding (50.0% without)" in text


@pytest.mark.parametrize(
  ("is_training", "bounds"), [(False, [8, 16]), (True, [16])]
)
def test_bounds_are_chosen_for_the_records(records, is_training, bounds):
  # 10 examples in batches of 2: a bucket for training has at least 8.
  file = features.RecordFile(records, LENGTHS)
  input_fn = input_pipeline.batch_input_fn(
    file, SCHEMA, is_training, 2, "auto", drop_remainder=False, random_seed=1
  )
  dataset = input_fn({"batch_size": 2})
  batch = tf.data.make_one_shot_iterator(dataset).get_next()["input_ids"]
  with tf.Session() as session:
    widths = {session.run(batch).shape[1] for _ in range(5)}
  assert widths == set(bounds)


def test_records_of_another_length_are_named(records):
  wanted = features.classification_schema(12)
  with pytest.raises(ValueError, match=r"16 values of 'input_ids'.*for 12"):
    input_pipeline.check_records(records, wanted)


def test_records_of_another_task_are_named(records):
  wanted = {**SCHEMA, "unique_ids": tf.FixedLenFeature([], tf.int64)}
  with pytest.raises(ValueError, match=r"no 'unique_ids' in its records"):
    input_pipeline.check_records(records, wanted)


@pytest.mark.parametrize("data", [b"", b"not a record file at all"])
def test_what_is_no_record_file_is_refused(tmp_path, data):
  path = tmp_path / "a.tf_record"
  path.write_bytes(data)
  with pytest.raises(ValueError, match=r"a.tf_record (is not|holds no)"):
    input_pipeline.check_records(str(path), SCHEMA)
