"""A route's rule in, its address out: the function that writes the address is compiled when somebody first asks."""

from collections.abc import Callable

from werkzeug.routing import Rule

Builder = Callable[..., tuple[str, str]]


class RouteRule(Rule):
    """A rule that compiles what only `url_for` needs when `url_for` needs it.

    Werkzeug compiles two functions for every rule at once, half of the time that it takes to make the application.
    Should a later Werkzeug name its method otherwise, it compiles them at once again, and nothing else changes.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Builder:
        made: list[Builder] = []

        def build(_rule: Rule, /, **values: object) -> tuple[str, str]:
            if not made:
                made.append(super(RouteRule, self)._compile_builder(append_unknown))
            return made[0](self, **values)

        return build
