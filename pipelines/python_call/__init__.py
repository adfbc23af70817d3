"""Tuning as a call from Python: ``from kfp_llm_tuning.pipelines import tune``."""
