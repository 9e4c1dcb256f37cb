//! JSON:API documents of resources.

use std::{borrow::Cow, marker::PhantomData};

use media_database::pagination::{Page, PageSize};
use poem_openapi::{
    registry::{MetaSchemaRef, Registry},
    types::{ToJSON, Type},
};
use serde_json::{Map, Value as Json, json};
use url::form_urlencoded::Serializer;

use super::{Model, Resource, cursor, list_query::ListQuery, openapi_schema, view::View};
use crate::jsonapi;

/// Creates a resource object with the fields that a view selects.
pub(crate) fn resource_object<R: Resource>(model: &Model<R>, view: &View<R>) -> Json {
    let fields = view.fields.iter().filter(|field| field.name != "id");
    let attributes: Map<String, Json> = fields
        .map(|field| (field.name.to_owned(), (field.show)(model)))
        .collect();
    let mut object = json!({
        "type": R::TYPE,
        "id": (R::FIELDS[0].show)(model),
        "attributes": attributes,
        "links": R::links(model),
    });
    let relationships: Map<String, Json> = R::RELATIONSHIPS
        .iter()
        .filter(|relationship| view.relationships.contains(&relationship.name))
        .map(|relationship| {
            let id = (relationship.id)(model);
            let related = id.map(|id| json!({ "type": relationship.resource_type, "id": id }));
            (relationship.name.to_owned(), json!({ "data": related }))
        })
        .collect();
    if !relationships.is_empty() {
        object["relationships"] = relationships.into();
    }
    object
}

/// A document with one resource.
#[derive(Clone, Debug)]
pub(crate) struct ResourceDocument<R> {
    document: Json,
    of: PhantomData<R>,
}

/// A document with one page of a list.
#[derive(Clone, Debug)]
pub(crate) struct ListDocument<R> {
    document: Json,
    of: PhantomData<R>,
}

impl<R: Resource> ResourceDocument<R> {
    /// Creates a document of a resource and its included resources.
    pub(crate) fn new(model: &Model<R>, view: &View<R>, included: Vec<Json>) -> Self {
        let mut document = json!({
            "jsonapi": { "version": jsonapi::VERSION },
            "data": resource_object::<R>(model, view),
        });
        if !view.include.is_empty() {
            document["included"] = included.into();
        }
        Self {
            document,
            of: PhantomData,
        }
    }

    /// Creates a document of a resource with all its fields, without included resources.
    pub(crate) fn with_all_fields(model: &Model<R>) -> Self {
        Self::new(model, &View::all(), Vec::new())
    }

    /// Adds the member `meta`.
    #[must_use]
    pub(crate) fn with_meta(mut self, meta: Json) -> Self {
        self.document["meta"] = meta;
        self
    }

    /// Returns the document.
    pub(crate) fn into_json(self) -> Json {
        self.document
    }
}

impl<R: Resource> ListDocument<R> {
    /// Creates a document of a page, with links to other pages.
    pub(crate) fn new(page: &Page<Model<R>>, query: &ListQuery<R>, included: Vec<Json>) -> Self {
        let data: Vec<Json> = page
            .items
            .iter()
            .map(|model| resource_object::<R>(model, &query.view))
            .collect();
        let mut document = json!({
            "jsonapi": { "version": jsonapi::VERSION },
            "data": data,
            "links": links(page, query),
        });
        if let Some(count) = page.total {
            document["meta"] = json!({ "count": count });
        }
        if !query.view.include.is_empty() {
            document["included"] = included.into();
        }
        Self {
            document,
            of: PhantomData,
        }
    }
}

/// The links to other pages: `last` only if the list was counted, `prev` only for a page with a number.
fn links<R: Resource>(page: &Page<Model<R>>, query: &ListQuery<R>) -> Json {
    let numbered = |number: u64| link::<R>(&query.rest, "page[number]", &number.to_string());
    let mut links = json!({ "first": numbered(1) });
    if let Some(number @ 2..) = query.number {
        links["prev"] = numbered(number - 1).into();
    }
    if let Some(last) = page.items.last().filter(|_| page.has_more) {
        let cursor = cursor::encode::<R>(&query.sort, last);
        links["next"] = link::<R>(&query.rest, "page[after]", &cursor).into();
    }
    if let Some(total) = page.total {
        links["last"] = numbered(pages(total, query.size)).into();
    }
    links
}

fn pages(total: u64, size: PageSize) -> u64 {
    total.div_ceil(size.get()).max(1)
}

fn link<R: Resource>(rest: &str, parameter: &str, value: &str) -> String {
    let mut query = Serializer::new(rest.to_owned());
    format!(
        "{}?{}",
        R::PATH,
        query.append_pair(parameter, value).finish()
    )
}

macro_rules! document_type {
    ($name:ident, $suffix:literal, $schema:path) => {
        impl<R: Resource> Type for $name<R> {
            const IS_REQUIRED: bool = true;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> Cow<'static, str> {
                format!("{}{}", R::NAME, $suffix).into()
            }

            fn schema_ref() -> MetaSchemaRef {
                MetaSchemaRef::Reference(Self::name().into_owned())
            }

            fn register(registry: &mut Registry) {
                openapi_schema::register::<R>(registry);
                registry.create_schema::<Self, _>(Self::name().into_owned(), |_| $schema());
            }

            fn as_raw_value(&self) -> Option<&Self::RawValueType> {
                Some(self)
            }

            fn raw_element_iter<'a>(
                &'a self,
            ) -> Box<dyn Iterator<Item = &'a Self::RawElementValueType> + 'a> {
                Box::new(std::iter::once(self))
            }
        }

        impl<R: Resource> ToJSON for $name<R> {
            fn to_json(&self) -> Option<Json> {
                Some(self.document.clone())
            }

            fn to_json_string(&self) -> String {
                self.document.to_string()
            }
        }
    };
}

document_type!(
    ResourceDocument,
    "Document",
    openapi_schema::resource_document_schema::<R>
);
document_type!(
    ListDocument,
    "List",
    openapi_schema::list_document_schema::<R>
);
