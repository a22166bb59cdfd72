//! The rows that a removal takes.

use super::in_window::InWindow;

/// Takes the rows that were removed: start and end of the window, and the row.
pub type Taken<'a, V> = &'a mut dyn FnMut(i64, i64, V);

/// What [`Table::remove`](crate::Table::remove) returns.
pub trait Removed<V>: Default {
    /// Takes in a row of the window `[start, end)`.
    #[doc(hidden)]
    fn add(&mut self, start: i64, end: i64, row: V);
}

impl<V> Removed<V> for Option<V> {
    fn add(&mut self, _: i64, _: i64, row: V) {
        *self = Some(row);
    }
}

impl<V> Removed<V> for Vec<InWindow<V>> {
    fn add(&mut self, start: i64, end: i64, row: V) {
        self.push(InWindow::new(start, end, row));
    }
}
