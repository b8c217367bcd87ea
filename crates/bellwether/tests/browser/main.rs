//! The pages in a real browser, on a real server that watches the demo's web service: what a person clicks, reads and
//! types, on desktop and phone, light and dark. Without Debian's chromium and chromium-driver these tests are skipped;
//! in continuous integration that is a failure.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::needless_raw_string_hashes,
    reason = "a test says where it broke"
)]

mod basics;
mod door;
mod keys;
mod oncall;
mod story;
mod support;
