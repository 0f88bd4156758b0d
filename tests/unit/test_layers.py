"""The import layers of the code base, as a table that is enforced.

A module may import its own layer and those above it in the table, never one below it.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SERVING_LAYERS: Sequence[tuple[str, Sequence[str]]] = (
    (
        "vocabulary: errors, types, metrics and logs; knows no engine, no model, no wire",
        (
            "serving",
            "serving.errors",
            "serving.types",
            "serving.settings",
            "serving.model_config",
            "serving.sequence_config",
            "serving.request_id",
            "serving.logs",
            "serving.triton_metrics",
            "serving.statistics",
            "serving.busy_meter",
            "serving.engine_metrics",
            "serving.gpu_metrics",
            "serving.process_metrics",
            "serving.generation_metrics",
            "serving.image_metrics",
            "serving.metrics",
            "serving.scheduler",
            "serving.generation_types",
            "serving.caption_types",
            "serving.image_types",
            "serving.token_scheduler",
            "serving.session_types",
            "serving.pb",
        ),
    ),
    (
        "parts: one thing each (a thread pool, a session, a queue, a codec), no policy",
        (
            "serving.threads",
            "serving.memory",
            "serving.providers",
            "serving.session",
            "serving.state_table",
            "serving.device_state_table",
            "serving.version_hash",
            "serving.tensors",
            "serving.workers",
            "serving.batch_queue",
            "serving.fair_queue",
            "serving.deadlines",
            "serving.folding",
            "serving.vocabulary",
            "serving.stop_strings",
            "serving.receipts",
            "serving.session_blob",
            "serving.components",
            "serving.ink",
            "serving.digits",
            "serving.image_formats",
            "serving.pillow_files",
            "serving.picture_modes",
            "serving.images",
            "serving.attention_picture",
            "serving.picture_files",
            "serving.image_math",
            "serving.video_frames",
            "serving.animation_check",
            "serving.animations",
            "serving.iso_media",
            "serving.movies",
            "serving.scenes",
            "serving.video",
            "serving.prototext",
            "serving.pbtxt",
            "serving.pbtxt_fields",
            "serving.pbtxt_sequences",
        ),
    ),
    (
        "policy of one model: its configuration, its checks, its batcher, its task",
        (
            "serving.effective_config",
            "serving.config_message",
            "serving.request_check",
            "serving.slot_units",
            "serving.slot_seats",
            "serving.slot_runs",
            "serving.slot_planning",
            "serving.slot_lives",
            "serving.slots",
            "serving.continuous_batcher",
            "serving.dynamic_batcher",
            "serving.sequence_life",
            "serving.sequence_message",
            "serving.sequence_plan",
            "serving.sequence_step",
            "serving.row_joining",
            "serving.stateful_engine",
            "serving.sequence_batcher",
            "serving.sequences",
            "serving.generator_check",
            "serving.encoder_check",
            "serving.decoder",
            "serving.golden_check",
            "serving.row_proof",
            "serving.image_graph_check",
            "serving.caption_golden",
            "serving.text_sink",
            "serving.prompt_scores",
            "serving.beam_search",
            "serving.session_store",
            "serving.call_parameters",
            "serving.text_tensors",
            "serving.caption_tensors",
            "serving.warmup",
            "serving.tasks",
        ),
    ),
    (
        "models: one version built from its folder, all of a repository",
        (
            "serving.loaded_model",
            "serving.layout",
            "serving.version_source",
            "serving.loading_tensors",
            "serving.loading_rows",
            "serving.loading_caption",
            "serving.loading_images",
            "serving.loading_text",
            "serving.loading",
            "serving.model_entries",
            "serving.repository",
        ),
    ),
    (
        "application: what the server can do, without a wire",
        (
            "serving.accounting",
            "serving.classification",
            "serving.captioning",
            "serving.picture_room",
            "serving.picture_decoding",
            "serving.picture_encoding",
            "serving.readiness",
            "serving.caption_drawing",
            "serving.tensor_inference",
            "serving.text_sessions",
            "serving.generation",
            "serving.image_generation",
            "serving.service_parts",
            "serving.service",
        ),
    ),
    (
        "wires: bytes to the application's types and back",
        (
            "serving.rest",
            "serving.grpc",
            "serving.http_server",
        ),
    ),
    (
        "composition root: builds everything, runs and drains it",
        ("serving.application", "serving.app"),
    ),
    ("commands", ("serving.cli",)),
)
"""(What the layer is, its modules and packages), from the bottom up."""

FORBIDDEN: Mapping[str, tuple[str, ...]] = {
    "quartet": ("serving", "training"),
    "serving": ("training", "torch", "onnx", "matplotlib"),
    "serving.rest": ("serving.grpc", "grpc"),
    "serving.grpc": ("serving.rest", "fastapi", "starlette", "uvicorn"),
    "serving.service": ("fastapi", "starlette", "uvicorn", "grpc"),
    "training": ("serving", "fastapi", "grpc", "uvicorn"),
}
"""Package -> what nothing in it may import, on any line."""

AT_START: Mapping[str, tuple[str, ...]] = {
    "serving.app": ("torch", "training", "matplotlib", "onnx"),
    "serving.cli": ("torch", "training", "matplotlib", "onnx"),
    "training.cli": ("serving", "onnxruntime", "fastapi", "grpc"),
    "quartet.cli": ("serving", "training", "torch", "onnxruntime"),
    "quartet.artifact": ("serving", "training", "torch", "onnxruntime", "onnx"),
}
"""Module -> what importing it may not load, however indirectly."""


def source_files(package: str) -> list[Path]:
    return sorted(ROOT.joinpath(package).rglob("*.py"))


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES: Mapping[str, Path] = {
    module_name(file): file
    for package in ("quartet", "serving", "training")
    for file in source_files(package)
}


def imported_names(module: str) -> Iterator[str]:
    """Dotted names that ``module`` imports anywhere, submodules resolved."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} line {node.lineno}: relative import"
            base = node.module or ""
            for alias in node.names:
                name = f"{base}.{alias.name}"
                yield name if name in MODULES else base


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def layer_of(module: str) -> int | None:
    """The layer whose most specific entry covers ``module``."""
    found = [
        (len(entry), number)
        for number, (_, entries) in enumerate(SERVING_LAYERS)
        for entry in entries
        if module == entry or (entry != "serving" and within(module, entry))
    ]
    return max(found)[1] if found else None


SERVING_MODULES = [module for module in MODULES if within(module, "serving")]


def test_every_serving_module_has_its_place_in_the_table() -> None:
    assert [module for module in SERVING_MODULES if layer_of(module) is None] == []


def test_every_entry_of_the_table_exists() -> None:
    entries = [entry for _, layer in SERVING_LAYERS for entry in layer]
    assert [entry for entry in entries if entry not in MODULES] == []
    assert len(entries) == len(set(entries))


@pytest.mark.parametrize("module", SERVING_MODULES)
def test_serving_module_imports_no_higher_layer(module: str) -> None:
    own = layer_of(module)
    assert own is not None
    higher = [
        name
        for name in imported_names(module)
        if within(name, "serving") and (layer_of(name) or 0) > own
    ]
    assert higher == [], f"{module} is of the layer '{SERVING_LAYERS[own][0]}'"


@pytest.mark.parametrize("package", FORBIDDEN)
def test_package_imports_nothing_forbidden(package: str) -> None:
    faults = [
        f"{module} imports {name}"
        for module in MODULES
        if within(module, package)
        for name in imported_names(module)
        if any(within(name, forbidden) for forbidden in FORBIDDEN[package])
    ]
    assert faults == []


def test_training_takes_only_the_contract_from_quartet() -> None:
    shared = (
        "quartet",
        "quartet.config",
        "quartet.artifact",
        "quartet.generation",
        "quartet.beam_search",
        "quartet.image_generation",
        "quartet.latents",
        "quartet.philox",
        "quartet.prompts",
    )
    faults = [
        f"{module} imports {name}"
        for module in MODULES
        if not within(module, "quartet")
        for name in imported_names(module)
        if within(name, "quartet") and name not in shared
    ]
    assert faults == []


def test_modules_import_each_other_in_no_circle() -> None:
    graph = {
        module: {name for name in imported_names(module) if name in MODULES and name != module}
        for module in MODULES
        if not within(module, "serving.pb")
    }
    while leaves := [module for module, names in graph.items() if not names & graph.keys()]:
        for leaf in leaves:
            del graph[leaf]
    assert sorted(graph) == [], "these import each other in circles"


@pytest.mark.parametrize("module", AT_START)
def test_importing_loads_nothing_it_should_not(module: str) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    assert [name for name in AT_START[module] if name in loaded] == []
