//! Shared resources: given in code, or made by `#[state]` functions before the streams start.

use std::any::{Any, TypeId};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Kind};
use crate::topology::{AgentDescriptor, Edge, Problem, SourceLocation, StateDescriptor, registry};

/// A function outside the agents, and what its parameters tie it to.
pub(super) struct User {
    pub(super) what: &'static str,
    pub(super) name: &'static str,
    pub(super) place: SourceLocation,
    pub(super) edges: Vec<Edge>,
}

/// The resources of an app, by type.
#[derive(Clone, Default)]
pub(crate) struct States {
    by_type: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    /// Functions that were listed by hand.
    pub(super) listed: Vec<&'static StateDescriptor>,
    /// Of the functions, only those that make one of these; `None`: all.
    only: Option<HashSet<TypeId>>,
}

impl States {
    pub(crate) fn insert<T: Send + Sync + 'static>(&mut self, value: T) {
        self.by_type.insert(TypeId::of::<T>(), Arc::new(value));
    }

    pub(crate) fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.by_type
            .get(&TypeId::of::<T>())?
            .clone()
            .downcast()
            .ok()
    }

    /// Functions that make anything else are not called.
    pub(super) fn only(mut self, types: HashSet<TypeId>) -> Self {
        self.only = Some(types);
        self
    }

    pub(crate) fn into_map(self) -> HashMap<TypeId, Arc<dyn Any + Send + Sync>> {
        self.by_type
    }

    /// Resources that nobody makes, and those that two make.
    pub(super) fn problems(
        &self,
        agents: &[&'static AgentDescriptor],
        users: &[User],
    ) -> Vec<Problem> {
        let made = self.registered();
        let mut problems = Vec::new();
        for (ix, state) in made.iter().enumerate() {
            let same = made[..ix]
                .iter()
                .find(|other| (other.type_id)() == (state.type_id)());
            if let Some(other) = same {
                problems.push(Problem {
                    message: format!(
                        "#[state] `{}` and `{}` make the same type: keep one",
                        other.name, state.name
                    ),
                    places: vec![other.place, state.place],
                });
            }
        }
        let of_agents = agents
            .iter()
            .map(|agent| ("agent", agent.name, agent.place, (agent.shape)().edges));
        let of_users = users
            .iter()
            .map(|user| (user.what, user.name, user.place, user.edges.clone()));
        for (what, who, place, edges) in of_agents.chain(of_users) {
            for edge in edges {
                let Edge::State { type_id, name } = edge else {
                    continue;
                };
                let id = type_id();
                if !self.by_type.contains_key(&id)
                    && !made.iter().any(|state| (state.type_id)() == id)
                {
                    let name = name();
                    problems.push(Problem {
                        message: format!(
                            "{what} `{who}` asks for State<{name}> and nobody makes one: add `App::state(..)`, or a \
                             #[state] function that returns it"
                        ),
                        places: vec![place],
                    });
                }
            }
        }
        problems
    }

    /// Makes what the `#[state]` functions declare; what the code gave stays.
    pub(crate) async fn make(mut self) -> Result<States, Error> {
        for state in self.registered() {
            let id = (state.type_id)();
            if self.by_type.contains_key(&id) {
                continue;
            }
            let made = (state.make)().await.map_err(|failure| {
                Error::new(
                    Kind::State,
                    format!("{}: #[state] {} failed: {failure}", state.place, state.name),
                )
            })?;
            self.by_type.insert(id, made);
        }
        Ok(self)
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} states", self.by_type.len())
    }
}

impl States {
    /// In a fixed order: the registry has none.
    fn registered(&self) -> Vec<&'static StateDescriptor> {
        let mut all = registry::states();
        all.extend(&self.listed);
        if let Some(only) = &self.only {
            all.retain(|state| only.contains(&(state.type_id)()));
        }
        all.sort_by_key(|state| (state.place.file, state.place.line, state.name));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::SourceLocation;

    /// Registered, it would be in the way of every app of the tests.
    fn state(name: &'static str, type_id: fn() -> TypeId) -> &'static StateDescriptor {
        Box::leak(Box::new(StateDescriptor {
            name,
            place: SourceLocation {
                module: "m",
                file: "f.rs",
                line: 1,
            },
            type_id,
            make: || unreachable!("a problem is said before anything is made"),
        }))
    }

    #[test]
    fn two_functions_that_make_one_type_are_named() {
        struct Pool;
        struct Client;
        let states = States::default().listed(&[
            state("one", TypeId::of::<Pool>),
            state("other", TypeId::of::<Pool>),
            state("client", TypeId::of::<Client>),
        ]);
        let problems = states.problems(&[], &[]);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0]
                .message
                .contains("`one` and `other` make the same type"),
            "{problems:?}"
        );
        assert_eq!(problems[0].places.len(), 2);
    }
}
