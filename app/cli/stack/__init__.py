"""`manta forward`, `manta dev` and `manta doctor`: tunnels, updates and checks of a Pulumi stack."""
