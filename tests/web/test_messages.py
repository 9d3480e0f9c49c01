"""What the page and its workers say to each other is what the other side understands."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from tumorlens.processes import Failed
from tumorlens.web.messages import COMMANDS, REPLIES, Done, FileFailed, FindInFile, ReadCase, Rules, Start, Total


@pytest.mark.parametrize(
    "command",
    [
        Start(weights="cnn_lstm", memory=2**20),
        FindInFile(path=Path("a.png"), name="ä\n.png", axis="coronal", target="glioma", pictures=True),
        ReadCase(folder=Path("c"), uploads=((1, "a.zip"),), axis="axial", rules=Rules(files=3, size=9, key="ab")),
    ],
)
def test_a_command_is_one_line_and_arrives_as_it_was_sent(command: Start | FindInFile | ReadCase) -> None:
    line = command.model_dump_json()
    assert "\n" not in line
    assert COMMANDS.validate_json(line) == command


@pytest.mark.parametrize("reply", [Total(total=4), FileFailed(name="a", error="b"), Done(), Failed(problem="no")])
def test_a_reply_arrives_as_it_was_sent(reply: Total | FileFailed | Done | Failed) -> None:
    assert REPLIES.validate_json(reply.model_dump_json()) == reply


@pytest.mark.parametrize("line", ["", "{}", '{"kind": "start"}', '{"kind": "delete", "folder": "/"}'])
def test_what_is_no_command_is_refused(line: str) -> None:
    with pytest.raises(ValidationError):
        COMMANDS.validate_json(line)
