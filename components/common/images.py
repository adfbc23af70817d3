"""The container images that the compiled components name."""

# A placeholder that no cluster can pull by mistake: the registry is given when a pipeline is
# compiled. "python" in the name keeps kfp.local's SubprocessRunner from warning.
IMAGE = "REGISTRY-NOT-SET/kfp-llm-tuning-python:0.1.0"
