//! The server: at its address as long as the worker runs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::WWW_AUTHENTICATE;
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, get, on, post};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::door::{Door, Port, USUAL_PORT};
#[cfg(feature = "metrics")]
use super::gauges;
use super::page::PageDescriptor;
#[cfg(not(feature = "metrics"))]
use super::without_gauges as gauges;
use super::{reads, status, tables};
use crate::background::Token;
use crate::background::lookup::Tables;
use crate::background::{BackgroundContext, unpanicked, wire};
use crate::error::quiet;
use crate::error::{Error, Kind};

/// A server that has its port.
pub(crate) struct Server {
    door: Door,
    listener: TcpListener,
    address: SocketAddr,
    /// The usual port was taken.
    moved: bool,
}

/// A server at work. It ends when this is dropped.
pub(crate) struct Serving(JoinHandle<()>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Server {
    /// Takes the port, and begins to count what the worker does.
    ///
    /// # Errors
    /// It is taken, or the address is not for everybody and no token is named.
    pub(crate) fn new(door: Door) -> Result<Self, Error> {
        let listener = door.listen()?;
        let io = |error: std::io::Error| Error::new(Kind::Configuration, error.to_string());
        listener.set_nonblocking(true).map_err(io)?;
        let address = listener.local_addr().map_err(io)?;
        if !door.reads_only {
            gauges::install();
        }
        Ok(Server {
            moved: door.port == Port::Usual && address.port() != USUAL_PORT,
            listener,
            address,
            door,
        })
    }

    /// Where it is, for people; `None` when it has no pages.
    pub(crate) fn address(&self) -> Option<String> {
        if self.door.reads_only {
            return None;
        }
        let note = if self.moved {
            format!(" ({USUAL_PORT} is taken)")
        } else {
            String::new()
        };
        Some(format!("http://{}{note}", self.address))
    }

    /// What the other workers are told: as it was said, else the address that it listens on. Of one that listens on all
    /// of the machine's, the one that packets to the broker leave from.
    pub(crate) fn advertised(&self, broker: &str) -> Option<String> {
        let port = self.address.port();
        if let Some(said) = &self.door.advertise {
            let bare = said.starts_with('[') && said.ends_with(']');
            return Some(match said.rsplit_once(':') {
                Some(_) if !bare => said.clone(),
                _ => format!("{said}:{port}"),
            });
        }
        let mut ip = self.address.ip();
        if ip.is_unspecified() {
            ip = towards(broker, ip).unwrap_or(ip);
        }
        Some(SocketAddr::new(ip, port).to_string())
    }

    /// Serves from now on.
    ///
    /// # Errors
    /// The system takes the port back.
    pub(crate) fn serve(
        self,
        app: &str,
        pages: &[&'static PageDescriptor],
        tables: Tables,
        cx: BackgroundContext,
        runtime: &Handle,
    ) -> Result<Serving, Error> {
        if let Some(address) = self.address() {
            tracing::info!("web: {address}");
        }
        let router = router(app, pages, tables, &self.door, cx);
        let _inside = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(self.listener)
            .map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
        Ok(Serving(runtime.spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!("the web server ended: {error}");
            }
        })))
    }
}

/// The address of this machine on the way to the first of the broker's hosts. Nothing is sent.
fn towards(broker: &str, like: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let first = broker.split(',').next()?.trim();
    let first = first.rsplit("://").next()?;
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(first).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The app's pages, and the worker's own.
pub(super) fn router(
    app: &str,
    pages: &[&'static PageDescriptor],
    tables: Tables,
    door: &Door,
    cx: BackgroundContext,
) -> Router {
    // What shows data wants the token.
    let mut own = Router::new().route(wire::PATH, post(reads::answer));
    let mut router = Router::new();
    if !door.reads_only {
        own = own.route("/metrics", get(gauges::metrics));
        let tables = Arc::new(tables);
        let home = |page: &&PageDescriptor| page.path == "/" && page.method == "GET";
        if !pages.iter().any(home) {
            let (app, pages) = (app.to_owned(), pages.to_vec());
            let tables = door.shows_rows().then(|| Arc::clone(&tables));
            let home = async move |State(cx): State<BackgroundContext>| {
                Html(status::page(&app, &pages, tables.as_deref(), &cx).await)
            };
            own = own.route("/", get(home));
        }
        router = router
            .route("/health", get(health))
            .route("/ready", get(ready));
        for page in pages {
            router = router.route(page.path, answers(page));
        }
        // Behind all others: whatever path a page of the app has, it keeps it.
        let rows = guarded(tables::routes(&tables, door.shows_rows()), &door.token);
        router = router.fallback_service(rows.with_state(cx.clone()));
    }
    router.merge(guarded(own, &door.token)).with_state(cx)
}

/// Routes for those who show the token, if there is one.
fn guarded(routes: Router<BackgroundContext>, token: &Option<Token>) -> Router<BackgroundContext> {
    let Some(token) = token.clone() else {
        return routes;
    };
    let check = move |request: Request, next: Next| {
        let shown = token.is_in(request.headers());
        async move {
            match shown {
                true => next.run(request).await,
                false => unauthorized(),
            }
        }
    };
    routes.route_layer(middleware::from_fn(check))
}

fn unauthorized() -> Response {
    (
        StatusCode::UNAUTHORIZED,
        [(WWW_AUTHENTICATE, "Bearer")],
        "this wants the token of --web-token-file: `Authorization: Bearer TOKEN`\n",
    )
        .into_response()
}

fn answers(page: &'static PageDescriptor) -> MethodRouter<BackgroundContext> {
    let method = match page.method {
        "POST" => MethodFilter::POST,
        "PUT" => MethodFilter::PUT,
        "PATCH" => MethodFilter::PATCH,
        "DELETE" => MethodFilter::DELETE,
        _ => MethodFilter::GET,
    };
    on(
        method,
        async move |State(cx): State<BackgroundContext>, request: Request| {
            let called = unpanicked(Box::pin(async { Ok((page.call)(cx, request).await) })).await;
            let response = called.unwrap_or_else(IntoResponse::into_response);
            if response.status().is_server_error() {
                metrics::counter!("stream_beside_failures_total", "function" => page.name)
                    .increment(1);
                let status = response.status().as_u16();
                let text = format!("page `{}` {} failed", page.name, page.path);
                if let Some(more) = quiet::news(page.name, &format!("{status} {text}")) {
                    tracing::warn!(status, "{text}{}", quiet::and(more));
                }
            }
            response
        },
    )
}

/// 200 as long as every stream thread may still turn, else 503: then only a new process helps.
async fn health(State(cx): State<BackgroundContext>) -> Response {
    let lost = cx.worker().lost();
    if lost.is_empty() {
        return "ok\n".into_response();
    }
    let mut text = "not ok\n".to_owned();
    for (thread, standing) in lost {
        text += &format!("stream thread {thread} is lost: it stands in {standing}\n");
    }
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

/// 200 when all partitions of this worker run, its threads turn and their commits succeed, else 503 and the reasons.
async fn ready(State(cx): State<BackgroundContext>) -> Response {
    let lines = cx.worker().unready();
    if lines.is_empty() {
        return "ready\n".into_response();
    }
    let text = lines
        .iter()
        .fold("not ready\n".to_owned(), |text, line| text + line + "\n");
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;
    use crate::app::App;
    use crate::background::Client;
    use crate::prelude::*;
    use crate::worker::{ShutdownSignal, Status, WorkerHandle};

    fn door(port: Port) -> Door {
        Door {
            port,
            bind: None,
            token: None,
            advertise: None,
            reads_only: false,
            tables: false,
        }
    }

    #[test]
    fn a_taken_port_is_said_and_the_usual_one_has_neighbours() {
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = held.local_addr().unwrap().port();
        let error = Server::new(door(Port::Exactly(port)));
        let error = error.err().unwrap().to_string();
        assert!(
            error.contains(&port.to_string()) && error.contains("--web-port"),
            "{error}"
        );
        let (first, second) = (
            Server::new(door(Port::Usual)).unwrap(),
            Server::new(door(Port::Usual)).unwrap(),
        );
        assert_ne!(first.address.port(), second.address.port());
        let second = second.address().unwrap();
        assert!(second.contains("(6066 is taken)"), "{second}");
    }

    #[test]
    fn a_port_that_was_named_is_waited_for() {
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = held.local_addr().unwrap().port();
        let freed = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            drop(held);
        });
        let server = Server::new(door(Port::Exactly(port))).unwrap();
        assert_eq!(server.address.port(), port);
        freed.join().unwrap();
    }

    #[test]
    fn beyond_this_machine_nothing_is_served_without_a_token() {
        let open = Door {
            bind: Some(Ipv4Addr::UNSPECIFIED.into()),
            ..door(Port::Exactly(0))
        };
        let error = Server::new(open).err().unwrap().to_string();
        assert!(error.contains("--web-token-file"), "{error}");
    }

    #[test]
    fn what_the_others_are_told_is_what_was_said_or_where_it_listens() {
        let server = |advertise: Option<&str>| {
            Server::new(Door {
                advertise: advertise.map(str::to_owned),
                ..door(Port::Exactly(0))
            })
            .unwrap()
        };
        let told = |server: &Server| server.advertised("h:1").unwrap();
        let one = server(None);
        assert_eq!(told(&one), one.address.to_string());
        assert_eq!(told(&server(Some("here:80"))), "here:80");
        let bare = server(Some("here"));
        assert_eq!(told(&bare), format!("here:{}", bare.address.port()));
        let ip = towards("127.0.0.1:9092,other:1", Ipv4Addr::UNSPECIFIED.into());
        assert_eq!(ip, Some(Ipv4Addr::LOCALHOST.into()));
    }

    #[page("/broken")]
    async fn broken() -> StatusCode {
        StatusCode::INTERNAL_SERVER_ERROR
    }

    #[agent(topic = "server-words")]
    async fn some(_: String) {}

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_page_that_fails_again_and_again_is_one_line_with_a_count() {
        let app = App::new("pages").only((some, broken));
        let plan = app.plan().ok().unwrap();
        let handle = WorkerHandle::new(ShutdownSignal::new(), Status::of(&plan));
        let cx = BackgroundContext::new("pages", Arc::default(), None, handle, Client::new(None));
        let server = Server::new(door(Port::Exactly(0))).unwrap();
        let address = server.address;
        let ask = move || {
            for _ in 0..3 {
                let mut stream = std::net::TcpStream::connect(address).unwrap();
                stream.write_all(b"GET /broken HTTP/1.0\r\n\r\n").unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                assert!(answer.contains(" 500 "), "{answer}");
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let tables = Tables::of(&plan, Vec::new());
            let _serving = server.serve("pages", &app.pages(), tables, cx, runtime.handle());
            let asked = runtime.block_on(runtime.spawn_blocking(ask));
            asked.unwrap();
            quiet::say_left_out(true);
        });
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("/broken"))
            .collect();
        let [first, others] = lines[..] else {
            panic!("{text}")
        };
        assert!(
            first.contains("page `broken` /broken failed") && first.contains("500"),
            "{text}"
        );
        assert!(others.contains("2 more like the one before"), "{text}");
    }
}
