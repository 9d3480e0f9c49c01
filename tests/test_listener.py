"""Long work tells what it does to whoever wants to hear it."""

from tumorlens.listener import SILENT, Epoch, Listener, counted


def test_who_listens_to_one_thing_hears_that_alone() -> None:
    heard: list[object] = []
    for listener in (SILENT, Listener(say=heard.append)):
        listener.say("splitting")
        listener.progress(1, 2)
        listener.batch(1, 2)
        listener.epoch(Epoch(1, 0.5, 0.4, 0.9, 1e-3, 2.0), 3)
        listener.reading("a.dcm")
        listener.failed("a.dcm", "it is truncated")
    assert heard == ["splitting"]


def test_what_is_counted_tells_of_each_item_once_it_is_done() -> None:
    told: list[object] = []

    def tell(done: int, total: int) -> None:
        told.append((done, total))

    for item in counted(["a", "b"], tell):
        told += [item]
    assert told == ["a", (1, 2), "b", (2, 2)]
