//! Profiles of running processes, and how two of them differ.
//!
//! What it does: [`capture()`] looks at a process for a while from outside: where its processor time goes (samples of the
//! kernel's performance events, unwound by frame pointers or unwind tables), in which system calls its threads are
//! (looked up in `/proc`), and what it had to wait for (pressure stall information). What the kernel does not allow is
//! said, not guessed. [`diff()`] compares two profiles frame by frame.
//!
//! How it flows: [`capture()`] -> [`Profile`] (JSON) -> [`Stacks`] (folded lines, a tree) -> a flame graph (crate `ui`).
//!
//! Invariants: the process is never stopped and nothing is attached to it: performance events belong to our file
//! descriptors and end with us, however we end. Stacks, threads and time are bounded.
//!
//! Not here: drawing, and profiles in other programs' formats but folded stacks.

mod capture;
mod diff;
mod perf;
mod procfs;
mod stacks;
mod symbols;
mod unwind;

pub use capture::{CaptureError, Options, Pause, Pressure, Profile, SyscallRow, capture};
pub use diff::{Difference, FrameDifference, diff};
pub use stacks::{FoldedError, Node, Stacks};
