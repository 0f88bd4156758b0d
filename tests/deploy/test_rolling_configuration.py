"""The examples of ``deploy/balancers``, by each program's own check."""

from pathlib import Path

import pytest

from tests.deploy.balancers import (
    ENVOY,
    EXAMPLE_HOSTS,
    EXAMPLES,
    HAPROXY,
    NGINX,
    Kind,
    checked,
    kept_in_folder,
    replaced,
)
from tests.deploy.headless import answer

KINDS = (HAPROXY, NGINX, ENVOY)
FAULTS = (
    (HAPROXY, "balance leastconn", "balance fastest"),
    (HAPROXY, "proto h2 port", "proto h4 port"),
    (NGINX, "least_conn;", "fastest_conn;"),
    (NGINX, "grpc_pass grpc://quartet_grpc", "grpc_pass grpc://nobody"),
    (ENVOY, "LEAST_REQUEST", "FASTEST"),
    (ENVOY, "cluster: quartet_grpc", "cluster: nobody"),
)


def example(kind: Kind) -> str:
    return kept_in_folder(kind, (EXAMPLES / kind.example).read_text())


def write(folder: Path, kind: Kind, text: str) -> Path:
    path = folder / kind.example
    path.write_text(text)
    return path


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.program)
def test_example_is_valid(tmp_path: Path, kind: Kind) -> None:
    done = checked(kind, write(tmp_path, kind, example(kind)))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("kind", "good", "bad"), FAULTS, ids=lambda part: getattr(part, "program", part)
)
def test_seeded_fault_is_refused(tmp_path: Path, kind: Kind, good: str, bad: str) -> None:
    done = checked(kind, write(tmp_path, kind, replaced(example(kind), good, bad)))
    assert done.returncode != 0


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.program)
def test_example_names_each_replica_on_both_ports(kind: Kind) -> None:
    lines = [line for line in example(kind).splitlines() if not line.lstrip().startswith("#")]
    for host in EXAMPLE_HOSTS:
        for port in ("8000", "8001"):
            assert any(host in line and port in line for line in lines), (host, port)


def test_dns_answers_with_the_addresses_of_the_pods() -> None:
    """As the resolver of the standard library would read it, byte by byte (RFC 1035)."""
    question = b"\x03svc\x05local\x00\x00\x01\x00\x01"
    query = b"\xab\xcd\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + question
    found = answer(query, ["127.0.0.2", "127.0.0.3"])
    record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04\x7f\x00\x00"
    header = b"\xab\xcd\x85\x80\x00\x01\x00\x02\x00\x00\x00\x00"
    assert found == header + question + record + b"\x02" + record + b"\x03"
    ipv6 = query[:-3] + b"\x1c\x00\x01"
    assert answer(ipv6, ["127.0.0.2"])[6:8] == b"\x00\x00"
