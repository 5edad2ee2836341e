// Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
// How the model read what was asked: its pieces with their ids, and how much
// each takes from each in a layer and a head.
"use strict";

const CELL = { least: 3, most: 26, labelled: 11 }; // pixels of the map
const TRIES = 4; // while the server is busy
const LOOKS = 5; // pieces named in words
const shade = (weight) => (weight ** 0.4).toFixed(3); // small ones show too
const isSpecial = (token) => /^\[.+\]$/.test(token);

const view = {
  known: new Map(), // answers for what is shown, by what was asked
  attention: null, // {tokens, weights}
  chosen: 0, // the piece pointed at
};

/** After a new answer: forget the old one's pieces, and load what is open. */
function inspectAnew() {
  view.known.clear();
  view.attention = null;
  for (const id of ["pieces-note", "piece-list", "attention-pieces", "attention-words"])
    $(id).replaceChildren();
  $("map-frame").hidden = true;
  const { model, rows, answers } = page.shown;
  $("inspect").hidden = !model.inspect || !rows.length;
  if ($("inspect").hidden) return;
  const names = rows.map((row) => brief(row.text_b ?? row.text ?? "", 50));
  $("which-row").hidden = rows.length < 2;
  $("row").replaceChildren(
    ...names.map((name, i) => el("option", { value: i }, `${i + 1}. ${name}`)),
  );
  const scores = answers.map((answer) => answer.score ?? -Infinity);
  $("row").value = String(scores.indexOf(Math.max(...scores))); // the best pair
  for (const [id, number] of [
    ["layer", model.num_layers],
    ["head", model.num_heads],
  ]) {
    if ($(id).length !== number) {
      $(id).replaceChildren(
        ...Array.from({ length: number }, (_, i) =>
          el("option", { value: i }, `${i + 1} of ${number}`),
        ),
      );
    }
  }
  refresh();
}

function refresh() {
  say($("inspect-error"), "");
  if ($("pieces").open) inspectWith("tokens", drawPieces);
  if ($("attention").open) inspectWith("attention", drawAttention);
}

/** What the controls ask for now. */
function inspectionBody(verb) {
  const body = { instances: [page.shown.rows[$("row").value || 0]] };
  if (verb === "tokens") return body;
  return { ...body, layer: Number($("layer").value), head: Number($("head").value) };
}

async function inspectWith(verb, draw) {
  const { model } = page.shown;
  const body = inspectionBody(verb);
  const key = JSON.stringify([verb, model.name, body]);
  try {
    if (!view.known.has(key)) {
      $("inspect").setAttribute("aria-busy", "true");
      if (verb === "attention" && !view.attention) $("attention-words").textContent = "Reading…";
      const { predictions } = await callPatiently(modelPath(model, verb), body);
      view.known.set(key, predictions[0]);
    }
  } catch (error) {
    say($("inspect-error"), error.message);
    $("attention-words").textContent = "";
    return;
  } finally {
    $("inspect").setAttribute("aria-busy", "false");
  }
  const isOld =
    !page.shown || key !== JSON.stringify([verb, page.shown.model.name, inspectionBody(verb)]);
  if (isOld) return; // something else was asked meanwhile
  const found = view.known.get(key);
  if (found.error) say($("inspect-error"), found.error);
  else draw(found);
}

/** The server loads the weights at the first question, which may take longer
 * than it gives a request. */
async function callPatiently(path, body) {
  for (let tries = 1; ; tries++) {
    try {
      return await call(path, body);
    } catch (error) {
      if (tries === TRIES || !BUSY.includes(error.status)) throw error;
      await new Promise((resolve) => setTimeout(resolve, error.wait * 1000));
    }
  }
}

function pieceClass(token, segment) {
  const classes = ["piece"];
  if (isSpecial(token)) classes.push("special");
  if (token.startsWith("##")) classes.push("part");
  if (segment) classes.push("second");
  return classes.join(" ");
}

function drawPieces({ tokens, ids, segment_ids: segments }) {
  const { model } = page.shown;
  let note = `${count(tokens.length, "piece")}, of ${model.max_seq_length} that the model reads at once.`;
  if (tokens.length >= model.max_seq_length)
    note += " These are the first; a longer text is cut or read in further windows.";
  if (segments.some(Boolean)) note += " Dashed: the second text.";
  $("pieces-note").textContent = note;
  $("piece-list").replaceChildren(
    ...tokens.map((token, i) =>
      el("li", { class: pieceClass(token, segments[i]) }, token, el("small", {}, String(ids[i]))),
    ),
  );
}

function drawAttention(attention) {
  const wasSame = view.attention && view.attention.tokens.join(" ") === attention.tokens.join(" ");
  view.attention = attention;
  $("map-frame").hidden = false;
  if (!wasSame) {
    view.chosen = Math.max(
      0,
      attention.tokens.findIndex((token) => !isSpecial(token)),
    );
    $("attention-pieces").replaceChildren(
      ...attention.tokens.map((token, i) =>
        el(
          "div",
          {
            role: "option",
            class: pieceClass(token),
            onpointerenter: () => point(i),
            onfocus: () => point(i),
          },
          token,
        ),
      ),
    );
  }
  point(view.chosen);
}

/** Weights of a piece to all, or of all to it. */
function weightsOf(i) {
  const { weights } = view.attention;
  return $("direction").value === "from" ? weights[i] : weights.map((row) => row[i]);
}

function point(i) {
  view.chosen = i;
  const { tokens } = view.attention;
  const weights = weightsOf(i);
  [...$("attention-pieces").children].forEach((piece, j) => {
    piece.style.setProperty("--share", shade(weights[j]));
    piece.setAttribute("aria-selected", String(i === j));
    piece.tabIndex = i === j ? 0 : -1;
  });
  const best = weights
    .map((weight, j) => [weight, j])
    .sort((a, b) => b[0] - a[0])
    .slice(0, LOOKS);
  const words = $("attention-words");
  words.replaceChildren(
    el("b", {}, tokens[i]),
    $("direction").value === "from" ? " looks at " : " is looked at by ",
  );
  best.forEach(([weight, j], k) =>
    words.append(k ? ", " : "", el("b", {}, tokens[j]), ` ${percent(weight)}`),
  );
  drawMap();
}

/** A square for each pair of pieces; the pointed one is framed. */
function drawMap() {
  const { tokens, weights } = view.attention;
  const canvas = $("map");
  const brush = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const { margin, size } = (view.map = mapSizes(brush, style));
  const side = margin + size * tokens.length + 1;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = canvas.height = Math.round(side * ratio);
  canvas.style.width = canvas.style.height = `${side}px`;
  brush.scale(ratio, ratio);
  const tint = style.getPropertyValue("--tint");
  weights.forEach((row, i) =>
    row.forEach((weight, j) => {
      brush.fillStyle = `rgba(${tint}, ${shade(weight)})`;
      brush.fillRect(margin + j * size, margin + i * size, size - (size > 6), size - (size > 6));
    }),
  );
  if (margin) drawMapLabels(brush, style);
  brush.strokeStyle = style.getPropertyValue("--mark-line");
  brush.lineWidth = 1.5;
  const along = margin + view.chosen * size - 0.5;
  if ($("direction").value === "from")
    brush.strokeRect(margin - 0.5, along, size * tokens.length, size);
  else brush.strokeRect(along, margin - 0.5, size, size * tokens.length);
}

/** The side of a square, and the room for names, if the squares are large. */
function mapSizes(brush, style) {
  const { tokens } = view.attention;
  const width = Math.max(200, $("map-frame").clientWidth - 2);
  brush.font = mapFont(style);
  const room =
    10 + Math.ceil(Math.max(...tokens.map((token) => brush.measureText(mapName(token)).width)));
  const size = Math.min(CELL.most, Math.floor((width - room) / tokens.length));
  if (size >= CELL.labelled) return { margin: room, size };
  return {
    margin: 0,
    size: Math.max(CELL.least, Math.min(CELL.labelled, Math.floor(width / tokens.length))),
  };
}

const mapFont = (style) => `11px ${style.getPropertyValue("--mono")}`;
const mapName = (token) => brief(token, 14);

function drawMapLabels(brush, style) {
  const { margin, size } = view.map;
  brush.fillStyle = style.getPropertyValue("--soft");
  brush.font = mapFont(style);
  brush.textBaseline = "middle";
  view.attention.tokens.forEach((token, i) => {
    const middle = margin + (i + 0.5) * size;
    const label = mapName(token);
    brush.textAlign = "right";
    brush.fillText(label, margin - 6, middle);
    brush.save();
    brush.translate(middle, margin - 6);
    brush.rotate(-Math.PI / 2);
    brush.textAlign = "left";
    brush.fillText(label, 0, 0);
    brush.restore();
  });
}

/** The piece of the map's row (or column) under the pointer. */
function pointOnMap(event) {
  const { margin, size } = view.map;
  const place = $("direction").value === "from" ? event.offsetY : event.offsetX;
  const i = Math.floor((place - margin) / size);
  if (i >= 0 && i < view.attention.tokens.length && i !== view.chosen) point(i);
}

function movePiece(event) {
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  if (!view.attention) return;
  const last = view.attention.tokens.length - 1;
  let next = view.chosen + (steps[event.key] || 0);
  if (event.key === "Home") next = 0;
  else if (event.key === "End") next = last;
  else if (!(event.key in steps)) return;
  event.preventDefault();
  next = Math.min(last, Math.max(0, next));
  point(next);
  $("attention-pieces").children[next].focus();
}

function listenToInspection() {
  for (const id of ["pieces", "attention"]) {
    $(id).addEventListener("toggle", () => {
      if ($(id).open && page.shown) refresh();
    });
  }
  for (const id of ["row", "layer", "head"]) $(id).addEventListener("change", refresh);
  $("direction").addEventListener("change", () => {
    if (view.attention) point(view.chosen);
  });
  $("attention-pieces").addEventListener("keydown", movePiece);
  $("map").addEventListener("pointermove", pointOnMap);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    if (view.attention) drawMap();
  });
}
