//! The plan of an app: what the registry holds, narrowed to what the app names.

use std::any::TypeId;

use super::states::User;
use super::{App, States};
use crate::background::JobDescriptor;
use crate::topology::{
    AgentDescriptor, AgentShape, Edge, Plan, PlanParts, Problem, Source, SourceLocation,
    TableDescriptor, TopicDescriptor, pattern, registry,
};
use crate::web::{self, PageDescriptor};

impl App {
    /// Joins and checks what the attributes declare; every problem at once.
    pub(crate) fn plan(&self) -> Result<Plan, Vec<Problem>> {
        self.plan_among(&[])
    }

    /// The same where the cluster has these topics: patterns look for theirs among them.
    pub(crate) fn plan_among(&self, existing: &[String]) -> Result<Plan, Vec<Problem>> {
        let id = self.id();
        let agents = self.agents_in();
        let (beside, pages) = (self.beside(), self.pages());
        let users = users(&beside, &pages);
        let mut others = self.all_states().problems(&agents, &users);
        others.extend(web::problems(&pages));
        others.extend(self.not_there(&agents));
        if cfg!(feature = "inventory") {
            others.extend(not_linked(&agents));
        }
        if agents.is_empty() && !others.is_empty() {
            return Err(others);
        }
        let mut plan = crate::topology::plan(PlanParts {
            app: &id,
            name: &self.name,
            existing,
            tables: self.tables(&agents, &users),
            topics: self.topics(&agents, &users),
            agents,
        });
        if let Ok(plan) = &mut plan {
            let edges = users.iter().flat_map(|user| &user.edges);
            plan.outside.extend(edges.filter_map(|edge| match edge {
                Edge::Global(table) => Some(*table),
                _ => None,
            }));
            others.extend(users.iter().flat_map(|user| unread(plan, user)));
        }
        match plan {
            Ok(plan) if others.is_empty() => Ok(plan),
            Ok(_) => Err(others),
            Err(problems) => Err(problems.into_iter().chain(others).collect()),
        }
    }

    /// What runs beside the streams, in the order of the source.
    pub(crate) fn beside(&self) -> Vec<&'static JobDescriptor> {
        let named = |one: &JobDescriptor| self.names((one.item)());
        let mut all = registry::registered!(JobDescriptor);
        all.extend(&self.chosen.listing.beside);
        all.retain(|one| self.holds(one.place) && named(one));
        all.sort_by_key(|one| (one.place.file, one.place.line, one.name));
        all
    }

    /// The pages of its web server, in the order of the source.
    pub(crate) fn pages(&self) -> Vec<&'static PageDescriptor> {
        let named = |page: &PageDescriptor| self.names((page.item)());
        let mut all = registry::registered!(PageDescriptor);
        all.extend(&self.chosen.listing.pages);
        all.retain(|page| self.holds(page.place) && named(page));
        all.sort_by_key(|page| (page.place.file, page.place.line, page.name));
        all
    }

    /// Whether `App::only` lets a function in.
    fn names(&self, id: TypeId) -> bool {
        self.chosen
            .only
            .as_ref()
            .is_none_or(|only| only.iter().any(|item| item.id == id))
    }

    fn agents_in(&self) -> Vec<&'static AgentDescriptor> {
        let named = |agent: &AgentDescriptor| self.names((agent.item)());
        let mut all = registry::agents();
        all.extend(&self.chosen.listing.agents);
        let (mut named, others): (Vec<_>, Vec<_>) = all
            .into_iter()
            .filter(|agent| self.holds(agent.place))
            .partition(|agent| named(agent));
        if self.chosen.only.is_some() {
            // A table of a topic brings its own agent.
            let shapes = shapes(&named);
            let edges = shapes.iter().flat_map(|shape| &shape.edges);
            let users = users(&self.beside(), &self.pages());
            let edges = edges.chain(users.iter().flat_map(|user| &user.edges));
            let tables: Vec<TypeId> = edges
                .filter_map(|edge| match edge {
                    Edge::Table { table, .. } | Edge::Global(table) => Some((table.type_id)()),
                    _ => None,
                })
                .collect();
            named.extend(
                others
                    .into_iter()
                    .filter(|agent| tables.contains(&(agent.item)())),
            );
        }
        named
    }

    /// What the app was narrowed to, and is nowhere.
    fn not_there(&self, agents: &[&'static AgentDescriptor]) -> Vec<Problem> {
        let mut all = registry::agents();
        all.extend(&self.chosen.listing.agents);
        let mut problems = Vec::new();
        let beside = registry::registered!(JobDescriptor);
        let beside = beside.into_iter().map(|one| (one.item)());
        let pages = registry::registered!(PageDescriptor);
        let pages = pages.into_iter().map(|page| (page.item)());
        let known: Vec<TypeId> = beside.chain(pages).collect();
        for item in self.chosen.only.iter().flatten() {
            let agent = all.iter().any(|agent| (agent.item)() == item.id);
            if !agent && !known.contains(&item.id) {
                let name = item.name;
                let cure = match cfg!(feature = "inventory") {
                    true => "which is not an agent: write `#[agent(..)]` above it",
                    false => {
                        "which is not listed: without the feature `inventory`, `App::agents(agents![..])` lists agents"
                    }
                };
                problems.push(Problem {
                    message: format!("the app is narrowed to `{name}`, {cure}"),
                    places: Vec::new(),
                });
            }
        }
        if let (Some(scope), true, false) = (&self.chosen.scope, agents.is_empty(), all.is_empty())
        {
            let mut modules: Vec<&str> = all.iter().map(|agent| agent.place.module).collect();
            modules.sort_unstable();
            modules.dedup();
            problems.push(Problem {
                message: format!(
                    "the app has no agents in its scope `{scope}`; those of this program are in {}",
                    modules.join(", ")
                ),
                places: Vec::new(),
            });
        }
        problems
    }

    /// The tables of the app, whether or not somebody uses them.
    pub(crate) fn all_tables(&self) -> Vec<&'static TableDescriptor> {
        let users = users(&self.beside(), &self.pages());
        self.tables(&self.agents_in(), &users)
    }

    /// The tables of the app; of one that is narrowed to some functions, those that they use.
    fn tables(
        &self,
        agents: &[&'static AgentDescriptor],
        users: &[User],
    ) -> Vec<&'static TableDescriptor> {
        let mut all = registry::tables();
        all.retain(|table| self.holds(table.place));
        if self.chosen.only.is_some() {
            let shapes = shapes(agents);
            let edges = shapes.iter().flat_map(|shape| &shape.edges);
            let edges = edges.chain(users.iter().flat_map(|user| &user.edges));
            let edges: Vec<&Edge> = edges.collect();
            let used = |table: &TableDescriptor| {
                edges
                    .iter()
                    .any(|edge| matches!(edge, Edge::Table { table: used, .. } | Edge::Global(used) if *used == table))
                    || shapes.iter().any(|shape| shape.closes == Some(table))
            };
            all.retain(|table| used(table));
        }
        all
    }

    /// The topics of the app; of one that is narrowed to some agents, those of the names that they use.
    fn topics(
        &self,
        agents: &[&'static AgentDescriptor],
        users: &[User],
    ) -> Vec<&'static TopicDescriptor> {
        let mut all = registry::topics();
        all.extend(&self.chosen.listing.topics);
        all.retain(|topic| self.holds(topic.place));
        if self.chosen.only.is_some() {
            let shapes = shapes(agents);
            let mut names: Vec<&str> = agents.iter().filter_map(|agent| agent.sink).collect();
            let mut patterns: Vec<&str> = Vec::new();
            for agent in agents {
                match agent.source {
                    Source::Topics(topics) => names.extend(topics),
                    Source::Pattern(pattern) => patterns.push(pattern),
                    Source::Closed | Source::Timer { .. } | Source::Crontab { .. } => {}
                }
            }
            let edges = shapes.iter().flat_map(|shape| &shape.edges);
            let edges = edges.chain(users.iter().flat_map(|user| &user.edges));
            names.extend(edges.filter_map(|edge| match edge {
                Edge::Sends(topic) => Some(topic.name),
                _ => None,
            }));
            let found = |name: &str| patterns.iter().any(|found| pattern::is_match(found, name));
            all.retain(|topic| names.contains(&topic.name) || found(topic.name));
        }
        all
    }

    /// The states given in code, and the functions that make others.
    pub(crate) fn all_states(&self) -> States {
        self.states.clone().listed(&self.chosen.listing.states)
    }

    /// The same, of the functions only those that somebody in the app asks for.
    pub(crate) fn asked_states(&self) -> States {
        let users = users(&self.beside(), &self.pages());
        let shapes = shapes(&self.agents_in());
        let edges = shapes.iter().flat_map(|shape| &shape.edges);
        let edges = edges.chain(users.iter().flat_map(|user| &user.edges));
        let asked = edges.filter_map(|edge| match edge {
            Edge::State { type_id, .. } => Some(type_id()),
            _ => None,
        });
        self.all_states().only(asked.collect())
    }

    /// Whether a place is in the app's scope.
    fn holds(&self, place: SourceLocation) -> bool {
        self.chosen.scope.as_deref().is_none_or(|scope| {
            place
                .module
                .strip_prefix(scope)
                .is_some_and(|below| below.is_empty() || below.starts_with("::"))
        })
    }
}

fn shapes(agents: &[&'static AgentDescriptor]) -> Vec<AgentShape> {
    let each = agents.iter().flat_map(|agent| {
        let feeders = agent.feeders.iter();
        let feeders = feeders.map(|feeder| (feeder.shape)());
        std::iter::once((agent.shape)()).chain(feeders)
    });
    each.collect()
}

/// Tables and topics that agents name and the registry lacks: the linker took only a part of their crate, so that
/// agents of it may be missing too.
fn not_linked(agents: &[&'static AgentDescriptor]) -> Vec<Problem> {
    let (tables, topics) = (registry::tables(), registry::topics());
    let mut problems = Vec::new();
    for agent in agents {
        let shape = (agent.shape)();
        let used = shape.edges.iter().filter_map(|edge| match edge {
            Edge::Table { table, .. } if !tables.contains(table) => {
                Some(("table", table.name, table.place))
            }
            Edge::Sends(topic) if !topics.contains(topic) => {
                Some(("topic", topic.name, topic.place))
            }
            _ => None,
        });
        problems.extend(used.map(|(what, name, place)| {
            let library = place.module.split("::").next().unwrap_or_default();
            Problem {
                message: format!(
                    "agent `{}` uses {what} `{name}`, and only a part of the crate `{library}` that declares it is linked; \
                     agents of it may be missing too. Name the crate in the binary: `use {library} as _;`",
                    agent.name
                ),
                places: vec![place, agent.place],
            }
        }));
    }
    problems
}

fn users(beside: &[&'static JobDescriptor], pages: &[&'static PageDescriptor]) -> Vec<User> {
    let edges = |edges: &[fn() -> Option<Edge>]| edges.iter().filter_map(|edge| edge()).collect();
    let of_beside = beside.iter().map(|one| User {
        what: one.when.what(),
        name: one.name,
        place: one.place,
        edges: edges(one.edges),
    });
    let of_pages = pages.iter().map(|page| User {
        what: "page",
        name: page.name,
        place: page.place,
        edges: edges(page.edges),
    });
    of_beside.chain(of_pages).collect()
}

/// Tables that a function outside the agents reads and no agent keeps.
fn unread(plan: &Plan, user: &User) -> Vec<Problem> {
    let kept = |table: &TableDescriptor| {
        let mut tables = plan.topologies.iter().flat_map(|topology| &topology.tables);
        tables.any(|kept| kept.descriptor == table)
    };
    // Its rows are a topic's, which anybody may fill.
    let is_topic = |table: &TableDescriptor| table.global.is_some_and(|g| g.source.is_some());
    let missing = user.edges.iter().filter_map(|edge| match edge {
        Edge::Table { table, .. } | Edge::Global(table) if !kept(table) && !is_topic(table) => {
            Some(Problem {
                message: format!(
                    "{} `{}` reads table `{}`, which no agent of the app keeps",
                    user.what, user.name, table.name
                ),
                places: vec![user.place, table.place],
            })
        }
        _ => None,
    });
    missing.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_a_module_and_what_is_below() {
        let app = App::new("a").scope("my_app::billing");
        let place = |module| SourceLocation {
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
        assert!(
            problems[0].message.contains("stream_runtime::"),
            "{problems:?}"
        );
    }

    async fn no_agent(_: String) {}

    #[test]
    fn a_function_that_is_no_agent_is_named() {
        let app = App::new("a").only((no_agent,));
        let problems = app.plan().err().expect("refused");
        assert!(
            problems[0].message.contains("tests::no_agent"),
            "{problems:?}"
        );
    }
}
