"""What the callback needs of a Trainer: one question to it, one file."""
