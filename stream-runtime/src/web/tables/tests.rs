//! The page of rows as a program asks it, of a router with rows of its own.

use std::any::TypeId;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;

use crate::background::Token;
use crate::background::lookup::Tables;
use crate::background::{Asking, BackgroundContext, Found, Of, Reads};
use crate::error::Error;
use crate::prelude::*;
use crate::table::{TableSpec, replica_of};
use crate::topology::{SourceLocation, TableDescriptor};
use crate::web::page::PageDescriptor;
use crate::web::server::router;
use crate::web::{Door, Port};
use crate::worker::{Answer, Ask, ShutdownSignal, Status, WorkerHandle};

#[table(value = u64)]
struct WebWords;

#[table(key = i64, value = u64)]
struct WebIds;

#[table(value = u64)]
struct WebUnused;

#[topic("web-tables-prices", value = String, key = Option<i64>)]
struct WebPriceTopic;

#[table(global, source = WebPriceTopic)]
struct WebPrices;

/// Nobody asks for it.
#[table(global, source = WebPriceTopic)]
struct WebUnread;

#[agent(topic = "web-tables-asked")]
async fn ask(_: String, _: GlobalTable<WebPrices>) {}

#[agent(topic = "web-tables-words")]
async fn count(word: String, mut words: Table<WebWords>) {
    words.update(&word, |n| *n += 1);
}

#[agent(topic = "web-tables-ids")]
async fn count_id(id: Event<String, i64>, mut ids: Table<WebIds>) {
    ids.update(id.key(), |n| *n += 1);
}

/// Two partitions; under each of these keys there is the row 7, wherever it is looked for: a slash, nothing, -1.
struct Some7;

impl Reads for Some7 {
    fn ask(
        self: Arc<Self>,
        _: &'static TableDescriptor,
        of: Of,
        ask: Ask,
        _: bool,
    ) -> Asking<Found> {
        let mut minus_one = Vec::new();
        crate::key::StreamKey::encode_ordered(&-1_i64, &mut minus_one);
        let has = |key: &[u8]| [b"a/b ?", &b""[..], &minus_one].contains(&key);
        let answer = match (of, ask) {
            (Of::Partition(1), Ask::Row(_)) => Err(Error::agent("partition 1 is away")),
            (_, Ask::Row(key)) => Ok(Answer::Row(has(&key).then(|| vec![7]))),
            (_, Ask::Rows(_)) => Err(Error::agent("these tables have no windows")),
        };
        let owner = "there:1".to_owned();
        Box::pin(std::future::ready(
            answer.map(|answer| Found { answer, owner }),
        ))
    }

    fn partitions(self: Arc<Self>, _: &'static TableDescriptor) -> Asking<i32> {
        Box::pin(std::future::ready(Ok(1)))
    }
}

fn page(path: &'static str) -> &'static PageDescriptor {
    Box::leak(Box::new(PageDescriptor {
        name: "own",
        place: SourceLocation {
            module: "m",
            file: "f.rs",
            line: 1,
        },
        path,
        method: "GET",
        edges: &[],
        call: |_, _| Box::pin(async { crate::web::Response::new("mine".into()) }),
        item: TypeId::of::<()>,
    }))
}

/// Status and body of each path, of a worker that would listen on `bind`; `shown` is shown as the token.
fn asked<const N: usize>(
    door: Door,
    pages: &[&'static PageDescriptor],
    paths: [&str; N],
    shown: &str,
) -> [(u16, String); N] {
    let app = App::new("web").only((count, count_id, ask));
    let plan = app.plan_among(&[]).ok().unwrap();
    let all = vec![
        WebWords::DESCRIPTOR,
        WebIds::DESCRIPTOR,
        WebUnused::DESCRIPTOR,
        WebPrices::DESCRIPTOR,
        WebUnread::DESCRIPTOR,
    ];
    let tables = Tables::of(&plan, all);
    let handle = WorkerHandle::new(ShutdownSignal::new(), Status::of(&plan));
    let prices = WebPrices::DESCRIPTOR;
    let replica = replica_of(prices, prices.global.unwrap()).unwrap();
    let seven = 7_i64.to_be_bytes();
    replica.take(Some(&seven), Some(b"cheap")).unwrap();
    replica.take(None, Some(b"free")).unwrap();
    handle.replicas.complete(prices.name, replica);
    let cx = BackgroundContext::reading("web", Arc::default(), None, handle, Arc::new(Some7));
    let router = router("web", pages, tables, &door, cx);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    // Whatever the door says: a test listens on this machine alone.
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async { axum::serve(listener, router).await });
    paths.map(|path| {
        let mut stream = TcpStream::connect(address).unwrap();
        let shown = match shown {
            "" => String::new(),
            token => format!("Authorization: Bearer {token}\r\n"),
        };
        write!(stream, "GET {path} HTTP/1.0\r\n{shown}\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    })
}

fn door(token: Option<&str>, beyond: bool, tables: bool) -> Door {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), token.unwrap_or("unused")).unwrap();
    Door {
        port: Port::Exactly(0),
        bind: beyond.then(|| Ipv4Addr::UNSPECIFIED.into()),
        token: token.map(|_| Token::load(file.path()).unwrap()),
        advertise: None,
        reads_only: false,
        tables,
    }
}

#[test]
fn a_row_is_found_by_a_key_of_any_form_and_what_is_not_there_is_said() {
    let [slash, raw, empty, number, nothing, wrong, unknown, unused] = asked(
        door(None, false, false),
        &[],
        [
            "/tables/web_words/a%2Fb%20%3F",
            "/tables/web_words/a/b%20%3F",
            "/tables/web_words/",
            "/tables/web_ids/-1",
            "/tables/web_words/nothing",
            "/tables/web_ids/one",
            "/tables/web_wrods/a",
            "/tables/web_unused/a",
        ],
        "",
    );
    let found = |key: &str| {
        format!(
            r#"{{"key":{key},"partition":0,"rows":[{{"partition":0,"value":7,"worker":"there:1"}}],"table":"web_{}","worker":"there:1"}}"#,
            if key == "-1" { "ids" } else { "words" }
        )
    };
    assert_eq!(slash, (200, found(r#""a/b ?""#)));
    assert_eq!(raw, slash);
    assert_eq!(empty, (200, found(r#""""#)));
    assert_eq!(number, (200, found("-1")));
    assert_eq!(nothing.0, 404);
    assert!(
        nothing.1.contains("has nothing under \"nothing\""),
        "{nothing:?}"
    );
    assert_eq!(wrong.0, 400);
    assert!(
        wrong.1.contains("is kept by i64: `one` is not an i64"),
        "{wrong:?}"
    );
    assert_eq!(unknown.0, 404);
    assert!(
        unknown.1.contains("did you mean `web_words`?"),
        "{unknown:?}"
    );
    assert_eq!(unused.0, 404);
    assert!(
        unused.1.contains("no agent of the app writes it"),
        "{unused:?}"
    );
}

#[test]
fn a_row_of_a_global_table_of_a_topic_is_found_in_the_rows_that_the_worker_keeps() {
    let [seven, none, missing, wrong, unread, home] = asked(
        door(None, false, false),
        &[],
        [
            "/tables/web_prices/7",
            "/tables/web_prices/null",
            "/tables/web_prices/8",
            "/tables/web_prices/seven",
            "/tables/web_unread/7",
            "/",
        ],
        "",
    );
    let found = |key: &str, value: &str| {
        let body = format!(
            r#"{{"key":{key},"rows":[{{"value":"{value}"}}],"table":"web_prices","topic":"web-tables-prices"}}"#
        );
        (200, body)
    };
    assert_eq!(seven, found("7", "cheap"));
    assert_eq!(none, found("null", "free"), "`None` is written as `null`");
    assert_eq!(missing.0, 404);
    assert!(
        missing
            .1
            .contains("topic `web-tables-prices` has no record"),
        "{missing:?}"
    );
    assert_eq!(wrong.0, 400);
    assert_eq!(unread.0, 404);
    assert!(
        unread.1.contains("`tables web_unread KEY` reads its topic"),
        "{unread:?}"
    );
    assert!(
        home.1.contains("/tables/web_prices/KEY: by i64"),
        "{home:?}"
    );
    assert!(!home.1.contains("web_unread"), "{home:?}");
}

#[test]
fn rows_beyond_this_machine_are_shown_when_asked_for_and_with_the_token() {
    let path = ["/tables/web_ids/-1", "/"];
    let [hidden, home] = asked(door(Some("s3cret"), true, false), &[], path, "s3cret");
    assert_eq!(hidden.0, 403);
    assert!(hidden.1.contains("--web-tables"), "{hidden:?}");
    assert!(!home.1.contains("/tables/"), "{home:?}");
    let [shown, home] = asked(door(Some("s3cret"), true, true), &[], path, "s3cret");
    assert_eq!(shown.0, 200);
    assert!(home.1.contains("/tables/web_ids/KEY: by i64"), "{home:?}");
    for wrong in ["", "s3cre"] {
        let [refused, home] = asked(door(Some("s3cret"), true, true), &[], path, wrong);
        assert_eq!([refused.0, home.0], [401, 401]);
        let [refused, _] = asked(door(Some("s3cret"), false, false), &[], path, wrong);
        assert_eq!(refused.0, 401, "on this machine the token is wanted too");
    }
}

#[test]
fn a_page_of_the_app_keeps_its_path_below_tables() {
    let paths = [
        "/tables/web_ids/-1",
        "/tables/web_ids/2",
        "/tables/web_words/",
    ];
    let rows = |pages: &[&'static PageDescriptor]| {
        asked(door(None, false, false), pages, paths, "").map(|(status, body)| match &*body {
            "mine" => "mine".to_owned(),
            _ => status.to_string(),
        })
    };
    assert_eq!(rows(&[]), ["200", "404", "200"]);
    assert_eq!(rows(&[page("/tables/{name}/2")]), ["200", "mine", "200"]);
    assert_eq!(rows(&[page("/tables/{a}/{b}")]), ["mine", "mine", "200"]);
    assert_eq!(rows(&[page("/{a}/{*rest}")]), ["mine", "mine", "mine"]);
}
