# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The tagger's files, scores and predictions, and whole runs."""

import dataclasses
import json

import helpers
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import run_tagger
import tokenization
from bert.tasks import metrics, tagging
from bert.training import trained_model

FIRST, LAST, OTHERS = ["ann", "bob"], ["ray", "fox"], ["saw", "met", "and"]
TOKENS = [
  *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
  *FIRST,
  *LAST,
  *OTHERS,
  *(".", "##s", "##t", "x", "##x"),
]
CONFIG = {
  "vocab_size": len(TOKENS),
  "hidden_size": 8,
  "num_hidden_layers": 1,
  "num_attention_heads": 2,
  "intermediate_size": 16,
  "max_position_embeddings": 24,
  "type_vocab_size": 2,
  "hidden_dropout_prob": 0.0,
  "attention_probs_dropout_prob": 0.0,
  "initializer_range": 0.2,
}


def write(folder, name, text):
  return helpers.write(folder / name, text)


@pytest.fixture
def tokenizer(tmp_path):
  return tokenization.FullTokenizer(
    write(tmp_path, "vocab.txt", "\n".join(TOKENS) + "\n")
  )


def note(labels=("O", "B-PER", "I-PER"), scheme="bio"):
  return tagging.TaggerNote(
    *("tagger", labels, scheme),
    use_crf=False,
    birnn_cell=None,
    birnn_size=4,
    mix_layers=[],
    do_lower_case=True,
    max_seq_length=16,
  )


# --------------------------------------------------------------- examples


def test_conll_files_are_read_in_all_their_forms(tmp_path):
  path = write(
    tmp_path,
    "a.txt",
    "\ufeff-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\n"
    "rejects VBZ B-VP O\r\n\n\n"
    "-DOCSTART- O\n\nPeter NNP B-NP B-PER",
  )
  # A new document ends a sentence; its line does not set the separator.
  both = write(tmp_path, "b.txt", "-DOCSTART- O\na\tO\n-DOCSTART- O\nb\tO\n")
  assert [s.words for s in run_tagger.read_conll(both)] == [["a"], ["b"]]
  first, second = run_tagger.read_conll(path)
  assert (first.words, first.tags) == (["EU", "rejects"], ["B-ORG", "O"])
  assert (first.line, second.line) == (3, 9)
  assert (second.words, second.tags) == (["Peter"], ["B-PER"])


def test_a_word_between_tabs_can_hold_a_space_and_a_blank_line_a_tab(tmp_path):
  path = write(tmp_path, "a.txt", "New York\tB-LOC\n\t\n\u200b\tO\n\xa0\tO\n")
  first, second = run_tagger.read_conll(path)
  assert first.words == ["New York"]
  assert (second.words, second.tags) == (["\u200b", "\xa0"], ["O", "O"])
  lines = run_tagger.conll_lines([first, second], [["O"], ["O", "O"]])
  assert next(lines) == "New York\tB-LOC\tO"


def test_texts_read_as_a_conll_file_get_a_hint(tmp_path):
  path = write(tmp_path, "a.txt", "Ann Ray\nmet a friend\n")
  with pytest.raises(ValueError, match="for texts, give --predict_format=text"):
    run_tagger.read_conll(path, has_tags=False)


def test_tags_are_not_needed_to_predict(tmp_path):
  path = write(tmp_path, "a.txt", "ann\nsaw\n")
  assert run_tagger.read_conll(path, has_tags=False) == [
    tagging.Sentence(["ann", "saw"], None, 1)
  ]


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("ann B-PER\nsaw\n", r"a.txt:2: no tag: .* this one has 'saw'"),
    ("ann\tO\nsaw\t\n", "a.txt:2: the tag is empty"),
    ("ann\tO\n\tO\n", "a.txt:2: the word is empty"),
    ("ann\tO\nsaw\tB-\0A\n", r"a.txt:2: the tag 'B-\\x00A' has a control ch"),
    ("ann O\nsaw B-A\x85\n", r"a.txt:2: the tag 'B-A\\x85' has a control ch"),
    ("ann\rO\nsaw\rO\n", "a.txt:1: no tag"),
    ("ann O\nsaw O O\n", "a.txt:2: 3 fields, but line 1 has 2"),
    ("\nann N O\nsaw O\n", "a.txt:3: 2 fields, but line 2 has 3"),
    ("-DOCSTART- O\n\n", "a.txt holds no words"),
    ("", "a.txt holds no words"),
  ],
)
def test_bad_lines_are_named(tmp_path, text, message):
  with pytest.raises(ValueError, match=message):
    run_tagger.read_conll(write(tmp_path, "a.txt", text))


def test_texts_and_json_lines_become_words(tmp_path, tokenizer):
  path = write(tmp_path, "a.txt", "Ann met Bobs.\n\n\u200b\n")
  full, blank, invisible = run_tagger.read_texts(path, tokenizer)
  assert full.words == ["Ann", "met", "Bobs", "."]
  assert full.spans == [(0, 3), (4, 7), (8, 12), (12, 13)]
  assert blank.words == invisible.words == []
  path = write(
    tmp_path, "a.jsonl", '{"text": "bob"}\n{"tokens": ["a b", ""]}\n'
  )
  text, tokens = run_tagger.read_json_lines(path, tokenizer)
  assert (text.text, text.words, tokens.words) == ("bob", ["bob"], ["a b", ""])


@pytest.mark.parametrize(
  ("line", "message"),
  [
    ('{"tokens": "a"}', "'tokens' has to be a list of words, not 'a'"),
    ('{"words": ["a"]}', "no key 'text', only 'words'"),
    ('{"tokens": ["a", null]}', "'tokens' has to be a list of words"),
    ('{"tokens": [["a"]]}', "'tokens' has to be a list of words"),
    ('{"tokens": null}', "no key 'text', only 'tokens'"),
    ('{"text": null}', "'text' has to be a text, not null"),
    ('["a"]', "a JSON object is expected"),
    ("[" * 100_000, "not JSON: too many nested brackets"),
    ('{"text": 3}', "'text' has to be a text, not 3"),
    ('{"text": "a", "tokens": ["a"]}', "give 'text' or 'tokens', not both"),
  ],
)
def test_bad_json_lines_are_named(tmp_path, tokenizer, line, message):
  path = write(tmp_path, "b.txt", '{"text": "bob"}\n' + line)
  with pytest.raises(ValueError, match=f"b.txt:2: {message}"):
    run_tagger.read_json_lines(path, tokenizer)


def test_unknown_tags_are_reported_or_refused(tmp_path, caplog):
  sentences = [tagging.Sentence(["a", "b"], ["O", "I-PER"], 3)]
  sentences.append(tagging.Sentence(["c", "d"], ["B-LOC", "B-X"], 6))
  run_tagger.check_tags("f.txt", sentences, note(), refuse=False)
  assert (
    "f.txt:6: unknown tag 'B-LOC' (2 unknown tags in all); the model knows O,"
    " B-PER, I-PER. 2 words with unknown tags count as wrong"
  ) in caplog.text
  assert "f.txt: 1 entities begin with I- or E- instead of B-" in caplog.text
  with pytest.raises(ValueError, match="f.txt:6: unknown tag 'B-LOC'"):
    run_tagger.check_tags("f.txt", sentences, note(), refuse=True)


@pytest.mark.parametrize(
  ("tags", "scheme", "wrong"),
  [
    (["O", "B-PER", "X"], "io", "5: tag 'X'"),
    (["PER", "O", "I-PER"], "io", "3: tag 'PER'"),
    (["B-PER", "o", "x"], "io", "4: tag 'o'"),
    (["O", "E-PER", "B-"], "io", "5: tag 'B-'"),
    (["O", "PER", "LOC"], "io", None),  # bare types
    (["NN", "VB", "X"], "none", None),
    (["B-PER,B-LOC", "O", "I-LOC"], "bio", None),  # as in WNUT-17
  ],
)
def test_tags_have_letters_or_none_has_one(tags, scheme, wrong):
  assert metrics.tag_scheme(tags) == scheme
  sentences = [tagging.Sentence(["a"] * 3, tags, 3)]
  # With --tag_scheme=none, tags are only names.
  run_tagger.check_tags("f.txt", sentences, note(tags, "none"), refuse=True)
  if wrong:
    with pytest.raises(ValueError, match=f"^f.txt:{wrong} is neither O nor of"):
      run_tagger.check_tags("f.txt", sentences, note(tags, scheme), refuse=True)
  else:
    run_tagger.check_tags("f.txt", sentences, note(tags, scheme), refuse=True)


def test_predictions_with_spaces_in_tags_are_read_back(tmp_path):
  sentence = tagging.Sentence(["a", "b"], ["X Y", "O"], 1)
  lines = run_tagger.conll_lines([sentence], [["O", "X Y"]])
  path = write(tmp_path, "a.txt", "\n".join(lines) + "\n")
  assert run_tagger.read_conll(path) == [
    dataclasses.replace(sentence, tags=["O", "X Y"])
  ]


def test_tags_begin_with_o():
  sentence = tagging.Sentence(["a"] * 4, ["I-A", "O", "B-A", "O"])
  assert run_tagger.tags_of([sentence]) == ["O", "B-A", "I-A"]
  with pytest.raises(ValueError, match="only one tag, O"):
    run_tagger.tags_of([tagging.Sentence(["a"], ["O"])])


# ----------------------------------------------------------------- scores


def test_scores_of_tags_and_entities():
  sentences = [tagging.Sentence(["a"] * 3, ["B-PER", "I-PER", "O"])]
  scores, report = run_tagger.compute_scores(
    sentences, [["B-PER", "O", "I-PER"]], "bio"
  )
  # Two entities of type PER are predicted, and both are wrong.
  assert scores == pytest.approx(
    {
      "eval_f1": 0.0,
      "eval_precision": 0.0,
      "eval_recall": 0.0,
      "eval_token_accuracy": 1 / 3,
      "eval_token_precision": 1 / 2,
      "eval_token_recall": 1 / 2,
      "eval_token_f1": 1 / 2,
    }
  )
  assert {f"eval_{n}" for n in run_tagger.score_names("bio")} == {
    *scores,
    "eval_loss",
  }
  assert report["repaired"] == {"labels": 0, "predictions": 1}
  assert report["labels"] == ["B-PER", "I-PER", "O"]
  scores, _ = run_tagger.compute_scores(
    [tagging.Sentence(["a"] * 2, ["NN", "VB"])], [["NN", "NN"]], "none"
  )
  # F1 of NN is 2/3, that of VB 0.
  assert scores == pytest.approx(
    {"eval_token_accuracy": 1 / 2, "eval_token_macro_f1": 1 / 3}
  )


def test_predictions_in_columns_and_as_json():
  tagged = tagging.Sentence(["ann", "ray"], ["B-PER", "O"])
  lines = run_tagger.conll_lines([tagged], [["B-PER", "I-PER"]])
  assert list(lines) == ["ann B-PER B-PER", "ray O I-PER", ""]
  plain = tagging.Sentence(["ann"])
  assert list(run_tagger.conll_lines([plain], [["O"]])) == ["ann O", ""]
  text = tagging.Sentence(
    ["Ann", "Ray"], text="Ann  Ray", spans=[(0, 3), (5, 8)]
  )
  [line] = run_tagger.json_lines([text], [["B-PER", "I-PER"]], "bio")
  assert json.loads(line)["entities"] == [
    {
      **{"type": "PER", "first": 0, "last": 1},
      **{"start": 0, "end": 8, "text": "Ann  Ray"},
    }
  ]


# ------------------------------------------------------------------- main


def names(rng, count):
  """Sentences in which two names in a row are a person."""
  sentences = []
  for _ in range(count):
    rows = []
    for _ in range(rng.randint(1, 6)):
      rows += [(rng.choice(OTHERS), "O") for _ in range(rng.randint(4))]
      rows.append((rng.choice(FIRST) + "s", "B-PER"))
      rows.append((rng.choice(LAST), "I-PER"))
    rows.append((".", "O"))
    sentences.append("".join(f"{word}\t{tag}\n" for word, tag in rows))
  return "\n".join(sentences)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  """A learnable task, a vocabulary and a tiny configuration."""
  folder = tmp_path_factory.mktemp("data")
  rng = np.random.RandomState(0)
  write(folder, "train.txt", names(rng, 64))
  write(folder, "dev.txt", names(rng, 16))
  write(folder, "long.txt", names(rng, 12).replace("\n\n", "\n"))
  write(folder, "texts.jsonl", '{"text": "Anns Ray, met."}\n{"text": ""}\n')
  write(folder, "vocab.txt", "\n".join(TOKENS) + "\n")
  write(folder, "bert_config.json", json.dumps(CONFIG))
  two = {**CONFIG, "num_hidden_layers": 2}
  write(folder, "two_layers.json", json.dumps(two))
  return folder


def run(data_dir, output_dir, *flags):
  return helpers.run(
    run_tagger,
    *(f"--train_file={data_dir}/train.txt", f"--eval_file={data_dir}/dev.txt"),
    f"--vocab_file={data_dir}/vocab.txt",
    f"--bert_config_file={data_dir}/bert_config.json",
    *(f"--output_dir={output_dir}", "--max_seq_length=16"),
    *("--train_batch_size=8", "--learning_rate=1e-2", *flags),
  )


def read_scores(output_dir):
  lines = (output_dir / "eval_results.txt").read_text().splitlines()
  return {k: float(v) for k, v in (line.split(" = ") for line in lines)}


@pytest.fixture(scope="module")
def trained(data_dir, tmp_path_factory):
  """The folder of a run that trained, evaluated and predicted, and its log."""
  output_dir = tmp_path_factory.mktemp("run") / "out"
  done = run(
    *(data_dir, output_dir, "--do_train", "--do_eval", "--do_predict"),
    *("--num_train_epochs=6", "--eval_steps=48", "--keep_best=f1"),
    f"--predict_file={data_dir}/long.txt,{data_dir}/texts.jsonl",
    *("--use_crf", "--report"),
  )
  assert done.returncode == 0, done.stderr
  return output_dir, done.stderr


@pytest.mark.slow
def test_a_whole_run_from_training_to_predictions(data_dir, trained):
  output_dir, log = trained
  assert "tags of the training data (--tag_scheme=bio): O " in log
  assert "step 48 evaluated: eval_f1" in log
  scores = read_scores(output_dir)
  assert scores["eval_f1"] >= 0.95
  assert scores["eval_token_accuracy"] >= 0.95
  whole = json.loads((output_dir / "eval_results.json").read_text())
  assert whole["report"]["entities"]["PER"]["f1"] == whole["eval_f1"]

  # A sentence longer than a window: each word once, in order.
  rows = predicted_rows(output_dir)
  given = (data_dir / "long.txt").read_text().split("\n")
  assert [row[:2] for row in rows] == [r.split("\t") for r in given if r]
  assert np.mean([row[2] == row[1] for row in rows]) >= 0.95
  person, nothing = predicted_lines(output_dir)
  assert person["tokens"] == ["Anns", "Ray", ",", "met", "."]
  assert person["tags"] == ["B-PER", "I-PER", "O", "O", "O"]
  assert [entity["text"] for entity in person["entities"]] == ["Anns Ray"]
  assert nothing["tags"] == nothing["entities"] == []


@pytest.mark.slow
def test_a_report_keeps_the_sentences(data_dir, trained):
  output_dir, _ = trained
  lines = (output_dir / "eval_predictions.jsonl").read_text().splitlines()
  head, *rows = map(json.loads, lines)
  assert head["tag_scheme"] == "bio" and len(rows) == 16
  pairs = [pair for row in rows for pair in zip(row["tags"], row["predicted"])]
  accuracy = read_scores(output_dir)["eval_token_accuracy"]
  assert np.mean([true == found for true, found in pairs]) == accuracy
  first = (data_dir / "dev.txt").read_text().split("\n\n")[0].split("\n")
  assert rows[0]["id"] == "line 1"
  assert rows[0]["tokens"] == [line.split("\t")[0] for line in first]
  page = (output_dir / "report.html").read_text(encoding="utf-8")
  assert "Confusion of entities" in page and "learning rate" in page


def predicted_rows(output_dir):
  """(word, true tag, predicted tag) of each line of predictions_long.txt."""
  lines = (output_dir / "predictions_long.txt").read_text().splitlines()
  return [line.split(" ") for line in lines if line]


def predicted_lines(output_dir):
  lines = (output_dir / "predictions_texts.jsonl").read_text().splitlines()
  return [json.loads(line) for line in lines]


@pytest.mark.slow
def test_predictions_of_a_run_equal_those_of_its_folder(trained):
  output_dir, _ = trained
  predictor = trained_model.Predictor(trained_model.find_model(str(output_dir)))

  def answer(row):
    windows, kept = predictor.prepare(row)
    answer = predictor.answer(kept, predictor.run(windows))
    return json.loads(json.dumps(answer))

  for line in predicted_lines(output_dir):
    assert answer({"text": line.pop("text")}) == line
  rows = predicted_rows(output_dir)
  found = answer({"tokens": [row[0] for row in rows]})
  assert found["tags"] == [row[2] for row in rows]


@pytest.mark.slow
def test_files_are_evaluated_without_the_flags_of_the_head(
  data_dir, trained, tmp_path
):
  """task.json has them. Each of several files has its own scores."""
  folder, _ = trained
  done = run(
    *(data_dir, tmp_path / "out"),
    *(f"--init_checkpoint={folder}/best", "--do_eval"),
    f"--eval_file={data_dir}/dev.txt,{data_dir}/long.txt",
  )
  assert done.returncode == 0, done.stderr
  scores = read_scores(tmp_path / "out")
  assert {"eval_dev_f1", "eval_long_f1"} <= set(scores)
  assert scores["eval_dev_f1"] == read_scores(folder)["eval_f1"]


@pytest.mark.slow
def test_every_part_of_the_head_in_slices_and_bfloat16(data_dir, tmp_path):
  output_dir = tmp_path / "out"
  done = run(
    *(data_dir, output_dir, "--do_train", "--do_eval", "--num_train_epochs=4"),
    *("--use_crf", "--use_birnn", "--birnn_cell=gru", "--birnn_size=8"),
    f"--bert_config_file={data_dir}/two_layers.json",
    *("--mix_layers=-1,0", "--gradient_accumulation_steps=2"),
    *("--precision=bfloat16", "--head_learning_rate=3e-2"),
  )
  assert done.returncode == 0, done.stderr
  assert read_scores(output_dir)["eval_f1"] >= 0.9
  checkpoint = tf.train.latest_checkpoint(str(output_dir))
  shapes = dict(tf.train.list_variables(checkpoint))
  assert {
    name: shape
    for name, shape in shapes.items()
    if name.startswith("tagger") and "adam" not in name
  } == {
    "tagger/output_weights": [3, 16],
    "tagger/output_bias": [3],
    "tagger/crf/transitions": [3, 3],
    "tagger/birnn/kernel": [2, 8, 24],
    "tagger/birnn/recurrent_kernel": [2, 8, 24],
    "tagger/birnn/bias": [2, 24],
    "tagger/mix_layers/weights": [2],
    "tagger/mix_layers/scale": [],
  }
  kept = json.loads((output_dir / "task.json").read_text())
  assert (kept["task"], kept["mix_layers"]) == ("tagger", [-1, -2])


@pytest.mark.parametrize(
  ("given", "rate"),
  [
    ({}, 3e-3),
    ({"learning_rate": 1e-2}, 1e-2),
    ({"head_learning_rate": 1e-4}, 1e-4),
    ({"use_birnn": False}, None),
    ({"do_train": False, "do_eval": True}, None),
  ],
)
def test_a_recurrent_layer_learns_faster_unless_told_otherwise(
  tmp_path, given, rate
):
  options = run_tagger.Options(
    output_dir=str(tmp_path),
    train_file="train.txt",
    eval_file=("dev.txt",),
    **{"do_train": True, "use_birnn": True, **given},
  )
  assert run_tagger.check_options(options).head_learning_rate == rate


@pytest.mark.parametrize(
  ("paths", "suffixes"),
  [
    (["a/dev.txt"], [""]),
    (["a/dev.txt", "a/test.txt"], ["_dev", "_test"]),
    (["a/dev.txt", "b/dev.txt"], ["_a_dev", "_b_dev"]),
  ],
)
def test_results_of_several_files_have_their_names(paths, suffixes):
  assert run_tagger._suffixes(paths) == suffixes
  with pytest.raises(ValueError, match="give files with different names"):
    run_tagger._suffixes([*paths, paths[0]])


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    ((), "nothing to do"),
    (("--do_train", "--train_file="), "--do_train needs --train_file"),
    (("--do_train", "--mix_layers=-1,5"), "--mix_layers=-1,5: give different"),
    (("--do_train", "--birnn_cell=gru"), "--birnn_cell needs --use_birnn"),
    (("--do_train", "--train_batch_size=999"), "do not fill one step"),
    (("--do_train", "--train_file={data}/texts.jsonl"), "texts.jsonl:2: "),
    (("--do_eval",), "holds no trained model"),
    (("--do_train", "--use_crf=maybe"), "use_crf"),
  ],
)
def test_mistakes_are_reported_in_one_sentence(
  data_dir, tmp_path, flags, message
):
  flags = [flag.format(data=data_dir) for flag in flags]
  done = run(data_dir, tmp_path / "out", *flags)
  assert done.returncode == 1
  assert message in done.stderr
  assert "Traceback" not in done.stderr


def test_the_sample_data_are_whole():
  for name, count in (("train", 400), ("dev", 80), ("test", 40)):
    path = helpers.ROOT / "sample_data" / "ner" / f"{name}.txt"
    sentences = run_tagger.read_conll(str(path))
    assert len(sentences) == count
    tags = [sentence.tags for sentence in sentences]
    kinds = {kind for row in tags for kind, *_ in metrics.tagged_entities(row)}
    assert kinds == {"LOC", "ORG", "PER"}
    assert metrics.count_repaired(tags, "bio") == 0
