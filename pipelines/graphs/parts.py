"""The components that the graphs are made of, each of which a fork may take the place of."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kfp.dsl.base_component import BaseComponent

from kfp_llm_tuning.components import dataset, evaluation, tuning, upload, validation
from kfp_llm_tuning.components.common.errors import Problem, raise_all
from kfp_llm_tuning.components.tuning import vertex_component


@dataclass(frozen=True)
class Parts:
    """One component for each task; ``Parts(preprocess_dataset=mine)`` changes one of ours.

    Another component fits where it takes every input of ours, gives every output, and asks for
    nothing else. Tasks are called after their components: give the function the name of ours
    where something reads the task's name.

    Raises:
        UserError: For everything that a component lacks.
    """

    validate_pipeline: BaseComponent = validation.validate_pipeline
    export_managed_dataset: BaseComponent = dataset.export_managed_dataset
    validate_dataset: BaseComponent = validation.validate_dataset
    preprocess_dataset: BaseComponent = dataset.preprocess_dataset
    dataset_encoder: BaseComponent = dataset.dataset_encoder
    evaluation_dataset_encoder: BaseComponent = dataset.evaluation_dataset_encoder
    compose_params_for_model_tuner: BaseComponent = tuning.compose_params_for_model_tuner
    large_language_model_tuner: BaseComponent = tuning.large_language_model_tuner
    large_language_model_tuner_vertex: BaseComponent = vertex_component.large_language_model_tuner
    prediction_resources: BaseComponent = evaluation.prediction_resources
    batch_predict: BaseComponent = evaluation.batch_predict
    evaluate_model: BaseComponent = evaluation.evaluate_model
    upload_llm_model: BaseComponent = upload.upload_llm_model
    create_endpoint_and_deploy_model: BaseComponent = upload.create_endpoint_and_deploy_model
    deploy_to_kserve: BaseComponent = upload.deploy_to_kserve
    tensorboard_uploader: BaseComponent = upload.tensorboard_uploader

    def __post_init__(self) -> None:
        """Compares the interfaces with those of our components."""
        raise_all(
            [
                problem
                for part in dataclasses.fields(self)
                for problem in _misfits(part.name, getattr(self, part.name), part.default)
            ]
        )


def _misfits(name: str, given: BaseComponent, ours: BaseComponent) -> Iterator[Problem]:
    where = f"Parts({name}=...)"
    for kind in ("inputs", "outputs"):
        theirs, wanted = _types(given, kind), _types(ours, kind)
        for key, type_name in wanted.items():
            if key not in theirs:
                yield Problem(f"the {kind[:-1]} {key} is missing.", where, type_name)
            elif theirs[key] != type_name:
                yield Problem(f"the {kind[:-1]} {key} is {theirs[key]}.", where, type_name)
    for key, value in (given.component_spec.inputs or {}).items():
        if not value.optional and key not in _types(ours, "inputs"):
            fix = "Give it a default, and the value that you want."
            yield Problem(f"nothing gives the input {key} a value.", where, fix=fix)


def _types(component: BaseComponent, kind: str) -> Mapping[str, str]:
    """Reads the types of the inputs or outputs; kfp itself compares the kinds of artifacts."""
    found = getattr(component.component_spec, kind) or {}
    return {key: "an artifact" if "@" in value.type else value.type for key, value in found.items()}


OURS = Parts()
