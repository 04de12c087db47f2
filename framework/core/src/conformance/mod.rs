//! Public suites that prove a transport or a backend correct, whoever wrote it.
