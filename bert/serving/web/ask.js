// Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
// One question at a time: the form of a model, what it answered, and what was
// asked before. Users' texts become text nodes only, never HTML.
"use strict";

const MOST_ASKED = 40; // kept in the history
const MOST_KEPT = 200000; // characters of the history, in sessionStorage
const HISTORY = "bert.asked";

// --------------------------------------------------------------------- forms
// A mode is one way to ask a model: its fields, the rows that it sends, how an
// answer is drawn, and examples, {field: value}.

const BAKERY = [
  "The bakery takes cash only for rolls, and cards from five euros on.",
  "Dogs have to wait outside the bakery, where there is a hook and a bowl of water.",
  "The bakery opens at six, and on Sundays at eight.",
  "Children under six travel free on the train.",
];

const text = (key, label, more = {}) => ({ key, label, lines: 3, ...more });

const TOP_K = {
  key: "top_k",
  label: "How many answers",
  number: true,
  least: 1,
  most: 100,
  start: 5,
};

const MODES = {
  squad: [
    {
      fields: [
        text("question", "Question", { lines: 1 }),
        text("context", "Text to find the answer in", { lines: 9 }),
      ],
      rows: ({ question, context }) => [{ question, context }],
      draw: drawSpans,
      examples: [
        {
          question: "Who paid for the railway?",
          context:
            "The little train to the lake runs on a track only 75 centimetres wide. Seven villages paid for the railway in 1898, so that their milk would reach the town before noon. The milk now goes by road, but in summer the train carries walkers, dogs and, at half price, accordions.",
        },
        {
          question: "When did the lighthouse get its lamp?",
          context:
            "The lighthouse on Grey Point was built in 1851 from stones of the old abbey. Its first keeper, Ada Holm, burned whale oil; the electric lamp came in 1926, and since 1988 nobody has lived in the tower. The light is seen from 23 miles away.",
        },
      ],
    },
  ],
  tagger: [
    {
      fields: [text("text", "Text", { lines: 5 })],
      rows: ({ text }) => [{ text }],
      draw: drawTags,
      examples: [
        {
          text: "Maya Lindqvist flew from Lisbon to Nairobi to speak about malaria at the Pasteur Institute.",
        },
        {
          text: "On Monday Toyota opens a plant near Gdansk, as its president Akio Toyoda told Reuters.",
        },
      ],
    },
  ],
  pair: [
    {
      fields: [
        text("text_a", "Question", { lines: 2 }),
        text("text_b", "Candidates, one a line", { lines: 7 }),
      ],
      rows: ({ text_a, text_b }) => filledLines(text_b).map((line) => ({ text_a, text_b: line })),
      draw: drawCandidates,
      examples: [{ text_a: "May I bring my dog into the bakery?", text_b: BAKERY.join("\n") }],
    },
  ],
  responses: [
    {
      fields: [text("text", "Question", { lines: 3 }), TOP_K],
      rows: ({ text, top_k }) => [{ text, top_k }],
      draw: drawResponses,
      examples: [
        { text: "May I bring my dog into the bakery?" },
        { text: "How much is a ticket?" },
      ],
    },
  ],
  vector: [
    {
      fields: [
        text("text", "Text", { lines: 2 }),
        text("others", "Compare it with, one text a line", { lines: 6, optional: true }),
      ],
      rows: ({ text, others }) => [text, ...filledLines(others)].map((each) => ({ text: each })),
      draw: drawVectors,
      examples: [{ text: "May I bring my dog into the bakery?", others: BAKERY.join("\n") }],
    },
  ],
  pretraining: [
    {
      name: "Fill [MASK]",
      fields: [
        text("text", "Text with [MASK]", {
          lines: 4,
          hint: "Write [MASK] in place of each word to guess.",
        }),
        TOP_K,
      ],
      rows: ({ text, top_k }) => [{ text, top_k }],
      draw: drawMasks,
      examples: [
        { text: "The [MASK] was patient with all my questions." },
        { text: "She poured the [MASK] into a cup and drank it." },
        { text: "After the [MASK] the streets were [MASK]." },
      ],
    },
    {
      name: "Score a text",
      fields: [text("score", "Text", { lines: 4 })],
      rows: ({ score }) => [{ score }],
      draw: drawScore,
      examples: [
        { score: "The train to the lake was late again." },
        { score: "The train to the lake was spoon again." },
      ],
    },
    {
      name: "Does B follow A?",
      fields: [text("text_a", "Text A", { lines: 3 }), text("text_b", "Text B", { lines: 3 })],
      rows: ({ text_a, text_b }) => [{ text_a, text_b }],
      draw: drawNext,
      examples: [
        { text_a: "It rained all night.", text_b: "In the morning the streets were wet." },
        { text_a: "It rained all night.", text_b: "The committee has nine members." },
      ],
    },
  ],
};

const SINGLE_EXAMPLES = [
  "The apprentice was patient with all my questions.",
  "The connection to the airport was late again, and nobody told us why.",
  "Could you tell me whether the shop is open on Sundays?",
];
const PAIR_EXAMPLES = [
  [
    "The company said its profit rose by a third last year.",
    "Profit was up 33 percent last year, according to the company.",
  ],
  [
    "The bridge was closed on Friday because of the storm.",
    "The bridge has been open to cars since 1962.",
  ],
];
const LABELS = { text_a: "Text", text_b: "Second text", text: "Text" };

/** The mode of a model whose rows are described by its example alone. */
function exampleMode(model, draw) {
  const entries = Object.entries(model.example);
  const texts = entries.filter(([, value]) => typeof value === "string").map(([key]) => key);
  const fields = entries.map(([key, value]) => {
    const label = (texts.length > 1 && key === "text_a" && "First text") || LABELS[key] || key;
    if (typeof value === "number") return { key, label, number: true, start: value };
    const optional = key === "text_b"; // a model may take one text or two
    if (typeof value === "string")
      return text(key, label, { lines: texts.length > 1 ? 3 : 5, optional });
    return text(key, `${label}, as JSON`, { json: true, start: JSON.stringify(value) });
  });
  const numbers = Object.fromEntries(entries.filter(([, value]) => typeof value === "number"));
  const plain = texts.every((key) => key in LABELS);
  const examples = !plain
    ? []
    : texts.length === 2
      ? PAIR_EXAMPLES.map(([a, b]) => ({ ...numbers, [texts[0]]: a, [texts[1]]: b }))
      : SINGLE_EXAMPLES.map((each) => ({ ...numbers, [texts[0]]: each }));
  const isReal = texts.length && texts.every((key) => !model.example[key].includes("..."));
  if (isReal) examples.unshift(model.example);
  return { fields, rows: (values) => [values], draw, examples };
}

function modesOf(model) {
  if (model.task === "ranker") {
    if ("text_b" in model.example) return MODES.pair;
    return model.responses ? MODES.responses : MODES.vector;
  }
  if (model.task === "classifier") return [exampleMode(model, drawLabels)];
  return MODES[model.task] || [exampleMode(model, drawAny)];
}

const page = {
  models: [],
  model: null,
  modes: [],
  mode: null,
  shown: null, // what stands in the answer: {model, mode, values, rows, answers}
  asking: null, // AbortController of the question that is under way
  asked: [],
};

function chooseModel(model) {
  page.model = model;
  $("model").value = String(page.models.indexOf(model));
  page.modes = modesOf(model);
  const facts = [`task ${model.task}`];
  if (model.labels?.length) facts.push(count(model.labels.length, "label"));
  if (model.responses) facts.push(`searches ${count(model.responses, "response")}`);
  if (model.max_seq_length) facts.push(`reads ${count(model.max_seq_length, "piece")} at once`);
  if (model.num_layers)
    facts.push(`${count(model.num_layers, "layer")}, ${count(model.num_heads, "head")} each`);
  if (model.state && model.state !== "AVAILABLE") facts.push(model.state.toLowerCase());
  $("facts").textContent = facts.join(" · ");
  drawModes();
  chooseMode(page.modes[0]);
  clearAnswer();
  $("ask").disabled = false;
  document.dispatchEvent(new CustomEvent("model"));
}

function drawModes() {
  $("modes").hidden = page.modes.length < 2;
  $("modes").replaceChildren(
    ...page.modes.map((mode, i) =>
      el(
        "label",
        {},
        el("input", {
          type: "radio",
          name: "mode",
          value: i,
          onchange: () => {
            chooseMode(mode);
            clearAnswer();
          },
        }),
        mode.name || "",
      ),
    ),
  );
}

function chooseMode(mode, values = {}) {
  page.mode = mode;
  const radio = $("modes").querySelectorAll("input")[page.modes.indexOf(mode)];
  if (radio) radio.checked = true;
  $("fields").replaceChildren(
    ...mode.fields.map((field, i) => drawField(field, i, values[field.key])),
  );
  $("examples").replaceChildren(
    ...mode.examples.map((example) => {
      const [first, second] = mode.fields.filter((f) => !f.number).map((f) => example[f.key]);
      return asRow(first, second, () => {
        chooseMode(mode, example);
        ask();
      });
    }),
  );
  $("examples").parentElement.hidden = !mode.examples.length;
}

function asRow(title, more, onclick) {
  const button = el("button", { type: "button", onclick }, el("b", {}, brief(title)));
  if (more) button.append(el("small", {}, brief(more)));
  return el("li", {}, button);
}

function drawField(field, i, value) {
  const id = `field-${i}`;
  const shared = {
    id,
    "data-key": field.key,
    "aria-describedby": field.hint ? `${id}-hint` : null,
  };
  let input;
  if (field.number) {
    input = el("input", {
      ...shared,
      type: "number",
      step: field.least === undefined ? "any" : 1,
      min: field.least,
      max: field.most,
    });
  } else if (field.lines === 1) {
    input = el("input", { ...shared, type: "text", autocomplete: "off", class: "wide" });
  } else {
    input = el("textarea", {
      ...shared,
      rows: field.lines,
      "--rows": field.lines,
      spellcheck: "false",
    });
  }
  const filled = value ?? field.start ?? "";
  input.value = typeof filled === "object" ? JSON.stringify(filled) : filled;
  const label = el("label", { for: id }, field.label);
  if (field.optional) label.append(el("span", { class: "hint" }, " (optional)"));
  const box = el("div", { class: "field" }, label, input);
  if (field.hint) box.append(el("p", { id: `${id}-hint`, class: "hint" }, field.hint));
  return box;
}

/** The fields' values; or a Trouble about the first that is wrong. */
function readFields() {
  const values = {};
  page.mode.fields.forEach((field, i) => {
    const input = $(`field-${i}`);
    input.removeAttribute("aria-invalid");
    const problem = readField(field, input, values);
    if (problem) {
      input.setAttribute("aria-invalid", "true");
      input.focus();
      throw new Trouble(problem, 400);
    }
  });
  return values;
}

function readField(field, input, values) {
  const written = input.value;
  values[field.key] = written;
  if (!written.trim()) return field.optional ? null : `“${field.label}” is empty.`;
  if (field.number) {
    const number = Number(written);
    values[field.key] = number;
    const fits = number >= (field.least ?? -Infinity) && number <= (field.most ?? Infinity);
    if (!Number.isFinite(number) || !fits)
      return `“${field.label}” has to be a number${field.least === undefined ? "" : ` from ${field.least} to ${field.most}`}.`;
  }
  if (field.json) {
    try {
      values[field.key] = JSON.parse(written);
    } catch {
      return `“${field.label}” is not JSON.`;
    }
  }
  return null;
}

// ----------------------------------------------------------------------- ask

async function ask() {
  const { model, mode } = page;
  say($("error"), "");
  let values;
  try {
    values = readFields();
  } catch (trouble) {
    say($("error"), trouble.message);
    return;
  }
  const rows = mode.rows(values, model);
  page.asking?.abort();
  const mine = (page.asking = new AbortController());
  $("result").setAttribute("aria-busy", "true");
  const start = performance.now();
  try {
    const answers = await predict(model, rows, mine.signal);
    const ms = performance.now() - start;
    if (rows.length === 1 && answers[0].error) throw new Trouble(answers[0].error, 400);
    const entry = { model: model.name, mode: page.modes.indexOf(mode), values, answers, ms };
    entry.said = show(model, mode, entry);
    remember(entry);
  } catch (error) {
    if (error.name === "AbortError") return;
    clearAnswer();
    $("answer").replaceChildren();
    say($("error"), error.message);
  } finally {
    if (page.asking === mine) {
      page.asking = null;
      $("result").setAttribute("aria-busy", "false");
    }
  }
}

function clearAnswer() {
  page.asking?.abort();
  page.shown = null;
  say($("error"), "");
  $("took").textContent = "";
  $("raw").hidden = $("inspect").hidden = true;
  $("answer").replaceChildren(el("p", { class: "empty" }, "Write a text, or choose an example."));
}

/** Draws an answer and returns it in a few words. */
function show(model, mode, { values, answers, ms }) {
  const rows = mode.rows(values, model);
  say($("error"), "");
  $("took").textContent = `${Math.max(1, Math.round(ms))} ms`;
  const box = $("answer");
  box.replaceChildren();
  const said = mode.draw(box, answers, values, model);
  $("spoken").textContent = `Answer: ${said}`;
  $("raw").hidden = false;
  $("json").textContent = JSON.stringify(answers.length === 1 ? answers[0] : answers, null, 1);
  page.shown = { model, mode, values, rows, answers };
  inspectAnew();
  return said;
}

// -------------------------------------------------------------------- history

function readHistory() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(HISTORY) || "[]");
    return Array.isArray(kept) ? kept.filter((e) => e && e.values && e.answers) : [];
  } catch {
    return [];
  }
}

function remember(entry) {
  const key = (e) => JSON.stringify([e.model, e.mode, e.values]);
  page.asked = [entry, ...page.asked.filter((e) => key(e) !== key(entry))].slice(0, MOST_ASKED);
  while (page.asked.length > 1 && JSON.stringify(page.asked).length > MOST_KEPT) page.asked.pop();
  try {
    sessionStorage.setItem(HISTORY, JSON.stringify(page.asked));
  } catch {
    // without storage the history lasts until the page is reloaded
  }
  drawHistory();
}

function drawHistory() {
  $("history").hidden = !page.asked.length;
  $("asked").replaceChildren(
    ...page.asked.map((entry) => {
      const asked = Object.values(entry.values).find((value) => typeof value === "string") || "";
      const where = page.models.length > 1 ? `${entry.model}: ` : "";
      return asRow(asked, `${where}${entry.said}`, () => recall(entry));
    }),
  );
}

function recall(entry) {
  const model = page.models.find((each) => each.name === entry.model);
  if (!model) {
    say($("error"), `The server no longer has the model ${entry.model}.`);
    return;
  }
  page.asking?.abort();
  if (model !== page.model) chooseModel(model);
  const mode = page.modes[entry.mode] || page.modes[0];
  chooseMode(mode, entry.values);
  show(model, mode, entry);
}

function forget() {
  page.asked = [];
  sessionStorage.removeItem(HISTORY);
  drawHistory();
  $("form").querySelector("input, textarea")?.focus();
}
