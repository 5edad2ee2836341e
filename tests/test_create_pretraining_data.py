# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Pre-training instances and records: the original's, and the streamed ones.

`tests/golden/pretraining_*.json` holds the original's instances of
`tests/golden/texts/corpus*.txt`.
"""

import dataclasses
import importlib.util
import json
import pathlib
import random
import re
import subprocess
import sys

import helpers
import pytest
import tensorflow.compat.v1 as tf

import create_pretraining_data
import tokenization
from bert.records import pretraining_instances, record_files
from bert.records.pretraining_instances import JoinedPiece

GOLDEN = helpers.GOLDEN
VOCAB = str(GOLDEN / "vocab.txt")
CORPUS = str(GOLDEN / "texts" / "corpus.txt")


@pytest.fixture(scope="module")
def tokenizer():
  return tokenization.FullTokenizer(VOCAB)


def encoder(*sizes):
  schema = create_pretraining_data.record_schema(*sizes)
  return record_files.record_encoder(schema)


def recipe_of(tokenizer, **changes):
  values = dict(
    reader=pretraining_instances.SentenceReader(tokenizer),
    encode=encoder(32, 5),
    max_seq_length=32,
    max_predictions_per_seq=5,
    dupe_factor=2,
    short_seq_prob=0.1,
    masked_lm_prob=0.15,
    do_whole_word_mask=False,
    truncate_prob=0.0,
    random_seed=7,
  )
  return pretraining_instances.Recipe(**{**values, **changes})


def parsed(path, length=32, predictions=5):
  """The records of a file as {name: list}."""
  schema = create_pretraining_data.record_schema(length, predictions)
  raw = tf.placeholder(tf.string, [])
  parse = tf.parse_single_example(raw, schema)
  with tf.Session() as session:
    return [
      {
        name: value.tolist()
        for name, value in session.run(parse, {raw: record}).items()
      }
      for record in tf.python_io.tf_record_iterator(str(path))
    ]


# ----------------------------------------------------- the original's stream


@pytest.mark.parametrize(
  "name", sorted(path.stem for path in GOLDEN.glob("pretraining_*.json"))
)
def test_instances_equal_the_originals(name, tokenizer):
  golden = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
  found = create_pretraining_data.create_training_instances(
    [str(GOLDEN / "texts" / file) for file in golden["input_files"]],
    tokenizer,
    golden["max_seq_length"],
    golden["dupe_factor"],
    golden["short_seq_prob"],
    golden["masked_lm_prob"],
    golden["max_predictions_per_seq"],
    random.Random(golden["random_seed"]),
    do_whole_word_mask=golden["do_whole_word_mask"],
  )
  assert len(found) == len(golden["instances"]) > 0
  assert [dataclasses.asdict(i) for i in found] == golden["instances"]


def test_instance_k_is_written_to_file_k_mod_their_number(tokenizer, tmp_path):
  instances = [
    create_pretraining_data.TrainingInstance(
      ["[CLS]", "the", "[SEP]", "[MASK]", "[SEP]"],
      [0, 0, 0, 1, 1],
      [3],
      [label],
      label == "a",
    )
    for label in ("a", "b", "c")
  ]
  files = [str(tmp_path / "0"), str(tmp_path / "1")]
  create_pretraining_data.write_instance_to_example_files(
    instances, tokenizer, 7, 2, files
  )
  ids = tokenizer.vocab
  first, third = parsed(files[0], 7, 2)
  (second,) = parsed(files[1], 7, 2)
  tokens = ["[CLS]", "the", "[SEP]", "[MASK]", "[SEP]", "[PAD]", "[PAD]"]
  assert first == {
    "input_ids": [ids[token] for token in tokens],
    "input_mask": [1, 1, 1, 1, 1, 0, 0],
    "segment_ids": [0, 0, 0, 1, 1, 0, 0],
    "masked_lm_positions": [3, 0],
    "masked_lm_ids": [ids["a"], 0],
    "masked_lm_weights": [1.0, 0.0],
    "next_sentence_labels": [1],
  }
  assert second["masked_lm_ids"] == [ids["b"], 0]
  assert third["masked_lm_ids"] == [ids["c"], 0]
  assert third["next_sentence_labels"] == [0]
  assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]


def test_no_shard_appears_where_the_disk_has_no_room_for_one(
  tokenizer, tmp_path, monkeypatch
):
  class Full(tf.io.TFRecordWriter):
    def __init__(self, path):
      super().__init__(path)
      self.is_full = "first" in path

    def close(self):
      super().close()
      if self.is_full:  # found out where the last bytes are written
        raise tf.errors.ResourceExhaustedError(None, None, "No space left")

  monkeypatch.setattr(tf.io, "TFRecordWriter", Full)
  (tmp_path / "second").write_bytes(b"old")
  files = [str(tmp_path / name) for name in ("first", "second")]
  recipe = recipe_of(tokenizer)
  for run in (
    lambda: create_pretraining_data.run_in_memory([CORPUS], recipe, files),
    lambda: create_pretraining_data.run_workers([CORPUS], recipe, files, 1),
  ):
    with pytest.raises(OSError, match="no room left on the disk.*first"):
      run()
    assert [path.name for path in tmp_path.iterdir()] == ["second"]
    assert (tmp_path / "second").read_bytes() == b"old"


def test_shuffling_draws_what_random_does():
  ours, theirs = random.Random(3), random.Random(3)
  for size in [*range(70), 127, 128, 129, 511, 512]:
    a, b = list(range(size)), list(range(size))
    pretraining_instances._shuffle(a, ours)
    theirs.shuffle(b)
    assert a == b
  assert ours.random() == theirs.random()


def test_a_line_of_any_length_is_cut_in_linear_time():
  rng = random.Random(5)
  a, b = list(range(40)), list(range(50))
  create_pretraining_data.truncate_seq_pair(a, b, 12, rng)
  # As one by one, by the same draws.
  drawn = random.Random(5)
  c, d = list(range(40)), list(range(50))
  while len(c) + len(d) > 12:
    longer = c if len(c) > len(d) else d
    del longer[0 if drawn.random() < 0.5 else -1]
  assert (a, b) == (c, d)
  assert rng.random() == drawn.random()
  # One by one this would take many minutes.
  a, b = [0] * 3_000_000, [1] * 3_000_000
  create_pretraining_data.truncate_seq_pair(a, b, 125, rng)
  assert sorted((len(a), len(b))) == [62, 63]


def test_a_pair_is_cut_at_both_ends_of_the_longer():
  class Rng:
    draws = iter([0.4, 0.6, 0.5, 0.1])

    def random(self):
      return next(self.draws)

  a, b = list("abcd"), list("vwxyz")
  create_pretraining_data.truncate_seq_pair(a, b, 5, Rng())
  # b at its front; then, at 4 to 4, b at its end; a at its end; b at its front
  assert (a, b) == (list("abc"), list("xy"))


# -------------------------------------------------------------------- masks


def masked_sets(tokens, rng, rounds=400, wanted=0.3):
  found = set()
  for _ in range(rounds):
    _, positions, labels = create_pretraining_data.create_masked_lm_predictions(
      tokens, wanted, 10, ["x"], rng, do_whole_word_mask=True
    )
    assert labels == [tokens[position] for position in positions]
    found.add(tuple(positions))
  return found


def test_pieces_of_a_word_are_masked_together_or_not_at_all():
  tokens = ["[CLS]", "a", "##b", "##c", "d", "[SEP]", "##e", "f", "[SEP]"]
  # round(9 * 0.3) = 3 at most; "##e" joins the word before it, d
  assert masked_sets(tokens, random.Random(1)) == {(1, 2, 3), (4, 6, 7)}


def test_the_characters_of_a_chinese_word_are_masked_together():
  joined = JoinedPiece
  tokens = ["[CLS]", "今", joined("天"), "天", joined("气"), "好", "[SEP]"]
  # round(7 * 0.3) = 2
  assert masked_sets(tokens, random.Random(1)) == {(1, 2), (3, 4), (5,)}


def test_of_chosen_tokens_80_percent_are_masked_10_replaced_10_kept():
  tokens = ["[CLS]", *["a"] * 98, "[SEP]"]
  rng, counts = random.Random(5), {"[MASK]": 0, "a": 0, "other": 0}
  for _ in range(400):
    output, positions, _ = create_pretraining_data.create_masked_lm_predictions(
      tokens, 0.2, 1000, ["other"], rng
    )
    assert len(positions) == 20
    assert positions == sorted(set(positions))
    assert (output[0], output[-1]) == ("[CLS]", "[SEP]")
    for position in positions:
      counts[output[position]] += 1
  assert counts["[MASK]"] / 8000 == pytest.approx(0.8, abs=0.02)
  assert counts["other"] / 8000 == pytest.approx(0.1, abs=0.015)


# ---------------------------------------------------------------- documents


def write(path, text):
  path.write_text(text, encoding="utf-8")
  return str(path)


def test_features_for_records_of_your_own():
  ints = create_pretraining_data.create_int_feature(range(3))
  floats = create_pretraining_data.create_float_feature([0.5, 2.0])
  assert list(ints.int64_list.value) == [0, 1, 2]
  assert list(floats.float_list.value) == [0.5, 2.0]
  example = tf.train.Example()
  example.features.feature["ids"].CopyFrom(ints)
  assert example.features.feature["ids"].int64_list.value[2] == 2


def test_a_masked_piece_has_its_place_and_its_label():
  masked = create_pretraining_data.MaskedLmInstance(index=3, label="##s")
  assert masked == (3, "##s")
  assert (masked.index, masked.label) == (3, "##s")


def test_blank_lines_divide_documents_and_ends_of_files_do_not(tmp_path):
  files = [
    write(tmp_path / "a", "\n one \r\ntwo\n\n \t\nthree"),
    write(tmp_path / "b", "four\n\n"),
  ]
  found = list(pretraining_instances.read_documents(files))
  assert found == [["one", "two"], ["three", "four"]]


def test_a_document_without_end_is_taken_as_several(tmp_path):
  path = write(tmp_path / "a", "aaaa\nbbbb\ncccc\ndd\n\nee\n")
  found = list(pretraining_instances.read_documents([path], max_chars=8))
  assert found == [["aaaa", "bbbb"], ["cccc", "dd"], ["ee"]]


@pytest.mark.parametrize("separator", ["/", " "])
def test_words_end_where_the_separator_stands(tokenizer, separator):
  reader = pretraining_instances.SentenceReader(tokenizer, separator)
  line = separator.join(["workshop", "ab.", "the"])
  (sentence,) = reader.read([line, separator])
  assert sentence == tokenizer.tokenize("workshop ab. the")
  starts = [
    p for p in sentence if p[:2] != "##" and not isinstance(p, JoinedPiece)
  ]
  assert starts == ["work", "a", "the"]
  assert [p for p in sentence if isinstance(p, JoinedPiece)] == ["."]


def test_paragraphs_are_split_into_sentences(tokenizer):
  pytest.importorskip("sentencex", reason="requirements-sentences.txt")
  reader = pretraining_instances.SentenceReader(tokenizer, language="en")
  found = reader.read(["Dr. Smith went home. She ran!", "The end."])
  expected = ["Dr. Smith went home.", "She ran!", "The end."]
  assert found == [tokenizer.tokenize(sentence) for sentence in expected]


def test_the_share_of_sentences_that_are_cut():
  document = [list("abcdefgh")] * 2000 + [["one"]]
  found = pretraining_instances.cut_sentences(document, 0.1, random.Random(2))
  shorter = [sentence for sentence in found if len(sentence) < 8][:-1]
  assert len(shorter) / 2000 == pytest.approx(0.1, abs=0.02)
  assert {len(sentence) for sentence in shorter} == set(range(1, 8))
  assert all(s == list("abcdefgh")[: len(s)] for s in shorter)
  assert found[-1] == ["one"]


# ------------------------------------------------------------- blocks, workers


def test_files_are_grouped_and_documents_come_in_blocks(tmp_path, monkeypatch):
  monkeypatch.setattr(pretraining_instances, "GROUP_BYTES", 20)
  monkeypatch.setattr(pretraining_instances, "BLOCK_CHARS", 4)
  monkeypatch.setattr(pretraining_instances, "BLOCK_DOCUMENTS", 2)
  text = "".join(f"{letter}{letter}\n\n" for letter in "abcde")  # 20 bytes
  paths = [write(tmp_path / name, text) for name in "123"]
  paths.append(write(tmp_path / "4", "zz\n"))
  groups = pretraining_instances.group_files(paths)
  assert groups == [[paths[0]], [paths[1]], paths[2:]]
  blocks = list(pretraining_instances.read_blocks(2, groups[2]))
  assert [(b.group, b.first, b.num_bytes) for b in blocks] == [
    (2, 0, 6),
    (2, 2, 6),
    (2, 4, 6),  # e of one file, z of the next
  ]
  (alone,) = pretraining_instances.read_blocks(0, paths[3:])
  assert alone.documents == [["zz"]]
  last = list(pretraining_instances.read_blocks(0, paths[:1]))[-1]
  assert last.documents == [["cc"], ["dd"], ["ee"]]  # not one by itself
  monkeypatch.setattr(pretraining_instances, "BLOCK_DOCUMENTS", 100)
  monkeypatch.setattr(pretraining_instances, "MAX_BLOCK_CHARS", 6)
  blocks = list(pretraining_instances.read_blocks(0, paths[:1]))
  assert [len(block.documents) for block in blocks] == [3, 2]


def small_blocks(monkeypatch):
  monkeypatch.setattr(pretraining_instances, "BLOCK_CHARS", 300)
  monkeypatch.setattr(pretraining_instances, "BLOCK_DOCUMENTS", 2)


def contents(paths):
  return [pathlib.Path(path).read_bytes() for path in paths]


def test_any_number_of_workers_gives_the_same_files(
  tokenizer, tmp_path, monkeypatch
):
  small_blocks(monkeypatch)
  monkeypatch.setattr(create_pretraining_data, "BUCKET_BYTES", 1500)
  recipe = recipe_of(tokenizer, truncate_prob=0.2)
  blocks = list(pretraining_instances.read_blocks(0, [CORPUS]))
  assert len(blocks) > 2
  found, counted = [], []
  for num_workers in (1, 3):
    files = [str(tmp_path / f"{num_workers}-{shard}") for shard in range(2)]
    counted.append(
      create_pretraining_data.run_workers([CORPUS], recipe, files, num_workers)
    )
    found.append(contents(files))
  assert found[0] == found[1]
  assert counted[0] == counted[1]
  assert len(list(tmp_path.iterdir())) == 4  # and no folder of theirs

  # They are the blocks' records, by remainder and order of their keys.
  statistics = pretraining_instances.Statistics()
  pairs = [
    pair
    for block in blocks
    for pair in pretraining_instances.block_records(block, recipe, statistics)
  ]
  assert statistics == counted[0]
  assert statistics.instances == len(pairs)
  for shard in range(2):
    path = str(tmp_path / f"1-{shard}")
    expected = [record for key, record in sorted(pairs) if key % 2 == shard]
    assert list(tf.python_io.tf_record_iterator(path)) == expected
    assert len(expected) > 10


def test_a_documents_records_depend_on_its_block_alone(tokenizer):
  (first, *_) = pretraining_instances.read_documents([CORPUS])
  lines = [[line] for line in first[:6]]
  block = pretraining_instances.Block(0, 10, lines)
  later = pretraining_instances.Block(0, 11, lines)

  def records(block, **changes):
    recipe = recipe_of(tokenizer, **changes)
    statistics = pretraining_instances.Statistics()
    return list(pretraining_instances.block_records(block, recipe, statistics))

  assert records(block) == records(block)
  assert records(block, dupe_factor=1) == records(block)[: len(lines)]
  assert not set(records(block)) & set(records(later))
  assert not set(records(block)) & set(records(block, random_seed=8))


def test_statistics_count_what_a_corpus_became(tokenizer):
  block = pretraining_instances.Block(
    0, 0, [["the work", "a \u2603"], ["\u200b"], ["the", "the"]]
  )
  statistics = pretraining_instances.Statistics()
  recipe = recipe_of(tokenizer, dupe_factor=1, short_seq_prob=0.0)
  list(pretraining_instances.block_records(block, recipe, statistics))
  found = dataclasses.asdict(statistics)
  assert found.pop("random_next") <= found["instances"]
  assert found.pop("tokens") >= 5 * found["instances"]
  assert found.pop("masked") == found.pop("instances") >= 2
  assert found == {"documents": 2, "sentences": 4, "pieces": 6, "unknown": 1}


def test_a_failing_worker_leaves_what_was_there(tokenizer, tmp_path):
  path = tmp_path / "out"
  path.write_bytes(b"old")
  wrong = encoder(16, 5)
  with pytest.raises(ValueError, match="input_ids has 32 values instead of 16"):
    create_pretraining_data.run_workers(
      [CORPUS], recipe_of(tokenizer, encode=wrong), [str(path)], 1
    )
  assert path.read_bytes() == b"old"
  assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_workers_load_no_tensorflow():
  code = (
    "import sys, create_pretraining_data;"
    "sys.exit('tensorflow' in sys.modules or 'numpy' in sys.modules)"
  )
  assert (
    subprocess.run([sys.executable, "-c", code], cwd=helpers.ROOT).returncode
    == 0
  )


def test_beam_gives_the_workers_files(tokenizer, tmp_path, monkeypatch):
  pytest.importorskip("apache_beam", reason="requirements-beam.txt")
  small_blocks(monkeypatch)
  recipe = recipe_of(tokenizer)
  ours = [str(tmp_path / f"ours-{shard}") for shard in range(2)]
  beams = [str(tmp_path / f"beam-{shard}") for shard in range(2)]
  counted = create_pretraining_data.run_workers([CORPUS], recipe, ours, 1)
  # What DirectRunner comes to, without its asking the network for another.
  runner = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
  assert counted == create_pretraining_data.run_beam(
    [CORPUS], recipe, beams, runner, []
  )
  assert contents(ours) == contents(beams)
  with pytest.raises(ValueError, match="^--runner=Nobody: Unexpected pipeline"):
    create_pretraining_data.run_beam([CORPUS], recipe, beams, "Nobody", [])


def test_beam_is_not_started_without_text(tokenizer, tmp_path):
  (tmp_path / "blank.txt").write_text("\n \n", "utf-8")
  with pytest.raises(ValueError, match="no document with any text in .*blank"):
    create_pretraining_data.run_beam(
      [str(tmp_path / "blank.txt")], recipe_of(tokenizer), ["a"], "any", []
    )


# ------------------------------------------------------- report, bad input


def statistics_of(**changes):
  values = dict(
    documents=4,
    sentences=20,
    pieces=400,
    unknown=2,
    instances=10,
    tokens=240,
    masked=40,
    random_next=5,
  )
  return pretraining_instances.Statistics(**{**values, **changes})


def test_the_report():
  assert create_pretraining_data.report(statistics_of(), 32, ["a", "b"]) == [
    "documents 4, sentences 20, pieces 400, unknown pieces 2 (0.50%)",
    "instances 10: tokens used 240, padded 80 (25.0%)",
    "random next 50.0%, masked per sequence 4.0",
    "wrote 10 records to 2 file(s): a, b",
  ]
  assert create_pretraining_data.warnings(statistics_of()) == []


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"documents": 1}, "are the blank lines between documents missing"),
    ({"random_next": 10, "sentences": 4}, "100% of next .* not between sent"),
    ({"unknown": 100}, "25% of the pieces are .UNK."),
  ],
)
def test_suspicious_text_gives_a_warning(changes, message):
  found = create_pretraining_data.warnings(statistics_of(**changes))
  assert len(found) == 1
  assert re.search(message, found[0])


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"documents": 0}, "no document with any text in a, b, c, ..."),
    ({"unknown": 400}, "all 400 pieces of a, b, c, ... are .UNK."),
  ],
)
def test_text_that_gives_nothing_is_an_error(changes, message):
  with pytest.raises(ValueError, match=message):
    create_pretraining_data.check_statistics(
      statistics_of(**changes), ["a", "b", "c", "d"]
    )


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (dict(num_workers=2, runner="DirectRunner"), "or --runner, not both"),
    (dict(beam_options="--x"), "--beam_options needs --runner"),
    (dict(word_separator="/"), "--word_separator needs --do_whole_word_mask"),
    (
      dict(word_separator="", do_whole_word_mask=True),
      "--word_separator is empty",
    ),
    (dict(output_file=" , "), "--output_file is empty"),
    (dict(output_file="no/a"), "there is no folder no; make it first"),
    (dict(output_file="/"), "--output_file=/ is a folder"),
    (dict(runner="DirectRunner"), "--runner needs the library apache_beam"),
    (dict(split_sentences=True), "--split_sentences needs the library senten"),
  ],
)
def test_flags_that_do_not_fit_are_named(monkeypatch, changes, message):
  values = dict(max_seq_length=32, max_predictions_per_seq=5, output_file="a")

  def check(vocab, **changes):
    options = create_pretraining_data.Options(**{**values, **changes})
    return create_pretraining_data.check_options(options, ["in"], vocab)

  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  with pytest.raises(ValueError, match=message):
    check(["[PAD]", "word"], **changes)
  assert check(["word"]) == ["a"]
  with pytest.raises(ValueError, match="has no words, so all text would be"):
    check(tokenization.SPECIAL_TOKENS)


def test_the_script_writes_the_originals_records(tokenizer, tmp_path):
  golden = json.loads((GOLDEN / "pretraining_piece_32.json").read_text())
  found = helpers.run_process(
    "create_pretraining_data.py",
    f"--input_file={CORPUS[:-1]}?",
    "--output_file=out",
    "--max_predictions_per_seq=5",
    "--dupe_factor=3",
    "--random_seed=20181031",
    "--nocheck_vocab_case",
    f"--vocab_file={VOCAB}",
    "--max_seq_length=32",
    cwd=tmp_path,
  )
  assert found.returncode == 0, found.stderr
  tokens = [
    tokenizer.convert_ids_to_tokens(
      record["input_ids"][: sum(record["input_mask"])]
    )
    for record in parsed(tmp_path / "out")
  ]
  assert tokens == [instance["tokens"] for instance in golden["instances"]]
  assert f"wrote {len(tokens)} records to 1 file(s): out" in found.stderr
  assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_byte_that_is_not_utf8_is_named_by_a_worker(tmp_path):
  path = tmp_path / "a"
  path.write_bytes(b"fine\nb\xe9d\n")
  found = helpers.run(
    create_pretraining_data,
    f"--input_file={path}",
    f"--output_file={tmp_path}/out",
    "--num_workers=1",
    f"--vocab_file={VOCAB}",
    "--nocheck_vocab_case",
  )
  assert found.returncode == 1
  assert f"error: {path} is not utf-8: byte 6 is 0xe9" in found.stderr
  assert list(tmp_path.iterdir()) == [path]


# ------------------------------------------------------------ full sentences


def documents_of(*texts):
  """Documents of letters, such as "ab c": sentences ab and c."""
  return [[list(sentence) for sentence in text.split()] for text in texts]


def packed(texts, room, across):
  found = pretraining_instances.pack_sentences(
    documents_of(*texts), room, across
  )
  return [
    (number, "".join(tokens).replace("[SEP]", "|")) for number, tokens in found
  ]


def test_full_sentences_are_packed_as_worked_by_hand():
  texts = ["abc de", "fg", "hijklmnop q", "r"]
  # de fills 5 places; fg would need one more for its separator. The long
  # sentence is divided into 5 and 4; q fills the second part; r needs 2.
  assert packed(texts, 5, True) == [
    *((0, "abcde"), (1, "fg"), (2, "hijkl"), (2, "mnopq"), (3, "r"))
  ]
  assert packed(texts, 5, False) == packed(texts, 5, True)
  assert packed(["abc", "d", "e f"], 5, True) == [(0, "abc|d"), (2, "ef")]
  assert packed(["abc", "d", "e f"], 7, True) == [(0, "abc|d|e"), (2, "f")]
  assert packed(["abc", "d", "e f"], 7, False) == [
    *((0, "abc"), (1, "d"), (2, "ef"))
  ]
  assert packed(["abc", "d", "e f"], 8, True) == [(0, "abc|d|ef")]


def unmasked(record, tokenizer):
  """The tokens of a record, the true ones where they were masked."""
  ids = record["input_ids"][: sum(record["input_mask"])]
  for place, true_id, weight in zip(
    *(record[f"masked_lm_{name}"] for name in ("positions", "ids", "weights"))
  ):
    if weight:
      ids[place] = true_id
  return tuple(tokenizer.convert_ids_to_tokens(ids))


@pytest.mark.parametrize("sentences", ["full", "doc"])
def test_full_sentences_in_all_ways_of_making_records(
  tokenizer, tmp_path, monkeypatch, sentences
):
  small_blocks(monkeypatch)
  schema = create_pretraining_data.record_schema(32, 5, next_sentence=False)
  assert "next_sentence_labels" not in schema
  recipe = recipe_of(
    tokenizer,
    sentences=sentences,
    encode=record_files.record_encoder(schema),
    do_whole_word_mask=True,
  )
  paths = {n: [str(tmp_path / f"{n}-{k}") for k in "01"] for n in "123m"}
  run_workers = create_pretraining_data.run_workers
  counted = run_workers([CORPUS], recipe, paths["1"], 1)
  run_workers([CORPUS], recipe, paths["3"], 3)
  assert contents(paths["1"]) == contents(paths["3"])
  if importlib.util.find_spec("apache_beam"):
    runner = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
    run_beam = create_pretraining_data.run_beam
    assert counted == run_beam([CORPUS], recipe, paths["2"], runner, [])
    assert contents(paths["1"]) == contents(paths["2"])
  alone = create_pretraining_data.run_in_memory([CORPUS], recipe, paths["m"])
  assert alone.pieces == counted.pieces
  assert alone.random_next == 0

  records = {
    name: [record for path in paths[name] for record in raw_records(path)]
    for name in ("1", "m")
  }
  for record in [*records["1"], *records["m"]]:
    assert set(record) == set(schema)
    assert record["segment_ids"] == [0] * 32
  texts = {
    name: sorted(unmasked(record, tokenizer) for record in found)
    for name, found in records.items()
  }
  for found in texts.values():
    assert found[::2] == found[1::2]  # two rounds, of the same texts
    pieces = [t for text in found for t in text if t not in ("[CLS]", "[SEP]")]
    assert len(pieces) == 2 * counted.pieces  # nothing is lost
    inner = sum("[SEP]" in text[:-1] for text in found)
    assert bool(inner) == (sentences == "full")
  if sentences == "doc":  # whatever the order of documents
    assert texts["1"] == texts["m"]
  masks = [record["masked_lm_positions"] for record in records["1"]]
  assert len(set(map(str, masks))) > len(masks) / 2  # and with other masks


def raw_records(path):
  """The records of a file as {name: list}, with the names that they have."""
  for record in tf.python_io.tf_record_iterator(path):
    features = tf.train.Example.FromString(record).features.feature
    yield {
      name: list(value.int64_list.value or value.float_list.value)
      for name, value in features.items()
    }


def test_the_script_makes_records_of_full_sentences(tmp_path):
  command = [
    f"--input_file={CORPUS}",
    f"--output_file={tmp_path}/out",
    *(f"--vocab_file={VOCAB}", "--nocheck_vocab_case"),
    *("--max_seq_length=32", "--max_predictions_per_seq=5"),
  ]
  script = create_pretraining_data
  done = helpers.run(script, *command, "--next_sentence=false")
  assert done.returncode == 0, done.stderr
  assert "masked per sequence" in done.stderr
  assert "random next" not in done.stderr
  for flags, message in (
    (("--sentences=doc",), "--sentences is for --next_sentence=false: add"),
    (
      ("--next_sentence=false", "--short_seq_prob=0.2"),
      "--short_seq_prob has no effect with --next_sentence=false",
    ),
  ):
    done = helpers.run(script, *command, *flags)
    assert done.returncode == 1
    assert message in done.stderr
