"""Data: programs that make training records, and the fragments that they are made from."""
