// The strip under the viewer: a bar for each slice, as tall as a tumour is probable, in its class's colour; borders between
// series, a dot for slices that somebody assessed, a line under those that decided.

import { byId, capital, classes, nothing } from "./common.js";
import { empty } from "./drawing.js";

export class Strip {
  // pick is called with a slice's number, words gives what is said of one that a pointer is over.
  constructor(canvas, pick, words) {
    Object.assign(this, { canvas, words, slices: [], current: 1, marks: new Set(), key: new Set(), borders: [] });
    const tip = byId("strip-tip");
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.slices.length && pick(this.at(event).number);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.slices.length) return;
      const slice = this.at(event);
      if (event.buttons) pick(slice.number);
      tip.hidden = false;
      tip.textContent = this.words(slice);
      const box = canvas.getBoundingClientRect();
      const x = event.clientX - box.left;
      tip.style.left = `${Math.min(Math.max(0, x - tip.offsetWidth / 2), Math.max(0, box.width - tip.offsetWidth))}px`;
    });
    canvas.addEventListener("pointerleave", () => (tip.hidden = true));
    new ResizeObserver(() => this.measure()).observe(canvas);
    window.addEventListener("themechange", () => this.paint());
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const place = Math.floor(((event.clientX - box.left) / box.width) * this.slices.length);
    return this.slices[Math.min(this.slices.length - 1, Math.max(0, place))];
  }

  // slices: in the order they are shown; borders: places of those that begin a series.
  set({ slices, borders, marks, key }) {
    Object.assign(this, { slices, borders, marks, key });
    this.paint();
  }

  show(current) {
    this.current = current;
    this.mark();
  }

  measure() {
    const { width, height } = this.canvas.getBoundingClientRect();
    this.size = [width, height].map((side) => Math.max(1, Math.round(side * (devicePixelRatio || 1))));
    this.paint();
  }

  // All but the mark of the slice that is shown.
  paint() {
    const ratio = devicePixelRatio || 1;
    const { slices } = this;
    if (!slices.length || !this.size) return;
    const [width, height] = this.size;
    this.bars = new OffscreenCanvas(width, height);
    const context = this.bars.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    const colours = classes.map((_, i) => style.getPropertyValue(`--class-${i % 4}`));
    const [accent, edge] = ["--accent", "--edge"].map((name) => style.getPropertyValue(name));
    this.ink = style.getPropertyValue("--ink");
    const step = width / slices.length;
    const gap = step > 4 * ratio ? ratio : 0;
    const floor = height - 4 * ratio;
    slices.forEach((slice, i) => {
      const { probabilities, unknown } = slice.finding;
      const tumours = unknown ? [] : classes.filter((key) => !nothing[key]);
      const best = tumours.reduce((a, b) => (probabilities[b] > probabilities[a] ? b : a), tumours[0]);
      const p = tumours.reduce((sum, key) => sum + probabilities[key], 0);
      const tall = Math.max(2 * ratio, p * (floor - 8 * ratio));
      context.fillStyle = unknown ? edge : colours[classes.indexOf(best)];
      context.globalAlpha = unknown ? 0.45 : 0.35 + 0.65 * p;
      context.fillRect(i * step, floor - tall, Math.max(ratio, step - gap), tall);
      context.globalAlpha = 1;
      if (this.key.has(slice.number)) {
        context.fillStyle = accent;
        context.fillRect(i * step, floor + ratio, Math.max(ratio, step), 3 * ratio);
      }
      if (this.marks.has(slice.number)) {
        context.fillStyle = this.ink;
        context.beginPath();
        context.arc((i + 0.5) * step, 7 * ratio, 3 * ratio, 0, 2 * Math.PI);
        context.fill();
      }
    });
    context.fillStyle = edge;
    for (const border of this.borders) if (border) context.fillRect(border * step - ratio, 0, 2 * ratio, height);
    this.mark();
  }

  mark() {
    if (!this.bars) return;
    const ratio = devicePixelRatio || 1;
    const [width, height] = this.size;
    empty(this.canvas, this.size);
    const context = this.canvas.getContext("2d");
    context.drawImage(this.bars, 0, 0);
    const i = this.slices.findIndex((slice) => slice.number === this.current);
    if (i < 0) return;
    const step = width / this.slices.length;
    context.fillStyle = this.ink;
    context.fillRect(i * step, 0, Math.max(2 * ratio, step - (step > 4 * ratio ? ratio : 0)), 3 * ratio);
    context.fillRect(i * step + Math.max(0, step / 2 - ratio), 0, 2 * ratio, height);
  }
}

export function tip(slice, series) {
  const where = series ? `${series.number === null ? series.name : `${series.number} · ${series.name}`}, slice ${series.slices.indexOf(slice.number) + 1} of ${series.slices.length}` : "";
  return [where, capital(slice.words)].filter(Boolean).join(" — ");
}
