"""What the API answers when it cannot do what it was asked: one class, so that every refusal has the same shape."""

from __future__ import annotations

from asya.errors import AsyaError


class ApiError(AsyaError):
    """A refused request: HTTP `status`, a stable `code` for programs, a sentence for people.

    On the wire: ``{"error": {"code": str, "message": str}}``.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status, self.problem = status, code
        super().__init__(message)


def unknown_task(task_id: str) -> ApiError:
    """Nobody has told this store about the task."""
    return ApiError(404, "unknown_task", f"there is no task {task_id[:128]!r}")


def task_exists(task_id: str) -> ApiError:
    """The id a client chose is taken."""
    return ApiError(409, "task_exists", f"the id {task_id[:128]!r} is in use; choose another or leave it out")


def invalid(message: str) -> ApiError:
    """The request cannot be understood."""
    return ApiError(400, "invalid_request", message)
