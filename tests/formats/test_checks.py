import logging
import threading
import warnings

import pytest

from tumorlens.errors import TooLarge, UnreadableFile
from tumorlens.formats.checks import parsing


def test_parsing_turns_any_error_into_ours_and_keeps_the_cause() -> None:
    cause = KeyError("Doe^Jane")
    with pytest.raises(UnreadableFile) as caught, parsing("a.dcm"):
        raise cause
    assert caught.value.__cause__ is cause
    assert "Doe" not in str(caught.value)


def test_out_of_memory_is_too_large() -> None:
    with pytest.raises(TooLarge, match="memory"), parsing("a.dcm"):
        raise MemoryError


def test_our_own_errors_pass() -> None:
    with pytest.raises(TooLarge, match="big"), parsing("a.dcm"):
        raise TooLarge("a.dcm", "big", "shrink it")


def test_parsers_are_silent_only_while_parsing(caplog: pytest.LogCaptureFixture) -> None:
    warn = compile("warnings.warn('Doe^Jane')", "misc.py", "exec")
    module = {"__name__": "pydicom.misc", "warnings": warnings}
    with parsing("a.dcm"):
        exec(warn, module)
        logging.getLogger("pydicom").error("Doe^Jane")
    assert caplog.text == ""
    with pytest.warns(UserWarning, match="Doe"):
        exec(warn, module)
    logging.getLogger("pydicom").error("heard again")
    assert "heard again" in caplog.text


def test_threads_that_overlap_leave_warnings_as_they_were() -> None:
    before = list(warnings.filters)
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with parsing("a"):
            first_in.set()
            second_in.wait(5)
        first_out.set()

    def second() -> None:
        first_in.wait(5)
        with parsing("b"):
            second_in.set()
            first_out.wait(5)

    threads = [threading.Thread(target=f) for f in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert first_out.is_set()
    assert list(warnings.filters) == before
    assert not logging.getLogger("pydicom").disabled
