"""Model references, machine specs, composing the job, and the tuner itself."""

from kfp_llm_tuning.components.common.lazy import lazy_exports

__getattr__ = lazy_exports(
    __name__,
    {
        "compose_params_for_model_tuner": ".compose_component",
        "large_language_model_tuner": ".component",
    },
)
