//! Records media, within the transaction of an upload or of a job's success.

use chrono::{DateTime, TimeDelta, Utc};
use media_domain::{
    ids::MediaId,
    media::{ClientMeta, PreconditionFailed, WritePrecondition},
};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel,
    Iterable as _, QuerySelect, TryIntoModel as _, Value, sea_query::OnConflict,
};

use super::{NewMedia, PublishError, in_project};
use crate::{blob_repository, entities::media};

/// Makes the blob live, records the media, and makes the blob of the replaced media garbage.
pub(crate) async fn publish(
    transaction: &impl ConnectionTrait,
    new: NewMedia,
    condition: &WritePrecondition,
    now: DateTime<Utc>,
) -> Result<media::Model, PublishError> {
    if !blob_repository::make_live(transaction, new.blob_id, now).await? {
        return Err(PublishError::BlobLost);
    }
    // Most paths have no media yet.
    if condition.evaluate(&[]).is_ok()
        && let Some(row) = insert(transaction, &new, now).await?
    {
        return Ok(row);
    }
    let previous = in_project(&new.path, new.creator.project_id.as_deref())
        .lock_exclusive()
        .one(transaction)
        .await?;
    let previous = match previous {
        // For its readers it is gone already: the new media has another id.
        Some(expired) if expired.is_expired(now) => {
            remove(transaction, &expired, now).await?;
            None
        }
        previous => previous,
    };
    evaluate(condition, previous.as_ref())?;
    let Some(previous) = previous else {
        // It was deleted just now.
        let gone = DbErr::RecordNotInserted;
        return insert(transaction, &new, now).await?.ok_or(gone.into());
    };
    new.creator.may_replace(previous.created_by.as_deref())?;
    blob_repository::mark_garbage(transaction, &[previous.blob_id], now).await?;
    let since = previous.public_since.or(Some(now)).filter(|_| new.public);
    let now = change_time(&previous, now);
    let row = filled(previous.into_active_model(), new, since, now);
    Ok(row.update(transaction).await?)
}

/// Evaluates a condition against the media at a path. It has two tags: that of its record, and that of its bytes.
pub(super) fn evaluate(
    condition: &WritePrecondition,
    present: Option<&media::Model>,
) -> Result<(), PreconditionFailed> {
    match present {
        Some(media) => condition.evaluate(&[&media.record_tag(), &media.sha256]),
        None => condition.evaluate(&[]),
    }
}

/// Inserts a media if there is none at its path.
async fn insert(
    transaction: &impl ConnectionTrait,
    new: &NewMedia,
    now: DateTime<Utc>,
) -> Result<Option<media::Model>, DbErr> {
    let row = new_row(new, now);
    let inserted = media::Entity::insert(row.clone())
        // Its blob is new, so only a media at the same path can conflict.
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(transaction)
        .await?;
    if inserted == 0 {
        return Ok(None);
    }
    row.try_into_model().map(Some)
}

/// The row of the first media at a path.
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

/// The values of a new row, in the order of the columns.
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
        origin: Set(new.origin),
        meta: Set(new.meta.map(ClientMeta::into_json)),
        expires_at: Set(new.expires_at),
        blob_id: Set(new.blob_id),
        updated_at: Set(now),
        ..row
    }
}

/// The time of a change: later than the one before, so that the record's tag changes, even if the clock was set back.
pub(super) fn change_time(previous: &media::Model, now: DateTime<Utc>) -> DateTime<Utc> {
    now.max(previous.updated_at + TimeDelta::microseconds(1))
}

/// Deletes the row of a media, and makes its blob garbage.
pub(super) async fn remove(
    transaction: &impl ConnectionTrait,
    media: &media::Model,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    blob_repository::mark_garbage(transaction, &[media.blob_id], now).await?;
    let delete = media::Entity::delete_by_id(media.id);
    delete.exec(transaction).await.map(drop)
}
