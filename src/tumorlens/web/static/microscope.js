// A whole slide on a canvas: its overview, squares of it as one zooms in, and heat over it.

const AT_ONCE = 4; // squares asked for at a time; a worker makes them one by one
const KEPT = 500; // squares that stay in memory
const CLOSEST = 4; // screen pixels a pixel of the slide takes at most

export class Microscope extends EventTarget {
  constructor(stage, canvas, ruler) {
    super();
    Object.assign(this, { stage, canvas, ruler, slide: null, heat: null, opacity: 0.6 });
    this.squares = new Map(); // address: bitmap, or null while it is fetched or if it is broken
    this.running = 0;
    this.pointers = new Map();
    new ResizeObserver(() => this.fit()).observe(stage);
    this.listen();
  }

  // slide: {width, height, microns, pane, zooms}; overview: a bitmap of it; at: where its squares are asked for.
  open(slide, overview, at) {
    Object.assign(this, { slide, overview, at, heat: null });
    this.squares.clear();
    this.fit();
    this.whole();
  }

  fit() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    this.sharp = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * this.sharp);
    this.canvas.height = Math.round(height * this.sharp);
    this.paint();
  }

  // The scale at which the whole slide is seen, in canvas pixels a pixel of the slide.
  get least() {
    return Math.min(this.canvas.width / this.slide.width, this.canvas.height / this.slide.height) * 0.98;
  }

  whole() {
    this.scale = this.least;
    this.middle = [this.slide.width / 2, this.slide.height / 2];
    this.paint();
  }

  // Zooms, so that a place of the canvas, by default its middle, stays where it is.
  zoomBy(factor, [x, y] = [this.canvas.width / 2, this.canvas.height / 2]) {
    if (!this.slide) return;
    const scale = Math.min(Math.max(this.scale * factor, this.least), Math.max(CLOSEST, this.least));
    const way = 1 / this.scale - 1 / scale;
    this.middle[0] += (x - this.canvas.width / 2) * way;
    this.middle[1] += (y - this.canvas.height / 2) * way;
    this.scale = scale;
    this.moveBy(0, 0);
  }

  moveBy(x, y) {
    if (!this.slide) return;
    const clamp = (value, most) => Math.min(Math.max(value, 0), most);
    this.middle = [clamp(this.middle[0] - x / this.scale, this.slide.width), clamp(this.middle[1] - y / this.scale, this.slide.height)];
    this.paint();
  }

  paint() {
    if (!this.slide || this.asked) return;
    this.asked = requestAnimationFrame(() => {
      this.asked = 0;
      this.draw();
    });
  }

  draw() {
    const { canvas, slide, scale } = this;
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#14191d";
    context.fillRect(0, 0, canvas.width, canvas.height);
    const left = canvas.width / 2 - this.middle[0] * scale;
    const top = canvas.height / 2 - this.middle[1] * scale;
    context.setTransform(scale, 0, 0, scale, left, top);
    context.imageSmoothingQuality = "high";
    context.drawImage(this.overview, 0, 0, slide.width, slide.height);
    const seen = [-left / scale, -top / scale, (canvas.width - left) / scale, (canvas.height - top) / scale];
    const wanted = [];
    const finest = Math.max(0, Math.floor(-Math.log2(scale) + 0.001));
    // The coarser squares first: they show until the finer ones are there.
    for (let zoom = slide.zooms; zoom >= finest; zoom--) this.drawSquares(context, seen, zoom, zoom === finest ? wanted : null);
    if (this.heat && this.opacity > 0) {
      context.globalAlpha = this.opacity;
      context.drawImage(this.heat, 0, 0, slide.width, slide.height);
      context.globalAlpha = 1;
    }
    this.wanted = wanted;
    this.fetch();
    this.measure();
  }

  drawSquares(context, [x0, y0, x1, y1], zoom, wanted) {
    const { slide } = this;
    const side = slide.pane * 2 ** zoom;
    const last = [Math.ceil(slide.width / side) - 1, Math.ceil(slide.height / side) - 1];
    const to = [Math.min(Math.floor(x1 / side), last[0]), Math.min(Math.floor(y1 / side), last[1])];
    for (let row = Math.max(0, Math.floor(y0 / side)); row <= to[1]; row++) {
      for (let column = Math.max(0, Math.floor(x0 / side)); column <= to[0]; column++) {
        const address = `${this.at}/panes/${zoom}/${column}/${row}.jpg`;
        const bitmap = this.squares.get(address);
        const [left, top] = [column * side, row * side];
        const [width, height] = [Math.min(side, slide.width - left), Math.min(side, slide.height - top)];
        if (bitmap) context.drawImage(bitmap, left, top, width, height);
        else if (wanted && bitmap === undefined) {
          wanted.push([Math.hypot(left + side / 2 - this.middle[0], top + side / 2 - this.middle[1]), address]);
        }
      }
    }
    wanted?.sort((a, b) => a[0] - b[0]);
  }

  // Asks for the squares that are wanted now, the middle ones first.
  async fetch() {
    while (this.running < AT_ONCE && this.wanted.length) {
      const [, address] = this.wanted.shift();
      if (this.squares.has(address)) continue;
      this.squares.set(address, null);
      this.running += 1;
      this.load(address).finally(() => {
        this.running -= 1;
        this.fetch();
      });
    }
  }

  async load(address) {
    const answer = await fetch(address).catch(() => null);
    if (!answer?.ok) {
      // What is broken stays as the overview shows it; what was refused for now is asked for again.
      if (!answer || answer.status === 429 || answer.status >= 500) setTimeout(() => { this.squares.delete(address); this.paint(); }, 2000);
      else this.dispatchEvent(new Event("broken"));
      return;
    }
    this.squares.set(address, await createImageBitmap(await answer.blob()));
    while (this.squares.size > KEPT) this.squares.delete(this.squares.keys().next().value);
    this.paint();
  }

  // A bar of round length, and how large things are shown.
  measure() {
    const micron = this.scale / this.sharp / this.slide.microns; // CSS pixels
    const most = 140 / micron;
    const ten = 10 ** Math.floor(Math.log10(most));
    const length = ten * (most >= 5 * ten ? 5 : most >= 2 * ten ? 2 : 1);
    this.ruler.style.width = `${length * micron}px`;
    this.ruler.textContent = length >= 1000 ? `${length / 1000} mm` : `${length} µm`;
    this.dispatchEvent(new Event("moved"));
  }

  // What an objective would be called that shows this much: 0.25 µm a pixel is 40×.
  get magnification() {
    return (10 * this.scale) / this.sharp / this.slide.microns;
  }

  listen() {
    const at = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [(event.clientX - box.left) * this.sharp, (event.clientY - box.top) * this.sharp];
    };
    this.stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(2 ** (-event.deltaY / (event.deltaMode ? 12 : 300)), at(event));
    }, { passive: false });
    this.stage.addEventListener("dblclick", (event) => this.zoomBy(2, at(event)));
    this.stage.addEventListener("pointerdown", (event) => {
      this.stage.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, at(event));
    });
    this.stage.addEventListener("pointermove", (event) => {
      const before = this.pointers.get(event.pointerId);
      if (!before || !this.slide) return;
      const now = at(event);
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
      if (other) {
        const apart = ([x, y]) => Math.hypot(x - other[0], y - other[1]) || 1;
        this.zoomBy(apart(now) / apart(before), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
      } else this.moveBy(now[0] - before[0], now[1] - before[1]);
      this.pointers.set(event.pointerId, now);
    });
    for (const end of ["pointerup", "pointercancel"]) this.stage.addEventListener(end, (event) => this.pointers.delete(event.pointerId));
  }
}
