//! Hash tables that keep no more memory than they need.

use std::collections::HashMap;
use std::hash::Hash;

/// Gives back what a table no longer needs after something was removed: all of it with the last entry, most of it when few of many
/// entries are left. A server that was full once would keep its largest tables for ever.
pub(crate) fn give_back<K: Hash + Eq, V>(table: &mut HashMap<K, V>) {
    if table.is_empty() || table.capacity() > 4 * table.len().max(16) {
        table.shrink_to_fit();
    }
}
