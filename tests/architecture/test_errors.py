"""Every refusal has a code of its own, and a page that says what to do about it."""

import importlib
import inspect
import pkgutil
from collections import Counter
from collections.abc import Iterable

from config.kit.errors import PaywallsError
from tests.support.sources import APPS, ROOT

DOCUMENTED = ROOT / "templates" / "docs" / "errors.md"


def refusals() -> set[type[PaywallsError]]:
    """Every subclass in the product, wherever it stands."""
    for app in APPS:
        package = importlib.import_module(app)
        for module in pkgutil.walk_packages(package.__path__, f"{app}."):
            if not {"migrations", "dev", "commands", "demo"} & set(module.name.split(".")):
                importlib.import_module(module.name)
    return {PaywallsError, *_below(PaywallsError)}


def _below(kind: type[PaywallsError]) -> Iterable[type[PaywallsError]]:
    for child in kind.__subclasses__():
        # Tests make subclasses too.
        if child.__module__.split(".")[0] in APPS:
            yield child
        yield from _below(child)


def shared_codes(kinds: Iterable[type[PaywallsError]]) -> list[str]:
    """Codes that two classes set themselves; one that is inherited names the same refusal."""
    own = [kind.code for kind in kinds if "code" in vars(kind)]
    return sorted(code for code, times in Counter(own).items() if times > 1)


def undocumented(kinds: Iterable[type[PaywallsError]], page: str) -> list[str]:
    return sorted({kind.code for kind in kinds if f"`{kind.code}`" not in page})


def test_codes_are_unique():
    assert shared_codes(refusals()) == []


def test_codes_are_documented():
    assert undocumented(refusals(), DOCUMENTED.read_text()) == []


def test_refusals_say_what_they_are():
    assert [kind.__name__ for kind in refusals() if not inspect.getdoc(kind)] == []


def test_the_rule():
    class FirstError(PaywallsError):
        code = "first"

    class SecondError(PaywallsError):
        code = "first"

    class InheritsError(FirstError):
        pass

    assert shared_codes([FirstError, InheritsError]) == []
    assert shared_codes([FirstError, SecondError]) == ["first"]
    assert undocumented([FirstError], "| `first` | … |") == []
    assert undocumented([FirstError], "| `second` | … |") == ["first"]
