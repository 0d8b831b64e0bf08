"""What the local storage refuses, as Cloud Storage words it: an HTTP status, a reason code and a sentence.

Raised anywhere below the routes; the door (`app.py`) turns it into the JSON or XML error that clients parse.
"""

from shared.errors import PipelineError

NO_BUCKET = "The specified bucket does not exist"


class Fault(PipelineError):
    """A request that is not fulfilled. `status` 304 is no error to the caller, only an empty answer."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message


def no_bucket(bucket: str) -> Fault:
    """404: there is no such bucket."""
    return Fault(404, "notFound", f"{NO_BUCKET}: {bucket}")


def no_object(bucket: str, name: str, generation: int | None = None) -> Fault:
    """404: there is no such object, or not this generation of it."""
    version = "" if generation is None else f"#{generation}"
    return Fault(404, "notFound", f"No such object: {bucket}/{name}{version}")


def condition_not_met(condition: str) -> Fault:
    """412: a precondition of the request does not hold."""
    return Fault(412, "conditionNotMet", f"At least one of the pre-conditions you specified did not hold: {condition}")


def not_modified() -> Fault:
    """304: the caller has what it asks for."""
    return Fault(304, "notModified", "Not Modified")


def invalid(message: str) -> Fault:
    """400: the request cannot be understood."""
    return Fault(400, "invalid", message)


def no_access_controls() -> Fault:
    """400: with uniform access there are no access control lists."""
    return Fault(400, "invalid", "Cannot use ACL API when uniform bucket-level access is enabled. Use IAM instead.")


def required(parameter: str) -> Fault:
    """400: a parameter is missing."""
    return Fault(400, "required", f"Required parameter: {parameter}")
