use stream_runtime::prelude::*;

#[join(left = "a", right = "b", within = "10m")]
async fn join_them(left: String, right: String) -> String {
    left + &right
}

fn main() {}
