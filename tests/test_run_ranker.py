# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The ranker's scores and options, and whole runs."""

import dataclasses
import json
import types

import helpers
import numpy as np
import pytest
from helpers import write

import run_ranker
from bert.files import writing
from bert.records import record_files, streams
from bert.tasks.ranking import RankerNote
from bert.tasks.ranking_data import GradedPair, InputExample, TrainingRow
from bert.training import cluster, estimators, runs, trained_model

KINDS = ["bread", "train", "book", "wheel", "cake", "lamp"]
CONFIG = {
  "vocab_size": 24,
  "hidden_size": 16,
  "num_hidden_layers": 1,
  "num_attention_heads": 2,
  "intermediate_size": 32,
  "max_position_embeddings": 16,
  "type_vocab_size": 2,
  "hidden_dropout_prob": 0.0,
  "attention_probs_dropout_prob": 0.0,
  "initializer_range": 0.2,  # learns at once, whatever the seed
}


def note(model="representation", loss="in_batch", **changed):
  made = RankerNote("ranker", model, "mean", True, 8, loss)
  return dataclasses.replace(made, **changed)


# ----------------------------------------------------------------- scores


def test_a_ranking_is_told_best_first():
  ranked = run_ranker.RankedExamples(
    [InputExample("test-0", "q", ["a", "b"], [1, 0], "")],
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
  ranked = run_ranker.RankedExamples(
    [InputExample("test-0", "q", ["a", "b", "c"], [0, 0, 1], "")],
    [np.zeros(3)],
  )
  assert ranked.compute_scores("test")["test_mrr"] == pytest.approx(1 / 3)
  [line] = map(json.loads, ranked.lines())
  assert [found["response"] for found in line["responses"]] == ["a", "b", "c"]
  order = [row.split()[2] for row in ranked.trec_run("x")]
  relevant = [row.split()[2:] for row in ranked.trec_qrels()]
  assert dict(relevant)[order[2]] == "1"


def test_pairs_are_scored_by_correlations():
  pairs = [
    GradedPair(f"test-{i}", "a", "b", score, "")
    for i, score in enumerate([0.0, 1.0, 5.0])
  ]
  compared = run_ranker.ComparedPairs(pairs, np.array([0.25, 0.75, 0.5]))
  # Deviations -2, -1, 3 and -1/4, 1/4, 0; ranks 1, 2, 3 and 1, 3, 2.
  assert compared.compute_scores("test") == {
    "test_pearson": pytest.approx(0.25 / np.sqrt(14 / 8)),
    "test_spearman": pytest.approx(0.5),
  }
  assert json.loads(list(compared.lines())[2]) == {
    "id": "test-2",
    "text_a": "a",
    "text_b": "b",
    "score": 0.5,
    "label": 5.0,
  }
  pairs[2].score = None
  assert not compared.is_known
  assert "label" not in list(compared.lines())[2]


def job_of(kept, vocab=("a",)):
  """A job that goes as far as records and scores."""
  tokenizer = types.SimpleNamespace(vocab=vocab)
  model = runs.Model(None, tokenizer, None)
  return run_ranker.Job(run_ranker.Options(), model, kept, [], [], [])


def test_equal_candidates_have_equal_scores(monkeypatch):
  """Wherever they stand in a batch or a product."""
  rng = np.random.RandomState(0)

  def run_model(job, estimator, texts, name, checkpoint):
    assert len(set(texts)) == len(texts)
    return rng.randn(len(texts), 384).astype(np.float32)

  monkeypatch.setattr(run_ranker, "run_model", run_model)
  responses = [f"r{i}" for i in range(18)]
  labels = [1] + [0] * 18
  examples = [InputExample("", "q", [*responses, "r0"], labels, "a.csv:1")]
  found = run_ranker.rank(job_of(note()), None, examples, "eval", None)
  [scores] = found.scores
  assert scores[0] == scores[-1]
  assert len(set(scores)) == 18


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_not_numbers_are_an_error(monkeypatch, value):
  outputs = [{"vectors": np.float32([0, value])}]
  monkeypatch.setattr(run_ranker, "get_input_fn", lambda *_, **__: None)
  monkeypatch.setattr(streams, "in_input_order", lambda *_: outputs)
  monkeypatch.setattr(estimators, "predict", lambda *_: None)
  with pytest.raises(
    ValueError, match="the model's vectors are NaN or infinit"
  ):
    run_ranker.run_model(job_of(note()), None, [("a",)], "eval", None)


def test_the_data_are_not_written_over(tmp_path):
  path = write(tmp_path / "valid.csv", "a,b,c\n")
  options = run_ranker.Options(data_dir=str(tmp_path))
  with writing.guarded({}, {}):
    run_ranker._read_scorable(options, note(), "valid")
    with pytest.raises(ValueError, match=f"replace --data_dir={path}, which"):
      writing.write_lines(path, ["x"])
  writing.write_lines(path, ["x"])


def test_records_are_made_again_where_they_would_differ(monkeypatch):
  marks = []
  monkeypatch.setattr(runs, "record_path", lambda options, name: name)
  monkeypatch.setattr(runs, "make_input_fn", lambda *_: None)
  monkeypatch.setattr(
    record_files, "cached_records", lambda path, mark, *_: marks.append(mark)
  )

  def add_mark(is_training=True, vocab=("a",), texts=("b",), **changed):
    job = job_of(note(**changed), vocab)
    run_ranker.get_input_fn(job, "a", [texts], None, is_training)

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
  assert marks[-1] == marks[-2]  # the loss only matters for training


# ---------------------------------------------------------------- options


def test_a_batch_has_to_hold_something_wrong(monkeypatch):
  def check(kind, responses, parts):
    options = run_ranker.Options(
      train_batch_size=4, gradient_accumulation_steps=parts
    )
    run_ranker.check_batch(options, kind, [TrainingRow("q", responses)])

  check(note(), ["a", "b"], 4)
  check(note("interaction", "cross_entropy"), ["a"], 4)
  check(note(loss="cosine"), ["a"], 4)
  check(note(loss="cosent"), ["a"], 2)
  with pytest.raises(
    ValueError, match="=cosent compares .* is one here: raise"
  ):
    check(note(loss="cosent"), ["a"], 4)
  check(note(), ["a"], 2)
  with pytest.raises(ValueError, match="no row has wrong responses: raise"):
    check(note(), ["a"], 4)
  monkeypatch.setattr(cluster, "num_replicas", lambda options: 2)
  with pytest.raises(ValueError, match="=4, which is split into 4 parts"):
    check(note(), ["a"], 2)


@pytest.mark.parametrize(
  ("changed", "message"),
  [
    ({}, "give --model=interaction or --model=representation"),
    (
      {"model": "interaction", "loss": "triplet"},
      "--loss=triplet is not for --model=interaction: give cross_entropy or",
    ),
    (
      {"model": "representation", "margin": 0.1},
      "--margin is not for --model=representation with --loss=in_batch",
    ),
    ({"model": "interaction", "pooling": "cls"}, "--pooling is not for"),
    (
      {"model": "representation", "loss": "cosent", "score_range": ("0", "5")},
      "--score_range is not for --model=representation with --loss=cosent",
    ),
    (
      {"model": "representation", "loss": "cosine", "num_candidates": 3},
      "--num_candidates is not for --model=representation with --loss=cosine",
    ),
    (
      {"model": "representation", "score_range": ("0", "x")},
      "--score_range=0,x: each value has to be a number .* not 'x'",
    ),
    (
      {"model": "representation", "score_range": ("5", "0")},
      "--score_range=5,0 has to be two numbers, the lower one first",
    ),
    (
      {"model": "representation", "loss": "cosine", "keep_best": "mrr"},
      "--keep_best=eval_mrr is not a score of this task: .*eval_spearman",
    ),
    (
      {"model": "interaction", "keep_best": "accuracy"},
      "--keep_best=eval_accuracy is not a score of this task",
    ),
  ],
)
def test_options_that_do_not_go_together(changed, message):
  options = run_ranker.Options(**changed)
  with pytest.raises(ValueError, match=message):
    run_ranker.check_options(options, run_ranker.make_note(options, None))


def test_what_is_not_given_follows_the_trained_model():
  def made(kept, **changed):
    return run_ranker.make_note(run_ranker.Options(**changed), kept)

  kept = note(loss="triplet", pooling="cls", margin=0.0)
  assert made(kept) == dataclasses.replace(kept, max_seq_length=128)
  assert made(kept, margin=0.3).margin == 0.3
  assert made(note(loss=None)).loss == "in_batch"  # a note for prediction alone
  assert made(None, model="interaction").loss == "cross_entropy"
  graded = note(loss="cosine", score_range=[0.0, 5.0])
  assert made(graded).score_range == [0.0, 5.0]
  assert made(graded, score_range=("1", "2")).score_range == (1.0, 2.0)
  with pytest.raises(ValueError, match="model representation, and now it is i"):
    made(kept, model="interaction")


# ------------------------------------------------------------------- main


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  """A learnable task, and a tiny model's files.

  The true response is of the context's kind, which representation learns, and
  the wrong ones have another first word, which interaction learns.
  """
  folder = tmp_path_factory.mktemp("data")
  special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
  asked = [f"{kind}s" for kind in KINDS]
  vocab = [*special, *KINDS, *asked, "the", "no"]
  write(folder / "vocab.txt", "\n".join([*vocab, ""]))
  write(folder / "bert_config.json", json.dumps(CONFIG))
  pairs, rows = ["context,response,label"], []
  for i, kind in enumerate(KINDS):
    others = KINDS[i + 1 :] + KINDS[:i]
    for extra in ("", " the", " the the"):
      pairs.append(f"{asked[i]}{extra},the {kind},1")
      pairs += [f"{asked[i]}{extra},no {other},0" for other in others[:2]]
    answers = [f"the {kind}", *(f"no {other}" for other in others)]
    rows.append(",".join([f"the {asked[i]}", *answers]))
  write(folder / "train.csv", "\n".join([*pairs, ""]))
  for name in ("valid", "test"):
    write(folder / f"{name}.csv", "\n".join([*rows, ""]))
  return folder


def run(data_dir, output_dir, *flags):
  """Runs the script in this process."""
  return helpers.run(
    run_ranker,
    f"--data_dir={data_dir}",
    f"--vocab_file={data_dir}/vocab.txt",
    f"--bert_config_file={data_dir}/bert_config.json",
    f"--output_dir={output_dir}",
    "--max_seq_length=12",
    "--train_batch_size=9",
    "--learning_rate=1e-2",
    *flags,
  )


@pytest.fixture(scope="module")
def interaction(data_dir):
  output_dir = data_dir / "interaction"
  done = run(
    *(data_dir, output_dir),
    *("--model=interaction", "--do_train", "--do_eval", "--do_predict"),
    *("--num_train_epochs=12", "--eval_steps=72", "--keep_best=mrr"),
    "--report",
  )
  assert done.returncode == 0, done.stderr
  return output_dir, done.stderr


@pytest.mark.slow
def test_an_interaction_model_from_training_to_predictions(interaction):
  output_dir, log = interaction
  assert "training pairs: 54, 18 of them true" in log
  assert "step 72 evaluated: eval_map" in log
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
  kept = (output_dir / "eval_predictions.jsonl").read_text().splitlines()
  head, *rows = map(json.loads, kept)
  assert not head["is_graded"] and len(rows) == 6
  is_first = [row["text_b"] == row["first"] for row in rows]
  assert np.mean(is_first) == pytest.approx(scores["eval_recall_at_1"])
  page = (output_dir / "report.html").read_text(encoding="utf-8")
  assert "Recall at k" in page and "learning rate" in page
  query, q0, _, rank, _, _ = trec[0].split(" ")
  assert (query, q0, rank) == ("test-0", "Q0", "1")
  assert len((output_dir / "eval_qrels.trec").read_text().splitlines()) == 36
  kept = json.loads((output_dir / "task.json").read_text())
  assert (kept["task"], kept["model"]) == ("ranker", "interaction")


@pytest.mark.slow
def test_a_representation_model_learns(data_dir):
  output_dir = data_dir / "representation"
  done = run(
    data_dir,
    output_dir,
    *("--model=representation", "--do_train", "--do_eval", "--do_predict"),
    "--num_train_epochs=20",
  )
  assert done.returncode == 0, done.stderr
  results = json.loads((output_dir / "eval_results.json").read_text())
  assert results["eval_recall_at_1"] >= 0.8
  assert "training rows: 18 of up to 3 responses" in done.stderr
  assert ranked_by_predictor(output_dir) == ranked_by_script(output_dir)


@pytest.mark.slow
def test_a_model_learns_from_pairs_with_a_score(data_dir, tmp_path):
  """Texts of one kind are alike, and those of others are not."""
  rows = [
    f"the {kind},{other}s,{5 * (kind == other)}"
    for kind in KINDS
    for other in KINDS
  ]
  text = "\n".join(["text_a,text_b,score", *rows, ""])
  for name in ("train", "valid", "test"):
    write(tmp_path / f"{name}.csv", text)
  done = run(
    *(data_dir, tmp_path / "out", f"--data_dir={tmp_path}"),
    *("--model=representation", "--loss=cosine", "--num_train_epochs=100"),
    "--learning_rate=3e-3",
    *("--do_train", "--do_eval", "--do_predict"),
  )
  assert done.returncode == 0, done.stderr
  assert "scores: 0 stands for the cosine 0, 5 for 1" in done.stderr
  scores = json.loads((tmp_path / "out" / "eval_results.json").read_text())
  assert scores["eval_pearson"] >= 0.8
  kept = json.loads((tmp_path / "out" / "task.json").read_text())
  assert (kept["loss"], kept["score_range"]) == ("cosine", [0.0, 5.0])
  assert not list((tmp_path / "out").glob("*.trec"))

  predictor = trained_model.Predictor(
    trained_model.find_model(str(tmp_path / "out"))
  )

  def vector(text):
    windows, kept = predictor.prepare({"text": text})
    return predictor.answer(kept, predictor.run(windows))["vector"]

  lines = (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()
  for line in map(json.loads, lines):
    cosine = np.dot(vector(line["text_a"]), vector(line["text_b"]))
    assert line["score"] == pytest.approx(cosine, abs=1e-4)


@pytest.mark.slow
def test_the_predictions_of_pairs_are_the_predictors(interaction):
  found = ranked_by_predictor(interaction[0])
  assert found == ranked_by_script(interaction[0])


def ranked_by_script(output_dir):
  """{(context, response): score} in predictions.jsonl, to five digits."""
  lines = (output_dir / "predictions.jsonl").read_text().splitlines()
  found = {
    (line["context"], response["response"]): response["score"]
    for line in map(json.loads, lines)
    for response in line["responses"]
  }
  return pytest.approx(found, abs=1e-4)


def ranked_by_predictor(output_dir):
  """The scores of the same pairs from `trained_model.Predictor`."""
  predictor = trained_model.Predictor(trained_model.find_model(str(output_dir)))

  def predict(**row):
    windows, kept = predictor.prepare(row)
    return predictor.answer(kept, predictor.run(windows))

  lines = (output_dir / "predictions.jsonl").read_text().splitlines()
  found = {}
  for line in map(json.loads, lines):
    context = line["context"]
    for response in line["responses"]:
      text = response["response"]
      if "text_b" in predictor.example:
        answer = predict(text_a=context, text_b=text)
        found[context, text] = answer["score"]
      else:
        pair = predict(text=context)["vector"], predict(text=text)["vector"]
        found[context, text] = float(np.dot(*pair))
  return found


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (("--do_eval", "--model=representation"), "holds no trained model"),
    (("--model=representation",), "nothing to do: give at least one of"),
    (("--do_train", "--model=bert"), "bert"),
    (("--do_interact",), "do_interact"),
  ],
)
def test_what_does_not_fit_is_said_in_one_sentence(
  data_dir, tmp_path, flags, message
):
  done = run(data_dir, tmp_path / "out", *flags)
  assert done.returncode == 1
  assert message in done.stderr
  assert "Traceback" not in done.stderr
