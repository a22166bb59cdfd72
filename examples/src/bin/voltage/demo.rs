//! Everything at once: for a first look.

use std::collections::BTreeSet;

use stream_runtime::prelude::*;

use crate::AverageVoltage;
use crate::household::Readings;
use crate::produce::VoltageInput;

/// Three days of the data set; source and licence are named beside it, in examples/data.
const SAMPLE: &str = include_str!("../../../data/household_power_consumption_sample.txt");

/// Where the means arrive.
#[topic("voltage_avg", value = AverageVoltage)]
struct VoltageAvg;

/// Broker, producer, worker and consumer in one process, on a sample that comes with the program
#[command]
async fn demo(app: AppHandle) -> Result<()> {
    let app = app.scratch()?;
    println!(
        "Broker {} (in this process, gone afterwards)",
        app.broker()?
    );

    let readings = app.producer::<VoltageInput>()?;
    let (mut sent, mut hours) = (0u64, BTreeSet::new());
    for reading in Readings::new(SAMPLE.as_bytes())? {
        let reading = reading?;
        hours.insert(reading.datetime.timestamp().div_euclid(3600));
        readings.send("power", reading).await?;
        sent += 1;
    }
    readings.flush().await?;
    println!("Sent {sent} readings to voltage_input; the hourly means, as they close:\n");

    let mut worker = tokio::spawn(app.worker().until_caught_up().run());
    let mut means = app.records::<VoltageAvg>()?;
    println!("start_time,count,mean");
    let mut done = false;
    let mut printed = 0;
    while printed < hours.len() {
        tokio::select! {
            mean = means.next() => {
                let mean = mean?;
                println!("{},{},{:.6}", mean.start_time.format("%Y-%m-%dT%H:%M:%SZ"), mean.count, mean.mean);
                printed += 1;
            }
            ended = &mut worker, if !done => {
                ended??;
                done = true;
            }
        }
    }
    if !done {
        worker.await??;
    }
    println!("{HOW}");
    Ok(())
}

const HOW: &str = "
The same in three terminals:

    cargo run --release -- worker
    cargo run --release -- tail voltage_avg --from-beginning
    cargo run --release -- produce examples/data/household_power_consumption_sample.txt";
