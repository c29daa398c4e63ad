"""Coupled non-negative matrix factorisation: a method is a file, an option is a field."""
