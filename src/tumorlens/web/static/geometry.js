// Where slices lie in the patient: from a place in a slice, in fractions of it, to mm, and back.

const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];

// Whether it is known where a slice lies.
export const isPlaced = (slice) => Boolean(slice?.position && slice.orientation && slice.spacing);

// Whether two slices lie in one space, so that a place in one is a place in the other.
export const inOneSpace = (one, other) => isPlaced(one) && isPlaced(other) && one.space !== "" && one.space === other.space;

export function pointOf(slice, [x, y]) {
  const [along, down] = [slice.orientation.slice(0, 3), slice.orientation.slice(3)];
  const [right, below] = [(x * slice.width - 0.5) * slice.spacing[1], (y * slice.height - 0.5) * slice.spacing[0]];
  return slice.position.map((p, i) => p + along[i] * right + down[i] * below);
}

export function fractionsOf(slice, point) {
  const from = point.map((p, i) => p - slice.position[i]);
  const [along, down] = [slice.orientation.slice(0, 3), slice.orientation.slice(3)];
  return [(dot(from, along) / slice.spacing[1] + 0.5) / slice.width, (dot(from, down) / slice.spacing[0] + 0.5) / slice.height];
}

// How far a point lies from a slice's plane, mm.
export function distance(slice, point) {
  const normal = cross(slice.orientation.slice(0, 3), slice.orientation.slice(3));
  return Math.abs(dot(point.map((p, i) => p - slice.position[i]), normal));
}

// The slice that a point is nearest to; null where none has a place in its space.
export function nearest(slices, point, like) {
  const known = slices.filter((slice) => inOneSpace(slice, like));
  return known.length ? known.reduce((a, b) => (distance(b, point) < distance(a, point) ? b : a)) : null;
}
