//! Children are started by one thread that lives as long as the program: Linux ends a child with the *thread* that
//! started it, and starting blocks for a while.

use std::{
    io,
    sync::{OnceLock, mpsc},
};

use tokio::{
    process::{Child, Command},
    runtime::Handle,
    sync::oneshot,
};

struct Order {
    command: Command,
    /// Where the child's pipes are watched, and its end.
    runtime: Handle,
    done: oneshot::Sender<io::Result<Child>>,
}

/// Starts a child, on the runtime of who asks.
pub(super) async fn spawn(command: Command) -> io::Result<Child> {
    static ORDERS: OnceLock<Option<mpsc::Sender<Order>>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (orders, taken) = mpsc::channel();
        let thread = std::thread::Builder::new().name("plugin-spawner".into());
        thread.spawn(move || taken.into_iter().for_each(start)).ok().map(|_| orders)
    });
    let gone = || io::Error::other("the thread that starts plugins' processes is not there");
    let (done, started) = oneshot::channel();
    let order = Order { command, runtime: Handle::current(), done };
    orders.as_ref().ok_or_else(gone)?.send(order).map_err(|_| gone())?;
    started.await.map_err(|_| gone())?
}

fn start(mut order: Order) {
    let _within = order.runtime.enter();
    // Who asked may be gone: then the child is dropped here, and so ended.
    let _ = order.done.send(order.command.spawn());
}
