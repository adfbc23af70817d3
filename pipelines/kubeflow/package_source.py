"""Where the package of a run comes from: compiled with a cluster's options, or read from a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.pipelines.kubeflow.options_file import default_options, read_options
from kfp_llm_tuning.pipelines.kubeflow.package import Package, read_package
from kfp_llm_tuning.pipelines.kubeflow.platform import kubeflow_platform
from kfp_llm_tuning.pipelines.templates.template import TemplateSource

if TYPE_CHECKING:
    from kfp_llm_tuning.pipelines.kubeflow.options import KubeflowOptions
    from kfp_llm_tuning.pipelines.kubeflow.run_settings import RunSettings
    from kfp_llm_tuning.pipelines.requests.request import Request


@dataclass(frozen=True)
class PackageSource:
    """What a package is made of.

    Attributes:
        template: Where the template comes from.
        options_file: Options of the cluster; None for the defaults.
    """

    template: TemplateSource
    options_file: Path | None = None

    def options(self) -> KubeflowOptions | None:
        """Reads the cluster's options.

        Returns:
            The options; None where a compiled file has them in it.

        Raises:
            UserError: For everything that is wrong with them.
        """
        if self.template.file is None:
            return read_options(self.options_file) if self.options_file else default_options()
        if self.options_file:
            what = "a compiled template has its options in it."
            fix = "Give one of them; compile --options compiles others in."
            raise UserError(Problem(what, "--options, --template-file", fix=fix))
        return None

    def package(self, request: Request, settings: RunSettings) -> Package:
        """Compiles or reads what is to be run.

        Args:
            request: What to run.
            settings: The rest of the run, settled.

        Returns:
            The package.

        Raises:
            UserError: For everything that is wrong with the options and the template.
        """
        options = self.options()
        return read_package(
            request.template,
            self.template,
            # Called only where there is something to compile.
            lambda: kubeflow_platform(_known(options), settings.labels),
        )


def _known(options: KubeflowOptions | None) -> KubeflowOptions:
    assert options is not None
    return options
