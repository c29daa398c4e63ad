"""The only room that writes, plots or logs; it knows records, not how they were made."""
