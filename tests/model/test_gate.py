"""Telling scans like those of the training from anything else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tumorlens.errors import DataError
from tumorlens.model.gate import Distance, Gate, checks

S = 32
Part = tuple[NDArray[np.float32], NDArray[np.float32]]


def heads(count: int, seed: int) -> NDArray[np.float32]:
    """(N, 1, 32, 32): a bright rim around a grey, grainy disc of some size and place, on black."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:S, 0:S] / (S - 1) - 0.5
    out = []
    for _ in range(count):
        a, b = rng.uniform(0.3, 0.42, 2)
        r = np.hypot((x - rng.normal(0, 0.02)) / a, (y - rng.normal(0, 0.02)) / b)
        inside = rng.uniform(0.3, 0.5) + rng.normal(0, 0.03, r.shape)
        out.append(np.where(r < 0.85, inside, np.where(r < 1, rng.uniform(0.6, 0.85), 0.01)))
    return np.clip(out, 0, 1).astype(np.float32)[:, None]


def pooled(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Stands for a network's pooled feature maps: means of rectified differences, and one dead map."""
    across, down = np.diff(images[:, 0], axis=2), np.diff(images[:, 0], axis=1)
    maps = [np.maximum(d, 0).mean((1, 2)) for d in (across, -across, down, -down)]
    return np.stack([*maps, np.zeros(len(images))], 1).astype(np.float32)


def part(count: int, seed: int) -> Part:
    images = heads(count, seed)
    return images, pooled(images)


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate.fit(part(300, 0), part(200, 1))


def strange(kind: str) -> NDArray[np.float32]:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:S, 0:S] / (S - 1)
    head = heads(1, 4)[0, 0]
    half = head.copy()
    half[:, S // 2 :] = 0
    pictures: dict[str, NDArray[np.floating]] = {
        "black": np.zeros((S, S)),
        "white": np.ones((S, S)),
        "noise": rng.random((S, S)),
        "gradient": x,
        "checkerboard": (np.floor(x * 8) + np.floor(y * 8)) % 2,
        "inverted": 1 - head,
        "half": half,
    }
    return np.asarray(pictures[kind], np.float32)[None, None]


@pytest.mark.parametrize("kind", ["black", "white", "noise", "gradient", "checkerboard", "inverted", "half"])
def test_what_is_no_scan_is_unknown_and_the_reason_is_said(gate: Gate, kind: str) -> None:
    image = strange(kind)
    (found,) = gate.judge(image, pooled(image))
    assert found.unknown
    assert found.score > 1
    assert found.reason.startswith("unlike the scans it was trained on: ")
    assert found.reason == found.reason.strip()


def test_the_reason_names_what_is_odd(gate: Gate) -> None:
    def reason(image: NDArray[np.float32]) -> str:
        return gate.judge(image, pooled(heads(1, 5)))[0].reason

    assert "almost all background" in reason(strange("black"))
    assert "large parts are white" in reason(strange("white"))
    assert "not seen in training" in gate.judge(heads(1, 5), pooled(heads(1, 5)) * 50)[0].reason


def test_scans_like_those_of_the_training_pass_nineteen_times_in_twenty(gate: Gate) -> None:
    others = gate.judge(*part(1000, 2))
    share = np.mean([not found.unknown for found in others])
    assert 0.9 < share < 0.99
    assert all((found.score > 1) == found.unknown == bool(found.reason) for found in others)
    validation = gate.judge(*part(200, 1))
    assert np.mean([not found.unknown for found in validation]) == pytest.approx(0.95, abs=0.01)


def test_the_share_to_accept_is_kept() -> None:
    lenient = Gate.fit(part(300, 0), part(200, 1), accepted=0.5)
    assert np.mean([not found.unknown for found in lenient.judge(*part(200, 1))]) == pytest.approx(0.5, abs=0.02)


def test_each_half_of_the_gate_can_close_it(gate: Gate) -> None:
    images, features = part(1, 8)
    assert not gate.judge(images, features)[0].unknown
    assert gate.judge(strange("white"), features)[0].unknown
    assert gate.judge(images, pooled(strange("checkerboard")))[0].unknown


def test_a_scan_is_judged_alone_as_in_company(gate: Gate) -> None:
    images, features = part(6, 7)
    together = [found.score for found in gate.judge(images, features)]
    alone = [gate.judge(images[i : i + 1], features[i : i + 1])[0].score for i in range(6)]
    assert alone == pytest.approx(together)


def test_a_gate_survives_its_tensors_and_is_small(gate: Gate) -> None:
    tensors = gate.tensors()
    assert {t.dtype for t in tensors.values()} == {np.dtype(np.float32)}
    assert sum(t.nbytes for t in tensors.values()) < 3000
    again = Gate.of_tensors(tensors)
    assert again.judge(*part(5, 8)) == gate.judge(*part(5, 8))
    del tensors["features.centre"]
    with pytest.raises(KeyError, match=r"features\.centre"):
        Gate.of_tensors(tensors)


def test_a_dead_feature_map_does_not_decide(gate: Gate) -> None:
    """A map that was silent in training may stir a little: that alone is no reason to call a scan unknown."""
    images, features = part(1, 9)
    before = gate.judge(images, features)[0].score
    features[:, -1] = 1e-5
    assert gate.judge(images, features)[0].score == pytest.approx(before, abs=0.2)


def test_fewer_scans_than_values_still_make_a_gate() -> None:
    few = Gate.fit(part(5, 0), part(3, 1))
    assert np.isfinite([found.score for found in few.judge(*part(3, 1))]).all()
    assert not any(found.unknown for found in few.judge(*part(3, 1)))
    with pytest.raises(DataError, match="too few scans"):
        Gate.fit(part(5, 0), part(1, 1))


def test_the_distance_is_mahalanobis_where_there_are_scans_enough() -> None:
    rng = np.random.default_rng(0)
    mix = np.array([[1, 0.5, 0], [0, 1, 0.3], [0, 0, 2]])
    values = rng.normal(size=(20_000, 3)) @ mix + 5
    queries = rng.normal(size=(50, 3)) @ mix + 6
    inverse = np.linalg.inv(np.cov(values.T))
    off = queries - values.mean(0)
    expected = np.sqrt(np.einsum("ni,ij,nj->n", off, inverse, off))
    found, standardised = Distance.fit(values)(torch.from_numpy(queries))
    np.testing.assert_allclose(found, expected, rtol=0.01)
    np.testing.assert_allclose(standardised, off / values.std(0), rtol=0.01)
    nearer, _ = Distance.fit(values).relative_to(2.5)(torch.from_numpy(queries))
    np.testing.assert_allclose(nearer, expected / 2.5, rtol=0.01)


def test_the_shrinkage_is_scikit_learns() -> None:
    covariance = pytest.importorskip("sklearn.covariance")
    values = np.random.default_rng(0).normal(size=(30, 12)) @ np.diag(np.linspace(0.5, 2, 12))
    distance = Distance.fit(values)
    z = (values - values.mean(0)) / values.std(0)
    oracle = covariance.OAS(assume_centered=True).fit(z)
    np.testing.assert_allclose(distance(torch.from_numpy(values))[0] ** 2, oracle.mahalanobis(z), rtol=0.05)


@pytest.mark.parametrize(("channels", "side"), [(1, 16), (3, 64), (1, 100)])
def test_checks_take_any_input_and_stay_finite(channels: int, side: int) -> None:
    images = np.stack([np.full((channels, side, side), v, np.float32) for v in (0, 0.5, 1)])
    found = checks(torch.from_numpy(images)).numpy()
    assert found.shape == (3, 16)
    assert np.isfinite(found).all()


def test_checks_say_where_the_content_lies() -> None:
    left, low = np.zeros((2, 1, 1, S, S), np.float32)
    left[..., : S // 4] = 1
    low[..., S // 2 + 4 :, :] = 1
    across, down = checks(torch.from_numpy(np.concatenate([left, low])))[:, 8:10].T.numpy()
    assert across[0] < -0.2 < 0.2 < down[1]
    assert across[1] == pytest.approx(0, abs=1e-6)
    assert down[0] == pytest.approx(0, abs=1e-6)
