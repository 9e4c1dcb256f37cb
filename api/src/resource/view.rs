//! The parameters `fields` and `include`, which select the parts of a resource in a document.

use poem::Request;

use super::{
    Field, Resource, field,
    query_string::{QueryString, unknown},
};
use crate::jsonapi::ApiError;

/// The fields and relationships of a resource that a document shows.
pub(crate) struct View<R: Resource> {
    /// The fields, in the table's order.
    pub(crate) fields: Vec<&'static Field<R::Entity>>,
    /// The relationships.
    pub(crate) relationships: Vec<&'static str>,
    /// The unchecked names of the fields of included resources, by type.
    pub(crate) other_fields: Vec<(String, Vec<String>)>,
    /// The relationships to include.
    pub(crate) include: Vec<&'static str>,
}

impl<R: Resource> View<R> {
    /// Parses the query of a request for a single resource.
    pub(crate) fn from_request(request: &Request) -> Result<Self, ApiError> {
        let mut query = QueryString::from_request(request);
        let view = Self::take(&mut query)?;
        query.finish()?;
        Ok(view)
    }

    /// A view of all fields, without included resources.
    pub(crate) fn all() -> Self {
        Self {
            fields: R::FIELDS.iter().collect(),
            relationships: R::RELATIONSHIPS.iter().map(|known| known.name).collect(),
            other_fields: Vec::new(),
            include: Vec::new(),
        }
    }

    /// The view of an included resource, with the fields that the query names for its type.
    pub(crate) fn for_included(types: &[(String, Vec<String>)]) -> Result<Self, ApiError> {
        let mut view = Self::all();
        for (key, names) in types {
            if key == R::TYPE {
                view.select(&format!("fields[{key}]"), names)?;
            }
        }
        Ok(view)
    }

    /// Selects only these attributes and relationships (JSON:API 1.1 §5.2).
    fn select(&mut self, parameter: &str, names: &[String]) -> Result<(), ApiError> {
        for name in names {
            if field::<R>(name).is_none() && R::relationship(name).is_none() {
                return Err(unknown(parameter, format!("there is no field `{name}`")));
            }
        }
        let wanted = |field: &str| names.iter().any(|name| name == field);
        self.fields = R::FIELDS
            .iter()
            .filter(|field| wanted(field.name))
            .collect();
        let relationships = R::RELATIONSHIPS.iter().map(|known| known.name);
        self.relationships = relationships.filter(|name| wanted(name)).collect();
        Ok(())
    }

    /// Takes `fields` and `include` out of a query.
    pub(crate) fn take(query: &mut QueryString) -> Result<Self, ApiError> {
        let mut view = Self::all();
        if let Some(names) = query.take_names("fields")? {
            view.select("fields", &names)?;
        }
        for (key, names) in query.take_lists_by_key("fields")? {
            let parameter = format!("fields[{key}]");
            let mut related = R::RELATIONSHIPS.iter();
            if key == R::TYPE {
                view.select(&parameter, &names)?;
            } else if related.any(|known| known.resource_type == key) {
                view.other_fields.push((key, names));
            } else {
                return Err(unknown(&parameter, format!("there is no type `{key}`")));
            }
        }
        for parameter in ["included", "include"] {
            for name in query.take_names(parameter)?.unwrap_or_default() {
                if name.is_empty() {
                    continue;
                }
                let known = R::relationship(&name).ok_or_else(|| {
                    unknown(parameter, format!("there is no relationship `{name}`"))
                })?;
                if !view.include.contains(&known.name) {
                    view.include.push(known.name);
                }
            }
        }
        Ok(view)
    }
}
