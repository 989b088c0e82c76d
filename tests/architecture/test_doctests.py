"""The examples in docstrings are true."""

import doctest
import importlib

import pytest

from tests.support.sources import APPS, Source, python_sources

WITH_EXAMPLES = [source for source in python_sources(*APPS) if ">>> " in source.text]


def module_name(source: Source) -> str:
    return ".".join(source.path.with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("name", [module_name(source) for source in WITH_EXAMPLES])
def test_examples(name: str):
    tried = doctest.testmod(importlib.import_module(name))
    assert tried.attempted > 0
    assert tried.failed == 0
