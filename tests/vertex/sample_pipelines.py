"""Small pipelines of tasks of every kind, for test_execution.py."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Model, Output, OutputPath

from tests.vertex.images import IMAGE

# Notes its last argument, and writes a text into a folder.
_COPY = """
import sys
from pathlib import Path
told, copy, payload = sys.argv[1:]
Path(told).write_text(payload)
Path(copy).mkdir()
Path(copy, "text.txt").write_text("copied")
"""


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def write_model(text: str, count: int, model: Output[Model]) -> str:
    import json
    import os
    from pathlib import Path

    assert count == 3
    Path(model.path).mkdir(parents=True)
    (Path(model.path) / "text.txt").write_text(text)
    model.metadata["framework"] = "none"
    names = ("VERTEX_AI_PIPELINES_RUN_LABELS", "CLOUD_ML_JOB_ID", "GOOGLE_CLOUD_PROJECT")
    return json.dumps({"uri": model.uri} | {name: os.environ[name] for name in names})


@dsl.container_component
def copy_model(
    model: Input[Artifact], copy: Output[Artifact], told: OutputPath(str), prefix: str = ""
):
    return dsl.ContainerSpec(
        image=IMAGE,
        command=["python3", "-c", _COPY],
        args=[
            told,
            copy.path,
            dsl.ConcatPlaceholder(
                ['{"python3": "', model.uri, '", "copy": "', copy.uri, '", "text": "', prefix, '"}']
            ),
        ],
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def read_text(model: Input[Artifact]) -> str:
    from pathlib import Path

    return (Path(model.path) / "text.txt").read_text() + " " + model.uri


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def fail(code: int) -> str:

    import sys

    print("something went wrong")  # noqa: T201
    sys.exit(code)


@dsl.pipeline(name="inner")
def inner(text: str, count: int) -> str:
    return write_model(text=text, count=count).outputs["Output"]


@dsl.pipeline(name="many-kinds")
def many_kinds(count: int, text: str = "hello") -> str:
    labels = f"{dsl.PIPELINE_JOB_ID_PLACEHOLDER}-{{{{$.pipeline_google_cloud_location}}}}"
    made = write_model(text=text, count=count)
    copied = copy_model(model=made.outputs["model"], prefix=labels)
    nested = inner(text=text, count=count)
    imported = dsl.importer(artifact_uri="gs://bucket/given", artifact_class=Artifact)
    with dsl.If(copied.outputs["told"] != ""):
        read_text(model=copied.outputs["copy"]).set_display_name("read")
    with dsl.If(nested.output == "nothing"):
        read_text(model=imported.output).set_caching_options(False)
    return copied.outputs["told"]


@dsl.pipeline(name="failing")
def failing() -> None:
    first = fail(code=7)
    fail(code=1).after(first)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def fail_once(path: str) -> str:
    from pathlib import Path

    if not Path(path).exists():
        Path(path).touch()
        raise RuntimeError("not yet")
    return "done"


@dsl.pipeline(name="retried")
def retried(path: str) -> None:
    fail_once(path=path).set_retry(2, backoff_duration="600s")


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def wait_forever(path: str) -> None:
    import time
    from pathlib import Path

    Path(path).touch()
    time.sleep(600)


@dsl.pipeline(name="waiting")
def waiting(path: str) -> None:
    first = wait_forever(path=path)
    fail(code=1).after(first)


@dsl.pipeline(name="wrong")
def wrong(count: int) -> None:
    fail(code=count)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def double(number: int) -> int:
    return 2 * number


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def add(numbers: list) -> int:
    return int(sum(numbers))


@dsl.pipeline(name="looping")
def looping() -> int:
    with dsl.ParallelFor([1, 2, 3]) as number:
        doubled = double(number=number)
    return add(numbers=dsl.Collected(doubled.output)).output
