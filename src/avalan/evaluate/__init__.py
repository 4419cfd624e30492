"""Measuring: tasks, metrics, statistics, reports, and the calibration fitted on validation data."""
