//! What can be filtered, sorted and shown of a resource: one table for each, from which the parser,
//! the SQL, the documents and the OpenAPI description all follow. A new field is one line.

use sea_orm::EntityTrait;
use serde_json::Value as Json;

pub(crate) mod cursor;
pub(crate) mod document;
mod filter;
pub(crate) mod kind;
pub(crate) mod openapi;
#[cfg(test)]
mod plans;
pub(crate) mod query;
pub(crate) mod query_string;

pub(crate) use kind::Kind;

/// A resource of the API: its type and its fields.
pub(crate) trait Resource: Sized + Send + Sync + 'static {
    /// The table behind it.
    type Entity: EntityTrait;
    /// The JSON:API type, such as `media:jobs`.
    const TYPE: &'static str;
    /// What its schemas are called in OpenAPI, such as `Job`.
    const NAME: &'static str;
    /// Where its list is.
    const PATH: &'static str;
    /// Relationships that can be included, by name.
    const INCLUDABLE: &'static [&'static str];
    /// Whose the rows are.
    const PROJECT: <Self::Entity as EntityTrait>::Column;
    /// The fields that an index begins with and `id` ends, those first that leave the fewest rows.
    const LEADING: &'static [&'static str];
    /// The table. The first field is `id`.
    const FIELDS: &'static [Field<Self::Entity>];
    /// The column behind `id`.
    const ID: <Self::Entity as EntityTrait>::Column = Self::FIELDS[0].column;

    /// The value of each relationship of [`Resource::INCLUDABLE`], in its order.
    fn relationships(model: &<Self::Entity as EntityTrait>::Model) -> Vec<Json>;

    /// Where the resource is.
    fn links(model: &<Self::Entity as EntityTrait>::Model) -> Json;
}

/// A row of the table: what can be done with one field.
pub(crate) struct Field<E: EntityTrait> {
    /// As clients write it.
    pub(crate) name: &'static str,
    /// The column behind it.
    pub(crate) column: E::Column,
    /// What its values are.
    pub(crate) kind: Kind,
    /// Whether it can be null; `filter[name]=` then asks for null.
    pub(crate) nullable: bool,
    /// What it can be filtered by.
    pub(crate) operators: &'static [Operator],
    /// Whether it can be sorted by.
    pub(crate) sortable: bool,
    /// Whether it is the time in `id`, so that both have one order, and one index.
    pub(crate) dates_id: bool,
    /// Its value in a document.
    pub(crate) show: fn(&E::Model) -> Json,
    /// What it means.
    pub(crate) description: &'static str,
    /// A value it could have, as JSON text.
    pub(crate) example: &'static str,
}

/// How a filter compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    /// `filter[name]`
    Equal,
    /// `filter[name__in]`: any of a list.
    In,
    /// `filter[name__gte]`
    AtLeast,
    /// `filter[name__lte]`
    AtMost,
}

impl Operator {
    /// What follows the field's name.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Equal => "",
            Self::In => "__in",
            Self::AtLeast => "__gte",
            Self::AtMost => "__lte",
        }
    }
}

impl<E: EntityTrait> Field<E> {
    /// The parameter that filters by this field.
    pub(crate) fn parameter(&self, operator: Operator) -> String {
        format!("filter[{}{}]", self.name, operator.suffix())
    }
}

/// Finds a field by its name.
pub(crate) fn field<R: Resource>(name: &str) -> Option<&'static Field<R::Entity>> {
    R::FIELDS.iter().find(|field| field.name == name)
}
