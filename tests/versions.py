"""Marks for what only newer versions than the oldest allowed ones promise."""

import pytest
from lightning_utilities.core.imports import RequirementCache

#: Before 2.6 Lightning skips the hooks of an epoch's end when it resumes from a checkpoint of the epoch's last batch.
lightning_ends_a_resumed_epoch = pytest.mark.skipif(
    not RequirementCache("lightning>=2.6"), reason="Lightning before 2.6 does not end an epoch that it resumes"
)
#: torch 2.6 raises an AssertionError where the compiled code logs.
torch_compiles_logging = pytest.mark.skipif(
    not RequirementCache("torch>=2.7"), reason="torch 2.6 does not compile LightningModule.log"
)
#: torch 2.6 asks a stream of a CPU for events when it gathers parameters.
torch_shards_on_cpu = pytest.mark.skipif(
    not RequirementCache("torch>=2.7"), reason="fully_shard of torch 2.6 does not run on a CPU"
)
