"""Where reports are printed."""

from rich.console import Console


class _Verbatim(Console):
    """Prints names as they are: what looks like rich's markup or an emoji's name is a name."""

    def __init__(self, **more):
        super().__init__(markup=False, emoji=False, highlight=False, **more)

    def on_broken_pipe(self) -> None:
        """Rich would end the process."""
        raise BrokenPipeError


def console(width: int | None = None) -> Console:
    """Standard output; ``width``: where it is no terminal."""
    found = _Verbatim()
    return found if found.is_terminal or width is None else _Verbatim(width=width)
