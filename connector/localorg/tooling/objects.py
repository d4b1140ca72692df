"""The objects of the Tooling API that the org knows, and their fields."""

from __future__ import annotations

from functools import cache

from connector.localorg.schema import Field, Schema, SObject

ENTITY, FIELD, PARTICLE = "EntityDefinition", "FieldDefinition", "EntityParticle"
OWNER = "OwnerKey"  # joins a row to its EntityDefinition; never shown
IN_DATA_API = {ENTITY.lower(), FIELD.lower(), PARTICLE.lower()}  # answered by the data API's query, too
REIFIED = {
    FIELD.lower(): ("EntityDefinitionId", "DurableId"),
    PARTICLE.lower(): ("EntityDefinitionId", "FieldDefinitionId", "DurableId"),
}
"""Objects whose queries must filter by one of these fields."""

_STAMPS = "CreatedDate:d CreatedById LastModifiedDate:d LastModifiedById SystemModstamp:d"
_KINDS = {"b": "boolean", "i": "int", "d": "datetime", "x": "complexvalue"}
_LINKED = {FIELD: "Fields", PARTICLE: "Particles", "CustomField": "CustomFields"}
_PREFIX = {
    ENTITY: "4ie", FIELD: "4if", PARTICLE: "4im", "CustomField": "00N", "CustomObject": "01I",
    "PlatformEventChannel": "0YL", "PlatformEventChannelMember": "0v8",
    "ManagedEventSubscription": "18x",
}  # fmt: skip
_FIELDS = {
    ENTITY: (
        "DurableId QualifiedApiName DeveloperName MasterLabel Label PluralLabel NamespacePrefix KeyPrefix PublisherId "
        "InternalSharingModel ExternalSharingModel DeploymentStatus DetailUrl EditUrl EditDefinitionUrl NewUrl "
        "DefaultCompactLayoutId HelpSettingPageName RecordTypesSupported:x LastModifiedDate:d LastModifiedById "
        "IsCustomizable:b IsApexTriggerable:b IsWorkflowEnabled:b IsProcessEnabled:b IsCompactLayoutable:b "
        "IsCustomSetting:b IsDeprecatedAndHidden:b IsReplicateable:b IsRetrieveable:b IsSearchLayoutable:b "
        "IsSearchable:b IsTriggerable:b IsIdEnabled:b IsEverCreatable:b IsEverUpdatable:b IsEverDeletable:b "
        "IsFeedEnabled:b IsQueryable:b IsMruEnabled:b IsLayoutable:b IsSubtype:b IsInterface:b HasSubtypes:b "
        "IsAutoActivityCaptureEnabled:b IsFlsEnabled:b"
    ),
    FIELD: (
        "DurableId QualifiedApiName EntityDefinitionId DeveloperName NamespacePrefix MasterLabel Label DataType "
        "ServiceDataTypeId ValueTypeId ExtraTypeInfo RelationshipName ReferenceTo:x ReferenceTargetField "
        "ControllingFieldDefinitionId Description LastModifiedDate:d LastModifiedById Length:i Precision:i Scale:i "
        "IsCalculated:b IsHighScaleNumber:b IsHtmlFormatted:b IsNameField:b IsNillable:b IsWorkflowFilterable:b "
        "IsCompactLayoutable:b IsFieldHistoryTracked:b IsIndexed:b IsApiFilterable:b IsApiSortable:b "
        "IsApiGroupable:b IsListVisible:b IsListFilterable:b IsListSortable:b IsPolymorphicForeignKey:b IsCompound:b "
        "IsSearchPrefilterable:b BusinessOwnerId BusinessStatus SecurityClassification ComplianceGroup"
    ),
    PARTICLE: (
        "DurableId QualifiedApiName Name EntityDefinitionId FieldDefinitionId DeveloperName NamespacePrefix "
        "MasterLabel Label DataType ServiceDataTypeId ValueTypeId ExtraTypeInfo RelationshipName ReferenceTo:x "
        "InlineHelpText DefaultValueFormula Length:i ByteLength:i Digits:i Precision:i Scale:i IsAutonumber:b "
        "IsCalculated:b IsCaseSensitive:b IsUnique:b IsCreatable:b IsUpdatable:b IsDefaultedOnCreate:b IsNillable:b "
        "IsIdLookup:b IsNameField:b IsPermissionable:b IsComponent:b IsCompound:b IsApiFilterable:b IsApiSortable:b "
        "IsApiGroupable:b IsDependentPicklist:b IsDeprecatedAndHidden:b IsHtmlFormatted:b IsNamePointing:b"
    ),
    "CustomField": (
        f"DeveloperName TableEnumOrId EntityDefinitionId NamespacePrefix Description InlineHelpText Length:i "
        f"Precision:i Scale:i ManageableState FullName Metadata:x {_STAMPS}"
    ),
    "CustomObject": (
        f"DeveloperName NamespacePrefix Language SharingModel ExternalName Description CustomHelpId ManageableState "
        f"{_STAMPS}"
    ),
    "PlatformEventChannel": (
        f"DeveloperName MasterLabel Language NamespacePrefix ChannelType EventType ManageableState IsDeleted:b "
        f"FullName Metadata:x {_STAMPS}"
    ),
    "PlatformEventChannelMember": (
        f"DeveloperName MasterLabel Language NamespacePrefix EventChannel SelectedEntity FilterExpression "
        f"ManageableState IsDeleted:b FullName Metadata:x {_STAMPS}"
    ),
    "ManagedEventSubscription": (
        f"DeveloperName MasterLabel Language NamespacePrefix TopicName DefaultReplay ErrorRecoveryReplay State Version "
        f"ManageableState IsDeleted:b FullName Metadata:x {_STAMPS}"
    ),
}  # fmt: skip
_COMMON_FIELDS = (
    f"Name DeveloperName MasterLabel NamespacePrefix ApiVersion:i Status ManageableState TableEnumOrId "
    f"EntityDefinitionId FullName Metadata:x {_STAMPS}"
)
_EMPTY_OBJECTS = {  # what this org has none of, as clients ask for it
    "ApexClass": "01p", "ApexTrigger": "01q", "ApexPage": "066", "ApexComponent": "099", "ApexLog": "07L",
    "TraceFlag": "7tf", "DebugLevel": "7dl", "Flow": "301", "FlowDefinition": "300", "ValidationRule": "03d",
    "RecordType": "012", "Layout": "00h", "CompactLayout": "0AH", "WorkflowRule": "01Q", "StaticResource": "081",
    "InstalledSubscriberPackage": "0A3", "SourceMember": "0MZ", "ApexTestQueueItem": "709", "CustomTab": "01r",
    "LightningComponentBundle": "0Rb", "AuraDefinitionBundle": "0Ab", "QuickActionDefinition": "09D",
    "ContainerAsyncRequest": "1dr", "MetadataContainer": "1dc", "WebLink": "00b", "RemoteProxy": "0rp",
    "StandardValueSet": "0sv", "SubscriberPackage": "033", "SubscriberPackageVersion": "04t",
}  # fmt: skip
_MORE_FIELDS = {
    "ApexClass": " Body IsValid:b LengthWithoutComments:i SymbolTable:x",
    "ApexTrigger": " Body IsValid:b LengthWithoutComments:i",
    "Flow": " DefinitionId VersionNumber:i ProcessType",
    "FlowDefinition": " ActiveVersionId LatestVersionId",
    "ValidationRule": " Active:b ValidationName ErrorMessage ErrorDisplayField Description",
    "RecordType": " SobjectType IsActive:b Description BusinessProcessId",
    "Layout": " LayoutType",
    "InstalledSubscriberPackage": (
        " SubscriberPackageId>SubscriberPackage SubscriberPackageVersionId>SubscriberPackageVersion"
    ),
    "SubscriberPackageVersion": " MajorVersion:i MinorVersion:i PatchVersion:i BuildNumber:i IsBeta:b",
    "SourceMember": " MemberIdOrName MemberName MemberType IsNameObsolete:b RevisionCounter:i RevisionNum:i",
    "ApexLog": " Application DurationMilliseconds:i Location LogLength:i LogUserId Operation Request StartTime:d",
}


@cache
def schema() -> Schema:
    """Return the schema of the Tooling objects, which never changes."""
    return Schema(
        [_object(name, text, _PREFIX[name]) for name, text in _FIELDS.items()]
        + [
            _object(name, _COMMON_FIELDS + _MORE_FIELDS.get(name, ""), prefix)
            for name, prefix in _EMPTY_OBJECTS.items()
        ]
    )


def _object(name: str, text: str, prefix: str) -> SObject:
    sobject = SObject(
        name=name, label=name, label_plural=name, key_prefix=prefix, createable=name.startswith("Platform")
        or name == "CustomField", updateable=False, deletable=False,
    )  # fmt: skip
    sobject.add(Field(name="Id", label="Id", type="id", length=18, nillable=False, createable=False, updateable=False))
    for item in text.split():
        item, _, target = item.partition(">")
        field, _, kind = item.partition(":")
        sobject.add(
            Field(
                name=field,
                label=field,
                type="reference" if target else _KINDS.get(kind, "string"),
                reference_to=(target,) if target else (),
                relationship_name=field.removesuffix("Id") if target else None,
                length=0 if kind else 255,
                createable=False,
                updateable=False,
                filterable=kind != "x",
                sortable=kind != "x",
                groupable=kind != "x",
            )
        )
    if name in _LINKED:
        sobject.add(
            Field(
                name=OWNER,
                label=OWNER,
                type="reference",
                length=18,
                createable=False,
                updateable=False,
                reference_to=(ENTITY,),
                relationship_name=ENTITY,
                child_relationship=_LINKED[name],
            )
        )
    return sobject
