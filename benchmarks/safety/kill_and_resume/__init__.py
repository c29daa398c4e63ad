"""Killed and resumed runs, compared with uninterrupted ones: ``python -m benchmarks.safety.kill_and_resume``."""
