//! A small model server of our own, failing on command: the demo, and the tests' faulty backend.
