"""Errors that carry one sentence for the user: what is wrong and how to mend it."""


class CardiacFusionError(Exception):
    """Base of every error this library raises on purpose; ``str(error)`` is the sentence the user reads."""

    exit_code = 3


class BadInputError(CardiacFusionError):
    """The input cannot be used (command line exit 2). The sentence says what is wrong and how to mend it."""

    exit_code = 2


class StageError(CardiacFusionError):
    """A stage cannot do its work on a well-formed input (exit 3). The sentence names the stage."""

    exit_code = 3

    def __init__(self, stage: str, sentence: str) -> None:
        super().__init__(f"{stage}: {sentence}")
        self.stage = stage


class CancelledError(CardiacFusionError):
    """The user stopped the run (exit 4)."""

    exit_code = 4
