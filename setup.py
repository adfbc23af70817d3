"""Builds the wheel: maps the top-level folders into the namespace package ``kfp_llm_tuning``.

There is deliberately no package at the root: ``components`` and ``pipelines`` stand at the top of
the repository, where a reader looks for them, and are imported as ``kfp_llm_tuning.components``
and ``kfp_llm_tuning.pipelines``.
"""

from pathlib import Path

from setuptools import find_packages, setup

NAMESPACE = "kfp_llm_tuning"

# What compiling, validating and submitting need: no torch.
CORE = [
    "kfp>=2.17,<2.18",  # kfp.local's log messages and caching, which `run` reads, are not an API
    "kfp-kubernetes>=2.17,<2.18",  # released with kfp, for the same version of it
    "kfp-server-api>=2.17,<2.18",  # as above
    "click>=8.1",
    "docstring-parser>=0.15",
    "filelock>=3.13",
    "fsspec>=2024.6",
    "google-api-core>=2.19",
    "google-auth>=2.47",
    "jinja2>=3.1",
    "jsonschema>=4.20",
    "kubeflow-trainer-api>=2.2,<3",  # a TrainJob has runtimePatches since 2.2
    "kubernetes>=27",
    "markupsafe>=2.1",
    "msgspec>=0.20",
    "numpy>=1.26",
    "protobuf>=6.31",
    "psutil>=5.9",
    "PyYAML>=6",
    "rapidfuzz>=3.9",
    "requests>=2.32",
    "rich>=13",
    "urllib3>=2",
]

# What every process with a model in it needs.
MODELS = [
    "torch>=2.9,<2.15",  # fused norms are asked by a private name
    "transformers>=5.20,<5.24",  # the trainer subclass overrides methods that a minor may rename
    "tokenizers>=0.22",
    "huggingface-hub>=1.31,<3",  # a major renames its errors
    "accelerate>=1.12",
    "joblib>=1.4",
    "safetensors>=0.6",
]

EXTRAS = {
    # Encoding, tuning, evaluating and registering on this machine.
    "tuning": [
        *MODELS,
        "alembic>=1.13",
        "datasets>=4.0",
        "docker>=7",
        "matplotlib>=3.9",
        "mlflow>=3.10,<3.18",  # a SQLite registry is made by private names; its files' layout
        "nvidia-ml-py>=12.535",
        "peft>=0.21,<0.22",  # adapter layout on disk
        "pyarrow>=17",
        "rouge-score>=0.1.2",
        "sacrebleu>=2.4,<2.7",  # statistics of single sentences are asked by private names
        "scikit-learn>=1.5",
        "scipy>=1.13",
        "sqlalchemy>=2",
        "tensorboard>=2.18",
    ],
    # Kernels that the tuner tries on NVIDIA GPUs: never needed.
    "gpu": ["liger-kernel>=0.8,<0.9"],  # kernels are applied by patching models
    # Frozen weights in 4 bits while adapters are tuned (load_in_4bit).
    "4bit": ["bitsandbytes>=0.49,<0.51"],  # how it computes on processors is an attribute
    # The tuner on TPUs; in an environment of its own (constraints-tpu.txt).
    "tpu": [
        *(one for one in MODELS if not one.startswith(("transformers", "safetensors"))),
        "alembic>=1.13",
        "datasets>=4.0",
        "flax>=0.12.8,<0.13",  # google-tunix 0.1.7 is tested with it
        "google-tunix>=0.1.7,<0.2",  # models' parameters are read and written by their places
        "jax[tpu]>=0.10.2,<0.11",  # names the one libtpu that was tried out
        "mlflow>=3.10,<3.18",  # as above
        "optax>=0.2.8,<0.3",  # the state of its optimisers is saved
        "pyarrow>=17",
        "safetensors>=0.6,<0.8",  # google-tunix 0.1.7 wants one below 0.8
        "sqlalchemy>=2",
        "tensorboard>=2.18",
        "transformers>=5.12,<5.13",  # the newest that takes such a safetensors
    ],
    # The prediction server.
    "serving": [
        *MODELS,
        "fastapi>=0.115",
        "gcsfs>=2024.6",
        "h11>=0.14,<0.17",  # states of its connections are read
        "prometheus-client>=0.20",
        "starlette>=0.46",
        "uvicorn>=0.34,<0.55",  # its connections and its ends are overridden
    ],
    # The prediction server's engine on GPUs; in an environment of its own (constraints-vllm.txt).
    "serving-gpu": ["vllm>=0.33,<0.34"],  # its Python interface changes with minor versions
    # Runs reported to Weights & Biases, beside MLflow.
    "wandb": ["wandb>=0.22"],
    # Submitting to Vertex AI Pipelines.
    "vertex": [
        "google-cloud-aiplatform>=1.60,<2",  # google-cloud-pipeline-components 2.22 requires < 2
        "google-cloud-pipeline-components>=2.22,<3",
        "gcsfs>=2024.6",
    ],
    # On Kubeflow: data, checkpoints and MLflow's artifacts in S3 or what speaks like it.
    "kubeflow": ["boto3>=1.34", "s3fs>=2024.6"],
    # What the benchmarks compare with, and what puts load on the server.
    "bench": ["aiohttp>=3.10", "trl>=1.16,<2"],
    "dev": [
        "build",
        "croniter>=6",
        "cryptography>=44",
        "gguf>=0.17",  # transformers reads by it what make_model.py of the examples brings
        "google-cloud-storage>=2.2",
        "google-genai>=1.50",
        "googleapis-common-protos>=1.70",
        "grpc-google-iam-v1>=0.14",
        "grpcio>=1.70",
        "hypothesis>=6.100",
        "httpx>=0.27",
        "ipykernel>=6.29",
        "mypy>=1.15",
        "nbclient>=0.10",
        "nbformat>=5.10",
        "openai>=2",
        "packaging>=24",
        "pandas>=2.2",
        "ptyprocess>=0.7",
        "pydantic>=2.6",
        "pyte>=0.8",
        "pytest>=8",
        "pytest-cov>=5",
        "pytest-timeout>=2.3",
        "pytest-xdist>=3.6",
        "ruff>=0.9",
        "safetensors>=0.5",
        "setuptools>=77",
        "types-PyYAML",
        "trl>=1.16,<2",
    ],
}

setup(
    name="kfp-llm-tuning",
    version="0.1.0",
    description="Kubeflow Pipelines components and pipelines for tuning large language models",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    package_dir={
        f"{NAMESPACE}.components": "components",
        f"{NAMESPACE}.pipelines": "pipelines",
    },
    packages=[
        f"{NAMESPACE}.{package}" for package in find_packages(include=["components*", "pipelines*"])
    ],
    package_data={"": ["*.yaml", "*.json", "*.j2", "*.css", "README.md"]},
    install_requires=CORE,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["kfp-llm-tuning=kfp_llm_tuning.pipelines.cli:main"]},
)
