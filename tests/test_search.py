# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Exact search, search by an index, and the files that keep them."""

import io
import json
import os

import numpy as np
import pytest

from bert.records import search


@pytest.mark.parametrize("count", [1, 3, 50])
def test_the_search_is_exact(monkeypatch, count):
  monkeypatch.setattr(search, "_ROWS_AT_ONCE", 7)
  rng = np.random.RandomState(0)
  vectors = rng.randn(40, 6).astype(np.float32)
  queries = rng.randn(5, 6).astype(np.float32)
  products, places = search.exact(vectors, queries, count)
  every = queries @ vectors.T
  expected = np.argsort(-every, axis=1)[:, :count]
  np.testing.assert_array_equal(places, expected)
  np.testing.assert_allclose(
    products, np.take_along_axis(every, expected, axis=1), rtol=1e-5
  )


def test_an_index_finds_nearly_what_the_exact_search_finds(tmp_path):
  faiss = pytest.importorskip("faiss", reason="requirements-faiss.txt")
  rng = np.random.RandomState(0)
  vectors = rng.randn(2000, 8).astype(np.float32)
  vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
  index = search.build_index(vectors)
  search.tune_index(index, vectors, 5)
  assert index.nlist == 89  # twice the root of 2000
  assert index.nprobe < 89
  path = str(tmp_path / "a.faiss")
  faiss.write_index(index, path)
  products, places = faiss.read_index(path).search(vectors[:50], 5)
  exact, expected = search.exact(vectors, vectors[:50], 5)
  share = np.mean([np.isin(*pair).mean() for pair in zip(expected, places)])
  assert share >= 0.95
  np.testing.assert_array_equal(places[:, 0], np.arange(50))
  np.testing.assert_allclose(products[:, 0], exact[:, 0], rtol=1e-5)
  few = index.nprobe
  search.tune_index(index, vectors, 200)  # they are spread over more lists
  assert index.nprobe > few


def test_an_index_of_one_response_finds_it():
  pytest.importorskip("faiss", reason="requirements-faiss.txt")
  vectors = np.ones([1, 4], np.float32) / 2
  index = search.build_index(vectors)
  search.tune_index(index, vectors, 1)
  assert index.search(vectors, 5)[1].tolist() == [[0, -1, -1, -1, -1]]


class Keeper:
  """Keeps an array beside a file, and counts how often it is made."""

  def __init__(self, folder):
    self.text_file = str(folder / "a.txt")
    self.made = 0

  def __call__(self, model, text, may_make=True, make=None):
    mark = {"model": model, "text": text}
    kept = search.SearchFiles(
      self.text_file, mark, f"{model}.ckpt", (2, 3), may_make
    )
    return kept.vectors(make or self.make)[0, 0]

  def make(self):
    self.made += 1
    return np.full([2, 3], self.made, np.float32)


def test_vectors_are_kept_until_model_or_text_changes(tmp_path):
  vectors = Keeper(tmp_path)
  assert [vectors("m", "t"), vectors("m", "t"), vectors("m", "u")] == [1, 1, 2]
  assert sorted(os.listdir(tmp_path)) == ["a.txt.npy", "a.txt.npy.json"]
  with pytest.raises(
    ValueError, match=r"a.txt.npy was made from another model \(m.ckpt\): lea"
  ):
    vectors("n", "u", may_make=False)
  assert vectors("m", "u", may_make=False) == 2
  (tmp_path / "a.txt.npy.partial").mkdir()
  with pytest.raises(ValueError, match="another model and another text.*can't"):
    vectors("n", "t")
  (tmp_path / "a.txt.npy.partial").rmdir()
  assert vectors("m", "u") == 2
  assert vectors.made == 2


def test_vectors_that_could_not_be_made_leave_the_old_ones(tmp_path):
  vectors = Keeper(tmp_path)
  vectors("m", "t")

  def fail():
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    vectors("n", "t", make=fail)
  assert sorted(os.listdir(tmp_path)) == ["a.txt.npy", "a.txt.npy.json"]
  assert vectors("m", "t", make=fail) == 1


def test_damaged_vectors_are_made_again(tmp_path):
  vectors = Keeper(tmp_path)
  vectors("m", "t")
  path = tmp_path / "a.txt.npy"
  path.write_bytes(path.read_bytes()[:-4])
  with pytest.raises(ValueError, match="a.txt.npy is damaged: leave out"):
    vectors("m", "t", may_make=False)
  assert vectors("m", "t") == 2
  path.write_bytes(b"\0" * path.stat().st_size)
  assert vectors("m", "t") == 3


def test_vectors_that_the_code_before_kept_are_used(tmp_path):
  np.save(tmp_path / "a.txt.npy", np.full([2, 3], 7, np.float32))
  size = (tmp_path / "a.txt.npy").stat().st_size
  note = {"model": "m", "text": "t", "checkpoint": "m.ckpt", "bytes": size}
  text = json.dumps(note, indent=2, ensure_ascii=False) + "\n"
  (tmp_path / "a.txt.npy.json").write_text(text)
  vectors = Keeper(tmp_path)
  assert vectors("m", "t", may_make=False) == 7
  assert vectors.made == 0


def npy(array, **header):
  """A NumPy file's bytes; `header` replaces what it says."""
  data = io.BytesIO()
  np.save(data, array)
  start = io.BytesIO(data.getvalue())
  version = np.lib.format.read_magic(start)
  assert version == (1, 0)
  shape, fortran, _ = np.lib.format.read_array_header_1_0(start)
  said = {"descr": array.dtype.str, "fortran_order": fortran, "shape": shape}
  forged = io.BytesIO()
  np.lib.format.write_array_header_1_0(forged, {**said, **header})
  return forged.getvalue() + start.read()


GOOD = np.full([2, 3], 7, np.float32)


@pytest.mark.parametrize(
  "forged",
  [
    npy(np.array([[{}] * 3] * 2), descr="|O"),  # unpickling it could run code
    npy(GOOD, descr="|O"),
    npy(GOOD, shape=(10**12, 3)),
    npy(GOOD, shape=(-2, 3)),
    npy(GOOD, shape=(6,)),
    npy(GOOD, shape=(1, 2, 3)),
    npy(GOOD, shape=(3, 2)),
    npy(GOOD, fortran_order=True),
    npy(GOOD.astype(np.float64)),
    npy(GOOD)[:-4],
    npy(GOOD)[:-4] + b"\0\0\xc0\x7f",  # NaN
    npy(GOOD)[:-4] + b"\0\0\x80\x7f",  # infinity
    npy(GOOD) + b"\0" * 12,
    b"\x93NUMPY\x01\0\xff\xff" + b"(" * 65535,
    b"\x93NUMPY\x09\0",
    b"",
  ],
)
def test_forged_vectors_are_made_again(tmp_path, forged):
  """Their note has the right size and no checksum, as before."""
  (tmp_path / "a.txt.npy").write_bytes(forged)
  note = {"model": "m", "text": "t", "checkpoint": "m", "bytes": len(forged)}
  (tmp_path / "a.txt.npy.json").write_text(json.dumps(note))
  vectors = Keeper(tmp_path)
  with pytest.raises(ValueError, match="a.txt.npy is damaged .*leave out --no"):
    vectors("m", "t", may_make=False)
  assert (vectors("m", "t"), vectors.made) == (1, 1)


def test_vectors_that_are_not_numbers_are_not_kept(tmp_path):
  vectors = Keeper(tmp_path)
  for value in (np.nan, np.inf):
    with pytest.raises(ValueError, match="are NaN or infinite: the model's tr"):
      vectors("m", "t", make=lambda value=value: GOOD * value)
  with pytest.raises(ValueError, match=r"the shape \(3, 2\), not \(2, 3\)"):
    vectors("m", "t", make=lambda: GOOD.T)
  assert os.listdir(tmp_path) == []


def test_an_index_of_other_vectors_is_made_again(tmp_path):
  faiss = pytest.importorskip("faiss", reason="requirements-faiss.txt")
  vectors = np.eye(4, dtype=np.float32)
  kept = search.SearchFiles(
    str(tmp_path / "a.txt"), {"model": "m"}, "m.ckpt", (4, 4)
  )
  path = tmp_path / "a.txt.faiss"
  for other in (search.build_index(vectors[:3]), faiss.IndexFlatIP(4)):
    faiss.write_index(other, str(path))
    note = {"model": "m", "bytes": path.stat().st_size}
    (tmp_path / "a.txt.faiss.json").write_text(json.dumps(note))
    index = kept.index(vectors)
    assert (index.ntotal, index.nlist) == (4, 4)


def test_an_index_is_kept_beside_the_vectors(tmp_path, monkeypatch):
  pytest.importorskip("faiss", reason="requirements-faiss.txt")
  vectors = np.eye(4, dtype=np.float32)
  kept = search.SearchFiles(
    str(tmp_path / "a.txt"), {"model": "m"}, "m.ckpt", (4, 4)
  )
  made = kept.index(vectors)
  assert sorted(os.listdir(tmp_path)) == ["a.txt.faiss", "a.txt.faiss.json"]
  monkeypatch.setattr(search, "build_index", None)
  assert kept.index(vectors).ntotal == made.ntotal == 4
