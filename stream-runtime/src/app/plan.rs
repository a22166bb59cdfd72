//! The plan of an app: what the registry holds, narrowed to what the app names.

use super::App;
use crate::topology::{
    AgentDescriptor, Place, Plan, PlanParts, Problem, RegisteredTable, RegisteredTopic,
    TableDescriptor, TopicDescriptor,
};

impl App {
    /// Joins and checks what the attributes declare; every problem at once.
    pub(crate) fn plan(&self) -> Result<Plan, Vec<Problem>> {
        let id = self.id();
        let agents = self.agents_in();
        let of_states = self.states.problems(&agents);
        let plan = crate::topology::plan(PlanParts {
            app: &id,
            agents,
            tables: self.tables(),
            topics: self.topics(),
        });
        match plan {
            Ok(plan) if of_states.is_empty() => Ok(plan),
            Ok(_) => Err(of_states),
            Err(problems) => Err(problems.into_iter().chain(of_states).collect()),
        }
    }

    fn agents_in(&self) -> Vec<&'static AgentDescriptor> {
        let named = |agent: &AgentDescriptor| {
            self.only
                .as_ref()
                .is_none_or(|only| only.contains(&(agent.item)()))
        };
        let all = inventory::iter::<AgentDescriptor>();
        all.filter(|agent| self.holds(agent.place) && named(agent))
            .collect()
    }

    fn tables(&self) -> Vec<&'static TableDescriptor> {
        inventory::iter::<RegisteredTable>()
            .map(|table| table.0)
            .filter(|table| self.holds(table.place))
            .collect()
    }

    fn topics(&self) -> Vec<&'static TopicDescriptor> {
        inventory::iter::<RegisteredTopic>()
            .map(|topic| topic.0)
            .filter(|topic| self.holds(topic.place))
            .collect()
    }

    /// Whether a place is in the app's scope.
    fn holds(&self, place: Place) -> bool {
        self.scope.as_deref().is_none_or(|scope| {
            place
                .module
                .strip_prefix(scope)
                .is_some_and(|below| below.is_empty() || below.starts_with("::"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_a_module_and_what_is_below() {
        let app = App::new("a").scope("my_app::billing");
        let place = |module| Place {
            module,
            file: "f.rs",
            line: 1,
        };
        assert!(app.holds(place("my_app::billing")));
        assert!(app.holds(place("my_app::billing::tax")));
        assert!(!app.holds(place("my_app::billings")));
        assert!(!app.holds(place("my_app")));
        assert!(App::new("a").holds(place("anything")));
    }

    #[test]
    fn an_app_without_agents_is_told_why() {
        let problems = App::new("a")
            .scope("nowhere")
            .plan()
            .err()
            .expect("refused");
        assert!(problems[0].message.contains("no agents"), "{problems:?}");
    }
}
