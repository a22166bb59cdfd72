//! An app of whose records a broker refuses some. For tests of what happens to them.

mod app;

use stream_runtime::prelude::*;

fn main() -> ExitCode {
    App::new("refusals").main()
}
