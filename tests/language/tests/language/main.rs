//! What the attributes take and refuse, and in which words.

mod listed;
mod taken;
