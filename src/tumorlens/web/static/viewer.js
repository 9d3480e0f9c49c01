// The viewer of a slice: one pane or four, moved and zoomed together; contour, outline, scale.

import { Pictures, drawHeat, drawScan } from "./pictures.js";

const PANES = {
  blend: [["", ["scan", "heat", "contour"]]],
  four: [["scan", ["scan"]], ["heat map", ["heatmap"]], ["overlay", ["scan", "heat"]], ["contour", ["scan", "contour"]]],
};
const CONTOUR = "#40e0ff";
const OUTLINE = "#fff04d";

export class Viewer extends EventTarget {
  constructor(stage, panes, readout) {
    super();
    Object.assign(this, { stage, holder: panes, readout });
    this.pictures = new Pictures();
    this.view = "blend";
    this.opacity = 0.6;
    this.contour = true;
    this.window = null;
    this.zoom = 1;
    this.offset = [0, 0];
    this.outline = [];
    this.drawing = false;
    this.pointers = new Map();
    this.lay();
    new ResizeObserver(() => this.paint()).observe(stage);
    stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    stage.addEventListener("pointerdown", (event) => this.down(event));
    stage.addEventListener("pointermove", (event) => this.move(event));
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
  }

  setView(view) {
    this.view = view;
    this.lay();
    this.paint();
  }

  async show(slice, key) {
    const fresh = slice !== this.slice;
    this.slice = slice;
    this.key = key;
    if (fresh) this.outline = [];
    // Without evidence that has a place, there is no heat: for an unknown slice, and for "no tumour".
    const glow = slice.evidence[key] ? this.pictures.heat(slice, key) : null;
    const [shown, heat] = await Promise.all([this.pictures.of(slice), glow]);
    if (slice !== this.slice || key !== this.key) return; // another was asked for meanwhile
    this.shown = shown;
    this.over = heat && drawHeat(heat, true);
    this.map = heat && drawHeat(heat, false);
    this.redrawScan();
  }

  redrawScan() {
    if (!this.shown) return;
    this.scan = drawScan(this.slice, this.shown, this.window);
    this.paint();
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
    if (!this.scan || !this.panes.length) return;
    const ratio = globalThis.devicePixelRatio || 1;
    for (const { canvas, layers } of this.panes) {
      const box = canvas.getBoundingClientRect();
      canvas.width = Math.max(1, Math.round(box.width * ratio));
      canvas.height = Math.max(1, Math.round(box.height * ratio));
      const context = canvas.getContext("2d");
      const at = this.place(canvas);
      const w = this.slice.width * at.sx;
      const h = this.slice.height * at.sy;
      if (layers.includes("scan")) {
        context.imageSmoothingEnabled = at.sx < 6; // beyond, pixels are shown as such
        context.drawImage(this.scan, at.x, at.y, w, h);
      }
      context.imageSmoothingEnabled = true;
      if (layers.includes("heatmap") && this.map) context.drawImage(this.map, at.x, at.y, w, h);
      if (layers.includes("heat") && this.over) {
        context.globalAlpha = this.opacity;
        context.drawImage(this.over, at.x, at.y, w, h);
        context.globalAlpha = 1;
      }
      const region = this.slice.regions[this.key];
      if (layers.includes("contour") && this.contour && region) {
        line(context, region.contour.map(([x, y]) => [at.x + x * at.sx, at.y + y * at.sy]), CONTOUR, 1.6 * ratio, true);
      }
      if (this.outline.length && !layers.includes("heatmap")) {
        const points = this.outline.map(([x, y]) => [at.x + x * w, at.y + y * h]);
        line(context, points, OUTLINE, 2 * ratio, !this.drawing || !this.tracing);
      }
      if (this.slice.spacing) scaleBar(context, canvas, at.mm, ratio);
    }
    this.dispatchEvent(new Event("paint"));
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
    this.paint();
  }

  reset() {
    this.zoom = 1;
    this.offset = [0, 0];
    this.window = null;
    this.redrawScan();
  }

  wheel(event) {
    if (this.view === "planes") return;
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) this.zoomBy(Math.exp(-event.deltaY / 300), event);
    else this.dispatchEvent(new CustomEvent("step", { detail: Math.sign(event.deltaY) }));
  }

  down(event) {
    if (this.view === "planes" || event.button > 1) return;
    this.stage.focus({ preventScroll: true });
    this.stage.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
    this.travelled = 0;
    if (this.drawing && this.pointers.size === 1) {
      this.tracing = true;
      this.outline = [];
      this.trace(event);
    }
  }

  move(event) {
    const at = this.view === "planes" ? null : this.locate(event);
    if (at) this.read(at);
    const last = this.pointers.get(event.pointerId);
    if (!last) return;
    const now = [event.clientX, event.clientY];
    const [dx, dy] = [now[0] - last[0], now[1] - last[1]];
    if (this.pointers.size === 2) {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const spread = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]);
      if (spread(last) > 0) this.zoomBy(spread(now) / spread(last), event);
    } else if (this.tracing) this.trace(event);
    else if (event.shiftKey) this.dispatchEvent(new CustomEvent("window", { detail: [dx, dy] }));
    else if (this.zoom > 1) {
      this.offset = [this.offset[0] + dx, this.offset[1] + dy];
      this.paint();
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
    this.pointers.delete(event.pointerId);
    if (this.tracing) {
      this.tracing = false;
      if (this.outline.length < 3) this.outline = [];
      this.paint();
      this.dispatchEvent(new Event("outlined"));
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

  read({ px, py }) {
    if (px < 0 || py < 0 || px >= this.slice.width || py >= this.slice.height) {
      this.readout.textContent = "";
      return;
    }
    let text = `${Math.floor(px)}, ${Math.floor(py)}`;
    if (this.slice.spacing) text += ` · ${(px * this.slice.spacing[1]).toFixed(1)}, ${(py * this.slice.spacing[0]).toFixed(1)} mm`;
    const values = this.shown?.values;
    if (values) {
      const { low, high } = this.slice.values;
      const step = values[Math.floor(py) * this.slice.width + Math.floor(px)];
      text += ` · value ${(low + (step / 65535) * (high - low)).toPrecision(4)}`;
    }
    this.readout.textContent = text;
  }
}

function line(context, points, colour, width, closed) {
  context.beginPath();
  points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  if (closed) context.closePath();
  context.lineJoin = "round";
  context.lineWidth = width * 2;
  context.strokeStyle = "#000a"; // so that it stands out from white tissue too
  context.stroke();
  context.lineWidth = width;
  context.strokeStyle = colour;
  context.stroke();
}

function scaleBar(context, canvas, perMm, ratio) {
  const length = [100, 50, 20, 10, 5, 2, 1].find((mm) => mm * perMm < canvas.width / 3) ?? 1;
  const [x, y] = [canvas.width - length * perMm - 14 * ratio, canvas.height - 14 * ratio];
  context.fillStyle = "#fff";
  context.fillRect(x, y, length * perMm, 2 * ratio);
  context.font = `${12 * ratio}px system-ui, sans-serif`;
  context.textAlign = "right";
  context.fillText(`${length} mm`, canvas.width - 14 * ratio, y - 5 * ratio);
}
