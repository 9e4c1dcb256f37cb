//! Cursors: the values of the sort keys in the last item of a page, as opaque text.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sea_orm::{EntityTrait, Value};
use serde_json::Value as Json;

use super::{Field, Resource, query_string::invalid};
use crate::jsonapi::ApiError;

/// A sort key, and whether its order is descending.
pub(crate) type SortField<R> = (&'static Field<<R as Resource>::Entity>, bool);

/// The order of a list.
type Sort<R> = [SortField<R>];

/// Encodes the cursor of the page after an item.
pub(crate) fn encode<R: Resource>(
    sort: &Sort<R>,
    last: &<R::Entity as EntityTrait>::Model,
) -> String {
    let values: Vec<Json> = sort.iter().map(|(field, _)| (field.show)(last)).collect();
    let cursor = Json::from(vec![Json::from(signature::<R>(sort)), Json::from(values)]);
    URL_SAFE_NO_PAD.encode(cursor.to_string())
}

/// Decodes the values of a cursor, which must have been encoded for the same order.
pub(crate) fn decode<R: Resource>(sort: &Sort<R>, text: &str) -> Result<Vec<Value>, ApiError> {
    let invalid_cursor = || {
        invalid(
            "page[after]",
            "must be copied from a link `next`, together with the other parameters of the link",
        )
    };
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid_cursor())?;
    let (order, values): (String, Vec<Json>) =
        serde_json::from_slice(&bytes).map_err(|_| invalid_cursor())?;
    if order != signature::<R>(sort) || values.len() != sort.len() {
        return Err(invalid_cursor());
    }
    sort.iter()
        .zip(&values)
        .map(|((field, _), value)| {
            field
                .value_type
                .parse_json(value)
                .filter(|_| field.nullable || !value.is_null())
                .ok_or_else(invalid_cursor)
        })
        .collect()
}

/// The order as text, such as `-priority,-id`.
fn signature<R: Resource>(sort: &Sort<R>) -> String {
    sort.iter()
        .map(|(field, descending)| format!("{}{}", if *descending { "-" } else { "" }, field.name))
        .collect::<Vec<_>>()
        .join(",")
}
