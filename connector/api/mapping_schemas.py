"""What a request may say of mappings: files, a plan, a version to return to."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field, StrictBool, model_validator

from connector.api.schemas import Body, Count, Key, no_flag
from connector.validation import NO_NUL

FileText = Annotated[str, Field(max_length=1_000_000, pattern=NO_NUL)]
Path = Annotated[str, Field(max_length=120, pattern=r"^(values/)?[A-Za-z0-9_-][A-Za-z0-9_.-]*\.ya?ml$")]
Note = Annotated[str, Field(max_length=500, pattern=NO_NUL)]


class MappingBody(Body):
    """The mapping of one entity: the `text` of its file, and those of the value tables in `tables` by their name; null
    takes one away, and the others stay. `dry_run`: only plan it. `resync`: send what it changes, too."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "entity: product\n…", "note": "Map the SKU."}]})

    text: FileText
    tables: Annotated[
        dict[Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9_-]+$")], FileText | None],
        Field(max_length=100),
    ] = Field(default_factory=dict)
    note: Note = ""
    resync: StrictBool = True
    dry_run: StrictBool = False


class MappingFilesBody(Body):
    """All files of a version by their path."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"files": {"product.yaml": "entity: product\n…"}}]})

    files: Annotated[dict[Path, FileText], Field(min_length=1, max_length=200)]
    refresh: StrictBool = False


class MappingPlanBody(Body):
    """What to plan: `files` by their path, of which those that are not named stay as they are, or a return to version
    `rollback_to`. `orders`: to be computed and shown first. `limit`: how many changes of fields are shown."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["files"]}, {"required": ["rollback_to"]}],
            "examples": [{"files": {"product.yaml": "entity: product\n…"}}, {"rollback_to": 3}],
        }
    )

    files: Annotated[dict[Path, FileText | None], Field(min_length=1, max_length=200)] | None = None
    rollback_to: Annotated[int, Field(ge=1, le=2**31 - 1), BeforeValidator(no_flag)] | None = None
    orders: Annotated[list[Key], Field(max_length=100)] = Field(default_factory=list)
    limit: Annotated[Count, Field(le=1000)] = 20

    @model_validator(mode="after")
    def _either(self) -> MappingPlanBody:
        if (self.files is None) is (self.rollback_to is None):
            raise ValueError("give either files or rollback_to")
        return self


class MappingShadowBody(Body):
    """The `files` to be computed beside the active version, by their path; those that are not named stay as they
    are."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"files": {"product.yaml": "entity: product\n…"}}]})

    files: Annotated[dict[Path, FileText | None], Field(min_length=1, max_length=200)]
    note: Note = ""


class MappingApplyBody(Body):
    """Why a plan is applied. `resync`: send what it changes, too."""

    note: Note = ""
    resync: StrictBool = True
