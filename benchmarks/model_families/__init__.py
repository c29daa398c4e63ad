"""Which families of published models the callback observes without being configured."""
