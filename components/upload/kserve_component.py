"""KFP interface of the deployment to KServe."""

from typing import NamedTuple

from kfp import dsl

from kfp_llm_tuning.components.common.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def deploy_to_kserve(
    model_resource_name: str,
    saved_model_uri: str,
    display_name: str,
    model_reference_name: str,
    serving_image: str,
    run_id: str = "",
    deploy_model: bool = True,
    namespace: str = "",
    service_account: str = "",
    resources: str = "",
    shared_memory: str = "",
    node_selector: str = "",
    tolerations: str = "",
    image_pull_secrets: str = "",
    min_replicas: int = 1,
    max_replicas: int = 1,
    labels: str = "",
    annotations: str = "",
    environment: str = "",
    ready_timeout_seconds: int = 1800,
) -> NamedTuple("Outputs", inference_service=str, endpoint_url=str):  # type: ignore[valid-type]
    """Serves a registered model with KServe, and asks it once; repeated, it changes nothing.

    A model has one InferenceService, named after it, which a later version takes over.

    Args:
        model_resource_name: Output of upload-llm-model; empty where nothing was registered.
        saved_model_uri: Where KServe reads the model: gs://, s3://, pvc:// or hf://. KFP's minio://
            is read as s3://.
        display_name: Name of the model; the service's is what is legal of it.
        model_reference_name: The model reference that was tuned: it tells text from chat.
        serving_image: Image of the prediction server.
        run_id: Id of the pipeline run, told in the service's annotations.
        deploy_model: Whether to serve; false leaves both outputs empty.
        namespace: Of the service; empty for the pod's own.
        service_account: Account of the service's pods, whose secrets open the model's storage.
        resources: A JSON object: requests and limits of the server's container.
        shared_memory: Size of /dev/shm, such as 2Gi; empty for the node's default.
        node_selector: A JSON object of node labels.
        tolerations: A JSON list of tolerations.
        image_pull_secrets: A JSON list of names of secrets.
        min_replicas: Servers that are always there.
        max_replicas: Servers under load.
        labels: A JSON object: further labels of the service.
        annotations: A JSON object: further annotations of the service.
        environment: A JSON object: further variables of the server.
        ready_timeout_seconds: How long to wait for the model to answer.

    Returns:
        inference_service: NAMESPACE/NAME of the service; empty where nothing was deployed.
        endpoint_url: Its address, for clients outside the cluster where it has one.
    """
    from kfp_llm_tuning.components.common.errors import exit_on_error
    from kfp_llm_tuning.components.upload import kserve
    from kfp_llm_tuning.components.upload.json_inputs import JsonInputs
    from kfp_llm_tuning.components.upload.kserve_service import KserveServing

    with exit_on_error():
        given = JsonInputs()
        serving = KserveServing(
            image=serving_image,
            namespace=namespace,
            service_account=service_account,
            resources=given.mapping("resources", resources),
            shared_memory=shared_memory,
            node_selector=given.strings("node_selector", node_selector),
            tolerations=given.sequence("tolerations", tolerations),
            image_pull_secrets=given.sequence("image_pull_secrets", image_pull_secrets),
            min_replicas=min_replicas,
            max_replicas=max_replicas,
            labels=given.strings("labels", labels),
            annotations=given.strings("annotations", annotations),
            environment=given.strings("environment", environment),
            ready_timeout_seconds=ready_timeout_seconds,
        )
        given.raise_problems()
        served = kserve.deploy(
            kserve.KserveTask(
                model_resource_name=model_resource_name,
                saved_model_uri=saved_model_uri,
                display_name=display_name,
                model_reference=model_reference_name,
                run_id=run_id,
                deploy_model=deploy_model,
                serving=serving,
            )
        )
    return served.inference_service, served.endpoint_url
