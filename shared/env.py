"""Typed, strict reading of environment variables from an injected mapping; every error names the variable."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TypeVar

from shared.errors import SettingsError

N = TypeVar("N", int, float)


class Environment:
    """A view of `environ` that converts, checks bounds and says what was expected.

    An empty variable counts as unset, as Cloud Run and shells both make it hard to unset one.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str, default: str | None = None) -> str:
        """A text, or the default. Raises SettingsError where the variable is not set and has none."""
        value = self._environ.get(name, "").strip()
        if value:
            return value
        if default is None:
            raise SettingsError(f"environment variable {name} is not set; set it to a non-empty text")
        return default

    def optional(self, name: str) -> str | None:
        """A text, or None where the variable is not set or empty."""
        return self._environ.get(name, "").strip() or None

    def integer(self, name: str, default: int, *, minimum: int, maximum: int) -> int:
        """A whole number within the bounds, or the default. Raises SettingsError."""
        return self._within(name, default, (minimum, maximum), int, "a whole number")

    def number(self, name: str, default: float, *, minimum: float, maximum: float) -> float:
        """A finite number within the bounds, or the default. Raises SettingsError."""
        return self._within(name, default, (minimum, maximum), float, "a number")

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        """One of the choices, or the default. Raises SettingsError naming them."""
        value = self.text(name, default)
        if value not in choices:
            raise SettingsError(f"environment variable {name} must be one of {', '.join(choices)}, found {value!r}")
        return value

    def _within(self, name: str, default: N, bounds: tuple[N, N], read: Callable[[str], N], what: str) -> N:
        raw = self.optional(name)
        if raw is None:
            return default
        with suppress(ValueError):
            value = read(raw)
            if bounds[0] <= value <= bounds[1]:  # NaN fails every comparison
                return value
        raise SettingsError(
            f"environment variable {name} must be {what} from {bounds[0]} to {bounds[1]}, found {raw!r}"
        )
