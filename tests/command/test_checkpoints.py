"""``--checkpoint`` and ``--max-time`` of the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import people, run, succeed

from gpu_logreg import load_model

TRAIN = "train", "--target", "income", "--solver", "gradient-descent"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    people(tmp_path / "people.csv")
    return tmp_path


def test_a_fit_out_of_time_goes_on_and_its_checkpoint_is_removed(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = *TRAIN, "people.csv", "--model", "m", "--max-iter", "40"
    succeed(capsys, *arguments)
    wanted = load_model("m")
    told = succeed(capsys, *arguments, "--checkpoint", "c", "--checkpoint-every", "0", "--max-time", "1e-9").err
    assert "c: the same command goes on from this checkpoint" in told
    assert "max_time = 1e-09 s reached" in told
    assert load_model("m").n_iter_[0] == 1
    told = succeed(capsys, *arguments, "--checkpoint", "c").err
    assert "c: goes on from this checkpoint" in told
    np.testing.assert_array_equal(load_model("m").coef_, wanted.coef_)
    assert not (here / "c").exists()


def test_a_network_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = "train", "people.csv", "--target", "income", "--hidden", "4", "--model", "m", "--max-iter", "5"
    succeed(capsys, *arguments)
    wanted = load_model("m")
    succeed(capsys, *arguments, "--checkpoint", "c", "--checkpoint-every", "0", "--max-time", "1e-9")
    succeed(capsys, *arguments, "--checkpoint", "c")
    for got, want in zip(load_model("m").coefs_, wanted.coefs_, strict=True):
        np.testing.assert_array_equal(got, want)


def test_without_a_model_to_save_the_checkpoint_stays(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    succeed(capsys, *TRAIN, "people.csv", "--checkpoint", "c")
    assert (here / "c").exists()


BAD = {
    "is the file of DATA too": ("--checkpoint", "people.csv"),
    "is the file of --model too": ("--checkpoint", "m", "--model", "m"),
    "--checkpoint-every is for the file of --checkpoint": ("--checkpoint-every", "3"),
    "its directory no does not exist": ("--checkpoint", "no/c"),
    "is no checkpoint of this version": ("--checkpoint", "other.csv"),
    "max_time": ("--max-time", "-1"),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_options_are_one_line(message: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people(here / "other.csv")
    before = (here / "people.csv").read_bytes(), (here / "other.csv").read_bytes()
    ended = run(capsys, *TRAIN, "people.csv", *BAD[message])
    assert ended.code in (1, 2)
    assert message in ended.err.splitlines()[-1]
    assert "Traceback" not in ended.err
    assert before == ((here / "people.csv").read_bytes(), (here / "other.csv").read_bytes())
