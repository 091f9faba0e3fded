"""The module opens, and the panel's forms fit its code."""

from __future__ import annotations

from typing import Any


def test_an_opened_module_says_what_it_waits_for(desk: Any) -> None:
    assert not desk.ui.applyButton.enabled
    assert "CT" in desk.ui.applyButton.toolTip
