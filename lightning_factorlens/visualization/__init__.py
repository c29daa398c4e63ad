"""What a unit of a network responds to, as images: a model in, image tensors out; nothing here writes files."""
