//! Changes the record of a media: its attributes and its place. No byte is copied.

use chrono::{DateTime, Utc};
use media_domain::{
    ids::MediaId,
    media::{ClientMeta, Filename, MediaPath, PathError, PreconditionFailed, WritePrecondition},
    permissions::{Denied, WriteScope},
};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, DbErr, EntityTrait, IntoActiveModel, QueryFilter as _,
    QuerySelect, SqlErr,
};

use super::{
    MediaRepository, in_project,
    publish::{change_time, evaluate, remove},
    unexpired,
};
use crate::{LostRace, Transaction, entities::media};

/// A change of a media's record. Fields that are None stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaChange {
    /// The new file name.
    pub filename: Option<Filename>,
    /// Whether everybody may download it.
    pub public: Option<bool>,
    /// The client's own data; `Some(None)` removes it.
    pub meta: Option<Option<ClientMeta>>,
    /// The time from which on it is gone; `Some(None)` removes it.
    pub expires_at: Option<Option<DateTime<Utc>>>,
    /// The new resource.
    pub resource: Option<String>,
    /// The new key; `Some(None)` removes it.
    pub key: Option<Option<String>>,
}

/// A media was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is no such media that the caller may change.
    #[error("there is no such media")]
    NotFound,
    /// The caller may not change it.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The condition of the write does not hold.
    #[error(transparent)]
    PreconditionFailed(#[from] PreconditionFailed),
    /// The new place is not valid.
    #[error(transparent)]
    Path(#[from] PathError),
    /// There is a media at the new place.
    #[error(
        "there is a media at the new resource and key already; delete it first, or choose another key"
    )]
    TargetExists,
    /// The tables could not be read or written.
    #[error(transparent)]
    Database(#[from] DbErr),
}

impl LostRace for ChangeError {
    fn lost_race(&self) -> bool {
        matches!(self, Self::Database(error) if error.lost_race())
    }
}

impl MediaRepository {
    /// Changes a media, if the caller may and a condition holds in the transaction. Its id and time of creation stay.
    pub async fn change_if(
        &self,
        id: MediaId,
        scope: &WriteScope,
        change: MediaChange,
        condition: WritePrecondition,
    ) -> Result<media::Model, ChangeError> {
        let now = self.clock.now();
        let scope = scope.clone();
        self.database
            .transaction(move |transaction| {
                let (scope, change) = (scope.clone(), change.clone());
                let condition = condition.clone();
                Box::pin(async move {
                    let found = media::Entity::find_by_id(id).filter(unexpired(now));
                    let found = found.lock_exclusive().one(transaction).await?;
                    let covered =
                        found.filter(|media| scope.projects.covers(media.project_id.as_deref()));
                    let media = covered.ok_or(ChangeError::NotFound)?;
                    scope.allows(media.created_by.as_deref())?;
                    evaluate(&condition, Some(&media))?;
                    apply(transaction, media, change, now).await
                })
            })
            .await
    }
}

async fn apply(
    transaction: &Transaction,
    media: media::Model,
    change: MediaChange,
    now: DateTime<Utc>,
) -> Result<media::Model, ChangeError> {
    let mut row = media.clone().into_active_model();
    let mut public_since = media.public_since;
    if change.resource.is_some() || change.key.is_some() {
        let resource = change.resource.as_ref().unwrap_or(&media.resource);
        let key = change.key.as_ref().unwrap_or(&media.key);
        let path = MediaPath::new(resource, key.as_deref())?;
        if *resource != media.resource || *key != media.key {
            make_room(transaction, &path, media.project_id.as_deref(), now).await?;
            // It must not come before a media of another project that was public there first.
            public_since = None;
        }
        row.resource.set_if_not_equals(resource.clone());
        row.key.set_if_not_equals(key.clone());
    }
    if let Some(filename) = change.filename {
        row.filename.set_if_not_equals(filename.as_str().to_owned());
    }
    let public = change.public.unwrap_or(media.public);
    let public_since = public_since.or(Some(now)).filter(|_| public);
    row.public.set_if_not_equals(public);
    row.public_since.set_if_not_equals(public_since);
    if let Some(meta) = change.meta {
        row.meta.set_if_not_equals(meta.map(ClientMeta::into_json));
    }
    if let Some(expires_at) = change.expires_at {
        row.expires_at.set_if_not_equals(expires_at);
    }
    if !row.is_changed() {
        return Ok(media);
    }
    row.updated_at = Set(change_time(&media, now));
    row.update(transaction).await.map_err(place_taken)
}

/// Makes sure that a place is free. A media that has expired there is deleted.
async fn make_room(
    transaction: &Transaction,
    path: &MediaPath,
    project: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), ChangeError> {
    let present = in_project(path, project).lock_exclusive();
    match present.one(transaction).await? {
        None => Ok(()),
        Some(expired) if expired.is_expired(now) => Ok(remove(transaction, &expired, now).await?),
        Some(_) => Err(ChangeError::TargetExists),
    }
}

/// A media that was recorded at the new place just now.
fn place_taken(error: DbErr) -> ChangeError {
    match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => ChangeError::TargetExists,
        _ => error.into(),
    }
}
