# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The classifier's losses, soft labels, teacher and pooling, by hand."""

import json
import math

import helpers
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import ROOT, write

import modeling
import run_classifier
import tokenization
from bert.tasks import classification, layers
from bert.tasks import classification_targets as targets
from bert.tasks.classification import TrainingLoss

# The softmax of LOGITS is 1/2, 1/4, 1/4 in the first row, 1/4, 1/4, 1/2 in
# the second.
LOG2 = math.log(2.0)
LOGITS = [[LOG2, 0.0, 0.0], [0.0, 0.0, LOG2]]
DATA = ROOT / "sample_data"


def value(tensor):
  with tf.Session() as session:
    return session.run(tensor)


def label_losses(rows, **options):
  logits, rows = tf.constant(LOGITS), tf.constant(rows)
  return value(classification.label_loss(logits, rows, TrainingLoss(**options)))


# ------------------------------------------------------------------ losses


@pytest.mark.parametrize(
  ("options", "expected"),
  [
    # Row 1: label 0 of p = 1/2, -log p = log 2. Row 2: label 1 of p = 1/4,
    # -log p = 2 log 2.
    ({}, [LOG2, 2 * LOG2]),
    ({"class_weights": (3.0, 0.5, 1.0)}, [3 * LOG2, LOG2]),
    # (1 - 1/2)^2 = 1/4 and (1 - 1/4)^2 = 9/16.
    ({"focal_gamma": 2.0}, [LOG2 / 4, 9 / 8 * LOG2]),
    # Of 0.3, each label gets 0.1: 0.8, 0.1, 0.1 and 0.1, 0.8, 0.1.
    (
      {"label_smoothing": 0.3},
      [(0.8 + 0.2 + 0.2) * LOG2, (0.2 + 1.6 + 0.1) * LOG2],
    ),
    (
      {"label_smoothing": 0.3, "class_weights": (3.0, 0.5, 1.0)},
      [(2.4 + 0.1 + 0.2) * LOG2, (0.6 + 0.8 + 0.1) * LOG2],
    ),
  ],
)
def test_losses_of_a_label(options, expected):
  found = label_losses([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], **options)
  np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_losses_of_a_distribution_and_of_no_label():
  found = label_losses([[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]])
  np.testing.assert_allclose(found, [1.5 * LOG2, 0.0], rtol=1e-6)
  # Row 1 again with gamma 1: 0.5 * 1/2 * log 2 + 0.5 * 3/4 * 2 log 2.
  found = label_losses([[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]], focal_gamma=1.0)
  np.testing.assert_allclose(found, [LOG2, 0.0], rtol=1e-6)
  found = label_losses([[0.0, 0.0, 0.0]] * 2, label_smoothing=0.3)
  assert found.tolist() == [0.0, 0.0]


def test_weights_and_smoothing_have_pytorchs_losses():
  torch = pytest.importorskip("torch")
  rng = np.random.RandomState(0)
  logits = rng.randn(6, 3).astype(np.float32)
  labels, weights = np.array([0, 1, 2, 2, 1, 1]), [0.5, 2.0, 1.5]
  rows = np.eye(3, dtype=np.float32)[labels]
  options = TrainingLoss(class_weights=weights, label_smoothing=0.2)
  losses = classification.label_loss(
    tf.constant(logits), tf.constant(rows), options
  )
  loss = tf.reduce_sum(losses) / tf.reduce_sum(
    classification.row_weights(tf.constant(rows), weights)
  )
  theirs = torch.nn.CrossEntropyLoss(torch.tensor(weights), label_smoothing=0.2)
  expected = theirs(torch.tensor(logits), torch.tensor(labels)).item()
  assert value(loss) == pytest.approx(expected, rel=1e-6)


def test_a_sure_row_has_a_finite_focal_gradient():
  logits = tf.constant([[200.0, 0.0]])
  options = TrainingLoss(focal_gamma=0.5)
  for row in ([1.0, 0.0], [0.0, 1.0]):
    loss = classification.label_loss(logits, tf.constant([row]), options)
    (gradient,) = value(tf.gradients(loss, logits))
    assert np.isfinite(gradient).all()
    # Sure and right: nothing to learn. Sure and wrong: as without focus.
    np.testing.assert_allclose(
      gradient, [[0.0, 0.0]] if row[0] else [[1.0, -1.0]], atol=1e-6
    )


def test_the_teachers_loss():
  # T = 2 takes the root of the odds: the teacher's 0.8 : 0.2 become 2 : 1, and
  # the student's 16 : 1 become 4 : 1. T^2 times their cross entropy.
  teacher, student = tf.constant([[0.8, 0.2]]), tf.constant([[4 * LOG2, 0.0]])
  found = value(classification.distillation_loss(student, teacher, 2.0))
  expected = -4 * (2 / 3 * math.log(4 / 5) + 1 / 3 * math.log(1 / 5))
  np.testing.assert_allclose(found, [expected], rtol=1e-6)
  # A probability of 0 is a very small one.
  loss = classification.distillation_loss(
    student, tf.constant([[1.0, 0.0]]), 1.0
  )
  np.testing.assert_allclose(value(loss), [math.log(17 / 16)], rtol=1e-5)


def note(labels=("a", "b", "c"), **others):
  return classification.ClassifierNote(
    *("classifier", "single", labels, [], [], [], [], True, 8), **others
  )


def batch_loss(features, training):
  """The loss that a step minimises, as `make_model_fn` adds it up."""
  task = classification.Classification(note(), training)
  logits = tf.constant(LOGITS)
  tensors = {"logits": logits, "probabilities": logits, "predicted": logits}
  features = {name: tf.constant(rows) for name, rows in features.items()}
  features["input_mask"] = tf.ones([2, 8], tf.int32)
  outputs = task.scored(tensors, features)
  sums, weights = outputs.loss_sums, task.loss_weights(features)
  terms = [total / weight for total, weight in zip(sums, weights, strict=True)]
  return value([tf.add_n(terms), outputs.predictions["per_example_loss"]])


def test_a_batch_is_divided_by_the_sum_of_its_weights():
  # Labels 0 and 1 cost log 2 and 2 log 2, and weigh 3 and 1/2.
  labels = {"label_ids": [0, 1]}
  loss, plain = batch_loss(labels, TrainingLoss((3.0, 0.5, 1.0)))
  assert loss == pytest.approx((3 * LOG2 + LOG2) / 3.5)
  np.testing.assert_allclose(plain, [LOG2, 2 * LOG2], rtol=1e-6)  # unweighted
  loss, plain = batch_loss(labels, None)
  assert loss == pytest.approx(1.5 * LOG2)


def test_a_teacher_has_its_share_and_all_of_a_text_without_a_label():
  features = {
    "label_ids": [0, 0],
    "label_probabilities": [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
    "teacher_probabilities": [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
  }
  training = TrainingLoss(distillation_weight=0.25, temperature=1.0)
  loss, plain = batch_loss(features, training)
  # Row 1: 3/4 log 2 + 1/4 * 2 log 2. Row 2: log 2.
  assert loss == pytest.approx((1.25 * LOG2 + LOG2) / 2)
  assert plain[0] == pytest.approx(LOG2)
  weighted = TrainingLoss((3.0, 0.5, 1.0), 0.0, 0.0, 0.25, 1.0)
  loss, _ = batch_loss(features, weighted)
  # The weight is the label's only, and there a text without one weighs 1:
  # 3/4 * 3 log 2 over 3 + 1. The teacher: 1/4 * 2 log 2 + log 2 over 2.
  assert loss == pytest.approx(2.25 / 4 * LOG2 + 1.5 / 2 * LOG2)


def test_only_the_proportions_of_class_weights_count_beside_a_teacher():
  features = {
    "label_ids": [0, 1],
    "teacher_probabilities": [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
  }
  # The labels cost log 2 and 2 log 2, the teacher 2 log 2 and log 2.
  for weight in (1.0, 10.0):
    training = TrainingLoss((weight,) * 3, distillation_weight=0.5)
    assert batch_loss(features, training)[0] == pytest.approx(1.5 * LOG2)


# ----------------------------------------------------------------- weights


def labelled(*labels):
  return [
    run_classifier.InputExample(str(i), "", label=label)
    for i, label in enumerate(labels)
  ]


def test_balanced_weights():
  # 4 / (2 * 3) and 4 / (2 * 1); texts without a label do not count.
  found = targets.class_weights(
    "balanced", ["a", "b"], labelled("a", "b", "a", "a", None)
  )
  assert found == pytest.approx([2 / 3, 2.0])
  soft = labelled("a", "b")
  soft[0].label_probabilities = [0.75, 0.25]  # 0.75 and 1.25 of 2
  found = targets.class_weights("balanced", ["a", "b"], soft)
  assert found == pytest.approx([2 / 1.5, 2 / 2.5])
  with pytest.raises(ValueError, match="no training example has .* 'c'"):
    targets.class_weights("balanced", ["a", "b", "c"], labelled("a", "b"))


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("a\t1\nz\t2\n", "w.tsv:2: 'z' is not one of the labels a, b"),
    ("a\t1\n", "w.tsv has no weight for the label 'b'"),
    ("a\t1\nb\t0\n", "w.tsv:2: the weight has to be over 0, not 0"),
    ("a\t-1\nb\t1\n", "w.tsv:1: the weight has to be over 0, not -1"),
    ("a\tx\nb\t1\n", "w.tsv:1: the weight has to be a number"),
    ("a\tnan\nb\t1\n", "w.tsv:1: the weight has to be a number"),
    ("a 1\nb 1\n", "w.tsv:1: 1 columns: give a label, a tab and its weight"),
    ("a\t1\na\t1\n", "w.tsv:2: 'a' has a weight already"),
  ],
)
def test_a_file_of_weights_has_one_per_label(tmp_path, text, message):
  path = write(tmp_path / "w.tsv", text)
  with pytest.raises(ValueError, match=message):
    targets.class_weights(path, ["a", "b"], [])
  path = write(tmp_path / "w.tsv", "b\t0.5\na\t2\n")
  assert targets.class_weights(path, ["a", "b"], []) == [2.0, 0.5]


# ------------------------------------------------------------- soft labels


def read_soft(path, is_optional=False):
  columns = run_classifier.Columns(
    text_a="text",
    label_probabilities=("no", "yes"),
    label_is_optional=is_optional,
  )
  task = run_classifier.Dataset(columns=columns, labels=("no", "yes"))
  return run_classifier.DatasetProcessor(task).read(str(path), "train")


def test_labels_as_probabilities(tmp_path):
  write(tmp_path / "a.tsv", "text\tyes\tno\nx\t0.75\t0.25\ny\t\t\n")
  first, second = read_soft(tmp_path / "a.tsv", is_optional=True)
  assert (first.label, first.label_probabilities) == ("yes", [0.25, 0.75])
  assert (second.label, second.label_probabilities) == (None, [])
  with pytest.raises(ValueError, match="a.tsv:3: column 'no' .* not ''"):
    read_soft(tmp_path / "a.tsv")


@pytest.mark.parametrize(
  ("row", "message"),
  [
    ("x\t0.5\t0.4", "the columns no, yes sum to 0.9, but have to sum to 1"),
    ("x\t0.5\t0.502", "sum to 1.002"),
    ("x\t1.5\t-0.5", "column 'no' has to be a probability, .* not 1.5"),
    ("x\t0.5\thalf", "column 'yes' has to be a number .* not 'half'"),
    ("x\tnan\t1", "column 'no' has to be a number"),
  ],
)
def test_probabilities_that_are_none_are_named(tmp_path, row, message):
  write(tmp_path / "a.tsv", f"text\tno\tyes\nok\t0.5\t0.5005\n{row}\n")
  with pytest.raises(ValueError, match="a.tsv:3: .*" + message):
    read_soft(tmp_path / "a.tsv")


# ----------------------------------------------------------------- teacher


HEADER = "id\tlabel\tyes\tno\n"


def taught(tmp_path, text, examples, labels=("no", "yes"), has_ids=True):
  teacher = targets.read_teacher(write(tmp_path / "p.tsv", text))
  targets.check_labels(teacher, labels)
  targets.add_teacher(examples, teacher, labels, has_ids)
  return examples


def test_a_teacher_is_joined_by_id_and_label(tmp_path):
  text = HEADER + "9\tno\t0.25\t0.75\n1\tyes\t1.0\t0.0\n0\tno\t0.0\t1.0\n"
  first, second = taught(tmp_path, text, labelled("yes", None))
  assert first.teacher_probabilities == [1.0, 0.0]
  assert first.label_probabilities == [0.0, 1.0]
  assert second.teacher_probabilities == [0.0, 1.0]
  assert second.label_probabilities == [0.0, 0.0]


def test_a_teachers_logits_become_probabilities(tmp_path):
  # The second row alone could be probabilities.
  text = HEADER + "0\tyes\t800\t799\n1\tno\t0.25\t0.75\n"
  first, second = taught(tmp_path, text, labelled("yes", None))
  odds = [1.0, math.e]
  np.testing.assert_allclose(
    first.teacher_probabilities, np.divide(odds, sum(odds))
  )
  no, yes = second.teacher_probabilities
  assert math.log(no / yes) == pytest.approx(0.5)


def test_without_ids_a_teacher_is_joined_by_row(tmp_path):
  examples = labelled("yes", "no")
  examples[0].guid, examples[1].guid = "train-1", "train-2"
  text = HEADER + "test-2\tno\t0.25\t0.75\ntest-1\tyes\t1.0\t0.0\n"
  first, second = taught(tmp_path, text, examples, has_ids=False)
  assert first.teacher_probabilities == [0.0, 1.0]
  assert second.teacher_probabilities == [0.75, 0.25]
  with pytest.raises(ValueError, match="3 rows, but there are 2 training"):
    taught(tmp_path, text + "x\tno\t0\t1\n", examples, has_ids=False)


@pytest.mark.parametrize(
  ("text", "message"),
  [
    (
      HEADER + "1\tno\t0.5\t0.5\n",
      "p.tsv has no row with the id '0' of a training example: 'a text'",
    ),
    (
      "id\tlabel\tno\tmaybe\n0\tno\t1\t0\n",
      "p.tsv is for the labels no, maybe, but the data have no, yes",
    ),
    ("id\tprediction\n0\t2.5\n", "p.tsv does not begin with the header"),
    ("", "p.tsv does not begin with the header"),
    (HEADER + "0\tno\t0.5\t0.2\n", "p.tsv:2: .* sum to 0.7"),
    (HEADER + "0\tno\t0.5\n", "p.tsv:2: 3 columns, but the header has 4"),
    (HEADER + "0\tno\t1\t0\n" * 2, "p.tsv:3: the id '0' is there twice"),
  ],
)
def test_a_teacher_of_other_data_is_refused(tmp_path, text, message):
  examples = labelled("yes")
  examples[0].text_a = "a text"
  with pytest.raises(ValueError, match=message):
    taught(tmp_path, text, examples)


# ----------------------------------------------------------------- pooling


def test_poolings_leave_padding_out():
  encoder = modeling.BertModel(
    modeling.BertConfig(20, 8, 2, 2, 16, initializer_range=0.5),
    False,
    tf.constant([[1, 2, 3, 0], [4, 5, 6, 7]]),
    tf.constant([[1, 1, 1, 0], [1, 1, 1, 1]]),
  )
  mask = tf.constant([[1, 1, 1, 0], [1, 1, 1, 1]])
  pooled = {
    name: pool(encoder, mask) for name, pool in classification.POOLINGS.items()
  }
  found = encoder.get_all_encoder_layers(), encoder.get_pooled_output()
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    pooled, ((first, last), pooler) = session.run([pooled, found])
  np.testing.assert_array_equal(pooled["cls"], pooler)
  for row, size in ((0, 3), (1, 4)):
    mean = last[row, :size].mean(axis=0)
    both = (mean + first[row, :size].mean(axis=0)) / 2
    np.testing.assert_allclose(pooled["mean"][row], mean, rtol=1e-5)
    np.testing.assert_allclose(
      pooled["max"][row], last[row, :size].max(axis=0), rtol=1e-5
    )
    np.testing.assert_allclose(
      pooled["first_last_mean"][row], both, rtol=1e-4, atol=1e-6
    )
  assert not np.allclose(pooled["first_last_mean"], pooled["mean"], atol=1e-2)


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_a_text_that_fills_up_a_batch_has_zeros(pooling):
  vectors = tf.constant([[[3.0], [1.0]], [[5.0], [7.0]]])
  found = value(layers.pool(vectors, tf.constant([[1, 1], [0, 0]]), pooling))
  assert found[0] == (2.0 if pooling == "mean" else 3.0)
  assert found[1] == 0.0  # a product with weights stays finite


def test_a_note_names_a_pooling():
  assert note().pooling == "cls"  # of folders from before there was a choice
  with pytest.raises(ValueError, match="pooling 'sum' is none of cls, mean"):
    note(pooling="sum")


# -------------------------------------------------------------------- runs


def run(folder, data, *flags):
  vocab = [*tokenization.SPECIAL_TOKENS, *" ".join(TEXTS).split()]
  config = modeling.BertConfig(
    *(len(vocab), 8, 1, 2, 16),
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    initializer_range=0.2,
  )
  path = write(folder.parent / "sizes.json", config.to_json_string())
  vocab = write(folder.parent / "vocab.txt", "\n".join(vocab))
  return helpers.run(
    run_classifier,
    *("--task_name=custom", f"--data_dir={data}", f"--output_dir={folder}"),
    *(f"--vocab_file={vocab}", f"--bert_config_file={path}"),
    *("--max_seq_length=16", "--train_batch_size=4", "--learning_rate=1e-2"),
    *flags,
  )


TEXTS = ["good day", "bad one", "awful week", "happy two"]


@pytest.mark.slow
def test_a_student_learns_unlabelled_texts_from_its_teacher(tmp_path):
  truth = ["nice", "nasty", "nasty", "nice"]
  rows = [f"{i}\t{text}\n" for i, text in enumerate(TEXTS)]
  for name in ("train", "test"):
    write(tmp_path / "data" / f"{name}.tsv", "id\ttext\n" + "".join(rows))
  lines = [
    f"{i}\t{label}\t{0.9 if label == 'nice' else 0.1}\t"
    f"{0.1 if label == 'nice' else 0.9}\n"
    for i, label in enumerate(truth)
  ]
  path = write(
    tmp_path / "teacher.tsv", "id\tlabel\tnice\tnasty\n" + "".join(lines)
  )
  done = run(
    tmp_path / "out",
    tmp_path / "data",
    *("--do_train", "--do_predict", "--num_train_epochs=100"),
    *("--id_column=id", f"--teacher_predictions={path}", "--temperature=1"),
  )
  assert done.returncode == 0, done.stderr
  assert "train: no column 'label', so no text has a label" in done.stderr
  found = (tmp_path / "out" / "predictions.tsv").read_text().splitlines()
  assert found[0] == "id\tlabel\tnice\tnasty"
  for line, label in zip(found[1:], truth):
    values = line.split("\t")
    assert values[1] == label
    nice = 0.9 if label == "nice" else 0.1
    assert float(values[2]) == pytest.approx(nice, abs=0.07)
  done = run(
    *(tmp_path / "other", tmp_path / "data", "--do_train", "--id_column=id"),
    *(f"--teacher_predictions={path}", "--label_column=lable"),
  )
  assert done.returncode == 1
  assert "train.tsv:2: no column 'lable'" in done.stderr


@pytest.mark.slow
def test_probabilities_train_and_are_scored_by_plain_cross_entropy(tmp_path):
  rows = [f"{text}\t0.75\t0.25\n" for text in TEXTS]
  text = "text\tno\tyes\n" + "".join(rows)
  for name in ("train", "dev", "test"):
    write(tmp_path / "data" / f"{name}.tsv", text)
  done = run(
    tmp_path / "out",
    tmp_path / "data",
    *("--label_columns=no,yes", "--do_train", "--do_eval", "--do_predict"),
    *("--num_train_epochs=100", "--pooling=first_last_mean"),
    "--label_smoothing=0.1",
  )
  assert done.returncode == 0, done.stderr
  scores = json.loads((tmp_path / "out" / "eval_results.json").read_text())
  assert scores["eval_accuracy"] == 1.0  # of the likeliest label
  probabilities = [
    [float(value) for value in line.split("\t")]
    for line in (tmp_path / "out" / "test_results.tsv").read_text().splitlines()
  ]
  # 0.9 * 0.75 + 0.1 / 2, as smoothing asks for.
  np.testing.assert_allclose(probabilities, [[0.725, 0.275]] * 4, atol=0.02)
  losses = [
    -0.75 * math.log(no) - 0.25 * math.log(yes) for no, yes in probabilities
  ]
  assert scores["eval_loss"] == pytest.approx(np.mean(losses), rel=1e-4)
  kept = json.loads((tmp_path / "out" / "task.json").read_text())
  assert kept["labels"] == ["no", "yes"]
  assert kept["pooling"] == "first_last_mean"
  # Without the flag, the folder goes on as it was trained.
  flags = ("--label_columns=no,yes", "--do_predict")
  done = run(tmp_path / "out", tmp_path / "data", *flags)
  assert done.returncode == 0, done.stderr
  found = (tmp_path / "out" / "test_results.tsv").read_text()
  np.testing.assert_allclose(
    [[float(x) for x in line.split()] for line in found.splitlines()],
    probabilities,
    rtol=1e-5,
  )
  done = run(tmp_path / "out", tmp_path / "data", *flags, "--pooling=cls")
  assert (
    "the trained model has pooling first_last_mean, and now it is cls"
  ) in done.stderr


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (("--temperature=3",), "--temperature needs --teacher_predictions"),
    (
      ("--label_type=number", "--focal_gamma=2"),
      "--focal_gamma is for tasks with one label per text, not for"
      " --label_type=number",
    ),
    (
      ("--label_columns=a,b", "--label_column=c"),
      "so leave out --label_column",
    ),
    (("--label_columns=a",), "--label_columns=a: give two columns or more"),
    (("--class_weights=even",), "there is no data file even"),
    (("--label_smoothing=2",), "flag --label_smoothing=2"),
  ],
)
def test_wrong_flags_get_one_sentence(tmp_path, flags, message):
  done = run(tmp_path / "out", DATA, "--do_train", *flags)
  assert done.returncode == 1
  assert message in done.stderr
  assert "Traceback" not in done.stderr
