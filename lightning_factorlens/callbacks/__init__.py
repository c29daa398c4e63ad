"""The callbacks, and beside them, in modules with an underscore, what they need of a Trainer."""
