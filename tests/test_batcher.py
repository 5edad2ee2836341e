# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Batches across requests: which windows go together, and who goes first."""

import asyncio
import threading
import time
import types

import pytest

pytest.importorskip("fastapi", reason="requirements-serve.txt")

from bert.serving import batcher


class Model:
  """Counts to the length of each window; it can be held, and can fail."""

  def __init__(self, name="model"):
    self.name, self.batches = name, []
    self.may_go, self.began = threading.Event(), threading.Event()
    self.may_go.set()
    self.error = None

  def run(self, windows):
    self.batches.append([len(window["input_ids"]) for window in windows])
    self.began.set()
    assert self.may_go.wait(20)
    if self.error:
      raise self.error
    return [{"length": len(window["input_ids"])} for window in windows]

  def hold(self):
    self.may_go.clear()
    self.began.clear()


def windows(*lengths):
  return [{"input_ids": [1] * length} for length in lengths]


@pytest.fixture
def model():
  return Model()


@pytest.fixture
def make():
  """Makes a batcher of one thread that is closed after the test."""
  made = []

  def make(*arguments, num_threads=1, **options):
    made.append(batcher.Batcher(*arguments, num_threads=num_threads, **options))
    return made[-1]

  yield make
  for each in made:
    each.close()


async def held(batches, model, *lengths):
  """Has a request computed until the model `may_go`."""
  model.hold()
  task = asyncio.create_task(ask(batches, model, *lengths))
  await asyncio.get_running_loop().run_in_executor(None, model.began.wait, 20)
  return task


async def ask(batches, model, *lengths, seconds=20, watchers=None):
  """The lengths that a model gives for a request's windows."""
  outputs = await batches.compute(
    model, windows(*lengths), time.monotonic() + seconds, watchers
  )
  return [output["length"] for output in outputs]


async def start(*coroutines):
  """Starts requests, one after the other."""
  tasks = []
  for each in coroutines:
    tasks.append(asyncio.create_task(each))
    await asyncio.sleep(0)
  return tasks


# --------------------------------------------------------------- of lengths


@pytest.mark.parametrize(
  ("lengths", "place", "most", "expected"),
  [
    ([5], 0, 8, (0, 1)),
    ([5, 5, 5, 5], 1, 8, (0, 4)),
    ([5, 5, 5, 5, 5], 4, 2, (3, 5)),
    # 2 * 50 + 32 is less than 20 + 50 + 2 * 32; 2 * 53 + 32 is not.
    ([20, 50], 0, 8, (0, 2)),
    ([20, 53], 0, 8, (0, 1)),
    ([20, 53], 1, 8, (1, 2)),
    # 2 * 30 + 3 * 100 + 2 * 32 is the least.
    ([20, 30, 90, 95, 100], 0, 8, (0, 2)),
    ([20, 30, 90, 95, 100], 3, 8, (2, 5)),
  ],
)
def test_windows_are_computed_with_those_that_make_it_fast(
  lengths, place, most, expected
):
  assert batcher.best_range(lengths, place, most) == expected


def test_the_first_is_computed_and_only_its_model():
  one, two = (types.SimpleNamespace(model=name) for name in ("one", "two"))
  queue = [
    batcher._Window(turn, turn, length, work, 0)
    for turn, (length, work) in enumerate(
      [(300, one), (5, one), (300, two), (310, one), (290, one)]
    )
  ]
  batch, rest = batcher.choose(queue, 8)
  assert [window.length for window in batch] == [300, 310, 290]
  assert [(w.length, w.work.model) for w in rest] == [(5, "one"), (300, "two")]


# ----------------------------------------------------------- across requests


def test_what_comes_while_a_batch_is_computed_is_computed_together(model, make):
  async def run():
    batches = make(4)
    first = await held(batches, model, 3)
    others = await start(*(ask(batches, model, n, n + 1) for n in (5, 7, 9)))
    assert batches.num_waiting == 6
    model.may_go.set()
    return await asyncio.gather(first, *others)

  assert asyncio.run(run()) == [[3], [5, 6], [7, 8], [9, 10]]
  assert model.batches[0] == [3]
  # 3 * 7 + 3 * 10 is less than 4 * 8 + 2 * 10.
  found = [sorted(batch) for batch in model.batches[1:]]
  assert sorted(found) == [[5, 6, 7], [8, 9, 10]]


def test_a_large_request_lets_others_pass(model, make):
  """It is given every fourth window while others wait."""

  async def run():
    batches = make(1)
    large = await held(batches, model, *[9] * 12)
    small = await start(*(ask(batches, model, 5) for _ in range(6)))
    model.may_go.set()
    await asyncio.gather(large, *small)

  asyncio.run(run())
  order = [length for (length,) in model.batches]
  assert len(order) == 18
  assert order.index(5) == 1  # it has had its turn
  assert max(place for place, n in enumerate(order) if n == 5) < 9
  assert order[-3:] == [9, 9, 9]


def test_two_batches_are_computed_at_the_same_time(model, make):
  async def run():
    batches = make(2, num_threads=2)
    first = await held(batches, model, 3)
    second = await held(batches, model, 4)
    others = await start(*(ask(batches, model, n) for n in (5, 6)))
    await asyncio.sleep(0.05)
    assert model.batches == [[3], [4]] and batches.num_waiting == 2
    model.may_go.set()
    assert await asyncio.gather(first, second, *others) == [[3], [4], [5], [6]]
    batches.close()
    assert not batches.is_alive

  asyncio.run(run())


def test_a_batch_that_is_not_full_waits_for_a_while(model, make):
  async def run():
    batches = make(2, max_delay=20.0)
    begun = time.monotonic()
    both = await start(ask(batches, model, 3), ask(batches, model, 4))
    await asyncio.gather(*both)
    return time.monotonic() - begun

  assert asyncio.run(run()) < 10
  assert model.batches == [[3, 4]]


def test_the_queue_is_full(model, make):
  async def run():
    batches = make(1, max_queue=2)
    first = await held(batches, model, 3)
    assert not batches.is_full
    others = await start(ask(batches, model, 4), ask(batches, model, 5))
    assert batches.is_full and batches.num_waiting == 2
    model.may_go.set()
    await asyncio.gather(first, *others)
    assert batches.num_waiting == 0 and not batches.is_full
    assert batches.seconds_to_wait() == 0

  asyncio.run(run())


def test_a_request_is_given_up_after_its_deadline(model, make):
  async def run():
    batches = make(1)
    first = await held(batches, model, 3)
    with pytest.raises(batcher.Late):
      await ask(batches, model, 4, seconds=0.05)
    model.may_go.set()
    assert await first == [3]
    assert await ask(batches, model, 5) == [5]

  asyncio.run(run())
  assert model.batches == [[3], [5]]  # nobody waited for 4


def test_what_nobody_waits_for_is_not_computed(model, make):
  async def run():
    batches, watchers = make(1), set()
    first = await held(batches, model, 3)
    (cut,) = await start(ask(batches, model, 4, 4, watchers=watchers))
    for call in tuple(watchers):
      call()
    with pytest.raises(batcher.Cut):
      await cut
    model.may_go.set()
    assert await first == [3] and not watchers

  asyncio.run(run())
  assert model.batches == [[3]]


def test_an_error_fails_its_batch_and_is_told_without_its_text(
  model, make, caplog
):
  async def run():
    batches = make(2)
    model.error = MemoryError("my secret text")
    with pytest.raises(batcher.Failed):
      await ask(batches, model, 3)
    model.error = None
    return await ask(batches, model, 4)

  assert asyncio.run(run()) == [4]
  assert "a batch of model: MemoryError" in caplog.text
  assert "in run" in caplog.text and "secret" not in caplog.text


@pytest.mark.parametrize("num_threads", [1, 2])
def test_it_computes_what_waits_before_it_closes(model, make, num_threads):
  async def run():
    batches = make(1, num_threads=num_threads)
    first = [await held(batches, model, 3) for _ in range(num_threads)]
    waiting = await start(*(ask(batches, model, 4) for _ in range(3)))
    closing = threading.Thread(target=batches.close)
    closing.start()
    model.may_go.set()
    assert await asyncio.gather(*first) == [[3]] * num_threads
    assert await asyncio.gather(*waiting) == [[4]] * 3
    closing.join()
    assert not batches.is_alive

  asyncio.run(run())


def test_how_long_it_takes_until_all_is_computed(model, make, monkeypatch):
  async def run():
    batches = make(10)
    assert batches.seconds_to_wait() == 0
    monkeypatch.setattr(model, "run", lambda found: time.sleep(0.1) or found)
    await batches.compute(model, windows(3, 3, 3), time.monotonic() + 20)
    monkeypatch.undo()
    first = await held(batches, model, 3)
    others = await start(*(ask(batches, model, 4) for _ in range(9)))
    found = batches.seconds_to_wait()  # 10 windows at 3 in 0.1 s
    model.may_go.set()
    await asyncio.gather(first, *others)
    return found

  assert 0.15 < asyncio.run(run()) < 3


def test_the_rate_is_that_of_all_threads(model, make, monkeypatch):
  """One thread computes long windows, the other meanwhile many short ones."""

  def run_model(found):
    time.sleep(1.0 if len(found[0]["input_ids"]) > 9 else 0.05)
    return found

  async def run():
    batches = make(2, num_threads=2)
    monkeypatch.setattr(model, "run", run_model)
    (long,) = await start(
      batches.compute(model, windows(100, 100), time.monotonic() + 20)
    )
    await asyncio.sleep(0.1)
    for _ in range(10):
      await batches.compute(model, windows(3, 3), time.monotonic() + 20)
    await long
    return batches._rate

  # 2 short ones in 0.05 seconds at most, and 22 of both in the last second. The
  # short ones' own rate, twice as high for two threads, would be 80.
  assert 5 < asyncio.run(run()) < 45


def test_only_what_comes_before_a_new_request_keeps_it_waiting(model, make):
  """Of a large request these are few."""

  async def run():
    batches = make(8, max_queue=10)
    first = await held(batches, model, *[3] * 900)
    found = [(batches.num_waiting, batches.is_full)]
    batches._rate = 10.0
    # 8 are being computed. Of those that wait the first has the turn 4 * 8,
    # the next 4 * 9.
    found += [batches.seconds_to_wait(size) for size in (1, 8, 9, 10, 1000)]
    found += [batches.seconds_to_compute(25)]
    large = await start(ask(batches, model, *[3] * 50))
    found += [batches.seconds_to_wait(size) for size in (1, 4, 100)]
    small = await start(*(ask(batches, model, 3) for _ in range(9)))
    found += [batches.is_full]
    for each in (first, *large, *small):
      each.cancel()
    model.may_go.set()
    return found

  assert asyncio.run(run()) == [
    (892, False),
    *(0.8, 0.8, 0.9, 1.0, 90.0),
    2.5,
    *(0.9, 1.2, 15.0),
    True,
  ]


@pytest.mark.parametrize("num_threads", [1, 2])
def test_a_defect_in_the_thread_fails_its_batch_and_no_more(
  model, make, num_threads, monkeypatch, caplog
):
  def broken(queue, max_batch):
    raise KeyError

  async def run():
    batches = make(2, num_threads=num_threads)
    with monkeypatch.context() as patch:
      patch.setattr(batcher, "choose", broken)
      with pytest.raises(batcher.Failed):
        await ask(batches, model, 3)
    return batches.is_alive, await ask(batches, model, 4)

  assert asyncio.run(run()) == (True, [4])
  assert "a thread that computes: KeyError" in caplog.text


def test_batches_are_counted(model, make):
  counted = []

  async def run():
    batches = make(4, on_batch=lambda *found: counted.append(found))
    await ask(batches, model, 3, 3)
    await ask(batches, model, 4)

  asyncio.run(run())
  for _ in range(100):  # it is counted when the answer is already there
    if len(counted) == 2:
      break
    time.sleep(0.01)
  assert [(found[0], found[1]) for found in counted] == [(model, 2), (model, 1)]
  assert all(0 <= seconds < 10 for _, _, seconds in counted)
