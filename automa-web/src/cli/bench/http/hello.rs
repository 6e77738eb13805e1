//! The bare counterpart of a server: poem that says hello, in a process of its own.

use std::io::{self, Write};

use poem::{
    Route, Server, get, handler,
    listener::{Acceptor, Listener, TcpListener},
};

use super::super::super::block_on;

#[handler]
fn hello() -> &'static str {
    "hello"
}

/// Serves on a free port, which is said first, until it is killed.
pub(in super::super) fn serve() -> io::Result<()> {
    block_on(async {
        let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await?;
        let mut stdout = io::stdout();
        for address in acceptor.local_addr().iter().filter_map(|it| it.as_socket_addr()) {
            writeln!(stdout, "listening on http://{address}")?;
        }
        stdout.flush()?;
        Server::new_with_acceptor(acceptor).run(Route::new().at("/health", get(hello))).await
    })
    .flatten()
}
