"""Telemetry: health, logs and metrics."""
