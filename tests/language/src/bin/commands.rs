//! Everything a command may ask for and return.
#![forbid(unsafe_code)]

use stream_runtime::prelude::*;

#[record]
struct Reading {
    value: f64,
}

#[topic("readings", value = Reading)]
struct Readings;

struct Prices(Vec<f64>);

#[state]
async fn prices() -> Prices {
    Prices(vec![1.0])
}

#[derive(clap::Args)]
struct Options {
    /// How many
    #[arg(long, default_value_t = 1)]
    count: u32,
}

#[derive(clap::Args)]
struct More {
    name: Option<String>,
}

/// Nothing at all
#[command]
async fn nothing() {}

/// All of it
///
/// With a longer text.
#[command(name = "all")]
async fn everything(
    Options { count }: Options,
    more: &More,
    prices: State<Prices>,
    mut readings: Producer<Readings>,
    app: &AppHandle,
) -> Result<ExitCode, std::io::Error> {
    let _ = (count, &more.name, prices.0.len(), app.name(), &mut readings);
    Ok(ExitCode::SUCCESS)
}

#[command]
async fn code() -> ExitCode {
    ExitCode::FAILURE
}

#[command]
async fn fails() -> Result<()> {
    Err("no")?
}

mod shadows {
    struct Option;
    struct Result;
    struct Box;
    struct Vec;
    mod std {}
    mod core {}

    #[stream_runtime::command]
    async fn shadowed(app: stream_runtime::AppHandle) {
        let _ = app;
    }
}

fn main() {}
