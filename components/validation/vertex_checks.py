"""The checks on parameters that only mean something on Vertex AI."""

from __future__ import annotations

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.common.wording import short
from kfp_llm_tuning.components.validation import regions, resource_names
from kfp_llm_tuning.components.validation.accelerator_choice import accelerator_of
from kfp_llm_tuning.components.validation.pipeline_inputs import PipelineParameters
from kfp_llm_tuning.components.validation.resource_names import (
    ENCRYPTION_KEY,
    ENDPOINT,
    MODEL,
    NETWORK_ATTACHMENT,
    TENSORBOARD,
    ResourceForm,
)


def check_tensorboard(parameters: PipelineParameters) -> list[Problem]:
    """Checks that the TensorBoard is in the region of the pipeline."""
    name, where = parameters.tensorboard_resource_id, "tensorboard_resource_id"
    if not name or not parameters.traits.has_regions or TENSORBOARD.is_id(name):
        return []
    location = TENSORBOARD.location(name)
    if location is None:
        return [_wrong_form(name, where, TENSORBOARD)]
    if parameters.pipeline_region and location != parameters.pipeline_region:
        what = f"is in {location}, but the pipeline runs in {parameters.pipeline_region}."
        fix = "Give a TensorBoard of that region, or run the pipeline in the TensorBoard's."
        return [Problem(what, where, f"a TensorBoard in {parameters.pipeline_region}", fix)]
    return []


def check_encryption(parameters: PipelineParameters) -> list[Problem]:
    """Checks the rule as published: everything is in the one region where a key may be used."""
    key, where = parameters.encryption_spec_key_name, "encryption_spec_key_name"
    if not key:
        return []
    location = ENCRYPTION_KEY.location(key)
    if location is None:
        return [_wrong_form(key, where, ENCRYPTION_KEY)]
    if not parameters.traits.has_regions:
        return []
    only = regions.encryption_region()
    return [
        Problem(f"with an encryption key {name} must be {only}, not {region!r}.", name, only)
        for name, region in (
            ("pipeline_region", parameters.pipeline_region),
            ("location", parameters.model_location),
            (where, location),
        )
        if region != only
    ]


def check_tuning_job(parameters: PipelineParameters) -> list[Problem]:
    """Checks how the tuner's machine is obtained and reached."""
    problems = []
    strategy = parameters.tuning_strategy
    for where in ("tuning_max_wait", "tuning_timeout"):
        value = getattr(parameters, where)
        if not resource_names.is_duration(value):
            problems.append(
                Problem(f"{short(value)} is no duration.", where, "seconds, such as 86400s")
            )
    needs_gpu = parameters.traits.has_regions and strategy.upper() == "FLEX_START"
    if needs_gpu and accelerator_of(parameters) != "GPU":
        what = "FLEX_START obtains machines with GPUs only."
        problems.append(Problem(what, "tuning_strategy", "STANDARD or SPOT, or a GPU machine"))
    attachment = parameters.network_attachment
    if attachment and NETWORK_ATTACHMENT.location(attachment) is None:
        problems.append(_wrong_form(attachment, "network_attachment", NETWORK_ATTACHMENT))
    return problems


def check_deployment(parameters: PipelineParameters) -> list[Problem]:
    """Checks which model gets a version, and which endpoint answers with it."""
    problems = []
    parent = parameters.parent_model
    if parent and "/" in parent:
        problems += _elsewhere(parameters, "parent_model", MODEL)
    elif parent and parameters.traits.has_regions and not resource_names.is_model_id(parent):
        allowed = "a model's id ([a-z0-9_-], at most 63, no digit in front) or full resource name"
        problems.append(Problem(f"{short(parent)} names no model.", "parent_model", allowed))
    if parameters.endpoint_resource_name:
        problems += _elsewhere(parameters, "endpoint_resource_name", ENDPOINT)
    for alias in filter(None, parameters.version_aliases.split(",")):
        if not resource_names.is_version_alias(alias.strip()):
            allowed = "letters, digits and hyphens, from a lower-case letter on, such as champion"
            problems.append(Problem(f"{short(alias)} is no alias.", "version_aliases", allowed))
    return problems


def _elsewhere(parameters: PipelineParameters, where: str, form: ResourceForm) -> list[Problem]:
    """Checks that a resource has the form of its kind and lies where the model is uploaded to."""
    name, region = getattr(parameters, where), parameters.model_location
    location = form.location(name)
    if location is None:
        return [_wrong_form(name, where, form)]
    if parameters.traits.has_regions and region and location != region:
        what = f"is in {location}, but the model is uploaded to {region}."
        return [Problem(what, where, f"a resource of {region}", "Give one, or change location.")]
    return []


def _wrong_form(value: str, where: str, form: ResourceForm) -> Problem:
    return Problem(f"{short(value)} has another form.", where, form.template)
