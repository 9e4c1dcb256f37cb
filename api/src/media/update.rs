//! `PATCH /medias/info/{resource}` and `PATCH /medias/info/{resource}/{key}`: changes the record of a media, or moves it.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use media_database::media_repository::{ChangeError, MediaChange};
use media_domain::{
    media::{ClientMeta, Filename, MediaPath, PathError},
    permissions::MediaReadScope,
};
use media_services::Services;
use poem::Request;
use poem_openapi::{
    ApiResponse, Enum, Object, OpenApi,
    param::Path,
    types::{Any, MaybeUndefined},
};
use serde::Deserialize;
use serde_json::Value as Json;
use uuid::Uuid;

use super::{
    find::{RequestedMedia, find, no_such_media},
    headers::record_etag,
    parameters::{take_key, take_project},
    precondition::write_precondition,
    resource::MediaResource,
};
use crate::{
    audit::{self, Action},
    caller::WriteCaller,
    jsonapi::{ApiError, ErrorCode, Fault, JsonApiBody, JsonApiResponse},
    resource::{document::ResourceDocument, query_string::QueryString},
    tags::Tags,
};

/// Changes the record of a media.
pub(crate) struct UpdateMedia {
    pub(super) services: Arc<Services>,
}

#[derive(ApiResponse)]
enum UpdateResponse {
    /// The media with its new attributes.
    #[oai(status = 200)]
    Changed(
        JsonApiResponse<ResourceDocument<MediaResource>>,
        /// The tag of the record, which changes with every attribute.
        #[oai(header = "ETag")]
        String,
    ),
}

#[OpenApi(tag = "Tags::Medias")]
impl UpdateMedia {
    /// Change a media without a key.
    ///
    /// Changes its attributes; `resource` and `key` move it, and no byte is copied. If there is a media at the new place,
    /// the answer is 409. With `If-Match` or `If-None-Match`, changes it only if the condition holds for the tag of the
    /// record or of the bytes; otherwise the answer is 412.
    #[oai(
        path = "/medias/info/:resource",
        method = "patch",
        operation_id = "changeMedia"
    )]
    async fn update(
        &self,
        caller: WriteCaller,
        request: &Request,
        /// The resource of the media.
        resource: Path<String>,
        body: JsonApiBody<MediaChangeDocument>,
    ) -> Result<UpdateResponse, ApiError> {
        let requested = RequestedMedia::new(&resource, None);
        self.update_requested(&caller, request, requested, body.0)
            .await
    }

    /// Change a media.
    ///
    /// Changes its attributes; `resource` and `key` move it, and no byte is copied. If there is a media at the new place,
    /// the answer is 409. With `If-Match` or `If-None-Match`, changes it only if the condition holds for the tag of the
    /// record or of the bytes; otherwise the answer is 412.
    #[oai(
        path = "/medias/info/:resource/:key",
        method = "patch",
        operation_id = "changeMediaByKey"
    )]
    async fn update_by_key(
        &self,
        caller: WriteCaller,
        request: &Request,
        /// The resource of the media.
        resource: Path<String>,
        /// The key within the resource.
        key: Path<String>,
        body: JsonApiBody<MediaChangeDocument>,
    ) -> Result<UpdateResponse, ApiError> {
        let requested = RequestedMedia::new(&resource, Some(&key));
        self.update_requested(&caller, request, requested, body.0)
            .await
    }
}

impl UpdateMedia {
    async fn update_requested(
        &self,
        caller: &WriteCaller,
        request: &Request,
        requested: RequestedMedia<'_>,
        document: MediaChangeDocument,
    ) -> Result<UpdateResponse, ApiError> {
        let mut query = QueryString::from_request(request);
        let project = take_project(&mut query)?;
        let key = take_key(requested.key, &mut query)?;
        query.finish()?;
        let requested = RequestedMedia {
            key: key.as_deref(),
            ..requested
        };
        let scope = MediaReadScope {
            projects: caller.reach.projects.clone(),
            public: false,
        };
        let media = find(&self.services, requested, &scope, &project).await?;
        if document.data.id != media.id.0 {
            return Err(ApiError::at_pointer(
                ErrorCode::Conflict,
                "/data/id",
                "must be the id of the media at this path",
            ));
        }
        let change = check(document.data.attributes.unwrap_or_default())?;
        let condition = write_precondition(request);
        let repository = &self.services.medias;
        let changed = repository
            .change_if(media.id, &caller.reach, change, condition)
            .await?;
        audit::record(Action::ChangeMedia, changed.id, caller);
        let document = ResourceDocument::with_all_fields(&changed);
        let tag = record_etag(&changed);
        Ok(UpdateResponse::Changed(JsonApiResponse(document), tag))
    }
}

/// Checks all attributes, and reports all faults in one error.
fn check(attributes: MediaChangeAttributes) -> Result<MediaChange, ApiError> {
    let mut faults = Vec::new();
    let mut add = |name: &str, detail: &dyn std::fmt::Display| {
        let pointer = format!("/data/attributes/{name}");
        faults.push(Fault::at_pointer(pointer, format!("`{name}` {detail}")));
    };
    let filename = attributes.filename.and_then(|name| {
        let checked = Filename::new(&name);
        checked.map_err(|error| add("filename", &error)).ok()
    });
    let meta = option(attributes.meta).map(|meta| {
        let checked = meta.map(|members| ClientMeta::new(object(members)));
        checked
            .transpose()
            .map_err(|error| add("meta", &error))
            .unwrap_or_default()
    });
    let expires_at = option(attributes.expires_at);
    if let Some(Some(at)) = expires_at
        && at <= Utc::now()
    {
        add(
            "expires_at",
            &"must lie in the future; delete the media to remove it now",
        );
    }
    let key = option(attributes.key);
    // The part of the place that stays is valid.
    let resource = attributes.resource.as_deref().unwrap_or("resource");
    let mut checked_resource = Ok(());
    if let Err(PathError { field, error }) = MediaPath::new(resource, None) {
        add(field, &error);
        checked_resource = Err(());
    }
    if let Some(Some(key)) = &key
        && checked_resource.is_ok()
        && let Err(PathError { field, error }) = MediaPath::new(resource, Some(key))
    {
        add(field, &error);
    }
    if !faults.is_empty() {
        return Err(ApiError::with_faults(ErrorCode::InvalidValue, faults));
    }
    Ok(MediaChange {
        filename,
        public: attributes.public,
        meta,
        expires_at,
        resource: attributes.resource,
        key,
    })
}

/// An attribute that may be absent or null.
#[allow(
    clippy::option_option,
    reason = "the repository tells absent attributes from removed ones in the same way"
)]
fn option<T>(attribute: MaybeUndefined<T>) -> Option<Option<T>> {
    match attribute {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(None),
        MaybeUndefined::Value(value) => Some(Some(value)),
    }
}

fn object(members: BTreeMap<String, Any<Json>>) -> Json {
    let members = members.into_iter().map(|(name, Any(value))| (name, value));
    Json::Object(members.collect())
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::NotFound => no_such_media(),
            ChangeError::Denied(denied) => denied.into(),
            ChangeError::PreconditionFailed(failed) => failed.into(),
            ChangeError::Path(PathError { field, error }) => Self::at_pointer(
                ErrorCode::InvalidValue,
                format!("/data/attributes/{field}"),
                format!("`{field}` {error}"),
            ),
            ChangeError::TargetExists => {
                Self::at_pointer(ErrorCode::Conflict, "/data/attributes", error.to_string())
            }
            ChangeError::Database(error) => error.into(),
        }
    }
}

/// The type of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Deserialize)]
enum MediaType {
    /// The only value.
    #[oai(rename = "media:medias")]
    #[serde(rename = "media:medias")]
    Medias,
}

/// A request to change a media.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(rename = "MediaChangeDocument", example)]
struct MediaChangeDocument {
    /// The media.
    data: MediaChangeResource,
}

/// A media to change.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(rename = "MediaChange")]
struct MediaChangeResource {
    /// Always `media:medias`.
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    kind: MediaType,
    /// The media's id.
    id: Uuid,
    /// The attributes to change; absent ones keep their values.
    #[serde(default)]
    attributes: Option<MediaChangeAttributes>,
}

/// The attributes to change.
#[derive(Clone, Debug, Default, Object, Deserialize)]
#[oai(rename = "MediaChangeAttributes")]
#[serde(deny_unknown_fields)]
struct MediaChangeAttributes {
    /// The name of the file.
    filename: Option<String>,
    /// Whether anyone may download the media.
    public: Option<bool>,
    /// Data of the client, replaced as a whole: a JSON object of at most 16 KiB and 8 levels; null removes it.
    #[oai(nullable)]
    #[serde(default)]
    meta: MaybeUndefined<BTreeMap<String, Any<Json>>>,
    /// The time from which on the media is gone: RFC 3339 with a zone, in the future; null removes the time.
    #[oai(nullable)]
    #[serde(default, deserialize_with = "crate::time::deserialize_nullable")]
    expires_at: MaybeUndefined<DateTime<Utc>>,
    /// The resource to move the media to.
    resource: Option<String>,
    /// The key to move the media to; null removes the key.
    #[oai(nullable)]
    #[serde(default)]
    key: MaybeUndefined<String>,
}

impl poem_openapi::types::Example for MediaChangeDocument {
    fn example() -> Self {
        Self {
            data: MediaChangeResource {
                kind: MediaType::Medias,
                id: Uuid::from_u128(0x01a2_09d3_ac64_703f_91dc_9aff_cb76_ba68),
                attributes: Some(MediaChangeAttributes {
                    filename: Some("portrait.jpg".to_owned()),
                    public: Some(true),
                    ..MediaChangeAttributes::default()
                }),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_of_a_change_are_reported() {
        let attributes: MediaChangeAttributes = serde_json::from_value(serde_json::json!({
            "filename": "a/b", "meta": { "a": "\0" }, "expires_at": "2020-01-01T00:00:00Z", "key": "..",
        }))
        .unwrap();
        let error = check(attributes).unwrap_err().to_string();
        for name in ["filename", "meta", "expires_at", "key"] {
            assert!(error.contains(&format!("`{name}`")), "{error}");
        }
        let absent = check(MediaChangeAttributes::default()).unwrap();
        assert_eq!(absent, MediaChange::default());
        let removed: MediaChangeAttributes = serde_json::from_value(
            serde_json::json!({ "meta": null, "expires_at": null, "key": null }),
        )
        .unwrap();
        let change = check(removed).unwrap();
        assert_eq!(
            (change.meta, change.expires_at, change.key),
            (Some(None), Some(None), Some(None))
        );
    }
}
