# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The devices and machines that share a run."""

import json
import re

import pytest
from absl import logging

from bert.training import cluster, estimators, flags


def tf_config(workers, index, kind="worker", **jobs):
  return json.dumps(
    {
      "cluster": {"worker": workers, **jobs},
      "task": {"type": kind, "index": index},
    }
  )


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
  monkeypatch.delenv("TF_CONFIG", raising=False)


# ------------------------------------------------------------------- places


def test_one_machine_is_its_own_chief(tmp_path):
  options = flags.RunOptions(output_dir=str(tmp_path))
  assert cluster.is_chief(options)
  assert cluster.records_dir(options) == str(tmp_path)
  assert cluster.devices(options) == []
  assert cluster.num_replicas(options) == 1
  assert cluster.num_replicas(flags.RunOptions(use_tpu=True)) == 8


def test_each_worker_has_a_folder_for_its_records(tmp_path, monkeypatch):
  options = flags.RunOptions(
    output_dir=str(tmp_path), distribution="multi_worker"
  )
  monkeypatch.setenv("TF_CONFIG", tf_config(["a:1", "b:1"], 0))
  assert cluster.is_chief(options)
  assert cluster.records_dir(options) == str(tmp_path)
  monkeypatch.setenv("TF_CONFIG", tf_config(["a:1", "b:1"], 1))
  assert not cluster.is_chief(options)
  assert cluster.records_dir(options) == str(tmp_path / "worker_1")
  assert (tmp_path / "worker_1").is_dir()
  assert cluster.num_replicas(options) == 2


def test_a_worker_says_who_writes_and_is_quiet_then(monkeypatch, caplog):
  caplog.set_level("INFO", logger="absl")
  monkeypatch.setenv("TF_CONFIG", tf_config(["a:1", "b:1"], 1))
  before = logging.get_verbosity()
  try:
    cluster.check_devices(flags.RunOptions(distribution="multi_worker"))
    assert logging.get_verbosity() == logging.WARNING
  finally:
    logging.set_verbosity(before)
  assert caplog.messages == [
    "worker 1 of 2: worker 0, the chief (a:1), logs the progress and writes the"
    " results"
  ]


# ------------------------------------------------------------------- checks


def options_of(**changed):
  return flags.RunOptions(
    **{"output_dir": "gs://b/out", "init_checkpoint": "gs://b/m", **changed}
  )


def test_a_tpu_reads_cloud_storage():
  cluster.check_devices(options_of(use_tpu=True, tpu_name="t"))


@pytest.mark.parametrize(
  ("changed", "message"),
  [
    (
      {"distribution": "mirrored", "use_tpu": True, "tpu_name": "t"},
      "--distribution=mirrored is for GPUs and CPUs: leave it out with --use",
    ),
    ({"tpu_name": "t"}, "--tpu_name=t needs --use_tpu"),
    ({"use_tpu": True}, "--use_tpu needs --tpu_name (or --master)"),
    (
      {"use_tpu": True, "tpu_name": "t", "master": "m"},
      "give --tpu_name or --master, not both",
    ),
    (
      {"use_tpu": True, "tpu_name": "t", "output_dir": "out"},
      "--output_dir=out is a local path, which a TPU can't read: copy it",
    ),
    (
      {"distribution": "multi_worker"},
      "--distribution=multi_worker needs the environment variable TF_CONFIG",
    ),
  ],
)
def test_flags_that_contradict_each_other_are_named(changed, message):
  with pytest.raises(ValueError, match=re.escape(message)):
    cluster.check_devices(options_of(**changed))


def test_every_batch_is_split_over_the_cores_of_a_tpu():
  options = flags.FineTuningOptions(
    use_tpu=True,
    tpu_name="t",
    output_dir="gs://b/out",
    predict_batch_size=12,
  )
  with pytest.raises(
    ValueError, match="--predict_batch_size=12 can't be split over --num_tpu_c"
  ):
    cluster.check_devices(options)


def test_files_that_a_tpu_reads_are_in_cloud_storage():
  options = options_of(
    use_tpu=True, tpu_name="t", bert_config_file="gs://b/c, here"
  )
  with pytest.raises(ValueError, match="--bert_config_file=here is a local"):
    cluster.check_devices(options, ["bert_config_file"])


def test_the_tpu_of_a_tpu_vm_reads_local_files(tmp_path):
  options = flags.RunOptions(
    output_dir=str(tmp_path),
    init_checkpoint="m.ckpt",
    bert_config_file="c.json",
    use_tpu=True,
    tpu_name="local",
  )
  cluster.check_devices(options, ["bert_config_file"])
  estimator = estimators.estimator_for(options, lambda features: None, 8)
  assert estimator.config.master == ""  # a session of this process
  assert not estimator.config.cluster_spec.jobs


def test_several_workers_need_the_flag_that_uses_them(monkeypatch):
  monkeypatch.setenv("TF_CONFIG", tf_config(["a:1", "b:1"], 0))
  for options in (flags.RunOptions(), flags.DeviceOptions()):
    with pytest.raises(
      ValueError,
      match="TF_CONFIG names 2 workers, but --distribution=none uses one",
    ):
      cluster.check_devices(options)
  cluster.is_chief(flags.Options())  # of a script that does without devices
  monkeypatch.setenv("TF_CONFIG", tf_config(["a:1"], 0))
  cluster.check_devices(flags.RunOptions())


# ---------------------------------------------------------------- TF_CONFIG


def test_tf_config_names_workers_and_a_chief():
  text = tf_config(["a:1", "b:1"], 1)
  assert cluster.parse_cluster(text) == (["a:1", "b:1"], 1)
  text = tf_config(["a:1", "b:1"], 0, chief=["c:1"])
  assert cluster.parse_cluster(text) == (["c:1", "a:1", "b:1"], 1)
  text = tf_config(["a:1", "b:1"], 0, "chief", chief=["c:1"])
  assert cluster.parse_cluster(text) == (["c:1", "a:1", "b:1"], 0)


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("{oops", "TF_CONFIG: not JSON"),
    ("[]", "TF_CONFIG has no cluster"),
    ('{"cluster": {"worker": ["a:1"]}}', "TF_CONFIG has no task"),
    (
      '{"cluster": {}, "task": {"type": "worker", "index": 0}}',
      "TF_CONFIG has no cluster.worker",
    ),
    (tf_config(["a:1", "b:1"], 2), '"index": 2}, but cluster has worker 0 to'),
    (tf_config(["a:1", "b:1"], "1"), '"index": "1"}, but cluster has worker 0'),
    (tf_config(["a:1"], 0, ["worker"]), "but cluster has worker 0 to 0"),
    (tf_config(["a:1", "a:1"], 0), "list each address once"),
    (tf_config(["a", "b:1"], 0), "has to be a list of host:port"),
    (tf_config("a:1", 0), "has to be a list of host:port"),
    (tf_config({"0": "a:1"}, 0), "has to be a list of host:port"),
    (tf_config(["a:0"], 0), "has to be a list of host:port, with ports 1"),
    (tf_config(["a:65536"], 0), "with ports 1 to 65535"),
    (tf_config(["a:" + "9" * 5000], 0), "with ports 1 to 65535"),
    (tf_config(["a:\u0663"], 0), "has to be a list of host:port"),
    (tf_config(["a\n:1"], 0), "has to be a list of host:port"),
    (tf_config([["a:1"]], 0), "has to be a list of host:port"),
    (tf_config([None], 0), "has to be a list of host:port"),
    (tf_config(["a:1"], True), "but cluster has worker 0 to 0"),
    (tf_config(["a:1"], None), "but cluster has worker 0 to 0"),
    (tf_config(["a:1"], 0, {"worker": 0}), "but cluster has worker 0 to 0"),
    (tf_config(["a:1"], float("nan")), "NaN is not a number that JSON has"),
    ("9" * 5000, "TF_CONFIG: not JSON"),
    ("[" * 100000, "TF_CONFIG: not JSON: too many nested brackets"),
    ("\udcff", "TF_CONFIG: not JSON"),
    ("null", "TF_CONFIG has no cluster"),
    ('{"cluster": {"worker": ["a:1"]}, "task": [0]}', "TF_CONFIG has no task"),
    ('{"cluster": "a:1", "task": {}}', "TF_CONFIG has no cluster"),
    (tf_config(["a:1"], 0, ps=["b:1"]), "list each address once, as worker"),
  ],
)
def test_a_malformed_tf_config_is_named(text, message):
  with pytest.raises(ValueError, match=re.escape(message)):
    cluster.parse_cluster(text)
