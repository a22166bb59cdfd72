//! The attributes of `stream-runtime`.
//!
//! Use them through that crate, which re-exports them with their documentation. Each attribute goes the same way:
//! *parse* (tokens to a model), *check* (all mistakes at once, each on the smallest token), *expand* (cannot fail).

mod agent;
mod beside;
mod command;
mod descriptor;
mod duration;
mod errors;
mod function;
mod item;
mod join;
mod options;
mod page;
mod paths;
mod record;
mod shape;
mod state;
mod table;
mod topic;
mod without;

use proc_macro::TokenStream;

#[allow(missing_docs)] // documented where stream-runtime re-exports it
#[proc_macro_attribute]
pub fn record(args: TokenStream, item: TokenStream) -> TokenStream {
    record::attribute(args.into(), item.into()).into()
}

#[allow(missing_docs)]
#[proc_macro_attribute]
pub fn topic(args: TokenStream, item: TokenStream) -> TokenStream {
    topic::attribute(args.into(), item.into()).into()
}

#[allow(missing_docs)]
#[proc_macro_attribute]
pub fn table(args: TokenStream, item: TokenStream) -> TokenStream {
    table::attribute(args.into(), item.into()).into()
}

#[allow(missing_docs)]
#[proc_macro_attribute]
pub fn agent(args: TokenStream, item: TokenStream) -> TokenStream {
    agent::attribute(args.into(), item.into()).into()
}

#[allow(missing_docs)]
#[proc_macro_attribute]
pub fn state(args: TokenStream, item: TokenStream) -> TokenStream {
    state::attribute(args.into(), item.into()).into()
}

#[allow(missing_docs)]
#[proc_macro_attribute]
pub fn command(args: TokenStream, item: TokenStream) -> TokenStream {
    command::attribute(args.into(), item.into()).into()
}

#[allow(missing_docs)]
#[proc_macro_attribute]
pub fn timer(args: TokenStream, item: TokenStream) -> TokenStream {
    beside::attribute(args.into(), item.into(), &beside::TIMER).into()
}

#[allow(missing_docs)]
#[proc_macro_attribute]
pub fn crontab(args: TokenStream, item: TokenStream) -> TokenStream {
    beside::attribute(args.into(), item.into(), &beside::CRONTAB).into()
}

#[allow(missing_docs)]
#[proc_macro_attribute]
pub fn task(args: TokenStream, item: TokenStream) -> TokenStream {
    beside::attribute(args.into(), item.into(), &beside::TASK).into()
}

#[allow(missing_docs)]
#[proc_macro_attribute]
pub fn page(args: TokenStream, item: TokenStream) -> TokenStream {
    page::attribute(args.into(), item.into()).into()
}

#[allow(missing_docs)]
#[proc_macro_attribute]
pub fn join(args: TokenStream, item: TokenStream) -> TokenStream {
    join::attribute(args.into(), item.into()).into()
}

/// Stands for `#[command]` where stream-runtime is built without its feature `cli`.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn without_cli(_: TokenStream, item: TokenStream) -> TokenStream {
    without::feature("#[command]", "cli", item.into()).into()
}

/// Stands for `#[page]` where stream-runtime is built without its feature `web`.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn without_web(_: TokenStream, item: TokenStream) -> TokenStream {
    without::feature("#[page]", "web", item.into()).into()
}
