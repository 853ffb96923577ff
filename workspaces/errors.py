"""What can go wrong with a workspace, on purpose."""

from aiassist.lib.errors import (
    AppError,
    Conflict,
    LimitRefused,
    ServiceUnavailable,
    TooLarge,
)


class WorkspaceLimit(LimitRefused):
    code, status = "workspace_limit", 403
    message = "Your tier holds no more workspaces. Delete one to make room."


class TooManyFiles(TooLarge):
    code = "too_many_files"
    message = "A workspace of your tier holds fewer files than this."


class FileTooLarge(TooLarge):
    code = "file_too_large"
    message = "This file is larger than your tier allows."


class ArchiveTooLarge(TooLarge):
    code = "archive_too_large"
    message = "This archive holds more than your tier allows."


class BadArchive(AppError):
    code, status = "bad_archive", 400
    message = (
        "This archive could not be read. Send a complete .zip, .tar or .tar.gz file."
    )


class UnsupportedEncoding(AppError):
    code, status = "unsupported_encoding", 415
    message = "Send the body as it is, or with 'Content-Encoding: gzip' or 'zstd'."


class BadEncoding(AppError):
    code, status = "bad_encoding", 400
    message = (
        "This body is not what its Content-Encoding says, or is cut off. "
        "Compress it again, or send it as it is."
    )


class PathRefused(AppError):
    """Details: errors with the field that held the path."""

    code, status = "path_refused", 400
    message = "This path is not allowed."


class FileRefused(AppError):
    """A file that we do not keep on purpose, such as one of secrets."""

    code, status = "file_refused", 400
    message = "Files of this kind are not kept."


class ContentMismatch(Conflict):
    code = "content_mismatch"
    message = "The file's bytes do not have the SHA-256 that the sync declared."


class IncompleteSync(Conflict):
    """Details: missing (paths, at most 100), n_missing."""

    code = "incomplete_sync"
    message = "Some files of this sync never arrived. Upload them, then commit again."


class SyncClosed(Conflict):
    code = "sync_closed"
    message = "This sync is over. Start a new one."


class JobNotActive(Conflict):
    code = "job_not_active"
    message = "This job is over, so it cannot be cancelled."


class VectorsUnavailable(ServiceUnavailable):
    """Carries no answer of the engine: it may quote what was indexed."""

    code = "vectors_unavailable"
    message = "The search index is away. Try again in a moment."
