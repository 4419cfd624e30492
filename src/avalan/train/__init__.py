"""Training: recipes, and what turns one into a model."""
