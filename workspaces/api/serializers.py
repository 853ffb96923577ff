"""Shapes in and out of the workspaces' API."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from aiassist.lib.errors import ValidationFailed
from workspaces import queries
from workspaces.gitignore import MAX_BYTES, MAX_PATTERN_CHARS
from workspaces.globs import MAX_GLOB_CHARS
from workspaces.models import (
    IndexJob,
    JobState,
    LeftOutFile,
    SourceFile,
    SyncState,
    Workspace,
    WorkspaceStatus,
)
from workspaces.search import MODES
from workspaces.services import MAX_NAME_CHARS

Shape = serializers.Serializer[Any]


class WorkspaceInput(Shape):
    name = serializers.CharField(max_length=MAX_NAME_CHARS)


_PATTERNS = "As in .gitignore: `*.py`, `docs/`, `/build/*`, `!keep.me`."


class WorkspaceChanges(Shape):
    name = serializers.CharField(max_length=MAX_NAME_CHARS, required=False)
    include = serializers.ListField(
        child=serializers.CharField(max_length=MAX_PATTERN_CHARS, allow_blank=True),
        required=False,
        help_text=f"Files to keep although a rule leaves them out. {_PATTERNS}",
    )
    exclude = serializers.ListField(
        child=serializers.CharField(max_length=MAX_PATTERN_CHARS, allow_blank=True),
        required=False,
        help_text=f"Files to leave out; goes before `include`. {_PATTERNS}",
    )
    use_gitignore = serializers.BooleanField(
        required=False, help_text="False: `.gitignore` files decide about nothing."
    )


class WorkspaceOutput(serializers.ModelSerializer[Workspace]):
    status = serializers.ChoiceField(WorkspaceStatus.choices, read_only=True)
    files = serializers.IntegerField(source="n_files", help_text="Files it holds.")
    chunks = serializers.IntegerField(
        source="n_chunks", help_text="Passages that a search can find."
    )
    bytes = serializers.IntegerField(source="n_bytes", help_text="Size of its files.")
    generation = serializers.IntegerField(
        help_text="Number of the index that searches see; 0: none yet."
    )
    last_indexed_at = serializers.DateTimeField(allow_null=True)
    include = serializers.ListField(
        child=serializers.CharField(), help_text="Kept although a rule says no."
    )
    exclude = serializers.ListField(
        child=serializers.CharField(), help_text="Left out on its owner's wish."
    )

    class Meta:
        model = Workspace
        fields = [
            "id",
            "name",
            "status",
            "files",
            "chunks",
            "bytes",
            "generation",
            "last_indexed_at",
            "include",
            "exclude",
            "use_gitignore",
        ]


class SkippedOutput(Shape):
    path = serializers.CharField()
    reason = serializers.CharField(help_text="A sentence: why it is left out.")


class SkipReasonOutput(Shape):
    reason = serializers.CharField()
    count = serializers.IntegerField(help_text="Files left out for it.")


class LeftOutOutput(serializers.ModelSerializer[LeftOutFile]):
    class Meta:
        model = LeftOutFile
        fields = ["path", "reason"]


class SyncInput(Shape):
    files = serializers.DictField(
        child=serializers.CharField(allow_blank=True),
        help_text="Every file's path and the SHA-256 of its bytes, in hex.",
    )
    delete_missing = serializers.BooleanField(
        default=True, help_text="Remove the workspace's files that are not named."
    )
    ignore_files = serializers.DictField(
        child=serializers.CharField(
            allow_blank=True, trim_whitespace=False, max_length=MAX_BYTES
        ),
        default=dict,
        help_text=(
            "Texts of the `.gitignore` and `.aiassistignore` files among them: what "
            "they leave out is then not asked for."
        ),
    )


class SyncOutput(Shape):
    sync_id = serializers.CharField()
    missing = serializers.ListField(
        child=serializers.CharField(), help_text="Paths to upload before the commit."
    )
    deleted = serializers.IntegerField(help_text="Files that the commit removes.")
    unchanged = serializers.IntegerField()
    skipped = SkippedOutput(
        many=True, help_text="Files that are not kept; at most 200."
    )
    n_skipped = serializers.IntegerField()
    skipped_reasons = SkipReasonOutput(many=True, help_text="All of them, most first.")


class SyncStateOutput(Shape):
    sync_id = serializers.CharField()
    state = serializers.ChoiceField(SyncState.choices)
    missing = serializers.ListField(
        child=serializers.CharField(),
        help_text="Paths that are still to be uploaded before the commit.",
    )
    job_id = serializers.CharField(
        allow_null=True, help_text="Of its commit; null: not committed."
    )


class ReceivedOutput(Shape):
    received = serializers.ListField(child=serializers.CharField())


class PutOutput(Shape):
    path = serializers.CharField()
    sha256 = serializers.CharField()
    bytes = serializers.IntegerField(source="n_bytes")
    staged = serializers.BooleanField(
        help_text="True: a sync waits for it; it counts from the commit on."
    )
    job_id = serializers.SerializerMethodField(
        help_text="The index job that takes it in; null: none was needed."
    )

    @extend_schema_field({"type": "string", "nullable": True})
    def get_job_id(self, outcome: Any) -> str | None:
        return outcome.job.pk if outcome.job else None


class FileOutput(serializers.ModelSerializer[SourceFile]):
    bytes = serializers.IntegerField(source="n_bytes")
    skipped = serializers.SerializerMethodField(
        help_text="Why searches do not show it; empty: they do."
    )

    class Meta:
        model = SourceFile
        fields = ["path", "sha256", "bytes", "language", "updated_at", "skipped"]

    def get_skipped(self, file: SourceFile) -> str:
        objections: dict[str, str] = self.context.get("objections", {})
        return file.skipped or objections.get(file.sha256, "")


class FileTextOutput(Shape):
    path = serializers.CharField()
    sha256 = serializers.CharField()
    bytes = serializers.IntegerField()
    language = serializers.CharField()
    updated_at = serializers.DateTimeField()
    skipped = serializers.CharField(
        allow_blank=True, help_text="Why searches do not show it; empty: they do."
    )
    lines = serializers.IntegerField(help_text="Of the whole file.")
    start_line = serializers.IntegerField(help_text="1-based, inclusive.")
    end_line = serializers.IntegerField()
    text = serializers.CharField(
        allow_null=True,
        allow_blank=True,
        help_text="The lines, recognised secrets hidden; null: the file is no text.",
    )


class SpanInput(Shape):
    start = serializers.IntegerField(required=False, min_value=1)
    end = serializers.IntegerField(required=False, min_value=1)
    raw = serializers.BooleanField(default=False)


class ArchiveInput(Shape):
    file = serializers.FileField(
        allow_empty_file=True, help_text="A .zip, .tar or .tar.gz file."
    )
    delete_missing = serializers.BooleanField(
        default=True, help_text="Remove the workspace's files that it does not hold."
    )


class IndexJobOutput(serializers.ModelSerializer[IndexJob]):
    workspace_id = serializers.CharField()
    state = serializers.ChoiceField(JobState.choices)
    skipped = SkippedOutput(many=True, help_text="At most 200; n_skipped counts all.")
    skipped_reasons = SkipReasonOutput(
        many=True, help_text="Each reason and its number of files, most first."
    )
    error = serializers.CharField(allow_blank=True)

    class Meta:
        model = IndexJob
        fields = [
            "id",
            "workspace_id",
            "state",
            "files_total",
            "files_done",
            "chunks",
            "skipped",
            "n_skipped",
            "skipped_reasons",
            "error",
            "created_at",
            "started_at",
            "finished_at",
        ]


class SearchInput(Shape):
    query = serializers.CharField(max_length=queries.MAX_QUERY_CHARS)
    max_results = serializers.IntegerField(default=10, min_value=1, max_value=100)
    mode = serializers.ChoiceField(MODES, default="hybrid")
    path_glob = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=MAX_GLOB_CHARS,
        help_text="As in .gitignore: `*.py`, `src/**`, `tests/`.",
    )
    language = serializers.RegexField(
        r"^[a-zA-Z0-9_+-]+$", default="", allow_blank=True, max_length=40
    )

    def validate_query(self, query: str) -> str:
        try:
            return queries.validate_query(query)
        except ValidationFailed as error:
            raise serializers.ValidationError(
                error.sentence, code="content_policy"
            ) from error

    def validate_language(self, language: str) -> str:
        return language.lower()


class HitOutput(Shape):
    path = serializers.CharField()
    start_line = serializers.IntegerField(help_text="1-based, inclusive.")
    end_line = serializers.IntegerField()
    language = serializers.CharField()
    symbol = serializers.CharField(help_text="The definition it lies in, or empty.")
    score = serializers.FloatField()
    text = serializers.CharField()
    sha256 = serializers.CharField(help_text="Of the file's bytes.")
    generation = serializers.IntegerField()


class SearchOutput(Shape):
    results = HitOutput(many=True, source="hits")
    took_ms = serializers.IntegerField()
