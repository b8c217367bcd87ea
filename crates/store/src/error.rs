//! Why the store refused or failed.

use bellwether_model::DeliveryId;
use bellwether_model::state::Expect;

/// Who can do something about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Configuration, disk space, permissions.
    Operator,
    /// The database server.
    Peer,
    /// This program.
    Us,
}

/// Why the store refused or failed. Unless it is [`StoreError::OutcomeUnknown`], nothing was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("{kind} {id:?} is not as expected ({expected:?})")]
    Conflict {
        kind: String,
        id: String,
        expected: Expect,
    },
    #[error("lease {lease:?} was taken by somebody else: our fence is {ours}, the latest {latest}")]
    StaleFence {
        lease: String,
        ours: u64,
        latest: u64,
    },
    #[error("delivery id {id} is taken by a delivery with another key")]
    IdTaken { id: DeliveryId },
    #[error("{what} has {size} bytes, the limit is {max}")]
    TooLarge {
        what: String,
        size: usize,
        max: usize,
    },
    #[error("{what} is nested more than {max} levels deep")]
    TooDeep { what: String, max: usize },
    #[error(
        "the state at {place} has schema {found}, this version knows up to {known}: \
         it was written by a newer version"
    )]
    NewerSchema {
        place: String,
        found: u32,
        known: u32,
    },
    #[error("cannot open the state at {place}: {reason}")]
    Open { place: String, reason: String },
    #[error("state is not available: {reason}")]
    Unavailable { reason: String, blame: Blame },
    #[error("the connection was lost while committing, the outcome is unknown: {reason}")]
    OutcomeUnknown { reason: String },
    #[error("stored {what} cannot be read: {reason}")]
    Corrupt { what: String, reason: String },
    #[error("cannot write a backup to {path}: {reason}")]
    Backup { path: String, reason: String },
}

impl StoreError {
    /// Who can do something about it.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Conflict { .. }
            | Self::StaleFence { .. }
            | Self::IdTaken { .. }
            | Self::TooLarge { .. }
            | Self::TooDeep { .. }
            | Self::Corrupt { .. } => Blame::Us,
            Self::NewerSchema { .. } | Self::Open { .. } | Self::Backup { .. } => Blame::Operator,
            Self::Unavailable { blame, .. } => *blame,
            Self::OutcomeUnknown { .. } => Blame::Peer,
        }
    }

    /// Whether the same call may succeed later without anybody doing anything, and repeating it is safe.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Whether the batch itself is at fault: repeating it will never succeed, and nothing of it was stored.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Conflict { .. }
                | Self::IdTaken { .. }
                | Self::TooLarge { .. }
                | Self::TooDeep { .. }
        )
    }
}
