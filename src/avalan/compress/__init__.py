"""Smaller models from larger files: export and quantisation."""
