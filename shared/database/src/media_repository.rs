//! The repository of media, and the only writer of the table `medias`.

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, Condition, DbErr, EntityTrait, ExprTrait as _, QueryFilter, QueryOrder,
    QuerySelect, Select, sea_query::Expr,
};

use crate::connection::Batches;
use crate::{
    Database, LostRace,
    entities::media,
    pagination::{self, Expiry, ListRequest, Page},
    project_condition, read_condition,
};
use media_domain::{
    caller::Creator,
    clock::Clock,
    ids::{BlobId, MediaId},
    media::{
        ClientMeta, Filename, MediaPath, Metadata, PreconditionFailed, Sha256, WritePrecondition,
    },
    permissions::{Denied, MediaReadScope, ProjectSelector, ReadScope, WriteScope},
};

mod change;
mod expiry;
mod lookup_cache;
mod path_lookup;
mod publish;

pub use change::{ChangeError, MediaChange};
pub use expiry::EXPIRY_BATCH;
use lookup_cache::LookupCache;
use publish::{evaluate, remove};
pub(crate) use publish::{new_row, publish, values_of};

/// A media to be recorded, whose bytes are stored.
#[derive(Clone, Debug)]
pub struct NewMedia {
    /// Its place. A media that is there is replaced.
    pub path: MediaPath,
    /// Its file name.
    pub filename: Filename,
    /// Its media type.
    pub mime_type: String,
    /// The charset of text.
    pub charset: Option<String>,
    /// Its size, in bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: Sha256,
    /// Its dimensions and duration.
    pub metadata: Option<Metadata>,
    /// Whether everybody may download it.
    pub public: bool,
    /// The URL that it was imported from, redacted.
    pub source_url: Option<String>,
    /// The validators of its origin, for an import that refreshes it.
    pub origin: Option<serde_json::Value>,
    /// The client's own data.
    pub meta: Option<ClientMeta>,
    /// The time from which on it is gone for readers.
    pub expires_at: Option<DateTime<Utc>>,
    /// Its creator.
    pub creator: Creator,
    /// Its blob; staged.
    pub blob_id: BlobId,
}

/// A media was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The blob was abandoned, because its writer was silent for too long.
    #[error("the stored bytes were abandoned before they could be recorded; try again")]
    BlobLost,
    /// This creator may not replace the media at the path.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The condition of the write does not hold.
    #[error(transparent)]
    PreconditionFailed(#[from] PreconditionFailed),
    /// The tables could not be read or written.
    #[error(transparent)]
    Database(#[from] DbErr),
}

impl LostRace for PublishError {
    fn lost_race(&self) -> bool {
        matches!(self, Self::Database(error) if error.lost_race())
    }
}

/// The media at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// None that the caller may read.
    Nothing,
    /// One.
    One(Box<media::Model>),
    /// One in each of several projects.
    Several,
}

/// A media was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// The caller may not delete it.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The condition of the write does not hold.
    #[error(transparent)]
    PreconditionFailed(#[from] PreconditionFailed),
    /// The tables could not be read or written.
    #[error(transparent)]
    Database(#[from] DbErr),
}

impl LostRace for DeleteError {
    fn lost_race(&self) -> bool {
        matches!(self, Self::Database(error) if error.lost_race())
    }
}

/// The repository of media.
#[derive(Clone, Debug)]
pub struct MediaRepository {
    database: Database,
    clock: Clock,
    keyed: Batches<MediaPath, Vec<media::Model>>,
    unkeyed: Batches<MediaPath, Vec<media::Model>>,
    /// Set where no other process writes.
    cache: Option<LookupCache>,
}

impl MediaRepository {
    /// Opens the repository.
    pub fn new(database: Database, clock: Clock) -> Self {
        let lookups = || {
            let clock = clock.clone();
            Batches::new(&database, move |database, paths| {
                let now = clock.now();
                Box::pin(path_lookup::first_two_at_each(database, paths, now))
            })
        };
        Self {
            keyed: lookups(),
            unkeyed: lookups(),
            database,
            clock,
            cache: None,
        }
    }

    /// Caches lookups until the next commit. For the only process that writes.
    #[must_use]
    pub fn caching_lookups(mut self) -> Self {
        self.cache = Some(LookupCache::default());
        self
    }

    /// The media at a path that the caller may read. Media of the readable projects come before public media of
    /// others; of those, the one that was public first is found, so that no other project can take its place.
    pub async fn find(
        &self,
        path: &MediaPath,
        scope: &MediaReadScope,
        selector: &ProjectSelector,
    ) -> Result<Found, DbErr> {
        let now = self.clock.now();
        let rows = |condition| {
            at(path)
                .filter(unexpired(now))
                .filter(project_condition(selector, media::Column::ProjectId))
                .filter(condition)
        };
        let no_project = ReadScope::Projects(Vec::new());
        if scope.projects != no_project {
            let mut own = if scope.projects == ReadScope::All && *selector == ProjectSelector::Any {
                self.first_two(path).await?
            } else {
                let own = rows(read_condition(&scope.projects, media::Column::ProjectId));
                let own = own.order_by_asc(media::Column::Id).limit(2);
                own.all(self.database.reader()).await?
            };
            match own.pop() {
                Some(_) if !own.is_empty() => return Ok(Found::Several),
                Some(only) => return Ok(Found::One(Box::new(only))),
                None => {}
            }
        }
        if !scope.public || scope.projects == ReadScope::All {
            return Ok(Found::Nothing);
        }
        let public = rows(Condition::all().add(media::Column::Public.eq(true)));
        let public = public
            .order_by_asc(media::Column::PublicSince)
            .order_by_asc(media::Column::Id);
        let first = public.one(self.database.reader()).await?;
        Ok(first.map_or(Found::Nothing, |media| Found::One(Box::new(media))))
    }

    /// The first two media at a path, of all projects.
    async fn first_two(&self, path: &MediaPath) -> Result<Vec<media::Model>, DbErr> {
        let Some((cache, commits)) = self.cache.as_ref().zip(self.database.commits()) else {
            return self.look_up(path).await;
        };
        let now = self.clock.now();
        // An expired media may have hidden a third one.
        if let Some(found) = cache.get(path, commits)
            && !found.iter().any(|media| media.is_expired(now))
        {
            return Ok(found);
        }
        let found = self.look_up(path).await?;
        cache.insert(path.clone(), found.clone(), commits);
        Ok(found)
    }

    async fn look_up(&self, path: &MediaPath) -> Result<Vec<media::Model>, DbErr> {
        let lookups = match path.key() {
            Some(_) => &self.keyed,
            None => &self.unkeyed,
        };
        lookups.submit(path.clone()).await
    }

    /// The media that a new one at a path would replace.
    pub async fn find_in(
        &self,
        path: &MediaPath,
        project: Option<&str>,
    ) -> Result<Option<media::Model>, DbErr> {
        in_project(path, project)
            .filter(unexpired(self.clock.now()))
            .one(self.database.reader())
            .await
    }

    /// Makes sure that a creator may write to a path now. The write itself checks it again.
    pub async fn check_write(
        &self,
        path: &MediaPath,
        creator: &Creator,
        condition: &WritePrecondition,
    ) -> Result<(), PublishError> {
        // Most creators may replace any media.
        if creator.may_replace(None).is_ok() && condition.is_empty() {
            return Ok(());
        }
        let present = self.find_in(path, creator.project_id.as_deref()).await?;
        if let Some(present) = &present {
            creator.may_replace(present.created_by.as_deref())?;
        }
        Ok(evaluate(condition, present.as_ref())?)
    }

    /// The media with an identifier.
    pub async fn find_by_id(&self, id: MediaId) -> Result<Option<media::Model>, DbErr> {
        media::Entity::find_by_id(id)
            .filter(unexpired(self.clock.now()))
            .one(self.database.reader())
            .await
    }

    /// A page of the media.
    pub async fn list(
        &self,
        mut request: ListRequest<media::Column>,
    ) -> Result<Page<media::Model>, DbErr> {
        request.expiry = Some(Expiry {
            column: media::Column::ExpiresAt,
            now: self.clock.now(),
        });
        pagination::read::<media::Entity>(self.database.reader(), request).await
    }

    /// The media with these identifiers that the caller may read, in no order.
    pub async fn find_all(
        &self,
        ids: Vec<MediaId>,
        scope: &ReadScope,
    ) -> Result<Vec<media::Model>, DbErr> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        media::Entity::find()
            .filter(media::Column::Id.is_in(ids))
            .filter(unexpired(self.clock.now()))
            .filter(read_condition(scope, media::Column::ProjectId))
            .all(self.database.reader())
            .await
    }

    /// Records an uploaded media and makes its blob live, in one transaction.
    pub async fn publish(&self, new: NewMedia) -> Result<media::Model, PublishError> {
        self.publish_if(new, WritePrecondition::default()).await
    }

    /// Records an uploaded media like [`MediaRepository::publish`], if a condition holds in the transaction: of several
    /// writers with the same condition, one wins.
    pub async fn publish_if(
        &self,
        new: NewMedia,
        condition: WritePrecondition,
    ) -> Result<media::Model, PublishError> {
        let now = self.clock.now();
        self.database
            .transaction(move |transaction| {
                let (new, condition) = (new.clone(), condition.clone());
                Box::pin(async move { publish(transaction, new, &condition, now).await })
            })
            .await
    }

    /// Deletes a media, if the caller may; the collector deletes its bytes. Returns whether there was one.
    pub async fn delete(&self, id: MediaId, scope: &WriteScope) -> Result<bool, DeleteError> {
        self.delete_if(id, scope, WritePrecondition::default())
            .await
    }

    /// Deletes a media like [`MediaRepository::delete`], if a condition holds in the transaction.
    pub async fn delete_if(
        &self,
        id: MediaId,
        scope: &WriteScope,
        condition: WritePrecondition,
    ) -> Result<bool, DeleteError> {
        let now = self.clock.now();
        let scope = scope.clone();
        self.database
            .transaction(move |transaction| {
                let (scope, condition) = (scope.clone(), condition.clone());
                Box::pin(async move {
                    let found = media::Entity::find_by_id(id).filter(unexpired(now));
                    let found = found.lock_exclusive();
                    let Some(found) = found.one(transaction).await? else {
                        return Ok(false);
                    };
                    if !scope.projects.covers(found.project_id.as_deref()) {
                        return Ok(false);
                    }
                    scope.allows(found.created_by.as_deref())?;
                    evaluate(&condition, Some(&found))?;
                    remove(transaction, &found, now).await?;
                    Ok(true)
                })
            })
            .await
    }
}

fn at(path: &MediaPath) -> Select<media::Entity> {
    let found = media::Entity::find().filter(media::Column::Resource.eq(path.resource()));
    match path.key() {
        Some(key) => found.filter(media::Column::Key.eq(key)),
        None => found.filter(media::Column::Key.is_null()),
    }
}

/// The media at a path of one project, or of none: at most one.
pub(crate) fn in_project(path: &MediaPath, project: Option<&str>) -> Select<media::Entity> {
    // The expression of the index.
    at(path).filter(Expr::cust("coalesce(project_id, '')").eq(project.unwrap_or_default()))
}

/// The media that are not gone for readers at a time.
fn unexpired(now: DateTime<Utc>) -> Condition {
    Condition::any()
        .add(media::Column::ExpiresAt.is_null())
        .add(media::Column::ExpiresAt.gt(now))
}
