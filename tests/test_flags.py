# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Flags that are fields of a dataclass."""

from __future__ import annotations

import dataclasses
import re

import pytest
from absl import flags as absl_flags

import extract_features
import optimization
import run_classifier
import run_ranker
import run_tagger
from bert.records import vectors
from bert.tasks import classification_data, metrics, ranking, tagging
from bert.training import flags


@dataclasses.dataclass(frozen=True)
class Options(flags.Options):
  """A flag of each kind."""

  path: str | None = flags.flag(None, "A path.", required=True)
  size: int = flags.flag(8, "A size.", lower_bound=1, upper_bound=9)
  count: int = flags.flag(1, "How many.")
  rate: float | None = flags.flag(None, "A rate.", lower_bound=0.0)
  do_train: bool = flags.flag(False, "Train.")
  kind: str = flags.flag("one", "A kind.", choices=("one", "two"))
  names: tuple = flags.flag(("a",), "Names.")
  others: tuple | None = flags.flag(None, "Other names.")
  note: str = "not a flag"


@dataclasses.dataclass(frozen=True)
class Longer(Options):
  """The same flags, with another default."""

  size: int = flags.with_default(Options, "size", 5)


def test_a_flag_that_is_left_out_has_its_default():
  options, words = flags.parse(Options, ["--path=a"])
  assert options == Options(path="a", given=frozenset({"path"}))
  assert words == []


def test_each_kind_of_flag_is_read():
  options, words = flags.parse(
    Options,
    ["--path=a", "--size=3", "--rate=2", "--do_train", "word"],
  )
  assert (options.size, options.rate, options.do_train) == (3, 2.0, True)
  assert isinstance(options.rate, float)
  assert words == ["word"]
  options, _ = flags.parse(
    Options,
    ["--path=", "--nodo_train", "--kind=two", "--names=b,c", "--others="],
  )
  assert (options.path, options.do_train, options.kind) == ("", False, "two")
  assert (options.names, options.others) == (("b", "c"), ())


def test_a_flag_that_is_given_with_its_default_is_given():
  options, _ = flags.parse(Options, ["--path=a", "--size=8"])
  assert options.given == {"path", "size"}


def test_a_flag_may_come_repeatedly_and_words_may_be_taken():
  @dataclasses.dataclass(frozen=True)
  class Taking(flags.Options):
    grid: tuple = flags.flag((), "A grid.", repeated=True)
    words: tuple = ()

  options, words = flags.parse(
    Taking, ["--grid", "a=1,2", "--grid=b=3", "--", "run.py", "--grid=c"]
  )
  assert options.grid == ("a=1,2", "b=3")
  assert options.words == ("run.py", "--grid=c") and words == []
  assert flags.parse(Taking, [])[0] == Taking()


def test_a_script_can_have_another_default_within_the_same_bounds():
  assert flags.parse(Longer, ["--path=a"])[0].size == 5
  with pytest.raises(absl_flags.Error, match="size=10"):
    flags.parse(Longer, ["--path=a", "--size=10"])


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ([], "--path must have a value other than None"),
    (["--path=a", "--size=0"], "size=0"),
    (["--path=a", "--size=many"], "size=many"),
    (["--path=a", "--rate=-1"], "rate=-1"),
    (["--path=a", "--rate=nan"], "--rate=nan: give a number that float32 can"),
    (["--path=a", "--rate=inf"], "--rate=inf: give a number that float32 can"),
    (["--path=a", "--rate=1e39"], "--rate=1e+39: give a number that float32"),
    (
      ["--path=a", "--count=-99999999999999999999"],
      "whole numbers are at most",
    ),
    (["--path=a", "--count=" + "9" * 5000], "--count="),
    (["--path=\udcff"], "=\udcff: the name is not UTF-8: rename the file or"),
    (["--path=a", "--names=b,\udcff"], "the name is not UTF-8"),
    (["--path=a", "--kind=three"], "value should be one of <one|two>"),
    (["--path=a", "--do_train=perhaps"], "do_train=perhaps"),
    (["--path=a", "--note=x"], "Unknown command line flag 'note'"),
  ],
)
def test_wrong_values_are_refused(arguments, message):
  with pytest.raises(absl_flags.Error) as error:
    flags.parse(Options, arguments)
  assert message in str(error.value)


def test_help_shows_each_flag_with_its_text_and_default():
  flag_values = absl_flags.FlagValues()
  flags.define(Longer, flag_values)
  text = flag_values.get_help()
  assert "A size.\n    (default: '5')" in text
  assert "<one|two>: A kind." in text
  assert "--note" not in text


def test_options_do_not_change():
  with pytest.raises(dataclasses.FrozenInstanceError):
    Options().size = 3


def test_the_files_of_a_checkpoint_are_read_and_not_those_beside_a_text(
  tmp_path,
):
  @dataclasses.dataclass(frozen=True)
  class Reads(flags.Options):
    texts: str | None = flags.flag(None, "A text.", reads=True)

  parts = ["index", "data-00000-of-00001"]
  for name in (*parts, "npy", "npy.json", "lock"):
    (tmp_path / f"a.{name}").write_text("")
  path = str(tmp_path / "a")
  found = flags.inputs(Reads(texts=path))["texts"]
  assert sorted(found) == [path, *sorted(f"{path}.{part}" for part in parts)]


@pytest.mark.parametrize(
  ("options", "name", "table"),
  [
    (run_ranker.Options, "model", ranking.LOSSES),
    (run_ranker.Options, "loss", sum(ranking.LOSSES.values(), ())),
    (run_tagger.Options, "birnn_cell", tagging.RNN_CELLS),
    (run_tagger.Options, "tag_scheme", ("auto", *metrics.TAG_SCHEMES)),
    (extract_features.Options, "output_format", vectors.FORMATS),
    (flags.RunOptions, "optimizer", optimization.OPTIMIZERS),
    (flags.RunOptions, "lr_schedule", optimization.SCHEDULES),
  ],
)
def test_a_flag_has_the_values_of_the_table_that_it_chooses_from(
  options, name, table
):
  # Flags are read before the tables can be imported.
  assert set(options.__dataclass_fields__[name].metadata["choices"]) == set(
    table
  )


def test_the_classifiers_help_names_the_tasks():
  field = run_classifier.Options.__dataclass_fields__["task_name"]
  named = set(re.findall(r"[a-z0-9-]+(?=,| or )", field.metadata["help"]))
  assert set(classification_data.GLUE_TASKS) <= named
