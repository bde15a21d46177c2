//! Who is the target: identity, exit events, trees, ports, services.
