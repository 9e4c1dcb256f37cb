//! The fields of a media.

use media_database::entities::media;
use serde_json::{Value as Json, json};

use super::headers::link_to;
use crate::resource::{
    Field,
    Operator::{self, AtLeast, AtMost, Equal, Exists, In, Match, Member, NotEqual, Prefix},
    Relationship, Resource, ValueType,
    value_type::time,
};

/// Media, `media:medias`.
#[derive(Clone, Debug)]
pub(crate) struct MediaResource;

/// The operators of texts, ids and enumerations.
const LISTED: &[Operator] = &[Equal, NotEqual, Exists, In];
/// The operators of texts with an index.
const BEGINNINGS: &[Operator] = &[Equal, NotEqual, Exists, In, Prefix];
/// The operators of names with an index.
const NAMES: &[Operator] = &[Equal, NotEqual, Exists, In, Prefix, Match];
/// The operators of numbers and times.
const ORDERED: &[Operator] = &[Equal, NotEqual, Exists, AtLeast, AtMost];

/// The defaults: a text, not null, a sort key.
const PLAIN: Field<media::Entity> = Field {
    name: "",
    column: media::Column::Id,
    value_type: ValueType::Text,
    nullable: false,
    operators: LISTED,
    sortable: true,
    ordered_by_id: false,
    show: |_| Json::Null,
    description: "",
    example: "null",
};

impl Resource for MediaResource {
    type Entity = media::Entity;
    const TYPE: &'static str = "media:medias";
    const NAME: &'static str = "Media";
    const PATH: &'static str = "/medias";
    const RELATIONSHIPS: &'static [Relationship<media::Model>] = &[];
    const PROJECT: media::Column = media::Column::ProjectId;
    const INDEX_PREFIX_FIELDS: &'static [&'static str] = &[
        "sha256",
        "key",
        "filename",
        "created_by",
        "project_id",
        "resource",
        "mime_type",
        "public",
    ];

    #[rustfmt::skip]
    const FIELDS: &'static [Field<media::Entity>] = &[
        Field { name: "id", column: media::Column::Id, value_type: ValueType::Id, show: |media| json!(media.id), description: "The media's id", example: "\"01a209d3-ac64-703f-91dc-9affcb76ba68\"", ..PLAIN },
        Field { name: "resource", column: media::Column::Resource, operators: BEGINNINGS, show: |media| json!(media.resource), description: "The resource", example: "\"avatars\"", ..PLAIN },
        Field { name: "key", column: media::Column::Key, nullable: true, operators: NAMES, show: |media| json!(media.key), description: "The key within the resource", example: "\"42\"", ..PLAIN },
        Field { name: "filename", column: media::Column::Filename, operators: NAMES, show: |media| json!(media.filename), description: "The name of the file", example: "\"portrait.jpg\"", ..PLAIN },
        Field { name: "size", column: media::Column::Size, value_type: ValueType::Integer, operators: ORDERED, show: |media| json!(media.size), description: "The size in bytes", example: "20258", ..PLAIN },
        Field { name: "mime_type", column: media::Column::MimeType, operators: BEGINNINGS, show: |media| json!(media.mime_type), description: "The type of the bytes", example: "\"image/jpeg\"", ..PLAIN },
        Field { name: "charset", column: media::Column::Charset, nullable: true, sortable: false, show: |media| json!(media.charset), description: "The charset of text, declared or detected; null if unknown", example: "\"utf-8\"", ..PLAIN },
        Field { name: "metadata", column: media::Column::Metadata, value_type: ValueType::Object, nullable: true, operators: &[Exists], sortable: false, show: |media| json!(media.metadata), description: "Metadata from the bytes: `width` and `height` of images and video, in pixels; `duration` of audio and video, in seconds; null if there is none", example: "{\"width\":640,\"height\":480}", ..PLAIN },
        Field { name: "sha256", column: media::Column::Sha256, sortable: false, show: |media| json!(media.sha256), description: "The SHA-256 of the bytes, 64 hexadecimal digits", example: "\"0b087324795ab8dc238ffffa380f3da0d316536cbb6b9bcb35184b381e84153c\"", ..PLAIN },
        Field { name: "public", column: media::Column::Public, value_type: ValueType::Boolean, operators: &[Equal, NotEqual, Exists], show: |media| json!(media.public), description: "Whether anyone may download the media", example: "true", ..PLAIN },
        Field { name: "created_by", column: media::Column::CreatedBy, nullable: true, show: |media| json!(media.created_by), description: "The subject of the caller that stored the current bytes", example: "\"user-7\"", ..PLAIN },
        Field { name: "created_role", column: media::Column::CreatedRole, nullable: true, show: |media| json!(media.created_role), description: "The role of that caller", example: "\"user\"", ..PLAIN },
        Field { name: "project_id", column: media::Column::ProjectId, nullable: true, show: |media| json!(media.project_id), description: "The project that the media belongs to", example: "\"project-1\"", ..PLAIN },
        Field { name: "source_url", column: media::Column::SourceUrl, nullable: true, operators: &[Equal, NotEqual, Exists, In, Match], sortable: false, show: |media| json!(media.source_url), description: "The URL that the bytes were imported from, secrets redacted; null if they were uploaded", example: "\"http://origin.test/portrait.jpg\"", ..PLAIN },
        Field { name: "meta", column: media::Column::Meta, value_type: ValueType::Object, nullable: true, operators: &[Exists, Member], sortable: false, show: |media| json!(media.meta), description: "Data of the client, set by an upload, an import or a change; null if there is none", example: "{\"color\":\"red\"}", ..PLAIN },
        Field { name: "expires_at", column: media::Column::ExpiresAt, value_type: ValueType::Time, nullable: true, operators: ORDERED, show: |media| json!(media.expires_at.map(time)), description: "The time from which on the media is gone; null if there is none", example: "\"2030-01-31T12:00:00.000000Z\"", ..PLAIN },
        Field { name: "created_at", column: media::Column::CreatedAt, value_type: ValueType::Time, operators: ORDERED, ordered_by_id: true, show: |media| time(media.created_at), description: "The time of creation", example: "\"2026-11-23T19:13:16.894472Z\"", ..PLAIN },
        Field { name: "updated_at", column: media::Column::UpdatedAt, value_type: ValueType::Time, operators: ORDERED, show: |media| time(media.updated_at), description: "The time of the last change of the bytes or attributes", example: "\"2026-11-23T19:13:16.894472Z\"", ..PLAIN },
    ];

    fn links(media: &media::Model) -> Json {
        json!({
            "self": link_to("info", media),
            "download": link_to("files", media),
        })
    }
}
