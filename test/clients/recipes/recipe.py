"""What the recipes in Python share: test/t/062_clients.pl reads what they print."""


def check(name, got, expected):
    """A line that says whether it is so, as TAP has it."""
    if got == expected:
        print(f'ok - {name}', flush=True)
    else:
        print(f'not ok - {name}: {got!r}, not {expected!r}', flush=True)


def raised_by(do):
    """The exception that a function raises, or None."""
    try:
        do()
    except Exception as error:
        return error
    return None
