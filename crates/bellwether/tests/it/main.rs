//! The real program against real parts: Debian's Prometheus, nginx, node_exporter, Redis and PostgreSQL.
//!
//! Each test starts what it needs on loopback, on ports that the system picks, in temporary folders. A part that is
//! not installed skips its tests with a word; in continuous integration that is a failure. Tests wait for conditions,
//! never for a fixed time.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::duration_suboptimal_units,
    clippy::format_collect,
    reason = "a test stops at what it did not expect, and shows what it saw"
)]

mod alertmanager;
mod bad_input;
mod contract;
mod crash;
mod demo;
mod found;
mod http;
mod judged;
mod lab;
mod load;
mod nginx;
mod postgres;
mod prometheus;
mod remote;
mod samples;
mod security;
mod server;
mod support;
mod tiny;
