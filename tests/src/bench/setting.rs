//! What contenders run under, where that is asked for: the distance to the broker, the store.

use super::bed::Bed;
use super::distance::Distance;
use anyhow::{Result, bail};
use std::process::Command;
use std::time::Duration;

/// The stores to run with, an option of benchmarks with state.
#[derive(clap::Args)]
pub struct StoreArgs {
    // Workers have one store so far: the option is for those of other builds.
    /// The worker's store, as its own option `--store` has it; several, as sled,lsm, run in turn [default: the worker's]
    #[arg(long, hide = true, value_delimiter = ',', value_name = "STORES")]
    store: Vec<String>,
}

impl StoreArgs {
    /// What was asked for; one that says nothing, if nothing was.
    pub fn all(&self) -> Vec<Option<&str>> {
        match self.store.is_empty() {
            true => vec![None],
            false => self
                .store
                .iter()
                .map(|store| Some(store.as_str()))
                .collect(),
        }
    }
}

/// The distance to the broker and how often is committed, options of races.
#[derive(clap::Args)]
pub struct WayArgs {
    /// Contenders reach the broker through a proxy that delays each way by so much, as 10ms; several, as 0ms,10ms, run
    /// in turn and are compared. 0ms is the proxy alone [default: no proxy]
    #[arg(long, value_delimiter = ',', value_name = "TIMES", value_parser = time)]
    delay: Vec<Duration>,
    /// The interval of commits, of the framework and of loops by hand.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    pub commit_ms: u64,
}

/// A duration, as `10ms`.
pub fn time(text: &str) -> Result<Duration, String> {
    let millis = stream_runtime::duration::parse(text).map_err(|error| error.to_string())?;
    u64::try_from(millis)
        .map(Duration::from_millis)
        .map_err(|_| format!("{text}: before it has begun"))
}

/// The same again, in milliseconds.
pub fn as_ms(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}

/// One of those that are run in turn.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Setting {
    /// Of the proxy before the broker; without one there is no proxy.
    pub delay: Option<Duration>,
    pub store: Option<String>,
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let delay = self.delay.map(|delay| format!("delay {}", as_ms(delay)));
        let words: Vec<String> = delay.into_iter().chain(self.store.clone()).collect();
        f.write_str(&words.join(" "))
    }
}

impl Setting {
    /// All that were asked for: each store at each distance.
    pub fn all(way: &WayArgs, stores: &[Option<&str>]) -> Vec<Self> {
        let delays: Vec<Option<Duration>> = match way.delay.is_empty() {
            true => vec![None],
            false => way.delay.iter().copied().map(Some).collect(),
        };
        let of = |delay| {
            stores.iter().map(move |store| Self {
                delay,
                store: store.map(str::to_owned),
            })
        };
        delays.into_iter().flat_map(of).collect()
    }

    /// Whether they differ in their stores alone, which is nothing to a contender without.
    pub fn is_as_far_as(&self, other: &Self) -> bool {
        self.delay == other.delay
    }
}

/// Gives a worker its store, if one was asked for.
pub fn with_store(command: &mut Command, store: Option<&str>) {
    if let Some(store) = store {
        command.args(["--store", store]);
    }
}

/// The ways to a broker: the direct one, and one with delays if that is asked for.
pub struct Ways<'a> {
    bed: &'a Bed,
    far: Option<Distance>,
}

impl<'a> Ways<'a> {
    /// # Errors
    /// There is to be a proxy before a broker that is not ours, and may call itself by any name.
    pub fn to(bed: &'a Bed, settings: &[Setting]) -> Result<Self> {
        let far = settings.iter().any(|setting| setting.delay.is_some());
        if far && !bed.is_own() {
            bail!(
                "--delay needs a broker of the benchmark's own: leave out --broker, or use --apache"
            );
        }
        let far = far.then(|| Distance::to(&bed.bootstrap)).transpose()?;
        Ok(Self { bed, far })
    }

    /// `host:port` by which contenders reach the broker under this setting, until the next call.
    pub fn bootstrap(&self, setting: &Setting) -> String {
        match (&self.far, setting.delay) {
            (Some(far), Some(delay)) => {
                far.set(delay);
                far.bootstrap()
            }
            _ => self.bed.bootstrap.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Args {
        #[command(flatten)]
        way: WayArgs,
        #[command(flatten)]
        stores: StoreArgs,
    }

    fn all(args: &[&str]) -> Vec<String> {
        let args = Args::parse_from([&["bench"], args].concat());
        let all = Setting::all(&args.way, &args.stores.all());
        all.iter().map(Setting::to_string).collect()
    }

    #[test]
    fn lists_are_each_run_with_each() {
        assert_eq!(all(&[]), [""]);
        assert_eq!(all(&["--delay", "0ms,10ms"]), ["delay 0ms", "delay 10ms"]);
        let both = all(&["--delay", "0ms,1s", "--store", "sled,lsm"]);
        assert_eq!(
            both,
            [
                "delay 0ms sled",
                "delay 0ms lsm",
                "delay 1000ms sled",
                "delay 1000ms lsm"
            ]
        );
        assert!(time("-1ms").is_err());
    }

    #[test]
    fn a_worker_hears_of_its_store_only_if_one_was_asked_for() {
        let mut command = Command::new("worker");
        with_store(&mut command, None);
        assert_eq!(command.get_args().count(), 0);
        with_store(&mut command, Some("lsm"));
        assert_eq!(command.get_args().collect::<Vec<_>>(), ["--store", "lsm"]);
    }
}
