//! Dead letters that a test sends again.

use super::app::{TestApp, done};
use super::cluster::Entry;
use crate::error::Error;
use crate::task::letter::Letter;
use crate::task::letter_place::LetterPlace;
use crate::topology::{AgentPlan, again_topic};

impl TestApp {
    /// Sends the dead letters of an agent again that have not been, as `dead-letters resend` does: records to where
    /// they came from, closed windows to their agent. Returns how many.
    ///
    /// ```standalone_crate
    /// use stream_runtime::prelude::*;
    /// use stream_runtime::testing::TestApp;
    ///
    /// #[agent(topic = "parcels", retries = 0)]
    /// async fn deliver(parcel: String, found: State<std::sync::atomic::AtomicBool>) -> Result<()> {
    ///     if !found.load(std::sync::atomic::Ordering::Relaxed) {
    ///         Err(format!("nobody knows where to bring {parcel}"))?;
    ///     }
    ///     Ok(())
    /// }
    ///
    /// let mut app = TestApp::only((deliver,)).state(std::sync::atomic::AtomicBool::new(false));
    /// app.send("parcels", "k", "a book".to_owned());
    /// assert_eq!(app.dead_letters("deliver").len(), 1);
    /// assert_eq!(app.resend("deliver"), 1);
    /// assert_eq!(app.dead_letters("deliver").len(), 2); // still nobody knows
    /// assert_eq!(app.resend("deliver"), 1);
    /// ```
    ///
    /// # Panics
    /// When one cannot be sent again, or a partition would stop.
    #[track_caller]
    pub fn resend(&mut self, agent: &str) -> usize {
        let topic = self.dead_letter_topic(agent);
        let id = done(self.plan()).app;
        done(self.drive().settle());
        let closes = done(self.plan()).topologies.iter().find_map(|topology| {
            let mut agents = topology.agents.iter();
            let takes = |one: &&AgentPlan| one.user_name() == agent && one.shape.closes.is_some();
            let found = agents.find(takes)?;
            Some(found.shape.closes?.name)
        });
        let mut letters = Vec::new();
        for (partition, offset, entry) in self.drive().cluster.all(&topic) {
            let place = LetterPlace {
                partition,
                offset: offset as i64,
            };
            let headers = entry.headers.iter();
            let headers = headers.map(|(name, value)| (name.clone(), Some(value.clone())));
            let (key, value) = (entry.key.clone(), entry.value.clone());
            let read = Letter::of(place, entry.timestamp, headers.collect(), key, value);
            letters.extend(read.filter(|letter| letter.agent == agent));
        }
        letters.retain(|letter| {
            let place = (topic.clone(), letter.place.partition, letter.place.offset);
            self.resent.insert(place)
        });
        for letter in &letters {
            if let Some(why) = letter.refusal(closes) {
                panic!(
                    "the dead letter {topic}[{}] cannot be sent again: {why}",
                    letter.place
                );
            }
            done(self.send_back(letter, &id));
        }
        done(self.drive().settle());
        letters.len()
    }

    fn send_back(&mut self, letter: &Letter, id: &str) -> Result<(), Error> {
        let Some((topic, partition)) = letter.way_back(id) else {
            return Ok(());
        };
        if topic == again_topic(id, &letter.agent) {
            self.know_own(&topic)?;
        }
        let drive = self.drive();
        let headers = letter.headers_again().into_iter();
        let entry = Entry {
            key: letter.key.clone(),
            value: letter.value.clone(),
            timestamp: letter.stamp_again().unwrap_or(drive.now.wall),
            headers: headers
                .map(|(name, value)| (name, value.unwrap_or_default()))
                .collect(),
        };
        drive.cluster.append_to(&topic, partition, entry);
        Ok(())
    }
}
