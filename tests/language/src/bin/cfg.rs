//! What is not compiled is not registered, and its types need not exist.
use stream_runtime::__private::{AgentDescriptor, inventory};
use stream_runtime::prelude::*;

#[record]
struct Kept {
    #[cfg(any())]
    #[field(min = 1)]
    gone: Missing,
    #[field(min = 1)]
    n: u64,
    #[cfg(any())]
    #[field(sensitive)]
    also_gone: Missing,
}

#[record]
#[cfg(any())]
struct Gone {
    n: Missing,
}

#[table]
#[cfg(any())]
#[derive(Clone, Default)]
struct Rows {
    n: Missing,
}

#[topic("gone", value = Missing)]
#[cfg(any())]
struct Topics;

#[agent(topic = "kept")]
#[cfg(any())]
async fn gone(_: Missing) {}

#[cfg(any())]
#[agent(topic = "kept")]
async fn gone_before(_: Missing) {}

#[agent(topic = "kept")]
#[cfg(all())]
async fn kept(_: Kept) {}

#[state]
#[cfg(any())]
async fn gone_state() -> Missing {}

#[command]
#[cfg(any())]
async fn gone_command(_: Missing) {}

#[join(left = "kept", right = "others", within = "1m")]
#[cfg(any())]
async fn gone_join(_: Missing, _: Missing) {}

#[timer("1m")]
#[cfg(any())]
async fn gone_timer(_: Missing) {}

#[timer("1m", per = "partition")]
#[cfg(any())]
async fn gone_tick(_: Missing) {}

#[crontab("0 * * * *")]
#[cfg(any())]
async fn gone_crontab(_: Missing) {}

#[task]
#[cfg(any())]
async fn gone_task(_: Missing) {}

#[page("/gone")]
#[cfg(any())]
async fn gone_page(_: Missing) {}

fn main() {
    let names: Vec<_> = inventory::iter::<AgentDescriptor>()
        .map(|agent| agent.name)
        .collect();
    assert_eq!(names, ["kept"]);
    assert_eq!(Kept::decode(Some(br#"{"n":1}"#)).unwrap().n, 1);
}
