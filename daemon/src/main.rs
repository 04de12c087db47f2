//! The trefoil binary.

fn main() {}
