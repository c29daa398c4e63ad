"""The sign policies applied to whole blocks, as a slow reference for the distributed function."""

from lightning_factorlens.capture.signs import apply_sign_policy


def apply_sign_policies(blocks, inputs, activations):
    """The blocks in place of the given ones, the policy chosen by the kind of each block."""
    found = []
    for block in blocks:
        policy = inputs if block.kind == "input" else activations
        found += apply_sign_policy(block, policy)
    return found
