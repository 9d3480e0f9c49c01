// The reader's assessment of the slice that is shown: verdict, comment, outline; and what was said of it before.

import { ask, byId, classes, h, names, when } from "./common.js";

export class Assessment {
  // id: the case's; now: gives what is shown, { slice, key }; flat: shows slices where the view has none to draw on.
  constructor(id, viewer, now, flat) {
    Object.assign(this, { id, viewer, now, flat });
    this.said = [];
    this.form = byId("feedback");
    byId("other").replaceChildren(...classes.map((k) => h("option", { value: k }, names[k])));
    this.form.addEventListener("change", () => (byId("other-field").hidden = this.form.verdict.value !== "other"));
    this.form.addEventListener("submit", (event) => this.save(event));
    byId("draw").addEventListener("click", () => this.draw(!viewer.drawing));
    byId("take").addEventListener("click", () => this.take());
    byId("erase").addEventListener("click", () => this.outline([]));
    viewer.addEventListener("outlined", () => { this.draw(false); this.showOutline(); });
  }

  // What was said of the case so far.
  async load() {
    this.said = await ask("GET", `/cases/${this.id}/feedback`);
  }

  // Another slice is shown, or more was said.
  show() {
    const { slice } = this.now();
    byId("agree").disabled = slice.finding.unknown; // with what?
    if (slice.finding.unknown) byId("agree").checked = false;
    this.showOutline();
    const here = this.said.filter((one) => one.slice === slice.number);
    byId("said").replaceChildren(...here.map((one) =>
      h("li", {}, `${one.reader} ${{ agree: `agrees: ${names[one.label]}`, other: `says ${names[one.label]}`, unsure: "is unsure" }[one.verdict]}`, one.outline ? ", with an outline" : "", one.comment ? h("div", {}, one.comment) : null, h("div", { class: "soft small" }, when(one.said)))));
  }

  draw(on) {
    this.viewer.drawing = on;
    byId("draw").setAttribute("aria-pressed", on);
    if (on) this.flat();
  }

  take() {
    const { slice, key } = this.now();
    const region = slice.regions[key];
    if (!region) {
      byId("outlined").textContent = "This slice has no contour for the picked class.";
      return;
    }
    const clamp = (v) => Math.min(1, Math.max(0, v));
    this.outline(region.contour.map(([x, y]) => [clamp(x / slice.width), clamp(y / slice.height)]));
  }

  outline(points) {
    this.viewer.outline = points;
    this.viewer.paint();
    this.showOutline();
  }

  showOutline() {
    byId("erase").hidden = !this.viewer.outline.length;
    byId("outlined").textContent = this.viewer.outline.length ? "An outline will be saved." : "";
  }

  async save(event) {
    event.preventDefault();
    const { form, viewer } = this;
    const step = Math.ceil(viewer.outline.length / 500) || 1;
    const assessment = {
      slice: this.now().slice.number, verdict: form.verdict.value, label: form.verdict.value === "other" ? byId("other").value : "",
      comment: byId("comment").value, outline: viewer.outline.filter((_, i) => i % step === 0),
    };
    try {
      this.said.push(await ask("POST", `/cases/${this.id}/feedback`, assessment));
      form.reset();
      byId("other-field").hidden = true;
      this.outline([]);
      byId("saved").textContent = "Saved.";
      this.show();
    } catch (error) {
      byId("saved").textContent = error.message;
    }
  }
}
