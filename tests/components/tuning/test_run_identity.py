from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.tuning.checkpoints import CheckpointDirectory
from kfp_llm_tuning.components.tuning.run_identity import RunIdentity

ARGUMENTS = {"learning_rate": 0.001, "seed": 0}
FACTS = {"arguments": ARGUMENTS, "checkpoint": "a", "train": "t", "evaluation": None, "order": 2}


def refusal(folder: Path, then: dict[str, Any], version: str = "1.0") -> str:
    """Says why a run may not go on with the checkpoints that a run of version 1.0 began."""
    directory = CheckpointDirectory(folder)
    with directory.claimed(RunIdentity(FACTS, "1.0")):
        pass
    with (
        pytest.raises(UserError) as refused,
        directory.claimed(RunIdentity({**FACTS, **then}, version)),
    ):
        pass
    return str(refused.value)


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ({"arguments": {**ARGUMENTS, "seed": 1}}, "another run: seed is 1 and was 0."),
        ({"checkpoint": "b"}, "the base model is another one"),
        ({"train": "u", "evaluation": "e"}, "the training set is another one, the evaluation set"),
    ],
)
def test_another_run_is_told_by_what_differs(
    tmp_path: Path, then: dict[str, Any], said: str
) -> None:
    assert said in refusal(tmp_path, then)
    assert "version" not in refusal(tmp_path, then)


@pytest.mark.parametrize(
    ("then", "version", "began"),
    [
        ({"arguments": {**ARGUMENTS, "seed": 1}}, "1.1", "version 1.0"),
        ({"arguments": {**ARGUMENTS, "new": 0}}, "1.0", "another state of version 1.0"),
        ({"order": 3}, "1.0", "another state of version 1.0"),
    ],
)
def test_another_version_is_told_as_such(
    tmp_path: Path, then: dict[str, Any], version: str, began: str
) -> None:
    said = refusal(tmp_path, then, version)
    assert f"begun with {began} of kfp-llm-tuning, and this is version {version}." in said
    assert "Go on with the version that began it." in said


def test_a_version_that_did_not_say_which_it_is_is_an_older_one(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"fingerprint": "f"}')
    with (
        pytest.raises(UserError) as refused,
        CheckpointDirectory(tmp_path).claimed(RunIdentity(FACTS)),
    ):
        pass
    said = str(refused.value)
    assert "begun with an older version of kfp-llm-tuning" in said


def test_the_version_alone_makes_no_other_run(tmp_path: Path) -> None:
    directory = CheckpointDirectory(tmp_path)
    for version in ("1.0", "1.1"):
        with directory.claimed(RunIdentity(FACTS, version)):
            pass
