//! Hub level of the suite: two hubs and a [`Recorder`](crate::Recorder) over each backend. No cases yet.
