//! Answers that are written as they are read: without a tree of values in between, which costs
//! several times as much for a page of items.

use poem::{IntoResponse, Response, http::StatusCode};
use poem_openapi::{
    ApiResponse,
    payload::Payload,
    registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry},
    types::Type,
};
use serde::Serialize;

use crate::problem::Problem;

/// A document of JSON. What serde writes has to be what the schema says: `same_as_schema` checks it.
#[derive(Debug)]
pub(crate) struct Document<T>(pub(crate) T);

impl<T: Type> Payload for Document<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Serialize + Send> IntoResponse for Document<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => Response::builder().content_type("application/json").body(bytes),
            Err(error) => {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                poem::Error::from(Problem::internal(status, &error)).into_response()
            }
        }
    }
}

impl<T: Type + Serialize> ApiResponse for Document<T> {
    fn meta() -> MetaResponses {
        let content_type = <Self as Payload>::CONTENT_TYPE;
        let content = MetaMediaType { content_type, schema: T::schema_ref() };
        let response = MetaResponse {
            description: "",
            status: Some(200),
            status_range: None,
            content: vec![content],
            headers: vec![],
        };
        MetaResponses { responses: vec![response] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// Checks that serde and the schema agree on a value.
#[cfg(test)]
#[track_caller]
pub(crate) fn same_as_schema<T: poem_openapi::types::ToJSON + Serialize>(value: &T) {
    assert_eq!(Some(serde_json::to_value(value).unwrap()), value.to_json());
}
