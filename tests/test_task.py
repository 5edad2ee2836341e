# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The note of a trained model, a user's own task, and the texts of a row."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import write

import extract_features
import modeling
from bert.tasks import answering, classification, pretraining, ranking, task


@dataclasses.dataclass(frozen=True)
class Note:
  task: str
  do_lower_case: bool
  max_seq_length: int
  threshold: float = 0.5
  names: list = dataclasses.field(default_factory=list)


class Sorting(task.Task):
  """A task of which only the note matters."""

  name = "sorting"
  Note = Note


KEPT = {"task": "sorting", "do_lower_case": True, "max_seq_length": 9}


def read_note(folder, text):
  path = write(folder / "task.json", text)
  return task.read_note(path, {"sorting": Sorting, "other": Sorting})


def test_a_note_has_defaults_for_what_prediction_does_not_need(tmp_path):
  note = read_note(tmp_path, json.dumps({**KEPT, "of_a_newer_version": 1}))
  assert note == Note("sorting", True, 9, 0.5, [])
  note = read_note(tmp_path, json.dumps({**KEPT, "threshold": 0.25}))
  assert note.threshold == 0.25


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("{", "task.json: not JSON: Expecting"),
    ("[]", "task.json: it has to be an object"),
    ('{"task": ["sorting"]}', "task.json: 'task' has to be a text"),
    ('{"labels": []}', "does not name its task, .*: add .* sorting, other"),
    ('{"task": "cooking"}', "is of the task 'cooking', which is not one of so"),
    ('{"task": "sorting"}', "it lacks do_lower_case, max_seq_length"),
  ],
)
def test_a_note_that_can_not_be_used_is_refused(tmp_path, text, message):
  with pytest.raises(ValueError, match=message):
    read_note(tmp_path, text)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"labels": "no"}, "'labels' has to be a list, not \"no\""),
    ({"labels": ["no", 1]}, r"'labels\[1\]' has to be a text, not 1"),
    ({"max_seq_length": "9"}, "'max_seq_length' has to be a whole number"),
    ({"do_lower_case": 1}, "'do_lower_case' has to be true or false, not 1"),
    ({"text_template": True}, "'text_template' has to be a text or null"),
    ({"thresholds": [None]}, r"'thresholds\[0\]' has to be a number"),
    ({"feature_columns": [[]]}, r".*\[0\]' has to be a whole number or"),
    ({"second_text": "yes"}, "'second_text' has to be true or false or null"),
    ({"label_type": "many"}, "label_type 'many' is none of single, multi, num"),
  ],
)
def test_values_of_another_kind_in_a_note_are_named(tmp_path, change, message):
  kept = {
    **{"task": "classifier", "label_type": "single", "labels": ["no", "yes"]},
    **{"thresholds": [], "feature_columns": ["age", 3], "feature_mean": [1, 2]},
    **{"feature_std": [1, 2.5], "do_lower_case": True, "max_seq_length": 9},
  }
  path = write(tmp_path / "task.json", json.dumps(kept))
  known = {"classifier": classification.Classification}
  assert task.read_note(path, known).second_text is None  # of an older version
  write(tmp_path / "task.json", json.dumps({**kept, **change}))
  with pytest.raises(ValueError, match=f"task.json: {message}"):
    task.read_note(path, known)


TASK_FILE = """
from __future__ import annotations

import dataclasses

from bert.tasks.classification import Classification
from bert.tasks.task import Task


@dataclasses.dataclass(frozen=True)
class Note:
  task: str
  do_lower_case: bool


class Base(Task):
  pass


class Own(Base):
  name = "own"
  Note = Note
"""


def test_a_task_file_adds_the_tasks_that_it_defines(tmp_path):
  path = write(tmp_path / "own.py", TASK_FILE)
  found = task.load_task_file(path)
  assert list(found) == ["own"]
  assert issubclass(found["own"], task.Task)
  path = write(tmp_path / "task.json", '{"task": "own", "do_lower_case": true}')
  assert task.read_note(path, found).do_lower_case


def test_a_task_file_that_is_missing_or_empty_is_refused(tmp_path):
  with pytest.raises(ValueError, match="--task_file=no.py: there is no such"):
    task.load_task_file("no.py")
  path = write(tmp_path / "own.txt", TASK_FILE)
  with pytest.raises(ValueError, match="own.txt: there is no such Python"):
    task.load_task_file(path)
  path = write(tmp_path / "empty.py", "from bert.tasks.task import Task\n")
  with pytest.raises(ValueError, match="empty.py defines no subclass of Task"):
    task.load_task_file(path)


def test_a_text_stands_under_the_first_name_that_a_row_has():
  row = {"text": "b", "text_a": "a"}
  assert task.text_of(row, ("text_a", "text"), {}) == "a"
  assert task.text_of({"text": "b"}, ("text_a", "text"), {}) == "b"


@pytest.mark.parametrize(
  ("row", "message"),
  [
    (
      {"id": 1},
      "no key 'text', only 'id': give a row such as {\"text\": \"x\"}",
    ),
    ({}, "no key 'text': give a row such as"),
    ({"text": 3}, "'text' has to be a text, not 3"),
    ({"text": None}, "'text' has to be a text, not null"),
  ],
)
def test_a_row_without_a_text_is_refused(row, message):
  with pytest.raises(ValueError, match=message):
    task.text_of(row, ("text",), {"text": "x"})


def test_losses_are_means_over_the_examples_of_a_batch():
  own = Sorting(Note("sorting", True, 9))
  (weight,) = own.loss_weights({"input_mask": tf.ones([3, 2], tf.int32)})
  with tf.Session() as session:
    assert session.run(weight) == 3.0


def test_a_task_is_fed_the_encoders_inputs():
  inputs = Sorting(Note("sorting", True, 9)).inputs()
  assert list(inputs) == ["input_ids", "input_mask", "segment_ids"]
  assert all(spec.shape.as_list() == [None, None] for spec in inputs.values())


def classifier(pooling):
  return classification.Classification(
    classification.ClassifierNote(
      *("classifier", "single", ["a", "b"], [], [], [], [], True, 5),
      pooling=pooling,
    )
  )


def ranker(*model_and_pooling):
  note = ranking.RankerNote("ranker", *model_and_pooling, True, 5)
  return ranking.Ranking(note)


@pytest.mark.parametrize(
  ("own", "size"),
  [
    (classifier("cls"), 1),
    (classifier("mean"), 5),
    (ranker("interaction", "mean"), 1),
    (ranker("representation", "cls"), 1),
    (ranker("representation", "mean"), 5),
    (pretraining.Pretraining(pretraining.PretrainingNote()), 1 + 2),
    (extract_features.Extraction([-1], "pooled"), 1),
    (extract_features.Extraction([-1], "mean"), 5),
    (Sorting(Note("sorting", True, 5)), 5),
  ],
)
@pytest.mark.parametrize("length", [5, None])
def test_the_last_layer_computes_what_a_task_needs(own, size, length):
  names = [*task.ENCODER_INPUTS, "input_type_ids", "masked_lm_positions"]
  features = dict.fromkeys(names, tf.placeholder(tf.int32, [None, length]))
  features["masked_lm_positions"] = tf.placeholder(tf.int32, [None, 2])
  encoder = own.encode(modeling.BertConfig(9, 4, 2, 2, 8), features)
  found = encoder.get_sequence_output().shape.as_list()
  assert found == [None, length if size == 5 else size, 4]
  everything = own.encode(encoder.config, features, last_positions=None)
  assert everything.get_sequence_output().shape.as_list() == [None, length, 4]


@pytest.mark.parametrize(
  "own", [classifier("cls"), ranker("representation", "cls")]
)
def test_a_tasks_layers_see_the_same_in_fewer_tokens(own):
  config = modeling.BertConfig(9, 4, 2, 2, 8, initializer_range=0.5)
  rng = np.random.RandomState(1)
  shape = [2, 3, 5] if own.name == "ranker" else [6, 5]  # 3 sequences each
  ids = rng.randint(1, 9, shape)
  features = {
    "input_ids": tf.constant(ids, tf.int32),
    "input_mask": tf.constant(ids > 2, tf.int32),
    "segment_ids": tf.constant(ids % 2, tf.int32),
  }
  outputs = []
  for options in ({}, {"last_positions": None}):
    with tf.variable_scope("", reuse=tf.AUTO_REUSE):
      outputs.append(own.build(config, features, scope="bert", **options))
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    found, wanted = session.run(outputs)
  name = "vectors" if own.name == "ranker" else "logits"
  assert len(found[name]) == 6
  np.testing.assert_allclose(found[name], wanted[name], atol=1e-5)
  assert np.ptp(wanted[name][:, 0]) > 0.001


def test_the_least_length_of_a_question_has_room_for_a_piece_of_context():
  note = answering.SquadNote("squad", False, True, 20, 8, 7, 5, 5, 0.0)
  assert answering.Answering(note).least_length == 8 + 4
  assert classifier("cls").least_length == 4


class OwnLayers(classification.Classification):
  """A user's class, which may need any token."""

  def layers(self, encoder, features):
    return super().layers(encoder, features)


class OwnPositions(OwnLayers):
  def last_positions(self, features):
    return tf.concat([super().last_positions(features)] * 2, axis=1)


@pytest.mark.parametrize(("kind", "size"), [(OwnLayers, 5), (OwnPositions, 2)])
def test_a_subclass_with_layers_of_its_own_gets_all_tokens(kind, size):
  own = kind(classifier("cls").note)
  features = dict.fromkeys(
    task.ENCODER_INPUTS, tf.placeholder(tf.int64, [None, 5])
  )
  encoder = own.encode(modeling.BertConfig(9, 4, 2, 2, 8), features)
  assert encoder.get_sequence_output().shape.as_list() == [None, size, 4]
