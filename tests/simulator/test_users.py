"""Users are drawn once and exactly."""

from simulator.users import plan


def test_exactly_the_share_sets_a_passcode() -> None:
    users = plan(10, share=0.7, delay=(5, 20), drops=(), seed=1)
    delays = [user.sets_passcode_after for user in users if user.sets_passcode_after is not None]
    assert len(delays) == 7
    assert all(5 <= delay <= 20 for delay in delays)


def test_a_seed_gives_the_same_users_again() -> None:
    one, again, other = (plan(50, share=0.5, delay=(0, 9), drops=(3,), seed=seed) for seed in (1, 1, 2))
    assert one == again != other


def test_only_users_with_a_passcode_drop_it() -> None:
    users = plan(10, share=0.3, delay=(1, 1), drops=(5, 6, 7, 8), seed=4)
    dropped = [user.drops_passcode_after for user in users if user.sets_passcode_after is not None]
    assert dropped == [5, 6, 7]
    assert all(user.drops_passcode_after is None for user in users if user.sets_passcode_after is None)
