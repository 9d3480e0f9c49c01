"""Simulated lesions: where they grow, their shape in three dimensions, and how they look in each contrast.

A lesion lives in the head's own coordinates (MNI, mm), so it is the same object in every slice and plane of a
patient. Its shape is a smooth union of balls with a wavy surface, given as a field that is negative inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tumorlens.phantoms.head import Head
from tumorlens.phantoms.tissue import BRAIN_LEVELS, ORIGIN, STEP, Floats

Doubles = NDArray[np.float64]

_TAIL = 9.0  # mm that a dural tail reaches
_YIELDS = 1.4  # the brain gives way up to this many radii from a lesion's border


@dataclass(frozen=True, eq=False)
class Lesion:
    """One lesion.

    Attributes:
        balls: (K, 4) float32: centre and radius of each ball, in mm; the first is the main one.
        waves: (W, 4) float32: wave vectors (1 / mm) and phases of the bumps on its surface.
        grains: (W, 4) float32: the same for the unevenness of its grey.
        bumps: Height of the bumps, mm.
        push: How far the tissue beside it gives way, mm.
        inward: Unit vector from the dura it hangs on into the brain; None if it grows free.
        rim: Thickness of the enhancing rim around a dark core, mm; None for a lesion without core.
        enhances: Whether it takes up contrast agent.
        oedema: Width of the swelling around it, mm; 0 for none.
        brightness: Share of how bright such lesions get, 0 to 1.
    """

    kind: str
    balls: Floats
    waves: Floats
    grains: Floats
    bumps: float
    push: float
    inward: Floats | None = None
    rim: float | None = None
    enhances: bool = True
    oedema: float = 0.0
    brightness: float = 0.5

    @property
    def centre(self) -> Floats:
        """Centre of the main ball, (3,) float32, mm."""
        return self.balls[0, :3]

    @property
    def reach(self) -> float:
        """Nothing the lesion does to its surroundings is farther than this from its centre, mm."""
        far = np.linalg.norm(self.balls[:, :3] - self.centre, axis=1) + self.balls[:, 3]
        swollen = far.max() + 2.5 * self.bumps + max(1.3 * self.oedema, _TAIL)
        return float(max(swollen, (1 + _YIELDS) * self.balls[0, 3]))

    def field(self, points: Floats) -> Floats:
        """Signed distance, roughly: (N,) float32 in mm, negative inside, at (3, N) points."""
        distance = [
            np.sqrt(((points - ball[:3, None]) ** 2).sum(0)) - ball[3] for ball in self.balls.astype(np.float32)
        ]
        # Polynomial smooth union: lobes grow together without a crease.
        union = distance[0]
        for other in distance[1:]:
            h = (np.float32(0.5) + (other - union) / 8).clip(0, 1)
            union = other + (union - other) * h - 4 * h * (1 - h)
        distances: Floats = union - np.float32(self.bumps) * ripple(self.waves, points)
        return distances

    def displace(self, points: Floats) -> Floats:
        """Where the tissue that is now at (3, N) points was before the lesion pushed it: (3, N) float32."""
        offset = points - self.centre[:, None]
        distance = np.sqrt((offset**2).sum(0)) + np.float32(1e-3)
        outside = (distance - self.balls[0, 3]).clip(0, None)
        fade = (1 - outside / np.float32(_YIELDS * self.balls[0, 3])).clip(0, None)
        shift = np.float32(self.push) * fade * fade / distance
        if self.inward is not None:
            # The skull does not give way.
            shift = shift * ((self.inward @ offset) / distance).clip(0, 1)
        before: Floats = points - offset * shift
        return before


def ripple(waves: Floats, points: Floats) -> Floats:
    """Sum of (W, 4) waves at (3, N) points, of about unit variance: (N,) float32."""
    heights: Floats = np.sin(waves[:, :3] @ points + waves[:, 3:]).sum(0) * np.float32((2 / len(waves)) ** 0.5)
    return heights


def grow(kind: str, head: Head, rng: np.random.Generator) -> Lesion:
    """Grows a lesion of one kind at a place where such lesions are found.

    `kind` is "glioma", "meningioma" or "pituitary".
    """
    return {"glioma": _glioma, "meningioma": _meningioma, "pituitary": _pituitary}[kind](head, rng)


def _waves(rng: np.random.Generator, count: int, length: float) -> Floats:
    """Wave vectors of about `length` mm in random directions, with random phases: (count, 4) float32."""
    direction = rng.standard_normal((count, 3))
    direction *= 2 * np.pi / length / np.linalg.norm(direction, axis=1, keepdims=True)
    direction *= rng.uniform(0.5, 1.8, (count, 1))
    return np.hstack([direction, rng.uniform(0, 2 * np.pi, (count, 1))]).astype(np.float32)


def _glioma(head: Head, rng: np.random.Generator) -> Lesion:
    """In the white matter, irregular; high grade: enhancing rim, dark core, oedema; low grade: none of these."""
    radius = rng.uniform(11, 27)
    centre = head.white[rng.integers(len(head.white))] + rng.uniform(-1.5, 1.5, 3)
    balls = [[*centre, radius]]
    for _ in range(rng.integers(0, 3)):
        step = rng.standard_normal(3)
        share = rng.uniform(0.45, 0.75)
        balls.append([*(centre + step / np.linalg.norm(step) * radius * 0.75), radius * share])
    high_grade = rng.random() < 0.75
    return Lesion(
        "glioma",
        np.array(balls, np.float32),
        _waves(rng, 10, 1.1 * radius),
        _waves(rng, 12, 7.0),
        bumps=0.11 * radius,
        push=rng.uniform(0.15, 0.35) * radius,
        rim=float(rng.uniform(0.18, 0.5) * radius) if high_grade else None,
        enhances=high_grade,
        oedema=float(rng.uniform(8, 22)) if high_grade else 0.0,
        brightness=float(rng.random()),
    )


_BASE_SITES = (  # Places to march from and directions to march in, until the skull's base is met; right side.
    ((4, 35, 0), (0, 0.2, -1)),  # olfactory groove
    ((30, 6, -14), (0.1, 1, -0.1)),  # sphenoid wing, from the temporal pole
    ((4, 22, -4), (0, 0, -1)),  # planum sphenoidale
    ((20, -50, -36), (1, 0.9, -0.1)),  # cerebellopontine angle
    ((34, -15, -20), (0.5, 0, -1)),  # floor of the middle fossa
)


def _meningioma(head: Head, rng: np.random.Generator) -> Lesion:
    """On the dura of the vault, of the falx or of the skull's base; round or lobulated, even."""
    radius = rng.uniform(10, 25)
    side = rng.choice([-1, 1])
    site = rng.choice(["vault", "falx", "base"], p=[0.5, 0.2, 0.3])
    if site == "falx":
        start, direction = np.array([0, rng.uniform(-65, 42), 30]), np.array([0, 0, 1.0])
        root = _meet_skull(head, start, direction) - direction * rng.uniform(4, 20)
        root[0], inward = 1.0 * side, np.array([side, 0, -0.15])
    else:
        if site == "vault":
            start = np.array([0, -18, 12.0])
            direction = rng.standard_normal(3) * [1, 1.2, 0.8] + [0, 0, 0.5]
        else:
            place, way = _BASE_SITES[rng.integers(len(_BASE_SITES))]
            start = np.array(place, float) * [side, 1, 1] + rng.uniform(-3, 3, 3)
            direction = np.array(way, float) * [side, 1, 1] + rng.normal(0, 0.12, 3)
        direction /= np.linalg.norm(direction)
        root = _meet_skull(head, start, direction)
        inward = _inward(head, root)
    inward = inward / np.linalg.norm(inward)
    centre = root + inward * radius * rng.uniform(0.45, 0.7)
    balls = [[*centre, radius]]
    if rng.random() < 0.5:
        along = np.cross(inward, rng.standard_normal(3))
        along *= rng.uniform(0.5, 0.8) * radius / np.linalg.norm(along)
        balls.append([*(centre + along), radius * rng.uniform(0.55, 0.8)])
    return Lesion(
        "meningioma",
        np.array(balls, np.float32),
        _waves(rng, 6, 1.4 * radius),
        _waves(rng, 12, 7.0),
        bumps=rng.uniform(0.03, 0.08) * radius,
        push=rng.uniform(0.3, 0.55) * radius,
        inward=inward.astype(np.float32),
        oedema=float(rng.uniform(4, 12)) if rng.random() < 0.4 else 0.0,
        brightness=float(rng.random()),
    )


def _pituitary(head: Head, rng: np.random.Generator) -> Lesion:
    """In the sella on the midline, round, or a snowman that bulges up through the diaphragm."""
    del head  # the sella's place is known
    radius = rng.uniform(8, 14)
    centre = np.array([rng.normal(0, 1.2), 3 + rng.normal(0, 1), -35 + 0.5 * (radius - 7) + rng.normal(0, 1)])
    balls = [[*centre, radius]]
    if rng.random() < 0.6:
        upper = radius * rng.uniform(0.7, 1.05)
        rise = np.array([rng.normal(0, 0.08), rng.normal(0, 0.1), 1.0]) * (0.75 * radius + 0.45 * upper)
        balls.append([*(centre + rise), upper])
    return Lesion(
        "pituitary",
        np.array(balls, np.float32),
        _waves(rng, 6, 1.4 * radius),
        _waves(rng, 12, 7.0),
        bumps=rng.uniform(0.03, 0.08) * radius,
        push=0.25 * radius,
        inward=np.array([0, 0, 1], np.float32),
        rim=float(rng.uniform(0.35, 0.5) * radius) if rng.random() < 0.15 else None,
        brightness=float(rng.random()),
    )


def _depth(head: Head, points: Doubles) -> Floats:
    """Depth below the skull's inner table at (N, 3) points, mm."""
    depth: Floats = ndimage.map_coordinates(head.depth, ((points - ORIGIN) / (2 * STEP)).T, order=1, mode="nearest")
    return depth


def _meet_skull(head: Head, start: Doubles, direction: Doubles) -> Doubles:
    """The first point of a ray that lies on the skull's inner table."""
    ray: Doubles = start + direction * np.arange(0, 120, 1.0)[:, None]
    first: Doubles = ray[int(np.argmax(_depth(head, ray) <= 0))]
    return first


def _inward(head: Head, root: Doubles) -> Floats:
    """The direction in which the skull's inner table is left fastest."""
    steps = 4.0 * np.vstack([np.eye(3), -np.eye(3)])
    depth = _depth(head, root + steps)
    return depth[:3] - depth[3:]


def paint(
    image: Floats, lesion: Lesion, points: Floats, field: Floats, tissue: tuple[Floats, Floats], look: Look
) -> Floats:
    """Paints a lesion over the tissue.

    Paints on `image`, (N,) grey values of the tissue, in place. `points` are (3, N) places of the pixels in mm, `field`
    is `lesion.field(points)`, and `tissue` the share inside the skull and of white matter, (N,) each.

    Returns:
        (N,) float32: how much of each pixel is lesion, in [0, 1]; `image` is painted in place.
    """
    inside, white = tissue
    room = np.ones_like(inside) if lesion.kind == "pituitary" else inside
    grain = ripple(lesion.grains, points)
    swollen, solid, core, cleft = look.greys(lesion)
    if lesion.oedema:
        # Oedema runs along the white matter and spares the cortex.
        spread = (1.8 * (1 - (field + 2 * grain) / np.float32(lesion.oedema))).clip(0, 1) * white
        image += np.float32(0.85) * spread * (swollen - image)
    if lesion.kind != "glioma":
        # A thin cleft of fluid or capsule separates tumours that push from the brain they push.
        near = (1 - abs(field - 1.2) / 1.6).clip(0, 1) * inside
        image += np.float32(0.6) * near * (cleft - image)
    if lesion.kind == "meningioma" and look.contrast == "t1c":
        # The dural tail: enhancing dura that tapers off beside the tumour.
        dura = (1 - abs(inside - 0.6) / 0.4).clip(0, 1) * (1 - field / np.float32(_TAIL)).clip(0, 1)
        image += np.float32(0.8) * dura * (field > 0) * (solid - image).clip(0, None)

    grey = solid * (1 + np.float32(0.045) * grain)
    if lesion.rim is not None:
        within = (0.5 - (field + lesion.rim * (1 + np.float32(0.3) * grain)) / 3).clip(0, 1)
        grey = grey + within * (core * (1 + np.float32(0.12) * grain) - grey)
    soft = 3.5 if lesion.kind == "glioma" and not lesion.enhances else look.spacing
    share = (0.5 - field / soft).clip(0, 1) * room
    image += share * (grey - image)
    return (0.5 - field / (4 * look.spacing)).clip(0, 1) * room


@dataclass(frozen=True)
class Look:
    """How a scanner shows things.

    Attributes:
        table: (256,) float32 grey value of each material.
    """

    contrast: str
    table: Floats
    spacing: float

    def greys(self, lesion: Lesion) -> tuple[float, float, float, float]:
        """Grey values of a lesion's oedema, solid part, core, and of the cleft around it."""
        fluid, grey, white = (float(self.table[int(level * (BRAIN_LEVELS - 1))]) for level in (0, 0.55, 1))
        b = lesion.brightness
        if self.contrast in ("t1", "t1c"):
            swollen, core, cleft = 0.55 * white, 0.4 * (fluid + grey), fluid
            plain = 0.62 * grey + 0.1 * b * grey if lesion.kind == "glioma" else (0.72 + 0.12 * b) * grey
            return swollen, (0.60 + 0.35 * b if self.contrast == "t1c" and lesion.enhances else plain), core, cleft
        if self.contrast == "t2":
            solid = 0.78 + 0.1 * b if lesion.kind == "glioma" else 0.68 + 0.12 * b
            return 0.82, solid, 0.95, fluid
        solid = 0.72 + 0.15 * b if lesion.kind == "glioma" else 0.66 + 0.12 * b
        return 0.78, solid, 0.35, fluid
