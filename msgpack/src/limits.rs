//! Limits of a reader.

/// What a [`Reader`](crate::Reader) accepts. The values of a message share the limits of
/// attachments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The greatest number of attachments. With zero, binary is refused.
    pub max_attachments: usize,
    /// The greatest size of all attachments together, in bytes. With zero, all of them must be
    /// empty.
    pub max_attachment_bytes: usize,
    /// Levels of arrays and maps within each other in a value that becomes JSON. More than
    /// [`MAX_DEPTH`](Self::MAX_DEPTH), which [`new`](Self::new) sets, count as that. With zero,
    /// arrays and maps are refused.
    pub max_depth: usize,
}

impl Limits {
    /// The greatest depth: 100, less than the limit of serde_json, so that the JSON that is read
    /// can be parsed.
    pub const MAX_DEPTH: usize = 100;

    /// Limits attachments in number and size; the depth is [`MAX_DEPTH`](Self::MAX_DEPTH).
    pub const fn new(max_attachments: usize, max_attachment_bytes: usize) -> Self {
        Self {
            max_attachments,
            max_attachment_bytes,
            max_depth: Self::MAX_DEPTH,
        }
    }
}
