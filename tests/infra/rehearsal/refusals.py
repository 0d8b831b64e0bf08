"""Answers that are no success, as Google words them."""

import json
from dataclasses import dataclass


@dataclass
class Refused(Exception):
    """An answer that is no success, as Google words it."""

    code: int
    status: str
    message: str

    def body(self) -> bytes:
        return json.dumps({"error": {"code": self.code, "status": self.status, "message": self.message}}).encode()


def missing(what: str) -> Refused:
    return Refused(404, "NOT_FOUND", f"{what} was not found.")
