"""Signals that only this study uses: functions of outputs, features, factors or gradients, each giving one number."""
