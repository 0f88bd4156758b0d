"""Writes the bill of materials of an image: CycloneDX 1.6, JSON.

It is made from what is really installed: the metadata of Python distributions, dpkg's database, the
files of models.
"""

import argparse
import hashlib
import json
import platform
import sys
import sysconfig
import uuid
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote

from deploy.docker.steps import debian

SPEC_VERSION = "1.6"
Component = dict[str, Any]


def bill(
    name: str, version: str, timestamp: str, components: list[Component], properties: dict[str, str]
) -> dict[str, Any]:
    """The document.

    Args:
        name: of the image.
        version: of the image.
        timestamp: when it was built, RFC 3339; empty leaves it out.
        components: what is in it.
        properties: further facts of the image.
    """
    ordered = sorted(components, key=lambda c: (c["type"], c["bom-ref"]))
    metadata: dict[str, Any] = {
        "component": {
            "type": "container",
            "bom-ref": f"{name}@{version}",
            "name": name,
            "version": version,
            "properties": [{"name": k, "value": v} for k, v in sorted(properties.items()) if v],
        }
    }
    if timestamp:
        metadata["timestamp"] = timestamp
    content = json.dumps([metadata, ordered], sort_keys=True)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        # The same content has the same number: builds can be compared.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}",
        "version": 1,
        "metadata": metadata,
        "components": ordered,
    }


def python_components(site_packages: list[Path]) -> list[Component]:
    """One for each distribution installed in these folders."""
    return [_distribution(found) for found in distributions(path=[str(f) for f in site_packages])]


def debian_components(root: Path) -> list[Component]:
    """One for each Debian package installed at ``root``."""
    release = _os_release(root)
    distribution = f"{release.get('ID', 'debian')}-{release.get('VERSION_ID', '')}"
    return [
        {
            "type": "library",
            "bom-ref": f"deb/{package.name}@{package.version}",
            "name": package.name,
            "version": package.version,
            "purl": f"pkg:deb/{release.get('ID', 'debian')}/{quote(package.name)}"
            f"@{quote(package.version)}?arch={package.architecture}&distro={distribution}",
            "properties": [{"name": "quartet:debian:source", "value": package.source}],
        }
        for package in debian.read_packages(root).values()
    ]


def interpreter_component(root: Path) -> list[Component]:
    """Python itself, where no Debian package brings it."""
    library = sysconfig.get_path("stdlib")
    owned = debian.owners(root, debian.read_packages(root))
    if f"{library}/os.py" in owned:
        return []
    version = platform.python_version()
    return [
        {
            "type": "application",
            "bom-ref": f"python@{version}",
            "name": "python",
            "version": version,
            "purl": f"pkg:generic/python@{version}",
            "cpe": f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*",
        }
    ]


def model_components(repository: Path) -> list[Component]:
    """One for each version of each model, with the digests of its graphs and weights."""
    return [
        {
            "type": "machine-learning-model",
            "bom-ref": f"model/{folder.parent.name}@{folder.name}",
            "name": folder.parent.name,
            "version": folder.name,
            "components": [_file(folder, file) for file in sorted(folder.iterdir())],
        }
        for folder in sorted(repository.glob("*/*"))
        if folder.is_dir() and folder.name.isdecimal()
    ]


def _file(folder: Path, file: Path) -> Component:
    return {
        "type": "file",
        "bom-ref": f"model/{folder.parent.name}@{folder.name}/{file.name}",
        "name": file.name,
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(file.read_bytes()).hexdigest()}],
    }


def _distribution(found: Distribution) -> Component:
    name, version = found.metadata["Name"], found.version
    component: Component = {
        "type": "library",
        "bom-ref": f"pypi/{name}@{version}",
        "name": name,
        "version": version,
        "purl": f"pkg:pypi/{quote(name.lower().replace('_', '-'))}@{quote(version)}",
    }
    expression = _field(found, "License-Expression")
    if expression:
        component["licenses"] = [{"expression": expression}]
    elif named := _licence_names(found):
        component["licenses"] = [{"license": {"name": text}} for text in named]
    return component


def _licence_names(found: Distribution) -> list[str]:
    """Older metadata name licences by classifier, or by a text that may be the licence itself."""
    classifiers = found.metadata.get_all("Classifier") or []
    named = [c.rpartition(" :: ")[2] for c in classifiers if c.startswith("License :: ")]
    text = _field(found, "License")
    return named or ([text] if text and "\n" not in text else [])


def _field(found: Distribution, name: str) -> str:
    """The first value of a field of the metadata, or nothing."""
    return str((found.metadata.get_all(name) or [""])[0])


def _os_release(root: Path) -> dict[str, str]:
    lines = (root / "etc/os-release").read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key: value.strip('"') for key, _, value in pairs}


def main(argv: list[str]) -> int:
    """Write the bill of one image."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rootfs", type=Path, required=True)
    parser.add_argument("--site-packages", type=Path, nargs="+", required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--timestamp", default="")
    parser.add_argument("--base", default="")
    parser.add_argument("--revision", default="")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(argv)
    components = [
        *python_components(arguments.site_packages),
        *debian_components(arguments.rootfs),
        *interpreter_component(arguments.rootfs),
        *model_components(arguments.models),
    ]
    facts = {"quartet:base": arguments.base, "quartet:revision": arguments.revision}
    document = bill("quartet", arguments.version, arguments.timestamp, components, facts)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{arguments.out}: {len(components)} components\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
