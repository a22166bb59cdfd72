//! What is asked of a stream thread for its rows, and what it knows of its place in the group for that.

use super::status::TaskName;
use crate::error::Error;
use crate::kafka::{Fault, GroupToken};
use crate::table::{Chunk, Scan};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::oneshot;

/// What is asked of a partition of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// The row with this layout key.
    Row(Vec<u8>),
    /// Some rows.
    Rows(Scan),
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// To [`Ask::Row`]; `None` when there is no such row.
    Row(Option<Vec<u8>>),
    /// To [`Ask::Rows`].
    Rows(Chunk),
}

/// Why a worker does not answer.
#[derive(Debug)]
pub(crate) enum NotHere {
    /// The partition is not with it.
    Elsewhere,
    /// The partition is with it, or may be, and cannot be read at this moment; the text says why.
    NotNow(String),
    /// Asking again does not help.
    Never(Error),
}

/// Somebody asks a stream thread.
pub(super) struct ReadRequest {
    pub(super) task: TaskName,
    pub(super) table: usize,
    pub(super) ask: Ask,
    pub(super) answer: oneshot::Sender<Result<Answer, NotHere>>,
}

/// A moment by both clocks: one of them may stand still while the machine sleeps, the other may be set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) mono: Instant,
    pub(super) wall: SystemTime,
}

impl Moment {
    pub(super) fn now() -> Self {
        Moment {
            mono: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    /// Time since then, by the clock that went further.
    pub(super) fn elapsed(&self) -> Duration {
        let wall = self.wall.elapsed().unwrap_or_default();
        self.mono.elapsed().max(wall)
    }
}

/// What a thread knows of its place in the group, for those who ask it for rows.
#[derive(Default)]
pub(super) struct Confirmed {
    /// Before the last question to which the group said yes.
    pub(super) at: Option<Moment>,
    /// A question is on its way.
    pub(super) asking: bool,
    /// Who waits for its answer.
    pub(super) waiting: Vec<ReadRequest>,
}

/// What the group said to a thread's question.
pub(super) struct Confirmation {
    pub(super) began: Moment,
    /// Who asked: as it was before and after.
    pub(super) tokens: [Option<GroupToken>; 2],
    pub(super) result: Result<(), Fault>,
}
