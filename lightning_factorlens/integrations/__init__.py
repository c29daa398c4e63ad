"""The lens in training loops of other packages, each of which is imported in its own module alone."""
