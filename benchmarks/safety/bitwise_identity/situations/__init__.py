"""Trainings as users write them, each with an object whose state a careless callback would change."""
