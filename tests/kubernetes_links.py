"""What Kubernetes puts into the environment of every container: the Services of its namespace."""

from collections.abc import Mapping


def service_links(service: str, ports: Mapping[str, int]) -> dict[str, str]:
    """The variables that the kubelet makes of one Service (kubelet/envvars/envvars.go)."""
    prefix, address = service.upper().replace("-", "_"), "10.96.14.7"
    first = next(iter(ports.values()))
    variables = {
        f"{prefix}_SERVICE_HOST": address,
        f"{prefix}_SERVICE_PORT": str(first),
        f"{prefix}_PORT": f"tcp://{address}:{first}",
    }
    for name, port in ports.items():
        variables[f"{prefix}_SERVICE_PORT_{name.upper()}"] = str(port)
        variables[f"{prefix}_PORT_{port}_TCP"] = f"tcp://{address}:{port}"
        variables[f"{prefix}_PORT_{port}_TCP_PROTO"] = "tcp"
        variables[f"{prefix}_PORT_{port}_TCP_PORT"] = str(port)
        variables[f"{prefix}_PORT_{port}_TCP_ADDR"] = address
    return variables
