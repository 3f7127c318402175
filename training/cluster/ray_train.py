"""A training by Ray Train: its processes are those of one `torch.distributed` group.

Ray places a process on each machine. If one is lost, it starts all of them again on what is left,
and the training goes on from its checkpoint.
"""

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import ray
import torch.distributed as dist
from ray.train import FailureConfig, RunConfig, ScalingConfig, UserCallback
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2.api.exceptions import TrainingFailedError
from typing_extensions import override

from training.cluster.engine import ClusterError
from training.cluster.tasks import LOSSES, cluster_at, lines_shown, tell
from training.errors import ExplainedError
from training.fit.distributed import Processes, ProcessesError, reuse_large_buffers

Result = TypeVar("Result")


def train(address: str, work: Callable[[Processes], Result], out: Path, device: str) -> Result:
    """As `train_together`, on the cluster at an address."""
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
    folder = out.with_name(f"{out.name}.ray")
    with cluster_at(address), lines_shown() as lines:
        count, resources = _places(device)
        trainer = TorchTrainer(
            _process,
            train_loop_config={"work": work, "lines": lines},
            torch_config=TorchConfig("cpu:gloo,cuda:nccl" if "GPU" in resources else "gloo"),
            scaling_config=ScalingConfig(
                num_workers=(1, count),
                use_gpu="GPU" in resources,
                resources_per_worker=resources,
                placement_strategy="SPREAD",
            ),
            run_config=RunConfig(
                name=folder.name,
                storage_path=str(folder.parent),
                failure_config=FailureConfig(max_failures=LOSSES),
                callbacks=[_NotInVain()],
            ),
        )
        try:
            # In a thread: in the main one, Ray would take Ctrl-C for itself and exit with 0.
            result: Result = ThreadPoolExecutor(1).submit(trainer.fit).result().return_value
        except TrainingFailedError as error:
            raise _told(error) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return result


def _places(device: str) -> tuple[int, dict[str, float]]:
    """How many processes can train together, and what each of them gets."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    with_gpus = [each for each in machines if each.get("GPU", 0) >= 1]
    if device != "cpu" and with_gpus:
        cpus = min(each.get("CPU", 0) // each["GPU"] for each in with_gpus)
        return int(sum(each["GPU"] for each in with_gpus)), {"CPU": cpus, "GPU": 1}
    cpus_of_each = [each["CPU"] for each in machines if each.get("CPU", 0) >= 1]
    if not cpus_of_each:
        raise ClusterError("no machine of the Ray cluster gives it a processor: see --num-cpus")
    return len(cpus_of_each), {"CPU": min(cpus_of_each)}


def _process(loop: dict[str, Any]) -> Any:
    """In a process of the group: its share. What the leader returns is the training's result."""
    place = Processes(
        rank=dist.get_rank(),
        count=dist.get_world_size(),
        local_rank=int(os.environ["LOCAL_RANK"]),
    )
    reuse_large_buffers()
    if place.leads:
        tell(loop["lines"])
    try:
        return loop["work"](place)
    except ProcessesError:
        raise
    except ExplainedError as error:
        raise ExplainedError(str(error)) from error


class _NotInVain(UserCallback):  # type: ignore[misc]
    """Ends the training at an error that a person has to put right, instead of trying again."""

    @override
    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        explained = _explained(worker_exceptions.values())
        if explained is not None:
            raise explained


def _told(error: TrainingFailedError) -> Exception:
    """What to tell of a training that Ray has given up."""
    failures = [*getattr(error, "worker_failures", {}).values()]
    failures.append(getattr(error, "controller_failure", error))
    return _explained(failures) or ClusterError(
        f"the Ray cluster has lost {LOSSES + 1} of the processes that train ({error}): run it "
        "again, which goes on from the checkpoint"
    )


def _explained(failures: Any) -> ExplainedError | None:
    """The first failure that a person can put right; the loss of a process is none."""
    for failure in failures:
        error = getattr(failure, "_base_exc", failure)  # Ray wraps what a process raises
        if isinstance(error, ExplainedError) and not isinstance(error, ProcessesError):
            return error
    return None
