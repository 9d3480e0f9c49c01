// A slice's pictures: its pixels, window and heat, as canvases.

// Matplotlib's colour map "inferno", 256 x RGB: even steps of heat look like even steps, also to the colour-blind.
const INFERNO = Uint8Array.from(
  atob(
    "AAAEAQAFAQEGAQEIAgEKAgIMAgIOAwIQBAMSBAMUBQQXBgQZBwUbCAUdCQYfCgciCwckDAgmDQgpDgkrEAktEQowEgoyFAs0FQs3Fgs5GAw8GQw+GwxBHAxDHgxFHwxIIQxKIwxMJAxPJgxRKAtTKQtVKwtXLQtZLwpbMQpcMgpeNApfNglhOAliOQljOwlkPQllPglmQApnQgpoRApoRQppRwtqSQtqSgxrTAxrTQ1sTw1sUQ5sUg5tVA9tVQ9tVxBuWRBuWhFuXBJuXRJuXxNuYRNuYhRuZBVuZRVuZxZuaRZuahdubBhubRhubxlucRluchpudBpudRtudxxteBxteh1tfB1tfR5tfx5sgB9sgiBshCBrhSFrhyFriCJqiiJqjCNpjSNpjyRpkCVokiVokyZnlSZnlydmmCdmmihlmylknSlknypjoCpjoitioyxhpSxgpi1gqC5fqS5eqy9erTBdrjBcsDFbsTJaszJatDNZtjRYtzVXuTVWujZVvDdUvThTvzlSwDpRwTpQwztPxDxOxj1Nxz5MyD9LykBKy0FJzEJIzkNHz0RG0EVF0kZE00dD1EhC1UpB10s/2Ew+2U092k4821A73VE63lI431M34FU24VY14lc041kz5Fox5Vww5l0v514u6GAt6WEr6mMq62Qp62Yo7Gcm7Wkl7mok72wj724h8G8g8XEf8XMd8nQc83Yb83gZ9HkY9XsX9X0V9n4U9oAT94IS94QQ+IUP+IcO+IkM+YsL+YwK+Y4J+pAI+pIH+pQH+5YG+5cG+5kG+5sG+50H/J8H/KEI/KMJ/KUK/KYM/KgN/KoP/KwR/K4S/LAU/LIW/LQY+7Ya+7gd+7of+7wh+74j+sAm+sIo+sQq+sYt+ccv+cky+cs1+M03+M8699E999NA9tVD9tdG9dlJ9dtM9N1P9N9T9OFW8+Na8+Vd8uZh8uhl8upp8ext8e1x8e918fF58vJ98vSC8/WG8/aK9PiO9fmS9vqW+Pua+fyd+v2h/P+k",
  ),
  (c) => c.charCodeAt(0),
);

const KEPT = 24; // slices whose pictures stay in memory

export class Pictures {
  constructor() {
    this.cache = new Map();
  }

  // What there is to draw of a slice: {scan, values}; fetched once, kept for a while.
  async of(slice) {
    return this.keep(`slice ${slice.number}`, async () => {
      const [scan, values] = await Promise.all([loadImage(slice.scan), slice.values ? loadValues(slice) : null]);
      return { scan, values };
    });
  }

  // The heat for a class as grey steps: {width, height, steps}.
  async heat(slice, key) {
    return this.keep(`heat ${slice.number} ${key}`, async () => {
      const image = await loadImage(slice.heat[key]);
      const canvas = new OffscreenCanvas(image.width, image.height);
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      const pixels = context.getImageData(0, 0, image.width, image.height).data;
      const steps = new Uint8Array(image.width * image.height);
      for (let i = 0; i < steps.length; i++) steps[i] = pixels[4 * i];
      return { width: image.width, height: image.height, steps };
    });
  }

  keep(key, load) {
    let picture = this.cache.get(key);
    if (!picture) {
      picture = load();
      picture.catch(() => this.cache.delete(key));
    }
    this.cache.delete(key);
    this.cache.set(key, picture);
    while (this.cache.size > KEPT * 2) this.cache.delete(this.cache.keys().next().value);
    return picture;
  }
}

async function loadImage(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error("the picture is gone");
  return createImageBitmap(await answer.blob());
}

async function loadValues(slice) {
  const answer = await fetch(slice.scan.replace(/scan\.png$/, "values"));
  if (!answer.ok) return null;
  return new Uint16Array(await answer.arrayBuffer());
}

// The scan as a canvas, through a window {level, width} in the file's own units; null shows it as its file says.
export function drawScan(slice, { scan, values }, window) {
  if (!values || !window) return scan;
  const { low, high, inverted } = slice.values;
  const canvas = new OffscreenCanvas(slice.width, slice.height);
  const image = new ImageData(slice.width, slice.height);
  const scale = (high - low) / 65535;
  const black = window.level - window.width / 2;
  const grey = new Uint8ClampedArray(65536);
  for (let i = 0; i < 65536; i++) {
    const shown = (255 * (low + i * scale - black)) / window.width;
    grey[i] = inverted ? 255 - Math.max(0, Math.min(255, shown)) : shown;
  }
  const out = image.data;
  for (let i = 0; i < values.length; i++) {
    out[4 * i] = out[4 * i + 1] = out[4 * i + 2] = grey[values[i]];
    out[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

// Heat in colours. Over a scan it shows in proportion to itself, as in the overlays that the command line draws.
export function drawHeat({ width, height, steps }, over) {
  const canvas = new OffscreenCanvas(width, height);
  const image = new ImageData(width, height);
  const out = image.data;
  for (let i = 0; i < steps.length; i++) {
    const step = steps[i];
    out[4 * i] = INFERNO[3 * step];
    out[4 * i + 1] = INFERNO[3 * step + 1];
    out[4 * i + 2] = INFERNO[3 * step + 2];
    out[4 * i + 3] = over ? 255 * Math.sqrt(step / 255) : 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
