//! An app that reads a topic it must not make.

use stream_runtime::prelude::*;

#[topic("elsewhere", value = String, external)]
struct Elsewhere;

#[agent(topic = Elsewhere, sink = "copied")]
async fn copy(line: String) -> String {
    line
}

fn main() -> ExitCode {
    App::new("external").main()
}
