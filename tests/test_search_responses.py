# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Answers from many responses: their vectors, the search, and the output."""

import dataclasses
import io
import pathlib
import re
import types

import helpers
import numpy as np
import pytest
from helpers import write

import modeling
import search_responses
from bert.records import search
from bert.serving import response_base
from bert.tasks.ranking import RankerNote


def test_responses_are_distinct_and_what_is_left_out_is_told(tmp_path, caplog):
  path = write(tmp_path / "a.txt", "one\r\n\ntwo\none\n")
  assert response_base.read_responses(path) == ["one", "two"]
  assert "left out 1 empty lines, the first in line 2, and 1" in caplog.text
  with pytest.raises(ValueError, match="b.txt holds no responses"):
    response_base.read_responses(write(tmp_path / "b.txt", "\n\n"))


def test_vectors_are_of_a_model_and_its_settings(tmp_path):
  for name in "ab":
    write(tmp_path / f"{name}.index", name)

  def mark(
    checkpoint="a", vocab=("[PAD]", "a"), hidden=8, precision="float32", **note
  ):
    kept = RankerNote("ranker", "representation", "mean", True, 8)
    task = types.SimpleNamespace(note=dataclasses.replace(kept, **note))
    model = types.SimpleNamespace(
      checkpoint=str(tmp_path / checkpoint),
      config=modeling.BertConfig(2, hidden, 1, 2, 16),
      tokenizer=types.SimpleNamespace(vocab=vocab),
      task=task,
    )
    return response_base.model_fingerprint(model, precision)

  assert mark() == mark(loss="triplet", margin=9.0)  # only for training
  marks = [mark(), mark("b"), mark(vocab=("[PAD]", "b")), mark(hidden=10)]
  marks += [mark(pooling="cls"), mark(do_lower_case=False)]
  marks += [mark(max_seq_length=9), mark(precision="bfloat16")]
  assert len(set(marks)) == 8


class LengthPredictor:
  """Stands for a model whose vector of a text is its number of words."""

  def __init__(self):
    self.batches = []

  def prepare(self, row):
    return [{"input_ids": row["text"].split()}], None

  def run(self, windows, batch_size):
    assert len(windows) <= batch_size
    lengths = [len(window["input_ids"]) for window in windows]
    self.batches.append(lengths)
    return [{"vectors": np.float32([length])} for length in lengths]


def test_texts_of_like_length_are_computed_together(monkeypatch):
  monkeypatch.setattr(response_base, "_TEXTS_SORTED", 5)
  lengths = [3, 1, 2, 1, 3, 2, 1]
  predictor = LengthPredictor()
  texts = [" ".join("a" * length) for length in lengths]
  vectors = response_base.make_vectors(predictor, texts, 2, "m.ckpt")
  assert vectors.dtype == np.float32
  assert vectors[:, 0].tolist() == lengths
  assert predictor.batches == [[1, 1], [2, 3], [3], [1, 2]]


@pytest.mark.parametrize(
  ("how", "count", "is_there", "expected"),
  [
    ("exact", 10**6, True, False),
    ("faiss", 10, True, True),
    ("auto", 500_000, True, False),
    ("auto", 500_001, True, True),
    ("auto", 500_001, False, False),
  ],
)
def test_many_responses_are_searched_by_an_index(
  monkeypatch, how, count, is_there, expected
):
  options = search_responses.Options(search=how, response_file=__file__)
  monkeypatch.setattr(search, "has_faiss", lambda: is_there)
  assert response_base.use_faiss(options, count) is expected


def test_questions_that_are_not_utf_8_are_left_out(caplog):
  stream = io.BytesIO("\ufeffwho?\n\nwh\xe9\n".encode() + b"a\xffb\nwhat?")
  assert list(search_responses.questions(stream)) == ["who?", "wh\xe9", "what?"]
  assert "line 4 is not UTF-8: byte 1 is 0xff" in caplog.text


# ------------------------------------------------------------------- main


def make_ranker(trained_folder, model="representation", **note):
  return trained_folder("ranker", model=model, pooling="mean", **note)


def run(folder, response_file, *flags, stdin=""):
  return helpers.run(
    search_responses,
    f"--model_dir={folder}",
    f"--response_file={response_file}",
    *flags,
    stdin=stdin,
  )


@pytest.fixture
def response_file(tmp_path):
  return write(tmp_path / "responses.txt", "good day\nbad\none two\nthe cafe\n")


def test_a_question_gets_the_responses_of_the_nearest_vectors(
  trained_folder, response_file
):
  folder = make_ranker(trained_folder)
  done = run(
    *(folder, response_file, "--num_answers=2"), stdin="bad\n\none  two"
  )
  assert done.returncode == 0, done.stderr
  assert "there is no " in done.stderr and "predicted 4 examples" in done.stderr
  lines = done.stdout.splitlines()
  assert [lines[0], lines[4], len(lines)] == ["bad", "one  two", 8]
  # A response that equals the question has the cosine 1.
  assert [lines[1], lines[5]] == ["  1  1.0000  bad", "  1  1.0000  one two"]
  assert re.fullmatch(r"  2  -?[01]\.\d{4}  (\w+ ?)+", lines[2])
  assert "2 questions, median: " in done.stderr
  assert np.load(response_file + ".npy").shape == (4, 8)

  again = run(folder, response_file, "--nomake_vectors", stdin="bad\n")
  assert again.returncode == 0, again.stderr
  assert "predicted" not in again.stderr  # the vectors were kept
  other = run(folder, response_file, "--nomake_vectors", "--precision=bfloat16")
  assert other.returncode == 1
  assert "was made from another model (" in other.stderr
  assert "model.ckpt-3): leave out --nomake_vectors" in other.stderr


def test_an_index_gives_the_same_answers(trained_folder, response_file):
  pytest.importorskip("faiss", reason="requirements-faiss.txt")
  folder = make_ranker(trained_folder)
  exact = run(folder, response_file, stdin="bad\n")
  done = run(folder, response_file, "--search=faiss", stdin="bad\n")
  assert done.returncode == 0, done.stderr
  assert "FAISS index: reads " in done.stderr
  assert done.stdout.splitlines()[:3] == exact.stdout.splitlines()[:3]


def test_more_answers_than_responses_are_all(trained_folder, response_file):
  folder = make_ranker(trained_folder)
  pairs = make_ranker(
    trained_folder, "interaction", folder=folder.parent / "pairs"
  )
  many = (f"--num_answers={10**18}", f"--rerank_candidates={10**18}")
  done = run(
    folder, response_file, f"--rerank_model={pairs}", *many, stdin="bad\n"
  )
  assert done.returncode == 0, done.stderr
  assert "to put 4 in order" in done.stderr
  assert len(done.stdout.splitlines()) == 1 + 4 + 1


def test_a_response_base_damaged_at_equal_size_is_made_again(
  trained_folder, response_file
):
  pytest.importorskip("faiss", reason="requirements-faiss.txt")
  folder = make_ranker(trained_folder)

  def ask():
    done = run(folder, response_file, "--search=faiss", stdin="bad\n")
    assert done.returncode == 0, done.stderr
    return done

  good = ask()
  for endings in (("npy", "faiss"), ("npy.json", "faiss.json")):
    files = [pathlib.Path(f"{response_file}.{ending}") for ending in endings]
    before = [path.read_bytes() for path in files]
    for path, data in zip(files, before):
      place = 0 if path.suffix == ".json" else len(data) // 2
      changed = bytes([data[place] ^ 1])
      path.write_bytes(data[:place] + changed + data[place + 1 :])
    done = ask()
    assert done.stdout == good.stdout
    assert "making vectors of" in done.stderr
    assert "making a FAISS index of" in done.stderr
    assert [path.read_bytes() for path in files] == before


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_of_a_failed_training_are_an_error(
  trained_folder, response_file, monkeypatch, value
):
  monkeypatch.setattr(
    response_base, "make_vectors", lambda *_: np.full([4, 8], value)
  )
  done = run(make_ranker(trained_folder), response_file, stdin="bad\n")
  assert done.returncode == 1
  assert "error: the vectors are NaN or infinite: the model" in done.stderr


def test_an_interaction_model_puts_answers_in_order(
  trained_folder, response_file, tmp_path
):
  folder = make_ranker(trained_folder)
  pairs = make_ranker(trained_folder, "interaction", folder=tmp_path / "pairs")
  done = run(
    *(folder, response_file, f"--rerank_model={pairs}"),
    *("--num_answers=3", "--rerank_candidates=4"),
    stdin="good\n",
  )
  assert done.returncode == 0, done.stderr
  assert "to put 4 in order" in done.stderr
  first, *lines = done.stdout.splitlines()[:4]
  scores = [float(line.split()[1]) for line in lines]
  assert first == "good"
  assert scores == sorted(scores, reverse=True)
  assert all(0 <= score <= 1 for score in scores)


def test_as_a_user_runs_it(trained_folder, response_file):
  done = run(make_ranker(trained_folder), response_file, stdin="good day\n")
  assert done.returncode == 0, done.stderr
  assert done.stdout.startswith("good day\n  1  1.0000  good day\n")


def test_a_model_that_does_not_fit_is_refused(
  trained_folder, classifier, response_file
):
  pairs = make_ranker(trained_folder, "interaction")
  for folder, kind in ((pairs, "interaction"), (classifier(), "classifier")):
    done = run(folder, response_file)
    assert done.returncode == 1
    assert f"--model_dir={folder} holds a {kind} model: give" in done.stderr
  folder = make_ranker(trained_folder, folder=pairs.parent / "vectors")
  done = run(folder, response_file, f"--rerank_model={folder}")
  assert f"--rerank_model={folder} holds a representation model" in done.stderr
  assert "training by run_ranker.py --model=interaction" in done.stderr


# -------------------------------------------------------------- negatives


class PlantedPredictor:
  """Stands for a model that reads letters, whatever their case.

  The vector of a text is at an angle of five degrees for each letter after a.
  """

  def prepare(self, row):
    return [
      {"input_ids": [ord(letter) for letter in row["text"].lower()]}
    ], None

  def run(self, windows, batch_size):
    angles = [np.radians(5.0) * (w["input_ids"][0] - 97) for w in windows]
    return [
      {"vectors": np.float32([np.cos(angle), np.sin(angle)])}
      for angle in angles
    ]


def mine(tmp_path, rows, responses, **options):
  """The rows of --mined_file, without the header."""
  path = write(tmp_path / "train.csv", "context,response,label\n" + rows)
  options = search_responses.Options(
    mine_negatives=path,
    mined_file=str(tmp_path / "new" / "mined.csv"),
    response_file="base.txt",
    **options,
  )
  predictor = PlantedPredictor()
  vectors = response_base.make_vectors(predictor, responses, 2, "m.ckpt")
  miner = search_responses.Miner(
    *(options, responses, predictor),
    lambda queries, count: search.exact(vectors, queries, count),
  )
  examples = search_responses.read_contexts(path)
  search_responses.write_negatives(options, examples, miner.mine(examples))
  header, *lines = pathlib.Path(options.mined_file).read_text().splitlines()
  assert header == "context,response,label"
  return lines


def test_the_nearest_wrong_responses_are_mined(tmp_path):
  # The nearest of a are b, c, ... Its own are b and d, and A is a itself.
  rows = "a,b,1\nz,y,1\na,d,0\n"
  responses = ["g", "A", "B", "c", "d", "e", "f", "y", "x", "C"]
  assert mine(tmp_path, rows, responses, negatives_per_context=2) == [
    *("a,b,1", "a,d,0", "a,c,0", "a,e,0"),
    *("z,y,1", "z,x,0", "z,g,0"),
  ]
  options = {"negatives_per_context": 1, "skip_nearest": 2}
  assert mine(tmp_path, rows, responses, **options) == [
    *("a,b,1", "a,d,0", "a,f,0"),
    *("z,y,1", "z,f,0"),
  ]


def test_rows_of_one_context_share_their_true_responses(tmp_path):
  text = "a,b\na,c\n"  # without a header: the second column is true
  path = write(tmp_path / "rows.csv", text)
  [example] = search_responses.read_contexts(path)
  assert (example.responses, example.labels) == (["b", "c"], [1, 1])


def test_contexts_that_lack_wrong_responses_are_told(tmp_path, caplog):
  rows = "a,b,1\na,c,0\ny,z,1\nd,e,0\n"
  assert mine(tmp_path, rows, ["a", "b", "c"], negatives_per_context=3) == [
    *("a,b,1", "a,c,0", "y,z,1"),
    *("y,c,0", "y,b,0", "y,a,0"),
    "d,e,0",  # of which no response is known to be right
  ]
  assert "train.csv:2: fewer than 3 wrong responses were found" in caplog.text
  assert "for 2 of 3 contexts" in caplog.text
  with pytest.raises(ValueError, match="=base.txt has no other wrong response"):
    mine(tmp_path, "a,b,1\n", ["a", "b"])
  with pytest.raises(ValueError, match="with more, or a lower --skip_nearest"):
    mine(tmp_path, "a,b,1\n", ["a", "b", "c"], skip_nearest=1)


def test_a_model_mines_for_its_next_training(
  trained_folder, response_file, tmp_path
):
  folder = make_ranker(trained_folder)
  train = write(tmp_path / "train.csv", "bad,bad\none,one two\n")
  mined = tmp_path / "hard" / "train.csv"
  flags = f"--mine_negatives={train}", "--negatives_per_context=2"
  done = run(folder, response_file, *flags, f"--mined_file={mined}")
  assert done.returncode == 0, done.stderr
  assert "2 contexts, and 4 wrong responses added to them" in done.stderr
  asked = run(folder, response_file, stdin="bad\n").stdout.splitlines()
  nearest = [line.split("  ")[-1] for line in asked[2:4]]  # the first is bad
  assert mined.read_text().splitlines()[1:4] == [
    "bad,bad,1",
    *(f"bad,{text},0" for text in nearest),
  ]
  done = run(folder, response_file, *flags, f"--mined_file={train}")
  assert done.returncode == 1
  assert "would replace --mine_negatives=" in done.stderr
  assert pathlib.Path(train).read_text() == "bad,bad\none,one two\n"


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"mined_file": "b.csv"}, "give --mine_negatives, the training file to"),
    ({"mine_negatives": "a.csv"}, "and --mined_file, the one to write, both"),
    (
      {"mine_negatives": "a.csv", "mined_file": "b.txt"},
      "--mined_file=b.txt has to end in .csv",
    ),
    (
      {"mine_negatives": "a", "mined_file": "b.csv", "rerank_model": "c"},
      "--rerank_model is not for --mine_negatives",
    ),
  ],
)
def test_what_does_not_go_with_mining_is_said(options, message):
  with pytest.raises(ValueError, match=message):
    search_responses.check_options(search_responses.Options(**options))


def test_what_faiss_needs_is_said(tmp_path, monkeypatch):
  options = search_responses.Options(search="faiss", response_file="gs://a/b")
  monkeypatch.setattr(search, "has_faiss", lambda: True)
  with pytest.raises(
    ValueError, match="machine: copy --response_file=gs://a/b"
  ):
    search_responses.check_options(options)
  monkeypatch.setattr(search, "has_faiss", lambda: False)
  with pytest.raises(ValueError, match="faiss needs the library FAISS: pip"):
    search_responses.check_options(options)
  search_responses.check_options(dataclasses.replace(options, search="auto"))


def test_a_missing_flag_is_named(tmp_path):
  done = helpers.run(search_responses, f"--model_dir={tmp_path}")
  assert done.returncode == 1
  assert "response_file" in done.stderr
