"""The commands of a pipeline of one's own: run it on this machine, compile it, submit it.

A file that ends with ::

    main = pipeline_command(my_pipeline)
    if __name__ == "__main__":
        main()

is a program with the commands ``run``, ``compile`` and ``submit``. ``my_pipeline`` takes a
platform, builds the graphs that it wants for it, and returns what ``@dsl.pipeline`` made of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kfp_llm_tuning.components.common.documents import parse_yaml, size_problems
from kfp_llm_tuning.components.common.errors import (
    Problem,
    UserError,
    collect,
    exit_on_error,
    raise_all,
)
from kfp_llm_tuning.components.common.images import REGISTRY
from kfp_llm_tuning.components.common.platforms import JOB_PLATFORM_NAMES, KUBEFLOW
from kfp_llm_tuning.components.parameters.reading import missing, read
from kfp_llm_tuning.components.parameters.row import Parameter, option_name
from kfp_llm_tuning.pipelines.commands.run_directory_options import (
    noted,
    run_directory_options,
)
from kfp_llm_tuning.pipelines.compiling.compiled_files import PLATFORM_FACTORIES
from kfp_llm_tuning.pipelines.graphs.compile import compiled
from kfp_llm_tuning.pipelines.graphs.platform import Platform
from kfp_llm_tuning.pipelines.kubeflow.platform import kubeflow_platform
from kfp_llm_tuning.pipelines.local_runs import run_directory
from kfp_llm_tuning.pipelines.local_runs.local_run import run_in
from kfp_llm_tuning.pipelines.local_runs.platform import local_platform
from kfp_llm_tuning.pipelines.own_pipeline.submission import Submission, send, submission_options
from kfp_llm_tuning.pipelines.requests.request import read_parameters_file
from kfp_llm_tuning.pipelines.terminal import terminal_output
from kfp_llm_tuning.pipelines.terminal.text import format_seconds, output_console

if TYPE_CHECKING:
    from kfp.dsl.base_component import BaseComponent

Build = Callable[[Platform], "BaseComponent"]
_WIDE = {"max_content_width": 100}
# Of what kfp calls them; of lists and dictionaries not those of their entries.
_TYPES: Mapping[str, type] = {
    "String": str,
    "Integer": int,
    "Float": float,
    "Boolean": bool,
    "List": list,
    "Dict": dict,
}


class _Program(click.Group):
    """Ends with the exit codes of ``kfp-llm-tuning``; a mistake is told without a traceback."""

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        terminal_output.prepare()
        with exit_on_error():
            return super().__call__(*arguments, **keywords)


def pipeline_command(build: Build, values: Mapping[str, Any] | None = None) -> click.Group:
    """Makes the program of a pipeline.

    Args:
        build: Makes the pipeline for a platform.
        values: What its inputs are in a run that says nothing else.

    Returns:
        The program, to be called.
    """
    pipeline = build(local_platform(Path(), "sqlite:///mlflow.db", {}))
    commands = [
        _run_command(build, pipeline, values or {}),
        _compile_command(build, pipeline),
        _submit_command(build, pipeline, values or {}),
    ]
    return _Program(commands=commands, help=pipeline.description)


def _run_command(
    build: Build, pipeline: BaseComponent, defaults: Mapping[str, Any]
) -> click.Command:
    @_input_options(pipeline)
    @run_directory_options
    def run(
        params: Path | None, output_dir: Path, resume: str | None, **options: str | None
    ) -> None:
        """Run the pipeline on this machine."""
        if resume is not None:
            directory = noted(run_directory.find(output_dir, resume, [pipeline.name]))
        else:
            arguments = _arguments(pipeline, defaults, params, options)
            directory = run_directory.create(output_dir, pipeline.name, arguments)
        sys.exit(_run_in(directory, build))

    return click.command(context_settings=_WIDE)(run)


def _run_in(directory: Path, build: Build) -> int:
    console = output_console()
    resume = f"python {sys.argv[0]} run --resume {directory.name} --output-dir {directory.parent}"
    done = run_in(directory, lambda _, platform: build(platform), resume, console)
    if not done.exit_code:
        console.print("\nDone", style="bold green", end="")
        console.print(f" in {format_seconds(done.seconds)}: {directory}")
        for key, value in done.outputs.items():
            console.print(f"  {key}: {value}")
    return done.exit_code


def _compile_command(build: Build, pipeline: BaseComponent) -> click.Command:
    @click.command()
    @click.option(
        "--platform",
        type=click.Choice(JOB_PLATFORM_NAMES),
        required=True,
        help="What to compile for.",
    )
    @_compile_options
    @click.option(
        "--output",
        type=click.Path(path_type=Path, dir_okay=False),
        default=Path(f"{pipeline.name}.yaml"),
        show_default=True,
        help="File to write.",
    )
    def compile(
        platform: str, options_file: Path | None, image_registry: str, output: Path
    ) -> None:
        """Write the pipeline as YAML."""
        text = compiled(build(_platform(platform, options_file)), image_registry)
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
        click.echo(output)

    return compile


def _submit_command(
    build: Build, pipeline: BaseComponent, defaults: Mapping[str, Any]
) -> click.Command:
    inputs = pipeline.component_spec.inputs or {}

    @_input_options(pipeline)
    @_compile_options
    @submission_options
    def submit(
        platform: str,
        project: str,
        pipeline_root: str,
        params: Path | None,
        options_file: Path | None,
        image_registry: str,
        **options: Any,
    ) -> None:
        """Send the pipeline to Vertex AI or to Kubeflow."""
        place = {name: options.pop(name) for name in set(options) - set(inputs)}
        if project and "project" in inputs:
            options["project"] = project
        arguments = _arguments(pipeline, defaults, params, options)
        if image_registry == REGISTRY:
            fix = "Say where `make images` pushed them."
            raise UserError(Problem("the images have no registry.", "--image-registry", fix=fix))
        text = compiled(build(_platform(platform, options_file)), image_registry)
        submission = Submission(pipeline.name, text, arguments, pipeline_root)
        sent = send(submission, platform, project, place)
        click.echo(f"{sent.name}\n{sent.console}")

    return click.command(context_settings=_WIDE)(submit)


def _input_options(pipeline: BaseComponent) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Makes an option of every input; ``project`` may be one of the command already."""

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        known = {option.name for option in getattr(command, "__click_params__", ())}
        for key, wanted in reversed((pipeline.component_spec.inputs or {}).items()):
            if key not in known:
                command = click.option(option_name(key), key, help=wanted.description)(command)
        path = click.Path(path_type=Path)
        return click.option("--params", type=path, help="Inputs, as YAML.")(command)

    return decorated


def _compile_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--image-registry",
            default=REGISTRY,
            envvar="KFP_LLM_TUNING_IMAGE_REGISTRY",
            show_envvar=True,
            show_default=True,
            help="Where the images are.",
        ),
        click.option(
            "--options",
            "options_file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Options of a Kubeflow cluster, as of kfp-llm-tuning compile.",
        ),
    ):
        command = option(command)
    return command


def _arguments(
    pipeline: BaseComponent,
    defaults: Mapping[str, Any],
    params: Path | None,
    options: Mapping[str, str | None],
) -> dict[str, Any]:
    """Gathers the values of the inputs: later sources take the place of earlier ones."""
    inputs = _inputs(pipeline)
    texts = {name: text for name, text in options.items() if text is not None}
    problems: list[Problem] = []
    given = {}
    for name, text in texts.items():
        with collect(problems):
            is_text = inputs[name].type is str
            given[name] = text if is_text else parse_yaml(text, inputs[name].option)
    from_file = read_parameters_file(params) if params else {}
    fix = f"The inputs are {', '.join(inputs)}."
    values = {**defaults, **from_file, **given}
    found, unfit = read(values, inputs, what="no such input.", fix=fix, texts=True)
    problems += [*unfit, *missing({**texts, **values}, inputs), *size_problems(values)]
    raise_all(problems)
    return found


def _inputs(pipeline: BaseComponent) -> dict[str, Parameter]:
    """Describes the inputs that are values; what is left out, kfp fills in."""
    return {
        name: Parameter(name, kind, kind() if entry.optional else None, entry.description or "")
        for name, entry in (pipeline.component_spec.inputs or {}).items()
        if (kind := _TYPES.get(entry.type.partition("[")[0]))
    }


def _platform(name: str, options_file: Path | None) -> Platform:
    if options_file is None:
        return PLATFORM_FACTORIES[name]()
    from kfp_llm_tuning.pipelines.kubeflow.options_file import read_options

    if name != KUBEFLOW.name:
        raise UserError(Problem("has no effect without --platform kubeflow.", "--options"))
    return kubeflow_platform(read_options(options_file))
