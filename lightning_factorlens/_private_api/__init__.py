"""Every use of a private attribute of lightning, torch or Python, so that new releases are checked in one place.

Tested with lightning 2.6.6 and torch 2.14.1 (with tensorboard 2.21.0). `tests/test_private_api.py` reads the modules of
all other packages and fails if one of them uses such an attribute; `tests/_private_api` checks that every attribute
named here exists in the installed versions. Nothing here imports lightning or tensorboard: their objects are only
received.
"""
