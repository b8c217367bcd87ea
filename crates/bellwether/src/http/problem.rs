//! Errors of our own API: `application/problem+json` (RFC 9457).

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::core::NotTaken;

/// An error with a stable word, a sentence, and what to do.
#[derive(Clone, Debug)]
pub struct Problem {
    pub status: StatusCode,
    /// Stable `snake_case` word.
    pub kind: &'static str,
    pub detail: String,
    pub hint: Option<String>,
}

impl Problem {
    /// An error.
    pub fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            detail: detail.into(),
            hint: None,
        }
    }

    /// 404.
    pub fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("there is no such {what}"),
        )
    }

    /// 400.
    pub fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", detail)
    }

    /// 409.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", detail)
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": format!("urn:bellwether:{}", self.kind),
            "title": self.status.canonical_reason().unwrap_or("error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(hint) = self.hint {
            body["hint"] = json!(hint);
        }
        (
            self.status,
            [(header::CONTENT_TYPE, "application/problem+json")],
            body.to_string(),
        )
            .into_response()
    }
}

impl From<NotTaken> for Problem {
    fn from(why: NotTaken) -> Self {
        let (status, kind) = match &why {
            NotTaken::Stopped => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
            NotTaken::Refused(_) => (StatusCode::UNPROCESSABLE_ENTITY, "refused"),
        };
        Self::new(status, kind, why.to_string())
    }
}

impl From<bellwether_store::StoreError> for Problem {
    fn from(error: bellwether_store::StoreError) -> Self {
        tracing::error!(%error, "state could not be read");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "store",
            "state cannot be read at the moment",
        )
    }
}

impl From<crate::planning::PlanError> for Problem {
    fn from(error: crate::planning::PlanError) -> Self {
        use crate::planning::PlanError;
        let status = match &error {
            PlanError::NoCase | PlanError::NoRunbook | PlanError::UnknownRunbook(_) => {
                StatusCode::NOT_FOUND
            }
            PlanError::NotRunnable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            PlanError::Changed => StatusCode::CONFLICT,
            PlanError::NotTaken(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, "plan", error.to_string())
    }
}
