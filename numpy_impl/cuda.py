"""torch.cuda's answer on a machine without one, so that programs choose the CPU."""


def is_available() -> bool:
    """False."""
    return False


def device_count() -> int:
    """0."""
    return 0


def manual_seed_all(seed: int) -> None:
    """Nothing: there is no other generator than the CPU's."""


manual_seed = manual_seed_all
