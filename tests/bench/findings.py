"""What `make torture` saw of one function: figures, and the bounds that they must keep."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Findings:
    """What was seen of one function. `bounds`: the figures that must hold, with what was found."""

    name: str
    inputs: int = 0
    worst_mib: float = 0.0
    worst_seconds: float = 0.0
    most_mib: float = 0.0
    room_mib: int = 0
    neighbour: str = ""
    ended: int = 0
    bounds: list[tuple[str, float, float, bool]] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def bound(self, name: str, found: float, most: float, *, timing: bool = False) -> None:
        """Note a figure that must be at most `most`; `timing`: on a computer that has nothing else to do."""
        self.bounds.append((name, found, most, timing))
