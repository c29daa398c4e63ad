"""The study of stopping without labels: protocol, recorder and derived records; see PROTOCOL.md."""
