"""Small pipelines for test_execution.py, besides those of the local Vertex AI."""

from kfp import dsl

from kfp_llm_tuning.components.common import images
from tests.vertex.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def tell(run: str, amid: str, environment: str, told: dsl.Output[dsl.Artifact]) -> str:
    import json
    import os
    from pathlib import Path

    Path(told.path).write_text("told")
    return json.dumps([run, amid, environment in os.environ, Path(told.path).is_file()])


@dsl.pipeline(name="placeholders")
def placeholders() -> str:
    run = dsl.PIPELINE_JOB_ID_PLACEHOLDER
    return tell(run=run, amid=f"runs/{run}", environment="CLOUD_ML_JOB_ID").outputs["Output"]


@dsl.container_component
def touch(path: str):
    return dsl.ContainerSpec(image=images.IMAGE, command=["touch", path])


@dsl.pipeline(name="image-that-is-not-there")
def image_that_is_not_there(path: str) -> None:
    touch(path=path)
