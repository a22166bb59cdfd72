use stream_runtime::prelude::*;

#[record]
struct View {
    page: String,
    day: u32,
}

#[agent(topic = "views", group_by = |view: &View| view.page.clone())]
async fn closure_without_name(_: View) {}

#[agent(topic = "views", name = "two", group_by = |a: &View, b: &View| a.page.clone())]
async fn closure_of_two(_: View) {}

#[agent(topic = "views", name = "none", group_by = || 1)]
async fn closure_of_none(_: View) {}

#[agent(topic = "views", name = "future", group_by = async |view: &View| view.day)]
async fn closure_that_waits(_: View) {}

#[agent(topic = "views", group_by = "page")]
async fn quoted(_: View) {}

#[agent(topic = "views", group_by)]
async fn without_value(_: View) {}

fn main() {}
