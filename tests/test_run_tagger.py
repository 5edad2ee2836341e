# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The tagger's files, windows, scores and predictions, and whole runs."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import modeling
import run_tagger
import tokenization
from bert.records import packing
from bert.tasks import metrics

ROOT = pathlib.Path(__file__).parent.parent
FIRST, LAST, OTHERS = ["ann", "bob"], ["ray", "fox"], ["saw", "met", "and"]
TOKENS = [
  *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
  *FIRST,
  *LAST,
  *OTHERS,
  *(".", "##s", "##t", "x", "##x"),
]
CONFIG = {
  "vocab_size": len(TOKENS),
  "hidden_size": 8,
  "num_hidden_layers": 2,
  "num_attention_heads": 2,
  "intermediate_size": 16,
  "max_position_embeddings": 24,
  "type_vocab_size": 2,
  "hidden_dropout_prob": 0.0,
  "attention_probs_dropout_prob": 0.0,
  "initializer_range": 0.2,
}


def write(folder, name, text):
  path = folder / name
  path.write_text(text, encoding="utf-8")
  return str(path)


@pytest.fixture
def tokenizer(tmp_path):
  return tokenization.FullTokenizer(
    write(tmp_path, "vocab.txt", "\n".join(TOKENS) + "\n")
  )


def note(labels=("O", "B-PER", "I-PER"), scheme="bio", **head):
  values = dict(use_crf=False, birnn_cell=None, birnn_size=4, mix_layers=[])
  values.update(head)
  return run_tagger.TaskNote(
    *("tagger", labels, scheme),
    **values,
    do_lower_case=True,
    max_seq_length=16,
  )


# --------------------------------------------------------------- examples


def test_conll_files_are_read_in_their_many_forms(tmp_path):
  path = write(
    tmp_path,
    "a.txt",
    "\ufeff-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\n"
    "rejects VBZ B-VP O\r\n\n\n"
    "-DOCSTART- O\n\nPeter NNP B-NP B-PER",
  )
  # A new document ends a sentence, and does not say what parts the fields.
  both = write(tmp_path, "b.txt", "-DOCSTART- O\na\tO\n-DOCSTART- O\nb\tO\n")
  assert [s.words for s in run_tagger.read_conll(both)] == [["a"], ["b"]]
  first, second = run_tagger.read_conll(path)
  assert (first.words, first.tags) == (["EU", "rejects"], ["B-ORG", "O"])
  assert (first.line, second.line) == (3, 9)
  assert (second.words, second.tags) == (["Peter"], ["B-PER"])


def test_a_word_between_tabs_can_hold_a_space_and_a_blank_line_a_tab(tmp_path):
  path = write(tmp_path, "a.txt", "New York\tB-LOC\n\t\n\u200b\tO\n\xa0\tO\n")
  first, second = run_tagger.read_conll(path)
  assert first.words == ["New York"]
  assert (second.words, second.tags) == (["\u200b", "\xa0"], ["O", "O"])
  lines = run_tagger.conll_lines([first, second], [["O"], ["O", "O"]])
  assert next(lines) == "New York\tB-LOC\tO"


def test_texts_that_are_read_as_conll_files_are_told(tmp_path):
  path = write(tmp_path, "a.txt", "Ann Ray\nmet a friend\n")
  with pytest.raises(ValueError, match="of texts: give --predict_format=text"):
    run_tagger.read_conll(path, has_tags=False)


def test_tags_are_not_needed_to_predict(tmp_path):
  path = write(tmp_path, "a.txt", "ann\nsaw\n")
  assert run_tagger.read_conll(path, has_tags=False) == [
    run_tagger.Sentence(["ann", "saw"], None, 1)
  ]


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("ann B-PER\nsaw\n", r"a.txt:2: no tag: .* found 'saw'"),
    ("ann\tO\nsaw\t\n", "a.txt:2: the tag is empty"),
    ("ann\tO\n\tO\n", "a.txt:2: the word is empty"),
    ("\nann N O\nsaw O\n", "a.txt:3: 2 fields, but line 2 has 3"),
    ("-DOCSTART- O\n\n", "a.txt holds no words"),
    ("", "a.txt holds no words"),
  ],
)
def test_lines_that_do_not_fit_are_named(tmp_path, text, message):
  with pytest.raises(ValueError, match=message):
    run_tagger.read_conll(write(tmp_path, "a.txt", text))


def test_texts_and_json_lines_become_words(tmp_path, tokenizer):
  path = write(tmp_path, "a.txt", "Ann met Bobs.\n\n\u200b\n")
  full, blank, invisible = run_tagger.read_texts(path, tokenizer)
  assert full.words == ["Ann", "met", "Bobs", "."]
  assert full.spans == [(0, 3), (4, 7), (8, 12), (12, 13)]
  assert blank.words == invisible.words == []
  path = write(
    tmp_path, "a.jsonl", '{"text": "bob"}\n{"tokens": ["a b", ""]}\n'
  )
  text, tokens = run_tagger.read_json_lines(path, tokenizer)
  assert (text.text, text.words, tokens.words) == ("bob", ["bob"], ["a b", ""])
  path = write(tmp_path, "b.txt", '{"text": "bob"}\n{"tokens": "a"}\n')
  with pytest.raises(ValueError, match=r'b.txt:2: give {"text": "..."}'):
    run_tagger.read_json_lines(path, tokenizer)


def test_new_tags_are_told_or_refused_and_repairs_counted(tmp_path, caplog):
  sentences = [run_tagger.Sentence(["a", "b"], ["O", "I-PER"], 3)]
  sentences.append(run_tagger.Sentence(["c", "d"], ["B-LOC", "X"], 6))
  run_tagger.check_tags("f.txt", sentences, note(), refuse=False)
  assert "f.txt:6: tag 'B-LOC' is not one of O, B-PER, I-PER" in caplog.text
  assert "(2 such tags in all); 2 words of such tags" in caplog.text
  # "X" stands for the type of its word, and so begins with no letter.
  assert "f.txt: 1 entities begin with I- or E- instead of B-" in caplog.text
  with pytest.raises(ValueError, match="f.txt:6: tag 'B-LOC'"):
    run_tagger.check_tags("f.txt", sentences, note(), refuse=True)


def test_tags_begin_with_o():
  sentence = run_tagger.Sentence(["a"] * 4, ["I-A", "O", "B-A", "O"])
  assert run_tagger.tags_of([sentence]) == ["O", "B-A", "I-A"]
  with pytest.raises(ValueError, match="one tag only, O"):
    run_tagger.tags_of([run_tagger.Sentence(["a"], ["O"])])


# --------------------------------------------------------------- features


def test_a_record_has_the_first_piece_and_tag_of_each_word(tokenizer):
  words, tags = ["Anns", "\u200b", "foxts", "."], ["B-PER", "O", "I-PER", "?"]
  sentence = run_tagger.Sentence(words, tags)
  labels = {"O": 0, "B-PER": 1, "I-PER": 2}
  [(row, window)] = run_tagger.convert_sentence(sentence, labels, 24, tokenizer)
  pieces = ["[CLS]", "ann", "##s", "[UNK]", "fox", "##t", "##s", ".", "[SEP]"]
  assert tokenizer.convert_ids_to_tokens(row["input_ids"][:9]) == pieces
  assert row["word_positions"][:5] == [1, 3, 4, 7, 0]
  assert row["tag_ids"][:5] == [1, 0, 2, 0, 0]
  assert row["is_scored"][:5] == [1, 1, 1, 0, 0]  # "?" is none of the labels
  assert {len(values) for values in row.values()} == {24}
  assert window == packing.WordWindow(0, 0, 4, 4)


@pytest.mark.parametrize("length", [3, 4, 8, 16, 24])
def test_each_word_of_a_long_sentence_is_tagged_once(
  tokenizer, length, tmp_path
):
  rng = np.random.RandomState(length)
  words = list(rng.choice(["x", "xx", "xxxxxxxx", "annts"], 60))
  sentence = run_tagger.Sentence(words, list(rng.choice(["O", "A"], 60)))
  rows = list(
    run_tagger.convert_sentence(sentence, {"O": 0, "A": 1}, length, tokenizer)
  )
  assert len(rows) > 1
  tagged = []
  for row, window in rows:
    scored = np.flatnonzero(row["is_scored"]) + window.start
    assert scored.tolist() == list(range(window.own_start, window.own_end))
    tagged += scored.tolist()
    assert (
      sum(p > 0 for p in row["word_positions"]) == window.end - window.start
    )
    assert sum(row["input_mask"]) <= length
  assert tagged == list(range(60))
  if length >= 8:  # context on both sides but at the ends
    for _, window in rows[1:-1]:
      assert window.start < window.own_start < window.own_end < window.end


# ----------------------------------------------------------------- scores


def test_scores_of_tags_and_entities():
  sentences = [run_tagger.Sentence(["a"] * 3, ["B-PER", "I-PER", "O"])]
  scores, report = run_tagger.compute_scores(
    sentences, [["B-PER", "O", "I-PER"]], "bio"
  )
  # Two entities of PER are predicted, neither of which is right.
  assert scores == pytest.approx(
    {
      "eval_f1": 0.0,
      "eval_precision": 0.0,
      "eval_recall": 0.0,
      "eval_token_accuracy": 1 / 3,
      "eval_token_precision": 1 / 2,
      "eval_token_recall": 1 / 2,
      "eval_token_f1": 1 / 2,
    }
  )
  assert {f"eval_{n}" for n in run_tagger.score_names("bio")} == {
    *scores,
    "eval_loss",
  }
  assert report["repaired"] == {"labels": 0, "predictions": 1}
  assert report["labels"] == ["B-PER", "I-PER", "O"]
  scores, _ = run_tagger.compute_scores(
    [run_tagger.Sentence(["a"] * 2, ["NN", "VB"])], [["NN", "NN"]], "none"
  )
  # F1 of NN is 2/3, of VB 0.
  assert scores == pytest.approx(
    {"eval_token_accuracy": 1 / 2, "eval_token_macro_f1": 1 / 3}
  )


def test_predictions_in_columns_and_as_json():
  tagged = run_tagger.Sentence(["ann", "ray"], ["B-PER", "O"])
  lines = run_tagger.conll_lines([tagged], [["B-PER", "I-PER"]])
  assert list(lines) == ["ann B-PER B-PER", "ray O I-PER", ""]
  plain = run_tagger.Sentence(["ann"])
  assert list(run_tagger.conll_lines([plain], [["O"]])) == ["ann O", ""]
  text = run_tagger.Sentence(
    ["Ann", "Ray"], text="Ann  Ray", spans=[(0, 3), (5, 8)]
  )
  [line] = run_tagger.json_lines([text], [["B-PER", "I-PER"]], "bio")
  assert json.loads(line)["entities"] == [
    {
      **{"type": "PER", "first": 0, "last": 1},
      **{"start": 0, "end": 8, "text": "Ann  Ray"},
    }
  ]


# ------------------------------------------------------------------- main


def names(rng, count):
  """Sentences in which two names in a row are a person."""
  sentences = []
  for _ in range(count):
    rows = []
    for _ in range(rng.randint(1, 6)):
      rows += [(rng.choice(OTHERS), "O") for _ in range(rng.randint(4))]
      rows.append((rng.choice(FIRST) + "s", "B-PER"))
      rows.append((rng.choice(LAST), "I-PER"))
    rows.append((".", "O"))
    sentences.append("".join(f"{word}\t{tag}\n" for word, tag in rows))
  return "\n".join(sentences)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  """A learnable task, a vocabulary and a tiny configuration."""
  folder = tmp_path_factory.mktemp("data")
  rng = np.random.RandomState(0)
  write(folder, "train.txt", names(rng, 64))
  write(folder, "dev.txt", names(rng, 16))
  write(folder, "long.txt", names(rng, 12).replace("\n\n", "\n"))
  write(folder, "texts.jsonl", '{"text": "Anns Ray, met."}\n{"text": ""}\n')
  write(folder, "vocab.txt", "\n".join(TOKENS) + "\n")
  write(folder, "bert_config.json", json.dumps(CONFIG))
  return folder


def run(data_dir, output_dir, *flags):
  """Runs the script as a user does."""
  command = [
    *(sys.executable, str(ROOT / "run_tagger.py")),
    *("--train_file=train.txt", "--eval_file=dev.txt"),
    *("--vocab_file=vocab.txt", "--bert_config_file=bert_config.json"),
    *(f"--output_dir={output_dir}", "--max_seq_length=16"),
    *("--train_batch_size=8", "--learning_rate=1e-2"),
    *flags,
  ]
  return subprocess.run(
    command, capture_output=True, text=True, cwd=data_dir, env=os.environ
  )


def read_scores(output_dir):
  lines = (output_dir / "eval_results.txt").read_text().splitlines()
  return {k: float(v) for k, v in (line.split(" = ") for line in lines)}


def test_a_whole_run_from_training_to_predictions(data_dir, tmp_path):
  output_dir = tmp_path / "out"
  done = run(
    *(data_dir, output_dir, "--do_train", "--do_eval", "--do_predict"),
    *("--num_train_epochs=6", "--eval_steps=24", "--keep_best=f1"),
    *("--predict_file=long.txt,texts.jsonl", "--use_crf"),
  )
  assert done.returncode == 0, done.stderr
  assert "tags of the training data (--tag_scheme=bio): O " in done.stderr
  assert "step 24 evaluated: eval_f1" in done.stderr
  scores = read_scores(output_dir)
  assert scores["eval_f1"] >= 0.95
  assert scores["eval_token_accuracy"] >= 0.95
  whole = json.loads((output_dir / "eval_results.json").read_text())
  assert whole["report"]["entities"]["PER"]["f1"] == whole["eval_f1"]

  # A sentence over the length: each word once, in order.
  rows = (output_dir / "predictions_long.txt").read_text().splitlines()
  rows = [row.split(" ") for row in rows if row]
  given = (data_dir / "long.txt").read_text().split("\n")
  assert [row[:2] for row in rows] == [r.split("\t") for r in given if r]
  assert np.mean([row[2] == row[1] for row in rows]) >= 0.95
  lines = (output_dir / "predictions_texts.jsonl").read_text().splitlines()
  person, nothing = map(json.loads, lines)
  assert person["tokens"] == ["Anns", "Ray", ",", "met", "."]
  assert person["tags"] == ["B-PER", "I-PER", "O", "O", "O"]
  assert [entity["text"] for entity in person["entities"]] == ["Anns Ray"]
  assert nothing["tags"] == nothing["entities"] == []

  # Without the head's flags: task.json knows. Several files have a score each.
  done = run(data_dir, output_dir, "--do_eval", "--eval_file=dev.txt,long.txt")
  assert done.returncode == 0, done.stderr
  assert {"eval_dev_f1", "eval_long_f1"} <= set(read_scores(output_dir))


def test_all_of_the_head_in_slices_and_bfloat16(data_dir, tmp_path):
  output_dir = tmp_path / "out"
  done = run(
    *(data_dir, output_dir, "--do_train", "--do_eval", "--num_train_epochs=6"),
    *("--use_crf", "--use_birnn", "--birnn_cell=gru", "--birnn_size=8"),
    *("--mix_layers=-1,0", "--gradient_accumulation_steps=2"),
    *("--precision=bfloat16", "--head_learning_rate=3e-2"),
  )
  assert done.returncode == 0, done.stderr
  assert read_scores(output_dir)["eval_f1"] >= 0.9
  checkpoint = tf.train.latest_checkpoint(str(output_dir))
  shapes = dict(tf.train.list_variables(checkpoint))
  assert {
    name: shape
    for name, shape in shapes.items()
    if name.startswith("tagger") and "adam" not in name
  } == {
    "tagger/output_weights": [3, 16],
    "tagger/output_bias": [3],
    "tagger/crf/transitions": [3, 3],
    "tagger/birnn/kernel": [2, 8, 24],
    "tagger/birnn/recurrent_kernel": [2, 8, 24],
    "tagger/birnn/bias": [2, 24],
    "tagger/mix_layers/weights": [2],
    "tagger/mix_layers/scale": [],
  }
  kept = json.loads((output_dir / "task.json").read_text())
  assert (kept["task"], kept["mix_layers"]) == ("tagger", [-1, -2])


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    ((), "nothing to do"),
    (("--do_train", "--train_file="), "--do_train needs --train_file"),
    (("--do_train", "--mix_layers=-1,5"), "--mix_layers=-1,5: give different"),
    (("--do_train", "--birnn_cell=gru"), "--birnn_cell needs --use_birnn"),
    (("--do_train", "--train_batch_size=999"), "do not fill one step"),
    (("--do_train", "--train_file=texts.jsonl"), "texts.jsonl:2: "),
    (("--do_eval",), "holds no trained model"),
  ],
)
def test_what_does_not_fit_is_said_in_one_sentence(
  data_dir, tmp_path, flags, message
):
  done = run(data_dir, tmp_path / "out", *flags)
  assert done.returncode == 1
  assert message in done.stderr
  assert "Traceback" not in done.stderr


# ------------------------------------------------------------------ model


def test_the_loss_is_the_mean_over_the_words_of_all_windows():
  batch = {
    "input_ids": tf.constant([[2, 5, 7, 3], [2, 6, 3, 0]]),
    "input_mask": tf.constant([[1, 1, 1, 1], [1, 1, 1, 0]]),
    "segment_ids": tf.zeros([2, 4], tf.int32),
    "word_positions": tf.constant([[1, 2, 0, 0], [1, 0, 0, 0]]),
    "tag_ids": tf.constant([[1, 2, 0, 0], [0, 0, 0, 0]]),
    "is_scored": tf.constant([[1, 1, 0, 0], [1, 0, 0, 0]]),
  }
  model_fn = run_tagger.model_fn_builder(
    modeling.BertConfig(**CONFIG),
    vars(note(use_crf=True)),
    *(None, 0.1, None, None, False, False),
  )
  specs = []
  for mode in (tf.estimator.ModeKeys.PREDICT, tf.estimator.ModeKeys.EVAL):
    with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE):
      specs.append(model_fn(batch, None, mode, {}))
  parts, whole = specs
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    losses, mean = session.run([parts.predictions["losses"], whole.loss])
  np.testing.assert_allclose(losses.sum() / 3, mean, rtol=1e-5)


def test_what_stands_behind_the_last_word_counts_for_nothing():
  """Positions of 0 are no words, whatever is computed there."""
  features = {
    "word_positions": tf.constant([[1, 2, 0, 0]]),
    "tag_ids": tf.constant([[1, 2, 0, 0]]),
    "is_scored": tf.constant([[1, 1, 0, 0]]),
  }
  rng = np.random.RandomState(0)
  logits = rng.randn(1, 4, 3).astype(np.float32)
  transitions = tf.constant(rng.randn(3, 3), tf.float32)
  others = logits.copy()
  others[:, 2:] = 9.0 * rng.randn(1, 2, 3)
  outputs = [
    run_tagger._outputs(features, tf.constant(values), transitions).predictions
    for values in (logits, others)
  ]
  with tf.Session() as session:
    ours, theirs = session.run(outputs)
  np.testing.assert_array_equal(ours["losses"], theirs["losses"])
  np.testing.assert_array_equal(
    ours["tag_ids"][:, :2], theirs["tag_ids"][:, :2]
  )


def test_the_sample_data_are_whole():
  for name, count in (("train", 400), ("dev", 80), ("test", 40)):
    path = ROOT / "sample_data" / "ner" / f"{name}.txt"
    sentences = run_tagger.read_conll(str(path))
    assert len(sentences) == count
    tags = [sentence.tags for sentence in sentences]
    kinds = {kind for row in tags for kind, *_ in metrics.tagged_entities(row)}
    assert kinds == {"LOC", "ORG", "PER"}
    assert metrics.count_repaired(tags, "bio") == 0
