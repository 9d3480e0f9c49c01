// The reader's assessment of the slice that is shown: verdict, comment, outline, each slice's own; and what was said of it.

import { ask, byId, classes, h, names, plural, when } from "./common.js";
import { Drafts } from "./drafts.js";
import { OutlineTool, simplified } from "./outline.js";

const FINE = 0.003; // how far an outline may lie from the contour it is made of, in fractions
const MODES = { points: "edit", paint: "brush", rub: "rubber" }; // of the outline, and their buttons

export class Assessment {
  // id: the case's; now: gives what is shown, { slice, key }; flat: shows slices where the view has none to draw on.
  constructor(id, viewer, now, flat) {
    Object.assign(this, { id, viewer, now, flat });
    this.said = [];
    this.number = 0; // of the slice that the form is of
    this.form = byId("feedback");
    this.drafts = new Drafts(id);
    this.tool = new OutlineTool(viewer);
    byId("other").replaceChildren(...classes.map((k) => h("option", { value: k }, names[k])));
    for (const kind of ["input", "change"]) this.form.addEventListener(kind, (event) => this.typed(event));
    this.form.addEventListener("submit", (event) => this.save(event));
    this.drafts.addEventListener("state", ({ detail }) => detail === this.number && this.showState());
    this.drafts.addEventListener("theirs", ({ detail }) => detail === this.number && this.fill());
    byId("take").addEventListener("click", () => this.take());
    byId("draw").addEventListener("click", () => this.draw(!viewer.drawing));
    for (const [mode, id] of Object.entries(MODES)) byId(id).addEventListener("click", () => this.use(this.mode === mode ? null : mode));
    byId("undo").addEventListener("click", () => this.tool.undo());
    byId("erase").addEventListener("click", () => this.tool.change([]));
    byId("brush-size").addEventListener("input", (event) => {
      this.tool.size = Number(event.target.value) / 1000;
      viewer.paint();
    });
    this.tool.addEventListener("change", () => this.outlined());
    byId("tool").addEventListener("change", () => this.use(null)); // something is to be measured instead
    viewer.addEventListener("outlined", () => {
      const drawn = viewer.outline;
      viewer.outline = this.tool.points;
      this.draw(false);
      if (drawn.length > 2) this.tool.change(simplified(drawn, FINE));
    });
    // The viewer forgets the outline when it shows another slice; the one of that is put back.
    viewer.addEventListener("paint", () => {
      if (!viewer.drawing && viewer.slice?.number === this.number) viewer.outline = this.tool.points;
    });
    document.addEventListener("keydown", (event) => this.key(event), true);
    byId("mine").addEventListener("click", () => this.settle(true));
    byId("theirs").addEventListener("click", () => this.settle(false));
    byId("send")?.addEventListener("click", () => this.send());
  }

  get mode() {
    return this.viewer.tool === this.tool ? this.tool.mode : null;
  }

  // What was said of the case so far, and what is about to be.
  async load() {
    const [said, standing, sent] = await Promise.all([
      ask("GET", `/cases/${this.id}/feedback`), ask("GET", `/cases/${this.id}/standing`), byId("send") ? ask("GET", `/cases/${this.id}/sendings`) : [],
    ]);
    Object.assign(this, { said, sent });
    this.drafts.take(standing.drafts);
    const { suspicious, yours } = standing;
    byId("progress").textContent = suspicious.length ? `You have assessed ${yours.length} of ${plural(suspicious.length, "suspicious slice")}.` : "";
    this.showSent();
  }

  // Another slice is shown, or more was said.
  show() {
    const { slice } = this.now();
    byId("agree").disabled = slice.finding.unknown; // with what?
    if (slice.number !== this.number) {
      if (this.number) this.drafts.keep(this.number);
      this.number = slice.number;
      this.draw(false);
      this.fill();
    }
    const here = this.said.filter((one) => one.slice === slice.number);
    byId("said").replaceChildren(...here.map((one) =>
      h("li", {}, `${one.reader} ${{ agree: `agrees: ${names[one.label]}`, other: `says ${names[one.label]}`, unsure: "is unsure" }[one.verdict]}`, one.outline ? ", with an outline" : "", one.comment ? h("div", {}, one.comment) : null, h("div", { class: "soft small" }, when(one.said)))));
  }

  // Puts into the form what is typed of its slice, and nothing of another.
  fill() {
    const { verdict, label, comment, outline, past } = this.drafts.of(this.number);
    for (const radio of this.form.querySelectorAll("[name=verdict]")) radio.checked = radio.value === verdict;
    if (label) byId("other").value = label;
    byId("other-field").hidden = verdict !== "other";
    byId("comment").value = comment;
    byId("feedback-title").textContent = `Your assessment of slice ${this.number}`;
    this.tool.open(outline, past);
    this.showState();
    this.showOutline();
    if (verdict || comment || outline.length) byId("assessment").open = true;
  }

  typed(event) {
    if (event.target.id === "brush-size") return;
    const verdict = this.form.verdict.value;
    byId("other-field").hidden = verdict !== "other";
    this.drafts.type(this.number, { verdict, label: verdict === "other" ? byId("other").value : "", comment: byId("comment").value });
  }

  showState() {
    const { conflict, failed, saving, dirty, touched, kept, version } = this.drafts.of(this.number);
    byId("clash").hidden = !conflict;
    byId("saved").textContent = conflict ? "" : failed ? `Not kept yet: ${failed} It is tried again.` : dirty || saving ? "" : kept && version ? `Draft kept, ${when(touched)}.` : this.wasSaved === this.number ? "Saved." : "";
    this.form.querySelector("[type=submit]").disabled = conflict;
  }

  async settle(mine) {
    try {
      await this.drafts.settle(this.number, mine);
      this.fill();
    } catch (error) {
      byId("saved").textContent = error.message;
    }
  }

  // the outline

  draw(on) {
    this.viewer.drawing = on;
    byId("draw").setAttribute("aria-pressed", on);
    if (!on) return;
    this.use(null);
    this.flat();
    this.viewer.reveal();
  }

  use(mode) {
    if (mode) {
      this.tool.mode = mode;
      this.draw(false);
      this.flat();
      this.viewer.reveal();
      if (this.viewer.tool !== this.tool) [this.tool.under, this.viewer.tool] = [this.viewer.tool, this.tool];
    } else if (this.viewer.tool === this.tool) this.viewer.tool = this.tool.under;
    this.showOutline();
    this.viewer.paint();
  }

  take() {
    const { slice, key } = this.now();
    const region = slice.regions[key];
    if (!region) {
      byId("outlined").textContent = "This slice has no contour for the picked class.";
      return;
    }
    const clamp = (v) => Math.min(1, Math.max(0, v));
    this.tool.change(simplified(region.contour.map(([x, y]) => [clamp(x / slice.width), clamp(y / slice.height)]), FINE));
    this.use("points");
  }

  outlined() {
    const outline = this.tool.points.length < 3 ? [] : this.tool.points;
    this.drafts.type(this.number, { outline });
    this.showOutline();
  }

  showOutline() {
    const { mode, tool } = this;
    for (const [each, id] of Object.entries(MODES)) byId(id).setAttribute("aria-pressed", mode === each);
    byId("brush-field").hidden = mode !== "paint" && mode !== "rub";
    byId("undo").hidden = !tool.past.length;
    byId("erase").hidden = !tool.points.length;
    const hints = { points: "Drag points; click to add one, Delete takes it away.", paint: "Paint over the tumour.", rub: "Rub off what is too much." };
    byId("outlined").textContent = [tool.points.length > 2 ? "An outline will be saved." : "", hints[mode] ?? ""].filter(Boolean).join(" ");
  }

  key(event) {
    if (!this.mode || event.target.matches("textarea, select, input:not([type=range], [type=checkbox], [type=radio])")) return;
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const actions = [
      [(event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z", () => this.tool.undo()],
      [event.key === "Escape", () => this.use(null)],
      [this.mode === "points" && this.tool.chosen >= 0 && ["Delete", "Backspace"].includes(event.key), () => this.tool.removePoint()],
      [this.mode === "points" && this.tool.chosen >= 0 && event.altKey && step, () => this.tool.nudge(...step)],
    ];
    const found = actions.find(([applies]) => applies);
    if (!found) return;
    event.preventDefault();
    event.stopPropagation();
    found[1]();
  }

  // saving, sending

  async save(event) {
    event.preventDefault();
    const { number } = this;
    try {
      const said = await this.drafts.save(number);
      if (!this.said.some((one) => one.slice === said.slice && one.said === said.said && one.reader === said.reader)) this.said.push(said);
      this.wasSaved = number;
      if (number !== this.number) return;
      this.use(null);
      this.fill();
      this.show();
    } catch (error) {
      if (number === this.number && error.status !== 409) byId("saved").textContent = error.message;
    }
  }

  async send() {
    const verified = byId("vouch")?.checked ?? false;
    try {
      this.sent.push(await ask("POST", `/cases/${this.id}/sendings`, { verified }));
      this.showSent();
    } catch (error) {
      byId("sent").textContent = error.message;
    }
  }

  showSent() {
    const last = this.sent?.at(-1);
    if (!last) return;
    const words = { waiting: "on its way to the PACS", delivered: "in the PACS", failed: `not in the PACS: ${last.note}` }[last.state];
    byId("sent").textContent = `${plural(last.slices, "slice")}${last.verified ? ", verified" : ""}: ${words} (${when(last.sent)}).`;
  }
}
