# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Tests scores against values computed by hand, and edge cases."""

import json

import numpy as np
import pytest

from bert.tasks import metrics

# Scores must not warn: users would see scikit-learn's warnings.
pytestmark = pytest.mark.filterwarnings("error")

# Two classes, ten examples.        true 1s: 4, predicted 1s: 5
LABELS = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
GUESSES = [1, 1, 1, 0, 1, 1, 0, 0, 0, 0]  # tp 3, fn 1, fp 2, tn 4

# Three classes, six examples; class 2 is never predicted.
LABELS_3 = [0, 0, 0, 1, 1, 2]
GUESSES_3 = [0, 0, 1, 1, 0, 1]

# Three labels, four examples.
DECISIONS = [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]]
GUESSED_DECISIONS = [[1, 0, 0], [1, 0, 0], [0, 1, 1], [0, 0, 0]]


def score(labels, predictions, name):
  return metrics.classification_scores(labels, predictions, [name])[name]


def test_accuracy():
  assert score(LABELS, GUESSES, "accuracy") == pytest.approx(7 / 10)


def test_f1_is_of_class_1():
  # precision 3/5, recall 3/4: 2 * 3/5 * 3/4 / (3/5 + 3/4) = 2/3
  assert score(LABELS, GUESSES, "f1") == pytest.approx(2 / 3)


def test_matthews():
  # (tp tn - fp fn) / sqrt((tp + fp)(tp + fn)(tn + fp)(tn + fn))
  #   = (12 - 2) / sqrt(5 * 4 * 6 * 5) = 10 / sqrt(600)
  assert score(LABELS, GUESSES, "matthews") == pytest.approx(10 / 600**0.5)


def test_macro_f1_counts_a_class_that_is_never_predicted():
  # class 0: tp 2, fp 1, fn 1: 2/3; class 1: tp 1, fp 2, fn 1: 2/5; class 2: 0
  expected = (2 / 3 + 2 / 5 + 0) / 3
  assert score(LABELS_3, GUESSES_3, "macro_f1") == pytest.approx(expected)


def test_micro_f1_of_single_labels_is_accuracy():
  assert score(LABELS_3, GUESSES_3, "micro_f1") == pytest.approx(3 / 6)


def test_scores_are_plain_floats_in_the_requested_order():
  scores = metrics.classification_scores(LABELS, GUESSES, ["f1", "accuracy"])
  assert list(scores) == ["f1", "accuracy"]
  assert [type(value) for value in scores.values()] == [float, float]


@pytest.mark.parametrize(
  "name, expected",
  [
    ("accuracy", 1),
    ("f1", 0),
    ("macro_f1", 1),
    ("micro_f1", 1),
    ("matthews", 0),
  ],
)
def test_one_class_only(name, expected):
  assert score([0, 0], [0, 0], name) == expected


def test_f1_of_three_classes_suggests_other_scores():
  with pytest.raises(ValueError, match="there is a class 2: use macro_f1"):
    score(LABELS_3, GUESSES_3, "f1")


def test_unknown_score_lists_the_known_ones():
  with pytest.raises(ValueError, match="'auc'; choose from accuracy, f1, mac"):
    score(LABELS, GUESSES, "auc")


def test_regression():
  # x = 1 2 3 4 about its mean: -1.5 -.5 .5 1.5; y = 1 2 4 9: -3 -2 0 5
  # products 4.5 + 1 + 0 + 7.5 = 13; squares 5 and 38. Ranks agree.
  # errors 0 0 1 5: mse 26 / 4
  scores = metrics.regression_scores([1, 2, 3, 4], [1.0, 2.0, 4.0, 9.0])
  assert scores == {
    "pearson": pytest.approx(13 / (5 * 38) ** 0.5),
    "spearman": pytest.approx(1.0),
    "mse": pytest.approx(6.5),
  }


def test_spearman_gives_ties_their_mean_rank():
  # ranks 1 2 3 against 1.5 1.5 3, about their mean: -1 0 1 and -.5 -.5 1
  # products 1.5; squares 2 and 1.5
  scores = metrics.regression_scores([1, 2, 3], [5, 5, 9])
  assert scores["spearman"] == pytest.approx(1.5 / 3**0.5)


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_constant_predictions_correlate_with_nothing(value):
  labels = np.arange(7.0)
  scores = metrics.regression_scores(labels, np.full(7, value, np.float32))
  assert (scores["pearson"], scores["spearman"]) == (0.0, 0.0)


def test_one_example_correlates_with_nothing():
  scores = metrics.regression_scores([3.0], [1.0])
  assert scores == {"pearson": 0.0, "spearman": 0.0, "mse": 4.0}


def test_nearly_constant_predictions_do_not_warn():
  predictions = 1.0 + np.array([0, 1, 2, 3]) * 2.0**-52
  scores = metrics.regression_scores([1, 2, 3, 4], predictions)
  assert scores["spearman"] == pytest.approx(1.0)


def test_nan_predictions_are_refused():
  with pytest.raises(ValueError, match="predictions to score contain NaN"):
    metrics.regression_scores([1.0, 2.0], [1.0, float("nan")])


def test_multilabel():
  # rows 0 and 3 are right; 2 of 12 decisions are wrong
  # per label: tp 2, fp 0, fn 0: 1; tp 1, fp 0, fn 1: 2/3; tp 0, fp 1: 0
  # together: tp 3, fp 1, fn 1: 6/8
  scores = metrics.multilabel_scores(DECISIONS, GUESSED_DECISIONS)
  assert scores == {
    "subset_accuracy": pytest.approx(2 / 4),
    "micro_f1": pytest.approx(6 / 8),
    "macro_f1": pytest.approx((1 + 2 / 3 + 0) / 3),
    "hamming_loss": pytest.approx(2 / 12),
  }


def test_multilabel_of_a_single_label():
  # one column: tp 1, fp 1, fn 0: 2/3, whichever mean is taken
  scores = metrics.multilabel_scores([[1], [0]], [[1], [1]])
  assert scores["micro_f1"] == pytest.approx(2 / 3)
  assert scores["macro_f1"] == pytest.approx(2 / 3)


def test_multilabel_takes_decisions_not_probabilities():
  with pytest.raises(ValueError, match="multi-label predictions must be 0"):
    metrics.multilabel_scores([[1, 0]], [[0.9, 0.2]])


def test_classification_report():
  report = metrics.classification_report(LABELS_3, GUESSES_3, ["a", "b", "c"])
  assert report["labels"] == ["a", "b", "c"]
  assert report["confusion_matrix"] == [[2, 1, 0], [1, 1, 0], [0, 1, 0]]
  assert report["classes"]["a"] == {
    "precision": pytest.approx(2 / 3),
    "recall": pytest.approx(2 / 3),
    "f1": pytest.approx(2 / 3),
    "support": 3,
  }
  assert report["classes"]["b"]["precision"] == pytest.approx(1 / 3)
  assert report["classes"]["b"]["recall"] == pytest.approx(1 / 2)
  assert report["classes"]["c"] == {
    "precision": 0.0,
    "recall": 0.0,
    "f1": 0.0,
    "support": 1,
  }


def test_classification_report_lists_absent_classes():
  report = metrics.classification_report([1, 1], [1, 1], ["a", "b", "c"])
  assert [row["support"] for row in report["classes"].values()] == [0, 2, 0]
  assert report["confusion_matrix"] == [[0, 0, 0], [0, 2, 0], [0, 0, 0]]


def test_classification_report_refuses_a_class_without_a_name():
  with pytest.raises(
    ValueError, match=r"class 2 has no name .* 2 labels \['a'"
  ):
    metrics.classification_report([0, 2], [0, 1], ["a", "b"])


def test_multilabel_report():
  report = metrics.multilabel_report(
    DECISIONS, GUESSED_DECISIONS, ["x", "y", "z"]
  )
  assert report["classes"]["y"] == {
    "precision": 1.0,
    "recall": 0.5,
    "f1": pytest.approx(2 / 3),
    "support": 2,
  }
  assert report["confusion_matrices"] == {
    "x": [[2, 0], [0, 2]],
    "y": [[2, 0], [1, 1]],
    "z": [[3, 1], [0, 0]],
  }


def test_multilabel_report_of_a_single_label():
  report = metrics.multilabel_report([[1], [0]], [[1], [1]], ["x"])
  assert report["classes"]["x"]["support"] == 1
  assert report["confusion_matrices"] == {"x": [[0, 1], [0, 1]]}


def test_multilabel_report_needs_one_name_per_column():
  with pytest.raises(
    ValueError, match=r"3 columns to score, but 2 labels: \['x'"
  ):
    metrics.multilabel_report(DECISIONS, GUESSED_DECISIONS, ["x", "y"])


@pytest.mark.parametrize(
  "result",
  [
    metrics.classification_scores(
      np.array(LABELS), np.array(GUESSES), metrics.CLASSIFICATION_SCORES
    ),
    metrics.regression_scores(np.array(LABELS), np.array(GUESSES)),
    metrics.multilabel_scores(np.array(DECISIONS), np.array(GUESSED_DECISIONS)),
    metrics.classification_report(
      np.array(LABELS), np.array(GUESSES), ["no", "yes"]
    ),
    metrics.multilabel_report(
      np.array(DECISIONS), np.array(GUESSED_DECISIONS), ["x", "y", "z"]
    ),
  ],
)
def test_results_are_json(result):
  assert json.loads(json.dumps(result)) == result


@pytest.mark.parametrize(
  "scorer, empty",
  [
    (lambda a, b: metrics.classification_scores(a, b, ["accuracy"]), []),
    (metrics.regression_scores, []),
    (metrics.multilabel_scores, np.zeros([0, 3])),
    (lambda a, b: metrics.classification_report(a, b, ["a"]), []),
    (lambda a, b: metrics.multilabel_report(a, b, ["a"]), np.zeros([0, 1])),
  ],
)
def test_no_examples_is_an_error(scorer, empty):
  with pytest.raises(ValueError, match="there are no examples to score"):
    scorer(empty, empty)


def test_the_error_for_different_shapes_names_both():
  with pytest.raises(ValueError, match=r"labels \[2\] and predictions \[3\]"):
    score([0, 1], [0, 1, 1], "accuracy")


# ------------------------------------------------------------------ SQuAD


def squad(references, predictions, null_odds=None):
  return metrics.squad_scores(references, predictions, null_odds)


def test_squad_ignores_case_punctuation_and_articles():
  assert squad([["The U.S. Army!"]], ["us  army"]) == {
    "exact_match": 100.0,
    "f1": 100.0,
    "total": 1,
  }
  assert squad([["theatre"]], ["atre"])["f1"] == 0.0


def test_squad_f1_counts_repeated_words_as_often_as_both_texts_have_them():
  # 2 of 3 predicted words match 2 of 4 true words: 2 * 2 / (3 + 4).
  scores = squad([["red fish blue fish"]], ["fish fish fish"])
  assert scores["exact_match"] == 0.0
  assert scores["f1"] == pytest.approx(400 / 7)


def test_squad_takes_the_best_of_several_references():
  references = [["in the year 1923", "1923"], ["two", "three lights"]]
  scores = squad(references, ["1923", "three"])
  assert scores["exact_match"] == 50.0
  assert scores["f1"] == pytest.approx(100 * (1 + 2 / 3) / 2)


def test_squad_1_and_2_differ_on_references_without_words():
  # SQuAD 1.1 has no empty answers; in 2.0, an empty answer is "".
  assert squad([["A"]], ["a"]) == {"exact_match": 100, "f1": 0, "total": 1}
  assert squad([["A"]], ["a"], [0.0])["f1"] == 100.0


def test_squad_2_scores_questions_without_an_answer_separately():
  references = [["one"], [], [], ["four words are here"]]
  scores = squad(references, ["one", "", "guess", ""], [0.0] * 4)
  assert scores == {
    "exact_match": 50.0,
    "f1": 50.0,
    "total": 4,
    "HasAns_exact_match": 50.0,
    "HasAns_f1": 50.0,
    "HasAns_total": 2,
    "NoAns_exact_match": 50.0,
    "NoAns_f1": 50.0,
    "NoAns_total": 2,
  }


def test_squad_thresholds_give_the_best_scores():
  references = [["one"], [], ["three"], [], ["right wrong"]]
  answers = ["one", "x", "three", "y", "right"]
  odds = [-3.0, 2.0, -1.0, -2.0, 1.0]
  # By rising odds: one, y, three, right, x. "" for all scores 2 of 5, then
  # 3, 2, 3, 3 (F1: 3 + 2/3), 2 (2 + 2/3). The first of the best counts.
  found = metrics.squad_best_thresholds(references, answers, odds)
  assert found == {
    "best_exact_match": 60.0,
    "best_exact_match_threshold": -3.0,
    "best_f1": pytest.approx(100 * (3 + 2 / 3) / 5),
    "best_f1_threshold": 1.0,
  }


def test_squad_thresholds_are_zero_if_no_answer_helps():
  found = metrics.squad_best_thresholds([[], ["a b"]], ["x", "c"], [1.0, 2.0])
  assert found["best_f1"] == 50.0
  assert found["best_f1_threshold"] == 0.0


def test_squad_needs_a_prediction_for_each_question():
  with pytest.raises(ValueError, match="1 predictions to score for 2"):
    squad([["a"], ["b"]], ["a"])


# ---------------------------------------------------------------- rankings


def test_ranking_scores_by_hand():
  # The relevant candidates rank 2 in the first query, 1 and 4 in the second.
  labels = [[0, 1, 0], [1, 0, 0, 1]]
  scores = [[0.9, 0.5, 0.1], [4.0, 3.0, 2.0, 1.0]]
  found = metrics.ranking_scores(labels, scores, cutoffs=(1, 2, 4))
  ideal = 1 + 1 / np.log2(3)
  ndcg = (1 / np.log2(3) + (1 + 1 / np.log2(5)) / ideal) / 2
  assert found == pytest.approx(
    {
      "recall_at_1": (0 + 0.5) / 2,
      "recall_at_2": (1 + 0.5) / 2,
      "recall_at_4": 1.0,
      "mrr": (0.5 + 1) / 2,
      "map": (0.5 + (1 + 0.5) / 2) / 2,
      "ndcg": ndcg,
    }
  )
  assert json.dumps(found)


def test_map_and_ndcg_equal_scikit_learns():
  from sklearn.metrics import average_precision_score, ndcg_score

  rng = np.random.RandomState(0)
  labels, scores = rng.randint(0, 2, [20, 9]), rng.rand(20, 9)
  labels[:, 0] = 1
  found = metrics.ranking_scores(labels, scores)
  pairs = list(zip(labels, scores))
  expected = np.mean([average_precision_score(*pair) for pair in pairs])
  assert found["map"] == pytest.approx(expected)
  assert found["ndcg"] == pytest.approx(ndcg_score(labels, scores))


def test_ties_count_against_the_model():
  found = metrics.ranking_scores([[1, 0, 0]], [[0.5, 0.5, 0.1]])
  assert found["recall_at_1"] == 0.0
  assert found["mrr"] == 0.5
  constant = metrics.ranking_scores([[1] + [0] * 9], [[0.0] * 10])
  assert constant["mrr"] == pytest.approx(0.1)


@pytest.mark.parametrize(
  ("labels", "scores", "message"),
  [
    ([], [], "0 rankings"),
    ([[1, 0]], [], "0 rankings to score for 1 queries"),
    ([[1, 0]], [[1.0]], "the same shape"),
    ([[0, 0]], [[1.0, 2.0]], "no relevant candidate"),
    ([[1, 0]], [[1.0, np.nan]], "NaN"),
  ],
)
def test_rankings_without_a_score_are_refused(labels, scores, message):
  with pytest.raises(ValueError, match=message):
    metrics.ranking_scores(labels, scores)


def test_trec_files_rank_as_trec_eval_does():
  names = ["a-0", "a-1", "a-2"]
  run = list(metrics.trec_run(["a"], [names], [[0.5, 0.75, 0.5]], "mine"))
  assert run == [
    "a Q0 a-1 1 0.75 mine",
    "a Q0 a-2 2 0.5 mine",  # on a tie, the higher id comes first
    "a Q0 a-0 3 0.5 mine",
  ]
  assert list(metrics.trec_qrels(["a"], [names], [[1, 0, 0]])) == [
    "a 0 a-0 1",
    "a 0 a-1 0",
    "a 0 a-2 0",
  ]


# ------------------------------------------------------------------- tags


@pytest.mark.parametrize(
  ("tags", "scheme"),
  [
    ({"O", "I-A", "I-B"}, "io"),
    ({"O", "PER", "LOC"}, "io"),
    ({"O", "B-A", "I-A"}, "bio"),
    ({"B-A"}, "bio"),
    ({"O", "B-A", "E-A", "I-A", "S-A"}, "bioes"),
    ({"NN", "VB", "-LRB-"}, "none"),
    ({"O"}, "io"),
  ],
)
def test_the_scheme_of_tags(tags, scheme):
  assert metrics.tag_scheme(tags) == scheme


def test_bilou_tags_are_not_read_as_types():
  with pytest.raises(ValueError, match="look like BILOU: write L-"):
    metrics.tag_scheme({"O", "B-A", "I-A", "L-A", "U-B"})


@pytest.mark.parametrize(
  ("tags", "entities"),
  [
    ("O B-A I-A O B-A B-A", [("A", 1, 2), ("A", 4, 4), ("A", 5, 5)]),
    ("I-A I-A I-B O I-A", [("A", 0, 1), ("B", 2, 2), ("A", 4, 4)]),  # repaired
    ("S-A B-A I-A E-A E-A", [("A", 0, 0), ("A", 1, 3), ("A", 4, 4)]),
    ("B-a-b I-a-b I-a", [("a-b", 0, 1), ("a", 2, 2)]),
    ("PER PER O LOC", [("PER", 0, 1), ("LOC", 3, 3)]),
    ("B-a,B-b I-a,I-b B-a", [("a,b", 0, 1), ("a", 2, 2)]),
    ("O O", []),
  ],
)
def test_entities_equal_conllevals(tags, entities):
  assert metrics.tagged_entities(tags.split()) == entities


def test_entity_scores_by_hand():
  labels = [["B-A", "I-A", "O", "B-B"], ["B-A", "O"]]
  guesses = [["B-A", "I-A", "O", "B-A"], ["I-A", "B-B"]]
  # Both A are right; 4 are predicted (3 A, 1 B), 3 are true.
  scores, report = metrics.entity_scores(labels, guesses, "bio")
  assert scores == pytest.approx(
    {"precision": 2 / 4, "recall": 2 / 3, "f1": 4 / 7}
  )
  assert report["entities"]["A"] == pytest.approx(
    {"precision": 2 / 3, "recall": 1.0, "f1": 4 / 5, "support": 2}
  )
  assert report["entities"]["B"]["f1"] == 0.0
  assert report["repaired"] == {"labels": 0, "predictions": 1}
  json.dumps(report)
  scores, report = metrics.entity_scores([["O"]], [["O"]], "bio")
  assert scores == {"precision": 0.0, "recall": 0.0, "f1": 0.0}
  assert report["entities"] == {}


def test_token_scores_by_hand():
  labels, guesses = [["B-A", "O"], ["O", "I-A"]], [["B-A", "I-A"], ["O", "O"]]
  assert metrics.token_scores(labels, guesses, "bio") == pytest.approx(
    {
      "token_accuracy": 2 / 4,
      "token_precision": 1 / 2,
      "token_recall": 1 / 2,
      "token_f1": 1 / 2,
    }
  )


def test_sentences_need_one_tag_per_word():
  with pytest.raises(ValueError, match="differ in length"):
    metrics.token_scores([["O", "O"]], [["O"]], "bio")
  with pytest.raises(ValueError, match="no words to score"):
    metrics.entity_scores([], [], "bio")
