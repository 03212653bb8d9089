"""Monitors, alerts and dashboards for the Prometheus operator and the Grafana of the cluster."""
