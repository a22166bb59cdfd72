//! A broker in a process of its own: `serve DATA_DIR [PORT]`. Prints its address, and ends with its standard input.

use std::io::Read;

use stream_broker::{Broker, Config};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("usage: serve DATA_DIR [PORT]")?;
    let port: u16 = arguments.next().map_or(Ok(0), |port| port.parse())?;
    let broker = Broker::start(Config::new(directory).address(([127, 0, 0, 1], port).into()))?;
    println!("{}", broker.address());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    broker.shutdown();
    Ok(())
}
