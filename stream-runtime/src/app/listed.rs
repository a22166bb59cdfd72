//! Agents that are listed by hand, where there is no registry.

use super::states::States;
use crate::background::JobDescriptor;
use crate::topology::{AgentDescriptor, StateDescriptor, TopicDescriptor};
use crate::web::PageDescriptor;

/// What [`agents!`](crate::agents) makes without the feature `inventory`.
#[derive(Clone, Default)]
pub struct Listing {
    pub(crate) agents: Vec<&'static AgentDescriptor>,
    pub(crate) topics: Vec<&'static TopicDescriptor>,
    pub(crate) states: Vec<&'static StateDescriptor>,
    pub(crate) beside: Vec<&'static JobDescriptor>,
    pub(crate) pages: Vec<&'static PageDescriptor>,
}

/// A function under an attribute, by the type that stands for it in a list.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is nothing that can be listed",
    label = "under no attribute that can be listed",
    note = "`agents![..]` takes functions under `#[agent]`, `#[join]`, `#[timer]`, `#[crontab]`, `#[task]`, `#[page]` and `#[state]`"
)]
pub trait Listed {
    /// Puts it into the list.
    fn list(to: &mut Listing);
}

impl Listing {
    /// An agent.
    pub fn agent(&mut self, agent: &'static AgentDescriptor) {
        self.agents.push(agent);
    }

    /// A topic that an agent's attribute names by its type.
    pub fn topic(&mut self, topic: &'static TopicDescriptor) {
        if !self.topics.contains(&topic) {
            self.topics.push(topic);
        }
    }

    /// A state.
    pub fn state(&mut self, state: &'static StateDescriptor) {
        self.states.push(state);
    }

    /// A timer, a crontab or a task.
    pub fn beside(&mut self, beside: &'static JobDescriptor) {
        self.beside.push(beside);
    }

    /// A page.
    pub fn page(&mut self, page: &'static PageDescriptor) {
        self.pages.push(page);
    }

    pub(crate) fn add(&mut self, other: Listing) {
        self.beside.extend(other.beside);
        self.pages.extend(other.pages);
        self.agents.extend(other.agents);
        other.topics.into_iter().for_each(|topic| self.topic(topic));
        self.states.extend(other.states);
    }
}

impl States {
    /// The functions that make states: those of the registry and those that are listed.
    pub(super) fn listed(mut self, states: &[&'static StateDescriptor]) -> Self {
        self.listed.extend(states);
        self
    }
}

impl std::fmt::Debug for Listing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} agents listed", self.agents.len())
    }
}

/// Puts a descriptor into the registry.
#[cfg(feature = "inventory")]
#[doc(hidden)]
#[macro_export]
macro_rules! __register {
    ($kind:ident $name:ident [$($topic:ty),*] $descriptor:expr) => {
        $crate::__private::inventory::submit! { $descriptor }
    };
}

/// Puts a descriptor beside its function, under the type of the same name.
#[cfg(not(feature = "inventory"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __register {
    (agent $name:ident [$($topic:ty),*] $descriptor:expr) => {
        static __LISTED: $crate::__private::AgentDescriptor = $descriptor;
        impl $crate::__private::Listed for $name {
            fn list(to: &mut $crate::__private::Listing) {
                to.agent(&__LISTED);
                $(to.topic(<$topic as $crate::__private::TopicSpec>::DESCRIPTOR);)*
            }
        }
    };
    (state $name:ident [] $descriptor:expr) => {
        static __LISTED: $crate::__private::StateDescriptor = $descriptor;
        impl $crate::__private::Listed for $name {
            fn list(to: &mut $crate::__private::Listing) {
                to.state(&__LISTED);
            }
        }
    };
    (beside $name:ident [] $descriptor:expr) => {
        static __LISTED: $crate::__private::JobDescriptor = $descriptor;
        impl $crate::__private::Listed for $name {
            fn list(to: &mut $crate::__private::Listing) {
                to.beside(&__LISTED);
            }
        }
    };
    (page $name:ident [] $descriptor:expr) => {
        static __LISTED: $crate::__private::PageDescriptor = $descriptor;
        impl $crate::__private::Listed for $name {
            fn list(to: &mut $crate::__private::Listing) {
                to.page(&__LISTED);
            }
        }
    };
    // Tables and topics follow from the agents that name them; commands need the registry.
    ($kind:ident $name:ident [] $descriptor:expr) => {};
}

/// The type that stands for a function in a list: types have names of their own.
#[cfg(feature = "inventory")]
#[doc(hidden)]
#[macro_export]
macro_rules! __stand_in {
    ($vis:vis $name:ident) => {};
}

/// The type that stands for a function in a list: types have names of their own.
#[cfg(not(feature = "inventory"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __stand_in {
    ($vis:vis $name:ident) => {
        #[doc(hidden)]
        #[allow(non_camel_case_types, dead_code)]
        $vis enum $name {}
    };
}

/// A list of agents for [`App::agents`](crate::App::agents).
#[cfg(feature = "inventory")]
#[macro_export]
macro_rules! agents {
    ($($agent:path),+ $(,)?) => { ($($agent,)+) };
}

/// A list of agents and states for [`App::agents`](crate::App::agents).
#[cfg(not(feature = "inventory"))]
#[macro_export]
macro_rules! agents {
    ($($agent:path),+ $(,)?) => {{
        let mut listing = $crate::__private::Listing::default();
        $(<$agent as $crate::__private::Listed>::list(&mut listing);)+
        listing
    }};
}
