"""Makes a tuned model's folder an MLflow model: the files that MLflow needs beside the weights.

The weights stay where the tuner wrote them, at the top of the folder in Hugging Face layout, so
that ``AutoModelForCausalLM.from_pretrained`` reads the same folder. MLflow's own
``mlflow.transformers.save_model`` is not used: from a folder it fails with transformers 5 (it
expects an older form of the table of pipelines), and from a loaded model it would write the weights
a second time.
"""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.manifest import MANIFEST_FILE

if TYPE_CHECKING:
    from mlflow.models import Model

LOADER_MODULE = "kfp_llm_tuning.components.upload.mlflow_flavor"
DESCRIPTION_FILE = "MLmodel"
_NOT_OF_A_TOKENIZER = (".safetensors", ".safetensors.index.json", ".md", MANIFEST_FILE)


def write_companions(saved_model: Path, target: Path) -> None:
    """Writes the files beside the weights, all but the one that declares the model complete.

    Args:
        saved_model: Folder of the tuned model.
        target: Folder that receives the files.
    """
    # The place from which MLflow's transformers flavour reads a pipeline's tokenizer.
    tokenizer = target / "components" / "tokenizer"
    tokenizer.mkdir(parents=True)
    for file in saved_model.iterdir():
        if file.is_file() and not file.name.endswith(_NOT_OF_A_TOKENIZER):
            shutil.copy(file, tokenizer)
    requirements = [f"kfp-llm-tuning[tuning]=={version('kfp-llm-tuning')}"]
    requirements += [f"{name}=={version(name)}" for name in ("mlflow", "transformers", "torch")]
    (target / "requirements.txt").write_text("\n".join(requirements) + "\n", encoding="utf-8")


def write_description(
    target: Path, run_id: str, artifact_path: str, metadata: dict[str, Any]
) -> Path:
    """Writes ``MLmodel``, whose presence in the store says that the model is complete.

    Args:
        target: Folder that receives the file.
        run_id: MLflow's run.
        artifact_path: Where in the run's artifacts the model stands.
        metadata: Kept in the file.

    Returns:
        The file.
    """
    model = _described(run_id, artifact_path, metadata)
    path = target / DESCRIPTION_FILE
    model.save(path)
    return path


def _described(run_id: str, artifact_path: str, metadata: dict[str, Any]) -> Model:
    from mlflow import pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ParamSchema, ParamSpec

    from kfp_llm_tuning.components.upload.mlflow_flavor import DEFAULT_PARAMETERS

    specifications = [
        ParamSpec(name, "double" if isinstance(value, float) else "long", value)
        for name, value in DEFAULT_PARAMETERS.items()
    ]
    model = Model(
        artifact_path=artifact_path,
        run_id=run_id,
        metadata=metadata,
        signature=ModelSignature(params=ParamSchema(specifications)),
    )
    pyfunc.add_to_model(model, loader_module=LOADER_MODULE)
    # The auto classes read the architecture from config.json: no class name goes stale here.
    model.add_flavor(
        "transformers",
        task="text-generation",
        instance_type="TextGenerationPipeline",
        pipeline_model_type="AutoModelForCausalLM",
        model_binary=".",
        source_model_name=str(metadata.get("checkpoint", "")),
        components=["tokenizer"],
        tokenizer_type="AutoTokenizer",
        framework="pt",
        code=None,
    )
    return model
