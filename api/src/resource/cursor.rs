//! Cursors: the values of the sort keys in the last item of a page, as opaque text.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sea_orm::Value;
use serde_json::Value as Json;

use super::{Field, Model, Resource, query_string::invalid};
use crate::jsonapi::ApiError;

/// A sort key of a list.
pub(crate) struct SortField<R: Resource> {
    /// The field.
    pub(crate) field: &'static Field<R::Entity>,
    /// Whether the greatest value comes first.
    pub(crate) descending: bool,
}

/// Encodes the cursor of the page after an item.
pub(crate) fn encode<R: Resource>(sort: &[SortField<R>], last: &Model<R>) -> String {
    let values: Vec<Json> = sort.iter().map(|key| (key.field.show)(last)).collect();
    let cursor = Json::from(vec![Json::from(signature(sort)), Json::from(values)]);
    URL_SAFE_NO_PAD.encode(cursor.to_string())
}

/// Decodes the values of a cursor, which must have been encoded for the same order.
pub(crate) fn decode<R: Resource>(
    sort: &[SortField<R>],
    text: &str,
) -> Result<Vec<Value>, ApiError> {
    let invalid_cursor = || {
        invalid(
            "page[after]",
            "must be copied from a link `next`, together with the other parameters of the link",
        )
    };
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid_cursor())?;
    let (order, values): (String, Vec<Json>) =
        serde_json::from_slice(&bytes).map_err(|_| invalid_cursor())?;
    if order != signature(sort) || values.len() != sort.len() {
        return Err(invalid_cursor());
    }
    sort.iter()
        .zip(&values)
        .map(|(key, value)| {
            let parsed = key.field.value_type.parse_json(value);
            parsed
                .filter(|_| key.field.nullable || !value.is_null())
                .ok_or_else(invalid_cursor)
        })
        .collect()
}

/// The order as text, such as `-priority,-id`.
fn signature<R: Resource>(sort: &[SortField<R>]) -> String {
    sort.iter()
        .map(|key| {
            format!(
                "{}{}",
                if key.descending { "-" } else { "" },
                key.field.name
            )
        })
        .collect::<Vec<_>>()
        .join(",")
}
