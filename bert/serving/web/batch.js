// Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
// Answers to a file: its rows are sent in chunks, and what comes back is shown,
// counted and saved. An item is {line, row, error, answer}.
"use strict";

const CHUNK = { rows: 64, characters: 200000 };
const MOST_BYTES = 100 * 1024 * 1024;
const TABLE_ROWS = 100;
const TOLD_EACH = 1500; // milliseconds
const REFUSED = [400, 413, 422]; // by a row of the chunk, or by its size
const MOST_TRIES = { late: 2, busy: 100 }; // of one row
const UNREACHED = { tries: 3, seconds: 2 }; // when the server does not answer
const OTHER_NAMES = {
  text_a: [
    "text",
    "sentence1",
    "sentence",
    "#1 string",
    "question1",
    "premise",
    "context",
    "question",
  ],
  text_b: ["sentence2", "#2 string", "question2", "hypothesis", "response"],
  text: ["text_a", "sentence1", "sentence", "question"],
  context: ["paragraph", "passage", "text"],
  question: ["query"],
};

const batch = {
  name: "",
  items: [],
  columns: null, // names, of a table
  keys: null, // [key, column] that are asked, of a table
  running: null, // AbortController
  spoken: 0, // when progress was last told
};

// ------------------------------------------------------------------- reading

async function readFile(file) {
  if (file.size > MOST_BYTES)
    throw new Trouble(
      `${file.name} has over ${MOST_BYTES >> 20} MB. Give the file to predict.py instead.`,
    );
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch {
    throw new Trouble(`${file.name} is not a text in UTF-8. Save it as UTF-8 first.`);
  }
  if (text.includes("\0"))
    throw new Trouble(`${file.name} is not a text: it has zero bytes in it.`);
  if (!text.trim()) throw new Trouble(`${file.name} is empty.`);
  const kind = kindOf(file.name, text);
  if (kind === "json") return { items: readJsonLines(file.name, text), columns: null };
  return readTable(file.name, kind === "tsv" ? splitTsv(text) : splitCsv(file.name, text));
}

function kindOf(name, text) {
  const ending = name.toLowerCase().match(/\.(\w+)$/)?.[1];
  if (["jsonl", "ndjson", "json"].includes(ending)) return "json";
  if (ending === "tsv" || ending === "csv") return ending;
  const first = text.trimStart().split("\n", 1)[0];
  if (first.startsWith("{")) return "json";
  if (first.includes("\t")) return "tsv";
  if (first.includes(",")) return "csv";
  throw new Trouble(
    `${name} is no TSV, CSV or JSON lines: its first line has no tab, no comma and no “{”.`,
  );
}

function readJsonLines(name, text) {
  const items = [];
  text.split("\n").forEach((line, i) => {
    if (!line.trim()) return;
    const item = { line: i + 1, row: null };
    try {
      item.row = JSON.parse(line);
      if (typeof item.row !== "object" || Array.isArray(item.row) || !item.row) throw new Error();
    } catch {
      item.row = null;
      item.answer = { error: `line ${i + 1} is not a JSON object` };
    }
    items.push(item);
  });
  if (items.every((item) => !item.row)) {
    throw new Trouble(
      `${name} has no line that is a JSON object. Each row has to be an object in a line of its own.`,
    );
  }
  return items;
}

const splitTsv = (text) =>
  text.split("\n").map((line, i) => ({ line: i + 1, cells: line.replace(/\r$/, "").split("\t") }));

/** The rows of a CSV text (RFC 4180), whose quoted cells may hold lines. */
function splitCsv(name, text) {
  const rows = [];
  const cell = /(?:"([^"]*(?:""[^"]*)*)"|([^",\r\n]*))(,|\r?\n|$)/y;
  let cells = [],
    line = 1,
    start = 1;
  while (cell.lastIndex < text.length || cells.length) {
    const match = cell.exec(text);
    if (!match)
      throw new Trouble(
        `${name}, line ${line}: a quotation mark is missing or is not at the end of its cell.`,
      );
    cells.push(match[1] === undefined ? match[2] : match[1].replaceAll('""', '"'));
    line += match[0].split("\n").length - 1;
    if (match[3] === ",") continue;
    rows.push({ line: start, cells });
    cells = [];
    start = line;
  }
  return rows;
}

function readTable(name, rows) {
  const filled = rows.filter(({ cells }) => cells.some((cell) => cell.trim()));
  const columns = filled[0].cells.map((column) => column.trim());
  if (filled.length < 2)
    throw new Trouble(`${name} has only one line: give column names in the first, and rows below.`);
  const twice = columns.find((column, i) => columns.indexOf(column) !== i);
  if (twice !== undefined) throw new Trouble(`${name} has two columns with the name “${twice}”.`);
  const items = filled.slice(1).map(({ line, cells }) => {
    if (cells.length === columns.length) {
      return { line, row: Object.fromEntries(columns.map((column, i) => [column, cells[i]])) };
    }
    const error = `line ${line} has ${count(cells.length, "cell")}, not ${columns.length}`;
    return { line, row: null, answer: { error } };
  });
  if (items.every((item) => !item.row))
    throw new Trouble(
      `${name}: no row has ${count(columns.length, "cell")} as the first line has.`,
    );
  return { items, columns };
}

// -------------------------------------------------------------------- columns

/** The keys that the model needs of a row. */
function neededKeys() {
  const { model } = page;
  const has = (...keys) => keys.every((key) => batch.columns?.includes(key));
  if (model.task === "pretraining") {
    if (has("score")) return ["score"];
    if (has("text_a", "text_b")) return ["text_a", "text_b"];
  }
  return Object.keys(model.example);
}

/** A classifier may have been trained on texts with and without a second. */
const isOptional = (key) => key === "text_b" && page.model.task === "classifier";

function guessColumn(key) {
  const names = batch.columns.map((column) => column.toLowerCase());
  const place = [key.toLowerCase(), ...(OTHER_NAMES[key] || [])]
    .map((name) => names.indexOf(name))
    .find((i) => i >= 0);
  return place === undefined ? "" : batch.columns[place];
}

function drawColumns() {
  $("mapping").hidden = !batch.columns;
  if (!batch.columns) return;
  const taken = new Set();
  $("columns").replaceChildren(
    ...neededKeys().map((key, i) => {
      const nothing = isOptional(key) ? "(none)" : "choose one";
      const select = el(
        "select",
        { id: `column-${i}`, "data-key": key },
        el("option", { value: "" }, nothing),
      );
      select.append(...batch.columns.map((column) => el("option", { value: column }, column)));
      const guess = guessColumn(key);
      select.value = taken.has(guess) ? "" : guess;
      taken.add(select.value);
      return el(
        "div",
        { class: "field" },
        el("label", { for: `column-${i}` }, LABELS[key] ? `${LABELS[key]} (${key})` : key),
        select,
      );
    }),
  );
}

/** The row as the model takes it. */
function instanceOf(item, keys) {
  if (!keys) return item.row;
  return Object.fromEntries(keys.map(([key, column]) => [key, item.row[column]]));
}

/** [key, column] of a table; null of JSON lines. */
function chosenColumns() {
  if (!batch.columns) return null;
  const chosen = [...$("columns").querySelectorAll("select")].map((select) => [
    select.dataset.key,
    select.value,
  ]);
  const missing = chosen.find(([key, column]) => !column && !isOptional(key));
  if (missing) throw new Trouble(`Choose the column that holds “${missing[0]}”.`);
  return chosen.filter(([, column]) => column);
}

// -------------------------------------------------------------------- running

async function runAll() {
  say($("file-error"), "");
  try {
    batch.keys = chosenColumns();
  } catch (trouble) {
    say($("file-error"), trouble.message);
    return;
  }
  const left = batch.items.filter((item) => !item.answer);
  const { keys } = batch;
  const job = {
    model: page.model,
    keys,
    start: performance.now(),
    first: batch.items.length - left.length,
  };
  batch.running = job.stop = new AbortController();
  setRunning(true);
  try {
    for (const chunk of chunks(left, keys)) await send(chunk, job);
    tell(job, "All rows are answered.");
  } catch (error) {
    if (error.name !== "AbortError")
      say(
        $("file-error"),
        `${error.message} What was answered is kept; “Go on” asks for the rest.`,
      );
    tell(job, "Stopped.");
  } finally {
    if (batch.running === job.stop) {
      batch.running = null;
      setRunning(false);
    }
  }
}

function* chunks(items, keys) {
  let chunk = [],
    size = 0;
  for (const item of items) {
    const length = JSON.stringify(instanceOf(item, keys)).length;
    if (chunk.length && (chunk.length >= CHUNK.rows || size + length > CHUNK.characters)) {
      yield chunk;
      chunk = [];
      size = 0;
    }
    chunk.push(item);
    size += length;
  }
  if (chunk.length) yield chunk;
}

/** Gets the answers of a chunk, in halves if the server refuses the whole. */
async function send(chunk, job) {
  const refuse = (error) => {
    chunk[0].answer = { error: error.message };
    drawProgress(job);
  };
  for (let tries = 1, late = 0; ; tries++) {
    try {
      const rows = chunk.map((item) => instanceOf(item, job.keys));
      const answers = await predict(job.model, rows, job.stop.signal);
      chunk.forEach((item, i) => {
        item.answer = answers[i];
      });
      drawProgress(job);
      return;
    } catch (error) {
      if (error.status === 504) late++;
      if (late === MOST_TRIES.late) return refuse(error); // one row: more are in halves by now
      if (BUSY.includes(error.status)) {
        if (tries === MOST_TRIES.busy) throw error;
        await pause(error.wait, job, "The server is busy");
      } else if (error.status === 0 && tries < UNREACHED.tries) {
        await pause(UNREACHED.seconds, job, "The server does not answer");
        continue;
      } else if (!REFUSED.includes(error.status)) {
        throw error;
      } else if (chunk.length === 1) {
        return refuse(error);
      }
    }
    if (chunk.length > 1) {
      const half = chunk.length >> 1;
      await send(chunk.slice(0, half), job);
      await send(chunk.slice(half), job);
      return;
    }
  }
}

function pause(seconds, job, why) {
  tell(job, `${why}: again in ${count(seconds, "second")}.`);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    job.stop.signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    });
  });
}

const isAnswered = (item) => item.answer;

function setRunning(isRunning) {
  $("start").hidden = isRunning || batch.items.every(isAnswered);
  $("start").textContent = batch.items.some((item) => item.row && item.answer)
    ? "Go on"
    : "Answer all rows";
  $("stop").hidden = !isRunning;
  $("running").hidden = false;
  for (const control of $("columns").querySelectorAll("select"))
    control.disabled = isRunning || batch.items.some((item) => item.row && item.answer);
  if (!isRunning) drawDone();
}

function drawProgress(job) {
  const done = batch.items.filter(isAnswered).length;
  $("progress").value = done / batch.items.length;
  const seconds = (performance.now() - job.start) / 1000;
  const rate = (done - job.first) / Math.max(seconds, 0.001);
  const left = Math.ceil((batch.items.length - done) / rate);
  if (performance.now() - batch.spoken < TOLD_EACH) return;
  tell(job, left ? `About ${count(left, "second")} left.` : "");
  drawDone();
}

function tell(job, more) {
  batch.spoken = performance.now();
  const done = batch.items.filter(isAnswered).length;
  $("progress-text").textContent =
    `${done.toLocaleString("en")} of ${count(batch.items.length, "row")}. ${more}`;
}

// -------------------------------------------------------------------- results

/** The columns that an answer has in a TSV file; the first says it in words. */
function flatAnswer(answer) {
  if (answer.error) return { error: answer.error };
  if (answer.entities) {
    return {
      entities:
        answer.entities
          .map((e) => `${e.text ?? answer.tokens.slice(e.first, e.last + 1).join(" ")} (${e.type})`)
          .join("; ") || "none",
      tags: answer.tags.join(" "),
    };
  }
  if (answer.tags) return { tags: answer.tags.join(" ") };
  if (answer.labels) return { labels: answer.labels.join(", ") || "none" };
  if (answer.label !== undefined)
    return { label: answer.label, probability: answer.probabilities[answer.label] };
  if (answer.masks)
    return {
      words: answer.masks.map((top) => top[0].token).join(" "),
      probabilities: answer.masks.map((top) => top[0].probability).join(" "),
    };
  if (answer.vector) return { vector: answer.vector.join(" ") };
  if (answer.text === undefined && answer.answers)
    return { response: answer.answers[0].text, score: answer.answers[0].score };
  if (answer.text !== undefined)
    return {
      answer: answer.text || "no answer",
      probability: answer.probability,
      start: answer.start,
      end: answer.end,
    };
  return Object.fromEntries(
    Object.entries(answer).filter(([, value]) => typeof value !== "object"),
  );
}

function inWords(answer) {
  const flat = flatAnswer(answer);
  const [name, value] = Object.entries(flat)[0] || ["", ""];
  const shown = typeof value === "number" ? decimal(value) : brief(value, 160);
  if (answer.vector) return `a vector of ${count(answer.vector.length, "number")}`;
  if (name !== "probability" && typeof flat.probability === "number")
    return `${shown}, ${percent(flat.probability)}`;
  return name === "probability" ? percent(value) : shown;
}

function drawDone() {
  const answered = batch.items.filter(isAnswered);
  $("done").hidden = !answered.length;
  $("table").replaceChildren(
    ...batch.items.slice(0, TABLE_ROWS).filter(isAnswered).map(asTableRow),
  );
  const failed = answered.filter((item) => item.answer.error).length;
  let note = `${count(answered.length, "answer")}`;
  if (failed) note += `, of which ${failed} could not be given`;
  if (batch.items.length > TABLE_ROWS) note += `; the first ${TABLE_ROWS} rows`;
  $("table-note").textContent = `${note}.`;
  drawTally(answered);
}

function asTableRow({ line, row, answer }) {
  const shown =
    row && batch.keys ? batch.keys.map(([, column]) => row[column]) : Object.values(row || {});
  const texts = shown.filter((value) => typeof value === "string");
  return el(
    "tr",
    {},
    el("td", {}, String(line)),
    el("td", {}, brief(texts.join(" · "), 220)),
    el("td", { class: answer.error ? "failed" : null }, inWords(answer)),
  );
}

/** How often each label, or each type of entity, was given. */
function drawTally(answered) {
  const counts = new Map();
  const add = (name) => counts.set(name, (counts.get(name) || 0) + 1);
  for (const { answer } of answered) {
    if (answer.entities) answer.entities.forEach((e) => add(e.type));
    else if (answer.label !== undefined && !answer.error) add(answer.label);
    else if (answer.labels) answer.labels.forEach(add);
  }
  const total = Math.max(...counts.values(), 1);
  const ranked = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 20);
  $("tally").replaceChildren(
    bars(
      ranked.map(([name, n]) => ({
        name,
        share: n / total,
        number: n.toLocaleString("en"),
        best: true,
      })),
    ),
  );
}

function saveJsonLines() {
  const lines = batch.items.map(({ row, answer }) => {
    const id = row && "id" in row ? { id: row.id } : {};
    return JSON.stringify({ ...id, ...(answer || { error: "not asked" }) });
  });
  save(lines, ".answers.jsonl");
}

function saveTsv() {
  const columns = batch.columns || [
    ...new Set(batch.items.flatMap(({ row }) => Object.keys(row || {}))),
  ];
  const flat = batch.items.map(({ answer }) => flatAnswer(answer || { error: "not asked" }));
  const added = [...new Set(flat.flatMap(Object.keys))];
  const named = added.map((name) => (columns.includes(name) ? `answer_${name}` : name));
  const cell = (value) =>
    (value == null
      ? ""
      : typeof value === "object"
        ? JSON.stringify(value)
        : String(value)
    ).replace(/[\t\r\n]+/g, " ");
  const lines = batch.items.map(({ row }, i) =>
    [...columns.map((c) => row?.[c]), ...added.map((a) => flat[i][a])].map(cell).join("\t"),
  );
  save([[...columns, ...named].map(cell).join("\t"), ...lines], ".answers.tsv");
}

function save(lines, ending) {
  const blob = new Blob(
    lines.map((line) => `${line}\n`),
    { type: "text/plain;charset=utf-8" },
  );
  const link = el("a", {
    href: URL.createObjectURL(blob),
    download: batch.name.replace(/\.\w+$/, "") + ending,
  });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// ------------------------------------------------------------------ the panel

async function openFiles(files) {
  batch.running?.abort();
  say($("file-error"), "");
  $("loaded").hidden = true;
  if (!files.length) return;
  try {
    if (files.length > 1) throw new Trouble("Give one file at a time.");
    const found = await readFile(files[0]);
    Object.assign(batch, found, { name: files[0].name });
    resetAnswers();
    const bad = batch.items.filter((item) => !item.row).length;
    $("file-name").textContent =
      `${batch.name}: ${count(batch.items.length, "row")}${bad ? `, of which ${bad} can't be read` : ""}`;
    $("loaded").hidden = false;
  } catch (error) {
    say(
      $("file-error"),
      error instanceof Trouble ? error.message : `The file can't be read: ${error.message}`,
    );
  }
}

/** Makes a loaded file ready to be asked, also after another model was chosen. */
function resetAnswers() {
  batch.running?.abort();
  batch.running = null;
  for (const item of batch.items) if (item.row) delete item.answer;
  $("table").replaceChildren();
  $("done").hidden = $("running").hidden = $("stop").hidden = true;
  $("progress").value = 0;
  $("start").hidden = false;
  $("start").textContent = "Answer all rows";
  drawColumns();
}

function listenToBatch() {
  $("file").addEventListener("change", () => {
    openFiles([...$("file").files]);
    $("file").value = "";
  });
  $("start").addEventListener("click", runAll);
  $("stop").addEventListener("click", () => batch.running?.abort());
  $("save-jsonl").addEventListener("click", saveJsonLines);
  $("save-tsv").addEventListener("click", saveTsv);
  const drop = $("drop");
  addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.toggle("over", drop.contains(event.target));
  });
  addEventListener("drop", (event) => {
    event.preventDefault(); // or the browser would leave the page
    drop.classList.remove("over");
    if (drop.contains(event.target)) openFiles([...event.dataTransfer.files]);
  });
  document.addEventListener("model", () => {
    const keys = Object.keys(page.model.example);
    $("batch-needs").textContent =
      `${page.model.name} needs ${keys.length > 1 ? "the columns or keys" : "the column or key"} ${keys.join(", ")}.`;
    resetAnswers();
  });
}
