//! What a page may ask for and return.

use std::future::Future;
use std::pin::Pin;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use crate::app::Producer;
use crate::beside::{BesideCx, BesideParam, TableReader};
use crate::error::{Error, Failure};
use crate::table::TableSpec;
use crate::task::{State, TopicSpec};
use crate::topology::Edge;

/// A parameter on its way; the other case is the answer that says what is wrong with the request.
type Made<'a, T> = Pin<Box<dyn Future<Output = Result<T, Response>> + Send + 'a>>;

/// A parameter of type `T` before the last: what it ties the page to, and how it is made.
///
/// Its type is asked for its traits here and nowhere else, so that a wrong one is one error.
pub struct PageParameter<T> {
    edge: fn() -> Option<Edge>,
    make: for<'a> fn(&'a mut Parts, &'a BesideCx) -> Made<'a, T>,
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
    pub fn make<'a>(&self, parts: &'a mut Parts, cx: &'a BesideCx) -> Made<'a, T> {
        (self.make)(parts, cx)
    }
}

/// The last parameter, which may take the whole request.
pub struct PageBody<T> {
    edge: fn() -> Option<Edge>,
    make: for<'a> fn(Request, &'a BesideCx) -> Made<'a, T>,
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
    pub fn make<'a>(&self, request: Request, cx: &'a BesideCx) -> Made<'a, T> {
        (self.make)(request, cx)
    }
}

/// A parameter of a `#[page]`, but for the last.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a page's parameter here",
    label = "not a page parameter, or one that stands last",
    note = "a page takes State<T>, Producer<S>, TableReader<S> and what axum takes from a request: Path<T>, Query<T>, HeaderMap, ..; as the last one also its body: Json<T>, String, Bytes"
)]
pub trait PageParam: Sized {
    /// What it ties the page to.
    fn edge() -> Option<Edge> {
        None
    }

    /// Makes it.
    fn make<'a>(parts: &'a mut Parts, cx: &'a BesideCx) -> Made<'a, Self>;
}

impl<T: FromRequestParts<BesideCx>> PageParam for T {
    fn make<'a>(parts: &'a mut Parts, cx: &'a BesideCx) -> Made<'a, Self> {
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
    note = "a page takes State<T>, Producer<S>, TableReader<S> and what axum takes from a request: Path<T>, Query<T>, HeaderMap, ..; as the last one also its body: Json<T>, String, Bytes"
)]
pub trait PageLast<M>: Sized {
    /// What it ties the page to.
    fn edge() -> Option<Edge> {
        None
    }

    /// Makes it.
    fn make<'a>(request: Request, cx: &'a BesideCx) -> Made<'a, Self>;
}

impl<M, T: FromRequest<BesideCx, M>> PageLast<M> for T {
    fn make<'a>(request: Request, cx: &'a BesideCx) -> Made<'a, Self> {
        Box::pin(async move {
            let made = T::from_request(request, cx).await;
            made.map_err(IntoResponse::into_response)
        })
    }
}

/// Marks what the worker gives, not the request.
#[derive(Debug)]
pub struct OfWorker;

fn of_worker<'a, T: BesideParam + Send + 'a>(cx: &BesideCx) -> Made<'a, T> {
    let made = T::from_worker(cx).map_err(IntoResponse::into_response);
    Box::pin(std::future::ready(made))
}

macro_rules! of_worker {
    ($ty:ty, $($bound:tt)*) => {
        impl<$($bound)*> PageParam for $ty {
            fn edge() -> Option<Edge> {
                <Self as BesideParam>::edge()
            }

            fn make<'a>(_: &'a mut Parts, cx: &'a BesideCx) -> Made<'a, Self> {
                of_worker(cx)
            }
        }

        impl<$($bound)*> PageLast<OfWorker> for $ty {
            fn edge() -> Option<Edge> {
                <Self as BesideParam>::edge()
            }

            fn make<'a>(_: Request, cx: &'a BesideCx) -> Made<'a, Self> {
                of_worker(cx)
            }
        }
    };
}

of_worker!(State<T>, T: Send + Sync + 'static);
of_worker!(Producer<S>, S: TopicSpec);
of_worker!(TableReader<S>, S: TableSpec);

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
