"""Lazy columns: the type that carries a recipe, the recipe's graph, and how one is written."""
