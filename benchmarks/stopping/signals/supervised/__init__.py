"""Signals that use training labels; they serve for comparison and are no part of any label-free claim."""
