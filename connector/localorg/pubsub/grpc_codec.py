"""The protobuf messages of the Pub/Sub API (package eventbus.v1), built from a table instead of generated code.

Names and numbers are those of the documented interface (Pub/Sub API documentation, "Pub/Sub API as a gRPC API").
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "eventbus.v1"
SERVICE = f"{PACKAGE}.PubSub"

_ENUMS = {
    "ErrorCode": ("UNKNOWN", "PUBLISH", "COMMIT"),
    "ReplayPreset": ("LATEST", "EARLIEST", "CUSTOM"),
}
_MESSAGES = {  # fields in the order of their numbers; a star repeats
    "TopicRequest": "string topic_name",
    "TopicInfo": "string topic_name, string tenant_guid, bool can_publish, bool can_subscribe, string schema_id,"
    " string rpc_id",
    "SchemaRequest": "string schema_id",
    "SchemaInfo": "string schema_json, string schema_id, string rpc_id",
    "EventHeader": "string key, bytes value",
    "ProducerEvent": "string id, string schema_id, bytes payload, EventHeader* headers",
    "ConsumerEvent": "ProducerEvent event, bytes replay_id",
    "Error": "ErrorCode code, string msg",
    "FetchRequest": "string topic_name, ReplayPreset replay_preset, bytes replay_id, int32 num_requested,"
    " string auth_refresh",
    "FetchResponse": "ConsumerEvent* events, bytes latest_replay_id, string rpc_id, int32 pending_num_requested",
    "PublishResult": "bytes replay_id, Error error, string correlation_key",
    "PublishRequest": "string topic_name, ProducerEvent* events, string auth_refresh",
    "PublishResponse": "PublishResult* results, string schema_id, string rpc_id",
    "CommitReplayRequest": "string commit_request_id, bytes replay_id",
    "CommitReplayResponse": "string commit_request_id, bytes replay_id, Error error, int64 process_time",
    "ManagedFetchRequest": "string subscription_id, string developer_name, int32 num_requested, string auth_refresh,"
    " CommitReplayRequest commit_replay_id_request",
    "ManagedFetchResponse": "ConsumerEvent* events, bytes latest_replay_id, string rpc_id,"
    " int32 pending_num_requested, CommitReplayResponse commit_response",
}
_SCALAR_TYPES = {
    "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    "bytes": descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
    "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
    "int32": descriptor_pb2.FieldDescriptorProto.TYPE_INT32,
    "int64": descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
}


def _file_descriptor() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="eventbus.proto", package=PACKAGE, syntax="proto3")
    for name, values in _ENUMS.items():
        enum = file.enum_type.add(name=name)
        for number, value in enumerate(values):
            enum.value.add(name=value, number=number)
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, field in enumerate(fields.split(", "), start=1):
            kind, _, label = field.strip().partition(" ")
            added = message.field.add(name=label, number=number, json_name=label)
            repeated = kind.endswith("*")
            kind = kind.removesuffix("*")
            added.label = added.LABEL_REPEATED if repeated else added.LABEL_OPTIONAL
            if kind in _SCALAR_TYPES:
                added.type = _SCALAR_TYPES[kind]
            else:
                added.type = added.TYPE_ENUM if kind in _ENUMS else added.TYPE_MESSAGE
                added.type_name = f".{PACKAGE}.{kind}"
    return file


_pool = descriptor_pool.DescriptorPool()
_pool.Add(_file_descriptor())


def message_class(name: str) -> Any:
    """Return the class of a message by its name."""
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))


LATEST, EARLIEST, CUSTOM = range(3)
PUBLISH_ERROR, COMMIT_ERROR = 1, 2
METHODS = {  # RPC: request, response, whether each is a stream
    "GetTopic": ("TopicRequest", "TopicInfo", False, False),
    "GetSchema": ("SchemaRequest", "SchemaInfo", False, False),
    "Publish": ("PublishRequest", "PublishResponse", False, False),
    "Subscribe": ("FetchRequest", "FetchResponse", True, True),
    "PublishStream": ("PublishRequest", "PublishResponse", True, True),
    "ManagedSubscribe": ("ManagedFetchRequest", "ManagedFetchResponse", True, True),
}
