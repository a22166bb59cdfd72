//! The page at `/`: what the worker is doing, for people.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use super::page::PageDescriptor;
use crate::background::BackgroundContext;
use crate::background::lookup::Tables;
use crate::kafka::TopicPartition;
use crate::worker::{Group, PartitionState, PartitionView};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ddd}\
.running{color:#060}.failed{color:#b00}.recovering,.assigned,.retrying{color:#950}.revoked{color:#888}";

/// The whole page; with the tables whose rows are shown, if any are.
pub(super) async fn page(
    app: &str,
    pages: &[&'static PageDescriptor],
    tables: Option<&Tables>,
    cx: &BackgroundContext,
) -> String {
    let worker = cx.worker();
    let asked = Arc::clone(&worker);
    let lags = tokio::task::spawn_blocking(move || asked.lags()).await;
    let known = lags.unwrap_or_default().into_iter();
    let known = known.filter_map(|(input, lag)| Some((input, lag?)));
    let lags: Lags = known.collect();
    let app = escaped(app);
    let mut out = format!(
        "<!doctype html><meta charset=utf-8><title>{app}</title><style>{STYLE}</style><h1>{app}</h1>"
    );
    let unready = worker.unready();
    let ready = match unready.is_empty() {
        true => "ready",
        false => "not ready",
    };
    let leads = match worker.is_leader() {
        true => ", the leader",
        false => "",
    };
    let _ = write!(out, "<p>{ready}{leads}</p>");
    for line in &unready {
        let _ = write!(out, "<p class=failed>{}</p>", escaped(line));
    }
    let views = worker.status.snapshot();
    for (topology, group) in worker.status.groups().iter().enumerate() {
        let views = views.iter().filter(|view| view.task.0 == topology);
        out += &partitions(group, views, &lags);
    }
    out + &links(pages, tables)
}

/// Records between what is committed and the end, by input.
type Lags = BTreeMap<TopicPartition, i64>;

/// The partitions of the same inputs: one line each. Nothing when the worker has none of them.
fn partitions<'a>(
    group: &Group,
    views: impl Iterator<Item = &'a PartitionView>,
    lags: &Lags,
) -> String {
    let topics: Vec<Arc<str>> = group
        .inputs
        .iter()
        .map(|topic| topic.as_str().into())
        .collect();
    let mut lines = String::new();
    for view in views.filter(|view| view.state != PartitionState::Revoked) {
        let partition = view.task.1;
        let of = |topic: &Arc<str>| lags.get(&(Arc::clone(topic), partition)).copied();
        // It is not known of an input that has committed nothing yet, or of which the broker does not answer.
        let lag = topics.iter().map(of).sum::<Option<i64>>();
        let lag = lag.map_or_else(|| "-".to_owned(), |lag| lag.to_string());
        let (name, mut state) = (view.state.name(), escaped(&view.state.to_string()));
        if let Some((by, seconds)) = &view.held {
            let _ = write!(state, "; time held back for {seconds} s by {}", escaped(by));
        }
        let _ = write!(
            lines,
            "<tr><td>{partition}<td class={name}>{state}<td>{lag}"
        );
    }
    if lines.is_empty() {
        return lines;
    }
    let (inputs, agents) = (group.inputs.join(" + "), group.agents.join(", "));
    format!(
        "<h2>{}</h2><p>{}</p><table><tr><th>partition<th>state<th>lag, records{lines}</table>",
        escaped(&inputs),
        escaped(&agents)
    )
}

/// Pages that there are beside, as links where nothing needs to be filled in.
fn links(pages: &[&'static PageDescriptor], tables: Option<&Tables>) -> String {
    let mut out = "<h2>Pages</h2><ul>".to_owned();
    for page in pages {
        let path = escaped(page.path);
        let _ = match page.method == "GET" && !page.path.contains('{') {
            true => write!(out, "<li><a href=\"{path}\">{path}</a>"),
            false => write!(out, "<li>{} {path}", page.method),
        };
    }
    for path in ["/health", "/ready", "/metrics"] {
        let _ = write!(out, "<li><a href=\"{path}\">{path}</a>");
    }
    out += "</ul>";
    let mut tables = tables
        .iter()
        .flat_map(|tables| tables.with_rows())
        .peekable();
    if tables.peek().is_some() {
        out +=
            "<h2>Tables</h2><p>A row is shown at its path, with the key in place of KEY.</p><ul>";
        for table in tables {
            let (name, key) = (escaped(table.name), escaped(table.key));
            let _ = write!(out, "<li>/tables/{name}/KEY: by {key}");
        }
        out += "</ul>";
    }
    out + "\n"
}

/// Text for HTML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_is_markup() {
        assert_eq!(escaped("a<b> & \"c\""), "a&lt;b&gt; &amp; &quot;c&quot;");
    }

    fn view(partition: i32, state: PartitionState) -> PartitionView {
        PartitionView {
            task: (0, partition),
            label: String::new(),
            state,
            held: (partition == 0).then(|| ("a[1]: stopped".to_owned(), 7)),
        }
    }

    #[test]
    fn a_partition_is_listed_once_with_the_lag_of_all_its_inputs() {
        let group = Group {
            inputs: vec!["orders".to_owned(), "payments".to_owned()],
            agents: vec!["pay".to_owned(), "another key for <ship>".to_owned()],
        };
        let lags: Lags = [("orders", 0, 3), ("payments", 0, 4), ("orders", 1, 5)]
            .map(|(topic, partition, lag)| ((Arc::from(topic), partition), lag))
            .into();
        let views = [
            view(0, PartitionState::Running),
            view(1, PartitionState::Failed("a<b".to_owned())),
            view(2, PartitionState::Revoked),
        ];
        let shown = partitions(&group, views.iter(), &lags);
        let expected = "<h2>orders + payments</h2><p>pay, another key for &lt;ship&gt;</p>\
            <table><tr><th>partition<th>state<th>lag, records\
            <tr><td>0<td class=running>running; time held back for 7 s by a[1]: stopped<td>7\
            <tr><td>1<td class=failed>failed: a&lt;b<td>-</table>";
        assert_eq!(shown, expected);
        assert_eq!(partitions(&group, [].iter(), &lags), "");
    }
}
