import onnxruntime
import pytest

from quartet.config import ConfigError
from serving.providers import choose_device, missing_for_cuda


def works() -> str | None:
    return None


def lacks() -> str | None:
    return "libcudnn.so.9: cannot open shared object file"


def test_choose_device_does_not_look_for_cuda_when_cpu_is_asked_for() -> None:
    def never() -> str | None:
        raise AssertionError("asked")

    device = choose_device("cpu", never)
    assert (device.kind, device.provider) == ("cpu", "CPUExecutionProvider")


@pytest.mark.parametrize("wanted", ["auto", "cuda"])
def test_choose_device_takes_cuda_where_it_works(wanted: str) -> None:
    device = choose_device(wanted, works)  # type: ignore[arg-type]  # both are literals it takes
    assert (device.kind, device.provider) == ("cuda", "CUDAExecutionProvider")


def test_choose_device_says_why_auto_took_the_cpu() -> None:
    device = choose_device("auto", lacks)
    assert (device.kind, device.reason) == ("cpu", lacks())


def test_choose_device_refuses_when_cuda_is_demanded_and_cannot_be_had() -> None:
    with pytest.raises(ConfigError, match=r"--device cuda: libcudnn\.so\.9: cannot open"):
        choose_device("cuda", lacks)


def test_provider_list_ends_with_the_cpu_for_operators_that_cuda_lacks() -> None:
    names = [name for name, _ in choose_device("cuda", works).provider_list()]
    assert names == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert choose_device("cpu").provider_list() == [("CPUExecutionProvider", {})]


def test_missing_for_cuda_names_the_extra_when_the_build_has_no_cuda(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert "install the extra 'gpu'" in (missing_for_cuda() or "")


def test_missing_for_cuda_names_the_library_that_does_not_load(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)

    def absent(path: str, mode: int = 0) -> None:
        raise OSError(f"{path.rpartition('/')[2]}: cannot open shared object file")

    monkeypatch.setattr("serving.providers.ctypes.CDLL", absent)
    assert "libonnxruntime_providers_shared.so: cannot open" in (missing_for_cuda() or "")
