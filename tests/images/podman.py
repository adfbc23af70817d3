"""A podman of the tests' own: its settings, its storage, a base image, and docker's API."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
# A container may not be given more of them than its maker has.
_MOST_FILES_AND_PROCESSES = 16384
_RUNTIMES = ("crun", "runc")
# What the container file asks of its base, from Debian's own packages.
_DEBIAN = ("mmdebstrap", "--variant=minbase", "--include=python3-venv,ca-certificates", "bookworm")
# What pip may be told that leads it to packages.
_WHERE_PIP_LOOKS = frozenset(
    (
        "cert",
        "default-timeout",
        "extra-index-url",
        "find-links",
        "index-url",
        "proxy",
        "trusted-host",
    )
)


class NoContainersError(Exception):
    """No container can be built or run here, and why."""


class Podman:
    """podman, apart from all other images and containers of this machine."""

    def __init__(self, folder: Path, storage: Path) -> None:
        """Writes its settings; nothing is started.

        Args:
            folder: Gets the settings, and what is needed only while it works.
            storage: Keeps the images.

        Raises:
            NoContainersError: If there is no podman.
        """
        if not shutil.which("podman"):
            raise NoContainersError("podman is not installed")
        self._folder = folder
        self._storage = storage
        self._runtime = ""
        (folder / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{storage}"\nrunroot = "{folder}/run"\n'
        )

    def environment(self, volumes: Sequence[str] = ()) -> Mapping[str, str]:
        """Gives the variables that lead podman to these settings.

        Args:
            volumes: FILE:FILE:ro each, which every container sees.

        Returns:
            All variables of a process.
        """
        limits = [
            f"{name}={limit}:{limit}"
            for name, kind in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC))
            for limit in [_least(resource.getrlimit(kind)[1])]
        ]
        text = (
            f"[containers]\ndefault_ulimits = {json.dumps(limits)}\n"
            f"volumes = {json.dumps(list(volumes))}\n"
            # The other manager needs a systemd that runs.
            '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
        )
        text += f'runtime = "{self._runtime}"\n' if self._runtime else ""
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        file = self._folder / f"containers-{digest}.conf"
        file.write_text(text)
        return {
            **os.environ,
            "CONTAINERS_CONF": str(file),
            "CONTAINERS_STORAGE_CONF": str(self._folder / "storage.conf"),
        }

    def call(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs podman.

        Args:
            *words: Its arguments.
            check: Whether an exit code other than 0 is an error.

        Returns:
            What it printed, and its exit code.
        """
        done = subprocess.run(
            ["podman", *words], env=self.environment(), capture_output=True, text=True, check=False
        )
        assert not check or not done.returncode, f"podman {words}: {done.stdout}{done.stderr}"
        return done

    def base_image(self) -> str:
        """Gives an image with Python 3.11, made of Debian's packages if need be.

        Returns:
            Its name: the value of PYTHON_IMAGE where that is set.

        Raises:
            NoContainersError: If there is nothing to make one of.
        """
        if given := os.environ.get("PYTHON_IMAGE"):
            return given
        name = f"localhost/debian-python:{hashlib.sha256(' '.join(_DEBIAN).encode()).hexdigest()}"
        if self.call("image", "exists", name, check=False).returncode:
            if not shutil.which(_DEBIAN[0]):
                raise NoContainersError(f"{_DEBIAN[0]} is not installed, nor is PYTHON_IMAGE set")
            archive = self._folder / "debian.tar"
            done = subprocess.run(
                [*_DEBIAN, str(archive)], capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise NoContainersError(f"no base image can be made: {done.stderr[-2000:]}")
            self.call("import", str(archive), name)
            archive.unlink()
        return name

    def find_runtime(self, image: str) -> None:
        """Looks for a runtime that works here: not each knows every kind of cgroups.

        Args:
            image: An image with a shell.

        Raises:
            NoContainersError: If none works, with what each said.
        """
        errors = []
        for self._runtime in filter(shutil.which, _RUNTIMES):
            done = self.call("run", "--rm", image, "true", check=False)
            if not done.returncode:
                return
            errors.append(done.stderr.strip())
        raise NoContainersError("; ".join(errors) or f"none of {', '.join(_RUNTIMES)} is installed")

    def build(self, command: Sequence[str], log: Path) -> None:
        """Builds an image; pip finds packages where it finds them outside of containers.

        Args:
            command: The command that builds it.
            log: Gets what is printed.
        """
        environment = self.environment(_pip_volumes(self._folder))
        with log.open("w") as stream:
            done = subprocess.run(
                command, env=environment, stdout=stream, stderr=subprocess.STDOUT, check=False
            )
        assert not done.returncode, log.read_text()[-4000:]

    @contextmanager
    def service(self) -> Iterator[str]:
        """Serves docker's API.

        Yields:
            What DOCKER_HOST must be.
        """
        socket = self._folder / "podman.sock"
        command = ["podman", "system", "service", "--time=0", f"unix://{socket}"]
        with (
            (self._folder / "service.log").open("w") as log,
            subprocess.Popen(
                command, env=self.environment(), stdout=log, stderr=subprocess.STDOUT
            ) as process,
        ):
            try:
                while not socket.exists():
                    assert process.poll() is None, (self._folder / "service.log").read_text()
                    time.sleep(0.05)
                yield f"unix://{socket}"
            finally:
                process.terminate()

    def clean(self) -> None:
        """Removes all containers, those of builds that broke off too, and layers of last week."""
        if left := self.call("ps", "--all", "--external", "--quiet").stdout.split():
            self.call("rm", "--force", *left)
        self.call("image", "prune", "--force", "--filter=until=168h")


def _least(limit: int) -> int:
    return _MOST_FILES_AND_PROCESSES if limit < 0 else min(limit, _MOST_FILES_AND_PROCESSES)


def _pip_volumes(folder: Path) -> list[str]:
    """Names what pip's settings here name, and those settings, for a container to see."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    # The environment's come last, and win.
    settings = {
        name.rpartition(".")[2]: " ".join(ast.literal_eval(value).split())
        for name, _, value in (line.partition("=") for line in listed.stdout.splitlines())
    }
    used = {name: text for name, text in settings.items() if name in _WHERE_PIP_LOOKS}
    file = folder / "pip.conf"
    file.write_text("\n".join(["[global]", *(f"{name} = {text}" for name, text in used.items())]))
    seen = {path for name, text in used.items() for path in _paths(name, text) if path.exists()}
    return [f"{file}:/etc/pip.conf:ro", *(f"{path}:{path}:ro" for path in sorted(seen))]


def _paths(name: str, text: str) -> Iterator[Path]:
    for word in text.split():
        path = Path(word.removeprefix("file://"))
        if path.is_absolute():
            # An index's pages lead to files beside them.
            yield path.parent if "index" in name else path
