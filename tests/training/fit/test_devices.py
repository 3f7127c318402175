import pytest
import torch

from training.fit.distributed import DeviceError, Processes, choose_device


def test_devices_by_name() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(DeviceError, match="unknown"):
        choose_device("toaster")
    if not torch.cuda.is_available():
        assert choose_device("auto") == torch.device("cpu")
        with pytest.raises(DeviceError, match="CUDA is not available"):
            choose_device("cuda")


def test_every_process_of_a_machine_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    places = [Processes(rank=4 + place, count=9, local_rank=place) for place in range(3)]
    chosen = [choose_device(name, places[1]) for name in ("auto", "cuda", "cpu")]
    assert chosen == [torch.device("cuda:1"), torch.device("cuda:1"), torch.device("cpu")]
    with pytest.raises(DeviceError, match=r"fewer GPUs \(2\) than processes"):
        choose_device("auto", places[2])
    with pytest.raises(DeviceError, match="one GPU for 9 processes: use cuda"):
        choose_device("cuda:0", places[0])
    assert choose_device("cuda:1") == torch.device("cuda:1")
