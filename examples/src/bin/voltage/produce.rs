//! The tutorial's producer.

use std::fs::File;
use std::io::BufReader;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use stream_runtime::prelude::*;

use crate::PowerReading;
use crate::household::Readings;

/// Where readings are sent to.
#[topic("voltage_input", value = PowerReading)]
pub(crate) struct VoltageInput;

#[derive(clap::Args)]
pub(crate) struct ProduceArgs {
    /// The household power file of the UCI Machine Learning Repository
    file: PathBuf,
    /// Readings a second [default: as fast as possible]
    #[arg(long, value_name = "N")]
    rate: Option<NonZeroU32>,
    /// The key of every record: the meter
    #[arg(long, default_value = "power")]
    key: String,
}

/// Send the readings of a household power file to voltage_input
#[command]
async fn produce(args: ProduceArgs, readings: Producer<VoltageInput>) -> Result<()> {
    let place = |error: String| format!("{}: {error}", args.file.display());
    let file = File::open(&args.file).map_err(|error| place(error.to_string()))?;
    let bar = ProgressBar::new(file.metadata()?.len());
    bar.set_style(ProgressStyle::with_template(
        "{bar:30} {bytes} of {total_bytes}  {eta} left",
    )?);
    let read = BufReader::new(bar.wrap_read(file));
    let mut lines = Readings::new(read).map_err(|error| place(error.to_string()))?;
    let start = Instant::now();
    let mut sent = 0u32;
    for reading in lines.by_ref() {
        let reading = reading
            .map_err(|error| place(format!("{error} ({sent} readings were sent before it)")))?;
        readings.send(&args.key, reading).await?;
        sent += 1;
        if let Some(rate) = args.rate {
            let due = Duration::from_secs_f64(f64::from(sent) / f64::from(rate.get()));
            tokio::time::sleep(due.saturating_sub(start.elapsed())).await;
        }
    }
    readings.flush().await?;
    bar.finish_and_clear();
    println!(
        "Sent {sent} readings of {} to voltage_input; {} without a voltage were skipped.",
        args.key, lines.skipped
    );
    Ok(())
}
