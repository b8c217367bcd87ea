//! The hidden command of the server, by itself: supervises the step whose spool folder is the argument. The tests
//! use it.

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args_os().nth(1) {
        Some(folder) => bellwether_connect::exec::supervise(folder.as_ref()),
        None => ExitCode::from(64),
    }
}
