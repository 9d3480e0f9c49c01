// A second series beside the first, linked by position: it shows the slice that lies where the reader looks.

import { byId, capital, h, names } from "./common.js";
import { fractionsOf, inOneSpace, nearest, pointOf } from "./geometry.js";
import { titleOf } from "./panel.js";
import { Viewer } from "./viewer.js";

// Events: "chosen": another series is to stand here.
export class Beside extends EventTarget {
  constructor(pictures, windowing, step) {
    super();
    Object.assign(this, { windowing, all: [], slices: [], series: null });
    this.viewer = new Viewer(byId("beside"), byId("beside-panes"), byId("beside-readout"), pictures);
    this.viewer.addEventListener("step", ({ detail }) => (this.linked ? step(detail) : this.step(detail)));
  }

  set(series, slices) {
    Object.assign(this, { all: series, slices });
    this.series = series.find((one) => one.place === this.series?.place) ?? null;
    byId("other-series").replaceChildren(...series.map((one) => h("option", { value: one.place }, titleOf(one))));
    if (this.series) byId("other-series").value = this.series.place;
    document.querySelector("[data-view=pair]").disabled = series.length < 2;
  }

  choose(series) {
    this.series = series;
    byId("other-series").value = series.place;
    this.dispatchEvent(new Event("chosen"));
  }

  // Makes sure that some series stands here, of the same space if there is one.
  open(own) {
    if (this.series && this.series !== own) return;
    const first = this.slices[own.slices[0] - 1];
    const others = this.all.filter((one) => one !== own);
    const near = others.find((one) => one.plane === own.plane && inOneSpace(first, this.slices[one.slices[0] - 1]));
    this.series = near ?? others.find((one) => inOneSpace(first, this.slices[one.slices[0] - 1])) ?? others[0];
    byId("other-series").value = this.series.place;
  }

  // key: the class whose heat the first one shows; cursor: where the reader pointed in the patient, or null: then the middle
  // of the slice counts.
  show(slice, key, cursor) {
    this.key = key;
    const own = this.series.slices.map((number) => this.slices[number - 1]);
    const found = inOneSpace(slice, own[0]) ? nearest(own, cursor ?? pointOf(slice, [0.5, 0.5]), slice) : null;
    this.linked = Boolean(found);
    if (found) this.slice = found;
    else if (!own.includes(this.slice)) this.slice = own[Math.floor(own.length / 2)];
    this.viewer.cursor = found && cursor ? fractionsOf(found, cursor) : null;
    return this.put();
  }

  step(n) {
    const own = this.series.slices;
    const next = own[Math.min(own.length - 1, Math.max(0, own.indexOf(this.slice.number) + n))];
    this.slice = this.slices[next - 1];
    return this.put().catch(() => this.viewer.blank());
  }

  put() {
    this.viewer.window = this.windowing.of(this.series);
    const { finding, number } = this.slice;
    const place = this.series.slices.indexOf(number) + 1;
    const key = finding.unknown ? null : this.key;
    byId("beside-where").replaceChildren(
      h("div", {}, `${titleOf(this.series)} · ${place} of ${this.series.slices.length}${this.linked ? "" : " · not linked: no common position"}`),
      h("div", {}, capital(this.slice.words) + (this.slice.evidence[key] ? `; heat for ${names[key]}` : "")));
    return this.viewer.show(this.slice, key);
  }

  redraw() {
    if (!this.series) return;
    this.viewer.window = this.windowing.of(this.series);
    this.viewer.redrawScan();
  }

  follow({ zoom, offset }) {
    Object.assign(this.viewer, { zoom, offset });
    this.viewer.paint();
  }
}
