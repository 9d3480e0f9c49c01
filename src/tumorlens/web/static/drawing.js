// What is drawn over pictures: lines, scale, colour bar, crosshair.

import { INFERNO } from "./pictures.js";

// Empties a canvas that shall have some size. Only another size makes it anew, which takes long.
export function empty(canvas, [width, height]) {
  if (canvas.width === width && canvas.height === height) canvas.getContext("2d").clearRect(0, 0, width, height);
  else Object.assign(canvas, { width, height });
}

export function line(context, points, colour, width, closed) {
  context.beginPath();
  points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  if (closed) context.closePath();
  stroke(context, colour, width);
}

// Strokes the path with a dark edge, so that it stands out from white tissue too.
export function stroke(context, colour, width) {
  context.lineJoin = "round";
  context.lineWidth = width * 2;
  context.strokeStyle = "#000a";
  context.stroke();
  context.lineWidth = width;
  context.strokeStyle = colour;
  context.stroke();
}

export function words(context, text, x, y, ratio, colour = "#fff", align = "left") {
  context.font = `${12 * ratio}px system-ui, sans-serif`;
  context.textAlign = align;
  context.lineWidth = 3 * ratio;
  context.strokeStyle = "#000c";
  context.strokeText(text, x, y);
  context.fillStyle = colour;
  context.fillText(text, x, y);
}

export function scaleBar(context, [right, bottom], room, perMm, ratio) {
  const length = [100, 50, 20, 10, 5, 2, 1].find((mm) => mm * perMm < room / 3) ?? 1;
  const [x, y] = [right - length * perMm - 14 * ratio, bottom - 14 * ratio];
  context.fillStyle = "#fff";
  context.fillRect(x, y, length * perMm, 2 * ratio);
  words(context, `${length} mm`, right - 14 * ratio, y - 5 * ratio, ratio, "#fff", "right");
}

// The colours of the heat, from nothing to its peak, with the threshold below which it is not drawn (0 to 1).
export function colourBar(context, [right, top], room, threshold, ratio, peak) {
  const [height, width] = [Math.min(150 * ratio, room * 0.4), 9 * ratio];
  const x = right - width - 12 * ratio;
  const gradient = context.createLinearGradient(0, top + height, 0, top);
  for (let i = 0; i <= 16; i++) {
    const step = Math.round((i / 16) * 255);
    gradient.addColorStop(i / 16, `rgb(${INFERNO[3 * step]} ${INFERNO[3 * step + 1]} ${INFERNO[3 * step + 2]})`);
  }
  context.fillStyle = gradient;
  context.fillRect(x, top, width, height);
  context.strokeStyle = "#fff8";
  context.lineWidth = ratio;
  context.strokeRect(x, top, width, height);
  words(context, peak, x - 5 * ratio, top + 10 * ratio, ratio, "#fff", "right");
  words(context, "none", x - 5 * ratio, top + height, ratio, "#fff", "right");
  if (!threshold) return;
  const y = top + height * (1 - threshold);
  context.fillStyle = "#fff";
  context.fillRect(x - 4 * ratio, y - ratio, width + 8 * ratio, 2 * ratio);
}

export function cross(context, x, y, [left, top, right, bottom], ratio) {
  context.fillStyle = "#4dd9ccb0";
  const [gap, width] = [9 * ratio, Math.max(1, ratio)];
  for (const [from, to] of [[left, x - gap], [x + gap, right]]) if (to > from) context.fillRect(from, y - width / 2, to - from, width);
  for (const [from, to] of [[top, y - gap], [y + gap, bottom]]) if (to > from) context.fillRect(x - width / 2, from, width, to - from);
}
