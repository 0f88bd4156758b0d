"""The chart's settings and its test pod, in the project's own image."""

from tests.deploy.containers import Store, running
from tests.deploy.helm_charts import objects, render
from tests.deploy.server_environment import environment_of


def test_pod_of_the_test_succeeds_in_the_image_with_the_settings_of_the_chart(
    container_store: Store, cpu_image: str
) -> None:
    """Under the restrictions of the manifests; the server ends with the container."""
    manifests = render()
    flags = tuple(f"--env={name}={value}" for name, value in environment_of(manifests).items())
    pod = objects(manifests)["Pod/quartet-test"]["spec"]
    script = pod["containers"][0]["args"][0]
    user = str(pod["securityContext"]["runAsUser"])
    with running(container_store, cpu_image, flags=flags) as server:
        command = (*pod["containers"][0]["command"], script, "http://127.0.0.1:8000")
        done = server.execute(*command, user=user)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "http://127.0.0.1:8000: ready" in done.stdout
