"""What a user's mistake must meet with."""

import re

import pytest


def refused(call, *words):
    """The call raises ValueError, and its message has all the words."""
    with pytest.raises(ValueError, match="(?s)" + "".join(f"(?=.*{re.escape(word)})" for word in words)):
        call()
