"""Which pictures are the same picture, whatever was done to it, and what was done.

Three steps, each stricter and dearer than the one before:

1. Descriptors: the absolute values of a picture's low-frequency cosine coefficients, each paired with the one across
   the diagonal and sorted. Mirroring changes signs only, turning by 90° swaps across the diagonal, so all eight forms
   of a picture have one descriptor. Absolute values and sorting never push two descriptors further apart than the
   best-fitting forms are, so nothing near is lost. scikit-learn gives each one's nearest neighbours.
2. The coarse patterns of the two, in all eight forms.
3. The fine patterns, in the forms that step 2 left. Small pictures have none and must agree better in step 2. Those
   that nearly agree are laid over each other: they may be one picture, cut out a little differently (`cropped`).

In Cheng's set the fine patterns of copies correlate by 0.993 and more, those of neighbouring slices, 6 mm apart, by
0.90 and less. `FINE_LEAST` lies where sharpened and equalised copies are still found. Slices that are known to be of
one series are neighbours, often thin ones, so more is asked of them. benchmarks/audit.py measures all this.

Tiles of stained tissue may be turned by any angle besides: `turned` finds those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tumorlens.evaluation.audit.cropped import LEAST as CROPPED_LEAST
from tumorlens.evaluation.audit.cropped import PROMISING, fit_cropped
from tumorlens.evaluation.audit.pictures import Pictures
from tumorlens.evaluation.audit.turned import LEAST, SMALLEST, find_turned, fit_turned
from tumorlens.grey import Number

Integers = NDArray[np.intp]

FORMS = (
    "",
    "mirrored, rotated 180",
    "mirrored",
    "rotated 180",
    "mirrored, rotated 270",
    "rotated 90",
    "rotated 270",
    "mirrored, rotated 90",
)
"""What was done to a picture, by the number of the form that undoes it. Degrees are clockwise, after mirroring left to
right."""

NEIGHBOURS = 33  # of each picture, itself among them; more copies than that are linked through one another
RADIUS = 0.45  # between descriptors, which have length 1
COARSE_LEAST, COARSE_PROMISING = 0.90, 0.5
FINE_LEAST, FINE_LEAST_WITHIN = 0.93, 0.98
SMALL_LEAST, SMALL_LEAST_WITHIN = 0.975, 0.99
SMALL = 128  # pixels along the shorter side, below which a picture has no fine pattern
_TIE = 0.05  # a symmetric head fits two forms about as well; step 3 decides between forms so close
_ORDER = 12  # cosine coefficients along each side
_CHUNK = 2048


def turn(images: NDArray[Number], form: int) -> NDArray[Number]:
    """Images (..., S, S) in one of the eight forms, as a view."""
    if form & 4:
        images = images.swapaxes(-1, -2)
    if form & 2:
        images = images[..., :, ::-1]
    if form & 1:
        images = images[..., ::-1, :]
    return images


def descriptors(patterns: NDArray[np.int8]) -> NDArray[np.float32]:
    """Descriptors of coarse patterns, (N, S, S) to (N, 143) of length 1, the same for all eight forms."""
    low = np.abs(dctn(patterns.astype(np.float32), axes=(1, 2), norm="ortho")[:, :_ORDER, :_ORDER])
    across = low.swapaxes(1, 2)
    upper = np.triu_indices(_ORDER, 1)
    both = np.maximum(low, across)[:, *upper], np.minimum(low, across)[:, *upper]
    coefficients = np.concatenate([low[:, range(1, _ORDER), range(1, _ORDER)], *both], axis=1)
    coefficients /= np.maximum(np.linalg.norm(coefficients, axis=1, keepdims=True), 1e-12)
    return coefficients


def find_groups(pictures: Pictures, series: Integers, progress: Callable[[float], None]) -> Integers:
    """Numbers the different pictures.

    `series` are (N,) numbers of the pictures' series or patients, -1 where they are not known: pictures of one series
    are neighbours, so more is asked of them. `progress` is called with the share done, 0 to 1.

    Returns:
        (N,) numbers from 0 in the order of first appearance, the same for pictures that are the same.
    """
    digests, firsts, numbers = np.unique(pictures.column("digest"), return_index=True, return_inverse=True)
    single = firsts[~pictures.column("blank", firsts)]  # blank ones are all alike, and only the same if identical
    low, high = _candidates(pictures, single, lambda share: progress(0.6 * share))
    kept_low, kept_high = [], []
    for part in _chunks(len(low)):
        same = _same(pictures, series, low[part], high[part])
        kept_low.append(low[part][same])
        kept_high.append(high[part][same])
        progress(0.6 + 0.2 * part.stop / len(low))
    turned = find_turned(pictures, single[_are_tiles(pictures, single)], lambda share: progress(0.8 + 0.2 * share))
    kept_low.append(turned[0])
    kept_high.append(turned[1])
    a, b = (numbers[np.concatenate([single[:0], *kept])] for kept in (kept_low, kept_high))
    graph = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(len(digests),) * 2)
    labels = connected_components(graph, directed=False)[1][numbers]
    progress(1.0)
    return _in_order_of_appearance(labels)


def fit(
    pictures: Pictures, first: Integers, second: Integers
) -> tuple[Integers, NDArray[np.float32], NDArray[np.bool_]]:
    """Best alignment of pairs of pictures among the eight flips and quarter turns, and its correlation.

    Returns:
        (N,) the form of the second that fits the first, (N,) correlation of the patterns in it, -1 to 1, and
        (N,) whether the pair is small, so that the correlation is that of the coarse patterns.
    """
    a, b = (_normalised(pictures.column("coarse", p)) for p in (first, second))
    coarse = np.stack([_correlation(a, turn(b, form)) for form in range(8)], axis=1)
    sides = [pictures.column(side, p) for side in ("height", "width") for p in (first, second)]
    small = np.minimum.reduce(sides) < SMALL
    best = coarse.max(1)
    fine = np.full_like(coarse, -1)
    worth = (coarse >= best[:, None] - _TIE) & ~small[:, None]
    a, b = (_normalised(pictures.column("fine", p)) for p in (first, second))
    for form in range(8):
        these = np.flatnonzero(worth[:, form])
        fine[these, form] = _correlation(a[these], turn(b[these], form))
    scores = np.where(small[:, None], coarse, fine)
    forms = scores.argmax(1)
    return forms, scores[np.arange(len(forms)), forms], small


def relations(pictures: Pictures, labels: Integers) -> tuple[Integers, list[str], NDArray[np.float32]]:
    """Relation of each picture to the first of its duplicate group: identical, mirrored, resized and so on.

    Returns:
        (N,) the form that turns it into the first one; N relations in words, "" where it is the first; (N,)
        correlation with the first.
    """
    _, first_of = np.unique(labels, return_index=True)
    first = first_of[labels]
    forms = np.zeros(len(labels), np.intp)
    scores = np.ones(len(labels), np.float32)
    words = [""] * len(labels)
    copies = np.flatnonzero(first != np.arange(len(labels)))
    digest = pictures.column("digest")
    for part in _chunks(len(copies)):
        these = copies[part]
        same = digest[these] == digest[first[these]]
        form, score, small = fit(pictures, first[these], these)
        forms[these], scores[these] = np.where(same, 0, form), np.where(same, 1, score)
        near = score >= np.where(small, SMALL_LEAST, FINE_LEAST)
        rest = np.flatnonzero(~same & ~near)
        tiles = _are_tiles(pictures, these[rest]) & _are_tiles(pictures, first[these[rest]])
        turned, others = these[rest[tiles]], rest[~tiles & ~small[rest]]
        cropped = np.zeros(len(these), bool)
        overlaid = _cropped(pictures, first[these[others]], these[others], form[others])
        cropped[others] = overlaid >= CROPPED_LEAST
        scores[these[others]] = np.maximum(score[others], overlaid)
        for k, i in enumerate(these):
            how = "cropped" if cropped[k] else "" if near[k] else "by way of another copy"
            words[i] = "identical" if same[k] else _in_words(pictures, int(first[i]), int(i), int(forms[i]), how)
        if len(turned):
            maps, scores[turned] = fit_turned(pictures, first[turned], turned)
            for i, linear, score_of in zip(turned, maps, scores[turned], strict=True):
                forms[i], words[i] = _nearest_form(linear), _turned_in_words(linear, score_of >= LEAST)
    return forms, words, scores


def _are_tiles(pictures: Pictures, chosen: Integers) -> NDArray[np.bool_]:
    """Whether pictures are tiles of stained tissue that are large enough to be recognised when turned."""
    sides = np.minimum(pictures.column("height", chosen), pictures.column("width", chosen))
    tiles: NDArray[np.bool_] = pictures.column("stained", chosen) & (sides >= SMALLEST)
    return tiles


def _nearest_form(linear: NDArray[np.float64]) -> int:
    """The one of the eight forms that a (2, 2) map from the first picture to the second is nearest to."""
    places = np.mgrid[-1:2, -1:2].astype(np.float64)  # down, right
    wanted = np.tensordot(linear[::-1, ::-1], places, 1)
    return int(np.argmax([(turn(places, form) * wanted).sum() for form in range(8)]))


def _turned_in_words(linear: NDArray[np.float64], near: bool) -> str:
    words = ["mirrored"] * bool(np.linalg.det(linear) < 0) + ["turned"]
    return ", ".join(words if near else [*words, "by way of another copy"])


def _in_words(pictures: Pictures, first: int, second: int, form: int, how: str) -> str:
    a, b = (pictures.records[pictures.rows[i]] for i in (first, second))
    size = (b["width"], b["height"]) if form & 4 else (b["height"], b["width"])
    x, y = a["grey"].astype(np.float64).ravel(), turn(b["grey"].astype(np.float64), form).ravel()
    slope, offset = np.polyfit(x, y, 1)
    words = [FORMS[form]] if form else []
    if how == "cropped":  # its size says nothing, and its grey levels have moved
        return ", ".join([*words, how])
    if size != (a["height"], a["width"]):
        words.append("resized")
    if np.corrcoef(x, y)[0, 1] < 0.985:
        words.append("filtered")
    elif abs(slope - 1) > 0.06 or abs(offset) > 0.02:
        words.append("brightness")
    if how:
        words.append(how)
    return ", ".join(words) or "re-encoded"


def _candidates(pictures: Pictures, single: Integers, progress: Callable[[float], None]) -> tuple[Integers, Integers]:
    """Pairs of pictures whose descriptors are near, each once."""
    from sklearn.neighbors import NearestNeighbors

    if len(single) < 2:
        return single[:0], single[:0]
    described = np.concatenate([descriptors(pictures.column("coarse", single[part])) for part in _chunks(len(single))])
    index = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(single)), algorithm="brute").fit(described)
    codes = []
    for part in _chunks(len(single)):
        distances, neighbours = index.kneighbors(described[part])
        query = np.broadcast_to(np.arange(part.start, part.stop)[:, None], neighbours.shape)
        near = (distances < RADIUS) & (neighbours != query)
        low, high = np.minimum(query, neighbours)[near], np.maximum(query, neighbours)[near]
        codes.append(low * len(single) + high)
        progress(part.stop / len(single))
    low, high = np.divmod(np.unique(np.concatenate(codes)), len(single))
    return single[low], single[high]


def _same(pictures: Pictures, series: Integers, first: Integers, second: Integers) -> NDArray[np.bool_]:
    """Whether pairs show the same picture."""
    a, b = (_normalised(pictures.column("coarse", p)) for p in (first, second))
    coarse = np.max([_correlation(a, turn(b, form)) for form in range(8)], axis=0)
    hopeful = np.flatnonzero(coarse >= COARSE_PROMISING)
    same = np.zeros(len(first), bool)
    if len(hopeful):
        first, second = first[hopeful], second[hopeful]
        forms, score, small = fit(pictures, first, second)
        within = (series[first] == series[second]) & (series[first] >= 0)
        least = np.where(
            small, np.where(within, SMALL_LEAST_WITHIN, SMALL_LEAST), np.where(within, FINE_LEAST_WITHIN, FINE_LEAST)
        )
        same[hopeful] = (score >= least) & (coarse[hopeful] >= COARSE_LEAST)
        # Slices of one series are cut out alike, and thin ones lie over each other well.
        near = np.flatnonzero(~same[hopeful] & (score >= PROMISING) & ~small & ~within)
        same[hopeful[near]] = _cropped(pictures, first[near], second[near], forms[near]) >= CROPPED_LEAST
    return same


def _cropped(pictures: Pictures, first: Integers, second: Integers, forms: Integers) -> NDArray[np.float32]:
    """How well the fine patterns of pairs agree, (N,), the second in its form and laid over the first."""
    others = pictures.column("fine", second)
    for form in range(1, 8):
        these = forms == form
        others[these] = turn(others[these], form)
    return fit_cropped(pictures.column("fine", first), others)


def _normalised(patterns: NDArray[np.int8]) -> NDArray[np.float32]:
    values = patterns.astype(np.float32)
    values /= np.maximum(np.sqrt(np.einsum("nij,nij->n", values, values)), 1e-12)[:, None, None]
    return values


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    products: NDArray[np.float32] = np.einsum("nij,nij->n", a, b)
    return products


def _chunks(count: int) -> Iterator[slice]:
    return (slice(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK))


def _in_order_of_appearance(labels: Integers) -> Integers:
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]
