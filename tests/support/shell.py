"""Commands in a block of shell code, as words."""

import shlex
from collections.abc import Iterator

OPERATORS = {";", "&", "&&", "|", "||", "(", ")", "|&"}
REDIRECTIONS = {">", ">>", "<", "<<", "<<<", ">&", "&>", "2>"}


def commands(script: str) -> Iterator[list[str]]:
    """Yield the simple commands of a script, without comments, leading assignments and redirections.

    A command inside an unquoted `$(...)` is a separate command.
    """
    for line in script.replace("\\\n", " ").splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        words.commenters = "#"
        command: list[str] = []
        try:
            for word in words:
                if word in OPERATORS:
                    yield from _trimmed(command)
                    command = []
                else:
                    command.append(word)
        except ValueError:  # a quote that the next line closes
            continue
        yield from _trimmed(command)


def _trimmed(words: list[str]) -> Iterator[list[str]]:
    start = next((index for index, word in enumerate(words) if "=" not in word or word.startswith("-")), len(words))
    end = next((index for index, word in enumerate(words) if word in REDIRECTIONS), len(words))
    if words[start:end]:
        yield words[start:end]
