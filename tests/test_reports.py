# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Reports: the numbers behind the pictures, the page, and bad folders."""

import json
import math
import re
from xml.etree import ElementTree

import helpers
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import write

import report
from bert.reports import (
  answering,
  calibration,
  classification,
  comparing,
  curves,
  drawing,
  kept_examples,
  page,
  ranking,
  tagging,
)
from bert.tasks import metrics

# -------------------------------------------------------------- calibration


def test_the_calibration_error_is_the_mean_gap_of_the_bins():
  # (0.9, 1.0]: probability 0.95, half right; (0.6, 0.7]: 0.65, all right.
  found = calibration.reliability(
    [0.95, 0.95, 0.65, 0.65], [True, False, True, True], bins=10
  )
  assert found.counts.tolist() == [0, 0, 0, 0, 0, 0, 2, 0, 0, 2]
  assert found.accuracy[9] == 0.5
  assert found.error == pytest.approx(0.5 * 0.45 + 0.5 * 0.35)


def test_a_bin_holds_its_upper_end():
  found = calibration.reliability([0.0, 0.25, 0.26, 1.0], [1, 1, 1, 1], 4)
  assert found.counts.tolist() == [2, 1, 0, 1]


def test_the_temperature_makes_the_probability_the_share_that_is_right():
  # All logits are log 9, which means 0.9; 3 of 4 are right, which is log 3. So
  # the logits have to be halved.
  probabilities = [[0.9, 0.1], [0.1, 0.9], [0.9, 0.1], [0.1, 0.9]]
  found = calibration.fit_temperature(probabilities, [0, 1, 0, 0])
  assert found == pytest.approx(math.log(9) / math.log(3), abs=1e-3)
  halved = calibration.divided(probabilities, 2.0)
  assert halved[0] == pytest.approx([0.75, 0.25])
  assert calibration.divided(halved, 0.5) == pytest.approx(
    np.array(probabilities)
  )
  assert calibration.expected_error(probabilities, [0, 1, 0, 0]) == (
    pytest.approx(0.15)
  )
  assert calibration.expected_error(halved, [0, 1, 0, 0]) == pytest.approx(0.0)


def test_the_temperature_has_bounds():
  right = calibration.fit_temperature([[0.9, 0.1], [0.2, 0.8]], [0, 1])
  assert right == pytest.approx(0.05, rel=1e-3)
  wrong = calibration.fit_temperature([[1.0, 0.0], [0.0, 1.0]], [1, 0])
  assert wrong == pytest.approx(20.0, rel=1e-3)


# --------------------------------------------------------------- thresholds


def test_precision_and_recall_over_thresholds():
  found = classification.threshold_curves([1, 0, 1, 0], [0.9, 0.8, 0.8, 0.1])
  assert found["threshold"].tolist() == [0.1, 0.8, 0.9]
  assert found["precision"] == pytest.approx([0.5, 2 / 3, 1.0])
  assert found["recall"] == pytest.approx([1.0, 1.0, 0.5])
  assert found["f1"] == pytest.approx([2 / 3, 0.8, 2 / 3])


SQUAD_HEAD = {
  "task": "squad",
  "version_2_with_negative": True,
  "null_score_diff_threshold": 0.0,
  "step": 3,
}


def question(answers, best, odds, text="How many bells ring?"):
  return {
    "id": f"q{odds}",
    "question": text,
    "answers": answers,
    "prediction": best if odds <= 0 else "",
    "probability": 0.75,
    "windows": 1,
    "best": best,
    "null_odds": float(odds),
  }


QUESTIONS = [
  question(["six"], "six", -2),
  question([], "two", -1, "Who rings?"),
  question(["ten bells"], "bells", 1),
]


def test_thresholds_of_no_answer_agree_with_the_best_of_squad():
  found = answering.thresholds(SQUAD_HEAD, QUESTIONS)
  assert found["threshold"].tolist() == [-2.0, -1.0, 1.0]
  # Only the first is answered: right, and the second is right without one.
  assert found["exact match"] == pytest.approx([200 / 3, 100 / 3, 100 / 3])
  assert found["F1"] == pytest.approx([200 / 3, 100 / 3, 500 / 9])
  assert found["share without an answer"] == pytest.approx(
    [200 / 3, 100 / 3, 0]
  )
  best = metrics.squad_best_thresholds(
    *([row[name] for row in QUESTIONS] for name in ("answers", "best")),
    [row["null_odds"] for row in QUESTIONS],
  )
  assert best["best_f1"] == pytest.approx(max(found["F1"]))


@pytest.mark.parametrize(
  ("text", "word"),
  [
    ("In which year did it open?", "which"),
    ("To WHOM does it belong?", "who"),
    ("Name the baker.", "other"),
    ("Somewhat odd?", "other"),
  ],
)
def test_questions_are_told_apart_by_their_first_question_word(text, word):
  assert answering.question_word(text) == word


# --------------------------------------------------------- entities and ranks


def test_entities_are_paired_by_their_words_and_then_by_overlap():
  true = ["B-PER", "I-PER", "O", "B-LOC", "O", "B-ORG", "O", "B-LOC"]
  found = ["B-PER", "O", "O", "B-ORG", "O", "O", "B-PER", "B-LOC"]
  assert tagging.entity_pairs(true, found) == {
    ("PER", "(same type, other words)"): 1,
    ("LOC", "ORG"): 1,
    ("LOC", "LOC"): 1,
    ("ORG", "(none)"): 1,
    ("(none)", "PER"): 1,
  }


def test_ranks_count_equal_scores_against_the_model():
  row = {"labels": [0, 1, 0], "scores": [0.5, 0.5, 0.1]}
  assert ranking.rank_of_first(row) == 2


# ---------------------------------------------------------------- bootstrap


def right(name="accuracy"):
  return comparing.mean(name, lambda head, rows: rows)


def compare(measure, ours, baseline, **options):
  return comparing.bootstrap(
    measure,
    measure.statistics({}, ours),
    measure.statistics({}, baseline),
    **options,
  )


def test_the_bootstrap_has_the_shares_of_all_draws():
  # Of two examples each is right in one model. Drawing two: both times the
  # first with probability 1/4, both times the second with 1/4; else a tie,
  # which counts half.
  found = compare(right(), [1, 0], [0, 1])
  assert (found.ours, found.baseline) == (0.5, 0.5)
  assert (found.low, found.high) == (-1.0, 1.0)
  assert found.share_better == pytest.approx(0.5, abs=0.01)
  assert found == compare(right(), [1, 0], [0, 1])
  assert found != compare(right(), [1, 0], [0, 1], seed=1)


def test_equal_models_do_not_differ_in_any_draw():
  found = compare(right(), [1, 0, 1], [1, 0, 1])
  assert (found.low, found.high, found.share_better) == (0.0, 0.0, 0.5)


def test_the_interval_of_a_mean_is_that_of_its_normal_distribution():
  # 1 of 5 examples is right here only: mean 0.2, deviation sqrt(.2 * .8 / 500).
  found = compare(right(), [1] * 100 + [0] * 400, [0] * 500)
  deviation = math.sqrt(0.2 * 0.8 / 500)
  assert found.low == pytest.approx(0.2 - 1.96 * deviation, abs=0.004)
  assert found.high == pytest.approx(0.2 + 1.96 * deviation, abs=0.004)
  assert found.share_better == 1.0


def test_a_lower_error_is_better():
  found = compare(right("mse"), [0.1, 0.2], [0.3, 0.4])
  assert found.share_better == 1.0
  assert found.high == pytest.approx(-0.2)


def test_f1_and_the_correlation_come_from_sums():
  assert comparing.f1(np.array([[2.0, 3.0, 5.0], [0, 0, 0]])).tolist() == [
    0.5,
    0.0,
  ]
  x, y = [1.0, 2.0, 4.0, 8.0], [1.0, 3.0, 2.0, 5.0]
  sums = comparing.moments(x, y).sum(axis=0, keepdims=True)
  assert comparing.pearson(sums)[0] == pytest.approx(np.corrcoef(x, y)[0, 1])
  sums = comparing.moments(x, [1.0] * 4).sum(axis=0, keepdims=True)
  assert comparing.pearson(sums)[0] == 0.0


# ----------------------------------------------------------------- pictures


def test_a_picture_has_words_a_title_and_the_same_bytes_again():
  def paint(axes):
    drawing.bars(
      axes, ["a $x$ <b>", "\ud800 \x00"], {"": [1.0, 2.0]}, "count", 2.0
    )

  found = drawing.svg(paint, "A & B")
  assert found == drawing.svg(paint, "A & B")
  tree = ElementTree.fromstring(found)
  texts = [each.text for each in tree.iter() if each.tag.endswith("}text")]
  assert "a $x$ <b>" in texts and "count" in texts
  titles = [each.text for each in tree.iter() if each.tag.endswith("}title")]
  assert titles == ["A & B"]
  inline = drawing.inline(found)
  assert inline.startswith('<svg role="img"')
  ids = re.findall(r' id="([^"]+)"', inline)
  assert all(f"#{name}" in inline for name in ids)


def test_texts_are_escaped_and_nothing_is_loaded():
  table = page.Table(("id", "n"), [("<script>alert(1)</script>", 0.123456)])
  text = "\n".join(
    page.render("a<b", ['"x"'], [page.Section("T&", "a --b_c=2.", table=table)])
  )
  assert "<script" not in text and "&lt;script&gt;alert(1)" in text
  assert "<title>a&lt;b</title>" in text and "T&amp;" in text
  assert '<td class="number">0.1235</td>' in text
  assert "<p>a <code>--b_c=2</code>.</p>" in text


# ------------------------------------------------------------------ folders

HEAD = {
  "task": "classifier",
  "label_type": "single",
  "labels": ["no", "yes"],
  "thresholds": [],
  "max_seq_length": 8,
  "temperature": 1.0,
  "step": 7,
}


def example(number, label, probabilities, text="fine day"):
  return {
    "id": f"dev-{number}",
    "text_a": f"{text} {number}",
    "label": label,
    "probabilities": probabilities,
    "length": 4 + number,
  }


EXAMPLES = [
  example(0, "no", [0.9, 0.1]),
  example(1, "yes", [0.3, 0.7]),
  example(2, "yes", [0.8, 0.2], "<script>alert('hi')</script>"),
  example(3, "no", [0.4, 0.6]),
]


def keep(folder, head, rows, suffix=""):
  folder.mkdir(exist_ok=True)
  head = dict(head)
  kept_examples.write(str(folder), suffix, head.pop("step"), head, rows)
  return folder


def titles(folder):
  text = (folder / "report.html").read_text(encoding="utf-8")
  loaded = re.findall(r'(?:src|href)="(?!#)|url\((?!#)|@import|<script', text)
  assert not loaded
  return re.findall(r"<h2>(.*?)</h2>", text), text


def run(*flags):
  return helpers.run(report, *flags)


def failed(*flags):
  done = run(*flags)
  assert done.returncode == 1
  return done.stderr.splitlines()[-1]


def test_a_classifiers_page_has_each_section(tmp_path):
  folder = keep(tmp_path / "a", {**HEAD, "temperature": 2.0}, EXAMPLES)
  done = run(f"--model_dir={folder}")
  assert done.stdout == f"{folder}/report.html\n"
  found, text = titles(folder)
  assert found == [
    "Curves",
    "Confusion matrix",
    "Scores of each class",
    "Precision and recall over thresholds",
    "Calibration",
    "Lengths",
    "The errors that the model was surest of",
  ]
  assert "4 examples with the weights of step 7" in text
  assert "&lt;script&gt;alert(&#x27;hi&#x27;)&lt;/script&gt; 2" in text
  # The surest error is that of row 2, with 0.8.
  assert text.index("dev-2</td>") < text.index("dev-3</td>")
  assert "before ECE " in text and "after ECE " in text
  assert "0 of 4 (0.0%) are over <code>--max_seq_length=8</code>" in text
  assert "holds no event files" in text


def test_several_labels_and_numbers_have_pictures_of_their_own(tmp_path):
  several = {**HEAD, "label_type": "multi", "thresholds": [0.5, 0.5]}
  rows = [{**row, "label": [row["label"]]} for row in EXAMPLES]
  folder = keep(tmp_path / "several", several, rows, "_mm")
  run(f"--model_dir={folder}")
  found, _ = titles(folder)
  assert "Average precision of each label (mm)" in found
  number = {**HEAD, "label_type": "number", "labels": []}
  rows = [
    {**row, "label": i / 2, "probabilities": [0.1 * i]}
    for i, row in enumerate(EXAMPLES)
  ]
  folder = keep(tmp_path / "number", number, rows)
  run(f"--model_dir={folder}")
  found, text = titles(folder)
  assert "True and predicted numbers" in found
  # 1.5 against 0.3 is the largest difference.
  assert text.index("dev-3</td>") < text.index("dev-2</td>")


def test_many_classes_show_those_with_the_most_errors():
  names = [f"c{i}" for i in range(30)]
  counts = np.diag([5] * 30)
  counts[29, 0] = 2
  section = classification.confusion(counts, names)
  assert "20 of 30 classes" in section.text
  assert section.table.rows == [("c29", "c0", 2)]
  assert ">c29<" in section.pictures[0]


def test_questions_tags_and_rankings_have_pictures_of_their_own(tmp_path):
  folder = keep(tmp_path / "squad", SQUAD_HEAD, QUESTIONS)
  run(f"--model_dir={folder}")
  found, _ = titles(folder)
  assert {"By question word", "By words of the answer"} <= set(found)
  assert "Thresholds of no answer" in found
  head = {"task": "tagger", "tag_scheme": "bio", "max_seq_length": 9, "step": 1}
  row = {
    "id": "line 1",
    "tokens": ["Ann", "sat"],
    "tags": ["B-PER", "O"],
    "predicted": ["O", "O"],
    "length": 4,
  }
  folder = keep(tmp_path / "tagger", head, [row])
  run(f"--model_dir={folder}")
  found, text = titles(folder)
  assert "Confusion of entities" in found
  assert ">Ann sat</td>" in text and ">Ann: PER</td>" in text
  head = {"task": "ranker", "is_graded": False, "step": 1}
  row = {
    **{"id": "valid-0", "text": "why", "text_b": "so", "first": "no"},
    **{"labels": [1.0, 0.0], "scores": [0.1, 0.2]},
  }
  folder = keep(tmp_path / "ranker", head, [row])
  run(f"--model_dir={folder}")
  found, text = titles(folder)
  assert found[1:3] == ["Recall at k", "Rank of the first true response"]
  assert ">so</td>" in text and ">no</td>" in text


def test_curves_leave_out_what_a_killed_run_recorded(tmp_path):
  def record(folder, *events):
    writer = tf.summary.FileWriter(str(folder))
    for tag, step, value in events:
      if tag is None:
        start = tf.SessionLog(status=tf.SessionLog.START)
        writer.add_session_log(start, step)
        continue
      summary = tf.Summary()
      given = {"simple_value": value}
      if tag == "train/rate":  # as a TPU records it
        given = {"tensor": tf.make_tensor_proto(value)}
      summary.value.add(tag=tag, **given)
      writer.add_summary(summary, step)
    writer.close()

  loss = "train/loss"
  record(
    tmp_path,
    *((None, 1, 0), (loss, 10, 3.0), (loss, 20, 2.0)),
    *((None, 11, 0), (loss, 20, 1.0)),
  )
  record(
    tmp_path / "eval",
    *(("eval_loss", 20, 4.0), ("loss", 20, 4.5), ("eval_f1", 20, 0.5)),
    *(("train/rate", 20, 0.25), ("global_step", 20, 20)),
  )
  found = curves.read(str(tmp_path))
  assert found == {
    "train/loss": [(10, 3.0), (20, 1.0)],
    "eval_loss": [(20, 4.0)],
    "loss": [(20, 4.5)],
    "eval_f1": [(20, 0.5)],
    "train/rate": [(20, 0.25)],
    "global_step": [(20, 20)],
  }
  assert curves.panels_of(found) == {
    "loss": {
      "training": ((10, 20), (3.0, 1.0)),
      "evaluation": ((20,), (4.0,)),
    },
    "eval f1": {"evaluation": ((20,), (0.5,))},
    "rate": {"training": ((20,), (0.25,))},
  }
  # A damaged file gives what stands before the damage.
  (path,) = tmp_path.glob("*tfevents*")
  path.write_bytes(path.read_bytes()[:-9])
  assert curves.read(str(tmp_path))["train/loss"] == [(10, 3.0)]


def test_an_old_folder_shows_its_scores_and_says_what_is_missing(tmp_path):
  counts = {"precision": 0.5, "recall": 1.0, "f1": 2 / 3, "support": 1}
  results = {
    "eval_accuracy": 0.5,
    "report": {
      "labels": ["no", "yes"],
      "classes": {"no": counts, "yes": counts},
      "confusion_matrix": [[1, 0], [1, 0]],
    },
    "report_mm": {"entities": {"PER": counts}},
  }
  write(tmp_path / "eval_results.json", json.dumps(results))
  write(tmp_path / "task.json", '{"task": "classifier"}')
  run(f"--model_dir={tmp_path}")
  found, text = titles(tmp_path)
  assert found == [
    *("Scores", "Curves", "Confusion matrix", "Scores of each class"),
    *("Scores of each entity type (mm)", "What is missing"),
  ]
  assert "<code>run_classifier.py --do_eval --report</code> in" in text


# --------------------------------------------------------------- comparison


def test_two_folders_are_compared(tmp_path):
  ours = keep(tmp_path / "ours", HEAD, EXAMPLES)
  rows = [dict(row) for row in EXAMPLES]
  rows[0]["probabilities"] = [0.2, 0.8]  # wrong there
  rows[2]["probabilities"] = [0.2, 0.8]  # right there
  theirs = keep(tmp_path / "theirs", HEAD, rows)
  output = tmp_path / "page.html"
  done = run(
    *(f"--model_dir={ours}", f"--baseline={theirs}", f"--output_file={output}")
  )
  assert done.stdout == f"{output}\n"
  text = output.read_text(encoding="utf-8")
  for title, name in (("Better", "dev-0"), ("Worse", "dev-2")):
    part = text[text.index(f"<h2>{title} here") :]
    assert part[part.index("<p>") :].startswith("<p>1 of 4 examples.</p>")
    assert f">{name}</td>" in part[: part.index("</section>")]
  assert ">accuracy</td>" in text and ">f1</td>" in text


def test_a_page_is_refused_before_it_is_drawn(tmp_path):
  folder = keep(tmp_path / "a", HEAD, EXAMPLES)
  lost = tmp_path / "lost"
  assert failed(f"--model_dir={folder}", f"--output_file={lost}/page.html") == (
    f"error: there is no folder {lost}"
  )
  same = f"{folder}/../a/"
  assert failed(f"--model_dir={folder}", f"--baseline={same}") == (
    f"error: --baseline={same} is the same folder as --model_dir: give another"
    " model's"
  )


def test_a_temperature_at_its_bound_is_not_taken(caplog):
  evaluated = {
    "probabilities": [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]],
    "label_ids": [0, 1, 0],
  }
  assert calibration.calibrate([evaluated]) == 1.0
  assert "no temperature fits these 3 texts" in caplog.text
  assert evaluated["probabilities"][0] == [0.9, 0.1]


def changed(**values):
  return [{**EXAMPLES[0], **values}, *EXAMPLES[1:]]


@pytest.mark.parametrize(
  ("head", "rows", "suffix", "message"),
  [
    (HEAD, EXAMPLES[:3], "", "holds 4 examples, and .* 3: compare models"),
    (HEAD, changed(text_a="x"), "", "line 2 of .* is another example than in"),
    (HEAD, changed(label="yes"), "", "line 2 of .* is another example than in"),
    ({**HEAD, "labels": ["yes", "no"]}, EXAMPLES, "", "have other labels"),
    (SQUAD_HEAD, QUESTIONS, "", "the task classifier, and .* of squad"),
    (HEAD, EXAMPLES, "_mm", "the first has eval_predictions.jsonl, the second"),
  ],
)
def test_folders_of_other_examples_are_not_compared(
  tmp_path, head, rows, suffix, message
):
  ours = keep(tmp_path / "ours", HEAD, EXAMPLES)
  theirs = keep(tmp_path / "theirs", head, rows, suffix)
  found = failed(f"--model_dir={ours}", f"--baseline={theirs}")
  assert re.search(message, found), found
  assert not (ours / "report.html").exists()


def test_folders_that_have_nothing_to_show(tmp_path):
  ours = keep(tmp_path / "ours", HEAD, EXAMPLES)
  assert failed("--model_dir=none") == "error: there is no folder none"
  empty = tmp_path / "empty"
  empty.mkdir()
  assert failed(f"--model_dir={empty}") == (
    f"error: {empty} holds no event files, no eval_results.json and no"
    " eval_predictions.jsonl, so there is nothing to report on: give the"
    " --output_dir of a run_ script"
  )
  assert failed(f"--model_dir={ours}", f"--baseline={empty}") == (
    f"error: {empty} holds no eval_predictions.jsonl to compare by: evaluate it"
    " with --report"
  )


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda text: text[:-20], r"jsonl:5: not JSON: "),
    (lambda text: text.splitlines()[0], "holds no examples"),
    (
      lambda text: text.replace('"classifier"', '"sorter"'),
      "jsonl:1: the task 'sorter' is none of classifier, squad, tagger, ranker",
    ),
    (
      lambda text: text.replace("[0.9, 0.1]", "[0.9]"),
      "jsonl:2: the label and its probabilities do not fit the first line",
    ),
    (
      lambda text: text.replace('"label": "no"', '"label": "maybe"'),
      "jsonl:2: the label and its probabilities do not fit the first line",
    ),
    (
      lambda text: text[text.index("\n") + 1 :],
      "jsonl:1 does not say what the model is",
    ),
    (
      lambda text: text[: text.rindex("\n", 0, -1) + 1],
      "jsonl holds 3 examples, not 4 as its first line says",
    ),
    (
      lambda text: text.replace('"length": 5', '"length": "5"'),
      "jsonl:3: 'length' has to be a whole number, not \"5\"",
    ),
  ],
)
def test_a_damaged_file_is_named(tmp_path, change, message):
  folder = keep(tmp_path / "a", HEAD, EXAMPLES)
  path = folder / "eval_predictions.jsonl"
  path.write_text(change(path.read_text()))
  found = failed(f"--model_dir={folder}")
  assert re.search(message, found), found
  assert found.endswith("(an evaluation with --report writes this file anew)")
