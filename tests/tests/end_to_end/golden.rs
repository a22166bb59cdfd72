//! What other programs rely on, kept as files under `tests/golden`: command lines, plans, names of metrics, and the
//! forms of all that lies in topics. `BLESS=1` writes them again; read the difference before it goes in.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tests::bins;
use tests::broker::Broker;
use tests::client::{self, Isolation, Record};
use tests::http;
use tests::voltage::App;

const WITHIN: Duration = Duration::from_secs(90);

/// Compares with the file, or writes it.
fn is_as_kept(name: &str, now: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden")
        .join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, now).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let (kept, now): (Vec<_>, Vec<_>) = (kept.lines().collect(), now.lines().collect());
    let first = kept.iter().zip(&now).position(|(a, b)| a != b);
    let first = first.unwrap_or_else(|| kept.len().min(now.len()));
    assert!(
        kept == now,
        "{} differs from line {} on; BLESS=1 keeps what is there now.\nkept: {:?}\nnow:  {:?}",
        path.display(),
        first + 1,
        kept.get(first),
        now.get(first)
    );
}

fn program(name: &str) -> PathBuf {
    match name {
        "voltage" => bins::voltage().unwrap(),
        "clicks" => PathBuf::from(env!("CARGO_BIN_EXE_clicks")),
        _ => PathBuf::from(env!("CARGO_BIN_EXE_faulty")),
    }
}

/// What a command prints.
fn printed(app: &App, words: &[&str]) -> String {
    let mut command = app.bare(words);
    let output = command.env("COLUMNS", "100").output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn commands_have_the_options_that_they_had() {
    let app = App::voltage("127.0.0.1:1");
    let root = printed(&app, &["--help"]);
    let commands = root.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    let names: BTreeSet<&str> = commands
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .collect();
    let mut text = root.clone();
    for name in names.iter().filter(|name| !name.is_empty()) {
        let _ = write!(text, "\n===== {name}\n{}", printed(&app, &[name, "--help"]));
    }
    is_as_kept("help.txt", &text);
}

#[test]
fn plans_are_what_they_were() {
    let mut text = String::new();
    for name in ["voltage", "clicks", "faulty"] {
        let app = App::of(program(name), "127.0.0.1:1");
        let _ = writeln!(
            text,
            "===== {name}\n{}",
            printed(&app, &["plan", "-o", "json"])
        );
        printed(&app, &["plan", "--write"]);
        let lock = std::fs::read_to_string(app.dir().join("plan.lock")).unwrap();
        let _ = writeln!(text, "===== {name}, plan.lock\n{lock}");
    }
    is_as_kept("plans.txt", &text);
}

/// 2026-01-01T00:00:00Z.
const BEGIN: i64 = 1_767_225_600_000;
const HOUR: i64 = 3_600_000;

#[test]
fn topics_and_metrics_have_the_forms_that_they_had() {
    let broker = Broker::embedded();
    let bootstrap = broker.bootstrap();
    for topic in ["views", "orders", "payments"] {
        client::create_topic(&bootstrap, topic, 1, &[("retention.ms", "-1")]).unwrap();
    }
    let app = App::of(program("clicks"), &bootstrap);
    let (mut views, mut orders, mut payments) = (String::new(), String::new(), String::new());
    for n in 0..50 {
        let at = BEGIN + n * HOUR;
        let _ = writeln!(
            views,
            r#"{{"user":"u{}","page":"p{}","at":{at}}}"#,
            n % 3,
            n % 2
        );
        let _ = writeln!(orders, r#"{{"id":"o{n}","at":{at}}}"#);
        let _ = writeln!(payments, r#"{{"payer":"x","order":"o{n}","at":{at}}}"#);
    }
    for (topic, lines) in [("views", views), ("orders", orders), ("payments", payments)] {
        let file = app.file(&format!("{topic}.jsonl"), &lines);
        app.run(&["send", topic, "--file", &file], WITHIN).unwrap();
    }
    let mut worker = app.start(&["worker", "--threads", "1", "--web-port", "0"]);
    let address = http::address_of(&mut worker).unwrap();
    let until = std::time::Instant::now() + WITHIN;
    while client::read_all(&bootstrap, "quarters", Isolation::Committed).map_or(0, |all| all.len())
        < 7
    {
        assert!(std::time::Instant::now() < until, "{}", worker.output());
        std::thread::sleep(Duration::from_millis(100));
    }
    let metrics = http::get(&address, "/metrics").unwrap().body;
    worker.signal("TERM").unwrap();
    worker.wait(WITHIN).unwrap();
    is_as_kept("metrics.txt", &series(&metrics));
    let mut text = String::new();
    for topic in client::topics(&bootstrap).unwrap() {
        if !topic.starts_with("__") {
            let _ = writeln!(text, "===== {topic}\n{}", forms(&bootstrap, &topic));
        }
    }
    is_as_kept("topics.txt", &text);
}

/// Names, types and labels of the metrics, without their values.
fn series(metrics: &str) -> String {
    let mut kept = BTreeSet::new();
    for line in metrics.lines() {
        let line = match line.strip_prefix('#') {
            Some(_) => line.to_owned(),
            None => {
                let series = line.rsplit_once(' ').map_or(line, |(series, _)| series);
                let (name, labels) = series.split_once('{').unwrap_or((series, ""));
                let labels = labels.trim_end_matches('}').split("\",");
                let labels: Vec<&str> = labels
                    .filter_map(|label| Some(label.split_once('=')?.0))
                    .collect();
                format!("{name} {}", labels.join(","))
            }
        };
        kept.insert(line);
    }
    kept.into_iter().collect::<Vec<_>>().join("\n") + "\n"
}

/// The forms of the records of a topic, each once: numbers that differ from run to run are replaced.
fn forms(bootstrap: &str, topic: &str) -> String {
    let records = client::read_all(bootstrap, topic, Isolation::Committed).unwrap();
    let mut forms: BTreeSet<String> = records.iter().map(form).collect();
    if topic.ends_with("-workers") {
        // What is told on the way to all tables goes by chance.
        let longest = forms.iter().map(String::len).max();
        forms.retain(|form| Some(form.len()) == longest || form.contains("value none"));
    }
    forms.into_iter().collect::<Vec<_>>().join("\n")
}

fn form(record: &Record) -> String {
    let bytes = |bytes: &Option<Vec<u8>>| bytes.as_deref().map_or("none".to_owned(), masked);
    let headers = record
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", masked(value)));
    let headers: Vec<String> = headers.collect();
    // How long postcard's bytes are goes by the numbers in them.
    let short = |text: String| match text.strip_suffix(" bytes") {
        Some(_) => "bytes".to_owned(),
        None => text,
    };
    let (key, value) = (short(bytes(&record.key)), short(bytes(&record.value)));
    format!("key {key} value {value} headers [{}]", headers.join(", "))
}

/// Text without its numbers and hexadecimal ids; MessagePack as JSON; other bytes as their number.
fn masked(bytes: &[u8]) -> String {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().all(|c| !c.is_control()) => text.to_owned(),
        _ => match rmp_serde::from_slice::<serde_json::Value>(bytes) {
            Ok(value) if !value.is_number() => format!("msgpack {value}"),
            _ => return format!("{} bytes", bytes.len()),
        },
    };
    if text.len() == 36 && text.split('-').map(str::len).eq([8, 4, 4, 4, 12]) {
        return "ID".to_owned();
    }
    let mut out = String::new();
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let (word, end) = match word.chars().last() {
            Some(c) if !c.is_ascii_alphanumeric() => word.split_at(word.len() - c.len_utf8()),
            _ => (word, ""),
        };
        let is_id = word.len() >= 16 && word.chars().all(|c| c.is_ascii_hexdigit());
        match word.chars().any(|c| c.is_ascii_digit()) {
            _ if is_id => out.push_str("ID"),
            true => {
                let letters: String = word
                    .chars()
                    .map(|c| if c.is_ascii_digit() { '9' } else { c })
                    .collect();
                let mut short = letters.clone();
                while short.contains("99") {
                    short = short.replace("99", "9");
                }
                out.push_str(&short);
            }
            false => out.push_str(word),
        }
        out.push_str(end);
    }
    while out.contains("9,9") {
        out = out.replace("9,9", "9");
    }
    out
}
