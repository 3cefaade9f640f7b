//! The `sluicegate` program: hands over to [`sluicegate::cli`].

fn main() {}
