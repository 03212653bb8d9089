"""`manta doctor`: checks of the machine and the cluster before `pulumi up`, and of every part afterwards."""
