//! The lab's hands: runs commands and measures them, describes the machine, keeps histories in git, reads PostgreSQL's
//! statement counters.
//!
//! Entry points: [`compare::run`], [`gate::measure`] and [`gate::confirm`], [`experiments::Store`], [`command::measure`], [`environment::describe`], [`git::Repository`], [`statements::Counter`].
//!
//! Invariants: every command has a time limit and is ended with its whole process group; what it prints is kept up to a
//! limit; commands come from the command line or a file of the person who runs it, never from a network.
//!
//! Not here: what the numbers mean (crate `lab`), and sending requests (crate `load`).

pub mod command;
pub mod compare;
pub mod environment;
pub mod experiments;
pub mod gate;
pub mod git;
pub mod statements;
