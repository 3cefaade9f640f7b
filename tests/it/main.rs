//! The joined parts: the real program and its listeners.

#![expect(clippy::expect_used, reason = "a test binary: helpers outside test functions fail so")]

mod affinity;
mod apps;
mod books;
mod budgets;
mod catalog;
mod cli;
mod cors;
mod cuts;
mod demo;
mod dialects;
mod endpoints;
mod fallbacks;
mod forms;
mod house;
mod identity;
mod keep_alive;
mod kills;
mod ledger;
mod listing;
mod messages;
mod path;
mod path_edge;
mod path_process;
mod path_stream;
mod pins;
mod quota;
mod recorder;
mod refusals;
mod reload;
mod restart;
mod routes;
mod servers;
mod simulate;
mod sockets;
mod told;
mod upstream;
mod vendors;
mod wire;
mod wire_bytes;
mod wire_h2;
mod wire_http;
mod wire_large;
mod wire_memory;
mod wire_packed;
