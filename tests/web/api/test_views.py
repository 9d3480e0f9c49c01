"""Rows of the database as the API has them."""

from tests.web.conftest import Page
from tumorlens.web.api.views import CaseView
from tumorlens.web.tables import Case


def test_a_case_without_an_answer_has_no_words_and_an_end() -> None:
    view = CaseView.of(Case(title="a", owner="jane", created=1000.0, weights_name="w"), keep_days=2)
    assert (view.words, view.headline, view.verdict, view.weights) == ("", "", "", "w")
    assert view.expires == 1000 + 2 * 86400


def test_a_case_is_told_in_a_line_with_its_key_slices_unless_all_is_unknown() -> None:
    study = {"text": "Glioma", "answer": "present", "unknown": False, "key_slices": [3, 4]}
    case = Case(title="a", owner="jane", study=study)
    assert "Glioma" in CaseView.of(case, 1).headline
    assert "3" in CaseView.of(case, 1).headline
    case.study = study | {"unknown": True}
    assert "3" not in CaseView.of(case, 1).headline


def test_pictures_have_addresses_and_the_answer_has_words(shared_page: Page, jpeg: bytes) -> None:
    case = shared_page.read({"a.jpg": jpeg})["id"]
    (shown,) = shared_page.get(f"/cases/{case}/slices").json()
    assert shown["words"].lower().startswith("meningioma")
    assert set(shown["heat"]) == set(shown["regions"])
    for address in (shown["scan"], shown["finding"]["overlay"], *shown["heat"].values()):
        assert shared_page.http.get(address).headers["content-type"] == "image/png"


def test_what_is_no_text_or_not_known_is_refused(shared_page: Page) -> None:
    assert shared_page.post("/cases", json={"title": "a\0b"}).status_code == 422
    assert shared_page.post("/cases", json={"titel": "a"}).status_code == 422
