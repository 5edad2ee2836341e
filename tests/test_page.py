# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""The page in a real browser, against a server of its own with tiny models.

What the page shows is compared with what the server answers to the same row.
Skipped where Chromium or Playwright is missing.
"""

import json
import re
import shutil
import time
import urllib.error
import urllib.request

import conftest
import helpers
import pytest

CHROMIUM = next(
  filter(
    None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
  ),
  None,
)
playwright = pytest.importorskip(
  "playwright.sync_api", reason="Playwright is not installed"
)
expect = playwright.expect
pytestmark = [
  pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium"),
  pytest.mark.xdist_group("page"),  # one server and one browser for all
  pytest.mark.slow,
]
CONTEXT = "\N{GRINNING FACE} A good day, the café.  Two bad days! One day. "
RESPONSES = ["a good day", "two bad days", "the cafe"]
EVIL = "<img src=x onerror=\"document.title='caught'\"> good"
SINGLE = conftest.CLASSIFIER_NOTE
MULTI = {**SINGLE, "label_type": "multi", "labels": ["a", "b"]}
NUMBER = {**SINGLE, "label_type": "number", "labels": [], "second_text": False}
SQUAD = {**conftest.SQUAD_NOTE, "n_best_size": 20}
TAGGER = {
  "labels": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"],
  "tag_scheme": "bio",
  "use_crf": False,
  "birnn_cell": None,
  "birnn_size": 4,
  "mix_layers": [],
}
FOLDERS = {
  "praise": ("classifier", SINGLE),
  "topics_of_letters_to_the_editor_of_1998": (
    "classifier",
    {**MULTI, "thresholds": [0.0, 1.0]},
  ),
  "size": (
    "classifier",
    {
      **NUMBER,
      "text_template": "{who} good",
      "feature_columns": ["size"],
      "feature_mean": [10.0],
      "feature_std": [2.0],
    },
  ),
  "answers": ("squad", SQUAD),
  "names": ("tagger", TAGGER),
  "pairs": ("ranker", {"model": "interaction", "pooling": "mean"}),
  "replies": ("ranker", {"model": "representation", "pooling": "mean"}),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
  """The address of a server with a model of each task."""
  place = tmp_path_factory.mktemp("served")
  for name, (task, note) in FOLDERS.items():
    conftest.make_trained_folder(task, place / name, layers=2, **note)
  helpers.make_pretrained_folder(place / "words")
  helpers.write(place / "responses.txt", "\n".join(RESPONSES))
  (address,) = helpers.free_addresses(1)
  process = helpers.start_process(
    "serve.py",
    "--model_dir=" + ",".join(str(place / n) for n in [*FOLDERS, "words"]),
    f"--response_file={place / 'responses.txt'}",
    f"--port={address.rpartition(':')[2]}",
    stderr=(place / "log").open("w"),
  )
  try:
    wait_for(f"http://{address}/readyz", process, place / "log")
    yield f"http://{address}"
  finally:
    process.terminate()
    process.communicate(timeout=60)


def wait_for(url, process, log):
  end = time.monotonic() + 180
  while time.monotonic() < end and process.poll() is None:
    try:
      with urllib.request.urlopen(url):
        return
    except (urllib.error.URLError, ConnectionError):
      time.sleep(0.2)
  raise AssertionError(f"serve.py is not ready: {log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def browser():
  with playwright.sync_playwright() as driver:
    browser = driver.chromium.launch(
      executable_path=CHROMIUM, args=["--no-sandbox"]
    )
    yield browser
    browser.close()


@pytest.fixture
def page(browser, server):
  """The page, which must not fail, nor load anything from elsewhere."""
  context = browser.new_context(base_url=server, accept_downloads=True)
  page = context.new_page()
  page.set_default_timeout(20_000)
  errors, others = [], []
  page.on("pageerror", lambda error: errors.append(str(error)))
  page.on(
    "console",
    lambda said: "Security Policy" in said.text and errors.append(said.text),
  )
  page.on(
    "request",
    lambda sent: (
      sent.url.startswith((server, "data:", "blob:")) or others.append(sent.url)
    ),
  )
  page.goto("/")
  yield page
  assert not errors and not others
  context.close()


def asked(server, model, *rows):
  """The server's answers to rows."""
  request = urllib.request.Request(
    f"{server}/v1/models/{model}:predict",
    json.dumps({"instances": rows}).encode(),
    {"Content-Type": "application/json"},
  )
  with urllib.request.urlopen(request) as answer:
    return json.load(answer)["predictions"]


def choose(page, model):
  select = page.get_by_label("Model", exact=True)
  expect(select.locator("option", has_text=model)).to_be_attached()
  if select.is_enabled():  # there are others
    select.select_option(label=model)


def ask(page, model, **fields):
  """Asks a model, whose fields are given by their keys."""
  choose(page, model)
  for key, text in fields.items():
    page.locator(f"[data-key='{key}']").fill(text)
  page.get_by_role("button", name="Ask", exact=True).click()
  expect(page.locator("#took")).to_contain_text("ms")


def percent(share):
  if share < 0.001:
    return "< 0.1 %"
  return "> 99.9 %" if share > 0.999 else f"{share * 100:.1f} %"


def shown_bars(page):
  """[(name, number)] of the bars of the answer."""
  names = page.locator("#answer .bar .name").all_text_contents()
  numbers = page.locator("#answer .bar .number").all_text_contents()
  return list(zip(names, numbers))


# ------------------------------------------------------------------ answers


def test_labels_have_bars(page, server):
  row = {"text_a": "good day", "text_b": "bad"}
  (found,) = asked(server, "praise", row)
  ask(page, "praise", **row)
  ranked = sorted(found["probabilities"].items(), key=lambda item: -item[1])
  assert shown_bars(page) == [(name, percent(p)) for name, p in ranked]
  verdict = page.locator("#answer .verdict")
  expect(verdict).to_have_text(f"{found['label']} {percent(ranked[0][1])}")
  expect(page.locator("#spoken")).to_have_text(
    f"Answer: {found['label']}, {percent(ranked[0][1])}"
  )
  shares = page.eval_on_selector_all(
    "#answer .fill", "all => all.map(e => e.style.getPropertyValue('--share'))"
  )
  assert list(map(float, shares)) == pytest.approx([p for _, p in ranked])


def test_several_labels_and_numbers(page, server):
  ask(
    page, "topics_of_letters_to_the_editor_of_1998", text_a="good", text_b="bad"
  )
  (found,) = asked(
    server,
    "topics_of_letters_to_the_editor_of_1998",
    {"text_a": "good", "text_b": "bad"},
  )
  ticked = page.locator("#answer .bar:has(.tick) .name").all_text_contents()
  assert found["labels"] == ["a"] and ticked == ["✓a"]
  ask(page, "size", who="the", size="12.5")
  (found,) = asked(server, "size", {"who": "the", "size": 12.5})
  number = float(page.locator("#answer .verdict").text_content())
  assert number == pytest.approx(found["prediction"], abs=1e-4)


def test_an_answer_is_marked_in_its_context(page, server):
  row = {"question": "one day?", "context": CONTEXT}
  (found,) = asked(server, "answers", row)
  ask(page, "answers", **row)
  best, other = found["answers"][:2]
  mark = page.locator("#answer mark")
  assert mark.text_content() == CONTEXT[best["start"] : best["end"]]
  assert page.locator("#answer .prose").text_content() == CONTEXT
  options = page.locator("#answer .options button")  # some are folded up
  assert options.count() == len(found["answers"])
  options.nth(1).click()
  assert mark.text_content() == CONTEXT[other["start"] : other["end"]]
  expect(options.nth(1)).to_have_attribute("aria-pressed", "true")
  expect(options.nth(0)).to_have_attribute("aria-pressed", "false")
  assert page.locator("#answer .prose").text_content() == CONTEXT


def test_entities_are_marked_and_named(page, server):
  text = CONTEXT * 3
  (found,) = asked(server, "names", {"text": text})
  ask(page, "names", text=text)
  assert found["entities"]
  assert page.locator("#answer .prose .entity").all_text_contents() == [
    each["text"] + each["type"] for each in found["entities"]
  ]


def test_candidates_are_ranked(page, server):
  lines = ["good day", "two", "the bad cafe"]
  rows = [{"text_a": "one?", "text_b": line} for line in lines]
  found = asked(server, "pairs", *rows)
  ask(page, "pairs", text_a="one?", text_b="\n".join(lines) + "\n\n")
  order = sorted(range(3), key=lambda i: -found[i]["score"])
  expect(page.get_by_label("Pair")).to_have_value(str(order[0]))
  assert shown_bars(page) == [
    (f"{rank}. {lines[i]}", percent(found[i]["probability"]))
    for rank, i in enumerate(order, 1)
  ]


def test_responses_are_found(page, server):
  (found,) = asked(server, "replies", {"text": "good?", "top_k": 2})
  ask(page, "replies", text="good?", top_k="2")
  assert shown_bars(page) == [
    (f"{rank}. {each['text']}", f"{each['score']:.3f}")
    for rank, each in enumerate(found["answers"], 1)
  ]


def test_texts_are_compared_by_their_vectors(page):
  model = {
    "name": "vectors",
    "task": "ranker",
    "example": {"text_a": "..."},
    "state": "AVAILABLE",
  }
  vectors = [[2, 0], [0.6, 0.8], [3, 0], [-1, 0]]
  answers = [{"vector": vector} for vector in vectors]
  page.route("**/v1/models", lambda r: r.fulfill(json={"models": [model]}))
  page.route("**/*:predict", lambda r: r.fulfill(json={"predictions": answers}))
  page.reload()
  ask(page, "vectors", text="one", others="two\nthree\nfour")
  assert shown_bars(page) == [
    ("1. three", "1.000"),
    ("2. two", "0.600"),
    ("3. four", "-1.000"),
  ]


def test_masks_are_filled(page, server):
  row = {"text": "a [MASK] day, the [MASK].", "top_k": 3}
  (found,) = asked(server, "words", row)
  ask(page, "words", text=row["text"], top_k="3")
  assert shown_bars(page) == [
    (each["token"], percent(each["probability"]))
    for top in found["masks"]
    for each in top
  ]
  first, second = (top[0]["token"] for top in found["masks"])
  text = page.locator("#answer .prose")
  expect(text).to_have_text(f"a {first} day, the {second}.")
  other = found["masks"][1][1]["token"]
  page.locator("#answer .bars").nth(1).get_by_role("button").nth(1).click()
  expect(text).to_have_text(f"a {first} day, the {other}.")


def test_texts_are_scored_and_follow(page, server):
  choose(page, "words")
  page.get_by_text("Score a text").click()
  (found,) = asked(server, "words", {"score": "a good day"})
  page.get_by_label("Text", exact=True).fill("a good day")
  page.get_by_role("button", name="Ask", exact=True).click()
  expect(page.locator("#answer .verdict")).to_contain_text(
    f"{found['mean']:.2f}"
  )
  assert page.locator("#answer .scored").all_text_contents() == found["tokens"]
  page.get_by_text("Does B follow A?").click()
  row = {"text_a": "good", "text_b": "bad"}
  (found,) = asked(server, "words", row)
  page.get_by_label("Text A").fill("good")
  page.get_by_label("Text B").fill("bad")
  page.get_by_role("button", name="Ask", exact=True).click()
  follows = found["next_probability"]
  expect(page.locator("#answer .bar").first).to_contain_text(percent(follows))


# --------------------------------------------------------------- inspection


def test_pieces_and_attention(page, server):
  ask(page, "praise", text_a="good days", text_b="bad")
  page.get_by_text("Pieces and their ids").click()
  pieces = page.locator("#piece-list li")
  expect(pieces).to_have_text(
    ["[CLS]2", "good5", "day7", "##s8", "[SEP]3", "bad6", "[SEP]3"]
  )
  page.get_by_text("Attention", exact=True).click()
  page.get_by_label("Layer").select_option(label="2 of 2")

  def is_last(response):  # of both choices
    body = response.request.post_data_json or {}
    return (body.get("layer"), body.get("head")) == (1, 1)

  with page.expect_response(is_last) as answer:
    page.get_by_label("Head").select_option(label="2 of 2")
  (found,) = answer.value.json()["predictions"]
  words = page.locator("#attention-words")
  check_looks(words, found, 1)  # the first piece that is not special
  page.locator("#attention-pieces [role=option]").nth(3).hover()
  check_looks(words, found, 3)
  page.locator("#attention-pieces [aria-selected=true]").focus()
  page.keyboard.press("ArrowRight")
  check_looks(words, found, 4)
  page.get_by_label("A piece").select_option(label="is looked at by")
  expect(words).to_contain_text("[SEP] is looked at by")
  width = page.locator("#map").evaluate("map => map.width")
  assert width > 7 * 10


def check_looks(words, found, i):
  best = max(found["weights"][i])
  token = found["tokens"][found["weights"][i].index(best)]
  expect(words).to_contain_text(
    f"{found['tokens'][i]} looks at {token} {percent(best)}"
  )


# ------------------------------------------------------- history and errors


def test_what_was_asked_comes_back(page):
  ask(page, "praise", text_a="good", text_b="bad")
  verdict = page.locator("#answer .verdict").text_content()
  ask(page, "names", text="the cafe")
  page.reload()
  sent = []
  page.on("request", lambda request: sent.append(request.url))
  rows = page.locator("#asked button")
  expect(rows).to_have_count(2)
  rows.nth(1).click()
  expect(page.locator("#answer .verdict")).to_have_text(verdict)
  expect(page.locator("[data-key=text_b]")).to_have_value("bad")
  assert not [url for url in sent if ":predict" in url]
  page.get_by_role("button", name="Forget all").click()
  expect(page.locator("#history")).to_be_hidden()
  page.reload()
  expect(page.locator("#fields textarea")).to_have_count(2)
  expect(page.locator("#history")).to_be_hidden()


def test_texts_are_never_markup(page):
  ask(page, "names", text=EVIL)
  ask(page, "answers", question=EVIL, context=EVIL)
  assert page.locator("#answer .prose").text_content() == EVIL
  ask(page, "praise", text_a=EVIL, text_b=EVIL)
  page.get_by_role("tab", name="A file").click()
  line = json.dumps({"text_a": EVIL, "text_b": EVIL})
  upload(page, "rows.jsonl", line)
  page.get_by_role("button", name="Answer all rows").click()
  expect(page.locator("#table")).to_contain_text("<img src=x")
  assert page.locator("img").count() == 0
  assert page.title() != "caught"


def test_errors_are_words(page):
  choose(page, "praise")
  error = page.locator("#error")
  page.get_by_role("button", name="Ask", exact=True).click()
  expect(error).to_have_text("“First text” is empty.")
  expect(page.locator("#field-0")).to_be_focused()
  expect(page.locator("#field-0")).to_have_attribute("aria-invalid", "true")
  choose(page, "words")
  page.get_by_label("Text with [MASK]").fill("good")
  page.get_by_role("button", name="Ask", exact=True).click()
  expect(error).to_contain_text("the text has no [MASK]: replace a word")
  page.route("**/*:predict", lambda route: route.abort())
  page.get_by_role("button", name="Ask", exact=True).click()
  expect(error).to_have_text("The server does not answer. Is it still running?")


def test_an_answer_that_comes_too_late_is_not_shown(page):
  held = []
  page.route("**/*:predict", lambda route: held.append(route))
  choose(page, "names")
  page.locator("[data-key=text]").fill("good")
  with page.expect_request("**/*:predict"):
    page.get_by_role("button", name="Ask", exact=True).click()
  choose(page, "praise")
  page.unroute_all(behavior="ignoreErrors")
  ask(page, "praise", text_a="good", text_b="bad")
  assert held and not page.locator("#answer .prose").count()
  expect(page.locator("#asked button")).to_have_count(1)


def test_an_api_key_is_asked_for(page):
  def guard(route):
    if route.request.headers.get("authorization") == "Bearer open-sesame":
      return route.continue_()
    return route.fulfill(status=401, json={"error": "no key"})

  page.route("**/v1/**", guard)
  page.reload()
  key = page.get_by_label("This server asks for an API key")
  expect(key).to_be_focused()
  key.fill("wrong")
  key.press("Enter")
  expect(page.locator("#key-hint")).to_contain_text("does not take this key")
  key.fill("open-sesame")
  key.press("Enter")
  expect(key).to_be_hidden()
  ask(page, "praise", text_a="good", text_b="bad")


# -------------------------------------------------------------------- files


def upload(page, name, text):
  data = text if isinstance(text, bytes) else text.encode()
  page.locator("#file").set_input_files(
    {"name": name, "mimeType": "text/plain", "buffer": data}
  )


def saved(page, button):
  with page.expect_download() as download:
    page.get_by_role("button", name=button).click()
  path = download.value.path()
  return download.value.suggested_filename, path.read_text("utf-8")


def test_a_file_is_answered(page, server):
  choose(page, "praise")
  page.get_by_role("tab", name="A file").click()
  texts = [f"{'good bad '[i % 2 * 4 :][:4]} day" for i in range(150)]
  lines = [f"r{i}\t{text}\ttwo" for i, text in enumerate(texts)]
  lines[7] = "r7\tonly two cells"
  upload(page, "rows.tsv", "\n".join(["id\tsentence1\tsentence2", *lines]))
  expect(page.locator("#file-name")).to_have_text(
    "rows.tsv: 150 rows, of which 1 can't be read"
  )
  refused = iter([503, 413])

  def sometimes(route):
    status = next(refused, None)
    if status is None:
      return route.continue_()
    return route.fulfill(
      status=status, headers={"Retry-After": "1"}, json={"error": "full"}
    )

  page.route("**/*:predict", sometimes)
  page.get_by_role("button", name="Answer all rows").click()
  expect(page.locator("#progress-text")).to_have_text(
    "150 of 150 rows. All rows are answered."
  )
  rows = [{"text_a": text, "text_b": "two"} for text in texts]
  found = asked(server, "praise", *rows)
  name, text = saved(page, "Save as JSON lines")
  answers = [json.loads(line) for line in text.splitlines()]
  assert name == "rows.answers.jsonl"
  assert answers[7] == {"error": "line 9 has 2 cells, not 3"}
  for i, (answer, expected) in enumerate(zip(answers, found)):
    if i != 7:
      assert answer["id"] == f"r{i}"
      assert answer["label"] == expected["label"]
      assert answer["probabilities"] == pytest.approx(
        expected["probabilities"], abs=1e-5
      )
  name, text = saved(page, "Save as TSV")
  header, first, *_ = text.splitlines()
  assert header == "id\tsentence1\tsentence2\tlabel\tprobability\terror"
  assert first.startswith(f"r0\tgood day\ttwo\t{found[0]['label']}\t0.")
  assert text.splitlines()[8] == "\t\t\t\t\tline 9 has 2 cells, not 3"
  expect(page.locator("#table tr")).to_have_count(100)


def test_csv_and_json_lines(page, server):
  choose(page, "answers")
  page.get_by_role("tab", name="A file").click()
  csv = 'question,paragraph\r\none?,"a good, ""bad""\nday"\r\n'
  upload(page, "rows.csv", csv)
  page.get_by_role("button", name="Answer all rows").click()
  expect(page.locator("#progress-text")).to_contain_text("1 of 1 row.")
  row = {"question": "one?", "context": 'a good, "bad"\nday'}
  (found,) = asked(server, "answers", row)
  _, text = saved(page, "Save as JSON lines")
  assert json.loads(text)["answers"] == found["answers"]
  upload(page, "rows.jsonl", json.dumps(row) + '\n{"question": 1}\nnot\n')
  page.get_by_role("button", name="Answer all rows").click()
  expect(page.locator("#table tr")).to_have_count(3)
  expect(page.locator("#table .failed")).to_have_text(
    [re.compile("has to be a text, not 1"), "line 3 is not a JSON object"]
  )


def test_a_file_can_be_stopped_and_goes_on(page):
  choose(page, "praise")
  page.get_by_role("tab", name="A file").click()
  lines = [json.dumps({"text_a": "good", "text_b": "bad"})] * 200
  upload(page, "rows.jsonl", "\n".join(lines))
  page.route(
    "**/*:predict",
    lambda route: route.fulfill(
      status=503, headers={"Retry-After": "60"}, json={"error": "full"}
    ),
  )
  page.get_by_role("button", name="Answer all rows").click()
  expect(page.locator("#progress-text")).to_contain_text(
    "The server is busy: again in 60 seconds."
  )
  page.get_by_role("button", name="Stop").click()
  expect(page.locator("#progress-text")).to_have_text("0 of 200 rows. Stopped.")
  page.unroute("**/*:predict")
  page.locator("#start").click()
  expect(page.locator("#progress-text")).to_have_text(
    "200 of 200 rows. All rows are answered."
  )


def test_a_row_that_is_always_late_is_given_up(page):
  choose(page, "praise")
  page.get_by_role("tab", name="A file").click()
  lines = [{"text_a": text, "text_b": "bad"} for text in ("good", "slow")]
  upload(page, "rows.jsonl", "\n".join(map(json.dumps, lines)))
  asked = []

  def late(route):
    rows = route.request.post_data_json["instances"]
    asked.append([row["text_a"] for row in rows])
    if "slow" in asked[-1]:
      route.fulfill(status=504, json={"error": "the deadline is over"})
    else:
      route.continue_()

  page.route("**/*:predict", late)
  page.get_by_role("button", name="Answer all rows").click()
  expect(page.locator("#progress-text")).to_have_text(
    "2 of 2 rows. All rows are answered."
  )
  assert asked == [["good", "slow"], ["good"], ["slow"], ["slow"]]
  expect(page.locator("#table .failed")).to_have_text("the deadline is over")


def test_a_file_can_be_dropped(page):
  page.get_by_role("tab", name="A file").click()

  def drop(count):
    data = page.evaluate_handle(
      """count => {
        const data = new DataTransfer();
        for (let i = 0; i < count; i++)
          data.items.add(new File(["text\\ngood"], `${i}.tsv`));
        return data;
      }""",
      count,
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": data})

  drop(2)
  expect(page.locator("#file-error")).to_have_text("Give one file at a time.")
  drop(1)
  expect(page.locator("#file-name")).to_have_text("0.tsv: 1 row")
  expect(page.locator("#file-error")).to_be_hidden()


@pytest.mark.parametrize(
  "name, data, message",
  [
    ("rows.tsv", b"", "rows.tsv is empty."),
    ("rows.tsv", b"\xff\xfe\x00", "rows.tsv is not a text in UTF-8."),
    ("rows.bin", b"PK\x03\x04\0\0", "rows.bin is not a text: it has zero"),
    ("rows.txt", b"one line", "rows.txt is no TSV, CSV or JSON lines"),
    ("rows.tsv", b"a\tb\n", "rows.tsv has only one line"),
    ("rows.tsv", b"a\ta\n1\t2\n", "two columns with the name “a”"),
    ("rows.csv", b'a,b\n1,"2\n', "line 2: a quotation mark is missing"),
    ("rows.json", b'[{"text": "a"}]', "no line that is a JSON object"),
  ],
)
def test_wrong_files_get_a_sentence(page, name, data, message):
  page.get_by_role("tab", name="A file").click()
  upload(page, name, data)
  expect(page.locator("#file-error")).to_contain_text(message)
  expect(page.locator("#loaded")).to_be_hidden()


def test_columns_are_chosen_where_they_can_not_be_guessed(page):
  choose(page, "names")
  page.get_by_role("tab", name="A file").click()
  upload(page, "rows.tsv", "x\ty\ngood\tbad\n")
  page.get_by_role("button", name="Answer all rows").click()
  expect(page.locator("#file-error")).to_have_text(
    "Choose the column that holds “text”."
  )
  page.get_by_label("Text (text)").select_option("y")
  page.get_by_role("button", name="Answer all rows").click()
  expect(page.locator("#table")).to_be_visible()


# --------------------------------------------------- keyboards and screens


def test_the_keyboard_is_enough(page):
  page.keyboard.press("Tab")
  expect(page.get_by_text("Skip to the form")).to_be_focused()
  tab = page.get_by_role("tab", name="Try it")
  tab.focus()
  page.keyboard.press("ArrowRight")
  expect(page.get_by_role("tab", name="A file")).to_be_focused()
  expect(page.get_by_role("tabpanel", name="A file")).to_be_visible()
  expect(page.get_by_role("tabpanel", name="Try it")).to_be_hidden()
  page.keyboard.press("ArrowLeft")
  choose(page, "names")
  page.get_by_label("Text").focus()
  page.keyboard.type("good day")
  page.keyboard.press("Control+Enter")
  expect(page.locator("#took")).to_contain_text("ms")


@pytest.mark.parametrize("width", [340, 800, 1300])
def test_nothing_is_wider_than_the_screen(page, width):
  page.set_viewport_size({"width": width, "height": 700})
  for model, row in (
    ("praise", {"text_a": "good" * 60, "text_b": "bad"}),
    ("answers", {"question": "one?", "context": "day" * 100 + " good"}),
    ("pairs", {"text_a": "one?", "text_b": "good" * 60 + "\nbad"}),
  ):
    ask(page, model, **row)
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width, model


def test_every_control_has_a_name(page):
  ask(page, "pairs", text_a="one?", text_b="good\nbad")
  for summary in ("Pieces and their ids", "Attention"):
    page.get_by_text(summary, exact=True).click()
  expect(page.locator("#attention-pieces [role=option]")).not_to_have_count(0)
  nameless = page.evaluate(
    """() => [...document.querySelectorAll("input, select, textarea, button")]
      .filter((each) => !each.labels?.length && !each.textContent.trim()
        && !each.getAttribute("aria-label")).map((each) => each.outerHTML)"""
  )
  assert nameless == []
