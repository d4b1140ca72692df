"""Build packages for the Metadata API from file texts."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

NAMESPACE = "http://soap.sforce.com/2006/04/metadata"


def xml(root: str, body: str) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{NAMESPACE}">\n{body}\n</{root}>'


def manifest(members: Mapping[str, str]) -> str:
    types = "".join(
        f"<types>{''.join(f'<members>{name}</members>' for name in names.split())}<name>{type_}</name></types>\n"
        for type_, names in members.items()
    )
    return xml("Package", f"{types}<version>66.0</version>")


def package(files: Mapping[str, str], **members: str) -> bytes:
    """Build a zip of these files, with a manifest of `Type="names"`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in {"package.xml": manifest(members), **files}.items():
            archive.writestr(path, text)
    return buffer.getvalue()


def text_field(name: str, *, length: int = 20, more: str = "") -> str:
    return (
        f"<fields><fullName>{name}</fullName><label>{name}</label>\n<type>Text</type>"
        f"<length>{length}</length>{more}</fields>"
    )


def permission_set(*fields: str, label: str = "Set", editable: bool = True) -> str:
    given = "".join(
        f"<fieldPermissions><editable>{str(editable).lower()}</editable><field>{name}</field>"
        "<readable>true</readable></fieldPermissions>\n"
        for name in fields
    )
    return xml("PermissionSet", f"{given}<label>{label}</label>")


def history_package(sobject: str, *fields: str) -> bytes:
    """A package that tracks the history of these fields of a standard object."""
    tracked = "".join(
        f"<fields><fullName>{name}</fullName><trackHistory>true</trackHistory></fields>" for name in fields
    )
    body = xml("CustomObject", f"<enableHistory>true</enableHistory>{tracked}")
    members = " ".join(f"{sobject}.{name}" for name in fields)
    return package({f"objects/{sobject}.object": body}, CustomObject=sobject, CustomField=members)
