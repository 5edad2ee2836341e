# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Learning a vocabulary: counts, pieces, layout, report, bad input."""

import os
import subprocess
import sys
from collections import Counter

import helpers
import pytest

import create_vocab
import tokenization
from bert.files import reading

ROOT = helpers.ROOT
# The example of Sennrich et al. (2016), whose merges can be followed by hand.
PAPER = Counter({"low": 5, "lower": 2, "newest": 6, "widest": 3})
NASTY = "Ça va, naïve  Καλημέρα 力文\x00字 a\x0bb\x85c\u200bd 9%\tİst\r\n"


@pytest.fixture
def create(tmp_path, capsys):
  """Returns a function that runs main and returns tokens and output."""

  def run(**given):
    output = str(tmp_path / "made" / "vocab.txt")
    defaults = dict(
      input_file=f"{tmp_path}/*.txt",
      output_file=output,
      vocab_size=400,
      held_out="0",
      num_workers=1,
    )
    create_vocab.main(create_vocab.Options(**{**defaults, **given}))
    return list(tokenization.load_vocab(output)), capsys.readouterr().out

  return run


def write(path, text):
  path.write_bytes(text.encode("utf-8"))
  return str(path)


# Words


@pytest.mark.parametrize("lower", [True, False])
def test_words_are_those_of_the_tokenizer(lower):
  basic = tokenization.BasicTokenizer(lower)
  lines = [NASTY, "one two", "two", ""]
  words = Counter(word for line in lines for word in basic.tokenize(line))
  assert create_vocab.count_words(lines, lower) == words
  assert words["abcd"] == 1 and words["two"] == 2 and words["力"] == 1


@pytest.mark.parametrize("num_workers", [1, 2])
def test_every_line_is_learned_or_held_out(tmp_path, monkeypatch, num_workers):
  monkeypatch.setattr(create_vocab, "RANGE_BYTES", 200)
  text = "".join(f"w{i} é\n" for i in range(100))
  files = [write(tmp_path / "a", text), write(tmp_path / "b", "w5")]
  ranges = list(create_vocab.split_files(files, 0.25))
  ranges += create_vocab.split_files([write(tmp_path / "c", "w6")], 1.0)
  learned, held_out = create_vocab.count_ranges(ranges, True, num_workers)
  every = learned + held_out
  assert every == Counter({**{f"w{i}": 1 for i in range(100)}, "e": 100}) + (
    Counter(["w5", "w6"])
  )
  assert learned["w5"] == 2 and held_out["w6"] == 1
  assert held_out["e"] == pytest.approx(25, abs=3)
  assert list(create_vocab.split_files(files, 0.25)) == ranges[:-1]


def test_a_killed_worker_is_an_error():
  end = "import os; os._exit(9)"  # exec, as it loads no TensorFlow
  with pytest.raises(RuntimeError, match="give fewer than --num_workers=2"):
    list(create_vocab._map_in_order(exec, [end, end], None, 2))


def test_rare_words_are_dropped_to_bound_memory():
  counts = Counter({"a": 9, "b": 2, "c": 1, "d": 1, "e": 2, "f": 3})
  create_vocab.drop_rare(counts, 6)
  assert len(counts) == 6
  create_vocab.drop_rare(counts, 5)
  assert counts == {"a": 9, "f": 3}


@pytest.mark.parametrize("limit", [100, 16, 8])
def test_words_are_shown_in_proportion_to_their_counts(limit):
  shown = Counter("".join(create_vocab.show_words(PAPER, limit)).split())
  total = sum(PAPER.values())
  assert sum(shown.values()) == min(total, limit)
  for word, count in PAPER.items():
    assert abs(shown[word] - count * min(1, limit / total)) < 1


# Pieces


def learn(size, **options):
  letters = create_vocab.letter_pieces("deilnorstw", True)
  assert len(letters) == 20
  options = {"min_frequency": 2, **options}
  return create_vocab.learn_pieces(PAPER, letters, size, **options)[20:]


def test_the_most_frequent_pairs_are_joined_first():
  by_hand = ["##es", "##est", "lo", "low", "ne", "##west", "newest"]
  assert learn(27) == by_hand
  assert learn(24) == by_hand[:4]
  assert learn(99, min_frequency=6) == by_hand
  assert "lower" in learn(99) and "lower" not in learn(99, min_frequency=3)


def test_a_sample_of_a_large_text_gives_its_pieces(monkeypatch):
  pieces = learn(24)
  monkeypatch.setattr(create_vocab, "MAX_SHOWN", 16000)
  monkeypatch.setattr(create_vocab, "SHOWN_AT_ONCE", 7)
  monkeypatch.setitem(
    globals(), "PAPER", Counter({w: n * 10_000 for w, n in PAPER.items()})
  )
  assert learn(24, min_frequency=10_000) == pieces


def test_letters_begin_and_continue_words_unless_they_stand_alone():
  pieces = create_vocab.letter_pieces("aя力!", True)
  assert pieces == ["a", "я", "力", "!", "##a", "##я"]


def test_the_most_frequent_characters_are_kept():
  characters = create_vocab.count_characters(Counter({"aab": 2, "cd": 2}))
  assert characters == {"a": 4, "b": 2, "c": 2, "d": 2}
  assert create_vocab.choose_alphabet(characters, 3) == ["a", "b", "c"]
  assert create_vocab.coverage(characters, ["a", "b", "c"]) == 0.8


def test_words_that_cannot_be_tokenized_are_not_learned_from():
  counts = Counter({"abab": 9, "abж": 99, "cd" * 101: 99})
  letters = create_vocab.letter_pieces("abcd", True)
  pieces = create_vocab.learn_pieces(counts, letters, 99, 2)
  assert pieces[8:] == ["ab", "##ab", "abab"]


def test_pieces_a_word_and_unknown_words_are_counted():
  vocab = ["a", "##b", "ab"]
  counts = Counter({"ab": 2, "abb": 1, "bb": 1})
  assert create_vocab.measure(counts, vocab) == ((2 + 2 + 1) / 4, 1 / 4)


# The script


def test_the_layout_is_that_of_the_released_models(tmp_path, create):
  write(tmp_path / "a.txt", "low low lower\nlower newest\n\nnewest 力 力 !")
  vocab, said = create(vocab_size=140)
  assert vocab[:2] == ["[PAD]", "[unused0]"]
  assert vocab[99:104] == ["[unused98]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
  assert vocab[104] == "!"
  assert "力" in vocab and "##力" not in vocab and "low" in vocab
  assert len(vocab) == len(set(vocab)) == 104 + 18 + 9
  assert "words: 9, 5 of them distinct" in said
  assert "alphabet: 10 of 10 characters, which are 100.0000%" in said
  assert "on 9 learned (none was held out) words: 1." in said
  assert "only 131 of --vocab_size=140 tokens" in said
  vocab, said = create(
    num_unused=0, limit_alphabet=3, held_out=write(tmp_path / "b", "low zz")
  )
  assert vocab[:5] == list(tokenization.SPECIAL_TOKENS)
  assert "alphabet: 3 of 10 characters" in said
  assert "raise --limit_alphabet" in said
  assert "on 2 held-out words: 1.000 pieces per word, 100.000% of" in said


def test_case_and_accents_are_kept_where_asked(tmp_path, create):
  write(tmp_path / "a.txt", "Été été Été été\n")
  assert "ete" in create()[0]
  vocab = create(do_lower_case=False)[0]
  assert "Été" in vocab and "été" in vocab and "ete" not in vocab


@pytest.mark.parametrize(
  "text, flags, sentence",
  [
    ("word", {"input_file": "*.csv"}, "--input_file: {}/*.csv names no file"),
    ("", {}, "--input_file={}/*.txt has no words"),
    (" \n\u200b\n", {}, "--input_file={}/*.txt has no words"),
    (
      "abc",
      {"vocab_size": 108},
      "--vocab_size=108 is too small: 104 special and unused tokens and 6"
      " pieces for 3 characters need 110; raise it, or lower"
      " --limit_alphabet or --num_unused",
    ),
    ("a", {"held_out": "1"}, "--held_out=1: give a share under 1, or files"),
    ("a", {"held_out": "b"}, "--held_out: b names no file"),
  ],
)
def test_bad_input_is_an_error(tmp_path, create, text, flags, sentence):
  write(tmp_path / "a.txt", text)
  for name in flags:
    if name.endswith("file"):
      flags = {name: f"{tmp_path}/{flags[name]}"}
  with pytest.raises(ValueError) as error:
    create(**flags)
  assert str(error.value) == sentence.format(tmp_path)
  assert not list(tmp_path.glob("made/*"))


def test_the_sample_text_covers_the_sample_data(create):
  vocab, _ = create(
    input_file=str(ROOT / "sample_text.txt"), vocab_size=1000, num_unused=0
  )
  lines = reading.text_lines(str(ROOT / "sample_data" / "train.tsv"))
  remarks = [line.split("\t")[1] for line in lines][1:]
  words = create_vocab.count_words(remarks, True)
  pieces, unknown = create_vocab.measure(words, vocab)
  assert unknown == 0 and pieces < 1.5


def test_the_script_gives_the_same_file_for_any_number_of_workers(tmp_path):
  text = (ROOT / "sample_data" / "train.tsv").read_text("utf-8")
  for name in "abc":  # a range each
    write(tmp_path / f"{name}.txt", f"{text}{name}\n" * 4)
  outputs = [tmp_path / "vocab_1", tmp_path / "vocab_2"]

  def flags(num_workers):
    return (
      f"--input_file={tmp_path}/*.txt",
      f"--output_file={outputs[num_workers - 1]}",
      "--vocab_size=1000",
      f"--num_workers={num_workers}",
    )

  environment = {**os.environ, "PYTHONHASHSEED": "random"}
  for done in (
    helpers.run(create_vocab, *flags(1)),
    helpers.run_process("create_vocab.py", *flags(2), env=environment),
  ):
    assert done.returncode == 0, done.stderr
    assert ": 1000 tokens" in done.stdout
    assert "pieces per word, 0.000% of the words unknown" in done.stdout
  made = [output.read_bytes() for output in outputs]
  assert made[0] == made[1]
  assert b"\nbicycle\n" in made[0]


def test_the_byte_that_is_not_utf8_is_named(tmp_path):
  write(tmp_path / "a.txt", "good text\n")
  (tmp_path / "b.txt").write_bytes(b"good\ncaf\xe9\n")
  (tmp_path / "vocab.txt").write_text("kept")
  done = helpers.run(
    create_vocab,
    f"--input_file={tmp_path}/[ab].txt",
    f"--output_file={tmp_path}/vocab.txt",
    "--num_workers=2",
  )
  assert done.returncode == 1
  assert done.stderr.endswith(
    f"error: {tmp_path}/b.txt is not utf-8: byte 8 is 0xe9; save the file as"
    " utf-8\n"
  )
  assert (tmp_path / "vocab.txt").read_text() == "kept"


def test_workers_need_no_tensorflow():
  code = "import sys, create_vocab; sys.exit('tensorflow' in sys.modules)"
  subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
