"""The callbacks, and in modules with an underscore their adapters to a Trainer."""
