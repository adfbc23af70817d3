"""What a pipeline was asked to do, with its values in their own types."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.common.platforms import (
    LOCAL,
    PLATFORM_NAMES,
    PlatformTraits,
    platform_named,
)
from kfp_llm_tuning.components.parameters.pipeline import TEMPLATES, TEXT_TEMPLATE, RootInputs
from kfp_llm_tuning.components.parameters.reading import read
from kfp_llm_tuning.components.parameters.row import row, rows_of

COMPILED_ACCELERATORS = ("GPU", "TPU", "CPU")


@dataclass(frozen=True, kw_only=True)
class PipelineParameters(RootInputs):
    """The root inputs, and what the platform adds to them.

    The project may be left out: only Vertex AI has any.
    """

    project: str = row("", help="Google Cloud project; any name on other platforms.")
    pipeline_region: str = row("", help="Region that the pipeline runs in.")
    service_account: str = row("", help="Account that the tuner runs as; empty: the platform's.")
    run_time: str = row(
        "", help="When the run was created, ISO 8601, for dated display names; may be empty."
    )
    template: str = row(TEXT_TEMPLATE, help="Which pipeline.", choices=tuple(TEMPLATES))
    platform: str = row(LOCAL.name, help="Where it runs.", choices=PLATFORM_NAMES)
    platform_registry_uri: str = row(
        "", help="The platform's own registry where that is an MLflow tracking URI."
    )
    platform_accelerator: str = row(
        "",
        help="The accelerator that the pipeline was compiled for; empty where it was for none.",
        choices=("", *COMPILED_ACCELERATORS),
    )
    platform_train_job: bool = row(
        False, help="Whether the pipeline was compiled to tune in a TrainJob of Kubeflow Trainer."
    )

    @property
    def traits(self) -> PlatformTraits:
        """What is true of the platform."""
        return platform_named(self.platform)

    @property
    def has_evaluation(self) -> bool:
        """Whether there is an evaluation set: one of its own, or a share of the training set."""
        return bool(self.evaluation_data_uri) or self.evaluation_fraction > 0

    @property
    def registry(self) -> str:
        """Where the model is registered: an MLflow tracking URI; empty for the Model Registry."""
        return self.registry_uri or self.platform_registry_uri

    @property
    def model_location(self) -> str:
        """Region that the model is uploaded to."""
        return self.location or self.pipeline_region


PARAMETERS = rows_of(PipelineParameters)


def with_right_types(given: PipelineParameters) -> tuple[PipelineParameters, list[Problem]]:
    """Sets right what JSON does to numbers and booleans.

    Args:
        given: Values of any type.

    Returns:
        The parameters, where a value of a wrong type gave way to its default, and a problem for
        every such value.
    """
    values = {field.name: getattr(given, field.name) for field in dataclasses.fields(given)}
    found, problems = read(values, PARAMETERS)
    # A name that is no text is told of; what follows from it need not be told too.
    return PipelineParameters(**{"model_display_name": "-", **found}), problems
