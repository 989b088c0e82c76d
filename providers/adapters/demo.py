"""The built-in demo provider: no key, no bill."""

from typing import ClassVar

from providers.adapters import base


class Demo(base.Adapter):
    """Speaks the OpenAI shape exactly; see `providers.demo`. Its URL is the operator's setting."""

    kind: ClassVar[str] = "demo"
    needs_key: ClassVar[bool] = False
