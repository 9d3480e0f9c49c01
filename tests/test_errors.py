"""Errors: one line that names file and remedy, in one tree, whole after a trip between processes."""

import pickle
import re
from pathlib import Path

import pytest

from tumorlens import errors
from tumorlens.errors import InputError, MissingExtra, NotAScan, TooLarge, TumorLensError, UnreadableFile, needs_extra


def test_one_except_catches_everything() -> None:
    classes = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, Exception)]
    assert len(classes) > 8
    assert all(issubclass(e, TumorLensError) for e in classes)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn: dict[str, str] = {}
    above = {0: "TumorLensError"}  # names by how far they are indented
    for branch, name in re.findall(r"^ {4}([│ ]*[├└]── )(\w+)", errors.__doc__ or "", re.M):
        drawn[name] = above[len(branch) - 4]
        above[len(branch)] = name
    classes = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, TumorLensError)]
    assert drawn == {c.__name__: c.__mro__[1].__name__ for c in classes if c is not TumorLensError}


def test_no_error_of_ours_stands_outside_the_tree() -> None:
    modules = [p for p in Path(errors.__file__).parent.rglob("*.py") if p.name != "errors.py"]
    pattern = re.compile(r"^class \w+\(\w*(?:Error|Exception)\)", re.M)
    assert [(p.name, found) for p in modules if (found := pattern.findall(p.read_text("utf-8")))] == []


def test_a_message_is_one_line_with_file_problem_and_remedy() -> None:
    error = UnreadableFile(Path("a/b.png"), "the file is\n truncated", "export it\nagain")
    assert str(error) == "a/b.png: the file is truncated; export it again"
    assert (error.source, error.problem, error.remedy) == (
        "a/b.png",
        "the file is truncated",
        "export it again",
    )


@pytest.mark.parametrize("error", [TooLarge("x.png", "is large", "make it small"), MissingExtra("training", "train")])
def test_errors_cross_process_borders(error: TumorLensError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


def test_a_missing_extra_says_what_to_run() -> None:
    assert "pip install '.[train]'" in str(MissingExtra("training", "train"))


def test_a_missing_package_is_told_from_a_bug_of_ours() -> None:
    with pytest.raises(MissingExtra, match="training needs packages"), needs_extra("training", "train"):
        raise ModuleNotFoundError("no lightning", name="lightning")
    with pytest.raises(ModuleNotFoundError), needs_extra("training", "train"):
        raise ModuleNotFoundError("no tumorlens.oops", name="tumorlens.oops")


def test_input_errors_can_be_told_from_others() -> None:
    assert issubclass(NotAScan, InputError)
    assert not issubclass(MissingExtra, InputError)
