// A case: its slices as they are found. The conductor of panel, series, viewers, planes, strip, measurements and assessment.

import { offerActions } from "./actions.js";
import { Assessment } from "./assessment.js";
import { Beside } from "./beside.js";
import { ask, byId, capital, classes, colourOf, h, names, nothing, plural, watch, when } from "./common.js";
import { fractionsOf, isPlaced, pointOf } from "./geometry.js";
import { listen } from "./keys.js";
import { Measuring } from "./measure.js";
import { showAnswer, showSlice, titleOf } from "./panel.js";
import { Planes } from "./planes.js";
import { SeriesList, doubtsOf } from "./series.js";
import { Strip, tip } from "./strip.js";
import { Viewer } from "./viewer.js";
import { Windowing } from "./windowing.js";

const root = byId("case");
const id = root.dataset.id;
const viewer = new Viewer(byId("stage"), byId("panes"), byId("readout"));
const planes = new Planes(byId("planes"), id, byId("readout"));
planes.level = Number(root.dataset.threshold);
const windowing = new Windowing(() => redraw());
const list = new SeriesList(byId("series"), (one, other) => (other ? beside.choose(one) : go(keyOf(one))));
const strip = new Strip(byId("strip"), (number) => go(number), (one) => tip(one, seriesOf(one.number)));
const beside = new Beside(viewer.pictures, windowing, (n) => step(n));
const assessment = new Assessment(id, viewer, () => ({ slice: slice(), key: key() }), () => viewer.view === "planes" && setView("blend"));
const measuring = new Measuring(id, viewer, (number) => go(number), () => viewer.view === "planes" && setView("blend"));
let shownCase = null;
let slices = []; // by number, from 1
let series = [];
let order = []; // numbers of the slices as they are shown: series by series
let anew = false; // whether it was begun again from here
let current = 0; // number of the slice that is shown
let picked = null; // class that the reader picked; null follows the finding
let moved = false; // whether the reader has chosen a slice
let cursor = null; // where the reader pointed, in the patient

const slice = () => slices[current - 1];
const seriesOf = (number) => series.find((one) => one.slices.includes(number));
const here = () => seriesOf(current);
// The class that the picture is about; an unknown slice has none.
const key = () => (slice().finding.unknown ? null : picked ?? slice().finding.label);

// the case as it comes in

async function refresh() {
  let more = [];
  const before = shownCase?.status;
  try {
    shownCase = await ask("GET", `/cases/${id}`);
    if (anew || shownCase.slices < slices.length) [slices, series, current, anew] = [[], [], 0, false]; // it was begun again
    const others = shownCase.slices > listed() || shownCase.status !== before;
    const [found, all] = await Promise.all([ask("GET", `/cases/${id}/slices?after=${slices.length}`), others && askSeries()]);
    more = found;
    slices.push(...more);
    if (all) series = withHere(all);
    if (slices.length > listed()) series = withHere(await askSeries()); // some were found between the questions
    await Promise.all([assessment.load(), measuring.load()]);
  } catch (error) {
    byId("state").replaceChildren(h("p", { class: "notice bad" }, error.status === 404 ? "The case was deleted." : error.message));
    return;
  }
  showCase();
  order = series.flatMap((one) => one.slices);
  if (!order.length) return;
  byId("desk").hidden = false;
  byId("desk").classList.toggle("several", series.length > 1);
  byId("slice").max = order.length;
  byId("scroller").hidden = order.length < 2;
  list.set(series, slices, places());
  beside.set(series, slices);
  beside.link(shownCase.linked).catch(() => {}); // it may have been deleted; there is nothing to stand beside then
  showStrip();
  const linked = Number(location.hash.slice(1));
  const suspicious = shownCase.study?.key_slices?.at(Math.floor(shownCase.study.key_slices.length / 2));
  if (!current && order.includes(linked)) await go(linked);
  else if (!current || (shownCase.status === "done" && !moved && suspicious && suspicious !== current)) await go(suspicious ?? order[0], false);
  else if (more.length) {
    showWhere();
    redraw(); // its window is that of more slices now
  }
  assessment.show();
}

const askSeries = () => ask("GET", `/cases/${id}/series`);
// So many slices are in the series that are known.
const listed = () => series.reduce((sum, one) => sum + one.slices.length, 0);
// Without the slices that were found between two questions.
function withHere(all) {
  const known = all.map((one) => ({ ...one, slices: one.slices.filter((number) => number <= slices.length) }));
  return known.filter((one) => one.slices.length);
}

function showCase() {
  byId("title").textContent = shownCase.title || "New case";
  document.title = `${shownCase.title || "New case"} – TumorLens`;
  const facts = [
    `dropped by ${shownCase.owner}, ${when(shownCase.created)}`, plural(shownCase.slices, "slice"), `weights ${shownCase.weights}`, `deleted on ${when(shownCase.expires)}`,
  ].join(" · ");
  byId("facts").replaceChildren(facts, ...(shownCase.linked ? [" · ", h("a", { href: `/cases/${shownCase.linked}` }, "earlier case of this person")] : []));
  const state = byId("state");
  if (shownCase.status === "failed") {
    state.replaceChildren(h("div", { class: "notice bad" }, h("h2", {}, "It could not be read"), h("p", {}, capital(shownCase.error)),
      shownCase.retry ? h("button", { type: "button", onclick: again }, "Try again") : null));
  } else if (shownCase.status === "done") state.replaceChildren();
  else {
    const words = { uploading: "The files are being uploaded.", waiting: "Waiting to be read.", reading: "Being read" }[shownCase.status];
    const all = Math.max(shownCase.total, shownCase.slices);
    const about = shownCase.status === "reading" && shownCase.total ? `: ${shownCase.slices} of about ${all} slices` : "";
    state.replaceChildren(h("div", { class: "coming" }, h("p", {}, words + about), about ? h("progress", { max: all, value: shownCase.slices, "aria-label": "Slices read" }) : h("progress", { "aria-label": words })));
  }
  for (const report of ["report-pdf", "report-html"]) byId(report).hidden = shownCase.status !== "done";
  byId("failures").hidden = !shownCase.failures.length;
  byId("failures").querySelector("ul").replaceChildren(...shownCase.failures.slice(0, 100).map((f) => h("li", {}, `${f.name}: ${f.error}`)));
  showAnswer(shownCase, series, (number) => go(number));
}

function showStrip() {
  strip.set({
    slices: order.map((number) => slices[number - 1]), borders: series.map((one) => order.indexOf(one.slices[0])),
    marks: new Set((assessment.said ?? []).map((one) => one.slice)), key: new Set(shownCase.study?.unknown ? [] : shownCase.study?.key_slices),
  });
}

async function again() {
  await ask("POST", `/cases/${id}/start`);
  anew = true;
  await soon();
}

// one slice

const places = () => [here()?.place, ...(viewer.view === "pair" ? [beside.series?.place] : [])];
// Where a series opens: among its slices that decided, else in its middle.
function keyOf(one) {
  const deciding = (shownCase.study?.key_slices ?? []).filter((n) => one.slices.includes(n));
  const of = deciding.length ? deciding : one.slices;
  return of[Math.floor(of.length / 2)];
}

// Goes a few slices on, within the series.
function step(n) {
  const own = here().slices;
  return go(own[Math.min(own.length - 1, Math.max(0, own.indexOf(current) + n))]);
}

async function go(number, byReader = true) {
  moved ||= byReader;
  if (!seriesOf(number) || (number === current && byReader)) return;
  ahead.direction = order.indexOf(number) < order.indexOf(current) ? -1 : 1;
  current = number;
  const shown = show(); // the picture first: what is written beside it makes the browser lay the page out
  showWhere();
  showFinding();
  assessment.show();
  await shown;
}

function showWhere() {
  const own = here();
  const place = own.slices.indexOf(current) + 1;
  byId("slice").value = order.indexOf(current) + 1;
  byId("slice").setAttribute("aria-valuetext", `${titleOf(own)}, slice ${place} of ${own.slices.length}, ${slice().words}`);
  byId("where").textContent = `${slice().finding.source} · ${place} of ${own.slices.length}`;
  byId("finding-title").textContent = series.length > 1 ? `Finding of slice ${current}` : "Finding of this slice";
  strip.show(current);
  list.show(places());
  windowing.show(own);
}

function showFinding() {
  showSlice(slice(), key(), pick, viewer.opacity > 0 || viewer.contour);
}

async function show() {
  const own = here();
  byId("flat").textContent = [...doubtsOf(own).map((words) => `${words}.`), own.volume ? "" : `No three planes: ${own.flat}.`].join(" ");
  const button = document.querySelector("[data-view=planes]");
  button.disabled = !own.volume || shownCase.status !== "done";
  button.title = !own.volume ? capital(own.flat) : button.disabled ? "When all of it is read" : "";
  if (viewer.view === "planes" && button.disabled) return setView("blend");
  const [shown, about] = [current, key()];
  viewer.window = windowing.of(own);
  try {
    if (viewer.view === "planes") await planes.open(own, slice().finding.unknown || nothing[about] ? null : about, voxel(), windowing.of(own) ?? grey(own));
    else {
      viewer.cursor = cursor && isPlaced(slice()) ? fractionsOf(slice(), cursor) : null;
      await Promise.all([viewer.show(slice(), about), viewer.view === "pair" && beside.show(slice(), about, cursor)]);
    }
    if (shown === current) broken("");
  } catch (error) {
    if (shown === current) broken(error.message);
    return;
  }
  // Once it is painted: what is fetched now must not be waited for.
  requestAnimationFrame(() => setTimeout(ahead));
}

// Says on a blank stage why there is no picture.
function broken(message) {
  byId("broken").hidden = !message;
  byId("broken").querySelector("p").textContent = message;
  if (message) viewer.view === "planes" ? planes.close() : viewer.blank();
}
byId("retry").addEventListener("click", () => show());

// The next slices, so that keys and wheel find them at hand; the more in the direction that the reader goes.
function ahead() {
  if (viewer.view === "planes") return;
  const at = order.indexOf(current);
  const way = ahead.direction ?? 1;
  for (const n of [1, 2, -1, 3, 4, 5, 6, -2]) {
    const next = slices[order[at + n * way] - 1];
    if (!next) continue;
    viewer.pictures.of(next).catch(() => {});
    if (!next.finding.unknown) viewer.pictures.heat(next, picked ?? next.finding.label).catch(() => {});
  }
}

async function pick(label) {
  if (slice().finding.unknown) return;
  picked = label;
  showFinding();
  await show();
}

// planes and cursor

const grey = (own) => ({ level: (own.volume.low + own.volume.high) / 2, width: own.volume.high - own.volume.low });

// The voxel that the cursor is at, or where the evidence of the slice is strongest.
function voxel() {
  const { shape, slices: numbers } = here().volume;
  const { width, height, regions } = slice();
  const [x0, y0, x1, y1] = regions[key()]?.box ?? [0, 0, width, height];
  const [x, y] = cursor ? fractionsOf(slice(), cursor) : [(x0 + x1) / 2 / width, (y0 + y1) / 2 / height];
  return [numbers.indexOf(current), y * shape[1] - 0.5, x * shape[2] - 0.5];
}

planes.addEventListener("cursor", ({ detail: [plane, row, column] }) => {
  const { shape, slices: numbers } = here().volume;
  // Where a slice is missing, the nearest one is what the finding is of.
  const number = numbers[plane] || numbers.slice(0, plane).findLast(Boolean);
  cursor = pointOf(slices[number - 1], [(column + 0.5) / shape[2], (row + 0.5) / shape[1]]);
  if (number !== current && numbers[plane]) go(number);
});
viewer.addEventListener("cursor", ({ detail }) => {
  if (!isPlaced(slice())) return;
  cursor = pointOf(slice(), detail);
  show();
});

// views, heat, window

function setView(view) {
  for (const button of views) {
    const chosen = button.dataset.view === view;
    button.setAttribute("aria-checked", chosen);
    button.tabIndex = chosen ? 0 : -1;
  }
  byId("planes").hidden = view !== "planes";
  byId("beside").hidden = byId("other-series").hidden = view !== "pair";
  viewer.setView(view === "pair" ? "blend" : view);
  viewer.view = view;
  if (view === "pair") beside.open(here());
  list.show(places());
  return show();
}
const views = [...document.querySelectorAll("[data-view]")];
for (const button of views) {
  button.addEventListener("click", (event) => {
    setView(button.dataset.view);
    if (event.detail) byId("stage").focus({ preventScroll: true }); // by a pointer: arrows go through the slices at once
  });
  button.addEventListener("keydown", (event) => {
    const way = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    nextView(way, true);
  });
}
function nextView(way, focus) {
  const open = views.filter((button) => !button.disabled);
  const next = open[(open.findIndex((b) => b.dataset.view === viewer.view) + way + open.length) % open.length];
  if (focus) next.focus();
  return setView(next.dataset.view);
}

function setHeat() {
  const [opacity, threshold] = [byId("opacity"), byId("threshold")].map((input) => Number(input.value) / 100);
  for (const each of [viewer, planes, beside.viewer]) Object.assign(each, { opacity, threshold, contour: byId("contour").checked });
  for (const each of [viewer, beside.viewer]) each.redrawHeat();
  planes.paint();
}
for (const name of ["opacity", "threshold", "contour"]) byId(name).addEventListener("input", setHeat);
function setOpacity(percentage) {
  byId("opacity").value = percentage;
  setHeat();
}

function redraw() {
  viewer.window = windowing.of(here());
  if (viewer.view !== "planes") viewer.redrawScan();
  else if (viewer.window) {
    planes.window = viewer.window;
    planes.paint();
  }
  beside.redraw();
}
function reset() {
  viewer.reset();
  windowing.reset();
  cursor = viewer.cursor = null;
  viewer.paint();
}
byId("reset").addEventListener("click", reset);
for (const each of [viewer, planes]) each.addEventListener("window", ({ detail: [dx, dy] }) => windowing.drag(dx, dy));
viewer.addEventListener("step", ({ detail }) => (order.length > 1 ? step(detail) : viewer.zoomBy(detail > 0 ? 0.9 : 1.1)));
viewer.addEventListener("view", () => beside.follow(viewer));
byId("slice").addEventListener("input", (event) => go(order[Number(event.target.value) - 1]));
beside.addEventListener("chosen", () => setView("pair"));
byId("fold").addEventListener("click", () => {
  const folded = byId("desk").classList.toggle("folded");
  byId("fold").setAttribute("aria-expanded", !folded);
});

// keys

const shows = (s) => !s.finding.unknown && !nothing[s.finding.label];
const nextSeries = (way) => {
  const next = series[series.indexOf(here()) + way];
  return next && go(keyOf(next));
};
function nextSuspicious() {
  const at = order.indexOf(current);
  const found = [...order.slice(at + 1), ...order.slice(0, at)].find((number) => shows(slices[number - 1]));
  return go(found);
}
listen({
  ArrowUp: () => step(-1), ArrowLeft: () => step(-1), PageUp: () => step(-10), ArrowDown: () => step(1), ArrowRight: () => step(1), PageDown: () => step(10),
  Home: () => step(-Infinity), End: () => step(Infinity), n: () => nextSeries(1), p: () => nextSeries(-1), e: nextSuspicious,
  "+": () => viewer.zoomBy(1.25), "=": () => viewer.zoomBy(1.25), "-": () => viewer.zoomBy(0.8), 0: reset,
  "[": () => setOpacity(Number(byId("opacity").value) - 10), "]": () => setOpacity(Number(byId("opacity").value) + 10),
  h: () => setOpacity(Number(byId("opacity").value) ? 0 : 60), c: () => byId("contour").click(), v: () => nextView(1), f: () => byId("fold").click(),
  m: () => measuring.next(), Escape: () => measuring.choose(""),
  w: () => windowing.next(), "?": () => byId("keys").showModal(),
  ...Object.fromEntries(classes.slice(0, 9).map((label, i) => [i + 1, () => pick(label)])),
}, () => slices.length > 0);

offerActions(id, () => shownCase?.title ?? "", soon);

// One refresh at a time; what happens meanwhile asks for one more.
let busy = false;
let oneMore = false;
async function soon() {
  if (busy) {
    oneMore = true;
    return;
  }
  busy = true;
  try {
    do {
      oneMore = false;
      await refresh();
    } while (oneMore);
  } finally {
    busy = false; // what went wrong once must not keep the page from what happens next
  }
}
byId("legend").replaceChildren(...classes.filter((k) => !nothing[k]).map((k) => h("span", { class: "row" }, h("span", { class: `dot ${colourOf(k)}` }), names[k])));
watch((event) => (event.connected || event.case === id) && soon());
await soon();
