//! Either broker, so that one test runs on both.

use crate::apache::ApacheKafka;
use crate::embedded::Embedded;
use crate::leash::Leashed;
use crate::{cache, client, skip};
use anyhow::Result;
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::Duration;

/// How often a test that waits for Apache Kafka asks for it.
const TURN: Duration = Duration::from_millis(50);

/// A broker in a process of its own.
pub enum Broker {
    Embedded(Embedded),
    Apache(ApacheKafka),
}

impl Broker {
    /// An embedded broker of its own: it starts in milliseconds.
    pub fn embedded() -> Self {
        Self::Embedded(Embedded::start().expect("the embedded broker starts"))
    }

    /// An Apache Kafka of its own, or `None` after saying why there is none.
    pub fn apache() -> Option<Self> {
        if let Some(reason) = cache::java_missing() {
            skip::skip_or_fail(reason);
            return None;
        }
        Some(Self::Apache(
            ApacheKafka::start().expect("Apache Kafka starts"),
        ))
    }

    /// `host:port`.
    pub fn bootstrap(&self) -> String {
        match self {
            Self::Embedded(broker) => broker.bootstrap(),
            Self::Apache(broker) => broker.bootstrap(),
        }
    }

    /// SIGKILL; the data stays.
    pub fn kill(&mut self) {
        match self {
            Self::Embedded(broker) => broker.kill(),
            Self::Apache(broker) => broker.kill(),
        }
    }

    /// Starts it again, same port, same data.
    pub fn restart(&mut self) {
        match self {
            Self::Embedded(broker) => broker.restart(),
            Self::Apache(broker) => broker.restart(),
        }
        .expect("the broker starts again");
    }

    /// Whether its process still runs.
    pub fn runs(&mut self) -> bool {
        match self {
            Self::Embedded(broker) => broker.runs(),
            Self::Apache(broker) => broker.runs(),
        }
    }

    pub fn process(&mut self) -> &mut Leashed {
        match self {
            Self::Embedded(broker) => broker.process(),
            Self::Apache(broker) => broker.process(),
        }
    }

    pub fn pid(&self) -> u32 {
        match self {
            Self::Embedded(broker) => broker.pid(),
            Self::Apache(broker) => broker.pid(),
        }
    }
}

/// Tests on Apache Kafka wait most of their time: two at once, each alone with a broker.
static APACHE: [Mutex<Option<Broker>>; 2] = [Mutex::new(None), Mutex::new(None)];

/// An Apache Kafka of a test program, held alone and emptied: starting one costs seconds and half a gigabyte.
pub struct SharedApache(MutexGuard<'static, Option<Broker>>);

impl SharedApache {
    /// Waits for its turn; `None` after saying why there is no Apache Kafka here.
    pub fn take() -> Option<Self> {
        let mut slot = free();
        let serves = slot.as_mut().is_some_and(Broker::runs);
        if !serves {
            *slot = None;
            *slot = Some(Broker::apache()?);
        }
        let shared = Self(slot);
        shared
            .empty()
            .expect("Apache Kafka lets go of the last test's topics");
        Some(shared)
    }

    fn empty(&self) -> Result<()> {
        client::delete_everything(&self.bootstrap())
    }
}

fn free() -> MutexGuard<'static, Option<Broker>> {
    loop {
        for slot in &APACHE {
            match slot.try_lock() {
                Ok(slot) => return slot,
                // A test that failed while it held the broker leaves nothing that emptying does not remove.
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        std::thread::sleep(TURN);
    }
}

impl std::ops::Deref for SharedApache {
    type Target = Broker;

    fn deref(&self) -> &Broker {
        self.0.as_ref().expect("started")
    }
}

impl std::ops::DerefMut for SharedApache {
    fn deref_mut(&mut self) -> &mut Broker {
        self.0.as_mut().expect("started")
    }
}
