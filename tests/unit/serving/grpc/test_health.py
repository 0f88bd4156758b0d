import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc

from serving.grpc.health import HealthServicer

SERVING = pb.HealthCheckResponse.SERVING
NOT_SERVING = pb.HealthCheckResponse.NOT_SERVING
UNKNOWN = pb.HealthCheckResponse.SERVICE_UNKNOWN
SERVICE = "inference.GRPCInferenceService"


def check(address: str, name: str) -> int:
    with grpc.insecure_channel(address) as channel:
        response = health_pb2_grpc.HealthStub(channel).Check(pb.HealthCheckRequest(service=name))
    return int(response.status)


@pytest.mark.parametrize("name", ["", SERVICE, "quartet.v1.Quartet", "echo"])
def test_check_follows_readiness(server: Any, service: Any, name: str) -> None:
    assert check(server.address, name) == SERVING
    service.is_ready = False
    assert check(server.address, name) == NOT_SERVING


def test_check_says_not_serving_when_the_model_is_loading(server: Any) -> None:
    assert check(server.address, "loading") == NOT_SERVING


def test_check_answers_not_found_when_the_name_is_unknown(server: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        check(server.address, "nothing")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert caught.value.details() == "unknown service or model 'nothing'"


async def test_watch_reports_each_change_and_ends_when_closed(service: Any) -> None:
    health = HealthServicer(service, (SERVICE,), watch_interval_s=0.001)
    seen = []
    async for response in health.watch(SERVICE):
        seen.append(response.status)
        if len(seen) == 1:
            service.is_ready = False
        elif len(seen) == 2:
            service.is_ready = True
        else:
            health.close()
    assert seen == [SERVING, NOT_SERVING, SERVING, NOT_SERVING]


async def test_watch_reports_a_drain_at_once_and_goes_on(service: Any) -> None:
    health = HealthServicer(service, (SERVICE,), watch_interval_s=3600)
    watch = health.watch(SERVICE)
    assert (await anext(watch)).status == SERVING
    told = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    health.drain()
    assert (await told).status == NOT_SERVING
    ended = asyncio.ensure_future(anext(watch, None))
    await asyncio.sleep(0)
    assert not ended.done()
    health.close()
    assert await ended is None


def test_check_says_not_serving_while_the_server_drains(server: Any) -> None:
    server.start_draining()
    assert check(server.address, "") == NOT_SERVING
    assert check(server.address, "echo") == NOT_SERVING


async def test_watch_reports_an_unknown_name_instead_of_failing(service: Any) -> None:
    watch = HealthServicer(service, ()).watch("nothing")
    assert (await anext(watch)).status == UNKNOWN
    await watch.aclose()  # type: ignore[attr-defined]  # an async generator


def test_watch_does_not_hold_up_the_stop_of_the_server(server: Any) -> None:
    with grpc.insecure_channel(server.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(pb.HealthCheckRequest())
        assert next(watch).status == SERVING
        server.stop(grace_s=5.0)
        assert [response.status for response in watch] == [NOT_SERVING]
