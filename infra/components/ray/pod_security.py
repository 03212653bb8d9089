"""Security contexts of the pods that run the Ray image, as Pod Security `restricted` requires."""

from typing import Final

from pulumi_kubernetes import core

USER: Final = 1000
"""UID and GID of the Ray image."""
POD: Final = core.v1.PodSecurityContextArgs(
    run_as_non_root=True,
    run_as_user=USER,
    run_as_group=USER,
    fs_group=USER,
    seccomp_profile=core.v1.SeccompProfileArgs(type="RuntimeDefault"),
)
"""Security context of every pod."""


def container(*, read_only_root_filesystem: bool | None = None) -> core.v1.SecurityContextArgs:
    """Security context of a container.

    Args:
        read_only_root_filesystem: Whether the container may write to its volumes only; None leaves the field out.
    """
    return core.v1.SecurityContextArgs(
        allow_privilege_escalation=False,
        capabilities=core.v1.CapabilitiesArgs(drop=["ALL"]),
        run_as_non_root=True,
        seccomp_profile=core.v1.SeccompProfileArgs(type="RuntimeDefault"),
        read_only_root_filesystem=read_only_root_filesystem,
    )
