"""What series are, by the names that scanners, protocols and data sets give them."""

import pytest

from tumorlens.sequence import Sequence, is_localiser, name_sequence


@pytest.mark.parametrize(
    ("text", "sequence"),
    [
        ("t1_mprage_sag_post", "T1 post-contrast"),
        ("AX T1 +C", "T1 post-contrast"),
        ("T1 (C+)", "T1 post-contrast"),
        ("Ax T1 POST GAD", "T1 post-contrast"),
        ("t1_fl2d_cor_km", "T1 post-contrast"),
        ("BraTS20_001_t1ce", "T1 post-contrast"),
        ("BraTS-GLI-00000-000-t1c", "T1 post-contrast"),
        ("sub-01_ce-gadolinium_T1w", "T1 post-contrast"),
        ("BraTS-GLI-00000-000-t1n", "T1"),
        ("SAG T1 PRE", "T1"),
        ("T1 without contrast", "T1"),
        ("posterior fossa T1", "T1"),
        ("BRAVO", "T1"),
        ("t2_tse_tra", "T2"),
        ("T2 FLAIR", "FLAIR"),
        ("t2f", "FLAIR"),
        ("ep2d_diff_3scan_trace_ADC", "diffusion"),
        ("T2* GRE", "susceptibility"),
        ("Ax SWI", "susceptibility"),
        ("TOF 3D", "angiography"),
        ("ep2d_perf", "perfusion"),
        ("01-post", None),
        ("", None),
    ],
)
def test_a_sequence_is_known_by_its_name(text: str, sequence: Sequence | None) -> None:
    assert name_sequence(text) == sequence


def test_names_go_before_agent_and_times() -> None:
    assert name_sequence("T1 axial", agent="Gadovist") == "T1 post-contrast"
    assert name_sequence("T1 axial", agent="NONE") == "T1"
    assert name_sequence("T1 pre", agent="Gadovist") == "T1"  # the agent is named for the whole study
    assert name_sequence("T2 axial", agent="Gadovist") == "T2"
    assert name_sequence("T1 axial", times=(9000, 100, None)) == "T1"
    assert name_sequence("axial", "t2_tse") == "T2"  # the protocol, where the description says nothing


@pytest.mark.parametrize(
    ("times", "sequence"),
    [
        ((500, 10, None), "T1"),
        ((2000, 3, 900), "T1"),
        ((5000, 100, None), "T2"),
        ((9000, 100, 2500), "FLAIR"),
        ((3000, 20, None), None),
        ((None, 10, None), None),
    ],
)
def test_times_tell_where_names_do_not(times: tuple[float | None, ...], sequence: Sequence | None) -> None:
    assert name_sequence("axial", times=(times[0], times[1], times[2])) == sequence


@pytest.mark.parametrize("text", ["localizer", "3-plane loc", "AAHead_Scout", "SURVEY", "Localiser"])
def test_localisers_are_known_by_their_names(text: str) -> None:
    assert is_localiser(text)
    assert not is_localiser("t1 post-contrast", "local field")
