# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Programs as people wrote them around the original, on a tiny model.

Each of them calls `tf.disable_v2_behavior()` and no more, so `tf.get_variable`
makes reference variables unless the model asks for resource variables.
"""

import collections
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import GOLDEN, write
from tensorflow.core.protobuf import rewriter_config_pb2
from tensorflow.python.grappler import tf_optimizer
from tensorflow.python.training.saver import export_meta_graph

import modeling
import optimization
import run_classifier
import run_squad
import tokenization

LENGTH = 16
CHECKPOINT = str(GOLDEN / "tiny_checkpoint" / "model.ckpt")
VOCAB = "[PAD] [UNK] [CLS] [SEP] [MASK] good bad day a the one"
INPUTS = ("input_ids", "input_mask", "segment_ids")


@pytest.fixture(autouse=True)
def as_a_program_does():
  tf.disable_v2_behavior()
  tf.reset_default_graph()
  yield
  tf.enable_resource_variables()


@pytest.fixture
def config():
  return modeling.BertConfig.from_json_file(
    str(GOLDEN / "tiny_checkpoint" / "bert_config.json")
  )


@pytest.fixture
def tokenizer(tmp_path):
  vocab_file = write(tmp_path / "vocab.txt", VOCAB.replace(" ", "\n"))
  return tokenization.FullTokenizer(vocab_file, do_lower_case=True)


def encode(tokenizer, texts):
  """Three int32 matrices [B, LENGTH] of texts."""
  rows = [
    run_classifier.convert_single_example(
      9,
      run_classifier.InputExample("x", text, None, "0"),
      ["0"],
      LENGTH,
      tokenizer,
    )
    for text in texts
  ]
  return [np.int32([getattr(row, name) for row in rows]) for name in INPUTS]


def placeholders():
  return [tf.placeholder(tf.int32, [None, LENGTH], name) for name in INPUTS]


# --------------------------------------------------- 1: a loop of one's own


def test_a_session_loop_trains_variables_of_both_kinds(config, tokenizer):
  ids, mask, segments = placeholders()
  labels = tf.placeholder(tf.int32, [None])
  model = modeling.BertModel(config, False, ids, mask, segments)
  weights = tf.get_variable(
    "mine/weights",
    [config.hidden_size, 2],
    initializer=tf.truncated_normal_initializer(stddev=0.02, seed=1),
  )
  logits = tf.matmul(model.get_pooled_output(), weights)
  losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
    labels=labels, logits=logits
  )
  loss = tf.reduce_mean(losses)
  train_op = optimization.create_optimizer(loss, 2e-3, 20, 0, False)
  kinds = {v.op.type for v in tf.trainable_variables()}
  assert kinds == {"VariableV2", "VarHandleOp"}
  arrays = encode(tokenizer, ["good", "bad", "a good one", "the bad day"])
  feed = {**dict(zip((ids, mask, segments), arrays)), labels: [0, 1, 0, 1]}
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    before = session.run([loss, weights], feed)
    for _ in range(20):
      session.run(train_op, feed)
    after = session.run([loss, weights], feed)
    assert session.run(tf.train.get_global_step()) == 20
  assert after[0] < before[0] - 0.1
  assert np.abs(after[1] - before[1]).max() > 0.01


# ------------------------------------------ 2: a processor of one's own


class ReviewProcessor(run_classifier.DataProcessor):
  """Lines of an id, a text and a label."""

  def get_train_examples(self, data_dir):
    path = os.path.join(data_dir, "train.tsv")
    return self._create_examples(self._read_tsv(path), "train")

  def get_dev_examples(self, data_dir):
    path = os.path.join(data_dir, "dev.tsv")
    return self._create_examples(self._read_tsv(path), "dev")

  def get_test_examples(self, data_dir):
    path = os.path.join(data_dir, "test.tsv")
    return self._create_examples(self._read_tsv(path), "test")

  def get_labels(self):
    return ["bad", "good"]

  def _create_examples(self, lines, set_type):
    examples = []
    for i, line in enumerate(lines):
      text = tokenization.convert_to_unicode(line[1])
      label = tokenization.convert_to_unicode(line[2])
      examples.append(
        run_classifier.InputExample(
          guid=f"{set_type}-{i}", text_a=text, text_b=None, label=label
        )
      )
    return examples


@pytest.fixture
def data_dir(tmp_path):
  lines = [f"{i}\t{word} day\t{word}\n" for i, word in enumerate(WORDS)]
  for name in ("train", "dev", "test"):
    write(tmp_path / "data" / f"{name}.tsv", "".join(lines))
  return str(tmp_path / "data")


WORDS = ["good", "bad"] * 4


def make_estimator(config, folder, init_checkpoint=CHECKPOINT):
  model_fn = run_classifier.model_fn_builder(
    bert_config=config,
    num_labels=2,
    init_checkpoint=init_checkpoint,
    learning_rate=2e-3,
    num_train_steps=40,
    num_warmup_steps=1,
    use_tpu=False,
    use_one_hot_embeddings=False,
  )
  run_config = tf.estimator.tpu.RunConfig(
    model_dir=str(folder),
    save_checkpoints_steps=1000,
    tf_random_seed=1,
    tpu_config=tf.estimator.tpu.TPUConfig(iterations_per_loop=1000),
  )
  return tf.estimator.tpu.TPUEstimator(
    use_tpu=False,
    model_fn=model_fn,
    config=run_config,
    train_batch_size=4,
    eval_batch_size=4,
    predict_batch_size=4,
  )


def serving_input_fn():
  label_ids = tf.placeholder(tf.int32, [None], name="label_ids")
  features = {"label_ids": label_ids}
  for name in INPUTS:
    features[name] = tf.placeholder(tf.int32, [None, LENGTH], name=name)
  make = tf.estimator.export.build_raw_serving_input_receiver_fn
  return make(features)()


SERVE = """
import json, sys
import tensorflow as tf
served = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
rows = {n: tf.constant(value) for n, value in json.load(sys.stdin).items()}
print(json.dumps(served(**rows)["probabilities"].numpy().tolist()))
"""


def test_a_processor_of_ones_own_from_training_to_serving(
  config, tokenizer, data_dir, tmp_path
):
  processor = ReviewProcessor()
  estimator = make_estimator(config, tmp_path / "model")
  input_fns = {}
  for name in ("train", "dev", "test"):
    examples = getattr(processor, f"get_{name}_examples")(data_dir)
    records = str(tmp_path / f"{name}.tf_record")
    input_fns[name] = run_classifier.file_based_input_fn_builder(
      input_file=records,  # opened when it is called
      seq_length=LENGTH,
      is_training=name == "train",
      drop_remainder=name == "train",
    )
    run_classifier.file_based_convert_examples_to_features(
      examples, processor.get_labels(), LENGTH, tokenizer, records
    )
  estimator.train(input_fn=input_fns["train"], max_steps=40)
  result = estimator.evaluate(input_fn=input_fns["dev"], steps=None)
  assert set(result) >= {"eval_accuracy", "eval_loss", "loss", "global_step"}
  assert result["eval_accuracy"] == 1.0
  predictions = list(estimator.predict(input_fn=input_fns["test"]))
  assert len(predictions) == len(WORDS)
  probabilities = np.array([p["probabilities"] for p in predictions])
  assert list(probabilities.argmax(-1)) == [1, 0] * 4

  estimator._export_to_tpu = False
  folder = estimator.export_saved_model(
    str(tmp_path / "export"), serving_input_fn
  )
  arrays = encode(tokenizer, [f"{word} day" for word in WORDS])
  rows = {n: value.tolist() for n, value in zip(INPUTS, arrays)}
  rows["label_ids"] = [0] * len(WORDS)
  done = subprocess.run(
    [sys.executable, "-c", SERVE, folder.decode()],
    input=json.dumps(rows),
    capture_output=True,
    text=True,
    cwd=tmp_path,  # without this project's modules
  )
  assert done.returncode == 0, done.stderr
  np.testing.assert_allclose(json.loads(done.stdout), probabilities, atol=1e-5)


# ------------------------------------------------------ 3: all in memory


def test_features_stay_in_memory(config, tokenizer, data_dir, tmp_path):
  processor = ReviewProcessor()
  examples = processor.get_train_examples(data_dir)
  features = run_classifier.convert_examples_to_features(
    examples, processor.get_labels(), LENGTH, tokenizer
  )
  one = run_classifier.convert_single_example(
    0, examples[0], processor.get_labels(), LENGTH, tokenizer
  )
  assert one.input_ids == features[0].input_ids
  assert [f.label_id for f in features] == [1, 0] * 4
  estimator = make_estimator(config, tmp_path / "model")
  train = run_classifier.input_fn_builder(features, LENGTH, True, True)
  test = run_classifier.input_fn_builder(features, LENGTH, False, False)
  estimator.train(input_fn=train, max_steps=40)
  found = [p["probabilities"].argmax() for p in estimator.predict(test)]
  assert found == [1, 0] * 4


# ------------------------------------------------- 4: a service of vectors


def optimised(graph_def, inputs, output):
  """A graph after TensorFlow's optimisations for inference."""
  with tf.Graph().as_default() as graph:
    tf.import_graph_def(graph_def, name="")
    for name in (*inputs, output):
      tensor = graph.get_tensor_by_name(name)
      graph.add_to_collection(tf.GraphKeys.TRAIN_OP, tensor.op)
    meta_graph = export_meta_graph(graph=graph, graph_def=graph.as_graph_def())
  session_config = tf.ConfigProto()
  rewriter = session_config.graph_options.rewrite_options
  rewriter.min_graph_nodes = -1
  rewriter.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
  return tf_optimizer.OptimizeGraph(session_config, meta_graph)


def test_a_service_freezes_the_graph_of_its_vectors(config, tokenizer):
  ids, mask, segments = placeholders()
  model = modeling.BertModel(config, False, ids, mask, segments)
  variables = tf.trainable_variables()
  assignment, _ = modeling.get_assignment_map_from_checkpoint(
    variables, CHECKPOINT
  )
  tf.train.init_from_checkpoint(CHECKPOINT, assignment)
  layer = model.all_encoder_layers[-2]
  weights = tf.expand_dims(tf.cast(mask, tf.float32), -1)
  pooled = tf.div(
    tf.reduce_sum(layer * weights, axis=1), tf.reduce_sum(weights, axis=1)
  )
  pooled = tf.identity(pooled, "vectors")
  feed = dict(
    zip((ids, mask, segments), encode(tokenizer, ["a good day", "bad"]))
  )
  graph_def = tf.get_default_graph().as_graph_def()
  assert not graph_def.library.function
  assert not [n.name for n in graph_def.node if "_gradient_op_type" in n.attr]
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    expected = session.run(pooled, feed)
    frozen = tf.graph_util.convert_variables_to_constants(
      session, graph_def, ["vectors"]
    )
  frozen = optimised(frozen, [x.name for x in feed], "vectors:0")
  assert not {"VarHandleOp", "VariableV2"} & {node.op for node in frozen.node}
  with tf.Graph().as_default(), tf.Session() as session:
    tf.import_graph_def(frozen, name="")
    served = session.run("vectors:0", {x.name: v for x, v in feed.items()})
  np.testing.assert_allclose(served, expected, rtol=1e-4, atol=1e-5)


def test_the_classifiers_ops_have_the_names_that_recipes_freeze(config):
  run_classifier.create_model(
    config, False, *placeholders(), tf.placeholder(tf.int32, [None]), 3, False
  )
  graph = tf.get_default_graph()
  assert graph.get_tensor_by_name("loss/BiasAdd:0").shape.as_list() == [None, 3]
  assert graph.get_operation_by_name("loss/Softmax").type == "Softmax"
  assert graph.get_operation_by_name("bert/pooler/dense/Tanh").type == "Tanh"


# ------------------------------------------------ 5: a tagger of one's own


def test_a_tagger_of_ones_own_starts_from_a_checkpoint(config, tokenizer):
  ids, mask, segments = placeholders()
  tags = tf.placeholder(tf.int32, [None, LENGTH])
  model = modeling.BertModel(
    config=config,
    is_training=True,
    input_ids=ids,
    input_mask=mask,
    token_type_ids=segments,
    use_one_hot_embeddings=False,
  )
  sequence = tf.nn.dropout(model.get_sequence_output(), keep_prob=0.9)
  logits = tf.layers.dense(sequence, 3, name="tags")
  losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
    labels=tags, logits=logits
  )
  real = tf.cast(mask, tf.float32)
  loss = tf.reduce_sum(losses * real) / tf.reduce_sum(real)
  variables = tf.trainable_variables()
  assignment, initialized = modeling.get_assignment_map_from_checkpoint(
    variables, CHECKPOINT
  )
  assert "bert/encoder/layer_0/output/dense/kernel:0" in initialized
  assert "tags/kernel:0" not in initialized
  tf.train.init_from_checkpoint(CHECKPOINT, assignment)
  train_op = optimization.create_optimizer(loss, 2e-3, 100, 10, False)
  arrays = encode(tokenizer, ["a good day", "the bad one"])
  feed = dict(zip((ids, mask, segments), arrays))
  feed[tags] = arrays[0] % 3
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    stored = tf.train.load_checkpoint(CHECKPOINT)
    name = "bert/embeddings/word_embeddings"
    np.testing.assert_array_equal(
      session.run(model.get_embedding_table()), stored.get_tensor(name)
    )
    first = session.run(loss, feed)
    for _ in range(100):
      session.run(train_op, feed)
    assert session.run(loss, feed) < first / 2


# ---------------------------------------------- 6: vectors of one's own


def test_a_transformer_on_ones_own_vectors_trains(config):
  rng = np.random.RandomState(0)
  frames = tf.constant(rng.standard_normal([4, 6, 8]).astype(np.float32))
  lengths = tf.sequence_mask([6, 5, 3, 6], 6)
  mask = modeling.create_attention_mask_from_input_mask(frames, lengths)
  with tf.variable_scope("frames"):
    layers = modeling.transformer_model(
      input_tensor=frames,
      attention_mask=mask,
      hidden_size=8,
      num_hidden_layers=2,
      num_attention_heads=2,
      intermediate_size=16,
      intermediate_act_fn=modeling.get_activation("gelu"),
      do_return_all_layers=True,
    )
  loss = tf.reduce_mean(tf.square(layers[-1][:, 0] - 1.0))
  train_op = optimization.create_optimizer(loss, 1e-2, 30, 0, False)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    first = session.run(loss)
    for _ in range(30):
      session.run(train_op)
    assert session.run(loss) < 0.8 * first


# ------------------------------- 7: a checkpoint given when predicting


def test_predict_reads_the_checkpoint_it_is_given(
  config, tokenizer, data_dir, tmp_path
):
  processor = ReviewProcessor()
  features = run_classifier.convert_examples_to_features(
    processor.get_test_examples(data_dir),
    processor.get_labels(),
    LENGTH,
    tokenizer,
  )
  train = run_classifier.input_fn_builder(features, LENGTH, True, True)
  test = run_classifier.input_fn_builder(features, LENGTH, False, False)
  trained = make_estimator(config, tmp_path / "model")
  trained.train(input_fn=train, max_steps=2)
  expected = [p["probabilities"] for p in trained.predict(test)]
  empty = make_estimator(config, tmp_path / "empty")
  found = [
    p["probabilities"]
    for p in empty.predict(
      test, checkpoint_path=str(tmp_path / "model" / "model.ckpt-2")
    )
  ]
  np.testing.assert_array_equal(found, expected)


# ------------------------------------------------------------- 8: SQuAD


def test_squad_from_its_functions(tokenizer, tmp_path):
  questions = str(GOLDEN / "squad2.json")
  examples = run_squad.read_squad_examples(
    input_file=questions, is_training=False, version_2_with_negative=True
  )
  writer = run_squad.FeatureWriter(
    filename=str(tmp_path / "eval.tf_record"), is_training=False
  )
  features = []

  def append_feature(feature):
    features.append(feature)
    writer.process_feature(feature)

  run_squad.convert_examples_to_features(
    examples=examples,
    tokenizer=tokenizer,
    max_seq_length=64,
    doc_stride=16,
    max_query_length=16,
    is_training=False,
    output_fn=append_feature,
  )
  writer.close()
  assert writer.num_features == len(features) > 0
  batch = run_squad.input_fn_builder(writer.filename, 64, False, False)
  rows = batch({"batch_size": 4})
  with tf.Session() as session:
    ids = session.run(tf.data.make_one_shot_iterator(rows).get_next())
  assert list(ids["unique_ids"]) == [f.unique_id for f in features[:4]]
  results = [
    run_squad.RawResult(
      unique_id=feature.unique_id,
      start_logits=[float(i == len(feature.tokens) - 2) for i in range(64)],
      end_logits=[float(i == len(feature.tokens) - 2) for i in range(64)],
    )
    for feature in features
  ]
  files = [str(tmp_path / f"{name}.json") for name in ("best", "nbest", "odds")]
  run_squad.write_predictions(
    *(examples, features, results, 20, 30, True, *files),
    version_2_with_negative=True,
    null_score_diff_threshold=-1.0,
  )
  best, nbest, odds = (
    json.loads(pathlib.Path(path).read_text()) for path in files
  )
  names = [example.qas_id for example in examples]
  assert [*best] == [*nbest] == [*odds] == names
  # The last piece of each context scores 2, and no answer 0: the odds are -2.
  windows = collections.Counter(f.example_index for f in features)
  single = [name for i, name in enumerate(names) if windows[i] == 1]
  assert single
  for name in single:
    assert odds[name] == -2.0
    assert best[name] == nbest[name][0]["text"] != ""
