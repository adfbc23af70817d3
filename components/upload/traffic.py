"""How the requests of an endpoint are split between its models, in percent."""

from __future__ import annotations

from collections.abc import Mapping

# A DeployModel request calls the model that it deploys by this.
_THIS_MODEL = "0"


def split_traffic(current: Mapping[str, int], percentage: int) -> dict[str, int]:
    """Gives a new model its share of the requests, and the others the rest in proportion.

    Args:
        current: The endpoint's split, by id of the deployed model.
        percentage: The new model's share; all of it where no other model has any.

    Returns:
        The split to ask for; it sums to 100.
    """
    sharing = _positive(current)
    if not sharing:
        return {_THIS_MODEL: 100}
    return {_THIS_MODEL: percentage, **_scaled(sharing, 100 - percentage)}


def split_without(
    model: str, current: Mapping[str, int], before: Mapping[str, int], others: list[str]
) -> dict[str, int]:
    """Takes a model's share of the requests from it again.

    Args:
        model: Its id.
        current: The endpoint's split.
        before: The split before the model was deployed; where that is not known, any that has it.
        others: Ids of the models that stay, the newest last.

    Returns:
        The split as it was, unless other models were given traffic since: then, and where it is
        not known, theirs grow in proportion. The newest model gets all where no other had any. It
        sums to 100; empty where no model stays.
    """
    now = {name: share for name, share in _positive(current).items() if name != model}
    was = {name: share for name, share in _positive(before).items() if name in others}
    is_known = model not in before and now.keys() <= was.keys()
    sharing = (was if is_known else now) or was or dict.fromkeys(others[-1:], 100)
    return _scaled(sharing, 100)


def _positive(split: Mapping[str, int]) -> dict[str, int]:
    return {name: share for name, share in split.items() if share > 0}


def _scaled(sharing: Mapping[str, int], total: int) -> dict[str, int]:
    """Scales shares so that they sum to a total; none where there are none."""
    whole = sum(sharing.values())
    split = {name: share * total // whole for name, share in sharing.items()}
    # What rounding left goes to those who lost most by it.
    lost = sorted(sharing, key=lambda name: sharing[name] * total % whole, reverse=True)
    for name in lost[: total - sum(split.values())]:
        split[name] += 1
    return split
