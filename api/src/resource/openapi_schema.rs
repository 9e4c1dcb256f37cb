//! The OpenAPI description of a resource: the parameters and the documents that derive from its table.

use poem_openapi::{
    ParameterStyle,
    registry::{MetaOperationParam, MetaParamIn, MetaSchema, MetaSchemaRef, Registry},
};
use serde_json::{Value as Json, json};

use super::{Field, Operator, Resource};
use crate::jsonapi;

/// A parameter of the query that is not in the signature of a handler.
pub(crate) struct QueryParameter {
    /// The framework's description of it.
    pub(crate) meta: MetaOperationParam,
    /// Whether an empty value has a meaning, which the framework's type cannot express.
    pub(crate) allows_empty: bool,
}

/// The parameters of a list.
pub(crate) fn list_parameters<R: Resource>() -> Vec<QueryParameter> {
    let mut parameters = vec![
        parameter(
            "page[number]",
            MetaSchema {
                minimum: Some(1.0),
                maximum: Some(4_294_967_295.0),
                default: Some(json!(1)),
                example: Some(json!(2)),
                ..MetaSchema::new_with_format("integer", "uint32")
            },
            "The page number, default to 1",
        ),
        parameter(
            "page[size]",
            MetaSchema {
                minimum: Some(1.0),
                maximum: Some(1000.0),
                default: Some(json!(1000)),
                example: Some(json!(100)),
                ..MetaSchema::new_with_format("integer", "uint32")
            },
            "The number of items per page, default to 1000, which is also the maximum",
        ),
        parameter(
            "page[after]",
            example(MetaSchema::new("string"), json!("W1siaWQiXSxbIjAxIl1d")),
            "The cursor of a link `next`, instead of a page number: stable while items are created and deleted",
        ),
        list_parameter(
            "sort",
            "The sort order, comma separated list of fields, a `-` before descending ones. `id` is always the last sort key, in the direction of the key before it",
            sort_example::<R>(),
        ),
        parameter(
            "count",
            MetaSchema {
                default: Some(json!(false)),
                ..example(MetaSchema::new("boolean"), json!(true))
            },
            "Set to true to return the total number of items in the collection",
        ),
    ];
    for field in R::FIELDS {
        for operator in field.operators {
            parameters.push(filter_parameter(field, *operator));
        }
    }
    parameters.extend(view_parameters::<R>());
    parameters
}

/// The parameters that select fields and related resources.
pub(crate) fn view_parameters<R: Resource>() -> Vec<QueryParameter> {
    let names: Vec<&str> = R::FIELDS.iter().map(|field| field.name).take(3).collect();
    let by_type = MetaSchema {
        properties: vec![(R::TYPE, inline(MetaSchema::new("string")))],
        ..example(
            MetaSchema::new("object"),
            json!({ R::TYPE: names.join(",") }),
        )
    };
    let mut fields = parameter(
        "fields",
        by_type,
        "The fields to include in the response. The key is the resource type and the value is an array of fields, or a comma separated list",
    );
    fields.meta.style = Some(ParameterStyle::DeepObject);
    let mut parameters = vec![fields];
    let related: Vec<&str> = R::RELATIONSHIPS.iter().map(|known| known.name).collect();
    if !related.is_empty() {
        for name in ["included", "include"] {
            let description = format!(
                "Related resources to include in the response: {}",
                related.join(", ")
            );
            let mut parameter = list_parameter(name, &description, related.join(","));
            parameter.meta.schema = inline(MetaSchema {
                items: Some(Box::new(inline(MetaSchema {
                    // An empty value includes nothing (JSON:API 1.1 §5.1.1).
                    enum_items: related
                        .iter()
                        .chain(&[""])
                        .map(|name| (*name).into())
                        .collect(),
                    ..MetaSchema::new("string")
                }))),
                ..example(MetaSchema::new("array"), json!(related))
            });
            parameters.push(parameter);
        }
    }
    parameters
}

fn filter_parameter<E: sea_orm::EntityTrait>(
    field: &Field<E>,
    operator: Operator,
) -> QueryParameter {
    let name = field.parameter(operator);
    let description = format!("`{}`: {}", field.name, field.description);
    let value = || example(field.value_type.schema(), example_of(field));
    match operator {
        Operator::Equal if field.nullable => QueryParameter {
            allows_empty: true,
            ..parameter(
                &name,
                value(),
                &format!(
                    "{description}. An empty value selects null; `{name}[]=…` once for each of several values"
                ),
            )
        },
        Operator::Equal => parameter(
            &name,
            value(),
            &format!("{description}. `{name}[]=…` once for each of several values"),
        ),
        Operator::NotEqual => QueryParameter {
            allows_empty: field.nullable,
            ..parameter(
                &name,
                value(),
                &format!("{description}. Any other value, and null"),
            )
        },
        Operator::Exists => parameter(
            &name,
            example(MetaSchema::new("boolean"), json!(true)),
            &format!("{description}. `true` selects values, `false` selects null"),
        ),
        Operator::Prefix => parameter(
            &name,
            value(),
            &format!("{description}. Values that begin with this text"),
        ),
        Operator::Match => parameter(
            &name,
            value(),
            &format!(
                "{description}. Values that contain this text; ASCII letters match in either case. Reads the whole list: combine it with another filter"
            ),
        ),
        Operator::Member => parameter(
            &name,
            example(MetaSchema::new("string"), json!("red")),
            &format!(
                "{description}. Objects whose member `NAME` is this string, number, `true` or `false`; `NAME` stands for any name of ASCII letters, digits, `_` and `-`. Reads the whole list: combine it with another filter"
            ),
        ),
        Operator::AtLeast => parameter(
            &name,
            value(),
            &format!("{description}. This value or more"),
        ),
        Operator::AtMost => parameter(
            &name,
            value(),
            &format!("{description}. This value or less"),
        ),
        Operator::In => {
            let items = MetaSchema {
                items: Some(Box::new(inline(field.value_type.schema()))),
                ..example(MetaSchema::new("array"), json!([example_of(field)]))
            };
            let description = format!(
                "{description}. Any of a comma separated list of at most 1000 values; `{name}[]=…` for values with commas"
            );
            let mut list = parameter(&name, items, &description);
            list.meta.explode = false;
            list.meta.style = Some(ParameterStyle::Form);
            list
        }
    }
}

fn list_parameter(name: &str, description: &str, sample: String) -> QueryParameter {
    parameter(
        name,
        example(MetaSchema::new("string"), Json::from(sample)),
        description,
    )
}

fn sort_example<R: Resource>() -> String {
    let sortable: Vec<&str> = R::FIELDS
        .iter()
        .filter(|field| field.sortable && field.name != "id")
        .map(|field| field.name)
        .take(2)
        .collect();
    format!("-{}", sortable.join(","))
}

/// Describes an optional parameter of the query.
pub(crate) fn parameter(name: &str, schema: MetaSchema, description: &str) -> QueryParameter {
    QueryParameter {
        meta: MetaOperationParam {
            name: name.to_owned(),
            schema: inline(schema),
            in_type: MetaParamIn::Query,
            description: Some(description.to_owned()),
            required: false,
            deprecated: false,
            explode: true,
            style: None,
        },
        allows_empty: false,
    }
}

fn inline(schema: MetaSchema) -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(schema))
}

pub(crate) fn example(schema: MetaSchema, value: Json) -> MetaSchema {
    MetaSchema {
        example: Some(value),
        ..schema
    }
}

fn example_of<E: sea_orm::EntityTrait>(field: &Field<E>) -> Json {
    serde_json::from_str(field.example).unwrap_or_default()
}

/// Registers the schemas of a resource.
pub(crate) fn register<R: Resource>(registry: &mut Registry) {
    registry.create_schema::<R, _>(R::NAME.to_owned(), |_| resource_schema::<R>());
}

fn resource_schema<R: Resource>() -> MetaSchema {
    let attributes = R::FIELDS.iter().filter(|field| field.name != "id");
    let attributes = MetaSchema {
        description: Some("All attributes, or those that `fields` names"),
        properties: attributes
            .map(|field| {
                let schema = MetaSchema {
                    nullable: field.nullable,
                    description: Some(field.description),
                    ..example(field.value_type.schema(), example_of(field))
                };
                (field.name, inline(schema))
            })
            .collect(),
        ..MetaSchema::new("object")
    };
    let kind = MetaSchema {
        enum_items: vec![R::TYPE.into()],
        ..MetaSchema::new("string")
    };
    MetaSchema {
        required: vec!["type", "id", "attributes"],
        properties: vec![
            ("type", inline(kind)),
            ("id", inline(MetaSchema::new_with_format("string", "uuid"))),
            ("attributes", inline(attributes)),
            ("relationships", inline(MetaSchema::new("object"))),
            ("links", inline(MetaSchema::new("object"))),
        ],
        ..MetaSchema::new("object")
    }
}

fn jsonapi_member() -> (&'static str, MetaSchemaRef) {
    let version = example(MetaSchema::new("string"), json!(jsonapi::VERSION));
    let schema = MetaSchema {
        required: vec!["version"],
        properties: vec![("version", inline(version))],
        ..MetaSchema::new("object")
    };
    ("jsonapi", inline(schema))
}

fn included_member() -> (&'static str, MetaSchemaRef) {
    let schema = MetaSchema {
        description: Some("The related resources that `include` names"),
        items: Some(Box::new(inline(MetaSchema::new("object")))),
        ..MetaSchema::new("array")
    };
    ("included", inline(schema))
}

/// The schema of a document with one resource.
pub(crate) fn resource_document_schema<R: Resource>() -> MetaSchema {
    MetaSchema {
        required: vec!["jsonapi", "data"],
        properties: vec![
            jsonapi_member(),
            ("data", MetaSchemaRef::Reference(R::NAME.to_owned())),
            included_member(),
            ("meta", inline(MetaSchema::new("object"))),
        ],
        ..MetaSchema::new("object")
    }
}

/// The schema of a document with one page of a list.
pub(crate) fn list_document_schema<R: Resource>() -> MetaSchema {
    let link = |description| {
        inline(MetaSchema {
            description: Some(description),
            ..example(
                MetaSchema::new("string"),
                json!(format!("{}?page%5Bnumber%5D=1", R::PATH)),
            )
        })
    };
    let links = MetaSchema {
        required: vec!["first"],
        properties: vec![
            ("first", link("The first page")),
            (
                "prev",
                link("The page before this one, if the request has a page number"),
            ),
            (
                "next",
                link("The page after this one, by a cursor; absent on the last page"),
            ),
            ("last", link("The last page, if the list was counted")),
        ],
        ..MetaSchema::new("object")
    };
    let count = MetaSchema {
        description: Some("The total number of items, if `count` was true"),
        ..example(MetaSchema::new_with_format("integer", "int64"), json!(2500))
    };
    let meta = MetaSchema {
        properties: vec![("count", inline(count))],
        ..MetaSchema::new("object")
    };
    let data = MetaSchema {
        items: Some(Box::new(MetaSchemaRef::Reference(R::NAME.to_owned()))),
        ..MetaSchema::new("array")
    };
    MetaSchema {
        required: vec!["jsonapi", "data", "links"],
        properties: vec![
            jsonapi_member(),
            ("data", inline(data)),
            ("links", inline(links)),
            ("meta", inline(meta)),
            included_member(),
        ],
        ..MetaSchema::new("object")
    }
}
