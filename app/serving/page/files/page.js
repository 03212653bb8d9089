// Keeps the page of the service up to date, sends the row of the form, loads versions, and ends rollouts.
"use strict";

const POLL_MS = 5000;
const MAX_BARS = 5;
const byId = (id) => document.getElementById(id);

// A token stays in this tab. It is sent in a header, never in a cookie or an address.
function tokenHeader(inputId) {
  const token = byId(inputId)?.value ?? "";
  return token ? { Authorization: `Bearer ${token}` } : {};
}

for (const id of ["predict-token", "token"]) {
  const input = byId(id);
  if (!input) continue;
  input.value = sessionStorage.getItem(id) ?? "";
  input.addEventListener("change", () => sessionStorage.setItem(id, input.value));
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// The sentences of a problem document (RFC 9457), or what else the answer says.
async function problemOf(response) {
  const text = await response.text();
  try {
    const problem = JSON.parse(text);
    const allowed = problem.allowed ? `Allowed: ${problem.allowed}.` : "";
    return [`${problem.title}: ${problem.detail}`, allowed, problem.next_step].filter(Boolean).join(" ");
  } catch {
    return `The service answered ${response.status}. ${text.slice(0, 200)}`;
  }
}

// --- the state, read again every few seconds ---

let lastAnswer = new Date();
let lastCount = { requests: Number(byId("traffic").dataset.requests), at: performance.now() };

// Show the requests a second since the last answer. A replica that started again makes the count smaller.
function showRate() {
  const count = { requests: Number(byId("traffic").dataset.requests), at: performance.now() };
  const rate = (1000 * (count.requests - lastCount.requests)) / (count.at - lastCount.at);
  byId("rate").textContent = rate < 0 ? "" : `${rate < 10 ? rate.toFixed(1) : rate.toFixed(0)} requests/s`;
  lastCount = count;
}

const sent = new Map(); // the parts as the service sent them

// Replace the parts that changed. The focus and the scroll position stay where they are.
function showState(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html").body;
  const state = byId("state");
  for (const part of [...state.children]) if (!fresh.querySelector(`#${part.id}`)) part.remove();
  let above = null;
  for (const part of [...fresh.children]) {
    const old = byId(part.id);
    if (!old) {
      if (above) above.after(part);
      else state.prepend(part);
    } else if (sent.get(part.id) !== part.outerHTML) {
      sent.set(part.id, part.outerHTML);
      const focused = old.contains(document.activeElement) ? document.activeElement : null;
      const scrolled = old.querySelector(".scroll")?.scrollLeft ?? 0;
      const open = [...old.querySelectorAll("details[open]")].map((details) => details.id);
      old.replaceWith(part);
      for (const id of open) byId(id)?.setAttribute("open", "");
      const scroll = part.querySelector(".scroll");
      if (scroll) scroll.scrollLeft = scrolled;
      if (focused?.id) byId(focused.id)?.focus();
      else if (focused?.dataset.act) part.querySelector(`[data-version="${focused.dataset.version}"]`)?.focus();
      else if (focused?.href) [...part.querySelectorAll("a")].find((a) => a.href === focused.href)?.focus();
      else if (focused) part.querySelector(".scroll")?.focus();
    }
    above = byId(part.id);
  }
  offerComparison();
  const form = byId("row");
  if (form) byId("form-old").hidden = form.dataset.form === byId("facts").dataset.form;
  else if (byId("facts").querySelector(".empty") === null) location.reload(); // the first version serves now
}

async function poll() {
  if (!document.hidden) {
    try {
      const response = await fetch("page/state", { signal: AbortSignal.timeout(4 * POLL_MS) });
      if (!response.ok) throw new Error(await problemOf(response));
      showState(await response.text());
      showRate();
      lastAnswer = new Date();
      byId("connection").textContent = "";
    } catch {
      byId("connection").textContent = `No answer since ${lastAnswer.toLocaleTimeString()}. Trying again.`;
    }
  }
  setTimeout(poll, POLL_MS);
}

setTimeout(poll, POLL_MS);

// --- the values of a chart at the pointer ---

// The points of a line, from its path: the slot, and the height in percent from the top.
function pointsOf(line) {
  return new Map([...line.getAttribute("d").matchAll(/(\d+) (-?[\d.]+(?:e-?\d+)?)/g)].map((match) => [Number(match[1]), Number(match[2])]));
}

function showValues(chart, event) {
  const svg = chart.querySelector("svg");
  const box = svg.getBoundingClientRect();
  const last = svg.viewBox.baseVal.width;
  const slot = Math.round((last * (event.clientX - box.left)) / box.width);
  const readout = chart.querySelector(".readout");
  const isInside = slot >= 0 && slot <= last;
  svg.querySelector(".guide").setAttribute("d", isInside ? `M${slot} 0V100` : "");
  readout.hidden = !isInside;
  chart.querySelector(".now").hidden = isInside;
  if (!isInside) return;
  const seconds = Number(svg.dataset.slotSeconds) * (last - slot);
  const shown = [element("span", "hint", seconds < 60 ? `${seconds} s ago` : `${Math.floor(seconds / 60)} min ago`)];
  for (const line of svg.querySelectorAll(".line:not(.p50, .p99)")) {
    const height = pointsOf(line).get(slot);
    if (height === undefined) continue;
    const value = Number(svg.dataset.top) * (1 - height / 100);
    const entry = element("span");
    entry.append(element("span", `swatch ${line.classList[1]}`), String(Number(value.toPrecision(3))));
    shown.push(entry);
  }
  readout.replaceChildren(...shown);
}

document.addEventListener("pointermove", (event) => {
  const chart = event.target.closest(".chart");
  if (chart) showValues(chart, event);
});
document.addEventListener("pointerout", (event) => {
  const chart = event.target.closest(".chart");
  if (chart && !chart.contains(event.relatedTarget)) showValues(chart, { clientX: -1e6 });
});

// --- the form ---

let model = null; // the answer of GET /model
let exampleIndex = -1; // the held-out row that the form shows; -1 after a change

function columnInputs() {
  return [...document.querySelectorAll("[data-column]")];
}

function valueOf(input) {
  const text = input.value.trim();
  if (text === "") return null;
  if (input.dataset.kind === "boolean") return text === "true";
  if (input.dataset.kind === "text") return input.value;
  const number = Number(text);
  return Number.isNaN(number) ? text : number; // the service says what is wrong with a text
}

function readRow() {
  const whole = byId("whole-row");
  if (whole) return JSON.parse(whole.value);
  return Object.fromEntries(columnInputs().map((input) => [input.dataset.column, valueOf(input)]));
}

function showExample(index) {
  const values = model.example.features[index];
  const row = Object.fromEntries(model.columns.map((name, position) => [name, values[position]]));
  if (byId("whole-row")) byId("whole-row").value = JSON.stringify(row, null, 1);
  for (const input of columnInputs()) input.value = row[input.dataset.column] ?? "";
  exampleIndex = index;
  byId("example-note").textContent = `Held-out row ${index + 1} of ${model.example.features.length}`;
  showCode();
}

async function readModel() {
  const response = await fetch("model", { headers: tokenHeader("predict-token") });
  if (!response.ok) return;
  model = await response.json();
  const count = model.example?.features.length ?? 0;
  byId("next-example").hidden = count < 2;
  if (count && exampleIndex < 0) showExample(0);
  else if (!count) byId("example-note").textContent = "The service shows no example rows here.";
}

function predictUrl() {
  return new URL(byId("row").dataset.predict, location.href).href;
}

function showCode() {
  let body;
  try {
    body = JSON.stringify({ rows: [readRow()] });
  } catch {
    byId("code").hidden = true;
    return;
  }
  const needsToken = byId("predict-token") !== null;
  const quoted = `'${body.replaceAll("'", `'\\''`)}'`;
  const authorization = needsToken ? ` \\\n  -H "Authorization: Bearer $TOKEN"` : "";
  byId("code-curl").textContent = `curl ${predictUrl()} \\\n  -H 'Content-Type: application/json'${authorization} \\\n  -d ${quoted}`;
  const headers = needsToken ? `,\n    headers={"Authorization": f"Bearer {token}"}` : "";
  byId("code-python").textContent =
    "import json\n\nimport httpx\n\n" + `row = json.loads(${JSON.stringify(JSON.stringify(readRow()))})\n` +
    `answer = httpx.post(\n    "${predictUrl()}",\n    json={"rows": [row]}${headers},\n)\n` +
    `print(answer.raise_for_status().json()["predictions"])`;
  byId("code").hidden = false;
}

function asText(value) {
  if (Array.isArray(value)) return value.map(asText).join(", ");
  return typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(7))) : String(value);
}

function bars(classes, probabilities) {
  const list = element("div", "bars");
  const order = probabilities.map((_, index) => index).sort((a, b) => probabilities[b] - probabilities[a]);
  for (const index of order.slice(0, MAX_BARS)) {
    const track = element("div", "track");
    const bar = element("div");
    bar.style.width = `${100 * probabilities[index]}%`;
    track.append(bar);
    list.append(element("span", "", String(classes[index])), track, element("span", "", probabilities[index].toFixed(3)));
  }
  if (order.length > MAX_BARS) list.append(element("span", "hint", `and ${order.length - MAX_BARS} more`));
  return list;
}

function showAnswer(answer, milliseconds, trueLabel) {
  const [prediction] = answer.predictions;
  const line = element("p", "prediction");
  line.append(element("strong", "", asText(prediction)));
  if (trueLabel !== undefined && trueLabel !== null) {
    const isClass = answer.probabilities || answer.output_probabilities || answer.decision || typeof trueLabel === "string";
    const isRight = asText(trueLabel) === asText(prediction);
    const judged = isClass ? (isRight ? "right" : "wrong") : "";
    line.append(element("span", judged, `true value: ${asText(trueLabel)}${judged ? ` (${judged})` : ""}`));
  }
  line.append(element("span", "hint", `version ${answer.model_version}, ${milliseconds.toFixed(0)} ms with the way there and back`));
  const shown = [line];
  if (answer.probabilities) shown.push(bars(model.classes, answer.probabilities[0]));
  if (answer.std) shown.push(element("p", "hint", `standard deviation ${asText(answer.std[0])}`));
  if (answer.decision) shown.push(element("p", "hint", `decision function ${asText(answer.decision[0])}`));
  byId("answer").replaceChildren(...shown);
}

// The aliases and the number of each version that the form can compare. The version that serves is the first.
function roles() {
  return JSON.parse(byId("facts").dataset.roles);
}

function offerComparison() {
  if (byId("compare")) byId("compare").hidden = roles().length < 2;
}

// Ask one version, and measure a second request: the first one may have loaded the version.
async function ask(version, body) {
  const path = `models/${encodeURIComponent(byId("facts").dataset.model)}/versions/${version}/predict`;
  const request = { method: "POST", body, headers: { "Content-Type": "application/json", ...tokenHeader("predict-token") } };
  for (let attempt = 0; ; attempt += 1) {
    const start = performance.now();
    const response = await fetch(path, request);
    if (!response.ok) return { problem: await problemOf(response) };
    if (attempt === 1) return { answer: await response.json(), milliseconds: performance.now() - start };
  }
}

function comparedRow(role, version, { answer, milliseconds, problem }) {
  const row = element("tr");
  const head = element("th");
  head.scope = "row";
  head.append(element("span", "chip", version), " ", element("span", "alias", role));
  row.append(head);
  if (problem) {
    const cell = element("td", "refused", problem);
    cell.colSpan = 3;
    row.append(cell);
    return row;
  }
  const [prediction] = answer.predictions;
  const highest = answer.probabilities ? Math.max(...answer.probabilities[0]).toFixed(3) : "-";
  row.append(element("td", "", asText(prediction)), element("td", "number", highest), element("td", "number", `${milliseconds.toFixed(0)} ms`));
  return row;
}

// Let each version answer the row, one after the other, so that they do not slow each other down.
async function compare() {
  const button = byId("compare");
  button.disabled = true;
  try {
    const body = JSON.stringify({ rows: [readRow()] });
    const table = element("table", "compared");
    const head = element("tr");
    for (const [name, className] of [["Version", ""], ["Prediction", ""], ["Probability", "number"], ["Time", "number"]]) {
      const cell = element("th", className, name);
      cell.scope = "col";
      head.append(cell);
    }
    table.createTHead().append(head);
    const rows = table.createTBody();
    const trueLabel = exampleIndex < 0 ? undefined : model?.example?.labels[exampleIndex];
    const hint = "The time includes the way there and back.";
    byId("answer").replaceChildren(table, element("p", "hint", trueLabel === undefined ? hint : `True value: ${asText(trueLabel)}. ${hint}`));
    for (const [role, version] of roles()) rows.append(comparedRow(role, version, await ask(version, body)));
  } catch (error) {
    showProblem(error instanceof SyntaxError ? `The row is not JSON: ${error.message}` : "The service does not answer.");
  } finally {
    button.disabled = false;
  }
}

function showProblem(text) {
  byId("answer").replaceChildren(element("p", "notice bad", text));
}

async function predict(event) {
  event.preventDefault();
  const button = byId("row").querySelector(".primary");
  button.disabled = true;
  try {
    const trueLabel = exampleIndex < 0 ? undefined : model?.example?.labels[exampleIndex];
    const body = JSON.stringify({ rows: [readRow()] });
    const start = performance.now();
    const response = await fetch(byId("row").dataset.predict, {
      method: "POST", body, headers: { "Content-Type": "application/json", ...tokenHeader("predict-token") },
    });
    if (!response.ok) {
      showProblem(await problemOf(response));
      return;
    }
    const answer = await response.json();
    showAnswer(answer, performance.now() - start, trueLabel);
  } catch (error) {
    showProblem(error instanceof SyntaxError ? `The row is not JSON: ${error.message}` : "The service does not answer.");
  } finally {
    button.disabled = false;
  }
}

if (byId("row")) {
  byId("row").addEventListener("submit", predict);
  byId("row").addEventListener("input", (event) => {
    if (event.target.id === "predict-token") return;
    exampleIndex = -1;
    byId("example-note").textContent = "Your own row";
    showCode();
  });
  byId("predict-token")?.addEventListener("change", readModel);
  byId("compare").addEventListener("click", compare);
  offerComparison();
  let next = 0;
  byId("next-example").addEventListener("click", () => {
    next = (next + 1) % model.example.features.length;
    showExample(next);
    byId("row").requestSubmit();
  });
  readModel();
}

// --- loads and rollouts ---

const ACTS = {
  load: {
    title: (version) => `Load version ${version}?`,
    text: "Every replica loads the version and compares it with its stored example. If one refuses it, nothing changes. Requests are answered meanwhile.",
    button: "Load it", working: "Loading on every replica.", method: "POST", path: "model/load", body: (version) => JSON.stringify({ version }),
  },
  promote: {
    title: (version) => `Promote version ${version} now?`,
    text: "The version answers all requests from then on, whatever the evidence says, and the alias champion names it.",
    button: "Promote it", working: "Moving every replica.", method: "POST", path: "model/rollout/promote",
  },
  abort: {
    title: (version) => `End the rollout of version ${version}?`,
    text: "The champion answers all requests again.",
    button: "End it", working: "Ending the rollout.", method: "DELETE", path: "model/rollout",
  },
};
let chosen = null;

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (!button) return;
  chosen = { act: ACTS[button.dataset.act], version: button.dataset.version };
  byId("confirm-title").textContent = chosen.act.title(chosen.version);
  byId("confirm-text").textContent = chosen.act.text;
  byId("confirm-act").textContent = chosen.act.button;
  byId("confirm-result").hidden = true;
  byId("confirm").showModal();
});

byId("confirm").querySelector("form").addEventListener("submit", async (event) => {
  if (event.submitter?.value !== "act") return;
  event.preventDefault();
  const button = byId("confirm-act");
  const result = byId("confirm-result");
  button.disabled = true;
  result.className = "hint";
  result.textContent = chosen.act.working;
  result.hidden = false;
  try {
    const response = await fetch(chosen.act.path, {
      method: chosen.act.method, body: chosen.act.body?.(chosen.version),
      headers: { "Content-Type": "application/json", ...tokenHeader("token") },
    });
    if (!response.ok) throw new Error(await problemOf(response));
    showState(await (await fetch("page/state")).text());
    byId("confirm").close();
  } catch (error) {
    result.className = "notice bad";
    result.textContent = error instanceof TypeError ? "The service does not answer." : error.message;
  } finally {
    button.disabled = false;
  }
});
