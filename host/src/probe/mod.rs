//! HTTP driver, stepping of sessions, identification by the manifests' rules.
