//! Adapters: they perform what the outbox holds, once it is stored, and say how it went.
//!
//! What it does: hands a [`Message`] to a person or a system through a [`Channel`], and runs steps of runbooks (shell
//! by [`exec`], HTTP by [`http`]).
//!
//! Entry points: [`Channel::deliver`], [`exec::Executor`], [`http::HttpClient::call`]. Data flow: the shell begins an
//! attempt in the store, builds an [`Attempt`] from the delivery and the configuration, calls the channel, and
//! records the [`Outcome`].
//!
//! Invariants: a channel never retries by itself and always ends within the attempt's timeout; a repeat carries the
//! same idempotency key; no secret is in a `Debug` output, an error, a log line or on disk; everything the other side
//! sends is bounded in size and time; a shell step survives the death of this program and is never run twice.
//!
//! Not here: what is sent to whom and when (page, act), templates, the browser channel (the server is it), and
//! configuration files: targets come as plain structs.

pub mod channel;
pub mod desktop;
pub mod email;
pub mod exec;
pub mod http;
pub mod ntfy;
pub mod redact;
pub mod services;
pub mod sql;
pub mod terminal;
pub mod webhook;

pub use channel::{
    Action, Attempt, Blame, BoxFuture, Channel, Message, Outcome, Priority, Verdict,
};
pub use redact::Redactor;
