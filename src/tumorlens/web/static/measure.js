// Measuring in a slice: length, angle, ellipse, rectangle. The server computes and keeps what is measured, so that page and
// report say the same.

import { ask, byId, h } from "./common.js";
import { line, stroke, words } from "./drawing.js";

const POINTS = { length: 2, angle: 3, ellipse: 2, rectangle: 2 };
const COLOUR = "#a6f58a";

export class Measuring {
  // go is called with the number of a slice that is asked for, flat when there must be a slice to measure in.
  constructor(caseId, viewer, go, flat) {
    Object.assign(this, { path: `/cases/${caseId}/measurements`, viewer, go, flat, kind: "", points: null, made: [] });
    viewer.tool = this;
    byId("tool").addEventListener("change", (event) => this.choose(event.target.value));
  }

  async load() {
    this.made = await ask("GET", this.path);
    this.list();
    this.viewer.paint();
  }

  choose(kind) {
    this.kind = kind;
    this.points = null;
    byId("tool").value = kind;
    this.viewer.stage.classList.toggle("measuring", Boolean(kind));
    if (kind) this.flat();
    this.viewer.paint();
  }

  next() {
    const kinds = ["", ...Object.keys(POINTS)];
    this.choose(kinds[(kinds.indexOf(this.kind) + 1) % kinds.length]);
  }

  // A pointer goes down, moves, goes up; each says whether it is of concern here. A measure is dragged, or clicked point by
  // point.
  down(at, slice) {
    if (!this.kind) return false;
    if (this.points && this.slice !== slice) this.points = null;
    this.fresh = !this.points;
    this.slice = slice;
    this.points ??= [within(at)];
    this.end = within(at);
    return true;
  }

  move(at) {
    if (!this.points) return false;
    this.end = within(at);
    return true;
  }

  up(at, still) {
    if (!this.points) return;
    if (!(this.fresh && still)) this.points.push(within(at));
    this.fresh = false;
    if (this.points.length < POINTS[this.kind]) return;
    const points = this.points;
    this.points = null;
    this.keep({ slice: this.slice.number, kind: this.kind, points });
  }

  async keep(measurement) {
    try {
      this.made.push(await ask("POST", this.path, measurement));
      byId("measured-said").textContent = "";
    } catch (error) {
      byId("measured-said").textContent = error.message;
    }
    this.list();
    this.viewer.paint();
  }

  async remove(one) {
    try {
      await ask("DELETE", `${this.path}/${one.id}`);
      this.made = this.made.filter((other) => other !== one);
      byId("measured-said").textContent = "";
    } catch (error) {
      byId("measured-said").textContent = error.message;
    }
    this.list();
    this.viewer.paint();
  }

  list() {
    byId("measured").hidden = !this.made.length && !byId("measured-said").textContent;
    byId("measured").querySelector("ul").replaceChildren(...this.made.map((one) =>
      h("li", {}, h("span", {}, h("a", { href: `#${one.slice}`, onclick: (event) => { event.preventDefault(); this.go(one.slice); } }, `slice ${one.slice}`), `: ${one.text}`),
        h("button", { type: "button", class: "plain", "aria-label": `Delete: ${one.text}`, onclick: () => this.remove(one) }, "Delete"))));
  }

  // Draws what was measured in a slice, and what is being measured; onto brings fractions to the canvas.
  paint(context, onto, ratio, slice) {
    for (const one of this.made) {
      if (one.slice === slice.number) draw(context, one.kind, one.points.split(" ").map((p) => p.split(",").map(Number)).map(onto), one.text, ratio);
    }
    if (!this.points || this.slice !== slice) return;
    const points = [...this.points, this.end];
    draw(context, this.kind, points.map(onto), this.kind === "length" ? lengthOf(slice, points) : "", ratio);
  }
}

const within = ({ x, y }) => [x, y].map((v) => Math.min(1, Math.max(0, v)));

function lengthOf(slice, [[x0, y0], [x1, y1]]) {
  const [tall, wide] = slice.spacing ?? [1, 1];
  return `${Math.hypot((x1 - x0) * slice.width * wide, (y1 - y0) * slice.height * tall).toFixed(1)} ${slice.spacing ? "mm" : "pixels"}`;
}

function draw(context, kind, points, text, ratio) {
  const [[x0, y0], [x1, y1] = points[0]] = points;
  if (kind === "ellipse") {
    context.beginPath();
    context.ellipse((x0 + x1) / 2, (y0 + y1) / 2, Math.abs(x1 - x0) / 2, Math.abs(y1 - y0) / 2, 0, 0, 2 * Math.PI);
    stroke(context, COLOUR, 1.5 * ratio);
  } else if (kind === "rectangle") line(context, [[x0, y0], [x1, y0], [x1, y1], [x0, y1]], COLOUR, 1.5 * ratio, true);
  else line(context, points, COLOUR, 1.5 * ratio, false);
  const right = points.reduce((a, b) => (b[0] > a[0] ? b : a));
  // Long texts in lines: what is measured, then its numbers.
  const parts = text.replace(/^(length|angle|ellipse|rectangle) /, "").split(/[:,] /);
  parts.forEach((part, i) => words(context, part, right[0] + 6 * ratio, right[1] + (4 + 15 * i) * ratio, ratio, COLOUR));
}
