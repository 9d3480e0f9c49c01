// A second series beside the first, linked by position: it shows the slice that lies where the reader looks. It may be one of an
// earlier case of the same person, which has no position in common, and is gone through by itself.

import { ask, byId, capital, h, names, when } from "./common.js";
import { fractionsOf, inOneSpace, nearest, pointOf } from "./geometry.js";
import { titleOf } from "./panel.js";
import { Viewer } from "./viewer.js";

const EARLIER = 1000; // is added to the places of an earlier case's series

// Events: "chosen": another series is to stand here.
export class Beside extends EventTarget {
  constructor(pictures, windowing, step) {
    super();
    Object.assign(this, { windowing, own: [], earlier: [], linkedTo: "", series: null });
    this.viewer = new Viewer(byId("beside"), byId("beside-panes"), byId("beside-readout"), pictures);
    this.viewer.addEventListener("step", ({ detail }) => (this.linked ? step(detail) : this.step(detail)));
    byId("other-series").addEventListener("change", (event) => this.choose(this.all.find((one) => one.place === Number(event.target.value))));
  }

  get all() {
    return [...this.own, ...this.earlier];
  }

  set(series, slices) {
    this.own = series.map((one) => ({ ...one, pictures: one.slices.map((number) => slices[number - 1]) }));
    this.offer();
  }

  // Offers the series of an earlier case too; without an id, of none.
  async link(id) {
    if (id === this.linkedTo) return;
    this.linkedTo = id;
    this.earlier = [];
    if (id) {
      const [found, slices, series] = await Promise.all([`/cases/${id}`, `/cases/${id}/slices`, `/cases/${id}/series`].map((path) => ask("GET", path)));
      if (id !== this.linkedTo) return;
      this.earlier = series.map((one) => ({ ...one, place: EARLIER + one.place, earlier: when(found.created), pictures: one.slices.map((number) => slices[number - 1]) }));
    }
    this.offer();
  }

  offer() {
    this.series = this.all.find((one) => one.place === this.series?.place) ?? null;
    byId("other-series").replaceChildren(...this.all.map((one) => h("option", { value: one.place }, nameOf(one))));
    if (this.series) byId("other-series").value = this.series.place;
    document.querySelector("[data-view=pair]").disabled = this.all.length < 2;
  }

  choose({ place }) {
    this.series = this.all.find((one) => one.place === place);
    byId("other-series").value = place;
    this.dispatchEvent(new Event("chosen"));
  }

  // Makes sure that some series stands here: of the same space if there is one, else one that was taken alike.
  open({ place, plane, sequence }) {
    if (this.series && this.series.place !== place) return;
    const first = this.own.find((one) => one.place === place).pictures[0];
    const others = this.all.filter((one) => one.place !== place);
    const near = others.filter((one) => inOneSpace(first, one.pictures[0]));
    this.series = near.find((one) => one.plane === plane) ?? near[0] ?? others.find((one) => one.plane === plane && one.sequence === sequence) ?? others[0];
    byId("other-series").value = this.series.place;
  }

  // key: the class whose heat the first one shows; cursor: where the reader pointed in the patient, or null: then the middle
  // of the slice counts.
  show(slice, key, cursor) {
    this.key = key;
    const own = this.series.pictures;
    const found = inOneSpace(slice, own[0]) ? nearest(own, cursor ?? pointOf(slice, [0.5, 0.5]), slice) : null;
    this.linked = Boolean(found);
    if (found) this.slice = found;
    else if (!own.includes(this.slice)) this.slice = own[Math.floor(own.length / 2)];
    this.viewer.cursor = found && cursor ? fractionsOf(found, cursor) : null;
    return this.put();
  }

  step(n) {
    const own = this.series.pictures;
    this.slice = own[Math.min(own.length - 1, Math.max(0, own.indexOf(this.slice) + n))];
    return this.put().catch(() => this.viewer.blank());
  }

  put() {
    this.viewer.window = this.windowing.of(this.series);
    const { finding } = this.slice;
    const place = this.series.pictures.indexOf(this.slice) + 1;
    const key = finding.unknown ? null : this.key;
    byId("beside-where").replaceChildren(
      h("div", {}, `${nameOf(this.series)} · ${place} of ${this.series.pictures.length}${this.linked ? "" : " · not linked: no common position"}`),
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

const nameOf = (series) => (series.earlier ? `earlier, ${series.earlier}: ${titleOf(series)}` : titleOf(series));
