"""Text that people give."""

from config.kit import limits
from config.kit.errors import InvalidRequestError


def read_name(text: str, *, param: str) -> str:
    """A name without blanks around it.

    Raises: InvalidRequestError when it is empty, too long or has invisible characters.
    """
    name = text.strip()
    if not name or len(name) > limits.NAME_CHARS_MAX or not name.isprintable():
        raise InvalidRequestError(
            f"A name has 1 to {limits.NAME_CHARS_MAX} visible characters.", param=param
        )
    return name
