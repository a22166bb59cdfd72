//! The page at `/`: what the worker is doing, for people.

use std::fmt::Write;

use super::page::PageDescriptor;
use crate::beside::BesideCx;
use crate::worker::PartitionState;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ddd}\
.running{color:#060}.failed{color:#b00}.recovering,.assigned,.retrying{color:#950}.revoked{color:#888}";

/// The whole page.
pub(super) async fn page(app: &str, pages: &[&'static PageDescriptor], cx: &BesideCx) -> String {
    let worker = cx.worker();
    let asked = std::sync::Arc::clone(&worker);
    let lags = tokio::task::spawn_blocking(move || asked.lags()).await;
    let app = escaped(app);
    let mut out = format!(
        "<!doctype html><meta charset=utf-8><title>{app}</title><style>{STYLE}</style><h1>{app}</h1>"
    );
    let ready = if worker.is_ready() {
        "ready"
    } else {
        "not ready"
    };
    let leads = if worker.is_leader() {
        ", the leader"
    } else {
        ""
    };
    let _ = write!(
        out,
        "<p>{ready}{leads}</p><table><tr><th>partition<th>state"
    );
    for view in worker.status.snapshot() {
        if view.state != PartitionState::Revoked {
            let (label, state) = (escaped(&view.label), escaped(&view.state.to_string()));
            let _ = write!(
                out,
                "<tr><td>{label}<td class={}>{state}",
                view.state.name()
            );
        }
    }
    out += "</table><h2>Lag</h2><table><tr><th>input<th>records";
    for ((topic, partition), lag) in lags.unwrap_or_default() {
        let _ = write!(out, "<tr><td>{}[{partition}]<td>{lag}", escaped(&topic));
    }
    out += "</table><h2>Pages</h2><ul>";
    for page in pages {
        let path = escaped(page.path);
        let _ = write!(out, "<li>{} {path}", page.method);
    }
    for path in ["/health", "/ready", "/metrics"] {
        let _ = write!(out, "<li><a href={path}>{path}</a>");
    }
    out + "</ul>\n"
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
    #[test]
    fn nothing_of_a_text_is_markup() {
        assert_eq!(
            super::escaped("a<b> & \"c\""),
            "a&lt;b&gt; &amp; &quot;c&quot;"
        );
    }
}
