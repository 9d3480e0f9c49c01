"""The spool: whole files only, nothing of a sender's choosing in a path, results where they stay."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tumorlens.node.spool import Spool


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=100))
def test_no_name_leads_out_of_the_spool(spool: Spool, sop: str) -> None:
    path = spool.place_of(sop)
    assert path.resolve().is_relative_to(spool.received.resolve())
    assert path == spool.place_of(sop)


def test_results_replace_those_that_a_kill_left(spool: Spool) -> None:
    for content in (b"left by a kill", b"made again"):
        made = spool.empty_scratch()
        (made / "001.dcm").write_bytes(content)
        (kept,) = spool.keep_results(made, "1.2", 1, ["001.dcm"])
    assert kept.read_bytes() == b"made again"
    assert spool.absolute(spool.relative(kept)) == kept


def test_only_the_nodes_user_may_look(spool: Spool) -> None:
    assert spool.folder.stat().st_mode & 0o077 == 0
