"""The head that phantoms are slices of: the MNI152 brain with a drawn skull, scalp, face and neck around it.

The head is one volume of material numbers, not of grey values. A contrast is a table from material to grey
value, so that T1, T2 and FLAIR pictures, each with its own jitter, come from the same 3 MB.

Coordinates are MNI's, in mm: x to the right, y to the front, z to the top; the anterior commissure is about (0, 0, 0).

Source of the brain: ICBM 152 nonlinear symmetric template 2009a (Fonov et al., NeuroImage 54, 2011,
doi:10.1016/j.neuroimage.2010.07.033), as the nilearn package carries it. Everything outside the brain is drawn here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tumorlens.errors import needs_extra
from tumorlens.phantoms.tissue import BRAIN_LEVELS, NUMBER, ORIGIN, SHADES, SHAPE, STEP, Floats

Point = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Head:
    """The head, once per process.

    Attributes:
        material: `SHAPE` uint8, the number of each voxel's material.
        depth: Coarse grid (every second voxel) float32, mm from the inner table of the skull, positive inside.
        white: (N, 3) float32, mm: places deep in the white matter of the cerebrum.
    """

    material: NDArray[np.uint8]
    depth: Floats
    white: Floats


@lru_cache(maxsize=1)
def head() -> Head:
    """Builds the head; later calls return the same one.

    Raises:
        MissingExtra: If nilearn, which carries the template, is not installed.
    """
    t1, white = _template()
    brain = t1 > 0
    depth, skin, base = _surfaces(brain[::2, ::2, ::2])
    rng = np.random.default_rng(152)
    grain, streaks, waves = _noise(rng, 2.0), _noise(rng, 5.0), _noise(rng, 20.0)

    paint = _Painter(grain)
    depth_here, skin_here = _finer(depth), _finer(skin)
    _draw_shells(paint, depth_here, skin_here, _finer(base), streaks, waves)
    _draw_face(paint)
    _draw_base(paint)
    _ruffle(paint.volume, rng)
    _draw_skin(paint, skin_here)
    _draw_brain(paint, t1, depth_here, streaks)

    x, y, z = np.meshgrid(*_axes(2), indexing="ij", sparse=True)
    places = (white[::2, ::2, ::2] > 0.8) & (depth > 12) & (abs(x) > 12) & (z > -26) & (y > -80)
    centres = np.argwhere(places).astype(np.float32) * (2 * STEP) + ORIGIN.astype(np.float32)
    return Head(paint.volume, depth, centres)


def _template() -> tuple[Floats, Floats]:
    """The template's T1 values and white matter, both in [0, 1], on the head's grid; 0 outside the brain."""
    with needs_extra("phantoms", "train"):
        from nilearn import datasets
    resampled = []
    for image in (datasets.load_mni152_template(resolution=1), datasets.load_mni152_wm_template(resolution=1)):
        voxels = np.asarray(image.dataobj, np.float32)
        start = (ORIGIN - image.affine[:3, 3]) / image.affine[0, 0]
        resampled.append(
            ndimage.affine_transform(
                voxels, np.full(3, STEP / image.affine[0, 0]), start, SHAPE, np.float32, order=1, prefilter=False
            )
        )
    return resampled[0], resampled[1]


def _axes(stride: int = 1) -> Iterator[Floats]:
    for start, length in zip(ORIGIN, SHAPE, strict=True):
        yield (start + STEP * np.arange(0, length, stride)).astype(np.float32)


def _finer(coarse: Floats) -> Floats:
    """Doubles the grid by linear interpolation: (n, …) to (2n - 1, …)."""
    for axis in range(3):
        coarse = np.moveaxis(coarse, axis, 0)
        fine = np.empty((2 * len(coarse) - 1, *coarse.shape[1:]), np.float32)
        fine[::2] = coarse
        fine[1::2] = (coarse[1:] + coarse[:-1]) / 2
        coarse = np.moveaxis(fine, 0, axis)
    return np.ascontiguousarray(coarse)


def _noise(rng: np.random.Generator, size: float) -> Floats:
    """Smooth noise of unit variance on the head's grid, with grains of about `size` mm."""
    coarse = rng.standard_normal([n // 2 + 1 for n in SHAPE], dtype=np.float32)
    fine = _finer(ndimage.gaussian_filter(coarse, size / 2 / STEP / 2))
    noise: Floats = fine / fine.std()
    return noise


def _distance(inside: NDArray[np.bool_]) -> Floats:
    """Signed distance to the border of a mask on the coarse grid, in mm, negative inside."""
    outer: NDArray[np.float64] = ndimage.distance_transform_edt(~inside) - ndimage.distance_transform_edt(inside)
    return (outer * 2 * STEP).astype(np.float32)


def _closed(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """The mask with gaps narrower than twice `radius` mm filled."""
    edge = int(radius / 2 / STEP) + 1
    grown = ndimage.distance_transform_edt(~np.pad(mask, edge)) * 2 * STEP < radius
    shrunk = ndimage.distance_transform_edt(grown) * 2 * STEP >= radius
    cut: NDArray[np.bool_] = shrunk[edge:-edge, edge:-edge, edge:-edge]
    return cut


def _surfaces(brain: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Depth below the inner table, and signed distances to the skin and to the bone of the skull's base."""
    x, y, z = np.meshgrid(*_axes(2), indexing="ij", sparse=True)
    hull = _distance(_closed(brain, 8))
    hull = ndimage.gaussian_filter(hull, 1.0)
    wide = _distance(_closed(brain, 30))
    wide = ndimage.gaussian_filter(wide, 1.5)

    cranium = wide - np.interp(z, [-60, 0, 60], [13.5, 12.5, 11.5]).astype(np.float32)
    front = np.interp(z, [-132, -118, -106, -98, -92, -60, -42, -20, 0, 20], [84, 91, 88, 95, 93, 86, 82, 87, 84, 60])
    half = np.interp(z, [-132, -100, -60, -30, 0], [52, 60, 69, 70, 60])
    reach = np.where(y > 5, front - 5, 70)
    face = ((abs(x) / half) ** 2.3 + (abs(y - 5) / reach) ** 2.3) ** (1 / 2.3) - 1
    face = np.maximum(face * 60, z - 5)
    bridge = np.interp(z, [-86, -84, -76, -70, -42, -36], [80, 98, 109, 111, 86, 76])
    wing = np.interp(z, [-84, -76, -60, -40], [17, 17, 11, 6])
    nose = np.maximum(y - bridge + abs(x) * 1.1, np.maximum(np.maximum(abs(x) - wing, 70 - y), z + 38))
    back = np.interp(z, [-132, -100, -70, -50], [-88, -92, -98, -90])
    neck = np.hypot(x / 60, (y + 28) / np.where(y < -28, -28 - back, 50)) - 1
    neck = np.maximum(neck * 60, z + 45)
    inside = -8 * np.log(np.exp(-cranium / 8) + np.exp(-face / 8) + np.exp(-neck / 8)) < -1.5
    inside |= nose < 0
    skin = ndimage.gaussian_filter(_distance(inside), 1.1)
    ear = np.sqrt(((abs(x) - 80 - (-22 - y) * 0.35) / 4) ** 2 + ((y + 22) / 14) ** 2 + ((z + 48) / 24) ** 2)
    skin = np.minimum(skin, (ear - 1) * 4)
    return (2.5 - hull).astype(np.float32), skin.astype(np.float32), wide.astype(np.float32)


class _Painter:
    """Puts materials into the volume: the last coat wins."""

    def __init__(self, grain: Floats) -> None:
        self.volume = np.full(SHAPE, NUMBER["air"], np.uint8)
        self.shade = (grain * 1.8 + 3.5).clip(0, SHADES - 1).astype(np.uint8)
        self.axes = list(_axes())
        self.x, self.y, self.z = np.meshgrid(*self.axes, indexing="ij", sparse=True)

    def fill(self, material: str, where: NDArray[np.bool_] | np.bool_, shade: Floats | None = None) -> None:
        """Fills a mask of the whole grid, with grain unless shades from 0 to 7 are given."""
        shades = self.shade if shade is None else (shade + 0.5).clip(0, SHADES - 1).astype(np.uint8)
        np.copyto(self.volume, shades + np.uint8(NUMBER[material]), where=where)

    def blob(self, material: str, centre: Point, radii: Point, *, power: float = 2, both: bool = True) -> None:
        """Fills an ellipsoid (a box with round edges for a higher power), also its mirror image if off the midline."""
        for side in (1, -1) if both and centre[0] else (1,):
            middle = np.array([centre[0] * side, *centre[1:]])
            low = np.ceil((middle - radii - ORIGIN) / STEP).clip(0).astype(int)
            high = (np.floor((middle + radii - ORIGIN) / STEP).astype(int) + 1).clip(0, SHAPE)
            box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
            sides = zip(self.axes, middle, radii, box, strict=True)
            across, along, up = np.ix_(*((abs(axis[b] - m) / r) ** power for axis, m, r, b in sides))
            shades = self.shade[box] + np.uint8(NUMBER[material])
            np.copyto(self.volume[box], shades, where=across + along + up < 1)

    def tube(self, material: str, start: Point, end: Point, radius: float, *, flat: float = 1) -> None:
        """Fills a rod from start to end, also its mirror image; `flat` squeezes it along x."""
        a, b = np.array(start), np.array(end)
        count = max(2, int(np.linalg.norm(b - a) / max(1.0, radius / 2)))
        for t in np.linspace(0, 1, count):
            middle = a + (b - a) * t
            self.blob(material, (middle[0], middle[1], middle[2]), (radius / flat, radius, radius))


def _draw_shells(p: _Painter, depth: Floats, skin: Floats, base: Floats, streaks: Floats, waves: Floats) -> None:
    """Muscle with its layers of fat, the vault with its marrow, and the bone of the base."""
    # Muscle with sheets of fat along the skin; without them the lower head is one grey lump.
    sheets = np.cos((skin + 7 * waves) * (2 * np.pi / 14)) + 0.2 * streaks
    p.fill("flesh", np.True_, (3.2 * (sheets - 0.1).clip(0, None) ** 1.5 + 0.25 * p.shade))
    p.fill("bone", (base < 1.0) & (p.z < 0))
    p.fill("marrow", (base < -1.0) & (p.z < 0) & (streaks > 0.3))
    outside = -depth
    p.fill("bone", (outside > -0.5) & (outside < 7.5))
    # The marrow of the vault fades into its tables: shades from dark to bright.
    p.fill("diploe", (outside > 1.4) & (outside < 6), 6 + streaks - 3 * abs(outside - 3.7))


def _ruffle(volume: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Shifts voxels by a few mm of smooth noise: what was drawn with a ruler looks grown."""
    shift = [_noise(rng, 9.0) * 1.1 + 0.5 for _ in range(3)]
    index = [
        np.clip(np.arange(n).reshape([-1 if i == k else 1 for k in range(3)]) + shift[i].astype(np.int32), 0, n - 1)
        for i, n in enumerate(SHAPE)
    ]
    volume[:] = volume[tuple(index)]


def _draw_skin(p: _Painter, skin: Floats) -> None:
    """Fat under the skin (thicker in the nape, thin over eyes and nose), the skin, and the air around."""
    thick = np.where(p.y < -40, 8.0, np.where((p.y > 50) & (p.z < -15), 3.0, 5.0))
    hollow = (p.volume >= NUMBER["air"]) & (p.volume < NUMBER["air"] + SHADES)
    p.fill("fat", (skin > -thick) & ~hollow)
    # Its shades go from air to flesh, which spares the outline of the head its staircase.
    p.fill("skin", skin > -1.8, 3.5 - skin * 2)
    p.fill("air", skin > 1.8)


def _draw_face(p: _Painter) -> None:
    """Orbits, sinuses, nose, jaws, tongue, throat, spine."""
    # Frontal sinus, ethmoid cells, maxillary and sphenoid sinuses, nose.
    p.blob("bone", (8, 76, -22), (11, 5, 10))
    p.blob("air", (7, 76, -22), (8, 3.4, 8))
    p.blob("bone", (0, 48, -46), (17, 34, 17), power=3)
    p.blob("bone", (30, 50, -64), (15, 19, 17), power=2.5)
    p.blob("air", (30, 50, -64), (12.5, 16, 14.5), power=2.5)
    p.blob("mucosa", (8, 46, -44), (7, 28, 13), power=3)
    cells = np.random.default_rng(11).uniform([4, 22, -54], [13, 70, -33], (90, 3))
    for cx, cy, cz in cells:
        p.blob("air", (cx, cy, cz), (3.4, 4.6, 4.2))
    p.blob("mucosa", (0, 62, -66), (14, 36, 18), power=2.4)
    for x, z in ((5, -62), (5, -74), (9, -69), (9, -80), (11, -60)):
        p.tube("air", (x, 36, z), (x, 84, z), 2.4)
    p.blob("disc", (0, 58, -62), (1.2, 30, 16))
    p.tube("air", (7, 82, -80), (6, 100, -80), 4)
    # Orbits: fat cone, muscles, optic nerve, globe.
    for t in np.linspace(0, 1, 14):
        p.blob("bone", (14 + 19 * t, 22 + 40 * t, -32 - 5 * t), (7 + 14 * t, 8, 7 + 14 * t))
    for t in np.linspace(0, 1, 14):
        p.blob("fat", (14 + 19 * t, 22 + 42 * t, -32 - 5 * t), (4 + 13.5 * t, 7, 4 + 13.5 * t))
    for x, z in ((22, -36), (44, -37), (33, -24), (33, -49)):
        p.tube("muscle", (16, 24, -32), (x, 60, z), 2.2)
    p.tube("nerve", (4, 6, -20), (14, 22, -31), 2.2)
    p.tube("nerve", (14, 22, -31), (32, 52, -36), 2.4)
    p.blob("sclera", (33, 63, -37), (12.8, 12.8, 12.8))
    p.blob("vitreous", (33, 63, -37), (11.4, 11.4, 11.4))
    p.blob("sclera", (33, 71, -37), (5, 2.6, 5))
    p.blob("gland", (46, 60, -28), (4, 7, 5))
    # Palate, teeth, tongue, throat.
    p.blob("bone", (0, 62, -84), (26, 34, 5), power=3)
    p.blob("marrow", (0, 62, -84), (22, 30, 2.4), power=3)
    p.blob("mucosa", (0, 60, -89), (24, 32, 2.5), power=3)
    p.blob("bone", (22, 72, -98), (7, 16, 9), power=3)
    p.blob("bone", (0, 88, -99), (22, 5, 9), power=3)
    p.blob("tongue", (0, 50, -110), (24, 36, 20), power=2.6)
    p.blob("mucosa", (0, 24, -90), (9, 8, 14))
    p.tube("air", (0, 18, -70), (0, 10, -96), 6)
    p.tube("air", (0, 10, -96), (0, 4, -134), 7)
    p.tube("tongue", (0, 30, -88), (0, 16, -102), 4)
    # Jaw: ramus and body, with the chewing muscles left as they are.
    p.tube("bone", (49, 8, -66), (47, 22, -116), 6.5, flat=1.4)
    p.tube("marrow", (49, 9, -70), (47, 22, -114), 3.6, flat=1.4)
    p.tube("bone", (46, 24, -118), (14, 82, -124), 7, flat=1.2)
    p.tube("marrow", (46, 24, -118), (14, 82, -124), 4, flat=1.2)
    p.blob("gland", (60, -2, -92), (8, 12, 20))
    p.tube("bone", (66, 4, -50), (54, 52, -52), 3.5)
    p.tube("marrow", (66, 4, -50), (54, 52, -52), 1.8)
    # Spine: vertebral bodies and discs before the cord, arches behind it, great vessels beside it.
    p.tube("bone", (0, -18, -78), (0, -14, -134), 11)
    for z in (-84, -104, -124):
        p.blob("marrow", (0, -17, z), (9, 8.5, 8), power=4)
    for z in (-95, -115):
        p.blob("disc", (0, -16, z), (9, 8, 2.4), power=4)
    p.blob("bone", (22, -26, -76), (13, 12, 8), power=3)
    p.blob("marrow", (22, -26, -76), (10, 9, 5), power=3)
    for z in (-84, -104, -124):
        p.blob("bone", (0, -66, z), (6, 12, 5))
        p.blob("marrow", (0, -66, z), (4, 10, 3))
    p.tube("artery", (30, 2, -134), (26, -8, -62), 3)
    p.tube("vein", (36, -8, -134), (34, -16, -64), 4)


def _draw_base(p: _Painter) -> None:
    """Sella, clivus, cavernous sinus, petrous bones with their air cells, the way out for the cord."""
    p.tube("bone", (0, -6, -36), (0, -26, -68), 8)
    p.tube("marrow", (0, -4, -39), (0, -24, -67), 5.6)
    p.blob("bone", (0, 20, -42), (17, 15, 13), power=3)
    p.blob("air", (7, 20, -42), (6, 12.5, 10), power=3)
    p.tube("bone", (24, -16, -46), (58, -34, -46), 9)
    p.tube("cells", (34, -20, -46), (56, -34, -47), 6)
    p.blob("cells", (60, -38, -56), (9, 13, 16))
    p.tube("air", (52, -24, -50), (76, -22, -50), 2.6)
    for t in np.linspace(-14, 16, 9):
        p.blob("vein", (12, t - 2, -34 - abs(t) * 0.1), (4.5, 4, 6))
    p.tube("artery", (11, -10, -38), (11, 10, -34), 2.2)
    p.tube("artery", (11, 10, -34), (12, 6, -24), 2)
    p.blob("gland", (0, 3, -35), (6.5, 5, 3.6))
    # Posterior arch of the foramen magnum stays; the canal itself is water around the cord.


def _draw_brain(p: _Painter, t1: Floats, depth: Floats, streaks: Floats) -> None:
    """Fluid, brain, cord, dura, falx, sinuses and vessels inside the skull."""
    x, y, z = p.x, p.y, p.z
    volume = p.volume
    canal = np.hypot(x, y + 43 + (z + 70) * 0.05)
    volume[(canal < 11) & (z < -58)] = 0
    volume[(canal < 6) & (z < -66)] = int(0.8 * BRAIN_LEVELS)
    p.fill("dura", (canal > 10) & (canal < 11.5) & (z < -74))

    brain = t1 > 0.02
    # The template is an average of 152 brains, so its folds are blurred; unsharp masking brings them back.
    sharp = t1 + 0.9 * (t1 - ndimage.gaussian_filter(t1, 1.6))
    level = np.interp(sharp, [0.27, 0.60, 0.84], [0, 0.55, 1]).astype(np.float32)
    _close_fissure(level, depth)
    inside = (depth > 0) | brain
    keep = (volume >= NUMBER["marrow"]) & (volume != NUMBER["muscle"]) & (depth < 4) & ~brain & (z < -22)
    np.copyto(volume, (level * (BRAIN_LEVELS - 1)).astype(np.uint8), where=inside & ~keep)

    rim = inside & ~keep & (level < 0.3)
    p.fill("dura", (depth > -0.6) & (depth < 0.9) & (z > -55))
    p.fill("dura", (abs(x) < 0.8) & (depth > 0) & (depth < 9 + 4 * streaks) & (z > -12) & (y < 66))
    p.fill("vein", rim & (depth > 0) & (depth < 9) & (streaks > 1.35) & (z > -30))
    p.fill("vein", (np.hypot(x * 0.9, depth - 1) < 4) & (z > 5) & (y < 62) & (depth > -2))
    p.fill("vein", (np.hypot((z + 22) * 0.8, depth - 1) < 3.6) & (y < -55) & (depth > -2.5))
    p.tube("plexus", (16, -32, 14), (24, -44, 4), 2.4)


def _close_fissure(level: Floats, depth: Floats) -> None:
    """Draws the hemispheres together at the midline, where the average of 152 brains shows a broad grey gap."""
    middle = SHAPE[0] // 2
    _, y, z = _axes()
    above = (np.hypot(y[:, None] + 18, z * 1.1) > 50) & (z > -14)
    for offset, share in ((0, 0.75), (1, 0.6), (2, 0.3)):
        for side in (-1, 1):
            near, far = level[middle + side * offset], level[middle + side * 4]
            np.copyto(near, np.maximum(near, share * far), where=above & (depth[middle] > 2))
