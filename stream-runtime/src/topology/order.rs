//! In which order the agents of a task get an event.
//!
//! An agent that writes a table has finished with the event before one begins that reads the table. Where this leaves
//! it open, or agents read each other's tables, they go by file and line, and by name last: what they are called
//! decides nothing.

use super::descriptor::Edge;
use super::resolve::Draft;

/// The agents of a task in their order.
pub(super) struct Order<'a> {
    pub(super) drafts: Vec<&'a Draft>,
    /// Of each, whom it follows.
    pub(super) turns: Vec<Turn>,
}

/// Whom an agent follows.
#[derive(Clone, Default)]
pub(super) struct Turn {
    /// Places of the agents that finish with an event before it begins.
    pub(super) after: Vec<usize>,
    /// The tables by which it is in a circle.
    pub(super) circle: Vec<&'static str>,
}

pub(super) fn order<'a>(drafts: &[&'a Draft]) -> Order<'a> {
    let count = drafts.len();
    // `feeds[w][r]`: the tables that w writes and r reads, where both get the same events.
    let feeds: Vec<Vec<Vec<&'static str>>> = (0..count)
        .map(|w| {
            let to = (0..count).map(|r| match w != r && drafts[w].meets(drafts[r]) {
                true => shared(drafts[w], drafts[r]),
                false => Vec::new(),
            });
            to.collect()
        })
        .collect();
    let reach = closure(&feeds);
    let ring = |a: usize, b: usize| a == b || (reach[a][b] && reach[b][a]);
    let spot = |at: usize| {
        let d = drafts[at].descriptor;
        (drafts[at].is_timer(), d.place.file, d.place.line, d.name)
    };
    let mut left: Vec<usize> = (0..count).collect();
    left.sort_by_key(|&at| spot(at));
    let mut turns: Vec<usize> = Vec::with_capacity(count);
    while !left.is_empty() {
        // The first that waits for nobody but those in its own circle.
        let free = |&&at: &&usize| left.iter().all(|&w| !reach[w][at] || ring(w, at));
        let Some(&next) = left.iter().find(free) else {
            break;
        };
        let (circle, others): (Vec<usize>, Vec<usize>) =
            left.into_iter().partition(|&at| ring(next, at));
        left = others;
        turns.extend(circle);
    }
    let turn = |place: usize, at: usize| {
        let before = turns[..place].iter().enumerate();
        let after = before.filter(|&(_, &w)| !feeds[w][at].is_empty() || ring(w, at));
        let around = turns.iter().filter(|&&w| w != at && ring(w, at));
        let mut circle: Vec<_> = around
            .flat_map(|&w| feeds[w][at].iter().chain(&feeds[at][w]).copied())
            .collect();
        circle.sort_unstable();
        circle.dedup();
        Turn {
            after: after.map(|(place, _)| place).collect(),
            circle,
        }
    };
    Order {
        turns: turns
            .iter()
            .enumerate()
            .map(|(place, &at)| turn(place, at))
            .collect(),
        drafts: turns.iter().map(|&at| drafts[at]).collect(),
    }
}

/// The tables that one writes and the other reads.
fn shared(writer: &Draft, reader: &Draft) -> Vec<&'static str> {
    let reads = |name: &str| {
        let mut edges = reader.shape.edges.iter();
        edges.any(|edge| matches!(edge, Edge::Table { table, writes: false } if table.name == name))
    };
    let written = writer.written().map(|table| table.name);
    written.filter(|name| reads(name)).collect()
}

/// Who comes before whom, also by way of others.
fn closure(feeds: &[Vec<Vec<&'static str>>]) -> Vec<Vec<bool>> {
    let direct = |to: &Vec<Vec<&str>>| to.iter().map(|tables| !tables.is_empty()).collect();
    let mut reach: Vec<Vec<bool>> = feeds.iter().map(direct).collect();
    for via in 0..reach.len() {
        let onward = reach[via].clone();
        for from in reach.iter_mut().filter(|from| from[via]) {
            for (to, beyond) in from.iter_mut().zip(&onward) {
                *to |= *beyond;
            }
        }
    }
    reach
}
