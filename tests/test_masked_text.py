# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""What a pre-trained model answers, against its logits worked out directly."""

import json

import helpers
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import export_model
import modeling
import predict
from bert.tasks.pretraining import masked_lm_logits, next_sentence_logits
from bert.training import trained_model

WORDS = helpers.PRETRAINED_WORDS.split()
CLS, SEP, MASK = 2, 3, 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return helpers.make_pretrained_folder(
    tmp_path_factory.mktemp("released") / "model"
  )


@pytest.fixture(scope="module")
def predictor(folder):
  return trained_model.Predictor(trained_model.find_model(str(folder)))


def answers(predictor, *rows):
  """The answers to rows, computed as one batch."""
  lines = [(i, json.dumps(row).encode()) for i, row in enumerate(rows, 1)]
  return list(predict.answer_lines([lines], predictor))


def log_probs(folder, ids, segments=None):
  """The log-probabilities of all words at all places [S, V], and of the next
  sentence [2], from the whole sequence's logits."""
  config = modeling.BertConfig.from_json_file(str(folder / "bert_config.json"))
  with tf.Graph().as_default(), tf.Session() as session:
    inputs = tf.constant([ids])
    encoder = modeling.BertModel(
      config,
      False,
      inputs,
      tf.ones_like(inputs),
      tf.constant([segments or [0] * len(ids)]),
    )
    table = encoder.get_embedding_table()
    vectors = encoder.get_sequence_output()[0]
    words = tf.nn.log_softmax(masked_lm_logits(config, vectors, table))
    follows = next_sentence_logits(config, encoder.get_pooled_output())
    tf.train.Saver().restore(session, str(folder / "bert_model.ckpt"))
    return session.run((words, tf.nn.log_softmax(follows)[0]))


def ids_of(text):
  return [WORDS.index(word) for word in text.split()]


def test_masks_are_filled_with_the_most_probable_tokens(folder, predictor):
  text = "a [MASK] day , the [MASK]."
  longer, found = answers(
    predictor,
    {"text": "[MASK] a a a a a a a a a a good"},
    {"id": 7, "text": text, "top_k": 3},
  )
  assert [len(tokens) for tokens in longer["masks"]] == [5]
  ids = [CLS, *ids_of("a [MASK] day , the [MASK] ."), SEP]
  expected, _ = log_probs(folder, ids)
  assert found["id"] == 7
  assert len(found["masks"]) == 2
  for place, tokens in zip((2, 6), found["masks"]):
    order = np.argsort(-expected[place])
    best = [i for i in order if i < len(WORDS)][:3]  # one row is spare
    assert [each["token"] for each in tokens] == [WORDS[i] for i in best]
    np.testing.assert_allclose(
      [each["probability"] for each in tokens],
      np.exp(expected[place][best]),
      rtol=1e-4,
    )


def test_a_pseudo_log_likelihood_masks_each_token_in_turn(folder, predictor):
  (found,) = answers(predictor, {"score": "The good days"})
  ids = [CLS, *ids_of("the good day ##s"), SEP]
  expected = []
  for place in range(1, 5):
    masked = [MASK if i == place else token for i, token in enumerate(ids)]
    expected.append(log_probs(folder, masked)[0][place, ids[place]])
  assert found["tokens"] == ["the", "good", "day", "##s"]
  np.testing.assert_allclose(found["log_probabilities"], expected, rtol=1e-4)
  assert found["pseudo_log_likelihood"] == pytest.approx(sum(expected), 1e-4)
  assert found["mean"] == pytest.approx(sum(expected) / 4, 1e-4)


def test_whether_a_text_follows(folder, predictor):
  row = {"text_a": "a good day", "text_b": "the cafe"}
  (found,) = answers(predictor, row)
  ids = [CLS, *ids_of("a good day"), SEP, *ids_of("the cafe"), SEP]
  _, expected = log_probs(folder, ids, [0] * 5 + [1] * 3)
  assert found == {"next_probability": pytest.approx(np.exp(expected[0]), 1e-4)}


def test_rows_that_can_not_be_answered(predictor, tmp_path):
  long = "a " * 63
  for row, message in (
    ({"text": "a day"}, "the text has no [MASK]: replace a word with it"),
    ({"text": "[MASK] " + long}, "has 66 tokens with [CLS] and [SEP], and the"),
    ({"text": "[MASK]", "top_k": 0}, "whole number from 1 to 100, not 0"),
    ({"text": "[MASK]", "top_k": True}, "whole number from 1 to 100, not true"),
    ({"score": ""}, "'score' has no token in it"),
    ({"score": "a [MASK]"}, "'score' has [MASK] in it"),
    ({"score": long}, "has 65 tokens with [CLS] and [SEP], and the"),
    ({"score": "a", "text": "b"}, "give 'score' or 'text', not both"),
    ({"text_b": "a"}, "no key 'text', only 'text_b'"),
    ({"text_a": "a", "text_b": None}, "'text_b' has to be a text, not null"),
  ):
    (found,) = answers(predictor, row)
    assert message in found["error"]
    assert found["error"].startswith("line 1: ")
  alone = helpers.make_pretrained_folder(
    tmp_path / "alone", next_sentence=False
  )
  alone = trained_model.Predictor(trained_model.find_model(str(alone)))
  follow, fill = answers(
    *(alone, {"text_a": "a", "text_b": "day"}, {"text": "[MASK]"})
  )
  assert "it was trained without next sentences" in follow["error"]
  assert len(fill["masks"][0]) == 5


def test_which_folders_are_pre_trained(folder, tmp_path):
  model = trained_model.find_model(str(folder))
  assert model.checkpoint == str(folder / "bert_model.ckpt")
  assert model.task.note.do_lower_case
  assert model.task.note.next_sentence
  cased = helpers.make_pretrained_folder(tmp_path / "cased_L-12_H-768_A-12")
  assert not trained_model.find_model(str(cased)).task.note.do_lower_case
  (cased / "vocab.txt").unlink()
  with pytest.raises(
    ValueError, match="no vocab.txt: copy there .*--vocab_fil"
  ):
    trained_model.find_model(str(cased))


def test_a_pre_trained_model_is_exported_with_its_ids(folder, tmp_path):
  done = helpers.run(
    *(export_model, f"--model_dir={folder}", f"--export_dir={tmp_path}"),
    *("--check", "--signatures=ids"),
  )
  assert done.returncode == 0, done.stderr
  assert "pretraining, float32, signatures ids" in done.stderr
  assert (tmp_path / "1" / "assets" / "vocab.txt").exists()


def test_a_pre_trained_model_is_exported_for_phones(folder, tmp_path):
  rows = helpers.write(
    tmp_path / "rows.jsonl",
    '{"text": "good [MASK] two [MASK]."}\n{"score": "a good day"}\n'
    '{"text_a": "good day", "text_b": "one two"}\n',
  )
  done = helpers.run(
    *(export_model, f"--model_dir={folder}", f"--export_dir={tmp_path}/out"),
    *("--format=tflite", "--export_length=16"),
    *("--check", f"--check_file={rows}"),
  )
  assert done.returncode == 0, done.stderr
  assert "; 2 of 2 answers are the same (100.0%)" in done.stderr
