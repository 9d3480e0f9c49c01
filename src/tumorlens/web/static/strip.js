// The strip under the viewer: a bar for each slice, as tall as a tumour is probable, in its class's colour.

import { classes, nothing } from "./common.js";

export class Strip {
  constructor(canvas, pick) {
    this.canvas = canvas;
    this.slices = [];
    this.current = 1;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      pick(this.at(event));
    });
    canvas.addEventListener("pointermove", (event) => event.buttons && pick(this.at(event)));
    new ResizeObserver(() => this.paint()).observe(canvas);
    window.addEventListener("themechange", () => this.paint());
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const place = Math.floor(((event.clientX - box.left) / box.width) * this.slices.length);
    return Math.min(this.slices.length, Math.max(1, place + 1));
  }

  set(slices, current) {
    this.slices = slices;
    this.current = current;
    this.paint();
  }

  paint() {
    const ratio = devicePixelRatio || 1;
    const { canvas, slices } = this;
    const box = canvas.getBoundingClientRect();
    canvas.width = Math.max(1, box.width * ratio);
    canvas.height = Math.max(1, box.height * ratio);
    if (!slices.length) return;
    const context = canvas.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    const colours = classes.map((_, i) => style.getPropertyValue(`--class-${i % 4}`));
    const step = canvas.width / slices.length;
    const gap = step > 4 * ratio ? ratio : 0;
    slices.forEach((slice, i) => {
      const { probabilities, unknown } = slice.finding;
      const tumours = unknown ? [] : classes.filter((key) => !nothing[key]);
      const best = tumours.reduce((a, b) => (probabilities[b] > probabilities[a] ? b : a), tumours[0]);
      const p = tumours.reduce((sum, key) => sum + probabilities[key], 0);
      const height = Math.max(2 * ratio, p * (canvas.height - 8 * ratio));
      context.fillStyle = unknown ? style.getPropertyValue("--edge") : colours[classes.indexOf(best)];
      context.globalAlpha = unknown ? 0.45 : 0.35 + 0.65 * p;
      context.fillRect(i * step, canvas.height - height, Math.max(ratio, step - gap), height);
      context.globalAlpha = 1;
      if (slice.number === this.current) {
        context.fillStyle = style.getPropertyValue("--ink");
        context.fillRect(i * step, 0, Math.max(2 * ratio, step - gap), 3 * ratio);
        context.fillRect(i * step + Math.max(0, step / 2 - ratio), 0, 2 * ratio, canvas.height);
      }
    });
  }
}
