//! Requests, acknowledgements and limits.
