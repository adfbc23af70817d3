from __future__ import annotations

import pytest

from kfp_llm_tuning.components.data.tasks import Task
from kfp_llm_tuning.components.evaluation.default_metric import default_metric

LONG = "one two three four five six seven eight nine ten eleven"


@pytest.mark.parametrize(
    ("task", "references", "metric"),
    [
        (Task.CLASSIFICATION, ["да", "нет"], "exact_match"),
        (Task.EXTRACTIVE_QUESTION_ANSWERING, ["1874"], "token_f1"),
        (Task.SUMMARISATION, ["short"], "rougeL"),
        (Task.CHAT, [LONG], "rougeL"),
        (Task.CHAT, ["Hello there."], "token_f1"),
        (Task.GENERATION, [LONG, LONG, "short"], "rougeL"),
        (Task.GENERATION, ["short", "short", LONG], "token_f1"),
        (Task.GENERATION, ["今天天气很好 2023"], "chrf"),
        (Task.EXTRACTIVE_QUESTION_ANSWERING, ["猫", "犬"], "chrf"),
        (Task.GENERATION, ["🙂"], "token_f1"),
    ],
)
def test_the_task_and_the_references_choose(task, references, metric):
    assert default_metric(task, references) == metric
