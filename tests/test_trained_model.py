# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Trained models: how they are found, what they take, what they answer."""

import json
import shutil

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from bert.training import trained_model


def predictor_of(folder):
  return trained_model.Predictor(trained_model.find_model(str(folder)))


def answer(predictor, *rows):
  """The answers to rows, computed as one batch."""
  prepared = [predictor.prepare(row) for row in rows]
  outputs = iter(predictor.run([w for windows, _ in prepared for w in windows]))
  return [
    predictor.answer(kept, [next(outputs) for _ in windows])
    for windows, kept in prepared
  ]


# ----------------------------------------------------------------- folders


def test_the_best_checkpoint_is_used_or_else_the_newest(classifier):
  folder = classifier()
  assert trained_model.find_model(str(folder)).checkpoint.endswith(
    "model.ckpt-3"
  )
  best = folder / "best"
  best.mkdir()
  for path in folder.glob("model.ckpt-3.*"):
    shutil.copy(path, best / path.name.replace("-3", "-2"))
  tf.train.update_checkpoint_state(str(best), "model.ckpt-2")
  for given in (folder, best):
    model = trained_model.find_model(str(given))
    assert model.checkpoint == str(best / "model.ckpt-2")
    assert model.files["task.json"] == str(folder / "task.json")
  model = trained_model.find_model(str(folder), str(folder / "model.ckpt-3"))
  assert model.checkpoint == str(folder / "model.ckpt-3")


def test_folders_that_hold_no_trained_model(classifier, tmp_path):
  def error(folder):
    with pytest.raises(ValueError) as raised:
      trained_model.find_model(str(folder))
    return str(raised.value)

  assert "there is no folder" in error(tmp_path / "none")
  (tmp_path / "empty").mkdir()
  assert "holds no trained model (no checkpoint)" in error(tmp_path / "empty")
  folder = classifier()
  kept = folder / "task.json"
  note = json.loads(kept.read_text())
  for text, message in (
    ("{", "not JSON"),
    ("[]", "it has to be an object, not []"),
    (
      json.dumps({**note, "task": "poet"}),
      "task 'poet', which is not one of classifier",
    ),
    (json.dumps({**note, "task": None}), "'task' has to be a text"),
    ("\udcff", "is not UTF-8: byte 0 is 0xff"),
    (
      json.dumps({"task": "squad", "max_seq_length": 9, "doc_stride": 3}),
      "it lacks version_2_with_negative, do_lower_case, ",
    ),
  ):
    kept.write_text(text, encoding="utf-8", errors="surrogateescape")
    assert message in error(folder)
  kept.unlink()
  assert "has no task.json, which fine-tuning leaves" in error(folder)


def test_weights_that_are_not_the_tasks(classifier):
  folder = classifier()
  note = json.loads((folder / "task.json").read_text())
  (folder / "task.json").write_text(
    json.dumps({**note, "labels": ["a", "b", "c"]})
  )
  with pytest.raises(ValueError, match=r"output_weights of shape \[2, 8\]"):
    predictor_of(folder)


def test_a_damaged_checkpoint_is_told(classifier):
  folder = classifier()
  (data,) = folder.glob("model.ckpt-3.data*")
  whole = data.read_bytes()
  data.write_bytes(bytes(len(whole)))
  with pytest.raises(ValueError, match="model.ckpt-3 is damaged: .* be read"):
    predictor_of(folder)
  data.write_bytes(whole[:100])
  with pytest.raises(
    ValueError, match="damaged: its data files have 100 bytes"
  ):
    trained_model.find_model(str(folder))


# ------------------------------------------------------------------- tasks


def test_labels_have_probabilities_whatever_the_batch(classifier):
  predictor = predictor_of(classifier())
  rows = [
    {"text_a": "a good day", "text_b": "two"},
    {"text": "bad"},
    {"text_a": "one day " * 20},
  ]
  together = answer(predictor, *rows)
  for row, found in zip(rows, together):
    probabilities = found["probabilities"]
    assert sum(probabilities.values()) == pytest.approx(1)
    assert found["label"] == max(probabilities, key=probabilities.get)
    (alone,) = answer(predictor, row)
    assert alone["probabilities"] == pytest.approx(probabilities, rel=1e-5)
  assert together[0]["probabilities"] != together[1]["probabilities"]


def test_several_labels_are_given_by_their_thresholds(classifier):
  folder = classifier(
    label_type="multi", labels=["a", "b"], thresholds=[0.0, 1.0]
  )
  (found,) = answer(predictor_of(folder), {"text": "good"})
  assert found["labels"] == ["a"]
  assert set(found["probabilities"]) == {"a", "b"}


def test_a_number_with_standardised_features_and_a_template(classifier):
  folder = classifier(
    label_type="number",
    labels=[],
    feature_columns=["size", 1],
    feature_mean=[10.0, 0.0],
    feature_std=[2.0, 1.0],
    text_template="{who} good",
  )
  predictor = predictor_of(folder)
  rows = [{"who": "the", "size": size, "1": 0} for size in (10, 12, "14")]
  first, second, third = (a["prediction"] for a in answer(predictor, *rows))
  weights = tf.train.load_checkpoint(str(folder)).get_tensor("output_weights")
  assert weights.shape == (1, 8 + 2)
  assert second - first == pytest.approx(weights[0, 8], rel=1e-4)
  assert third - first == pytest.approx(2 * weights[0, 8], rel=1e-4)
  for row, message in (
    ({"size": 1, "1": 1}, "no key 'who'"),
    ({"who": "a", "size": "big", "1": 1}, "'size' has to be a number"),
    ({"who": "a", "size": 10**400, "1": 1}, "'size' has to be a number"),
    ({"who": "a", "size": 1e39, "1": 1}, "number that float32 can hold"),
    ({"who": "a", "size": 1}, "no key '1'"),
  ):
    with pytest.raises(ValueError, match=message):
      predictor.prepare(row)


def test_an_answer_is_a_part_of_its_context(squad_model):
  context = "A good day, the café.  Two bad days! One day. " * 3
  row = {"question": "one day?", "context": context}
  (found,) = answer(predictor_of(squad_model(n_best_size=20)), row)
  assert found["text"] and len(found["answers"]) > 1
  for part in found["answers"]:
    words = " ".join(context[part["start"] : part["end"]].split())
    assert words == part["text"]
  assert "null_odds" not in found


def test_no_answer_has_odds(squad_model):
  folder = squad_model(
    version_2_with_negative=True, null_score_diff_threshold=-1e6
  )
  row = {"question": "one?", "context": "A good day."}
  (found,) = answer(predictor_of(folder), row)
  assert found["text"] == "" and found["start"] is None
  assert np.isfinite(found["null_odds"])


def test_words_are_tagged_whatever_the_length(trained_folder):
  folder = trained_folder(
    "tagger",
    labels=["O", "B-PER", "I-PER"],
    tag_scheme="bio",
    use_crf=True,
    birnn_cell=None,
    birnn_size=4,
    mix_layers=[],
  )
  text = "a good day, the café. " * 5
  predictor = predictor_of(folder)
  rows = {"text": text}, {"tokens": ["good", "café!"]}
  found, short = answer(predictor, *rows)
  assert found["tokens"] == ["a", "good", "day", ",", "the", "café", "."] * 5
  assert len(found["tags"]) == len(found["tokens"])
  assert set(found["tags"]) <= {"O", "B-PER", "I-PER"}
  assert [text[a:b] for a, b in found["spans"]] == found["tokens"]
  for entity in found["entities"]:
    assert text[entity["start"] : entity["end"]] == entity["text"]
    assert found["tags"][entity["first"]] != "O"
  assert len(short["tags"]) == 2 and "spans" not in short
  with pytest.raises(ValueError, match="'tokens' has to be a list of words"):
    predictor.prepare({"tokens": "good day"})


@pytest.mark.parametrize("model", ["interaction", "representation"])
def test_pairs_match_and_texts_have_vectors(model, trained_folder):
  predictor = predictor_of(
    trained_folder("ranker", model=model, pooling="mean")
  )
  rows = [{"text_a": "good"}, {"text_a": "bad"}]
  pairs = [{**rows[0], "text_b": "day"}, {**rows[1], "text_b": ""}]
  if model == "interaction":
    first, _ = answer(predictor, *pairs)
    odds = first["probability"] / (1 - first["probability"])
    assert np.log(odds) == pytest.approx(first["score"], abs=1e-4)
    with pytest.raises(ValueError, match="no key 'text_b', only 'text'"):
      answer(predictor, {"text": "good"})
  else:
    first, second = answer(predictor, *rows)
    assert len(first["vector"]) == 8 and first != second
    (alone,) = answer(predictor, {"text": "bad"})
    # In a batch of another size a product's last bits can differ.
    assert alone["vector"] == pytest.approx(second["vector"], abs=1e-5)
    with pytest.raises(ValueError, match="a vector of one text"):
      answer(predictor, pairs[0])
