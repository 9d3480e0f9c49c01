// A case: its slices as they are found, and what each finding says. The conductor of viewer, planes, strip and assessment.

import { ask, byId, capital, classes, colourOf, h, names, nothing, percent, plural, watch, when } from "./common.js";
import { Assessment } from "./assessment.js";
import { Planes } from "./planes.js";
import { Strip } from "./strip.js";
import { Viewer } from "./viewer.js";

const root = byId("case");
const id = root.dataset.id;
const viewer = new Viewer(byId("stage"), byId("panes"), byId("readout"));
const planes = new Planes(byId("planes"), root.dataset.niivue, id);
const strip = new Strip(byId("strip"), (number) => go(number));
const assessment = new Assessment(id, viewer, () => ({ slice: slice(), key: key() }), () => viewer.view === "planes" && setView("blend"));
let shownCase = null;
let slices = [];
let current = 0; // number of the slice that is shown
let picked = null; // class that the reader picked; null follows the finding
let moved = false; // whether the reader has chosen a slice

const slice = () => slices[current - 1];
// The class that the picture is about; an unknown slice has none.
const key = () => (slice().finding.unknown ? null : picked ?? slice().finding.label);

// the case as it comes in

async function refresh() {
  try {
    shownCase = await ask("GET", `/cases/${id}`);
  } catch (error) {
    byId("state").replaceChildren(h("p", { class: "notice bad" }, error.status === 404 ? "The case was deleted." : error.message));
    return;
  }
  if (shownCase.slices < slices.length) slices = []; // it was begun again
  const more = await ask("GET", `/cases/${id}/slices?after=${slices.length}`);
  slices.push(...more);
  await assessment.load();
  showCase();
  if (!slices.length) return;
  byId("desk").hidden = false;
  byId("slice").max = slices.length;
  byId("scroller").hidden = slices.length < 2;
  if (!current && document.activeElement === document.body) byId("stage").focus({ preventScroll: true });
  const key = shownCase.study?.key_slices?.at(Math.floor(shownCase.study.key_slices.length / 2));
  if (!current || (shownCase.status === "done" && !moved && key && key !== current)) await go(key ?? 1, false);
  else if (more.length) strip.set(slices, current);
  assessment.show();
}

function showCase() {
  byId("title").textContent = shownCase.title || "New case";
  document.title = `${shownCase.title || "New case"} – TumorLens`;
  byId("facts").textContent = [
    `dropped by ${shownCase.owner}, ${when(shownCase.created)}`, plural(shownCase.slices, "slice"), `weights ${shownCase.weights}`, `deleted on ${when(shownCase.expires)}`,
  ].join(" · ");
  const state = byId("state");
  if (shownCase.status === "failed") {
    state.replaceChildren(h("div", { class: "notice bad" }, h("h2", {}, "It could not be read"), h("p", {}, capital(shownCase.error)),
      h("button", { type: "button", onclick: again }, "Try again")));
  } else if (shownCase.status === "done") state.replaceChildren();
  else {
    const words = { uploading: "The files are being uploaded.", waiting: "Waiting to be read.", reading: "Being read" }[shownCase.status];
    const about = shownCase.status === "reading" && shownCase.total ? `: ${shownCase.slices} of about ${Math.max(shownCase.total, shownCase.slices)} slices` : "";
    state.replaceChildren(h("div", { class: "panel" }, h("p", {}, words + about), shownCase.status === "reading" && shownCase.total ? h("progress", { max: Math.max(shownCase.total, shownCase.slices), value: shownCase.slices, "aria-label": "Slices read" }) : h("progress", { "aria-label": words })));
  }
  for (const report of ["report-pdf", "report-html"]) byId(report).hidden = shownCase.status !== "done";
  byId("failures").hidden = !shownCase.failures.length;
  byId("failures").querySelector("ul").replaceChildren(...shownCase.failures.slice(0, 100).map((f) => h("li", {}, `${f.name}: ${f.error}`)));
  const study = shownCase.study;
  byId("study").textContent = study && study.slices > 1
    ? `The case: ${shownCase.headline}. Slices: ` +
      [...classes.filter((k) => study.counts[k]).map((k) => `${study.counts[k]} ${names[k]}`), ...(study.unknown_slices ? [`${study.unknown_slices} unknown`] : [])].join(", ") + "."
    : "";
}

async function again() {
  await ask("POST", `/cases/${id}/start`);
  slices = [];
  current = 0;
  await refresh();
}

// one slice

async function go(number, byReader = true) {
  const next = Math.min(slices.length, Math.max(1, number));
  moved ||= byReader;
  if (next === current && byReader) return;
  const before = slices[current - 1];
  current = next;
  if (!viewer.window || before?.series !== slice().series) viewer.window = null;
  byId("slice").value = current;
  byId("slice").setAttribute("aria-valuetext", `slice ${current} of ${slices.length}, ${slice().words}`);
  strip.set(slices, current);
  showFinding();
  assessment.show();
  showWindow();
  await show();
}

async function show() {
  const volume = slice().volume;
  document.querySelector("[data-view=planes]").hidden = volume === null;
  if (viewer.view === "planes" && volume === null) return setView("blend");
  try {
    if (viewer.view === "planes") await planes.open(volume, slice().heat[key()] ? key() : null, Number(byId("opacity").value) / 100, inVolume());
    else await viewer.show(slice(), key());
  } catch (error) {
    byId("readout").textContent = error.message;
  }
  const ahead = slices[current]; // the next one, so that the wheel finds it there
  if (ahead && viewer.view !== "planes") viewer.pictures.of(ahead).catch(() => {});
}

// Where the evidence of the slice is strongest, as shares of the volume to the right, the front and the top.
function inVolume() {
  const { width, height, finding, regions } = slice();
  const [x0, y0, x1, y1] = regions[key()]?.box ?? [0, 0, width, height];
  const [across, down] = [1 - (x0 + x1) / 2 / width, 1 - (y0 + y1) / 2 / height];
  const depth = (finding.frame + 0.5) / (slices.filter((s) => s.volume === slice().volume).at(-1).finding.frame + 1);
  return { axial: [across, down, depth], coronal: [across, depth, down], sagittal: [depth, across, down] }[shownCase.axis];
}

function showFinding() {
  const { finding, words, prediction_set: set } = slice();
  byId("unknown").hidden = !finding.unknown;
  byId("unknown").querySelector("span").textContent = `${capital(finding.reason)}. There is no finding.`;
  byId("headline").textContent = finding.unknown ? "" : capital(words);
  byId("in-words").textContent = set && `${capital(set)}.`;
  byId("classes").hidden = finding.unknown;
  const fieldset = document.querySelector(".picker");
  const focused = document.activeElement?.name === "class";
  fieldset.replaceChildren(fieldset.firstElementChild, ...(finding.unknown ? [] : classes).map((k) =>
    h("label", { class: colourOf(k) }, h("input", { type: "radio", name: "class", value: k, checked: k === key(), onchange: () => pick(k) }), h("span", {}, names[k]),
      h("span", { class: "bar", "aria-hidden": "true" }, h("span", { "width%": `${100 * finding.probabilities[k]}%` })), h("span", { class: "p" }, percent(finding.probabilities[k])))));
  if (focused) fieldset.querySelector(":checked")?.focus();
  byId("evidence").textContent = finding.unknown ? "" : evidence();
  byId("warnings").replaceChildren(...(finding.warnings.length ? [h("div", { class: "notice" }, h("h3", {}, "Against trusting it"), h("ul", { class: "plain" }, finding.warnings.map((w) => h("li", {}, w))))] : []));
  byId("where").textContent = `${finding.source} · ${current} of ${slices.length}`;
}

// Where the evidence for the picked class is, in words.
function evidence() {
  if (nothing[key()]) return `What speaks for ${names[key()]} is spread over the head; no heat is drawn.`;
  const region = slice().regions[key()];
  if (!region) return `Nothing in this slice speaks for ${names[key()]}.`;
  if (region.box_mm) {
    const [x0, y0, x1, y1] = region.box_mm;
    return `Strongest for ${names[key()]} in ${(x1 - x0).toFixed(0)} × ${(y1 - y0).toFixed(0)} mm, ${region.area_mm2.toFixed(0)} mm², at x ${x0.toFixed(0)}, y ${y0.toFixed(0)} mm. It is no outline of a tumour.`;
  }
  const [x0, y0, x1, y1] = region.box;
  return `Strongest for ${names[key()]} in ${x1 - x0} × ${y1 - y0} pixels at x ${x0}, y ${y0}. The file does not say how large a pixel is. It is no outline of a tumour.`;
}

async function pick(label) {
  if (slice().finding.unknown) return;
  picked = label;
  showFinding();
  await show();
}

// views, heat, window

function setView(view) {
  for (const button of document.querySelectorAll("[data-view]")) {
    const chosen = button.dataset.view === view;
    button.setAttribute("aria-checked", chosen);
    button.tabIndex = chosen ? 0 : -1;
  }
  byId("planes").hidden = view !== "planes";
  byId("windowing").hidden = view === "planes" || !slice().values;
  viewer.setView(view);
  return show();
}
const views = [...document.querySelectorAll("[data-view]")];
for (const button of views) {
  button.addEventListener("click", () => setView(button.dataset.view));
  button.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    nextView(step, true);
  });
}
function nextView(step, focus) {
  const open = views.filter((button) => !button.hidden);
  const next = open[(open.findIndex((b) => b.dataset.view === viewer.view) + step + open.length) % open.length];
  if (focus) next.focus();
  return setView(next.dataset.view);
}

function setOpacity(percentage) {
  byId("opacity").value = percentage;
  viewer.opacity = Number(byId("opacity").value) / 100;
  viewer.paint();
  planes.setOpacity(viewer.opacity);
}
byId("opacity").addEventListener("input", (event) => setOpacity(event.target.value));
byId("contour").addEventListener("change", (event) => { viewer.contour = event.target.checked; viewer.paint(); });
byId("reset").addEventListener("click", () => { viewer.reset(); showWindow(); });

// The sliders run over the slice's own values, the least to the greatest.
function showWindow() {
  const values = slice().values;
  byId("windowing").hidden = !values || viewer.view === "planes";
  if (!values) return;
  const range = values.high - values.low || 1;
  const { level, width } = viewer.window ?? fileWindow(values);
  byId("level").value = (1000 * (level - values.low)) / range;
  byId("width").value = (1000 * width) / range;
  byId("level").setAttribute("aria-valuetext", level.toPrecision(4));
  byId("width").setAttribute("aria-valuetext", width.toPrecision(4));
}
const fileWindow = (values) => ({ level: (values.black + values.white) / 2, width: Math.max(values.white - values.black, 1e-6) });
function setWindow(level, width) {
  const range = slice().values.high - slice().values.low || 1;
  viewer.window = { level, width: Math.max(width, range / 1000) };
  viewer.redrawScan();
  showWindow();
}
for (const name of ["level", "width"]) {
  byId(name).addEventListener("input", () => {
    const { low, high } = slice().values;
    const now = viewer.window ?? fileWindow(slice().values);
    const share = Number(byId(name).value) / 1000;
    if (name === "level") setWindow(low + share * (high - low), now.width);
    else setWindow(now.level, share * (high - low));
  });
}
viewer.addEventListener("window", ({ detail: [dx, dy] }) => {
  const values = slice().values;
  if (!values) return;
  const now = viewer.window ?? fileWindow(values);
  const unit = (values.high - values.low) / 400;
  setWindow(now.level - dy * unit, now.width + dx * unit);
});
viewer.addEventListener("step", ({ detail }) => (slices.length > 1 ? go(current + detail) : viewer.zoomBy(detail > 0 ? 0.9 : 1.1)));
byId("slice").addEventListener("input", (event) => go(Number(event.target.value)));

// keys

const shows = (s) => !s.finding.unknown && !nothing[s.finding.label];
const KEYS = {
  ArrowUp: () => go(current - 1), ArrowLeft: () => go(current - 1), PageUp: () => go(current - 10),
  ArrowDown: () => go(current + 1), ArrowRight: () => go(current + 1), PageDown: () => go(current + 10),
  Home: () => go(1), End: () => go(slices.length),
  "+": () => viewer.zoomBy(1.25), "=": () => viewer.zoomBy(1.25), "-": () => viewer.zoomBy(0.8), 0: () => { viewer.reset(); showWindow(); },
  "[": () => setOpacity(Number(byId("opacity").value) - 10), "]": () => setOpacity(Number(byId("opacity").value) + 10),
  h: () => setOpacity(Number(byId("opacity").value) ? 0 : 60), c: () => byId("contour").click(), v: () => nextView(1),
  e: () => go((slices.find((s) => s.number > current && shows(s)) ?? slices.find(shows) ?? slice()).number),
  "?": () => byId("keys").showModal(),
};
document.addEventListener("keydown", (event) => {
  if (!slices.length || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  // Only while the viewer has the focus: elsewhere, a letter that does something would surprise (WCAG 2.1.4).
  if (!event.target.closest(".viewer")) return;
  if (event.target.matches("input") && /^(Arrow|Home|End|Page)/.test(event.key)) return; // the slider's own
  const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const label = classes[Number(name) - 1];
  const action = label && name !== "0" ? () => pick(label) : KEYS[name];
  if (!action) return;
  event.preventDefault();
  action();
});
byId("help").addEventListener("click", () => byId("keys").showModal());

// renaming, deleting

byId("rename").addEventListener("click", () => { byId("new-title").value = shownCase?.title ?? ""; byId("naming").showModal(); });
byId("naming").addEventListener("close", async () => {
  if (byId("naming").returnValue !== "yes") return;
  await ask("PATCH", `/cases/${id}`, { title: byId("new-title").value });
  await refresh();
});
byId("delete").addEventListener("click", () => byId("sure").showModal());
byId("sure").addEventListener("close", async () => {
  if (byId("sure").returnValue !== "yes") return;
  try {
    await ask("DELETE", `/cases/${id}`);
    location.href = "/";
  } catch (error) {
    byId("state").replaceChildren(h("p", { class: "notice bad" }, error.message));
  }
});

// One refresh at a time; what happens meanwhile asks for one more.
let busy = false;
let oneMore = false;
async function soon() {
  if (busy) {
    oneMore = true;
    return;
  }
  busy = true;
  do {
    oneMore = false;
    await refresh();
  } while (oneMore);
  busy = false;
}
byId("legend").replaceChildren(...classes.filter((k) => !nothing[k]).map((k) => h("span", { class: "row" }, h("span", { class: `dot ${colourOf(k)}` }), names[k])));
watch((event) => (event.connected || event.case === id) && soon());
await soon();
