//! What `#[agent]` expands to, for descriptors that a test writes by hand.

use std::any::Any;
use std::future::Future;

use crate::handler::{Agent, Cx, FromContext, Input, Outputs};
use crate::topology::{AgentFuture, AgentShape, Edge};

/// Makes an agent's future.
pub fn start<I, M, F, Fut>(context: &dyn Any, mut call: F) -> AgentFuture
where
    I: Input<M> + 'static,
    M: 'static,
    F: FnMut(I, &Cx<M>) -> Fut + 'static,
    Fut: Future + 'static,
    Fut::Output: Outputs + 'static,
{
    let agent = Agent::<I, M>::new();
    let out = agent.returns::<Fut::Output>();
    let parts = agent.runs(&[], out.info(), move |first, cx| {
        let result = call(first, cx);
        async move { out.of(result.await) }
    });
    (parts.start)(context)
}

/// What a signature says. `writes` has an entry for each parameter after the first.
pub fn shape<I, M, P, R>(writes: &[bool]) -> AgentShape
where
    I: Input<M> + 'static,
    M: 'static,
    P: Params<M>,
    R: Outputs + 'static,
{
    let agent = Agent::<I, M>::new();
    let out = agent.returns::<R>();
    let edges: Vec<_> = P::edges().into_iter().zip(writes.iter().copied()).collect();
    let parts = agent.runs(&edges, out.info(), move |_, _| async move {
        out.of(std::future::pending().await)
    });
    parts.shape
}

/// All parameters after the first.
pub trait Params<M> {
    /// One entry a parameter.
    fn edges() -> Vec<Option<Edge>>;
}

macro_rules! params {
    ($($t:ident)*) => {
        impl<M, $($t: FromContext<M>),*> Params<M> for ($($t,)*) {
            fn edges() -> Vec<Option<Edge>> {
                vec![$($t::edge()),*]
            }
        }
    };
}
params!();
params!(A);
params!(A B);
params!(A B C);
