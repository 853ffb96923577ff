"""Shapes in and out of the workspaces' API."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from aiassist.lib.errors import ValidationFailed
from workspaces.content.paths import shown
from workspaces.finding import validation
from workspaces.finding.search import MODES
from workspaces.ignoring.gitignore import MAX_BYTES, MAX_PATTERN_CHARS
from workspaces.ignoring.globs import MAX_GLOB_CHARS
from workspaces.jobs.progress import eta_seconds, phase_of, progress
from workspaces.models import (
    IndexJob,
    JobState,
    LeftOutFile,
    SourceFile,
    SyncState,
    Workspace,
    WorkspaceStatus,
)
from workspaces.preview import MAX_HEAD_CHARS, NamedFile
from workspaces.receiving.sync import SHA256
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


@extend_schema_field(
    {"type": "object", "additionalProperties": {"type": "string"}},
)
class ManifestField(serializers.Field[Any, Any, Any, Any]):
    """Read by hand: a field for each of 100,000 files would take seconds."""

    default_error_messages = {
        "not_a_dict": "Send an object of paths, each with its file's SHA-256.",
        "not_a_text": "{path}: the SHA-256 must be a text.",
    }

    def to_internal_value(self, data: Any) -> dict[str, str]:
        if not isinstance(data, dict):
            self.fail("not_a_dict")
        for path, sha256 in data.items():
            if not isinstance(sha256, str):
                self.fail("not_a_text", path=shown(path))
        return dict(data)


class SyncInput(Shape):
    files = ManifestField(
        help_text="Every file's path and the SHA-256 of its bytes, in hex."
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
    changed = serializers.BooleanField(
        allow_null=True,
        help_text="Where you sent `sha256`: these lines are not what they were.",
    )
    moved_to = serializers.CharField(
        allow_null=True,
        help_text="Changed, but the same lines stand there now, as `12-20`.",
    )


MAX_LINE = 10**9


class SpanInput(Shape):
    start = serializers.IntegerField(required=False, min_value=1)
    end = serializers.IntegerField(required=False, min_value=1)
    lines = serializers.RegexField(
        r"^[1-9][0-9]{0,8}-[1-9][0-9]{0,8}$",
        required=False,
        help_text="`10-20`: the same as `start` and `end`.",
    )
    sha256 = serializers.RegexField(
        r"^[0-9a-f]{64}$",
        required=False,
        help_text="Of the file as you know it, for instance from a search hit: the "
        "answer then says in `changed` whether these lines are still the same.",
    )
    raw = serializers.BooleanField(default=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "lines" in attrs:
            first, _, last = attrs["lines"].partition("-")
            attrs["start"], attrs["end"] = int(first), int(last)
        if attrs.get("end", MAX_LINE) < attrs.get("start", 1):
            raise serializers.ValidationError(
                {"lines": "The last line comes before the first."}
            )
        return attrs


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
    phase = serializers.SerializerMethodField(
        help_text="queued, fetching, parked, keywords, embedding or ended."
    )
    progress = serializers.SerializerMethodField(
        help_text="Share of the work that is done, 0 to 1."
    )
    files_read = serializers.IntegerField(help_text="Files found by their words.")
    files_done = serializers.IntegerField(help_text="By their meaning, too.")
    eta_seconds = serializers.SerializerMethodField(
        help_text="At its pace so far, or that of the last jobs here; null: too early."
    )
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
            "phase",
            "progress",
            "files_total",
            "files_read",
            "files_done",
            "chunks",
            "chunks_total",
            "chunks_computed",
            "eta_seconds",
            "skipped",
            "n_skipped",
            "skipped_reasons",
            "error",
            "created_at",
            "started_at",
            "finished_at",
        ]

    def get_phase(self, job: IndexJob) -> str:
        return phase_of(job)

    def get_progress(self, job: IndexJob) -> float:
        return progress(job)

    def get_eta_seconds(self, job: IndexJob) -> int | None:
        return eta_seconds(job)


class SearchInput(Shape):
    query = serializers.CharField(max_length=validation.MAX_QUERY_CHARS)
    max_results = serializers.IntegerField(default=10, min_value=1, max_value=100)
    mode = serializers.ChoiceField(MODES, default="hybrid")
    path_glob = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=MAX_GLOB_CHARS,
        help_text="As in .gitignore: `*.py`, `src/**`, `tests/`.",
    )
    language = serializers.RegexField(
        r"^[a-zA-Z0-9_+-]*$", default="", allow_blank=True, max_length=40
    )

    def validate_query(self, query: str) -> str:
        try:
            return validation.validate_query(query)
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
    served_by = serializers.CharField(help_text="`keywords`, `meaning` or `both`.")


class ServingOutput(Shape):
    state = serializers.CharField()
    generation = serializers.IntegerField()
    keywords = serializers.FloatField(help_text="Share of files found by their words.")
    meaning = serializers.FloatField(
        help_text="Share of passages found by their meaning."
    )


class SearchOutput(Shape):
    results = HitOutput(many=True, source="hits")
    took_ms = serializers.IntegerField()
    index = ServingOutput(
        allow_null=True, help_text="How much of the index could be searched."
    )


@extend_schema_field(
    {
        "type": "object",
        "additionalProperties": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 0, "description": "Bytes."},
                "sha256": {"type": "string", "description": "Of its bytes, in hex."},
                "head": {
                    "type": "string",
                    "maxLength": MAX_HEAD_CHARS,
                    "description": "Its first characters, for a sample of files.",
                },
            },
        },
    }
)
class NamedFilesField(serializers.Field[Any, Any, Any, Any]):
    """Read by hand: a serializer for each of 100,000 files would take minutes."""

    default_error_messages = {
        "not_a_dict": "Send an object of paths, each with its size.",
        "bad_file": "{path}: send an object with `size`, the file's bytes.",
        "bad_sha256": "{path}: `sha256` is 64 hex digits in lower case.",
        "bad_head": "{path}: `head` is a text of at most 65536 characters.",
        "bad_longest_line": "{path}: `longest_line` is a number of characters.",
    }

    def to_internal_value(self, data: Any) -> dict[str, NamedFile]:
        if not isinstance(data, dict):
            self.fail("not_a_dict")
        return {path: self._file(path, facts) for path, facts in data.items()}

    def _file(self, path: str, facts: Any) -> NamedFile:
        size = facts.get("size") if isinstance(facts, dict) else None
        if type(size) is not int or not 0 <= size < 2**50:
            self.fail("bad_file", path=shown(path))
        sha256, head = facts.get("sha256", ""), facts.get("head")
        if not isinstance(sha256, str) or (sha256 and not SHA256.fullmatch(sha256)):
            self.fail("bad_sha256", path=shown(path))
        if head is not None and (
            not isinstance(head, str) or len(head) > MAX_HEAD_CHARS
        ):
            self.fail("bad_head", path=shown(path))
        longest = facts.get("longest_line", 0)
        if type(longest) is not int or longest < 0:
            self.fail("bad_longest_line", path=shown(path))
        return NamedFile(size, sha256, head, longest)


class PreviewInput(Shape):
    files = NamedFilesField(help_text="Every file's path with what is known of it.")
    ignore_files = serializers.DictField(
        child=serializers.CharField(
            allow_blank=True, trim_whitespace=False, max_length=MAX_BYTES
        ),
        default=dict,
        help_text="Texts of the `.gitignore` and `.aiassistignore` files among them.",
    )


class LanguageOutput(Shape):
    files = serializers.IntegerField()
    bytes = serializers.IntegerField()
    chunks = serializers.IntegerField(help_text="Estimated.")


class BreakOutput(Shape):
    policy = serializers.CharField(help_text="`files`, `file_bytes`, `storage_bytes`.")
    limit = serializers.IntegerField()
    needed = serializers.IntegerField()
    detail = serializers.CharField()
    tier = serializers.CharField(
        allow_blank=True, help_text="The smallest tier that takes it; empty: none."
    )


class EstimateOutput(Shape):
    chunks = serializers.IntegerField(help_text="Passages that a search could find.")
    new_chunks = serializers.IntegerField(help_text="Those not indexed already.")
    seconds = serializers.FloatField(help_text="Until they are searchable.")
    chunks_per_second = serializers.FloatField()
    is_measured = serializers.BooleanField(
        help_text="False: this server has indexed nothing yet to tell its speed by."
    )


class FitOutput(Shape):
    tier = serializers.CharField(help_text="Yours.")
    fits = serializers.BooleanField()
    breaks = BreakOutput(many=True)
    takes = serializers.CharField(
        allow_blank=True, help_text="The smallest tier that takes all; empty: none."
    )


class PreviewOutput(Shape):
    files = serializers.IntegerField(help_text="Files that would be indexed.")
    bytes = serializers.IntegerField()
    unchanged = serializers.IntegerField(help_text="Of them, indexed as they are.")
    languages = serializers.DictField(child=LanguageOutput())
    skipped = SkippedOutput(many=True, help_text="A sample, every reason among them.")
    n_skipped = serializers.IntegerField()
    skipped_reasons = SkipReasonOutput(many=True)
    estimate = EstimateOutput()
    heads_wanted = serializers.ListField(
        child=serializers.CharField(),
        help_text=(
            "At most 160 files whose `head` and `longest_line` would settle the "
            "estimate; empty: it is within a tenth of what an index then holds."
        ),
    )
    fit = FitOutput()
