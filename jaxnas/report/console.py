"""Where reports are printed, and what stays in place there while it changes."""

import contextvars
import io
import threading
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from rich.console import Console, RenderableType
from rich.live import Live

SECONDS = 0.5
"""Between two looks at what a notebook shows."""


class _Verbatim(Console):
    """Prints names as they are: what looks like rich's markup or an emoji's name is a name."""

    def __init__(self, **more):
        super().__init__(markup=False, emoji=False, highlight=False, **more)

    def on_broken_pipe(self) -> None:
        """Rich would end the process."""
        raise BrokenPipeError


class _Notebook(_Verbatim):
    """Standard output of a notebook's cell; rich itself would make an output of each line."""

    def __init__(self, **more):
        super().__init__(force_jupyter=False, **more)


def console(width: int | None = None) -> Console:
    """Standard output; ``width``: where it is no terminal."""
    found = _Verbatim()
    more = {} if found.is_terminal or width is None else {"width": width}
    if found.is_jupyter:
        return _Notebook(**more)
    return _Verbatim(**more) if more else found


@runtime_checkable
class Display(Protocol):
    """What stays in place from ``start`` to ``stop``."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


def stays_in_place(console: Console) -> bool:
    """Whether there can be a `Display`: on a terminal and in a notebook."""
    return console.is_terminal or isinstance(console, _Notebook)


def display(console: Console, content: Callable[[], RenderableType]) -> Display:
    """What ``content`` gives, a few times a second."""
    if isinstance(console, _Notebook):
        return _InNotebook(content)
    return Live(console=console, get_renderable=content, refresh_per_second=4)


class _InNotebook:
    """One output of a notebook's cell, which is replaced when it has changed: rich's own needs ipywidgets for that."""

    def __init__(self, content: Callable[[], RenderableType]):
        self.content, self._shown, self._handle, self._over = content, "", None, threading.Event()
        # in the context of the cell, or the kernel would not know whose output it is
        self._thread = threading.Thread(target=contextvars.copy_context().run, args=(self._refresh,), daemon=True)

    def start(self) -> None:
        self._show()
        self._thread.start()

    def stop(self) -> None:
        """What it is at the end stays."""
        self._over.set()
        self._thread.join()
        self._show()

    def _refresh(self) -> None:
        while not self._over.wait(SECONDS):
            self._show()

    def _show(self) -> None:
        from IPython.display import display

        bundle = _bundle(self.content())
        if bundle["text/plain"] == self._shown:
            return
        self._shown = bundle["text/plain"]
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


def _bundle(content: RenderableType) -> dict[str, Any]:
    """As text and as HTML."""
    page = Console(file=io.StringIO(), record=True, width=100, force_terminal=True, force_jupyter=False)
    page.print(content)
    style = "white-space:pre;overflow-x:auto;line-height:normal;font-family:Menlo,'DejaVu Sans Mono',monospace"
    html = page.export_html(inline_styles=True, clear=False, code_format=f'<pre style="{style}">{{code}}</pre>')
    return {"text/plain": page.export_text(), "text/html": html}
