//! What a caller sends: an optional JSON body, a query, a name in the path; all that is wrong in them is a 400.

use axum::{
    body::{Body, HttpBody},
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::request::Parts,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::{Api, envelope::ApiError};

/// A JSON object, whatever its `Content-Type`; no body, an empty one and `{}` are the call without parameters.
#[derive(Debug)]
pub struct Input<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Api> for Input<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        let limits = &api.settings.limits;
        let bytes = tokio::time::timeout(limits.body_timeout, read(request.into_body(), limits.body_bytes))
            .await
            .map_err(|_| ApiError::TooSlow { seconds: limits.body_timeout.as_secs() })??;
        parse(&bytes).map(Input)
    }
}

async fn read(body: Body, limit: usize) -> Result<bytes::Bytes, ApiError> {
    let too_large = || ApiError::TooLarge { limit };
    // A declared length is believed when it is too large: nothing of it is read.
    if HttpBody::size_hint(&body).lower() > limit as u64 {
        return Err(too_large());
    }
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) => Err(ApiError::BadRequest(format!("the body broke off: {error}"))),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let bytes = if bytes.iter().all(u8::is_ascii_whitespace) { b"{}".as_slice() } else { bytes };
    // Asked first, because serde reads a struct from an array as well.
    let value: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|e| ApiError::BadRequest(format!("the body is not JSON: {e}")))?;
    if !value.is_object() {
        return Err(ApiError::BadRequest("the body must be a JSON object, like {\"model\": \"ollama\"}".to_owned()));
    }
    serde_json::from_value(value).map_err(|e| ApiError::BadRequest(format!("the body has the wrong shape: {e}")))
}

/// No parameters: what a body says is only checked to be an object.
#[derive(Debug, serde::Deserialize)]
pub struct Nothing {}

/// The query, with errors in the envelope.
#[derive(Debug)]
pub struct Asked<T>(pub T);

impl<T: DeserializeOwned, S: Sync + Send> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Asked(query)),
            Err(error) => Err(ApiError::BadRequest(error.body_text())),
        }
    }
}

/// The one variable of a path, percent-decoded.
#[derive(Debug)]
pub struct Named<T>(pub T);

impl<T: DeserializeOwned + Send, S: Sync + Send> FromRequestParts<S> for Named<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Named(value)),
            Err(error) => Err(ApiError::BadRequest(error.body_text())),
        }
    }
}

/// A number of a query that must lie in `range`, both ends included.
pub fn in_range(name: &str, value: u64, range: std::ops::RangeInclusive<u64>) -> Result<u64, ApiError> {
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(ApiError::BadRequest(format!("`{name}` is {value}; it must be from {} to {}", range.start(), range.end())))
    }
}
