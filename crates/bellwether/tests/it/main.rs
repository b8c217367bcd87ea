//! The real program against real parts: Debian's Prometheus, nginx, node_exporter, Redis and PostgreSQL.
//!
//! Each test starts what it needs on loopback, on ports that the system picks, in temporary folders. A part that is
//! not installed skips its tests with a word; in continuous integration that is a failure. Tests wait for conditions,
//! never for a fixed time.

mod bad_input;
mod contract;
mod crash;
mod demo;
mod found;
mod http;
mod nginx;
mod postgres;
mod prometheus;
mod security;
mod server;
mod support;
mod tiny;
