//! What a user has running beside the numbers: a `tail`, a page that is asked for rows, and a `send` that is given
//! lines. Each must live through every fault of the cluster.

use crate::client::{self, Isolation};
use crate::http;
use crate::leash::{Leashed, tail};
use crate::voltage::App;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What the tail follows.
const FOLLOWED: &str = "met";
/// Where `send` sends to.
pub const SENT: &str = "pings";
/// How long a page may take to answer.
const ANSWER: Duration = Duration::from_secs(20);
/// Between two questions for a row, and between two lines that are sent.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two starts of a tail that ends by itself.
const AGAIN: Duration = Duration::from_secs(3);
/// How long what is left may take to come through at the end.
const LAST: Duration = Duration::from_secs(60);

/// Which of them; the name is that of `--forgive`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Tail,
    Lookup,
    Send,
    /// Not beside: the bound of silences.
    Silence,
}

impl Part {
    pub const ALL: [Part; 4] = [Part::Tail, Part::Lookup, Part::Send, Part::Silence];

    pub fn name(self) -> &'static str {
        match self {
            Part::Tail => "tail",
            Part::Lookup => "lookup",
            Part::Send => "send",
            Part::Silence => "silence",
        }
    }

    /// All names.
    pub fn names() -> String {
        Part::ALL.map(Part::name).join(", ")
    }
}

/// Something that was wrong with a part.
#[derive(Clone, Debug)]
pub struct Finding {
    pub part: Part,
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.part.name(), self.text)
    }
}

type Findings = Arc<Mutex<Vec<Finding>>>;

fn found(findings: &Findings, part: Part, text: String) {
    let finding = Finding { part, text };
    println!("found: {finding}");
    let mut findings = findings.lock().unwrap_or_else(PoisonError::into_inner);
    findings.push(finding);
}

/// Where a worker's pages are, and since when nothing was done to it (wall clock in ms; `i64::MAX` while something is).
pub struct Door {
    pub port: u16,
    pub quiet: AtomicI64,
}

impl Door {
    pub fn new(port: u16) -> Self {
        Self {
            port,
            quiet: AtomicI64::new(i64::MAX),
        }
    }
}

pub struct Beside {
    app: App,
    bootstrap: String,
    tail: Leashed,
    tail_began: Instant,
    stop: Arc<AtomicBool>,
    lookups: Option<JoinHandle<BTreeMap<String, u64>>>,
    sends: Option<JoinHandle<Result<u64>>>,
    findings: Findings,
}

impl Beside {
    /// Starts them; rows of these keys are asked for.
    pub fn start(
        program: &Path,
        bootstrap: &str,
        doors: Arc<Vec<Door>>,
        keys: Vec<String>,
    ) -> Self {
        let app = App::of(program.to_path_buf(), bootstrap);
        let (findings, stop) = (Findings::default(), Arc::new(AtomicBool::new(false)));
        let lookups = {
            let (findings, stop) = (Arc::clone(&findings), Arc::clone(&stop));
            std::thread::spawn(move || look_up(&doors, &keys, &findings, &stop))
        };
        let sends = {
            let (findings, stop) = (Arc::clone(&findings), Arc::clone(&stop));
            let log = app.dir().join("send.err");
            let mut command = app.command(&["send", SENT, "--raw"]);
            std::thread::spawn(move || send(&mut command, log, &findings, &stop))
        };
        Self {
            tail: follow(&app),
            tail_began: Instant::now(),
            app,
            bootstrap: bootstrap.to_owned(),
            stop,
            lookups: Some(lookups),
            sends: Some(sends),
            findings,
        }
    }

    /// A tail that has ended is found, and started again, not too often.
    pub fn tick(&mut self) {
        if self.tail_began.elapsed() >= AGAIN
            && let Some(status) = self.tail.ended()
        {
            let said = tail(&self.tail.output()).to_owned();
            let last: Vec<&str> = said.lines().rev().take(3).collect();
            let text = format!("it ended by itself ({status}): {last:?}");
            found(&self.findings, Part::Tail, text);
            self.tail = follow(&self.app);
            self.tail_began = Instant::now();
        }
    }

    /// No fault comes any more: nothing more is asked for or sent. What was sent is compared.
    pub fn quieten(&mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(lookups) = self.lookups.take() {
            let answers = lookups.join().expect("lookups do not panic");
            println!("answers to lookups by status: {answers:?}");
        }
        match self.sends.take().map(JoinHandle::join) {
            Some(Ok(Ok(sent))) => self.sent(sent)?,
            Some(Ok(Err(error))) => found(&self.findings, Part::Send, format!("{error:#}")),
            Some(Err(_)) => anyhow::bail!("what sends has panicked"),
            None => {}
        }
        Ok(())
    }

    /// Nothing more is written: compares what the tail has shown. Returns what was found of all of them.
    pub fn finish(mut self) -> Result<Vec<Finding>> {
        self.tailed()?;
        let findings = self.findings.lock();
        Ok(findings.unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Each line of `send` must be there once.
    fn sent(&self, sent: u64) -> Result<()> {
        let mut times: BTreeMap<u64, u64> = (0..sent).map(|number| (number, 0)).collect();
        for record in client::read_all(&self.bootstrap, SENT, Isolation::Committed)? {
            let number = std::str::from_utf8(record.bytes())?.parse()?;
            *times.entry(number).or_default() += 1;
        }
        let wrong: Vec<_> = times.iter().filter(|(_, times)| **times != 1).collect();
        println!("sent {sent} lines, {} not there once", wrong.len());
        if !wrong.is_empty() {
            let some: Vec<_> = wrong.iter().take(5).collect();
            let text = format!(
                "of {sent} lines {} are not there once (line, times): {some:?}",
                wrong.len()
            );
            found(&self.findings, Part::Send, text);
        }
        Ok(())
    }

    /// The tail must have shown each record once.
    fn tailed(&mut self) -> Result<()> {
        #[derive(Deserialize)]
        struct Line {
            partition: i32,
            offset: i64,
        }
        let records = client::read_all(&self.bootstrap, FOLLOWED, Isolation::Committed)?;
        let expected: BTreeSet<(i32, i64)> = records
            .iter()
            .map(|record| (record.partition, record.offset))
            .collect();
        let until = Instant::now() + LAST;
        while self.tail.stdout().lines().count() < expected.len() && Instant::now() < until {
            self.tick();
            std::thread::sleep(Duration::from_millis(300));
        }
        let shown = self.tail.stdout();
        let (mut seen, mut twice) = (BTreeSet::new(), 0);
        for line in shown.lines() {
            let line: Line = serde_json::from_str(line)
                .with_context(|| format!("tail printed no record: {line}"))?;
            if !seen.insert((line.partition, line.offset)) {
                twice += 1;
            }
        }
        let (missing, more) = (
            expected.difference(&seen).count(),
            seen.difference(&expected).count(),
        );
        println!(
            "tail showed {} of {} records, {twice} twice",
            seen.len(),
            expected.len()
        );
        if twice + missing + more > 0 {
            let last = |places: &BTreeSet<(i32, i64)>| {
                let last: BTreeMap<i32, i64> = places.iter().copied().collect();
                last
            };
            let text = format!(
                "of {} records {missing} were not shown, {twice} twice, and {more} that are not there; last offsets shown {:?} of {:?}; it said:\n{}",
                expected.len(),
                last(&seen),
                last(&expected),
                tail(&self.tail.errors())
            );
            found(&self.findings, Part::Tail, text);
        }
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn follow(app: &App) -> Leashed {
    app.start(&["tail", FOLLOWED, "--from-beginning", "--raw", "-o", "json"])
}

/// Asks one worker after the other for rows. One that is killed or frozen meanwhile need not answer.
fn look_up(
    doors: &[Door],
    keys: &[String],
    findings: &Findings,
    stop: &AtomicBool,
) -> BTreeMap<String, u64> {
    let mut answers: BTreeMap<String, u64> = BTreeMap::new();
    let mut longest = Duration::ZERO;
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        std::thread::sleep(PAUSE);
        let door = &doors[turn % doors.len()];
        let since = door.quiet.load(Ordering::Relaxed);
        if since == i64::MAX {
            continue;
        }
        let (began, key) = (Instant::now(), &keys[turn * 7 % keys.len()]);
        let (address, path) = (
            format!("127.0.0.1:{}", door.port),
            format!("/tables/running/{key}"),
        );
        let answer = http::get_within(&address, &path, ANSWER);
        let took = began.elapsed();
        if answer.is_err() {
            // Whoever has just killed it says so a moment later.
            std::thread::sleep(PAUSE);
        }
        if door.quiet.load(Ordering::Relaxed) != since {
            continue;
        }
        let word = match answer {
            Ok(answer) => answer.status.to_string(),
            // It has just been started, and has no pages yet.
            Err(error) if error.to_string().contains("refused") => "refused".to_owned(),
            Err(error) => {
                let text = format!("GET {path} of {address}: {error:#} after {took:?}");
                found(findings, Part::Lookup, text);
                "failed".to_owned()
            }
        };
        longest = longest.max(took);
        *answers.entry(word).or_default() += 1;
    }
    println!("longest wait for a row: {longest:?}");
    answers
}

/// Gives `send` numbers, a line each, and ends it in order. Returns how many.
fn send(
    command: &mut Command,
    log: PathBuf,
    findings: &Findings,
    stop: &AtomicBool,
) -> Result<u64> {
    let log_file = std::fs::File::create(&log)?;
    let mut child = Sending(
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log_file)
            .spawn()?,
    );
    let mut lines = child.0.stdin.take().context("its input")?;
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        if let Err(error) = writeln!(lines, "{sent}") {
            let status = child.0.wait()?;
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            anyhow::bail!("it takes no more ({error}, {status}): {}", tail(&said));
        }
        sent += 1;
        std::thread::sleep(PAUSE);
    }
    drop(lines);
    let until = Instant::now() + LAST;
    loop {
        if let Some(status) = child.0.try_wait()? {
            if !status.success() {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                found(findings, Part::Send, format!("{status}: {}", tail(&said)));
            }
            return Ok(sent);
        }
        if Instant::now() > until {
            anyhow::bail!("it does not end within {LAST:?} of its last line");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Killed when it is not needed any more.
struct Sending(Child);

impl Drop for Sending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
