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

from kfp_llm_tuning.components.common.documents import (
    parse_yaml,
    size_problems,
    unknown_names,
    value_problems,
)
from kfp_llm_tuning.components.common.errors import Problem, UserError, exit_on_error, raise_all
from kfp_llm_tuning.components.common.images import REGISTRY
from kfp_llm_tuning.components.common.platforms import JOB_PLATFORM_NAMES, KUBEFLOW
from kfp_llm_tuning.components.common.wording import short
from kfp_llm_tuning.components.parameters.row import option_name
from kfp_llm_tuning.pipelines.commands.run_directory_options import (
    directory_to_resume,
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
_TYPES: Mapping[str, tuple[type, ...]] = {
    "String": (str,),
    "Integer": (int,),
    "Float": (float, int),
    "Boolean": (bool,),
    "List": (list,),
    "Dict": (dict,),
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
            directory = directory_to_resume(output_dir, resume, [pipeline.name])
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
    inputs = pipeline.component_spec.inputs or {}
    given = {
        key: text if inputs[key].type == "String" else parse_yaml(text, option_name(key))
        for key, text in options.items()
        if text is not None
    }
    from_file = read_parameters_file(params) if params else {}
    return _checked({**defaults, **from_file, **given}, inputs)


def _platform(name: str, options_file: Path | None) -> Platform:
    if options_file is None:
        return PLATFORM_FACTORIES[name]()
    from kfp_llm_tuning.pipelines.kubeflow.options_file import read_options

    if name != KUBEFLOW.name:
        raise UserError(Problem("has no effect without --platform kubeflow.", "--options"))
    return kubeflow_platform(read_options(options_file))


def _checked(values: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    unknown = (key for key in values if key not in inputs)
    fix = f"The inputs are {', '.join(inputs)}."
    problems = unknown_names(unknown, list(inputs), "no such input.", fix)
    for key, value in values.items():
        if key not in inputs:
            continue
        if unfit := value_problems(value, key):
            problems += unfit
        elif type(value) not in _types(inputs[key]):
            problems.append(Problem(f"{short(value)} is of another type.", key, inputs[key].type))
    for key, wanted in inputs.items():
        if not wanted.optional and key not in values:
            problems.append(Problem("a value is needed.", key, fix=f"Give {option_name(key)}."))
    raise_all([*problems, *size_problems(values)])
    # kfp takes no whole number for a Float.
    return {key: _types(inputs[key])[0](value) for key, value in values.items()}


def _types(wanted: Any) -> tuple[type, ...]:
    """Finds the types of an input's values; of lists and dictionaries not those in them."""
    return _TYPES[wanted.type.partition("[")[0]]
