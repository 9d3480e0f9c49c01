// A case of whole slides: how far they are, the slide to zoom into, what its tiles say, and the reader's assessment.

import { offerActions } from "./actions.js";
import { ask, byId, capital, classes, colourOf, h, names, nothing, percent, plural, watch, when } from "./common.js";
import { Microscope } from "./microscope.js";
import { Pictures, drawHeat } from "./pictures.js";

const id = byId("case").dataset.id;
const microscope = new Microscope(byId("stage"), byId("canvas"), byId("ruler"));
const pictures = new Pictures();
let shownCase = null;
let slides = [];
let shown = null; // the slide that is shown
let picked = null; // class whose heat is shown
let far = null; // [tiles read, tiles in all] of the slide that is being read
let assessments = [];

async function refresh() {
  try {
    shownCase = await ask("GET", `/cases/${id}`);
  } catch (error) {
    byId("state").replaceChildren(h("p", { class: "notice bad" }, error.status === 404 ? "The case was deleted." : error.message));
    return;
  }
  const slices = shownCase.slices ? await ask("GET", `/cases/${id}/slices`) : [];
  if (slices.length && !slices[0].slide) return location.reload(); // tiles, which have a page of their own
  slides = slices.filter((slice) => slice.slide);
  assessments = await ask("GET", `/cases/${id}/feedback`);
  showCase();
  if (!slides.length) return;
  byId("desk").hidden = false;
  byId("which-field").hidden = slides.length < 2;
  byId("which").replaceChildren(...slides.map((slide) => h("option", { value: slide.number, selected: slide.number === shown?.number }, slide.finding.source)));
  if (!shown) await go(slides[0].number);
  showAssessments();
}

function showCase() {
  const { status, title, error, failures } = shownCase;
  byId("title").textContent = title || "New case";
  document.title = `${title || "New case"} – TumorLens`;
  byId("facts").textContent = [
    `dropped by ${shownCase.owner}, ${when(shownCase.created)}`, plural(slides.length, "slide"), `weights ${shownCase.weights}`, `deleted on ${when(shownCase.expires)}`,
  ].join(" · ");
  if (status === "failed") {
    byId("state").replaceChildren(h("div", { class: "notice bad" }, h("h2", {}, "It could not be read"), h("p", {}, capital(error)),
      h("button", { type: "button", onclick: async () => { await ask("POST", `/cases/${id}/start`); await refresh(); } }, "Try again")));
  } else if (status === "done") byId("state").replaceChildren();
  else showProgress();
  for (const report of ["report-pdf", "report-html"]) byId(report).hidden = status !== "done";
  byId("failures").hidden = !failures.length;
  byId("failures").querySelector("ul").replaceChildren(...failures.map((f) => h("li", {}, `${f.name}: ${f.error}`)));
}

function showProgress() {
  const words = { uploading: "The files are being uploaded.", waiting: "Waiting to be read.", reading: far ? `Being read: ${far[0].toLocaleString()} of ${plural(far[1], "tile")}` : "Looking for tissue" }[shownCase.status];
  const bar = far && shownCase.status === "reading" ? { max: far[1], value: far[0] } : {};
  byId("state").replaceChildren(h("div", { class: "panel" }, h("p", {}, words), h("progress", { ...bar, "aria-label": words })));
}

// one slide

async function go(number) {
  shown = slides.find((slide) => slide.number === Number(number));
  const { finding } = shown;
  // What means that nothing was found has no heat: the likeliest of the others.
  picked = classes.filter((k) => !nothing[k]).sort((a, b) => (shown.slide.labels[b] ?? 0) - (shown.slide.labels[a] ?? 0))[0];
  if (finding.label && !nothing[finding.label]) picked = finding.label;
  showFinding();
  showAssessments();
  try {
    const { scan } = await pictures.of(shown);
    microscope.open(shown.slide, scan, `/api/v1/cases/${id}/slices/${shown.number}`);
    await showHeat();
  } catch (error) {
    byId("readout").textContent = error.message;
  }
}

async function showHeat() {
  const heat = await pictures.heat(shown, picked);
  microscope.heat = heat && drawHeat(heat, true);
  microscope.paint();
}

function showFinding() {
  const { finding, slide, words } = shown;
  byId("unknown").hidden = !finding.unknown;
  byId("unknown").querySelector("span").textContent = `${capital(finding.reason)}. There is no finding.`;
  byId("headline").textContent = finding.unknown ? "" : capital(words);
  const fieldset = document.querySelector(".picker");
  fieldset.replaceChildren(fieldset.firstElementChild, ...classes.map((k) => {
    const share = (slide.labels[k] ?? 0) / slide.tiles;
    return h("label", { class: colourOf(k) }, h("input", { type: "radio", name: "class", value: k, checked: k === picked, disabled: !shown.heat[k], onchange: () => { picked = k; showHeat(); } }),
      h("span", {}, names[k]), h("span", { class: "bar", "aria-hidden": "true" }, h("span", { "width%": `${100 * share}%` })), h("span", { class: "p" }, percent(share)));
  }));
  const lost = slide.labels.unknown ?? 0;
  const size = `${((slide.width * slide.microns) / 1000).toFixed(1)} × ${((slide.height * slide.microns) / 1000).toFixed(1)} mm`;
  byId("tiles").textContent = `${plural(slide.tiles, "tile")} of ${slide.field} µm with tissue${lost ? `, ${lost.toLocaleString()} of them unknown` : ""}. The slide: ${slide.width.toLocaleString()} × ${slide.height.toLocaleString()} pixels, ${size}. Heat is the tiles' probability.`;
  byId("warnings").replaceChildren(...(finding.warnings.length ? [h("div", { class: "notice" }, h("h3", {}, "Against trusting it"), h("ul", { class: "plain" }, finding.warnings.map((w) => h("li", {}, capital(w)))))] : []));
  const link = (name, words) => h("a", { href: `/api/v1/cases/${id}/slices/${shown.number}/map/${name}`, download: name }, words);
  byId("files").replaceChildren("Save ", link("tiles.geojson", "GeoJSON for QuPath"), ", ", link("tiles.csv", "the tiles as a table"), " or ", link("overlay.png", "the picture"), ".");
  byId("agree").disabled = finding.unknown; // with what?
}

microscope.addEventListener("moved", () => (byId("readout").textContent = `${microscope.magnification.toPrecision(2)}×`));
microscope.addEventListener("broken", () => (byId("readout").textContent = "The slide is damaged here."));
byId("which").addEventListener("change", (event) => go(event.target.value));
byId("in").addEventListener("click", () => microscope.zoomBy(2));
byId("out").addEventListener("click", () => microscope.zoomBy(0.5));
byId("whole").addEventListener("click", () => microscope.whole());
function setOpacity(percentage) {
  byId("opacity").value = percentage;
  microscope.opacity = Number(byId("opacity").value) / 100;
  microscope.paint();
}
byId("opacity").addEventListener("input", (event) => setOpacity(event.target.value));

const KEYS = {
  "+": () => microscope.zoomBy(1.5), "=": () => microscope.zoomBy(1.5), "-": () => microscope.zoomBy(1 / 1.5), 0: () => microscope.whole(),
  ArrowLeft: () => microscope.moveBy(120, 0), ArrowRight: () => microscope.moveBy(-120, 0), ArrowUp: () => microscope.moveBy(0, 120), ArrowDown: () => microscope.moveBy(0, -120),
  "[": () => setOpacity(Number(byId("opacity").value) - 10), "]": () => setOpacity(Number(byId("opacity").value) + 10),
  h: () => setOpacity(Number(byId("opacity").value) ? 0 : 60),
};
byId("stage").addEventListener("keydown", (event) => {
  const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action || !shown || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  action();
});

// the reader's assessment

const form = byId("feedback");
form.addEventListener("change", () => (byId("other-field").hidden = form.verdict.value !== "other"));
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const verdict = form.verdict.value;
  const said = { slice: shown.number, verdict, label: verdict === "other" ? byId("other").value : "", comment: byId("comment").value };
  try {
    assessments.push(await ask("POST", `/cases/${id}/feedback`, said));
    form.reset();
    byId("other-field").hidden = true;
    byId("saved").textContent = "Saved.";
    showAssessments();
  } catch (error) {
    byId("saved").textContent = error.message;
  }
});
function showAssessments() {
  const here = assessments.filter((one) => one.slice === shown?.number);
  byId("said").replaceChildren(...here.map((one) =>
    h("li", {}, `${one.reader} ${{ agree: `agrees: ${names[one.label]}`, other: `says ${names[one.label]}`, unsure: "is unsure" }[one.verdict]}`, one.comment ? h("div", {}, one.comment) : null, h("div", { class: "soft small" }, when(one.said)))));
}

offerActions(id, () => shownCase?.title ?? "", refresh);

watch((event) => {
  if (event.case === id && event.of) {
    far = [event.tiles, event.of];
    if (shownCase) shownCase.status = event.status;
    if (shownCase) showProgress();
  } else if (event.connected || event.case === id) refresh();
});
await refresh();
