"""Reflection: the tokens, the record, the judges, the gate and the loop that asks."""
