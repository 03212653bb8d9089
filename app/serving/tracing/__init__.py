"""Traces of prediction requests, for a receiver of the OpenTelemetry protocol."""
