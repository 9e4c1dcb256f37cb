//! The book of media, and the only writer of the table `medias`.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, ExprTrait as _, IntoActiveModel,
    Iterable as _, QueryFilter, QueryOrder, QuerySelect, Select, TryIntoModel as _, Value,
    sea_query::{Expr, OnConflict},
};

use crate::{
    access::{Belonging, Denied, MediaSight, Reach, Sight},
    blob_ledger,
    clock::Clock,
    database::{Batches, Database, LostRace},
    entities::media,
    ids::{BlobId, MediaId},
    list::{self, ListRequest, Page},
    media::{Filename, MediaPath, PreconditionFailed, Sha256, WritePrecondition},
    media_metadata::Metadata,
};

mod lookup;
mod lookup_cache;

use lookup_cache::LookupCache;

/// What a media will be, once its bytes are stored.
#[derive(Clone, Debug)]
pub struct NewMedia {
    /// Where it is kept; what was there before is replaced.
    pub path: MediaPath,
    /// The name it is offered under.
    pub filename: Filename,
    /// What the bytes are.
    pub mime_type: String,
    /// The charset of text.
    pub charset: Option<String>,
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
    /// What is there may not be replaced by this creator.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// What is there is not what the writer takes it for.
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

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing that is seen.
    Nothing,
    /// This.
    One(Box<media::Model>),
    /// A media in each of several projects that are seen.
    Several,
}

/// Why a media was not taken away.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// It is not this caller's to take away.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// It is not what the caller takes it for.
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

/// The book of media.
#[derive(Clone, Debug)]
pub struct MediaLedger {
    database: Database,
    clock: Clock,
    keyed: Batches<MediaPath, Vec<media::Model>>,
    unkeyed: Batches<MediaPath, Vec<media::Model>>,
    /// Where nobody else writes.
    cache: Option<LookupCache>,
}

impl MediaLedger {
    /// Opens the book.
    pub fn new(database: Database, clock: Clock) -> Self {
        let lookups = || {
            Batches::new(&database, |database, paths| {
                Box::pin(lookup::first_two_at_each(database, paths))
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

    /// Remembers what was found until something is written. For the only process that writes.
    #[must_use]
    pub fn caching_lookups(mut self) -> Self {
        self.cache = Some(LookupCache::default());
        self
    }

    /// The media at a path, as far as it is seen. What belongs to the projects that are seen comes
    /// before what others have made public; of those, the one that was public first, so that nobody
    /// gets in its place.
    pub async fn find(
        &self,
        path: &MediaPath,
        sight: &MediaSight,
        belonging: &Belonging,
    ) -> Result<Found, DbErr> {
        let rows = |condition| {
            at(path)
                .filter(belonging.condition(media::Column::ProjectId))
                .filter(condition)
        };
        let nothing_seen = Sight::Projects(Vec::new());
        if sight.projects != nothing_seen {
            let mut own = if sight.projects == Sight::All && *belonging == Belonging::Any {
                self.first_two(path).await?
            } else {
                let own = rows(sight.projects.condition(media::Column::ProjectId));
                let own = own.order_by_asc(media::Column::Id).limit(2);
                own.all(self.database.reader()).await?
            };
            match own.pop() {
                Some(_) if !own.is_empty() => return Ok(Found::Several),
                Some(only) => return Ok(Found::One(Box::new(only))),
                None => {}
            }
        }
        if !sight.public || sight.projects == Sight::All {
            return Ok(Found::Nothing);
        }
        let public = rows(Condition::all().add(media::Column::Public.eq(true)));
        let public = public
            .order_by_asc(media::Column::PublicSince)
            .order_by_asc(media::Column::Id);
        let first = public.one(self.database.reader()).await?;
        Ok(first.map_or(Found::Nothing, |media| Found::One(Box::new(media))))
    }

    /// The first two media at a path, of whichever projects.
    async fn first_two(&self, path: &MediaPath) -> Result<Vec<media::Model>, DbErr> {
        let Some((cache, commits)) = self.cache.as_ref().zip(self.database.commits()) else {
            return self.look_up(path).await;
        };
        if let Some(found) = cache.at(path, commits) {
            return Ok(found);
        }
        let found = self.look_up(path).await?;
        cache.note(path.clone(), found.clone(), commits);
        Ok(found)
    }

    async fn look_up(&self, path: &MediaPath) -> Result<Vec<media::Model>, DbErr> {
        let lookups = match path.key() {
            Some(_) => &self.keyed,
            None => &self.unkeyed,
        };
        lookups.submit(path.clone()).await
    }

    /// The media that something new at a path would replace.
    pub async fn find_in(
        &self,
        path: &MediaPath,
        project: Option<&str>,
    ) -> Result<Option<media::Model>, DbErr> {
        in_project(path, project).one(self.database.reader()).await
    }

    /// Whether a creator may put something at a path now; it is asked again when that is done.
    pub async fn check_place(
        &self,
        path: &MediaPath,
        creator: &Creator,
        condition: &WritePrecondition,
    ) -> Result<(), PublishError> {
        // Most may replace anything.
        if creator.may_replace(None).is_ok() && condition.is_empty() {
            return Ok(());
        }
        let there = self.find_in(path, creator.project_id.as_deref()).await?;
        if let Some(there) = &there {
            creator.may_replace(there.created_by.as_deref())?;
        }
        Ok(evaluate(condition, there.as_ref())?)
    }

    /// The media with an identifier.
    pub async fn find_by_id(&self, id: MediaId) -> Result<Option<media::Model>, DbErr> {
        media::Entity::find_by_id(id)
            .one(self.database.reader())
            .await
    }

    /// A page of the media.
    pub async fn list(
        &self,
        request: ListRequest<media::Column>,
    ) -> Result<Page<media::Model>, DbErr> {
        list::read::<media::Entity>(self.database.reader(), request).await
    }

    /// The media with these identifiers, as far as they are seen, in no order.
    pub async fn find_all(
        &self,
        ids: Vec<MediaId>,
        sight: &Sight,
    ) -> Result<Vec<media::Model>, DbErr> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        media::Entity::find()
            .filter(media::Column::Id.is_in(ids))
            .filter(sight.condition(media::Column::ProjectId))
            .all(self.database.reader())
            .await
    }

    /// Records an uploaded media, in one transaction with its blob.
    pub async fn publish(&self, new: NewMedia) -> Result<media::Model, PublishError> {
        self.publish_if(new, WritePrecondition::default()).await
    }

    /// Records an uploaded media if a condition holds in the transaction that does so: of several writers with the
    /// same condition one wins.
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

    /// Takes a media away, if that is within reach; its bytes go to the collector. Says whether there
    /// was one.
    pub async fn delete(&self, id: MediaId, reach: &Reach) -> Result<bool, DeleteError> {
        self.delete_if(id, reach, WritePrecondition::default())
            .await
    }

    /// Takes a media away like [`MediaLedger::delete`], if a condition holds in the transaction that does so.
    pub async fn delete_if(
        &self,
        id: MediaId,
        reach: &Reach,
        condition: WritePrecondition,
    ) -> Result<bool, DeleteError> {
        let now = self.clock.now();
        let reach = reach.clone();
        self.database
            .transaction(move |transaction| {
                let (reach, condition) = (reach.clone(), condition.clone());
                Box::pin(async move {
                    let found = media::Entity::find_by_id(id).lock_exclusive();
                    let Some(found) = found.one(transaction).await? else {
                        return Ok(false);
                    };
                    if !reach.projects.covers(found.project_id.as_deref()) {
                        return Ok(false);
                    }
                    reach.allows(found.created_by.as_deref())?;
                    evaluate(&condition, Some(&found))?;
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
    condition: &WritePrecondition,
    now: DateTime<Utc>,
) -> Result<media::Model, PublishError> {
    if !blob_ledger::make_live(transaction, new.blob_id, now).await? {
        return Err(PublishError::BlobLost);
    }
    // Most have nothing to replace.
    if condition.evaluate(None).is_ok()
        && let Some(row) = insert(transaction, &new, now).await?
    {
        return Ok(row);
    }
    let previous = in_project(&new.path, new.creator.project_id.as_deref())
        .lock_exclusive()
        .one(transaction)
        .await?;
    evaluate(condition, previous.as_ref())?;
    let Some(previous) = previous else {
        // It was deleted just now: the same once more.
        let gone = DbErr::RecordNotInserted;
        return insert(transaction, &new, now).await?.ok_or(gone.into());
    };
    new.creator.may_replace(previous.created_by.as_deref())?;
    blob_ledger::retire(transaction, previous.blob_id, now).await?;
    let since = previous.public_since.or(Some(now)).filter(|_| new.public);
    let row = filled(previous.into_active_model(), new, since, now);
    Ok(row.update(transaction).await?)
}

/// Evaluates a condition against what is at a path.
fn evaluate(
    condition: &WritePrecondition,
    there: Option<&media::Model>,
) -> Result<(), PreconditionFailed> {
    if condition.is_empty() {
        return Ok(());
    }
    // A digest in the table is one.
    let digest = there.map(|media| Sha256::from_hex(&media.sha256).map_err(|_| PreconditionFailed));
    condition.evaluate(digest.transpose()?.as_ref())
}

/// Records a media where none is; nothing if one is.
async fn insert(
    transaction: &impl ConnectionTrait,
    new: &NewMedia,
    now: DateTime<Utc>,
) -> Result<Option<media::Model>, DbErr> {
    let row = new_row(new, now);
    let inserted = media::Entity::insert(row.clone())
        // Its blob is new: all that can be in the way is another at its path.
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(transaction)
        .await?;
    if inserted == 0 {
        return Ok(None);
    }
    row.try_into_model().map(Some)
}

/// The row of a media that is the first at its path.
pub(crate) fn new_row(new: &NewMedia, now: DateTime<Utc>) -> media::ActiveModel {
    let row = media::ActiveModel {
        id: Set(MediaId::at(now)),
        resource: Set(new.path.resource().to_owned()),
        key: Set(new.path.key().map(str::to_owned)),
        created_at: Set(now),
        ..Default::default()
    };
    let since = new.public.then_some(now);
    filled(row, new.clone(), since, now)
}

/// What a new row has in each of its columns, in their order.
pub(crate) fn values_of(row: &media::ActiveModel) -> impl Iterator<Item = Value> {
    media::Column::iter().filter_map(|column| row.get(column).into_value())
}

fn filled(
    row: media::ActiveModel,
    new: NewMedia,
    public_since: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> media::ActiveModel {
    media::ActiveModel {
        filename: Set(new.filename.as_str().to_owned()),
        // The configuration keeps sizes below 2^63.
        size: Set(i64::try_from(new.size).unwrap_or(i64::MAX)),
        mime_type: Set(new.mime_type),
        charset: Set(new.charset),
        sha256: Set(new.sha256.to_string()),
        // Three numbers cannot fail to be written.
        metadata: Set(new
            .metadata
            .and_then(|known| serde_json::to_value(known).ok())),
        public: Set(new.public),
        public_since: Set(public_since),
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

/// In one project, or in none: at most one.
pub(crate) fn in_project(path: &MediaPath, project: Option<&str>) -> Select<media::Entity> {
    // As the indexes have it.
    at(path).filter(Expr::cust("coalesce(project_id, '')").eq(project.unwrap_or_default()))
}
