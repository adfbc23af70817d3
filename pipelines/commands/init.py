"""``kfp-llm-tuning init``: a starter project that compiles and runs at once."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

import click

from kfp_llm_tuning.components import __version__
from kfp_llm_tuning.components.common.errors import Problem, UserError, raise_all
from kfp_llm_tuning.pipelines import starter

# Of pipelines on Kubeflow and of jobs on Vertex AI, which get the time behind it.
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,48}[a-z0-9])?")
_TEMPLATES = Path(starter.__file__).parent
# The file that each template becomes.
_FILES = {
    "pipeline.py.j2": "pipeline.py",
    "parameters.yaml.j2": "parameters.yaml",
    "messages.jsonl.j2": "data/messages.jsonl",
    "test_pipeline.py.j2": "tests/test_pipeline.py",
    "Makefile.j2": "Makefile",
    "requirements.txt.j2": "requirements.txt",
    "README.md.j2": "README.md",
    "ci.yaml.j2": ".github/workflows/ci.yaml",
    "gitignore.j2": ".gitignore",
}
_NEXT = """
Next:
  cd {directory}
  make run       # the pipeline on this machine
  make test      # your own step, and that the pipeline compiles
  make compile   # YAML for Kubeflow and Vertex AI

Your own step is `prepare` in pipeline.py, your data goes to data/messages.jsonl."""


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the pipeline.  [default: the folder's]")
def init(directory: Path, name: str | None) -> None:
    """Write a starter project to DIRECTORY: a pipeline of your own around ours.

    It compiles and runs on this machine at once.
    """
    chosen = directory.resolve().name if name is None else name
    raise_all([*_name_problems(chosen, given=name is not None), *_directory_problems(directory)])
    written = write_project(directory, chosen)
    for path in written:
        click.echo(path)
    click.echo(_NEXT.format(directory=directory))


def write_project(directory: Path, name: str) -> list[Path]:
    """Writes the project.

    Args:
        directory: Where to; made where it is not there.
        name: The pipeline's name.

    Returns:
        The files.

    Raises:
        UserError: If it cannot be written.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    values = {"name": name, "function": name.replace("-", "_"), "version": __version__}
    written = []
    try:
        for template, target in _FILES.items():
            path = directory / target
            path.parent.mkdir(parents=True, exist_ok=True)
            text = environment.get_template(template).render(values)
            path.write_text(text, encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise UserError(Problem(f"cannot be written: {error.strerror}.", str(directory))) from error
    return written


def _name_problems(name: str, given: bool) -> list[Problem]:
    if _NAME.fullmatch(name) and not keyword.iskeyword(name):
        return []
    allowed = (
        "a small letter, then small letters, digits and hyphens, 50 at most; no Python keyword"
    )
    fix = "" if given else "Give --name."
    return [Problem(f"{name!r} cannot name a pipeline.", "--name", allowed, fix)]


def _directory_problems(directory: Path) -> list[Problem]:
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return []
    what = "is not empty." if directory.is_dir() else "is no folder."
    return [Problem(what, str(directory), "a new or an empty folder")]
