"""The only package that writes: tags, Lightning's loggers, JSON lines, data frames, text reports."""
