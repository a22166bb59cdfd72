//! What a worker's terminal shows of its partitions while not all of them run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::progress::bars;
use crate::worker::{PartitionState, PartitionView, Status};

/// How often it is drawn again.
const TURN: Duration = Duration::from_millis(250);
/// Partitions that get a line of their own.
const LINES: usize = 10;
/// The states in the order in which they are counted up.
const ORDER: [&str; 6] = [
    "running",
    "recovering",
    "assigned",
    "retrying",
    "failed",
    "revoked",
];

/// Shows until it is dropped.
pub(super) struct Shown {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Shown {
    /// Shows `status` on the terminal; without one there is nothing to do.
    pub(super) fn start(status: Arc<Status>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let show = move || {
            let mut board = Board::new(bars());
            while !ended.load(Ordering::Acquire) {
                std::thread::park_timeout(TURN);
                board.draw(&status.snapshot());
            }
            board.draw(&[]);
        };
        let thread = std::thread::Builder::new().name("partitions".to_owned());
        Self {
            over,
            // Without a thread the log still says it all.
            thread: thread.spawn(show).ok(),
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// A line: a bar where there is something to measure.
#[derive(Debug, PartialEq)]
struct Line {
    text: String,
    /// Done, and of how much.
    measure: Option<(u64, u64)>,
}

/// The lines for these partitions; none when all of them run.
fn lines(partitions: &[PartitionView]) -> Vec<Line> {
    let quiet = |view: &PartitionView| {
        matches!(
            view.state,
            PartitionState::Running | PartitionState::Revoked
        )
    };
    if partitions.iter().all(quiet) {
        return Vec::new();
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for view in partitions {
        *counts.entry(view.state.name()).or_default() += 1;
    }
    let counted = ORDER
        .iter()
        .filter(|name| **name != "revoked")
        .filter_map(|name| Some(format!("{} {name}", counts.get(name)?)));
    let mut lines = vec![Line {
        text: counted.collect::<Vec<_>>().join(", "),
        measure: None,
    }];
    let told = partitions
        .iter()
        .filter(|view| !quiet(view) && view.state != PartitionState::Assigned);
    for view in told.clone().take(LINES) {
        lines.push(Line {
            text: format!("{} {}", view.label, view.state),
            measure: match &view.state {
                PartitionState::Recovering(progress) => Some((progress.done, progress.total)),
                _ => None,
            },
        });
    }
    let more = told.count().saturating_sub(LINES);
    if more > 0 {
        lines.push(Line {
            text: format!("and {more} more"),
            measure: None,
        });
    }
    lines
}

/// The lines as they stand on the terminal.
struct Board {
    bars: MultiProgress,
    shown: Vec<ProgressBar>,
    plain: ProgressStyle,
    bar: ProgressStyle,
}

impl Board {
    fn new(bars: &MultiProgress) -> Self {
        let style = |form| {
            ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar())
        };
        Self {
            bars: bars.clone(),
            shown: Vec::new(),
            plain: style("{wide_msg}"),
            bar: style("{bar:20} {wide_msg}"),
        }
    }

    fn draw(&mut self, partitions: &[PartitionView]) {
        let lines = lines(partitions);
        for bar in self.shown.drain(lines.len().min(self.shown.len())..) {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
        while self.shown.len() < lines.len() {
            self.shown.push(self.bars.add(ProgressBar::new(0)));
        }
        for (bar, line) in self.shown.iter().zip(lines) {
            bar.set_style(match line.measure {
                Some(_) => self.bar.clone(),
                None => self.plain.clone(),
            });
            let (done, total) = line.measure.unwrap_or_default();
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(line.text);
            bar.tick();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::Progress;
    use indicatif::{InMemoryTerm, ProgressDrawTarget};

    fn view(partition: i32, state: PartitionState) -> PartitionView {
        PartitionView {
            task: (0, partition),
            label: format!("orders[{partition}]"),
            state,
            held: None,
        }
    }

    fn recovering(done: u64) -> PartitionState {
        PartitionState::Recovering(Progress {
            done,
            total: 1000,
            rate: 250.0,
        })
    }

    #[test]
    fn the_terminal_counts_states_and_measures_recoveries_until_all_run() {
        let term = InMemoryTerm::new(20, 100);
        let bars =
            MultiProgress::with_draw_target(ProgressDrawTarget::term_like(Box::new(term.clone())));
        let mut board = Board::new(&bars);
        board.draw(&[
            view(0, PartitionState::Running),
            view(1, recovering(500)),
            view(2, PartitionState::Failed("offset 5 is gone".into())),
        ]);
        let text = term.contents();
        let shown: Vec<&str> = text.lines().collect();
        assert_eq!(shown[0].trim_end(), "1 running, 1 recovering, 1 failed");
        assert!(
            shown[1].starts_with("██████████░░░░░░░░░░ orders[1] recovering: 500 of 1000"),
            "{text}"
        );
        assert!(shown[1].contains("250/s, 2 s left"), "{text}");
        assert_eq!(shown[2].trim_end(), "orders[2] failed: offset 5 is gone");
        board.draw(&[
            view(0, PartitionState::Running),
            view(1, PartitionState::Running),
        ]);
        assert_eq!(term.contents(), "");
    }

    #[test]
    fn many_partitions_do_not_fill_the_terminal() {
        let many: Vec<_> = (0..25)
            .map(|partition| view(partition, recovering(1)))
            .collect();
        let lines = lines(&many);
        assert_eq!(lines.len(), LINES + 2);
        assert_eq!(lines[0].text, "25 recovering");
        assert_eq!(lines.last().unwrap().text, "and 15 more");
    }
}
