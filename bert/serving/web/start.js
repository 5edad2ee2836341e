// Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
// Starts the page: the models, the API key, the tabs and all buttons.
"use strict";

async function loadModels() {
  say($("trouble"), "");
  try {
    const { models } = await call("v1/models");
    if (!models?.length) throw new Trouble("The server has no model.");
    page.models = models;
  } catch (error) {
    if (error.status === 401) return; // the form for the key says it
    say($("trouble"), error.message);
    $("trouble").append(" ", el("button", { type: "button", onclick: loadModels }, "Try again"));
    return;
  }
  $("key-form").hidden = true;
  $("main").hidden = false;
  $("model").disabled = page.models.length < 2;
  $("model").replaceChildren(
    ...page.models.map((model, i) => el("option", { value: i }, model.name)),
  );
  chooseModel(page.models[0]);
  page.asked = readHistory();
  drawHistory();
}

function tellOfKey() {
  const isWrong = !page.model && $("trouble").hidden;
  if (isWrong) $("key-hint").textContent = "The server does not take this key.";
}

function chooseTab(tab) {
  for (const each of document.querySelectorAll("[role=tab]")) {
    const isChosen = each === tab;
    each.setAttribute("aria-selected", String(isChosen));
    each.tabIndex = isChosen ? 0 : -1;
    $(each.getAttribute("aria-controls")).hidden = !isChosen;
  }
}

function listen() {
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    ask();
  });
  $("form").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      ask();
    }
  });
  $("clear").addEventListener("click", () => {
    chooseMode(page.mode);
    clearAnswer();
    $("field-0").focus();
  });
  $("forget").addEventListener("click", forget);
  $("model").addEventListener("change", () => chooseModel(page.models[$("model").value]));
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const key = $("key").value.trim();
    if (!/^[\x21-\x7e]+$/.test(key)) {
      $("key-hint").textContent =
        "A key has only letters, digits and signs without accents or spaces.";
      return;
    }
    apiKey = key;
    $("key-hint").textContent = "";
    if (page.model) $("key-form").hidden = true;
    else loadModels().then(tellOfKey);
  });
  const tabs = [...document.querySelectorAll("[role=tab]")];
  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => chooseTab(tab));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs[(i + step + tabs.length) % tabs.length];
      chooseTab(next);
      next.focus();
    });
  });
}

listen();
listenToInspection();
listenToBatch();
loadModels();
