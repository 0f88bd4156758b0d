#!/usr/bin/env bash
# Writes deploy/docker/requirements: what the images install, complete, with the digests of all files
# of each version, so that pip takes nothing else. Run it after a change of pyproject.toml or
# constraints.txt; needs uv (`pip install uv`).
set -euo pipefail
cd "$(dirname "$0")/.."
out=deploy/docker/requirements

lock() {
  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
    --constraint constraints.txt --custom-compile-command scripts/lock_image_requirements.sh "$@"
}

lock pyproject.toml --output-file "$out/cpu.txt"
# Both builds of the engine install the same Python package; the CPU's must not be there, too.
lock pyproject.toml --extra gpu --no-emit-package onnxruntime --output-file "$out/gpu.txt"
echo av | lock - --output-file "$out/video.txt"
echo 'setuptools>=77' | lock - --output-file "$out/build.txt"
