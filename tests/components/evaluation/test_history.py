from __future__ import annotations

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.evaluation.history import read_history


def test_curves_by_tag(history_folder):
    curves = read_history(history_folder)
    assert curves["/train_total_loss"] == ([10, 20], [3.0, 2.0])
    assert curves["/eval_total_loss"] == ([20], [2.5])


def test_a_folder_without_history(tmp_path):
    with pytest.raises(UserError, match="tensorboard_metrics"):
        read_history(tmp_path)


def test_names_are_the_tuners():
    from kfp_llm_tuning.components.evaluation import history
    from kfp_llm_tuning.components.tuning import tensorboard_metrics

    assert history._HISTORY_FILE == tensorboard_metrics.HISTORY
