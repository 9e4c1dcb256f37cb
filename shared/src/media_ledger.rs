//! The book of media, and the only writer of the table `medias`.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait,
    IntoActiveModel, QueryFilter, QuerySelect, Select,
};

use crate::{
    blob_ledger,
    clock::Clock,
    database::{Database, LostRace},
    entities::media,
    ids::{BlobId, MediaId},
    list::{self, ListRequest, Page},
    media::{Filename, MediaPath, Sha256},
    media_metadata::Metadata,
};

/// What a media will be, once its bytes are stored.
#[derive(Clone, Debug)]
pub struct NewMedia {
    /// Where it is kept; what was there before is replaced.
    pub path: MediaPath,
    /// The name it is offered under.
    pub filename: Filename,
    /// What the bytes are.
    pub mime_type: String,
    /// Bytes.
    pub size: u64,
    /// What they hash to.
    pub sha256: Sha256,
    /// What they say of themselves.
    pub metadata: Option<Metadata>,
    /// Whether anyone may download it.
    pub public: bool,
    /// Where they came from, without secrets.
    pub source_url: Option<String>,
    /// Who put it there.
    pub creator: Creator,
    /// The stored object; staged.
    pub blob_id: BlobId,
}

/// Who asked for something, by the caller's token; nobody without authentication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Creator {
    /// Who.
    pub created_by: Option<String>,
    /// In which role.
    pub created_role: Option<String>,
    /// For which project.
    pub project_id: Option<String>,
}

/// Why a media was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The collector had given the blob up: its writer was silent for too long.
    #[error("the stored bytes were given up before they could be recorded")]
    BlobLost,
    /// The tables could not be read or written.
    #[error(transparent)]
    Database(#[from] DbErr),
}

impl LostRace for PublishError {
    fn lost_race(&self) -> bool {
        matches!(self, Self::Database(error) if error.lost_race())
    }
}

/// The book of media.
#[derive(Clone, Debug)]
pub struct MediaLedger {
    database: Database,
    clock: Clock,
}

impl MediaLedger {
    /// Opens the book.
    pub fn new(database: Database, clock: Clock) -> Self {
        Self { database, clock }
    }

    /// The media at a path.
    pub async fn find(&self, path: &MediaPath) -> Result<Option<media::Model>, DbErr> {
        at(path).one(self.database.reader()).await
    }

    /// A page of the media.
    pub async fn list(
        &self,
        request: ListRequest<media::Column>,
    ) -> Result<Page<media::Model>, DbErr> {
        list::read::<media::Entity>(self.database.reader(), request).await
    }

    /// The media with these identifiers, in no order.
    pub async fn find_all(&self, ids: Vec<MediaId>) -> Result<Vec<media::Model>, DbErr> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        media::Entity::find()
            .filter(media::Column::Id.is_in(ids))
            .all(self.database.reader())
            .await
    }

    /// Records an uploaded media, in one transaction with its blob.
    pub async fn publish(&self, new: NewMedia) -> Result<media::Model, PublishError> {
        let now = self.clock.now();
        self.database
            .transaction(|transaction| Box::pin(publish(transaction, new.clone(), now)))
            .await
    }

    /// Takes a media away; its bytes go to the collector. Says whether there was one.
    pub async fn delete(&self, path: &MediaPath) -> Result<bool, DbErr> {
        let now = self.clock.now();
        self.database
            .transaction(|transaction| {
                let path = path.clone();
                Box::pin(async move {
                    let Some(found) = at(&path).lock_exclusive().one(transaction).await? else {
                        return Ok(false);
                    };
                    blob_ledger::retire(transaction, found.blob_id, now).await?;
                    media::Entity::delete_by_id(found.id)
                        .exec(transaction)
                        .await?;
                    Ok(true)
                })
            })
            .await
    }
}

/// Makes the blob live and the media point to it, and retires the blob it pointed to before.
pub(crate) async fn publish(
    transaction: &impl ConnectionTrait,
    new: NewMedia,
    now: DateTime<Utc>,
) -> Result<media::Model, PublishError> {
    if !blob_ledger::make_live(transaction, new.blob_id, now).await? {
        return Err(PublishError::BlobLost);
    }
    let previous = at(&new.path).lock_exclusive().one(transaction).await?;
    let row = if let Some(previous) = previous {
        blob_ledger::retire(transaction, previous.blob_id, now).await?;
        filled(previous.into_active_model(), new, now)
            .update(transaction)
            .await?
    } else {
        let row = media::ActiveModel {
            id: Set(MediaId::generate()),
            resource: Set(new.path.resource().to_owned()),
            key: Set(new.path.key().map(str::to_owned)),
            created_at: Set(now),
            ..Default::default()
        };
        filled(row, new, now).insert(transaction).await?
    };
    Ok(row)
}

fn filled(row: media::ActiveModel, new: NewMedia, now: DateTime<Utc>) -> media::ActiveModel {
    media::ActiveModel {
        filename: Set(new.filename.as_str().to_owned()),
        // The configuration keeps sizes below 2^63.
        size: Set(i64::try_from(new.size).unwrap_or(i64::MAX)),
        mime_type: Set(new.mime_type),
        sha256: Set(new.sha256.to_string()),
        // Two numbers cannot fail to be written.
        metadata: Set(new
            .metadata
            .and_then(|known| serde_json::to_value(known).ok())),
        public: Set(new.public),
        created_by: Set(new.creator.created_by),
        created_role: Set(new.creator.created_role),
        project_id: Set(new.creator.project_id),
        source_url: Set(new.source_url),
        blob_id: Set(new.blob_id),
        updated_at: Set(now),
        ..row
    }
}

fn at(path: &MediaPath) -> Select<media::Entity> {
    let found = media::Entity::find().filter(media::Column::Resource.eq(path.resource()));
    match path.key() {
        Some(key) => found.filter(media::Column::Key.eq(key)),
        None => found.filter(media::Column::Key.is_null()),
    }
}
