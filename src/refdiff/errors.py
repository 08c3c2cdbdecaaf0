"""The only exceptions a user meets; each message is one sentence that says what was wrong and what to do."""


class RefDiffError(Exception):
    """Base of every error refdiff raises on purpose. `status` is what the command line exits with."""

    status = 1


class InputError(RefDiffError):
    """An image, expression, mask file, dataset or setting that cannot be used."""

    status = 2


class BundleError(RefDiffError):
    """A model bundle that is missing, incomplete, damaged or not in a known layout."""

    status = 2
