import logging
import threading
import warnings

import numpy as np
import pytest

from tumorlens.errors import TooLarge, UnreadableFile
from tumorlens.formats.checks import parsing, robust_range, stretch


def test_parsing_turns_any_error_into_ours_and_keeps_the_cause():
    cause = KeyError("Doe^Jane")
    with pytest.raises(UnreadableFile) as caught, parsing("a.dcm"):
        raise cause
    assert caught.value.__cause__ is cause
    assert "Doe" not in str(caught.value)


def test_out_of_memory_is_too_large():
    with pytest.raises(TooLarge, match="memory"), parsing("a.dcm"):
        raise MemoryError


def test_our_own_errors_pass():
    with pytest.raises(TooLarge, match="big"), parsing("a.dcm"):
        raise TooLarge("a.dcm", "big", "shrink it")


def test_parsers_are_silent_only_while_parsing(caplog):
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


def test_threads_that_overlap_leave_warnings_as_they_were():
    before = list(warnings.filters)
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def first():
        with parsing("a"):
            first_in.set()
            second_in.wait(5)
        first_out.set()

    def second():
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


def test_robust_range_ignores_outliers_and_background():
    values = np.random.default_rng(0).uniform(100, 200, 10_000)
    values[0] = 1e9
    low, high = robust_range(values)
    assert 100 <= low < 102
    assert 198 < high <= 200
    values[100:9000] = 0
    assert robust_range(values)[0] == 0
    assert robust_range(values, ignore_zero=True)[0] > 100


def test_robust_range_of_a_few_bright_pixels_is_the_whole_range():
    values = np.zeros(10_000)
    values[3] = 5
    assert robust_range(values) == (0, 5)
    assert robust_range(np.zeros(100), ignore_zero=True) == (0, 0)


def test_robust_range_of_many_values_is_that_of_a_sample():
    values = np.random.default_rng(0).normal(size=9_000_000).astype(np.float32)
    assert robust_range(values) == pytest.approx((-2.576, 2.576), abs=0.02)


def test_stretch():
    assert stretch(np.array([0.0, 5, 10, 20]), 0, 10).tolist() == [0, 0.5, 1, 1]
    assert stretch(np.array([3.0, 4]), 3, 3).tolist() == [0, 0]
    extremes = np.array([-3e38, 0, 3e38], np.float32)
    assert stretch(extremes, float(extremes[0]), float(extremes[2])).tolist() == [0, 0.5, 1]
