// Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
// What all parts of the page use: elements, numbers in words, and HTTP.
"use strict";

// ------------------------------------------------------------------- helpers

const $ = (id) => document.getElementById(id);

/** An element; `--x` sets a CSS variable, `onx` listens, the rest are attributes. */
function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("--")) made.style.setProperty(name, value);
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

function say(element, text) {
  element.textContent = text;
  element.hidden = !text;
}

function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1 %";
  if (share < 1 && share > 0.999) return "> 99.9 %";
  return `${(share * 100).toFixed(1)} %`;
}

const decimal = (value) =>
  Math.abs(value) >= 1e5 ? value.toPrecision(6) : String(+value.toFixed(4));
const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
const brief = (text, most = 90) => {
  const letters = [...String(text).replace(/\s+/g, " ").trim()];
  return letters.length > most ? `${letters.slice(0, most - 1).join("")}…` : letters.join("");
};
const filledLines = (text) =>
  text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);

// ---------------------------------------------------------------------- HTTP

/** What went wrong, in words; `status` 0: no answer; `wait` in seconds. */
class Trouble extends Error {
  constructor(message, status = 0, wait = 0) {
    super(message);
    Object.assign(this, { status, wait });
  }
}

const BUSY = [429, 503, 504]; // later, or in smaller parts, it may work
let apiKey = "";

async function call(path, body, signal) {
  const headers = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (apiKey) headers.authorization = `Bearer ${apiKey}`;
  let response, text;
  try {
    response = await fetch(path, {
      method: body === undefined ? "GET" : "POST",
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      cache: "no-store",
    });
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble("The server does not answer. Is it still running?");
  }
  let data = null;
  try {
    data = JSON.parse(text);
  } catch {
    // told below
  }
  if (response.ok && data) return data;
  if (response.status === 401) askForKey(Boolean(apiKey));
  const wait = Math.max(1, Number(response.headers.get("retry-after")) || 1);
  throw new Trouble(words(response.status, data), response.status, wait);
}

function words(status, data) {
  if (status === 401)
    return apiKey ? "The server does not take this API key." : "The server asks for an API key.";
  if (status === 503)
    return data?.error
      ? `The server is busy: ${data.error}`
      : "The server is busy. Try again in a moment.";
  if (typeof data?.error === "string") return data.error;
  return `The server answered with status ${status} and no reason.`;
}

function modelPath(model, verb) {
  return `v1/models/${encodeURIComponent(model.name)}:${verb}`;
}

async function predict(model, rows, signal) {
  const { predictions } = await call(modelPath(model, "predict"), { instances: rows }, signal);
  if (!Array.isArray(predictions) || predictions.length !== rows.length) {
    throw new Trouble("The server's answer has another number of rows than were asked.", 502);
  }
  return predictions;
}

function askForKey(wasWrong) {
  $("key-form").hidden = false;
  if (wasWrong) $("key").select();
  $("key").focus();
}
