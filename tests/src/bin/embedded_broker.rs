//! The embedded broker in a process of its own.

use clap::Parser;
use std::path::PathBuf;
use stream_broker::{Broker, Config};

#[derive(Parser)]
struct Args {
    #[arg(long)]
    port: u16,
    #[arg(long)]
    data_dir: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let broker =
        Broker::start(Config::new(args.data_dir).address(([127, 0, 0, 1], args.port).into()))?;
    println!("Broker {}", broker.address());
    loop {
        std::thread::park();
    }
}
