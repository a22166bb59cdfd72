//! The reference of the attributes names every option that they take.

use crate::options::{Kind, Spec};

#[test]
fn every_option_stands_in_its_attribute_s_documentation() {
    let record = include_str!("../../stream-runtime/src/docs/record.md");
    // A join takes the options of an agent beside its own, and its page says so.
    let pages: &[(&Spec, &str)] = &[
        (&crate::record::SPEC, record),
        (&crate::record::FIELD, record),
        (
            &crate::topic::SPEC,
            include_str!("../../stream-runtime/src/docs/topic.md"),
        ),
        (
            &crate::table::SPEC,
            include_str!("../../stream-runtime/src/docs/table.md"),
        ),
        (
            &crate::agent::SPEC,
            include_str!("../../stream-runtime/src/docs/agent.md"),
        ),
        (
            &crate::command::SPEC,
            include_str!("../../stream-runtime/src/docs/command.md"),
        ),
        (
            &crate::state::SPEC,
            include_str!("../../stream-runtime/src/docs/state.md"),
        ),
        (
            &crate::join::SPEC,
            concat!(
                include_str!("../../stream-runtime/src/docs/join.md"),
                include_str!("../../stream-runtime/src/docs/agent.md")
            ),
        ),
        (
            &crate::page::SPEC,
            include_str!("../../stream-runtime/src/docs/page.md"),
        ),
        (
            &crate::beside::TIMER.spec,
            include_str!("../../stream-runtime/src/docs/timer.md"),
        ),
        (
            &crate::beside::CRONTAB.spec,
            include_str!("../../stream-runtime/src/docs/crontab.md"),
        ),
        (
            &crate::beside::TASK.spec,
            include_str!("../../stream-runtime/src/docs/task.md"),
        ),
    ];
    let attributes = include_str!("lib.rs").matches("#[proc_macro_attribute]");
    // `#[field]` is taken out by `#[record]`, and is none of its own.
    assert_eq!(
        attributes.count() + 1,
        pages.len(),
        "an attribute has no page"
    );
    let mut missing = Vec::new();
    for (spec, page) in pages {
        for (name, kind) in spec.legal {
            let mut said = vec![format!("`{name} = ")];
            if matches!(kind, Kind::Flag) {
                said.push(format!("`{name}`"));
            }
            if !said.iter().any(|said| page.contains(said)) {
                missing.push(format!("{}: {name}", spec.attribute));
            }
        }
    }
    assert!(missing.is_empty(), "not in the documentation: {missing:#?}");
}
