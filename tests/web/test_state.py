"""Who asks, and what they ask for."""

import getpass

import pytest

from tests.web.conftest import Page, token


def test_without_accounts_who_sits_at_the_machine_is_an_admin(
    shared_page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody() -> str:
        raise KeyError("no such user")

    assert shared_page.get("/me").json()["role"] == "admin"
    monkeypatch.setattr(getpass, "getuser", nobody)  # as in a container whose user has no name
    assert shared_page.get("/me").json()["name"] == "local"


def test_a_token_that_does_not_hold_is_no_way_in_even_beside_a_cookie_that_does(guarded: Page) -> None:
    guarded.post("/login", json={"name": "jane", "password": "correct horse battery"})
    assert guarded.get("/me").json()["name"] == "jane"
    assert guarded.get("/me", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert guarded.get("/me", headers=token(guarded, "joe")).json()["name"] == "joe"


@pytest.mark.parametrize("path", ["/cases/0123", "/cases/0123/slices/1/scan.png"])
def test_a_case_that_is_not_there_is_said(shared_page: Page, path: str) -> None:
    answer = shared_page.get(path)
    assert answer.status_code == 404
    assert "no such case" in answer.json()["error"]


@pytest.mark.parametrize("number", [0, 2, 2**31])
def test_a_slice_that_is_not_there_is_said(shared_page: Page, jpeg: bytes, number: int) -> None:
    case = shared_page.read({"a.jpg": jpeg})["id"]
    answer = shared_page.get(f"/cases/{case}/slices/{number}/scan.png")
    assert answer.status_code == 404
    assert "no such slice" in answer.json()["error"]
