"""What a run keeps on a disk, from the number of weights."""

from __future__ import annotations

from kfp_llm_tuning.components.models.disk_needs import disk_needs
from kfp_llm_tuning.components.models.footprint import Method
from kfp_llm_tuning.components.models.model_shapes import shape_of


def test_checkpoints_hold_what_is_trained_three_times_over() -> None:
    shape = shape_of("hf://meta-llama/Llama-3.1-8B-Instruct")
    assert shape
    full, adapters = (disk_needs(shape, Method(tuning)) for tuning in ("full", "adapter"))
    assert full.base == adapters.base == full.tuned == 2 * shape.weights
    assert full.checkpoints == 4 * 12 * shape.weights
    assert adapters.checkpoints == 4 * 12 * shape.adapter_weights(16)
    assert disk_needs(shape, Method("full"), selects=False).checkpoints == 3 * 12 * shape.weights
    assert "base model 16 GB" in full.text
