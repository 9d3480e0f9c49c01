"""node.yaml: what is wrong with it is said by name, and nothing is guessed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from tumorlens.errors import ConfigError
from tumorlens.node.config import (
    DicomDestination,
    Feed,
    NodeConfig,
    StudySource,
    WebDestination,
    WebPeer,
    read_node_config,
)


def _write(folder: Path, text: str) -> Path:
    path = folder / "node.yaml"
    path.write_text(text)
    return path


def test_a_folder_is_all_it_takes(tmp_path: Path) -> None:
    config = read_node_config(_write(tmp_path, "folder: state"))
    assert config.folder == tmp_path / "state"
    assert (config.ae_title, config.bind, config.port) == ("TUMORLENS", "127.0.0.1", 11112)
    assert [rule.modality for rule in config.rules] == [("MR",)]


def test_destinations_are_told_apart_by_their_url(tmp_path: Path) -> None:
    text = """
folder: state
destinations:
  - {name: pacs, host: 10.0.0.1, port: 104, ae_title: PACS, commitment: true, tls: {authority: ca.pem}}
  - {name: web, url: "https://pacs.example/dicom-web"}
"""
    pacs, web = read_node_config(_write(tmp_path, text)).destinations
    assert isinstance(pacs, DicomDestination)
    assert pacs.tls is not None
    assert pacs.tls.authority == tmp_path / "ca.pem"
    assert isinstance(web, WebDestination)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no settings"),
        ("[1", "cannot be read as YAML"),
        ("folder: x\nae_titel: A", "ae_titel: there is no such setting"),
        ("folder: x\nae_title: WAY_TOO_LONG_A_TITLE", "ae_title"),
        ("folder: x\nport: 99999", "port"),
        ("folder: x\nrules: []", "rules"),
        ("folder: x\nrules: [{description: {include: '('}}]", "no regular expression"),
        ("folder: x\nrules: [{slices: [9, 3]}]", "least comes before"),
        ("folder: x\ntls: {}", "certificate and key"),
        ("folder: x\ncallers: [{ae_title: A, addresses: [nowhere]}]", "callers.0.addresses.0"),
        ("folder: x\ndestinations: [{name: a, url: ftp://x}]", "destinations.0.url"),
        ("folder: x\ndestinations: [{name: a, url: http://x}, {name: a, url: http://y}]", "same name"),
    ],
)
def test_what_is_wrong_is_said_by_name(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_node_config(_write(tmp_path, text))


def test_a_bare_yes_means_yes(tmp_path: Path) -> None:
    (rule,) = read_node_config(_write(tmp_path, "folder: x\nrules: [{contrast: yes}]")).rules
    assert rule.contrast == "yes"


def test_secrets_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = WebPeer(name="web", url="http://x", password_variable="NODE_TEST_PASSWORD")
    with pytest.raises(ConfigError, match="NODE_TEST_PASSWORD is not set"):
        peer.secret(peer.password_variable)
    monkeypatch.setenv("NODE_TEST_PASSWORD", "s3cret")
    assert peer.secret(peer.password_variable) == "s3cret"


_yaml = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*NodeConfig.model_fields, "other"]), _yaml, max_size=5))
def test_nonsense_is_refused_and_never_crashes(settings: dict[str, object]) -> None:
    with contextlib.suppress(ValidationError):
        NodeConfig.model_validate(settings)


def test_every_setting_is_in_the_reference() -> None:
    page = (Path(__file__).parents[2] / "docs" / "hospital.md").read_text(encoding="utf-8")

    def names(model: type[BaseModel]) -> Iterator[str]:
        for name, field in model.model_fields.items():
            yield name
            for inner in (field.annotation, *get_args(field.annotation)):
                if isinstance(inner, type) and issubclass(inner, BaseModel):
                    yield from names(inner)

    models = (NodeConfig, DicomDestination, WebDestination, StudySource, Feed)
    missing = {name for model in models for name in names(model) if f"`{name}" not in page}
    assert missing == set()
