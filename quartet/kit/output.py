"""Everything that a kit consists of, and how it gets into a folder."""

from collections.abc import Mapping
from pathlib import Path

from quartet.kit.alerts import dashboard_text, rules
from quartet.kit.errors import KitError
from quartet.kit.helm_values import helm_values
from quartet.kit.manifests import manifest_files
from quartet.kit.measurements import Measurements, dump_measurements
from quartet.kit.options import KitOptions
from quartet.kit.report import report
from quartet.kit.sizing import Sizing
from quartet.monitoring.files import LABELS
from quartet.monitoring.yaml_text import yaml_text

HEAD = "Written by `quartet kit`; SIZING.md says where each number comes from."
MEASUREMENTS_FILE = "measurements.json"
RULE_FILE = "components/prometheus-operator/prometheusrule.yaml"


def kit_files(measurements: Measurements, sizing: Sizing, options: KitOptions) -> Mapping[str, str]:
    """Path -> text of each file; the same bytes for the same arguments.

    Raises:
        KitError: the package's own manifests are missing.
    """
    groups = rules(sizing, options)
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "quartet", "labels": dict(LABELS)},
        "spec": groups,
    }
    return {
        **manifest_files(measurements, sizing, options),
        RULE_FILE: yaml_text(rule, HEAD),
        "monitoring/rules.yaml": yaml_text(groups, HEAD),
        "monitoring/dashboard.json": dashboard_text(sizing, options),
        "helm-values.yaml": helm_values(measurements, sizing, options, rule),
        MEASUREMENTS_FILE: dump_measurements(measurements),
        "SIZING.md": report(measurements, sizing, options),
    }


def prepare_folder(out: Path, *, force: bool) -> None:
    """Make ``out``, before minutes are spent on measuring.

    Raises:
        KitError: it is no folder, cannot be written, or is not empty and ``force`` is false.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        # Measurements that were too doubtful to go on from lie there alone.
        if not force and any(file.name != MEASUREMENTS_FILE for file in out.iterdir()):
            raise KitError(f"--out {out} is not empty: give another, or --force")
        probe = out / ".quartet-kit"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise KitError(f"--out {out}: cannot be written: {error.strerror}") from error


def write_kit(out: Path, files: Mapping[str, str]) -> None:
    """Write ``files`` below ``out``. Raises KitError naming the file that cannot be written."""
    for name, text in files.items():
        path = out / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        except OSError as error:
            raise KitError(f"--out: cannot write {path}: {error.strerror}") from error
