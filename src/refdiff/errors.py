"""The only exceptions a user meets; each message is one sentence that says what was wrong and what to do."""


class RefDiffError(Exception):
    """Base of every error refdiff raises on purpose."""


class InputError(RefDiffError):
    """A picture, expression, mask file or setting that cannot be used."""


class BundleError(RefDiffError):
    """A model bundle that is missing, incomplete or not in a known layout."""
