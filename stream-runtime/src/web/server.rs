//! The server: on loopback, as long as the worker runs.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, get, on};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::gauges;
use super::page::PageDescriptor;
use super::status;
use crate::beside::{BesideCx, unpanicked};
use crate::error::{Error, Kind};

/// The port, unless another is said: Faust's.
const USUAL_PORT: u16 = 6066;
/// Ports that are tried after it.
const OTHERS: u16 = 100;

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// 6066, or the next one that is free.
    Usual,
    /// This one, or none; 0 is any.
    Exactly(u16),
}

impl Port {
    /// Takes it.
    fn listen(self) -> Result<TcpListener, Error> {
        let listen = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let (port, taken) = match self {
            Port::Exactly(port) => (port, listen(port)),
            Port::Usual => {
                let ports = USUAL_PORT..=USUAL_PORT + OTHERS;
                let free = ports.into_iter().find_map(|port| listen(port).ok());
                (USUAL_PORT, free.map_or_else(|| listen(USUAL_PORT), Ok))
            }
        };
        taken.map_err(|error| {
            let text = format!(
                "web port {port} cannot be had: {error}; name another with --web-port, or run --without-web"
            );
            Error::new(Kind::Configuration, text)
        })
    }
}

/// A server that has its port.
pub(crate) struct Server {
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
    /// It is taken.
    pub(crate) fn new(port: Port) -> Result<Self, Error> {
        let listener = port.listen()?;
        let io = |error: std::io::Error| Error::new(Kind::Configuration, error.to_string());
        listener.set_nonblocking(true).map_err(io)?;
        let address = listener.local_addr().map_err(io)?;
        gauges::install();
        Ok(Server {
            moved: port == Port::Usual && address.port() != USUAL_PORT,
            listener,
            address,
        })
    }

    /// Where it is, for people.
    pub(crate) fn address(&self) -> String {
        let note = if self.moved {
            format!(" ({USUAL_PORT} is taken)")
        } else {
            String::new()
        };
        format!("http://{}{note}", self.address)
    }

    /// Serves the pages from now on.
    ///
    /// # Errors
    /// The system takes the port back.
    pub(crate) fn serve(
        self,
        app: &str,
        pages: &[&'static PageDescriptor],
        cx: BesideCx,
        runtime: &Handle,
    ) -> Result<Serving, Error> {
        tracing::info!("web: {}", self.address());
        let router = router(app, pages).with_state(cx);
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

/// The app's pages, and the worker's own.
fn router(app: &str, pages: &[&'static PageDescriptor]) -> Router<BesideCx> {
    let mut router = Router::new()
        .route("/health", get(async || "ok\n"))
        .route("/ready", get(ready))
        .route("/metrics", get(gauges::metrics));
    for page in pages {
        router = router.route(page.path, answers(page));
    }
    let home = |page: &&PageDescriptor| page.path == "/" && page.method == "GET";
    if !pages.iter().any(home) {
        let (app, pages) = (app.to_owned(), pages.to_vec());
        let home =
            async move |State(cx): State<BesideCx>| Html(status::page(&app, &pages, &cx).await);
        router = router.route("/", get(home));
    }
    router
}

fn answers(page: &'static PageDescriptor) -> MethodRouter<BesideCx> {
    let method = match page.method {
        "POST" => MethodFilter::POST,
        "PUT" => MethodFilter::PUT,
        "PATCH" => MethodFilter::PATCH,
        "DELETE" => MethodFilter::DELETE,
        _ => MethodFilter::GET,
    };
    on(
        method,
        async move |State(cx): State<BesideCx>, request: Request| {
            let called = unpanicked(Box::pin(async { Ok((page.call)(cx, request).await) })).await;
            let response = called.unwrap_or_else(IntoResponse::into_response);
            if response.status().is_server_error() {
                metrics::counter!("stream_beside_failures_total", "function" => page.name)
                    .increment(1);
                let status = response.status().as_u16();
                tracing::warn!(status, "page `{}` {} failed", page.name, page.path);
            }
            response
        },
    )
}

/// 200 when all partitions of this worker run, else 503 and what they do.
async fn ready(State(cx): State<BesideCx>) -> Response {
    let worker = cx.worker();
    if worker.is_ready() {
        return "ready\n".into_response();
    }
    let mut text = "not ready\n".to_owned();
    for view in worker.status.snapshot() {
        text += &format!("{}: {}\n", view.label, view.state);
    }
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_said_and_the_usual_one_has_neighbours() {
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = held.local_addr().unwrap().port();
        let error = Server::new(Port::Exactly(port)).err().unwrap().to_string();
        assert!(
            error.contains(&port.to_string()) && error.contains("--web-port"),
            "{error}"
        );
        let (first, second) = (
            Server::new(Port::Usual).unwrap(),
            Server::new(Port::Usual).unwrap(),
        );
        assert_ne!(first.address.port(), second.address.port());
        assert!(
            second.address().contains("(6066 is taken)"),
            "{}",
            second.address()
        );
    }
}
