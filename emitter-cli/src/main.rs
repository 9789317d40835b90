//! The command `sio`.
fn main() {}
