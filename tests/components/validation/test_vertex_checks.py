"""Every rule on what only means something on Vertex AI, and the message of each."""

from __future__ import annotations

import pytest

from tests.components.validation.pipeline_requests import (
    KEY,
    LOCAL,
    PREFIX,
    TENSORBOARD,
    VERTEX,
    Mistake,
    assert_told,
    check,
)

MISTAKES = {
    "unknown strategy": Mistake(
        VERTEX,
        {"tuning_strategy": "SPOTS"},
        "tuning_strategy: 'SPOTS' is unknown.",
        "Did you mean SPOT?",
    ),
    "flexible start without a GPU": Mistake(
        VERTEX,
        {"tuning_strategy": "flex_start", "accelerator_type": "", "tuning_machine": "cpu-16"},
        "tuning_strategy: FLEX_START obtains machines with GPUs only.",
        "STANDARD or SPOT",
    ),
    "no machine at all": Mistake(
        VERTEX,
        {"tuning_machine_count": 0},
        "tuning_machine_count: ",
        "from 1 to 64",
    ),
    "more machines than examples of a batch": Mistake(
        VERTEX,
        {"tuning_machine_count": 9, "tuner_arguments": {"batch_size": 8}},
        "tuning_machine_count: 9 machines cannot share the 8 examples of a batch.",
        "from 1 to 8",
    ),
    "wait without a unit": Mistake(
        VERTEX,
        {"tuning_max_wait": "3600"},
        "tuning_max_wait: '3600' is no duration.",
        "such as 86400s",
    ),
    "timeout in hours": Mistake(
        LOCAL,
        {"tuning_timeout": "24h"},
        "tuning_timeout: '24h' is no duration.",
        "seconds",
    ),
    "malformed attachment": Mistake(
        VERTEX,
        {"network_attachment": "my-attachment"},
        "network_attachment: 'my-attachment' has another form",
        "projects/PROJECT/regions/REGION/networkAttachments/NAME",
    ),
    "parent model elsewhere": Mistake(
        VERTEX,
        {"parent_model": "projects/my-project/locations/us-east4/models/1"},
        "parent_model: is in us-east4, but the model is uploaded to us-central1",
        "Give one, or change location",
    ),
    "parent model with blanks": Mistake(
        VERTEX,
        {"parent_model": "My model"},
        "parent_model: 'My model' names no model",
        "full resource name",
    ),
    "parent model of another kind": Mistake(
        VERTEX,
        {"parent_model": f"{PREFIX}/endpoints/1"},
        f"parent_model: '{PREFIX}/endpoints/1' has another form",
        "models/MODEL",
    ),
    "endpoint elsewhere": Mistake(
        VERTEX,
        {"endpoint_resource_name": "projects/my-project/locations/us-east4/endpoints/1"},
        "endpoint_resource_name: is in us-east4",
        "a resource of us-central1",
    ),
    "endpoint without its full name": Mistake(
        LOCAL,
        {"endpoint_resource_name": "12"},
        "endpoint_resource_name: '12' has another form",
        "endpoints/ENDPOINT",
    ),
    "malformed alias": Mistake(
        VERTEX,
        {"version_aliases": "champion,2"},
        "version_aliases: '2' is no alias",
        "such as champion",
    ),
    "more than all traffic": Mistake(
        VERTEX,
        {"traffic_percentage": 101},
        "traffic_percentage: 101 is out of range",
        "from 0 to 100",
    ),
    "malformed TensorBoard": Mistake(
        VERTEX,
        {"tensorboard_resource_id": "board-123"},
        "tensorboard_resource_id: 'board-123' has another form",
        "projects/PROJECT/locations/REGION/tensorboards/NUMBER",
    ),
    "TensorBoard elsewhere": Mistake(
        VERTEX,
        {"tensorboard_resource_id": TENSORBOARD, "pipeline_region": "europe-west4"},
        "is in us-central1, but the pipeline runs in europe-west4",
        "Give a TensorBoard of that region",
    ),
    "malformed key": Mistake(
        LOCAL,
        {"encryption_spec_key_name": "key"},
        "encryption_spec_key_name: 'key' has another form",
        "keyRings/RING/cryptoKeys/KEY",
    ),
    "key with another location": Mistake(
        VERTEX,
        {"encryption_spec_key_name": KEY, "location": "us-west1"},
        "location: with an encryption key location must be us-central1, not 'us-west1'",
        "",
    ),
    "key with another pipeline region": Mistake(
        VERTEX,
        {"encryption_spec_key_name": KEY, "pipeline_region": "us-east4", "accelerator_type": "GPU"},
        "pipeline_region: with an encryption key pipeline_region must be us-central1",
        "",
    ),
    "key of another region": Mistake(
        VERTEX,
        {"encryption_spec_key_name": KEY.replace("us-central1", "us-west1")},
        "encryption_spec_key_name must be us-central1, not 'us-west1'",
        "",
    ),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_each_mistake_has_its_message(kind: str) -> None:
    assert_told(MISTAKES[kind])


def test_a_tensorboard_s_number_is_that_of_the_pipelines_region() -> None:
    assert check(VERTEX, tensorboard_resource_id="123").with_tensorboard
