# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""What is read of texts that are over the length, and their one answer."""

import json
import math
import types

import helpers
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import GOLDEN, write

import extract_features
import modeling
import run_classifier
import tokenization
from bert.records import packing
from bert.tasks import classification, windows
from bert.training.long_text_flags import find_long_texts

LOG2 = math.log(2.0)
HEAD_TAIL = packing.LongTexts("head_tail")


def every(stride, pooling="mean"):
  return packing.LongTexts("windows", stride, pooling)


def parts(text_a, text_b, length, long_texts):
  """What is read, as words: "a b" or "a b|c"."""
  found = packing.fitting_texts(
    text_a.split(),
    None if text_b is None else text_b.split(),
    length,
    long_texts,
  )
  return [
    " ".join(a) + ("" if b is None else "|" + " ".join(b)) for a, b in found
  ]


# ----------------------------------------------------------------- reading


@pytest.mark.parametrize(
  ("text_a", "text_b", "long_texts", "expected"),
  [
    # Of 8 positions, 6 are for the pieces of a text, 5 for those of a pair.
    ("a b c d e f", None, HEAD_TAIL, ["a b c d e f"]),
    ("a b c d e f g h", None, packing.CUT, ["a b c d e f"]),
    ("a b c d e f g h", None, HEAD_TAIL, ["a b e f g h"]),
    ("a b c d e f", None, every(2), ["a b c d e f"]),
    ("a b c d e f g", None, every(4), ["a b c d e f", "e f g"]),
    ("a b c d e f g h", None, every(2), ["a b c d e f", "c d e f g h"]),
    ("a b c d e f g", None, every(6), ["a b c d e f", "g"]),
    ("", None, every(2), [""]),
    # The longer text of a pair is cut or has windows; here, 3 of its pieces.
    ("a b", "c d e f g", packing.CUT, ["a b|c d e"]),
    ("a b", "c d e f g", HEAD_TAIL, ["a b|c f g"]),
    ("a b", "c d e f g", every(2), ["a b|c d e", "a b|e f g"]),
    ("c d e f g", "a b", every(2), ["c d e|a b", "e f g|a b"]),
    ("c d e f g", "", every(2), ["c d e f g|"]),
    # Both are cut: A to 3 pieces and B to 2. On a tie, B has windows.
    ("a b c d", "e f g h", packing.CUT, ["a b c|e f"]),
    ("a b c d", "e f g h", HEAD_TAIL, ["a c d|e h"]),
    ("a b c d", "e f g h", every(2), ["a b c|e f", "a b c|g h"]),
    ("a b c d", "e f g", every(3), ["a b c|e f", "d|e f"]),
    # A stride over the room of a pair's text skips nothing.
    ("a b", "c d e f g", every(6), ["a b|c d e", "a b|f g"]),
  ],
)
def test_what_is_read(text_a, text_b, long_texts, expected):
  assert parts(text_a, text_b, 8, long_texts) == expected


def test_the_shortest_windows_hold_a_piece_of_each_text():
  assert parts("a", "b c", 5, every(3)) == ["a|b", "a|c"]
  assert parts("a b", "c d", 5, every(3)) == ["a|c", "a|d"]
  assert parts("a b", None, 5, every(1)) == ["a b"]


def test_a_head_of_512_has_128_pieces():
  (found,) = packing.fitting_texts(range(1000), None, 512, HEAD_TAIL)
  assert found[0] == [*range(128), *range(1000 - 382, 1000)]


# ----------------------------------------------------------------- pooling


def note(label_type="single", labels=("a", "b"), **others):
  options = {
    "long_texts": "windows",
    "doc_stride": 2,
    "thresholds": [0.5] * len(labels) if label_type == "multi" else [],
    **others,
  }
  return classification.ClassifierNote(
    task="classifier",
    label_type=label_type,
    labels=labels,
    feature_columns=[],
    feature_mean=[],
    feature_std=[],
    do_lower_case=True,
    max_seq_length=6,
    **options,
  )


@pytest.mark.parametrize(
  ("pooling", "expected"),
  [
    # Of the two windows of text 0, the logits are (4, 0) and (0, 2) log 2:
    # in the mean (2, 1), so 2 : 1; as maximum (4, 2), so 4 : 1.
    ("mean", [[2 / 3, 1 / 3], [1 / 5, 4 / 5]]),
    ("max", [[4 / 5, 1 / 5], [1 / 5, 4 / 5]]),
  ],
)
def test_the_logits_of_a_texts_windows_become_one(pooling, expected):
  arrays = {
    "logits": np.float32([[4, 0], [0, 2], [0, 2]]) * np.float32(LOG2),
    "text_index": np.array([0, 0, 1]),
    "label_ids": np.array([1, 1, 1]),
  }
  found = windows.of_texts(note(window_pooling=pooling), arrays)
  np.testing.assert_allclose(found["probabilities"], expected, rtol=1e-6)
  assert found["predicted"].tolist() == [0, 1]
  assert found["label_ids"].tolist() == [1, 1]
  np.testing.assert_allclose(
    found["per_example_loss"], [-math.log(p) for _, p in expected], rtol=1e-6
  )
  # With true probabilities of 1/2 each: the mean of both labels' losses.
  soft = windows.of_texts(
    note(window_pooling=pooling), arrays, [[0.5, 0.5], [0.5, 0.5]]
  )
  np.testing.assert_allclose(
    soft["per_example_loss"],
    [-math.log(p * q) / 2 for p, q in expected],
    rtol=1e-6,
  )


@pytest.mark.parametrize(
  ("label_type", "labels", "targets"),
  [
    ("single", ("a", "b", "c"), [0, 2, 1, 1]),
    ("multi", ("a", "b", "c"), np.eye(4, 3, dtype=np.float32)),
    ("number", (), np.float32([0.5, -1.0, 2.0, 3.0])),
  ],
)
def test_one_window_has_the_graphs_answer_and_loss(label_type, labels, targets):
  logits = np.random.RandomState(0).randn(4, len(labels) or 1) * 4
  logits, targets = logits.astype(np.float32), np.array(targets)
  task = classification.Classification(note(label_type, labels))
  probabilities = classification.ACTIVATIONS[label_type](tf.constant(logits))
  tensors = {
    "logits": tf.constant(logits),
    "probabilities": probabilities,
    "predicted": task._predicted(probabilities),
  }
  features = {
    "label_ids": tf.constant(targets),
    "text_index": tf.constant([0, 1, 2, 3]),
  }
  with tf.Session() as session:
    wanted = session.run(task.scored(tensors, features).predictions)
  found = windows.of_texts(task.note, wanted)
  for name, values in found.items():
    np.testing.assert_allclose(values, wanted[name], rtol=1e-5, atol=1e-6)


def test_predict_makes_one_answer_of_windows(tmp_path):
  words = [*tokenization.SPECIAL_TOKENS, *"abcdefg"]
  tokenizer = tokenization.FullTokenizer(
    write(tmp_path / "vocab.txt", "\n".join(words))
  )
  task = classification.Classification(note())
  found, kept = task.prepare({"text": "a b c d e f g"}, tokenizer)
  read = [" ".join(words[i] for i in window["input_ids"]) for window in found]
  assert read == [
    "[CLS] a b c d [SEP]",
    "[CLS] c d e f [SEP]",
    "[CLS] e f g [SEP]",
  ]
  logits = np.float32([[3, 0], [0, 0], [0, 0]]) * np.float32(LOG2)
  answer = task.answer(kept, [{"logits": row} for row in logits])
  assert answer["label"] == "a"
  assert answer["probabilities"] == pytest.approx({"a": 2 / 3, "b": 1 / 3})
  task = classification.Classification(note("multi"))
  answer = task.answer(kept, [{"logits": row} for row in logits])
  # The second logit is 0: its probability reaches the threshold.
  assert answer["labels"] == ["a", "b"]
  assert answer["probabilities"] == pytest.approx({"a": 2 / 3, "b": 1 / 2})
  task = classification.Classification(note("number", ()))
  rows = [{"logits": np.float32([value])} for value in (1, 2, 6)]
  assert task.answer(kept, rows) == {"prediction": 3.0}


def test_only_cut_texts_have_signatures_of_strings():
  found = [
    classification.Classification(note(long_texts=kind)).text_signatures()
    for kind in packing.LONG_TEXTS
  ]
  assert found == [("text", "text_pair"), (), ()]


# ------------------------------------------------------------------- flags


def options(**given):
  values = {
    "max_seq_length": 16,
    "long_texts": "cut",
    "doc_stride": None,
    "window_pooling": "mean",
  }
  return types.SimpleNamespace(**{**values, **given}, given=set(given))


def test_a_flag_that_is_not_given_is_as_it_was_trained():
  assert find_long_texts(options()) == packing.CUT
  assert find_long_texts(options(long_texts="windows")) == every(8)
  assert find_long_texts(options(), every(5, "max")) == every(5, "max")
  assert find_long_texts(options(), every(14)) == every(14)
  assert find_long_texts(options(), every(15)) == every(8)  # would skip tokens
  found = find_long_texts(options(window_pooling="max"), every(5))
  assert found == every(5, "max")
  assert find_long_texts(options(long_texts="cut"), every(5)) == packing.CUT


@pytest.mark.parametrize(
  ("given", "message"),
  [
    (
      {"long_texts": "windows", "doc_stride": 15},
      "--doc_stride=15 is over the 14 tokens of a text that a window of"
      " --max_seq_length=16 holds",
    ),
    ({"doc_stride": 4}, "--doc_stride is for --long_texts=windows, not for"),
    (
      {"long_texts": "head_tail", "window_pooling": "max"},
      "--window_pooling is for --long_texts=windows, not for"
      " --long_texts=head_tail",
    ),
    (
      {"long_texts": "windows", "max_seq_length": 4},
      "--max_seq_length=4 is too short for --long_texts=windows: give at least"
      " 5",
    ),
  ],
)
def test_flags_without_effect_or_that_skip_text_are_refused(given, message):
  with pytest.raises(ValueError, match=message):
    find_long_texts(options(**given))


def test_notes_of_older_folders_cut_and_damaged_ones_are_refused():
  assert note(long_texts="cut").reading.kind == "cut"
  with pytest.raises(ValueError, match="long_texts 'all' is none of cut, head"):
    note(long_texts="all")
  with pytest.raises(ValueError, match="window_pooling 'sum' is none of mean"):
    note(window_pooling="sum")
  with pytest.raises(ValueError, match="doc_stride 0 has to be at least 1"):
    note(doc_stride=0)


# -------------------------------------------------------------------- runs


def classify(folder, *more):
  vocab = [*tokenization.SPECIAL_TOKENS, "the", "good", "bad"]
  config = modeling.BertConfig(
    *(len(vocab), 8, 1, 2, 16),
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    initializer_range=0.2,
  )
  path = write(folder / "sizes.json", config.to_json_string())
  vocab = write(folder / "vocab.txt", "\n".join(vocab))
  # Six words and then the one that tells; one text is short.
  texts = [f"{'the ' * size}{w}" for size in (6, 1) for w in ("good", "bad")]
  rows = [f"{text}\t{text.split()[-1]}\n" for text in texts]
  for name in ("train", "dev", "test"):
    write(folder / "data" / f"{name}.tsv", "text\tlabel\n" + "".join(rows))
  return helpers.run(
    run_classifier,
    *("--task_name=custom", f"--data_dir={folder / 'data'}"),
    *(f"--output_dir={folder / 'out'}", f"--vocab_file={vocab}"),
    *(f"--bert_config_file={path}", "--max_seq_length=6"),
    *("--train_batch_size=4", "--learning_rate=1e-2", "--do_eval"),
    *("--do_predict", *more),
  )


@pytest.mark.slow
def test_windows_train_and_texts_are_scored(tmp_path):
  done = classify(
    *(tmp_path, "--do_train", "--long_texts=windows", "--doc_stride=2"),
    "--num_train_epochs=40",
  )
  assert done.returncode == 0, done.stderr
  # Windows of 4 words start at words 0, 2 and 4 of 7; two texts have one.
  assert "train: 4 texts, 8 windows" in done.stderr
  assert "training: steps 0 to 80" in done.stderr
  out = tmp_path / "out"
  kept = json.loads((out / "task.json").read_text())
  names = ("long_texts", "doc_stride", "window_pooling")
  assert [kept[name] for name in names] == ["windows", 2, "mean"]
  scores = json.loads((out / "eval_results.json").read_text())
  assert scores["eval_accuracy"] == 1.0  # the first 4 words tell nothing
  lines = (out / "predictions.tsv").read_text().splitlines()
  found = [line.split("\t") for line in lines]
  assert [row[1] for row in found] == ["label", "good", "bad", "good", "bad"]
  right = [float(row[found[0].index(row[1])]) for row in found[1:]]
  assert scores["eval_loss"] == pytest.approx(-np.mean(np.log(right)), rel=1e-5)
  assert len((out / "test_results.tsv").read_text().splitlines()) == 4
  # Without the flags, the folder goes on with windows; others can be tried.
  (out / "predictions.tsv").unlink()
  done = classify(tmp_path)
  assert "predict: 4 texts, 8 windows" in done.stderr
  assert (out / "predictions.tsv").read_text().splitlines() == lines
  made = (out / "eval.tf_record").stat().st_mtime_ns
  done = classify(tmp_path, "--window_pooling=max")  # of the same records
  assert done.returncode == 0, done.stderr
  assert (out / "eval.tf_record").stat().st_mtime_ns == made
  done = classify(tmp_path, "--long_texts=cut")
  scores = json.loads((out / "eval_results.json").read_text())
  assert scores["eval_accuracy"] == 0.75  # the long texts are the same
  done = classify(tmp_path, "--do_train", "--long_texts=head_tail")
  assert done.returncode == 1
  assert (
    "the trained model has long_texts windows, and now it is head_tail"
  ) in done.stderr


def extract(tmp_path, texts, *more):
  """The vectors of each line: JSON objects; or how the run failed."""
  words = [*tokenization.SPECIAL_TOKENS, "the", "cat", "sat", "on", "a", "mat"]
  vocab = [*words, *(f"w{i}" for i in range(44))]
  tiny = GOLDEN / "tiny_checkpoint"
  out = tmp_path / "out.json"
  done = helpers.run(
    extract_features,
    f"--vocab_file={write(tmp_path / 'v.txt', chr(10).join(vocab))}",
    f"--bert_config_file={tiny / 'bert_config.json'}",
    f"--init_checkpoint={tiny / 'model.ckpt'}",
    f"--input_file={write(tmp_path / 'in.txt', chr(10).join(texts))}",
    *(f"--output_file={out}", "--layers=-1", "--max_seq_length=5", *more),
  )
  if done.returncode:
    return done.stderr
  rows = [json.loads(line) for line in out.read_text().splitlines()]
  return rows, done.stderr


@pytest.mark.parametrize("pooling", packing.WINDOW_POOLINGS)
def test_vectors_of_windows_become_one(pooling, tmp_path):
  long = "the cat sat on a mat"
  single = ["the cat sat", "sat on a", "a mat"]
  flags = (
    *("--long_texts=windows", "--doc_stride=2", "--pooling=mean"),
    *(f"--window_pooling={pooling}", "--batch_size=2"),
  )
  rows, log = extract(tmp_path, ["cat", long, *single, long], *flags)
  assert [row["linex_index"] for row in rows] == list(range(6))
  assert "6 texts, " in log
  assert "2 texts were longer than --max_seq_length=5 and were read in" in log
  values = [np.array(row["layers"][0]["values"]) for row in rows]
  wanted = getattr(np, pooling)(values[2:5], axis=0)
  np.testing.assert_allclose(values[1], wanted, atol=3e-6)
  np.testing.assert_allclose(values[5], wanted, atol=3e-6)


def test_tokens_of_head_and_tail_are_aligned(tmp_path):
  rows, _ = extract(
    tmp_path,
    ["the cat sat on", "a ||| the cat sat on"],
    *("--long_texts=head_tail", "--align_to_words", "--max_seq_length=6"),
  )
  found = [
    [(token["token"], token["span"]) for token in row["features"]]
    for row in rows
  ]
  assert found[0][1:-1] == [
    *(("the", [0, 3]), ("cat", [4, 7])),
    *(("sat", [8, 11]), ("on", [12, 14])),
  ]
  # Of B, two pieces: a head of one, and a tail of one.
  assert found[1][1:-1] == [
    *(("a", [0, 1]), ("[SEP]", None)),
    *(("the", [6, 9]), ("on", [18, 20])),
  ]


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (["--long_texts=windows"], "gives one vector per text: add --pooling=mean"),
    (
      ["--long_texts=windows", "--pooling=cls", "--doc_stride=4"],
      "--doc_stride=4 is over the 3 tokens of a text",
    ),
  ],
)
def test_extraction_refuses(flags, message, tmp_path):
  assert message in extract(tmp_path, ["the"], *flags)
