"""What the source of a module imports, by its text: for digests of code, and for what goes into a bundle."""

import ast
import threading
from functools import cache

_ONE_PARSER = threading.Lock()
"""`ast.parse` in two threads at once raises SystemError in Python 3.11: https://github.com/python/cpython/issues/106905"""


@cache
def imports(source: str) -> tuple[str, ...]:
    """The modules that `source` imports at any depth of its code; of `from a import b` both a and a.b.

    The answer is kept for each text, since every call of a process asks for the same ones: parsing all that trains
    takes a second. Raises SyntaxError.
    """
    with _ONE_PARSER:
        tree = ast.parse(source)
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.append(node.module)
            found.extend(f"{node.module}.{alias.name}" for alias in node.names)
    return tuple(found)
