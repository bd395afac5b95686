"""The sweep over timm: nothing is wrong, and all is as in the table."""

from __future__ import annotations

import pytest

from sweep.tiers import comes_out_as_in_the_table, names


@pytest.mark.slow
@pytest.mark.parametrize("name", names("timm"))
def test_it_comes_out_as_in_the_table(name: str) -> None:
    comes_out_as_in_the_table("timm", name)
