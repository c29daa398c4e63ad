"""The second campaign of the study of stopping without labels: new runs, new rules, one confirmation."""
