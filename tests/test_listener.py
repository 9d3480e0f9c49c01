"""Long work tells what it does to whoever wants to hear it."""

from tumorlens.listener import SILENT, Epoch, Listener


def test_who_listens_to_one_thing_hears_that_alone() -> None:
    heard: list[object] = []
    for listener in (SILENT, Listener(say=heard.append)):
        listener.say("splitting")
        listener.progress(1, 2)
        listener.epoch(Epoch(1, 0.5, 0.4, 0.9, 1e-3, 2.0), 3)
        listener.reading("a.dcm")
        listener.failed("a.dcm", "it is truncated")
    assert heard == ["splitting"]
