from __future__ import annotations

import json

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.evaluation.prediction_job import PredictionJob
from kfp_llm_tuning.components.evaluation.prediction_task import Command, PredictionTask

KEY = "projects/p/locations/us-central1/keyRings/r/cryptoKeys/k"
TASK = PredictionTask("gs://b/eval", "gs://b/train", "gs://b/out", saved_model="gs://b/model")


def payload(**changes):
    given = {"machine": "l4-1", "image": "r/serving-gpu:1", "project": "p"}
    job = PredictionJob(**given, location="us-central1", **changes)
    return json.loads(job.payload(TASK, "batch-predict-tuned-run-1"))


def test_the_job_predicts_on_the_machine_of_the_table():
    job = payload(service_account="a@p.iam.gserviceaccount.com", encryption_spec_key_name=KEY)
    (pool,) = job["job_spec"]["worker_pool_specs"]
    assert pool["machine_spec"] == {
        "machine_type": "g2-standard-12",
        "accelerator_type": "NVIDIA_L4",
        "accelerator_count": 1,
    }
    container = pool["container_spec"]
    assert container["image_uri"] == "r/serving-gpu:1"
    assert container["command"] == ["python3", "-m", "kfp_llm_tuning.components.evaluation"]
    assert [*container["command"], *container["args"]] == [
        "python3",
        *TASK.arguments(),
    ]
    assert job["encryption_spec"] == {"kms_key_name": KEY}
    assert job["job_spec"]["service_account"] == "a@p.iam.gserviceaccount.com"


def test_a_key_of_another_region_is_left_out():
    other = KEY.replace("us-central1", "europe-west4")
    assert "encryption_spec" not in payload(encryption_spec_key_name=other)


def test_without_a_machine_the_task_predicts_itself(tmp_path):
    assert type(PredictionJob().command(TASK, tmp_path, "run-1")) is Command


def test_an_unknown_machine_is_refused():
    with pytest.raises(UserError, match="machine: no machine is called 'l5-1'"):
        PredictionJob(machine="l5-1").payload(TASK, "name")


def test_a_machine_that_nothing_predicts_on_is_refused():
    with pytest.raises(UserError, match="machine: .* no engine of this version predicts on TPU"):
        PredictionJob(machine="tpu-v6e-4").payload(TASK, "name")
