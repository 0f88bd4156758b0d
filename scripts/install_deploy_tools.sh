#!/usr/bin/env bash
# Installs what tests/deploy needs beside `make test`: container tools, load balancers, Prometheus,
# validators. Needs root on Debian 12 for the system packages; without them those tests skip.
#
# Everything comes from package indexes: apt, PyPI, npm. What does not belong to the system goes to
# .venv/tools.
set -euo pipefail
cd "$(dirname "$0")/.."
tools="$PWD/.venv/tools"
mkdir -p "$tools"

system_packages() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends \
    buildah podman runc containernetworking-plugins skopeo mmdebstrap \
    iproute2 iptables haproxy nginx-light prometheus rclone \
    >"$tools/apt.log" 2>&1 || { tail -n 20 "$tools/apt.log" >&2; return 1; }
}

# Debian 12's own kubectl knows no `patches`, and its docker-compose is of the first generation;
# Debian 13's programs run on Debian 12.
newer_programs() {
  local source lists="$tools/apt" host
  mkdir -p "$lists/lists/partial" "$lists/root" "$tools/bin"
  host="$(find /etc/apt -name '*.list' -o -name '*.sources' | xargs grep -hoE 'https?://[^ ]+/debian/?( |$)' | head -n 1)"
  source="$lists/trixie.list"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $host trixie main" >"$source"
  apt_options=(-o "Dir::Etc::sourcelist=$source" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$lists/lists")
  kubectl kustomize --help >/dev/null 2>&1 || newer_program kubectl usr/bin/kubectl
  [ -x "$tools/bin/docker-compose" ] ||
    newer_program docker-compose usr/libexec/docker/cli-plugins/docker-compose
}

newer_program() {
  local package="$1" path="$2"
  apt-get "${apt_options[@]}" update -qq
  (cd "$tools/apt" && apt-get "${apt_options[@]}" download -qq "$package/trixie" && dpkg -x "$package"_*.deb root)
  cp "$tools/apt/root/$path" "$tools/bin/"
}

python_packages() {
  .venv/bin/python -m pip install --quiet --disable-pip-version-check \
    --constraint constraints.txt --editable '.[train,dev,video,deploy]'
  # These pin versions of packages that the server uses, so each has an environment of its own.
  isolated kserve 'kserve==0.21.0'
  isolated ray 'ray[serve]==2.60.0'
  quartet_beside_ray
  isolated cyclonedx 'cyclonedx-python-lib[json-validation]==11.12.0'
  isolated moto 'moto[s3,server]==5.2.5'
}

isolated() {
  local name="$1" requirement="$2"
  [ -e "$tools/$name/.$requirement" ] && return
  python3 -m venv "$tools/$name"
  "$tools/$name/bin/python" -m pip install --quiet --disable-pip-version-check "$requirement"
  touch "$tools/$name/.$requirement"
}

# What Quartet needs of other versions than Ray brings is what Ray brings.
quartet_beside_ray() {
  "$tools/ray/bin/python" -m pip install --quiet --disable-pip-version-check \
    onnxruntime fastapi-offline orjson pillow pydantic-settings python-multipart \
    grpcio-health-checking
  "$tools/ray/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --editable .
}

node_packages() {
  command -v npm >/dev/null || { echo "no npm: custom resources will not be validated" >&2; return; }
  npm install --silent --no-audit --no-fund --no-save --prefix "$tools/node" \
    @kubernetes-models/prometheus-operator@6.0.0 @kubernetes-models/keda@2.0.0 \
    @kubernetes-models/gateway-api@2.0.0 2>"$tools/npm.log" || { cat "$tools/npm.log" >&2; return 1; }
}

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  system_packages
  newer_programs
else
  echo "not root on Debian: system packages are left as they are" >&2
fi
python_packages
node_packages
