"""What this library may take stays within bench/budgets.json: sizes, bytes on the wire and on flash, heaps."""

import pytest
from missing import needs

from bench import budgets

pytestmark = needs("nginx")
BUDGETS = budgets.read()


@pytest.fixture(scope="module")
def found():
    return budgets.measure()


def test_everything_stays_within_its_budget(found, capsys):
    """When more is worth its price: `python bench/budgets.py --record`."""
    table = budgets.table(found, BUDGETS)
    with capsys.disabled():
        print("\n" + table)
    assert not budgets.exceeded(found, BUDGETS), table


def test_every_budget_is_of_something_that_is_measured(found):
    assert set(BUDGETS) == set(found)


def test_a_count_over_its_limit_or_without_one_is_named_and_marked():
    limits = {"x, B": {"now": 100, "limit": 103}}
    assert budgets.exceeded({"x, B": 103}, limits) == []
    assert budgets.exceeded({"x, B": 104, "y, B": 1}, limits) == ["x, B", "y, B"]
    assert "| x, B | 104 | 100 | +4.0 % | 103 **over** |" in budgets.table({"x, B": 104}, limits)


@pytest.mark.parametrize("now, most", [(1, 1), (33, 33), (95, 97), (1000, 1030)])
def test_a_budget_leaves_three_percent_to_grow(now, most):
    """And none for what is counted in ones."""
    assert budgets.limit(now) == most
