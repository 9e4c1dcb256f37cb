//! Rewrites schemas so that generators of clients understand them.

use serde_json::{Value as Json, json};

/// Rewrites all schemas of a document: a reference with a description is an `allOf` of the reference alone, and a schema
/// that is `nullable` has a type, without which the keyword has no effect (OpenAPI 3.0.3 §4.7.24.1).
pub(super) fn rewrite_references(document: &mut Json) {
    let schemas = document["components"]["schemas"].clone();
    rewrite(document, &schemas);
}

fn rewrite(value: &mut Json, schemas: &Json) {
    match value {
        Json::Array(values) => values.iter_mut().for_each(|value| rewrite(value, schemas)),
        Json::Object(members) => {
            if let Some(reference) = only_reference(members.get("allOf")) {
                members.insert("allOf".to_owned(), json!([{ "$ref": reference }]));
                if members.get("nullable") == Some(&json!(true)) {
                    let name = reference.rsplit('/').next().unwrap_or_default();
                    members.insert("type".to_owned(), schemas[name]["type"].clone());
                }
            }
            members
                .values_mut()
                .for_each(|value| rewrite(value, schemas));
        }
        _ => {}
    }
}

/// The reference of an `allOf` that has nothing else but annotations.
fn only_reference(all: Option<&Json>) -> Option<String> {
    let (first, rest) = all?.as_array()?.split_first()?;
    let is_annotation = |schema: &Json| {
        let mut keywords = schema.as_object().into_iter().flatten();
        keywords.all(|(keyword, _)| matches!(keyword.as_str(), "description" | "nullable"))
    };
    let reference = first["$ref"].as_str()?;
    rest.iter().all(is_annotation).then(|| reference.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_stands_alone_and_null_has_a_type() {
        let mut document = json!({ "components": { "schemas": {
            "Kind": { "type": "string", "enum": ["a"] },
            "Thing": { "properties": {
                "kind": { "allOf": [{ "$ref": "#/components/schemas/Kind" }, { "description": "d" }], "description": "d" },
                "other": { "allOf": [{ "$ref": "#/components/schemas/Kind" }, { "nullable": true }], "nullable": true },
                "both": { "allOf": [{ "$ref": "#/components/schemas/Kind" }, { "maxLength": 3 }] },
            } },
        } } });
        rewrite_references(&mut document);
        let properties = &document["components"]["schemas"]["Thing"]["properties"];
        let alone = json!([{ "$ref": "#/components/schemas/Kind" }]);
        assert_eq!(
            properties["kind"],
            json!({ "allOf": alone, "description": "d" })
        );
        assert_eq!(
            properties["other"],
            json!({ "allOf": alone, "nullable": true, "type": "string" })
        );
        assert_eq!(properties["both"]["allOf"].as_array().unwrap().len(), 2);
    }
}
