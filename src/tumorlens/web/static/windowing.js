// One window a series: what is black and what is white, in the file's own units, with presets.

import { byId, h } from "./common.js";

export class Windowing {
  // changed is called when the window of the series that is shown is another.
  constructor(changed) {
    Object.assign(this, { changed, chosen: new Map(), series: null });
    byId("preset").addEventListener("change", (event) => this.preset(event.target.value));
    for (const name of ["level", "width"]) {
      byId(name).addEventListener("change", () => this.set(Number(byId("level").value), Number(byId("width").value)));
    }
  }

  // The window of a series: the reader's, or its first; null where its pictures hold no more than they show.
  of(series) {
    return series?.windows.length ? this.chosen.get(series.place) ?? series.windows[0] : null;
  }

  show(series, here = true) {
    this.series = series;
    byId("windowing").hidden = !series?.windows.length || !here;
    if (!series?.windows.length) return;
    const { level, width, name } = this.of(series);
    const presets = byId("preset");
    presets.replaceChildren(...series.windows.map((w) => h("option", { value: w.name }, w.name)), h("option", { value: "own", hidden: true }, "Own"));
    presets.value = name ?? "own";
    const digits = series.high - series.low > 50 ? 0 : 3;
    byId("level").value = level.toFixed(digits);
    byId("width").value = width.toFixed(digits);
    for (const input of [byId("level"), byId("width")]) input.step = (series.high - series.low) / 100 > 1 ? Math.round((series.high - series.low) / 100) : "any";
    byId("unit").textContent = series.unit;
  }

  preset(name) {
    const found = this.series?.windows.find((w) => w.name === name);
    if (found) this.put(found);
  }

  set(level, width) {
    if (!this.series?.windows.length || !Number.isFinite(level) || !Number.isFinite(width)) return;
    const range = this.series.high - this.series.low || 1;
    this.put({ level, width: Math.max(width, range / 1000) });
  }

  next() {
    const all = this.series?.windows ?? [];
    if (all.length) this.put(all[(all.findIndex((w) => w.name === this.of(this.series).name) + 1) % all.length]);
  }

  // Dragged by so many pixels: up and down the level, left and right the width.
  drag(dx, dy) {
    const now = this.of(this.series);
    if (!now) return;
    const unit = this.series.windows[0].width / 250;
    this.set(now.level - dy * unit, now.width + dx * unit);
  }

  reset() {
    if (!this.series) return;
    this.chosen.delete(this.series.place);
    this.show(this.series);
    this.changed();
  }

  put(window) {
    this.chosen.set(this.series.place, window);
    this.show(this.series);
    this.changed();
  }
}
