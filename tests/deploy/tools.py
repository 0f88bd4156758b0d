"""Real deployment tools: where they are, or why a test must skip."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY_ROOT = Path(__file__).resolve().parents[2]
TOOLS = REPOSITORY_ROOT / ".venv" / "tools"
"""What ``scripts/install_deploy_tools.sh`` puts beside the system's packages."""
INSTALL = "scripts/install_deploy_tools.sh installs it"


def require(name: str) -> str:
    """The path of the program ``name``; skips the test where there is none.

    Looks into ``.venv/tools/bin`` first, then beside this Python, then along ``PATH``.
    """
    beside = Path(sys.executable).parent
    path = os.pathsep.join([str(TOOLS / "bin"), str(beside), os.environ.get("PATH", "")])
    found = shutil.which(name, path=path)
    if found is None:
        pytest.skip(f"no {name} on this machine; {INSTALL}")
    return found


def require_python(environment: str) -> str:
    """The Python of the separate environment ``environment`` (kserve, ray); skips without."""
    python = TOOLS / environment / "bin" / "python"
    if not python.exists():
        pytest.skip(f"no environment {environment!r}; {INSTALL}")
    return str(python)


def require_node(package: str) -> Path:
    """The ``node_modules`` folder that holds the npm package ``package``; skips without."""
    require("node")
    modules = TOOLS / "node" / "node_modules"
    if not (modules / package).is_dir():
        pytest.skip(f"no npm package {package}; {INSTALL}")
    return modules


def require_root() -> None:
    """Skip unless this process may make containers and network namespaces."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("needs root")


def require_namespaces() -> None:
    """Skip unless network namespaces can be made."""
    require_root()
    ip = require("ip")
    name = f"quartet-probe-{os.getpid()}"
    made = subprocess.run([ip, "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"network namespaces cannot be made here: {made.stderr.strip()}")
    subprocess.run([ip, "netns", "delete", name], capture_output=True, check=True)


def run(*command: str, timeout_s: float = 120.0) -> str:
    """Standard output of a command that must succeed; its error is the assertion's text."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stderr[-4000:]}"
    return done.stdout
