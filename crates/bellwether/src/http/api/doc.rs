//! The OpenAPI document, generated from the table of endpoints.

use axum::Json;
use serde_json::{Map, Value, json};

use super::{Endpoint, PREFIX, endpoints};

pub(super) async fn serve() -> Json<Value> {
    Json(document())
}

/// OpenAPI 3.1 of the whole API.
pub(crate) fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in endpoints() {
        let path = format!("{PREFIX}{}", endpoint.path);
        let operations = paths.entry(path).or_insert_with(|| json!({}));
        operations[endpoint.method.to_lowercase()] = operation(&endpoint);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Bellwether",
            "version": "1",
            "summary": "Cases, runs, on-call and status.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": crate::http::auth::COOKIE},
            },
            "schemas": {
                "Problem": {
                    "type": "object",
                    "required": ["type", "title", "status", "detail"],
                    "properties": {
                        "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
                        "detail": {"type": "string"}, "hint": {"type": "string"},
                    },
                },
            },
        },
        "security": [{"token": []}, {"session": []}],
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let parameters: Vec<Value> = endpoint
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    let problem = json!({
        "description": "An error.",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    });
    let mut operation = json!({
        "operationId": format!(
            "{}_{}",
            endpoint.method.to_lowercase(),
            endpoint.path.trim_matches('/').replace(['/', '-'], "_").replace(['{', '}'], "")
        ),
        "summary": endpoint.summary,
        "description": format!("Scope: {}.", serde_json::to_value(endpoint.scope).unwrap_or_default().as_str().unwrap_or_default()),
        "parameters": parameters,
        "responses": {
            "200": {
                "description": "Done.",
                "content": {"application/json": {"schema": endpoint.response}},
            },
            "default": problem,
        },
    });
    if let Some(schema) = &endpoint.request {
        operation["requestBody"] =
            json!({"required": true, "content": {"application/json": {"schema": schema}}});
    }
    operation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_documented_once() {
        let document = document();
        let mut count = 0;
        for operations in document["paths"].as_object().unwrap().values() {
            for operation in operations.as_object().unwrap().values() {
                assert!(!operation["summary"].as_str().unwrap().is_empty());
                count += 1;
            }
        }
        assert_eq!(
            count,
            endpoints().len(),
            "two endpoints share method and path"
        );
    }
}
