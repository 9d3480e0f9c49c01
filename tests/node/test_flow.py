from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rehearsal.archive import Archive
from rehearsal.kills import wait_for
from rehearsal.phantoms import CT, make_instance, prepare_pretend
from tests.node.helpers import StartNode, deliver, study_of, until
from tumorlens.errors import ConfigError, ModelError
from tumorlens.node import node as node_module
from tumorlens.node.config import NodeConfig
from tumorlens.node.flow import check_analysis
from tumorlens.node.status import dead_letters


def test_a_study_that_grows_is_analysed_again_whole_and_earlier_results_stay(
    start_node: StartNode, archive: Archive, destination: dict[str, Any], tmp_path: Path
) -> None:
    node = start_node(destinations=[destination])
    deliver(node, study_of("grows", 2))
    until(node, done=1)
    deliver(node, study_of("grows", 5))
    wait_for(lambda: len(archive.stored) == 2)
    until(node, done=1)
    counts = [int(line.split()[1]) for line in (tmp_path / "analysed").read_text().splitlines()]
    assert counts == [2, 5]
    assert node.ledger.value("SELECT max(number) FROM revisions") == 2
    assert len(list(node.spool.results.rglob("*.dcm"))) == 2


def test_growth_that_the_rules_do_not_take_is_not_analysed(
    start_node: StartNode, archive: Archive, destination: dict[str, Any]
) -> None:
    node = start_node(destinations=[destination])
    deliver(node, study_of("scout", 2))
    until(node, done=1)
    scout = make_instance("scout", 9, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    deliver(node, [scout])
    wait_for(lambda: node.ledger.value("SELECT count(*) FROM revisions WHERE state = 'done'") == 2)
    assert sum(archive.stored.values()) == 1
    assert (
        node.ledger.value("SELECT note FROM revisions WHERE number = 2") == "nothing new in the series that are taken"
    )


def test_a_study_that_no_rule_takes_is_done_and_says_why(start_node: StartNode) -> None:
    node = start_node()
    deliver(node, study_of("ct", 2, Modality="CT"))
    until(node, done=1)
    assert "modality CT, and MR is wanted" in node.ledger.value("SELECT note FROM revisions")


def test_the_rule_that_takes_a_series_chooses_its_weights(
    start_node: StartNode,
    archive: Archive,
    destination: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for weights in ("for mr", "for ct"):
        (tmp_path / weights).mkdir()
    monkeypatch.setattr(
        node_module, "prepare_analysis", lambda weights, rule: partial(prepare_pretend, tmp_path / weights)
    )
    rules = [{"name": "mr"}, {"name": "ct", "modality": ["CT"], "weights": "for ct"}]
    node = start_node(own_analysis=True, weights="for mr", rules=rules, destinations=[destination])
    of_ct = [make_instance("both", n, **CT, SeriesInstanceUID="1.2.3", SOPInstanceUID=f"1.2.3.{n}") for n in (1, 2, 3)]
    deliver(node, [*study_of("both", 2), *of_ct])
    until(node, done=1)
    counts = {w: (tmp_path / w / "analysed").read_text().split()[1] for w in ("for mr", "for ct")}
    assert counts == {"for mr": "2", "for ct": "3"}
    assert len(archive.stored) == 2
    assert len(list(node.spool.results.rglob("*.dcm"))) == 2


def test_each_rule_needs_weights_that_know_what_it_takes(tmp_path: Path) -> None:
    def config(*rules: dict[str, Any]) -> NodeConfig:
        return NodeConfig.model_validate({"folder": tmp_path, "rules": rules})

    check_analysis(config({"name": "mr"}))
    with pytest.raises(ConfigError, match=r"rule ct: takes CT, and the weights cnn_lstm_efficientnet know MR only"):
        check_analysis(config({"name": "mr"}, {"name": "ct", "modality": ["CT"]}))
    with pytest.raises(ModelError, match="no such weights"):
        check_analysis(config({"name": "ct", "modality": ["CT"], "weights": "nowhere"}))


def test_a_corrupt_instance_is_a_dead_letter_and_the_rest_goes_on(
    start_node: StartNode, archive: Archive, destination: dict[str, Any], tmp_path: Path
) -> None:
    node = start_node(destinations=[destination])
    instances = study_of("corrupt", 4)
    instances[2].PixelData = instances[2].PixelData[:100]
    assert deliver(node, instances) == [0x0000] * 4
    until(node, done=1)
    (letter,) = dead_letters(node.ledger)
    assert (letter.what, letter.uid) == ("instance", str(instances[2].SOPInstanceUID))
    assert (tmp_path / "analysed").read_text().split()[1] == "3"
    assert len(archive.stored) == 1


def test_the_good_copy_of_a_corrupt_instance_heals_the_study(start_node: StartNode, tmp_path: Path) -> None:
    node = start_node()
    instances = study_of("heals", 3)
    good, instances[1].PixelData = make_instance("heals", 2), bytes(10)
    deliver(node, instances)
    until(node, done=1)
    deliver(node, [good])
    wait_for(lambda: len((tmp_path / "analysed").read_text().splitlines()) == 2)
    assert (tmp_path / "analysed").read_text().split()[-1] == "3"
    assert dead_letters(node.ledger) == []


def test_results_that_cannot_be_written_are_made_again_and_cost_no_try(
    start_node: StartNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = start_node(analysis={"tries": 1})
    with monkeypatch.context() as patched:

        def full(*_: object) -> list[Path]:
            raise OSError(28, "No space left on device")

        patched.setattr(node.spool, "keep_results", full)
        deliver(node, study_of("unwritten", 2))
        wait_for(
            lambda: node.ledger.value("SELECT count(*) FROM revisions WHERE state = 'waiting' AND next_try > 0") == 1
        )
    until(node, done=1)
    assert node.ledger.value("SELECT tries FROM revisions") == 1
