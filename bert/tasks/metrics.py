# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Scores predictions.

In: labels and predictions as arrays. Out: scores as plain dicts, lists, floats
and ints, ready for JSON. A score that would divide by zero (a class that is
never predicted, a constant input) is 0.0, without a warning. scikit-learn and
scipy are imported on first use, so importing this file is cheap.
"""

# N examples, C classes, L labels (an example may have several)

import functools
import re
import string
import warnings
from collections import Counter

import numpy as np

# SQuAD's scores ignore punctuation and articles.
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_LOWER_IS_BETTER = re.compile(r"(loss|mse|perplexity)$")


def lower_is_better(name: str) -> bool:
  """Whether a score is a loss or an error, by its name."""
  return bool(_LOWER_IS_BETTER.search(name))


def classification_scores(labels, predictions, names):
  """Scores one predicted class per example.

  Args:
    labels: int [N], the true class of each example.
    predictions: int [N], the predicted classes.
    names: the scores to compute, keys of CLASSIFICATION_SCORES: "accuracy";
      "f1" of class 1 against class 0 (two classes only); "macro_f1", the mean
      F1 of the classes that occur in either array; "micro_f1"; "matthews", the
      correlation coefficient of Matthews (1975), extended to more than two
      classes by Gorodkin (2004).

  Returns:
    {name: float} in the order of `names`.

  Raises:
    ValueError: a name is unknown, the arrays are empty or differ in shape, or
      "f1" meets a class other than 0 and 1.
  """
  labels, predictions = _paired(labels, predictions, rank=1)
  scores = {}
  for name in names:
    if name not in CLASSIFICATION_SCORES:
      raise ValueError(
        f"unknown score {name!r}; choose from"
        f" {', '.join(CLASSIFICATION_SCORES)}"
      )
    scores[name] = float(CLASSIFICATION_SCORES[name](labels, predictions))
  return scores


def regression_scores(labels, predictions):
  """Scores one predicted number per example.

  Args:
    labels: float [N], the true values.
    predictions: float [N].

  Returns:
    {"pearson", "spearman", "mse"}: the correlation of the values, the
    correlation of their ranks (ties share the mean rank), and the mean squared
    error. Both correlations are 0.0 if either array is constant.

  Raises:
    ValueError: the arrays are empty, differ in shape, or contain NaN or
      infinity.
  """
  from scipy import stats

  labels, predictions = _paired(labels, predictions, rank=1)
  labels = labels.astype(np.float64)
  predictions = predictions.astype(np.float64)
  for name, values in (("labels", labels), ("predictions", predictions)):
    if not np.isfinite(values).all():
      raise ValueError(f"the {name} to score contain NaN or infinity")
  return {
    "pearson": _correlation(stats.pearsonr, labels, predictions),
    "spearman": _correlation(stats.spearmanr, labels, predictions),
    "mse": float(np.mean((labels - predictions) ** 2)),
  }


def multilabel_scores(labels, predictions):
  """Scores any number of predicted labels per example.

  Args:
    labels: 0 or 1 [N, L], 1 where the example has the label.
    predictions: 0 or 1 [N, L].

  Returns:
    {"subset_accuracy", "micro_f1", "macro_f1", "hamming_loss"}: the share of
    examples with every label right, F1 over all N * L decisions, the mean F1
    of the L labels (0.0 for a label that never occurs), and the share of wrong
    decisions.

  Raises:
    ValueError: the arrays are empty, differ in shape, or hold other values.
  """
  labels, predictions = _paired_decisions(labels, predictions)
  wrong = labels != predictions
  each = [_f1(*column) for column in zip(labels.T, predictions.T)]
  return {
    "subset_accuracy": float(1.0 - wrong.any(axis=1).mean()),
    "micro_f1": float(_f1(labels.ravel(), predictions.ravel())),
    "macro_f1": float(np.mean(each)),
    "hamming_loss": float(wrong.mean()),
  }


def classification_report(labels, predictions, label_names):
  """Reports how well each class was predicted.

  Args:
    labels: int [N], the true classes, as indexes into `label_names`.
    predictions: int [N], the predicted classes.
    label_names: [C] strings, all different.

  Returns:
    {"labels": label_names, "classes": {name: {"precision", "recall", "f1",
    "support"}}, "confusion_matrix": [C][C] ints}. Support is the number of
    examples in the class. Matrix rows are true classes and columns are
    predicted classes, both in the order of "labels". Every class is listed,
    even if it never occurs.

  Raises:
    ValueError: the arrays are empty or differ in shape, or a class has no name
      in `label_names`.
  """
  from sklearn import metrics

  labels, predictions = _paired(labels, predictions, rank=1)
  names = list(label_names)
  for values in (labels, predictions):
    outside = values[(values < 0) | (values >= len(names))]
    if outside.size:
      raise ValueError(
        f"class {outside[0]} has no name among the {len(names)} labels {names}"
      )
  classes = range(len(names))
  columns = metrics.precision_recall_fscore_support(
    labels, predictions, labels=classes, zero_division=0
  )
  matrix = metrics.confusion_matrix(labels, predictions, labels=classes)
  return {
    "labels": names,
    "classes": _rows(names, columns),
    "confusion_matrix": matrix.tolist(),
  }


def multilabel_report(labels, predictions, label_names):
  """Reports how well each label was predicted if examples have several.

  Args:
    labels: 0 or 1 [N, L], 1 where the example has the label.
    predictions: 0 or 1 [N, L].
    label_names: [L] strings, all different.

  Returns:
    {"labels": label_names, "classes": {name: {"precision", "recall", "f1",
    "support"}}, "confusion_matrices": {name: [[true negatives, false
    positives], [false negatives, true positives]]}}.

  Raises:
    ValueError: the arrays are empty, differ in shape, hold other values, or
      the number of columns is not the number of names.
  """
  from sklearn import metrics

  labels, predictions = _paired_decisions(labels, predictions)
  names = list(label_names)
  if labels.shape[1] != len(names):
    raise ValueError(
      f"{labels.shape[1]} columns to score, but {len(names)} labels: {names}"
    )
  classes, matrices = {}, {}
  for name, *column in zip(names, labels.T, predictions.T):
    # Scores class 1 of the column: the example has the label.
    columns = metrics.precision_recall_fscore_support(
      *column, labels=[1], zero_division=0
    )
    classes.update(_rows([name], columns))
    matrices[name] = metrics.confusion_matrix(*column, labels=[0, 1]).tolist()
  return {
    "labels": names,
    "classes": classes,
    "confusion_matrices": matrices,
  }


def ranking_scores(labels, scores, cutoffs=(1, 2, 5, 10)):
  """Scores how the candidates of each query are ranked.

  Ties count against the model: of two candidates with equal scores, the less
  relevant one ranks first.

  Args:
    labels: [N] arrays [M], one for each query, over 0 where a candidate is
      relevant; M may differ.
    scores: [N] arrays [M], higher for candidates predicted to be relevant.
    cutoffs: each k to compute "recall_at_k" for.

  Returns:
    {name: float}, means over the queries: "recall_at_k", the share of the
    relevant candidates that rank in the first k; "mrr", 1 / rank of the first
    relevant candidate; "map", the mean precision at the ranks of the relevant
    candidates; "ndcg" of the whole ranking, with the labels as gains and
    1 / log2(1 + rank) as discount (Jarvelin and Kekalainen, 2002).

  Raises:
    ValueError: there are no queries, the arrays differ in number or shape, a
      query has no relevant candidate, or a score is NaN.
  """
  if len(labels) != len(scores) or not len(labels):
    raise ValueError(
      f"{len(scores)} rankings to score for {len(labels)} queries: give one"
      " ranking per query, and at least one query"
    )
  rows = [
    _ranking_row(*_paired(*pair, rank=1), cutoffs)
    for pair in zip(labels, scores)
  ]
  return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _ranking_row(labels, scores, cutoffs):
  """Returns the scores of one query."""
  if np.isnan(scores).any():
    raise ValueError("the scores of a ranking contain NaN")
  if not (labels > 0).any():
    raise ValueError("a ranking has no relevant candidate")
  gains = labels[np.lexsort((labels, -scores))]  # best first
  ranks = 1 + np.flatnonzero(gains > 0)
  discounts = 1.0 / np.log2(np.arange(2, len(gains) + 2))
  ideal = np.sort(labels)[::-1] @ discounts
  return {
    **{f"recall_at_{k}": np.mean(ranks <= k) for k in cutoffs},
    "mrr": 1.0 / ranks[0],
    "map": np.mean(np.arange(1, len(ranks) + 1) / ranks),
    "ndcg": gains @ discounts / ideal,
  }


def trec_run(query_ids, document_ids, scores, tag):
  """Yields the lines of a TREC run file, ranked as trec_eval ranks them.

  trec_eval sorts by score; on a tie, the higher id comes first.

  Args:
    query_ids: [N] strings without spaces.
    document_ids: [N] lists [M] of strings without spaces.
    scores: [N] arrays [M].
    tag: the name of the run.
  """
  for query, documents, row in zip(query_ids, document_ids, scores):
    order = sorted(
      zip(row, documents), key=lambda pair: (pair[0], pair[1]), reverse=True
    )
    for rank, (score, document) in enumerate(order, 1):
      yield f"{query} Q0 {document} {rank} {float(score):.9g} {tag}"


def trec_qrels(query_ids, document_ids, labels):
  """Yields the lines of a TREC qrels file, which lists relevant documents.

  Args:
    query_ids: [N] strings without spaces.
    document_ids: [N] lists [M] of strings without spaces.
    labels: [N] int arrays [M], over 0 where a document is relevant.
  """
  for query, documents, row in zip(query_ids, document_ids, labels):
    for document, label in zip(documents, row):
      yield f"{query} 0 {document} {int(label)}"


TAG_SCHEMES = ("io", "bio", "bioes", "none")


def is_marked(tag):
  """Whether a tag has a letter, a hyphen and a type, such as B-PER."""
  return re.match("[BIES]-.", tag) is not None


def tag_scheme(tags):
  """Returns the scheme by which tags mark entities.

  Args:
    tags: the distinct tags of a data set.

  Returns:
    "bioes" (begin, inside, end, single), "bio" or "io", if every tag except
    "O" starts with such a letter and a hyphen. Other tags are "io" if "O" or
    a tag with such a letter is among them, and "none" otherwise, as with parts
    of speech.

  Raises:
    ValueError: the tags are BILOU, which is BIOES with other letters.
  """
  marked = [tag for tag in tags if tag != "O"]
  letters = {tag[0] for tag in marked if re.match("[BILU]-.", tag)}
  if {"B", "I"} & letters and {"L", "U"} & letters:
    raise ValueError(
      "the tags look like BILOU: write L- (last) as E- and U- (unit) as S- to"
      " make them BIOES"
    )
  if marked and all(map(is_marked, marked)):
    letters = {tag[0] for tag in marked}
    return (
      "bioes" if letters & {"E", "S"} else "bio" if "B" in letters else "io"
    )
  return "io" if "O" in tags or any(map(is_marked, marked)) else "none"


def tagged_entities(tags):
  """Finds the entities of a sentence as CoNLL's conlleval does.

  An "I-" or "E-" after "O" or after another type also starts an entity. A tag
  without a letter and a hyphen is a bare type. Tags joined by commas, as in
  WNUT-17, form one type that contains a comma.

  Args:
    tags: [N] strings.

  Returns:
    [(type, first word, last word)].
  """
  from seqeval.metrics import sequence_labeling

  tags = [t if t == "O" or is_marked(t) else f"I-{t}" for t in tags]
  tags = [re.sub(",[BIES]-", ",", tag) for tag in tags]
  return sequence_labeling.get_entities(tags)


def entity_fields(tags, text=None, spans=()):
  """Returns the entities of a sentence in the form that predictions have.

  Args:
    tags: [N] strings.
    text: the text that contains the words, or None.
    spans: [N] (start, end) of the words in the text, in characters.

  Returns:
    [{"type", "first", "last"}] with the indexes of the first and last word. If
    there is a text, also "start" and "end" in characters, and the "text"
    between them.
  """
  entities = []
  for kind, first, last in tagged_entities(tags):
    entity = {"type": kind, "first": first, "last": last}
    if text is not None:
      start, end = spans[first][0], spans[last][1]
      entity.update(start=start, end=end, text=text[start:end])
    entities.append(entity)
  return entities


def entity_scores(labels, predictions, scheme):
  """Scores tagged entities; a right entity has the true words and type.

  Args:
    labels: lists of tags, one for each sentence.
    predictions: lists of the predicted tags.
    scheme: one of TAG_SCHEMES except "none".

  Returns:
    {"precision", "recall", "f1"} over all entities, and a report: {"entities":
    {type: {"precision", "recall", "f1", "support"}}, "repaired": {"labels",
    "predictions"}}, where the last two are counts from `count_repaired`.

  Raises:
    ValueError: there are no words, or labels and predictions differ in length.
  """
  _check_sentences(labels, predictions)
  entities = [
    [tagged_entities(tags) for tags in rows] for rows in (labels, predictions)
  ]
  counts = {}  # type: [right, predicted, true]
  for pair in zip(*entities):
    true, predicted = map(set, pair)
    for place, found in enumerate((true & predicted, predicted, true)):
      for kind, _, _ in found:
        counts.setdefault(kind, [0, 0, 0])[place] += 1
  scores = _count_scores(np.sum(list(counts.values()) or [[0, 0, 0]], axis=0))
  del scores["support"]
  return scores, {
    "entities": {kind: _count_scores(counts[kind]) for kind in sorted(counts)},
    "repaired": {
      "labels": _count_repaired(labels, entities[0], scheme),
      "predictions": _count_repaired(predictions, entities[1], scheme),
    },
  }


def count_repaired(sentences, scheme):
  """Counts the entities that begin with "I-" or "E-" against their scheme.

  Args:
    sentences: lists of tags.
    scheme: one of TAG_SCHEMES; "io" and "none" always count 0.
  """
  return _count_repaired(sentences, map(tagged_entities, sentences), scheme)


def _count_repaired(sentences, entities, scheme):
  """Does the work of `count_repaired`, given the sentences' entities."""
  if scheme not in ("bio", "bioes"):
    return 0
  return sum(
    tags[first].startswith(("I-", "E-"))
    for tags, found in zip(sentences, entities)
    for _, first, _ in found
  )


def token_scores(labels, predictions, scheme):
  """Scores the tag of each word.

  Args:
    labels: lists of tags, one for each sentence.
    predictions: lists of the predicted tags.
    scheme: one of TAG_SCHEMES.

  Returns:
    {"token_accuracy"}. With scheme "none" also "token_macro_f1", the mean F1 of
    the tags that occur; with any other scheme also "token_precision",
    "token_recall" and "token_f1" over all tags except "O".

  Raises:
    ValueError: there are no words, or labels and predictions differ in length.
  """
  _check_sentences(labels, predictions)
  true = np.concatenate([np.array(tags, object) for tags in labels])
  found = np.concatenate([np.array(tags, object) for tags in predictions])
  scores = {"token_accuracy": float(np.mean(true == found))}
  if scheme == "none":
    scores["token_macro_f1"] = _mean_f1(
      true.astype(str), found.astype(str), "macro"
    )
    return scores
  counts = [np.sum((true == found) & (true != "O"))]
  counts += [np.sum(found != "O"), np.sum(true != "O")]
  for name, value in _count_scores(counts).items():
    if name != "support":
      scores[f"token_{name}"] = value
  return scores


def _count_scores(counts):
  """Returns the scores for [right, predicted, true] counts."""
  right, predicted, true = map(int, counts)
  return {
    "precision": right / predicted if predicted else 0.0,
    "recall": right / true if true else 0.0,
    "f1": 2 * right / (predicted + true) if predicted + true else 0.0,
    "support": true,
  }


def _check_sentences(labels, predictions):
  sizes = [len(tags) for tags in labels], [len(tags) for tags in predictions]
  if sizes[0] != sizes[1]:
    raise ValueError(
      "sentences to score and their predictions differ in length"
    )
  if not sum(sizes[0]):
    raise ValueError("there are no words to score")


def squad_scores(references, predictions, null_odds=None):
  """Scores one predicted text per question, as SQuAD's own scripts do.

  Compares texts in lower case, without punctuation, articles and extra white
  space. A question's score is the best over its reference answers.

  Args:
    references: [N] lists of reference answers; [] if a question has none.
    predictions: [N] texts; "" means no answer.
    null_odds: float [N] or None, the score of no answer minus the score of the
      best answer. With it, the scores follow SQuAD 2.0 (Rajpurkar et al.,
      2018); without it, 1.1 (2016).

  Returns:
    {name: float or int}, scores in percent: "exact_match", "f1" and "total",
    the number of questions; for 2.0 also "HasAns_..." and "NoAns_..." for the
    questions with and without an answer, if there are any.

  Raises:
    ValueError: there are no questions, or not one prediction for each.
  """
  exact, f1 = squad_pairs(references, predictions, null_odds is not None)
  has_answer = np.array([bool(texts) for texts in references])
  groups = {"": np.ones_like(has_answer)}
  if null_odds is not None:
    groups.update({"HasAns_": has_answer, "NoAns_": ~has_answer})
  scores = {}
  for prefix, rows in groups.items():
    if rows.any():
      scores[f"{prefix}exact_match"] = float(100.0 * exact[rows].mean())
      scores[f"{prefix}f1"] = float(100.0 * f1[rows].mean())
      scores[f"{prefix}total"] = int(rows.sum())
  return scores


def squad_best_thresholds(references, answers, null_odds):
  """Finds the null odds above which predicting "" scores best on SQuAD 2.0.

  Args:
    references: [N] lists of reference answers; [] if a question has none.
    answers: [N] texts, the best answer to each question other than "".
    null_odds: float [N], as in `squad_scores`.

  Returns:
    {"best_exact_match", "best_exact_match_threshold", "best_f1",
    "best_f1_threshold"}: the score in percent if "" is predicted for odds over
    the threshold. A threshold is 0.0 if no threshold beats predicting "" for
    every question.

  Raises:
    ValueError: there are no questions, or not one answer for each.
  """
  order = np.argsort(null_odds, kind="stable")
  has_answer = np.array([bool(texts) for texts in references])
  # Answering a question that has no answer loses the point that "" scores.
  loses = -np.array([bool(answer) for answer in answers], float)
  found = {}
  pairs = squad_pairs(references, answers, is_version_2=True)
  for name, scores in zip(("exact_match", "f1"), pairs):
    gains = np.where(has_answer, scores, loses)[order]
    sums = np.sum(~has_answer) + np.cumsum(gains)
    best, threshold = float(np.sum(~has_answer)), 0.0
    if sums.max() > best:
      place = int(np.argmax(sums))
      best, threshold = float(sums[place]), float(null_odds[order[place]])
    found[f"best_{name}"] = 100.0 * best / len(sums)
    found[f"best_{name}_threshold"] = threshold
  return found


def squad_pairs(references, predictions, is_version_2):
  """Scores each question on its own.

  Args:
    references: [N] lists of reference answers, as `squad_scores` takes them.
    predictions: [N] texts.
    is_version_2: whether the scores follow SQuAD 2.0.

  Returns:
    Exact match and F1, float [N] each, 0.0 to 1.0.

  Raises:
    ValueError: there are no questions, or not one prediction for each.
  """
  if len(references) != len(predictions) or not references:
    raise ValueError(
      f"{len(predictions)} predictions to score for {len(references)}"
      " questions: give one prediction per question, and at least one question"
    )
  exact, f1 = [], []
  for texts, prediction in zip(references, predictions):
    predicted = _squad_words(prediction)
    wanted = [_squad_words(text) for text in texts]
    if is_version_2:  # 2.0 drops reference answers that have no words
      wanted = [words for words in wanted if words]
    pairs = [(predicted, words) for words in wanted or [[]]]
    exact.append(max(float(found == words) for found, words in pairs))
    f1.append(max(_squad_f1(*pair, is_version_2) for pair in pairs))
  return np.array(exact), np.array(f1)


def _squad_f1(predicted, wanted, is_version_2):
  """Returns the F1 of two texts' words; their order does not count."""
  if is_version_2 and not (predicted and wanted):
    return float(predicted == wanted)
  same = sum((Counter(predicted) & Counter(wanted)).values())
  if not same:
    return 0.0
  precision, recall = same / len(predicted), same / len(wanted)
  return 2 * precision * recall / (precision + recall)


def _squad_words(text):
  """Returns the words that count when texts are compared."""
  text = text.lower().translate(_NO_PUNCTUATION)
  return _ARTICLES.sub(" ", text).split()


def _accuracy(labels, predictions):
  return np.mean(labels == predictions)


def _f1(labels, predictions):
  from sklearn import metrics

  other = np.setdiff1d(np.union1d(labels, predictions), (0, 1))
  if other.size:
    raise ValueError(
      f"the score f1 is for classes 0 and 1, but there is a class {other[0]}: "
      "use macro_f1 or micro_f1"
    )
  return metrics.f1_score(labels, predictions, zero_division=0)


def _mean_f1(labels, predictions, average):
  from sklearn import metrics

  return metrics.f1_score(labels, predictions, average=average, zero_division=0)


def _matthews(labels, predictions):
  from sklearn import metrics

  if np.ptp(labels) == 0 or np.ptp(predictions) == 0:
    return 0.0
  return metrics.matthews_corrcoef(labels, predictions)


CLASSIFICATION_SCORES = {
  "accuracy": _accuracy,
  "f1": _f1,
  "macro_f1": functools.partial(_mean_f1, average="macro"),
  "micro_f1": functools.partial(_mean_f1, average="micro"),
  "matthews": _matthews,
}


def _paired(labels, predictions, rank):
  """Returns both as arrays; raises ValueError if their shapes do not fit."""
  labels, predictions = np.asarray(labels), np.asarray(predictions)
  if labels.shape != predictions.shape or labels.ndim != rank:
    raise ValueError(
      f"labels {list(labels.shape)} and predictions "
      f"{list(predictions.shape)} must have the same shape, of rank {rank}"
    )
  if not labels.size:
    raise ValueError("there are no examples to score")
  return labels, predictions


def _paired_decisions(labels, predictions):
  """Returns both as int arrays [N, L] of 0 and 1."""
  labels, predictions = _paired(labels, predictions, rank=2)
  for name, values in (("labels", labels), ("predictions", predictions)):
    if not np.isin(values, (0, 1)).all():
      raise ValueError(f"multi-label {name} must be 0 or 1")
  return labels.astype(int), predictions.astype(int)


def _correlation(coefficient, x, y):
  """Returns scipy's coefficient of two arrays [N]; 0.0 if one is constant."""
  if np.ptp(x) == 0 or np.ptp(y) == 0:
    return 0.0
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # scipy warns about nearly constant input
    return float(coefficient(x, y)[0])


def _rows(names, columns):
  """Turns scikit-learn's four columns into a dict of scores for each name."""
  return {
    name: {
      "precision": float(precision),
      "recall": float(recall),
      "f1": float(f1),
      "support": int(support),
    }
    for name, precision, recall, f1, support in zip(names, *columns)
  }
