"""The beginning of shell scripts that call kubectl, which commands run beside the objects of the stack."""

from typing import Final

WITH_KUBECONFIG: Final = """\
if [ -n "$MANTA_KUBECONFIG" ]; then
    KUBECONFIG=$(mktemp) && export KUBECONFIG
    trap 'rm -f "$KUBECONFIG"' EXIT
    printf '%s\\n' "$MANTA_KUBECONFIG" > "$KUBECONFIG"
fi
"""
"""Beginning of a script whose `kubectl` uses the kubeconfig in `MANTA_KUBECONFIG`, if there is one."""
