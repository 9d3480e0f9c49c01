// An outline that can be changed: a polygon whose points are dragged, added and taken away, or a brush that adds and takes
// off. It is a tool of the viewer's: it is told where pointers go, and draws its handles over the picture.

const REACH = 14; // pixels within which a point, or the line, is taken hold of
const SIDE = 256; // of the grid that the brush paints on, along the longer side
const KEPT = 100; // steps that can be undone

export class OutlineTool extends EventTarget {
  constructor(viewer) {
    super();
    this.viewer = viewer;
    this.mode = "points"; // "points", "paint" or "rub"
    this.size = 0.03; // radius of the brush, as a share of the longer side
    this.points = [];
    this.past = [];
    this.held = -1;
    this.chosen = -1;
    this.at = null;
    this.under = null; // the tool in whose place it is; what that has drawn stays
  }

  // Another slice, with its outline and what of it can be undone.
  open(points, past) {
    const nothing = !points.length && !this.points.length && this.viewer.tool !== this;
    Object.assign(this, { points, past, held: -1, chosen: -1, at: null });
    if (!nothing) this.put(points, false);
  }

  // Puts another outline in place of what there is; it can be undone.
  change(points) {
    this.remember();
    this.put(points);
  }

  remember() {
    this.past.push(this.points);
    if (this.past.length > KEPT) this.past.shift();
  }

  undo() {
    if (!this.past.length) return;
    this.chosen = -1;
    this.put(this.past.pop());
  }

  put(points, tell = true) {
    this.points = this.viewer.outline = points;
    this.viewer.paint();
    if (tell) this.dispatchEvent(new Event("change"));
  }

  // Takes the point that was touched last away.
  removePoint() {
    if (this.chosen < 0 || this.chosen >= this.points.length) return;
    const rest = this.points.filter((_, i) => i !== this.chosen);
    this.chosen = -1;
    this.change(rest.length < 3 ? [] : rest);
  }

  // Moves it by so many pixels of the scan.
  nudge(dx, dy) {
    if (this.chosen < 0) return;
    const { width, height } = this.viewer.slice;
    const [x, y] = this.points[this.chosen];
    this.change(this.points.with(this.chosen, [share(x + dx / width), share(y + dy / height)]));
  }

  // The viewer's: a pointer goes down, moves, goes up; `at` is where, in fractions.

  down(at, slice) {
    this.at = [share(at.x), share(at.y)];
    if (this.mode !== "points") {
      this.remember();
      this.brush = new Brush(this.points, slice, this.size);
      this.stroke();
      return true;
    }
    const near = this.nearest(this.at);
    this.remember();
    if (near.point >= 0) this.held = near.point;
    else {
      const place = near.edge >= 0 ? near.edge + 1 : this.points.length;
      this.points = this.points.toSpliced(place, 0, this.at);
      this.held = place;
    }
    this.chosen = this.held;
    this.viewer.outline = this.points;
    this.viewer.paint();
    return true;
  }

  move(at) {
    this.at = [share(at.x), share(at.y)];
    if (!this.viewer.measuring) this.up(); // the pointer went up where the picture is not
    if (this.brush) this.stroke();
    else if (this.held >= 0) {
      this.points = this.points.with(this.held, this.at);
      this.viewer.outline = this.points;
    }
    return true;
  }

  up() {
    const changed = this.brush || this.held >= 0;
    if (this.brush && this.points.length < 3) this.points = [];
    this.brush = null;
    this.held = -1;
    if (changed) this.put(this.points);
  }

  stroke() {
    this.brush.dab(this.at, this.mode === "rub");
    this.points = this.viewer.outline = this.brush.outline();
  }

  // The point and the piece of the line that a place is at, by their numbers; -1 where it is at none.
  nearest(at) {
    const near = { point: -1, edge: -1 };
    if (!this.onto) return near;
    const place = this.onto(at);
    const dots = this.points.map(this.onto);
    let best = REACH * this.ratio;
    dots.forEach((dot, i) => {
      const away = Math.hypot(dot[0] - place[0], dot[1] - place[1]);
      if (away < best) [best, near.point] = [away, i];
    });
    if (near.point >= 0 || dots.length < 3) return near;
    dots.forEach((dot, i) => {
      const away = toPiece(place, dot, dots[(i + 1) % dots.length]);
      if (away < best) [best, near.edge] = [away, i];
    });
    return near;
  }

  paint(context, onto, ratio, slice) {
    Object.assign(this, { onto, ratio });
    this.under?.paint?.(context, onto, ratio, slice);
    context.lineWidth = 1.5 * ratio;
    if (this.mode === "points") {
      this.points.forEach((point, i) => {
        const [x, y] = onto(point);
        context.beginPath();
        context.arc(x, y, 5 * ratio, 0, 2 * Math.PI);
        context.fillStyle = i === this.chosen ? "#fff04d" : "#000c";
        context.fill();
        context.strokeStyle = "#fff04d";
        context.stroke();
      });
    } else if (this.at) {
      const [x, y] = onto(this.at);
      const reach = this.size * Math.max(slice.width, slice.height);
      const across = Math.abs(onto([reach / slice.width, 0])[0] - onto([0, 0])[0]);
      const down = Math.abs(onto([0, reach / slice.height])[1] - onto([0, 0])[1]);
      context.beginPath();
      context.ellipse(x, y, across, down, 0, 0, 2 * Math.PI);
      context.strokeStyle = this.mode === "rub" ? "#ff8a7a" : "#fff04d";
      context.stroke();
    }
  }
}

const share = (v) => Math.min(1, Math.max(0, v));

// A grid that is painted on, and the outline of the largest patch on it.
class Brush {
  constructor(points, { width, height }, size) {
    const scale = SIDE / Math.max(width, height);
    this.width = Math.max(1, Math.round(width * scale));
    this.height = Math.max(1, Math.round(height * scale));
    this.radius = Math.max(1, size * SIDE);
    this.context = new OffscreenCanvas(this.width, this.height).getContext("2d", { willReadFrequently: true });
    if (points.length > 2) {
      this.context.beginPath();
      points.forEach(([x, y]) => this.context.lineTo(x * this.width, y * this.height));
      this.context.fill();
    }
  }

  // A dab, joined to the one before.
  dab([x, y], rub) {
    const place = [x * this.width, y * this.height];
    const { context } = this;
    context.globalCompositeOperation = rub ? "destination-out" : "source-over";
    context.lineCap = "round";
    context.lineWidth = 2 * this.radius;
    context.beginPath();
    context.moveTo(...(this.last ?? place));
    context.lineTo(place[0], place[1] + 0.001);
    context.stroke();
    this.last = place;
  }

  outline() {
    const pixels = this.context.getImageData(0, 0, this.width, this.height).data;
    const filled = Uint8Array.from({ length: this.width * this.height }, (_, i) => (pixels[4 * i + 3] > 127 ? 1 : 0));
    const corners = borderOf(largest(filled, this.width), this.width, this.height);
    return simplified(corners.map(([x, y]) => [x / this.width, y / this.height]), 1 / SIDE);
  }
}

// The largest patch of a grid of 0 and 1, neighbours being those beside and above each other.
export function largest(filled, width) {
  const label = new Int32Array(filled.length);
  let [best, most, next] = [0, 0, 0];
  for (let start = 0; start < filled.length; start++) {
    if (!filled[start] || label[start]) continue;
    const stack = [start];
    label[start] = ++next;
    let size = 0;
    while (stack.length) {
      const i = stack.pop();
      size++;
      const beside = [i - width, i + width, ...(i % width ? [i - 1] : []), ...((i + 1) % width ? [i + 1] : [])];
      for (const j of beside) {
        if (!filled[j] || label[j]) continue;
        label[j] = next;
        stack.push(j);
      }
    }
    if (size > most) [best, most] = [next, size];
  }
  return label.map((l) => (best && l === best ? 1 : 0));
}

// The corners along the outer border of a patch, which stays at the right hand.
export function borderOf(patch, width, height) {
  const inside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && patch[y * width + x];
  const first = patch.indexOf(1);
  if (first < 0) return [];
  const start = [first % width, Math.floor(first / width)];
  const ways = [[1, 0], [0, 1], [-1, 0], [0, -1]]; // right, down, left, up
  const right = [[0, 0], [-1, 0], [-1, -1], [0, -1]]; // the pixel ahead at the right hand, from a corner
  const left = [[0, -1], [0, 0], [-1, 0], [-1, -1]];
  const corners = [];
  let [x, y] = start;
  let way = 0;
  do {
    corners.push([x, y]);
    x += ways[way][0];
    y += ways[way][1];
    if (!inside(x + right[way][0], y + right[way][1])) way = (way + 1) % 4;
    else if (inside(x + left[way][0], y + left[way][1])) way = (way + 3) % 4;
  } while (x !== start[0] || y !== start[1] || corners.length < 3);
  return corners;
}

// An outline with as few points as keep it within a distance (Douglas and Peucker), both in fractions.
export function simplified(points, distance) {
  if (points.length < 5) return points;
  const keep = new Uint8Array(points.length);
  const closed = [...points, points[0]];
  const middle = points.length >> 1;
  keep[0] = keep[middle] = 1;
  const stack = [[0, middle], [middle, points.length]];
  while (stack.length) {
    const [from, to] = stack.pop();
    let [worst, most] = [-1, distance];
    for (let i = from + 1; i < to; i++) {
      const away = toPiece(closed[i], closed[from], closed[to]);
      if (away > most) [worst, most] = [i, away];
    }
    if (worst < 0) continue;
    keep[worst] = 1;
    stack.push([from, worst], [worst, to]);
  }
  const kept = points.filter((_, i) => keep[i]);
  return kept.length < 3 ? points : kept;
}

// How far a place lies from a straight piece.
function toPiece([x, y], [ax, ay], [bx, by]) {
  const [dx, dy] = [bx - ax, by - ay];
  const along = dx || dy ? share(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy)) : 0;
  return Math.hypot(x - ax - along * dx, y - ay - along * dy);
}
