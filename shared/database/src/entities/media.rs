//! The table `medias`.

use sea_orm::entity::prelude::*;

use crate::pagination::{DocumentLength, json_text_bytes};
use media_domain::{
    caller::Role,
    ids::{BlobId, MediaId},
    permissions::MediaReadScope,
};

/// A media. Written by [`crate::media_repository`] alone.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "medias")]
pub struct Model {
    /// UUIDv7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: MediaId,
    /// The resource.
    pub resource: String,
    /// The key within the resource.
    pub key: Option<String>,
    /// The file name for downloads.
    pub filename: String,
    /// The size in bytes.
    pub size: i64,
    /// The media type, such as `image/png`.
    pub mime_type: String,
    /// The charset of text, such as `utf-8`.
    pub charset: Option<String>,
    /// The digest: 64 hexadecimal digits.
    pub sha256: String,
    /// Dimensions and duration.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub metadata: Option<Json>,
    /// Whether everybody may download it.
    pub public: bool,
    /// The time since which it is public at its path without a break; none while it is private. Of the public media of
    /// several projects at one path, the earliest is found.
    pub public_since: Option<DateTimeUtc>,
    /// The creator of the present bytes.
    pub created_by: Option<String>,
    /// The role of that caller.
    pub created_role: Option<Role>,
    /// The project that it belongs to.
    pub project_id: Option<String>,
    /// The redacted URL of the bytes; none if they were uploaded.
    pub source_url: Option<String>,
    /// The validators of the origin, which an import that refreshes the media sends. Read by the worker alone.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub origin: Option<Json>,
    /// The client's own data.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub meta: Option<Json>,
    /// The time from which on it is gone for readers.
    pub expires_at: Option<DateTimeUtc>,
    /// The blob that holds the bytes.
    pub blob_id: BlobId,
    /// The time of its creation.
    pub created_at: DateTimeUtc,
    /// The time of the last change of its bytes or attributes.
    pub updated_at: DateTimeUtc,
}

/// No relations: lookups go by identifier.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl DocumentLength for Model {
    fn text_bytes(&self) -> usize {
        let texts = [&self.key, &self.source_url, &self.created_by];
        let texts = texts.into_iter().flatten().map(String::len);
        let documents = [&self.metadata, &self.meta].into_iter().flatten();
        let documents: usize = documents.map(json_text_bytes).sum();
        self.resource.len() + self.filename.len() + documents + texts.sum::<usize>()
    }
}

impl Model {
    /// Whether it is gone for readers at a time.
    #[must_use]
    pub fn is_expired(&self, now: DateTimeUtc) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// The text of the record's strong entity tag: it changes with the bytes and with every attribute.
    #[must_use]
    pub fn record_tag(&self) -> String {
        format!(
            "{}-{:x}",
            self.id.0.simple(),
            self.updated_at.timestamp_micros()
        )
    }

    /// The media as a caller may see it: without its creator, its origin and the client's data if it is readable only
    /// because it is public.
    #[must_use]
    pub fn redact_for(self, scope: &MediaReadScope) -> Self {
        if scope.projects.covers(self.project_id.as_deref()) {
            return self;
        }
        Self {
            created_by: None,
            created_role: None,
            source_url: None,
            meta: None,
            ..self
        }
    }
}
