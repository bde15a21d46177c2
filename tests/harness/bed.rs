//! What a test has for itself: folders, ports, the programs of the demo server, bystanders.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use super::{bystanders::Bystanders, isolation::Isolation};

/// The monitor's own file.
pub const MONITOR: &str = env!("CARGO_BIN_EXE_ai-monitor");

/// One test's ground. At its end all bystanders must live.
pub struct Bed {
    pub isolation: Isolation,
    folder: tempfile::TempDir,
    bystanders: RefCell<Option<Bystanders>>,
    /// What was given out already: a port that nobody has bound yet could come again.
    given: RefCell<BTreeSet<SocketAddr>>,
}

impl Bed {
    pub fn new(isolation: Isolation) -> Bed {
        // On the file system of the build: so the demo's programs are hard links, not copies.
        let folder = tempfile::Builder::new().prefix("bed-").tempdir_in(env!("CARGO_TARGET_TMPDIR"));
        Bed {
            isolation,
            folder: folder.expect("a folder for the test"),
            bystanders: RefCell::new(None),
            given: RefCell::default(),
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A folder of its own in the bed's, made if need be.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.path().join(name);
        std::fs::create_dir_all(&folder).expect("a folder of the test");
        folder
    }

    /// An address that is free now, and another one each time.
    pub fn free_address(&self) -> SocketAddr {
        loop {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            let address = listener.local_addr().expect("its address");
            if self.given.borrow_mut().insert(address) {
                return address;
            }
        }
    }

    /// Ten look-alikes; they must live to the end of the test.
    pub fn with_bystanders(self) -> Bed {
        let bystanders = Bystanders::start(&self);
        *self.bystanders.borrow_mut() = Some(bystanders);
        self
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Some(bystanders) = self.bystanders.take()
            && !std::thread::panicking()
        {
            bystanders.assert_alive();
        }
    }
}
