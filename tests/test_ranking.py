# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The ranker's examples, training rows, records, layers and losses."""

import dataclasses

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import write

import modeling
from bert.tasks import ranking, ranking_data

SWAG = (
  ",video-id,fold-ind,startphrase,sent1,sent2,gold-source,"
  "ending0,ending1,ending2,ending3"
)


def read(path, set_type="train"):
  return [
    (e.guid, e.context, e.responses, e.labels)
    for e in ranking_data.read_examples(path, set_type)
  ]


def note(model="representation", loss="in_batch", **changed):
  made = ranking.RankerNote("ranker", model, "mean", True, 8, loss)
  return dataclasses.replace(made, **changed)


# --------------------------------------------------------------- examples


def test_pairs_of_one_context_are_gathered_true_ones_first(tmp_path):
  path = write(
    tmp_path / "train.csv",
    'label,context,response\n0,who?,"no, not"\n1,what?,it\n1,who?,me\n',
  )
  assert read(path) == [
    ("train-0", "who?", ["me", "no, not"], [1, 0]),
    ("train-1", "what?", ["it"], [1]),
  ]


def test_rows_and_triples_have_the_true_response_first(tmp_path):
  path = write(tmp_path / "test.csv", '\ufeffwho?,"me, you",him,her\r\n\r\n')
  labels = [1, 0, 0]
  assert read(path, "test") == [
    ("test-0", "who?", ["me, you", "him", "her"], labels)
  ]
  path = write(tmp_path / "train.tsv", 'a query\tthe "passage\tanother\n')
  assert read(path) == [
    ("train-0", "a query", ['the "passage', "another"], [1, 0])
  ]


def test_swag_is_read_as_four_endings(tmp_path):
  row = "0,v,1,She opens. He,She opens.,He,gold,runs.,sits.,eats.,is out."
  path = write(tmp_path / "train.csv", f"{SWAG},label\n{row},2\n")
  responses = ["He runs.", "He sits.", "He eats.", "He is out."]
  assert read(path) == [("train-0", "She opens.", responses, [0, 0, 1, 0])]
  path = write(tmp_path / "test.csv", f"{SWAG}\n{row}\n")
  assert read(path)[0][3] == []


@pytest.mark.parametrize(
  ("name", "text", "message"),
  [
    ("a.csv", "context,response,label\nq,r,2\n", ":2: label '2' is neither"),
    ("a.csv", "context,response,label\nq,r,1.0\n", ":2: label '1.0' is n"),
    ("a.csv", "context,response,label\nq,r,-1\n", ":2: label '-1' is neither"),
    ("a.csv", "context,response,label\nq,r,nan\n", ":2: label 'nan' is neithe"),
    ("a.csv", "context,response,label\nq,r,\n", ":2: label '' is neither"),
    ("a.csv", "context,response,label\nq,r\n", ":2: 2 columns, but the header"),
    ("a.csv", "context,response,label\nq,r,1,0\n", ":2: 4 columns, but the he"),
    ("a.tsv", "context\tresponse\tlabel\nq\tr\t1\t\n", ":2: 4 columns, but th"),
    ("a.csv", f"{SWAG}\n0,v,1,s,s,t,g,a,b,c,d,4\n", ":2: 12 columns, but the "),
    ("a.csv", "query,response,wrong\n", "holds no examples"),
    (
      "a.csv",
      "context,response,label,label\nq,r,1,0\n",
      ":2: the header has the column 'label' twice",
    ),
    ("a.csv", "context,response,label\nq, ,1\n", ":2: the response is empty"),
    ("a.csv", "context,response,label\n", "holds no examples"),
    ("a.csv", "q,r,\n", ":1: the response is empty"),
    ("a.csv", "q,r,s\n,r,s\n", ":2: the context is empty"),
    (
      "a.csv",
      "q\n",
      ":1: 1 column: a row needs a context",
    ),
    ("a.tsv", "q,r,s\n", ":1: 1 column: .*by tabs in others"),
    ("a.csv", "q,r,1\nq,s,t,0\nq,u,0", ":1: the third column .* 2 of 3 lines"),
    (
      "a.csv",
      "id,query,good\n1,q,a\n",
      ":1: the column query has to come",
    ),
    ("a.csv", f"{SWAG},label\n0,v,1,s,s,t,g,a,b,c,d,4\n", ":2: label '4'"),
    ("a.jsonl", '{"context": "q"}\n', "is not a .csv or .tsv file"),
    ("a.csv", "", "holds no examples"),
  ],
)
def test_rows_that_do_not_fit_are_named(tmp_path, name, text, message):
  path = write(tmp_path / name, text)
  with pytest.raises(ValueError, match=name + ".*" + message):
    ranking_data.read_examples(path, "train")


def test_pairs_with_a_score_are_read_by_the_names_of_columns(tmp_path):
  text = 'score,Text_A,text_b,id\n2.5,"a, b",c,7\n-1e1,d,e,8\n'
  pairs = ranking_data.read_pairs(write(tmp_path / "valid.csv", text), "valid")
  assert [dataclasses.astuple(pair) for pair in pairs] == [
    ("valid-0", "a, b", "c", 2.5, f"{tmp_path}/valid.csv:2"),
    ("valid-1", "d", "e", -10.0, f"{tmp_path}/valid.csv:3"),
  ]
  path = write(tmp_path / "test.tsv", "text_a\ttext_b\na\tb\n")
  assert ranking_data.read_pairs(path, "test")[0].score is None


@pytest.mark.parametrize(
  ("rows", "message"),
  [
    ("text_a,text_b\na,b\n", ":1: there is no column 'score': the losses cos"),
    ("a,b,1\n", ":1: there is no column 'text_a'.*this one has a, b, 1"),
    ("text_a,text_b,score\na,b,x\n", ":2: the score has to be .* not 'x'"),
    ("text_a,text_b,score\na,b,nan\n", ":2: the score has to be a number"),
    ("text_a,text_b,score\na,b,\n", ":2: the score has to be a number"),
    ("text_a,text_b,score\na,b\n", ":2: 2 columns, but the header has 3"),
    ("text_a,text_b,score\na, ,1\n", ":2: text_b is empty"),
    ("text_a,text_b,score\na,b,3\nc,d,3.0\n", ": all 2 scores are 3, so no"),
    ("text_a,text_b,score\n", " holds no pairs"),
    ("", ":1: there is no column 'text_a'.*this one has nothing"),
  ],
)
def test_pairs_that_do_not_fit_are_named(tmp_path, rows, message):
  path = write(tmp_path / "a.csv", rows)
  with pytest.raises(ValueError, match="a.csv" + message):
    ranking_data.read_pairs(path, "train")


def test_pairs_with_a_score_are_not_ranked(tmp_path):
  path = write(tmp_path / "a.csv", "text_a,text_b,score\na,b,1\n")
  with pytest.raises(ValueError, match="a.csv:1: the columns text_a, text_b, "):
    ranking_data.read_examples(path, "train")


def test_written_pairs_are_read_again(tmp_path):
  path = str(tmp_path / "a.csv")
  texts = ['say "yes", or', "two\nlines", "\u00e9"]
  made = ranking_data.InputExample("", "q, r", texts, [1, 1, 0], "")
  ranking_data.write_pairs(path, [made])
  assert read(path) == [("train-0", "q, r", texts, [1, 1, 0])]


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("q,r\n", ":1: 1 candidate: ranking needs a true response and at"),
    ("context,response,label\nq,r,0\nq,s,0\n", ":2: 0 of the 2 responses"),
    ("context,response,label\nq,r,1\nq,s,1\n", ":2: 2 of the 2 responses"),
  ],
)
def test_what_cannot_be_ranked_is_named(tmp_path, text, message):
  path = write(tmp_path / "a.csv", text)
  examples = ranking_data.read_examples(path, "valid")
  with pytest.raises(ValueError, match="a.csv" + message):
    ranking_data.check_rankable(examples)


def test_a_first_line_with_names_is_no_example(tmp_path, caplog):
  path = write(tmp_path / "a.csv", "Context,Utterance,Wrong_0\nq,a,b\n")
  assert read(path) == [("train-0", "q", ["a", "b"], [1, 0])]
  assert "a.csv:1 seems to name the columns and is left out" in caplog.text
  assert len(read(write(tmp_path / "b.csv", "5-4?,1,0\n5-4?,2,x\n")))


def test_a_response_that_is_true_and_wrong_is_told(tmp_path, caplog):
  read(write(tmp_path / "a.csv", "q,a,b\nr,a,b,a\n"))
  assert "a.csv:2: a response is both true and wrong" in caplog.text
  assert "1 contexts have one" in caplog.text


# --------------------------------------------------------------- features


def example(responses, labels):
  return ranking_data.InputExample("", "q", responses, labels, "a.csv:1")


def test_training_rows_of_each_loss(caplog):
  examples = [example(["a", "b", "c", "d"], [1, 1, 0, 0]), example(["e"], [1])]

  def rows(loss, **options):
    found = ranking_data.training_rows(examples, loss, **options)
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
    rows = ranking_data.training_rows(
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
    ranking_data.training_rows([example(["a", "b"], [])], "in_batch")
  with pytest.raises(ValueError, match="a.csv:1: no context has what"):
    ranking_data.training_rows([example(["a"], [1])], "candidates")
  with pytest.raises(ValueError, match="a.csv:1: all 2 responses are true"):
    ranking_data.training_rows([example(["a", "b"], [1, 1])], "cross_entropy")
  for loss in ("in_batch", "triplet"):
    with pytest.raises(
      ValueError, match="a.csv:1: there is one context and no"
    ):
      ranking_data.training_rows([example(["a", "b"], [1, 1])], loss)
    assert ranking_data.training_rows([example(["a", "b"], [1, 0])], loss)


def test_scores_become_the_cosines_to_learn():
  pairs = [
    ranking_data.GradedPair("", "a", "b", score, f"a.csv:{score}")
    for score in (1.0, 2.0, 5.0)
  ]

  def grades(score_range):
    rows = ranking_data.graded_rows(pairs, score_range)
    assert all((r.context, r.responses) == ("a", ["b"]) for r in rows)
    return [row.label for row in rows]

  assert ranking_data.score_range(pairs) == (1.0, 5.0)
  assert grades((1.0, 5.0)) == [0.0, 0.25, 1.0]
  assert grades((0.0, 5.0)) == [0.2, 0.4, 1.0]
  assert grades(None) == [1.0, 2.0, 5.0]
  with pytest.raises(ValueError, match="a.csv:5.0: the score 5 is not in --sc"):
    grades((0.0, 4.0))


class Tokenizer:
  """Splits at blanks, and knows the pieces a, b and c."""

  def tokenize(self, text):
    return text.split()

  def convert_tokens_to_ids(self, tokens):
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c"]
    return [vocab.index(token) for token in tokens]


def packer(kind, num_responses):
  """A packer of records with up to `num_responses` responses."""
  return ranking_data.Packer(Tokenizer(), ranking.Ranking(kind, num_responses))


def test_a_record_holds_the_context_and_its_responses():
  three = packer(note(), 3)
  record = three.pack_row(ranking_data.TrainingRow("a", ["b b", "c"]))
  ids = np.reshape(record["input_ids"], [4, 8])
  assert ids[:, :5].tolist() == [
    [2, 5, 3, 0, 0],
    [2, 6, 6, 3, 0],
    [2, 7, 3, 0, 0],
    [0, 0, 0, 0, 0],
  ]
  assert record["text_ids"] == [1, 2, 3, 0]
  again = three.pack_row(ranking_data.TrainingRow("c", ["a"]))
  assert again["text_ids"] == [3, 1, 0, 0]


def test_a_record_of_interaction_holds_pairs():
  row = ranking_data.TrainingRow("a", ["b", "c"])
  record = packer(note("interaction", "candidates"), 2).pack_row(row)
  ids = np.reshape(record["input_ids"], [2, 8])
  assert ids[:, :6].tolist() == [[2, 5, 3, 6, 3, 0], [2, 5, 3, 7, 3, 0]]
  segments = np.reshape(record["segment_ids"], [2, 8])
  assert segments[0].tolist() == [0, 0, 0, 1, 1, 0, 0, 0]
  pair = ranking_data.TrainingRow("a", ["c"], 0)
  record = packer(note("interaction", "cross_entropy"), 1).pack_row(pair)
  assert record["input_ids"] == [2, 5, 3, 7, 3, 0, 0, 0]
  assert record["label_ids"] == 0


def test_texts_of_the_same_pieces_have_one_number():
  row = ranking_data.TrainingRow("a", ["b  b", "b b", " a"])
  assert packer(note(), 3).pack_row(row)["text_ids"] == [1, 2, 2, 1]


@pytest.mark.parametrize(
  ("kind", "others"),
  [
    (note("interaction", "cross_entropy"), ["is_real_example", "label_ids"]),
    (note("interaction", "candidates"), ["text_ids"]),
    (note(), ["text_ids"]),
    (note(loss="cosent"), ["label_ids"]),
  ],
)
def test_a_records_layout_is_what_the_packer_makes(kind, others):
  responses = ["b"] if "label_ids" in others else ["b", "c"]
  task = ranking.Ranking(kind, len(responses))
  row = ranking_data.TrainingRow("a", responses)
  record = packer(kind, len(responses)).pack_row(row)
  schema = task.schema(is_training=True)
  assert {name: np.size(record[name]) for name in schema} == {
    name: np.prod(spec.shape, dtype=int) for name, spec in schema.items()
  }
  plain = task.schema(is_training=False)
  assert sorted(schema.keys() - plain.keys()) == others


# ----------------------------------------------------------------- layers


def evaluate(*tensors):
  """The tensors' values, once the variables have their first ones."""
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    return session.run(tensors)


class Encoder:
  """An encoder with these pooled vectors, without dropout."""

  def __init__(self, pooled):
    self._pooled = pooled

  def get_pooled_output(self):
    return self._pooled

  def dropout(self, vectors, prob):
    return vectors


def test_a_match_is_scored_by_the_odds_of_its_probability():
  task = ranking.Ranking(note("interaction", "cross_entropy"))
  with tf.variable_scope("", reuse=tf.AUTO_REUSE):
    tf.get_variable("output_weights", initializer=[[1.0, 0.0], [0.0, 2.0]])
    tensors = task.layers(Encoder(tf.constant([[3.0, 4.0]])), {})
  names = ("logits", "scores", "probabilities")
  logits, scores, probabilities = evaluate(*(tensors[n] for n in names))
  np.testing.assert_allclose(logits, [[3.0, 8.0]])
  np.testing.assert_allclose(scores, [5.0])
  np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-5)), rtol=1e-6)


def test_sentence_vectors_leave_padding_out_and_have_length_1():
  tokens = tf.constant([[[3.0, 0.0], [0.0, 4.0], [9.0, 9.0]]])
  mask = tf.constant([[1, 1, 0]])
  mean, cls = evaluate(
    ranking.sentence_vectors(tokens, mask, "mean"),
    ranking.sentence_vectors(tokens, mask, "cls"),
  )
  np.testing.assert_allclose(mean, [[0.6, 0.8]], rtol=1e-6)
  np.testing.assert_allclose(cls, [[1.0, 0.0]])


def test_sequences_that_are_ranked_together_are_encoded_each():
  config = modeling.BertConfig(12, 8, 1, 2, 16)
  ids = tf.constant([[[1, 2], [3, 4], [5, 6]]])
  inputs = {
    "input_ids": ids,
    "input_mask": tf.ones_like(ids),
    "segment_ids": tf.zeros_like(ids),
  }
  together = ranking.Ranking(note()).build(config, inputs)["vectors"]
  with tf.variable_scope(tf.get_variable_scope(), reuse=True):
    model = modeling.BertModel(config, False, ids[0], scope="bert")
  mean = tf.reduce_mean(model.get_sequence_output(), axis=1)
  found, expected = evaluate(together, tf.nn.l2_normalize(mean, axis=-1))
  np.testing.assert_allclose(found, expected, atol=1e-6)


# ----------------------------------------------------------------- losses


def test_the_first_candidate_is_to_win_against_those_there_are():
  scores = tf.constant([[np.log(3.0), 0.0, 9.0], [0.0, 0.0, 0.0]], tf.float32)
  is_candidate = tf.constant([[True, True, False], [True, True, True]])
  losses = evaluate(ranking.candidates_loss(scores, is_candidate))[0]
  np.testing.assert_allclose(losses, [-np.log(3 / 4), np.log(3)], rtol=1e-5)


# Rows: a context, its true response, a wrong one. Context 1 comes twice; text 4
# is one of its true ones, and wrong for another context; the last row lacks its
# wrong one.
TEXT_IDS = [[1, 2, 3], [1, 4, 5], [6, 7, 4], [8, 9, 0]]


def test_negatives_of_a_batch_are_what_is_not_known_to_be_true():
  found = evaluate(ranking.in_batch_negatives(tf.constant(TEXT_IDS)))[0]
  columns = np.array(TEXT_IDS)[:, 1:].ravel()
  sets = [set(columns[row]) for row in found]
  assert sets == [
    {3, 5, 7, 9},  # not 4, wherever it stands
    {3, 5, 7, 9},
    {2, 3, 4, 5, 9},
    {2, 3, 4, 5, 7},
  ]


def unit(*degrees):
  angles = np.radians(np.array(degrees, np.float32))
  return tf.constant(np.stack([np.cos(angles), np.sin(angles)], axis=-1))


def test_in_batch_softmax_is_over_all_responses_of_the_batch():
  # Two rows, each with a true response (0 and 90 degrees) and no wrong one.
  losses = ranking.in_batch_softmax_loss(
    unit(0, 90), unit([0], [90]), tf.constant([[1, 2], [3, 4]]), 0.5
  )
  expected = np.log(1 + np.exp((0 - 1) / 0.5))
  np.testing.assert_allclose(evaluate(losses)[0], [expected] * 2, rtol=1e-5)


def test_equal_responses_are_no_negatives():
  losses = ranking.in_batch_softmax_loss(
    unit(0, 90), unit([10], [10]), tf.constant([[1, 2], [3, 2]]), 0.5
  )
  np.testing.assert_allclose(evaluate(losses)[0], [0.0, 0.0], atol=1e-6)


@pytest.mark.parametrize(
  ("wrong", "chosen"),
  [
    ([40.0, 60.0, 10.0], 40.0),  # the nearest that is farther than 30 degrees
    ([10.0, 20.0, 5.0], 20.0),  # none is: the farthest of all
  ],
)
def test_triplets_take_the_semi_hard_negative(wrong, chosen):
  losses = ranking.semi_hard_triplet_loss(
    unit(0), unit([30.0, *wrong]), tf.constant([[1, 2, 3, 4, 5]]), 0.5
  )
  distance = [2 - 2 * np.cos(np.radians(d)) for d in (30.0, chosen)]
  expected = max(distance[0] - distance[1] + 0.5, 0.0)
  np.testing.assert_allclose(evaluate(losses)[0], [expected], rtol=1e-4)


def test_a_triplet_without_a_negative_costs_nothing():
  losses = ranking.semi_hard_triplet_loss(
    unit(0), unit([30.0, 50.0]), tf.constant([[1, 2, 0]]), 0.5
  )
  np.testing.assert_array_equal(evaluate(losses)[0], [0.0])


def test_cosent_wants_the_cosines_in_the_order_of_the_grades():
  # The couples of unlike grades: 0 below 1 and 2, and 3 below all others.
  cosines = tf.constant([0.5, 0.25, 0.75, 0.0])
  loss = ranking.cosent_loss(cosines, tf.constant([1.0, 4.0, 4.0, 0.0]), 0.5)
  found, slopes = evaluate(loss, tf.gradients(loss, cosines)[0])
  terms = np.exp(2 * np.array([0.25, -0.25, -0.5, -0.25, -0.75]))
  total = 1 + terms.sum()
  assert found == pytest.approx(np.log(total), rel=1e-5)
  higher, high, *to_last = terms
  expected = np.array(
    [
      higher + high - to_last[0],
      -higher - to_last[1],
      -high - to_last[2],
      sum(to_last),
    ]
  )
  np.testing.assert_allclose(slopes, 2 * expected / total, rtol=1e-5)


def test_cosent_of_equal_grades_is_nothing():
  loss = ranking.cosent_loss(tf.constant([0.9, -0.9]), tf.ones([2]), 0.05)
  assert evaluate(loss)[0] == 0.0


# Two pairs at 60 and 90 degrees, in the wrong order.
@pytest.mark.parametrize(
  ("kind", "expected"),
  [
    (note(loss="cosine"), [0.25**2, 1.0]),
    (note(loss="cosent", temperature=0.25), [np.log(1 + np.exp(2))] * 2),
  ],
)
def test_losses_of_pairs_with_a_score(kind, expected):
  tensors = {"vectors": unit(0, 60, 30, 120)}
  features = {"label_ids": tf.constant([0.25, 1.0])}
  task = ranking.Ranking(kind)
  losses, total = evaluate(
    task.losses(tensors, features), task.scored(tensors, features).loss_sums[0]
  )
  np.testing.assert_allclose(losses, expected, rtol=1e-5)
  assert total == pytest.approx(sum(expected), rel=1e-5)


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
      {"vectors": [0, 60, 0, 90, 90 + 60, 90 - 60]},
      -np.log(
        [  # against those that the other row has; in the first 0 is padding
          np.e / (np.e + np.exp(2 * np.cos(np.radians([150, 30]))).sum()),
          np.e / (2 * np.e + np.exp(2 * np.cos(np.radians(30)))),
        ]
      ),
    ),
    (
      note(loss="triplet", margin=1.0),
      {"vectors": [0, 60, 0, 90, 150, 10]},
      # Squared distances 2 - 2 cos. In the first row only 150 degrees is
      # farther than 60; in the second, of 80 and of 30 degrees, 80 is.
      [0.0, 1 - (2 - 2 * np.cos(np.radians(80))) + 1.0],
    ),
  ],
)
def test_the_loss_of_each_record_leaves_padding_out(kind, outputs, expected):
  tensors = {
    name: unit(*value)
    if name == "vectors"
    else tf.constant(np.asarray(value, np.float32))
    for name, value in outputs.items()
  }
  features = {
    "label_ids": tf.constant([1, 0]),
    "text_ids": tf.constant([[1, 2, 0], [3, 4, 5]]),
  }
  task = ranking.Ranking(kind)
  (losses,) = evaluate(task.losses(tensors, features))
  np.testing.assert_allclose(losses, expected, atol=1e-5)


def test_only_records_with_labels_have_a_loss():
  task = ranking.Ranking(note())
  tensors = {"vectors": unit(0, 0, 90, 90)}
  outputs = task.scored(tensors, {})
  assert not outputs.loss_sums
  assert list(outputs.predictions) == ["vectors"]
  labelled = {"text_ids": tf.constant([[1, 2], [3, 4]])}
  (total,) = task.scored(tensors, labelled).loss_sums
  (losses,) = evaluate(task.losses(tensors, labelled))
  assert evaluate(total)[0] == pytest.approx(losses.sum(), abs=1e-6)
