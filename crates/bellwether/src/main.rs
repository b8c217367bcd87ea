//! The program's entry.

use std::process::ExitCode;

fn main() -> ExitCode {
    bellwether::main_with(std::env::args_os())
}
