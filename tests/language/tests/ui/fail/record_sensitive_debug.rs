use stream_runtime::prelude::*;

#[record]
#[derive(Clone, Debug)]
struct Login {
    user: String,
    #[field(sensitive)]
    password: String,
}

fn show(login: &Login) {
    println!("{login:?}");
}

fn main() {}
