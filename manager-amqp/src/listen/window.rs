//! The window: the number of messages that the broker may send ahead of their acknowledgement.

/// The number of messages after which the window may grow.
const BLOCK: usize = 256;

/// A number of messages that follows their size: the broker counts messages, memory is bytes.
#[derive(Debug)]
pub(super) struct Window {
    max: u16,
    max_bytes: usize,
    current: u16,
    num_seen: usize,
    /// The largest message of this block, and of the one before.
    largest: usize,
    largest_before: usize,
}

impl Window {
    /// Creates a window of `max` messages while they fit into `max_bytes`; of one at least.
    pub(super) fn new(max: u16, max_bytes: usize) -> Self {
        let max = max.max(1);
        Self {
            max,
            max_bytes,
            current: max,
            num_seen: 0,
            largest: 0,
            largest_before: 0,
        }
    }

    /// Returns the current number.
    pub(super) fn current(&self) -> u16 {
        self.current
    }

    /// Counts a message of `len` bytes; returns whether the number has changed, so that the broker must be told.
    ///
    /// It shrinks at once, and grows after enough smaller messages. It changes by powers of two, so that
    /// changes are rare.
    pub(super) fn note(&mut self, len: usize) -> bool {
        self.largest = self.largest.max(len);
        self.num_seen += 1;
        let fitting = self.fitting();
        let is_block = self.num_seen == BLOCK;
        if is_block {
            self.largest_before = std::mem::take(&mut self.largest);
            self.num_seen = 0;
        }
        let changes = fitting < self.current || is_block && fitting > self.current;
        if changes {
            self.current = fitting;
        }
        changes
    }

    /// Returns the number that suits the largest recent message.
    fn fitting(&self) -> u16 {
        let largest = self.largest.max(self.largest_before).max(1);
        let fitting = u16::try_from(self.max_bytes / largest).unwrap_or(u16::MAX);
        match fitting {
            0 => 1,
            fitting if fitting >= self.max => self.max,
            fitting => 1 << fitting.ilog2(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_messages_shrink_it_at_once_and_smaller_ones_let_it_grow_later() {
        let mut window = Window::new(100, 1000);
        assert!(!window.note(10));
        assert_eq!(window.current(), 100);
        assert!(window.note(150) && !window.note(160));
        assert_eq!(window.current(), 4);
        assert!(window.note(5000));
        assert_eq!(window.current(), 1);
        let mut changes = (0..3 * BLOCK).filter(|_| window.note(10));
        assert!(changes.next().is_some() && changes.next().is_none());
        assert_eq!(window.current(), 100);
    }

    #[test]
    fn it_is_never_zero() {
        let mut window = Window::new(0, 0);
        assert_eq!(window.current(), 1);
        assert!(!window.note(1));
    }
}
