//! What a page may ask for and return.

use std::future::Future;
use std::pin::Pin;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use crate::background::{BackgroundContext, JobParam, TableReader};
use crate::error::{Error, Failure};
use crate::handler::{State, TopicSpec};
use crate::producer::Producer;
use crate::table::{GlobalSpec, GlobalTable, TableSpec};
use crate::topology::Edge;

/// A parameter on its way; the other case is the answer that says what is wrong with the request.
type Made<'a, T> = Pin<Box<dyn Future<Output = Result<T, Response>> + Send + 'a>>;

/// A parameter of type `T` before the last: what it ties the page to, and how it is made.
///
/// Its type is asked for its traits here and nowhere else, so that a wrong one is one error.
pub struct PageParameter<T> {
    edge: fn() -> Option<Edge>,
    make: for<'a> fn(&'a mut Parts, &'a BackgroundContext) -> Made<'a, T>,
}

impl<T: PageParam> PageParameter<T> {
    /// That of the type.
    pub const fn of() -> Self {
        PageParameter {
            edge: T::edge,
            make: T::make,
        }
    }
}

impl<T> PageParameter<T> {
    /// What it ties the page to.
    pub const fn edge(&self) -> fn() -> Option<Edge> {
        self.edge
    }

    /// Makes it.
    pub fn make<'a>(&self, parts: &'a mut Parts, cx: &'a BackgroundContext) -> Made<'a, T> {
        (self.make)(parts, cx)
    }
}

/// The last parameter, which may take the whole request.
pub struct PageBody<T> {
    edge: fn() -> Option<Edge>,
    make: for<'a> fn(Request, &'a BackgroundContext) -> Made<'a, T>,
}

impl<T> PageBody<T> {
    /// That of the type.
    pub const fn of<M>() -> Self
    where
        T: PageLast<M>,
    {
        PageBody {
            edge: T::edge,
            make: T::make,
        }
    }

    /// What it ties the page to.
    pub const fn edge(&self) -> fn() -> Option<Edge> {
        self.edge
    }

    /// Makes it.
    pub fn make<'a>(&self, request: Request, cx: &'a BackgroundContext) -> Made<'a, T> {
        (self.make)(request, cx)
    }
}

/// A parameter of a `#[page]`, but for the last.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a page's parameter here",
    label = "not a page parameter, or one that stands last",
    note = "a page takes State<T>, Producer<S>, TableReader<S>, GlobalTable<S> and what axum takes from a request: Path<T>, Query<T>, HeaderMap, ..; as the last one also its body: Json<T>, String, Bytes"
)]
pub trait PageParam: Sized {
    /// What it ties the page to.
    fn edge() -> Option<Edge> {
        None
    }

    /// Makes it.
    fn make<'a>(parts: &'a mut Parts, cx: &'a BackgroundContext) -> Made<'a, Self>;
}

impl<T: FromRequestParts<BackgroundContext>> PageParam for T {
    fn make<'a>(parts: &'a mut Parts, cx: &'a BackgroundContext) -> Made<'a, Self> {
        Box::pin(async move {
            let made = T::from_request_parts(parts, cx).await;
            made.map_err(IntoResponse::into_response)
        })
    }
}

/// The last parameter of a `#[page]`; `M` says how it is made.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a page's parameter",
    label = "not a page parameter",
    note = "a page takes State<T>, Producer<S>, TableReader<S>, GlobalTable<S> and what axum takes from a request: Path<T>, Query<T>, HeaderMap, ..; as the last one also its body: Json<T>, String, Bytes"
)]
pub trait PageLast<M>: Sized {
    /// What it ties the page to.
    fn edge() -> Option<Edge> {
        None
    }

    /// Makes it.
    fn make<'a>(request: Request, cx: &'a BackgroundContext) -> Made<'a, Self>;
}

impl<M, T: FromRequest<BackgroundContext, M>> PageLast<M> for T {
    fn make<'a>(request: Request, cx: &'a BackgroundContext) -> Made<'a, Self> {
        Box::pin(async move {
            let made = T::from_request(request, cx).await;
            made.map_err(IntoResponse::into_response)
        })
    }
}

/// Marks what the worker gives, not the request.
#[derive(Debug)]
pub struct OfWorker;

fn of_worker<'a, T: JobParam + Send + 'a>(cx: &BackgroundContext) -> Made<'a, T> {
    let made = T::from_worker(cx).map_err(IntoResponse::into_response);
    Box::pin(std::future::ready(made))
}

macro_rules! of_worker {
    ($ty:ty, $($bound:tt)*) => {
        impl<$($bound)*> PageParam for $ty {
            fn edge() -> Option<Edge> {
                <Self as JobParam>::edge()
            }

            fn make<'a>(_: &'a mut Parts, cx: &'a BackgroundContext) -> Made<'a, Self> {
                of_worker(cx)
            }
        }

        impl<$($bound)*> PageLast<OfWorker> for $ty {
            fn edge() -> Option<Edge> {
                <Self as JobParam>::edge()
            }

            fn make<'a>(_: Request, cx: &'a BackgroundContext) -> Made<'a, Self> {
                of_worker(cx)
            }
        }
    };
}

of_worker!(State<T>, T: Send + Sync + 'static);
of_worker!(Producer<S>, S: TopicSpec);
of_worker!(TableReader<S>, S: TableSpec);

/// Pages are asked from the start on: one waits until the rows are complete.
fn global<'a, S: GlobalSpec>(cx: &'a BackgroundContext) -> Made<'a, GlobalTable<S>> {
    Box::pin(async move {
        let made = cx.global_in_time().await;
        made.map_err(IntoResponse::into_response)
    })
}

impl<S: GlobalSpec> PageParam for GlobalTable<S> {
    fn edge() -> Option<Edge> {
        <Self as JobParam>::edge()
    }

    fn make<'a>(_: &'a mut Parts, cx: &'a BackgroundContext) -> Made<'a, Self> {
        global(cx)
    }
}

impl<S: GlobalSpec> PageLast<OfWorker> for GlobalTable<S> {
    fn edge() -> Option<Edge> {
        <Self as JobParam>::edge()
    }

    fn make<'a>(_: Request, cx: &'a BackgroundContext) -> Made<'a, Self> {
        global(cx)
    }
}

/// What a page may return.
#[diagnostic::on_unimplemented(
    message = "a page cannot return `{Self}`",
    label = "nothing that axum can answer with",
    note = "a page returns what axum can answer with: text, Html, Json, a StatusCode, a Response, a tuple of these, or a `Result` of one"
)]
pub trait PageOutput {
    /// The answer.
    fn finish(self) -> Response;
}

impl<T: IntoResponse> PageOutput for T {
    fn finish(self) -> Response {
        self.into_response()
    }
}

/// 500 and the text; 503 for rows that are elsewhere or not there yet, and for a broker that is away.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = if self.is_stopped() || self.is_retriable() {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        };
        (status, format!("{self}\n")).into_response()
    }
}

/// As the error in it.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let text = self.to_string();
        match self.into_error().downcast::<Error>() {
            Ok(error) => error.into_response(),
            Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{text}\n")).into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use crate::app::App;
    use crate::background::{BackgroundContext, Client};
    use crate::prelude::*;
    use crate::table::replica_of;
    use crate::web::{Json, StatusCode, axum};
    use crate::worker::{ShutdownSignal, Status, WorkerHandle};

    #[topic("page-prices", value = String, key = String, compact)]
    struct Prices;

    #[table(global, source = Prices)]
    struct PriceOf;

    #[agent(topic = "page-words")]
    async fn some(_: String) {}

    #[page("/prices")]
    async fn prices(prices: GlobalTable<PriceOf>) -> Json<usize> {
        Json(prices.len())
    }

    #[test]
    fn a_page_waits_until_a_global_table_is_complete_and_never_shows_an_empty_one() {
        let app = App::new("pages").only((some, prices));
        let plan = app.plan().ok().unwrap();
        // Nobody but the page reads it.
        let [global] = &plan.globals()[..] else {
            panic!("the worker would not read it")
        };
        let replica = replica_of(global.table, global.global).unwrap();
        replica.take(Some(b"tea"), Some(b"3")).unwrap();
        let page = app.pages()[0];
        let ask = async |handle: &Arc<WorkerHandle>| {
            let (states, client) = (Arc::default(), Client::new(None));
            let cx = BackgroundContext::new("pages", states, None, Arc::clone(handle), client);
            let answer = (page.call)(cx, crate::web::Request::default()).await;
            let (head, body) = answer.into_parts();
            let body = axum::body::to_bytes(body, 1 << 16).await.unwrap();
            (head.status, String::from_utf8_lossy(&body).into_owned())
        };
        let [fills, ends] =
            [0; 2].map(|_| WorkerHandle::new(ShutdownSignal::new(), Status::of(&plan)));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let filled = async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                fills.replicas.complete("price_of", Arc::clone(&replica));
            };
            let (answer, ()) = tokio::join!(ask(&fills), filled);
            assert_eq!(answer, (StatusCode::OK, "1".to_owned()));
            // Nobody will read it any more.
            ends.replicas.have_read(3, 7);
            ends.stop.ask();
            let (status, text) = ask(&ends).await;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
            let says = |part: &str| assert!(text.contains(part), "{text}");
            says("`price_of` is not complete");
            says("3 of 7 records");
        });
    }
}
