# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Tests of tokenization: goldens, the contract's steps, offsets, vocabulary."""

import json
import pathlib
import pickle
import random
import subprocess
import sys
import unicodedata

import pytest
import tensorflow.compat.v1 as tf

import tokenization
from bert.files import reading

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
VOCAB_FILE = str(GOLDEN / "vocab.txt")
CASES = json.loads((GOLDEN / "tokenization.json").read_text("utf-8"))
RARE = (  # controls, spaces, marks, CJK, Hangul, emoji, symbols, odd lower case
  [chr(code) for code in [*range(33), *range(0x7F, 0xA1), 0xAD, 0x85]]
  + list("\u2028\u2029\u200b\u200d\ufeff\u3000\u2009\u202f\u1680\ufffd\ue000")
  + list("\u0300\u0301\u0307\u0327\u0345\u302e\u1b44\u20dd\ud800")
  + list("éÜñçßẞØłİıſΣσςǅŉΐϓ≠Å½²ﬁ“”…。—¿§")
  + list("力文字\u3400\uf900\U00020000\U0002f800ハパ한글Рйсшעَनि😀👍🏽")
)


@pytest.fixture(params=[True, False], ids=["lower", "cased"])
def tokenizer(request):
  return tokenization.FullTokenizer(VOCAB_FILE, request.param)


@pytest.fixture
def make(tmp_path):
  """Returns a function that makes a tokenizer with the given tokens only."""

  def make_tokenizer(tokens, **options):
    path = tmp_path / "vocab.txt"
    path.write_text("".join(token + "\n" for token in tokens), "utf-8")
    return tokenization.FullTokenizer(str(path), **options)

  return make_tokenizer


def random_texts(seed, count):
  rng = random.Random(seed)
  ascii_text = [chr(code) for code in range(32, 127)] + list("    aeTHE")
  for _ in range(count):
    share = rng.choice([0.0, 0.05, 0.5])
    yield "".join(
      rng.choice(RARE if rng.random() < share else ascii_text)
      for _ in range(rng.randrange(60))
    )


def slow_tokens(text, vocab, lower):
  """Follows the contract's section on the tokenizer letter by letter."""
  cleaned = ""
  for char in text:
    kind = unicodedata.category(char)
    if char in "\t\n\r" or kind == "Zs":
      cleaned += " "
    elif char not in "\0\ufffd" and kind not in ("Cc", "Cf"):
      cjk = "CJK" in unicodedata.name(char, "") and kind == "Lo"
      cleaned += f" {char} " if cjk else char
  tokens = []
  for word in cleaned.split():
    if lower:
      word = unicodedata.normalize("NFD", word.lower())
      word = "".join(c for c in word if unicodedata.category(c) != "Mn")
    for char in word:
      symbol = char.isascii() and not char.isalnum() and char.isprintable()
      if symbol or unicodedata.category(char)[0] == "P":
        word = word.replace(char, f" {char} ")
    for part in word.split():
      tokens += slow_pieces(part, vocab)
  return tokens


def slow_pieces(word, vocab):
  pieces, start = [], 0
  while start < len(word):
    for end in range(len(word), start, -1):
      piece = ("##" if start else "") + word[start:end]
      if piece in vocab:
        pieces.append(piece)
        start = end
        break
    else:
      return ["[UNK]"]
  return pieces if len(word) <= 200 else ["[UNK]"]


# The contract's tokenizer


@pytest.mark.parametrize("lower", [True, False], ids=["lower", "cased"])
def test_golden_words_tokens_and_ids(lower):
  full = tokenization.FullTokenizer(VOCAB_FILE, do_lower_case=lower)
  basic = tokenization.BasicTokenizer(do_lower_case=lower)
  cases = [case for case in CASES if case["do_lower_case"] == lower]
  assert len(cases) == 74
  for case in cases:
    assert basic.tokenize(case["text"]) == case["basic"], case["text"]
    for _ in ("new", "remembered"):
      tokens = full.tokenize(case["text"])
      assert tokens == case["tokens"], case["text"]
    assert full.convert_tokens_to_ids(tokens) == case["ids"]
    assert full.convert_ids_to_tokens(case["ids"]) == tokens
    assert full.tokenize_with_offsets(case["text"])[0] == tokens


def test_random_texts_give_the_tokens_of_a_letter_by_letter_version(tokenizer):
  lower = tokenizer.basic_tokenizer.do_lower_case
  basic, wordpiece = tokenizer.basic_tokenizer, tokenizer.wordpiece_tokenizer
  for text in random_texts(1, 2000):
    tokens = tokenizer.tokenize(text)
    assert tokens == slow_tokens(text, tokenizer.vocab, lower), repr(text)
    assert tokens == tokenizer.tokenize_with_offsets(text)[0], repr(text)
    assert tokens == wordpiece.tokenize(" ".join(basic.tokenize(text)))


def test_control_characters_are_dropped_and_join_words(tokenizer):
  for char in "\x0b\x0c\x1c\x1d\x1e\x1f\x85":
    assert "a b".replace(" ", char).split() == ["a", "b"]
    assert tokenizer.tokenize(f"a{char}b") == ["a", "##b"]
  for char in "\t\n\r\xa0\u2028\u2029\u3000":
    assert tokenizer.tokenize(f"a{char}b") == ["a", "b"]


def test_chunks_end_at_white_space_only():
  for code in range(sys.maxunicode + 1):
    char = chr(code)
    dropped = tokenization._is_control(char)
    divides = char.isspace() and not dropped
    assert bool(tokenization._CHUNK.fullmatch(char)) != divides, hex(code)


def test_character_classes():
  assert all(map(tokenization._is_whitespace, " \t\n\r\xa0\u3000"))
  assert not any(map(tokenization._is_whitespace, "A-\u2028\x0b"))
  assert all(map(tokenization._is_control, "\x05\x0b\x85\xad\u200b\ufeff"))
  assert not any(map(tokenization._is_control, "A \t\n\r\u0301"))
  assert all(map(tokenization._is_punctuation, "!/:@[`{~$^+=<>|_-“。¿"))
  assert not any(map(tokenization._is_punctuation, "A9 \x7f©½→"))


def test_basic_tokenizer_alone():
  text = " \tHeLLo!how  \n Are yoU? 文é "
  lower = ["hello", "!", "how", "are", "you", "?", "文", "e"]
  cased = ["HeLLo", "!", "how", "Are", "yoU", "?", "文", "é"]
  assert tokenization.BasicTokenizer().tokenize(text) == lower
  assert tokenization.BasicTokenizer(False).tokenize(text) == cased
  assert tokenization.BasicTokenizer().tokenize(text.encode()) == lower


def test_the_steps_of_the_basic_tokenizer():
  basic = tokenization.BasicTokenizer()
  assert basic._clean_text("a\tb\u3000c\0d\ufffde\u200bf\n") == "a b cdef "
  assert basic._clean_text(" plain, as it is. ") == " plain, as it is. "
  assert basic._tokenize_chinese_chars("a文字b ハ") == "a 文  字 b ハ"
  assert basic._run_strip_accents("Café naïve") == "Cafe naive"
  split = basic._run_split_on_punc
  assert split("don't!?") == ["don", "'", "t", "!", "?"]
  assert split("hi, you“") == ["hi", ",", " you", "“"]
  assert split("plain") == ["plain"]
  assert split("") == []


def test_the_blocks_of_chinese_characters():
  is_chinese = tokenization.BasicTokenizer()._is_chinese_char
  for first, last in (
    *((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF)),
    *((0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF)),
    *((0xF900, 0xFAFF), (0x2F800, 0x2FA1F)),
  ):
    assert is_chinese(first) and is_chinese(last)
  for code in (0x33FF, 0x4DC0, 0xA000, 0x2CEB0, *map(ord, "aハ한")):
    assert not is_chinese(code)


class WithKana(tokenization.BasicTokenizer):
  def _is_chinese_char(self, cp):
    return super()._is_chinese_char(cp) or 0x3040 <= cp < 0x3100


def test_a_step_that_a_subclass_replaces_is_used(make):
  full = make(["[UNK]", "ハ", "a"])
  assert full.tokenize("aハa") == ["[UNK]"]
  full = make(["[UNK]", "ハ", "a"])
  full.basic_tokenizer = WithKana()
  assert full.tokenize("aハa") == ["a", "ハ", "a"]
  tokens, spans = pickle.loads(pickle.dumps(full)).tokenize_with_offsets("aハ")
  assert (tokens, spans) == (["a", "ハ"], [(0, 1), (1, 2)])


def test_wordpiece_tokenizer_alone():
  vocab = [
    "[UNK]",
    "un",
    "unw",
    "##want",
    "##wanted",
    "##ed",
    "##runn",
    "##ing",
  ]
  wordpiece = tokenization.WordpieceTokenizer(vocab)
  assert wordpiece.tokenize("") == []
  pieces = ["un", "##wanted", "un", "##runn", "##ing"]
  assert wordpiece.tokenize("unwanted unrunning") != pieces  # "unw" is longer
  wordpiece = tokenization.WordpieceTokenizer(set(vocab) - {"unw"})
  assert wordpiece.tokenize("unwanted unrunning") == pieces
  assert wordpiece.tokenize(b"unwantedX unrunning") == ["[UNK]", *pieces[2:]]
  short = tokenization.WordpieceTokenizer(vocab, "?", 4)
  assert short.tokenize("un uned") == ["un", "un", "##ed"]
  assert short.tokenize("uneding") == ["?"]


def test_a_word_of_over_200_characters_is_unknown(tokenizer):
  assert len(tokenizer.tokenize("a" * 200)) == 200
  assert tokenizer.tokenize("a" * 201) == ["[UNK]"]
  assert tokenizer.tokenize_with_offsets("a" * 201)[1] == [(0, 201)]
  assert tokenizer.tokenize("a" * 1_000_000) == ["[UNK]"]


def test_unicode_from_bytes():
  assert tokenization.convert_to_unicode("é") == "é"
  assert tokenization.convert_to_unicode("é".encode() + b"\xff!") == "é!"
  assert tokenization.printable_text("é".encode()) == "é"
  assert tokenization.whitespace_tokenize(" a \n b ") == ["a", "b"]
  assert tokenization.whitespace_tokenize("  ") == []
  with pytest.raises(ValueError, match="str or bytes, not int"):
    tokenization.convert_to_unicode(5)


def test_conversion_functions_of_the_module():
  vocab = {"a": 0, "b": 1}
  assert tokenization.convert_tokens_to_ids(vocab, ["b", "a", "b"]) == [1, 0, 1]
  assert tokenization.convert_ids_to_tokens({0: "a", 1: "b"}, [1]) == ["b"]
  assert tokenization.convert_by_vocab(vocab, ()) == []
  with pytest.raises(ValueError, match="'c' is not in the vocabulary of 2 tok"):
    tokenization.convert_by_vocab(vocab, ["a", "c"])


def test_a_token_or_id_outside_the_vocabulary_is_named(tokenizer):
  with pytest.raises(ValueError, match="'zebra' is not in the vocabulary"):
    tokenizer.convert_tokens_to_ids(["the", "zebra"])
  with pytest.raises(ValueError, match="415 is not in the vocabulary of 415"):
    tokenizer.convert_ids_to_tokens([0, 415])


@pytest.mark.parametrize(
  "model, lower",
  [
    ("uncased_L-24_H-1024_A-16", True),
    ("uncased_L-12_H-768_A-12", True),
    ("multilingual_L-12_H-768_A-12", True),
    ("chinese_L-12_H-768_A-12", True),
    ("cased_L-12_H-768_A-12", False),
    ("cased_L-24_H-1024_A-16", False),
    ("multi_cased_L-12_H-768_A-12", False),
  ],
)
def test_released_models_for_the_other_case_are_refused(model, lower):
  validate = tokenization.validate_case_matches_checkpoint
  for checkpoint in (
    f"gs://a/{model}/bert_model.ckpt",
    f"{model}/bert_model.ckpt",
  ):
    validate(lower, checkpoint)
    with pytest.raises(ValueError, match=f"give --do_lower_case={lower}"):
      validate(not lower, checkpoint)
  for checkpoint in (
    None,
    "",
    f"{model}/model.ckpt-10",
    f"my_{model}/bert_model.ckpt",
  ):
    validate(not lower, checkpoint)


# Offsets


@pytest.mark.parametrize(
  "text, expected",
  [
    ("", []),
    ("He was", [("he", 0, 2), ("was", 3, 6)]),
    (
      " trimly,on",
      [("trim", 1, 5), ("##ly", 5, 7), (",", 7, 8), ("on", 8, 10)],
    ),
    ("the  the", [("the", 0, 3), ("the", 5, 8)]),
    ("Thé the\u0301.", [("the", 0, 3), ("the", 4, 8), (".", 8, 9)]),
    ("re\u0301d\u0301", [("re", 0, 3), ("##d", 3, 5)]),
    ("\u0301the", [("the", 1, 4)]),
    ("\x00T\u200bhe\x07 he", [("the", 1, 5), ("he", 7, 9)]),
    ("in\x1cg\x85\u2028the", [("in", 0, 2), ("##g", 3, 4), ("the", 6, 9)]),
    ("İng", [("in", 0, 2), ("##g", 2, 3)]),
    ("中文the字", [("中", 0, 1), ("文", 1, 2), ("the", 2, 5), ("字", 5, 6)]),
    ("the한글 on", [("[UNK]", 0, 5), ("on", 6, 8)]),
    ("≠on", [("=", 0, 1), ("on", 1, 3)]),
    ("\U00020000on 😀on", [("[UNK]", 0, 1), ("on", 1, 3), ("[UNK]", 4, 7)]),
    ("[UNK]", [("[", 0, 1), ("un", 1, 3), ("##k", 3, 4), ("]", 4, 5)]),
  ],
)
def test_offsets_worked_by_hand(text, expected):
  tokenizer = tokenization.FullTokenizer(VOCAB_FILE)
  for _ in ("new", "remembered"):
    tokens, spans = tokenizer.tokenize_with_offsets(text)
    assert [(t, *span) for t, span in zip(tokens, spans)] == expected


def test_offsets_for_bytes_refer_to_the_decoded_text(tokenizer):
  tokens, spans = tokenizer.tokenize_with_offsets("文 the".encode())
  assert (tokens, spans) == (["文", "the"], [(0, 1), (2, 5)])


def test_pieces_of_one_character_share_its_span(make):
  jamo = unicodedata.normalize("NFD", "한")
  tokenizer = make(["[UNK]", jamo[0], "##" + jamo[1:], "a"])
  tokens, spans = tokenizer.tokenize_with_offsets("a 한")
  assert tokens == ["a", jamo[0], "##" + jamo[1:]]
  assert spans == [(0, 1), (2, 3), (2, 3)]


def test_the_text_at_a_span_normalizes_to_its_piece(tokenizer):
  def fold(text):  # a sigma's form depends on the next letter
    return text.replace("ς", "σ")

  for text in random_texts(2, 2000):
    tokens, spans = tokenizer.tokenize_with_offsets(text)
    assert len(tokens) == len(spans)
    for (start, end), (following, _) in zip(
      spans, [*spans[1:], (len(text), 0)]
    ):
      assert 0 <= start < end <= len(text), repr(text)
      assert end <= following, repr(text)
    for token, (start, end) in zip(tokens, spans):
      words = tokenizer.basic_tokenizer.tokenize(text[start:end])
      piece = token[2:] if token.startswith("##") else token
      assert len(words) == 1, (text, token)
      assert token == "[UNK]" or fold(words[0]) == fold(piece), (text, token)


# never_split


def test_never_split_tokens_stay_whole():
  tokenizer = tokenization.FullTokenizer(
    VOCAB_FILE, never_split=["[MASK]", "@user", "@user name", "C++"]
  )
  text = "The[MASK]on. @user,@users @user name C++ c++ [mask]"
  tokens, spans = tokenizer.tokenize_with_offsets(text)
  assert tokens[:7] == ["the", "[MASK]", "on", ".", "@user", ",", "@"]
  assert tokens[7:10] == ["u", "##s", "##er"]
  assert tokenizer.tokenize(text) == tokens
  assert tokens.count("@user") == 1 and tokens.count("@user name") == 1
  assert tokens.count("C++") == 1 and tokens.count("[MASK]") == 1
  for token, (start, end) in zip(tokens, spans):
    if token in tokenizer.never_split:
      assert text[start:end] == token
  assert tokenizer.convert_tokens_to_ids(["[MASK]"]) == [14]
  with pytest.raises(ValueError, match="'@user' is not in the vocabulary"):
    tokenizer.convert_tokens_to_ids(tokens)


def test_an_empty_never_split_changes_nothing():
  plain = tokenization.FullTokenizer(VOCAB_FILE)
  empty = tokenization.FullTokenizer(VOCAB_FILE, never_split=[])
  for text in ["[MASK] the [CLS]", *random_texts(3, 100)]:
    assert empty.tokenize(text) == plain.tokenize(text)
  assert plain.tokenize("[CLS]") == ["[", "c", "##l", "##s", "]"]


def test_never_split_leaves_other_text_alone():
  plain = tokenization.FullTokenizer(VOCAB_FILE)
  kept = tokenization.FullTokenizer(VOCAB_FILE, never_split=iter(["<never>"]))
  for text in random_texts(4, 300):
    assert kept.tokenize(text) == plain.tokenize(text)
    both = kept.tokenize_with_offsets(text + "<never>" + text)
    assert both[0] == [*plain.tokenize(text), "<never>", *plain.tokenize(text)]


@pytest.mark.parametrize("never_split", ["[MASK]", [""]])
def test_never_split_must_be_a_list_of_tokens(never_split):
  with pytest.raises(ValueError, match="must be a list of non-empty tokens"):
    tokenization.FullTokenizer(VOCAB_FILE, never_split=never_split)


# Memory and processes


def test_the_memory_has_a_limit(monkeypatch):
  monkeypatch.setattr(tokenization, "MEMORY_SIZE", 50)
  small = tokenization.FullTokenizer(VOCAB_FILE)
  memories = (small._pieces, small._pieces_and_spans)
  largest = 0
  for number in range(200):
    tokens = small.tokenize(f"the n{number}")
    assert tokens == small.tokenize_with_offsets(f"the n{number}")[0]
    assert "".join(tokens).replace("#", "") == f"then{number}"
    assert all(len(memory) <= 50 for memory in memories)
    largest = max(largest, len(small._pieces))
  assert largest == 50


def test_long_chunks_are_not_remembered(tokenizer):
  tokenizer.tokenize("a" * 32 + " " + "b" * 33)
  assert list(tokenizer._pieces) == ["a" * 32]


def test_pickling_keeps_everything_except_the_memory():
  options = {"do_lower_case": False, "never_split": ["[MASK]"]}
  original = tokenization.FullTokenizer(VOCAB_FILE, **options)
  text = "The [MASK] unaffable Thé"
  expected = original.tokenize_with_offsets(text)
  copy = pickle.loads(pickle.dumps(original))
  assert not copy._pieces_and_spans and original._pieces_and_spans
  assert copy.tokenize_with_offsets(text) == expected
  assert copy.tokenize(text) == original.tokenize(text) == expected[0]


def test_a_worker_does_not_load_tensorflow():
  program = (
    "import sys, tokenization;"
    f"tokenization.FullTokenizer({VOCAB_FILE!r}).tokenize('the');"
    "sys.exit('tensorflow' in sys.modules)"
  )
  assert (
    subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 0
  )


def test_benchmark_prints_its_table_and_writes_json(tmp_path):
  pytest.importorskip("tokenizers")
  text_file, json_file = tmp_path / "text.txt", tmp_path / "out.json"
  text_file.write_text(
    "The lighthouse keeper.\n\nThé 文字, unaffable\n", "utf-8"
  )
  command = [sys.executable, "benchmarks/bench_tokenizer.py", "--rounds=1"]
  command += [f"--vocab_file={VOCAB_FILE}", f"--text_file={text_file}"]
  command += [f"--json_out={json_file}"]
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  same = "2 of 2 sentences have the same tokens and offsets"
  assert done.stdout.splitlines()[-1] == same
  result = json.loads(json_file.read_text())
  assert result["same"] == 2
  assert result["rows"][0]["ratio"] == 1
  assert "ours, new" in [row["contender"] for row in result["rows"]]


# The vocabulary


def test_vocabulary_lines_end_only_at_newlines_so_ids_do_not_shift(tmp_path):
  path = tmp_path / "vocab.txt"
  path.write_bytes("a\n\nb\u2028c\n \u2028\nd\r\n  e \na\n\u0085x\n".encode())
  vocab = tokenization.load_vocab(path)
  assert vocab == {"a": 6, "": 3, "b\u2028c": 2, "d": 4, "e": 5, "x": 7}
  tokenizer = tokenization.FullTokenizer(str(path))
  assert tokenizer.tokenize("a d") == ["a", "d"]
  assert tokenizer.convert_tokens_to_ids(["a", "d"]) == [6, 4]
  assert tokenizer.convert_ids_to_tokens([6, 7]) == ["a", "x"]


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_last_vocabulary_line_with_and_without_a_newline(tmp_path, end):
  path = tmp_path / "vocab.txt"
  path.write_bytes(b"\xef\xbb\xbf[PAD]\nb" + end)
  assert tokenization.load_vocab(str(path)) == {"[PAD]": 0, "b": 1}


def test_golden_vocabulary(tokenizer):
  assert len(tokenizer.vocab) == len(tokenizer.inv_vocab) == 415
  assert all(tokenizer.inv_vocab[i] == t for t, i in tokenizer.vocab.items())


@pytest.mark.parametrize(
  "content, message",
  [
    (None, r"there is no vocabulary file .*vocab.txt"),
    (b"", r"vocabulary file .*vocab.txt is empty; it needs one token a line"),
    (b"\n \n", "vocab.txt is empty"),
    (b"[PAD]\ra\r", "vocab.txt ends its lines with carriage returns"),
    (b"a\nb\n\xff\xfe\n", r"vocab.txt:3: not utf-8 text"),
  ],
)
def test_an_unusable_vocabulary_gives_a_one_line_error(
  tmp_path, content, message
):
  path = tmp_path / "vocab.txt"
  if content is not None:
    path.write_bytes(content)
  with pytest.raises(ValueError, match=message) as error:
    tokenization.FullTokenizer(str(path))
  assert "\n" not in str(error.value)


def test_a_folder_as_vocabulary_gives_a_one_line_error(tmp_path):
  with pytest.raises(ValueError, match="is a folder, not a vocabulary"):
    tokenization.load_vocab(str(tmp_path))


def test_tensorflow_opens_vocabulary_paths_with_a_scheme():
  with tf.io.gfile.GFile("ram://vocab.txt", "w") as writer:
    writer.write("[UNK]\nthe\n")
  tokenizer = tokenization.FullTokenizer("ram://vocab.txt")
  assert tokenizer.vocab == {"[UNK]": 0, "the": 1}
  with pytest.raises(ValueError, match="no vocabulary file ram://none.txt"):
    tokenization.load_vocab("ram://none.txt")


def test_a_vocabulary_without_special_tokens_is_accepted(make):
  tokenizer = make(["the", "[MASK]", "[PAD]"])
  missing = tokenization.missing_special_tokens(tokenizer.vocab)
  assert missing == ["[UNK]", "[CLS]", "[SEP]"]
  assert tokenizer.tokenize("The cat") == ["the", "[UNK]"]
  with pytest.raises(ValueError, match=r"'\[UNK\]' is not in the vocabulary"):
    tokenizer.convert_tokens_to_ids(["the", "[UNK]"])
  golden = tokenization.load_vocab(VOCAB_FILE)
  assert tokenization.missing_special_tokens(golden) == []


LOWER_WORDS = [f"word{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]


@pytest.mark.parametrize(
  "tokens, cased",
  [
    (["[PAD]", "[UNK]", "[unusedA]", "<S>", *LOWER_WORDS], False),
    ([*(word + "s" for word in LOWER_WORDS), *LOWER_WORDS, "COVID"], False),
    ([*LOWER_WORDS, "The", "He", "She", "Otto"], True),
    ([*LOWER_WORDS, "##ING", "##ED", "##LY"], True),
    ([*LOWER_WORDS, "The"], None),
    (["The", "the", *"ABCDEFGHIJKLMNOP", *"中文字符混合和数"], None),
    ([], None),
  ],
)
def test_vocab_is_cased(tokens, cased):
  vocab = {token: index for index, token in enumerate(tokens)}
  assert tokenization.vocab_is_cased(vocab) is cased


def test_a_vocabulary_for_both_cases_is_unclear():
  vocab = tokenization.load_vocab(VOCAB_FILE)
  assert tokenization.vocab_is_cased(vocab) is None


def test_the_rest_of_a_word_splits_into_continuation_pieces():
  vocab = ["ab", "##a", "##b", "##abc", "b"]
  wordpiece = tokenization.WordpieceTokenizer(vocab)
  assert wordpiece.split_word("abab", continues=True) == ["##a", "##b"] * 2
  assert wordpiece.split_word("abc", continues=True) == ["##abc"]
  assert wordpiece.split_word("abc") == ["[UNK]"]
  assert wordpiece.split_word("abcd", continues=True) == ["[UNK]"]


# Files of text


def test_globs_give_files_in_order(tmp_path):
  for name in ("b.txt", "a.txt", "c[1].txt", "notes"):
    (tmp_path / name).write_text("text", "utf-8")
  (tmp_path / "d.txt").mkdir()
  found = reading.expand_globs(f"{tmp_path}/notes, {tmp_path}/*.txt")
  names = [pathlib.Path(path).name for path in found]
  assert names == ["notes", "a.txt", "b.txt", "c[1].txt"]
  found = reading.expand_globs(f"{tmp_path}/c[1].txt")
  assert found == [f"{tmp_path}/c[1].txt"]
  found = reading.expand_globs(f"file://{tmp_path}/?.txt")
  assert found == [f"file://{tmp_path}/a.txt", f"file://{tmp_path}/b.txt"]


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_half_written_files_are_not_matched(tmp_path, scheme):
  for name in ("a", "b.partial"):
    (tmp_path / name).write_text("text", "utf-8")
  (tmp_path / "a.partial-x1").mkdir()
  folder = f"{scheme}{tmp_path}"
  assert reading.expand_globs(f"{folder}/*") == [f"{folder}/a"]
  whole = f"{folder}/b.partial"
  assert reading.expand_globs(whole) == [whole]
  with pytest.raises(ValueError, match="names no file"):
    reading.expand_globs(f"{folder}/b*")


@pytest.mark.parametrize("name", ["*.csv", "a.csv", "folder", "[b"])
def test_a_pattern_that_matches_no_file_is_an_error(tmp_path, name):
  (tmp_path / "a.txt").write_text("text", "utf-8")
  (tmp_path / "folder").mkdir()
  patterns = f"{tmp_path}/a.txt,{tmp_path}/{name}"
  with pytest.raises(ValueError) as error:
    reading.expand_globs(patterns, "--text")
  assert str(error.value) == f"--text: {tmp_path}/{name} names no file"
  with pytest.raises(ValueError, match="^--input_file is empty: give paths"):
    reading.expand_globs(" ,")


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_byte_ranges_yield_each_line_once(tmp_path, monkeypatch, scheme):
  lines = ["one", "", "zwei\u2028drei", "\r", "четыре", "五"]
  data = "\n".join(lines).encode("utf-8")
  (tmp_path / "text").write_bytes(data)
  path = f"{scheme}{tmp_path}/text"
  assert list(reading.text_lines(path)) == lines
  monkeypatch.setattr(reading, "READ_BYTES", 3)
  for size in range(1, len(data) + 2):
    found = []
    for start in range(0, len(data), size):
      found += reading.text_lines(path, start, start + size)
    assert found == lines, size


def test_the_error_for_bad_utf8_gives_the_byte(tmp_path):
  path = tmp_path / "latin1.txt"
  path.write_bytes("é\n".encode() + b"caf\xe9 au lait\n")
  for start in (0, 3):
    with pytest.raises(ValueError) as error:
      list(reading.text_lines(str(path), start))
    assert str(error.value) == (
      f"{path} is not utf-8: byte 6 is 0xe9; save the file as utf-8"
    )
  with pytest.raises(ValueError, match="there is no file .*missing"):
    list(reading.text_lines(f"{tmp_path}/missing"))
  with pytest.raises(ValueError, match="there is no file file://.*missing"):
    list(reading.text_lines(f"file://{tmp_path}/missing"))
