from __future__ import annotations

from collections.abc import Callable

import pytest

from tumorlens.errors import ConfigError
from tumorlens.web.app import create_app
from tumorlens.web.settings import Settings


def test_another_address_takes_accounts(make_settings: Callable[..., Settings]) -> None:
    with pytest.raises(ConfigError, match="--accounts"):
        create_app(make_settings(host="0.0.0.0"))
    with pytest.raises(ConfigError, match="tumorlens accounts add"):
        create_app(make_settings(host="0.0.0.0", accounts=True))
