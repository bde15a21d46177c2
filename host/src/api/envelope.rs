//! The one shape of every JSON answer, and of every error.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::monitor::handle::{SwitchError, UnknownTarget};

/// `status` of an answer that is no error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Success,
    /// Asked for, but already so or only attempted.
    Warning,
}

impl Outcome {
    /// A warning unless all went well.
    pub fn of(well: bool) -> Outcome {
        if well { Outcome::Success } else { Outcome::Warning }
    }
}

/// An answer under construction: `status` first, then the fields in the order they were added.
#[derive(Debug, Clone)]
pub struct Envelope(Map<String, Value>);

impl Envelope {
    pub fn new(outcome: Outcome) -> Envelope {
        let word = match outcome {
            Outcome::Success => "success",
            Outcome::Warning => "warning",
        };
        Envelope(Map::from_iter([("status".to_owned(), Value::from(word))]))
    }

    pub fn success() -> Envelope {
        Envelope::new(Outcome::Success)
    }

    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Envelope {
        self.0.insert(field.to_owned(), value.into());
        self
    }
}

impl IntoResponse for Envelope {
    fn into_response(self) -> Response {
        no_store(Json(Value::Object(self.0)).into_response())
    }
}

/// Why a call was not answered as asked. Its text goes to the client.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Turned away before it was looked at closer.
    #[error("{why}")]
    Refused { status: StatusCode, why: String },
    #[error("{0}")]
    BadRequest(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{method} is not allowed at {path}; see the `Allow` header")]
    WrongMethod { method: String, path: String },
    #[error("the body is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the body was not received within {seconds} s")]
    TooSlow { seconds: u64 },
    #[error("{what} are open already, which is the most; close one or try again")]
    TooMany { what: String },
    #[error("{message}")]
    Failed { message: String, cause: String },
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            ApiError::Refused { status, .. } => *status,
            ApiError::BadRequest(_) => StatusCode::BAD_REQUEST,
            ApiError::NotFound(_) => StatusCode::NOT_FOUND,
            ApiError::WrongMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
            ApiError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            ApiError::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            ApiError::TooMany { .. } => StatusCode::SERVICE_UNAVAILABLE,
            ApiError::Failed { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = json!({ "status": "error", "message": self.to_string() });
        if let ApiError::Failed { cause, .. } = &self {
            body["error"] = Value::from(cause.as_str());
        }
        let status = self.status();
        let mut response = no_store((status, Json(body)).into_response());
        // The rest of such a body is not waited for.
        if matches!(self, ApiError::TooLarge { .. } | ApiError::TooSlow { .. }) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// An unknown name in a path.
impl From<UnknownTarget> for ApiError {
    fn from(unknown: UnknownTarget) -> ApiError {
        ApiError::NotFound(unknown.to_string())
    }
}

impl From<SwitchError> for ApiError {
    fn from(error: SwitchError) -> ApiError {
        match error {
            SwitchError::Unknown(unknown) => unknown.into(),
            SwitchError::NotSaved(cause) => {
                ApiError::Failed { message: "not saved, so nothing was changed".to_owned(), cause }
            }
        }
    }
}

/// A time as v4.3's clients read it: ISO-8601 with microseconds and a numeric offset (Python's `fromisoformat` took
/// neither `Z` nor nanoseconds before 3.11).
pub fn iso(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00").to_string()
}

/// [`iso`], null where there is nothing to say.
pub fn iso_or_null(time: Option<Timestamp>) -> Value {
    time.map_or(Value::Null, |time| Value::from(iso(time)))
}

fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
