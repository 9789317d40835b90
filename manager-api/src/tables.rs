//! Hash tables that keep no more memory than they need.

use std::collections::HashMap;
use std::hash::Hash;

/// Gives back what a table no longer needs after something was removed: all of it with the last entry, most of it when few of many
/// entries are left. A server that was full once would keep its largest tables for ever.
pub fn give_back<K: Hash + Eq, V>(table: &mut HashMap<K, V>) {
    if table.is_empty() || wastes_memory(table.len(), table.capacity()) {
        table.shrink_to_fit();
    }
}

/// Tells whether a table is so empty that a smaller one pays for the copy.
pub fn wastes_memory(len: usize, capacity: usize) -> bool {
    capacity > 4 * len.max(16)
}
