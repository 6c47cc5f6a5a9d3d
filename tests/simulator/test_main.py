"""The command line."""

from pathlib import Path

import pytest

from simulator import apple
from simulator.__main__ import main


def test_help_shows_the_three_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("apple", "apns", "fleet", "examples:"))


def test_apple_fills_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["apple", "--dir", str(tmp_path / "apple")]) == 0
    assert apple.load(tmp_path / "apple").topic in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong",
    [
        ["--set-passcode-share", "2"],
        ["--passcode-delay", "9-3"],
        ["--passcode-delay", "x"],
        ["--devices", "-1"],
        ["--certificate-header", "X:apache"],
        ["--drop-passcode-after", "nan"],
    ],
)
def test_wrong_arguments_are_explained(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["fleet", "--url", "http://127.0.0.1:1/", "--devices", "1", "--apple", "x", *wrong])
    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err
