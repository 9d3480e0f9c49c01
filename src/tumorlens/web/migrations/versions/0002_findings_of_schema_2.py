"""Findings as schema 2 has them: an unknown scan loses its class, and all that seemed to speak for one."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_CASES = sa.table(
    "cases",
    *(sa.column(name) for name in ("id", "label", "confidence", "uncertainty", "unknown")),
    sa.column("study", sa.JSON()),
)
_SLICES = sa.table("slices", sa.column("case_id"), sa.column("number"), sa.column("content", sa.JSON()))
_SAME = ("source", "frame", "label", "explained", "method", "region", "heatmap", "overlay")
_CLOSE_CALL = 0.6  # as it was when these findings were made


def upgrade() -> None:
    """Rewrites slices and cases."""
    connection = op.get_bind()
    for row in connection.execute(sa.select(_SLICES)).all():
        here = (_SLICES.c.case_id == row.case_id) & (_SLICES.c.number == row.number)
        connection.execute(_SLICES.update().where(here).values(content=_slice(row.content)))
    for row in connection.execute(sa.select(_CASES)).all():
        if row.study:
            values: dict[str, Any] = {"study": _study(row.study, bool(row.unknown))}
            if row.unknown:
                values |= {"label": "", "confidence": 0.0, "uncertainty": 1.0}
            connection.execute(_CASES.update().where(_CASES.c.id == row.id).values(**values))


def _slice(content: dict[str, Any]) -> dict[str, Any]:
    old = content["finding"]
    gate = old["unknown"] or {"score": None, "unknown": False, "reason": ""}
    unknown = gate["unknown"]
    confidence = None if unknown else old["probabilities"][old["label"]]
    # The reason and the close call were warnings.
    warnings = [w for w in old["warnings"] if w != gate["reason"] and not w.startswith("close call: ")]
    finding = {
        **{key: old[key] for key in _SAME},
        "unknown": unknown,
        "strangeness": gate["score"],
        "reason": gate["reason"],
        "confidence": confidence,
        "close_call": confidence is not None and confidence < _CLOSE_CALL,
        "probabilities": {} if unknown else old["probabilities"],
        "prediction_set": [] if unknown else old["prediction_set"],
        "warnings": warnings,
    }
    if unknown:
        finding |= {"label": None, "explained": None, "method": "", "region": None}
    # Heat without a region was that of a class that means nothing was found, or all zero.
    regions = {key: region for key, region in content["regions"].items() if region is not None and not unknown}
    return {**content, "finding": finding, "regions": regions, "evidence": dict.fromkeys(regions, True)}


def _study(old: dict[str, Any], unknown: bool) -> dict[str, Any]:
    new = {**old, "unknown": unknown, "unknown_slices": old["unknown"], "series": []}
    if unknown:
        text = "not assessable: every slice is unlike the scans of the training"
        return {**new, "label": None, "probabilities": {}, "answer": "not assessable", "uncertain": True, "text": text}
    confidence = old["probabilities"][old["label"]]
    answer = "absent" if old["label"] == "no_tumor" else "present"
    answer = "uncertain" if confidence < _CLOSE_CALL else answer
    text = f"{old['label'].replace('_', ' ')}, {confidence:.0%}"
    return {**new, "answer": answer, "uncertain": answer == "uncertain", "text": text}
