"""The files of a starter project, which ``kfp-llm-tuning init`` writes."""
