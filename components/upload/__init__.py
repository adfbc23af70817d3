"""Registers tuned models and deploys them: on the local platform, over MLflow."""

from kfp_llm_tuning.components.common.lazy import lazy_exports

__getattr__ = lazy_exports(
    __name__,
    {
        "create_endpoint_and_deploy_model": ".component",
        "deploy_to_kserve": ".kserve_component",
        "tensorboard_uploader": ".component",
        "upload_llm_model": ".component",
    },
)
