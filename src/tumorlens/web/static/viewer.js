// The viewer of a slice: one pane or four, moved and zoomed together; heat, contour, outline, measurements, scale, cursor.

import { colourBar, cross, empty, line, scaleBar } from "./drawing.js";
import { Pictures, drawHeat, drawScan } from "./pictures.js";

const PANES = {
  blend: [["", ["scan", "heat", "contour", "cursor"]]],
  four: [["scan", ["scan"]], ["heat map", ["heatmap"]], ["overlay", ["scan", "heat"]], ["contour", ["scan", "contour"]]],
};
const CONTOUR = "#40e0ff";
const OUTLINE = "#fff04d";

// Events: "step" (slices to go), "window" (dragged by), "outlined", "cursor" (a place was pointed at), "view" (zoomed, moved),
// "paint" (about to be painted).
export class Viewer extends EventTarget {
  constructor(stage, panes, readout, pictures = new Pictures()) {
    super();
    Object.assign(this, { stage, holder: panes, readout, pictures });
    this.view = "blend";
    this.opacity = 0.6;
    this.threshold = 0.1;
    this.contour = true;
    this.window = null;
    this.zoom = 1;
    this.offset = [0, 0];
    this.outline = [];
    this.drawing = false;
    this.cursor = null; // where the cursor is, in fractions of the slice; null shows none
    this.tool = null; // measures where a pointer goes; null moves and steps
    this.pointers = new Map();
    this.lay();
    new ResizeObserver(() => {
      this.measure();
      this.paint();
    }).observe(stage);
    stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    stage.addEventListener("pointerdown", (event) => this.down(event));
    stage.addEventListener("pointermove", (event) => this.move(event));
    stage.addEventListener("contextmenu", (event) => event.preventDefault());
    for (const kind of ["pointerup", "pointercancel"]) stage.addEventListener(kind, (event) => this.up(event));
    stage.addEventListener("pointerleave", () => (readout.textContent = ""));
  }

  lay() {
    const panes = PANES[this.view] ?? [];
    this.holder.classList.toggle("four", this.view === "four");
    this.holder.hidden = !panes.length;
    this.panes = panes.map(([tag, layers]) => ({ tag, layers, canvas: document.createElement("canvas") }));
    this.holder.replaceChildren(
      ...this.panes.map(({ tag, canvas }) => {
        const pane = document.createElement("div");
        pane.className = "pane";
        pane.append(canvas);
        if (tag) {
          const label = document.createElement("span");
          label.className = "tag";
          label.textContent = tag;
          pane.append(label);
        }
        return pane;
      }),
    );
    this.measure();
  }

  // How large the panes are. Only asked for when that may have changed: the browser lays the page out anew to answer.
  measure() {
    const ratio = globalThis.devicePixelRatio || 1;
    for (const pane of this.panes) {
      const { width, height } = pane.canvas.getBoundingClientRect();
      pane.size = [width, height].map((side) => Math.max(1, Math.round(side * ratio)));
    }
  }

  setView(view) {
    this.view = view;
    this.lay();
    this.paint();
  }

  // Shows a slice with the heat for a class. What must be fetched first leaves the stage blank until it is there: never the
  // picture of another slice. Throws what went wrong.
  async show(slice, key) {
    if (slice !== this.slice) this.outline = [];
    this.slice = slice;
    this.key = key;
    const ready = this.pictures.ready(slice, key);
    if (ready) return this.put(ready.shown, ready.heat);
    this.blank();
    const [shown, heat] = await Promise.all([this.pictures.of(slice), this.pictures.heat(slice, key)]);
    if (slice === this.slice && key === this.key) this.put(shown, heat); // no other was asked for meanwhile
  }

  put(shown, heat) {
    this.shown = shown;
    this.heat = heat;
    this.redrawHeat(false);
    this.redrawScan();
  }

  blank() {
    this.shown = this.scan = this.heat = this.over = this.map = null;
    this.paint();
  }

  redrawScan() {
    if (!this.shown) return;
    this.scan = drawScan(this.slice, this.shown, this.window, this.scan);
    this.paint();
  }

  redrawHeat(paint = true) {
    this.over = this.heat && drawHeat(this.heat, true, 255 * this.threshold, this.over);
    this.map = this.heat && this.view === "four" ? drawHeat(this.heat, false) : null;
    if (paint) this.paint();
  }

  // From the scan's pixels to a pane's: as large as fits, pixels as wide as tall in mm, then zoom and offset.
  place(canvas) {
    const [tall, wide] = this.slice.spacing ?? [1, 1];
    const size = [this.slice.width * wide, this.slice.height * tall];
    const scale = Math.min(canvas.width / size[0], canvas.height / size[1]) * this.zoom;
    const [x, y] = [0, 1].map((i) => {
      const room = i ? canvas.height : canvas.width;
      return (room - size[i] * scale) / 2 + this.offset[i] * (globalThis.devicePixelRatio || 1);
    });
    return { x, y, sx: scale * wide, sy: scale * tall, mm: scale };
  }

  paint() {
    if (!this.slice || !this.panes.length) return;
    const ratio = globalThis.devicePixelRatio || 1;
    this.dispatchEvent(new Event("paint"));
    if (this.view === "four" && this.heat && !this.map) this.map = drawHeat(this.heat, false);
    for (const { canvas, layers, size } of this.panes) {
      empty(canvas, size);
      if (this.scan) this.paintPane(canvas, layers, ratio);
    }
  }

  paintPane(canvas, layers, ratio) {
    const context = canvas.getContext("2d");
    const at = this.place(canvas);
    const [w, h] = [this.slice.width * at.sx, this.slice.height * at.sy];
    const onto = ([x, y]) => [at.x + x * w, at.y + y * h];
    if (layers.includes("scan")) {
      context.imageSmoothingEnabled = at.sx < 14; // beyond, pixels are shown as such
      context.drawImage(this.scan, at.x, at.y, w, h);
    }
    context.imageSmoothingEnabled = true;
    if (layers.includes("heatmap") && this.map) context.drawImage(this.map, at.x, at.y, w, h);
    if (layers.includes("heat") && this.over && this.opacity) {
      context.globalAlpha = this.opacity;
      context.drawImage(this.over, at.x, at.y, w, h);
      context.globalAlpha = 1;
      colourBar(context, [canvas.width, 14 * ratio], canvas.height, this.threshold, ratio, "strongest here");
    }
    const region = this.slice.regions[this.key];
    if (layers.includes("contour") && this.contour && region) {
      line(context, region.contour.map(([x, y]) => [at.x + x * at.sx, at.y + y * at.sy]), CONTOUR, 1.6 * ratio, true);
    }
    if (layers.includes("cursor") && this.cursor) cross(context, ...onto(this.cursor), [at.x, at.y, at.x + w, at.y + h], ratio);
    if (!layers.includes("heatmap")) {
      if (this.outline.length) line(context, this.outline.map(onto), OUTLINE, 2 * ratio, !this.drawing || !this.tracing);
      this.tool?.paint?.(context, onto, ratio, this.slice);
    }
    if (this.slice.spacing) scaleBar(context, [canvas.width, canvas.height], canvas.width, at.mm, ratio);
  }

  // Where a pointer is: the pane, and the place in fractions of the scan.
  locate(event) {
    const pane = this.panes.find(({ canvas }) => {
      const box = canvas.getBoundingClientRect();
      return event.clientX >= box.left && event.clientX < box.right && event.clientY >= box.top && event.clientY < box.bottom;
    });
    if (!pane || !this.scan) return null;
    const box = pane.canvas.getBoundingClientRect();
    const ratio = pane.canvas.width / box.width;
    const at = this.place(pane.canvas);
    const x = ((event.clientX - box.left) * ratio - at.x) / at.sx;
    const y = ((event.clientY - box.top) * ratio - at.y) / at.sy;
    return { x: x / this.slice.width, y: y / this.slice.height, px: x, py: y };
  }

  zoomBy(factor, event) {
    const before = this.zoom;
    this.zoom = Math.min(20, Math.max(1, this.zoom * factor));
    if (this.zoom === 1) this.offset = [0, 0];
    else {
      let centre = [0, 0];
      if (event) {
        const pane = this.panes.find(({ canvas }) => canvas.parentElement.contains(event.target)) ?? this.panes[0];
        const box = pane.canvas.getBoundingClientRect();
        centre = [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
      }
      const grown = this.zoom / before;
      this.offset = this.offset.map((o, i) => centre[i] - (centre[i] - o) * grown);
    }
    this.moved();
  }

  moved() {
    this.paint();
    this.dispatchEvent(new Event("view"));
  }

  // Where the page is longer than the screen, what is to be drawn on must be seen.
  reveal() {
    this.stage.scrollIntoView({ block: "nearest" });
  }

  reset() {
    this.zoom = 1;
    this.offset = [0, 0];
    this.moved();
  }

  wheel(event) {
    if (this.view === "planes") return;
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) this.zoomBy(Math.exp(-event.deltaY / 300), event);
    else this.dispatchEvent(new CustomEvent("step", { detail: Math.sign(event.deltaY) }));
  }

  down(event) {
    if (this.view === "planes" || event.target.closest("button")) return; // a captured pointer presses no button
    this.stage.focus({ preventScroll: true });
    this.stage.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
    this.travelled = 0;
    this.began = [event.clientX, event.clientY];
    this.button = event.button;
    if (this.pointers.size !== 1 || event.button) return;
    const at = this.locate(event);
    if (this.drawing) {
      this.tracing = true;
      this.outline = [];
      this.trace(event);
    } else if (this.tool?.down && at) this.measuring = this.tool.down(at, this.slice);
  }

  move(event) {
    const at = this.view === "planes" ? null : this.locate(event);
    if (at) this.read(at);
    if (at && this.tool?.move?.(at)) this.paint();
    const last = this.pointers.get(event.pointerId);
    if (!last) return;
    const now = [event.clientX, event.clientY];
    const [dx, dy] = [now[0] - last[0], now[1] - last[1]];
    if (this.pointers.size === 2) {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const spread = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]);
      if (spread(last) > 0) this.zoomBy(spread(now) / spread(last), event);
    } else if (this.tracing) this.trace(event);
    else if (event.shiftKey || this.button === 2) this.dispatchEvent(new CustomEvent("window", { detail: [dx, dy] }));
    else if (this.measuring) this.paint();
    else if (this.zoom > 1 || this.button === 1) {
      this.offset = [this.offset[0] + dx, this.offset[1] + dy];
      this.moved();
    } else if (event.pointerType === "touch") {
      // Slices pass under the finger, one for each 14 pixels.
      this.travelled += dy;
      const steps = Math.trunc(this.travelled / 14);
      if (steps) {
        this.travelled -= steps * 14;
        this.dispatchEvent(new CustomEvent("step", { detail: steps }));
      }
    }
    this.pointers.set(event.pointerId, now);
  }

  up(event) {
    const known = this.pointers.delete(event.pointerId);
    const still = this.began && Math.hypot(event.clientX - this.began[0], event.clientY - this.began[1]) < 4;
    const at = known && this.view !== "planes" ? this.locate(event) : null;
    if (this.tracing) {
      this.tracing = false;
      if (this.outline.length < 3) this.outline = [];
      this.paint();
      this.dispatchEvent(new Event("outlined"));
    } else if (this.measuring) {
      this.measuring = false;
      if (at) this.tool?.up?.(at, still);
      this.paint();
    } else if (at && still && !this.button && event.type === "pointerup" && !event.shiftKey && inside(at)) {
      this.dispatchEvent(new CustomEvent("cursor", { detail: [at.x, at.y] }));
    }
  }

  trace(event) {
    const at = this.locate(event);
    if (!at) return;
    const point = [at.x, at.y].map((v) => Math.min(1, Math.max(0, v)));
    const last = this.outline.at(-1);
    if (!last || Math.hypot(point[0] - last[0], point[1] - last[1]) > 0.004) this.outline.push(point);
    this.paint();
  }

  // The value at a place, in the file's own units; null where the file holds no more than the picture.
  valueAt(px, py) {
    const values = this.shown?.values;
    if (!values) return null;
    const { low, high } = this.slice.values;
    return low + (values[Math.floor(py) * this.slice.width + Math.floor(px)] / 65535) * (high - low);
  }

  read({ x, y, px, py }) {
    if (!inside({ x, y })) {
      this.readout.textContent = "";
      return;
    }
    let text = `${Math.floor(px)}, ${Math.floor(py)}`;
    if (this.slice.spacing) text += ` · ${(px * this.slice.spacing[1]).toFixed(1)}, ${(py * this.slice.spacing[0]).toFixed(1)} mm`;
    const value = this.valueAt(px, py);
    if (value !== null) text += ` · ${value.toPrecision(4)}${this.slice.values.unit ? ` ${this.slice.values.unit}` : ""}`;
    this.readout.textContent = text;
  }
}

const inside = ({ x, y }) => x >= 0 && y >= 0 && x < 1 && y < 1;
