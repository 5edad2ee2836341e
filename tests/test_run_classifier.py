# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The classifier's examples, features, model and scores, and whole runs."""

import dataclasses
import json
import os
import re
import shutil

import helpers
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import write

import modeling
import predict
import run_classifier
import tokenization
from bert.tasks import windows

NICE, NASTY = ["good", "fine", "happy"], ["bad", "sad", "awful"]
WORDS = [*NICE, *NASTY, "day", "week", "one", "two"]
CONFIG = {
  "vocab_size": 20,
  "hidden_size": 8,
  "num_hidden_layers": 1,
  "num_attention_heads": 2,
  "intermediate_size": 16,
  "max_position_embeddings": 16,
  "type_vocab_size": 2,
  "hidden_dropout_prob": 0.0,
  "attention_probs_dropout_prob": 0.0,
  "initializer_range": 0.2,  # learns at once, whatever the seed
}


# --------------------------------------------------------------- examples


def read(examples):
  return [(e.guid, e.text_a, e.text_b, e.label) for e in examples]


def test_mrpc_columns(tmp_path):
  header = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
  write(tmp_path / "train.tsv", header + '1\t10\t11\tA "one\tB one\n')
  write(tmp_path / "test.tsv", "index\t1\t2\ta\tb\n0\t10\t11\tA two\tB two\n")
  processor = run_classifier.MrpcProcessor()
  assert processor.get_labels() == ["0", "1"]
  found = read(processor.get_train_examples(str(tmp_path)))
  assert found == [("train-1", 'A "one', "B one", "1")]
  found = read(processor.get_test_examples(str(tmp_path)))
  assert found == [("test-1", "A two", "B two", None)]


def test_cola_has_a_header_in_the_test_file_only(tmp_path):
  write(tmp_path / "dev.tsv", "x\t1\t\tGood one.\nx\t0\t*\tBad one.\n")
  write(tmp_path / "test.tsv", "index\tsentence\n0\tA test.\n")
  processor = run_classifier.ColaProcessor()
  found = read(processor.get_dev_examples(str(tmp_path)))
  assert found == [
    ("dev-0", "Good one.", None, "1"),
    ("dev-1", "Bad one.", None, "0"),
  ]
  found = read(processor.get_test_examples(str(tmp_path)))
  assert found == [("test-1", "A test.", None, None)]


def test_mnli_reads_both_development_sets(tmp_path):
  columns = "\t".join(str(i) for i in range(8))
  for name, label in (("matched", "neutral"), ("mismatched", "entailment")):
    write(
      tmp_path / f"dev_{name}.tsv",
      f"{columns}\ta\tb\tlabel1\tgold\n{columns}\tP\tH\tx\t{label}\n",
    )
  processor = run_classifier.MnliProcessor()
  assert processor.get_labels() == ["contradiction", "entailment", "neutral"]
  found = read(processor.get_dev_examples(str(tmp_path)))
  assert found == [("dev-1", "P", "H", "neutral")]
  found = read(processor.get_dev_examples(str(tmp_path), "_mm"))
  assert found == [("dev-1", "P", "H", "entailment")]


def test_xnli_keeps_one_language_and_renames_a_label(tmp_path):
  write(
    tmp_path / "multinli/multinli.train.zh.tsv",
    "premise\thypo\tlabel\nP\tH\tcontradictory\n",
  )
  columns = "\t".join("2345")
  write(
    tmp_path / "xnli.dev.tsv",
    f"language\tgold_label\t{columns}\ts1\ts2\n"
    f"en\tneutral\t{columns}\tE1\tE2\nzh\tneutral\t{columns}\tZ1\tZ2\n",
  )
  processor = run_classifier.XnliProcessor()
  found = read(processor.get_train_examples(str(tmp_path)))
  assert found == [("train-1", "P", "H", "contradiction")]
  found = read(processor.get_dev_examples(str(tmp_path)))
  assert found == [("dev-2", "Z1", "Z2", "neutral")]


def test_the_language_of_xnli_can_be_changed(tmp_path):
  processor = run_classifier.XnliProcessor()
  assert processor.language == "zh"
  processor.language = "de"
  columns = "\t".join("2345")
  write(
    tmp_path / "xnli.dev.tsv",
    f"language\tgold_label\t{columns}\ts1\ts2\n"
    f"zh\tneutral\t{columns}\tZ1\tZ2\nde\tneutral\t{columns}\tD1\tD2\n",
  )
  found = read(processor.get_dev_examples(str(tmp_path)))
  assert found == [("dev-2", "D1", "D2", "neutral")]


def test_rows_become_examples_by_the_columns_of_their_set():
  create = run_classifier.ColaProcessor()._create_examples
  lines = [["x", "1", "", "Good one."], ["x", "0", "*", "Bad one."]]
  assert read(create(lines, "train")) == [
    ("train-0", "Good one.", None, "1"),
    ("train-1", "Bad one.", None, "0"),
  ]
  lines = [["index", "sentence"], ["0", "A test."]]
  assert read(create(lines, "test")) == [("test-1", "A test.", None, None)]
  lines = [["quality", "1", "2", "a", "b"], ["1", "10", "11", "A", "B"]]
  found = run_classifier.MrpcProcessor()._create_examples(lines, "dev_2")
  assert read(found) == [("dev_2-1", "A", "B", "1")]
  lines[1][0] = "2"
  with pytest.raises(ValueError, match="dev-1: label '2' is not one of 0, 1"):
    run_classifier.MrpcProcessor()._create_examples(lines, "dev")


def test_a_subclass_may_have_more_labels():
  class Three(run_classifier.MrpcProcessor):
    def get_labels(self):
      return ["0", "1", "2"]

  lines = [["header"], ["2", "", "", "A", "B"]]
  found = Three()._create_examples(lines, "train")
  assert read(found) == [("train-1", "A", "B", "2")]


def test_rows_are_lists_that_name_their_line_in_errors(tmp_path):
  path = write(tmp_path / "a.tsv", 'a\t"b\n\nc\td\n')
  rows = run_classifier.DataProcessor._read_tsv(path)
  assert rows == [["a", '"b'], ["c", "d"]]
  assert all(isinstance(row, list) for row in rows)
  with pytest.raises(ValueError, match="there is no data file .*b.tsv"):
    run_classifier.DataProcessor._read_tsv(str(tmp_path / "b.tsv"))
  with pytest.raises(ValueError, match="a.tsv:3: no column 4"):
    run_classifier.MrpcProcessor()._create_examples(rows, "train")


def test_a_method_that_a_processor_lacks_is_named():
  class Mine(run_classifier.DataProcessor):
    def get_labels(self):
      return ["no", "yes"]

  assert Mine().get_labels() == ["no", "yes"]
  for name in ("get_train_examples", "get_dev_examples", "get_test_examples"):
    with pytest.raises(NotImplementedError, match=f"Mine has no {name}"):
      getattr(Mine(), name)("")
  with pytest.raises(
    NotImplementedError, match="DataProcessor has no get_labels"
  ):
    run_classifier.DataProcessor().get_labels()


@pytest.mark.parametrize(
  ("task", "row", "expected"),
  [
    ("sst-2", "A film.\t1", ("A film.", None, "1")),
    ("qqp", "9\t1\t2\tQ1\tQ2\t0", ("Q1", "Q2", "0")),
    ("sts-b", "0\tg\tf\ty\to\ts\ts\tS1\tS2\t3.5", ("S1", "S2", 3.5)),
    ("qnli", "0\tQ\tS\tnot_entailment", ("Q", "S", "not_entailment")),
    ("rte", "0\tP\tH\tentailment", ("P", "H", "entailment")),
    ("wnli", "0\tP\tH\t1", ("P", "H", "1")),
  ],
)
def test_columns_of_the_other_glue_tasks(tmp_path, task, row, expected):
  header = "\t".join(f"c{i}" for i in range(row.count("\t") + 1))
  write(tmp_path / "dev.tsv", f"{header}\n{row}\n")
  processor = run_classifier.DatasetProcessor(run_classifier.GLUE_TASKS[task])
  found = read(processor.get_dev_examples(str(tmp_path)))
  assert found == [("dev-1", *expected)]


def test_broken_rows_of_qqp_are_left_out_and_counted(tmp_path, caplog):
  header = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
  rows = "1\t2\t3\tA?\tB?\t1\n4\t5\t6\tbroken\n7\t8\t9\tC?\tD?\t0\n"
  write(tmp_path / "dev.tsv", header + rows)
  processor = run_classifier.DatasetProcessor(run_classifier.GLUE_TASKS["qqp"])
  found = read(processor.get_dev_examples(str(tmp_path)))
  assert found == [("dev-1", "A?", "B?", "1"), ("dev-3", "C?", "D?", "0")]
  assert "left out 1 broken rows, the first is" in caplog.text
  assert "dev.tsv:3" in caplog.text


def custom(labels=(), label_type="single", **columns):
  columns = {"text_a": "text", "label": "label", **columns}
  return run_classifier.Dataset(
    columns=run_classifier.Columns(**columns),
    labels=labels,
    label_type=label_type,
  )


def read_custom(path, task):
  return run_classifier.DatasetProcessor(task).read(str(path), "dev")


def test_a_template_writes_columns_into_the_text(tmp_path):
  write(tmp_path / "a.tsv", "age\tprofile\tlabel\n41\tI {cook}.\tx\n")
  task = custom(template="I am {age}. {profile}")
  example = read_custom(tmp_path / "a.tsv", task)[0]
  assert example.text_a == "I am 41. I {cook}."


def test_several_labels_of_a_row(tmp_path):
  write(tmp_path / "a.tsv", "text\tlabel\nx\ta, c\ny\t\n")
  task = custom(labels=("a", "b", "c"), label_type="multi")
  examples = read_custom(tmp_path / "a.tsv", task)
  assert [example.label for example in examples] == [["a", "c"], []]
  write(tmp_path / "b.jsonl", '{"text": "x", "label": ["b"]}\n')
  assert read_custom(tmp_path / "b.jsonl", task)[0].label == ["b"]


@pytest.mark.parametrize(
  ("text", "task", "message"),
  [
    (
      "text\tlabel\nx\tz\n",
      custom(("a", "b")),
      r":2: label 'z' is not .* a, b",
    ),
    ("text\nx\n", custom(), r":2: no column 'label'"),
    ("text\tlabel\n", custom(), "holds no examples"),
    ("", custom(), "holds no examples"),
    (
      "text\tlabel\nx\thigh\n",
      custom(label_type="number"),
      r":2: column 'label' has to be a number",
    ),
    (
      "text\tlabel\tage\nx\ta\tnan\n",
      custom(features=["age"]),
      r":2: column 'age' has to be a number .* not 'nan'",
    ),
    (
      "text\tlabel\tage\nx\ta\t1e39\n",
      custom(features=["age"]),
      r":2: column 'age' has to be a number .* not '1e39'",
    ),
  ],
)
def test_rows_that_do_not_fit_are_named(tmp_path, text, task, message):
  write(tmp_path / "a.tsv", text)
  with pytest.raises(ValueError, match="a.tsv.*" + message):
    read_custom(tmp_path / "a.tsv", task)


@pytest.mark.parametrize(
  ("row", "message"),
  [
    ({"text": None}, "column 'text' has to be a text, not null"),
    ({"text": ["a"]}, r"column 'text' has to be a text, not \[\"a\"\]"),
    ({"text_b": {"a": 1}}, "column 'text_b' has to be a text, not {"),
    ({"label": True}, "column 'label' has to be a text, not true"),
    ({"label": ["a"]}, "column 'label' has to be a text"),
    ({"label": None}, "the label is empty"),
    ({"label": " "}, "the label is empty"),
    ({"label": "a\tb"}, r"the label 'a\\tb' holds a tab, a line end or"),
    ({"label": "a\nb"}, r"the label 'a\\nb' holds a tab"),
    ({"label": "\ud800"}, r"the label '\\ud800' .* half of a character"),
    ({"id": False}, "column 'id' has to be a text, not false"),
  ],
)
def test_json_of_another_kind_is_named(tmp_path, row, message):
  good = {"text": "x", "text_b": "y", "label": 1, "id": 7}
  task = custom(text_b="text_b", guid="id")
  lines = [json.dumps(good), json.dumps({**good, **row})]
  write(tmp_path / "a.jsonl", "\n".join(lines))
  with pytest.raises(ValueError, match="a.jsonl:2: " + message):
    read_custom(tmp_path / "a.jsonl", task)
  write(tmp_path / "b.jsonl", lines[0])
  assert read(read_custom(tmp_path / "b.jsonl", task)) == [("7", "x", "y", "1")]


def test_json_of_another_kind_in_a_list_of_labels_or_a_template(tmp_path):
  write(tmp_path / "a.jsonl", '{"text": "x", "label": ["a", null]}\n')
  task = custom(labels=("a", "b"), label_type="multi")
  with pytest.raises(ValueError, match="jsonl:1: .*each label .* not null"):
    read_custom(tmp_path / "a.jsonl", task)
  task = custom(template="I say {text} {label}.")
  with pytest.raises(ValueError, match="jsonl:1: column 'label' .* not \\["):
    read_custom(tmp_path / "a.jsonl", task)
  write(tmp_path / "b.jsonl", '{"text": "x", "label": true}\n')
  with pytest.raises(ValueError, match="jsonl:1: .* has to be a number"):
    read_custom(tmp_path / "b.jsonl", custom(label_type="number"))


def test_half_of_a_character_in_a_text_is_an_unknown_word(tmp_path):
  write(tmp_path / "a.jsonl", r'{"text": "the \ud800", "label": "a"}')
  (example,) = read_custom(tmp_path / "a.jsonl", custom())
  tokenizer = tokenization.FullTokenizer(str(helpers.GOLDEN / "vocab.txt"))
  features = run_classifier.convert_single_example(
    0, example, ["a", "b"], 8, tokenizer
  )
  tokens = tokenizer.convert_ids_to_tokens(features.input_ids[:4])
  assert tokens == ["[CLS]", "the", "[UNK]", "[SEP]"]


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("", "labels.txt has 0 labels; at least two are needed"),
    ("a\n\n", r"labels.txt has 1 label \(a\); at least two are needed"),
    (
      "a\nb\n a \n",
      "labels.txt:3: 'a' names a label more than once, as line 1",
    ),
    ("a\nb\tc\n", "labels.txt:2: 2 columns: give one label a line"),
  ],
)
def test_a_file_of_labels_has_one_a_line(tmp_path, text, message):
  with pytest.raises(ValueError, match=message):
    run_classifier.read_labels(write(tmp_path / "labels.txt", text))
  path = write(tmp_path / "labels.json", "b\n a, c\n")
  assert run_classifier.read_labels(path) == ["b", "a, c"]


def test_labels_of_the_training_data_are_sorted():
  def labels_of(*labels):
    examples = [run_classifier.InputExample("", "", label=x) for x in labels]
    return run_classifier.labels_of(examples)

  assert labels_of("b", "a", "b") == ["a", "b"]
  assert labels_of("10", "9") == ["9", "10"]
  assert labels_of(["x"], ["y", "z"], []) == ["x", "y", "z"]
  with pytest.raises(ValueError, match="at least two are needed"):
    labels_of("a", "a")


# --------------------------------------------------------------- features


def test_features_equal_the_originals():
  tokenizer = tokenization.FullTokenizer(str(helpers.GOLDEN / "vocab.txt"))
  cases = json.loads((helpers.GOLDEN / "classifier_features.json").read_text())
  assert cases
  for case in cases:
    example = run_classifier.InputExample(
      "", case["text_a"], case["text_b"], case["label"]
    )
    features = run_classifier.convert_single_example(
      0, example, ["0", "1"], case["max_seq_length"], tokenizer
    )
    for name in ("input_ids", "input_mask", "segment_ids", "label_id"):
      assert getattr(features, name) == case[name], case["text_a"]
    assert features.is_real_example


@pytest.mark.parametrize(
  ("label", "label_type", "message"),
  [
    ("maybe", "single", "label 'maybe' is not one of the known labels"),
    (["yes", "maybe"], "multi", r"label 'maybe' .* known labels \(no, yes\)"),
    ("high", "number", "the label has to be a number"),
  ],
)
def test_an_unknown_label_is_named_with_its_example(label, label_type, message):
  tokenizer = tokenization.FullTokenizer(str(helpers.GOLDEN / "vocab.txt"))
  example = run_classifier.InputExample("train-7", "the", label=label)
  with pytest.raises(ValueError, match=f"example train-7: {message}"):
    run_classifier.convert_single_example(
      0, example, ["no", "yes"], 8, tokenizer, label_type
    )


def test_a_pair_loses_the_last_piece_of_the_longer_text_in_place():
  a, b = list("abcde"), list("vwxyz")
  run_classifier._truncate_seq_pair(a, b, 7)  # b loses first on a tie
  assert (a, b) == (list("abcd"), list("vwx"))
  run_classifier._truncate_seq_pair(a, b, 7)
  assert (a, b) == (list("abcd"), list("vwx"))
  a = list("abcdefgh")
  run_classifier._truncate_seq_pair(a, b, 5)
  assert (a, b) == (list("abc"), list("vw"))


def test_a_padding_example_is_all_zeros():
  features = run_classifier.convert_single_example(
    0, run_classifier.PaddingInputExample(), ["0", "1"], 4, None
  )
  assert features.input_mask == [0, 0, 0, 0]
  assert features.label_id == 0
  assert not features.is_real_example


# ------------------------------------------------------------------ model


def classify(label_type, num_labels, labels, features=None):
  """(loss, per_example_loss, logits, probabilities) of a tiny model."""
  outputs = run_classifier.create_model(
    modeling.BertConfig(**CONFIG),
    is_training=False,
    input_ids=tf.constant([[1, 2, 3], [4, 5, 0]]),
    input_mask=tf.constant([[1, 1, 1], [1, 1, 0]]),
    segment_ids=tf.zeros([2, 3], tf.int32),
    labels=tf.constant(labels),
    num_labels=num_labels,
    use_one_hot_embeddings=False,
    label_type=label_type,
    features=features,
  )
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    return session.run(outputs)


def test_single_labels_have_a_softmax():
  loss, per_example, logits, probabilities = classify("single", 3, [0, 2])
  expected = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
  np.testing.assert_allclose(probabilities, expected, rtol=1e-5)
  np.testing.assert_allclose(
    per_example, [-np.log(expected[0, 0]), -np.log(expected[1, 2])], rtol=1e-5
  )
  np.testing.assert_allclose(loss, per_example.mean(), rtol=1e-6)


def test_several_labels_have_a_sigmoid_each():
  labels = [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
  _, _, logits, probabilities = classify("multi", 3, labels)
  np.testing.assert_allclose(
    probabilities, 1 / (1 + np.exp(-logits)), rtol=1e-5
  )


def test_a_number_is_predicted_as_it_is():
  _, per_example, logits, values = classify("number", 1, [1.5, -2.0])
  np.testing.assert_array_equal(values, logits)
  np.testing.assert_allclose(
    per_example, (logits[:, 0] - [1.5, -2.0]) ** 2, rtol=1e-5
  )


def test_numbers_beside_the_text_widen_the_classifier():
  classify("single", 2, [0, 1], tf.constant([[0.5, 1.0, -1.0]] * 2))
  shapes = {v.op.name: v.shape.as_list() for v in tf.trainable_variables()}
  assert shapes["output_weights"] == [2, 8 + 3]
  assert shapes["output_bias"] == [2]


@pytest.fixture(scope="module")
def pairs():
  """Examples of two labels, their labels, and a tokenizer."""
  examples = [
    run_classifier.InputExample(f"train-{i}", text, label=label)
    for i, (text, label) in enumerate([("the", "no"), ("a the", "yes")] * 3)
  ]
  vocab = str(helpers.GOLDEN / "vocab.txt")
  return examples, ["no", "yes"], 8, tokenization.FullTokenizer(vocab)


def next_batch(dataset):
  with tf.Session() as session:
    return session.run(tf.data.make_one_shot_iterator(dataset).get_next())


def test_features_in_memory_and_in_a_file_give_the_same_batches(
  pairs, tmp_path
):
  path = str(tmp_path / "train.tf_record")
  # A program may build its input function before it writes the file.
  from_file = run_classifier.file_based_input_fn_builder(path, 8, False, False)
  run_classifier.file_based_convert_examples_to_features(*pairs, path)
  features = run_classifier.convert_examples_to_features(*pairs)
  in_memory = run_classifier.input_fn_builder(features, 8, False, False)
  found = [next_batch(fn({"batch_size": 4})) for fn in (from_file, in_memory)]
  assert found[1]["label_ids"].tolist() == [0, 1, 0, 1]
  assert found[1]["is_real_example"].tolist() == [1] * 4
  for name, values in found[1].items():
    np.testing.assert_array_equal(found[0][name], values)
  whole = run_classifier.input_fn_builder(features, 8, True, True)
  batch = next_batch(whole({"batch_size": 5}))
  assert batch["input_ids"].shape == (5, 8)


def test_records_that_do_not_fit_are_refused_when_the_file_is_read(
  pairs, tmp_path
):
  path = str(tmp_path / "train.tf_record")
  run_classifier.file_based_convert_examples_to_features(*pairs, path)
  input_fn = run_classifier.file_based_input_fn_builder(path, 9, False, False)
  with pytest.raises(ValueError, match="8 values of 'input_ids', .* ask for 9"):
    input_fn({"batch_size": 4})


def test_a_program_with_a_processor_trains_evaluates_and_predicts(tmp_path):
  class Mine(run_classifier.DataProcessor):
    def get_train_examples(self, data_dir):
      return self._examples(f"{data_dir}/train.tsv", "train")

    def get_dev_examples(self, data_dir):
      return self._examples(f"{data_dir}/train.tsv", "dev")

    def get_test_examples(self, data_dir):
      return self._examples(f"{data_dir}/train.tsv", "test")

    def get_labels(self):
      return ["sad", "happy"]

    def _examples(self, path, set_type):
      return [
        run_classifier.InputExample(f"{set_type}-{i}", line[1], None, line[0])
        for i, line in enumerate(self._read_tsv(path))
      ]

  rows = [f"happy\t{word} day" for word in NICE]
  rows += [f"sad\t{word} week" for word in NASTY]
  write(tmp_path / "train.tsv", "\n".join(rows * 4))
  vocab = [*tokenization.SPECIAL_TOKENS, *WORDS]
  tokenizer = tokenization.FullTokenizer(
    write(tmp_path / "vocab.txt", "\n".join(vocab))
  )
  processor, path = Mine(), str(tmp_path / "train.tf_record")
  run_classifier.file_based_convert_examples_to_features(
    processor.get_train_examples(str(tmp_path)),
    *(processor.get_labels(), 8, tokenizer, path),
  )
  features = run_classifier.convert_examples_to_features(
    processor.get_test_examples(str(tmp_path)),
    *(processor.get_labels(), 8, tokenizer),
  )
  model_fn = run_classifier.model_fn_builder(
    *(modeling.BertConfig(**CONFIG), 2, None, 0.01, 40, 4, False, False)
  )
  estimator = tf.estimator.tpu.TPUEstimator(
    model_fn,
    config=tf.estimator.tpu.RunConfig(model_dir=str(tmp_path / "model")),
    use_tpu=False,
    train_batch_size=8,
    eval_batch_size=8,
    predict_batch_size=8,
  )
  estimator.train(
    run_classifier.file_based_input_fn_builder(path, 8, True, True),
    max_steps=40,
  )
  scores = estimator.evaluate(
    run_classifier.file_based_input_fn_builder(path, 8, False, False)
  )
  assert scores["eval_accuracy"] == 1.0
  found = estimator.predict(
    run_classifier.input_fn_builder(features, 8, False, False)
  )
  chosen = [int(np.argmax(row["probabilities"])) for row in found]
  assert chosen == [1, 1, 1, 0, 0, 0] * 4


def test_operations_have_the_names_that_freezing_recipes_know():
  model_fn = run_classifier.model_fn_builder(
    *(modeling.BertConfig(**CONFIG), 3, None, 0.0, None, None, False, False)
  )
  batch = {
    name: tf.ones([2, 4], tf.int32)
    for name in ("input_ids", "input_mask", "segment_ids")
  }
  batch["label_ids"] = tf.zeros([2], tf.int32)
  spec = model_fn(batch, None, tf.estimator.ModeKeys.PREDICT, {})
  graph = tf.get_default_graph()
  logits = graph.get_tensor_by_name("loss/BiasAdd:0")
  probabilities = graph.get_tensor_by_name("loss/Softmax:0")
  assert logits.shape.as_list() == probabilities.shape.as_list() == [2, 3]
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    given = session.run([probabilities, spec.predictions["probabilities"]])
  np.testing.assert_array_equal(*given)
  names = [variable.op.name for variable in tf.trainable_variables()]
  assert names[-2:] == ["output_weights", "output_bias"]


# ----------------------------------------------------------------- scores


def note(label_type="single", labels=("no", "yes"), thresholds=()):
  return run_classifier.ClassifierNote(
    *("classifier", label_type, labels, thresholds, [], [], [], True, 16)
  )


def test_a_temperature_divides_the_logits_of_windows_too():
  logits = np.log(np.array([[9.0, 1.0]], np.float32))
  plain = windows.predictions(note(), logits)
  assert plain["probabilities"][0] == pytest.approx([0.9, 0.1])
  halved = dataclasses.replace(note(), calibration_temperature=2.0)
  found = windows.predictions(halved, logits)
  assert found["probabilities"][0] == pytest.approx([0.75, 0.25])
  assert found["predicted"].tolist() == plain["predicted"].tolist() == [0]


def test_scores_of_classes():
  # Predicted 1, 0, 1 for 1, 0, 0: two of three right; F1 = 2/(2+1+0) of 1.
  arrays = {
    "predicted": np.array([1, 0, 1]),
    "label_ids": np.array([1, 0, 0]),
    "per_example_loss": np.array([0.1, 0.2, 0.9], np.float32),
  }
  scores, report = run_classifier.compute_scores(
    note(), ("accuracy", "f1"), arrays, batch_size=2
  )
  assert scores == pytest.approx(
    {
      "eval_accuracy": 2 / 3,
      "eval_f1": 2 / 3,
      "eval_loss": 0.4,
      "loss": (0.15 + 0.9) / 2,
    }
  )
  assert report["confusion_matrix"] == [[1, 1], [0, 1]]


def test_prediction_lines():
  def lines(note, predicted, probabilities):
    arrays = {"predicted": predicted, "probabilities": probabilities}
    guids = "abc"[: len(predicted)]
    return list(run_classifier.prediction_lines(note, guids, arrays))

  probabilities = np.array([[0.25, 0.75], [0.5, 0.125]])
  assert lines(note(), np.array([1, 0]), probabilities) == [
    "id\tlabel\tno\tyes",
    "a\tyes\t0.25\t0.75",
    "b\tno\t0.5\t0.125",
  ]
  several = np.array([[1, 1], [0, 0]])
  found = lines(note("multi"), several, probabilities)
  assert [line.split("\t")[1] for line in found] == ["label", "no,yes", ""]
  found = lines(note("number", labels=()), np.array([2.5]), None)
  assert found == ["id\tprediction", "a\t2.5"]


# ------------------------------------------------------------------- main


whole_run = pytest.mark.xdist_group("classifier")  # tests that use `trained`


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  """A learnable task, a vocabulary and a tiny configuration."""
  folder = tmp_path_factory.mktemp("data")
  tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
  write(folder / "vocab.txt", "\n".join(tokens) + "\n")
  write(folder / "bert_config.json", json.dumps(CONFIG))
  rng = np.random.RandomState(0)
  for name, count in (("train", 64), ("dev", 20), ("test", 10)):
    lines = ["id\ttext\tlabel\tsize" if name != "test" else "id\ttext\tsize"]
    for i in range(count):
      label = int(rng.randint(2))
      words = [WORDS[3 * label + rng.randint(3)]]
      words += list(rng.choice(WORDS[6:], rng.randint(1, 8)))
      cells = [f"{name}{i}", " ".join(words), "nice" if label == 0 else "nasty"]
      cells = cells if name != "test" else cells[:2]
      lines.append("\t".join([*cells, str(len(words))]))
    write(folder / f"{name}.tsv", "\n".join(lines) + "\n")
  return folder


def arguments(data_dir, output_dir, *flags):
  """The command line of a small run; a flag given again wins."""
  return [
    "--task_name=custom",
    f"--data_dir={data_dir}",
    f"--vocab_file={data_dir}/vocab.txt",
    f"--bert_config_file={data_dir}/bert_config.json",
    f"--output_dir={output_dir}",
    *("--max_seq_length=12", "--train_batch_size=8", "--learning_rate=1e-2"),
    *flags,
  ]


def run(data_dir, output_dir, *flags):
  return helpers.run(run_classifier, *arguments(data_dir, output_dir, *flags))


@pytest.fixture(scope="module")
def trained(data_dir, tmp_path_factory):
  """The folder of a run that trained, evaluated and predicted, and its log."""
  output_dir = tmp_path_factory.mktemp("run") / "out"
  temporary = output_dir.with_name("temporary")
  temporary.mkdir()
  done = helpers.run_process(
    "run_classifier.py",
    *arguments(data_dir, output_dir),
    *("--do_train", "--do_eval", "--do_predict", "--num_train_epochs=6"),
    *("--eval_steps=24", "--keep_best=accuracy", "--log_steps=10"),
    *("--feature_columns=size", "--id_column=id"),
    env={**os.environ, "TMPDIR": str(temporary)},
  )
  assert done.returncode == 0, done.stderr
  return output_dir, done.stderr


@pytest.fixture
def own(trained, tmp_path):
  """A copy of the trained folder that a test may change."""
  return shutil.copytree(trained[0], tmp_path / "own")


@whole_run
@pytest.mark.slow
def test_a_whole_run_from_training_to_predictions(data_dir, trained):
  output_dir, log = trained
  assert not os.listdir(output_dir.with_name("temporary"))
  assert re.search(r"devices: no GPU found, \d+ CPU cores", log)
  assert "new weights: " in log
  assert "training: steps 0 to 48, batch 8, 64 examples = 6.00 epochs" in log
  assert re.search(r"step 20/48, loss [\d.]+.*examples_per_second .* left", log)
  assert "step 24 evaluated: eval_accuracy" in log
  assert re.search(r"labels of the training data: nasty \d+ \(", log)
  total, _, parts = log.splitlines()[-1].partition(" seconds: ")
  seconds = {n: float(s) for n, s in map(str.split, parts.split(", "))}
  assert {"import", "graph", "evaluation", "prediction"} <= set(seconds)
  assert sum(seconds.values()) == pytest.approx(float(total), abs=0.6)

  results = (output_dir / "eval_results.txt").read_text().splitlines()
  scores = dict(line.split(" = ") for line in results)
  assert list(scores) == sorted(scores)
  assert {"eval_accuracy", "eval_loss", "global_step", "loss"} <= set(scores)
  assert float(scores["eval_accuracy"]) >= 0.9
  whole = json.loads((output_dir / "eval_results.json").read_text())
  assert whole["eval_accuracy"] == float(scores["eval_accuracy"])
  assert whole["report"]["labels"] == ["nasty", "nice"]
  best = json.loads((output_dir / "best" / "best.json").read_text())
  assert best["value"] == whole["eval_accuracy"]

  rows = (output_dir / "predictions.tsv").read_text().splitlines()
  assert rows[0].split("\t") == ["id", "label", "nasty", "nice"]
  assert [row.split("\t")[0] for row in rows[1:]] == [
    f"test{i}" for i in range(10)
  ]
  texts = (data_dir / "test.tsv").read_text().splitlines()
  right = [
    (row.split("\t")[1] == "nice")
    == bool(set(text.split("\t")[1].split()) & set(NICE))
    for row, text in zip(rows[1:], texts[1:])
  ]
  assert sum(right) >= 9
  plain = (output_dir / "test_results.tsv").read_text().splitlines()
  assert [row.split("\t") for row in plain] == [
    row.split("\t")[2:] for row in rows[1:]
  ]


@whole_run
def test_training_resumes(data_dir, own):
  done = run(
    *(data_dir, own, "--do_train", "--num_train_epochs=6.5"),
    "--feature_columns=size",
  )
  assert done.returncode == 0, done.stderr
  assert f"resuming {own} at step 48 of 52" in done.stderr


@whole_run
def test_padded_and_bucketed_runs_give_the_same_scores(data_dir, own):
  found = []
  for buckets in ("none", "6,9", "auto"):
    flags = "--do_eval", "--feature_columns=size"
    done = run(data_dir, own, *flags, f"--length_buckets={buckets}")
    assert done.returncode == 0, done.stderr
    results = json.loads((own / "eval_results.json").read_text())
    found.append([results["eval_loss"], results["loss"]])
  np.testing.assert_allclose(found[1], found[0], rtol=1e-5)
  np.testing.assert_allclose(found[2], found[0], rtol=1e-5)


def test_a_run_with_a_seed_repeats_to_the_bit(data_dir, tmp_path):
  losses = []
  for name, seed in (("a", 7), ("b", 7), ("c", 8)):
    done = run(
      data_dir,
      tmp_path / name,
      *("--do_train", "--num_train_epochs=1", "--log_steps=1"),
      *(f"--random_seed={seed}", f"--records_dir={tmp_path}/records"),
    )
    assert done.returncode == 0, done.stderr
    losses.append(re.findall(r"step \d+/8, loss ([\d.]+)", done.stderr))
  assert len(losses[0]) == 8
  assert losses[0] == losses[1] != losses[2]
  used = [tmp_path / name / "train.tf_record" for name in "abc"]
  assert used[0].samefile(used[1]) and used[0].samefile(used[2])
  first, second, third = (
    tf.train.load_checkpoint(str(tmp_path / name)) for name in "abc"
  )
  for name in first.get_variable_to_shape_map():
    values = first.get_tensor(name)
    np.testing.assert_array_equal(values, second.get_tensor(name), name)
  weights = "bert/pooler/dense/kernel"
  assert (first.get_tensor(weights) != third.get_tensor(weights)).any()


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    ((), "nothing to do: give at least one of --do_train"),
    (("--do_train", "true"), "stray words on the command line: true"),
    (("--do_train", "--task_name=mprc"), "--task_name=mprc is not known"),
    (("--do_train", "--data_dir=nowhere"), "no data file nowhere/train.tsv"),
    (("--do_train", "--max_seq_length=17"), "max_position_embeddings=16"),
    (("--do_train", "--vocab_file=none.txt"), "none.txt"),
    (("--do_train", "--bert_config_file=no.json"), "no.json"),
    (("--do_train", "--bert_config_file=gleu.json"), "gleu"),
    (("--do_train", "--init_checkpoint=no.ckpt"), "no checkpoint no.ckpt"),
    (("--do_train", "--train_batch_size=999"), "do not fill one step"),
    (("--do_train", "--label_column=mood"), "train.tsv:2: no column 'mood'"),
    (("--do_train", "--use_tpu"), "--use_tpu needs --tpu_name"),
    (
      ("--do_train", "--use_tpu", "--tpu_name=t"),
      "is a local path, which a TPU can't read",
    ),
    (("--do_train", "--length_buckets=9,4"), "--length_buckets=9,4"),
    (("--do_eval", "--labels_file=labels.txt"), "holds no trained model"),
    (("--do_train", "--patience=3"), "--patience needs --keep_best"),
    (("--do_train", "--keep_best=f1"), "--keep_best=eval_f1 is not a score"),
    (("--do_train", "--bert_config_file=."), "."),
    (
      ("--do_train", "--task_name=mrpc", "--label_type=multi"),
      "--label_type is for --task_name=custom, not for mrpc",
    ),
    (
      ("--do_train", "--label_type=multi", "--thresholds=0.1,0.2,0.3"),
      "--thresholds has 3 numbers for 2 labels (nasty, nice)",
    ),
    (
      ("--do_train", "--label_type=multi", "--thresholds=high"),
      "--thresholds=high: numbers are expected",
    ),
    (
      ("--do_train", "--label_type=multi", "--thresholds=nan"),
      "--thresholds=nan: numbers are expected, from 0 to 1",
    ),
    (
      ("--do_train", "--label_type=multi", "--thresholds=0.5,1.5"),
      "--thresholds=0.5,1.5: numbers are expected, from 0 to 1",
    ),
    (("--do_train", "--text_template=x"), "--text_template=x names no column"),
    (("--do_train", "--text_template={text"), "={text: a brace has no partner"),
    (("--do_train", "--text_template={}"), "={}: a brace has no partner or no"),
    (("--do_train", "--text_template={a}"), "train.tsv:2: no column 'a': this"),
    (("--do_train", "--labels_file=empty.txt"), "empty.txt has 0 labels"),
    (
      ("--do_train", "--data_dir=same", "--labels_file=labels.txt"),
      "the training data have 1 label (nice); at least two are needed",
    ),
    (
      ("--do_train", "--data_dir=wide"),
      "wide/train.tsv:3: this line has 3 columns, but line 1 has 2: a tab",
    ),
    (("--do_train", "--calibrate"), "--calibrate needs --do_eval"),
    (
      ("--do_train", "--do_eval", "--calibrate", "--label_type=number"),
      "--calibrate is for tasks with one label per text, not for --label_type=",
    ),
    (("--do_train", "--gradient_accumulation_steps=3"), "3 equal parts"),
    (("--do_train", "--precision=float16"), "float16 needs a GPU"),
    (("--do_train", "--no_such_flag"), "no_such_flag"),
    (("--do_train", "--label_type=several"), "label_type"),
  ],
)
def test_wrong_flags_get_one_clear_sentence(
  data_dir, tmp_path, monkeypatch, flags, message
):
  write(data_dir / "labels.txt", "nasty\nnice\n")
  write(data_dir / "empty.txt", "\n")
  write(data_dir / "same/train.tsv", "text\tlabel\n" + "good\tnice\n" * 9)
  write(
    data_dir / "wide/train.tsv", "text\tlabel\ngood\tnice\nbad\tor\tnasty\n"
  )
  write(data_dir / "gleu.json", json.dumps({**CONFIG, "hidden_act": "gleu"}))
  monkeypatch.chdir(data_dir)
  done = run(data_dir, tmp_path / "out", *flags)
  assert done.returncode == 1
  assert message in done.stderr
  assert "Traceback" not in done.stderr


@whole_run
def test_a_trained_model_refuses_other_labels_and_columns(data_dir, own):
  write(own / "labels.txt", "nice\nnasty\n")
  for flag, message in (
    (f"--labels_file={own}/labels.txt", "has labels ['nasty', 'nice']"),
    ("--feature_columns=text", "has feature_columns ['size']"),
    ("--label_type=number", "has --label_type=single, and not number"),
    ("--text_b_column=id", "has second_text False, and now it is True"),
    ("--do_lower_case=false", "has do_lower_case True, and now it is False"),
  ):
    flags = "--do_eval", "--nocheck_vocab_case", "--feature_columns=size"
    done = run(data_dir, own, *flags, flag)
    assert done.returncode == 1
    assert "error: the trained model " + message in done.stderr


@whole_run
def test_a_folder_from_before_second_text_goes_on_predicting(
  data_dir, own, tmp_path
):
  kept = json.loads((own / "task.json").read_text())
  assert kept.pop("second_text") is False
  write(own / "task.json", json.dumps(kept))
  rows = [
    {"text": "good \ud800", "size": 2, "id": "\ud800"},
    {"text": "bad week", "size": 2, "id": 7},
  ]
  write(tmp_path / "test.jsonl", "\n".join(map(json.dumps, rows)))
  flags = ("--do_predict", "--feature_columns=size", "--text_b_column=size")
  data = (f"--data_dir={tmp_path}", "--id_column=id")
  done = run(data_dir, own, *flags, *data)
  assert done.returncode == 0, done.stderr
  lines = (own / "predictions.tsv").read_text(encoding="utf-8").splitlines()
  assert [line.split("\t")[0] for line in lines] == ["id", "\\ud800", "7"]


@whole_run
@pytest.mark.slow
def test_a_temperature_is_fitted_kept_and_used(data_dir, own):
  flags = ("--feature_columns=size", "--id_column=id")
  note = json.loads((own / "task.json").read_text())
  assert note["calibration_temperature"] == 1.0
  row = '{"text": "good day one", "size": 3}'
  before = answer(own, row)
  done = run(data_dir, own, "--do_eval", "--calibrate", "--report", *flags)
  assert done.returncode == 0, done.stderr
  assert re.search(
    r"--calibrate: the temperature [\d.]+ changes the expected calibration"
    r" error from [\d.]+ to [\d.]+, on the texts",
    done.stderr,
  )
  assert "report" in done.stderr.splitlines()[-1]  # its seconds
  note = json.loads((own / "task.json").read_text())
  temperature = note["calibration_temperature"]
  assert 0.04 < temperature < 21 and temperature != 1.0
  # What was kept has the probabilities that prediction gives from now on.
  kept = (own / "eval_predictions.jsonl").read_text().splitlines()
  head, *rows = map(json.loads, kept)
  assert head["temperature"] == temperature and len(rows) == 20
  assert "after ECE" in (own / "report.html").read_text(encoding="utf-8")
  odds = np.log(list(before["probabilities"].values())) / temperature
  expected = np.exp(odds) / np.exp(odds).sum()
  after = answer(own, row)
  assert [*after["probabilities"].values()] == pytest.approx(expected, abs=1e-5)
  assert after["label"] == before["label"]
  # Evaluation keeps it, and its losses are of the logits as they are.
  scores = (own / "eval_results.txt").read_text()
  assert run(data_dir, own, "--do_eval", *flags).returncode == 0
  assert (own / "eval_results.txt").read_text() == scores
  assert not (own / "eval_predictions.jsonl").exists()  # of another evaluation
  # Training ends with other weights.
  done = run(data_dir, own, "--do_train", "--num_train_epochs=7", *flags)
  assert done.returncode == 0, done.stderr
  note = json.loads((own / "task.json").read_text())
  assert note["calibration_temperature"] == 1.0
  note["calibration_temperature"] = 0
  write(own / "task.json", json.dumps(note))
  done = run(data_dir, own, "--do_eval", *flags)
  assert "calibration_temperature 0 has to be over 0" in done.stderr


def answer(folder, row):
  done = helpers.run(predict, f"--model_dir={folder}", stdin=row + "\n")
  return json.loads(done.stdout)


@whole_run
def test_a_temperature_needs_a_model_to_be_kept_beside(data_dir, own, tmp_path):
  done = run(
    *(data_dir, tmp_path / "new", "--do_eval", "--calibrate"),
    *(f"--init_checkpoint={own}/model.ckpt-48", "--feature_columns=size"),
  )
  assert "new holds no checkpoint: give the --output_dir of" in done.stderr


@whole_run
def test_predictions_do_not_replace_the_data(data_dir, own):
  for name in ("vocab.txt", "bert_config.json"):
    shutil.copy(data_dir / name, own / name)
  text = (data_dir / "test.tsv").read_text()
  write(own / "predictions.tsv", text)
  (own / "test.tsv").symlink_to("predictions.tsv")
  done = run(own, own, "--do_predict", "--feature_columns=size")
  assert done.returncode == 1
  assert "predictions.tsv would replace --data_dir=" in done.stderr
  assert (own / "test.tsv").read_text() == text


@pytest.mark.slow
def test_several_labels_and_numbers_train_and_predict(data_dir, tmp_path):
  actions = ("--do_train", "--do_eval", "--do_predict", "--num_train_epochs=1")
  done = run(
    *(data_dir, tmp_path / "multi", *actions, "--label_type=multi"),
    "--thresholds=0.4",
  )
  assert done.returncode == 0, done.stderr
  kept = json.loads((tmp_path / "multi" / "task.json").read_text())
  assert kept["thresholds"] == [0.4, 0.4]
  lines = (tmp_path / "multi" / "predictions.tsv").read_text().splitlines()
  for line in lines[1:]:
    _, labels, *probabilities = line.split("\t")
    given = [name for name in ("nasty", "nice") if name in labels.split(",")]
    above = [float(p) >= np.float32(0.4) for p in probabilities]
    assert given == [n for n, a in zip(("nasty", "nice"), above) if a]

  done = run(
    *(data_dir, tmp_path / "number", *actions, "--label_type=number"),
    *("--label_column=size", "--eval_batch_size=3"),
  )
  assert done.returncode == 0, done.stderr
  scores = json.loads((tmp_path / "number" / "eval_results.json").read_text())
  assert {"eval_pearson", "eval_spearman", "eval_mse"} <= set(scores)
  assert scores["eval_mse"] == pytest.approx(scores["eval_loss"], rel=1e-5)
  header, *rows = (tmp_path / "number" / "predictions.tsv").open()
  assert header == "id\tprediction\n"
  assert len(rows) == 10
