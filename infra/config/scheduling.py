"""Where the pods of each part run, and what is added to them: the key `scheduling`."""

import re
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import AfterValidator, Field, StringConstraints

from infra.config.options import NestedOptions, OptionGroup
from infra.config.vocabulary import ObjectName, Quantity

Part = Literal["all", "head", "workers", "redis", "mlflow", "operator", "jobs"]
PARTS: Final[tuple[str, ...]] = get_args(Part)
LABEL_KEY: Final = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
"""<https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>."""
LABEL_VALUE: Final = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
OWN_LABELS: Final = re.compile(r"(app\.kubernetes\.io|ray\.io|manta)/.*")
"""Labels by which Services, network policies and KubeRay select the pods, and annotations of this stack."""
OWN_VARIABLES: Final = re.compile(r"(MANTA|RAY_AUTH|MLFLOW_TRACKING|REDIS|PG)_?.*")
"""Environment variables that connect the parts of the stack with each other."""
AFFINITIES: Final = ("nodeAffinity", "podAffinity", "podAntiAffinity")


def _free_label(key: str) -> str:
    if OWN_LABELS.fullmatch(key):
        raise ValueError(f"{key} is reserved: allowed are keys without app.kubernetes.io/, ray.io/ and manta/")
    return key


def _free_variable(name: str) -> str:
    if OWN_VARIABLES.fullmatch(name):
        raise ValueError(f"{name} is reserved: the stack sets the variables MANTA_*, RAY_AUTH_*, MLFLOW_TRACKING_*")
    return name


def _affinity(affinity: dict[str, Any]) -> dict[str, Any]:
    if unknown := sorted(set(affinity) - set(AFFINITIES)):
        raise ValueError(f"{', '.join(unknown)} is no affinity; allowed are {', '.join(AFFINITIES)}")
    return affinity


LabelKey = Annotated[str, StringConstraints(pattern=LABEL_KEY, max_length=317)]
LabelValue = Annotated[str, StringConstraints(pattern=LABEL_VALUE, max_length=63)]
FreeLabelKey = Annotated[LabelKey, AfterValidator(_free_label)]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"), AfterValidator(_free_variable)]


class Toleration(NestedOptions):
    """A toleration of a pod: <https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/>."""

    key: LabelKey | None = None
    """None tolerates every key, with the operator `Exists`."""
    operator: Literal["Exists", "Equal"] = "Equal"
    value: LabelValue | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """None tolerates every effect."""
    toleration_seconds: Annotated[int, Field(ge=0)] | None = None


class Placement(NestedOptions):
    """Fields of the pods of one part. Fields have the names of the Kubernetes API."""

    node_selector: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    affinity: Annotated[dict[str, Any], AfterValidator(_affinity)] = Field(default_factory=dict)
    """Affinity as in a pod's spec. The API server checks what is inside of it, so its values have no types here."""
    priority_class_name: ObjectName = ""
    runtime_class_name: ObjectName = ""
    labels: dict[FreeLabelKey, LabelValue] = Field(default_factory=dict)
    annotations: dict[FreeLabelKey, str] = Field(default_factory=dict)
    env: dict[VariableName, str] = Field(default_factory=dict)
    """Environment variables of the main container."""
    ephemeral_storage: Quantity | None = None
    """Request and limit of the main container's ephemeral storage."""

    def merge(self, other: "Placement") -> "Placement":
        """Combine two placements: objects and lists are joined, and other values of `other` win."""
        return Placement(
            node_selector=self.node_selector | other.node_selector,
            tolerations=(*self.tolerations, *(entry for entry in other.tolerations if entry not in self.tolerations)),
            affinity=self.affinity | other.affinity,
            priority_class_name=other.priority_class_name or self.priority_class_name,
            runtime_class_name=other.runtime_class_name or self.runtime_class_name,
            labels=self.labels | other.labels,
            annotations=self.annotations | other.annotations,
            env=self.env | other.env,
            ephemeral_storage=other.ephemeral_storage or self.ephemeral_storage,
        )


class SchedulingOptions(OptionGroup):
    """Scheduling of the pods."""

    scheduling: dict[Part, Placement] = Field(
        default_factory=dict,
        description=(
            "Fields of the pods of each part (`all`, `head`, `workers`, `redis`, `mlflow`, `operator`, `jobs`), as in "
            "Kubernetes: `nodeSelector`, `tolerations`, `affinity`, `priorityClassName`, `runtimeClassName`, `labels`, "
            "`annotations`, `env`, `ephemeralStorage`."
        ),
    )

    def of(self, part: Part) -> Placement:
        """Placement of a part: the fields for all parts, extended and overridden by those of the part."""
        return self.scheduling.get("all", Placement()).merge(self.scheduling.get(part, Placement()))
