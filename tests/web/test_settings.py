"""How the page is run: its folder, its database, and who may ask."""

from pathlib import Path

import pytest

from tumorlens.errors import ConfigError
from tumorlens.web.settings import Settings, default_home, is_local


@pytest.mark.parametrize(
    ("database", "url"),
    [
        ("postgresql://u:p@h/x", "postgresql+pg8000://u:p@h/x"),
        ("postgres://u:p@h/x", "postgresql+pg8000://u:p@h/x"),
        ("sqlite:////tmp/x.db", "sqlite:////tmp/x.db"),
    ],
)
def test_a_database_is_named_as_its_own_tools_name_it(tmp_path: Path, database: str, url: str) -> None:
    assert Settings(home=tmp_path, database=database).database_url == url


@pytest.mark.parametrize("database", ["mysql://u:secret@h/x", "sqlite", "nonsense"])
def test_another_database_is_refused_without_its_password(tmp_path: Path, database: str) -> None:
    with pytest.raises(ConfigError, match="postgresql://") as caught:
        _ = Settings(home=tmp_path, database=database).database_url
    assert "secret" not in str(caught.value)


def test_without_a_database_a_file_in_the_folder_is_taken(tmp_path: Path) -> None:
    assert Settings(home=tmp_path).database_url == f"sqlite:///{tmp_path / 'tumorlens.db'}"


def test_the_folder_is_for_nobody_else_and_its_secret_stays(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    secret = settings.prepare()
    assert len(secret) == 32
    assert settings.prepare() == secret
    assert (tmp_path / "home").stat().st_mode & 0o077 == 0
    assert (tmp_path / "home" / "secret").stat().st_mode & 0o077 == 0


def test_the_database_is_for_nobody_else(tmp_path: Path) -> None:
    (tmp_path / "tumorlens.db").touch(0o644)  # as earlier versions left it
    Settings(home=tmp_path).prepare()
    assert (tmp_path / "tumorlens.db").stat().st_mode & 0o777 == 0o600


def test_the_page_knows_the_address_it_is_bound_to(tmp_path: Path) -> None:
    assert "127.0.0.2" in Settings(home=tmp_path, host="127.0.0.2").allowed_hosts
    assert Settings(home=tmp_path, host="127.0.0.1").allowed_hosts == ("127.0.0.1", "localhost", "[::1]")


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="choose another --home"):
        Settings(home=tmp_path / "file" / "home").prepare()


@pytest.mark.parametrize(
    ("host", "local"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("pc", False)]
)
def test_only_this_machine_may_ask_by_its_own_names(tmp_path: Path, host: str, local: bool) -> None:
    assert is_local(host) == local
    assert bool(Settings(home=tmp_path, host=host).allowed_hosts) == local
    assert Settings(home=tmp_path, host=host, hosts=("scans.example",)).allowed_hosts == ("scans.example",)


def test_cases_lie_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    monkeypatch.delenv("TUMORLENS_HOME", raising=False)
    assert default_home() == Path("/data/tumorlens")
    monkeypatch.setenv("TUMORLENS_HOME", "/scans")
    assert default_home() == Path("/scans")
