"""The CustomJob's JSON, as the launcher's container puts it together and the service parses it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from google.cloud.aiplatform_v1 import types
from google.protobuf import json_format

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.images import image_name
from kfp_llm_tuning.components.models.machine_specs import (
    MachineSpec,
    machine_names,
    select_machine,
)
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.custom_job import BETWEEN_OUTPUTS, CustomJob

MODEL, METRICS = "gs://bucket/run/saved_model", "gs://bucket/run/tensorboard_metrics"
KEY = "projects/p/locations/us-central1/keyRings/r/cryptoKeys/k"
PLAIN = CustomJob(
    machine=select_machine("GPU"),
    image_registry="us-docker.pkg.dev/p/r",
    payload=TuningArguments("byte-tiny", display_name='a "quoted" name, größer @ {x}').to_json(),
    train_dataset="gs://bucket/train",
    evaluation_dataset="gs://bucket/evaluation",
)


def put_together(job: CustomJob) -> dict[str, Any]:
    """Does what the launcher's container is given as its argument."""
    first, second = job.payload_parts()
    text = f'{{"display_name": "tuner-1-2", {first}{MODEL}{BETWEEN_OUTPUTS}{METRICS}{second}'
    found: dict[str, Any] = json.loads(text)
    return found


def parsed(**changes: Any) -> types.CustomJob:
    """Parses strictly, and as the launcher's client does: with the same result."""
    content = put_together(dataclasses.replace(PLAIN, **changes))
    strict = json_format.ParseDict(content, types.CustomJob.pb()(), ignore_unknown_fields=False)
    job = types.CustomJob(content)
    assert types.CustomJob.pb(job) == strict
    return job


def test_the_published_machine_and_the_tuners_command() -> None:
    job = parsed()
    assert job.display_name == "tuner-1-2"
    (pool,) = job.job_spec.worker_pool_specs
    assert pool.replica_count == 1
    assert pool.machine_spec == types.MachineSpec(
        machine_type="a2-ultragpu-8g",
        accelerator_type=types.AcceleratorType.NVIDIA_A100_80GB,
        accelerator_count=8,
    )
    assert pool.disk_spec == types.DiskSpec(boot_disk_type="pd-ssd", boot_disk_size_gb=500)
    container = pool.container_spec
    assert container.image_uri == image_name("gpu", "us-docker.pkg.dev/p/r")
    assert list(container.command) == ["python3", "-m", "kfp_llm_tuning.components.tuning"]
    options = dict(zip(container.args[::2], container.args[1::2], strict=True))
    assert TuningArguments.from_json(options.pop("--payload")) == TuningArguments.from_json(
        PLAIN.payload
    )
    assert options == {
        "--train-dataset": "gs://bucket/train",
        "--evaluation-dataset": "gs://bucket/evaluation",
        "--output": MODEL,
        "--metrics": METRICS,
    }


def test_several_machines_are_one_primary_replica_and_workers_alike() -> None:
    primary, workers = parsed(machine_count=4).job_spec.worker_pool_specs
    assert (primary.replica_count, workers.replica_count) == (1, 3)
    written, own = (list(pool.container_spec.args) for pool in (primary, workers))
    assert written[-4:] == ["--output", MODEL, "--metrics", METRICS]
    assert own == [*written[:-4], "--output", "/tmp/kfp-llm-tuning-output"]
    for pool in (primary, workers):
        pool.replica_count, pool.container_spec.args = 1, []
    assert primary == workers


def test_what_is_not_given_is_left_out() -> None:
    content = put_together(PLAIN)
    assert content.keys() == {"display_name", "job_spec"}
    assert content["job_spec"].keys() == {"worker_pool_specs"}
    (pool,) = content["job_spec"]["worker_pool_specs"]
    assert pool.keys() == {"replica_count", "machine_spec", "disk_spec", "container_spec"}
    assert pool["container_spec"].keys() == {"image_uri", "command", "args"}


def test_everything_given() -> None:
    job = parsed(
        checkpoints="gs://bucket/checkpoints",
        project="my-project",
        service_account="tuner@p.iam.gserviceaccount.com",
        network="projects/1/global/networks/vpc",
        persistent_resource_id="kept",
        encryption_spec_key_name=KEY,
        strategy="FLEX_START",
        max_wait="3600s",
        timeout="86400s",
        restart_on_preemption=True,
        tensorboard="projects/1/locations/us-central1/tensorboards/2",
        model_label="text-bison-002",
    )
    spec = job.job_spec
    assert job.labels == {"kfp-llm-tuning-model": "text-bison-002"}
    assert job.encryption_spec.kms_key_name == KEY
    assert spec.service_account == "tuner@p.iam.gserviceaccount.com"
    assert spec.network == "projects/1/global/networks/vpc"
    assert spec.persistent_resource_id == "kept"
    assert spec.scheduling.strategy == types.Scheduling.Strategy.FLEX_START
    assert spec.scheduling.max_wait_duration.total_seconds() == 3600
    assert spec.scheduling.timeout.total_seconds() == 86400
    assert spec.scheduling.restart_job_on_worker_restart
    assert spec.tensorboard == "projects/1/locations/us-central1/tensorboards/2"
    assert spec.base_output_directory.output_uri_prefix == "gs://bucket/checkpoints"
    (pool,) = spec.worker_pool_specs
    args = list(pool.container_spec.args)
    assert args[args.index("--checkpoints") + 1] == "gs://bucket/checkpoints"
    (variable,) = pool.container_spec.env
    assert (variable.name, variable.value) == ("GOOGLE_CLOUD_PROJECT", "my-project")


@pytest.mark.parametrize(
    ("region", "account"), [("us-east4", "tuner@p.iam.gserviceaccount.com"), ("us-central1", "")]
)
def test_a_tensorboard_that_a_job_may_not_have_is_left_to_the_uploader(
    region: str, account: str
) -> None:
    spec = parsed(
        checkpoints="gs://bucket/checkpoints",
        service_account=account,
        tensorboard=f"projects/1/locations/{region}/tensorboards/2",
    ).job_spec
    assert not spec.tensorboard
    assert not spec.base_output_directory.output_uri_prefix


def test_a_network_attachment_takes_the_place_of_the_network() -> None:
    spec = parsed(network="projects/1/global/networks/vpc", network_attachment="attached").job_spec
    assert spec.psc_interface_config.network_attachment == "attached"
    assert not spec.network


@pytest.mark.parametrize("strategy", ["", "STANDARD", "SPOT"])
def test_only_flex_start_waits(strategy: str) -> None:
    scheduling = parsed(strategy=strategy, max_wait="3600s", timeout="60s").job_spec.scheduling
    assert "max_wait_duration" not in scheduling
    assert scheduling.strategy.name == (strategy or "STRATEGY_UNSPECIFIED")


def test_a_machine_that_nothing_tunes_on_gets_no_job() -> None:
    tpu = dataclasses.replace(select_machine("GPU"), accelerator="TPU")
    with pytest.raises(UserError, match="no engine of this version tunes on TPU"):
        dataclasses.replace(PLAIN, machine=tpu).payload_parts()


@pytest.mark.parametrize("name", machine_names())
def test_every_machine_of_the_table_is_one_that_the_api_knows(name: str) -> None:
    machine = select_machine("", name)
    (pool,) = parsed(machine=MachineSpec.from_json(machine.to_json())).job_spec.worker_pool_specs
    spec = pool.machine_spec
    assert spec.machine_type == machine.machine_type
    if machine.accelerator == "GPU":
        assert spec.accelerator_type.name == machine.accelerator_type
        assert spec.accelerator_count == machine.accelerator_count
    assert pool.container_spec.image_uri == image_name(
        {"GPU": "gpu", "CPU": "python"}[machine.accelerator], "us-docker.pkg.dev/p/r"
    )


def test_without_a_machine_there_is_no_job() -> None:
    assert MachineSpec.from_json("") is None


@pytest.mark.parametrize("text", ["{", "[]", '{"name": "large"}', "[" * 100_000])
def test_a_machine_that_is_none_is_a_user_error(text: str) -> None:
    with pytest.raises(UserError, match="machine_spec"):
        MachineSpec.from_json(text)
    assert dataclasses.replace(PLAIN, machine=None).payload_parts() == ("", "")
