// Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
// Answers as one would draw them. Each drawing appends to a box and returns the
// answer in a few words. Places in a text are in code points.
"use strict";

const SHOWN_LABELS = 8;
const SHOWN_ANSWERS = 5; // of a question; the others are a click away

/** A list of bars from [{name, share, number, best, title, mark, pick}]. */
function bars(items) {
  return el(
    "ul",
    { class: "bars" },
    ...items.map((item) => {
      const name = item.pick
        ? el("button", { type: "button", onclick: item.pick }, item.name)
        : item.name;
      const isLong = item.name.length > 26;
      return el(
        "li",
        { class: item.best ? "bar best" : "bar", title: item.title },
        el(
          "span",
          { class: isLong ? "name long" : "name" },
          ...(item.mark ? [el("span", { class: "tick" }, "✓")] : []),
          name,
        ),
        track(item.share),
        el("span", { class: "number" }, item.number),
      );
    }),
  );
}

function track(share) {
  const width = Math.min(1, Math.max(0, share || 0));
  return el(
    "span",
    { class: "track", "aria-hidden": "true" },
    el("span", { class: "fill", "--share": width }),
  );
}

function verdict(main, more) {
  const line = el("p", { class: "verdict" }, main);
  if (more) line.append(" ", el("small", {}, more));
  return line;
}

const subtitle = (words) => el("p", { class: "subtitle" }, words);

function drawLabels(box, [answer]) {
  if ("prediction" in answer) {
    const number = decimal(answer.prediction);
    box.append(verdict(number));
    return number;
  }
  const given = new Set(answer.labels || [answer.label]);
  const all = Object.entries(answer.probabilities).map(([name, share]) => ({
    name,
    share,
    number: percent(share),
    best: given.has(name),
    mark: Boolean(answer.labels) && given.has(name),
  }));
  all.sort((a, b) => b.share - a.share);
  const said = answer.labels
    ? answer.labels.join(", ") || "none of the labels"
    : `${answer.label}, ${percent(answer.probabilities[answer.label])}`;
  box.append(
    answer.labels
      ? verdict(said)
      : verdict(answer.label, percent(answer.probabilities[answer.label])),
  );
  box.append(bars(all.slice(0, SHOWN_LABELS)));
  if (all.length > SHOWN_LABELS) {
    box.append(
      el(
        "details",
        {},
        el("summary", {}, `The other ${count(all.length - SHOWN_LABELS, "label")}`),
        bars(all.slice(SHOWN_LABELS)),
      ),
    );
  }
  if (answer.labels)
    box.append(
      el(
        "p",
        { class: "note" },
        "Each label has a probability of its own; ✓ marks those over their threshold.",
      ),
    );
  return said;
}

function drawSpans(box, [answer], { context }) {
  const letters = [...context];
  const found = answer.answers?.length ? answer.answers : [answer];
  const first = Math.max(
    0,
    found.findIndex((each) => each.start === answer.start && each.end === answer.end),
  );
  const place = el("div", {
    class: "prose scroll",
    tabindex: "0",
    role: "region",
    "aria-label": "The text with the answer marked",
  });
  const options = found.map((each, i) =>
    el(
      "button",
      { type: "button", "aria-pressed": "false", onclick: () => choose(i) },
      el("span", { class: "said" }, each.text || "No answer in the text"),
      track(each.probability),
      el("span", { class: "number" }, percent(each.probability)),
    ),
  );
  function choose(chosen) {
    options.forEach((option, i) => option.setAttribute("aria-pressed", String(i === chosen)));
    place.replaceChildren(...markedText(letters, found.slice(0, SHOWN_ANSWERS), found[chosen]));
    const mark = place.querySelector("mark");
    if (mark) place.scrollTop = mark.offsetTop - place.offsetTop - place.clientHeight / 3;
  }
  box.append(verdict(answer.text || "No answer in this text", percent(answer.probability)), place);
  const list = (some, start) =>
    el(
      "ol",
      { class: "options", start, "aria-label": "Answers, the best first" },
      ...some.map((option) => el("li", {}, option)),
    );
  if (found.length > 1 || !answer.text) box.append(list(options.slice(0, SHOWN_ANSWERS), 1));
  const rest = options.slice(SHOWN_ANSWERS);
  if (rest.length)
    box.append(
      el(
        "details",
        {},
        el("summary", {}, `${count(rest.length, "more answer")}`),
        list(rest, SHOWN_ANSWERS + 1),
      ),
    );
  if (answer.null_odds !== undefined) {
    const side = answer.null_odds > 0 ? "for" : "against";
    box.append(
      el(
        "p",
        { class: "note" },
        `Score of “no answer” minus the best answer's: ${decimal(answer.null_odds)}, which speaks ${side} no answer.`,
      ),
    );
  }
  choose(first);
  return `${answer.text || "no answer"}, ${percent(answer.probability)}`;
}

/** The text with the chosen answer in a mark, and the others underlined. */
function markedText(letters, found, chosen) {
  const spans = found.filter((each) => each.start != null && each !== chosen);
  const cuts = new Set(spans.flatMap(({ start, end }) => [start, end]));
  const between = (from, to) => {
    const places = [from, ...[...cuts].filter((c) => c > from && c < to).sort((a, b) => a - b), to];
    return places.slice(1).map((end, i) => {
      const start = places[i];
      const part = letters.slice(start, end).join("");
      return spans.some((s) => s.start <= start && end <= s.end)
        ? el("span", { class: "also" }, part)
        : part;
    });
  };
  if (chosen.start == null) return between(0, letters.length);
  return [
    ...between(0, chosen.start),
    el("mark", {}, ...between(chosen.start, chosen.end)),
    ...between(chosen.end, letters.length),
  ];
}

function hueOf(model, type) {
  const types = [
    ...new Set((model.labels || []).map((tag) => tag.replace(/^[BIESLU]-/, ""))),
  ].sort();
  return Math.round((Math.max(0, types.indexOf(type)) * 137.5 + 25) % 360);
}

function drawTags(box, [answer], { text }, model) {
  if (!answer.entities) return drawEachTag(box, answer);
  const letters = [...text];
  const prose = el("div", { class: "prose scroll" });
  const counts = new Map();
  let done = 0;
  for (const { type, start, end } of answer.entities) {
    prose.append(
      letters.slice(done, start).join(""),
      entity(model, type, letters.slice(start, end).join("")),
    );
    counts.set(type, (counts.get(type) || 0) + 1);
    done = end;
  }
  prose.append(letters.slice(done).join(""));
  box.append(prose);
  const said =
    answer.entities.map((each) => `${each.text} (${each.type})`).join(", ") || "no entity";
  if (counts.size)
    box.append(
      el(
        "ul",
        { class: "legend" },
        ...[...counts].map(([type, n]) => el("li", {}, entity(model, type, String(n)))),
      ),
    );
  else
    box.append(
      el("p", { class: "note" }, `No entity found in ${count(answer.tokens.length, "word")}.`),
    );
  return said;
}

function entity(model, type, words) {
  return el("span", { class: "entity", "--hue": hueOf(model, type) }, words, el("b", {}, type));
}

function drawEachTag(box, answer) {
  const pairs = answer.tokens.map((word, i) => [word, answer.tags[i]]);
  box.append(
    el(
      "div",
      { class: "prose" },
      ...pairs.map(([word, tag]) => el("span", { class: "tagged" }, word, el("small", {}, tag))),
    ),
  );
  return pairs.map((pair) => pair.join("/")).join(" ");
}

/** A ranked list of [{name, value, share, number}], of which some failed. */
function drawRanked(box, items) {
  const ranked = items.filter((item) => !item.error).sort((a, b) => b.value - a.value);
  const list = bars(
    ranked.map((item, i) => ({ ...item, best: i === 0, name: `${i + 1}. ${item.name}` })),
  );
  list.setAttribute("aria-label", "The best first");
  box.append(list);
  for (const item of items.filter((each) => each.error)) {
    box.append(el("p", { class: "error" }, `${brief(item.name, 40)}: ${item.error}`));
  }
  return ranked.length ? `${brief(ranked[0].name, 60)}, ${ranked[0].number}` : "nothing to rank";
}

function drawCandidates(box, answers, { text_b }) {
  const names = filledLines(text_b);
  const said = drawRanked(
    box,
    answers.map((answer, i) => ({
      name: names[i],
      error: answer.error,
      value: answer.score,
      share: answer.probability,
      number: answer.error ? "" : percent(answer.probability),
      title: answer.error ? null : `score ${decimal(answer.score)}`,
    })),
  );
  box.append(
    el(
      "p",
      { class: "note" },
      "The probability that each candidate answers the question; they do not add up to 100 %.",
    ),
  );
  return said;
}

function drawResponses(box, [{ answers }]) {
  const items = answers.map(({ text, score }) => ({
    name: text,
    value: score,
    share: score,
    number: score.toFixed(3),
  }));
  const said = drawRanked(box, items);
  box.append(
    el("p", { class: "note" }, "The cosine of each response's vector with the question's."),
  );
  return said;
}

function drawVectors(box, answers, { text, others }) {
  const [first, ...rest] = answers;
  if (first.error) {
    box.append(el("p", { class: "error" }, first.error));
    return first.error;
  }
  let said = `a vector of ${count(first.vector.length, "number")}`;
  if (rest.length) {
    const names = filledLines(others);
    said = drawRanked(
      box,
      rest.map((answer, i) => {
        const value = answer.error ? 0 : cosine(first.vector, answer.vector);
        return {
          name: names[i],
          error: answer.error,
          value,
          share: value,
          number: value.toFixed(3),
        };
      }),
    );
    box.append(
      el(
        "p",
        { class: "note" },
        "The cosine of each text's vector with the first text's: 1 is the same direction.",
      ),
    );
  }
  box.append(subtitle(`The vector of “${brief(text, 60)}”`), strip(first.vector));
  const start = first.vector
    .slice(0, 6)
    .map((value) => value.toFixed(4))
    .join(", ");
  box.append(el("p", { class: "note" }, `${count(first.vector.length, "number")}: ${start}, …`));
  return said;
}

function cosine(a, b) {
  const dot = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

/** The numbers of a vector as stripes: one hue above 0, another below. */
function strip(vector) {
  const canvas = el("canvas", {
    class: "strip",
    width: vector.length,
    height: 1,
    role: "img",
    "aria-label": "The vector's numbers as stripes",
  });
  const most = Math.max(...vector.map(Math.abs)) || 1;
  const brush = canvas.getContext("2d");
  vector.forEach((value, i) => {
    brush.fillStyle = `hsla(${value > 0 ? 186 : 32}, 75%, 45%, ${Math.abs(value) / most})`;
    brush.fillRect(i, 0, 1, 1);
  });
  return canvas;
}

function drawMasks(box, [answer], { text }) {
  const parts = text.split("[MASK]");
  const prose = el("p", { class: "prose" });
  const slots = answer.masks.map((top) => el("span", { class: "slot" }, top[0]?.token ?? "?"));
  parts.forEach((part, i) => prose.append(...(i ? [slots[i - 1] ?? "[MASK]"] : []), part));
  box.append(prose);
  answer.masks.forEach((top, i) => {
    box.append(subtitle(answer.masks.length > 1 ? `For [MASK] ${i + 1}` : "For [MASK]"));
    box.append(
      bars(
        top.map(({ token, probability }, j) => ({
          name: token,
          share: probability,
          number: percent(probability),
          best: j === 0,
          pick: () => {
            slots[i].textContent = token;
          },
        })),
      ),
    );
  });
  box.append(el("p", { class: "note" }, "Choose a word to see it in the text."));
  return answer.masks.map((top) => `${top[0].token} ${percent(top[0].probability)}`).join(", ");
}

function drawScore(box, [answer]) {
  const { tokens, log_probabilities: logs } = answer;
  const least = logs.indexOf(Math.min(...logs));
  const said = `mean ${answer.mean.toFixed(2)}`;
  box.append(verdict(answer.mean.toFixed(2), "mean log-probability of a piece"));
  const prose = el("p", { class: "prose" });
  tokens.forEach((token, i) => {
    const share = Math.min(1, -logs[i] / 12) * 0.6;
    const isPart = token.startsWith("##");
    prose.append(
      i && !isPart ? " " : "",
      el(
        "span",
        {
          class: "scored",
          "--share": share.toFixed(3),
          title: `${percent(Math.exp(logs[i]))}, log ${logs[i].toFixed(2)}`,
        },
        isPart ? token.slice(2) : token,
      ),
    );
  });
  box.append(prose);
  box.append(
    el(
      "p",
      { class: "note" },
      `The redder, the less expected. Least of all: “${tokens[least]}”, ${percent(Math.exp(logs[least]))}. Sum of the ${count(tokens.length, "piece")}: ${answer.pseudo_log_likelihood.toFixed(2)}.`,
    ),
  );
  return said;
}

function drawNext(box, [answer]) {
  const yes = answer.next_probability;
  box.append(
    verdict(yes >= 0.5 ? "B follows A" : "B does not follow A", percent(Math.max(yes, 1 - yes))),
  );
  box.append(
    bars([
      { name: "follows", share: yes, number: percent(yes), best: yes >= 0.5 },
      { name: "does not", share: 1 - yes, number: percent(1 - yes), best: yes < 0.5 },
    ]),
  );
  return `${percent(yes)} that B follows A`;
}

/** An answer of a task that this page does not know. */
function drawAny(box, [answer]) {
  if (answer.probabilities && (answer.label !== undefined || answer.labels))
    return drawLabels(box, [answer]);
  box.append(el("pre", {}, JSON.stringify(answer, null, 1)));
  return brief(JSON.stringify(answer), 60);
}
