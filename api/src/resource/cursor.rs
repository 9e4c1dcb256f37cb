//! Cursors: the values of the sort keys in the last item of a page, as text that clients send back unchanged.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sea_orm::{EntityTrait, Value};
use serde_json::Value as Json;

use super::{Field, Resource, query_string::invalid};
use crate::jsonapi::ApiError;

/// A field to sort by, and whether the greatest value comes first.
pub(crate) type SortField<R> = (&'static Field<<R as Resource>::Entity>, bool);

/// The order of a list.
type Sort<R> = [SortField<R>];

/// Encodes the cursor that points behind an item.
pub(crate) fn encode<R: Resource>(
    sort: &Sort<R>,
    last: &<R::Entity as EntityTrait>::Model,
) -> String {
    let values: Vec<Json> = sort.iter().map(|(field, _)| (field.show)(last)).collect();
    let cursor = Json::from(vec![Json::from(signature::<R>(sort)), Json::from(values)]);
    URL_SAFE_NO_PAD.encode(cursor.to_string())
}

/// Decodes the values of a cursor that was made for this order.
pub(crate) fn decode<R: Resource>(sort: &Sort<R>, text: &str) -> Result<Vec<Value>, ApiError> {
    let refused = || {
        invalid(
            "page[after]",
            "must be taken from a link `next`, together with the rest of it",
        )
    };
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| refused())?;
    let (made_for, values): (String, Vec<Json>) =
        serde_json::from_slice(&bytes).map_err(|_| refused())?;
    if made_for != signature::<R>(sort) || values.len() != sort.len() {
        return Err(refused());
    }
    sort.iter()
        .zip(&values)
        .map(|((field, _), value)| {
            field
                .value_type
                .parse_json(value)
                .filter(|_| field.nullable || !value.is_null())
                .ok_or_else(refused)
        })
        .collect()
}

fn signature<R: Resource>(sort: &Sort<R>) -> String {
    sort.iter()
        .map(|(field, descending)| format!("{}{}", if *descending { "-" } else { "" }, field.name))
        .collect::<Vec<_>>()
        .join(",")
}
