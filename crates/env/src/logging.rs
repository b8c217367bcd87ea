//! The log: to standard error, filtered by [`crate::vars::LOG`].

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::vars;

/// Starts the log. Later calls change nothing, so tests may call it freely. `default` is the filter when none is set.
pub fn init(default: &str) {
    let filter = vars::LOG.get().unwrap_or_else(|| default.to_owned());
    let filter = EnvFilter::try_new(&filter).unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = if vars::LOG_FORMAT.get().as_deref() == Some("json") {
        builder.json().try_init()
    } else {
        let colour = std::io::stderr().is_terminal() && vars::NO_COLOR.get().is_none();
        builder.with_ansi(colour).with_target(false).try_init()
    };
    drop(started);
}
