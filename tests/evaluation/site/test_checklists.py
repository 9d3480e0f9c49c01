import re
import string
from importlib import resources

import pytest
import yaml

from tumorlens.evaluation.site.checklists import FORMS, TO_DO, Form, FormItem, fill_form


class Everything(dict[str, str]):
    """Any fact one asks for, under its own name."""

    def __missing__(self, name: str) -> str:
        return f"<{name}>"


def test_claim_has_its_44_items_in_order() -> None:
    form = fill_form("claim_2024", Everything())
    assert [item.number for item in form.items] == [str(n) for n in range(1, 45)]


def test_tripod_has_its_27_items_in_order() -> None:
    numbers = [item.number for item in fill_form("tripod_ai", Everything()).items]
    whole = [int(re.match(r"\d+", n)[0]) for n in numbers]
    assert sorted(set(whole)) == list(range(1, 28))
    assert whole == sorted(whole)
    assert len(set(numbers)) == len(numbers) == 52


def test_the_model_card_follows_the_example() -> None:
    sections = [name for name, _ in fill_form("model_card", Everything()).sections]
    assert sections == [
        "Device information",
        "Regulatory status",
        "Description",
        "Performance and limitations",
        "Risk management",
        "Development",
    ]
    assert "To be verified" in fill_form("model_card", Everything()).citation


@pytest.mark.parametrize("name", FORMS)
def test_every_item_is_filled_in_or_to_do(name: str) -> None:
    for item in fill_form(name, Everything()).items:
        assert item.filled or item.todo, item.number
        assert "{" not in item.filled + item.todo


@pytest.mark.parametrize("name", FORMS)
def test_the_markdown_holds_every_item(name: str) -> None:
    form = fill_form(name, Everything())
    text = form.markdown()
    assert text.startswith(f"# {form.title}\n")
    lines = [line for line in text.splitlines() if line.startswith("- **")]
    assert len(lines) == len(form.items)
    for line, item in zip(lines, form.items, strict=True):
        assert item.title in line
        assert (f"**{TO_DO}:**" in line) == bool(item.todo)


@pytest.mark.parametrize("name", FORMS)
def test_a_fact_that_is_missing_is_no_blank(name: str) -> None:
    with pytest.raises(KeyError):
        fill_form(name, {})


@pytest.mark.parametrize("name", FORMS)
def test_facts_are_put_in_as_they_are(name: str) -> None:
    text = (resources.files("tumorlens.evaluation.site") / "forms" / f"{name}.yaml").read_text("utf-8")
    wanted = {
        f
        for item in yaml.safe_load(text)["items"]
        for _, f, _, _ in string.Formatter().parse(item.get("filled", ""))
        if f
    }
    braces = dict.fromkeys(wanted, "{a} brace")  # a hospital's folder may be called anything
    assert "{a} brace" in fill_form(name, braces).markdown()


def test_status_and_summary() -> None:
    items = (
        FormItem(section="s", number="1", title="t", filled="known"),
        FormItem(section="s", number="2", title="t", filled="known", todo="more"),
        FormItem(section="s", number="3", title="t", todo="all"),
    )
    form = Form(title="f", citation="c", items=items)
    assert [i.status for i in items] == ["filled", "in part", "to do"]
    assert form.summary == "Of 3 items, 1 are filled in, 1 in part, 1 are to do."
