"""Which tiles of stained tissue are one spot, turned by any angle, mirrored, enlarged or stretched about its middle.

A slice of a head has an up, and its copies lie in one of eight forms; a tile has none, and sets of tiles are made
larger by turning each by a few degrees, cutting off the empty corners and stretching what is left. Four steps, each
stricter and dearer than the one before:

1. Each tile's fine pattern is read along circles about its middle, whose radii grow by a constant factor. Turning moves
   the values along the circles, enlarging moves them from one circle to another, mirroring reverses them (Reddy and
   Chatterji, IEEE Trans. Image Processing 1996, do the same with spectra). Ellipses stand for stretched tiles.
2. The strengths of the frequencies along each circle do not change with the angle. For each enlargement and ellipse,
   scikit-learn gives each tile's nearest neighbours by them.
3. Correlation of the circles' values, at all angles at once.
4. The two patterns laid over each other by the linear map that fits best (`laying`).

In LC25000's lung tiles the patterns of copies correlate by 0.7 and more after step 4, those of other tiles by 0.45 and
less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from tumorlens.evaluation.audit.laying import Floats, lay_over, middle_grid, read
from tumorlens.evaluation.audit.pictures import FINE, Pictures

Integers = NDArray[np.intp]

LEAST = 0.6
"""Correlation of two patterns laid over each other, from which they are one spot."""

SMALLEST = 64
"""Pixels along the shorter side below which a tile has no fine pattern."""

_RINGS, _ANGLES, _FREQUENCIES = 40, 64, 24
_INNERMOST = 0.08  # radius of the smallest circle, in halves of the picture
_STEP = _INNERMOST ** (-1 / (_RINGS - 1))  # from one circle to the next
_ENLARGED = 11  # circles: up to twice the size
_STRETCH = 1.35
_ELLIPSES = ((1.0, 1.0), (1.0, 1 / _STRETCH), (1 / _STRETCH, 1.0))  # half axes across and down
_STRENGTHS = slice(1, 13)  # frequencies whose strengths describe a circle
_COMPONENTS = 96  # what is kept of them
_NEIGHBOURS = 8
_PROMISING = 0.33  # correlation along circles; of copies, 999 in 1000 have more
_CHUNK = 256


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Pairs of tiles as step 3 has them, (N,) each: the second's circles lie `ring` circles further in."""

    first: Integers
    second: Integers
    ring: Integers
    ellipse: Integers
    mirrored: Integers
    angle: Integers
    score: Floats

    def pick(self, chosen: NDArray[np.bool_] | Integers) -> _Pairs:
        return _Pairs(*(value[chosen] for value in vars(self).values()))

    @staticmethod
    def joined(parts: list[_Pairs]) -> _Pairs:
        return _Pairs(*(np.concatenate([vars(p)[name] for p in parts]) for name in _Pairs.__dataclass_fields__))

    def maps(self) -> NDArray[np.float64]:
        """(N, 2, 2) from places in the first to places in the second, (right, down) from the middle."""
        angle = self.angle * (2 * np.pi / _ANGLES)
        cos, sin, side = np.cos(angle), np.sin(angle), np.where(self.mirrored > 0, -1, 1)
        turned = np.array([[cos, -side * sin], [sin, side * cos]]).transpose(2, 0, 1)
        axes = np.array(_ELLIPSES)[self.ellipse] * (_STEP**self.ring)[:, None]
        maps: NDArray[np.float64] = turned / axes[:, None, :]
        return maps


def find_turned(pictures: Pictures, tiles: Integers, progress: Callable[[float], None]) -> tuple[Integers, Integers]:
    """Pairs of tiles that show the same spot, each once.

    `tiles` are (M,) pictures of stained tissue, none blank and no two identical; `progress` is called with the share
    done, 0 to 1.
    """
    if len(tiles) < 2:
        return tiles[:0], tiles[:0]
    patterns = pictures.column("fine", tiles)
    spectra = _spectra(patterns, _ELLIPSES[0])
    found = []
    for number, axes in enumerate(_ELLIPSES):
        own = spectra if number == 0 else _spectra(patterns, axes)
        for ring in range(_ENLARGED):
            first, second = _neighbours(own[:, ring:], spectra[:, : _RINGS - ring])
            pairs = _correlate(own, spectra, first, second, ring, number)
            found.append(pairs.pick(pairs.score >= _PROMISING))
            progress(0.5 * (number + (ring + 1) / _ENLARGED) / len(_ELLIPSES))
    pairs = _best(_Pairs.joined(found), len(tiles))
    same = np.zeros(len(pairs.score), bool)
    for part in _chunks(len(same)):
        _, scores = _laid_over(patterns, pairs.pick(np.arange(part.start, part.stop)))
        same[part] = scores >= LEAST
        progress(0.5 + 0.5 * part.stop / len(same))
    first, second = tiles[pairs.first[same]], tiles[pairs.second[same]]
    return np.minimum(first, second), np.maximum(first, second)


def fit_turned(pictures: Pictures, first: Integers, second: Integers) -> tuple[NDArray[np.float64], Floats]:
    """Best alignment of pairs of tiles by rotation, mirroring, scaling and stretching, and its correlation.

    Returns:
        (N, 2, 2) maps from places in the first to places in the second, (right, down) from the middle, and (N,)
        correlation of the patterns laid over each other so, -1 to 1.
    """
    tiles, numbers = np.unique(np.concatenate([first, second]), return_inverse=True)
    one, other = numbers[: len(first)], numbers[len(first) :]
    patterns = pictures.column("fine", tiles)
    spectra = [_spectra(patterns, axes) for axes in _ELLIPSES]
    tried = [
        _correlate(spectra[e], spectra[0], a, b, ring, e)
        for e in range(len(_ELLIPSES))
        for ring in range(_ENLARGED)
        for a, b in ((one, other), (other, one))
    ]
    best = np.stack([t.score for t in tried]).argmax(0)
    chosen = _Pairs.joined([tried[b].pick(np.array([i])) for i, b in enumerate(best)])
    maps, scores = (np.concatenate(x) for x in zip(*_each_laid_over(patterns, chosen), strict=True))
    backwards = chosen.first != one
    maps[backwards] = np.linalg.inv(maps[backwards])
    return maps, scores


def _spectra(patterns: NDArray[np.int8], axes: tuple[float, float]) -> NDArray[np.complex64]:
    """Fourier coefficients along each circle or ellipse about the middle, (N, rings, frequencies)."""
    radius = _INNERMOST * _STEP ** np.arange(_RINGS)[:, None]
    angle = np.arange(_ANGLES) * (2 * np.pi / _ANGLES)
    half = (FINE - 1) / 2
    x = half * (1 + axes[0] * radius * np.cos(angle))
    y = half * (1 + axes[1] * radius * np.sin(angle))
    spectra = np.empty((len(patterns), _RINGS, _FREQUENCIES), np.complex64)
    for part in _chunks(len(patterns)):
        smooth = gaussian_filter(patterns[part].astype(np.float32), (0, 0.7, 0.7))
        places = np.broadcast_to(np.stack([x.ravel(), y.ravel()]), (len(smooth), 2, x.size))
        values = read(smooth, places).reshape(len(smooth), _RINGS, _ANGLES)
        spectra[part] = np.fft.rfft(values, axis=2)[:, :, :_FREQUENCIES]
    spectra[:, :, 0] /= np.sqrt(2)  # it counts once, the others stand for their negative frequencies too
    return spectra


def _neighbours(asked: NDArray[np.complex64], known: NDArray[np.complex64]) -> tuple[Integers, Integers]:
    """Pairs of places: each asked tile, and one of those whose circles are the most like its own."""
    from sklearn.neighbors import NearestNeighbors

    described, others = _strengths(known), _strengths(asked)
    mean = described.mean(0)
    described -= mean
    others -= mean
    # The directions in which tiles differ most; the rest is noise, and dear to compare.
    _, axes = np.linalg.eigh(described.T @ described)
    described, others = (_unit(v @ axes[:, -_COMPONENTS:]) for v in (described, others))
    count = min(_NEIGHBOURS + 1, len(described))
    index = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(described)
    near = index.kneighbors(others, return_distance=False)
    asking = np.broadcast_to(np.arange(len(near))[:, None], near.shape)
    return asking[near != asking], near[near != asking]


def _strengths(spectra: NDArray[np.complex64]) -> Floats:
    return np.sqrt(np.abs(spectra[:, :, _STRENGTHS])).reshape(len(spectra), -1)


def _unit(vectors: Floats) -> Floats:
    units: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return units


def _correlate(
    own: NDArray[np.complex64],
    others: NDArray[np.complex64],
    first: Integers,
    second: Integers,
    ring: int,
    ellipse: int,
) -> _Pairs:
    """Correlation along circles at the best angle, mirrored or not, the second's circles `ring` further in."""
    shown = np.empty((2, len(first)), np.float32), np.empty((2, len(first)), np.intp)
    # Outer circles are longer, and neighbours on them say different things.
    weights = (_STEP ** (np.arange(_RINGS - ring) / 2))[:, None].astype(np.float32)
    for part in _chunks(len(first)):
        a = own[first[part], ring:] * weights
        b = others[second[part], : _RINGS - ring] * weights
        strength = np.maximum(np.sqrt((np.abs(a) ** 2).sum((1, 2)) * (np.abs(b) ** 2).sum((1, 2))), 1e-9)
        for mirrored in (0, 1):
            products = np.zeros((len(a), _ANGLES // 2 + 1), np.complex64)
            products[:, :_FREQUENCIES] = ((a if mirrored else a.conj()) * b).sum(1)
            products[:, 0] *= 2
            correlation = np.fft.irfft(products, _ANGLES, axis=1) * (_ANGLES / 2) / strength[:, None]
            shown[0][mirrored, part], shown[1][mirrored, part] = correlation.max(1), correlation.argmax(1)
    mirrored = shown[0].argmax(0)
    each = np.arange(len(first))
    same = np.full(len(first), ring), np.full(len(first), ellipse)
    return _Pairs(first, second, *same, mirrored, shown[1][mirrored, each], shown[0][mirrored, each])


def _best(pairs: _Pairs, count: int) -> _Pairs:
    """Each pair once, as it correlates best."""
    order = np.argsort(-pairs.score, kind="stable")
    code = np.minimum(pairs.first, pairs.second) * count + np.maximum(pairs.first, pairs.second)
    return pairs.pick(order[np.unique(code[order], return_index=True)[1]])


def _each_laid_over(patterns: NDArray[np.int8], pairs: _Pairs) -> Iterator[tuple[NDArray[np.float64], Floats]]:
    for part in _chunks(len(pairs.score)):
        yield _laid_over(patterns, pairs.pick(np.arange(part.start, part.stop)))


def _laid_over(patterns: NDArray[np.int8], pairs: _Pairs) -> tuple[NDArray[np.float64], Floats]:
    """The linear maps that lay the second patterns over the first ones best, and how the two correlate then."""
    maps, grid = pairs.maps(), middle_grid(FINE)
    disc = (np.hypot(*grid) <= (FINE - 1) / 2).astype(np.float32)
    nothing = np.zeros_like(grid[0])
    motions = np.stack([np.stack(axes) for g in grid for axes in ((g, nothing), (nothing, g))])
    found = lay_over(patterns[pairs.first], patterns[pairs.second], maps.astype(np.float32) @ grid, motions, disc)
    return maps + found.amounts.reshape(-1, 2, 2).transpose(0, 2, 1), found.correlation


def _chunks(count: int) -> Iterator[slice]:
    return (slice(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK))
