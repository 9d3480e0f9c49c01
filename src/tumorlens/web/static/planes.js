// Three planes of a series: the plane it was taken in, large, and the two across it, with heat, contour and one cursor.

import { colourBar, cross, scaleBar, stroke, words } from "./drawing.js";
import { greys, heatColours, loadVolume } from "./pictures.js";

// How each plane is seen: across which direction of the patient it cuts, and which run to the right and down, with their
// signs. Directions: 0 to the left, 1 to the back, 2 to the head.
const PLANES = {
  axial: { across: 2, right: [0, 1], down: [1, 1], ends: ["R", "L", "A", "P"] },
  coronal: { across: 1, right: [0, 1], down: [2, -1], ends: ["R", "L", "H", "F"] },
  sagittal: { across: 0, right: [1, 1], down: [2, -1], ends: ["A", "P", "H", "F"] },
};
const CONTOUR = "#40e0ff";

// Which axis of a volume runs along each direction of the patient, and which way: [{axis, sign}, …]. Tilted volumes are shown
// as they were cut, in the plane they are nearest to.
export function axesOf({ across, down, along }) {
  const axes = [across, down, along];
  const orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
  const fit = (order) => order.reduce((sum, axis, direction) => sum + Math.abs(axes[axis][direction]), 0);
  const best = orders.reduce((a, b) => (fit(b) > fit(a) + 1e-9 ? b : a));
  return best.map((axis, direction) => ({ axis, sign: axes[axis][direction] < 0 ? -1 : 1 }));
}

// Events: "cursor": the reader pointed at another voxel, [plane, row, column].
export class Planes extends EventTarget {
  constructor(canvas, caseId, readout) {
    super();
    Object.assign(this, { canvas, caseId, readout, opacity: 0.6, threshold: 0.1, contour: true, level: 0.5, volumes: new Map(), window: null });
    new ResizeObserver(() => this.paint()).observe(canvas);
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      canvas.setPointerCapture(event.pointerId);
      this.point(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons & 2) this.dispatchEvent(new CustomEvent("window", { detail: [event.movementX, event.movementY] }));
      else if (event.buttons & 1) this.point(event);
    });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const pane = this.paneAt(event);
      if (pane) this.go(this.cursor.map((v, axis) => (axis === pane.across.axis ? v + pane.across.sign * Math.sign(event.deltaY) : v)));
    }, { passive: false });
  }

  // Shows a series with the heat for a class; null draws none. at: a voxel. Throws what went wrong.
  async open(series, key, at, window) {
    const base = `/api/v1/cases/${this.caseId}/series/${series.place}`;
    if (this.series?.place !== series.place) this.data = null;
    if (!this.data || this.key !== key) this.heat = null; // never another class's
    Object.assign(this, { series, key, window, grid: series.volume });
    this.cursor = this.clamp(at);
    this.axes = axesOf(this.grid);
    this.paint();
    const scan = this.keep(`${base}/volume`, Uint16Array);
    const current = () => this.series === series && this.key === key;
    const data = await scan;
    if (!current()) return;
    this.data = data;
    if (key === null) this.heat = null;
    this.paint();
    // Asked for now: beside the scan it would have kept the server from that.
    const warm = key === null ? null : await this.keep(`${base}/heat/${key}`, Uint8Array);
    if (!current()) return;
    this.heat = warm;
    this.paint();
  }

  keep(address, Numbers) {
    let volume = this.volumes.get(address);
    if (!volume) {
      volume = loadVolume(address, Numbers);
      volume.catch(() => this.volumes.delete(address));
    }
    this.volumes.delete(address);
    this.volumes.set(address, volume);
    while (this.volumes.size > 6) this.volumes.delete(this.volumes.keys().next().value);
    return volume;
  }

  close() {
    this.data = this.heat = null;
  }

  clamp(voxel) {
    return voxel.map((v, axis) => Math.min(this.grid.shape[axis] - 1, Math.max(0, Math.round(v))));
  }

  go(voxel) {
    this.cursor = this.clamp(voxel);
    this.paint();
    this.dispatchEvent(new CustomEvent("cursor", { detail: this.cursor }));
  }

  // The panes: the plane the series was taken in fills the larger part, the others share the rest.
  lay() {
    const { width, height } = this.canvas;
    const own = Object.keys(PLANES).find((name) => this.axes[PLANES[name].across].axis === 0);
    const names = [own, ...Object.keys(PLANES).filter((name) => name !== own)];
    const gap = 2;
    const wide = width > height;
    const part = Math.round((wide ? width : height) * 0.58);
    const [restWide, restTall] = wide ? [width - part - gap, height / 2] : [width / 2, height - part - gap];
    const boxes = wide
      ? [[0, 0, part, height], [part + gap, 0, restWide, restTall - 1], [part + gap, restTall + 1, restWide, restTall - 1]]
      : [[0, 0, width, part], [0, part + gap, restWide - 1, restTall], [restWide + 1, part + gap, restWide - 1, restTall]];
    this.panes = names.map((name, i) => {
      const { across, right, down, ends } = PLANES[name];
      const turn = ([direction, sign]) => ({ axis: this.axes[direction].axis, sign: this.axes[direction].sign * sign });
      const pane = { name, ends, box: boxes[i], across: turn([across, 1]), right: turn(right), down: turn(down) };
      const size = [pane.right, pane.down].map(({ axis }) => this.grid.shape[axis] * this.grid.spacing[axis]);
      pane.scale = Math.min(pane.box[2] / size[0], pane.box[3] / size[1]);
      pane.size = size.map((s) => s * pane.scale);
      pane.at = [pane.box[0] + (pane.box[2] - pane.size[0]) / 2, pane.box[1] + (pane.box[3] - pane.size[1]) / 2];
      return pane;
    });
  }

  paint() {
    if (!this.grid || this.canvas.hidden) return;
    const ratio = globalThis.devicePixelRatio || 1;
    const box = this.canvas.getBoundingClientRect();
    this.canvas.width = Math.max(1, Math.round(box.width * ratio));
    this.canvas.height = Math.max(1, Math.round(box.height * ratio));
    const context = this.canvas.getContext("2d");
    context.fillStyle = "#1c242b";
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.lay();
    for (const pane of this.panes) this.paintPane(context, pane, ratio);
    this.canvas.dataset.ready = Boolean(this.data);
  }

  paintPane(context, pane, ratio) {
    const [x, y, w, h] = pane.box;
    context.save();
    context.beginPath();
    context.rect(x, y, w, h);
    context.clip();
    context.fillStyle = "#000";
    context.fillRect(x, y, w, h);
    context.imageSmoothingQuality = "high";
    if (this.data) {
      context.drawImage(this.cutScan(pane), ...pane.at, ...pane.size);
      if (this.heat) this.paintHeat(context, pane, ratio);
      const [cx, cy] = [pane.right, pane.down].map(({ axis, sign }, i) => {
        const share = (this.cursor[axis] + 0.5) / this.grid.shape[axis];
        return pane.at[i] + (sign > 0 ? share : 1 - share) * pane.size[i];
      });
      cross(context, cx, cy, [x, y, x + w, y + h], ratio);
    }
    else words(context, "loading …", x + w / 2, y + h / 2, ratio, "#fff", "center");
    const place = this.cursor[pane.across.axis] + 1;
    const name = `${pane.name} ${place} of ${this.grid.shape[pane.across.axis]}`;
    words(context, name, x + 8 * ratio, y + 18 * ratio, ratio);
    const narrow = context.measureText(name).width > w / 2 - 20 * ratio; // the letter would stand in the name
    const [right, left, top, bottom] = pane.ends;
    words(context, right, x + 6 * ratio, y + h / 2, ratio);
    words(context, left, x + w - 6 * ratio, y + h / 2, ratio, "#fff", "right");
    words(context, top, x + w / 2, y + (narrow ? 36 : 18) * ratio, ratio, "#fff", "center");
    words(context, bottom, x + w / 2, y + h - 8 * ratio, ratio, "#fff", "center");
    if (this.data) scaleBar(context, [x + w, y + h], w, pane.scale, ratio);
    context.restore();
  }

  // The steps of a volume through a pane: [width, height, step at (i, j)].
  cut(pane, shape, voxel) {
    const strides = [shape[1] * shape[2], shape[2], 1];
    const [r, d, a] = [pane.right, pane.down, pane.across];
    const [width, height] = [shape[r.axis], shape[d.axis]];
    const start = voxel[a.axis] * strides[a.axis] + (r.sign < 0 ? (width - 1) * strides[r.axis] : 0) + (d.sign < 0 ? (height - 1) * strides[d.axis] : 0);
    const [right, down] = [r.sign * strides[r.axis], d.sign * strides[d.axis]];
    return { width, height, at: (i, j) => start + i * right + j * down };
  }

  cutScan(pane) {
    const { width, height, at } = this.cut(pane, this.grid.shape, this.cursor);
    const { level, width: window } = this.window;
    const known = `${this.series.place} ${level} ${window}`;
    if (this.known !== known) [this.known, this.grey] = [known, greys(this.grid, this.window)];
    const image = new ImageData(width, height);
    const out = new Uint32Array(image.data.buffer);
    for (let j = 0; j < height; j++) for (let i = 0; i < width; i++) out[j * width + i] = 0xff000000 | (this.grey[this.data[at(i, j)]] * 0x010101);
    return canvasOf(image);
  }

  paintHeat(context, pane, ratio) {
    const shape = [this.grid.shape[0], ...this.grid.heat];
    const voxel = this.cursor.map((v, axis) => Math.min(shape[axis] - 1, Math.floor(((v + 0.5) * shape[axis]) / this.grid.shape[axis])));
    const { width, height, at } = this.cut(pane, shape, voxel);
    const image = new ImageData(width, height);
    const out = new Uint32Array(image.data.buffer);
    const colours = heatColours(true, 255 * this.threshold);
    let peak = 0;
    for (let j = 0; j < height; j++) {
      for (let i = 0; i < width; i++) {
        const step = this.heat[at(i, j)];
        out[j * width + i] = colours[step];
        if (step > peak) peak = step;
      }
    }
    if (this.opacity) {
      context.globalAlpha = this.opacity;
      context.drawImage(canvasOf(image), ...pane.at, ...pane.size);
      context.globalAlpha = 1;
      if (pane === this.panes[0]) colourBar(context, [pane.box[0] + pane.box[2], pane.box[1] + 14 * ratio], pane.box[3] * 0.8, this.threshold, ratio, "certain");
    }
    const level = this.level * this.peakOf();
    if (!this.contour || !peak || peak < level || !level) return;
    context.beginPath();
    const [sx, sy] = [pane.size[0] / width, pane.size[1] / height];
    for (const [x0, y0, x1, y1] of contour((i, j) => this.heat[at(i, j)], width, height, level)) {
      context.moveTo(pane.at[0] + (x0 + 0.5) * sx, pane.at[1] + (y0 + 0.5) * sy);
      context.lineTo(pane.at[0] + (x1 + 0.5) * sx, pane.at[1] + (y1 + 0.5) * sy);
    }
    stroke(context, CONTOUR, 1.5 * ratio);
  }

  peakOf() {
    if (this.measured !== this.heat) [this.measured, this.peak] = [this.heat, this.heat.reduce((a, b) => (b > a ? b : a), 0)];
    return this.peak;
  }

  paneAt(event) {
    if (!this.panes) return null;
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [((event.clientX - box.left) * this.canvas.width) / box.width, ((event.clientY - box.top) * this.canvas.height) / box.height];
    const pane = this.panes.find(({ box: [px, py, w, h] }) => x >= px && x < px + w && y >= py && y < py + h);
    return pane && { ...pane, x, y };
  }

  point(event) {
    const pane = this.paneAt(event);
    if (!pane || !this.data) return;
    const voxel = [...this.cursor];
    [pane.right, pane.down].forEach(({ axis, sign }, i) => {
      const share = ([pane.x, pane.y][i] - pane.at[i]) / pane.size[i];
      voxel[axis] = (sign > 0 ? share : 1 - share) * this.grid.shape[axis] - 0.5;
    });
    this.go(voxel);
    const [z, y, x] = this.cursor;
    const { low, high, shape } = this.grid;
    const value = low + (this.data[(z * shape[1] + y) * shape[2] + x] / 65535) * (high - low);
    this.readout.textContent = `${x}, ${y}, ${z} · ${value.toPrecision(4)}${this.series.unit ? ` ${this.series.unit}` : ""}`;
  }
}

function canvasOf(image) {
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

// Pieces of the line where a grid of numbers crosses a level, by marching squares: [x0, y0, x1, y1] in cells.
export function contour(at, width, height, level) {
  const pieces = [];
  for (let j = 0; j < height - 1; j++) {
    for (let i = 0; i < width - 1; i++) {
      const [a, b, c, d] = [at(i, j), at(i + 1, j), at(i + 1, j + 1), at(i, j + 1)];
      const cuts = [];
      const cut = (p, q, x, y, dx, dy) => {
        if (p < level === q < level) return;
        const share = (level - p) / (q - p);
        cuts.push([x + share * dx, y + share * dy]);
      };
      cut(a, b, i, j, 1, 0);
      cut(b, c, i + 1, j, 0, 1);
      cut(d, c, i, j + 1, 1, 0);
      cut(a, d, i, j, 0, 1);
      for (let k = 0; k + 1 < cuts.length; k += 2) pieces.push([...cuts[k], ...cuts[k + 1]]);
    }
  }
  return pieces;
}
