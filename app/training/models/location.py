"""The value of `--model`: a file and, after a colon, a function in it."""


def split_location(location: str) -> tuple[str, str]:
    """Split the value of `--model`, such as `model.py:build`, into the path and the function; empty if not named."""
    path, _, function = location.rpartition(":")
    return (path, function) if path.endswith(".py") else (location, "")
