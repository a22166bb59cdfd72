//! Shared resources: given in code, or made by `#[state]` functions before the streams start.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Kind};
use crate::topology::StateDescriptor;

/// The resources of an app, by type.
#[derive(Clone, Default)]
pub(crate) struct States {
    by_type: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
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

    pub(crate) fn into_map(self) -> HashMap<TypeId, Arc<dyn Any + Send + Sync>> {
        self.by_type
    }

    /// Whether a resource of this type is there, or would be made.
    pub(crate) fn knows(&self, id: TypeId) -> bool {
        self.by_type.contains_key(&id) || registered().iter().any(|made| (made.type_id)() == id)
    }

    /// Two `#[state]` functions that make the same type, each with its place.
    pub(crate) fn duplicates() -> Vec<String> {
        let all = registered();
        let mut problems = Vec::new();
        for (ix, state) in all.iter().enumerate() {
            if let Some(other) = all[..ix]
                .iter()
                .find(|other| (other.type_id)() == (state.type_id)())
            {
                problems.push(format!(
                    "{}: #[state] {} makes the same type as {} at {}: keep one",
                    state.place, state.name, other.name, other.place
                ));
            }
        }
        problems
    }

    /// Makes what the `#[state]` functions declare; what the code gave stays.
    pub(crate) async fn make(mut self) -> Result<States, Error> {
        for state in registered() {
            let id = (state.type_id)();
            if self.by_type.contains_key(&id) {
                continue;
            }
            let made = (state.make)().await.map_err(|failure| {
                Error::new(
                    Kind::Handler,
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

/// In a fixed order: the registry has none.
fn registered() -> Vec<&'static StateDescriptor> {
    let mut all: Vec<_> = inventory::iter::<StateDescriptor>().collect();
    all.sort_by_key(|state| (state.place.file, state.place.line, state.name));
    all
}
