"""Components of others in the place of ours."""

from pathlib import Path

import pytest
from kfp import dsl
from kfp.components import load_component_from_file
from kfp.dsl import Dataset, Output

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.pipelines.graphs.build import build
from kfp_llm_tuning.pipelines.graphs.parts import OURS, Parts
from kfp_llm_tuning.pipelines.vertex.platform import vertex_platform

COMPILED = Path(__file__).parents[3] / "compiled" / "components"


def test_what_was_read_from_yaml_fits_like_what_was_imported() -> None:
    read = load_component_from_file(str(COMPILED / "preprocess-dataset.yaml"))
    assert Parts(preprocess_dataset=read).preprocess_dataset is read
    assert Parts() == OURS


def test_a_fork_takes_the_place_of_ours_in_the_whole_template() -> None:
    @dsl.component(base_image="fork.test/image", install_kfp_package=False)
    def preprocess_dataset(
        large_model_reference: str,
        preprocessed: Output[Dataset],
        dataset_uri: str = "",
        default_context: str = "",
        dataset_format: str = "",
        train_on: str = "all",
        held_out_from: str = "",
        evaluation_fraction: float = 0.0,
        seed: int = 0,
        data_version: str = "",
        mask: bool = True,
    ) -> None:
        pass

    pipeline = build(
        "tune-large-model", vertex_platform(), Parts(preprocess_dataset=preprocess_dataset)
    )
    executors = pipeline.pipeline_spec.deployment_spec["executors"]
    images = {name: executor["container"]["image"] for name, executor in executors.items()}
    forked = {name for name, image in images.items() if image == "fork.test/image"}
    assert forked == {"exec-preprocess-dataset", "exec-preprocess-dataset-2"}


def test_everything_that_does_not_fit_is_told() -> None:
    @dsl.component(base_image="fork.test/image", install_kfp_package=False)
    def preprocess_dataset(dataset_uri: int, secret: str) -> str:
        return secret

    with pytest.raises(UserError) as raised:
        Parts(preprocess_dataset=preprocess_dataset, dataset_encoder=preprocess_dataset)
    told = str(raised.value)
    for words in (
        "the input large_model_reference is missing",
        "the input dataset_uri is Integer. Allowed: String",
        "the output preprocessed is missing",
        "nothing gives the input secret a value",
        "Parts(dataset_encoder=...)",
        "the output encoded is missing",
    ):
        assert words in told
