"""The kustomization of a kit: the base and components as they are, and patches with the numbers."""

from pathlib import Path

import yaml

import quartet
from quartet.kit.errors import KitError
from quartet.kit.measurements import Measurements
from quartet.kit.options import KitOptions
from quartet.kit.quantities import cpu, memory, quoted
from quartet.kit.scalers import autoscaler, scaled_object
from quartet.kit.sizing import Sizing

# Beside the package in a checkout and in an installed wheel alike. Not looked up as a package named
# `deploy`: that may be a folder of the user's own.
MANIFESTS = Path(quartet.__file__).resolve().parents[1] / "deploy" / "kubernetes"

HPA_PATCH = "patches/horizontalpodautoscaler.yaml"
KEDA_PATCH = "patches/scaledobject.yaml"
ROLLOUT_S = 600
"""Time that the base gives a rollout to progress."""


def manifest_files(
    measurements: Measurements, sizing: Sizing, options: KitOptions
) -> dict[str, str]:
    """Path -> text: ``kustomization.yaml`` and all that it refers to, but for the PrometheusRule.

    Raises:
        KitError: the package's own manifests are missing.
    """
    scaler = KEDA_PATCH if options.scaler == "keda" else HPA_PATCH
    files = {
        **_copied("base"),
        **_copied("components/prometheus-operator"),
        "kustomization.yaml": _kustomization(measurements, sizing, options),
        "patches/deployment.yaml": _deployment(measurements, sizing),
        scaler: _scaler(sizing, options),
    }
    if options.scaler == "keda":
        files |= _copied("components/keda")
    for name in _gpu_patches(options):
        files[f"gpu/{name}"] = _read(MANIFESTS / "overlays" / "gpu" / name)
    if options.model_claim is not None:
        files |= _copied("components/models-pvc")
    return files


def _gpu_patches(options: KitOptions) -> list[str]:
    """Of the overlay for GPUs: how replicas are placed and rolled, how slowly they go."""
    if not options.gpu:
        return []
    scaler = ["horizontalpodautoscaler.yaml"] if options.scaler == "hpa" else []
    return ["deployment.yaml", *scaler]


def image_parts(options: KitOptions) -> tuple[str, str, str]:
    """Name, tag and digest of the image; tag or digest may be empty."""
    if options.image is None:
        return "quartet", quartet.__version__ + ("-gpu" if options.gpu else ""), ""
    rest, _, digest = options.image.partition("@")
    name, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        return rest, "", digest
    return name, tag, digest


def server_settings(measurements: Measurements, sizing: Sizing) -> dict[str, str]:
    """Settings of the server that differ from the base's."""
    settings = {
        "QUARTET_MAX_QUEUE_ROWS": str(sizing.max_queue_rows),
        **(
            {"QUARTET_GENERATION__MAX_WAITING_ROWS": str(sizing.max_waiting_texts)}
            if sizing.max_waiting_texts is not None
            else {}
        ),
    }
    return settings | dict(measurements.environment.settings)


def _copied(folder: str) -> dict[str, str]:
    files = sorted((MANIFESTS / folder).glob("*.yaml"))
    if not files:
        raise KitError(f"this installation has no {MANIFESTS / folder}: install quartet anew")
    return {f"{folder}/{file.name}": _read(file) for file in files}


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise KitError(f"this installation has no {file}: install quartet anew") from error


def _kustomization(measurements: Measurements, sizing: Sizing, options: KitOptions) -> str:
    components = []
    if options.model_claim is not None:
        components.append("components/models-pvc")
    if options.scaler == "keda":
        components.append("components/keda")
    operator = "components/prometheus-operator"
    if options.prometheus_operator:
        components.append(operator)
    lines = [
        "# Written by `quartet kit`; SIZING.md says where each number comes from.",
        "#   kubectl apply -k ." if options.namespace else "#   kubectl apply -n NAMESPACE -k .",
        "apiVersion: kustomize.config.k8s.io/v1beta1",
        "kind: Kustomization",
        "",
        *([f"namespace: {options.namespace}", ""] if options.namespace else []),
        "resources:",
        "  - base",
        "",
        *(["components:", *(f"  - {name}" for name in components), ""] if components else []),
        *_not_applied(operator, options),
        *_image(options),
        *_settings(measurements, sizing, options),
        *_patches(options),
    ]
    return "\n".join(lines) + "\n"


def _not_applied(operator: str, options: KitOptions) -> list[str]:
    if options.prometheus_operator:
        return []
    return [
        "# Where the cluster has the Prometheus operator, its monitor and rules:",
        *(["# components:"] if not (options.model_claim or options.scaler == "keda") else []),
        f"#   - {operator}",
        "",
    ]


def _scaler(sizing: Sizing, options: KitOptions) -> str:
    if options.scaler == "hpa":
        return autoscaler(sizing)
    base = MANIFESTS / "components" / "keda" / "scaledobject.yaml"
    return scaled_object(sizing, options, yaml.safe_load(_read(base)))


def _image(options: KitOptions) -> list[str]:
    name, tag, digest = image_parts(options)
    return [
        "images:",
        "  - name: quartet",
        f"    newName: {quoted(name)}",
        *([f"    newTag: {quoted(tag)}"] if tag and not digest else []),
        *([f"    digest: {quoted(digest)}"] if digest else []),
        "",
    ]


def _settings(measurements: Measurements, sizing: Sizing, options: KitOptions) -> list[str]:
    settings = server_settings(measurements, sizing)
    if options.gpu:
        # Not `auto`: a replica that finds no GPU must fail its start and not answer from the CPU.
        settings["QUARTET_DEVICE"] = "cuda"
    return [
        "configMapGenerator:",
        "  - name: quartet",
        "    behavior: merge",
        "    literals:",
        *(f"      - {quoted(f'{name}={value}')}" for name, value in settings.items()),
        "",
    ]


def _patches(options: KitOptions) -> list[str]:
    lines = ["patches:", *(f"  - path: gpu/{name}" for name in _gpu_patches(options))]
    lines.append("  - path: patches/deployment.yaml")
    lines.append(f"  - path: {KEDA_PATCH if options.scaler == 'keda' else HPA_PATCH}")
    if options.model_claim is not None:
        lines += [
            "  # The claim of the models, the volume after /tmp.",
            "  - target:",
            "      kind: Deployment",
            "      name: quartet",
            "    patch: |",
            "      apiVersion: apps/v1",
            "      kind: Deployment",
            "      metadata:",
            "        name: quartet",
            "      spec:",
            "        template:",
            "          spec:",
            "            volumes:",
            "              - name: models",
            "                persistentVolumeClaim:",
            f"                  claimName: {quoted(options.model_claim)}",
        ]
    return lines


def _deployment(measurements: Measurements, sizing: Sizing) -> str:
    environment = measurements.environment
    peak_mib = measurements.peak_bytes / 1024 / 1024
    ready = f"{measurements.ready_s:.3g} s" if measurements.ready_s else "not measured"
    return f"""\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: quartet
spec:
  progressDeadlineSeconds: {max(ROLLOUT_S, sizing.startup_s + ROLLOUT_S // 2)}
  template:
    spec:
      containers:
        - name: quartet
          # Start to ready: {ready}.
          startupProbe:
            periodSeconds: 1
            failureThreshold: {sizing.startup_s}
          resources:
            # CPU: busy at the load of one replica. Memory: {peak_mib:.0f} Mi at most, and a margin.
            requests:
              cpu: {quoted(cpu(sizing.cpu_request_milli))}
              memory: {memory(sizing.memory_request_mib)}
            # CPU: as measured ({environment.server_cpus:g}); capacity is that of so many.
            limits:
              cpu: {quoted(cpu(sizing.cpu_limit_milli))}
              memory: {memory(sizing.memory_limit_mib)}
"""
