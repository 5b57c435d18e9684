"""What can go wrong for the person at the terminal: the text is for people, the exit code for programs."""

from typing import Any

import click

EXIT_CODES = {
    0: "done",
    1: "failed: a check found something wrong, or an unexpected answer",
    2: "wrong usage: an option, argument or setting",
    3: "refused by the server (4xx); nothing was stored",
    4: "unavailable: no answer or 5xx; nothing was stored",
    5: "denied by compliance or risk; the order is stored as DENIED",
    6: "outcome unknown: the request may or may not have been stored; look before repeating it",
    7: "a dry run found something to change; nothing was changed",
    130: "interrupted",
}


class CommandFailed(click.ClickException):
    """A command that did not do what was asked."""

    exit_code = 1


class WrongSettings(CommandFailed):
    """A setting or connection fact is missing or wrong."""

    exit_code = 2


class Unavailable(CommandFailed):
    """The server gave no answer, or said that it cannot serve now; nothing was stored."""

    exit_code = 4


class OutcomeUnknown(CommandFailed):
    """The request was sent and no answer came: it may have been stored."""

    exit_code = 6


class Refusal(CommandFailed):
    """The server's problem+json, told with its field and fix; nothing was stored."""

    exit_code = 3

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        self.problem = problem
        super().__init__(_told(status, problem))


class ServerFailed(Refusal):
    """5xx: the server could not do it; nothing was stored."""

    exit_code = 4


class Denied(Refusal):
    """A rule of compliance or risk said no; the order is stored as DENIED."""

    exit_code = 5


class Undecided(Refusal):
    """The server itself does not know whether the request was stored."""

    exit_code = 6


BY_CODE: dict[str, type[Refusal]] = {"risk_denied": Denied, "compliance_denied": Denied, "outcome_unknown": Undecided}


def refusal(status: int, problem: dict[str, Any]) -> Refusal:
    """The error for a problem+json answer, with the exit code that fits."""
    kind = BY_CODE.get(str(problem.get("code")), ServerFailed if status >= 500 else Refusal)
    return kind(status, problem)


def _told(status: int, problem: dict[str, Any]) -> str:
    lines = [str(problem.get("detail") or problem.get("title") or f"HTTP {status}")]
    lines[0] += f" ({problem.get('code', f'HTTP {status}')})"
    errors = problem.get("errors")
    for item in errors if isinstance(errors, list) else []:
        if isinstance(item, dict):
            lines.append(f"  {item.get('field', '')}: {item.get('detail') or item.get('message', '')}")
    labels = (("field", "field"), ("fix", "fix"), ("order_id", "order"), ("state", "state"), ("request_id", "request"))
    lines += [f"  {label}: {problem[name]}" for name, label in labels if problem.get(name)]
    for verdict in problem.get("verdicts") or []:
        if isinstance(verdict, dict) and verdict.get("outcome") != "PASS":
            lines.append(f"  {verdict.get('rule')}: {verdict.get('message') or verdict.get('code')}")
    return "\n".join(lines)
