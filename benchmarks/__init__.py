"""Benchmarks: scripts run by hand, each with figures to reach; nothing here is installed."""
