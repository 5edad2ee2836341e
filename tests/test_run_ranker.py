# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The ranker's examples, records, search and kept vectors, and whole runs."""

import dataclasses
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import types

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import modeling
import run_ranker
from bert.training import old_runs, trained_model

ROOT = pathlib.Path(__file__).parent.parent
KINDS = ["bread", "train", "book", "wheel", "cake", "lamp"]
CONFIG = {
  "vocab_size": 24,
  "hidden_size": 16,
  "num_hidden_layers": 2,
  "num_attention_heads": 2,
  "intermediate_size": 32,
  "max_position_embeddings": 16,
  "type_vocab_size": 2,
  "hidden_dropout_prob": 0.0,
  "attention_probs_dropout_prob": 0.0,
  "initializer_range": 0.2,  # learns at once, whatever the seed
}
FLAG_NAMES = (  # that are looked at before anything is read
  *("model", "loss", "pooling", "temperature", "margin", "do_lower_case"),
  *("max_seq_length", "keep_best", "patience", "eval_steps", "distribution"),
  *("do_train", "do_eval", "do_predict", "do_interact", "data_dir"),
  *("response_file", "rerank_model", "use_tpu", "precision", "search"),
)
SWAG = (
  ",video-id,fold-ind,startphrase,sent1,sent2,gold-source,"
  "ending0,ending1,ending2,ending3"
)


def write(folder, name, text):
  path = folder / name
  path.write_text(text, encoding="utf-8")
  return str(path)


def read(path, set_type="train"):
  return [
    (e.guid, e.context, e.responses, e.labels)
    for e in run_ranker.read_examples(path, set_type)
  ]


class Flags(types.SimpleNamespace):
  """Stands for the flags of a command line."""

  def __contains__(self, name):
    return hasattr(self, name)

  def __getitem__(self, name):
    return types.SimpleNamespace(value=getattr(self, name))


# --------------------------------------------------------------- examples


def test_pairs_of_one_context_are_gathered_true_ones_first(tmp_path):
  path = write(
    tmp_path,
    "train.csv",
    'label,context,response\n0,who?,"no, not"\n1,what?,it\n1,who?,me\n',
  )
  assert read(path) == [
    ("train-0", "who?", ["me", "no, not"], [1, 0]),
    ("train-1", "what?", ["it"], [1]),
  ]


def test_rows_and_triples_have_the_true_response_first(tmp_path):
  path = write(tmp_path, "test.csv", '\ufeffwho?,"me, you",him,her\r\n\r\n')
  labels = [1, 0, 0]
  assert read(path, "test") == [
    ("test-0", "who?", ["me, you", "him", "her"], labels)
  ]
  path = write(tmp_path, "train.tsv", 'a query\tthe "passage\tanother\n')
  assert read(path) == [
    ("train-0", "a query", ['the "passage', "another"], [1, 0])
  ]


def test_swag_is_read_as_four_endings(tmp_path):
  row = "0,v,1,She opens. He,She opens.,He,gold,old_runs.,sits.,eats.,is out."
  path = write(tmp_path, "train.csv", f"{SWAG},label\n{row},2\n")
  responses = ["He runs.", "He sits.", "He eats.", "He is out."]
  assert read(path) == [("train-0", "She opens.", responses, [0, 0, 1, 0])]
  path = write(tmp_path, "test.csv", f"{SWAG}\n{row}\n")
  assert read(path)[0][3] == []


@pytest.mark.parametrize(
  ("name", "text", "message"),
  [
    ("a.csv", "context,response,label\nq,r,2\n", ":2: label '2' is neither"),
    ("a.csv", "context,response,label\nq,r\n", ":2: 2 columns, but the header"),
    ("a.csv", "context,response,label\nq, ,1\n", ":2: the response is empty"),
    ("a.csv", "context,response,label\n", "holds no examples"),
    ("a.csv", "q,r,\n", ":1: the response is empty"),
    ("a.csv", "q,r,s\n,r,s\n", ":2: the context is empty"),
    ("a.csv", "q\n", ":1: 1 column; a context and at least its true"),
    ("a.tsv", "q,r,s\n", ":1: 1 column; .*by tabs in others"),
    ("a.csv", "q,r,1\nq,s,t,0\nq,u,0", ":1: the third column .* 2 of 3 l"),
    ("a.csv", "id,query,good\n1,q,a\n", ":1: the column query has to be the"),
    ("a.csv", f"{SWAG},label\n0,v,1,s,s,t,g,a,b,c,d,4\n", ":2: label '4'"),
    ("a.jsonl", '{"context": "q"}\n', "rows of a .csv or .tsv file"),
    ("a.csv", "", "holds no examples"),
  ],
)
def test_rows_that_do_not_fit_are_named(tmp_path, name, text, message):
  path = write(tmp_path, name, text)
  with pytest.raises(ValueError, match=name + ".*" + message):
    run_ranker.read_examples(path, "train")


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("q,r\n", ":1: 1 candidate: a true response and at least one wrong"),
    ("context,response,label\nq,r,0\nq,s,0\n", ":2: 0 of the 2 responses"),
    ("context,response,label\nq,r,1\nq,s,1\n", ":2: 2 of the 2 responses"),
  ],
)
def test_what_cannot_be_ranked_is_named(tmp_path, text, message):
  examples = run_ranker.read_examples(write(tmp_path, "a.csv", text), "valid")
  with pytest.raises(ValueError, match="a.csv" + message):
    run_ranker.check_rankable(examples)


def test_responses_are_distinct_and_what_is_left_out_is_told(tmp_path, caplog):
  path = write(tmp_path, "a.txt", "one\r\n\ntwo\none\n")
  assert run_ranker.read_responses(path) == ["one", "two"]
  assert "left out 1 empty lines, the first in line 2, and 1" in caplog.text
  with pytest.raises(ValueError, match="b.txt holds no responses"):
    run_ranker.read_responses(write(tmp_path, "b.txt", "\n\n"))


def test_a_first_line_with_names_is_no_example(tmp_path, caplog):
  path = write(tmp_path, "a.csv", "Context,Utterance,Wrong_0\nq,a,b\n")
  assert read(path) == [("train-0", "q", ["a", "b"], [1, 0])]
  assert "a.csv:1 is taken for the columns' names" in caplog.text
  assert len(read(write(tmp_path, "b.csv", "5-4?,1,0\n5-4?,2,x\n")))


def test_a_response_that_is_true_and_wrong_is_told(tmp_path, caplog):
  read(write(tmp_path, "a.csv", "q,a,b\nr,a,b,a\n"))
  assert "a.csv:2: a response is both true and wrong; 1 contexts" in caplog.text


# --------------------------------------------------------------- features


def example(responses, labels):
  return run_ranker.InputExample("", "q", responses, labels, "a.csv:1")


def test_training_rows_of_each_loss(caplog):
  examples = [example(["a", "b", "c", "d"], [1, 1, 0, 0]), example(["e"], [1])]

  def rows(loss, **options):
    found = run_ranker.training_rows(examples, loss, **options)
    return [(row.responses, row.label) for row in found]

  examples[1].context = "p"
  pairs = [(["a"], 1), (["b"], 1), (["c"], 0), (["d"], 0), (["e"], 1)]
  assert rows("cross_entropy") == pairs
  lists = [(["a", "c", "d"], 1), (["b", "c", "d"], 1), (["e"], 1)]
  assert rows("in_batch") == rows("triplet") == lists
  assert not caplog.text
  assert rows("candidates", num_candidates=2) == [
    (["a", "c"], 1),
    (["b", "c"], 1),
  ]
  assert "left out 1 of 2 contexts" in caplog.text


def test_random_negatives_are_of_other_contexts_and_differ():
  examples = [example(["a", "b"], [1, 0]), example(["c"], [1])]
  examples[1].context = "p"
  others = [example([text], [1]) for text in "defgabc"]
  for place, other in enumerate(others):
    other.context = f"p{place}"

  def drawn(count, seed=0):
    rows = run_ranker.training_rows(
      examples + others, "in_batch", num_random=count, random_seed=seed
    )
    assert [row.responses[0] for row in rows[:2]] == ["a", "c"]
    return [row.responses[1:] for row in rows[:2]]

  assert [len(texts) for texts in drawn(2)] == [3, 2]  # b, and two drawn
  assert drawn(2) == drawn(2) != drawn(2, seed=1)
  first, second = drawn(9)  # all but the context's own
  assert first[0] == "b" and sorted(first[1:]) == list("cdefg")
  assert sorted(second) == list("abdefg")


def test_training_needs_labels_and_what_the_loss_compares():
  with pytest.raises(ValueError, match="a.csv:1: there is no label"):
    run_ranker.training_rows([example(["a", "b"], [])], "in_batch")
  with pytest.raises(ValueError, match="a.csv:1: no context has what"):
    run_ranker.training_rows([example(["a"], [1])], "candidates")
  with pytest.raises(ValueError, match="a.csv:1: all 2 responses are true"):
    run_ranker.training_rows([example(["a", "b"], [1, 1])], "cross_entropy")


def note(model="representation", loss="in_batch", **changed):
  values = ("ranker", model, loss, "mean", 0.05, 0.2, True, 8)
  return dataclasses.replace(run_ranker.TaskNote(*values), **changed)


@pytest.fixture
def packer():
  tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c"]
  vocab = {token: i for i, token in enumerate(tokens)}

  class Tokenizer:
    def tokenize(self, text):
      return text.split()

    def convert_tokens_to_ids(self, tokens):
      return [vocab[token] for token in tokens]

  return run_ranker.Packer(Tokenizer(), 8)


def test_a_record_holds_the_context_and_its_responses(packer):
  row = run_ranker.TrainingRow("a", ["b b", "c"])
  record = packer.pack_row(row, note(), 4)
  ids = np.reshape(record["input_ids"], [4, 8])
  assert ids[:, :5].tolist() == [
    [2, 5, 3, 0, 0],
    [2, 6, 6, 3, 0],
    [2, 7, 3, 0, 0],
    [0, 0, 0, 0, 0],
  ]
  assert record["text_ids"] == [1, 2, 3, 0]
  again = packer.pack_row(run_ranker.TrainingRow("c", ["a"]), note(), 4)
  assert again["text_ids"] == [3, 1, 0, 0]


def test_a_record_of_interaction_holds_pairs(packer):
  row = run_ranker.TrainingRow("a", ["b", "c"])
  record = packer.pack_row(row, note("interaction", "candidates"), 2)
  ids = np.reshape(record["input_ids"], [2, 8])
  assert ids[:, :6].tolist() == [[2, 5, 3, 6, 3, 0], [2, 5, 3, 7, 3, 0]]
  segments = np.reshape(record["segment_ids"], [2, 8])
  assert segments[0].tolist() == [0, 0, 0, 1, 1, 0, 0, 0]
  pair = run_ranker.TrainingRow("a", ["c"], 0)
  record = packer.pack_row(pair, note("interaction", "cross_entropy"), 8)
  assert record["input_ids"] == [2, 5, 3, 7, 3, 0, 0, 0]
  assert record["label_ids"] == 0


def test_texts_of_the_same_pieces_have_one_number(packer):
  row = run_ranker.TrainingRow("a", ["b  b", "b b", " a"])
  assert packer.pack_row(row, note(), 4)["text_ids"] == [1, 2, 2, 1]


# ------------------------------------------------------------------ model


def unit(*degrees):
  angles = np.radians(np.array(degrees, np.float32))
  return np.stack([np.cos(angles), np.sin(angles)], axis=-1)


@pytest.mark.parametrize(
  ("kind", "outputs", "expected"),
  [
    (
      note("interaction", "cross_entropy"),
      {"logits": np.log([[1, 3], [1, 1]])},
      -np.log([3 / 4, 1 / 2]),
    ),
    (
      note("interaction", "candidates"),
      {"scores": np.log([2, 1, 9, 1, 1, 2])},  # 9 is of padding
      -np.log([2 / 3, 1 / 4]),
    ),
    (
      note(temperature=0.5),
      # A context at 0 degrees and one at 90; responses at 60 degrees from it.
      {"vectors": unit(0, 60, 0, 90, 90 + 60, 90 - 60)},
      -np.log(
        [  # against those that the other row has; in the first 0 is padding
          np.e / (np.e + np.exp(2 * np.cos(np.radians([150, 30]))).sum()),
          np.e / (2 * np.e + np.exp(2 * np.cos(np.radians(30)))),
        ]
      ),
    ),
    (
      note(loss="triplet", margin=1.0),
      {"vectors": unit(0, 60, 0, 90, 150, 10)},
      # Squared distances 2 - 2 cos. In the first row only 150 degrees is
      # farther than 60; in the second, of 80 and of 30 degrees, 80 is.
      [0.0, 1 - (2 - 2 * np.cos(np.radians(80))) + 1.0],
    ),
  ],
)
def test_the_loss_of_each_record_leaves_padding_out(kind, outputs, expected):
  outputs = {
    name: tf.constant(np.asarray(value, np.float32))
    for name, value in outputs.items()
  }
  features = {
    "label_ids": tf.constant([1, 0]),
    "text_ids": tf.constant([[1, 2, 0], [3, 4, 5]]),
  }
  losses = run_ranker.per_example_losses(kind, outputs, features)
  with tf.Session() as session:
    np.testing.assert_allclose(session.run(losses), expected, atol=1e-5)


# ----------------------------------------------------------------- scores


@pytest.mark.parametrize("count", [1, 3, 50])
def test_the_search_is_exact(monkeypatch, count):
  monkeypatch.setattr(run_ranker, "_ROWS_AT_ONCE", 7)
  rng = np.random.RandomState(0)
  vectors = rng.randn(40, 6).astype(np.float32)
  queries = rng.randn(5, 6).astype(np.float32)
  products, places = run_ranker.search(vectors, queries, count)
  every = queries @ vectors.T
  expected = np.argsort(-every, axis=1)[:, :count]
  np.testing.assert_array_equal(places, expected)
  np.testing.assert_allclose(
    products, np.take_along_axis(every, expected, axis=1), rtol=1e-5
  )


def test_a_ranking_is_told_best_first():
  ranked = run_ranker.Ranking(
    [run_ranker.InputExample("test-0", "q", ["a", "b"], [1, 0], "")],
    [np.array([0.25, 0.5])],
  )
  assert json.loads(next(ranked.lines())) == {
    "id": "test-0",
    "context": "q",
    "responses": [
      {"response": "b", "place": 1, "score": 0.5, "label": 0},
      {"response": "a", "place": 0, "score": 0.25, "label": 1},
    ],
  }
  assert list(ranked.trec_run("x")) == [
    "test-0 Q0 test-0-1 1 0.5 x",
    "test-0 Q0 test-0-0 2 0.25 x",
  ]
  assert ranked.compute_scores("test")["test_mrr"] == 0.5


def test_ties_count_against_the_true_one_in_all_outputs():
  ranked = run_ranker.Ranking(
    [run_ranker.InputExample("test-0", "q", ["a", "b", "c"], [0, 0, 1], "")],
    [np.zeros(3)],
  )
  assert ranked.compute_scores("test")["test_mrr"] == pytest.approx(1 / 3)
  [line] = map(json.loads, ranked.lines())
  assert [found["response"] for found in line["responses"]] == ["a", "b", "c"]
  order = [row.split()[2] for row in ranked.trec_run("x")]
  relevant = [row.split()[2:] for row in ranked.trec_qrels()]
  assert dict(relevant)[order[2]] == "1"


def test_vectors_are_of_a_model_and_its_settings(tmp_path, monkeypatch):
  for name in "ab":
    write(tmp_path, f"{name}.index", name)
  values = Flags(precision="float32")
  monkeypatch.setattr(run_ranker, "FLAGS", values)

  def mark(checkpoint="a", vocab=("[PAD]", "a"), hidden=8, **of_note):
    job = types.SimpleNamespace(
      config=modeling.BertConfig(2, hidden, 1, 2, 16),
      tokenizer=types.SimpleNamespace(vocab=vocab),
      note=dataclasses.replace(note(), **of_note),
    )
    return run_ranker.model_fingerprint(job, str(tmp_path / checkpoint))

  assert mark() == mark(loss="triplet", margin=9.0)  # of training alone
  marks = [mark(), mark("b"), mark(vocab=("[PAD]", "b")), mark(hidden=10)]
  marks += [mark(pooling="cls"), mark(do_lower_case=False)]
  marks += [mark(max_seq_length=9)]
  values.precision = "bfloat16"
  assert len({*marks, mark()}) == 8


def test_records_are_made_again_where_they_would_differ(monkeypatch):
  marks = []
  monkeypatch.setattr(old_runs, "record_path", str)
  monkeypatch.setattr(old_runs, "make_input_fn", lambda *_: None)
  monkeypatch.setattr(
    run_ranker.record_features,
    "cached_records",
    lambda path, mark, write: marks.append(mark),
  )

  def add_mark(is_training=True, vocab=("a",), texts=("b",), **changed):
    values = {"max_seq_length": 8, "do_lower_case": True}
    of_note = {k: v for k, v in changed.items() if k not in values}
    monkeypatch.setattr(run_ranker, "FLAGS", Flags(**{**values, **changed}))
    job = types.SimpleNamespace(
      note=dataclasses.replace(note(), **of_note),
      tokenizer=types.SimpleNamespace(vocab=vocab),
    )
    run_ranker._input_fn(job, "a", [texts], {}, None, is_training)

  add_mark()
  add_mark(model="interaction")
  add_mark(loss="triplet")
  add_mark(vocab=("b",))
  add_mark(texts=("c",))
  add_mark(max_seq_length=9)
  add_mark(do_lower_case=False)
  assert len(set(marks)) == 7
  add_mark()
  assert marks[-1] == marks[0]
  add_mark(is_training=False)
  add_mark(is_training=False, loss="triplet")
  assert marks[-1] == marks[-2]  # the loss is of training alone


def test_equal_candidates_have_equal_scores(monkeypatch):
  """Wherever they stand in a batch or a product."""
  rng = np.random.RandomState(0)

  def run_model(job, estimator, texts, name, checkpoint):
    assert len(set(texts)) == len(texts)
    return rng.randn(len(texts), 384).astype(np.float32)

  monkeypatch.setattr(run_ranker, "run_model", run_model)
  responses = [f"r{i}" for i in range(18)]
  examples = [example([*responses, "r0"], [1] + [0] * 18)]
  job = types.SimpleNamespace(note=note())
  [scores] = run_ranker.rank(job, None, examples, "eval", None).scores
  assert scores[0] == scores[-1]
  assert len(set(scores)) == 18


def test_questions_that_are_not_utf_8_are_passed_over(caplog):
  stream = io.BytesIO("\ufeffwho?\n\nwh\xe9\n".encode() + b"a\xffb\nwhat?")
  assert list(run_ranker.questions(stream)) == ["who?", "wh\xe9", "what?"]
  assert "line 4 is not UTF-8: byte 1 is 0xff" in caplog.text


def test_a_batch_has_to_hold_something_wrong(monkeypatch):
  values = Flags(train_batch_size=4, gradient_accumulation_steps=4)
  monkeypatch.setattr(run_ranker, "FLAGS", values)
  devices = [1]
  monkeypatch.setattr(
    run_ranker.common_flags, "num_replicas", lambda: devices[0]
  )
  run_ranker.check_batch(note(), [run_ranker.TrainingRow("q", ["a", "b"])])
  rows = [run_ranker.TrainingRow("q", ["a"])]
  run_ranker.check_batch(note("interaction", "cross_entropy"), rows)
  with pytest.raises(ValueError, match="row without any: raise --train_batch_"):
    run_ranker.check_batch(note(), rows)
  values.gradient_accumulation_steps = 2
  run_ranker.check_batch(note(), rows)
  devices[0] = 2
  with pytest.raises(ValueError, match="=4, which is split into 4 parts"):
    run_ranker.check_batch(note(), rows)


class Keeper:
  """Keeps an array beside a file, and counts how often it is made."""

  def __init__(self, folder):
    self.path = str(folder / "a.txt.npy")
    self.made = 0

  def __call__(self, model, text, may_make=True, make=None):
    return run_ranker.kept_file(
      self.path,
      "vectors of a.txt",
      {"model": model, "text": text, "checkpoint": f"{model}.ckpt"},
      make or self.make,
      run_ranker._save_vectors,
      run_ranker._load_vectors,
      may_make,
    )[0, 0]

  def make(self):
    self.made += 1
    return np.full([2, 3], self.made, np.float32)


def test_vectors_are_kept_until_model_or_text_changes(tmp_path):
  vectors = Keeper(tmp_path)
  assert [vectors("m", "t"), vectors("m", "t"), vectors("m", "u")] == [1, 1, 2]
  assert sorted(os.listdir(tmp_path)) == ["a.txt.npy", "a.txt.npy.json"]
  with pytest.raises(
    ValueError, match=r"holds vectors of a.txt of another model \(made with m"
  ):
    vectors("n", "u", may_make=False)
  assert vectors("m", "u", may_make=False) == 2
  (tmp_path / "a.txt.npy.partial").mkdir()
  with pytest.raises(ValueError, match="another model and another text.*can't"):
    vectors("n", "t")
  (tmp_path / "a.txt.npy.partial").rmdir()
  assert vectors("m", "u") == 2
  assert vectors.made == 2


def test_vectors_that_could_not_be_made_leave_the_old_ones(tmp_path):
  vectors = Keeper(tmp_path)
  vectors("m", "t")

  def fail():
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    vectors("n", "t", make=fail)
  assert sorted(os.listdir(tmp_path)) == ["a.txt.npy", "a.txt.npy.json"]
  assert vectors("m", "t", make=fail) == 1


def test_damaged_vectors_are_made_again(tmp_path):
  vectors = Keeper(tmp_path)
  vectors("m", "t")
  path = tmp_path / "a.txt.npy"
  path.write_bytes(path.read_bytes()[:-4])
  with pytest.raises(ValueError, match="a.txt.npy is damaged: have it made"):
    vectors("m", "t", may_make=False)
  assert vectors("m", "t") == 2
  path.write_bytes(b"\0" * path.stat().st_size)
  assert vectors("m", "t") == 3


def test_an_index_finds_nearly_what_the_exact_search_finds(tmp_path):
  faiss = pytest.importorskip("faiss", reason="requirements-faiss.txt")
  rng = np.random.RandomState(0)
  vectors = rng.randn(2000, 8).astype(np.float32)
  vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
  index = run_ranker.build_index(vectors)
  run_ranker.tune_index(index, vectors, 5)
  assert index.nlist == 89  # twice the root of 2000
  assert index.nprobe < 89
  path = str(tmp_path / "a.faiss")
  faiss.write_index(index, path)
  products, places = faiss.read_index(path).search(vectors[:50], 5)
  exact, expected = run_ranker.search(vectors, vectors[:50], 5)
  share = np.mean([np.isin(*pair).mean() for pair in zip(expected, places)])
  assert share >= 0.95
  np.testing.assert_array_equal(places[:, 0], np.arange(50))
  np.testing.assert_allclose(products[:, 0], exact[:, 0], rtol=1e-5)
  few = index.nprobe
  run_ranker.tune_index(index, vectors, 200)  # they are spread over more lists
  assert index.nprobe > few


def test_an_index_of_one_response_finds_it():
  pytest.importorskip("faiss", reason="requirements-faiss.txt")
  vectors = np.ones([1, 4], np.float32) / 2
  index = run_ranker.build_index(vectors)
  run_ranker.tune_index(index, vectors, 1)
  assert index.search(vectors, 5)[1].tolist() == [[0, -1, -1, -1, -1]]


@pytest.mark.parametrize(
  ("search", "count", "is_there", "expected"),
  [
    ("exact", 10**6, True, False),
    ("faiss", 10, True, True),
    ("auto", 500_000, True, False),
    ("auto", 500_001, True, True),
    ("auto", 500_001, False, False),
  ],
)
def test_many_responses_are_searched_by_an_index(
  monkeypatch, search, count, is_there, expected
):
  flags = Flags(search=search, response_file=__file__)
  monkeypatch.setattr(run_ranker, "FLAGS", flags)
  monkeypatch.setattr(
    run_ranker.importlib.util, "find_spec", lambda _: is_there or None
  )
  assert run_ranker.use_faiss(count) is expected


# ------------------------------------------------------------------- main


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  """A learnable task, and a tiny model's files.

  The true response is of the context's kind, which representation learns, and
  the wrong ones have another first word, by which interaction tells them.
  """
  folder = tmp_path_factory.mktemp("data")
  special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
  asked = [f"{kind}s" for kind in KINDS]
  write(
    folder, "vocab.txt", "\n".join([*special, *KINDS, *asked, "the", "no", ""])
  )
  write(folder, "bert_config.json", json.dumps(CONFIG))
  pairs, rows = ["context,response,label"], []
  for i, kind in enumerate(KINDS):
    others = KINDS[i + 1 :] + KINDS[:i]
    for extra in ("", " the", " the the"):
      pairs.append(f"{asked[i]}{extra},the {kind},1")
      pairs += [f"{asked[i]}{extra},no {other},0" for other in others[:2]]
    answers = [f"the {kind}", *(f"no {other}" for other in others)]
    rows.append(",".join([f"the {asked[i]}", *answers]))
  write(folder, "train.csv", "\n".join([*pairs, ""]))
  for name in ("valid", "test"):
    write(folder, f"{name}.csv", "\n".join([*rows, ""]))
  write(folder, "responses.txt", "".join(f"the {kind}\n" for kind in KINDS))
  return folder


def run(data_dir, output_dir, *flags, questions=""):
  """Runs the script as a user does."""
  command = [
    sys.executable,
    str(ROOT / "run_ranker.py"),
    f"--data_dir={data_dir}",
    f"--vocab_file={data_dir}/vocab.txt",
    f"--bert_config_file={data_dir}/bert_config.json",
    f"--output_dir={output_dir}",
    "--max_seq_length=12",
    "--train_batch_size=9",
    "--learning_rate=1e-2",
    *flags,
  ]
  return subprocess.run(
    command, capture_output=True, text=True, cwd=data_dir, input=questions
  )


@pytest.fixture(scope="module")
def interaction(data_dir):
  output_dir = data_dir / "interaction"
  done = run(
    data_dir,
    output_dir,
    *("--model=interaction", "--do_train", "--do_eval", "--do_predict"),
    *("--num_train_epochs=12", "--eval_steps=36", "--keep_best=mrr"),
  )
  assert done.returncode == 0, done.stderr
  return output_dir, done.stderr


def test_an_interaction_model_from_training_to_predictions(interaction):
  output_dir, log = interaction
  assert "training pairs: 54, 18 of them true" in log
  assert "step 36 evaluated: eval_map" in log
  scores = json.loads((output_dir / "eval_results.json").read_text())
  assert scores["eval_recall_at_1"] >= 0.8
  best = json.loads((output_dir / "best" / "best.json").read_text())
  assert best["value"] == scores["eval_mrr"]
  tested = json.loads((output_dir / "test_results.json").read_text())
  assert tested["test_mrr"] == pytest.approx(scores["eval_mrr"])
  lines = (output_dir / "predictions.jsonl").read_text().splitlines()
  firsts = [json.loads(line)["responses"][0]["label"] for line in lines]
  assert np.mean(firsts) == pytest.approx(tested["test_recall_at_1"])
  trec = (output_dir / "test_run.trec").read_text().splitlines()
  assert len(trec) == 36
  query, q0, _, rank, _, _ = trec[0].split(" ")
  assert (query, q0, rank) == ("test-0", "Q0", "1")
  assert len((output_dir / "eval_qrels.trec").read_text().splitlines()) == 36
  kept = json.loads((output_dir / "task.json").read_text())
  assert (kept["task"], kept["model"]) == ("ranker", "interaction")


def test_a_representation_model_answers_questions(data_dir, interaction):
  done = run(
    data_dir,
    data_dir / "representation",
    *("--model=representation", "--do_train", "--do_eval", "--do_interact"),
    *("--num_train_epochs=20", f"--response_file={data_dir}/responses.txt"),
    "--num_answers=2",
    questions="the breads\n\nthe cakes",
  )
  assert done.returncode == 0, done.stderr
  results = data_dir / "representation" / "eval_results.json"
  assert json.loads(results.read_text())["eval_recall_at_1"] >= 0.8
  assert "training rows: 18 of up to 3 responses" in done.stderr
  lines = done.stdout.splitlines()
  assert [lines[0], lines[4], len(lines)] == ["the breads", "the cakes", 8]
  assert re.fullmatch(r"  1  [01]\.\d{4}  the bread", lines[1])
  assert re.fullmatch(r"  2  -?[01]\.\d{4}  the \w+", lines[2])
  assert "2 questions, median: " in done.stderr
  assert np.load(data_dir / "responses.txt.npy").shape == (6, 16)

  again = run(
    data_dir,
    data_dir / "representation",
    *("--do_interact", f"--response_file={data_dir}/responses.txt"),
    *("--nomake_vectors", f"--rerank_model={interaction[0]}"),
    *("--num_answers=3", "--rerank_candidates=4"),
    questions="the lamps\n",
  )
  assert again.returncode == 0, again.stderr
  assert "predicted" not in again.stderr  # the vectors were kept
  assert "to put 4 in order" in again.stderr
  first, *lines = again.stdout.splitlines()[:4]
  scores = [float(line.split()[1]) for line in lines]
  assert first == "the lamps"
  assert scores == sorted(scores, reverse=True)
  assert all(0 <= score <= 1 for score in scores)


def test_the_prediction_loop_knows_the_ranker(data_dir, interaction):
  model = trained_model.Predictor(trained_model.find_model(str(interaction[0])))
  probabilities = []
  for text in ("no book", "the wheel"):
    row = {"text_a": "the wheels", "text_b": text}
    windows, kept = model.prepare(row)
    answer = model.answer(kept, model.run(windows))
    probabilities.append(answer["probability"])
  assert 0 < probabilities[0] < probabilities[1] < 1


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    ({}, "give --model=interaction or --model=representation"),
    (
      {"model": "interaction", "loss": "triplet"},
      "--loss=triplet is none of --model=interaction",
    ),
    (
      {"model": "interaction", "do_interact": True, "response_file": "x"},
      "searches vectors, which --model=interaction has not",
    ),
    (
      {"model": "representation", "do_interact": True},
      "--do_interact needs --response_file",
    ),
    ({"model": "interaction", "do_eval": True}, "--data_dir is needed"),
    (
      {"model": "representation", "margin": 0.1},
      "--margin is not for --model=representation with --loss=in_batch",
    ),
    ({"model": "interaction", "pooling": "cls"}, "--pooling is not for"),
    (
      {"model": "interaction", "search": "faiss", "response_file": "gs://a/b"},
      "index on this machine: copy --response_file=gs://a/b here",
    ),
    (
      {"model": "interaction", "rerank_model": "x"},
      "--rerank_model needs --do_interact",
    ),
    (
      {"model": "interaction", "keep_best": "accuracy"},
      "--keep_best=eval_accuracy is no score of this task",
    ),
  ],
)
def test_flags_that_do_not_go_together(monkeypatch, flags, message):
  values = Flags(**{**dict.fromkeys(FLAG_NAMES), **flags})
  monkeypatch.setattr(run_ranker, "FLAGS", values)
  monkeypatch.setattr(old_runs, "FLAGS", values)
  with pytest.raises(ValueError, match=message):
    run_ranker.check_flags(run_ranker.make_note(None))


def test_a_trained_model_is_not_taken_for_another(monkeypatch):
  values = Flags(**dict.fromkeys(FLAG_NAMES))
  monkeypatch.setattr(run_ranker, "FLAGS", values)
  values.do_lower_case = True
  kept = note(loss="triplet")
  assert run_ranker.make_note(kept).loss == "triplet"
  kept = dataclasses.replace(kept, margin=0.0)
  assert run_ranker.make_note(kept).margin == 0.0
  values.model = "interaction"
  with pytest.raises(ValueError, match="model representation, and now it is i"):
    run_ranker.make_note(kept)


def test_what_does_not_fit_is_said_in_one_sentence(data_dir, tmp_path):
  done = run(data_dir, tmp_path / "out", "--do_eval", "--model=representation")
  assert done.returncode == 1
  assert "holds no trained model" in done.stderr
  assert "Traceback" not in done.stderr
