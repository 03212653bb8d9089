"""Worker groups besides the workers that serve: those that train, and further ones."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from infra.config.options import NestedOptions, OptionGroup
from infra.config.scheduling import Placement, Toleration
from infra.config.vocabulary import Count, ImageReference, Quantity, QuantityOrNone

TRAIN: Literal["train"] = "train"
"""Name of the group of `trainWorkers`."""
WorkerNumber = Annotated[int, Field(ge=0, le=1000)]
SPOT_TOLERATIONS = (
    Toleration(key="cloud.google.com/gke-spot", operator="Equal", value="true", effect="NoSchedule"),
    Toleration(key="kubernetes.azure.com/scalesetpriority", operator="Equal", value="spot", effect="NoSchedule"),
)
"""Taints of spot nodes on GKE and AKS. EKS taints none; Karpenter's and own taints belong into `scheduling`."""


class WorkerGroup(NestedOptions):
    """A group of Ray workers that run jobs, and no replica."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]{0,18}[a-z0-9])?$")]
    cpus: Count = 1
    memory: Quantity = "2Gi"
    gpus: Annotated[int, Field(ge=0, le=64)] = 0
    min_workers: WorkerNumber = 0
    max_workers: Count = 1
    spot: bool = False
    """Whether the workers may run on spot nodes of GKE and AKS."""
    image: ImageReference = ""
    """Empty: the image of the stack."""
    scheduling: Placement = Field(default_factory=Placement)
    """Extends the fields of the part `workers`."""

    @property
    def placement(self) -> Placement:
        """Where the workers run."""
        spot = Placement(tolerations=SPOT_TOLERATIONS) if self.spot else Placement()
        return spot.merge(self.scheduling)


class WorkerOptions(OptionGroup):
    """Workers that train."""

    train_workers: WorkerNumber = Field(
        0,
        description="Maximum number of Ray workers that only train; the other workers then only serve. 0: jobs share "
        "the workers that serve.",
    )
    train_min_workers: WorkerNumber = Field(
        0, description="Minimum number of Ray workers that only train. With 0, a job waits until the first has started."
    )
    train_cpus: WorkerNumber = Field(0, description="CPUs of each worker that trains. 0: as many as `cpus`.")
    train_memory: QuantityOrNone = Field(
        "", description="Memory of each worker that trains. Empty: as much as `memory`."
    )
    worker_groups: tuple[WorkerGroup, ...] = Field(
        (),
        examples=[[{"name": "gpu", "cpus": 8, "memory": "32Gi", "gpus": 1, "maxWorkers": 4}]],
        description="Further groups of workers for jobs: `name`, `cpus`, `memory`, `gpus`, `minWorkers`, `maxWorkers`, "
        "`spot`, `image`, and `scheduling` with the fields of a part.",
    )

    def groups(self, *, cpus: int, memory: str) -> tuple[WorkerGroup, ...]:
        """Every group whose workers only run jobs.

        Args:
            cpus: CPUs of a worker that serves.
            memory: Memory of a worker that serves.
        """
        if not self.train_workers:
            return self.worker_groups
        train = WorkerGroup(
            name=TRAIN,
            cpus=self.train_cpus or cpus,
            memory=self.train_memory or memory,
            min_workers=self.train_min_workers,
            max_workers=self.train_workers,
        )
        return (train, *self.worker_groups)
