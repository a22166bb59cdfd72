//! Outputs that the topics of a test refuse, found out at a commit.

use std::collections::{BTreeMap, HashSet};

use super::cluster::Entry;
use super::harness::Harness;
use crate::error::Error;
use crate::task::{Found, Origin, Outgoing};
use crate::worker::takes_nothing;

/// What a topic refuses of a commit.
#[derive(Debug, Default)]
struct Blamed {
    events: HashSet<(usize, Origin)>,
    /// It takes others of it.
    took: bool,
    /// Why it refuses the last.
    why: String,
}

impl Harness {
    /// Why a topic does not take a record that a test sends, if it does not.
    pub(super) fn refuses(&self, topic: &str, entry: &Entry) -> Option<String> {
        let times = (entry.timestamp, self.now.wall);
        let key = entry.key.as_deref();
        self.broker.refuse(topic, key, weight(entry), times)
    }

    /// Looks whether the topics take what these tasks have prepared. If not, nothing of it is committed, and the events
    /// that are to blame fail when they come again. Returns whether that is so.
    pub(super) fn refuse(&mut self, group: &[usize]) -> Result<bool, Error> {
        let mut refused: BTreeMap<usize, Vec<(usize, String)>> = BTreeMap::new();
        let mut blamed: BTreeMap<String, Blamed> = BTreeMap::new();
        for &at in group {
            let (task, mut index) = (&self.seats[at].task, 0);
            task.each_output(|topic, out| {
                let size = size(&out);
                let times = (out.timestamp, self.now.wall);
                if let Some(why) = self.broker.refuse(topic, out.key, size, times) {
                    let why = format!("record of {size} bytes to {topic}: {why}");
                    let entry = blamed.entry(topic.to_owned()).or_default();
                    entry.events.insert((at, out.origin));
                    entry.why.clone_from(&why);
                    refused.entry(at).or_default().push((index, why));
                }
                index += 1;
                Ok::<_, Error>(())
            })?;
        }
        if refused.is_empty() {
            return Ok(false);
        }
        for &at in group {
            self.seats[at].task.each_output(|topic, out| {
                if let Some(entry) = blamed.get_mut(topic) {
                    let times = (out.timestamp, self.now.wall);
                    let refused = self.broker.refuse(topic, out.key, size(&out), times);
                    entry.took |= refused.is_none();
                }
                Ok::<_, Error>(())
            })?;
        }
        for (topic, Blamed { events, took, why }) in &blamed {
            let before = self.broker.taken.contains(topic);
            let standing = self.broker.standing.entry(topic.clone()).or_default();
            if let Some(count) = standing.refuse(*took, before, events.len()) {
                return Err(takes_nothing(topic, count, why));
            }
        }
        for (at, list) in &refused {
            if self.seats[*at].task.refused(list) == Found::Hopeless {
                let text = format!(
                    "a record is refused whatever its event comes to: {}",
                    list[0].1
                );
                return Err(Error::agent(text));
            }
        }
        self.void(group)?;
        Ok(true)
    }
}

/// What a record of a test weighs, about.
fn weight(entry: &Entry) -> usize {
    let headers = entry.headers.iter();
    let headers: usize = headers
        .map(|(name, value)| name.len() + value.len() + 8)
        .sum();
    let value = entry.value.as_ref().map_or(0, Vec::len);
    entry.key.as_ref().map_or(0, Vec::len) + value + headers
}

/// What a record weighs, about.
fn size(out: &Outgoing<'_>) -> usize {
    let value = out.value.map_or(0, <[u8]>::len);
    out.key.map_or(0, <[u8]>::len) + value + out.headers.len()
}
