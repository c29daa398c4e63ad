"""Finds what a figure draws by its identifiers."""


def by_id(artists):
    """Artist by its id, for those that have one."""
    return {artist.get_gid(): artist for artist in artists if artist.get_gid()}
