"""Agents: who a model is to be and what it is to do, described in one TOML file."""
