import json
from pathlib import Path

from tumorlens.evaluation.site.validation import Validation


def test_the_flow_accounts_for_every_file(validated: tuple[Validation, Path, list[str]]) -> None:
    validation, _, _ = validated
    assert [(s.count, s.unit) for s in validation.flow] == [
        (36, "files"),
        (34, "files"),
        (33, "files"),
        (32, "slices"),
    ]
    excluded = [sum(s.excluded.values()) for s in validation.flow]
    assert excluded == [0, 2, 1, 1]
    assert validation.scores.n == 32
    assert validation.scores.groups == 8
    assert sum(n for n, _ in validation.counts.values()) == 32


def test_json_holds_what_was_found(validated: tuple[Validation, Path, list[str]]) -> None:
    validation, folder, _ = validated
    found = json.loads((folder / "validation.json").read_text(encoding="utf-8"))
    assert found["scores"]["n"] == 32
    assert found["card"]["sha256"] == validation.card.sha256
    assert found["unreadable"][0]["name"] == "file 0001"
    assert "truncated" in found["unreadable"][0]["reason"]
