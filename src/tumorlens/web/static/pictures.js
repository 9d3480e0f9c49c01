// A slice's pictures: its pixels, window and heat, as canvases.

// Matplotlib's colour map "inferno", 256 x RGB: even steps of heat look like even steps, also to the colour-blind.
export const INFERNO = Uint8Array.from(
  atob(
    "AAAEAQAFAQEGAQEIAgEKAgIMAgIOAwIQBAMSBAMUBQQXBgQZBwUbCAUdCQYfCgciCwckDAgmDQgpDgkrEAktEQowEgoyFAs0FQs3Fgs5GAw8GQw+GwxBHAxDHgxFHwxIIQxKIwxMJAxPJgxRKAtTKQtVKwtXLQtZLwpbMQpcMgpeNApfNglhOAliOQljOwlkPQllPglmQApnQgpoRApoRQppRwtqSQtqSgxrTAxrTQ1sTw1sUQ5sUg5tVA9tVQ9tVxBuWRBuWhFuXBJuXRJuXxNuYRNuYhRuZBVuZRVuZxZuaRZuahdubBhubRhubxlucRluchpudBpudRtudxxteBxteh1tfB1tfR5tfx5sgB9sgiBshCBrhSFrhyFriCJqiiJqjCNpjSNpjyRpkCVokiVokyZnlSZnlydmmCdmmihlmylknSlknypjoCpjoitioyxhpSxgpi1gqC5fqS5eqy9erTBdrjBcsDFbsTJaszJatDNZtjRYtzVXuTVWujZVvDdUvThTvzlSwDpRwTpQwztPxDxOxj1Nxz5MyD9LykBKy0FJzEJIzkNHz0RG0EVF0kZE00dD1EhC1UpB10s/2Ew+2U092k4821A73VE63lI431M34FU24VY14lc041kz5Fox5Vww5l0v514u6GAt6WEr6mMq62Qp62Yo7Gcm7Wkl7mok72wj724h8G8g8XEf8XMd8nQc83Yb83gZ9HkY9XsX9X0V9n4U9oAT94IS94QQ+IUP+IcO+IkM+YsL+YwK+Y4J+pAI+pIH+pQH+5YG+5cG+5kG+5sG+50H/J8H/KEI/KMJ/KUK/KYM/KgN/KoP/KwR/K4S/LAU/LIW/LQY+7Ya+7gd+7of+7wh+74j+sAm+sIo+sQq+sYt+ccv+cky+cs1+M03+M8699E999NA9tVD9tdG9dlJ9dtM9N1P9N9T9OFW8+Na8+Vd8uZh8uhl8upp8ext8e1x8e918fF58vJ98vSC8/WG8/aK9PiO9fmS9vqW+Pua+fyd+v2h/P+k",
  ),
  (c) => c.charCodeAt(0),
);

const KEPT = 96; // pictures and heat maps that stay in memory

export class Pictures {
  constructor() {
    this.cache = new Map();
  }

  // What there is to draw of a slice: {scan} its picture, or {values} the numbers behind it; fetched once, kept for a while.
  of(slice) {
    return this.keep(slice.scan, async () =>
      slice.values ? { values: await loadValues(slice) } : { scan: await loadImage(slice.scan) },
    ).picture;
  }

  // The heat for a class as grey steps: {width, height, steps}; null without evidence that has a place, as for "no tumour".
  heat(slice, key) {
    if (!slice.evidence[key]) return Promise.resolve(null);
    return this.keep(slice.heat[key], async () => {
      const image = await loadImage(slice.heat[key]);
      const canvas = new OffscreenCanvas(image.width, image.height);
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      const pixels = context.getImageData(0, 0, image.width, image.height).data;
      const steps = new Uint8Array(image.width * image.height);
      for (let i = 0; i < steps.length; i++) steps[i] = pixels[4 * i];
      return { width: image.width, height: image.height, steps };
    }).picture;
  }

  // What is at hand of a slice, at once: {shown, heat}; null if it must be fetched first.
  ready(slice, key) {
    const shown = this.cache.get(slice.scan)?.here;
    const heat = slice.evidence[key] ? this.cache.get(slice.heat[key])?.here : null;
    return shown && heat !== undefined ? { shown, heat } : null;
  }

  keep(key, load) {
    const kept = this.cache.get(key) ?? {};
    kept.picture ??= load();
    kept.picture.then((here) => (kept.here = here), () => this.cache.delete(key));
    this.cache.delete(key);
    this.cache.set(key, kept);
    while (this.cache.size > KEPT) this.cache.delete(this.cache.keys().next().value);
    return kept;
  }
}

async function load(address) {
  let answer;
  try {
    answer = await fetch(address);
  } catch {
    throw new Error("The server is not reached. Is it running?");
  }
  if (!answer.ok) throw new Error("The picture is gone; the case may have been deleted or begun again.");
  return answer;
}

async function loadImage(address) {
  return createImageBitmap(await (await load(address)).blob());
}

async function loadValues(slice) {
  const answer = await load(slice.scan.replace(/scan\.png$/, "values"));
  return new Uint16Array(await answer.arrayBuffer());
}

// A volume's numbers, by its address.
export async function loadVolume(address, Numbers) {
  return new Numbers(await (await load(address)).arrayBuffer());
}

// Grey, 0 to 255, of each of 65,536 steps between two values, through a window {level, width} in the file's own units.
export function greys({ low, high, inverted }, { level, width }) {
  const scale = (high - low) / 65535;
  const black = level - width / 2;
  const grey = new Uint8ClampedArray(65536);
  for (let i = 0; i < 65536; i++) {
    const shown = (255 * (low + i * scale - black)) / width;
    grey[i] = inverted ? 255 - Math.max(0, Math.min(255, shown)) : shown;
  }
  return grey;
}

// A canvas of a size: one that is there already, where it fits.
const canvasFor = (there, width, height) =>
  there instanceof OffscreenCanvas && there.width === width && there.height === height ? there : new OffscreenCanvas(width, height);

// The scan as something to draw, through a window; in a canvas that is there already, where it fits.
export function drawScan(slice, { scan, values }, window, there) {
  if (!values) return scan;
  const { black, white } = slice.values;
  const grey = greys(slice.values, window ?? { level: (black + white) / 2, width: Math.max(white - black, 1e-6) });
  const canvas = canvasFor(there, slice.width, slice.height);
  const image = new ImageData(slice.width, slice.height);
  const out = new Uint32Array(image.data.buffer);
  for (let i = 0; i < values.length; i++) out[i] = 0xff000000 | (grey[values[i]] * 0x010101);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

// The colour of each of 256 steps of heat, as a pixel's bytes; nothing below a threshold (0 to 255). Over a scan heat shows in
// proportion to itself, as in the overlays that the command line draws.
export function heatColours(over, threshold = 0) {
  const bytes = new Uint8ClampedArray(4 * 256);
  for (let step = 0; step < 256; step++) {
    for (let c = 0; c < 3; c++) bytes[4 * step + c] = INFERNO[3 * step + c];
    bytes[4 * step + 3] = over ? (step < threshold ? 0 : 255 * Math.sqrt(step / 255)) : 255;
  }
  return new Uint32Array(bytes.buffer);
}

// Heat in colours; in a canvas that is there already, where it fits.
export function drawHeat({ width, height, steps }, over, threshold = 0, there = null) {
  const colours = heatColours(over, threshold);
  const canvas = canvasFor(there, width, height);
  const image = new ImageData(width, height);
  const out = new Uint32Array(image.data.buffer);
  for (let i = 0; i < steps.length; i++) out[i] = colours[steps[i]];
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
