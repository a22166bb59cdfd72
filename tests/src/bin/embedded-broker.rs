//! The embedded broker in a process of its own, to be killed: `embedded-broker DATA_DIR PORT`.

use stream_broker::{Broker, Config};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = || anyhow::anyhow!("usage: embedded-broker DATA_DIR PORT");
    let directory = arguments.next().ok_or_else(usage)?;
    let port: u16 = arguments.next().ok_or_else(usage)?.parse()?;
    let broker = Broker::start(Config::new(directory).address(([127, 0, 0, 1], port).into()))?;
    println!("{}", broker.address());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => Ok(()),
            interrupted = tokio::signal::ctrl_c() => interrupted,
        }
    })?;
    broker.shutdown();
    Ok(())
}
