from __future__ import annotations

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.evaluation import training_sample
from kfp_llm_tuning.components.evaluation.training_sample import ends, read_training_sample


def test_a_small_set_is_taken_whole(preprocess):
    folder = preprocess("train", [("Who?", "I"), ("What?", "That")])
    sample = read_training_sample(folder)
    assert sample.answers == ("I", "That")
    assert [prompt.strip() for prompt in sample.prompts] == ["Who?", "What?"]


def test_of_a_large_set_a_sample_is_drawn_the_same_in_every_run(preprocess, monkeypatch):
    folder = preprocess("train", [(f"Question {n}", f"{n}") for n in range(100)])
    monkeypatch.setattr(training_sample, "MOST_EXAMPLES", 10)
    drawn = read_training_sample(folder).answers
    assert len(set(drawn)) == 10
    assert max(map(int, drawn)) > 50
    assert drawn == read_training_sample(folder).answers


def test_long_prompts_lose_their_middle():
    assert len(ends("a" * 5000 + "b")) == 2001
    assert ends("a" * 5000 + "b").endswith("ab")


def test_a_set_without_records(preprocess, tmp_path):
    assert read_training_sample(preprocess("none", [])).answers == ()
    with pytest.raises(UserError, match="training_records"):
        read_training_sample(tmp_path)
