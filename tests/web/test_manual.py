"""The API's page has every operation, with a form that asks for what it takes."""

from __future__ import annotations

import json
import re

from tests.web.conftest import Page
from tumorlens.web.manual import operations


def test_every_operation_is_there_once(shared_page: Page) -> None:
    document = shared_page.app.openapi()
    groups = operations(document)
    every = [operation for group in groups.values() for operation in group]

    assert len(every) == sum(len(methods) for methods in document["paths"].values())
    assert len({operation.key for operation in every}) == len(every)
    assert {"cases", "findings", "feedback", "reports", "pictures", "access", "system"} <= set(groups)
    text = shared_page.http.get("/api").text
    for operation in every:
        assert text.count(f'id="{operation.key}"') == 1
        assert f'href="#{operation.key}"' in text
    assert "`" not in text
    assert text.count('<form class="try"') == len([operation for operation in every if operation.tried])


def test_forms_ask_for_what_an_operation_takes(shared_page: Page) -> None:
    every = {o.key: o for group in operations(shared_page.app.openapi()).values() for o in group}
    search = {p.name: p for p in every["get-api-v1-cases"].parameters}
    assert search["sort"].choices == ("newest", "oldest", "uncertainty", "title")
    assert (search["sort"].default, search["limit"].default, search["text"].default) == ("newest", "50", "")
    assert search["unknown"].choices == ("true", "false")
    assert (search["status"].choices[0], search["status"].required) == ("uploading", False)
    (case,) = (p for p in every["get-api-v1-cases-case_id"].parameters)
    assert (case.where, case.required) == ("path", True)
    assert every["post-api-v1-findings"].body == "file"
    assert not every["get-api-v1-events"].tried


def test_the_examples_are_bodies_that_are_taken(shared_page: Page) -> None:
    every = {o.key: o for group in operations(shared_page.app.openapi()).values() for o in group}
    new = every["post-api-v1-cases"]
    assert json.loads(new.example) == {"title": "", "axis": "axial"}
    case = shared_page.post("/cases", json=json.loads(new.example)).json()["id"]
    change = every["patch-api-v1-cases-case_id"]
    assert shared_page.http.patch(f"/api/v1/cases/{case}", json=json.loads(change.example)).status_code == 200
    login = json.loads(every["post-api-v1-login"].example)
    assert set(login) == {"name", "password"}


def test_titles_are_first_sentences(shared_page: Page) -> None:
    titles = [o.title for group in operations(shared_page.app.openapi()).values() for o in group]
    assert all(title and not re.search(r"[.;:]$", title) for title in titles)
    assert max(map(len, titles)) < 120
