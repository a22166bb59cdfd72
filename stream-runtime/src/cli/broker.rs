//! `broker`: the broker of the directory, alone in a process.

use super::args::{BrokerArgs, Output};
use super::context::Context;
use super::error::{CliError, CliResult, output_error};
use super::signal::Signals;
use crate::app::local_broker::BrokerDir;
use std::io::Write;

pub(crate) fn run(cx: &Context<'_>, args: &BrokerArgs) -> CliResult {
    let runtime = cx.runtime()?;
    // Before anybody can know that it runs.
    let signals = {
        let _inside = runtime.enter();
        Signals::listen()?
    };
    let place = BrokerDir::new(cx.data_dir());
    let Some(host) = place.host(args.port)? else {
        let dir = cx.data_dir().display();
        let at = place
            .running()
            .map_or_else(String::new, |address| format!(" at {address}"));
        return Err(CliError::failure(format_args!(
            "a broker already runs for this directory ({dir}){at}"
        ))
        .next("use that one, or give this one another --data-dir"));
    };
    let address = host.address();
    let style = cx.style();
    let mut out = std::io::stdout();
    match cx.output() {
        Output::Json => writeln!(out, r#"{{"broker":"{address}"}}"#),
        Output::Text => writeln!(
            out,
            "{} {address}, data in {}\nFor development and tests: one node, this machine only. Ctrl-C ends it.",
            style.bold("Broker"),
            cx.data_dir().join("broker").display()
        ),
    }
    .and_then(|()| out.flush())
    .map_err(output_error)?;
    runtime.block_on(signals.asked());
    host.stop();
    Ok(())
}
