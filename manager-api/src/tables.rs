//! Hash tables that keep no more memory than they need.

use std::collections::HashMap;
use std::hash::Hash;

/// Releases memory that a table no longer needs after entries were removed: all of it with the last entry, most of it
/// when few of many entries are left. Without this, a server that was full once would keep its largest tables for ever.
pub fn shrink_if_sparse<K: Hash + Eq, V>(table: &mut HashMap<K, V>) {
    if table.is_empty() || wastes_memory(table.len(), table.capacity()) {
        table.shrink_to_fit();
    }
}

/// Returns whether a table is so sparse that a smaller one is worth the copy.
pub fn wastes_memory(len: usize, capacity: usize) -> bool {
    capacity > 4 * len.max(16)
}
