"""What goes wrong with the Hub, in one sentence that leads with the cause and says what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import BundleError, RefDiffError
from .layout import short

_HTTP_LIBRARIES = ("httpx", "httpx2", "httpcore", "requests", "urllib3")


@contextmanager
def explained(repo: str, revision: str) -> Iterator[None]:
    """Turn every error of the Hub's library, and of the disk, into a BundleError about `repo`."""
    try:
        yield
    except RefDiffError:
        raise
    except Exception as error:  # the library's errors have no common base
        raise BundleError(_sentence(error, repo, revision)) from error


def _sentence(error: Exception, repo: str, revision: str) -> str:
    from huggingface_hub import constants, errors

    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    for each in chain:
        if isinstance(each, errors.GatedRepoError):
            return (f"{repo} is gated: accept its licence at {constants.ENDPOINT}/{repo}, log in with "
                    "'hf auth login', and try again.")
        if isinstance(each, errors.RepositoryNotFoundError):
            return (f"{repo} is neither a folder here nor a repository on the Hub, unless it is private; check the "
                    "spelling, or log in with 'hf auth login'.")
        if isinstance(each, errors.RevisionNotFoundError):
            return f"{repo} has no revision {revision}; check the spelling, or leave out the revision."
        if isinstance(each, errors.HFValidationError):
            return f"{repo!r} is not a valid Hub id; write owner/name or owner/name@revision."
        if isinstance(each, errors.OfflineModeIsEnabled):
            return f"HF_HUB_OFFLINE is set and {repo} is not in the cache; unset it, or copy the cache here."
        if isinstance(each, errors.HfHubHTTPError):
            status = each.response.status_code
            if status == 429:
                return (f"The Hub limits requests and refuses {repo} for now (429); wait a few minutes, or log in "
                        "with 'hf auth login' for a higher limit.")
            if status in (401, 403):
                return f"The Hub denies access to {repo} ({status}); log in with 'hf auth login'."
            if status >= 500:
                return f"The Hub answers {repo} with an error of its own ({status}); try again later."
        if isinstance(each, OSError) and each.errno in (errno.ENOSPC, errno.EDQUOT):
            return "The disk is full; make room, or point HF_HOME at another disk, and try again to go on."
        if isinstance(each, PermissionError):
            place = each.filename or "The cache"
            return f"{place} cannot be written; allow it, or point HF_HOME at a folder of your own."
        if type(each).__module__.partition(".")[0] in _HTTP_LIBRARIES or isinstance(each, ConnectionError):
            return f"The Hub cannot be reached for {repo}, which is not in the cache; check the network and try again."
    return f"{repo} could not be fetched from the Hub ({short(error)}); try again."
