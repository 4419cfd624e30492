"""The decode loop, and the pure functions that it is made of."""
