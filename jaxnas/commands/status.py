"""Exit status of commands, and arguments that none of them knows."""

USER_ERROR, FAILED = 2, 1


def no_more(rest: list[str]) -> None:
    """Raises ValueError where something is left."""
    if rest:
        raise ValueError(f"unknown arguments {' '.join(rest)}: see --help")
