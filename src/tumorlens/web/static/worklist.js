// The worklist: cases with their states, filters that stay in the address, links between cases of one person.

import { ask, byId, colourOf, elided, h, plural, watch, when } from "./common.js";

const PAGE = 50;
const FILTERS = ["text", "label", "verdict", "status", "sort"];
const VERDICTS = { agree: "agreed", other: "other class", unsure: "unsure" };
const list = byId("worklist");
let shown = PAGE;
let asked = 0;

// What is picked stands in the address: a reload, a bookmark or the way back finds it again.
function restore() {
  const given = new URLSearchParams(location.search);
  for (const id of FILTERS) {
    const field = byId(id);
    const value = given.get(id) ?? "";
    if (field.tagName !== "SELECT" || [...field.options].some((option) => option.value === value)) field.value = value;
  }
  byId("sort").value ||= "newest";
}

function keep() {
  const picked = new URLSearchParams(FILTERS.map((id) => [id, byId(id).value.trim()]).filter(([id, value]) => value && !(id === "sort" && value === "newest")));
  history.replaceState(null, "", picked.size ? `?${picked}` : location.pathname);
}

function query() {
  const parameters = new URLSearchParams({ sort: byId("sort").value, limit: shown });
  const text = byId("text").value.trim();
  if (text) parameters.set("text", text);
  for (const id of ["label", "verdict", "status"]) {
    const value = byId(id).value;
    if (value === "unknown") parameters.set("unknown", "true");
    else if (value) parameters.set(id, value);
  }
  return parameters;
}

async function refresh() {
  const mine = ++asked;
  let answer;
  try {
    answer = await ask("GET", `/cases?${query()}`);
  } catch (error) {
    byId("count").textContent = error.message;
    return;
  }
  if (mine !== asked) return; // another was asked for meanwhile
  const focused = document.activeElement?.dataset?.focus;
  list.replaceChildren(...answer.cases.map(row));
  if (focused) list.querySelector(`[data-focus="${focused}"]`)?.focus();
  byId("count").textContent = answer.total ? plural(answer.total, "case") : "";
  byId("more").hidden = answer.cases.length >= answer.total;
  if (!answer.total) {
    const none = [...query()].length > 2 ? "No case fits. Change the filters." : "No cases yet. Drop a scan above.";
    list.append(h("li", { class: "empty" }, none));
  }
}

function row(entry) {
  const title = entry.title || "New case";
  const facts = [when(entry.created), entry.slices ? plural(entry.slices, "slice") : null, entry.origin ? "from the node" : null].filter(Boolean).join(" · ");
  return h("li", { class: "case" }, thumb(entry),
    h("span", { class: "what" },
      h("a", { class: "title", href: `/cases/${entry.id}`, title, "data-focus": entry.id }, elided(title, 90)),
      h("span", { class: "soft small" }, facts),
      entry.linked ? h("a", { class: "small over", href: `/cases/${entry.linked}` }, "earlier case of the same person") : null),
    h("span", { class: "what" }, state(entry)),
    h("span", { class: "row ends" }, entry.verdict ? h("span", { class: "chip" }, VERDICTS[entry.verdict]) : null, action(entry)));
}

function thumb(entry) {
  const keys = entry.study?.key_slices ?? [];
  if (keys.length) {
    const key = keys[Math.floor(keys.length / 2)];
    return h("img", { class: "thumb", src: `/api/v1/cases/${entry.id}/slices/${key}/scan.png`, alt: "", loading: "lazy" });
  }
  const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#icon-${entry.status === "failed" ? "failed" : "waiting"}`);
  icon.append(use);
  icon.setAttribute("aria-hidden", "true");
  return h("span", { class: `thumb none ${entry.status}` }, icon);
}

function state(entry) {
  if (entry.status === "failed") return [h("span", { class: "verdict bad" }, "Could not be read"), h("span", { class: "small soft" }, entry.error)];
  if (entry.status === "uploading") return h("span", { class: "soft" }, "being uploaded");
  if (entry.status === "waiting") return h("span", { class: "soft" }, "waiting to be read");
  if (entry.status === "reading") {
    return [h("span", { class: "soft" }, `being read: ${entry.slices}${entry.total ? ` of about ${Math.max(entry.total, entry.slices)}` : ""}`),
      h("progress", { max: Math.max(entry.total, entry.slices, 1), value: entry.slices, "aria-label": "Slices read" })];
  }
  const { answer } = entry.study;
  const dot = answer === "present" || answer === "absent" ? `dot ${colourOf(entry.label)}` : "dot";
  return [h("span", { class: `verdict ${answer.replace(" ", "-")}` }, h("span", { class: dot }), entry.state),
    h("span", { class: "small soft" }, entry.headline.replace(/^(uncertain|not assessable): /, ""))];
}

function action(entry) {
  if (entry.status === "uploading") return h("button", { class: "plain over", type: "button", "data-focus": `drop-${entry.id}`, onclick: () => act(() => ask("DELETE", `/cases/${entry.id}`)) }, "Discard");
  if (entry.status === "failed" && entry.retry) return h("button", { class: "plain over", type: "button", "data-focus": `again-${entry.id}`, onclick: () => act(() => ask("POST", `/cases/${entry.id}/start`)) }, "Try again");
  if (entry.status !== "done") return null;
  return h("button", { class: "plain over", type: "button", "data-focus": `link-${entry.id}`, "aria-label": `Link ${entry.title} to an earlier case of the same person`, onclick: () => link(entry) }, "Link");
}

async function act(doIt) {
  try {
    await doIt();
  } catch (error) {
    byId("count").textContent = error.message;
    return;
  }
  await refresh();
}

// linking a case to an earlier one of the same person

let linking = null;

async function link(entry) {
  linking = entry;
  byId("link-which").textContent = elided(entry.title, 90);
  byId("link-text").value = "";
  byId("link-none").hidden = !entry.linked;
  byId("link-refused").hidden = true;
  byId("link").showModal();
  await candidates();
}

async function candidates() {
  const entry = linking;
  const parameters = new URLSearchParams({ status: "done", limit: 30, text: byId("link-text").value.trim() });
  const { cases } = await ask("GET", `/cases?${parameters}`);
  if (entry !== linking) return;
  const others = cases.filter((other) => other.id !== entry.id && other.created <= entry.created);
  byId("link-cases").replaceChildren(...others.map((other) =>
    h("li", {}, h("button", { type: "button", "aria-pressed": String(other.id === entry.linked), onclick: () => choose(other.id) }, h("span", {}, elided(other.title, 70)), h("span", { class: "small soft" }, `${when(other.created)} · ${other.state}`)))));
  if (!others.length) byId("link-cases").append(h("li", { class: "soft" }, "No earlier case fits."));
}

async function choose(id) {
  try {
    await ask("PATCH", `/cases/${linking.id}`, { linked: id });
  } catch (error) {
    byId("link-refused").textContent = error.message;
    byId("link-refused").hidden = false;
    return;
  }
  byId("link").close();
  await refresh();
}

let timer;
function soon(call = refresh, delay = 150) {
  clearTimeout(timer);
  timer = setTimeout(call, delay);
}
byId("link-text").addEventListener("input", () => soon(candidates, 250));
byId("link-none").addEventListener("click", () => choose(""));
byId("text").addEventListener("input", () => { keep(); soon(refresh, 250); });
for (const id of FILTERS.slice(1)) byId(id).addEventListener("change", () => { shown = PAGE; keep(); refresh(); });
byId("filters").addEventListener("submit", (event) => { event.preventDefault(); refresh(); });
byId("more").addEventListener("click", () => { shown = Math.min(shown + PAGE, 500); refresh(); });
restore();
watch(() => soon());
refresh(); // nobody waits for it: what is dropped before the list has come is taken too
