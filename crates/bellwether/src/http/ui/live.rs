//! The stream that open pages listen to.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use bellwether_page::config::DEFAULT_PERSON;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio_stream::wrappers::BroadcastStream;

use super::frame::Visitor;
use crate::live::Live;

/// Output that one message carries at most; the page itself has the rest.
const OUTPUT_MAX: usize = 8 << 10;

/// Server-sent events: what changed, pages for this person, output of steps.
pub(super) async fn stream(visitor: Visitor) -> Response {
    let person = visitor.person().to_owned();
    let stream = BroadcastStream::new(visitor.app.live.subscribe()).filter_map(move |news| {
        let message = match news {
            Ok(news) => message(&news, &person),
            // Some news was missed: everything may be stale.
            Err(_) => Some(json!({"topics": ["all"]})),
        };
        std::future::ready(
            message.map(|message| Ok::<_, Infallible>(Event::default().data(message.to_string()))),
        )
    });
    Sse::new(stream)
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
        .into_response()
}

fn message(news: &Live, person: &str) -> Option<Value> {
    match news {
        Live::Changed(topics) => Some(json!({ "topics": topics })),
        Live::Page(page) => {
            let to = page["person"].as_str().unwrap_or_default();
            // Without a schedule the person at the keyboard is on call, whoever that is.
            (to == person || to == DEFAULT_PERSON).then(|| {
                let text = page["summary"].as_str().filter(|text| !text.is_empty()).or(page["text"].as_str());
                json!({
                    "topics": ["cases"],
                    "page": {"case": page["case"], "id": page["code"], "title": page["title"], "text": text},
                })
            })
        }
        Live::Output { run, step, text } => {
            let text = &text[text.ceil_char_boundary(text.len().saturating_sub(OUTPUT_MAX))..];
            Some(json!({"topics": [], "output": {"run": run, "step": step, "text": text}}))
        }
    }
}
