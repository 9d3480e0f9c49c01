"""What a person at a terminal sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tumorlens.batch import Outcome, Tally
from tumorlens.card import Calibration, WeightsCard
from tumorlens.classes import BRAIN_TUMORS
from tumorlens.cli.console import Console
from tumorlens.evaluation.metrics import score
from tumorlens.evaluation.predictions import Predictions
from tumorlens.evidence import Region
from tumorlens.finding import FailureRecord, Finding, FindingsDocument, WeightsId
from tumorlens.preprocess import Preprocessing
from tumorlens.study_record import Answer, KeySlice, StudyRecord

WEIGHTS = WeightsId(name="tiny", sha256="0" * 64)
CARD = WeightsCard(
    name="tiny",
    network="cnn",
    preprocessing=Preprocessing(),
    classes=BRAIN_TUMORS,
    calibration=Calibration(scans={}, coverage=0.93, set_thresholds={}, accepted=0.95),
)


def _document(count: int = 1, **changes: object) -> FindingsDocument:
    probabilities = {"glioma": 0.72, "meningioma": 0.2, "pituitary": 0.05, "no_tumor": 0.03}
    found = Finding("scan.png", 0, "glioma", probabilities, WEIGHTS, **changes)  # type: ignore[arg-type]
    return FindingsDocument.of(WEIGHTS, [found.record()] * count, [])


def test_a_row_says_what_how_sure_where_and_what_speaks_against(capsys: pytest.CaptureFixture[str]) -> None:
    region = Region(box=(10, 20, 33, 44), contour=((0, 0),), area=1)
    Console().findings(_document(region=region, warnings=("a colour picture", "small")), CARD)
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split("  ")[0] == "scan.png"
    for said in ("glioma", "72%", "10, 20 – 33, 44", "a colour picture; small"):
        assert said in out
    assert err == ""


def test_an_unknown_scan_has_a_reason_and_no_class(capsys: pytest.CaptureFixture[str]) -> None:
    reason = "unlike the scans it was trained on: too dark (distance 3.00, accepted up to 1)"
    unknown = Finding("scan.png", 0, None, {}, WEIGHTS, unknown=True, strangeness=3, reason=reason)
    Console().findings(FindingsDocument.of(WEIGHTS, [unknown.record()], []), CARD)
    row = capsys.readouterr().out.splitlines()[1]
    assert "unknown scan" in row
    assert reason in row
    assert not any(c.name in row for c in BRAIN_TUMORS)
    assert "%" not in row
    Console().findings(_document(strangeness=0.5), CARD)
    assert "unknown" not in capsys.readouterr().out


def test_a_prediction_set_comes_with_its_coverage_and_only_if_it_has_more_than_the_class(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Console().findings(_document(prediction_set=("glioma", "meningioma")), CARD)
    assert "glioma, 72%; prediction set (93%): glioma or meningioma" in capsys.readouterr().out
    Console().findings(_document(prediction_set=("glioma",)), CARD)
    assert "set" not in capsys.readouterr().out


def test_a_region_for_another_class_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    region = Region(box=(10, 20, 33, 44), contour=((0, 0),), area=1)
    Console().findings(_document(region=region, explained="meningioma"), CARD)
    assert "region for meningioma: 10, 20 – 33, 44" in capsys.readouterr().out
    close = {"glioma": 0.4, "meningioma": 0.35, "pituitary": 0.2, "no_tumor": 0.05}
    finding = Finding("scan.png", 0, "glioma", close, WEIGHTS, region=region, explained="glioma")
    Console().findings(FindingsDocument.of(WEIGHTS, [finding.record()], []), CARD)
    assert "region for glioma: 10, 20 – 33, 44" in capsys.readouterr().out


def test_slices_of_a_volume_are_numbered_from_one(capsys: pytest.CaptureFixture[str]) -> None:
    probabilities = {"glioma": 0.9, "no_tumor": 0.1}
    volume = [Finding("v.nii.gz", frame, "glioma", probabilities, WEIGHTS).record() for frame in (0, 1)]
    picture = Finding("p.png", 0, "glioma", probabilities, WEIGHTS).record()
    Console().findings(FindingsDocument.of(WEIGHTS, [*volume, picture], []), CARD)
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split("  ")[0] for row in rows] == ["v.nii.gz, slice 1", "v.nii.gz, slice 2", "p.png"]


def test_a_piped_table_does_not_fold_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    warning = "the scan is smaller (32 x 32) than the network's input"
    Console().findings(_document(warnings=(warning,)), CARD)
    out, _ = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert warning in out


def _outcome(count: int, kept: int) -> Outcome:
    tally = Tally(Counter(glioma=count - 50, no_tumor=20), close_calls=10, unknown=20)
    return Outcome(CARD, tally, failures=1, kept=list(_document(kept).findings))


SUMMARY = "1,172 scans: 1,122 glioma, 20 no tumour, 10 close calls, 20 unknown, 1 file failed"


@pytest.mark.parametrize("kept", [40, 1172])
@pytest.mark.parametrize("quiet", [True, False])
def test_of_many_findings_a_line_counts_them_and_a_line_shows_each_study(
    capsys: pytest.CaptureFixture[str], kept: int, quiet: bool
) -> None:
    outcome = _outcome(1172, kept)
    outcome.studies, outcome.kept_studies = 1, [_study("glioma suspected, 90%", [("a.nii", 3)])]
    Console(quiet=quiet).outcome(outcome, None)
    out, err = capsys.readouterr()
    _, head, study, summary = out.splitlines()
    assert head.startswith("study or volume")
    assert "glioma suspected, 90%" in study
    assert summary == SUMMARY
    assert ("for a line a scan: --json, or a folder with --output" in err) is not quiet


def test_one_finding_needs_no_count(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = Outcome(CARD, Tally(Counter(glioma=1)), kept=list(_document().findings))
    Console(quiet=True).outcome(outcome, None)
    assert len(capsys.readouterr().out.splitlines()) == 2


def _study(text: str, sources: Sequence[tuple[str, int]], answer: Answer = "present") -> StudyRecord:
    return StudyRecord(
        source="study",
        answer=answer,
        text=text,
        label=None,
        probabilities={},
        uncertain=answer != "present",
        unknown=answer == "not assessable",
        key_slices=tuple(KeySlice(source=source, frame=frame) for source, frame in sources),
        slices=20,
        unknown_slices=0,
        counts={},
        series=(),
    )


def test_studies_have_a_line_each_after_the_slices(capsys: pytest.CaptureFixture[str]) -> None:
    volume = _study("glioma suspected, 90%", [("a.nii", i) for i in (2, 3, 4, 9)])
    series = _study("uncertain: no tumour 50%, glioma 45%", [("s/1.dcm", 0), ("s/2.dcm", 0)], "uncertain")
    unknown = _study("not assessable: localiser", [("s/1.dcm", 0)], "not assessable")
    outcome = Outcome(CARD, Tally(Counter(glioma=1)), kept=list(_document().findings), studies=50)
    outcome.kept_studies += [volume, series, unknown]
    Console().outcome(outcome, None)
    out, err = capsys.readouterr()
    _, first, second, third = (line.split("  ") for line in out.splitlines()[-4:])

    assert [cell.strip() for cell in first if cell] == ["study", "20", "glioma suspected, 90%", "3–5, 10"]
    assert [cell.strip() for cell in second if cell][2:] == [
        "uncertain: no tumour 50%, glioma 45%",
        "2 of them, 1.dcm to 2.dcm",
    ]
    assert [cell.strip() for cell in third if cell][2:4] == ["not assessable: localiser", "–"]
    assert "… and 47 more" in err


def test_square_brackets_in_names_are_not_taken_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.table(("a",), [("[bold]x[/bold]",)])
    console.say("[red]y")
    assert capsys.readouterr() == ("a             \n[bold]x[/bold]\n", "[red]y\n")


def test_quiet_leaves_messages_out_and_results_in(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(quiet=True)
    console.say("hello")
    with console.progress("reading") as progress:
        progress(1, 2)
    console.findings(_document(), CARD)
    out, err = capsys.readouterr()
    assert "glioma" in out
    assert err == ""


def test_a_card_tells_what_one_must_know_to_judge_weights(capsys: pytest.CaptureFixture[str]) -> None:
    card = WeightsCard(
        name="[tiny]",
        network="cnn",
        preprocessing=Preprocessing(size=48),
        classes=BRAIN_TUMORS,
        data="phantoms",
        split="by patient",
        cautions=("never saw a patient",),
        scores={
            "accuracy": {"value": 0.91, "low": 0.88, "high": 0.94},
            "auc": {"value": None, "low": None, "high": None},
            "f1": {"value": 0.5, "low": None, "high": None},
            "n": 7,
        },
        sha256="abcdef" * 10,
    )
    Console().cards([card])
    out, _ = capsys.readouterr()
    for said in (
        "[tiny] (cnn, 48 pixels)",
        "glioma, meningioma, pituitary tumour, no tumour",
        "trained on phantoms",
        "split: by patient",
        "accuracy: 0.910 (0.880 to 0.940)",
        "auc: undefined",
        "f1: 0.500\n",
        "caution: never saw a patient",
        "sha256 abcdefabcdefabcd",
    ):
        assert said in out


def test_what_is_too_much_to_show_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = Outcome(CARD, Tally(Counter(glioma=900)), failures=70)
    outcome.kept = list(_document(40).findings)
    outcome.kept_failures = [FailureRecord(source=f"{i}.png", error="broken") for i in range(40)]
    Console().outcome(outcome, "results")
    told = capsys.readouterr()
    assert "results.csv, results.parquet and findings.json are in results" in told.err
    assert "error: … and 30 more files; results.csv names them" in told.err


def test_the_table_of_studies_is_named_where_there_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = Outcome(CARD, Tally(Counter(glioma=1)), kept=list(_document().findings), studies=1)
    Console().outcome(outcome, "results")
    assert "results.csv, results.parquet, studies.csv and findings.json are in results" in capsys.readouterr().err


def test_work_that_counts_nothing_is_a_line_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    with Console().working("writing the graph"):
        assert capsys.readouterr().err == "writing the graph\n"
    with Console(quiet=True).working("writing the graph"):
        assert capsys.readouterr().err == ""


@pytest.mark.parametrize("knows", [True, False])
def test_a_figure_that_guessing_equals_is_called_so(capsys: pytest.CaptureFixture[str], knows: bool) -> None:
    labels = np.tile(np.arange(4), 25)
    probabilities = np.full((100, 4), 0.1)
    probabilities[np.arange(100), labels if knows else 0] = 0.7
    scans = tuple(f"{i}.png" for i in range(100))
    scores = score(Predictions(BRAIN_TUMORS, labels, probabilities, scans), resamples=20)
    Console().scores(scores, Path("report.html"))
    out, err = capsys.readouterr()
    assert ("no better than guessing (0.250)" in out) != knows
    assert out.count("no better than guessing") == (0 if knows else 2)
    assert err == "report: report.html\n"
