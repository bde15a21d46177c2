//! One file per resource; the gate (host, origin) before routing.
