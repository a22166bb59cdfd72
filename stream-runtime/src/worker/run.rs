//! A worker from its start to its end.

use super::caught_up;
use super::context::EndedWriters;
use super::context::TopicFacts;
use super::globals;
use super::handle::WorkerHandle;
use super::patterns;
use super::patterns::Replan;
use super::prefetch;
use super::session;
use super::settings::WorkerSettings;
use super::telling;
use super::topics;
use super::topics::Must;
use super::watchdog;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::caught_up::Looked;
use super::context::{View, WorkerContext};
use super::globals::{Global, Globals};
use super::instance_dir::Slot;
use super::messages::Reply;
use super::patterns::Running;
use super::thread::StreamThread;
use super::topics::{Limits, Watch};
use crate::error::{Error, Kind, panic_text};
use crate::kafka::{Admin, Properties};
use crate::store::{Flusher, SledOptions, SledStore, Store};
use crate::task::{Pulse, States};
use crate::topology::{AgentPlan, Plan};

/// How long a question to the broker may take.
pub(super) const BROKER_TIMEOUT: Duration = Duration::from_secs(15);
/// How often the settings of the app's own topics are looked at, unless the user says how often topics are.
const SETTINGS_INTERVAL: Duration = Duration::from_secs(60);
/// Interval between checks whether the worker has caught up.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// When it is said what a worker waits for that is caught up with its own partitions, and when again.
const SAY_AFTER: Duration = Duration::from_secs(5);
const SAY_INTERVAL: Duration = Duration::from_secs(60);

/// How a worker ended that ended well by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Partitions that had stopped, and why. With any, the exit code is 1.
    pub(crate) failed: Vec<(String, String)>,
}

/// What a worker keeps when it starts again.
struct RunContext<'a> {
    states: Arc<States>,
    settings: WorkerSettings,
    slot: uuid::Uuid,
    store: Arc<dyn Store>,
    admin: Arc<Admin>,
    handle: &'a Arc<WorkerHandle>,
    replan: Replan<'a>,
}

/// Runs a worker until it is asked to stop, has caught up (when that is asked for), or cannot go on.
/// Blocks. `handle` is how others see it and reach it; `replan` makes the plan with the topics that patterns find.
///
/// # Errors
/// The settings, the topics, the store or the broker do not let it go on.
pub(crate) fn run(
    plan: Plan,
    states: Arc<States>,
    settings: WorkerSettings,
    handle: &Arc<WorkerHandle>,
    replan: Replan<'_>,
) -> Result<Ended, Error> {
    #[cfg(feature = "mimalloc")]
    crate::kafka::keep_freed_memory();
    let slot = Slot::take(&settings.data_dir, &plan.app)?;
    tracing::debug!(slot = %slot.dir().display(), "slot taken");
    let store: Arc<dyn Store> =
        Arc::new(SledStore::open(&slot.store_dir(), SledOptions::default())?);
    let admin = Arc::new(Admin::new(&settings.properties, BROKER_TIMEOUT)?);
    handle.is_called(slot.id().to_string(), settings.address.clone());
    let crew = telling::start(&plan, &settings, slot.id(), &admin, handle).map_err(no_thread)?;
    let fits = match &crew {
        Some(_) => telling::refuse_others_without_watermarks(&plan, slot.id(), handle),
        None => Ok(()),
    };
    let first = fits.and_then(|()| patterns::first(plan, replan, &admin, &handle.stop));
    let ground = RunContext {
        states,
        settings,
        slot: slot.id(),
        store,
        admin,
        handle,
        replan,
    };
    let worked = first.map_err(|error| handle.stop.excuse(error));
    let worked = worked.and_then(|plan| {
        let mut next = Some(plan);
        while let Some(plan) = next.take() {
            next = ground.work(plan)?;
        }
        Ok(())
    });
    crate::error::quiet::say_left_out(true);
    // Whoever looks sees that it ends, asked or not.
    handle.stop.ask();
    drop(crew);
    match worked {
        // Asked to end before it had begun: that is what it does.
        Err(error) if error.is_stopped() => tracing::info!("{error}"),
        worked => worked?,
    }
    Ok(Ended {
        failed: handle.status.failures(),
    })
}

impl RunContext<'_> {
    /// Works with one plan until the worker ends; `Some` is the plan to start again with.
    fn work(&self, plan: Plan) -> Result<Option<Plan>, Error> {
        let (handle, admin) = (self.handle, &self.admin);
        let stop = handle.stop.part();
        let limits = topics::prepare(&plan, &self.settings, admin, &stop)
            .map_err(|error| stop.excuse(error))?;
        let mut settings = self.settings.clone();
        let threads = settings.threads.max(1);
        fit(&mut settings.properties, &limits)?;
        session::fit(&mut settings.properties, &admin.sessions())?;
        let taken = limits.taken(&settings.properties);
        let (names, running) = (names(&plan), Running::of(&plan));
        let globals = Global::of(&plan, &limits.globals, &handle.replicas)?;
        let globals = Globals::new(globals, &settings.properties, &plan.app, admin, &stop);
        let globals = globals.of_worker(handle);
        let states = globals.beside(Arc::clone(&self.states));
        let follower = globals::start(globals)?;
        let storer = Flusher::start(Arc::clone(&self.store)).map_err(no_thread)?;
        handle.begin(&plan, &limits.counts, threads, admin);
        let worker = Arc::new(WorkerContext {
            workers_topic: plan.workers_topic(),
            app: plan.app,
            topologies: plan.topologies.into_iter().map(Arc::new).collect(),
            settings,
            states,
            admin: Arc::clone(admin),
            store: Arc::clone(&self.store),
            status: Arc::clone(&handle.status),
            handle: Arc::clone(handle),
            stop: stop.clone(),
            slot: self.slot,
            topics: TopicFacts {
                dead_letters: limits.dead_letters,
                limits: Arc::new(taken),
                tombstones: limits.tombstones,
                counts: limits.counts,
                unfit: Arc::default(),
                purge_refused: AtomicBool::new(false),
            },
            succession: EndedWriters::default(),
            began: Instant::now(),
            views: (0..threads).map(|_| View::default()).collect(),
            ready: AtomicUsize::new(0),
        });
        watch_settings(&worker, limits.musts).map_err(no_thread)?;
        let result = self.streams(&worker, &names, &running, &storer);
        storer.stop();
        // Without streams nobody reads them: asked or not, they end with these.
        stop.ask();
        if let Some(follower) = follower {
            let _ = follower.join();
        }
        result
    }

    /// Runs the stream threads, and what watches them.
    fn streams(
        &self,
        worker: &Arc<WorkerContext>,
        names: &[&'static str],
        running: &Running,
        storer: &Flusher,
    ) -> Result<Option<Plan>, Error> {
        let threads = worker.views.len();
        let pulses: Vec<Arc<Pulse>> = (0..threads).map(|_| Arc::default()).collect();
        let over = AtomicBool::new(false);
        let lost = crate::kafka::longest_turn(&worker.settings.properties);
        std::thread::scope(|scope| {
            let watchdog = std::thread::Builder::new()
                .name("watchdog".to_owned())
                .spawn_scoped(scope, || {
                    watchdog::watch(&pulses, self.handle, names, lost, &over)
                })
                .map_err(no_thread)?;
            let mut streams = Vec::with_capacity(threads);
            let mut first = Ok(());
            for (number, pulse) in pulses.iter().enumerate() {
                let (own, pulse, client) = (Arc::clone(worker), Arc::clone(pulse), storer.client());
                let spawned = std::thread::Builder::new()
                    .name(format!("stream-{number}"))
                    .spawn_scoped(scope, move || {
                        let work = || stream(Arc::clone(&own), number, client?, pulse);
                        let result = catch_unwind(AssertUnwindSafe(work))
                            .unwrap_or_else(|panic| Err(panicked(&*panic)));
                        // It was to start again before it had begun: the worker goes on.
                        let result = match result {
                            Err(error) if error.is_stopped() && own.stop.ends_since().is_none() => {
                                Ok(())
                            }
                            result => result,
                        };
                        // One thread that cannot go on ends the worker: its partitions would have no owner here.
                        if result.is_err() {
                            own.handle.stop.ask();
                        }
                        result
                    });
                match spawned {
                    Ok(thread) => streams.push(thread),
                    Err(error) => {
                        first = Err(no_thread(error));
                        self.handle.stop.ask();
                        break;
                    }
                }
            }
            let mut next = None;
            if worker.settings.until_caught_up {
                wait_until_caught_up(worker);
            } else if running.is_open() {
                next = patterns::watch(worker, running, self.replan);
                worker.stop.ask();
            }
            for thread in streams {
                let result = thread.join().unwrap_or_else(|panic| Err(panicked(&*panic)));
                first = worse(first, result);
            }
            over.store(true, Ordering::Release);
            watchdog.thread().unpark();
            first?;
            Ok(next.filter(|_| !self.handle.stop.is_asked()))
        })
    }
}

/// Looks from time to time at the settings of the app's own topics, on a thread that nobody waits for.
fn watch_settings(worker: &Arc<WorkerContext>, musts: Vec<Must>) -> std::io::Result<()> {
    let Some(every) = patterns::every(&worker.settings.properties, SETTINGS_INTERVAL) else {
        return Ok(());
    };
    let watch = Watch {
        admin: Arc::clone(&worker.admin),
        stop: worker.stop.clone(),
        unfit: Arc::clone(&worker.topics.unfit),
        musts,
        broker: topics::broker(&worker.settings),
        every,
    };
    let handle = Arc::clone(&worker.handle);
    let tell = move |topology: usize, why: &str| {
        for view in handle.status.snapshot() {
            if view.task.0 == topology {
                let (task, why) = (view.task, why.to_owned());
                handle.ask(task, Reply::Unfit { task, why });
            }
        }
    };
    std::thread::Builder::new()
        .name("topics".to_owned())
        .spawn(move || watch.run(tell))
        .map(drop)
}

/// The first error of stream threads. One that was asked to stop meanwhile has only the end of another to tell.
pub(super) fn worse(first: Result<(), Error>, next: Result<(), Error>) -> Result<(), Error> {
    match first {
        Err(error) if error.is_stopped() && next.is_err() => next,
        first => first.and(next),
    }
}

/// The agents by their numbers.
fn names(plan: &Plan) -> Vec<&'static str> {
    let mut agents: Vec<_> = plan.topologies.iter().flat_map(|t| &t.agents).collect();
    agents.sort_by_key(|agent| agent.number);
    let name = |agent: &&AgentPlan| agent.feeds.unwrap_or(agent.descriptor.name);
    agents.iter().map(name).collect()
}

/// Sets what follows from the topics, unless the user has.
fn fit(properties: &mut Properties, limits: &Limits) -> Result<(), Error> {
    for (name, value) in [
        ("message.max.bytes", limits.message),
        ("batch.size", limits.batch),
    ] {
        if properties.get(name).is_none() {
            properties
                .set(name, &value.to_string())
                .map_err(|text| Error::new(Kind::Internal, text))?;
        }
    }
    prefetch::fit(properties, limits.partitions)
}

/// One stream thread, from its first to its end.
fn stream(
    worker: Arc<WorkerContext>,
    number: usize,
    storer: crate::store::StorerClient,
    pulse: Arc<Pulse>,
) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(no_thread)?;
    let result = runtime.block_on(async {
        let mut thread = StreamThread::new(Arc::clone(&worker), number, storer, pulse)?;
        worker.join_together();
        let result = thread.run().await;
        thread.close();
        result
    });
    // Questions to a broker that does not answer are not waited for.
    runtime.shutdown_background();
    result
}

fn wait_until_caught_up(worker: &WorkerContext) {
    let mut says = Instant::now() + SAY_AFTER;
    while !worker.stop.is_asked() {
        let looked = caught_up::look(worker);
        let pause = match looked {
            Ok(Looked::Works) => CHECK_INTERVAL,
            _ => CHECK_INTERVAL * 10,
        };
        match looked {
            Ok(Looked::CaughtUp) => {
                tracing::info!("caught up");
                worker.handle.stop.ask();
                return;
            }
            Ok(Looked::Works) => says = Instant::now() + SAY_AFTER,
            Ok(Looked::Waits(unread)) if says <= Instant::now() => {
                says = Instant::now() + SAY_INTERVAL;
                tracing::info!(
                    "caught up with this worker's partitions; it ends when others of the app, or this one in their place, \
                     have processed {unread} too"
                );
            }
            Ok(Looked::Waits(_)) => {}
            Err(fault) => tracing::warn!("{fault}; trying again"),
        }
        std::thread::sleep(pause);
    }
}

fn no_thread(error: std::io::Error) -> Error {
    Error::new(Kind::Internal, format!("cannot start a thread: {error}"))
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic_text(panic);
    Error::new(Kind::Internal, format!("a stream thread panicked: {text}"))
}
