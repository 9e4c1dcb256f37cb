//! The table `medias`.

use sea_orm::entity::prelude::*;

use crate::{
    ids::{BlobId, MediaId},
    list::{DocumentLength, json_text_bytes},
};

/// A media. Written by [`crate::media_ledger`] alone.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "medias")]
pub struct Model {
    /// UUIDv7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: MediaId,
    /// Where it is kept.
    pub resource: String,
    /// Where within the resource.
    pub key: Option<String>,
    /// The name it is offered under.
    pub filename: String,
    /// Bytes.
    pub size: i64,
    /// What the bytes are, such as `image/png`.
    pub mime_type: String,
    /// The charset of text, such as `utf-8`.
    pub charset: Option<String>,
    /// 64 hexadecimal digits.
    pub sha256: String,
    /// What the bytes say of themselves beside that, as [`crate::media_metadata`] reads them.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub metadata: Option<Json>,
    /// Whether anyone may download it.
    pub public: bool,
    /// Since when anyone may, without a break; nothing while it is private.
    pub public_since: Option<DateTimeUtc>,
    /// Who put the present bytes there.
    pub created_by: Option<String>,
    /// In which role.
    pub created_role: Option<String>,
    /// For which project.
    pub project_id: Option<String>,
    /// Where the bytes came from, without secrets; none if they were uploaded.
    pub source_url: Option<String>,
    /// The stored object that holds the bytes.
    pub blob_id: BlobId,
    /// When the media came to be.
    pub created_at: DateTimeUtc,
    /// When its bytes or attributes last changed.
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
        let metadata = self.metadata.as_ref().map_or(0, json_text_bytes);
        self.resource.len() + self.filename.len() + metadata + texts.sum::<usize>()
    }
}
