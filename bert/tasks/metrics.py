# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Scores predictions: labels and predictions come in as arrays, scores go out.

What goes out is made of plain dicts, lists, floats and ints, so that it can be
written as JSON. Where a score would divide by zero (a class never predicted, a
constant input) it is 0.0, and nothing is printed. scikit-learn and scipy are
imported when a score is first asked for, so that importing this file is free.
"""

# N examples, C classes, L labels of which an example may have several

import functools
import re
import string
import warnings
from collections import Counter

import numpy as np

# What SQuAD's scores do not look at in an answer.
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def classification_scores(labels, predictions, names):
  """Scores one predicted class per example.

  Args:
    labels: int [N], the true class of each example.
    predictions: int [N], the predicted classes.
    names: the scores to compute, keys of CLASSIFICATION_SCORES: "accuracy";
      "f1" of class 1 against class 0 (two classes only); "macro_f1", the mean
      of the F1 of every class that occurs in either array; "micro_f1";
      "matthews", the correlation coefficient of Matthews (1975), for any
      number of classes as in Gorodkin (2004).

  Returns:
    {name: float} in the order of `names`.

  Raises:
    ValueError: an unknown name, arrays that are empty or differ in shape, or
      "f1" of more than two classes.
  """
  labels, predictions = _paired(labels, predictions, rank=1)
  scores = {}
  for name in names:
    if name not in CLASSIFICATION_SCORES:
      raise ValueError(
        f"unknown score {name!r}; known are {', '.join(CLASSIFICATION_SCORES)}"
      )
    scores[name] = float(CLASSIFICATION_SCORES[name](labels, predictions))
  return scores


def regression_scores(labels, predictions):
  """Scores one predicted number per example.

  Args:
    labels: float [N], the true values.
    predictions: float [N].

  Returns:
    {"pearson", "spearman", "mse"}: the correlation of the values, that of
    their ranks (ties share the mean rank), and the mean squared error. Both
    correlations are 0.0 where either array is constant.

  Raises:
    ValueError: arrays that are empty, differ in shape, or hold nan or inf.
  """
  from scipy import stats

  labels, predictions = _paired(labels, predictions, rank=1)
  labels = labels.astype(np.float64)
  predictions = predictions.astype(np.float64)
  for name, values in (("labels", labels), ("predictions", predictions)):
    if not np.isfinite(values).all():
      raise ValueError(f"{name} to score hold nan or infinity")
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
    examples whose labels are all right, F1 over all N * L decisions, the mean
    of the F1 of each of the L labels (0.0 for one that never occurs), and the
    share of decisions that are wrong.

  Raises:
    ValueError: arrays that are empty, differ in shape, or hold other values.
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
  """Describes how each class was predicted.

  Args:
    labels: int [N], the true classes, as positions in `label_names`.
    predictions: int [N], the predicted classes.
    label_names: [C] strings, all different.

  Returns:
    {"labels": label_names, "classes": {name: {"precision", "recall", "f1",
    "support"}}, "confusion_matrix": [C][C] ints}. Support is the number of
    examples of the class; rows of the matrix are true classes and columns
    predicted ones, both in the order of "labels". Every class is listed,
    whether it occurs or not.

  Raises:
    ValueError: arrays that are empty or differ in shape, or a class that is
      no position in `label_names`.
  """
  from sklearn import metrics

  labels, predictions = _paired(labels, predictions, rank=1)
  names = list(label_names)
  for values in (labels, predictions):
    outside = values[(values < 0) | (values >= len(names))]
    if outside.size:
      raise ValueError(
        f"class {outside[0]} is not one of the {len(names)} {names}"
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
  """Describes how each label was predicted, where an example has several.

  Args:
    labels: 0 or 1 [N, L], 1 where the example has the label.
    predictions: 0 or 1 [N, L].
    label_names: [L] strings, all different.

  Returns:
    {"labels": label_names, "classes": {name: {"precision", "recall", "f1",
    "support"}}, "confusion_matrices": {name: [[true negatives, false
    positives], [false negatives, true positives]]}}.

  Raises:
    ValueError: arrays that are empty, differ in shape, hold other values, or
      have not one column a name.
  """
  from sklearn import metrics

  labels, predictions = _paired_decisions(labels, predictions)
  names = list(label_names)
  if labels.shape[1] != len(names):
    raise ValueError(f"{labels.shape[1]} columns to score, but labels {names}")
  classes, matrices = {}, {}
  for name, *column in zip(names, labels.T, predictions.T):
    # Of the two classes of the column, "has it not" and "has it", the second.
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
  """Scores how candidates are ranked for each query.

  Ties count against us: of equal scores, what is less relevant stands first.

  Args:
    labels: [N] arrays [M] of a query's candidates, over 0 where they are
      relevant; M can differ.
    scores: [N] arrays [M], high where a candidate is predicted.
    cutoffs: of the recall.

  Returns:
    {name: float}, means over the queries: "recall_at_k", the share of the
    relevant candidates among the first k; "mrr", one over the rank of the first
    relevant one; "map", the mean of the precisions at the ranks of the relevant
    ones; "ndcg", of the whole ranking, with the labels as gains and 1 / log2(1
    + rank) as discount (Jarvelin and Kekalainen, 2002).

  Raises:
    ValueError: there are no queries, arrays differ in shape, a query has no
      relevant candidate, or a score is no number.
  """
  if len(labels) != len(scores) or not len(labels):
    raise ValueError(
      f"{len(scores)} rankings to score for {len(labels)} queries: both must be"
      " as many, and at least one"
    )
  rows = [
    _ranking_row(*_paired(*pair, rank=1), cutoffs)
    for pair in zip(labels, scores)
  ]
  return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _ranking_row(labels, scores, cutoffs):
  """The scores of one query."""
  if np.isnan(scores).any():
    raise ValueError("the scores of a ranking hold NaN")
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
  """Yields the lines of a TREC run file, as trec_eval reads it.

  trec_eval ranks by score, and puts the higher id first where scores are equal.

  Args:
    query_ids: [N] texts without spaces.
    document_ids: [N] lists [M] of such texts.
    scores: [N] arrays [M].
    tag: names the run.
  """
  for query, documents, row in zip(query_ids, document_ids, scores):
    order = sorted(
      zip(row, documents), key=lambda pair: (pair[0], pair[1]), reverse=True
    )
    for rank, (score, document) in enumerate(order, 1):
      yield f"{query} Q0 {document} {rank} {float(score):.9g} {tag}"


def trec_qrels(query_ids, document_ids, labels):
  """Yields the lines of a TREC qrels file: what is relevant.

  Args:
    query_ids: as the next, of `trec_run`.
    document_ids: [N] lists [M].
    labels: [N] int arrays [M], over 0 where a document is relevant.
  """
  for query, documents, row in zip(query_ids, document_ids, labels):
    for document, label in zip(documents, row):
      yield f"{query} 0 {document} {int(label)}"


TAG_SCHEMES = ("io", "bio", "bioes", "none")


def tag_scheme(tags):
  """Tells how tags mark entities.

  Args:
    tags: the different tags of a data set.

  Returns:
    "bioes" (begin, inside, end, single), "bio" or "io", by the letters before
    a hyphen; "io" too where types stand bare beside "O"; "none" where there is
    no "O", as with parts of speech.

  Raises:
    ValueError: they are in BILOU, which has other letters for BIOES.
  """
  marked = [tag for tag in tags if tag != "O"]
  letters = {tag[0] for tag in marked if re.match("[BILU]-.", tag)}
  if {"B", "I"} & letters and {"L", "U"} & letters:
    raise ValueError(
      "the tags look like BILOU: write L- (last) as E- and U- (unit) as S-, as"
      " BIOES has them"
    )
  if marked and all(re.match("[BIES]-.", tag) for tag in marked):
    letters = {tag[0] for tag in marked}
    return (
      "bioes" if letters & {"E", "S"} else "bio" if "B" in letters else "io"
    )
  return "io" if "O" in tags else "none"


def tagged_entities(tags):
  """The entities of a sentence, as CoNLL's conlleval finds them.

  What begins with "I-" or "E-", behind "O" or another type, is an entity too. A
  tag without a letter and hyphen is the type of its word. Several tags joined
  by commas, as WNUT-17 has, are one type with a comma.

  Args:
    tags: [N] strings.

  Returns:
    [(type, first word, last word)].
  """
  from seqeval.metrics import sequence_labeling

  tags = [t if t == "O" or re.match("[BIES]-.", t) else f"I-{t}" for t in tags]
  tags = [re.sub(",[BIES]-", ",", tag) for tag in tags]
  return sequence_labeling.get_entities(tags)


def entity_fields(tags, text=None, spans=()):
  """The entities of a sentence as predictions tell them.

  Args:
    tags: [N] strings.
    text: what the words were found in, or None.
    spans: [N] (start, end) of the words in the text, in characters.

  Returns:
    [{"type", "first", "last"}], of the first and the last word; where there is
    a text, also "start", "end" and "text", by characters.
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
  """Scores tagged entities: right are those of the same words and type.

  Args:
    labels: lists of tags, one a sentence.
    predictions: lists of the predicted tags.
    scheme: of TAG_SCHEMES, but not "none".

  Returns:
    {"precision", "recall", "f1"} over all entities, and a report: {"entities":
    {type: {"precision", "recall", "f1", "support"}}, "repaired": {"labels",
    "predictions"}}, as `count_repaired` counts them.

  Raises:
    ValueError: there are no sentences, or they differ in length.
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
  """How many entities begin with "I-" or "E-", which their scheme has not.

  Args:
    sentences: lists of tags.
    scheme: of TAG_SCHEMES.
  """
  return _count_repaired(sentences, map(tagged_entities, sentences), scheme)


def _count_repaired(sentences, entities, scheme):
  """`count_repaired` of sentences whose entities are known."""
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
    labels: lists of tags, one a sentence.
    predictions: lists of the predicted tags.
    scheme: of TAG_SCHEMES.

  Returns:
    {"token_accuracy"}; for entities also "token_precision", "token_recall" and
    "token_f1" of all tags but "O"; for others "token_macro_f1", the mean of the
    F1 of every tag that occurs.

  Raises:
    ValueError: there are no sentences, or they differ in length.
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
  """Precision, recall, F1 and support of numbers of right, predicted, true."""
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

  Texts are compared in lower case, without punctuation, articles and surplus
  white space. A question's score is the best over its reference answers.

  Args:
    references: [N] lists of reference answers; [] where a question has none.
    predictions: [N] texts, "" where none is answered.
    null_odds: float [N] or None, how much better no answer scored than the
      best one. If given, the scores are those of SQuAD 2.0 (Rajpurkar et al.,
      2018), or else of 1.1 (2016).

  Returns:
    {name: float or int}, scores in percent: "exact_match", "f1" and "total",
    the number of questions; for 2.0 also "HasAns_..." and "NoAns_..." of the
    questions with and without an answer, where there are any.

  Raises:
    ValueError: there are no questions, or of another number.
  """
  exact, f1 = _squad_pairs(references, predictions, null_odds is not None)
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
  """Searches the null odds over which leaving "" scores best, of SQuAD 2.0.

  Args:
    references: [N] lists of reference answers; [] where a question has none.
    answers: [N] texts, the best answer of each question other than "".
    null_odds: float [N], as of `squad_scores`.

  Returns:
    {"best_exact_match", "best_exact_match_threshold", "best_f1",
    "best_f1_threshold"}: the score in percent if "" is predicted where the
    odds are over the threshold, which is 0.0 if nothing is better than
    predicting "" for every question.

  Raises:
    ValueError: there are no questions, or of another number.
  """
  order = np.argsort(null_odds, kind="stable")
  has_answer = np.array([bool(texts) for texts in references])
  # Answering a question that has no answer loses what "" would have scored.
  loses = -np.array([bool(answer) for answer in answers], float)
  found = {}
  pairs = _squad_pairs(references, answers, is_version_2=True)
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


def _squad_pairs(references, predictions, is_version_2):
  """Exact match and F1 [N] of predicted texts, each 0.0 to 1.0."""
  if len(references) != len(predictions) or not references:
    raise ValueError(
      f"{len(predictions)} predictions to score for {len(references)}"
      " questions: both must be as many, and at least one"
    )
  exact, f1 = [], []
  for texts, prediction in zip(references, predictions):
    predicted = _squad_words(prediction)
    wanted = [_squad_words(text) for text in texts]
    if is_version_2:  # where "" is an answer, a reference of no words is none
      wanted = [words for words in wanted if words]
    pairs = [(predicted, words) for words in wanted or [[]]]
    exact.append(max(float(found == words) for found, words in pairs))
    f1.append(max(_squad_f1(*pair, is_version_2) for pair in pairs))
  return np.array(exact), np.array(f1)


def _squad_f1(predicted, wanted, is_version_2):
  """F1 of the words of two texts, however they are ordered."""
  if is_version_2 and not (predicted and wanted):
    return float(predicted == wanted)
  same = sum((Counter(predicted) & Counter(wanted)).values())
  if not same:
    return 0.0
  precision, recall = same / len(predicted), same / len(wanted)
  return 2 * precision * recall / (precision + recall)


def _squad_words(text):
  """The words of a text that count when answers are compared."""
  text = text.lower().translate(_NO_PUNCTUATION)
  return _ARTICLES.sub(" ", text).split()


def _accuracy(labels, predictions):
  return np.mean(labels == predictions)


def _f1(labels, predictions):
  from sklearn import metrics

  other = np.setdiff1d(np.union1d(labels, predictions), (0, 1))
  if other.size:
    raise ValueError(
      f"the score f1 is for classes 0 and 1, and here is a class {other[0]}: "
      "ask for macro_f1 or micro_f1"
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
  """Both as arrays, once they are known to go together."""
  labels, predictions = np.asarray(labels), np.asarray(predictions)
  if labels.shape != predictions.shape or labels.ndim != rank:
    raise ValueError(
      f"labels {list(labels.shape)} and predictions "
      f"{list(predictions.shape)} to score must have one shape, of rank {rank}"
    )
  if not labels.size:
    raise ValueError("there are no examples to score")
  return labels, predictions


def _paired_decisions(labels, predictions):
  """Both as int arrays [N, L] of 0 and 1."""
  labels, predictions = _paired(labels, predictions, rank=2)
  for name, values in (("labels", labels), ("predictions", predictions)):
    if not np.isin(values, (0, 1)).all():
      raise ValueError(f"{name} of several to score must be 0 or 1")
  return labels.astype(int), predictions.astype(int)


def _correlation(coefficient, x, y):
  """A scipy coefficient of two arrays [N], 0.0 where either is constant."""
  if np.ptp(x) == 0 or np.ptp(y) == 0:
    return 0.0
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # scipy's, about nearly constant input
    return float(coefficient(x, y)[0])


def _rows(names, columns):
  """Turns scikit-learn's four columns into one dict of numbers per name."""
  return {
    name: {
      "precision": float(precision),
      "recall": float(recall),
      "f1": float(f1),
      "support": int(support),
    }
    for name, precision, recall, f1, support in zip(names, *columns)
  }
