"""Commands for a Pulumi stack: its outputs, tunnels, continuous updates and checks."""
