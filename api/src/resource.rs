//! A resource of the API is a table of fields and a table of relationships. The parser of queries, the SQL, the
//! documents and the OpenAPI description derive from them.

use sea_orm::EntityTrait;
use serde_json::Value as Json;
use uuid::Uuid;

mod cursor;
pub(crate) mod document;
mod filter;
pub(crate) mod list_query;
pub(crate) mod openapi_schema;
#[cfg(test)]
mod operator_parity;
#[cfg(test)]
mod query_plans;
pub(crate) mod query_string;
pub(crate) mod value_type;
pub(crate) mod view;

pub(crate) use value_type::ValueType;

/// A row of a resource's table.
pub(crate) type Model<R> = <<R as Resource>::Entity as EntityTrait>::Model;
/// The columns of a resource's table.
pub(crate) type Column<R> = <<R as Resource>::Entity as EntityTrait>::Column;

/// A resource of the API.
pub(crate) trait Resource: Sized + Send + Sync + 'static {
    /// The table of the resource.
    type Entity: EntityTrait;
    /// The JSON:API type, for example `media:jobs`.
    const TYPE: &'static str;
    /// The name of the schema in OpenAPI, for example `Job`.
    const NAME: &'static str;
    /// The path of the list.
    const PATH: &'static str;
    /// The relationships.
    const RELATIONSHIPS: &'static [Relationship<Model<Self>>];
    /// The column of the project that a row belongs to.
    const PROJECT: Column<Self>;
    /// The first fields of the indexes that end with `id`, the most selective first.
    const INDEX_PREFIX_FIELDS: &'static [&'static str];
    /// The fields. The first one is `id`.
    const FIELDS: &'static [Field<Self::Entity>];
    /// The column of `id`.
    const ID: Column<Self> = Self::FIELDS[0].column;

    /// The links of a resource object.
    fn links(model: &Model<Self>) -> Json;

    /// Finds a relationship by its name.
    fn relationship(name: &str) -> Option<&'static Relationship<Model<Self>>> {
        Self::RELATIONSHIPS.iter().find(|known| known.name == name)
    }
}

/// A relationship to at most one other resource.
pub(crate) struct Relationship<M> {
    /// The name in documents and queries.
    pub(crate) name: &'static str,
    /// The JSON:API type of the other resource.
    pub(crate) resource_type: &'static str,
    /// Returns the id of the other resource, if there is one.
    pub(crate) id: fn(&M) -> Option<Uuid>,
}

/// A field of a resource.
pub(crate) struct Field<E: EntityTrait> {
    /// The name in documents and queries.
    pub(crate) name: &'static str,
    /// The column of the field.
    pub(crate) column: E::Column,
    /// The type of the values.
    pub(crate) value_type: ValueType,
    /// Whether values can be null; `filter[name]=` then selects null.
    pub(crate) nullable: bool,
    /// The operators of filters.
    pub(crate) operators: &'static [Operator],
    /// Whether it is a sort key.
    pub(crate) sortable: bool,
    /// Whether its order is that of `id`, which contains the time of creation: one index serves both.
    pub(crate) ordered_by_id: bool,
    /// Returns the value in a document.
    pub(crate) show: fn(&E::Model) -> Json,
    /// The description in OpenAPI.
    pub(crate) description: &'static str,
    /// An example of a value, as JSON text.
    pub(crate) example: &'static str,
}

/// The comparison of a filter.
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
    /// `filter[name__neq]`
    NotEqual,
    /// `filter[name__exists]`: true for values, false for null.
    Exists,
    /// `filter[name__prefix]`: texts that begin so. Reads a range of an index, which the field must have.
    Prefix,
    /// `filter[name__match]`: texts that contain this, with letters of either case. Reads all rows.
    Match,
    /// `filter[name.MEMBER]`: objects whose member has this value. Reads all rows.
    Member,
}

impl Operator {
    /// The suffix of the field's name in a parameter.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Equal => "",
            Self::NotEqual => "__neq",
            Self::Exists => "__exists",
            Self::Prefix => "__prefix",
            Self::Match => "__match",
            Self::Member => ".NAME",
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
